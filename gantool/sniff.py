"""Is this file an image or a video? First by its suffix, then by its first bytes.

Standard library only, so that a plan can be made (and refused) before anything heavy is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from gantool.errors import InputError

Kind = Literal["image", "video"]

_IMAGE = (
    ".png .apng .jpg .jpeg .jpe .jfif .mpo .webp .tif .tiff .bmp .avif .heic .heif .jp2 .j2k .jpx "
    ".ppm .pgm .pbm .pnm"
)
_VIDEO = ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .m2v .ts .mts .m2ts .vob .wmv .asf .flv .ogv .3gp .gif"
IMAGE_SUFFIXES = frozenset(_IMAGE.split())
VIDEO_SUFFIXES = frozenset(_VIDEO.split())
_HEAD_BYTES = 512
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"heim", b"heis")
_VIDEO_STARTS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"\x00\x00\x01\xba",  # MPEG programme stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"FLV\x01",
    b"OggS",
    b"0&\xb2u\x8ef\xcf\x11",  # ASF, WMV
)
_IMAGE_STARTS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"II*\x00",
    b"MM\x00*",
    b"BM",
    b"\x00\x00\x00\x0cjP  ",
    b"P5",
    b"P6",
)


def kind_of_suffix(path: Path) -> Kind | None:
    """The kind that the file's name promises, or None for an unknown suffix. A ``.gif`` counts as video."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "image"
    return "video" if suffix in VIDEO_SUFFIXES else None


def kind_of_bytes(head: bytes) -> Kind | None:
    """The kind that a file's first bytes (512 are enough) show, or None."""
    if head[4:8] == b"ftyp":
        return "image" if head[8:12] in _STILL_BRANDS else "video"
    if head[:4] == b"RIFF":
        return {b"WEBP": "image", b"AVI ": "video"}.get(head[8:12])  # type: ignore[return-value]
    if head.startswith(b"GIF8"):
        return "video"
    if head.startswith(_IMAGE_STARTS):
        return "image"
    transport_stream = head[:1] == b"G" and head[188:189] == b"G" and head[376:377] == b"G"
    return "video" if transport_stream or head.startswith(_VIDEO_STARTS) else None


def kind_of(path: Path) -> Kind:
    """The kind of an existing regular file.

    A GIF is a video when it has more than one picture, otherwise an image. A known suffix is believed, so
    that a text named ``.mp4`` is later refused with the reader's own reason.

    Raises:
        InputError: unreadable, or neither suffix nor content is known.
    """
    kind = kind_of_suffix(path)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            if head.startswith(b"GIF8"):
                file.seek(0)
                return "video" if _gif_moves(file.read()) else "image"
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot read the input: {reason}", path, "Check its permissions") from error
    if kind is not None:
        return kind
    if not head:
        raise InputError("the input is empty", path, "Give a file with a picture or a film in it")
    kind = kind_of_bytes(head)
    if kind is None:
        raise InputError(
            "neither an image nor a video", path, "Give a PNG, JPEG, WebP, TIFF, MP4, MOV or MKV"
        )
    return kind


def _gif_moves(data: bytes) -> bool:
    """Whether a GIF has a second picture. A damaged file counts as still: its reader names the damage."""
    try:
        position = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
        pictures = 0
        while data[position] != 0x3B:
            if data[position] == 0x21:  # extension: label, then blocks
                position += 2
            else:  # picture: nine bytes, perhaps a colour table, the code size, then blocks
                pictures += 1
                if pictures > 1:
                    return True
                flags = data[position + 9]
                position += 11 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
            while data[position]:
                position += 1 + data[position]
            position += 1
    except IndexError:
        return False
    return False
