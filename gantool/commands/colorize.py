"""``gantool colorize``."""

from __future__ import annotations

from typing import Annotated, Any

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
from gantool.console import Console

EXAMPLES = examples(
    "gantool colorize photo.jpg",
    "gantool colorize film.mp4 -o colour.mp4",
    "gantool colorize film.mp4 --preview",
    "gantool colorize album/ -o coloured/ --recursive --skip-existing",
)


@panels
def command(
    ctx: typer.Context,
    *,
    files: Files,
    model: Model,
    render_size: Annotated[
        int,
        option(
            "Quality",
            "--render-size",
            metavar="PX",
            min=16,
            help="Short side at which colours are found; the picture itself keeps its size.",
        ),
    ] = 256,
    saturation: Annotated[
        float, option("Quality", "--saturation", metavar="X", min=0.0, help="Factor on all colours.")
    ] = 1.0,
    quality: Quality,
    video: Video,
    hardware: Hardware,
    batch: Batch,
    marks: Marks,
    output: Output,
) -> None:
    """Colour black-and-white photos and films. The source's own lightness is kept at full size."""
    from gantool.commands import batch as runner
    from gantool.commands.session import Request

    console: Console = ctx.obj
    console.configure(quiet=output.quiet, verbose=output.verbose, progress=output.progress, json=output.json)

    def build(net: Any, row: Any, *, device: Any, dtype: Any, warn: Any) -> Any:
        from gantool.pipelines import colorize

        return colorize.build(
            net,
            row,
            device=device,
            dtype=dtype,
            render_size=render_size,
            saturation=saturation,
        )

    request = Request("colorize", files, model, quality, video, hardware, batch, marks, build, to_srgb=True)
    runner.run(request, console)
