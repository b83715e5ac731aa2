"""Pictures that are in a training set more than once: the same file, or copies of other size and quality."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from gantool.datacheck.look import Look
from gantool.layouts.samples import read_rgb

_BITS_APART = 7  # of 64, between the fingerprints of copies; four bands of 16 find every such pair
_SIDE = 64


@dataclass
class Copies:
    """A picture and its copies; ``identical`` lists those that are the same file byte for byte."""

    first: Look
    identical: list[Look] = field(default_factory=list)
    similar: list[Look] = field(default_factory=list)

    @property
    def all(self) -> list[Look]:
        """The first and its copies."""
        return [self.first, *self.identical, *self.similar]


def find_copies(looks: Sequence[Look]) -> list[Copies]:
    """Pictures that occur more than once among readable files, in the order of ``looks``.

    Similar fingerprints are a hint only: the pixels of both pictures decide.
    """
    groups: dict[bytes, Copies] = {}
    for look in looks:
        if look.digest in groups:
            groups[look.digest].identical.append(look)
        else:
            groups[look.digest] = Copies(look)
    same = _comparison()
    bands: dict[tuple[int, int], list[Copies]] = defaultdict(list)
    for group in list(groups.values()):
        mark = group.first.fingerprint
        if mark is None:
            continue
        other = next((g for g in _near(mark, bands) if same(g.first.path, group.first.path)), None)
        if other is None:
            for place, value in _bands(mark):
                bands[place, value].append(group)
        else:
            other.similar += group.all
            del groups[group.first.digest]
    return [group for group in groups.values() if group.identical or group.similar]


def _bands(mark: int) -> list[tuple[int, int]]:
    return [(place, mark >> 16 * place & 0xFFFF) for place in range(4)]


def _near(mark: int, bands: dict[tuple[int, int], list[Copies]]) -> list[Copies]:
    """Groups of a fingerprint at most 7 bits apart: one of its four bands then differs by one bit or none."""
    found: dict[int, Copies] = {}
    for place, value in _bands(mark):
        for probe in (value, *(value ^ 1 << bit for bit in range(16))):
            for group in bands.get((place, probe), ()):
                other = group.first.fingerprint
                if other is not None and (other ^ mark).bit_count() <= _BITS_APART:
                    found[id(group)] = group
    return list(found.values())


def _comparison() -> Callable[[Path, Path], bool]:
    """A function that tells from the pixels whether two files show the same picture."""

    @functools.lru_cache(maxsize=512)
    def small(path: Path) -> tuple[np.ndarray, float] | None:
        picture = read_rgb(path)
        if picture is None:
            return None
        reduced = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        return reduced.astype(np.float32), picture.shape[1] / picture.shape[0]

    def same(one: Path, other: Path) -> bool:
        a, b = small(one), small(other)
        if a is None or b is None or not 0.98 < a[1] / b[1] < 1.02:
            return False
        # What compression and resizing change is little against the picture's own contrast.
        return float(np.abs(a[0] - b[0]).mean()) <= 0.5 + 0.05 * float(a[0].std())

    return same
