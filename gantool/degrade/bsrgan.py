"""BSRGAN's degradation, with the settings of cszn/BSRGAN (utils_blindsr.py)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gantool.degrade import kernels, noise
from gantool.degrade.recipe import Recipe
from gantool.degrade.resampling import random_resize, shrunk, to_unit


@dataclass(frozen=True)
class BSRGAN(Recipe):
    """Blur, downsampling and noise in random order (Zhang et al. 2021, section 3.4).

    The camera step, whose files were never released, is our own (:func:`noise.camera`).
    """

    name: ClassVar[str] = "bsrgan"
    summary: ClassVar[str] = "two blurs, two reductions, noise, camera and JPEG in random order"

    def _degrade(self, target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        low = (target.shape[0] // self.scale, target.shape[1] // self.scale)
        scale, image = self.scale, to_unit(target)
        if scale == 4 and rng.random() < 0.25:
            image, scale = self._halved(target, rng), 2
        steps = list(rng.permutation(7))
        first, last = steps.index(2), steps.index(3)
        if first > last:  # the reduction to the final size comes after the random one
            steps[first], steps[last] = 3, 2
        for step in steps:
            image = np.clip(self._step(int(step), image, low, scale, rng), 0, 1)
        return noise.jpeg_bytes(noise.to_bytes(image), noise.quality(rng))

    def _halved(self, target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() < 0.5:
            return to_unit(shrunk(target, 2))
        height, width = target.shape[0] // 2, target.shape[1] // 2
        return np.clip(random_resize(to_unit(target), height, width, rng), 0, 1)

    def _step(
        self, step: int, image: np.ndarray, low: tuple[int, int], scale: int, rng: np.random.Generator
    ) -> np.ndarray:
        if step in (0, 1):
            return kernels.blur(image, self._kernel(scale, rng))
        if step == 2:
            return self._smaller(image, scale, rng)
        if step == 3:
            return random_resize(image, *low, rng)
        if step == 4:
            return image + self._noise(image.shape, rng)
        if step == 5:
            return noise.jpeg(image, noise.quality(rng)) if rng.random() < 0.9 else image
        return noise.camera(image, rng) if rng.random() < 0.25 else image

    def _kernel(self, scale: int, rng: np.random.Generator) -> np.ndarray:
        size = 2 * int(rng.integers(2, 12)) + 3
        if rng.random() < 0.5:  # the draws are variances here, standard deviations below
            wide, narrow = np.sqrt((4.0 + scale) * rng.random(2))
            return kernels.elliptic(size, wide, narrow, rng.uniform(0, math.pi))
        sigma = (2.0 + 0.2 * scale) * rng.random()
        return kernels.elliptic(size, sigma, sigma)

    def _smaller(self, image: np.ndarray, scale: int, rng: np.random.Generator) -> np.ndarray:
        if rng.random() < 0.75:
            factor = rng.uniform(1, 2 * scale)
            return random_resize(image, int(image.shape[0] / factor), int(image.shape[1] / factor), rng)
        sigma = rng.uniform(0.1, 0.6 * scale)
        kernel = kernels.elliptic(25, sigma, sigma, offset=(scale - 1) / 2)
        return kernels.box_down(image, kernel, scale)

    def _noise(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        level, kind = float(rng.integers(2, 26)), rng.random()
        if 0.4 <= kind <= 0.6:
            return noise.correlated(shape, 25.0, rng)
        return noise.gaussian(shape, level, rng, gray=kind < 0.4)
