"""What stands behind a head: clutter, or nothing."""

from __future__ import annotations

import cv2
import numpy as np

from gantool.alignment import SIDE


def clutter(rng: np.random.Generator) -> np.ndarray:
    """A made-up background uint8 (128,128,3): shades, edges and shapes, more or less out of focus."""
    corners = rng.integers(0, 256, (2, 2, 1)) * np.ones(3) * 0.7 + rng.integers(0, 256, (2, 2, 3)) * 0.3
    picture = cv2.resize(corners.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.25:  # a wall
        return np.clip(picture, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(2, 12)):
        color = (0.35 * rng.integers(0, 256, 3) + 0.65 * rng.integers(0, 256)).tolist()
        a, b = (tuple(int(n) for n in rng.integers(-20, SIDE + 20, 2)) for _ in range(2))
        kind = rng.integers(3)
        if kind == 0:
            cv2.rectangle(picture, a, b, color, -1)
        elif kind == 1:
            cv2.circle(picture, a, int(rng.integers(3, 50)), color, -1)
        else:
            cv2.line(picture, a, b, color, int(rng.integers(1, 12)))
    cells = int(rng.integers(8, 64))
    grain = cv2.resize(rng.normal(0, 1, (cells, cells, 1)).astype(np.float32), (SIDE, SIDE))
    picture += rng.uniform(2, 18) * grain.reshape(SIDE, SIDE, 1)
    picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 5)))
    return np.clip(picture, 0, 255).astype(np.uint8)


def plain(picture: np.ndarray) -> np.ndarray:
    """A background of one colour, the mean of that picture's."""
    return np.broadcast_to(picture.mean((0, 1)).astype(np.uint8), picture.shape).copy()
