"""Skin, brows, lips, eyes, beards and glasses, painted on a head's atlas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np

from gantool.heads.mesh import ATLAS_HEIGHT, ATLAS_WIDTH, EYE_PATCH, Head

_SIZE = (ATLAS_HEIGHT, ATLAS_WIDTH)
_FINE = 4  # cv2 draws at 1/16 px
_BROWS, _EYES, _LIPS, _MOUTH = ((17, 22), (22, 27)), ((36, 42), (42, 48)), (48, 60), (60, 68)


@dataclass
class Look:
    """Colours of a person, sRGB 0..255, and the generator that draws the rest."""

    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    male: bool
    rng: np.random.Generator


def smooth_noise(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Noise of the atlas's size, of about unit spread, with so many bumps."""
    coarse = rng.normal(0, 1, (rows, columns)).astype(np.float32)
    return cv2.resize(coarse, (ATLAS_WIDTH, ATLAS_HEIGHT), interpolation=cv2.INTER_CUBIC)


def skin_of(head: Head, look: Look) -> np.ndarray:
    """The bare skin: blotches large and small, float32 (H,W,3)."""
    rng = look.rng
    shade = 1 + 0.03 * smooth_noise(rng, 8, 10) + 0.025 * smooth_noise(rng, 40, 50)
    shade += rng.uniform(0.005, 0.03) * smooth_noise(rng, ATLAS_HEIGHT // 2, ATLAS_WIDTH // 2)
    canvas = look.skin.astype(np.float32) * shade[..., None]
    canvas[..., 0] += 3 * smooth_noise(rng, 12, 16)
    if rng.random() < 0.2:  # freckles
        spots = smooth_noise(rng, ATLAS_HEIGHT // 3, ATLAS_WIDTH // 3) > 1.7
        canvas *= 1 - 0.2 * cv2.GaussianBlur(spots.astype(np.float32), (3, 3), 0)[..., None]
    for _ in range(rng.integers(0, 4)):  # moles
        place = head.marks[[2, 14, 30, 8]].min(0), head.marks[[2, 14, 30, 8]].max(0)
        spot = rng.uniform(*place)
        cv2.circle(
            canvas, _fixed(spot), 16 * int(rng.integers(1, 3)), (look.skin * 0.5).tolist(), -1, 16, _FINE
        )
    return canvas


def features(canvas: np.ndarray, head: Head, look: Look) -> None:
    """Cheeks, lips, brows, lashes, folds and beard, at the head's landmarks."""
    rng, marks, cm = look.rng, head.marks, head.px_per_cm
    male, skin = look.male, look.skin
    red = skin * (1.02, 0.74, 0.72)
    for cheek in ((31, 2), (35, 14)):
        at = 0.55 * marks[cheek[0]] + 0.45 * marks[cheek[1]]
        _tint(canvas, red, rng.uniform(0, 0.3), 1.6 * cm, _dot(at, 1.2 * cm))
    _tint(canvas, red, rng.uniform(0.05, 0.3), 0.6 * cm, _dot(marks[30], 0.6 * cm))
    # Around the eyes: darker, or made up.
    shadow = skin * rng.uniform(0.6, 0.95) * rng.uniform(0.92, 1.05, 3)
    for first, last in _EYES:
        _tint(canvas, shadow, rng.uniform(0.2, 0.8), 0.45 * cm, _polygon(marks[first:last], 0.8 * cm))
    if rng.random() < 0.85 if male else rng.random() < 0.05:
        _beard(canvas, head, look)
    full = rng.uniform(0.9, 1.12)
    lips = marks[_LIPS[0] : _LIPS[1]]
    lips = (lips - lips.mean(0)) * full + lips.mean(0)
    lipstick = not male and rng.random() < 0.5
    color = np.array([rng.uniform(120, 200), rng.uniform(30, 90), rng.uniform(50, 100)])
    natural = skin * (0.92, 0.66, 0.66)
    _tint(canvas, color if lipstick else natural, rng.uniform(0.5, 0.9), 0.12 * cm, _polygon(lips))
    inner = marks[_MOUTH[0] : _MOUTH[1]]
    _tint(canvas, skin * (0.4, 0.22, 0.22), 0.85, 0.07 * cm, _polygon(inner, 0.1 * cm))
    for left, right in ((31, 32), (34, 35)):  # nostrils
        at = (marks[left] + marks[right]) / 2 + (0, 0.05 * cm)
        _tint(canvas, skin * 0.25, 0.9, 0.12 * cm, _dot(at, 0.22 * cm))
    _folds(canvas, head, look)
    thick = rng.uniform(0.3, 0.65) * cm * (1.15 if male else 0.85)
    brow = look.hair * 0.8 if look.hair.mean() < 120 else look.hair * 0.6
    lift = rng.uniform(-0.15, 0.25) * cm
    for first, last in _BROWS:
        line = marks[first:last] - (0, lift)
        _tint(canvas, brow, rng.uniform(0.6, 0.95), 0.14 * cm, _line(line, thick))
    lash = np.array([24.0, 18, 16])
    strength, wide = (rng.uniform(0.4, 0.8), 0.12) if male else (rng.uniform(0.6, 1), rng.uniform(0.12, 0.26))
    for first, _ in _EYES:
        _tint(canvas, lash, strength, 0.07 * cm, _line(marks[first : first + 4], wide * cm))
        under = marks[[first + 3, first + 4, first + 5, first]]
        _tint(canvas, lash, 0.5 * strength, 0.07 * cm, _line(under, 0.08 * cm))


def _beard(canvas: np.ndarray, head: Head, look: Look) -> None:
    """Stubble or a beard on jaw, chin and upper lip, or a moustache alone."""
    rng, marks, cm = look.rng, head.marks, head.px_per_cm
    thick = rng.choice([rng.uniform(0.05, 0.3), rng.uniform(0.5, 0.9)], p=[0.7, 0.3])
    color = look.hair * 0.4 + look.skin * 0.25 if thick < 0.4 else look.hair
    if rng.random() < 0.12:
        shape = _line(marks[[48, 50, 33, 52, 54]], 0.5 * cm)
    else:
        cheek = rng.uniform(0.35, 0.8)
        inner = [marks[i] * cheek + marks[j] * (1 - cheek) for i, j in ((14, 54), (13, 54), (12, 54))]
        other = [marks[i] * cheek + marks[j] * (1 - cheek) for i, j in ((4, 48), (3, 48), (2, 48))]
        ends = marks[[35, 33, 31]] + (0, 0.25 * cm)
        jaw = marks[2:15] + np.array([0, 1.6 * cm])
        shape = _polygon(np.concatenate([jaw, inner, ends, other]))
    mask = cv2.GaussianBlur(shape.drawn(_SIZE, np.zeros(2)), (0, 0), 0.5 * cm)
    grain = 1 + rng.uniform(0.05, 0.3) * smooth_noise(rng, ATLAS_HEIGHT // 2, ATLAS_WIDTH // 2)
    share = np.clip(mask * grain * thick, 0, 1)[..., None]
    canvas += (color.astype(np.float32) - canvas) * share


def _folds(canvas: np.ndarray, head: Head, look: Look) -> None:
    """Lines from the nose to the mouth, under the eyes and across the forehead, more with age."""
    rng, marks, cm = look.rng, head.marks, head.px_per_cm
    age = rng.uniform(0, 1) ** 1.5
    dark = look.skin * (0.62, 0.52, 0.5)
    for nose, mouth, out in ((31, 48, -1), (35, 54, 1)):
        start, end = marks[nose] + (out * 0.5 * cm, -0.3 * cm), marks[mouth] + (out * 0.7 * cm, 0)
        middle = (start + end) / 2 + (out * 0.25 * cm, 0)
        _tint(canvas, dark, 0.1 + 0.5 * age, 0.15 * cm, _line(np.stack([start, middle, end]), 0.18 * cm))
    for first, _ in _EYES:
        line = marks[[first, first + 5, first + 4, first + 3]] + (0, rng.uniform(0.5, 0.8) * cm)
        _tint(canvas, dark, 0.6 * age, 0.15 * cm, _line(line, 0.15 * cm))
    if age > 0.45:
        for height in (1.6, 2.4, 3.2):
            line = marks[[18, 20, 23, 25]] - (0, (height + rng.uniform(-0.2, 0.2)) * cm)
            _tint(canvas, dark, 0.5 * age, 0.15 * cm, _line(line, 0.14 * cm))


def glasses(canvas: np.ndarray, head: Head, rng: np.random.Generator) -> None:
    """A frame around the eyes, with its bridge and its arms; it lies flat on the skin."""
    marks, cm = head.marks, head.px_per_cm
    color = np.array([[20, 20, 22], [70, 44, 28], [150, 150, 150]])[rng.integers(3)].tolist()
    wide = max(1, round(float(rng.uniform(0.12, 0.3)) * cm))
    half = np.array([rng.uniform(2.0, 2.5), rng.uniform(1.3, 2.0)]) * cm
    square = rng.random() < 0.5
    middles = [marks[first:last].mean(0) + np.array([0, 0.3 * cm]) for first, last in _EYES]
    for middle, out in zip(middles, (-1, 1), strict=True):
        if square:
            cv2.rectangle(canvas, _fixed(middle - half), _fixed(middle + half), color, wide, 16, _FINE)
        else:
            cv2.ellipse(canvas, _fixed(middle), _fixed(half), 0, 0, 360, color, wide, 16, _FINE)
        arm = middle + np.array([out * half[0], -0.4 * half[1]])
        ear = arm + np.array([out * 9 * cm, -0.4 * cm])
        cv2.line(canvas, _fixed(arm), _fixed(ear), color, wide, 16, _FINE)
    bridge = [middles[0] + (half[0], -0.2 * half[1]), middles[1] + (-half[0], -0.2 * half[1])]
    cv2.line(canvas, _fixed(bridge[0]), _fixed(bridge[1]), color, wide, 16, _FINE)


def eyes(canvas: np.ndarray, look: Look) -> None:
    """Both eyeballs on their squares below the skin: white, iris, pupil, looking much the same way."""
    rng = look.rng
    white = np.array([232.0, 226, 220]) * rng.uniform(0.85, 1.02)
    gaze, size = rng.normal(0, 1.2, 2).clip(-3, 3), EYE_PATCH * rng.uniform(0.2, 0.235)
    for number in range(2):
        middle = np.array([EYE_PATCH * (number + 0.5), ATLAS_HEIGHT - EYE_PATCH / 2])
        top, left = ATLAS_HEIGHT - EYE_PATCH, EYE_PATCH * number
        canvas[top:, left : left + EYE_PATCH] = white
        at = middle + gaze
        cv2.circle(canvas, _fixed(at), round(size * 16), (look.iris * 0.55).tolist(), -1, 16, _FINE)
        cv2.circle(canvas, _fixed(at), round(size * 0.85 * 16), look.iris.tolist(), -1, 16, _FINE)
        cv2.circle(canvas, _fixed(at), round(size * 0.42 * 16), (10, 8, 8), -1, 16, _FINE)


def _fixed(point: np.ndarray) -> tuple[int, int]:
    """A position in px as cv2 takes it with ``shift``."""
    return round(float(point[0]) * 16), round(float(point[1]) * 16)


class _Shape(NamedTuple):
    """A filled polygon, an open line or a dot (one point), with its outline's width or its radius, px."""

    kind: Literal["polygon", "line", "dot"]
    points: np.ndarray
    width: float = 0

    def drawn(self, size: tuple[int, int], shift: np.ndarray) -> np.ndarray:
        """Where it covers a window of that size (H,W) which begins at ``shift``: float32 0..1."""
        mask = np.zeros(size, np.uint8)
        points = self.points - shift
        if self.kind == "dot":
            cv2.circle(mask, _fixed(points[0]), round(self.width * 16), 255, -1, 16, _FINE)
            return mask.astype(np.float32) / 255
        fixed = [np.rint(points * 16).astype(np.int32)]
        if self.kind == "polygon":
            cv2.fillPoly(mask, fixed, 255, 16, _FINE)
        if self.width:
            wide = max(1, round(self.width))
            cv2.polylines(mask, fixed, self.kind == "polygon", 255, wide, 16, _FINE)
        return mask.astype(np.float32) / 255


def _polygon(points: np.ndarray, width: float = 0) -> _Shape:
    return _Shape("polygon", points, width)


def _line(points: np.ndarray, width: float) -> _Shape:
    return _Shape("line", points, width)


def _dot(point: np.ndarray, radius: float) -> _Shape:
    return _Shape("dot", point[None], radius)


def _tint(canvas: np.ndarray, color: np.ndarray, share: float, soft: float, shape: _Shape) -> None:
    """Mix a colour into the canvas within a soft-edged shape; only its surroundings are touched."""
    reach = 3 * soft + shape.width + 2
    left, top = np.maximum(np.floor(shape.points.min(0) - reach), 0).astype(int).tolist()
    right, bottom = np.minimum(np.ceil(shape.points.max(0) + reach), _SIZE[::-1]).astype(int).tolist()
    if left >= right or top >= bottom:
        return
    mask = shape.drawn((bottom - top, right - left), np.array([left, top]))
    mask = cv2.GaussianBlur(mask, (0, 0), max(soft, 0.3)) * np.float32(share)
    part = canvas[top:bottom, left:right]
    part += (np.asarray(color, np.float32) - part) * mask[..., None]
