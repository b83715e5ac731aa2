"""Real-ESRGAN's degradation, with the settings of xinntao/Real-ESRGAN (train_realesrgan_x4plus.yml)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from gantool.degrade import kernels, noise
from gantool.degrade.recipe import Recipe
from gantool.degrade.resampling import random_resize, to_unit
from gantool.settings import param


@dataclass(frozen=True)
class RealESRGAN(Recipe):
    """The second-order degradation of Real-ESRGAN (Wang et al. 2021, section 3).

    Differences: JPEG is libjpeg's with whole qualities; sizes are rounded down as in the original, but
    OpenCV places the samples by the sizes, torch by the drawn factor (less than half a pixel apart).
    """

    name: ClassVar[str] = "real-esrgan"
    summary: ClassVar[str] = "blur, resize, noise and JPEG, twice over, with ringing"

    sharpen: bool = param(True, "the target (and what is degraded) is sharpened, as for the first two losses")

    def _target(self, pixels: np.ndarray) -> np.ndarray:
        cut = super()._target(pixels)
        return sharpened(cut) if self.sharpen else cut

    def _degrade(self, target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = target.shape[:2]
        low = (height // self.scale, width // self.scale)
        image = kernels.blur(to_unit(target), self._kernel(rng, (0.2, 3.0)))
        factor = _factor(rng, (0.2, 0.7, 0.1), (0.15, 1.5))
        image = random_resize(image, int(height * factor), int(width * factor), rng)
        image = self._noisy(image, rng, (1.0, 30.0), (0.05, 3.0))
        image = noise.jpeg(image, noise.quality(rng))
        if rng.random() < 0.8:
            image = kernels.blur(image, self._kernel(rng, (0.2, 1.5)))
        factor = _factor(rng, (0.3, 0.4, 0.3), (0.3, 1.2))
        image = random_resize(image, int(low[0] * factor), int(low[1] * factor), rng)
        image = self._noisy(image, rng, (1.0, 25.0), (0.05, 2.5))
        quality = noise.quality(rng)
        if rng.random() < 0.5:
            image = self._ringing(random_resize(image, *low, rng), rng)
            return noise.jpeg_bytes(noise.to_bytes(image), quality)
        image = random_resize(noise.jpeg(image, quality), *low, rng)
        return noise.to_bytes(self._ringing(image, rng))

    def _kernel(self, rng: np.random.Generator, sigma: tuple[float, float]) -> np.ndarray:
        size = 2 * int(rng.integers(3, 11)) + 1
        if rng.random() < 0.1:
            return kernels.sinc(size, rng.uniform(math.pi / (3 if size < 13 else 5), math.pi))
        return kernels.draw(rng, size, sigma)

    def _ringing(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= 0.8:
            return image
        size = 2 * int(rng.integers(3, 11)) + 1
        return kernels.blur(image, kernels.sinc(size, rng.uniform(math.pi / 3, math.pi)))

    def _noisy(
        self,
        image: np.ndarray,
        rng: np.random.Generator,
        sigma: tuple[float, float],
        photons: tuple[float, float],
    ) -> np.ndarray:
        gaussian, gray = rng.random() < 0.5, rng.random() < 0.4
        if gaussian:
            added = noise.gaussian(image.shape, rng.uniform(*sigma), rng, gray)
        else:
            added = noise.poisson(image, rng.uniform(*photons), rng, gray)
        return np.clip(image + added, 0, 1)


def _factor(rng: np.random.Generator, odds: tuple[float, float, float], limits: tuple[float, float]) -> float:
    """A resize factor: up, down or none by ``odds``, uniform between 1 and the limit."""
    way = rng.choice(3, p=odds)
    if way == 2:
        return 1.0
    return rng.uniform(1, limits[1]) if way == 0 else rng.uniform(limits[0], 1)


def sharpened(pixels: np.ndarray) -> np.ndarray:
    """Real-ESRGAN's unsharp mask for uint8 (H,W,3): half of what a Gaussian of 51 px takes away is added
    where it is more than 10 levels, with soft borders."""
    image = to_unit(pixels)
    detail = image - cv2.GaussianBlur(image, (51, 51), 0)
    mask = cv2.GaussianBlur((np.abs(detail) > 10 / 255).astype(np.float32), (51, 51), 0)
    return noise.to_bytes(image + mask * (np.clip(image + 0.5 * detail, 0, 1) - image))
