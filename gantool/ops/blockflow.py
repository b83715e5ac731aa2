"""Flow from a video stream's own motion vectors: blocks, chosen for few bits rather than for truth.

A decoder tells of each block where it was fetched from, but not of which frame, only whether that was an
earlier or a later one; key frames tell nothing. So there are several guesses of the motion between two
neighbouring frames, and every place takes the one by which the pictures fit best.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from gantool.ops.flow import estimate, fill, follow, refined

Fields = dict[int, np.ndarray]  # -1: where a frame's blocks were in an earlier one; 1: in a later one

_FRAMES_APART = (1, 2, 3, 4)  # so far the other frame may be
_WINDOW = 9  # px in which a guess is judged
_SOFT = 1.5  # px: blur between blocks


def fields(vectors: np.ndarray | None, height: int, width: int) -> Fields:
    """Dense fields from a frame's blocks.

    Args:
        vectors: (N,7) float32, each block's left, top, right, bottom, and how far across and down it was
            fetched from, all in widths and heights of the frame; and -1 for an earlier frame, 1 for a later.

    Returns:
        For each direction that there is, (height,width,2) float32 px; places without a block take what is
        around them.
    """
    found: Fields = {}
    for direction in (-1, 1):
        chosen = np.empty((0, 7)) if vectors is None else vectors[vectors[:, 6] == direction]
        if not len(chosen):
            continue
        field, known = np.zeros((height, width, 2), np.float32), np.zeros((height, width), np.float32)
        size = np.array((width, height, width, height))
        corners = np.rint(chosen[:, :4] * size).astype(int).clip(0, size)
        moved = (chosen[:, 4:6] * (width, height)).astype(np.float32)
        sides = corners[:, 2:] - corners[:, :2]
        for across, down in np.unique(sides, axis=0):
            same = (sides == (across, down)).all(1)
            x = corners[same, 0, None, None] + np.arange(across)
            y = corners[same, 1, None, None] + np.arange(down)[:, None]
            field[y, x], known[y, x] = moved[same, None, None], 1
        found[direction] = fill(field, known)
    return found


def guesses(now: Fields, before: Fields) -> list[np.ndarray]:
    """What the motion of a frame into the one just before it may be, from the fields of both."""
    found = [now[-1] / apart for apart in _FRAMES_APART] if -1 in now else []
    if 1 in now:
        found += [-now[1] / apart for apart in _FRAMES_APART]
    if 1 in before:
        found.append(-before[1])  # the frame before may have been fetched from this one
    if -1 in now and -1 in before:
        found.append(now[-1] - before[-1])  # or both from a third
    return found


def estimate_from(guessed: Sequence[np.ndarray], first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Flow of ``first`` into ``second``, both grey uint8 (H,W); without any guess, by dense inverse search.

    ``guessed``: (h,w,2) float32 each, in pixels of their own size, which may be smaller than the pictures.
    """
    if not guessed:
        return estimate(first, second, "dis")
    tall, wide = guessed[0].shape[:2]
    size = (wide, tall)
    small = [cv2.resize(gray, size, interpolation=cv2.INTER_AREA) for gray in (first, second)]
    tried = [np.zeros_like(guessed[0]), *guessed]
    misfits = [
        cv2.boxFilter(cv2.absdiff(small[0], follow(small[1], flow)), cv2.CV_32F, (_WINDOW, _WINDOW))
        for flow in tried
    ]
    best = np.argmin(misfits, axis=0)[None, ..., None]
    flow = np.take_along_axis(np.stack(tried), best, 0)[0]
    flow = cv2.GaussianBlur(flow, (0, 0), _SOFT)
    height, width = first.shape
    larger = np.array((width / wide, height / tall), np.float32)
    flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * larger
    return refined(flow, first, second)
