"""EXIF blocks: turning pixels upright, and keeping what stays true of a changed picture."""

from __future__ import annotations

import struct
import warnings

import numpy as np
from PIL import ExifTags, Image

ORIENTATION = 0x0112
_SOFTWARE = 0x0131
_MAKER_NOTE = 0x927C
_SUB_BLOCKS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
# Tags about how the source's pixels were stored (TIFF files keep them in the same block), its resolution
# (carried separately), its thumbnail, and whole packets that have a place of their own.
_STORAGE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, ORIENTATION, 277, 278, 279, 280, 281),
    *(282, 283, 284, 290, 291, 292, 293, 296, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332),
    *(338, 339, 340, 341, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 700),
    *(33723, 34377, 34675, 37724),
}
_STALE_IN_EXIF = {0xA002, 0xA003, 0xA005}  # pixel width, pixel height, interoperability block
_COLOR_SPACE = 0xA001
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    LookupError,
    struct.error,
)


def turned(array: np.ndarray, orientation: int) -> np.ndarray:
    """``array`` (H,W) or (H,W,C) turned upright as EXIF ``orientation`` 1..8 asks; others mean 1."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation 1..8 of a loaded picture, 1 where there is none or it makes no sense."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = image.getexif().get(ORIENTATION, 1)
        except _BROKEN:
            return 1
    return value if value in range(1, 9) else 1


def carried(image: Image.Image, *, srgb: bool) -> bytes | None:
    """The picture's EXIF block without orientation, thumbnail, sizes and storage tags; None if empty.

    ``srgb``: the pixels were converted, so an "uncalibrated" mark becomes "sRGB". A block too damaged to
    be read gives None.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            source = image.getexif()
            kept = Image.Exif()
            for tag, value in source.items():
                if tag not in _STORAGE and tag not in (*_SUB_BLOCKS, ExifTags.IFD.Interop):
                    kept[tag] = value
            for block in _SUB_BLOCKS:
                values = {tag: v for tag, v in source.get_ifd(block).items() if tag not in _STALE_IN_EXIF}
                if srgb and _COLOR_SPACE in values:
                    values[_COLOR_SPACE] = 1
                if values:
                    kept[block] = values
            return kept.tobytes() if len(kept) else None
        except _BROKEN:
            return None


def stamped(exif: bytes | None, software: str | None, longest: int | None = None) -> bytes | None:
    """``exif`` with its Software tag set to ``software`` (kept as it is when None).

    ``longest``: a limit in bytes (JPEG: 65533). A block above it loses the camera maker's note first, then
    everything but the Software tag.
    """
    if software is None and (exif is None or longest is None or len(exif) <= longest):
        return exif
    block = parsed(exif)
    if software is not None:
        block[_SOFTWARE] = software
    data = block.tobytes()
    if longest is not None and len(data) > longest:
        inner = block.get(ExifTags.IFD.Exif)
        if isinstance(inner, dict):
            inner.pop(_MAKER_NOTE, None)
            data = block.tobytes()
    if longest is not None and len(data) > longest:
        block = Image.Exif()
        if software is not None:
            block[_SOFTWARE] = software
        data = block.tobytes()
    return data if len(block) else None


def parsed(exif: bytes | None) -> Image.Exif:
    """An EXIF block as a changeable, little-endian object, its sub-blocks as dictionaries; empty for None."""
    block = Image.Exif()
    block.endian = "<"
    if exif is None:
        return block
    source = Image.Exif()
    source.load(exif)
    for tag, value in source.items():
        block[tag] = source.get_ifd(tag) if tag in _SUB_BLOCKS else value
    return block
