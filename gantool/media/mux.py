"""One video file in the making: the picture's packets, everything copied from the source, and the mark.

Whoever has the packets (an encoder, or the parts of a film that are finished) asks for the stamps of each
frame and hands the packets over; the muxer moves the time, copies sound, subtitles and chapters beside them
and finishes the file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.error import FFmpegError

from gantool.media.encoders import PicturePlan, explained
from gantool.media.marks import check_tags, finish_mark, kept_tags, marked_tags, muxer_options
from gantool.media.probe import ANY_TAGS, VideoInfo
from gantool.media.rhythm import even_clock
from gantool.media.tracks import CopiedTracks, NoTracks, Tracks, moved_chapters

if TYPE_CHECKING:
    from gantool.media.provenance import Provenance

_EARLY = 0.5  # seconds by which the picture must fall short before the sound is cut with it


class Muxer:
    """Writes one video file: picture packets through :meth:`put`, everything else copied from ``info.path``.

    Args:
        path: file to write; its suffix has chosen the container of ``plan``.
        info: the source; with ``info.path`` None there is nothing to copy.
        plan: how the picture is stored. :attr:`plan` is the same with the clock that is really used.
        add_picture: (output container, plan) -> the picture's stream in it.
        tracks: other sound in place of the source's.
        sink: an object with ``write(bytes)`` that gets the file in place of ``path``, from front to back.

    The other arguments, and the errors, are those of ``VideoWriter``.
    """

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        plan: PicturePlan,
        add_picture: Callable[[Any, PicturePlan], Any],
        *,
        audio: bool = True,
        subtitles: bool = True,
        start: float = 0.0,
        duration: float | None = None,
        keep_partial: bool = False,
        provenance: Provenance | None = None,
        warn: Callable[[str], None],
        tracks: Tracks | None = None,
        sink: Any = None,
    ) -> None:
        self.path, self.info, self.warn, self.sink = path, info, warn, sink
        self.keep_partial, self.provenance = keep_partial, provenance
        self.start = Fraction(max(start, 0.0)).limit_denominator(1_000_000) + info.origin
        self.end = None if duration is None else self.start + Fraction(duration).limit_denominator(1_000_000)
        # A film whose times were rounded gets its even rhythm back where the clock is finer.
        self.even = even_clock(info) if plan.muxer in ("mp4", "mov") else None
        self.plan = plan if self.even is None else replace(plan, time_base=self.even)
        self.first = Fraction(0)
        self.shift: int | None = None
        self.last_stamp: int | None = None
        self.closed = False
        self.tracks: Tracks = tracks or NoTracks()
        try:
            if plan.muxer == "gif":
                if info.audio and audio:
                    self.warn("gif has no sound; it is left out")
                if info.subtitles and subtitles:
                    self.warn("gif has no subtitles; they are left out")
            elif tracks is None and info.path is not None and not info.numbered:
                self.tracks = CopiedTracks(
                    info,
                    audio=audio,
                    subtitles=subtitles,
                    end=self.end,
                    tolerant=keep_partial,
                    warn=self.warn,
                )
            self._open(add_picture)
        except BaseException:
            self.abort()
            raise

    def _open(self, add_picture: Callable[[Any, PicturePlan], Any]) -> None:
        muxer = self.plan.muxer
        source = self.tracks.source.metadata if isinstance(self.tracks, CopiedTracks) else {}
        url = "file:" + os.path.abspath(self.path)  # noqa: PTH100 - resolve() would follow links
        options = muxer_options(muxer, source)
        self.output = self.guard(
            av.open, self.sink or url, "w", format=muxer, container_options=options, **ANY_TAGS
        )
        self.stream = add_picture(self.output, self.plan)
        self.guard(self.tracks.attach, self.output)
        if isinstance(self.tracks, CopiedTracks):
            original = self.tracks.picture
            self.stream.metadata.update(kept_tags(original.metadata))
            self.stream.disposition = original.disposition
            self.output.set_chapters(moved_chapters(self.tracks.source.chapters(), self.start, self.end))
        self.output.metadata.update(marked_tags(source, muxer, self.provenance))
        self.guard(self.output.start_encoding)

    def stamp(self, pts: int, duration: int) -> tuple[int, int]:
        """When a frame of the source is shown and for how long, in ticks of ``plan.time_base``.

        ``pts`` and ``duration`` are in ``info.time_base``. Frames are asked for in the order of their time.
        """
        if self.shift is None:
            self.shift = self._choose_shift(pts)
            self.first = (pts - self.shift) * self.info.time_base
        base, clock = self.info.time_base, self.plan.time_base
        time = self.seconds(pts)
        stamp = round(time / clock)
        if self.even is not None:
            fps = self.info.fps
            stamp = round(self.first / clock) + round((time - self.first) * fps) * fps.denominator
        if self.last_stamp is not None:
            stamp = max(stamp, self.last_stamp + 1)  # a coarser clock (gif) must not merge two frames
        self.last_stamp = stamp
        return stamp, max(1, round((time + duration * base) / clock) - stamp)

    def seconds(self, pts: int) -> Fraction:
        """A time of the source on the output's clock; :meth:`stamp` comes first."""
        return (pts - (self.shift or 0)) * self.info.time_base

    def last_duration(self, pts: int, own: int = 0) -> int:
        """How long the last frame is shown, in ``info.time_base``. ``own``: what the frame itself says.

        The end of the picture, where the container knows it, is believed more: with B-frames, a variable
        rate gives frames the duration of another.
        """
        end = self.info.end_pts
        frame = max(1, round(1 / (self.info.fps * self.info.time_base)))
        if end is None or end <= pts or self.end is not None or self.keep_partial:
            return own or frame
        return end - pts if not own or end - pts <= max(own, frame) else own

    def put(self, packet: Any) -> None:
        """Write a packet of the picture."""
        self.guard(self.output.mux_one, packet)

    def copy_tracks(self, until: Fraction | None) -> None:
        """Copy the tracks up to a time of the output; None for all of them."""
        shift = (self.shift or 0) * self.info.time_base
        for packet in self.tracks.packets(shift, until):
            self.guard(self.output.mux_one, packet)

    def close(self, end_pts: int) -> None:
        """Copy what is left of the tracks, finish the file and mark it. ``end_pts``: the picture's end."""
        self.copy_tracks(self._end_of_sound(end_pts))
        tags = {} if self.plan.muxer == "gif" else dict(self.output.metadata)
        self.guard(self.output.close)
        self.closed = True
        self.tracks.close()
        if self.sink is not None:
            return
        self.guard(finish_mark, self.path, self.plan.muxer, self.provenance)
        for sentence in check_tags(self.path, tags, self.info.sar):
            self.warn(sentence)

    def abort(self) -> None:
        """Stop without caring for the file, which is unusable afterwards; the caller removes it."""
        self.closed = True
        with contextlib.suppress(Exception):
            self.tracks.close()
        with contextlib.suppress(Exception):
            self.output.close()

    def guard(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call ``step`` and turn its failure into the error that names the cause."""
        try:
            return step(*args, **kwargs)
        except (FFmpegError, OSError, ValueError) as error:
            raise explained(error, self.path, self.plan) from error

    def _choose_shift(self, pts: int) -> int:
        """What is taken off every timestamp. A cut clip starts at zero with its first frame."""
        base = self.info.time_base
        wanted = round(self.start / base)
        frame = 1 / (self.info.fps * base)
        return pts if self.start > self.info.origin and 0 <= pts - wanted <= frame else wanted

    def _end_of_sound(self, end_pts: int) -> Fraction | None:
        """Where the tracks end on the output's clock; None for their own end."""
        info = self.info
        if not self.keep_partial or self.end is not None or info.duration is None:
            return None
        missing = info.duration - float((end_pts - info.start_pts) * info.time_base)
        return None if missing < _EARLY else self.seconds(end_pts)
