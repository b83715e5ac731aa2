"""Style pictures and masks, from files to what a style net is shown."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from gantool.errors import InputError

SMALLEST = 16  # px: what is left of a side after three halvings must still have a mirror image
_USUAL = 512  # px, short side: what the nets were trained with and are shown
_LONGEST = 4  # a style is shown as if it were 4:1 at most
_MAX_PIXELS = 100_000_000


def read_style(path: Path, size: int | None = None, max_pixels: int = _MAX_PIXELS) -> np.ndarray:
    """A style picture from its file, at the size at which it is shown: (H,W,3) uint8 or uint16 RGB.

    Args:
        size: as for :func:`sized`.

    Raises:
        InputError: not a picture, one of more than ``max_pixels``, or too small to show a style.
    """
    picture = _read(path, max_pixels)
    tall, wide = picture.shape[:2]
    if min(tall, wide) < SMALLEST:
        what = f"{wide}x{tall} px are too few to show a style"
        raise InputError(what, path, f"Give a picture of at least {SMALLEST} px a side")
    return sized(picture, size)


def read_mask(path: Path, max_pixels: int = _MAX_PIXELS) -> np.ndarray:
    """A mask from its file, (H,W,3) uint8 or uint16; black where it is transparent. Raises InputError."""
    return _read(path, max_pixels, on_black=True)


def sized(picture: np.ndarray, size: int | None = None) -> np.ndarray:
    """A style picture (H,W,3) at the size at which a net is shown it; large ones must not become tensors.

    ``size``: short side, px; None for its own, at most 512.
    """
    short = min(picture.shape[:2])
    target = min(short, _USUAL) if size is None else size
    sides = [round(min(side * target / short, target * _LONGEST)) for side in picture.shape[:2]]
    tall, wide = (max(side, SMALLEST) for side in sides)
    if (tall, wide) == picture.shape[:2]:
        return picture
    method = cv2.INTER_AREA if target < short else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(picture), (wide, tall), interpolation=method)


def _read(path: Path, max_pixels: int, on_black: bool = False) -> np.ndarray:
    """(H,W,3) uint8 or uint16 RGB. Raises InputError."""
    from gantool.media.image import read_picture

    picture = read_picture(path, max_pixels=max_pixels, to_srgb=True)
    if picture.alpha is None or not on_black:
        return picture.rgb
    share = picture.alpha[..., None] / np.iinfo(picture.alpha.dtype).max
    return np.rint(picture.rgb * share).astype(picture.rgb.dtype)
