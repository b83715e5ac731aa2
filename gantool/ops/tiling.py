"""Run a net over a large picture piece by piece, so that no seam is left."""

from __future__ import annotations

import itertools
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


def largest_tile(
    height: int, width: int, most_px: float, overlap: int, multiple: int = 1, least: int = 32
) -> tuple[int, int]:
    """(height, width) of the cores that cut a picture up with the fewest pixels read twice.

    A core with what is read around it has at most ``most_px`` pixels: the whole picture, if it has no more.
    Where even cores of ``least`` px a side read more than that, they are what comes back.

    Args:
        most_px: pixels that may be read at a time.
        overlap: input pixels read around a core.
        multiple: cores are multiples of it, but for those at the end.
        least: the shortest side of a core, px.
    """

    if height * width <= most_px:
        return height, width

    def sides(length: int) -> list[int]:
        counts = range(1, max(1, length // least) + 1)
        return [up(-(-length // count), multiple) for count in counts]

    def read(length: int, core: int) -> int:
        """The most that is read of an axis at a time."""
        return max(end - start for _, _, start, end in tiles(length, core, overlap))

    def total(length: int, core: int) -> int:
        return sum(end - start for _, _, start, end in tiles(length, core, overlap))

    best, fewest = (sides(height)[-1], sides(width)[-1]), float("inf")
    across = [(core, read(width, core), total(width, core)) for core in sides(width)]
    for tall in sides(height):
        at_once, rows = read(height, tall), total(height, tall)
        # The fewer the tiles, the less is read: the first of a row that fits is its best.
        fitting = ((core, columns) for core, wide, columns in across if at_once * wide <= most_px)
        core, columns = next(fitting, (0, 0))
        if core and rows * columns < fewest:
            best, fewest = (tall, core), rows * columns
    return best


def up(length: int, multiple: int) -> int:
    """The next multiple that is not less."""
    return -(-length // multiple) * multiple


def run_tiled(
    fn: Callable[[Tensor], Tensor], x: Tensor, scale: int, core: tuple[int, int], overlap: int
) -> Tensor:
    """``fn`` over (N,C,H,W) in tiles -> (N,C',H*scale,W*scale) on the same device.

    Equal to ``fn(x)`` when ``overlap`` is at least the net's receptive-field radius and ``fn`` pads its
    input with zeros at the border only, since a tile at the border ends where the picture ends.

    Args:
        core: (height, width) of a tile's core in input pixels, at least 1; the overlap is not counted.
        overlap: input pixels read around the core.
    """
    if min(core) < 1 or overlap < 0:
        raise ValueError("the sides of core must be at least 1 and overlap at least 0")
    height, width = x.shape[-2:]
    if height <= core[0] and width <= core[1]:
        return fn(x)
    result: Tensor | None = None
    for top, bottom, read_top, read_bottom in tiles(height, core[0], overlap):
        for left, right, read_left, read_right in tiles(width, core[1], overlap):
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


def blended_tiles(
    length: int, tile_px: int, overlap: int, multiple: int = 1
) -> list[tuple[int, int, int, int]]:
    """Pieces of one axis as in :func:`tiles`, but nearly equal, and read from and to multiples of a stride.

    As many cores as :func:`tiles` makes, at most ``tile_px`` long, none much shorter than the others. Reads
    reach at least ``overlap`` beyond the core and on to the next multiple of ``multiple``, so that a net's
    strides fall on the same pixels as in the whole picture; they end at its border.
    """
    count = -(-length // tile_px)
    bounds = [length * i // count for i in range(count + 1)]
    pieces = []
    for start, end in itertools.pairwise(bounds):
        first, last = max(0, start - overlap), end + overlap
        pieces.append((start, end, first - first % multiple, min(length, last + -last % multiple)))
    return pieces


def feather(piece: tuple[int, int, int, int], length: int, width: int) -> Tensor:
    """The weight of each pixel that a piece of :func:`blended_tiles` reads: (read end - read start,) float32.

    1 inside the core, falling smoothly to 0 over ``width`` px on both sides of each inner border; over all
    pieces of an axis the weights of a pixel sum to one. ``width`` 0 cuts hard at the borders.
    """
    start, end, read_start, read_end = piece
    center = torch.arange(read_start, read_end, dtype=torch.float64) + 0.5

    def rise(border: int) -> Tensor:
        """0 left of a border, 1 right of it. The picture's own borders are no joins."""
        if border in (0, length):
            return torch.full_like(center, float(border == 0))
        if width == 0:
            return (center > border).double()
        t = ((center - border) / (2 * width) + 0.5).clamp(0, 1)
        return t * t * (3 - 2 * t)

    # A piece has what has risen at its left border and not yet at its right one: sums to one by telescoping.
    return (rise(start) - rise(end)).float()


def run_blended(
    fn: Callable[[Tensor], Tensor],
    x: Tensor,
    core: tuple[int, int],
    overlap: int,
    width: int,
    multiple: int = 1,
) -> Tensor:
    """``fn``, which keeps the size, over (N,C,H,W) in tiles whose results fade into each other.

    For nets of which tiles are not exact: what they see reaches further than any overlap, or their norms
    measure the picture. With ``width`` 0 and an ``overlap`` of at least the receptive-field radius the joins
    are exact, as in :func:`run_tiled`.

    Args:
        core: (height, width) of a tile's core in pixels at most, at least 1; the overlap is not counted.
        overlap: pixels read around the core, at least.
        width: pixels on both sides of a join over which two tiles are mixed, at most ``overlap``.
        multiple: the net's stride; tiles begin at multiples of it.
    """
    if min(core) < 1 or not 0 <= width <= overlap or multiple < 1:
        raise ValueError("core and multiple must be at least 1, and width between 0 and overlap")
    height, wide = x.shape[-2:]
    if height <= core[0] and wide <= core[1]:
        return fn(x)
    result: Tensor | None = None
    for row in blended_tiles(height, core[0], overlap, multiple):
        down = feather(row, height, width).to(x.device)[:, None]
        for column in blended_tiles(wide, core[1], overlap, multiple):
            piece = fn(x[..., row[2] : row[3], column[2] : column[3]])
            if result is None:
                result = piece.new_zeros(*piece.shape[:2], height, wide)
            share = down * feather(column, wide, width).to(x.device)
            result[..., row[2] : row[3], column[2] : column[3]] += piece * share.to(piece.dtype)
    assert result is not None
    return result
