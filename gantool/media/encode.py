"""Frames into a video file, with the source's timestamps, and the source's sound and titles beside them.

The picture is encoded as BT.709, limited range, and says so: whatever the source's matrix was, pixels are
converted to that one explicitly. Primaries and transfer are not converted, so their tags are the source's
where it had any. Timestamps are the source's own, moved only by ``start``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from gantool.errors import EncoderError
from gantool.media.decode import FULL, LIMITED
from gantool.media.encoders import explained, plan_picture
from gantool.media.gif import palette_frame
from gantool.media.marks import check_tags, finish_mark, kept_tags, marked_tags, muxer_options
from gantool.media.probe import ANY_TAGS, VideoInfo
from gantool.media.rhythm import even_clock
from gantool.media.tracks import CopiedTracks, NoTracks, Tracks, moved_chapters

if TYPE_CHECKING:
    from gantool.media.provenance import Provenance

_BT709 = 1
_UNSPECIFIED = 2
_EARLY = 0.5  # seconds by which the picture must fall short before the sound is cut with it
# Area averaging for the smaller chroma planes: measured the nearest to the source's own after a round trip.
_ACCURATE = (
    Interpolation.AREA
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)


class VideoWriter:
    """Writes one video file: frames through :meth:`write`, everything else copied from ``info.path``.

    Args:
        path: file to write, normally a temporary one; its suffix chooses the container.
        info: the source. Its time base, rate, pixel aspect and colour tags are taken over; with
            ``info.path`` None there is nothing to copy.
        width, height: size of the frames that will be written, in pixels.
        codec: encoder name, or "auto" for the container's usual one (H.264; VP9 in webm).
        crf: quality on x264's scale, 0 (lossless) to 51; translated for other encoders.
        preset: speed in x264's words, from ultrafast to veryslow; translated likewise.
        pix_fmt: yuv420p, yuv422p, yuv444p or their 10-bit forms.
        audio, subtitles: copy those tracks.
        start, duration: the part of the source that is written, in seconds; the tracks are cut alike.
        keep_partial: the source may be damaged: where its sound ends early that is only a warning, and
            where the picture ends early the sound ends with it.
        provenance: the mark that says who made the file; None writes none.
        warn: receives a sentence for everything that does not fit into the container.
        tracks: other sound in place of the source's (``write_clip`` uses it).
        threads: encoder threads, 0 for the encoder's choice.

    Raises EncoderError when the encoder or the container refuses, OutputError when the disk does.
    Use as a context manager: it closes the file on success and aborts it on an exception. Frames may come
    from another thread than the one that made the writer, one thread at a time.
    """

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        width: int,
        height: int,
        *,
        codec: str = "auto",
        crf: int = 18,
        preset: str = "medium",
        pix_fmt: str = "yuv420p",
        audio: bool = True,
        subtitles: bool = True,
        start: float = 0.0,
        duration: float | None = None,
        keep_partial: bool = False,
        provenance: Provenance | None = None,
        warn: Callable[[str], None] | None = None,
        tracks: Tracks | None = None,
        threads: int = 0,
    ) -> None:
        self.path, self.info, self.warn = Path(path), info, warn or (lambda message: None)
        self.size = (height, width)
        self.keep_partial, self.provenance = keep_partial, provenance
        self.start = Fraction(max(start, 0.0)).limit_denominator(1_000_000) + info.origin
        self.end = None if duration is None else self.start + Fraction(duration).limit_denominator(1_000_000)
        self.plan = plan_picture(
            self.path,
            info,
            (width, height),
            codec=codec,
            crf=crf,
            preset=preset,
            pix_fmt=pix_fmt,
            warn=self.warn,
        )
        # A film whose times were rounded gets its even rhythm back where the clock is finer.
        self.even = even_clock(info) if self.plan.muxer in ("mp4", "mov") else None
        if self.even is not None:
            self.plan = replace(self.plan, time_base=self.even)
        self.reformatter = VideoReformatter()
        self.first = Fraction(0)
        self.shift: int | None = None
        self.last_stamp: int | None = None
        self.held: tuple[Any, int, int] | None = None
        self.durations: dict[int, int] = {}
        self.closed = False
        self.tracks: Tracks = tracks or NoTracks()
        try:
            if self.plan.muxer == "gif":
                if info.audio and audio:
                    self.warn("gif has no sound; it is left out")
            elif tracks is None and info.path is not None:
                self.tracks = CopiedTracks(
                    info,
                    audio=audio,
                    subtitles=subtitles,
                    end=self.end,
                    tolerant=keep_partial,
                    warn=self.warn,
                )
            self._open(threads)
        except BaseException:
            self.abort()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(self, rgb: np.ndarray, pts: int, duration: int = 0) -> None:
        """Add a frame: (H,W,3) uint8 RGB, shown at ``pts`` (in ``info.time_base``, rising every time).

        ``duration`` matters for the last frame only, the others last until the next one.
        """
        if rgb.shape != (*self.size, 3) or rgb.dtype != np.uint8:
            raise ValueError(f"a frame of {self.size} uint8 RGB is wanted, not {rgb.shape} {rgb.dtype}")
        if self.shift is None:
            self.shift = self._choose_shift(pts)
            self.first = (pts - self.shift) * self.info.time_base
        picture = self._picture(rgb)
        if self.held is not None:
            if pts <= self.held[1]:
                raise ValueError(f"timestamps must rise: {pts} after {self.held[1]}")
            self._encode(self.held[0], self.held[1], pts - self.held[1])
        self.held = (picture, pts, duration)

    def close(self) -> None:
        """Write what is pending, finish the file and mark it."""
        if self.closed:
            return
        if self.held is None:
            self.abort()
            raise EncoderError("no frame was given to the encoder", self.path)
        try:
            picture, pts, duration = self.held
            duration = duration or self._last_duration(pts)
            self._encode(picture, pts, duration)
            self._mux_pictures(self._guard(self.stream.encode, None))
            self._copy_tracks(self._end_of_sound(pts + duration))
            tags = {} if self.plan.muxer == "gif" else dict(self.output.metadata)
            self._guard(self.output.close)
            self.closed = True
            self.tracks.close()
            self._guard(finish_mark, self.path, self.plan.muxer, self.provenance)
            for sentence in check_tags(self.path, tags, self.info.sar):
                self.warn(sentence)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Stop without caring for the file, which is unusable afterwards; the caller removes it."""
        self.closed = True
        self.held = None
        with contextlib.suppress(Exception):
            self.tracks.close()
        with contextlib.suppress(Exception):
            self.output.close()

    def _open(self, threads: int) -> None:
        muxer = self.plan.muxer
        source = self.tracks.source.metadata if isinstance(self.tracks, CopiedTracks) else {}
        url = "file:" + os.path.abspath(self.path)  # noqa: PTH100 - resolve() would follow links
        options = muxer_options(muxer, source)
        self.output = self._guard(av.open, url, "w", format=muxer, container_options=options, **ANY_TAGS)
        self.stream = self._add_picture(threads)
        self._guard(self.tracks.attach, self.output)
        if isinstance(self.tracks, CopiedTracks):
            original = self.tracks.picture
            self.stream.metadata.update(kept_tags(original.metadata))
            self.stream.disposition = original.disposition
            self.output.set_chapters(moved_chapters(self.tracks.source.chapters(), self.start, self.end))
        self.output.metadata.update(marked_tags(source, muxer, self.provenance))
        self._guard(self.output.start_encoding)

    def _add_picture(self, threads: int) -> Any:
        plan, info = self.plan, self.info
        try:
            stream = self.output.add_stream(plan.encoder, rate=info.fps, options=dict(plan.options))
        except (ValueError, FFmpegError) as error:
            what = f"the encoder {plan.encoder} cannot be used for {self.path.suffix}"
            raise EncoderError(what, self.path, "Choose another --codec, or leave it out") from error
        stream.width, stream.height, stream.pix_fmt = plan.width, plan.height, plan.pix_fmt
        stream.thread_count = threads
        stream.codec_context.time_base = plan.time_base
        stream.sample_aspect_ratio = info.sar
        if plan.muxer != "gif":
            stream.colorspace, stream.color_range = _BT709, LIMITED
            stream.color_primaries = info.primaries if info.primaries > _UNSPECIFIED else _BT709
            stream.color_trc = info.transfer if info.transfer > _UNSPECIFIED else _BT709
        return stream

    def _choose_shift(self, pts: int) -> int:
        """What is taken off every timestamp. A cut clip starts at zero with its first frame."""
        base = self.info.time_base
        wanted = round(self.start / base)
        frame = 1 / (self.info.fps * base)
        return pts if self.start > self.info.origin and 0 <= pts - wanted <= frame else wanted

    def _picture(self, rgb: np.ndarray) -> Any:
        if self.plan.muxer == "gif":
            return palette_frame(rgb)
        below, right = self.plan.height - rgb.shape[0], self.plan.width - rgb.shape[1]
        if below or right:
            rgb = np.pad(rgb, ((0, below), (0, right), (0, 0)), mode="edge")
        return self.reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(rgb), format="rgb24"),
            format=self.plan.pix_fmt,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=FULL,
            dst_color_range=LIMITED,
            interpolation=_ACCURATE,
        )

    def _encode(self, picture: Any, pts: int, duration: int) -> None:
        base, clock = self.info.time_base, self.plan.time_base
        time = (pts - (self.shift or 0)) * base
        stamp = round(time / clock)
        if self.even is not None:
            fps = self.info.fps
            stamp = round(self.first / clock) + round((time - self.first) * fps) * fps.denominator
        if self.last_stamp is not None:
            stamp = max(stamp, self.last_stamp + 1)  # a coarser clock (gif) must not merge two frames
        self.last_stamp = stamp
        picture.pts, picture.time_base = stamp, clock
        self.durations[stamp] = max(1, round((time + duration * base) / clock) - stamp)
        self._copy_tracks(time)
        self._mux_pictures(self._guard(self.stream.encode, picture))

    def _mux_pictures(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self.durations.pop(packet.pts, packet.duration)
            self._guard(self.output.mux_one, packet)

    def _copy_tracks(self, until: Fraction | None) -> None:
        shift = (self.shift or 0) * self.info.time_base
        for packet in self.tracks.packets(shift, until):
            self._guard(self.output.mux_one, packet)

    def _last_duration(self, pts: int) -> int:
        end = self.info.end_pts
        if self.end is None and end is not None and end > pts:
            return end - pts
        return max(1, round(1 / (self.info.fps * self.info.time_base)))

    def _end_of_sound(self, end_pts: int) -> Fraction | None:
        """Where the tracks end on the output's clock; None for their own end."""
        info = self.info
        if not self.keep_partial or self.end is not None or info.duration is None:
            return None
        missing = info.duration - float((end_pts - info.start_pts) * info.time_base)
        return None if missing < _EARLY else (end_pts - (self.shift or 0)) * info.time_base

    def _guard(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call ``step`` and turn its failure into the error that names the cause."""
        try:
            return step(*args, **kwargs)
        except (FFmpegError, OSError, ValueError) as error:
            raise explained(error, self.path, self.plan) from error
