"""Animated GIF: a palette for each frame, and a comment at the end of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

_TRAILER = b"\x3b"
_COMMENT = b"\x21\xfe"
_BLOCK = 255  # longest sub-block of a GIF extension


def palette_frame(rgb: np.ndarray) -> Any:
    """An ``av.VideoFrame`` with 256 colours chosen for this picture, (H,W,3) uint8, with dithering."""
    picture = Image.fromarray(rgb).quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    picture = Image.fromarray(rgb).quantize(palette=picture, dither=Image.Dither.FLOYDSTEINBERG)
    colours = np.asarray(picture.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
    table = np.zeros((256, 4), dtype=np.uint8)  # A, R, G, B
    table[:, 0] = 255
    table[: len(colours), 1:] = colours
    return av.VideoFrame.from_ndarray((np.asarray(picture, dtype=np.uint8), table), format="pal8")


def finish_gif(path: Path, sentence: str) -> None:
    """Put a comment before the trailer of a finished GIF file."""
    data = sentence.encode()
    blocks = (data[i : i + _BLOCK] for i in range(0, len(data), _BLOCK))
    comment = _COMMENT + b"".join(bytes([len(block)]) + block for block in blocks) + b"\x00"
    with path.open("r+b") as file:
        file.seek(-1, 2)
        if file.read(1) == _TRAILER:
            file.seek(-1, 2)
        file.write(comment + _TRAILER)
