"""A face in a picture: where it is, how it is turned, and how it gets into the aligned crop and back.

Points are pixels, x to the right and y down, the centre of the first pixel at (0, 0). The five points are,
from left to right in the picture: eye, eye, tip of the nose, corner of the mouth, corner of the mouth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from gantool import alignment
from gantool.errors import InputError, UsageError

Box = tuple[float, float, float, float]
"""Left, top, width and height in px."""

# Half the mean width of eyes and mouth, and how far the tip of the nose stands before their plane, both as
# shares of the way from the eyes to the mouth: means over 200 random heads of the ICT face model.
_HALF_WIDTH, _NOSE_DEPTH = 0.416, 0.477
# Where YuNet's box of a nearly frontal face lies in the crop of 128 px: between the medians of ORL
# (400 faces) and of five portraits, which differ by 8 px.
_BOX_IN_CROP: Box = (10.0, -10.0, 108.0, 132.0)
_INSIDE = 0.7  # share of a box inside a larger one from which it is an eye or a mouth taken for a face


@dataclass(frozen=True, eq=False)
class Face:
    """One face of one picture.

    ``box``: as the detector or the user gave it; it may reach over the picture's border.
    ``to_crop``: the similarity (2,3) from the picture into the aligned crop of 128 px.
    ``points``: the five points (5,2), None where only a box or a crop was given.
    ``score``: the detector's, in [0,1]; 1 for what the user gave.
    ``yaw``: degrees, positive where the nose points to the picture's right; None without points.
    """

    box: Box
    to_crop: np.ndarray
    points: np.ndarray | None = None
    score: float = 1.0
    yaw: float | None = None

    @classmethod
    def of_points(cls, points: np.ndarray, box: Box, score: float = 1.0) -> Face:
        """The face with five points (5,2). Raises ValueError when eyes and mouth are at one place."""
        points = np.asarray(points, np.float64)
        return cls(box, alignment.to_template(points), points, score, yaw_of(points))

    @classmethod
    def of_box(cls, box: Box) -> Face:
        """The face of which only a box from forehead to chin is known; taken to be upright and frontal."""
        left, top, width, height = box
        x, y, wide, tall = _BOX_IN_CROP
        scale = float(np.sqrt(wide * tall / (width * height)))
        middle = np.array([left + width / 2, top + height / 2])
        shift = np.array([x + wide / 2, y + tall / 2]) - scale * middle
        return cls(box, np.column_stack([np.eye(2) * scale, shift]))

    @classmethod
    def of_aligned(cls, height: int, width: int) -> Face:
        """The face of a picture that is an aligned crop already: its middle square, as it is."""
        side = min(height, width)
        left, top = (width - side) / 2, (height - side) / 2
        scale = alignment.SIDE / side
        shift = (0.5 - np.array([left, top])) * scale - 0.5
        return cls((left, top, float(side), float(side)), np.column_stack([np.eye(2) * scale, shift]))

    @property
    def area(self) -> float:
        """Of the box, px^2."""
        return self.box[2] * self.box[3]

    @property
    def crop_px(self) -> float:
        """Px of the picture that a side of the crop spans."""
        return alignment.SIDE / float(np.hypot(*self.to_crop[0, :2]))

    def record(self) -> dict[str, Any]:
        """For ``--json``: box and landmarks in px, yaw in degrees, score; null for what is not known."""
        points = None if self.points is None else np.round(self.points, 1).tolist()
        return {
            "box": [round(value, 1) for value in self.box],
            "yaw": None if self.yaw is None else round(self.yaw, 1),
            "landmarks": points,
            "score": round(self.score, 3),
        }

    def to_side(self, side: int) -> np.ndarray:
        """``to_crop`` for a crop of another side in px."""
        grown = side / alignment.SIDE
        matrix = self.to_crop * grown
        matrix[:, 2] += (grown - 1) / 2  # pixels are counted by their centres
        return matrix

    def share_inside(self, height: int, width: int) -> float:
        """How much of the crop is in a picture of that size, in [0,1]; less than 1 at the border."""
        side = float(alignment.SIDE)
        back = cv2.invertAffineTransform(self.to_crop)
        square = np.array([[-0.5, -0.5], [side - 0.5, -0.5], [side - 0.5, side - 0.5], [-0.5, side - 0.5]])
        seen = alignment.moved(square, back).astype(np.float32)
        right, low = width - 0.5, height - 0.5
        picture = np.array([[-0.5, -0.5], [right, -0.5], [right, low], [-0.5, low]], np.float32)
        shared, _ = cv2.intersectConvexConvex(seen, picture)
        return min(1.0, float(shared) / float(cv2.contourArea(seen)))


def yaw_of(points: np.ndarray) -> float:
    """How far a face is turned to the side, degrees in [-90,90], from its five points (5,2).

    The tip of the nose stands before the plane of eyes and mouth. Seen from an angle a (and from afar) it
    moves aside by depth * sin a, while the width of eyes and mouth shrinks to width * cos a; so tan a is the
    ratio of the two, each as a share of the way from the eyes to the mouth, which a turn leaves as it is.
    Exact landmarks of random heads give it within 2 to 4 degrees (RMS). A detector must guess the eye that
    a profile hides, and puts it too far out: with YuNet's points a full profile reads as 50 to 75 degrees.
    """
    points = np.asarray(points, np.float64)
    eyes, mouth = points[:2].mean(0), points[3:5].mean(0)
    down = mouth - eyes
    across = np.array([down[1], -down[0]])
    aside = float((points[2] - eyes) @ across)
    half = float((points[1] - points[0] + points[4] - points[3]) @ across) / 4
    # Points in profile may change sides by a px or two; a face is not seen from behind.
    angle = np.degrees(np.arctan2(aside * _HALF_WIDTH, max(half, 0.0) * _NOSE_DEPTH))
    return float(np.clip(angle, -90.0, 90.0))


def without_inner(faces: Sequence[Face]) -> list[Face]:
    """The faces by size, the largest first, without small ones that lie inside a larger one."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: face.area, reverse=True):
        if all(overlap(face.box, other.box) < _INSIDE * face.area for other in kept):
            kept.append(face)
    return kept


