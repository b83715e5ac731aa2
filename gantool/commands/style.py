"""``gantool style``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gantool.commands.live import Live
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
    from gantool.pipelines.style import Style

EXAMPLES = examples(
    "gantool style photo.jpg --style art.jpg",
    "gantool style photo.jpg --style art.jpg --style wave.jpg --weight 2 --weight 1",
    "gantool style film.mp4 --style art.jpg@0 --style wave.jpg@12.5",
    "gantool style album/ -o painted/ --model mosaic.pth --recursive",
)


@panels
def command(
    ctx: typer.Context,
    *,
    files: Files,
    model: Model,
    style: Annotated[
        list[str] | None,
        option(
            "Quality",
            "--style",
            metavar="PICTURE[@TIME]",
            help="Whose style it shall have. Several are mixed; in a film, PICTURE@TIME takes over at TIME.",
        ),
    ] = None,
    weight: Annotated[
        list[float] | None,
        option(
            "Quality",
            "--weight",
            metavar="X",
            help="Share of a style among several, once for each. [1]",
        ),
    ] = None,
    mask: Annotated[
        list[Path] | None,
        option(
            "Quality",
            "--mask",
            metavar="FILE",
            help="White where the style shall be; one for all styles, or one for each.",
        ),
    ] = None,
    keep_color: Annotated[
        Literal["off", "luma", "histogram"],
        option(
            "Quality",
            "--keep-color",
            metavar="off|luma|histogram",
            help="Keep the source's colours: pixel by pixel, or as a whole.",
        ),
    ] = "off",
    style_size: Annotated[
        int | None,
        option(
            "Quality",
            "--style-size",
            metavar="PX",
            min=16,
            help="Short side at which styles are seen; smaller gives finer strokes. [their own, at most 512]",
        ),
    ] = None,
    live: Annotated[
        Path | None,
        option(
            "Quality",
            "--live",
            metavar="FILE",
            help="With --model gatys: keep the picture so far in this file, to watch it come about.",
        ),
    ] = None,
    optimizer: Annotated[
        Literal["adam", "lbfgs"],
        option(
            "Quality",
            "--optimizer",
            metavar="adam|lbfgs",
            help="With --model gatys: by which steps it paints.",
        ),
    ] = "adam",
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
    """Paint photos and films in the style of a picture, or of several.

    --model takes nets for any style (AdaIN, MicroAST), and nets that have learned a single one
    (fast-neural-style), which need no --style. --model gatys trains the pixels themselves (Gatys et al.
    2016), which takes minutes for a photo, and of a film for every few frames.
    """
    console: Console = ctx.obj
    console.configure(quiet=output.quiet, verbose=output.verbose, progress=output.progress, json=output.json)
    given = [at_time(text, "--style") for text in style or ()]
    _check_counts(len(given), len(weight or ()), len(mask or ()))
    styles = _opened(given, weight or (), mask or (), style_size, quality.max_pixels)
    _check_model(model.model, styles)
    for name, given_one in (("--live", live is not None), ("--optimizer", optimizer != "adam")):
        if given_one and model.model != "gatys":
            raise UsageError(f"{name} is for --model gatys", remedy="Leave it out")
    watcher = Live(console, live, files.overwrite)

    def build(net: Any, row: Any, *, device: Any, dtype: Any, warn: Any) -> Any:
        from gantool.pipelines import style as pipeline

        return pipeline.build(
            net,
            row,
            device=device,
            dtype=dtype,
            styles=styles,
            strength=quality.strength,
            keep_color=keep_color,
            style_size=style_size,
            tile_px=tile_px,
            effort=dataclasses.replace(pipeline.EFFORT, optimizer=optimizer),
            watcher=watcher,
            warn=warn,
        )

    # The strength is the pipeline's: what lies between a picture and its styles is more than a mixture.
    whole = dataclasses.replace(quality, strength=1.0 if quality.strength else 0.0)
    words = (files, model, whole, video, hardware, batch, marks)
    temporal = "online" if model.model == "gatys" else "bidirectional"
    known = {"style": tuple((Path(path), time) for path, time in given)}
    return Request("style", *words, build, temporal=temporal, to_srgb=True, batch_size=1, options=known)


def _check_counts(styles: int, weights: int, masks: int) -> None:
    """Raise UsageError unless what was given belongs together."""
    if weights not in (0, styles):
        what = f"there are {_count(styles, 'style')} and {_count(weights, 'weight')}"
        raise UsageError(what, remedy="Give --weight once for each --style, in their order, or not at all")
    if masks > 1 and masks != styles:
        what = f"there are {_count(styles, 'style')} and {masks} masks"
        raise UsageError(what, remedy="Give --mask once for all styles, or once for each, in their order")


def _opened(
    given: Sequence[tuple[str, float | None]],
    weights: Sequence[float],
    masks: Sequence[Path],
    size: int | None,
    max_pixels: int,
) -> list[Style]:
    """The styles with their pictures read; a mask alone is for the style that a net has learned.

    Raises InputError.
    """
    from gantool.pipelines.style import Style
    from gantool.pipelines.style_pictures import read_mask, read_style

    planes = [read_mask(mask, max_pixels) for mask in masks]
    if not given:
        return [Style(None, mask=plane) for plane in planes]
    where = planes if len(planes) == len(given) else [planes[0] if planes else None] * len(given)
    return [
        Style(read_style(Path(path), size, max_pixels), share, plane, time)
        for (path, time), share, plane in zip(given, weights or [1.0] * len(given), where, strict=True)
    ]


def _check_model(spec: str, styles: Sequence[Style]) -> None:
    """Raise UsageError now for styles that the model would refuse, as far as its name tells."""
    from gantool.catalog import load_catalog
    from gantool.pipelines.style import check
    from gantool.stylers import takes_any_style

    rows = [row for row in load_catalog().rows if row.name == spec and row.task == "style"]
    if rows:
        check(styles, takes_any_style(rows[0].arch), spec)
    elif spec in ("auto", "builtin", "gatys"):
        check(styles, True, "used by default" if spec == "auto" else spec)
    else:
        given = any(style.picture is not None for style in styles)  # whether it may be, the file will tell
        check(styles, given, spec)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
