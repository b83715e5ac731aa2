"""Before and after in one picture, labelled: two halves of a frame, side by side, or one above the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gantool.errors import InputError
from gantool.media.video import VideoInfo, VideoWriter, read_frames
from gantool.progress import Progress

Layout = Literal["split", "side", "stack"]
LAYOUTS: tuple[Layout, ...] = ("split", "side", "stack")

_FONT_PX = 11, 72  # least and most
_LEAST_FONT_PX = 8  # below it a label is left out: it would hide more than it tells
_LINE = 255, 255, 255


class Comparison:
    """Puts pictures of one size together with those that they were made from.

    Args:
        layout: "split": the left half of before, the right half of after, and a line between them; "side":
            side by side; "stack": before above after.
        before, after: (height, width) of either. Before is brought to the size of after by bicubic, so that
            an enlargement is compared with a plain one.
    """

    def __init__(self, layout: Layout, before: tuple[int, int], after: tuple[int, int]) -> None:
        self.layout, self.size = layout, after
        height, width = after
        self.line = 2 * max(1, round(max(height, width) / 800))
        pane = width // 2 if layout == "split" else width
        enlarged = before[0] < height - 1 or before[1] < width - 1  # a line more is padding
        words = "before, bicubic" if enlarged else "before"
        self._labels = [_label(text, height, pane) for text in (words, "after")]

    def __call__(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """(H,W,3) uint8 of both sizes, in one picture."""
        before = _fitted(before, *self.size)
        height, width = self.size
        if self.layout == "split":
            panes = [before[:, : width // 2], after[:, width // 2 :]]
        else:
            panes = [before, after]
        panes = [_labelled(*both) for both in zip(panes, self._labels, strict=True)]
        if self.layout == "split":
            whole = np.concatenate(panes, axis=1)
            middle = width // 2
            whole[:, max(0, middle - self.line // 2) : middle + self.line // 2] = _LINE
            return whole
        upright = self.layout == "side"
        bar = np.full((height, self.line, 3) if upright else (self.line, width, 3), _LINE, np.uint8)
        return np.concatenate([panes[0], bar, panes[1]], axis=1 if upright else 0)


def compare_pictures(
    layout: Layout,
    before: np.ndarray,
    after: np.ndarray,
    alphas: tuple[np.ndarray | None, ...] = (None, None),
) -> np.ndarray:
    """Two pictures (H,W,3) of any depth in one, uint8; what is transparent (``alphas``) is shown on white."""
    first, second = (_opaque(*both) for both in zip((before, after), alphas, strict=True))
    return Comparison(layout, first.shape[:2], second.shape[:2])(first, second)


def compare_films(
    layout: Layout,
    source: VideoInfo,
    result: Path,
    target: Path,
    *,
    start: float = 0.0,
    duration: float | None = None,
    keep_partial: bool = False,
    writer: dict[str, Any] | None = None,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
    warn: Callable[[str], None] | None = None,
) -> int:
    """A film and what was made of it, frame by frame, with the sound of the source. Returns the frames.

    Args:
        source: as it was read for the result.
        result: the film made of its part ``start``, ``duration``, a frame for each of its frames.
        writer: options of ``VideoWriter``.

    Raises InputError when the two have not the same number of frames, and as reading and writing do.
    """
    assert source.path is not None
    part: dict[str, Any] = {"start": start, "duration": duration, "keep_partial": keep_partial}
    befores, afters = read_frames(source.path, source, **part), read_frames(result)
    count, put, output = 0, None, None
    with ExitStack() as closing:
        for before, after in zip_longest(befores, afters):
            check()
            if before is None or after is None:
                what = "the result has not as many frames as its source, so they cannot be compared"
                raise InputError(what, result, "Make it again")
            put = put or Comparison(layout, before.rgb.shape[:2], after.rgb.shape[:2])
            picture = _even(put(before.rgb, after.rgb))
            if output is None:
                options = {**(writer or {}), **part, "warn": warn}
                height, width = picture.shape[:2]
                output = closing.enter_context(VideoWriter(target, source, width, height, **options))
            output.write(picture, before.pts, before.duration)
            count += 1
            if progress is not None:
                progress.advance(1)
    return count


def _even(image: np.ndarray) -> np.ndarray:
    """Without an odd last line or column: nothing but the edge of a comparison is lost, and films want it."""
    height, width = image.shape[:2]
    return np.ascontiguousarray(image[: height // 2 * 2 or 1, : width // 2 * 2 or 1])


def _fitted(image: np.ndarray, height: int, width: int) -> np.ndarray:
    tall, wide = image.shape[:2]
    if (tall, wide) == (height, width):
        return image
    down, right = height - tall, width - wide
    if 0 <= down <= 1 and 0 <= right <= 1:  # the line that makes an odd side even
        return cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_REPLICATE)
    shrinks = height < tall or width < wide
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _opaque(image: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """As uint8, on white."""
    most = np.iinfo(image.dtype).max
    values = image.astype(np.float32) * (255 / most)
    if alpha is not None:
        share = alpha.astype(np.float32)[..., None] / np.iinfo(alpha.dtype).max
        values = values * share + 255 * (1 - share)
    return np.rint(values).astype(np.uint8)


def _label(text: str, height: int, width: int) -> tuple[np.ndarray, np.ndarray] | None:
    """White words on a dark plate, to be drawn at the top left of a pane of that size: colours (h,w,3) and
    opacity (h,w,1), float32; None when the pane is too small for words."""
    font_px = min(max(round(0.04 * min(height, 2 * width)), _FONT_PX[0]), _FONT_PX[1])
    while font_px >= _LEAST_FONT_PX:
        font = ImageFont.load_default(font_px)
        left, _, right, _ = font.getbbox(text)
        pad = round(0.45 * font_px)
        size = (round(right - left) + 2 * pad, round(1.2 * font_px) + pad)
        if size[0] + 2 * pad <= width and size[1] + 2 * pad <= height // 2:
            break
        font_px -= 1
    else:
        return None
    plate = Image.new("RGBA", (size[0] + pad, size[1] + pad))
    draw = ImageDraw.Draw(plate)
    box = (pad, pad, size[0] + pad - 1, size[1] + pad - 1)
    draw.rounded_rectangle(box, radius=pad, fill=(0, 0, 0, 150))
    draw.text((2 * pad - left, pad + size[1] / 2), text, font=font, fill=(255, 255, 255, 255), anchor="lm")
    drawn = np.asarray(plate, np.float32)
    return drawn[..., :3], drawn[..., 3:] / 255


def _labelled(pane: np.ndarray, label: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    if label is None:
        return pane
    colours, opacity = label
    height, width = opacity.shape[:2]
    pane = pane.copy()
    corner = pane[:height, :width]
    corner[:] = np.rint(corner * (1 - opacity) + colours * opacity).astype(np.uint8)
    return pane
