"""Pictures for a report: small versions, maps of difference, close-ups, and the few that are worth a look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from gantool.evaluation.result import Exhibit
from gantool.metrics import unit

_WIDTH_PX = 560
_LEAST_SCALE = 16 / 255  # smaller differences would only show grain
_CLOSE_PX = 96, 192  # side of a close-up, least and most


@dataclass
class Gallery:
    """The ``count`` worst of what it is offered, no two closer than ``apart``, and the best one.

    ``apart`` is in the unit of the positions: seconds of a film, 0 for pictures that have no order. An
    exhibit is only made when it is kept.
    """

    count: int = 3
    apart: float = 0.0
    _worst: list[tuple[float, float, Exhibit]] = field(default_factory=list)
    _best: tuple[float, Exhibit] | None = None

    def offer(self, badness: float, position: float, make: Callable[[str], Exhibit]) -> None:
        """Consider one; ``make`` is told what it is, "worst" or "best"."""
        if self._best is None or badness < self._best[0]:
            self._best = badness, make("best")
        near = [one for one in self._worst if abs(one[1] - position) < self.apart]
        others = [one for one in self._worst if one not in near]
        if any(one[0] >= badness for one in near):
            return
        if len(others) >= self.count and badness <= others[-1][0]:
            return
        kept = [*others, (badness, position, make("worst"))]
        self._worst = sorted(kept, key=lambda one: -one[0])[: self.count]

    def exhibits(self, at_least: int) -> list[Exhibit]:
        """The worst first, then the best, if ``at_least`` two things were offered at all."""
        best = [self._best[1]] if self._best is not None and at_least > 1 else []
        return [exhibit for _, _, exhibit in self._worst] + best


def small(image: np.ndarray, width: int = _WIDTH_PX) -> np.ndarray:
    """(H,W,3) as uint8, at most ``width`` px wide."""
    image = np.rint(unit(image) * 255).clip(0, 255).astype(np.uint8)
    height, wide = image.shape[:2]
    if wide <= width:
        return image
    size = (width, max(1, round(height * width / wide)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The largest difference of the three channels, (H,W) float64 in [0,1]."""
    return np.abs(unit(first) - unit(second)).max(axis=-1)


def heat(values: np.ndarray) -> tuple[str, np.ndarray]:
    """A map (H,W) of differences in colours from black over red to yellow, and what the palest stands for."""
    most = max(_LEAST_SCALE, float(np.percentile(values, 99.5)))
    levels = np.rint(np.clip(values / most, 0, 1) * 255).astype(np.uint8)
    height, wide = levels.shape
    if wide > _WIDTH_PX:
        size = (_WIDTH_PX, max(1, round(height * _WIDTH_PX / wide)))
        levels = cv2.resize(levels, size, interpolation=cv2.INTER_AREA)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return f"brightest = {round(most * 255)}/255 or more", colours


def comparison(title: str, first: tuple[str, np.ndarray], second: tuple[str, np.ndarray]) -> Exhibit:
    """Two pictures of one size, the map of their difference, and a close-up where they differ most."""
    (name, a), (other, b) = first, second
    apart = difference(a, b)
    words, colours = heat(apart)
    panels = [(name, small(a)), (other, small(b)), (f"difference, {words}", colours)]
    height, width = apart.shape
    side = min(max(_CLOSE_PX[0], min(height, width) // 4), _CLOSE_PX[1])
    if min(height, width) >= 2 * side:
        y, x = _hottest(apart, side)
        cut = np.s_[y : y + side, x : x + side]
        panels += [(f"{name}, close up", small(a[cut])), (f"{other}, close up", small(b[cut]))]
    return Exhibit(title, tuple(panels), over=True)


def _hottest(values: np.ndarray, side: int) -> tuple[int, int]:
    """Top left of the square with the largest sum."""
    total = cv2.integral(values)
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    y, x = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(y), int(x)
