"""Making the segments of a long film: what is finished stays, and a run goes on where an earlier one ended.

What the steps remember at the end of a segment is kept beside it, so that an interrupted film is the same as
an unbroken one, frame for frame. A share of a film begins with some frames from before it, for the temporal
filter's sake, unless the segment before is there already.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from gantool.engine import Progress as PlainProgress
from gantool.engine import VideoReport, frame_bytes, one_more, through, together
from gantool.errors import EncoderError
from gantool.media.encoders import PicturePlan
from gantool.media.join import part_order, part_suffix
from gantool.media.video import Frame, VideoWriter
from gantool.passes import Passing, Work
from gantool.segments import ENCODER_WORDS, Film, Source, explained
from gantool.stages import Relay
from gantool.workfolder import Segment, WorkFolder

_WARM_UP = 24  # frames before a share: a tenth of what came before them is left in the filter then
_STATES_KEPT = 2  # the last one, and one more should its segment prove damaged


class Progress(PlainProgress, Protocol):
    """What is told about the progress of segments."""

    def skip(self, n: int) -> None: ...


@dataclass(frozen=True)
class Made:
    """What a run came to. ``before``: frames that were there already. ``segments``: all whole ones known."""

    report: VideoReport
    before: int
    segments: Mapping[int, Segment]


def make_segments(
    film: Film,
    work: WorkFolder,
    steps: Sequence[Work],
    plan: PicturePlan,
    *,
    share: tuple[int, int] | None = None,
    check: Callable[[], None] | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
) -> Made:
    """Make the missing segments of a film, or of share (I, N) of it, in a folder that is begun.

    ``plan``: how the whole film is stored. The other arguments, and the errors, are those of ``run_video``;
    what is finished when one comes up stays, and the error's remedy says so.
    """
    began = time.perf_counter()
    run = _Run(film, work, steps, plan, share is not None, check, progress, warn)
    how = "the same command goes on" if share else "the same command with --continue goes on"
    with explained(work, how):
        first, last = film.share(*share) if share else (0, None)
        before = run.find(first, last)
        run.fill(first, last)
    report = VideoReport(run.count, time.perf_counter() - began, run.seconds, tuple(run.warnings))
    return Made(report, before, run.whole)


class _Run:
    """One process at work on a film, or on a share of it."""

    def __init__(
        self,
        film: Film,
        work: WorkFolder,
        steps: Sequence[Work],
        plan: PicturePlan,
        shared: bool,
        check: Callable[[], None] | None,
        progress: Progress | None,
        warn: Callable[[str], None] | None,
    ) -> None:
        self.film, self.work, self.steps, self.plan, self.shared = film, work, steps, plan, shared
        self.check, self.progress, self.warn = check, progress, warn
        self.grid, self.suffix = film.grid, part_suffix(plan.encoder)
        self.whole: dict[int, Segment] = {}
        self.count = 0
        self.seconds: dict[str, float] = {}
        self.warnings: list[str] = []

    def note(self, message: str) -> None:
        """Hear a warning; pass each on once."""
        if message not in self.warnings:
            self.warnings.append(message)
            if self.warn is not None:
                self.warn(message)

    def find(self, first: int, last: int | None) -> int:
        """Look what is there of segments [first, last) and before; returns the frames of the former."""
        claimed, self.whole = self.work.segments(verify=False), self.work.segments()
        for number in sorted(claimed.keys() - self.whole.keys()):
            if number >= first and (last is None or number < last):
                self.note(f"segment {number} is damaged and is made again")
        inside = [s for n, s in self.whole.items() if n >= first and (last is None or n < last)]
        before = sum(len(segment.pts) for segment in inside)
        if self.progress is not None:
            expected = self.film.expected
            if expected is not None and self.shared:
                end = expected if last is None else min(expected, last * self.film.frames)
                expected = max(before, end - first * self.film.frames)
            self.progress.total(expected)
            if before:
                self.progress.skip(before)
        return before

    def fill(self, first: int, last: int | None) -> None:
        """Make what is missing of segments [first, last)."""
        number: int | None = first
        earlier = max((known for known in self.whole if known < first), default=None)
        if earlier is not None:
            following = self.whole[earlier].following
            number = following if following is None else max(first, following)
        while number is not None and (last is None or number < last):
            if number in self.whole:
                number = self.whole[number].following
                continue
            number, before = self._with_states(number, first)
            later = min((known for known in self.whole if known > number), default=last)
            end = later if last is None or later is None else min(later, last)
            number = self._make(number, end, before, opens=before is None and first == 0)

    def _with_states(self, number: int, first: int) -> tuple[int, Segment | None]:
        """The segment to begin with, and the one before it whose states are there.

        Where these are lost (they are kept of the last segments only), what comes after them is made again:
        nothing else gives the same film. Only the first segment of a share can do without.
        """
        while True:
            before = next((s for s in self.whole.values() if s.following == number), None)
            known = None if before is None else self.work.states(before.number)
            if before is None or (known is not None and len(known) == len(self.steps)):
                return number, before
            if before.number < first:
                return number, None
            number = before.number
            self.work.drop(number)
            del self.whole[number]

    def _make(self, number: int, end: int | None, before: Segment | None, opens: bool) -> int | None:
        """Make segments [number, end) in one go; returns the number of the next frame's, None at the end.

        ``before``: the segment before, with whose states to begin; ``opens``: the film begins here.
        """
        if self.shared:
            self.work.claim(number)
        grid = self.grid
        passes = [step.begin(self.note, lambda frame: grid.number(frame.pts)) for step in self.steps]
        if before is not None:
            for each, state in zip(passes, self.work.states(before.number) or (), strict=True):
                each.restore(state)
        # One frame from behind the end, for the states there; more where a filter looks ahead.
        ahead = 1 + sum(each.ahead for each in passes)
        warm_up = _WARM_UP if any(each.filter is not None for each in passes) else 0
        source = Source(self.film, self.note, number, end, before, warm_up, ahead)
        sink = _Sink(self, passes, source.tails, number, end, before, opens)
        with Relay(self.check) as relay:
            frames = through(relay, relay.source("decode", source.frames, frame_bytes), passes)
            put = relay.sink("encode", sink.take, frame_bytes)
            for frame in frames:
                put(frame)
                here = grid.number(frame.pts)
                if number <= here and (end is None or here < end):
                    self.count += 1
                    if self.progress is not None:
                        one_more(self.progress, relay)
        self.seconds = together([self.seconds, relay.seconds, *(each.seconds for each in passes)])
        self.whole |= {segment.number: segment for segment in sink.made}
        return sink.following


class _Sink:
    """Takes the finished frames and writes segments [number, end); other frames are left out."""

    def __init__(
        self,
        run: _Run,
        passes: Sequence[Passing],
        tails: Mapping[int, tuple[tuple[int, int], ...]],
        number: int,
        end: int | None,
        before: Segment | None,
        opens: bool,
    ) -> None:
        self.run, self.passes, self.tails = run, passes, tails
        self.begin, self.end, self.opens = number, end, opens
        self.made: list[Segment] = []
        self.following: int | None = None  # where the frame behind the last segment belongs
        self.with_states = [] if before is None else [before.number]
        self.number: int | None = None
        self.writer: VideoWriter | None = None
        self.pts: list[int] = []
        self.duration = 0

    def take(self, frames: Iterator[Frame]) -> None:
        """Write them all."""
        try:
            for frame in frames:
                self._add(frame)
            if self.writer is not None:
                self._finish(self.writer, None)
        except BaseException:
            if self.writer is not None:
                self.writer.abort()
                with contextlib.suppress(OSError):
                    self.writer.path.unlink()
            raise

    def _add(self, frame: Frame) -> None:
        number = self.run.grid.number(frame.pts)
        if number < self.begin or self.following is not None:
            return
        if number != self.number:
            if self.writer is not None:
                self._finish(self.writer, number)
            if self.end is not None and number >= self.end:
                self.following = number
                return
            self._open(number, frame)
        assert self.writer is not None
        self.writer.write(frame.rgb, frame.pts, frame.duration)
        self.pts.append(frame.pts)
        self.duration = frame.duration

    def _open(self, number: int, frame: Frame) -> None:
        run, plan = self.run, self.run.plan
        if run.shared:
            run.work.claim(number)
        path = run.work.temporary(number, run.suffix)
        # A segment has its own clock, which begins with its first frame.
        origin = frame.pts * run.film.info.time_base
        info = replace(run.film.info, path=None, origin=origin, end_pts=None)
        wanted = (*ENCODER_WORDS, "threads")
        words = {word: value for word, value in run.film.writer.items() if word in wanted}
        words |= {"codec": plan.encoder, "pix_fmt": plan.pix_fmt}
        height, width = frame.rgb.shape[:2]
        self.writer = VideoWriter(path, info, width, height, **words)
        self.number, self.pts = number, []

    def _finish(self, writer: VideoWriter, following: int | None) -> None:
        assert self.number is not None
        writer.close()
        found = len(part_order(writer.path).ranks)
        if found != len(self.pts):
            what = f"the encoder made {found} pictures of {len(self.pts)} frames"
            raise EncoderError(what, self.run.work.target, "Choose another --codec")
        states = None if following is None else [each.state(following) for each in self.passes]
        segment = self.run.work.commit(
            writer.path,
            states,
            number=self.number,
            pts=tuple(self.pts),
            duration=self.duration,
            first=self.opens and not self.made,
            following=following,
            tail=() if following is None else self.tails[following],
        )
        self.writer = None
        self.made.append(segment)
        self.with_states.append(segment.number)
        if len(self.with_states) > _STATES_KEPT:
            self.run.work.forget_states(self.with_states.pop(0))
