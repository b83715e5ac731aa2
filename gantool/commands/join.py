"""``gantool join``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gantool.commands.options import OVERWRITE, Output, examples, panels, rate
from gantool.console import Console
from gantool.errors import InputError, OutputError
from gantool.numbered import is_numbered

if TYPE_CHECKING:
    from gantool.workfolder import WorkFolder

EXAMPLES = examples(
    "gantool join film.colorize.mp4",
    "gantool join .film.colorize.mp4.gantool --overwrite",
)


@panels
def command(
    ctx: typer.Context,
    *,
    film: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT",
            help="The film that was made with --segment, or the folder with its segments.",
            rich_help_panel="Files",
            show_default=False,
        ),
    ],
    overwrite: Annotated[bool, OVERWRITE] = False,
    output: Output,
) -> None:
    """Join the segments of a film that several made, with --segment on each.

    Sound, subtitles and titles come from the source, as in a film that was made in one go. Nothing is encoded
    again. Says which segments are missing; once the film is whole, the folder of its segments is removed.
    """
    from gantool.workfolder import WorkFolder, target_of

    console: Console = ctx.obj
    console.configure(quiet=output.quiet, verbose=output.verbose, progress=output.progress, json=output.json)
    target = target_of(film) if film.is_dir() or film.name.endswith(".gantool") else film
    work = WorkFolder(target)
    if work.is_done():  # an earlier run was stopped when all was done but the tidying up
        work.remove()
    if not work.exists():
        if not target.is_file():
            raise InputError("there are no segments to join", film, "Make them with --segment first")
        console.info("there is nothing left to join")
        console.result(str(target), {"output": str(target)})
        return
    if os.path.lexists(target) and not overwrite:
        raise OutputError("the output exists", target, "Use --overwrite to replace it")
    with work, console.task(f"join {target.name}"):
        console.result(str(target), _joined(work, overwrite, console))


def _joined(work: WorkFolder, overwrite: bool, console: Console) -> dict[str, Any]:
    """Join what is in a folder; tells what was done. Raises GantoolError."""
    from gantool.commands.long_film import identity
    from gantool.media.provenance import Provenance
    from gantool.media.video import probe
    from gantool.segments import Film, join

    began, warnings = time.monotonic(), []

    def warn(message: str) -> None:
        if message not in warnings:
            warnings.append(message)
            console.warn(f"{message} ({work.target})")

    work.lock()
    job = work.job()
    if job is None:
        raise InputError("there are no segments to join", work.target, "Make them with --segment first")
    source = _source(work, job)
    if identity(source) != job["facts"]["the input"]:
        raise InputError("the film's source has changed since", source, "Put it back as it was")
    mark = job["writer"]["provenance"]
    writer = {**job["writer"], "provenance": None if mark is None else Provenance(**mark)}
    words = job["probe"] | {"fps": rate(job["probe"]["fps"], "--fps")}
    info = probe(source, **words)
    film = Film(info, work.target, writer, **job["span"], frames=job["frames"])
    plan = film.rehearse(tuple(job["size"]), warn)
    count = join(film, work, work.segments(), plan, overwrite=overwrite, check=console.check, warn=warn)
    return {
        "source": str(source),
        "output": str(work.target),
        "width": plan.width,
        "height": plan.height,
        "frames": count,
        "seconds": round(time.monotonic() - began, 3),
        "warnings": warnings,
    }


def _source(work: WorkFolder, job: dict[str, Any]) -> Path:
    """The film's source, where it was or, on another machine, where it lies as seen from the output."""
    there, beside = Path(job["source"]), work.path.parent / job["beside"]
    for path in (there, beside):
        if path.is_file() or (is_numbered(path) and path.parent.is_dir()):
            return path
    raise InputError(
        "the film's source is not there", there, "Put it back: sound and titles are taken from it"
    )
