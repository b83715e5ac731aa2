"""Frames of a video as RGB arrays, each with the timestamp it has in the file.

Frames are read until the stream ends; the container's frame count is only compared afterwards. Damage is an
error unless the caller asks for what comes before it. Colours are converted with the matrix and the range
that :func:`gantool.media.probe.probe` found; more than 8 bits are kept; interlaced frames are made whole and
HDR is brought to standard range where the ``VideoInfo`` says so.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.codec.context import Flags2
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from gantool.errors import InputError
from gantool.media.deinterlace import deinterlaced
from gantool.media.info import VideoInfo
from gantool.media.probe import open_input, orientation, probe, video_stream
from gantool.media.tonemap import to_standard
from gantool.media.vectors import vectors_of
from gantool.media.wholeness import chain_of
from gantool.media.ycbcr import deep_rgb, in_depth, shallow_rgb

_WHOLE = 1  # AVPictureType of a picture that needs no other
_INTERLACED = "the video is interlaced; its frames are made whole (--deinterlace off leaves them)"
_BACK = (0, 5, 30, 180)  # seconds before the start where reading is tried to begin


@dataclass(frozen=True)
class Frame:
    """One picture: ``rgb`` (H,W,3) uint8, or uint16 where that was asked for, contiguous; ``pts`` in
    ``info.time_base``; ``time`` in seconds from the start of the file; ``duration`` in ``info.time_base``, 0
    when the file does not say; ``vectors`` as ``vectors_of`` has them."""

    rgb: np.ndarray
    pts: int
    time: float
    duration: int = 0
    vectors: np.ndarray | None = None


def read_frames(
    path: Path | str,
    info: VideoInfo | None = None,
    *,
    start: float = 0.0,
    duration: float | None = None,
    threads: int = 0,
    keep_partial: bool = False,
    deep: bool = False,
    from_pts: int | None = None,
    warn: Callable[[str], None] | None = None,
) -> Iterator[Frame]:
    """Yield the frames of a video in the order of their time, pts strictly rising.

    ``start`` and ``duration`` (seconds, from the start of the file) select the frames with
    start <= time < start + duration. ``threads`` is the number of decoder threads, 0 for the library's
    choice. ``deep`` gives uint16 RGB, with all that a source of more than 8 bits has. ``from_pts`` leaves out
    frames before that time stamp as read already; it is no error when none is left. ``warn`` receives one
    sentence for each thing that is not as it should be.

    Raises InputError for damage (with ``keep_partial``: a warning, and the stream ends before the damage),
    for a picture size that changes, and for a selection that holds no frame.
    """
    path = Path(path)
    info = info or probe(path)
    if info.numbered:
        from gantool.media.pictures import read_pictures

        options = {"start": start, "duration": duration, "from_pts": from_pts, "deep": deep}
        return read_pictures(info, **options, warn=warn or _ignore)
    reader = _Reader(path, info, start, duration, threads, keep_partial, warn or _ignore)
    reader.deep = deep
    if from_pts is not None:
        reader.go_on(from_pts)
    return reader.frames()


class _Reader:
    """The state of one reading: position, damage, what was already said."""

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        start: float,
        duration: float | None,
        threads: int,
        keep_partial: bool,
        warn: Callable[[str], None],
    ) -> None:
        self.path, self.info, self.warn = path, info, warn
        self.threads, self.keep_partial = threads, keep_partial
        self.whole = start <= 0 and duration is None
        self.first_pts = self._ticks(start) if start > 0 else None
        self.end_pts = None if duration is None else self._ticks(max(start, 0.0) + duration)
        self.reformatter = VideoReformatter()
        self.last_pts: int | None = None
        self.deep = False
        self._seen_through = False
        self.reached = 0
        self.count = 0
        self.reordered = False
        self.goes_on = False

    def go_on(self, pts: int) -> None:
        """Begin with the first frame from ``pts`` on."""
        self.goes_on = True
        self.first_pts = pts if self.first_pts is None else max(pts, self.first_pts)

    def frames(self) -> Iterator[Frame]:
        if self.info.truncated and not self.keep_partial:
            raise self._damage("the file ends before its last frame")
        self._announce()
        yield from self._selected()
        if self.count == 0 and not self.goes_on:
            if not self.whole:
                length = f"{self.info.duration:.2f} s long" if self.info.duration else "shorter"
                raise InputError(
                    f"no frame lies in the chosen part, the video is {length}",
                    self.path,
                    "Change --start or --duration",
                )
            raise InputError("no frame of the video can be decoded", self.path, "Download it again")
        if self.whole:
            self._compare()

    def _compare(self) -> None:
        """What was read against what the container promised: exact counts, or lengths within a second."""
        info = self.info
        if info.variable_rate is not None:
            if info.frames_hint and self.count < info.frames_hint and not self.goes_on:
                self.warn(f"{self.count} frames were read, the file promised {info.frames_hint}")
        elif info.duration is not None and self.last_pts is not None:
            end = float((self.last_pts - info.start_pts) * info.time_base + 1 / info.fps)
            if end < info.duration - 1:
                self.warn(f"the picture ends after {end:.2f} s, the file promised {info.duration:.2f} s")

    def _selected(self) -> Iterator[Frame]:
        frames = self._decoded()
        if self.info.deinterlace:
            frames = deinterlaced(frames, self.info.time_base, lambda: self.warn(_INTERLACED))
        for frame in frames:
            frame_pts = self._next_pts(frame)
            if self.first_pts is not None and frame_pts < self.first_pts:
                continue
            if self.end_pts is not None and frame_pts >= self.end_pts:
                return
            rgb = self._to_rgb(frame, frame_pts)
            self.count += 1
            vectors = vectors_of(frame, self.info)
            yield Frame(rgb, frame_pts, self._seconds(frame_pts), frame.duration or 0, vectors)

    def _decoded(self) -> Iterator[Any]:
        """Decoded frames, from a little before the start on where seeking is to be trusted."""
        for target in self._approaches():
            with open_input(self.path) as container:
                frames, lead = self._stream_frames(container, target), []
                if target is not None:
                    with contextlib.suppress(FFmpegError, _Damaged):
                        lead = self._lead(frames)
                    if not lead:
                        continue
                yield from self._until_damage(itertools.chain(lead, frames))
                return

    def _approaches(self) -> Iterator[int | None]:
        """Where to seek to, ever further back, and at last the very beginning (None).

        Not every key frame is a fresh start: where the picture is renewed bit by bit (intra refresh), the
        decoder lacks what came before, and marks frames as broken that a reading from afar gives whole.
        """
        if self.first_pts is not None:
            for seconds in _BACK:
                target = self.first_pts - round(seconds / self.info.time_base)
                if target <= self.info.start_pts:
                    break
                yield target
        yield None

    def _lead(self, frames: Iterator[Any]) -> list[Any]:
        """The first wanted frame and the one before; empty if the decoder began too late or doubts its work.

        What is shown before the first whole picture may rest on frames from before the seek (open GOP).
        """
        assert self.first_pts is not None
        begun, before = False, None
        for frame in frames:
            if frame.pts is None or frame.is_corrupt:
                break
            early = begun
            begun = begun or frame.key_frame or frame.pict_type == _WHOLE
            if frame.pts >= self.first_pts:
                if early:
                    return [before, frame]
                alone = not (frame.interlaced_frame and self.info.deinterlace)
                return [frame] if begun and alone and frame.pts == self.first_pts else []
            before = frame
        return []

    def _stream_frames(self, container: Any, target: int | None) -> Iterator[Any]:
        """Frames in the order of decoding, from the key frame before ``target`` on or from the first one.

        Raises FFmpegError or _Damaged where they are damaged.
        """
        stream = video_stream(container, self.path)
        # Of frames that are decoded beside each other, now and then one has lost its vectors (measured).
        stream.thread_type = "SLICE" if self.info.vectors else "AUTO"
        stream.codec_context.thread_count = self.threads
        if self.info.vectors:
            stream.codec_context.flags2 |= Flags2.export_mvs
        if target is not None:
            # Old x264 files of 4:4:4 name their maker in the first packet only, and the decoder must know it.
            next((None for packet in container.demux(stream) if packet.decode()), None)
            container.seek(target, stream=stream)
        with chain_of(self.path, self.info.container) or contextlib.nullcontext() as chain:
            for packet in container.demux(stream):
                self.reached = packet.pts if packet.pts is not None else self.reached
                if packet.is_corrupt or not (chain is None or chain.holds(packet)):
                    raise _Damaged
                for frame in packet.decode():
                    if frame.is_corrupt and not self._before_start(frame):
                        raise _Damaged
                    yield frame

    def _until_damage(self, frames: Iterator[Any]) -> Iterator[Any]:
        """``frames``; damage is an error, or with ``keep_partial`` their end."""
        try:
            yield from frames
        except (FFmpegError, _Damaged) as error:
            if isinstance(error, MemoryError):
                raise
            at = self._seconds(self.last_pts if self.last_pts is not None else self.reached)
            if not self.keep_partial:
                raise self._damage(f"the video is damaged after {at:.2f} s") from error
            self.warn(f"damaged after {at:.2f} s; what comes after it is left out")

    def _before_start(self, frame: Any) -> bool:
        return self.first_pts is not None and frame.pts is not None and frame.pts < self.first_pts

    def _next_pts(self, frame: Any) -> int:
        """The frame's own pts; for files without usable ones, the next in an even rhythm."""
        pts = frame.pts if frame.pts is not None else frame.dts
        if self.last_pts is not None and (pts is None or pts <= self.last_pts):
            if not self.reordered:
                self.warn("some timestamps are missing or repeated; they were spread evenly")
            self.reordered = True
            step = frame.duration or round(1 / (self.info.fps * self.info.time_base))
            # A repeated stamp moves on by one tick only, so that the next good one still fits.
            pts = self.last_pts + (1 if pts is not None else max(1, step))
        if pts is None:
            pts = self.info.start_pts
        self.last_pts = pts
        return pts

    def _to_rgb(self, frame: Any, pts: int) -> np.ndarray:
        info = self.info
        rotation, mirrored = orientation(frame) if info.rotation or info.mirrored else (0, False)
        shown = (frame.height, frame.width) if rotation % 180 else (frame.width, frame.height)
        if shown != (info.width, info.height):
            raise InputError(
                f"the picture size changes from {info.width}x{info.height} to {shown[0]}x{shown[1]} "
                f"at {self._seconds(pts):.2f} s",
                self.path,
                "Cut the file there, or use --start and --duration",
            )
        rgb = in_depth(self._stored_rgb(frame), deep=self.deep)
        if mirrored:
            rgb = rgb[:, ::-1]
        return np.ascontiguousarray(np.rot90(rgb, rotation // 90) if rotation else rgb)

    def _stored_rgb(self, frame: Any) -> np.ndarray:
        """(H,W,3) as stored, not turned. The transparent parts of a GIF become white, as on a page."""
        info = self.info
        if info.codec == "gif":
            rgba = frame.to_ndarray(format="rgba")
            through = rgba[..., 3:] == 0
            if not self._seen_through and through.any():
                self._seen_through = True
                self.warn("the transparent parts become white")
            return np.where(through, np.uint8(255), rgba[..., :3])
        if not info.deep:
            return shallow_rgb(self.reformatter, frame, info.matrix, full=info.full_range)
        rgb = deep_rgb(self.reformatter, frame, info.matrix, full=info.full_range)
        return to_standard(rgb, info.hdr, info.peak_nits) if info.hdr else rgb

    def _announce(self) -> None:
        info = self.info
        if info.alpha and info.codec != "gif":
            self.warn("the transparency channel is left out")
        if info.interlaced and not info.deinterlace:
            self.warn("the video is interlaced and stays so; fine lines will look torn")

    def _damage(self, what: str) -> InputError:
        return InputError(what, self.path, "Copy it again, or use --keep-partial to keep the part before")

    def _ticks(self, seconds: float) -> int:
        """The first tick at or after a time; a hundredth of a tick may be missing to it."""
        exact = Fraction(seconds).limit_denominator(1_000_000) + self.info.origin
        return math.ceil(exact / self.info.time_base - Fraction(1, 100))

    def _seconds(self, pts: int) -> float:
        return float(pts * self.info.time_base - self.info.origin)


class _Damaged(Exception):
    """A packet or frame that the library itself marked as damaged."""


def _ignore(message: str) -> None:
    del message
