"""One invented person: the shape of the head, its skin, eyes and brows painted on an atlas, and hair.

Everything follows from a random generator. Nothing here imitates anybody: weights of identity are those of
the file's own distribution, colours are drawn from ranges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gantool.heads import hair, paint
from gantool.heads.mesh import ATLAS_HEIGHT, ATLAS_WIDTH, Head, normals_of

_SKINS = np.array(  # from light to dark, sRGB
    [[240, 206, 184], [229, 186, 160], [205, 155, 122], [172, 120, 86], [128, 84, 58], [84, 56, 42]],
    np.float32,
)
_HAIRS = np.array(
    [[24, 19, 17], [46, 32, 24], [84, 56, 36], [126, 88, 54], [186, 146, 92], [150, 76, 44], [150, 148, 146]],
    np.float32,
)
_HAIR_ODDS = (0.3, 0.24, 0.16, 0.1, 0.08, 0.04, 0.08)
_IRISES = np.array([[66, 44, 30], [98, 66, 38], [92, 110, 72], [96, 128, 156], [112, 118, 122]], np.float32)


@dataclass(frozen=True)
class Person:
    """A head of one person with a calm face.

    ``vertices`` (N,3): the head's, then those of long hair. ``triangles`` (T,3), ``uv`` (N,2) and ``open``
    (N,) likewise; ``region`` (T,) as in :class:`Head`, :data:`hair.REGION` for hair. ``atlas`` uint8 sRGB.
    ``gloss``: how much skin shines.
    """

    head: Head
    vertices: np.ndarray
    triangles: np.ndarray
    region: np.ndarray
    uv: np.ndarray
    open: np.ndarray
    atlas: np.ndarray
    gloss: float


def person(head: Head, rng: np.random.Generator) -> Person:
    """A person that the generator draws."""
    shape = _shape(head, rng)
    tone = float(rng.uniform(0, len(_SKINS) - 1))
    skin = _between(_SKINS, tone) * rng.uniform(0.93, 1.07, 3)
    dark = rng.random() < 0.25 + 0.12 * tone
    hair_color = _HAIRS[rng.integers(2)] if dark else _HAIRS[rng.choice(len(_HAIRS), p=_HAIR_ODDS)]
    hair_color = hair_color * rng.uniform(0.85, 1.15)
    iris = _IRISES[0 if dark else rng.integers(len(_IRISES))] * rng.uniform(0.8, 1.2)
    male = rng.random() < 0.5
    cut = hair.cut(head, rng, male)
    look = paint.Look(skin, hair_color, iris, male, rng)
    canvas = paint.skin_of(head, look)
    paint.features(canvas, head, look)
    hair.paint(canvas, cut, hair_color, rng)
    if rng.random() < 0.12:
        paint.glasses(canvas, head, rng)
    paint.eyes(canvas, look)
    vertices, triangles, region, uv, openness = _with_hair(head, shape, cut)
    atlas = np.clip(canvas, 0, 255).astype(np.uint8)
    return Person(head, vertices, triangles, region, uv, openness, atlas, float(rng.uniform(0.02, 0.16)))


def _shape(head: Head, rng: np.random.Generator) -> np.ndarray:
    """The mean head with random weights of identity, (N,3)."""
    weights = rng.normal(0, 1, len(head.identity)).clip(-2.2, 2.2).astype(np.float32)
    return head.vertices + (weights @ head.identity).reshape(-1, 3)


def _with_hair(head: Head, shape: np.ndarray, cut: hair.Cut) -> tuple[np.ndarray, ...]:
    """The head with its hair: on the scalp as its thickness, hanging down as a mesh of its own."""
    thick = _looked_up(cut.thickness, head.uv) * head.skin
    vertices = shape + normals_of(shape, head.triangles) * thick[:, None]
    if cut.strands is None:
        return vertices, head.triangles, head.region, head.uv, head.open
    hanging, faces, uv = hair.curtain(head, shape, cut)
    region = np.full(len(faces), hair.REGION, head.region.dtype)
    return (
        np.concatenate([vertices, hanging]).astype(np.float32),
        np.concatenate([head.triangles, faces + len(vertices)]),
        np.concatenate([head.region, region]),
        np.concatenate([head.uv, uv]).astype(np.float32),
        np.concatenate([head.open, np.full(len(hanging), 0.9, np.float32)]),
    )


def _looked_up(picture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Values of a picture of the atlas's size (H,W) at atlas positions (N,2) -> (N,)."""
    x = np.clip(np.rint(uv[:, 0]), 0, ATLAS_WIDTH - 1).astype(np.int64)
    y = np.clip(np.rint(uv[:, 1]), 0, ATLAS_HEIGHT - 1).astype(np.int64)
    return picture[y, x]


def _between(colors: np.ndarray, place: float) -> np.ndarray:
    low = min(int(place), len(colors) - 2)
    return colors[low] + (colors[low + 1] - colors[low]) * (place - low)


def expression(head: Head, rng: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """What a random expression adds to the head's vertices (N,3).

    Often nothing, otherwise a few directions at once; muscles of both sides mostly move together.
    """
    total = np.zeros_like(head.vertices)
    if not len(head.names) or rng.random() < 0.3:
        return total
    stems = sorted({name.removesuffix("_L").removesuffix("_R") for name in head.names})
    stems = [stem for stem in stems if not stem.startswith(("Pupil", "eyeLook"))]
    for stem in rng.choice(stems, min(len(stems), int(rng.integers(1, 6))), replace=False):
        weight = strength * float(rng.uniform(0.1, 0.7)) * _LIMITS.get(str(stem), 1.0)
        tilt = 1 + float(rng.normal(0, 0.12))
        for name, share in ((stem, 1.0), (f"{stem}_L", tilt), (f"{stem}_R", 2 - tilt)):
            if name in head.names:
                total += weight * share * head.expression[head.names.index(name)]
    return total


_LIMITS = {
    "jawOpen": 0.5,
    "eyeBlink": 0.6,
    "jawLeft": 0.4,
    "jawRight": 0.4,
    "mouthLeft": 0.5,
    "mouthRight": 0.5,
}
