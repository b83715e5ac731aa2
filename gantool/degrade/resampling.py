"""Reductions that several recipes share, and the plain one: MATLAB's bicubic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from gantool.degrade.recipe import Recipe

# OpenCV's bilinear and bicubic do not smooth when shrinking; nor do torch's, by which the originals resize.
METHODS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA)


def random_resize(image: np.ndarray, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Float (H,W,3) to (height,width,3), by bilinear, bicubic or area, one as likely as the other."""
    method = METHODS[rng.integers(3)]
    return cv2.resize(image, (max(1, width), max(1, height)), interpolation=method)


def to_unit(pixels: np.ndarray) -> np.ndarray:
    """uint8 to float32 in [0,1]."""
    return pixels.astype(np.float32) * np.float32(1 / 255)


def shrunk(pixels: np.ndarray, factor: int) -> np.ndarray:
    """uint8 (H,W,3) by MATLAB's bicubic to 1/factor; a remainder that does not fit is squeezed in."""
    from gantool.ops.resize import matlab_resize  # brings torch, which most recipes do without

    return matlab_resize(pixels, pixels.shape[0] // factor, pixels.shape[1] // factor)


@dataclass(frozen=True)
class Bicubic(Recipe):
    """MATLAB's ``imresize``, bit for bit: the degradation of the benchmarks. Nothing in it is random."""

    name: ClassVar[str] = "bicubic"
    summary: ClassVar[str] = "MATLAB's bicubic reduction, as in the benchmarks"

    def _degrade(self, target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return shrunk(target, self.scale)
