"""Judging a folder by a dozen of its pictures: label maps, or two pictures side by side?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from gantool.layouts.samples import read_labels, read_rgb

_LOOKED_AT = 12
_FLAT_SHARE = 0.8  # of a label map's neighbouring pixels are equal; of a photograph's about a tenth


def _spread(paths: Sequence[Path]) -> Sequence[Path]:
    """A dozen paths from all over the list."""
    return paths[:: max(1, len(paths) // _LOOKED_AT)][:_LOOKED_AT]


def hold_numbers(paths: Sequence[Path]) -> bool:
    """Whether most of these pictures are label maps: whole numbers, in areas of one value.

    Files that cannot be read do not count; where there are no others, the folder's name is believed.
    """
    votes = []
    for path in _spread(paths):
        numbers = read_labels(path)
        if numbers is not None:
            votes.append(float((numbers[:, 1:] == numbers[:, :-1]).mean()) >= _FLAT_SHARE)
        elif read_rgb(path) is not None:
            votes.append(False)
    return 2 * sum(votes) > len(votes) or not votes


def are_halves(paths: Sequence[Path]) -> bool:
    """Whether most of these pictures consist of two halves: twice as wide as high, or with a seam.

    Files that cannot be read do not count; True where there are no others.
    """
    votes = []
    for path in _spread(paths):
        picture = read_rgb(path)
        if picture is None:
            continue
        height, width = picture.shape[:2]
        votes.append(1.9 < width / height < 2.1 or (width % 2 == 0 and _has_seam(picture)))
    return 2 * sum(votes) > len(votes) or not votes


def _has_seam(picture: np.ndarray) -> bool:
    """Whether the brightness jumps at the very middle, as no photograph's does."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    middle = grey.shape[1] // 2
    reach = min(32, middle - 2)
    if reach < 4:
        return False
    steps = np.abs(np.diff(grey[:, middle - reach : middle + reach], axis=1)).mean(axis=0)
    around = np.delete(steps, [reach - 2, reach - 1, reach])
    return bool(steps[reach - 1] > 3 * np.median(around) + 2)
