"""Where a long film is cut into segments, and how finished segments become the film.

The cuts lie on a grid in time, given by the source's time stamps alone: every run and every machine cuts at
the same places, whatever was done before. Each segment has its own encoder, and they are joined without
encoding anything again. :mod:`gantool.segmenting` makes them.
"""

from __future__ import annotations

import contextlib
import errno
import math
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from gantool.errors import GantoolError, InputError, OutputError
from gantool.media import files
from gantool.media.encoders import PicturePlan
from gantool.media.join import Part, join_parts
from gantool.media.video import Frame, VideoInfo, VideoWriter, is_deep, read_frames
from gantool.preview import expected_frames
from gantool.workfolder import Segment, WorkFolder

SEGMENT_FRAMES = 240  # where frames come evenly; about x264's longest distance between key frames
SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")  # that are written in segments; a gif cannot be joined
ENCODER_WORDS = ("codec", "crf", "preset", "pix_fmt")
_TAIL = 8  # frames of the source by which a reader makes sure that it goes on at the right place
_HIGHEST_RATE = 120  # frames/s that are believed; some files claim a thousand
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Grid:
    """Cuts every ``frames`` times ``step`` ticks of the source's clock, from ``origin`` on."""

    origin: int
    step: Fraction
    frames: int

    def number(self, pts: int) -> int:
        """The segment of a frame. Cuts lie half a step before a frame, so that rounded stamps do no harm."""
        return max(0, math.floor(((pts - self.origin) / self.step + Fraction(1, 2)) / self.frames))

    def begin(self, number: int) -> int:
        """The first time stamp of a segment."""
        return self.origin + math.ceil((number * self.frames - Fraction(1, 2)) * self.step)


