"""Run a net over a large picture piece by piece, with the result that the whole picture would give."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def tiles(length: int, tile_px: int, overlap: int) -> Iterator[tuple[int, int, int, int]]:
    """Pieces of one axis: (core start, core end, read start, read end), in input pixels.

    Cores cover [0, length) once, each at most ``tile_px`` long; reads reach ``overlap`` beyond the core
    and end at the picture's border.
    """
    for start in range(0, length, tile_px):
        end = min(start + tile_px, length)
        yield start, end, max(0, start - overlap), min(length, end + overlap)


def run_tiled(fn: Callable[[Tensor], Tensor], x: Tensor, scale: int, tile_px: int, overlap: int) -> Tensor:
    """``fn`` over (N,C,H,W) in tiles -> (N,C',H*scale,W*scale) on the same device.

    Equal to ``fn(x)`` when ``overlap`` is at least the net's receptive-field radius and ``fn`` pads its
    input with zeros at the border only, since a tile at the border ends where the picture ends.

    Args:
        tile_px: side of a tile's core in input pixels, at least 1; the overlap is not counted.
        overlap: input pixels read around the core.
    """
    if tile_px < 1 or overlap < 0:
        raise ValueError("tile_px must be at least 1 and overlap at least 0")
    height, width = x.shape[-2:]
    if height <= tile_px and width <= tile_px:
        return fn(x)
    result: Tensor | None = None
    for top, bottom, read_top, read_bottom in tiles(height, tile_px, overlap):
        for left, right, read_left, read_right in tiles(width, tile_px, overlap):
            piece = fn(x[..., read_top:read_bottom, read_left:read_right])
            if result is None:
                shape = (*piece.shape[:2], height * scale, width * scale)
                result = torch.empty(shape, dtype=piece.dtype, device=piece.device)
            dy, dx = (top - read_top) * scale, (left - read_left) * scale
            rows, columns = (bottom - top) * scale, (right - left) * scale
            result[..., top * scale : bottom * scale, left * scale : right * scale] = piece[
                ..., dy : dy + rows, dx : dx + columns
            ]
    assert result is not None
    return result
