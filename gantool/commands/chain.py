"""``gantool chain``: several commands in one pass, with no file between them."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from gantool.commands import comparing
from gantool.commands.options import (
    MAX_PIXELS,
    QUALITY,
    Batch,
    Files,
    Hardware,
    Marks,
    Model,
    Output,
    Quality,
    Video,
    examples,
    panels,
)
from gantool.commands.session import Request
from gantool.console import Console
from gantool.errors import UsageError

EXAMPLES = examples(
    "gantool chain film.mp4 -o new.mp4 restore colorize 'upscale --scale 2'",
    "gantool chain photo.jpg restore 'colorize --saturation 1.2'",
    "gantool chain album/ -o done/ colorize 'upscale --height 1080' --recursive",
)

# Options of which a step may have its own; all others say how files are read and written, once for all.
_OF_A_STEP = {"temporal", "temporal_strength", "flow", "every", "precision"}

Words = typer.Argument(
    metavar="INPUT STEP...",
    help="An image, video or folder, then commands in quotes with their options, or names of models. With "
    "--from-file only steps.",
    rich_help_panel="Files",
    show_default=False,
)


@dataclass(frozen=True)
class Chain(Files):
    """The input and the steps stand in one row."""

    inputs: Annotated[list[str] | None, Words] = None


@panels
def command(
    ctx: typer.Context,
    *,
    files: Chain,
    quality: Annotated[int, QUALITY] = 95,
    max_pixels: Annotated[int, MAX_PIXELS] = 100_000_000,
    video: Video,
    hardware: Hardware,
    marks: Marks,
    output: Output,
) -> Request:
    """Do several things in one pass: mend, colour and enlarge a film, read once and written once.

    Each step is a command with its options in quotes ('upscale --scale 2'), or the name of a model from
    `gantool models`, such as restore. The result is that of the commands run one after the other through
    lossless files. --temporal, --flow, --every and --precision hold for all steps that do not have their own.
    """
    console: Console = ctx.obj
    words = list(files.inputs or ())
    inputs = [] if files.from_file is not None else words[:1]
    steps = [_step(ctx, words_of, inputs, files, video, hardware) for words_of in words[len(inputs) :]]
    console.configure(quiet=output.quiet, verbose=output.verbose, progress=output.progress, json=output.json)
    if not steps:
        raise UsageError("no step", remedy="Name what to do, such as colorize or 'upscale --scale 2'")
    if video.preview and len(steps) > 1:
        raise UsageError("--preview takes one step", remedy="Give it to the single commands, or leave it out")
    return Request(
        "chain",
        dataclasses.replace(files, inputs=inputs),
        Model(),
        Quality(quality=quality, max_pixels=max_pixels),
        video,
        hardware,
        Batch(),
        marks,
        steps[0].build,
        to_srgb=any(step.to_srgb for step in steps),
        steps=tuple(steps),
    )


def _step(
    ctx: typer.Context, text: str, inputs: list[str], files: Files, video: Video, hardware: Hardware
) -> Request:
    """One step's own request, with what holds for all. Raises UsageError."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"the step '{text}' cannot be read: {error}", remedy="Check its quotes") from error
    if not words:
        raise UsageError("an empty step", remedy="Name a command or a model")
    name, *rest = _spelled_out(words)
    parent = ctx.parent
    assert parent is not None
    parsed: Any = parent.command.get_command(parent, name)  # type: ignore[attr-defined]
    own = parsed.make_context(name, [*rest, "--", *inputs], parent=parent)
    given = {word for word in own.params if own.get_parameter_source(word).name == "COMMANDLINE"}
    shared = {field.name for panel in (Files, Video, Hardware, Marks, Output) for field in _fields(panel)}
    shared = (shared | {"quality", "max_pixels"}) - _OF_A_STEP - {"inputs"}
    for word in sorted(given & shared):
        flag = f"--{word.replace('_', '-')}"
        raise UsageError(f"{flag} is not for a single step ('{text}')", remedy="Give it outside the quotes")
    with own:
        request: Request = parsed.invoke(own)
    if request.steps or request.fuse:
        word = "--fuse" if request.fuse else "--scale"
        remedy = "Leave it out" if request.fuse else "Write 'upscale --scale X' as a step of its own"
        raise UsageError(f"{word} is not for a step of a chain ('{text}')", remedy=remedy)
    if name == "frontalize" and not own.params["paste"]:
        comparing.refuse_crops(files)
    return dataclasses.replace(
        request,
        video=_merged(request.video, video, given),
        hardware=_merged(request.hardware, hardware, given),
    )


def _spelled_out(words: list[str]) -> list[str]:
    """A step that begins with a model's name, as the command that takes the model."""
    from gantool.catalog import COMMANDS, load_catalog

    if words[0] in COMMANDS:
        return words
    rows = {row.name: row for row in load_catalog().rows if row.task in COMMANDS}
    if words[0] not in rows:
        import difflib

        near = difflib.get_close_matches(words[0], [*COMMANDS, *rows], 3)
        remedy = (
            f"Perhaps {' or '.join(near)}" if near else f"Steps are {', '.join(COMMANDS)} and models' names"
        )
        raise UsageError(f"no step '{words[0]}'", remedy=remedy)
    return [rows[words[0]].task, "--model", *words]


def _merged(own: Any, common: Any, given: set[str]) -> Any:
    """The options of the chain, but those that a step was given itself."""
    return dataclasses.replace(
        common, **{field.name: getattr(own, field.name) for field in _fields(own) if field.name in given}
    )


def _fields(panel: Any) -> tuple[Any, ...]:
    return dataclasses.fields(panel)