@dataclass(frozen=True)
class Film:
    """One film to be made; the same for all who have a share in it.

    ``writer``: options of ``VideoWriter``. ``start``, ``duration``: the part of the source, in seconds.
    ``frames``: of a segment, where frames come evenly.
    """

    info: VideoInfo
    target: Path
    writer: Mapping[str, Any] = field(default_factory=dict)
    start: float = 0.0
    duration: float | None = None
    keep_partial: bool = False
    frames: int = field(default_factory=lambda: SEGMENT_FRAMES)

    @property
    def can_be_cut(self) -> bool:
        """Whether its container can be joined."""
        return self.target.suffix.lower() in SUFFIXES

    @property
    def is_long(self) -> bool:
        """Whether there is more than one segment, as far as the source says."""
        expected = self.expected
        return expected is None or expected > self.frames

    @property
    def expected(self) -> int | None:
        """About how many frames it will have."""
        return expected_frames(self.info, self.start, self.duration)

    @property
    def grid(self) -> Grid:
        """Where it is cut."""
        info = self.info
        origin = info.start_pts
        if self.start > 0:
            wanted = Fraction(self.start).limit_denominator(1_000_000) + info.origin
            origin = max(origin, math.ceil(wanted / info.time_base))
        step = 1 / (min(info.fps, Fraction(_HIGHEST_RATE)) * info.time_base)
        return Grid(origin, step, self.frames)

    def share(self, index: int, count: int) -> tuple[int, int | None]:
        """Segments [first, last) of share ``index`` of ``count``, counted from 1; None: to the film's end.

        Raises InputError when the film's length is not known.
        """
        if self.expected is None:
            what = "the film does not say how long it is, so it cannot be shared out"
            raise InputError(what, self.info.path, "Leave out --segment")
        number = -(-self.expected // self.frames)
        last = None if index == count else index * number // count
        return (index - 1) * number // count, last

    def rehearse(self, size: tuple[int, int], warn: Callable[[str], None]) -> PicturePlan:
        """Open the output once, elsewhere: what it cannot hold is said before the work, not after it.

        ``size``: (width, height) of its frames. Raises EncoderError and OutputError.
        """
        with tempfile.TemporaryDirectory(prefix="gantool-") as folder:
            path = Path(folder) / f"film{self.target.suffix}"
            writer = VideoWriter(path, self.info, *size, **self.writer, **self.span, warn=warn)
            writer.abort()
            return writer.plan

    @property
    def span(self) -> dict[str, Any]:
        """The part of the source, as ``VideoWriter`` takes it."""
        return {"start": self.start, "duration": self.duration, "keep_partial": self.keep_partial}


class Source:
    """The source's frames for segments [number, end), with what the steps need from before and behind."""

    def __init__(
        self,
        film: Film,
        note: Callable[[str], None],
        number: int,
        end: int | None,
        before: Segment | None,
        warm_up: int,
        ahead: int,
    ) -> None:
        """``before``: the segment behind which to go on; ``warm_up``, ``ahead``: frames from elsewhere."""
        self.film, self.note, self.grid = film, note, film.grid
        self.number, self.end, self.before = number, end, before
        self.warm_up, self.ahead = warm_up, ahead
        # Of each segment, (pts, checksum) of the last frames before its first.
        self.tails: dict[int, tuple[tuple[int, int], ...]] = {}

    def frames(self) -> Iterator[Frame]:
        """The frames, in order."""
        tail = deque(self.before.tail if self.before else (), _TAIL)
        here, ahead = None, self.ahead
        for frame in self._entered():
            number = self.grid.number(frame.pts)
            if self.end is not None and number >= self.end:
                if ahead == 0:
                    return
                ahead -= 1
            if number != here:
                self.tails[number], here = tuple(tail), number
            tail.append(_seen(frame))
            yield frame

    def _entered(self) -> Iterator[Frame]:
        """All frames from the first wanted one on."""
        if self.before is None:
            begin = self.grid.begin(self.number) - math.ceil(self.warm_up * self.grid.step)
            yield from self._read(begin if self.number else None)
            return
        tail = self.before.tail
        frames = self._read(tail[0][0])
        if [_seen(frame) for frame in islice(frames, len(tail))] == list(tail):
            yield from frames
            return
        # Some files give other frames or other times after a seek: then from the very beginning, as before.
        for frame in self._read(None):
            if frame.pts > tail[-1][0]:
                yield frame

    def _read(self, from_pts: int | None) -> Iterator[Frame]:
        info = self.film.info
        assert info.path is not None
        deep = is_deep(self.film.target, info, **self.film.writer)
        return read_frames(info.path, info, from_pts=from_pts, **self.film.span, deep=deep, warn=self.note)


def _seen(frame: Frame) -> tuple[int, int]:
    """(pts, checksum of every eighth line)."""
    return frame.pts, zlib.crc32(np.ascontiguousarray(frame.rgb[::8]).data)


def missing(segments: Mapping[int, Segment]) -> list[str]:
    """Which segments of a film are not there, as "4 to 7"; empty when it is whole."""
    result: list[str] = []
    number: int | None = next((s.number for s in segments.values() if s.first), 0)
    while number is not None:
        if number in segments:
            number = segments[number].following
            continue
        later = min((known for known in segments if known > number), default=None)
        last = "the end" if later is None else later - 1
        result.append(f"{number}" if last == number else f"{number} to {last}")
        number = later
    return result


def join(
    film: Film,
    work: WorkFolder,
    segments: Mapping[int, Segment],
    plan: PicturePlan,
    *,
    overwrite: bool,
    check: Callable[[], None] = lambda: None,
    warn: Callable[[str], None] = lambda message: None,
) -> int:
    """Make the film of its segments, all of them, and remove the folder; returns the number of frames.

    Raises InputError when a segment is missing or the source's sound cannot be read; OutputError for the
    target and the disk; then the folder stays.
    """
    lacking = missing(segments)
    if lacking:
        word = "segment" if len(lacking) == 1 and " " not in lacking[0] else "segments"
        verb = "is" if word == "segment" else "are"
        state = "missing or damaged" if missing(work.segments(verify=False)) != lacking else "missing"
        remedy = "Make them by the same command, with --continue or its --segment"
        raise InputError(f"{word} {', '.join(lacking)} {verb} {state}", work.path, remedy)
    parts = [Part(work.path / s.file, s.pts, s.duration) for _, s in sorted(segments.items())]
    tracks = {word: value for word, value in film.writer.items() if word not in (*ENCODER_WORDS, "threads")}
    with explained(work), files.atomic(film.target, overwrite=overwrite, folder=work.path) as temporary:
        try:
            count = join_parts(
                temporary, film.info, plan, parts, check=check, warn=warn, **tracks, **film.span
            )
            work.mark_done(temporary)
        except OutputError as error:
            if getattr(error.__cause__, "errno", None) in _NO_ROOM:
                needed = sum(segment.bytes for segment in segments.values()) / 1e6
                error.what = "no space is left on the disk to join the segments"
                error.remedy = f"Free about {max(1, round(needed))} MB"
            raise
    work.remove()
    return count


@contextlib.contextmanager
def explained(work: WorkFolder, how: str = "the same command with --continue goes on") -> Iterator[None]:
    """Errors name the film rather than a segment, and say what stays and how to go on.

    When nothing is finished, nothing stays.
    """
    try:
        yield
    except BaseException as error:
        stays = work.keep_if_begun()
        if isinstance(error, GantoolError):
            if error.file is not None and Path(error.file).parent == work.path:
                error.file = str(work.target)
            if stays:
                remedy = f"{error.remedy.rstrip('.')}. " if error.remedy else ""
                error.remedy = f"{remedy}What is finished stays in {work.path}; {how}"
        raise
