"""Interlaced frames made whole: one for one, at the same times.

An interlaced frame holds the odd lines of one moment and the even lines of another. FFmpeg's filter bwdif
keeps the lines of the first moment and finds the others from their neighbours in the picture and in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any

from av.error import BlockingIOError, EOFError, FFmpegError
from av.filter import Graph

from gantool.errors import InputError
from gantool.media.probe import exact


def deinterlaced(
    frames: Iterable[Any], time_base: Fraction, found: Callable[[], None] = lambda: None
) -> Iterator[Any]:
    """The same frames, of which those that say that they are interlaced have been made whole.

    Others pass unchanged. A frame needs its neighbours on both sides, so what comes before the first wanted
    frame must be read too. ``found`` is called at the first interlaced frame. Raises InputError for frames
    that the filter does not take.
    """
    work: _Filter | None = None
    before: Any = None
    for frame in frames:
        if work is not None and not work.fits(frame):
            yield from work.flush()
            work = None
        if work is None and frame.interlaced_frame:
            found()
            work = _Filter(frame, time_base)
            if before is not None and work.fits(before):
                list(work.feed(before))
                work.skip = 1
        if work is None:
            yield frame
        else:
            yield from work.feed(frame)
        before = frame
    if work is not None:
        yield from work.flush()


class _Filter:
    """A filter graph for frames of one size and format."""

    def __init__(self, frame: Any, time_base: Fraction) -> None:
        self.shape = _shape(frame)
        self.time_base = time_base
        self.skip = 0  # frames still to come out that nobody wants
        self.graph = Graph()
        try:
            source = self.graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=time_base
            )
            # One frame for each; those that do not say that they are interlaced are let through.
            bwdif = self.graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
            self.graph.link_nodes(source, bwdif, self.graph.add("buffersink")).configure()
        except (FFmpegError, ValueError) as error:
            what = (
                f"interlaced video of {frame.width}x{frame.height} {frame.format.name} cannot be made whole"
            )
            raise InputError(what, remedy="Use --deinterlace off") from error

    def fits(self, frame: Any) -> bool:
        return _shape(frame) == self.shape

    def feed(self, frame: Any) -> Iterator[Any]:
        self.graph.vpush(frame)
        yield from self._ready()

    def flush(self) -> Iterator[Any]:
        yield from self.feed(None)

    def _ready(self) -> Iterator[Any]:
        while True:
            try:
                frame = self.graph.vpull()
            except (BlockingIOError, EOFError):
                return
            if self.skip:
                self.skip -= 1
                continue
            ratio = exact(frame.time_base) / self.time_base  # the filter counts in half ticks
            if frame.pts is not None:
                frame.pts = round(frame.pts * ratio)
            frame.duration = round((frame.duration or 0) * ratio)
            frame.time_base = self.time_base
            yield frame


def _shape(frame: Any) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
