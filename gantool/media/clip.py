"""A fresh clip from arrays: for examples, tests and benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np

from gantool.media.encode import VideoWriter
from gantool.media.probe import VideoInfo
from gantool.media.tracks import NoTracks

_BLOCK = 1024  # samples handed to the sound encoder at a time


class EncodedSound:
    """Sound from an array, (samples, channels) float in [-1, 1]."""

    def __init__(self, samples: np.ndarray, rate: int) -> None:
        samples = np.atleast_2d(np.asarray(samples, dtype=np.float32))
        if samples.shape[0] == 1 and samples.shape[1] > 2:  # a single row of samples
            samples = samples.T
        self.samples, self.rate, self.done = np.clip(samples, -1, 1), rate, 0
        self.finished = False

    def attach(self, output: Any) -> None:
        """Add an AAC stream, or Opus in webm."""
        codec = "libopus" if output.format.name == "webm" else "aac"
        self.layout = "mono" if self.samples.shape[1] == 1 else "stereo"
        self.stream = output.add_stream(codec, rate=self.rate, layout=self.layout)
        self.stream.bit_rate = 128_000

    def packets(self, shift: Fraction, until: Fraction | None) -> Iterator[Any]:
        """Encode up to ``until`` seconds."""
        total = len(self.samples)
        goal = total if until is None else min(total, int(until * self.rate) + _BLOCK)
        while self.done < goal:
            block = self.samples[self.done : self.done + _BLOCK]
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(block.T), format="fltp", layout=self.layout
            )
            frame.sample_rate, frame.pts, frame.time_base = self.rate, self.done, Fraction(1, self.rate)
            self.done += len(block)
            yield from self.stream.encode(frame)
        if until is None and not self.finished:
            self.finished = True
            yield from self.stream.encode(None)

    def close(self) -> None:
        """Nothing is open."""


def write_clip(
    path: Path | str,
    frames: Iterable[np.ndarray],
    fps: Fraction | int,
    audio: np.ndarray | None = None,
    rate: int = 48_000,
    *,
    pts: Iterable[int] | None = None,
    time_base: Fraction | None = None,
    sar: Fraction = Fraction(1),
    **encoder: Any,
) -> VideoInfo:
    """Write a video from nothing and return what it was written from.

    Args:
        path: the file; its suffix chooses the container. An existing file is replaced.
        frames: (H,W,3) uint8 RGB pictures of one size.
        fps: frames per second, exact.
        audio: (samples, channels) float in [-1, 1], one or two channels, or None.
        rate: samples per second.
        pts, time_base: timestamps for a variable rate, in units of ``time_base`` seconds.
        sar: pixel aspect ratio.
        encoder: further options of :class:`VideoWriter`.

    Raises ValueError when there is no frame; EncoderError and OutputError as the writer does.
    """
    path, fps = Path(path), Fraction(fps)
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise ValueError("a clip needs at least one frame")
    height, width = first.shape[:2]
    base = time_base or Fraction(1, fps.numerator)
    info = VideoInfo(path=None, width=width, height=height, fps=fps, time_base=base, sar=sar)
    step = 1 / (fps * base)
    stamps = iter(pts) if pts is not None else (round(i * step) for i in _count())
    sound = NoTracks() if audio is None else EncodedSound(audio, rate)
    with VideoWriter(path, info, width, height, tracks=sound, **encoder) as writer:
        for frame, stamp in zip(chain([first], iterator), stamps, strict=False):
            writer.write(frame, stamp)
    return info


def _count() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1
