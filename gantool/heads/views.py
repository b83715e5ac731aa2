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

_BEHIND = 0.4  # cm by which a point may lie behind what is drawn and still count as seen
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
class Trace:
    """Where the pixels of a frontal view, every second one of a row and of a column, lie in the other view.

    Args:
        at: (64,64,2) float32, x and y in px of the other crop, also where something hides them there.
        seen: (64,64) float32, 1 where the other view shows them, 0 where they are hidden or turned away.
        covered: (64,64) bool, False before the background, where the other two mean nothing.
    """

    at: np.ndarray
    seen: np.ndarray
    covered: np.ndarray


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
    return traced_pair(person, yaw, rng, misjudged)[:2]


def traced_pair(
    person: Person, yaw: float, rng: np.random.Generator, misjudged: np.ndarray | None = None
) -> tuple[View, View, Trace]:
    """As :func:`pair`, and where what the frontal view shows lies in the other one."""
    shape = person.vertices.copy()
    shape[: len(person.head.vertices)] += expression(person.head, rng)
    normals = normals_of(shape, person.triangles)
    light = random_light(rng)
    behind = clutter(rng)
    pitch, away = float(rng.normal(0, 5)), float(rng.uniform(45, 160))
    jitter = rng.normal(0, 0.8, (5, 2))
    if misjudged is not None:
        jitter += misjudged
    there = _placed(person, shape, (yaw, pitch), away, jitter)
    here = _placed(person, shape, (0.0, 0.0), 90.0, None)
    side = _drawn(person, there, normals, light, behind)
    front = _drawn(person, here, normals, light, plain(behind))
    return side, front, _traced(person, there, here)


def portrait(person: Person, yaw: float, rng: np.random.Generator) -> View:
    """One view alone, as :func:`pair` gives it first."""
    shape = person.vertices.copy()
    shape[: len(person.head.vertices)] += expression(person.head, rng)
    normals = normals_of(shape, person.triangles)
    light, behind = random_light(rng), clutter(rng)
    pitch, away = float(rng.normal(0, 5)), float(rng.uniform(45, 160))
    placed = _placed(person, shape, (yaw, pitch), away, rng.normal(0, 0.8, (5, 2)))
    return _drawn(person, placed, normals, light, behind)


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


@dataclass(frozen=True)
class _Placed:
    """A head in the crop of one camera: ``at`` (N,2) px, ``depth`` (N,) towards it, and its pose."""

    at: np.ndarray
    depth: np.ndarray
    turn: np.ndarray
    yaw: float

    def screen(self, scale: float) -> np.ndarray:
        """(N,3) float32 for :func:`rasterise`, in a crop so much larger."""
        return np.column_stack([(self.at + 0.5) * scale - 0.5, self.depth]).astype(np.float32)


def _placed(
    person: Person, shape: np.ndarray, pose: tuple[float, float], away: float, jitter: np.ndarray | None
) -> _Placed:
    """The head's vertices (N,3), ``away`` cm from the camera, in a crop aligned by points that are off."""
    turn = _turn(*pose)
    seen = (shape - person.head.axis) @ turn.T
    flat = seen[:, :2] * (away / (away - seen[:, 2:])) * (1, -1)
    found = five_of(flat[person.head.landmarks])
    matrix = to_template(found)
    if jitter is not None:  # a detector's points are a little off
        matrix = to_template(found + jitter / np.hypot(*matrix[0, :2]))
    return _Placed(moved(flat, matrix), seen[:, 2], turn, pose[0])


def _drawn(person: Person, placed: _Placed, normals: np.ndarray, light: Light, behind: np.ndarray) -> View:
    """One view before a background (128,128,3) uint8."""
    side = round(SIDE * _FINE)
    covered = rasterise(placed.screen(_FINE), person.triangles, side)
    values = np.column_stack([normals, person.open, person.uv]).astype(np.float32)
    mixed = covered.mixed(values)
    # The eye of the viewer, in the head's own frame, where the normals and lamps are.
    viewer = placed.turn.T @ np.array([0.0, 0.0, 1.0])
    color = _shaded(person, mixed, person.region[covered.triangle], light, viewer)
    picture = cv2.resize(behind, (side, side), interpolation=cv2.INTER_LINEAR).reshape(-1, 3)
    picture[covered.pixel] = color
    picture = cv2.resize(picture.reshape(side, side, 3), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return View(picture, placed.at[person.head.landmarks], placed.yaw)


def _traced(person: Person, there: _Placed, here: _Placed) -> Trace:
    """Where the points that the view ``here`` shows lie ``there``, and whether they are seen there."""
    half = SIDE // 2
    covered = rasterise(here.screen(0.5), person.triangles, half)
    found = covered.mixed(np.column_stack([there.at, there.depth]).astype(np.float32))
    nearest = np.full((SIDE, SIDE), -np.inf, np.float32)
    drawn = rasterise(there.screen(1.0), person.triangles, SIDE)
    nearest.reshape(-1)[drawn.pixel] = drawn.mixed(there.depth[:, None].astype(np.float32))[:, 0]
    # The farthest of the neighbours: at a steep surface depth changes much within a pixel.
    nearest = cv2.erode(nearest, np.ones((3, 3), np.uint8))
    x, y = (np.clip(np.rint(found[:, i]), 0, SIDE - 1).astype(np.int64) for i in (0, 1))
    inside = (found[:, :2] >= -0.5).all(1) & (found[:, :2] <= SIDE - 0.5).all(1)
    at, seen = np.zeros((half * half, 2), np.float32), np.zeros(half * half, np.float32)
    mask = np.zeros(half * half, bool)
    at[covered.pixel] = found[:, :2]
    seen[covered.pixel] = inside & (found[:, 2] > nearest[y, x] - _BEHIND)
    mask[covered.pixel] = True
    return Trace(at.reshape(half, half, 2), seen.reshape(half, half), mask.reshape(half, half))


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
