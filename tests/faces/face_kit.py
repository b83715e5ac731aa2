"""Faces by formula: points and drawings with a known pose, and a detector that finds what is told."""

from __future__ import annotations

import cv2
import numpy as np

from gantool.faces import Face, without_inner

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


def blob(picture, at, height=60, yaw=0):
    """Draw a face that :func:`find_blobs` finds: a red patch in waves, whose blue says how it is turned."""
    x, y, wide = round(at[0]), round(at[1]), round(height * 0.8)
    low, left = max(y - height // 2, 0), max(x - wide // 2, 0)
    patch = picture[low : y + height // 2, left : x + wide // 2]
    patch[:] = (220, 40, 90 + yaw)
    tall, across = patch.shape[:2]
    waves = np.add.outer(np.sin(np.arange(tall) / 2.5), np.sin(np.arange(across) / 2))
    patch[..., 0] = np.rint(215 + 18 * waves)
    return picture


def find_blobs(picture):
    """A detector for :func:`blob`, which knows nothing but the picture."""
    eight = picture if picture.dtype == np.uint8 else (picture >> 8).astype(np.uint8)
    red = (eight[..., 0].astype(int) - eight[..., 1] > 100).astype(np.uint8)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(red)
    found = []
    for i in range(1, count):
        x, y, wide, tall, area = (float(value) for value in stats[i])
        if area < 30:
            continue
        five = points(float(eight[labels == i, 2].mean()) - 90, size=tall / 120, at=tuple(centres[i]))
        found.append(Face.of_points(five, (x, y, wide, tall), 0.9))
    return without_inner(found)


def frontalizer(path, seed=0):
    """A small net of frontalize with random weights, for crops of 16 px."""
    import torch

    from gantool.catalog import Checkpoint
    from gantool.loading import save_model
    from gantool.models.frontalizer import FrontalGenerator

    torch.manual_seed(seed)
    row = Checkpoint(
        "tiny-front",
        "frontalize",
        arch="frontalizer.FrontalGenerator",
        args={"width": 2, "depth": 3},
        signed=True,
        whole=True,
    )
    save_model(path, FrontalGenerator(2, 3), row)
    return path
