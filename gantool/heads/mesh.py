"""The head that can be anybody's: a mesh with directions of identity and expression, and its atlas.

The file is an ``.npz`` with the arrays that :data:`ARRAYS` names, such as those of ICT-FaceKit (USC Institute
for Creative Technologies, MIT licence). It is no part of gantool.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gantool.errors import InputError

# name -> (number of dimensions, what it is)
ARRAYS = {
    "vertices": (2, "N x 3, the mean head in cm: +x to its left, +y up, +z out of the face"),
    "triangles": (2, "T x 3 vertex numbers, counter-clockwise seen from outside"),
    "triangle_region": (
        1,
        "T: 0 and 1 face, 2 head and neck, 3 eyeball, 4 iris, 5 sockets of eyes and mouth",
    ),
    "identity": (3, "K x N x 3, what weights of N(0,1) add to the vertices"),
    "expression": (3, "E x N x 3, what weights of 0..1 add"),
    "expression_names": (1, "E names, such as jawOpen and mouthSmile_L"),
    "landmarks68": (1, "68 vertex numbers in the order of Multi-PIE"),
}
EYEBALL, IRIS, SOCKET = 3, 4, 5

ATLAS_WIDTH, ATLAS_HEIGHT = 512, 400
EYE_PATCH = 56  # px, side of the squares for the eyeballs, below the skin
_SKIN_HEIGHT = ATLAS_HEIGHT - EYE_PATCH


@dataclass(frozen=True)
class Head:
    """A morphable head and where each vertex lies on its picture, the atlas.

    ``uv`` (N,2) float32 px: skin on a cylinder around the head, the nose in the middle; each eyeball on a
    square of its own. ``open`` (N,) is 1 in the open and less in hollows. ``skin`` (N,) is False for
    eyeballs. ``axis`` is the foot of the cylinder's axis, about which heads turn.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    region: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    names: tuple[str, ...]
    landmarks: np.ndarray
    uv: np.ndarray
    open: np.ndarray
    skin: np.ndarray
    axis: np.ndarray

    @property
    def marks(self) -> np.ndarray:
        """The 68 landmarks on the atlas, px (68,2)."""
        return self.uv[self.landmarks]

    @property
    def px_per_cm(self) -> float:
        """How finely the atlas shows skin, from top to bottom."""
        return _SKIN_HEIGHT / float(np.ptp(self.vertices[self.skin, 1]))


