"""Frames into a video file, with the source's timestamps, and the source's sound and titles beside them.

The picture is encoded as BT.709, limited range, and says so: whatever the source's matrix was, pixels are
converted to that one explicitly. Primaries and transfer are not converted, so their tags are the source's
where it had any. Timestamps are the source's own, moved only by ``start``.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import Colorspace, VideoReformatter

from gantool.errors import EncoderError, OutputError
from gantool.media.decode import ACCURATE, FULL, LIMITED
from gantool.media.gif import finish_gif, palette_frame
from gantool.media.probe import VideoInfo
from gantool.media.tracks import CopiedTracks, NoTracks, Tracks, kept_metadata, moved_chapters

if TYPE_CHECKING:
    from gantool.media.provenance import Provenance

# suffix -> (muxer, encoder that ``auto`` means)
CONTAINERS = {
    ".mp4": ("mp4", "libx264"),
    ".m4v": ("mp4", "libx264"),
    ".mov": ("mov", "libx264"),
    ".mkv": ("matroska", "libx264"),
    ".webm": ("webm", "libvpx-vp9"),
    ".avi": ("avi", "libx264"),
    ".ts": ("mpegts", "libx264"),
    ".gif": ("gif", "gif"),
}
_TAKES_ODD_SIZES = {"libvpx-vp9", "libvpx", "ffv1", "gif"}
_SPEED = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_NO_ROOM = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_UNWRITABLE = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EIO,
    errno.ENAMETOOLONG,
}
_BT709 = 1
_UNSPECIFIED = 2


def writable_suffixes() -> tuple[str, ...]:
    """File name endings that :class:`VideoWriter` can write, with their dot, in lower case."""
    return tuple(CONTAINERS)


@dataclass(frozen=True)
class _Plan:
    """How the picture is stored."""

    muxer: str
    encoder: str
    pix_fmt: str
    width: int
    height: int


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
        provenance: the mark that says who made the file; None writes none.
        warn: receives a sentence for everything that does not fit into the container.
        tracks: other sound in place of the source's (``write_clip`` uses it).

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
        provenance: Provenance | None = None,
        warn: Callable[[str], None] | None = None,
        tracks: Tracks | None = None,
        threads: int = 0,
    ) -> None:
        self.path, self.info, self.warn = Path(path), info, warn or (lambda message: None)
        self.size = (height, width)
        self.provenance = provenance
        self.start = Fraction(max(start, 0.0)).limit_denominator(1_000_000) + info.origin
        self.end = None if duration is None else self.start + Fraction(duration).limit_denominator(1_000_000)
        self.plan = self._plan(codec, pix_fmt, width, height)
        self.reformatter = VideoReformatter()
        self.shift: int | None = None
        self.last_pts: int | None = None
        self.held: tuple[Any, int, int] | None = None
        self.durations: dict[int, int] = {}
        self.frames = 0
        self.closed = False
        self.tracks: Tracks = NoTracks()
        try:
            self._open(crf, preset, threads, audio, subtitles, tracks)
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
        picture = self._picture(rgb)
        if self.held is not None:
            if pts <= self.held[1]:
                raise ValueError(f"timestamps must rise: {pts} after {self.held[1]}")
            self._encode(self.held[0], self.held[1], pts - self.held[1])
        self.held = (picture, pts, duration)

    def close(self, *, cut: bool = False) -> None:
        """Write what is pending and finish the file.

        ``cut``: end the copied tracks with the last frame, for a picture that ended early.
        """
        if self.closed:
            return
        if self.held is None:
            self.abort()
            raise EncoderError("no frame was given to the encoder", self.path.parent)
        try:
            picture, pts, duration = self.held
            duration = duration or self._last_duration(pts)
            self._encode(picture, pts, duration)
            self._mux_pictures(self._guard(self.stream.encode, None))
            end = (pts + duration - (self.shift or 0)) * self.info.time_base if cut else None
            self._copy_tracks(end)
            self._guard(self.output.close)
            self.closed = True
            self.tracks.close()
            self._mark()
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

    def _plan(self, codec: str, pix_fmt: str, width: int, height: int) -> _Plan:
        suffix = self.path.suffix.lower()
        if suffix not in CONTAINERS:
            known = " ".join(CONTAINERS)
            raise OutputError(
                f"gantool cannot write videos as {suffix or 'a file without suffix'}",
                self.path.parent,
                f"Use one of {known}",
            )
        muxer, usual = CONTAINERS[suffix]
        encoder = usual if codec == "auto" or muxer == "gif" else codec
        if muxer == "webm" and codec == "libx264":
            raise EncoderError(
                "webm does not hold H.264", self.path.parent, "Use --codec auto, or write to .mkv"
            )
        if muxer == "gif":
            return _Plan(muxer, encoder, "pal8", width, height)
        try:
            layout = av.VideoFormat(pix_fmt, 16, 16)
        except ValueError:
            raise EncoderError(f"there is no pixel format {pix_fmt}", None, "Use --pix-fmt yuv420p") from None
        step_x, step_y = 16 // layout.chroma_width(), 16 // layout.chroma_height()
        if encoder in _TAKES_ODD_SIZES:
            step_x = step_y = 1
        padded = (-(-width // step_x) * step_x, -(-height // step_y) * step_y)
        if padded != (width, height):
            self.warn(
                f"{width}x{height} is padded to {padded[0]}x{padded[1]} by repeating the last line, since "
                f"{pix_fmt} needs even sides (--pix-fmt yuv444p keeps them)"
            )
        return _Plan(muxer, encoder, pix_fmt, *padded)

    def _open(
        self, crf: int, preset: str, threads: int, audio: bool, subtitles: bool, tracks: Tracks | None
    ) -> None:
        options = {"movflags": "+faststart"} if self.plan.muxer in ("mp4", "mov") else {}
        if self.plan.muxer in ("matroska", "webm"):
            options["default_mode"] = "passthrough"  # or it would mark tracks as default by itself
        url = "file:" + os.path.abspath(self.path)  # noqa: PTH100 - resolve() would follow links
        self.output = self._guard(
            av.open,
            url,
            "w",
            format=self.plan.muxer,
            container_options=options,
            metadata_errors="surrogateescape",
        )
        self.stream = self._add_picture(crf, preset, threads)
        if tracks is not None:
            self.tracks = tracks
        elif self.info.path is not None and self.plan.muxer != "gif":
            self.tracks = CopiedTracks(
                self.info, audio=audio, subtitles=subtitles, end=self.end, warn=self.warn
            )
        self._guard(self.tracks.attach, self.output)
        self._copy_titles()
        self._guard(self.output.start_encoding)

    def _add_picture(self, crf: int, preset: str, threads: int) -> Any:
        plan, info = self.plan, self.info
        try:
            stream = self.output.add_stream(
                plan.encoder, rate=info.fps, options=_options(plan.encoder, crf, preset)
            )
        except (ValueError, FFmpegError) as error:
            what = f"{plan.encoder} cannot be used for {self.path.suffix}"
            raise EncoderError(what, self.path.parent, "Choose another --codec, or leave it out") from error
        stream.width, stream.height, stream.pix_fmt = plan.width, plan.height, plan.pix_fmt
        stream.thread_count = threads
        context = stream.codec_context
        if plan.muxer == "gif":
            context.time_base = Fraction(1, 100)
            return stream
        context.time_base = info.time_base
        stream.sample_aspect_ratio = info.sar
        stream.colorspace, stream.color_range = _BT709, LIMITED
        stream.color_primaries = info.primaries if info.primaries > _UNSPECIFIED else _BT709
        stream.color_trc = info.transfer if info.transfer > _UNSPECIFIED else _BT709
        return stream

    def _copy_titles(self) -> None:
        output = self.output
        if isinstance(self.tracks, CopiedTracks):
            source = self.tracks.source
            output.metadata.update(kept_metadata(source.metadata))
            output.set_chapters(moved_chapters(source.chapters(), self.start, self.end))
            picture = next(s for s in source.streams.video if s.codec_context is not None)
            self.stream.metadata.update(kept_metadata(picture.metadata))
            self.stream.disposition = picture.disposition
        if self.provenance is not None:
            key = next((k for k in output.metadata if k.lower() == "comment"), "comment")
            old = output.metadata.get(key, "")
            sentence = self.provenance.sentence()
            output.metadata[key] = f"{old}\n{sentence}" if old else sentence
            if self.plan.muxer in ("matroska", "webm"):
                output.metadata["DIGITAL_SOURCE_TYPE"] = self.provenance.source_type

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
            interpolation=ACCURATE,
        )

    def _encode(self, picture: Any, pts: int, duration: int) -> None:
        base = self.info.time_base
        moved = pts - (self.shift or 0)
        time = moved * base
        context_base = self.stream.codec_context.time_base
        stamp = round(time / context_base)
        if self.last_pts is not None:
            stamp = max(stamp, self.last_pts + 1)  # a coarser clock (gif) must not merge two frames
        self.last_pts = stamp
        picture.pts, picture.time_base = stamp, context_base
        self.durations[stamp] = max(1, round((time + duration * base) / context_base) - stamp)
        self._copy_tracks(time)
        self._mux_pictures(self._guard(self.stream.encode, picture))
        self.frames += 1

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
        frame = max(1, round(1 / (self.info.fps * self.info.time_base)))
        whole = self.end is None and end is not None and end > pts
        return end - pts if whole and end is not None else frame

    def _mark(self) -> None:
        if self.provenance is not None and self.plan.muxer == "gif":
            self._guard(finish_gif, self.path, self.provenance.sentence())

    def _guard(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call ``step`` and turn its failure into the error that names the cause."""
        try:
            return step(*args, **kwargs)
        except (FFmpegError, OSError) as error:
            raise _explained(error, self.path, self.plan) from error
        except ValueError as error:
            raise EncoderError(f"{self.plan.encoder} refused: {error}", self.path.parent) from error


