"""Samples of a training set and how their pictures are read.

A sample is what one training step looks at: one photograph, two pictures that belong together, or a label map
with its photograph. Reading never raises for a bad file, since one of thousands must not end a night's
training; :mod:`gantool.datacheck` is there to name the bad ones beforehand.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image

Kind = Literal["side-by-side", "pairs", "unpaired", "labels", "photos"]
KINDS: tuple[Kind, ...] = ("side-by-side", "pairs", "unpaired", "labels", "photos")
_SUFFIXES = ".jpg .jpeg .jpe .jfif .png .webp .bmp .tif .tiff .ppm .pgm .pbm .jp2"
PICTURE_SUFFIXES = frozenset(_SUFFIXES.split())  # of what OpenCV decodes
DO_NOT_CARE = 255  # the label value that stands for "no class", as in Cityscapes, COCO-Stuff and ADE20K
LFS_START = b"version https://git-lfs"
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


@dataclass(frozen=True)
class Sample:
    """One item of a training set.

    ``paths`` by kind: side-by-side (ab,), pairs (a, b), unpaired (a,) or (b,), labels (label, inst or None,
    photo), photos (photo,). ``name`` is the sample's folder and stem without the role, "seq0/0001".
    """

    name: str
    paths: tuple[Path | None, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """The paths that are there."""
        return tuple(path for path in self.paths if path is not None)


def natural(text: str) -> tuple[list[str | int], str]:
    """A sort key that puts "2" before "10" and is the same on every system."""
    parts = re.split(r"(\d+)", text.casefold())  # text and digits take turns, so keys compare
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], text


def read(sample: Sample, kind: str) -> tuple[np.ndarray, ...] | None:
    """The arrays of a sample; None if a file of it cannot be read whole or does not fit its kind.

    side-by-side and pairs give (A, B), unpaired and photos (photo,), each uint8 RGB (H,W,3). labels give
    (label, inst, photo), or (label, photo) where there are no instance maps: the label always comes first and
    the photo last; label and instance maps are integers (H,W) with the bits they are stored with.
    """
    if kind == "labels":
        label, inst, photo = sample.paths
        arrays = [read_labels(path) for path in (label, inst) if path is not None]
        arrays.append(read_rgb(photo) if photo is not None else None)
    else:
        arrays = [read_rgb(path) for path in sample.files]
    whole = tuple(array for array in arrays if array is not None)
    if len(whole) < len(arrays):
        return None
    return halves(whole[0]) if kind == "side-by-side" else whole


def halves(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Left (A) and right (B) half of a picture of even width; None for an odd one."""
    height, width = picture.shape[:2]
    if width % 2 or not height:
        return None
    middle = width // 2
    return np.ascontiguousarray(picture[:, :middle]), np.ascontiguousarray(picture[:, middle:])


def read_rgb(path: Path) -> np.ndarray | None:
    """uint8 RGB (H,W,3), EXIF orientation applied, alpha dropped; None if it cannot be read whole."""
    try:
        return decode_rgb(path.read_bytes())
    except OSError:
        return None


def decode_rgb(data: bytes) -> np.ndarray | None:
    """As :func:`read_rgb`, from the bytes of the file."""
    if not data or breaks_off(data):
        return None
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # of more pixels than OpenCV takes
        return None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def breaks_off(data: bytes) -> bool:
    """Whether a JPEG or PNG file lacks its end: decoders may fill the missing rest and say nothing."""
    if data.startswith(_PNG):
        return b"IEND" not in data[-4096:]
    return data.startswith(_JPEG) and data.find(b"\xff\xd9", _scan_start(data)) < 0


def _scan_start(data: bytes) -> int:
    """Where a JPEG's first scan begins, behind thumbnails that have an end marker of their own."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xDA:
            return position
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return min(position, len(data))


def read_labels(path: Path) -> np.ndarray | None:
    """Class or instance numbers (H,W), uint8, uint16 or int32 as stored; None if they cannot be read.

    A palette picture gives its indices, not its colours; three equal channels count as one. A picture with
    real colours holds no numbers and gives None.
    """
    try:
        return decode_labels(path.read_bytes())
    except OSError:
        return None


def decode_labels(data: bytes) -> np.ndarray | None:
    """As :func:`read_labels`, from the bytes of the file."""
    if not data or breaks_off(data):
        return None
    try:
        numbers = _unscaled(data) if data.startswith(_PNG) else None
        if numbers is None:
            numbers = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, SyntaxError, ValueError, cv2.error):
        return None
    if numbers is None or numbers.dtype.kind not in "ui":
        return None
    if numbers.ndim == 2:
        return numbers
    first = numbers[..., 0]
    return np.ascontiguousarray(first) if (numbers[..., 1:3] == first[..., None]).all() else None


def _unscaled(data: bytes) -> np.ndarray | None:
    """The numbers of a PNG with a palette or fewer than 8 bits, which decoders turn into colours; or None."""
    bits, color_type = data[24], data[25]
    if color_type == 3:
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image, dtype=np.uint8)
    if color_type == 0 and bits < 8:
        with Image.open(io.BytesIO(data)) as image:
            bright = np.array(image.convert("L"), dtype=np.uint8)
        return bright // (255 // ((1 << bits) - 1))
    return None
