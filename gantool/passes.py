"""One pipeline's pass over the frames of a film: the part of a run between decoder and encoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from gantool.devices import cpu_threads
from gantool.inference import Runner, to_array
from gantool.media.video import Frame
from gantool.motion import Motion, is_repeat
from gantool.pipelines import Pipeline
from gantool.temporal import TemporalFilter, TemporalOptions


@dataclass(frozen=True)
class Step:
    """What is done to every frame.

    ``temporal``: how the result is kept steady; None, or a pipeline without ``blend``, leaves it alone.
    ``batch_size``: frames that go through the net at once; halved, with a warning, when memory runs out.
    ``strength``: 0..1, how much of the effect; 0 returns the frames as they were.
    """

    pipeline: Pipeline
    temporal: TemporalOptions | None = None
    batch_size: int = 1
    strength: float = 1.0


class Followed(NamedTuple):
    """A frame on its way: what the filter knows of its motion, and whether it repeats the last one."""

    frame: Frame
    motion: Motion | None
    repeat: bool


class Pass:
    """A step at work on one film, with what it remembers of the frames so far.

    :meth:`follow` looks at the source only and may run in a thread ahead of :meth:`results`. ``seconds``:
    time spent so far in the net, the temporal filter and the join with the source.
    """

    def __init__(self, step: Step, warn: Callable[[str], None]) -> None:
        self.runner = Runner(step.pipeline, batch_size=step.batch_size, strength=step.strength, warn=warn)
        self.batch_size = step.batch_size
        self.seconds = {"net": 0.0, "blend": 0.0, "finish": 0.0}
        self.filter: TemporalFilter | None = None
        if step.temporal is not None and step.pipeline.blend is not None and step.strength > 0:
            self.filter = TemporalFilter(step.pipeline.blend, step.temporal)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of what becomes of a frame of that size."""
        return self.runner.pipeline.output_size(height, width)

    def follow(self, frames: Iterator[Frame]) -> Iterator[Followed]:
        """Frames with their motion."""
        if self.filter is not None:
            # On a CPU the net has the cores; beside a GPU they are free for the flow of several frames.
            workers = 1 if self.runner.pipeline.device.type == "cpu" else max(1, min(6, cpu_threads() // 2))
            for frame, motion in self.filter.track_ahead(frames, lambda frame: frame.rgb, workers):
                yield Followed(frame, motion, motion.repeat)
            return
        last: np.ndarray | None = None
        for frame in frames:
            yield Followed(frame, None, is_repeat(frame.rgb, last))
            last = frame.rgb

    def results(self, followed: Iterator[Followed]) -> Iterator[Frame]:
        """The frames as the step makes them, in order, each at its time."""
        last = np.empty(0, np.uint8)
        for batch in _batches(followed, self.batch_size):
            fresh = [one for one in batch if not one.repeat]
            images = iter(self._process(fresh) if fresh else ())
            for one in batch:
                last = last if one.repeat else next(images)
                yield replace(one.frame, rgb=last)

    @torch.inference_mode()
    def _process(self, fresh: list[Followed]) -> np.ndarray:
        runner = self.runner
        with self._timed("net"):
            x = runner.load(np.stack([one.frame.rgb for one in fresh]))
            if runner.strength == 0:
                return to_array(runner.base(x))
            layers = runner.predict(x, tuple(one.frame.time for one in fresh))
        if self.filter is not None:
            with self._timed("blend"):
                blended = [
                    self.filter.blend(one.motion or Motion(), layer)
                    for one, layer in zip(fresh, layers, strict=True)
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


def _batches(followed: Iterator[Followed], size: int) -> Iterator[list[Followed]]:
    batch: list[Followed] = []
    for one in followed:
        batch.append(one)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
