"""Whether a file is as long as its first bytes say.

FFmpeg reads a Matroska or AVI file that was cut short as if its end were meant, without an error. Both
formats state their length at the head, which is compared with the file's own size here. Streams that were
written live state none and are taken as they are.
"""

from __future__ import annotations

import struct
from pathlib import Path

_EBML, _SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")


def is_cut_short(path: Path) -> bool:
    """True if a Matroska, WebM or AVI file is shorter than it says. Raises OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return struct.unpack("<I", head[4:8])[0] + 8 > size
    if head[:4] != _EBML:
        return False
    length, start = _vint(head, 4)
    if length is None or head[start + length : start + length + 4] != _SEGMENT:
        return False
    length, start = _vint(head, start + length + 4)
    return length is not None and start + length > size


def _vint(data: bytes, at: int) -> tuple[int | None, int]:
    """(value, position behind it) of an EBML number; None for "unknown length" and for nonsense."""
    if at >= len(data) or data[at] == 0:
        return None, at
    width = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + width], "big") & ((1 << (7 * width)) - 1)
    unknown = value == (1 << (7 * width)) - 1
    return None if unknown else value, at + width
