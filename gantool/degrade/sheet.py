"""A sheet for the eye: originals in a row, and below each what became of it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

_GAP_PX = 4
_BACKGROUND = 40


def contact_sheet(columns: Sequence[tuple[np.ndarray, Sequence[np.ndarray]]]) -> np.ndarray:
    """uint8 (H,W,3): one column per original, the original on top.

    ``columns``, at least one: (original, degraded ones), uint8 (H,W,3). What is smaller than its original is
    drawn as large, pixel by pixel, so that it can be compared.
    """
    width = max(original.shape[1] for original, _ in columns)
    height = max(original.shape[0] for original, _ in columns)
    rows = max(len(results) for _, results in columns) + 1
    sheet = np.full(
        (rows * (height + _GAP_PX) + _GAP_PX, len(columns) * (width + _GAP_PX) + _GAP_PX, 3),
        _BACKGROUND,
        np.uint8,
    )
    for place, (original, results) in enumerate(columns):
        left = _GAP_PX + place * (width + _GAP_PX)
        size = (original.shape[1], original.shape[0])
        for row, picture in enumerate([original, *results]):
            top = _GAP_PX + row * (height + _GAP_PX)
            shown = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST)
            sheet[top : top + size[1], left : left + size[0]] = shown
    return sheet
