"""Whether a file is as long as its first bytes say, and whether nothing is lost in the middle of it.

FFmpeg reads a Matroska or AVI file that was cut short as if its end were meant, without an error. Both
formats state their length at the head, which is compared with the file's own size here. Streams that were
written live state none and are taken as they are.

Where a Matroska file is damaged, FFmpeg looks for the next cluster and goes on there, without an error
either; seconds may be gone. But each of its elements says where the next one begins (RFC 8794), so between
two packets there must be a chain of them. So it is with the tags of a Flash video file.
"""

from __future__ import annotations

import os
import struct
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_EBML, _SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")
# RFC 9559: those that hold others are gone into; all else, known or not, is passed over.
_GONE_INTO = {0x18538067, 0x1F43B675, 0xA0}  # Segment, Cluster, BlockGroup
_BLOCKS = {0xA3, 0xA1}  # SimpleBlock, Block
_SLACK = 64  # bytes by which a block may differ from its packet: its head, and what compression takes off


def is_cut_short(path: Path) -> bool:
    """True if a Matroska, WebM or AVI file is shorter than it says. Raises OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return struct.unpack("<I", head[4:8])[0] + 8 > size
    if head[:4] != _EBML:
        return False
    end = _segment_end(head)
    return end is not None and end > size


def chain_of(path: Path, container: str) -> Chain | None:
    """What follows a file's packets, by FFmpeg's name of its container; None where there is no such chain.

    Raises OSError.
    """
    if "matroska" in container:
        return Blocks(path)
    return Tags(path) if container == "flv" else None


class Chain(ABC):
    """Follows the packets of one stream of a file, in their order there; a context manager."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file = path.open("rb", buffering=0)
        self._size = os.fstat(self._file.fileno()).st_size
        self._at: int | None = None  # behind the last packet's data, or where its tag begins

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @abstractmethod
    def holds(self, packet: Any) -> bool:
        """Whether nothing was skipped between the packet before and this one; an empty one is the end."""


class Tags(Chain):
    """Of Flash video: tags, each with its length before and behind it (Adobe's specification 10.1, E.4)."""

    def holds(self, packet: Any) -> bool:
        at, goal = self._at, packet.pos if packet.size else self._size
        self._at = goal
        if at is None or goal is None or at > goal:
            return True
        while at < goal:
            head = os.pread(self._file.fileno(), 4, at)
            behind = at + 11 + int.from_bytes(head[1:], "big")
            if os.pread(self._file.fileno(), 4, behind) != (behind - at).to_bytes(4, "big"):
                return False
            at = behind + 4
        return at == goal


class Blocks(Chain):
    """Of Matroska and WebM: elements, some of which are gone into."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        super().__init__(path)
        self._end = _segment_end(self._file.read(4096)) or self._size

    def holds(self, packet: Any) -> bool:
        if not packet.size:
            return self._at is None or self._leads_to(min(self._end, self._size), block=False)
        pos = packet.pos
        whole = self._at is None or pos is None or self._at > pos or self._leads_to(pos, block=True)
        self._at = None if pos is None else self._behind(pos, packet.size)
        return whole

    def _leads_to(self, goal: int, *, block: bool) -> bool:
        """Whether elements follow each other up to ``goal``, where a block's data begin, or all ends."""
        at = self._at
        assert at is not None
        while at < goal:
            name, length, start = self._element(at)
            if block and name in _BLOCKS and start == goal:
                return True
            if name in _GONE_INTO:
                at = start
            elif name and length is not None:
                at = start + length
            else:
                return False
        return at == goal and not block

    def _behind(self, pos: int, size: int) -> int | None:
        """Where the block ends whose data begin at ``pos``; None where that cannot be told."""
        head = os.pread(self._file.fileno(), 9, max(0, pos - 9))
        for width in range(1, min(8, len(head) - 1) + 1):
            length, behind = _vint(head, len(head) - width)
            if length is None or behind != len(head) or abs(length - size) > _SLACK:
                continue
            if head[-width - 1] in _BLOCKS:
                return pos + length
        return None

    def _element(self, at: int) -> tuple[int, int | None, int]:
        """(ID, length of the data or None for unknown, where the data begin)."""
        head = os.pread(self._file.fileno(), 12, at)
        width = 9 - head[0].bit_length() if head and head[0] else 0
        if not 1 <= width <= 4:
            return 0, None, at
        length, start = _vint(head, width)
        return int.from_bytes(head[:width], "big"), length, at + start


def _segment_end(head: bytes) -> int | None:
    """Where a Matroska file's segment ends, by its first bytes; None where they do not say."""
    length, start = _vint(head, 4)
    if length is None or head[start + length : start + length + 4] != _SEGMENT:
        return None
    length, start = _vint(head, start + length + 4)
    return None if length is None else start + length


def _vint(data: bytes, at: int) -> tuple[int | None, int]:
    """(value, position behind it) of an EBML number; None for "unknown length" and for nonsense."""
    if at >= len(data) or data[at] == 0:
        return None, at
    width = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + width], "big") & ((1 << (7 * width)) - 1)
    unknown = value == (1 << (7 * width)) - 1
    return None if unknown else value, at + width
