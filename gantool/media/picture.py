"""A picture in memory, and which file suffixes pictures may have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import features

_READABLE = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm"),
)
# BMP, GIF and PPM are left out on purpose: they cannot bear the provenance mark (or not the colours).
_WRITABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}


@dataclass
class Picture:
    """Pixels and what a file says about them.

    rgb: (H,W,3) uint8 or uint16, contiguous, upright (any EXIF turn is already applied).
    alpha: (H,W) of the same dtype, not premultiplied, or None.
    gray: the source held no colour (L, LA, 1 bit, grey palette); the three channels of rgb are then equal
        on reading, and writing stores one channel (their luma).
    icc: the colour profile that ``rgb`` is in; None means sRGB.
    exif: an EXIF block beginning with b"Exif\\0\\0", without orientation, thumbnail and storage tags.
    xmp: the source's XMP packet.
    format: what the source was, as Pillow names it ("PNG", "JPEG", ...).
    dpi: horizontal and vertical resolution in dots per inch.
    notes: what was lost or changed in reading, one clause each, for the log.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    gray: bool = False
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    format: str = "PNG"
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    @property
    def bits(self) -> int:
        """Bits per sample, 8 or 16."""
        return 16 if self.rgb.dtype == np.uint16 else 8

    @property
    def height(self) -> int:
        return self.rgb.shape[0]

    @property
    def width(self) -> int:
        return self.rgb.shape[1]

    @property
    def transparent(self) -> bool:
        """Whether any pixel is not fully opaque."""
        return self.alpha is not None and bool((self.alpha != np.iinfo(self.alpha.dtype).max).any())


def readable_suffixes() -> frozenset[str]:
    """Lower-case suffixes, dot included, of pictures that :func:`read_picture` takes on this machine."""
    extra = [".avif", ".avifs"] if features.check("avif") else []
    # HEIC is named even where pillow-heif is missing, so that its absence gets a sentence, not silence.
    return frozenset([*_READABLE, *extra, ".heic", ".heif"])


def writable_suffixes() -> frozenset[str]:
    """Lower-case suffixes, dot included, of pictures that :func:`write_picture` makes on this machine."""
    return frozenset(_WRITABLE) | ({".avif"} if features.check("avif") else frozenset())


def format_of(suffix: str) -> str | None:
    """The format that a suffix stands for when writing ("PNG", ...), or None if it cannot be written."""
    suffix = suffix.lower()
    if suffix == ".avif" and features.check("avif"):
        return "AVIF"
    return _WRITABLE.get(suffix)
