"""Pictures of a person: the same head, face and light seen from the front and from another side.

Light and expression stay with the head, as if two cameras took it at one moment; so the pair differs by the
point of view alone, and every pixel that both see has one colour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from gantool.alignment import SIDE, five_of, moved, to_template
from gantool.heads.backdrop import clutter, plain
from gantool.heads.mesh import EYEBALL, SOCKET, normals_of
from gantool.heads.person import Person, expression
from gantool.heads.raster import rasterise

_FINE = 1.5  # pictures are drawn so much larger than the crop, and shrunk


@dataclass(frozen=True)
class View:
    """An aligned picture uint8 (128,128,3) of a face, with its 68 landmarks (68,2) in px and its yaw in
    degrees.
    """

    picture: np.ndarray
    landmarks: np.ndarray
    yaw: float

    @property
    def points(self) -> np.ndarray:
        """The five points (5,2)."""
        return five_of(self.landmarks)


@dataclass(frozen=True)
class Light:
    """Two lamps and the light from all around; directions point from the head to the lamp, colours are
    linear.
    """

    lamps: tuple[tuple[np.ndarray, np.ndarray], ...]
    sky: np.ndarray
    ground: np.ndarray


def pair(
    person: Person, yaw: float, rng: np.random.Generator, misjudged: np.ndarray | None = None
) -> tuple[View, View]:
    """(the view at that yaw, the frontal view) of one moment.

    ``misjudged``: how far off the five points (5,2) are by which the side view is aligned, px of the crop.

    The side view has a cluttered background, a little pitch and an imperfect alignment; the frontal one
    is aligned exactly, before a plain background of the same mean colour.
    """
    shape = person.vertices.copy()
    shape[: len(person.head.vertices)] += expression(person.head, rng)
    normals = normals_of(shape, person.triangles)
    light = random_light(rng)
    behind = clutter(rng)
    pitch, away = float(rng.normal(0, 5)), float(rng.uniform(45, 160))
    jitter = rng.normal(0, 0.8, (5, 2))
    if misjudged is not None:
        jitter += misjudged
    side = _drawn(person, shape, normals, light, (yaw, pitch), away, behind, jitter)
    front = _drawn(person, shape, normals, light, (0.0, 0.0), 90.0, plain(behind), None)
    return side, front


def portrait(person: Person, yaw: float, rng: np.random.Generator) -> View:
    """One view alone, as :func:`pair` gives it first."""
    shape = person.vertices.copy()
    shape[: len(person.head.vertices)] += expression(person.head, rng)
    normals = normals_of(shape, person.triangles)
    light, behind = random_light(rng), clutter(rng)
    pitch, away = float(rng.normal(0, 5)), float(rng.uniform(45, 160))
    return _drawn(person, shape, normals, light, (yaw, pitch), away, behind, rng.normal(0, 0.8, (5, 2)))


def mirrored(view: View) -> View:
    """The view in a mirror."""
    from gantool.alignment import mirrored as points_mirrored

    picture = np.ascontiguousarray(view.picture[:, ::-1])
    return replace(view, picture=picture, landmarks=points_mirrored(view.landmarks), yaw=-view.yaw)


def random_light(rng: np.random.Generator) -> Light:
    """A lamp before the face, mostly above, another one weaker, and some light from everywhere."""
    lamps = []
    for strength in (rng.uniform(0.5, 1.0), rng.uniform(0, 0.4)):
        direction = np.array([rng.normal(0, 0.7), rng.normal(0.35, 0.4), 1.0])
        warm = rng.normal(0, 0.06)
        color = strength * np.array([1 + warm, 1, 1 - warm])
        lamps.append((direction / np.linalg.norm(direction), color.astype(np.float32)))
    sky = rng.uniform(0.2, 0.45) * (1 + rng.normal(0, 0.04, 3))
    sky = sky.astype(np.float32)
    return Light(tuple(lamps), sky, sky * np.float32(rng.uniform(0.4, 0.9)))


def _drawn(
    person: Person,
    shape: np.ndarray,
    normals: np.ndarray,
    light: Light,
    pose: tuple[float, float],
    away: float,
    behind: np.ndarray,
    jitter: np.ndarray | None,
) -> View:
    """One view, ``away`` cm from the camera, before a background (128,128,3) uint8."""
    turn = _turn(*pose)
    seen = (shape - person.head.axis) @ turn.T
    flat = seen[:, :2] * (away / (away - seen[:, 2:])) * (1, -1)
    found = five_of(flat[person.head.landmarks])
    matrix = to_template(found)
    if jitter is not None:  # a detector's points are a little off
        matrix = to_template(found + jitter / np.hypot(*matrix[0, :2]))
    at = moved(flat, matrix)
    landmarks = at[person.head.landmarks]
    side = round(SIDE * _FINE)
    screen = np.column_stack([(at + 0.5) * _FINE - 0.5, seen[:, 2]]).astype(np.float32)
    covered = rasterise(screen, person.triangles, side)
    values = np.column_stack([normals, person.open, person.uv]).astype(np.float32)
    mixed = covered.mixed(values)
    # The eye of the viewer, in the head's own frame, where the normals and lamps are.
    viewer = turn.T @ np.array([0.0, 0.0, 1.0])
    color = _shaded(person, mixed, person.region[covered.triangle], light, viewer)
    picture = cv2.resize(behind, (side, side), interpolation=cv2.INTER_LINEAR).reshape(-1, 3)
    picture[covered.pixel] = color
    picture = cv2.resize(picture.reshape(side, side, 3), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return View(picture, landmarks, pose[0])


def _turn(yaw: float, pitch: float) -> np.ndarray:
    """The rotation (3,3) of a head: yaw about y, then pitch about x (positive: it looks down)."""
    (sy, sp), (cy, cp) = np.sin(np.radians([yaw, pitch])), np.cos(np.radians([yaw, pitch]))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    return (about_x @ about_y).astype(np.float32)


def _shaded(
    person: Person, mixed: np.ndarray, region: np.ndarray, light: Light, viewer: np.ndarray
) -> np.ndarray:
    """Colours uint8 (M,3) of covered pixels from their normals, openness and places on the atlas."""
    normal = mixed[:, :3]
    normal = normal / np.maximum(np.sqrt((normal * normal).sum(1, keepdims=True)), 1e-6)
    albedo = np.square(_looked_up(person.atlas, mixed[:, 4:6]) / 255)  # near enough to linear light
    albedo[region == SOCKET] *= (0.25, 0.12, 0.12)
    level = (0.5 + 0.5 * normal[:, 1:2]).astype(np.float32)
    total = light.ground + (light.sky - light.ground) * level
    shine = np.zeros(len(normal), np.float32)
    for direction, strength in light.lamps:
        facing = normal @ direction.astype(np.float32)
        # Light goes under the skin and comes out red beside the shadow.
        soft = np.clip((facing[:, None] + _WRAP) / (1 + _WRAP), 0, None)
        total = total + soft * strength
        half = direction + viewer
        half = (half / np.linalg.norm(half)).astype(np.float32)
        glint = np.clip(normal @ half, 0, 1)
        square = glint * glint
        gloss = np.float32(person.gloss) * np.power(square, 6)
        ball = region == EYEBALL
        gloss[ball] = 0.8 * np.power(square[ball], 30)
        shine += gloss * strength[1]
    linear = albedo * total * mixed[:, 3:4] + shine[:, None] * mixed[:, 3:4]
    return (np.sqrt(np.clip(linear, 0, 1)) * 255).astype(np.uint8)


def _looked_up(atlas: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Colours float32 (M,3) at places (M,2) of an atlas."""
    rows = -(-len(uv) // 256)  # cv2 takes no picture wider than 32766 px
    spots = np.zeros((rows * 256, 2), np.float32)
    spots[: len(uv)] = uv
    x, y = spots[:, 0].reshape(rows, 256), spots[:, 1].reshape(rows, 256)
    found = cv2.remap(atlas, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, 3)[: len(uv)].astype(np.float32)


_WRAP = np.array([0.35, 0.22, 0.18], np.float32)
