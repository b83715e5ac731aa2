"""Pictures out of nothing, and pictures in other colours: styles to learn from beside paintings.

Marble and waves, stripes, brush strokes, cells, dots and blocks, each in a few colours drawn for it. Nothing
is taken from any picture, so that a net may see as many as there are seeds.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Rng = np.random.Generator


def texture(side: int, rng: Rng) -> np.ndarray:
    """A square uint8 RGB picture (side,side,3); all of it follows from ``rng``."""
    colors = palette(int(rng.integers(3, 8)), rng)
    image = _KINDS[int(rng.integers(len(_KINDS)))](side, colors, rng)
    if rng.random() < 0.5:  # the tooth of a canvas, or grain
        tooth = rng.normal(0, rng.uniform(2, 14), (side, side, 1)).astype(np.float32)
        blurred = cv2.GaussianBlur(tooth, (0, 0), rng.uniform(0.4, 1.2)).reshape(side, side, 1)
        image = np.clip(image + blurred, 0, 255).astype(np.uint8)
    return image


def recolored(image: np.ndarray, rng: Rng) -> np.ndarray:
    """A uint8 RGB picture with its hues turned, its chroma stretched and its lightness bent, by chance."""
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    angle, gain = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.6)
    turn = gain * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    lab[..., 1:] = lab[..., 1:] @ turn.T.astype(np.float32) + rng.normal(0, 6, 2).astype(np.float32)
    light = np.clip(lab[..., 0] / 100, 0, 1)
    light = (1 - light if rng.random() < 0.15 else light) ** float(np.exp(rng.normal(0, 0.3)))
    lab[..., 0] = 100 * light
    return _to_rgb(lab)


def palette(count: int, rng: Rng) -> np.ndarray:
    """(count,3) uint8 RGB from dark to light, with hues around one or two."""
    hue = rng.uniform(0, 2 * np.pi) + rng.normal(0, rng.uniform(0.1, 1.2), count)
    hue += np.pi * (rng.random(count) < rng.uniform(0, 0.5))  # some in the complementary colour
    chroma = rng.uniform(5, rng.uniform(25, 80), count)
    light = np.sort(rng.uniform(rng.uniform(5, 40), rng.uniform(60, 98), count))
    lab = np.stack((light, chroma * np.cos(hue), chroma * np.sin(hue)), -1)
    return _to_rgb(lab[None].astype(np.float32))[0]


def _marble(side: int, colors: np.ndarray, rng: Rng) -> np.ndarray:
    field = _noise(side, rng, octaves=int(rng.integers(2, 5)))
    if rng.random() < 0.5:
        field = np.abs(np.sin(rng.uniform(2, 9) * np.pi * field)).astype(np.float32)
    return _painted(field, colors, hard=rng.random() < 0.4)


def _stripes(side: int, colors: np.ndarray, rng: Rng) -> np.ndarray:
    angle, wave = rng.uniform(0, np.pi), rng.uniform(0, 3)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    across = x * np.cos(angle) + y * np.sin(angle) + wave * 0.1 * _noise(side, rng)
    field = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(3, side / 8) * across + rng.uniform(0, 6))
    return _painted(field.astype(np.float32), colors, hard=rng.random() < 0.5)


def _strokes(side: int, colors: np.ndarray, rng: Rng) -> np.ndarray:
    """Short lines along a flow, coloured by a field: the look of a brush."""
    thick = int(rng.integers(1, max(3, side // 20)))
    long = thick * rng.uniform(2, 8)
    image = _painted(_noise(side, rng), colors, hard=False)
    angle = rng.uniform(0, 2 * np.pi) + rng.uniform(0.5, 5) * _noise(side, rng)
    count = min(1500, int(2.5 * side * side / (thick * long)))
    places, jitter = rng.integers(0, side, (count, 2)), rng.normal(0, rng.uniform(4, 22), (count, 3))
    shades = np.clip(image[places[:, 1], places[:, 0]] + jitter, 0, 255)
    for (x, y), shade in zip(places.tolist(), shades.tolist(), strict=True):
        a = float(angle[y, x])
        dx, dy = 0.5 * long * np.cos(a), 0.5 * long * np.sin(a)
        ends = (round(x - dx), round(y - dy)), (round(x + dx), round(y + dy))
        cv2.line(image, *ends, shade, thick, cv2.LINE_AA)
    return image


def _cells(side: int, colors: np.ndarray, rng: Rng) -> np.ndarray:
    """Regions around scattered points, with or without seams: stained glass, mosaics, cracked paint."""
    count = int(rng.integers(12, max(13, side * side // 60)))
    seeds = np.full((side, side), 255, np.uint8)
    places = rng.integers(0, side, (count, 2))
    seeds[places[:, 1], places[:, 0]] = 0
    _, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    base = _painted(_noise(side, rng), colors, hard=False)[places[:, 1], places[:, 0]]
    loose = colors[rng.integers(len(colors), size=count)]
    shades = np.where(rng.random((count, 1)) < rng.uniform(0, 1), base, loose)
    labels = np.asarray(labels, np.int32)
    known = labels[places[:, 1], places[:, 0]]
    by_label = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    by_label[known] = np.clip(shades + rng.normal(0, 10, (count, 3)), 0, 255)
    image = by_label[labels]
    if rng.random() < 0.6:
        seam = cv2.morphologyEx(labels.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8))
        seam = cv2.dilate((seam > 0).astype(np.uint8), np.ones((1, 1 + int(rng.integers(0, 3))), np.uint8))
        image[seam > 0] = colors[0] if rng.random() < 0.8 else colors[-1]
    return image


def _dots(side: int, colors: np.ndarray, rng: Rng) -> np.ndarray:
    base = _painted(_noise(side, rng), colors, hard=False)
    image = np.empty_like(base)
    image[:] = colors[int(rng.integers(len(colors)))]
    radius = int(rng.integers(1, max(3, side // 24)))
    count = min(1500, int(0.8 * side * side / radius**2))
    places, jitter = rng.integers(0, side, (count, 2)), rng.normal(0, rng.uniform(5, 40), (count, 3))
    shades = np.clip(base[places[:, 1], places[:, 0]] + jitter, 0, 255)
    for place, shade in zip(places.tolist(), shades.tolist(), strict=True):
        cv2.circle(image, place, radius, shade, -1, cv2.LINE_AA)
    return image


def _blocks(side: int, colors: np.ndarray, rng: Rng) -> np.ndarray:
    """Rectangles and bars one over the other, some with an outline."""
    image = np.empty((side, side, 3), np.uint8)
    image[:] = colors[-1]
    line = int(rng.integers(0, max(2, side // 32)))
    for _ in range(int(rng.integers(8, 80))):
        middle, size = rng.uniform(0, side, 2), rng.uniform(0.03, 0.35, 2) * side
        turn = float(rng.choice([0.0, 0.0, rng.uniform(0, 180)]))
        corners = np.round(cv2.boxPoints((middle.tolist(), size.tolist(), turn))).astype(np.int32)
        cv2.fillConvexPoly(image, corners, colors[int(rng.integers(len(colors)))].tolist(), cv2.LINE_AA)
        if line:
            cv2.polylines(image, [corners], True, colors[0].tolist(), line, cv2.LINE_AA)
    return image


_KINDS: tuple[Callable[[int, np.ndarray, Rng], np.ndarray], ...] = (
    _marble,
    _stripes,
    _strokes,
    _strokes,
    _cells,
    _dots,
    _blocks,
)


def _noise(side: int, rng: Rng, octaves: int = 2) -> np.ndarray:
    """Smooth random heights (side,side) float32, stretched to [0,1]."""
    cells, total = int(rng.integers(2, 8)), np.zeros((side, side), np.float32)
    for octave in range(octaves):
        grid = rng.normal(size=(min(side, cells * 2**octave + 1),) * 2).astype(np.float32)
        total += cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC) / 2**octave
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def _painted(field: np.ndarray, colors: np.ndarray, hard: bool) -> np.ndarray:
    """Heights in [0,1] as colours, by degrees or in flat areas: uint8 (side,side,3)."""
    place = field * (len(colors) - 1)
    if hard:
        return colors[np.round(place).astype(int)]
    below = np.minimum(place.astype(int), len(colors) - 2)
    share = (place - below)[..., None]
    mixed = colors[below] * (1 - share) + colors[below + 1] * share
    return np.ascontiguousarray(np.round(mixed).astype(np.uint8))


def _to_rgb(lab: np.ndarray) -> np.ndarray:
    rgb = cv2.cvtColor(np.ascontiguousarray(lab, np.float32), cv2.COLOR_LAB2RGB)
    return np.round(np.clip(rgb, 0, 1) * 255).astype(np.uint8)
