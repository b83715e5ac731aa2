"""``gantool doctor``: what is installed, what is here, and what is broken."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from gantool.commands.options import Output, examples, panels
from gantool.console import Console
from gantool.errors import EncoderError, GantoolError, OutputError

EXAMPLES = examples("gantool doctor", "gantool doctor --json")

_PACKAGES = (
    *("torch", "torchvision", "numpy", "opencv-python-headless", "av", "imageio-ffmpeg", "pillow"),
    *("huggingface-hub", "safetensors", "spandrel", "lightning-fabric", "typer", "rich"),
)
_VARIABLES = (
    *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT"),
    *("GANTOOL_DEVICE", "GANTOOL_DEBUG", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "NO_COLOR"),
)


@dataclass
class _Report:
    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[GantoolError] = field(default_factory=list)

    def ask(self, name: str, question: Callable[[], Any]) -> None:
        """Note the answer, or what kept it from being found."""
        try:
            self.facts[name] = question()
        except GantoolError as error:
            self._broken(name, error)
        except Exception as error:  # a package that does not import raises anything at all
            what = f"{name} cannot be asked: {type(error).__name__}: {' '.join(str(error).split())}"
            self._broken(name, GantoolError(what, remedy="Reinstall gantool"))

    def _broken(self, name: str, error: GantoolError) -> None:
        self.facts[name] = f"broken: {error.what}"
        self.problems.append(error)


@panels
def command(ctx: typer.Context, output: Output) -> None:
    """Show versions, devices, the cache and the built-in models, and say what is broken.

    Uses no network. Ends with 0, or with the exit code of the first thing that is broken.
    """
    console: Console = ctx.obj
    console.configure(quiet=output.quiet, verbose=output.verbose, progress=output.progress, json=output.json)
    report = _Report()
    report.ask("gantool", _own_version)
    report.ask("python", lambda: f"{platform.python_version()} on {platform.platform()}")
    report.ask("packages", _packages)
    report.ask("devices", _devices)
    report.ask("video", _video)
    report.ask("cache", _cache)
    report.ask("built-in models", lambda: _builtin(report))
    report.ask("variables", _variables)
    for problem in report.problems:
        console.error(problem)
    if console.json:
        problems = [{"code": int(p.code), "problem": str(p)} for p in report.problems]
        console.result("", {**report.facts, "problems": problems})
    else:
        _print(report.facts, console)
    if report.problems:
        raise typer.Exit(int(report.problems[0].code))
    console.info("all is well")


def _print(facts: dict[str, Any], console: Console) -> None:
    width = max(len(name) for name in facts) + 2
    for name, value in facts.items():
        lines = (
            [f"{key} {entry}" for key, entry in value.items()] if isinstance(value, dict) else [str(value)]
        )
        for number, line in enumerate(lines or ["none"]):
            console.print(f"{'' if number else name:<{width}}{line}")


def _own_version() -> str:
    from gantool import __version__

    return __version__


def _packages() -> dict[str, str]:
    from importlib import metadata

    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    # The other OpenCV wheels hold the same module.
    if found["opencv-python-headless"] == "missing":
        import cv2

        found["opencv-python-headless"] = f"{cv2.__version__} (another OpenCV package)"
    missing = [name for name, version in found.items() if version == "missing"]
    if missing:
        raise GantoolError(f"missing packages: {', '.join(missing)}", remedy="Reinstall gantool")
    return found


def _devices() -> dict[str, str]:
    import torch

    from gantool import devices

    chosen = devices.pick_device("auto")
    found = {"cpu": f"{devices.cpu_threads()} threads, {_bf16(torch.device('cpu'))}"}
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        memory = torch.cuda.get_device_properties(index).total_memory / 2**30
        words = [torch.cuda.get_device_name(index), f"{memory:.0f} GiB", _bf16(torch.device("cuda", index))]
        found[f"cuda:{index}"] = ", ".join(words)
    if torch.backends.mps.is_available():
        found["mps"] = "Apple GPU"
    found["auto is"] = str(chosen)
    return found


def _bf16(device: Any) -> str:
    """Whether ``--precision auto`` would take bf16 there, for a model that is cleared for it."""
    from gantool import devices
    from gantool.catalog import Checkpoint

    cleared = Checkpoint("any", "upscale", dtypes=("bf16",))
    return (
        "fast bf16"
        if str(devices.pick_dtype("auto", device, cleared)) == "torch.bfloat16"
        else "no fast bf16"
    )


def _video() -> dict[str, str]:
    import av
    import imageio_ffmpeg

    for name in ("libx264", "aac"):
        try:
            av.Codec(name, "w")
        except Exception as error:
            raise EncoderError(
                f"the encoder {name} is missing", remedy="Reinstall PyAV: pip install -U av"
            ) from error
    return {
        "PyAV": f"{av.__version__} with FFmpeg {av.ffmpeg_version_info}",
        "ffmpeg": f"{imageio_ffmpeg.get_ffmpeg_version()}, bundled by imageio-ffmpeg",
    }


def _cache() -> dict[str, str]:
    from gantool import cache, hub, records

    found = {}
    for name, folder in (("hub", cache.hub_cache()), ("gantool", cache.own_folder())):
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
        found[name] = f"{folder}, {hub.describe_size(size) if size else 'empty'}"
        _check_writable(folder)
    records.read(cache.lock_file())  # unreadable, it keeps every download from being used
    return found


def _check_writable(folder: Path) -> None:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError("the cache cannot be written", folder, "Set HF_HOME to a folder of yours")


def _builtin(report: _Report) -> dict[str, str]:
    from gantool import hub
    from gantool.catalog import load_catalog

    found = {}
    for row in load_catalog().rows:
        if row.source == "builtin":
            try:
                hub.verify(row)
                found[row.name] = f"good, {hub.describe_size(row.bytes)}"
            except GantoolError as error:
                found[row.name] = "broken"
                report.problems.append(error)
    return found


def _variables() -> dict[str, str]:
    """Those that change what gantool does. Of a token only that there is one."""
    found = {name: os.environ[name] for name in _VARIABLES if os.environ.get(name)}
    if os.environ.get("HF_TOKEN"):
        found["HF_TOKEN"] = "(set)"
    return found
