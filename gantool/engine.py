"""Pictures and videos through a pipeline: read, predict, steady over time, finish, write.

A video passes four stages: decoding, and the motion of the source frames, each in a thread; the net, the
temporal filter and the join with the source in the caller's thread; encoding in a thread. Of several steps,
each has its own motion, and all but the last their own thread. Memory is that of a few frames, whatever the
length.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from gantool.devices import check_memory
from gantool.inference import Runner, to_array
from gantool.media.image import Picture
from gantool.media.video import Frame, VideoInfo, is_deep, open_writer, read_frames
from gantool.ops.flow import fill
from gantool.ops.resize import resize, to_tensor
from gantool.passes import Passing, Step, Work
from gantool.pipelines import Pipeline
from gantool.preview import expected_frames, preview
from gantool.stages import Relay

__all__ = [
    "Progress",
    "Step",
    "VideoReport",
    "Work",
    "expected_frames",
    "preview",
    "run_picture",
    "run_video",
]


class Progress(Protocol):
    """What the engine tells about its progress, in frames; ``console.Progress`` is one."""

    def advance(self, n: int = 1) -> None: ...

    def total(self, n: int | None) -> None: ...

    def note(self, remark: str) -> None: ...


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
    check_memory(height, width)
    same_size = (height, width) == (picture.height, picture.width)
    if strength == 0 and same_size:
        return replace(picture)
    gray = picture.gray and (pipeline.gray_output_for_gray or strength == 0)
    with torch.inference_mode():
        x = runner.load(opaque(picture)[None])
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


def opaque(picture: Picture) -> np.ndarray:
    """rgb with the colours under alpha 0 taken from the visible surroundings, weighted by their alpha."""
    if picture.alpha is None or picture.alpha.all() or not picture.alpha.any():
        return picture.rgb
    peak = np.iinfo(picture.rgb.dtype).max
    trust = picture.alpha.astype(np.float32) / peak
    spread = fill(picture.rgb.astype(np.float32), trust)
    hidden = (picture.alpha == 0)[..., None]
    return np.where(hidden, np.rint(spread).clip(0, peak).astype(picture.rgb.dtype), picture.rgb)


def output_size(steps: Iterable[Work], height: int, width: int) -> tuple[int, int]:
    """(height, width) of what steps make of a picture of that size."""
    for step in steps:
        height, width = step.output_size(height, width)
    return height, width


def run_video(
    info: VideoInfo,
    target: Path,
    steps: Sequence[Work],
    *,
    writer: dict[str, Any] | None = None,
    start: float = 0.0,
    duration: float | None = None,
    keep_partial: bool = False,
    check: Callable[[], None] | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
) -> VideoReport:
    """A video through one pipeline or several, frame for frame, into ``target``.

    Every source frame gives one output frame with the same timestamp. A frame that repeats the one before
    byte by byte repeats its result, at no cost. Several steps do what as many runs through lossless files
    would: each sees the frames that the one before it made, and keeps them steady by their motion. They are
    of 8 bits, or of 16 where the source has more than 8 or the target is to get more.

    Args:
        info: the source, as ``probe`` found it.
        target: the file or numbered pictures to write, normally temporary; unusable after an exception.
        steps: what is done to the frames, in order.
        writer: options of ``open_writer``: codec, crf, preset, pix_fmt, audio, subtitles, provenance, ...
        start, duration: the part of the source, in seconds; None to the end.
        keep_partial: keep what comes before damage in the source instead of failing.
        check: called often from the calling thread; whatever it raises stops the work and comes out.
        progress: told of every finished frame, of the slowest stage so far, and, where it is known, of how
            many frames there will be.
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
    deep = is_deep(target, info, **(writer or {}))
    passes = [step.begin(note) for step in steps]
    height, width = output_size(steps, info.height, info.width)
    check_memory(height, width)

    def write(frames: Iterator[Frame]) -> None:
        options = {
            **(writer or {}),
            "start": start,
            "duration": duration,
            "keep_partial": keep_partial,
            "warn": note,
        }
        with open_writer(target, info, width, height, **options) as output:
            for frame in frames:
                output.write(frame.rgb, frame.pts, frame.duration)

    def decode() -> Iterator[Frame]:
        assert info.path is not None
        part = {"start": start, "duration": duration, "keep_partial": keep_partial}
        return read_frames(info.path, info, **part, deep=deep, warn=note)

    count = 0
    with Relay(check) as relay:
        frames = through(relay, relay.source("decode", decode, frame_bytes), passes)
        put = relay.sink("encode", write, frame_bytes)
        for frame in frames:
            put(frame)
            count += 1
            if progress is not None:
                one_more(progress, relay)
    stages = {**relay.seconds, **together(each.seconds for each in passes)}
    return VideoReport(count, time.perf_counter() - began, stages, tuple(warnings))


def through(relay: Relay, frames: Iterator[Frame], passes: Sequence[Passing]) -> Iterator[Frame]:
    """Frames as several passes make them, each in the threads it needs but for the last one's net."""
    for each in passes:
        followed = relay.source(each.stage, partial(each.follow, frames), lambda one: frame_bytes(one.frame))
        frames = each.results(followed)
        if each is not passes[-1]:
            frames = relay.source("net", partial(iter, frames), frame_bytes)
    return frames


def one_more(progress: Progress, relay: Relay) -> None:
    """Tell that a frame is done, and which stage the others wait for."""
    progress.note(f"{relay.slowest('net')} is slowest")
    progress.advance(1)


def frame_bytes(frame: Frame) -> int:
    """Size of a frame in memory."""
    return frame.rgb.nbytes


def together(parts: Iterable[dict[str, float]]) -> dict[str, float]:
    """Seconds of several passes, added up by what they were spent on."""
    total: dict[str, float] = {}
    for part in parts:
        for name, seconds in part.items():
            total[name] = total.get(name, 0.0) + seconds
    return total
