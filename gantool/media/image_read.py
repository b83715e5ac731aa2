"""Reading a picture: Pillow identifies and gates every file, OpenCV decodes what has 16 bits."""

from __future__ import annotations

import contextlib
import importlib
import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from PIL import Image

from gantool.errors import InputError
from gantool.media import exif as exif_block
from gantool.media import png
from gantool.media.icc import converted, is_srgb, srgb_profile
from gantool.media.image_deep import decode_deep, stored_bits
from gantool.media.picture import Picture
from gantool.media.provenance import carried_xmp

_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "PPM", "HEIF")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AGAIN = "Get the file again from where it came"
# What decoders raise on damaged data; errors of ours, Ctrl-C and lack of memory are not among them.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    LookupError,
    EOFError,
)
_DAMAGED = (*_BROKEN, RuntimeError, struct.error, zlib.error, cv2.error)
_pillow_limit = threading.Lock()

Name = Path | str


def read_picture(source: Path | bytes, *, max_pixels: int = 100_000_000, to_srgb: bool = False) -> Picture:
    """Read a picture file, or its bytes as they came from standard input, upright and as stored.

    8-bit files give uint8, 16-bit PNG, TIFF, JPEG 2000 and PPM give uint16. CMYK and Lab become sRGB.
    With ``to_srgb`` an 8-bit picture is converted from its colour profile to sRGB and tagged so; a
    16-bit one keeps its pixels and its profile, and ``notes`` says so.

    Raises:
        InputError: missing, unreadable, empty, not a picture, of a kind not taken (float, 32-bit, several
            frames or pages), cut off, damaged, or of more than ``max_pixels`` pixels.
    """
    name: Name = "standard input" if isinstance(source, bytes) else source
    with _opened(source) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata; what matters becomes an error
        head = stream.read(512)
        if not head:
            raise InputError("the file is empty", name, _AGAIN)
        stream.seek(0)
        try:
            with _identified(stream, head, name, max_pixels) as image:
                return _decoded(image, stream, name, to_srgb)
        except _DAMAGED as exc:
            raise InputError(f"the picture is damaged or cut off: {_reason(exc)}", name, _AGAIN) from exc


@contextlib.contextmanager
def _opened(source: Path | bytes) -> Iterator[IO[bytes]]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    try:
        stream: IO[bytes] = source.open("rb")
        if not stream.seekable():  # a named pipe or <(command)
            with stream:
                stream = io.BytesIO(stream.read())
    except FileNotFoundError as exc:
        raise InputError("there is no such file", source, "Check the path") from exc
    except IsADirectoryError as exc:
        raise InputError("this is a folder, not a picture", source, "Name a file in it") from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise InputError(
            f"the file cannot be read: {reason}", source, "Check the path and its rights"
        ) from exc
    with stream:
        yield stream


@contextlib.contextmanager
def _identified(stream: IO[bytes], head: bytes, name: Name, max_pixels: int) -> Iterator[Image.Image]:
    """The picture opened but not decoded, after every check that its header allows."""
    heic = head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS
    if heic and not _heif_ready():
        remedy = "Install it with: pip install 'gantool[heic]'"
        raise InputError("HEIC pictures need the optional package pillow-heif", name, remedy)
    Image.init()
    try:
        with _pillow_limit:
            # Our own limit is the caller's to choose; Pillow's is a global one.
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(stream, formats=[kind for kind in _FORMATS if kind in Image.OPEN])
                with contextlib.suppress(EOFError):
                    animated = image.format != "MPO" and _pages(image) > 1
            finally:
                Image.MAX_IMAGE_PIXELS = limit
    except Image.UnidentifiedImageError as exc:
        raise _unknown(head, name) from exc
    with image:
        if image.width * image.height > max_pixels:
            what = f"the picture has {image.width} x {image.height} pixels, more than {max_pixels}"
            raise InputError(
                what, name, f"If you trust it, allow it with --max-pixels {image.width * image.height}"
            )
        if animated:
            what = f"the {image.format} file holds several pictures, not one"
            raise InputError(what, name, "Take out the one you want, or convert an animation to a video")
        yield image


def _pages(image: Image.Image) -> int:
    """How many pictures the file holds; a TIFF's reduced copies and a HEIC's side pictures do not count."""
    if image.format == "HEIF":
        return 1
    if image.format != "TIFF":
        return 2 if getattr(image, "is_animated", False) else 1
    pages = 0
    tiff: Any = image
    for index in range(tiff.n_frames):
        tiff.seek(index)
        pages += not tiff.tag_v2.get(254, 0) & 1
    tiff.seek(0)
    return pages


