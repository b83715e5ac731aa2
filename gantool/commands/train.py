"""``gantool train``: parse, and hand over to the task's recipe."""

from __future__ import annotations

import difflib
import functools
import importlib
import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from gantool.commands.check_data import check_data
from gantool.commands.config_file import read_config
from gantool.commands.one_voice import one_voice
from gantool.commands.options import Hardware, Output, examples, option, panels
from gantool.console import Console
from gantool.errors import DeviceError, InputError, UsageError, WeightsError

TASKS = (
    "colorize",
    "upscale",
    "edsr",
    "srresnet",
    "srgan",
    "esrgan",
    "pix2pix",
    "cyclegan",
    "restore",
    "adain",
    "fast_style",
    "percept",
    "tpgan",
    "frontal_cycle",
    "frontwarp",
    "faceid",
)

EXAMPLES = examples(
    "gantool train --task colorize photos/ -o runs/colour --steps 20000",
    "gantool train --resume runs/colour",
    "gantool train --task pix2pix pairs/ --check",
    "gantool train --task upscale --list",
)

_AS_BEFORE = ("task", "seed", "precision", "accumulate", "sample_every")  # with --resume, unless given

_training = functools.partial(option, "Training")


@dataclass(frozen=True)
class Several:
    """How a step's batch is shared."""

    devices: Annotated[
        int, option("Hardware", "--devices", metavar="N", min=1, help="GPUs, or processes on a CPU.")
    ] = 1
    nodes: Annotated[
        int, option("Hardware", "--nodes", metavar="N", min=1, help="Machines; the command is run on each.")
    ] = 1
    strategy: Annotated[
        str, option("Hardware", "--strategy", metavar="NAME", help="auto, or ddp (torch.distributed).")
    ] = "auto"
    accumulate: Annotated[
        int,
        option("Hardware", "--accumulate", metavar="N", min=1, help="Parts of a batch, to need less memory."),
    ] = 1
    compile: Annotated[
        bool, option("Hardware", "--compile", help="Compile the nets first (torch.compile).")
    ] = False


@panels
def command(
    ctx: typer.Context,
    *,
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DATA]...",
            help="Folders of pictures, or a head (.npz) for faces; --resume knows its own.",
            rich_help_panel="Files",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        str, _training("--task", metavar="TASK", help=f"What to learn: {', '.join(TASKS)}.")
    ] = "",
    out: Annotated[
        Path | None, option("Files", "-o", "--output", metavar="RUN", help="The run folder to make.")
    ] = None,
    resume: Annotated[
        Path | None,
        option(
            "Files", "--resume", metavar="RUN", help="Go on with this run, to its planned total of steps."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        option(
            "Files",
            "--config",
            metavar="FILE",
            help="Take options from a TOML file, parameters under [set], or from a run's config.json.",
        ),
    ] = None,
    steps: Annotated[
        int | None, _training("--steps", metavar="N", min=1, help="Planned total. [the recipe's]")
    ] = None,
    stop_after: Annotated[
        int | None,
        _training("--stop-after", metavar="N", min=1, help="Stop after N steps, to go on with --resume."),
    ] = None,
    seed: Annotated[int, _training("--seed", metavar="N", min=0, help="Of all that is random.")] = 0,
    sample_every: Annotated[
        int | None, _training("--sample-every", metavar="N", min=1, help="Steps between sample sheets.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        _training("--set", metavar="KEY=VALUE", help="A parameter of the recipe; may be repeated."),
    ] = None,
    check: Annotated[
        bool,
        _training(
            "--check",
            help="Look at all the data and write a contact sheet, TASK-check.png; do not train.",
        ),
    ] = False,
    show: Annotated[bool, _training("--list", help="List the parameters of the task's recipe.")] = False,
    hardware: Hardware,
    several: Several,
    output: Output,
) -> None:
    """Train a model on your own pictures. What it saves works with the other commands as --model RUN."""
    console: Console = ctx.obj
    # The processes that --devices starts run this same command; only the first one speaks.
    first = all(os.environ.get(rank, "0") == "0" for rank in ("RANK", "LOCAL_RANK", "NODE_RANK"))
    progress_mode = output.progress if first else "none"
    console.configure(quiet=output.quiet, verbose=output.verbose, progress=progress_mode, json=output.json)
    file, past = read_config(config) if config is not None else {}, _past(resume)
    known = {name: past[name] for name in _AS_BEFORE if name in past} | file

    def chosen(name: str, value: Any) -> Any:
        """Of the command line, else the config file, else the run that goes on, else the default."""
        source = ctx.get_parameter_source({"output": "out"}.get(name, name))
        return known[name] if name in known and (source is None or source.name == "DEFAULT") else value

    task = chosen("task", task)
    _check_task(task)
    if show:
        _list(task, console)
        return
    run = resume or (Path(chosen("output", out)) if chosen("output", out) else None)
    if resume is not None and out is not None:
        raise UsageError("--resume and -o contradict each other", remedy="--resume writes into its own run")
    folders = _folders(data or [Path(p) for p in file.get("data") or past.get("data", ())])
    values = _parameters(task, config, file.get("set", {}), settings or [])
    if check:
        check_data(task, folders, values, run, console)
        return
    if run is None:
        raise UsageError("no run folder", remedy="Give -o RUN, or --resume RUN to go on with one")

    from gantool.training import TrainRequest

    request = TrainRequest(
        task=task,
        data=folders,
        out=run,
        steps=chosen("steps", steps),
        stop_after=stop_after,
        seed=chosen("seed", seed),
        resume=resume,
        device=chosen("device", hardware.device),
        precision=chosen("precision", hardware.precision),
        devices=chosen("devices", several.devices),
        nodes=chosen("nodes", several.nodes),
        strategy=chosen("strategy", several.strategy),
        accumulate=chosen("accumulate", several.accumulate),
        compile=chosen("compile", several.compile),
        settings=values,
        sample_every=chosen("sample_every", sample_every),
        threads=chosen("threads", hardware.threads),
        say=console.info,
        warn=console.warn,
        check=console.check,
        shield=console.shield,
    )
    several_processes = request.devices * request.nodes > 1
    with (
        one_voice(first) if several_processes else nullcontext(),
        console.task(f"train {task}", unit="step") as progress,
    ):
        request.progress = progress
        try:
            model = _train(request)
        except BaseException:
            if request.opened is not None:
                request.opened.withdraw()
            raise
    if first:
        console.result(str(model), {"task": task, "output": str(model), "run": str(run)})


def _train(request: Any) -> Path:
    """Run the task's recipe; out of memory is one sentence that names what helps."""
    from gantool.devices import is_out_of_memory

    try:
        return importlib.import_module(f"gantool.recipes.{request.task}").train(request)
    except WeightsError as error:
        error.remedy = _named(error, request) or error.remedy
        raise
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):  # torch's words for a batch norm of one number
            raise
        raise UsageError(
            "batch norm has a single number per channel to go by: the batch and the crop are too small",
            remedy="Use a larger --set batch=... or a larger crop (--list)",
        ) from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    raise DeviceError(
        "out of memory in training",
        remedy=f"Use --accumulate {request.accumulate * 2}, --precision bf16, or a smaller --set batch=... "
        "or crop=...",
    )


