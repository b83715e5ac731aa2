"""Damage to film, drawn into opacity masks: scratches, dust and hairs.

A mask is uint8 (H,W), 0 where the picture is whole and 255 where nothing of it is left. Lengths are pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

_SHIFT = 4  # fractional bits of coordinates given to OpenCV
_MEAN_LIFE = 40.0  # frames, of a scratch


@dataclass
class Scratch:
    """A line along the film: ``x(y) = start + slope y + sway sin(...)``, fainter and stronger by turns."""

    start: float
    slope: float
    sway: float
    wave: float  # length of the sway
    phase: float
    sigma: float  # half its width
    opacity: float
    bright: bool
    top: float  # its ends, as shares of the height
    bottom: float
    life: int  # frames it still has
    across: bool = False  # lies along rows instead of columns (photos only)

    def draw(self, mask: np.ndarray, rng: np.random.Generator) -> None:
        """Into a mask, which keeps what is stronger there already."""
        view = mask.T if self.across else mask
        height, width = view.shape
        first, last = max(0, int(self.top * height)), min(height, math.ceil(self.bottom * height))
        if last <= first:
            return
        y = np.arange(first, last, dtype=np.float32)
        x = self.start + self.slope * y + self.sway * np.sin(y * (2 * math.pi / self.wave) + self.phase)
        reach = 3 * self.sigma
        left, right = max(0, math.floor(x.min() - reach)), min(width, math.ceil(x.max() + reach) + 1)
        if right <= left:
            return
        distance = np.arange(left, right, dtype=np.float32)[None] - x[:, None]
        value = np.exp(distance * distance * np.float32(-0.5 / self.sigma**2))
        value *= (255 * self.opacity * self._along(len(y), rng))[:, None]
        part = view[first:last, left:right]
        np.maximum(part, value.astype(np.uint8), out=part)

    def _along(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """Strength from end to end: it comes and goes, and tapers off at both ends."""
        slow = _stretched(rng.normal(0.85, 0.35, max(2, length // 24 + 2)), length)
        fast = rng.uniform(0.7, 1.0, length)
        taper = np.minimum(np.arange(length), np.arange(length)[::-1]) / 6 + 0.2
        return (np.clip(slow, 0, 1) * fast * np.minimum(taper, 1)).astype(np.float32)


def _stretched(values: np.ndarray, length: int) -> np.ndarray:
    return np.interp(np.linspace(0, len(values) - 1, length), np.arange(len(values)), values)


@dataclass(frozen=True)
class ScratchKind:
    """Where scratches lie and what they look like: the frame's size, the share of white ones, and a factor
    on widths."""

    height: int
    width: int
    bright: float
    size: float = 1.0


def draw_scratches(
    count: int, kind: ScratchKind, rng: np.random.Generator, tilt: bool = False, brief: bool = False
) -> list[Scratch]:
    """``count`` new scratches; some come as a bundle of parallel ones.

    ``tilt``: they lie in any direction, as on a photo; otherwise along the film, nearly upright. ``brief``:
    short and faint, gone with the next frame ("rain").
    """
    size = kind.size
    made: list[Scratch] = []
    for _ in range(count):
        across = tilt and rng.random() < 0.5
        tall, wide = (kind.width, kind.height) if across else (kind.height, kind.width)
        long = not brief and rng.random() < 0.6
        length = 1.0 if long else rng.uniform(0.08, 0.5)
        top = 0.0 if long else rng.uniform(-0.1, 1.0)
        slope = rng.uniform(-0.9, 0.9) if tilt else rng.normal(0, 0.008)
        first = Scratch(
            start=rng.uniform(0, wide) - slope * tall * (top + length / 2),
            slope=slope,
            sway=rng.exponential(0.8) * size,
            wave=rng.uniform(60, 400) * size,
            phase=rng.uniform(0, 2 * math.pi),
            sigma=min(0.35 + rng.exponential(0.25), 1.6) * size,
            opacity=rng.uniform(0.15, 0.5) if brief else rng.uniform(0.3, 0.95),
            bright=bool(rng.random() < kind.bright),
            top=top,
            bottom=top + length,
            life=1 if brief else 1 + int(rng.exponential(_MEAN_LIFE)),
            across=across,
        )
        made.append(first)
        if not brief and rng.random() < 0.25:
            made += [_beside(first, rng, size) for _ in range(rng.integers(1, 4))]
    return made


def _beside(first: Scratch, rng: np.random.Generator, size: float) -> Scratch:
    """A fainter scratch of the same grain of sand."""
    values = dict(vars(first))
    values["start"] += rng.normal(0, 5) * size
    values["opacity"] *= rng.uniform(0.3, 0.9)
    return Scratch(**values)


def aged(scratches: list[Scratch], rate: float, kind: ScratchKind, rng: np.random.Generator) -> list[Scratch]:
    """The scratches of the next frame: some have ended, some are new, all have moved a little.

    ``rate``: how many there are on average, bundles counted once.
    """
    kept: list[Scratch] = []
    for scratch in scratches:
        if scratch.life > 1:
            scratch.life -= 1
            scratch.start += rng.normal(0, 0.25)
            scratch.phase += rng.normal(0, 0.15)
            kept.append(scratch)
    born = int(rng.poisson(rate / _MEAN_LIFE))
    return kept + draw_scratches(born, kind, rng)


def draw_dust(mask: np.ndarray, count: int, rng: np.random.Generator, size: float = 1.0) -> None:
    """Specks of irregular outline, most of them a pixel or two across, few much larger."""
    height, width = mask.shape
    radius = np.minimum(np.exp(rng.normal(-0.15, 0.55, count)), 4.5) * size
    centre = rng.random((count, 1, 2)) * (width, height)
    turn = np.arange(8) * (math.pi / 4) + rng.uniform(0, math.pi, (count, 1))
    reach = radius[:, None] * rng.uniform(0.5, 1.3, (count, 8))
    stretch = np.exp(rng.normal(0, 0.35, (count, 1)))
    points = np.stack([np.cos(turn) * reach * stretch, np.sin(turn) * reach / stretch], axis=-1)
    corners = np.rint((centre + points) * (1 << _SHIFT)).astype(np.int32)
    for outline, opacity in zip(corners, rng.uniform(90, 255, count), strict=True):
        cv2.fillPoly(mask, [outline], float(opacity), cv2.LINE_AA, _SHIFT)


def draw_hairs(mask: np.ndarray, count: int, rng: np.random.Generator, size: float = 1.0) -> None:
    """Thin curled lines."""
    height, width = mask.shape
    for _ in range(count):
        steps = int(rng.integers(6, 26))
        bend = rng.normal(0, 0.1)
        heading = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(bend, 0.16, steps))
        path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=-1) * (2.5 * size), axis=0)
        points = path + rng.random(2) * (width, height)
        line = np.rint(points * (1 << _SHIFT)).astype(np.int32)
        thick = max(1, round(size * rng.uniform(0.6, 1.6)))
        cv2.polylines(mask, [line], False, float(rng.uniform(110, 240)), thick, cv2.LINE_AA, _SHIFT)
