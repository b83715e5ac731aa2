"""Everything that is to be known about one file of a training set, from one reading of it."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from gantool.errors import GantoolError
from gantool.layouts.samples import LFS_START, decode_labels, decode_rgb, halves
from gantool.media import png
from gantool.media.image_read import read_picture

_SMALL = 32  # side of what the fingerprint is made from
_FLAT_STD = 2.0  # grey levels; below it a picture counts as being of one colour
_GREY_SPREAD = 3  # levels between the channels that JPEG makes out of grey


@dataclass(frozen=True)
class Look:
    """One file: what is wrong with it, or what it holds.

    ``side`` is "A", "B", "AB", "label", "instance" or "photo". ``size`` is (width, height), upright, of one
    half where the file holds two; ``grey`` has an entry per half. ``fingerprint`` has 64 bits, equal or
    nearly so for copies of a picture, and is None for one of a single colour. ``values`` are a label map's.
    """

    path: Path
    side: str
    held: bool
    trouble: str = ""
    lfs: bool = False
    size: tuple[int, int] = (0, 0)
    odd: bool = False
    bits: int = 8
    grey: tuple[bool, ...] = ()
    alpha: bool = False
    lossy: bool = False
    digest: bytes = b""
    fingerprint: int | None = None
    values: tuple[int, ...] = ()


def look_at(path: Path, side: str, held: bool) -> Look:
    """Read and decode one file. Never raises for what is in it."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        return Look(path, side, held, f"cannot be read: {exc.strerror or exc}")
    if data.startswith(LFS_START):
        return Look(path, side, held, "a Git LFS pointer, not a picture", lfs=True)
    maps = side in ("label", "instance")
    damage = _png_damage(data)
    array = None if damage else (decode_labels if maps else decode_rgb)(data)
    if array is None:
        return Look(path, side, held, damage or _reason(data, maps))
    bits, alpha, lossy = _header(data)
    height, width = array.shape[:2]
    known = {"bits": bits, "lossy": lossy, "digest": hashlib.blake2b(data, digest_size=16).digest()}
    if maps:
        values = tuple(int(value) for value in np.unique(array)) if side == "label" else ()
        return Look(path, side, held, size=(width, height), values=values, **known)
    parts = halves(array) if side == "AB" else (array,)
    small = cv2.resize(array, (2 * _SMALL, _SMALL), interpolation=cv2.INTER_AREA)
    small_parts = (small[:, :_SMALL], small[:, _SMALL:]) if side == "AB" else (small,)
    return Look(
        path,
        side,
        held,
        size=(width // 2 if side == "AB" else width, height),
        odd=parts is None,
        grey=tuple(
            is_grey(less) and is_grey(part) for less, part in zip(small_parts, parts or (), strict=False)
        ),
        alpha=alpha and _see_through(data),
        fingerprint=fingerprint(small),
        **known,
    )


def look_at_all(files: Sequence[tuple[Path, str, bool]]) -> Generator[Look, None, None]:
    """:func:`look_at` for each of ``files``, in order, by as many threads as there are cores.

    When the caller closes it, as on Ctrl-C, what has not begun is dropped.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ThreadPoolExecutor(min(8, cores))
    try:
        yield from pool.map(lambda file: look_at(*file), files)
    finally:
        pool.shutdown(cancel_futures=True)


def is_grey(picture: np.ndarray) -> bool:
    """Whether all pixels of uint8 RGB (H,W,3) are grey, up to what JPEG makes of grey."""
    red, green, blue = cv2.split(picture)
    return max(cv2.norm(red, green, cv2.NORM_INF), cv2.norm(green, blue, cv2.NORM_INF)) <= _GREY_SPREAD


def fingerprint(picture: np.ndarray) -> int | None:
    """64 bits that copies of a picture share, whatever their size and compression; None for a flat one.

    The signs of the lowest cosine frequencies against their median ("pHash", Zauner 2010).
    """
    square = cv2.resize(picture, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(square, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if grey.std() < _FLAT_STD:
        return None
    low = cv2.dct(grey)[:8, :8].ravel()
    low[0] = 0  # the mean brightness says nothing
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def _png_damage(data: bytes) -> str:
    """What is wrong with the chunks of a PNG, which decoders may overlook; empty for all other files."""
    if data.startswith(png.SIGNATURE):
        try:
            png.check(data)
        except png.DamagedPng as exc:
            return f"the picture is damaged or cut off: {exc}"
    return ""


def _reason(data: bytes, maps: bool) -> str:
    """Why a file could not be decoded."""
    try:
        read_picture(data)
    except GantoolError as exc:
        return exc.what
    return "colours, not class numbers" if maps else "of a kind that OpenCV cannot read"


def _header(data: bytes) -> tuple[int, bool, bool]:
    """(bits per sample, whether there is an alpha channel, whether it is a JPEG)."""
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as image:
            deep = image.mode.startswith("I") or (image.format == "PNG" and data[24] == 16)
            return 16 if deep else 8, image.has_transparency_data, image.format in ("JPEG", "MPO")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 8, False, False  # a picture too large for Pillow; OpenCV has read it


def _see_through(data: bytes) -> bool:
    """Whether a picture with an alpha channel makes any use of it."""
    with Image.open(io.BytesIO(data)) as image:
        low, _ = image.convert("RGBA").getchannel("A").getextrema()
    return low < 255  # type: ignore[operator]