def _named(error: WeightsError, request: Any) -> str:
    """The advice about a file that is missing, if a parameter names it, for which ``--model`` was taken."""
    for key, value in (request.opened.config if request.opened else request.settings).items():
        files = [str(Path(value)), str(Path(value) / "model.safetensors")] if isinstance(value, str) else []
        if "--model" in error.remedy and value and error.file in files:
            return f"Check --set {key}={value}"
    return ""


def _past(resume: Path | None) -> dict[str, Any]:
    """What a run that goes on was started with; nothing of a new one."""
    if resume is None:
        return {}
    from gantool.training import saved_config

    return saved_config(resume)


def _folders(given: list[Path]) -> tuple[Path, ...]:
    """The training folders, all of which are there."""
    if not given:
        raise UsageError("no training pictures", remedy="Name one or more folders of photos")
    for folder in given:
        if not folder.exists():
            raise InputError("no such folder", folder, "Check the name")
    return tuple(given)


def _check_task(task: str) -> None:
    if task in TASKS:
        return
    near = difflib.get_close_matches(task, TASKS, n=1, cutoff=0.4)
    tasks = f"Tasks are {', '.join(TASKS)}"
    if not task:
        raise UsageError("no task", remedy=f"Give --task. {tasks}")
    raise UsageError(f"unknown task '{task}'", remedy=f"Did you mean {near[0]}? {tasks}" if near else tasks)


def _parameters(task: str, config: Path | None, file: dict[str, str], words: list[str]) -> dict[str, str]:
    """Those of the config file, whose paths are meant from where it is, and above them those of ``--set``."""
    from gantool.settings import assignments

    if config is not None and file:
        from gantool.training import located

        file = located(importlib.import_module(f"gantool.recipes.{task}").Config, file, config.parent)
    return file | assignments(words)


def _list(task: str, console: Console) -> None:
    from gantool.settings import describe

    rows = describe(importlib.import_module(f"gantool.recipes.{task}").Config)
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, default, meaning in rows:
        line = f"{name:<{widths[0]}}  {default:<{widths[1]}}  {meaning}".rstrip()
        console.result(line, {"name": name, "default": default, "help": meaning})
