"""TIFF by hand where libraries fall short: Pillow writes no 16-bit colour, OpenCV no metadata."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from gantool.media import exif as exif_block

_ORIENTATION = 274
# One strip holds all pixels; readers use signed 32-bit sizes.
LARGEST_BYTES = 2**31 - 1


def encode(
    pixels: np.ndarray,
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> bytes:
    """``pixels`` (H,W,C) uint8 or uint16, C = 1 grey, 2 grey+alpha, 3 RGB, 4 RGBA, as a Deflate TIFF.

    ``exif`` begins with b"Exif\\0\\0"; its main tags become the file's own. Raises ValueError above 2 GiB.
    """
    height, width, channels = pixels.shape
    if pixels.nbytes > LARGEST_BYTES:
        raise ValueError("too large for a TIFF file")
    strip = _deflated(pixels)
    block = exif_block.parsed(exif)
    block[256], block[257] = width, height
    block[258] = (pixels.dtype.itemsize * 8,) * channels
    block[259] = 8  # Deflate
    block[262] = 2 if channels >= 3 else 1  # RGB or black-is-zero
    block[273] = 0  # where the strip begins: Pillow adds the length of all that precedes it
    block[277] = channels
    block[278] = height
    block[279] = len(strip)
    if dpi:
        block[282], block[283], block[296] = dpi[0], dpi[1], 2
    block[317] = 2  # horizontal differences
    if channels in (2, 4):
        block[338] = 2  # the last channel is alpha, not premultiplied
    if xmp:
        block[700] = xmp
    if icc:
        block[34675] = icc
    return block.tobytes().removeprefix(b"Exif\x00\x00") + strip


def _deflated(pixels: np.ndarray) -> bytes:
    """All rows as one zlib stream of little-endian horizontal differences (TIFF predictor 2)."""
    height, width, channels = pixels.shape
    compressor = zlib.compressobj(6, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    rows = max(1, (8 << 20) // (width * channels * pixels.dtype.itemsize))
    parts = []
    for top in range(0, height, rows):
        band = pixels[top : top + rows].copy()
        band[:, 1:] -= pixels[top : top + rows, :-1]
        parts.append(compressor.compress(band.astype(band.dtype.newbyteorder("<"), copy=False).data))
    parts.append(compressor.flush())
    return b"".join(parts)


def upright(data: bytes) -> bytes:
    """The same file with its orientation tag set to 1: whether OpenCV applies it depends on its version."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    offset = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    count = struct.unpack_from(order + ("Q" if big else "H"), data, offset)[0]
    first, size = offset + (8 if big else 2), 20 if big else 12
    for index in range(min(count, 4096)):
        entry = first + index * size
        if struct.unpack_from(order + "H", data, entry)[0] == _ORIENTATION:
            value = entry + (12 if big else 8)
            return data[:value] + struct.pack(order + "H", 1) + data[value + 2 :]
    return data
