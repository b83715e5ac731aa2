"""What a degradation is: a good picture in, a bad one out, and what a net should make of the bad one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gantool.settings import param


@dataclass(frozen=True)
class Recipe(ABC):
    """A way to spoil pictures.

    Pictures are RGB (H,W,3), uint8 or float32 in [0,1]; what comes in is what comes out, and a float picture
    is rounded to 8 bits first. All chance comes from the generator that is passed in: the same picture,
    recipe and state of the generator give the same result, in any process. Recipes can be pickled.
    """

    name: ClassVar[str]
    summary: ClassVar[str]

    scale: int = param(4, "factor per side by which pictures are made smaller", low=1, high=16)

    @property
    def least_side(self) -> int:
        """The smallest side a picture may have, pixels."""
        return self.scale

    def ready(self, photos: Iterable[np.ndarray]) -> Recipe:
        """The recipe with all that it takes from files, or from the photos (uint8 (H,W,3)) to be spoiled."""
        return self

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The degraded picture, 1/scale as large as :meth:`target`.

        Raises ValueError for other arrays than pictures, and for pictures smaller than ``least_side``.
        """
        return self.pair(image, rng)[0]

    def target(self, image: np.ndarray) -> np.ndarray:
        """What a net should make of the degraded picture: the picture itself, cut at the right and the
        bottom to a multiple of the scale, and prepared where the recipe says so."""
        return _like(image, self._target(self._pixels(image)))

    def pair(self, image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(degraded picture, its target): what a training step needs, the preparation done once."""
        target = self._target(self._pixels(image))
        return _like(image, self._degrade(target, rng)), _like(image, target)

    def stages(
        self, image: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(degraded picture, the same without what has been done to places, its target): like :meth:`pair`,
        with the tone curve of the degraded picture and nothing else between the last two. Where a recipe
        does not change the tone they are equal."""
        bad, good = self.pair(image, rng)
        return bad, good, good

    def _pixels(self, image: np.ndarray) -> np.ndarray:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype not in (np.uint8, np.float32):
            raise ValueError(f"a picture is (H,W,3) in uint8 or float32, not {image.shape} in {image.dtype}")
        if min(image.shape[:2]) < self.least_side:
            raise ValueError(
                f"{image.shape[1]} x {image.shape[0]} is less than {self.least_side} pixels a side"
            )
        if image.dtype == np.float32:
            return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
        return image

    def _target(self, pixels: np.ndarray) -> np.ndarray:
        """From uint8 pixels to the uint8 target."""
        height, width = (side // self.scale * self.scale for side in pixels.shape[:2])
        return pixels[:height, :width]

    @abstractmethod
    def _degrade(self, target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """From the uint8 target to the degraded uint8 picture. Must not change its argument."""


def _like(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """uint8 pixels as the type of ``image``."""
    if image.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    return pixels.astype(np.float32) * np.float32(1 / 255)