def load(path: Path) -> Head:
    """Read a head.

    Raises:
        InputError: the file is missing, is no such head, or its arrays do not fit together.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ARRAYS if name in file.files}
    except FileNotFoundError:
        raise InputError("no such head file", path, "Check the name") from None
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError("not a file of arrays (.npz)", path, _REMEDY) from error
    _check(arrays, path)
    return head_of(arrays)


_REMEDY = "A morphable head is an .npz with " + ", ".join(ARRAYS)


def _check(arrays: dict[str, np.ndarray], path: Path) -> None:
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise InputError(f"no morphable head: it lacks {', '.join(missing)}", path, _REMEDY)
    wrong = [name for name, (ndim, _) in ARRAYS.items() if arrays[name].ndim != ndim]
    count = len(arrays["vertices"])
    shapes = {
        "vertices": (count, 3),
        "triangles": (len(arrays["triangles"]), 3),
        "triangle_region": (len(arrays["triangles"]),),
        "identity": (len(arrays["identity"]), count, 3),
        "expression": (len(arrays["expression"]), count, 3),
        "expression_names": (len(arrays["expression"]),),
        "landmarks68": (68,),
    }
    wrong = wrong or [name for name, shape in shapes.items() if arrays[name].shape != shape]
    for name in ("triangles", "landmarks68"):
        if not wrong and (arrays[name].dtype.kind not in "ui" or not 0 <= arrays[name].max() < count):
            wrong = [name]
    if wrong:
        raise InputError(
            f"no morphable head: {wrong[0]} does not fit", path, f"{wrong[0]}: {ARRAYS[wrong[0]][1]}"
        )


def head_of(arrays: dict[str, np.ndarray]) -> Head:
    """A head of the arrays that :data:`ARRAYS` names."""
    vertices = arrays["vertices"].astype(np.float32)
    triangles, region = arrays["triangles"].astype(np.int64), arrays["triangle_region"]
    # The cornea covers the iris: the ball is painted instead.
    triangles, region = triangles[region != IRIS], region[region != IRIS]
    landmarks = arrays["landmarks68"].astype(np.int64)
    ball = np.zeros(len(vertices), bool)
    ball[triangles[region == EYEBALL]] = True
    # The cylinder stands between the ears, about as far behind the eyes as a face is wide.
    eyes = vertices[landmarks[36:48]].mean(0)
    wide = float(np.ptp(vertices[landmarks[:17], 0]))
    axis = np.array([0.0, eyes[1], eyes[2] - 0.62 * wide], np.float32)
    return Head(
        vertices,
        triangles,
        region,
        arrays["identity"].astype(np.float32).reshape(len(arrays["identity"]), -1),
        arrays["expression"].astype(np.float32),
        tuple(str(name) for name in arrays["expression_names"]),
        landmarks,
        _atlas(vertices, ball, axis),
        _openness(vertices, triangles),
        ~ball,
        axis,
    )


def _atlas(vertices: np.ndarray, ball: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Where each vertex lies on the atlas, px (N,2)."""
    around = np.arctan2(vertices[:, 0] - axis[0], vertices[:, 2] - axis[2])
    uv = np.empty((len(vertices), 2), np.float32)
    uv[:, 0] = (around / np.pi + 1) / 2 * (ATLAS_WIDTH - 1)
    high = vertices[~ball, 1]
    uv[:, 1] = (high.max() - vertices[:, 1]) / max(float(np.ptp(high)), 1e-6) * (_SKIN_HEIGHT - 1)
    for number, side in enumerate((vertices[:, 0] < 0, vertices[:, 0] >= 0)):
        mine = ball & side
        if not mine.any():
            continue
        middle = (vertices[mine].min(0) + vertices[mine].max(0)) / 2
        radius = float(np.ptp(vertices[mine, 1])) / 2
        flat = (vertices[mine, :2] - middle[:2]) / max(radius, 1e-6) * (1, -1)
        patch = np.array([EYE_PATCH * (number + 0.5), _SKIN_HEIGHT + EYE_PATCH / 2])
        uv[mine] = patch + flat * (EYE_PATCH / 2 - 2)
    return uv


def _openness(vertices: np.ndarray, triangles: np.ndarray, rounds: int = 24) -> np.ndarray:
    """How little of the sky its surroundings hide from a vertex, roughly, 0..1: less in a hollow."""
    normals = normals_of(vertices, triangles)
    i, j = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).T
    count = np.maximum(np.bincount(j, minlength=len(vertices)), 1)[:, None]
    smooth = vertices.astype(np.float64)
    depth = np.zeros(len(vertices))
    for step in range(1, rounds + 1):
        smooth = np.stack([np.bincount(j, smooth[i, axis], len(vertices)) for axis in range(3)], 1) / count
        if step in (6, rounds):
            depth += ((smooth - vertices) * normals).sum(1)
    scale = float(np.ptp(vertices[:, 1])) / 34  # cm
    return np.clip(1 - 0.9 * np.clip(depth / scale, 0, 0.7), 0, 1).astype(np.float32)


def normals_of(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals of the vertices (N,3) float32, each triangle counting by its area."""
    i, j, k = triangles.T
    a, b, c = vertices[i], vertices[j], vertices[k]
    p, q = b - a, c - a
    face = (
        p[:, 1] * q[:, 2] - p[:, 2] * q[:, 1],
        p[:, 2] * q[:, 0] - p[:, 0] * q[:, 2],
        p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0],
    )
    corners = triangles.T.ravel()
    total = np.stack([np.bincount(corners, np.tile(n, 3), len(vertices)) for n in face], 1)
    length = np.sqrt((total * total).sum(1, keepdims=True))
    return (total / np.maximum(length, 1e-12)).astype(np.float32)
