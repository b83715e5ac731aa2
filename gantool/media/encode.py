"""Frames into a video file, with the source's timestamps, and the source's sound and titles beside them.

The picture is encoded as BT.709, limited range (as RGB on request), and says so: whatever the source's matrix
was, pixels are converted to that one explicitly. Primaries and transfer are not converted, so their tags are
the source's where it had any. Timestamps are the source's own, moved only by ``start``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from gantool.errors import EncoderError
from gantool.media.encoders import PicturePlan, plan_picture
from gantool.media.gif import palette_frame
from gantool.media.info import VideoInfo
from gantool.media.mux import Muxer
from gantool.media.tracks import Tracks
from gantool.media.ycbcr import FULL, LIMITED, in_depth, video_frame

if TYPE_CHECKING:
    from gantool.media.provenance import Provenance

_RGB, _BT709 = 0, 1  # AVColorSpace
_UNSPECIFIED = 2
_FAR = 100_000  # seconds: no frame is decoded so long before it is shown


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
        pix_fmt: a pixel format of FFmpeg; "auto" keeps the source's depth and chroma where the encoder can.
        audio, subtitles: copy those tracks.
        start, duration: the part of the source that is written, in seconds; the tracks are cut alike.
        keep_partial: the source may be damaged: where its sound ends early that is only a warning, and
            where the picture ends early the sound ends with it.
        provenance: the mark that says who made the file; None writes none.
        warn: receives a sentence for everything that does not fit into the container.
        tracks: other sound in place of the source's (``write_clip`` uses it).
        threads: encoder threads, 0 for the encoder's choice.
        sink: an object with ``write(bytes)`` that gets the film as a stream, in Matroska; ``path`` is "-".

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
        pix_fmt: str = "auto",
        audio: bool = True,
        subtitles: bool = True,
        start: float = 0.0,
        duration: float | None = None,
        keep_partial: bool = False,
        provenance: Provenance | None = None,
        warn: Callable[[str], None] | None = None,
        tracks: Tracks | None = None,
        threads: int = 0,
        sink: Any = None,
    ) -> None:
        self.path, self.info = Path(path), info
        self.size = (height, width)
        warn = warn or (lambda message: None)
        plan = plan_picture(
            self.path, info, (width, height), codec=codec, crf=crf, preset=preset, pix_fmt=pix_fmt, warn=warn
        )
        self.reformatter = VideoReformatter()
        self.held: tuple[Any, int, int] | None = None
        self.durations: dict[int, int] = {}
        self.muxer = Muxer(
            self.path,
            info,
            plan,
            partial(self._add_picture, threads),
            audio=audio,
            subtitles=subtitles,
            start=start,
            duration=duration,
            keep_partial=keep_partial,
            provenance=provenance,
            warn=warn,
            tracks=tracks,
            sink=sink,
        )
        self.plan, self.stream = self.muxer.plan, self.muxer.stream

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
        """Add a frame: (H,W,3) RGB, uint8 or uint16, shown at ``pts`` (in ``info.time_base``, rising).

        ``duration`` matters for the last frame only, the others last until the next one.
        """
        if rgb.shape != (*self.size, 3) or rgb.dtype not in (np.uint8, np.uint16):
            what = f"a frame of {self.size} uint8 RGB (or uint16) is wanted, not {rgb.shape} {rgb.dtype}"
            raise ValueError(what)
        picture = self._picture(rgb)
        if self.held is not None:
            if pts <= self.held[1]:
                raise ValueError(f"timestamps must rise: {pts} after {self.held[1]}")
            self._encode(self.held[0], self.held[1], pts - self.held[1])
        self.held = (picture, pts, duration)

    @property
    def closed(self) -> bool:
        """Whether the file is finished or given up."""
        return self.muxer.closed

    def close(self) -> None:
        """Write what is pending, finish the file and mark it."""
        if self.closed:
            return
        if self.held is None:
            self.abort()
            raise EncoderError("no frame was given to the encoder", self.path)
        try:
            picture, pts, duration = self.held
            duration = self.muxer.last_duration(pts, duration)
            self._encode(picture, pts, duration)
            self._mux_pictures(self.muxer.guard(self.stream.encode, None))
            self.muxer.close(pts + duration)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Stop without caring for the file, which is unusable afterwards; the caller removes it."""
        self.held = None
        self.muxer.abort()

    def _add_picture(self, threads: int, output: Any, plan: PicturePlan) -> Any:
        info = self.info
        try:
            stream = output.add_stream(plan.encoder, rate=info.fps, options=dict(plan.options))
        except (ValueError, FFmpegError) as error:
            what = f"the encoder {plan.encoder} cannot be used for {self.path.suffix}"
            raise EncoderError(what, self.path, "Choose another --codec, or leave it out") from error
        stream.width, stream.height, stream.pix_fmt = plan.width, plan.height, plan.pix_fmt
        stream.thread_count = threads
        stream.codec_context.time_base = plan.time_base
        stream.sample_aspect_ratio = info.sar
        if plan.muxer in ("mp4", "mov") and plan.encoder.startswith(("libx265", "hevc_")):
            stream.codec_context.codec_tag = "hvc1"  # the form of HEVC that Apple's players take
        if plan.muxer != "gif":
            stream.colorspace = _RGB if plan.rgb else _BT709
            stream.color_range = FULL if plan.full else LIMITED
            stream.color_primaries = info.primaries if info.primaries > _UNSPECIFIED else _BT709
            stream.color_trc = info.transfer if info.transfer > _UNSPECIFIED else _BT709
        return stream

    def _picture(self, rgb: np.ndarray) -> Any:
        if self.plan.muxer == "gif":
            return palette_frame(in_depth(rgb, deep=False))
        below, right = self.plan.height - rgb.shape[0], self.plan.width - rgb.shape[1]
        if below or right:
            rgb = np.pad(rgb, ((0, below), (0, right), (0, 0)), mode="edge")
        return video_frame(self.reformatter, rgb, self.plan.pix_fmt, full=self.plan.full)

    def _encode(self, picture: Any, pts: int, duration: int) -> None:
        stamp, ticks = self.muxer.stamp(pts, duration)
        self.durations[stamp] = ticks
        picture.pts, picture.time_base = stamp, self.plan.time_base
        self.muxer.copy_tracks(self.muxer.seconds(pts))
        self._mux_pictures(self.muxer.guard(self.stream.encode, picture))

    def _mux_pictures(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self.durations.pop(packet.pts, packet.duration)
            early = None if packet.dts is None else (packet.pts - packet.dts) * self.plan.time_base
            if early is None or not 0 <= early < _FAR:  # libx265, in films of one or two frames
                packet.dts = packet.pts
            self.muxer.put(packet)
