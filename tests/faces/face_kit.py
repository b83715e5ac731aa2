"""Faces by formula: points and drawings with a known pose, and a detector that finds what is told."""

from __future__ import annotations

import cv2
import numpy as np

# Eyes, nose, mouth in units of the crop: aside, down, towards the viewer. Not the means that gantool uses.
HEAD = np.array([[-22.0, -24, 0], [22, -24, 0], [0, 1, 26], [-17, 24, 4], [17, 24, 4]])


def points(yaw=0.0, roll=0.0, size=1.0, at=(100.0, 120.0)):
    """Five points (5,2) of a head seen from afar; degrees, ``size`` 1 for 48 px from eyes to mouth."""
    a, b = np.radians([yaw, roll])
    x = HEAD[:, 0] * np.cos(a) + HEAD[:, 2] * np.sin(a)
    y = HEAD[:, 1]
    turned = np.column_stack([x * np.cos(b) - y * np.sin(b), x * np.sin(b) + y * np.cos(b)])
    return turned * size + at


def row(five, score=0.9, box=None):
    """A detector's row for five points."""
    left, top = five.min(0) - 20
    right, low = five.max(0) + 20
    box = (left, top, right - left, low - top) if box is None else box
    return np.array([*box, *five.ravel(), score], np.float32)


def drawing(five, height=240, width=220):
    """A picture with a dot of its own colour at each point, on a slope of grey."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = np.linspace(60, 120, width)[None, :, None]
    for (x, y), color in zip(five, np.eye(5, 3) * 200 + 55, strict=True):
        cv2.circle(picture, (round(x), round(y)), 4, color.tolist(), -1, cv2.LINE_AA)
    return picture
