"""Drawings in which a face is found: lines and flat colours are told, photographs are not taken for them."""

import cv2
import numpy as np
import pytest

from gantool import faces
from gantool.faces import Face

FACE = Face.of_box((40.0, 30.0, 90.0, 110.0))
OUTLINES = (((85, 85), (38, 50)), ((70, 70), (7, 4)), ((100, 70), (7, 4)), ((85, 110), (14, 5)))


def photo(noise: float = 3.0) -> np.ndarray:
    """A shaded ball with the grain of a camera."""
    y, x = np.mgrid[:170, :170]
    light = 60 + 140 * np.exp(-(((x - 75) / 60) ** 2) - ((y - 80) / 70) ** 2)
    grain = np.random.default_rng(0).normal(0, noise, (170, 170, 3))
    return np.clip(light[..., None] * (1, 0.85, 0.75) + grain, 0, 255).astype(np.uint8)


def lines() -> np.ndarray:
    """A face in black lines on white."""
    paper = np.full((170, 170, 3), 255, np.uint8)
    for middle, axes in OUTLINES:
        cv2.ellipse(paper, middle, axes, 0, 0, 360, (0, 0, 0), 2, cv2.LINE_AA)
    return paper


def colours() -> np.ndarray:
    """A face in four flat colours."""
    paper = np.full((170, 170, 3), (90, 160, 220), np.uint8)
    for (middle, axes), fill in zip(
        OUTLINES, ((240, 200, 170), *[(60, 40, 20)] * 2, (200, 60, 60)), strict=True
    ):
        cv2.ellipse(paper, middle, axes, 0, 0, 360, fill, -1)
    return paper


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)


@pytest.mark.parametrize("picture", [lines(), colours(), jpeg(lines(), 90), jpeg(colours(), 95)])
def test_lines_and_flat_colours_are_told(picture):
    assert faces.looks_drawn(picture, FACE)
    assert faces.looks_drawn(picture.astype(np.uint16) * 257, FACE)


@pytest.mark.parametrize(
    "picture",
    [
        photo(),
        photo(1.0),
        jpeg(photo(), 50),
        (photo() * 0.3).astype(np.uint8),
        cv2.resize(photo(), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)[80:250, 80:250],
    ],
)
def test_photographs_are_not_taken_for_drawings(picture):
    assert not faces.looks_drawn(picture, FACE)


@pytest.mark.parametrize("box", [(40, 30, 15, 90), (-200, 30, 90, 110), (160, 160, 90, 90)])
def test_of_a_few_pixels_nothing_is_said(box):
    assert not faces.looks_drawn(lines(), Face.of_box(tuple(map(float, box))))