def _explained(error: Exception, path: Path, plan: _Plan) -> OutputError | EncoderError:
    number = getattr(error, "errno", None)
    if number in _NO_ROOM:
        return OutputError(
            "no space left on the disk", path.parent, "Free some space, or write elsewhere with -o"
        )
    if number in _UNWRITABLE:
        text = os.strerror(number).lower()
        return OutputError(f"the video cannot be written: {text}", path.parent, "Write elsewhere with -o")
    text = getattr(error, "strerror", None) or str(error)
    return EncoderError(
        f"{plan.encoder} or the {plan.muxer} writer refused: {text}",
        path.parent,
        "Try another --codec, --preset or --pix-fmt, or write to .mkv",
    )


def _options(encoder: str, crf: int, preset: str) -> dict[str, str]:
    """Encoder options that mean about the same quality and speed everywhere."""
    slowness = _SPEED.index(preset) if preset in _SPEED else 5
    if encoder in ("libx264", "libx265"):
        quiet = {"x265-params": "log-level=none"} if encoder == "libx265" else {}
        return {"crf": str(crf), "preset": preset, **quiet}
    if encoder == "libvpx-vp9":
        speed = max(0, 8 - slowness)
        scaled = round(crf * 63 / 51)
        return {
            "crf": str(scaled),
            "b:v": "0",
            "deadline": "good",
            "cpu-used": str(min(speed, 5)),
            "row-mt": "1",
        }
    if encoder == "libsvtav1":
        return {"crf": str(round(crf * 63 / 51)), "preset": str(max(0, 12 - slowness))}
    if encoder.endswith("_nvenc"):
        return {"rc": "vbr", "cq": str(crf), "preset": f"p{min(7, max(1, slowness))}"}
    return {}
