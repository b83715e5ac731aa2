"""``gantool colorize``."""

from __future__ import annotations

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
        Path | None,
        option("Quality", "--reference", metavar="PHOTO", help="Give the result the palette of this photo."),
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
    palette = _palette(reference)

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
            reference=palette,
        )

    return Request("colorize", files, model, quality, video, hardware, batch, marks, build, to_srgb=True)


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


def _palette(photo: Path | None) -> Palette | None:
    """The colours of --reference, refused before a model is loaded where there are none."""
    if photo is None:
        return None
    from gantool.pipelines.colorize import palette_of_photo

    return palette_of_photo(photo)
