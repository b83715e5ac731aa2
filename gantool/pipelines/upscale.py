"""Larger pictures from small ones: a super-resolution net in exact tiles, then a resize if asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from gantool.catalog import Checkpoint
from gantool.ops.footprint import bytes_per_px
from gantool.ops.resize import mirror_pad, resize
from gantool.ops.strips import Parted, Strips
from gantool.ops.tiling import run_tiled, up
from gantool.pipelines import Context, Pipeline
from gantool.pipelines.room import Room

_COPIES = 3  # of a result: joined from strips, brought to [0,1], and joined from tiles
_SMALLEST_TILE_PX = 32
_LEAST_OF_OTHERS = 64  # px, the side below which some nets of other programs fail
_GENEROUS_OVERLAP = 32  # where a row does not know its net's receptive field


def build(
    net: nn.Module,
    row: Checkpoint,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    tile_px: int | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> Pipeline:
    """The upscale pipeline: its layer is what the net makes, (N,3,H*s,W*s) with its own scale s.

    Args:
        net: maps RGB (N,3,H,W) in [0, row.value_range] to (N,3,H*s,W*s) in the same range, s = ``row.scale``.
        scale: output side / input side; None for the net's own.
        width, height: output size in px instead of ``scale``; one of the two keeps the aspect.
        tile_px: side of a tile's core, input px; by default as large as a quarter of the device's memory
            allows. Tiles give what the whole picture gives, but for a net that measures the whole picture
            (``row.whole``).
        warn: told when tiles change the result, or had to be made smaller for want of memory.
    """
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    native = row.scale
    # Tiles begin at multiples of the net's stride, so that its pixels fall as in the whole picture.
    overlap = up(_GENEROUS_OVERLAP if row.radius is None else row.radius, row.multiple)
    least = 1 if row.arch else _LEAST_OF_OTHERS
    feed = torch.float32 if getattr(net, "takes_float32", False) else dtype
    strips = Strips(cast(Parted, net)) if hasattr(net, "enlarged") else None

    def run(x: Tensor) -> Tensor:
        tall, wide = x.shape[-2:]
        padded = mirror_pad(x, *(up(max(side, least), row.multiple) for side in (tall, wide)))
        y = (strips or net)(padded.to(feed) * row.value_range).float() / row.value_range
        return y[..., : tall * native, : wide * native]

    def taken(x: Tensor) -> float:
        """Bytes of memory that the net takes for a pixel of pictures like x."""
        side = up(max(_SMALLEST_TILE_PX, least), row.multiple)
        if strips is None:
            return bytes_per_px(run, x, side)
        features = strips.features
        small = bytes_per_px(lambda grey: features(grey.to(feed)), x, side)
        return small + _COPIES * x.shape[1] * 4 * native**2

    room = Room(row, device, tile_px, overlap, _SMALLEST_TILE_PX, taken, "leave seams", warn)

    def tiled(x: Tensor, core: tuple[int, int]) -> Tensor:
        tall, wide = (up(side, row.multiple) for side in core)
        return run_tiled(run, x, native, (tall, wide), overlap)

    def predict(x: Tensor, context: Context) -> Tensor:
        parts = [room.run(tiled, part) for part in x.split(room.at_once(x))]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def finish(x: Tensor, layer: Tensor) -> Tensor:
        y = layer.clamp(0, 1)
        target = size(*x.shape[-2:])
        return y if target == y.shape[-2:] else resize(y, *target).clamp_(0, 1)

    def size(tall: int, wide: int) -> tuple[int, int]:
        return output_size(tall, wide, scale if scale is not None else float(native), width, height)

    return Pipeline(
        "upscale",
        row.name,
        predict,
        finish,
        device,
        scale=scale if scale is not None else float(native),
        size=size,
        blend="detail",
        layer_scale=native,
        gray_output_for_gray=True,
    )


def output_size(tall: int, wide: int, scale: float, width: int | None, height: int | None) -> tuple[int, int]:
    """(height, width) in px asked for by --scale, or by --width and --height, for an input of that size."""
    if width is not None and height is not None:
        return height, width
    if width is not None:
        return max(1, round(tall * width / wide)), width
    if height is not None:
        return height, max(1, round(wide * height / tall))
    return max(1, round(tall * scale)), max(1, round(wide * scale))
