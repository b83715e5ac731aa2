"""Flow from a stream's motion vectors: guesses of which the pictures choose."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from moving_pictures import HEIGHT, WIDTH, scene, view

from gantool.ops import blockflow
from gantool.ops import flow as optical


def blocks(across: float, down: float, direction: int, size: int = 16, skip: int = 0) -> np.ndarray:
    """A frame whose every block was fetched from so many px away; of each ``skip``, one is missing."""
    corners = [(x, y) for y in range(0, HEIGHT, size) for x in range(0, WIDTH, size)]
    kept = [corner for index, corner in enumerate(corners) if not skip or index % skip]
    rows = [
        (x / WIDTH, y / HEIGHT, (x + size) / WIDTH, (y + size) / HEIGHT, across / WIDTH, down / HEIGHT)
        for x, y in kept
    ]
    return np.float32([(*row, direction) for row in rows])


def grays(step: int) -> list[np.ndarray]:
    picture = scene(1)
    return [view(picture, 40 + step * t, 20)[..., 0] for t in range(2)]


@pytest.mark.parametrize("size", [4, 8, 16])
def test_blocks_become_a_field_at_any_size_and_holes_are_filled(size):
    for height, width in ((72, 96), (71, 50), (1, 1)):
        found = blockflow.fields(blocks(6, -3, -1, size, skip=5), height, width)
        assert list(found) == [-1] and found[-1].shape == (height, width, 2)
        expected = (6 * width / WIDTH, -3 * height / HEIGHT)
        assert np.allclose(found[-1], expected, atol=1e-3)
    assert blockflow.fields(None, 72, 96) == {}


@pytest.mark.parametrize(
    ("now", "before"),
    [
        ([(5, 0, -1)], []),
        ([(15, 0, -1)], []),  # fetched from three frames ago
        ([(-10, 0, 1)], []),  # from two frames ahead
        ([(40, 30, -1), (-5, 0, 1)], []),  # one of them is of no use
        ([], [(-5, 0, 1)]),  # the frame before was fetched from this one
        ([(25, 0, -1)], [(20, 0, -1)]),  # both from a key frame long ago
        ([], []),
    ],
)
def test_the_right_guess_is_taken(now, before):
    """The scene moves by 5 px to the left, so a frame finds itself 5 px to the right of before."""
    earlier, gray = grays(5)

    def told(vectors):
        stacked = np.concatenate([blocks(*one) for one in vectors]) if vectors else None
        return blockflow.fields(stacked, HEIGHT // 2, WIDTH // 2)

    guessed = blockflow.guesses(told(now), told(before))
    flow = blockflow.estimate_from(guessed, gray, earlier)
    assert flow.shape == (HEIGHT, WIDTH, 2) and flow.dtype == np.float32
    inner = flow[20:-20, 20:-20]
    assert abs(np.median(inner[..., 0]) - 5) < 0.1 and abs(np.median(inner[..., 1])) < 0.1
    back = blockflow.estimate_from([-one for one in guessed], earlier, gray)
    assert optical.consistent(flow, back)[20:-20, 20:-20].mean() > 0.95


def test_places_choose_on_their_own():
    """A thing moves over a still scene, and the vectors of all blocks are those of the thing."""
    rng = np.random.default_rng(0)
    patch = cv2.resize(rng.integers(0, 256, (20, 20), dtype=np.uint8), (60, 60))
    first, second = (view(scene(1))[..., 0].copy() for _ in range(2))
    first[40:100, 60:120], second[40:100, 52:112] = patch, patch
    guessed = blockflow.guesses(blockflow.fields(blocks(-8, 0, -1), 72, 96), {})
    flow = blockflow.estimate_from(guessed, first, second)
    assert abs(np.median(flow[50:90, 70:110, 0]) + 8) < 0.2
    assert np.abs(flow[:, 140:]).mean() < 0.1
