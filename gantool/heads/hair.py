"""Hair-like shapes: a cap of some thickness with a hairline, and a curtain that hangs down."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gantool.heads.mesh import ATLAS_HEIGHT, ATLAS_WIDTH, Head

REGION = 6  # of triangles
_COLUMNS, _ROWS = 40, 12


@dataclass(frozen=True)
class Cut:
    """A haircut on the atlas: ``mask`` (H,W) 0..1 where hair grows, ``thickness`` (H,W) cm.

    ``strands`` is None for short hair; otherwise (where it begins beside the face, degrees from the front;
    how far down it reaches, cm below the eyes; how far it stands off, cm).
    """

    mask: np.ndarray
    thickness: np.ndarray
    strands: tuple[float, float, float] | None


def cut(head: Head, rng: np.random.Generator, male: bool) -> Cut:
    """A random haircut; a few people have none."""
    size = (ATLAS_HEIGHT, ATLAS_WIDTH)
    if rng.random() < (0.12 if male else 0.02):
        return Cut(np.zeros(size, np.float32), np.zeros(size, np.float32), None)
    marks, cm = head.marks, head.px_per_cm
    degrees = np.abs((np.arange(ATLAS_WIDTH) / (ATLAS_WIDTH - 1) * 2 - 1) * 180)
    brow = float(marks[17:27, 1].min())
    eye, lip = float(marks[36:48, 1].mean()), float(marks[48:60, 1].mean())
    front = brow - rng.uniform(2.2, 5.2) * cm
    if rng.random() < (0.12 if male else 0.3):  # a fringe
        front = brow - rng.uniform(-0.3, 1.5) * cm
    temple, burn = rng.uniform(48, 64), eye + rng.uniform(-1.5, 3.5) * cm * (1.0 if male else 0.3)
    ear, nape = brow - rng.uniform(0, 1) * cm, lip + rng.uniform(0, 3) * cm
    corner = front - rng.uniform(-0.5, 1.5) * cm * male
    places = [0, temple - 16, temple, 74, 84, 90, 112, 122, 180]
    line = np.interp(degrees, places, [front, corner, (corner + burn) / 2, burn, burn, ear, ear, nape, nape])
    # Left and right alike, but for a little.
    ragged = np.resize(
        cv2.resize(rng.normal(0, 1, (1, 48)).astype(np.float32), (ATLAS_WIDTH, 1)), ATLAS_WIDTH
    )
    line = cv2.GaussianBlur((line + ragged * 0.25 * cm)[None].astype(np.float32), (0, 0), 3)[0]
    depth = (line[None] - np.arange(ATLAS_HEIGHT)[:, None]) / cm  # cm above the hairline
    soft = rng.uniform(0.3, 0.9)
    mask = np.clip(depth / soft + 0.5, 0, 1).astype(np.float32)
    full = float(rng.uniform(0.1, 1.1) if male else rng.uniform(0.4, 1.5))
    bumps = cv2.resize(rng.normal(0, 1, (9, 14)).astype(np.float32), (ATLAS_WIDTH, ATLAS_HEIGHT))
    thickness = full * np.clip(depth / 1.5, 0, 1) * (1 + 0.25 * bumps).clip(0.3, 1.7)
    strands = None
    if rng.random() < (0.07 if male else 0.7):
        strands = (float(rng.uniform(62, 96)), float(rng.uniform(4, 16)), float(rng.uniform(0.4, 1.6)))
    return Cut(mask, thickness.astype(np.float32), strands)


def paint(canvas: np.ndarray, style: Cut, color: np.ndarray, rng: np.random.Generator) -> None:
    """Colour the atlas where hair grows, in streaks."""
    streaks = rng.normal(0, 1, (10, ATLAS_WIDTH // 3)).astype(np.float32)
    low = int(np.flatnonzero(style.mask.any(1)).max(initial=-1)) + 1
    if not low:
        return
    streaks = cv2.resize(streaks, (ATLAS_WIDTH, low), interpolation=cv2.INTER_LINEAR)
    shade = 1 + np.float32(rng.uniform(0.08, 0.25)) * streaks
    share = np.clip(style.mask[:low] * (1 + np.float32(0.15) * streaks), 0, 1)[..., None]
    part = canvas[:low]
    part += (color.astype(np.float32) * shade[..., None] - part) * share


def curtain(head: Head, shape: np.ndarray, style: Cut) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hair that hangs down around the back of a head of that shape: vertices, triangles, positions on the
    atlas.
    """
    assert style.strands is not None
    begin, reach, off = style.strands
    around = np.radians(np.linspace(begin, 360 - begin, _COLUMNS))
    rows = np.linspace(0, 1, _ROWS)
    skin = shape[head.skin]
    eyes = float(shape[head.landmarks[36:48], 1].mean())
    near = skin[np.abs(skin[:, 1] - eyes) < 3]
    wide, back = float(np.abs(near[:, 0]).max()) * 0.93, float(head.axis[2] - near[:, 2].min())
    top, low = eyes + 5.5, eyes - reach
    # An ellipse around the axis, which leans out a little to below the ears.
    lean = np.interp(rows, [0, 0.35, 1], [-1.0, off, off + 0.3])[:, None]
    x = (wide + lean) * np.sin(around) + head.axis[0]
    deep = np.where(np.cos(around) < 0, back, wide)
    z = (deep + lean) * np.cos(around) + head.axis[2]
    y = np.broadcast_to((top + (low - top) * rows)[:, None], x.shape)
    vertices = np.stack([x, y, z], 2).reshape(-1, 3).astype(np.float32)
    corner = np.arange((_ROWS - 1) * _COLUMNS).reshape(_ROWS - 1, _COLUMNS)[:, :-1].ravel()
    a, b, c, d = corner, corner + 1, corner + _COLUMNS, corner + _COLUMNS + 1
    outside = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    faces = np.concatenate([outside, outside[:, ::-1]])  # seen from within as well
    # Colours of the cap at the back of the head, where hair grows for sure.
    u = 40 + np.broadcast_to(np.linspace(0, ATLAS_WIDTH * 0.2, _COLUMNS), x.shape)
    v = np.broadcast_to((10 + 60 * rows)[:, None], x.shape)
    return vertices, faces, np.stack([u, v], 2).reshape(-1, 2).astype(np.float32)
