"""Pairs of small and large pictures, as they are cut from photographs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gantool import data, degrade
from gantool.errors import UsageError
from gantool.settings import degradation_param, param, path_param

_LEAST_PX = 16  # of a large crop, which percept can measure
_LEAST_TEXTURE_PX = 28  # of one whose texture is compared
_MARGIN_PX = 8  # around a low-resolution crop, where a random degradation may feel the edge


@dataclass
class PairConfig:
    """Parameters that every recipe of super-resolution has."""

    scale: int = param(4, "factor per side: 2, 3 or 4, for some nets also 1 or 8", low=1, high=8)
    patch: int = param(48, "side of a low-resolution training crop, px", low=8)
    batch: int = param(16, "pictures per step", low=1)
    degrade: str = degradation_param(
        "bicubic", "what makes small pictures: a recipe of `gantool degrade`, and its parameters"
    )
    texture: float = param(0.0, "weight of the distance in fine detail, wherever it lies; 0 = none", low=0)
    ema: float = param(0.999, "decay of the averaged weights; 0 = none", low=0, high=1)
    eye: str = path_param("auto", "perceptual net: auto, builtin, vgg19, or a run or file of --task percept")
    init: str = path_param("", "a model.safetensors or .pth to start from; layers that do not fit start anew")
    holdout: int = param(16, "photographs kept out of training, for samples and scores", low=0)
    workers: int = param(-1, "processes that prepare data; -1 = by device", low=-1)


class Pairs:
    """Small and large crops of photographs, as :mod:`gantool.degrade` makes the small ones.

    MATLAB's bicubic is computed once for a whole photograph. Recipes of chance spoil every crop anew, with a
    margin around it that is cut off afterwards.

    Raises:
        UsageError: no such recipe, or one that cannot do this scale.
    """

    def __init__(self, config: PairConfig) -> None:
        self.spoil = degrade.recipe(config.degrade, scale=config.scale)
        self.fixed = self.spoil.name == "bicubic"
        if config.scale == 1 and self.fixed:
            raise UsageError("scale=1 leaves nothing to learn", remedy="Use --set degrade=real-esrgan")
        least = _LEAST_TEXTURE_PX if config.texture else _LEAST_PX
        if config.patch * config.scale < least:
            what = f"patch={config.patch} makes pictures of {config.patch * config.scale} px"
            raise UsageError(what, remedy=f"Use --set patch={-(-least // config.scale)}")
        self.scale, self.patch = config.scale, config.patch

    def ready(self, paths: Iterable[Path]) -> None:
        """Let the degradation take what it needs from the photographs that are learned from."""
        self.spoil = self.spoil.ready(data.readable(paths))

    def prepare(self, image: np.ndarray) -> tuple[np.ndarray, ...] | None:
        """What is kept of a photo: (low, high), or (photo,) for recipes of chance; None if too small."""
        if min(image.shape[:2]) < max(self.patch * self.scale, self.spoil.least_side):
            return None
        return self.spoil.pair(image, np.random.default_rng(0)) if self.fixed else (image,)

    def crop(self, item: tuple[np.ndarray, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A random place, turned and mirrored at random -> low (3,h,w), high (3,h*s,w*s) in [0,1]."""
        top, left = (int(rng.integers(places)) for places in self._places(item))
        low, high = data.augment(self._cut(item, top, left, rng), rng)
        return data.to_chw(low), data.to_chw(high)

    def held(self, paths: Sequence[Path]) -> list[tuple[Tensor, ...]]:
        """(low, high) of the centres of photographs kept out; those that cannot be used are left out."""
        pairs = []
        for number, path in enumerate(paths):
            image = data.read_rgb(path)
            item = None if image is None else self.prepare(image)
            if item is not None:
                top, left = ((places - 1) // 2 for places in self._places(item))
                cut = self._cut(item, top, left, data.step_rng(0, 7, number))
                pairs.append(tuple(torch.from_numpy(data.to_chw(picture)) for picture in cut))
        return pairs

    def _places(self, item: tuple[np.ndarray, ...]) -> list[int]:
        """How many there are for a crop, down and across, in low-resolution pixels."""
        return [side // (1 if self.fixed else self.scale) - self.patch + 1 for side in item[0].shape[:2]]

    def _cut(
        self, item: tuple[np.ndarray, ...], top: int, left: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) uint8 at a place, given in low-resolution pixels."""
        if self.fixed:
            low, high = item
        else:
            (image,), s, far = item, self.scale, self.patch + _MARGIN_PX
            tall, wide = (side // s for side in image.shape[:2])
            y, x = max(0, top - _MARGIN_PX), max(0, left - _MARGIN_PX)
            around = image[y * s : min(tall, top + far) * s, x * s : min(wide, left + far) * s]
            low, high = self.spoil.pair(np.ascontiguousarray(around), rng)
            top, left = top - y, left - x
        bottom, right, s = top + self.patch, left + self.patch, self.scale
        return low[top:bottom, left:right], high[top * s : bottom * s, left * s : right * s]
