"""Larger pictures from small ones: a super-resolution net in exact tiles, then a resize if asked for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gantool.catalog import Checkpoint
from gantool.devices import is_out_of_memory, remedy_for_memory
from gantool.errors import DeviceError
from gantool.ops.resize import pad_to_multiple, resize
from gantool.ops.tiling import run_tiled
from gantool.pipelines import Context, Pipeline

DEFAULT_TILE_PX = 512
# Up to this, nets that want whole pictures get them: the larger of them take some 2 kB a pixel.
MOST_PX = {"cpu": 1024 * 1024, "cuda": 2048 * 2048}
_SMALLEST_TILE_PX = 32
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
        tile_px: side of a tile's core, input px (default 512); tiles give what the whole picture gives, but
            for a net that measures the whole picture (``row.whole``), which gets it whole up to a size limit.
        warn: told when tiles change the result, or had to be made smaller for want of memory.
    """
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    native = row.scale
    # Tiles begin at multiples of the net's stride, so that its pixels fall as in the whole picture.
    overlap = _up(_GENEROUS_OVERLAP if row.radius is None else row.radius, row.multiple)
    tile = [tile_px]
    feed = torch.float32 if getattr(net, "takes_float32", False) else dtype

    def run(x: Tensor) -> Tensor:
        tall, wide = x.shape[-2:]
        padded = pad_to_multiple(x, row.multiple) if row.multiple > 1 else x
        y = net(padded.to(feed) * row.value_range).float() / row.value_range
        return y[..., : tall * native, : wide * native]

    def core_px(tall: int, wide: int) -> int:
        """The side of a tile for a picture."""
        if row.whole and tile[0] is None and tall * wide <= MOST_PX.get(device.type, MOST_PX["cpu"]):
            return max(tall, wide)
        core = _up(tile[0] or DEFAULT_TILE_PX, row.multiple)
        if row.whole and max(tall, wide) > core:
            warn(
                f"{row.name} wants whole pictures; {wide}x{tall} px went in tiles of {core} px, which may "
                f"leave seams (--tile-px {max(tall, wide)} runs it whole, given the memory)"
            )
        return core

    def run_in_memory(x: Tensor) -> Tensor:
        while True:
            core = core_px(*x.shape[-2:])
            try:
                return run_tiled(run, x, native, core, overlap)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            smaller = min(core, max(x.shape[-2:])) // 2
            if smaller < _SMALLEST_TILE_PX:
                what = "out of memory even with the smallest tile"
                raise DeviceError(what, remedy=remedy_for_memory(device))
            warn(f"out of memory: tiles of {smaller} px from here on (--tile-px {smaller})")
            tile[0] = smaller
            if x.device.type == "cuda":
                torch.cuda.empty_cache()

    def predict(x: Tensor, context: Context) -> Tensor:
        return run_in_memory(x)

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


def _up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


def output_size(tall: int, wide: int, scale: float, width: int | None, height: int | None) -> tuple[int, int]:
    """(height, width) in px asked for by --scale, or by --width and --height, for an input of that size."""
    if width is not None and height is not None:
        return height, width
    if width is not None:
        return max(1, round(tall * width / wide)), width
    if height is not None:
        return height, max(1, round(wide * height / tall))
    return max(1, round(tall * scale)), max(1, round(wide * scale))
