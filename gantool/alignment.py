"""Where the parts of a face lie in an aligned crop of 128 px, and how a face gets there.

The crop is that of TP-GAN (Huang et al. 2017, 1704.04086) and LightCNN: eye line level, 48 px from the eyes
to the mouth, the eyes at a height of 40 px, in the middle. The five points are, from left to right in the
picture: eye, eye, nose tip, corner of the mouth, corner of the mouth, as detectors give them.
"""

from __future__ import annotations

import numpy as np

SIDE = 128
EYES_TO_MOUTH, EYE_HEIGHT = 48.0, 40.0
PARTS = ("left eye", "right eye", "nose", "mouth")

# A frontal face in the crop, and the boxes (left, top, width, height) of its parts, in the order of PARTS.
# With 68 points the parts are known better, so that boxes may be tighter; their sides are multiples of 8.
# TP-GAN's program counts pixels from 1; here the first one is 0.
TEMPLATE = np.array([[42.6, 40.0], [85.4, 40.0], [63.1, 63.8], [46.6, 87.9], [81.6, 88.1]])
BOXES: dict[int, tuple[tuple[int, int, int, int], ...]] = {
    5: ((23, 20, 40, 40), (65, 20, 40, 40), (43, 48, 40, 32), (40, 72, 48, 32)),
    68: ((27, 28, 32, 24), (69, 28, 32, 24), (48, 36, 32, 40), (40, 76, 48, 24)),
}

_NOSE_REACH = 0.55  # how far a nose stands before the eyes, as a share of the way from the eyes to the mouth
_NOSE_SHIFT = 10.0  # px by which the box of a nose in profile lies further back


def five_of(landmarks: np.ndarray) -> np.ndarray:
    """The five points of 68 in the order of Multi-PIE: (68,2) -> (5,2), float64."""
    marks = np.asarray(landmarks, np.float64)
    return np.stack([marks[36:42].mean(0), marks[42:48].mean(0), marks[30], marks[48], marks[54]])


def to_template(points: np.ndarray) -> np.ndarray:
    """The similarity (2,3) that takes a face with five points (5,2) into the crop, for cv2.warpAffine.

    Level is what the line of the eyes and the line from eyes to mouth say together: in profile the eyes
    nearly coincide, and their line says nothing.

    Raises:
        ValueError: eyes and mouth are at one place.
    """
    points = np.asarray(points, np.float64)
    eyes, mouth = points[:2].mean(0), points[3:5].mean(0)
    across, down = points[1] - points[0], mouth - eyes
    level = across + np.array([down[1], -down[0]])
    length = float(np.hypot(*level))
    if length < 1e-6:
        raise ValueError("eyes and mouth of a face are at one place")
    cos, sin = level / length
    turn = np.array([[cos, sin], [-sin, cos]])
    fall = float((turn @ down)[1])
    if fall < 1e-6:
        raise ValueError("eyes and mouth of a face are at one place")
    turn *= EYES_TO_MOUTH / fall
    return np.column_stack([turn, np.array([SIDE / 2, EYE_HEIGHT]) - turn @ eyes])


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points (N,2) under an affine map (2,3)."""
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def mirrored(points: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Five or 68 points of the picture seen in a mirror, in their usual order again."""
    points = np.asarray(points, np.float64)
    order = {5: _MIRROR_5, 68: _MIRROR_68}[len(points)]
    return np.column_stack([side - 1 - points[order, 0], points[order, 1]])


def corners(points: np.ndarray, landmarks: int = 0) -> np.ndarray:
    """Where the boxes of the parts begin in an aligned crop: points (5,2) or (68,2) -> int64 (4,2), x and y.

    A face at the template gets the template's boxes. The nose's lies further back the more the face is
    turned; none leaves the crop.

    Args:
        landmarks: whose boxes, 5 or 68; 0 for as many as there are points. Either can be placed by either.
    """
    points = np.asarray(points, np.float64)
    landmarks = landmarks or len(points)
    boxes = np.array(BOXES[landmarks], np.float64)
    start = _anchors(points, landmarks) - (_anchors(TEMPLATE, landmarks) - boxes[:, :2])
    five = points if len(points) == 5 else five_of(points)
    turned = (five[2, 0] - five[:2, 0].mean()) / (_NOSE_REACH * EYES_TO_MOUTH)
    start[2, 0] -= _NOSE_SHIFT * float(np.clip(turned, -1, 1))
    return np.clip(np.rint(start), 0, SIDE - boxes[:, 2:]).astype(np.int64)


def _anchors(points: np.ndarray, landmarks: int) -> np.ndarray:
    """What each box follows (4,2): the eyes, the tip of the nose or its middle, the middle of the mouth."""
    five = points if len(points) == 5 else five_of(points)
    mouth = five[3:5].mean(0) if len(points) == 5 else points[48:68].mean(0)
    nose = five[2] if landmarks == 5 else (five[:2].mean(0) + five[2]) / 2
    return np.stack([five[0], five[1], nose, mouth])


_MIRROR_5 = [1, 0, 2, 4, 3]
_MIRROR_68 = [
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *range(54, 47, -1),
    *range(59, 54, -1),
    *range(64, 59, -1),
    *(67, 66, 65),
]