def _decoded(image: Image.Image, stream: IO[bytes], name: Name, to_srgb: bool) -> Picture:
    notes: list[str] = []
    bits = stored_bits(image, stream, name)
    if image.format == "PNG":
        stream.seek(0)
        png.check(stream.read())
    stream.seek(0)
    icc: bytes | None = image.info.get("icc_profile") or None
    if bits == 16:
        rgb, alpha, gray, orientation = decode_deep(image, stream, name)
    else:
        image.load()
        orientation = exif_block.orientation_of(image)
        rgb, alpha, gray, icc = shallow(image, icc, notes)
    if bits in (10, 12):
        notes.append(f"{bits}-bit {image.format} read with 8 bits")
    if to_srgb and icc is not None and not is_srgb(icc):
        if bits == 16:
            notes.append("16-bit picture kept in its own colour profile, not converted to sRGB")
        else:
            rgb, icc = as_srgb(rgb, icc, gray, notes)
    return Picture(
        rgb=exif_block.turned(rgb, orientation),
        alpha=None if alpha is None else exif_block.turned(alpha, orientation),
        gray=gray,
        icc=icc,
        exif=exif_block.carried(image, srgb=to_srgb and bits != 16),
        xmp=carried_xmp(_bytes(image.info.get("xmp"))),
        format="JPEG" if image.format == "MPO" else image.format or "PNG",
        dpi=_dpi(image.info.get("dpi")),
        notes=tuple(notes),
    )


def shallow(
    image: Image.Image, icc: bytes | None, notes: list[str]
) -> tuple[np.ndarray, np.ndarray | None, bool, bytes | None]:
    """A loaded 8-bit picture of any mode as rgb (H,W,3), alpha (H,W) or None, gray, profile."""
    palette = image.mode in ("P", "PA")
    if image.mode in ("CMYK", "LAB"):
        notes.append(f"{image.mode} converted to sRGB")
        return np.array(converted(image, icc)), None, False, srgb_profile()
    if image.mode in ("La", "RGBa"):  # premultiplied
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    gray = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        pixels = np.array(image.convert("RGBA"))
        rgb, alpha = np.ascontiguousarray(pixels[..., :3]), pixels[..., 3].copy()
    else:
        rgb, alpha = np.array(image.convert("RGB")), None
    if palette:
        gray = bool((rgb == rgb[..., :1]).all())
    return rgb, alpha, gray, icc


def as_srgb(rgb: np.ndarray, icc: bytes, gray: bool, notes: list[str]) -> tuple[np.ndarray, bytes | None]:
    try:
        result = np.array(converted(Image.fromarray(rgb), icc))
    except ValueError:
        notes.append("unusable colour profile ignored")
        return rgb, None
    if gray:  # rounding in the profile must not give a grey picture a tint
        result = np.repeat(cv2.cvtColor(result, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    return result, srgb_profile()


def _unknown(head: bytes, name: Name) -> InputError:
    """Why a file was not recognised, as well as its first bytes tell."""
    if head.startswith(b"version https://git-lfs"):
        return InputError(
            "this is a Git LFS pointer, not a picture", name, "Fetch the file with: git lfs pull"
        )
    if head.startswith((png.SIGNATURE, b"\xff\xd8\xff", b"II*\x00", b"MM\x00*", b"RIFF", b"GIF8", b"BM")):
        what = "the picture is damaged or cut off, or of a rare kind"
        return InputError(what, name, "Convert it to PNG, or get the file again from where it came")
    if all(byte >= 32 or byte in b"\t\n\r\f\x1b" for byte in head):
        return InputError("this is text, not a picture", name, "Check that it is the right file")
    return InputError("this is not a picture that gantool can read", name, "Convert it to PNG first")


def _reason(exc: BaseException) -> str:
    """The decoder's own words on one line, without its advice for programmers."""
    text = " ".join(str(exc).split())
    return text[:120] if text and not isinstance(exc, cv2.error) else type(exc).__name__


def _heif_ready() -> bool:
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return False
    return True


def _bytes(value: object) -> bytes | None:
    return value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else None


def _dpi(value: object) -> tuple[float, float] | None:
    """A sensible pair of dots per inch, or None."""
    try:
        x, y = (float(v) for v in value)  # type: ignore[union-attr]
    except (TypeError, ValueError, ArithmeticError):
        return None
    return (x, y) if 1 <= x <= 100_000 and 1 <= y <= 100_000 else None
