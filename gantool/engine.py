"""Pictures and videos through a pipeline: read, predict, steady over time, finish, write.

A video passes four stages: decoding, and the motion of the source frames, each in a thread; the net, the
temporal filter and the join with the source in the caller's thread; encoding in a thread. Memory is that of
a few frames, whatever the length.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from gantool.devices import cpu_threads
from gantool.inference import Runner, to_array
from gantool.media.image import Picture
from gantool.media.video import Frame, VideoInfo, VideoWriter, read_frames
from gantool.motion import Motion, is_repeat
from gantool.ops.flow import fill
from gantool.ops.resize import resize, to_tensor
from gantool.pipelines import Pipeline
from gantool.preview import expected_frames, preview
from gantool.stages import Relay
from gantool.temporal import TemporalFilter, TemporalOptions

__all__ = ["Progress", "VideoReport", "expected_frames", "preview", "run_picture", "run_video"]


class Progress(Protocol):
    """What the engine tells about its progress, in frames; ``console.Progress`` is one."""

    def advance(self, n: int = 1) -> None: ...

    def total(self, n: int | None) -> None: ...


@dataclass(frozen=True)
class VideoReport:
    """A finished video: frames written, wall seconds, busy seconds of each stage, sentences for the log."""

    frames: int
    seconds: float
    stages: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def run_picture(picture: Picture, pipeline: Pipeline, *, strength: float = 1.0) -> Picture:
    """One picture through a pipeline, in the bit depth that it has.

    Alpha is resized to the output's size. Colours under fully transparent pixels are replaced by those
    around them first, so that they cannot bleed into what is visible. A grey picture stays grey where the
    pipeline says so. ``strength`` 0 returns the source (at the output's size). Profile, EXIF and resolution
    are kept.

    Raises DeviceError for lack of memory and for output that is not a number.
    """
    runner = Runner(pipeline, strength=strength)
    height, width = pipeline.output_size(picture.height, picture.width)
    same_size = (height, width) == (picture.height, picture.width)
    if strength == 0 and same_size:
        return replace(picture)
    gray = picture.gray and (pipeline.gray_output_for_gray or strength == 0)
    with torch.inference_mode():
        x = runner.load(_opaque(picture)[None])
        y = runner.base(x) if strength == 0 else runner.finish(x, runner.predict(x))
        if gray:
            luma = torch.tensor((0.299, 0.587, 0.114), device=y.device).view(1, 3, 1, 1)
            y = (y * luma).sum(1, keepdim=True).expand(-1, 3, -1, -1)
        rgb = to_array(y, picture.bits)[0]
        alpha = picture.alpha
        if alpha is not None and not same_size:
            scaled = resize(to_tensor(alpha[None, ..., None]), height, width)
            alpha = to_array(scaled, picture.bits)[0, ..., 0]
    return replace(picture, rgb=rgb, alpha=alpha, gray=gray)


def _opaque(picture: Picture) -> np.ndarray:
    """rgb with the colours under alpha 0 taken from the visible surroundings, weighted by their alpha."""
    if picture.alpha is None or picture.alpha.all() or not picture.alpha.any():
        return picture.rgb
    peak = np.iinfo(picture.rgb.dtype).max
    trust = picture.alpha.astype(np.float32) / peak
    spread = fill(picture.rgb.astype(np.float32), trust)
    hidden = (picture.alpha == 0)[..., None]
    return np.where(hidden, np.rint(spread).clip(0, peak).astype(picture.rgb.dtype), picture.rgb)


class _Step(NamedTuple):
    """A source frame on its way: what the filter knows of its motion, and whether it repeats the last one."""

    frame: Frame
    motion: Motion | None
    repeat: bool


def run_video(
    info: VideoInfo,
    target: Path,
    pipeline: Pipeline,
    *,
    temporal: TemporalOptions | None = None,
    batch_size: int = 1,
    writer: dict[str, Any] | None = None,
    start: float = 0.0,
    duration: float | None = None,
    strength: float = 1.0,
    keep_partial: bool = False,
    check: Callable[[], None] | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
) -> VideoReport:
    """A video through a pipeline, frame for frame, into ``target``.

    Every source frame gives one output frame with the same timestamp. A frame that repeats the one before
    byte by byte repeats its result, at no cost.

    Args:
        info: the source, as ``probe`` found it.
        target: the file to write, normally a temporary one; unusable after an exception.
        temporal: how the result is kept steady; None, or a pipeline without ``blend``, leaves it alone.
        batch_size: frames that go through the net at once; halved, with a warning, when memory runs out.
        writer: options of ``VideoWriter``: codec, crf, preset, pix_fmt, audio, subtitles, provenance, ...
        start, duration: the part of the source, in seconds; None to the end.
        strength: 0..1, how much of the effect; 0 returns the source's frames.
        keep_partial: keep what comes before damage in the source instead of failing.
        check: called often from the calling thread; whatever it raises stops the work and comes out.
        progress: told of every finished frame and, where it is known, of how many there will be.
        warn: told each sentence of the report's ``warnings`` as it comes up.

    Raises InputError, DeviceError, EncoderError, OutputError; the first of them when several threads fail.
    """
    began = time.perf_counter()
    warnings: list[str] = []

    def note(message: str) -> None:
        if message not in warnings:
            warnings.append(message)
            if warn is not None:
                warn(message)

    if progress is not None:
        progress.total(expected_frames(info, start, duration))
    height, width = pipeline.output_size(info.height, info.width)
    job = _VideoJob(pipeline, temporal, batch_size, strength, note)

    def write(frames: Iterator[tuple[np.ndarray, Frame]]) -> None:
        options = {
            **(writer or {}),
            "start": start,
            "duration": duration,
            "keep_partial": keep_partial,
            "warn": note,
        }
        with VideoWriter(target, info, width, height, **options) as output:
            for rgb, source in frames:
                output.write(rgb, source.pts, source.duration)

    def decode() -> Iterator[Frame]:
        assert info.path is not None
        return read_frames(
            info.path, info, start=start, duration=duration, keep_partial=keep_partial, warn=note
        )

    count = 0
    with torch.inference_mode(), Relay(check) as relay:
        frames = relay.source("decode", decode, lambda frame: frame.rgb.nbytes)
        steps = relay.source("flow", lambda: job.follow(frames), lambda step: step.frame.rgb.nbytes)
        put = relay.sink("encode", write, lambda result: result[0].nbytes)
        for rgb, frame in job.results(steps):
            put((rgb, frame))
            count += 1
            if progress is not None:
                progress.advance(1)
    stages = {**relay.seconds, **job.seconds}
    return VideoReport(count, time.perf_counter() - began, stages, tuple(warnings))


class _VideoJob:
    """The part of a video run between decoder and encoder."""

    def __init__(
        self,
        pipeline: Pipeline,
        temporal: TemporalOptions | None,
        batch_size: int,
        strength: float,
        warn: Callable[[str], None],
    ) -> None:
        self.runner = Runner(pipeline, batch_size=batch_size, strength=strength, warn=warn)
        self.batch_size = batch_size
        self.seconds = {"net": 0.0, "blend": 0.0, "finish": 0.0}
        self.filter: TemporalFilter | None = None
        if temporal is not None and pipeline.blend is not None and strength > 0:
            self.filter = TemporalFilter(pipeline.blend, temporal)

    def follow(self, frames: Iterator[Frame]) -> Iterator[_Step]:
        """Frames with their motion, in a thread of its own."""
        if self.filter is not None:
            # On a CPU the net has the cores; beside a GPU they are free for the flow of several frames.
            workers = 1 if self.runner.pipeline.device.type == "cpu" else max(1, min(6, cpu_threads() // 2))
            for frame, motion in self.filter.track_ahead(frames, lambda frame: frame.rgb, workers):
                yield _Step(frame, motion, motion.repeat)
            return
        last: np.ndarray | None = None
        for frame in frames:
            yield _Step(frame, None, is_repeat(frame.rgb, last))
            last = frame.rgb

    def results(self, steps: Iterator[_Step]) -> Iterator[tuple[np.ndarray, Frame]]:
        """(H',W',3) uint8 and the source frame of each step, in order."""
        last = np.empty(0, np.uint8)
        for batch in _batches(steps, self.batch_size):
            fresh = [step for step in batch if not step.repeat]
            images = iter(self._process(fresh) if fresh else ())
            for step in batch:
                last = last if step.repeat else next(images)
                yield last, step.frame

    def _process(self, steps: list[_Step]) -> np.ndarray:
        runner = self.runner
        with self._timed("net"):
            x = runner.load(np.stack([step.frame.rgb for step in steps]))
            if runner.strength == 0:
                return to_array(runner.base(x))
            layers = runner.predict(x, tuple(step.frame.time for step in steps))
        if self.filter is not None:
            with self._timed("blend"):
                blended = [
                    self.filter.blend(step.motion or Motion(), layer)
                    for step, layer in zip(steps, layers, strict=True)
                ]
                layers = torch.stack(blended)
        with self._timed("finish"):
            return to_array(runner.finish(x, layers))

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        device = self.runner.pipeline.device
        began = time.perf_counter()
        yield
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # else the time would be booked on whoever waits for it
        self.seconds[stage] += time.perf_counter() - began


def _batches(steps: Iterator[_Step], size: int) -> Iterator[list[_Step]]:
    batch: list[_Step] = []
    for step in steps:
        batch.append(step)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
