"""Pictures of more than 8 bits: Pillow would silently round them, so OpenCV or numpy decode them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from PIL import Image

from gantool.errors import InputError
from gantool.media import exif as exif_block
from gantool.media import tiff

_TO_16_BIT = "Convert it to a PNG of 8 or 16 bits first"


def stored_bits(image: Image.Image, stream: IO[bytes], name: Path | str) -> int:
    """Bits per sample of an opened picture: 16 for the deep decoder, 8, or AVIF's and HEIC's 10 or 12.

    Raises InputError for floats and for depths that no decoder here returns unchanged.
    """
    stream.seek(0)
    head = stream.read(1 << 16)
    bits = 8
    if image.format == "PNG":
        bits = head[24]
    elif image.format == "TIFF":
        bits = _tiff_bits(image, name)
    elif image.format == "PPM":
        bits = 16 if _maxval(head) > 255 else 8
    elif image.format == "JPEG2000":
        start = head.find(b"\xff\x4f\xff\x51")
        bits = (head[start + 42] & 0x7F) + 1 if 0 <= start < len(head) - 42 else 8
    elif image.format == "AVIF":
        start = head.find(b"av1C")
        flags = head[start + 6] if 0 <= start < len(head) - 6 else 0
        return 12 if flags & 0x20 else 10 if flags & 0x40 else 8
    elif image.format == "HEIF":
        return int(image.info.get("bit_depth", 8))
    if bits not in (1, 2, 4, 8, 16) or (image.mode in ("I", "F") and bits != 16) or image.mode == "F":
        raise InputError(f"pictures of {bits}-bit or floating-point samples are not taken", name, _TO_16_BIT)
    return 16 if bits == 16 else 8


def decode_deep(
    image: Image.Image, stream: IO[bytes], name: Path | str
) -> tuple[np.ndarray, np.ndarray | None, bool, int]:
    """A 16-bit picture as rgb (H,W,3) uint16, alpha (H,W) uint16 or None, gray, EXIF orientation to apply."""
    stream.seek(0)
    data = stream.read()
    # Pillow turns a TIFF upright while it loads and forgets the tag, so it is looked up before.
    orientation = _tags(image).get(274, 1) if image.format == "TIFF" else None
    stream.seek(0)
    image.load()  # the gate: OpenCV returns a cut-off file without an error
    if image.format == "PPM":
        samples = _ppm(image, data)
    else:
        samples = _opencv(tiff.upright(data) if image.format == "TIFF" else data)
    alpha = samples[..., -1].copy() if samples.shape[2] in (2, 4) else None
    gray = samples.shape[2] < 3 or (image.format == "PNG" and data[25] in (0, 4))
    rgb = np.ascontiguousarray(samples[..., :3] if samples.shape[2] >= 3 else samples[..., [0, 0, 0]])
    key = image.info.get("transparency")
    if image.format == "PNG" and key is not None:
        # One colour declared transparent: OpenCV honours it for RGB, not for grey.
        alpha = np.where((rgb == np.array(key)).all(axis=2), 0, 65535).astype(np.uint16)
    if image.format == "TIFF":
        _finish_tiff(rgb, alpha, _tags(image))
    return rgb, alpha, gray, exif_block.orientation_of(image) if orientation is None else orientation


def _opencv(data: bytes) -> np.ndarray:
    """Samples (H,W,C) as stored, in RGB(A) order; ValueError if OpenCV cannot give them with 16 bits."""
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16:
        raise ValueError("not decodable with 16 bits")
    if samples.ndim == 2:
        return samples[..., None]
    return samples[..., [2, 1, 0, 3][: samples.shape[2]]] if samples.shape[2] >= 3 else samples


def _tags(image: Image.Image) -> Any:
    return image.tag_v2  # type: ignore[attr-defined]


def _tiff_bits(image: Image.Image, name: Path | str) -> int:
    """Bits per sample of a TIFF; refuses the layouts that neither library reads rightly."""
    tags = _tags(image)
    bits = max(tags.get(258, (1,)))
    if set(tags.get(339, (1,))) - {1, 4}:
        raise InputError("TIFF samples that are signed or floating-point are not taken", name, _TO_16_BIT)
    if bits > 8:
        if tags.get(262) not in (0, 1, 2):
            raise InputError(f"a {bits}-bit TIFF that is neither grey nor RGB is not taken", name, _TO_16_BIT)
        if tags.get(284, 1) == 2 and tags.get(277, 1) > 1:
            raise InputError("a 16-bit TIFF with separate colour planes is not taken", name, _TO_16_BIT)
    return bits


def _finish_tiff(rgb: np.ndarray, alpha: np.ndarray | None, tags: Any) -> None:
    """In place: white-is-zero inverted, premultiplied colours divided by their alpha."""
    if tags.get(262) == 0:
        np.subtract(65535, rgb, out=rgb)
    if alpha is not None and 1 in tags.get(338, ()):
        whole = np.maximum(alpha, 1).astype(np.uint64)[..., None]
        rgb[:] = np.minimum((rgb.astype(np.uint64) * 65535 + whole // 2) // whole, 65535)


def _header_numbers(head: bytes) -> list[int]:
    """The numbers of a PPM header: width, height and, but for bitmaps, the largest sample."""
    found = re.match(rb"P\d((?:\s+(?:#[^\n]*\n)?\s*)*\d+){2,3}\s", head)
    return [int(number) for number in re.sub(rb"#[^\n]*", b"", found[0]).split()[1:]] if found else []


def _maxval(head: bytes) -> int:
    """The largest sample of a PPM or PGM; 255 for kinds without one."""
    numbers = _header_numbers(head) if head[:2] in (b"P2", b"P3", b"P5", b"P6") else []
    return numbers[2] if len(numbers) == 3 else 255


def _ppm(image: Image.Image, data: bytes) -> np.ndarray:
    """Samples (H,W,C) of a binary PPM or PGM with two bytes a sample, stretched to 0..65535."""
    kind, maxval = data[:2], _maxval(data[:1024])
    if kind not in (b"P5", b"P6"):
        raise ValueError("16-bit samples written as text are not taken")
    shape = (image.height, image.width, 3 if kind == b"P6" else 1)
    count = shape[0] * shape[1] * shape[2]
    samples = np.frombuffer(data, ">u2", count, offset=len(data) - count * 2).reshape(shape)
    return ((samples.astype(np.uint32) * 65535 + maxval // 2) // maxval).astype(np.uint16)
