"""``gantool translate``."""

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
from gantool.commands.session import Request
from gantool.console import Console

EXAMPLES = examples(
    "gantool translate photo.jpg",
    "gantool translate city.jpg --model runs/maps/model.safetensors",
    "gantool translate film.mp4 --model runs/maps -o drawn.mp4 --temporal-strength 0.9",
    "gantool translate horses/ -o zebras/ --model latest_net_G.pth --recursive",
)


@panels
def command(
    ctx: typer.Context,
    *,
    files: Files,
    model: Model,
    to: Annotated[
        str | None,
        option(
            "Model",
            "--to",
            metavar="LABELS",
            help="What the result shall have, such as Blond_Hair,Young, for models with labels (StarGAN).",
        ),
    ] = None,
    quality: Quality,
    video: Video,
    hardware: Hardware,
    batch: Batch,
    tile_px: Annotated[
        int | None,
        option(
            "Hardware",
            "--tile-px",
            metavar="PX",
            min=16,
            help="Side of a tile. [a quarter of the memory]",
        ),
    ] = None,
    marks: Marks,
    output: Output,
) -> Request:
    """Mend old photos and films, or turn pictures into others of the same size, with a net trained for it.

    The built-in net takes away scratches, dust and grain, and gives back the contrast that has faded.

    --model takes names of `gantool models`, what `gantool train --task pix2pix` or `cyclegan` made, and files
    of pytorch-CycleGAN-and-pix2pix, GAN Compression, the HugGAN sprint (pix2pix), AnimeGANv2, StarGAN and
    DPED.
    """
    console: Console = ctx.obj
    console.configure(quiet=output.quiet, verbose=output.verbose, progress=output.progress, json=output.json)

    labels = None if to is None else [word.strip() for word in to.split(",") if word.strip()]

    def build(net: Any, row: Any, *, device: Any, dtype: Any, warn: Any) -> Any:
        from gantool.pipelines import translate

        return translate.build(net, row, device=device, dtype=dtype, tile_px=tile_px, to=labels, warn=warn)

    return Request(
        "translate",
        files,
        model,
        quality,
        video,
        hardware,
        batch,
        marks,
        build,
        to_srgb=True,
        batch_size=1,
    )
