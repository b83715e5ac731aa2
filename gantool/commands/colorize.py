"""``gantool colorize``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gantool.commands.options import (
    Batch,
    Files,
    Hardware,
    Marks,
    Model,
    Output,
    Quality,
    Video,
    at_time,
    examples,
    option,
    panels,
)
from gantool.commands.session import Request
from gantool.console import Console
from gantool.errors import UsageError

if TYPE_CHECKING:
    from gantool.hints import Hint
    from gantool.ops.palette import Palette

EXAMPLES = examples(
    "gantool colorize photo.jpg",
    "gantool colorize film.mp4 -o colour.mp4",
    "gantool colorize photo.jpg --reference postcard.jpg",
    "gantool colorize album/ -o coloured/ --recursive --skip-existing",
)


@panels
def command(
    ctx: typer.Context,
    *,
    files: Files,
    model: Model,
    render_size: Annotated[
        int | None,
        option(
            "Quality",
            "--render-size",
            metavar="PX",
            min=16,
            help="Short side at which colours are found; the picture itself keeps its size. "
            "[the model's own: 256, DDColor 512, DeOldify 560 and films 336]",
        ),
    ] = None,
    saturation: Annotated[
        float, option("Quality", "--saturation", metavar="X", min=0.0, help="Factor on all colours.")
    ] = 1.0,
    reference: Annotated[
        list[str] | None,
        option(
            "Quality",
            "--reference",
            metavar="PHOTO[@TIME]",
            help="Give the result the palette of this photo; in films, PHOTO@TIME from the scene at TIME on.",
        ),
    ] = None,
    hints: Annotated[
        Path | None,
        option(
            "Quality",
            "--hints",
            metavar="FILE",
            help="Colours of places in the picture, JSON or CSV: x, y, #rrggbb. Only for siggraph17.",
        ),
    ] = None,
    quality: Quality,
    video: Video,
    hardware: Hardware,
    batch: Batch,
    marks: Marks,
    output: Output,
) -> Request:
    """Colour black-and-white photos and films. The source's own lightness is kept at full size."""
    console: Console = ctx.obj
    console.configure(quiet=output.quiet, verbose=output.verbose, progress=output.progress, json=output.json)
    places = _hints(hints, files, model.model)
    photos = _photos(reference or ())
    palettes = _palettes(photos)

    def build(net: Any, row: Any, *, device: Any, dtype: Any, warn: Any) -> Any:
        from gantool.pipelines import colorize

        return colorize.build(
            net,
            row,
            device=device,
            dtype=dtype,
            render_size=render_size,
            saturation=saturation,
            hints=places,
            reference=palettes,
        )

    return Request(
        "colorize",
        files,
        model,
        quality,
        video,
        hardware,
        batch,
        marks,
        build,
        to_srgb=True,
        options={"reference": [(path, time) for time, path in photos.items()]},
        moments=tuple(time for time in photos if time is not None),
    )


def _hints(path: Path | None, files: Files, model: str) -> tuple[Hint, ...]:
    """What --hints says, refused before anything is downloaded where it cannot be of use."""
    if path is None:
        return ()
    from gantool.catalog import load_catalog
    from gantool.hints import no_hints, read_hints

    inputs = files.inputs or []
    if len(inputs) != 1 or files.from_file is not None or Path(inputs[0]).is_dir():
        raise UsageError("hints belong to one picture", remedy="Give --hints with a single input")
    if model in ("auto", "builtin"):
        raise no_hints("the built-in model" if model == "builtin" else "the default model")
    for row in load_catalog().rows:
        if row.name == model and not row.arch.startswith("siggraph17."):
            raise no_hints(row.name)
    return read_hints(path)


def _photos(given: Sequence[str]) -> dict[float | None, Path]:
    """What --reference names, by time; None for a photo that holds from the film's beginning on."""
    photos: dict[float | None, Path] = {}
    for text in given:
        path, time = at_time(text, "--reference")
        if time in photos:
            when = "the beginning" if time is None else f"{time:g} s"
            what = f"--reference names two photos for {when}: {photos[time].name} and {Path(path).name}"
            raise UsageError(what, remedy="Give PHOTO@TIME, with a time for each")
        photos[time] = Path(path)
    return photos


def _palettes(photos: Mapping[float | None, Path]) -> dict[float, Palette]:
    """The colours of --reference, refused before a model is loaded where there are none."""
    if not photos:
        return {}
    from gantool.pipelines.colorize import palette_of_photo

    return {-math.inf if time is None else time: palette_of_photo(path) for time, path in photos.items()}
