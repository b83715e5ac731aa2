"""Grey or faded pictures to colour: chroma from the net at a small size, lightness from the source."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool.catalog import Checkpoint
from gantool.errors import InputError, UsageError
from gantool.hints import Hint, no_hints, read_hints
from gantool.ops.color import join_lab, lab_to_rgb, lightness, rgb_to_lab
from gantool.ops.palette import Palette, palette_of, with_palette
from gantool.ops.resize import resize, to_tensor
from gantool.pipelines import Context, Pipeline

Photo = str | Path | np.ndarray | Palette

_LONGEST = (
    4.0  # a wider picture is shown to the net as if it were 4:1; more context would not fit its training
)
_COLORLESS = 3.0  # Lab units: below it, a and b are rounding
_HINT_RADIUS = 3.0  # px of what the net sees: it was trained with patches of up to 9 px
_HINT_STEP = 16  # px from one place to the next at which the past is hinted at
_HINT_TRUST = 0.9


def build(
    net: nn.Module,
    row: Checkpoint,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    render_size: int | None = None,
    saturation: float = 1.0,
    hints: str | Path | Sequence[Hint] = (),
    reference: Photo | Mapping[float, Photo] | None = None,
) -> Pipeline:
    """The colorize pipeline: its layer is ab (N,2,h,w) in Lab units at render size.

    Old chroma (sepia, tint, an earlier colouring) is dropped: only lightness is shown to the net and kept.
    How a net wants to be shown pictures stands in its class: ``render_size`` (px; ``render_size_film`` for
    films), ``square`` (stretched to a square), ``shrink`` (the way of resizing), ``shows`` ("lightness",
    L/100; "luma"; "rgb", three equal channels of that lightness), ``gives`` ("ab" in Lab units, or "rgb",
    whose ab is taken) and ``takes_hints``.

    Args:
        net: maps what it is shown (N,1,h,w), or (N,3,h,w) for "rgb", to ab (N,2,h,w) or RGB (N,3,h,w).
        render_size: short side at which the net works, px, at least ``row.multiple`` and of a square net a
            multiple of it; None for the net's own.
        saturation: factor on a and b, 0 or more.
        hints: colours of places, or the file that :func:`gantool.hints.read_hints` reads.
        reference: a photo whose colours are to be used, as :func:`palette_of_photo` takes it, or its palette.
            Or several by the second of a film from which on each holds, until that of the next; of still
            pictures, that of second 0 holds.

    Raises:
        UsageError: a render size that does not suit the net, or hints for a net that takes none.
        InputError: the file of hints or the photo cannot be read.
    """
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    square = bool(getattr(net, "square", False))
    size = _size(net, row, render_size, square)
    places = read_hints(hints) if isinstance(hints, str | Path) else tuple(hints)
    if places and not getattr(net, "takes_hints", False):
        raise no_hints(row.name)
    palettes = _palettes(reference)

    def predict(x: Tensor, context: Context) -> Tensor:
        short = size(bool(context.times))
        height, width = (
            (short, short) if square else render_shape(x.shape[-2], x.shape[-1], short, max(1, row.multiple))
        )
        small = resize(x, height, width, getattr(net, "shrink", "bilinear")).clamp(0, 1)
        shown = _shown(small, getattr(net, "shows", "luma" if row.color == "gray" else "lightness")).to(dtype)
        hinted = None
        if "history" in context.side and saturation > 0:
            history, trust = context.side["history"]
            hinted = _history_planes(history / saturation, trust, shown)
        if places:
            hinted = _hint_planes(places, x.shape[-2:], shown, hinted)
        answer = (net(shown) if hinted is None else net(shown, hinted)).float()
        ab = rgb_to_lab(answer)[:, 1:] if getattr(net, "gives", "ab") == "rgb" else answer
        if palettes:
            times = context.times or (0.0,) * len(ab)
            ab = torch.stack([_recolored(*both, palettes) for both in zip(ab, times, strict=True)])
        return ab * saturation

    def finish(x: Tensor, layer: Tensor) -> Tensor:
        ab = resize(layer, x.shape[-2], x.shape[-1], "bilinear")
        return join_lab(lightness(x), ab)

    takes_history = bool(getattr(net, "takes_hints", False))
    return Pipeline(
        "colorize", row.name, predict, finish, device, blend="chroma", takes_history=takes_history
    )


def render_shape(height: int, width: int, short: int, multiple: int) -> tuple[int, int]:
    """Size shown to the net: short side ``short``, same aspect up to 4:1, sides multiples of ``multiple``."""
    factor = short / min(height, width)
    limit = short * _LONGEST

    def fit(side: int) -> int:
        return max(multiple, round(min(side * factor, limit) / multiple) * multiple)

    return fit(height), fit(width)


def _size(net: nn.Module, row: Checkpoint, asked: int | None, square: bool) -> Callable[[bool], int]:
    """Whether it is a film -> the short side at which the net works."""
    multiple = max(1, row.multiple)
    if asked is None:
        photo = int(getattr(net, "render_size", 256))
        film = int(getattr(net, "render_size_film", photo))
        return lambda is_film: film if is_film else photo
    if asked < multiple:
        raise UsageError(f"--render-size {asked} is too small", remedy=f"Use at least {multiple}")
    if square and asked % multiple:
        near = max(multiple, round(asked / multiple) * multiple)
        what = f"{row.name} works at multiples of {multiple} px, not at {asked}"
        raise UsageError(what, remedy=f"Use --render-size {near}")
    return lambda _: asked


def _shown(small: Tensor, shows: str) -> Tensor:
    """RGB (N,3,h,w) -> what the net is shown, in [0,1]."""
    if shows == "luma":
        weights = torch.tensor((0.299, 0.587, 0.114), device=small.device).view(1, 3, 1, 1)
        return (small * weights).sum(1, keepdim=True)
    light = lightness(small)
    if shows == "rgb":
        return lab_to_rgb(torch.cat((light, torch.zeros_like(light), torch.zeros_like(light)), 1)).clamp(0, 1)
    return light / 100


def _hint_planes(
    hints: Sequence[Hint], source: Sequence[int], shown: Tensor, below: Tensor | None = None
) -> Tensor:
    """Hints as (N,3,h,w): a, b and where they hold. Later hints lie over earlier ones, all over ``below``.

    ``source``: height and width of the picture that the hints' pixels count. ``below``: (1,3,h,w).
    """
    tall, wide = source
    height, width = shown.shape[-2:]
    down, across = height / tall, width / wide
    planes = shown.new_zeros((3, height, width)) if below is None else below[0].clone()
    y = torch.arange(height, device=shown.device)[:, None] + 0.5
    x = torch.arange(width, device=shown.device)[None] + 0.5
    for hint in hints:
        left, top, radius = hint.at(wide, tall)
        # A square, as in training; never smaller than the pixel that it falls into.
        tall_half = _HINT_RADIUS if radius is None else radius * down
        wide_half = _HINT_RADIUS if radius is None else radius * across
        inside = ((y - top * down).abs() <= max(tall_half, 0.5)) & (
            (x - left * across).abs() <= max(wide_half, 0.5)
        )
        color = torch.tensor(hint.rgb, dtype=torch.float32).view(1, 3, 1, 1)
        a, b = rgb_to_lab(color)[0, 1:, 0, 0].tolist()
        for plane, value in zip(planes, (a, b, 1.0), strict=True):
            plane.masked_fill_(inside, value)
    return planes.expand(len(shown), -1, -1, -1)


def _history_planes(history: Tensor, trust: np.ndarray, shown: Tensor) -> Tensor:
    """What was shown before, ab (2,h,w), as hints (1,3,h,w): single px on a grid, where it can be trusted."""
    tall, wide = shown.shape[-2:]
    ab = resize(history[None], tall, wide, "bilinear").to(shown.dtype)
    known = torch.from_numpy(trust)[None, None].to(shown.device)
    known = F.interpolate(known, size=(tall, wide), mode="bilinear")
    holds = torch.zeros_like(ab[:, :1])
    grid = slice(_HINT_STEP // 2, None, _HINT_STEP)
    holds[..., grid, grid] = (known[..., grid, grid] > _HINT_TRUST).to(holds.dtype)
    return torch.cat((ab * holds, holds), 1)


def _palettes(reference: Photo | Mapping[float, Photo] | None) -> dict[float, Palette]:
    """The palettes by the time from which on they hold."""
    if reference is None:
        return {}
    photos = reference if isinstance(reference, Mapping) else {-math.inf: reference}
    return {
        time: photo if isinstance(photo, Palette) else palette_of_photo(photo)
        for time, photo in photos.items()
    }


def _recolored(ab: Tensor, time: float, palettes: Mapping[float, Palette]) -> Tensor:
    """(2,h,w) with the palette that holds at a time, if there is one."""
    since = max((start for start in palettes if start <= time), default=None)
    return ab if since is None else with_palette(ab[None], palettes[since])[0]


def palette_of_photo(photo: str | Path | np.ndarray) -> Palette:
    """The palette of a file or of (H,W,3) uint8 or uint16 RGB. Raises InputError where there is no colour."""
    file: Path | None = None
    if not isinstance(photo, np.ndarray):
        from gantool.media.image import read_picture

        file = Path(photo)
        photo = read_picture(file, to_srgb=True).rgb
    x = to_tensor(photo[None])
    factor = 256 / max(x.shape[-2:])
    if factor < 1:
        x = resize(x, *(max(1, round(side * factor)) for side in x.shape[-2:]), "bilinear")
    ab = rgb_to_lab(x.clamp(0, 1))[0, 1:]
    if float(ab.norm(dim=0).max()) < _COLORLESS:
        raise InputError("the reference photo holds no colours", file, "Give --reference a photo in colour")
    return palette_of(ab)
