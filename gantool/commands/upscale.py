"""``gantool upscale``."""

from __future__ import annotations

import dataclasses
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
from gantool.errors import UsageError

EXAMPLES = examples(
    "gantool upscale photo.jpg",
    "gantool upscale photo.jpg --scale 2.5 -o large.png",
    "gantool upscale film.mp4 --height 1080 --temporal online",
    "gantool upscale photo.jpg --interpolate runs/psnr runs/gan --mix 0.8",
)

GENERAL, NOISY = "realesr-general-x4v3", "realesr-general-wdn-x4v3"


@panels
def command(
    ctx: typer.Context,
    *,
    files: Files,
    model: Model,
    interpolate: Annotated[
        tuple[str, str] | None,
        option(
            "Model",
            "--interpolate",
            metavar="A B",
            help="A net between two models of one architecture, of which one was fine-tuned from the other.",
        ),
    ] = None,
    mix: Annotated[
        float | None,
        option(
            "Model",
            "--mix",
            metavar="0..1",
            min=0.0,
            max=1.0,
            help="With --interpolate: 0 is A, 1 is B. [0.8]",
        ),
    ] = None,
    denoise_strength: Annotated[
        float | None,
        option(
            "Model",
            "--denoise-strength",
            metavar="0..1",
            min=0.0,
            max=1.0,
            help=f"With --model {GENERAL}: how much noise is removed; 0 keeps it. [1]",
        ),
    ] = None,
    scale: Annotated[
        float | None,
        option(
            "Quality",
            "--scale",
            metavar="X",
            min=0.1,
            max=32.0,
            help="Output side / input side, such as 2 or 2.5. [the model's own]",
        ),
    ] = None,
    width: Annotated[
        int | None,
        option(
            "Quality",
            "--width",
            metavar="PX",
            min=1,
            help="Output width; the height follows, unless it is given too.",
        ),
    ] = None,
    height: Annotated[
        int | None,
        option(
            "Quality",
            "--height",
            metavar="PX",
            min=1,
            help="Output height; the width follows, unless it is given too.",
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
    """Make photos and films larger, with detail that a plain enlargement lacks."""
    console: Console = ctx.obj
    console.configure(quiet=output.quiet, verbose=output.verbose, progress=output.progress, json=output.json)
    if scale is not None and (width is not None or height is not None):
        raise UsageError("--scale contradicts --width and --height", remedy="Give one or the other")
    if interpolate is not None and model.model != "auto":
        raise UsageError("--interpolate contradicts --model", remedy="Give one or the other")
    if interpolate is not None and any(name.startswith("-") for name in interpolate):
        raise UsageError("--interpolate takes two models", remedy="Name both: --interpolate A B")
    if interpolate is None and mix is not None:
        raise UsageError("--mix says how to mix two models", remedy="Name them with --interpolate A B")
    if denoise_strength is not None:
        model, interpolate, mix = _denoising(model, interpolate, denoise_strength)

    def build(net: Any, row: Any, *, device: Any, dtype: Any, warn: Any) -> Any:
        from gantool.pipelines import upscale

        return upscale.build(
            net,
            row,
            device=device,
            dtype=dtype,
            scale=scale,
            width=width,
            height=height,
            tile_px=tile_px,
            warn=warn,
        )

    return Request(
        "upscale",
        files,
        model,
        quality,
        video,
        hardware,
        batch,
        marks,
        build,
        scale=scale,
        temporal="off",
        batch_size=1,
        between=interpolate,
        mix=0.8 if mix is None else mix,
    )


def _denoising(
    model: Model, interpolate: tuple[str, str] | None, strength: float
) -> tuple[Model, tuple[str, str] | None, float | None]:
    """What --denoise-strength stands for: a model, or a net between two, as Real-ESRGAN's authors have it.

    Their two nets were trained alike, one to remove noise and one to keep it. Raises UsageError.
    """
    if interpolate is not None:
        raise UsageError("--denoise-strength contradicts --interpolate", remedy="Give one or the other")
    if model.model != GENERAL:
        raise UsageError("--denoise-strength is for one model only", remedy=f"Add --model {GENERAL}")
    if strength in (0, 1):
        return dataclasses.replace(model, model=GENERAL if strength else NOISY), None, None
    return dataclasses.replace(model, model="auto"), (NOISY, GENERAL), strength
