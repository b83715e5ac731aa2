"""Triangles to pixels: a z-buffer in numpy, for thousands of triangles of a few pixels each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_EDGE = 1e-5  # so that rounding leaves no gap between neighbours


class Covered(NamedTuple):
    """What is seen at each of M covered pixels.

    ``pixel`` (M,) counts row by row; ``corners`` (M,3) are vertices and ``weights`` (M,3) their shares, which
    add up to 1; ``triangle`` (M,) is the row in the triangles given.
    """

    pixel: np.ndarray
    triangle: np.ndarray
    corners: np.ndarray
    weights: np.ndarray

    def mixed(self, values: np.ndarray) -> np.ndarray:
        """Values of the vertices (N,C) between them: (M,C) float32."""
        first, second, third = (values[self.corners[:, i]] for i in range(3))
        w = self.weights
        return first * w[:, :1] + second * w[:, 1:2] + third * w[:, 2:]


def rasterise(vertices: np.ndarray, triangles: np.ndarray, side: int) -> Covered:
    """What a square picture of ``side`` pixels shows.

    Args:
        vertices: (N,3) float32: x to the right and y down in pixels, the centre of the first pixel at 0; z
        towards
            the viewer.
        triangles: (T,3), counter-clockwise to the eye where seen from outside; those seen from inside are
        left out.
    """
    x, y, z = vertices.T
    i, j, k = triangles.T
    xi, yi = x[i], y[i]
    ax, ay, bx, by = x[j] - xi, y[j] - yi, x[k] - xi, y[k] - yi
    area = ax * by - ay * bx
    # The box of pixel centres of each triangle, within the picture.
    left = np.maximum(np.ceil(xi + np.minimum(np.minimum(ax, bx), 0)), 0).astype(np.int32)
    right = np.minimum(np.floor(xi + np.maximum(np.maximum(ax, bx), 0)), side - 1).astype(np.int32)
    top = np.maximum(np.ceil(yi + np.minimum(np.minimum(ay, by), 0)), 0).astype(np.int32)
    bottom = np.minimum(np.floor(yi + np.maximum(np.maximum(ay, by), 0)), side - 1).astype(np.int32)
    kept = np.flatnonzero((area < -1e-9) & (right >= left) & (bottom >= top))
    wide, high = right[kept] - left[kept] + 1, bottom[kept] - top[kept] + 1
    count = wide * high
    # One row for each pixel of each box.
    row = np.repeat(np.arange(len(kept), dtype=np.int32), count)
    inside = np.arange(len(row), dtype=np.int32) - np.repeat(
        (np.cumsum(count) - count).astype(np.int32), count
    )
    down = inside // wide[row]
    across = inside - down * wide[row]
    of = kept[row]
    px, py = left[of] + across, top[of] + down
    dx, dy = px - xi[of], py - yi[of]
    scale = 1 / area[of]
    second = (dx * by[of] - dy * bx[of]) * scale
    third = (dy * ax[of] - dx * ay[of]) * scale
    hit = np.flatnonzero((second >= -_EDGE) & (third >= -_EDGE) & (second + third <= 1 + _EDGE))
    of, second, third = of[hit], second[hit], third[hit]
    pixel = py[hit].astype(np.int64) * side + px[hit]
    depth = z[i[of]] * (1 - second - third) + z[j[of]] * second + z[k[of]] * third
    nearest = np.full(side * side, -np.inf, np.float32)
    depth = depth.astype(np.float32)
    np.maximum.at(nearest, pixel, depth)
    front = np.flatnonzero(depth == nearest[pixel])
    winner = np.full(side * side, -1, np.int64)
    winner[pixel[front]] = front  # where two are equally near, the later one
    front = winner[winner >= 0]
    second, third = second[front].astype(np.float32), third[front].astype(np.float32)
    weights = np.stack([1 - second - third, second, third], 1)
    return Covered(pixel[front], of[front], triangles[of[front]], weights)