def overlap(one: Box, other: Box) -> float:
    """The area that two boxes share, px^2."""
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    tall = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(wide, 0.0) * max(tall, 0.0)


def chosen(faces: Sequence[Face], which: str | int) -> list[Face]:
    """The faces that ``which`` means: "largest", "all", or the number of one, 1 being the largest.

    Args:
        faces: the largest first, as the detector gives them.

    Raises:
        InputError: there is no face, or none of that number.
    """
    if not faces:
        remedy = "--face-box x,y,w,h says where it is, --aligned that the picture is nothing but a face"
        raise InputError("no face was found", remedy=remedy)
    if which == "all":
        return list(faces)
    number = 1 if which == "largest" else int(which)
    if not 1 <= number <= len(faces):
        count = f"{len(faces)} face{'s' if len(faces) > 1 else ''}"
        raise InputError(f"there is no face {number}: found {count}", remedy="Try --faces all")
    return [faces[number - 1]]


def which_of(text: str) -> str | int:
    """``--faces``: "largest", "all" or a number from 1. Raises UsageError."""
    if text in ("largest", "all"):
        return text
    if text.isdecimal() and 1 <= int(text) <= 9999:
        return int(text)
    what = f"--faces does not know '{text}'"
    raise UsageError(what, remedy="Write largest, all, or a number: 1 is the largest face")


def box_of(text: str) -> Box:
    """``--face-box x,y,w,h`` in px. Raises UsageError."""
    try:
        left, top, width, height = (float(part) for part in text.split(","))
    except ValueError:
        left = top = width = height = float("nan")
    if not (np.isfinite([left, top, width, height]).all() and min(width, height) >= 1):
        remedy = "Write left, top, width and height in pixels, such as --face-box 120,80,200,260"
        raise UsageError(f"--face-box does not understand '{text}'", remedy=remedy)
    return left, top, width, height
