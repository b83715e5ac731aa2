"""A contact sheet: samples from all over a training set, so that eyes can judge what no check sees."""

from __future__ import annotations

import colorsys
import functools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from gantool.layouts import DO_NOT_CARE, Layout, Sample, read_labels, read_rgb
from gantool.layouts.samples import halves
from gantool.media import png
from gantool.media.files import atomic

_PAPER, _INK, _MISSING = (245, 245, 245), (40, 40, 40), (200, 60, 60)
_BOX = 225
_GAP_PX, _CAPTION_PX, _LETTER_PX = 6, 18, 7
_GOLDEN = 0.6180339887


def contact_sheet(
    layout: Layout, path: Path, *, count: int = 16, side_px: int = 192, overwrite: bool = True
) -> Path:
    """Write a PNG of ``count`` samples, a quarter of them held out, the parts of each side by side.

    Pictures are fitted into squares of ``side_px``; class numbers are shown in distinct colours; a file that
    cannot be read is a red cross. An unpaired layout shows pictures of A beside pictures of B.

    Raises:
        OutputError: the file cannot be written.
    """
    train, held = _chosen(layout, count)
    rows = [(_caption(layout, parts, ""), parts) for parts in train]
    rows += [(_caption(layout, parts, "[held out] "), parts) for parts in held]
    shown = [
        [_fitted(picture, side_px) for part in parts for picture in _pictures(*part)] for _, parts in rows
    ]
    height = max(picture.shape[0] for pictures in shown for picture in pictures)
    cells = [
        _cell(words, pictures, height, side_px) for (words, _), pictures in zip(rows, shown, strict=True)
    ]
    columns = min(len(cells), 4 if len(shown[0]) <= 2 else 2)
    blank = np.full_like(cells[0], _PAPER[0])
    cells += [blank] * (-len(cells) % columns)
    strips = [np.hstack(cells[at : at + columns]) for at in range(0, len(cells), columns)]
    sheet = cv2.copyMakeBorder(np.vstack(strips), _GAP_PX, 0, _GAP_PX, 0, cv2.BORDER_CONSTANT, value=_PAPER)
    with atomic(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(png.encode(sheet))
    return path


def painted(numbers: np.ndarray) -> np.ndarray:
    """Class or instance numbers (H,W) as uint8 RGB (H,W,3): a colour per number, black for 255."""
    palette = _palette()
    colors = palette[numbers.astype(np.int64) % len(palette)]
    colors[numbers == DO_NOT_CARE] = 0
    return colors


@functools.cache
def _palette() -> np.ndarray:
    """4096 colours (4096,3) of which neighbours differ well: hues a golden section apart, three shades."""
    colors = [
        colorsys.hsv_to_rgb(i * _GOLDEN % 1, (0.75, 0.5, 0.95)[i % 3], (0.95, 0.8, 0.6)[i // 3 % 3])
        for i in range(4096)
    ]
    return np.round(np.array(colors) * 255).astype(np.uint8)


Part = tuple[str, Path | None]  # what it is, and its file


def _chosen(layout: Layout, count: int) -> tuple[list[list[Part]], list[list[Part]]]:
    """Samples to train on and held-out ones, each as its parts, from all over the layout."""
    if layout.kind == "unpaired":
        train = _rows_of_both(layout.train_a, layout.train_b)
        held = _rows_of_both(layout.held_a, layout.held_b)
    else:
        kinds = {"labels": ("label", "inst", "photo"), "pairs": ("A", "B")}.get(layout.kind, (layout.kind,))
        train, held = (
            [[(kind, path) for kind, path in zip(kinds, s.paths, strict=True) if path] for s in samples]
            for samples in (layout.train, layout.held)
        )
    later = min(len(held), max(count // 4, count - len(train)))
    return _spread(train, count - later), _spread(held, later)


def _rows_of_both(a: Sequence[Sample], b: Sequence[Sample]) -> list[list[Part]]:
    rows = min(len(a), len(b)) if a and b else 0
    left, right = _spread(a, rows), _spread(b, rows)
    return [[("A", x.paths[0]), ("B", y.paths[0])] for x, y in zip(left, right, strict=True)]


def _spread(items: Sequence, count: int) -> list:
    """``count`` items at equal distances, the first among them."""
    if len(items) <= count:
        return list(items)
    return [items[place * len(items) // count] for place in range(count)]


def _caption(layout: Layout, parts: Sequence[Part], before: str) -> str:
    files = [layout.shown(path) for _, path in parts if path is not None]
    return before + (" | ".join(files) if layout.kind == "unpaired" else files[0])


def _cell(words: str, pictures: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """One sample with its caption, uint8 RGB; the pictures stand in the middle of boxes of one size."""
    boxes: list[np.ndarray] = []
    for picture in pictures:
        box = np.full((height, width + _GAP_PX, 3), _PAPER, np.uint8)
        box[:, :width] = _BOX
        top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
        box[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        boxes.append(box)
    row = np.hstack(boxes)
    caption = np.full((_CAPTION_PX, row.shape[1], 3), _PAPER, np.uint8)
    room = row.shape[1] // _LETTER_PX
    text = words if len(words) <= room else f"...{words[3 - room :]}"
    place = (2, _CAPTION_PX - 6)
    cv2.putText(caption, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, _INK, 1, cv2.LINE_AA)
    return np.vstack([row, caption])


def _pictures(kind: str, path: Path | None) -> list[np.ndarray | None]:
    """What a file shows: two halves, a painted map, or a picture; None for what cannot be read."""
    if path is None:
        return [None]
    if kind in ("label", "inst"):
        numbers = read_labels(path)
        return [None if numbers is None else painted(numbers)]
    picture = read_rgb(path)
    if kind == "side-by-side":
        return list((None if picture is None else halves(picture)) or (None, None))
    return [picture]


def _fitted(picture: np.ndarray | None, side_px: int) -> np.ndarray:
    """A picture with its longer side at ``side_px``; a cross in place of none."""
    if picture is None:
        box = np.full((side_px * 3 // 4, side_px, 3), _BOX, np.uint8)
        bottom, right = box.shape[0] - 1, side_px - 1
        cv2.line(box, (0, 0), (right, bottom), _MISSING, 2, cv2.LINE_AA)
        cv2.line(box, (0, bottom), (right, 0), _MISSING, 2, cv2.LINE_AA)
        return box
    height, width = picture.shape[:2]
    factor = side_px / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST if factor > 3 else cv2.INTER_CUBIC
    return cv2.resize(picture, size, interpolation=way)
