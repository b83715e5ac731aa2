"""``gantool train``: parse, and hand over to the task's recipe."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path
from typing import Annotated

import typer

from gantool.commands.options import Hardware, Output, examples, option, panels
from gantool.console import Console
from gantool.errors import InputError, UsageError

TASKS = ("colorize", "upscale")

EXAMPLES = examples(
    "gantool train --task colorize photos/ -o runs/colour --steps 20000",
    "gantool train --task colorize photos/ --resume runs/colour",
    "gantool train --task upscale photos/ -o runs/x2 --set scale=2 --set batch=8",
    "gantool train --task upscale --list",
)


@panels
def command(
    ctx: typer.Context,
    *,
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DATA...", help="Folders of photos.", rich_help_panel="Files", show_default=False
        ),
    ] = None,
    task: Annotated[
        str, option("Training", "--task", metavar="TASK", help=f"What to learn: {' or '.join(TASKS)}.")
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
    steps: Annotated[
        int | None, option("Training", "--steps", metavar="N", min=1, help="Planned total. [the recipe's]")
    ] = None,
    stop_after: Annotated[
        int | None,
        option(
            "Training", "--stop-after", metavar="N", min=1, help="Stop after N steps, to go on with --resume."
        ),
    ] = None,
    seed: Annotated[int, option("Training", "--seed", metavar="N", help="Of all that is random.")] = 0,
    sample_every: Annotated[
        int | None,
        option("Training", "--sample-every", metavar="N", min=1, help="Steps between sample sheets."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        option("Training", "--set", metavar="KEY=VALUE", help="A parameter of the recipe; may be repeated."),
    ] = None,
    show: Annotated[
        bool, option("Training", "--list", help="List the parameters of the task's recipe.")
    ] = False,
    hardware: Hardware,
    output: Output,
) -> None:
    """Train a model on your own pictures. What it saves works with the other commands as --model RUN."""
    console: Console = ctx.obj
    console.configure(quiet=output.quiet, verbose=output.verbose, progress=output.progress, json=output.json)
    _check_task(task)
    if show:
        _list(task, console)
        return
    values = _settings(settings or [])
    folders = tuple(data or ())
    if resume is not None and out is not None:
        raise UsageError("--resume and -o contradict each other", remedy="--resume writes into its own run")
    run = resume or out
    if run is None:
        raise UsageError("no run folder", remedy="Give -o RUN, or --resume RUN to go on with one")
    if not folders:
        raise UsageError("no training pictures", remedy="Name one or more folders of photos")
    for folder in folders:
        if not folder.exists():
            raise InputError("no such folder", folder, "Check the name")

    from gantool.training import TrainRequest

    request = TrainRequest(
        task=task,
        data=folders,
        out=run,
        steps=steps,
        stop_after=stop_after,
        seed=seed,
        resume=resume,
        device=hardware.device,
        precision=hardware.precision,
        settings=values,
        sample_every=sample_every,
        threads=hardware.threads,
        say=console.info,
        warn=console.warn,
        check=console.check,
        shield=console.shield,
    )
    with console.task(f"train {task}", unit="step") as progress:
        request.progress = progress
        model = importlib.import_module(f"gantool.recipes.{task}").train(request)
    console.result(str(model), {"task": task, "output": str(model), "run": str(run)})


def _check_task(task: str) -> None:
    if task in TASKS:
        return
    near = difflib.get_close_matches(task, TASKS, n=1, cutoff=0.4)
    tasks = f"Tasks are {' and '.join(TASKS)}"
    if not task:
        raise UsageError("no task", remedy=f"Give --task. {tasks}")
    raise UsageError(f"unknown task '{task}'", remedy=f"Did you mean {near[0]}? {tasks}" if near else tasks)


def _settings(words: list[str]) -> dict[str, str]:
    values = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise UsageError(f"--set {word} is not KEY=VALUE", remedy="--list shows the keys")
        values[key.strip().replace("-", "_")] = value
    return values


def _list(task: str, console: Console) -> None:
    from gantool.settings import describe

    rows = describe(importlib.import_module(f"gantool.recipes.{task}").Config)
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, default, meaning in rows:
        line = f"{name:<{widths[0]}}  {default:<{widths[1]}}  {meaning}".rstrip()
        console.result(line, {"name": name, "default": default, "help": meaning})
