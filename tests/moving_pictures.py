"""Synthetic film for tests: textured scenes and views that move over them."""

from __future__ import annotations

import cv2
import numpy as np

HEIGHT, WIDTH = 144, 192


def scene(seed: int, height: int = 240, width: int = 640) -> np.ndarray:
    """A textured grey picture (h,w,3) uint8 with detail at all sizes and two flat patches."""
    rng = np.random.default_rng(seed)
    result = np.zeros((height, width), np.float32)
    for size in (2, 4, 8, 16, 32, 64):
        noise = rng.standard_normal((height // size + 2, width // size + 2)).astype(np.float32)
        result += size**0.6 * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    result = cv2.normalize(result, None, 10, 245, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    result[60:110, 40:110] = 180
    result[90:130, 260:330] = 60
    return np.repeat(result.astype(np.uint8)[..., None], 3, axis=2)


def view(picture: np.ndarray, x: int = 0, y: int = 0) -> np.ndarray:
    return np.ascontiguousarray(picture[y : y + HEIGHT, x : x + WIDTH])
