"""Animated GIF: a palette for each frame, and blocks at the end of the file that players skip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

_TRAILER = b"\x3b"
_COMMENT = b"\x21\xfe"
_XMP = b"\x21\xff\x0bXMP DataXMP"
_BLOCK = 255  # longest sub-block of a GIF extension
# XMP stands in a GIF as plain text. A reader that takes its bytes for block lengths lands somewhere in this
# falling series, each value of which leads to the same end.
_MAGIC = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"


def palette_frame(rgb: np.ndarray) -> Any:
    """An ``av.VideoFrame`` with 256 colours chosen for this picture, (H,W,3) uint8, with dithering."""
    picture = Image.fromarray(rgb)
    palette = picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    picture = picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    colours = np.asarray(picture.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
    table = np.zeros((256, 4), dtype=np.uint8)  # A, R, G, B
    table[:, 0] = 255
    table[: len(colours), 1:] = colours
    indexed: Any = (np.asarray(picture, dtype=np.uint8), table)  # the pair that PyAV takes for this format
    return av.VideoFrame.from_ndarray(indexed, format="pal8")


def add_gif_blocks(path: Path, comment: str, xmp: bytes) -> None:
    """Put a comment and an XMP packet before the trailer of a finished GIF file. Raises OSError."""
    data = comment.encode()
    pieces = (data[i : i + _BLOCK] for i in range(0, len(data), _BLOCK))
    blocks = _COMMENT + b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\x00"
    with path.open("r+b") as file:
        file.seek(-1, 2)
        if file.read(1) == _TRAILER:
            file.seek(-1, 2)
        file.write(blocks + _XMP + xmp + _MAGIC + _TRAILER)
