"""PNG by hand: finding damage that decoders overlook, and writing fast with every chunk in its place.

OpenCV writes no metadata, Pillow's encoder takes seconds for 12 megapixels and neither writes 16 bits with
alpha for grey. A fixed horizontal filter with zlib's run-length strategy is as small as their defaults on
photographs and several times faster.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> PNG colour type
_BAND_BYTES = 8 << 20


class DamagedPng(ValueError):
    """The file breaks off, or a checksum is wrong."""


def check(data: bytes) -> None:
    """Raise DamagedPng unless every chunk is whole with a right checksum, up to the closing one.

    Pillow and libpng tolerate wrong checksums in the pixel data, which shows as streaks.
    """
    position, end = len(SIGNATURE), len(data)
    while True:
        if position + 12 > end:
            raise DamagedPng("the file breaks off")
        length, kind = struct.unpack_from(">I4s", data, position)
        stop = position + 8 + length
        if stop + 4 > end:
            raise DamagedPng("the file breaks off")
        if zlib.crc32(memoryview(data)[position + 4 : stop]) != struct.unpack_from(">I", data, stop)[0]:
            raise DamagedPng(f"chunk {kind.decode('latin-1')!r} has a wrong checksum")
        if kind == b"IEND":
            return
        position = stop + 4


def encode(
    pixels: np.ndarray,
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    text: dict[str, str] | None = None,
    dpi: tuple[float, float] | None = None,
) -> bytes:
    """``pixels`` (H,W,C) uint8 or uint16, C = 1 grey, 2 grey+alpha, 3 RGB, 4 RGBA, as a PNG file.

    ``exif`` begins with b"Exif\\0\\0"; ``text`` maps keywords of 1..79 Latin-1 characters to a text each.
    """
    height, width, channels = pixels.shape
    bits = pixels.dtype.itemsize * 8
    parts = [SIGNATURE]
    parts.append(
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, _COLOR_TYPES[channels], 0, 0, 0))
    )
    if icc:
        parts.append(_chunk(b"iCCP", b"ICC profile\x00\x00" + zlib.compress(icc)))
    if dpi:
        per_metre = [min(max(round(value / 0.0254), 1), 2**31 - 1) for value in dpi]
        parts.append(_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if exif:
        parts.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\x00\x00")))
    for keyword, value in (text or {}).items():
        parts.append(_text(keyword, value))
    if xmp:
        parts.append(_chunk(b"iTXt", b"XML:com.adobe.xmp\x00\x00\x00\x00\x00" + xmp))
    parts.extend(_pixel_chunks(pixels))
    parts.append(_chunk(b"IEND", b""))
    return b"".join(parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def _text(keyword: str, value: str) -> bytes:
    """A text chunk: the old kind, which every reader knows, where Latin-1 suffices."""
    key = keyword.encode("latin-1")
    try:
        return _chunk(b"tEXt", key + b"\x00" + value.encode("latin-1"))
    except UnicodeEncodeError:
        return _chunk(b"iTXt", key + b"\x00\x00\x00\x00\x00" + value.encode("utf-8", "replace"))


def _pixel_chunks(pixels: np.ndarray) -> list[bytes]:
    """IDAT chunks: rows filtered by their left neighbour, compressed in bands so that memory stays small."""
    height = pixels.shape[0]
    step = pixels.shape[2] * pixels.dtype.itemsize  # bytes from a sample to the same one of its neighbour
    row_bytes = pixels.shape[1] * step
    rows = max(1, _BAND_BYTES // row_bytes)
    compressor = zlib.compressobj(6, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    chunks = []
    for top in range(0, height, rows):
        band = np.ascontiguousarray(pixels[top : top + rows])
        flat = (
            band.astype(band.dtype.newbyteorder(">"), copy=False).view(np.uint8).reshape(len(band), row_bytes)
        )
        filtered = np.empty((len(band), row_bytes + 1), np.uint8)
        filtered[:, 0] = 1  # the filter's number: Sub
        filtered[:, 1 : 1 + step] = flat[:, :step]
        np.subtract(flat[:, step:], flat[:, :-step], out=filtered[:, 1 + step :])
        if data := compressor.compress(filtered.data):
            chunks.append(_chunk(b"IDAT", data))
    chunks.append(_chunk(b"IDAT", compressor.flush()))
    return chunks
