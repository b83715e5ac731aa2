"""The options that commands share, one dataclass per help panel, so that one word means one thing everywhere.

A command names the panels it takes as parameters and is decorated with :func:`panels`, which spreads their
fields out for Typer and hands them back bundled.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import os
import re
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gantool.errors import UsageError


def option(panel: str, *names: str, **settings: Any) -> Any:
    """``typer.Option`` in a help panel."""
    return typer.Option(*names, rich_help_panel=panel, **settings)


_files = functools.partial(option, "Files")
_quality = functools.partial(option, "Quality")
_video = functools.partial(option, "Video")
_hardware = functools.partial(option, "Hardware")
_output = functools.partial(option, "Output")

QUALITY = _quality("--quality", metavar="1..100", min=1, max=100, help="Of JPEG, WebP and AVIF files.")
MAX_PIXELS = _quality("--max-pixels", metavar="N", min=1, help="Refuse images that have more pixels.")

RECURSIVE = _files("-r", "--recursive", help="Look into the folders of folders.")
OVERWRITE = _files("--overwrite", help="Replace outputs that exist.")
DEVICE = _hardware("--device", metavar="NAME", help="auto (GANTOOL_DEVICE if set), cpu, cuda, cuda:1 or mps.")

Inputs = typer.Argument(
    metavar="INPUT...",
    help="Images, videos, folders or numbered pictures (in/%05d.png); - is standard input.",
    rich_help_panel="Files",
    show_default=False,
)


@dataclass(frozen=True)
class Files:
    """What is read, where results go, and what happens to what is there already."""

    inputs: Annotated[list[str] | None, Inputs] = None
    output: Annotated[
        str | None,
        _files(
            "-o",
            "--output",
            metavar="PATH",
            help="A file, a folder, a template such as '{dir}/{stem}.{task}{ext}', or - for standard output. "
            "Without it, results go beside their inputs.",
        ),
    ] = None
    recursive: Annotated[bool, RECURSIVE] = False
    from_file: Annotated[
        Path | None,
        _files("--from-file", metavar="LIST", help="Take more inputs from a text file, one per line."),
    ] = None
    compare: Annotated[
        Literal["off", "split", "side", "stack"],
        _files(
            "--compare",
            metavar="off|split|side|stack",
            help="Also write before and after in one, as NAME.compare: left and right half, side by side, or "
            "one above the other.",
        ),
    ] = "off"
    overwrite: Annotated[bool, OVERWRITE] = False
    skip_existing: Annotated[
        bool, _files("--skip-existing", help="Leave out inputs whose output exists.")
    ] = False
    fail_fast: Annotated[
        bool, _files("--fail-fast", help="Stop at the first input that fails; otherwise go on.")
    ] = False
    dry_run: Annotated[
        bool, _files("--dry-run", help="Print the plan and the bytes to download, and do nothing.")
    ] = False


ACCEPT_LICENSE = option(
    "Model",
    "--accept-license",
    help="Agree to a licence that forbids commercial use, to download the model; asked once.",
)


@dataclass(frozen=True)
class Model:
    """Which weights."""

    model: Annotated[
        str,
        option(
            "Model",
            "--model",
            metavar="MODEL",
            help="auto, builtin, a name from `gantool models`, a file, or hf:owner/repo/file.",
        ),
    ] = "auto"
    accept_license: Annotated[bool, ACCEPT_LICENSE] = False


@dataclass(frozen=True)
class Quality:
    """How much of the effect, and how pictures are read and written."""

    strength: Annotated[
        float,
        _quality(
            "--strength",
            metavar="0..1",
            min=0.0,
            max=1.0,
            help="How much of the effect; 0 returns the input.",
        ),
    ] = 1.0
    quality: Annotated[int, QUALITY] = 95
    max_pixels: Annotated[int, MAX_PIXELS] = 100_000_000


@dataclass(frozen=True)
class Video:
    """What happens over time, and how the film is written."""

    temporal: Annotated[
        Literal["off", "online", "bidirectional"] | None,
        _video(
            "--temporal",
            metavar="off|online|bidirectional",
            help="Keep films steady: by the frames before, or also by those after. "
            "[online; style bidirectional, upscale off]",
        ),
    ] = None
    temporal_strength: Annotated[
        float | None,
        _video(
            "--temporal-strength",
            metavar="0..1",
            min=0.0,
            max=1.0,
            help="How much of the frame before is kept. [colorize 0.9, style 0.85, upscale 0.7, others 0.8]",
        ),
    ] = None
    flow: Annotated[
        Literal["farneback", "dis", "raft", "codec"],
        _video(
            "--flow",
            metavar="farneback|dis|raft|codec",
            help="Optical flow method: dis is quick, raft a net, for a GPU, codec what the film's own motion "
            "vectors tell.",
        ),
    ] = "farneback"
    every: Annotated[
        int,
        _video(
            "--every",
            metavar="N",
            min=1,
            help="Let the net see every Nth frame only, and those that motion does not explain; others are "
            "carried along.",
        ),
    ] = 1
    start: Annotated[
        str | None, _video("--start", metavar="TIME", help="Begin here: seconds or h:mm:ss.")
    ] = None
    duration: Annotated[str | None, _video("--duration", metavar="TIME", help="Do no more than this.")] = None
    fps: Annotated[
        str | None,
        _video("--fps", metavar="RATE", help="Of numbered pictures, such as 24 or 30000/1001. [25]"),
    ] = None
    preview: Annotated[
        bool,
        _video("--preview", help="Make only a sheet of ten frames, before and after, and estimate the time."),
    ] = False
    keep_partial: Annotated[
        bool, _video("--keep-partial", help="Of a damaged film, keep what comes before the damage.")
    ] = False
    continue_: Annotated[
        bool, _video("--continue", help="Go on with a long film where an earlier run of this command ended.")
    ] = False
    segment: Annotated[
        str | None,
        _video(
            "--segment",
            metavar="I/N",
            help="Make only share I of N of a long film, as others make theirs; `gantool join` ends it.",
        ),
    ] = None
    codec: Annotated[
        str,
        _video("--codec", metavar="NAME", help="Video encoder, such as libx265; auto suits the container."),
    ] = "auto"
    crf: Annotated[
        int, _video("--crf", metavar="0..51", min=0, max=51, help="Encoder quality; smaller is better.")
    ] = 18
    preset: Annotated[
        str, _video("--preset", metavar="NAME", help="Encoder effort, ultrafast to veryslow.")
    ] = "medium"
    pix_fmt: Annotated[
        str,
        _video("--pix-fmt", metavar="NAME", help="Pixel format, such as yuv420p10le; auto follows the film."),
    ] = "auto"
    deinterlace: Annotated[
        Literal["auto", "off"],
        _video("--deinterlace", metavar="auto|off", help="Make interlaced frames whole, or leave them."),
    ] = "auto"
    tonemap: Annotated[
        bool, _video("--tonemap", help="Bring HDR films to standard range; otherwise they are refused.")
    ] = False
    audio: Annotated[bool, _video("--audio/--no-audio", help="Copy the sound, or leave it out.")] = True
    subtitles: Annotated[
        bool, _video("--subtitles/--no-subtitles", help="Copy the subtitles, or leave them out.")
    ] = True


@dataclass(frozen=True)
class Hardware:
    """Where it runs."""

    device: Annotated[str, DEVICE] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        _hardware("--precision", metavar="NAME", help="auto, fp32, bf16 or fp16."),
    ] = "auto"
    threads: Annotated[
        int | None, _hardware("--threads", metavar="N", min=1, help="CPU threads. [all that are free to use]")
    ] = None


@dataclass(frozen=True)
class Batch:
    """How many frames at once."""

    batch_size: Annotated[
        int | None,
        _hardware(
            "--batch-size",
            metavar="N",
            min=1,
            help="Frames per pass through the net. [4 for colorize, else 1]",
        ),
    ] = None


@dataclass(frozen=True)
class Marks:
    """Whether outputs tell how they were made."""

    metadata: Annotated[
        bool,
        _output(
            "--metadata/--no-metadata", help="Write into outputs that gantool made them, with which model."
        ),
    ] = True


@dataclass(frozen=True)
class Output:
    """What is said while it runs."""

    json: Annotated[bool, _output("--json", help="One JSON object per result on standard output.")] = False
    progress: Annotated[
        Literal["auto", "bar", "log", "none"],
        _output("--progress", metavar="MODE", help="auto, bar, log (a line every 30 s) or none."),
    ] = "auto"
    quiet: Annotated[bool, _output("-q", "--quiet", help="Only warnings and errors.")] = False
    verbose: Annotated[
        int,
        _output("-v", "--verbose", count=True, help="Say more; tracebacks with errors.", show_default=False),
    ] = 0


def panels(command: Callable[..., Any] | None = None, *, without: Sequence[str] = ()) -> Callable[..., Any]:
    """Spread a command's dataclass parameters out into options, in the order of its signature.

    ``without``: fields that mean nothing to this command; they are no options, and keep their defaults.
    """
    if command is None:
        return functools.partial(panels, without=without)
    hints = typing.get_type_hints(command, include_extras=True)
    bundles: dict[str, Any] = {}
    spread: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if not dataclasses.is_dataclass(kind):
            spread.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        bundles[name] = kind
        types = typing.get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):
            if field.name in without:
                continue
            spread.append(
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=field.default,
                    annotation=types[field.name],
                )
            )

    def spread_command(**values: Any) -> Any:
        from gantool.commands.session import Request

        options = {name: value for name, value in values.items() if name != "ctx"}
        for name, kind in bundles.items():
            fields = [field.name for field in dataclasses.fields(kind) if field.name not in without]
            values[name] = kind(**{field: values.pop(field) for field in fields})
        answer = command(**values)
        if not isinstance(answer, Request):
            return answer
        return dataclasses.replace(answer, options={**options, **answer.options})

    spread_command.__name__ = command.__name__
    spread_command.__doc__ = command.__doc__
    spread_command.__signature__ = inspect.Signature(spread)  # type: ignore[attr-defined]
    spread_command.__annotations__ = {parameter.name: parameter.annotation for parameter in spread}
    return spread_command


def seconds(text: str | None, name: str) -> float | None:
    """``90``, ``1:30`` and ``0:01:30.5`` in seconds. Raises UsageError naming the option ``name``."""
    if text is None:
        return None
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)", text.strip())
    hours, minutes, rest = (None, None, "0") if match is None else match.groups()
    parts = [float(part) for part in (hours, minutes, rest) if part is not None]
    if match is None or any(part >= 60 for part in parts[1:]):
        raise UsageError(f"{name} {text} is not a time", remedy="Give seconds or h:mm:ss")
    return sum(part * 60**place for place, part in enumerate(reversed(parts)))


def at_time(text: str, name: str) -> tuple[str, float | None]:
    """``PHOTO@TIME`` as path and seconds into the film; plain ``PHOTO`` with None.

    TIME is as :func:`seconds` takes it. A file that is called so is that file, whatever stands behind an @
    in its name. Raises UsageError naming the option ``name``.
    """
    path, at, time = text.rpartition("@")
    if not at or not path or os.path.lexists(text):
        return text, None
    try:
        return path, seconds(time, name)
    except UsageError:
        if not os.path.lexists(path):
            return text, None  # a file with an @ in its name, which is missing
        what = f"{name} {text}: '{time}' is not a time"
        raise UsageError(what, remedy="Give PHOTO@TIME, in seconds or h:mm:ss") from None


def rate(text: str | None, name: str) -> Fraction | None:
    """``25``, ``23.976`` and ``30000/1001``, exactly. Raises UsageError naming the option ``name``."""
    if text is None:
        return None
    try:
        value = Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if not 0 < value <= 1000:
        raise UsageError(f"{name} {text} is not a frame rate", remedy="Give one such as 24 or 30000/1001")
    whole = math.ceil(value)
    film = Fraction(whole * 1000, 1001)  # 23.976, 29.97 and 59.94 are short for these
    return film if value != whole and abs(value - film) < Fraction(1, 200) else value


def examples(*lines: str) -> str:
    """A command's epilog: its examples, one per line; a test runs each."""
    return "\n".join(lines)
