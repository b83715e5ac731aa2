"""One pipeline's pass over the frames of a film: the part of a run between decoder and encoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gantool.devices import cpu_threads
from gantool.inference import Runner, to_array
from gantool.media.video import Frame
from gantool.motion import Motion, is_repeat
from gantool.ops.resize import resize
from gantool.pipelines import Pipeline
from gantool.temporal import TemporalFilter, TemporalOptions


@dataclass(frozen=True)
class Step:
    """What is done to every frame.

    ``temporal``: how the result is kept steady; None, or a pipeline without ``blend``, leaves it alone.
    ``batch_size``: frames that go through the net at once; halved, with a warning, when memory runs out.
    ``strength``: 0..1, how much of the effect; 0 returns the frames as they were.
    ``moment``: from the time of a frame to that which the pipeline is told, see :mod:`gantool.scenes`.
    """

    pipeline: Pipeline
    temporal: TemporalOptions | None = None
    batch_size: int = 1
    strength: float = 1.0
    moment: Callable[[float], float] = float

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of what becomes of a frame of that size."""
        return self.pipeline.output_size(height, width)

    def begin(self, warn: Callable[[str], None], part: Callable[[Frame], int] | None = None) -> Pass:
        """The step at work on one film."""
        return Pass(self, warn, part)


class Work(Protocol):
    """What a run does to every frame: a :class:`Step`, or what else can be begun on a film."""

    def output_size(self, height: int, width: int) -> tuple[int, int]: ...

    def begin(self, warn: Callable[[str], None], part: Callable[[Frame], int] | None = None) -> Passing: ...


class Passing(Protocol):
    """Work on one film, as :class:`Pass` documents it; ``stage`` names what :meth:`follow` spends time on."""

    stage: str
    seconds: dict[str, float]
    filter: Any

    @property
    def ahead(self) -> int: ...

    def state(self, part: int) -> State: ...

    def restore(self, state: State) -> None: ...

    def follow(self, frames: Iterator[Frame]) -> Iterator[Any]: ...

    def results(self, followed: Iterator[Any]) -> Iterator[Frame]: ...


# All that a pass remembers at some frame. Arrays only, so that it can be kept in a file.
State = dict[str, np.ndarray]


class Followed(NamedTuple):
    """A frame on its way: what the filter knows of its motion, and whether it repeats the last one.

    ``due``: whether the net is to see it. Of the first frame of a part only: ``part``, its number, and
    ``before``, what :meth:`Pass.follow` remembered of the frames before it.
    """

    frame: Frame
    motion: Motion | None
    repeat: bool
    due: bool = True
    part: int | None = None
    before: State | None = None


class Group(NamedTuple):
    """Frames that are finished together.

    ``shown``: the frames to give; ``fresh``: those of them that are no repeats, and behind them, in a window,
    those of its run-up; ``layers`` of the fresh ones, or what stands for them, see ``TemporalFilter.blend``;
    ``x``: the fresh ones as pictures, where still there.
    """

    shown: list[Followed]
    fresh: list[Followed]
    layers: list[Tensor]
    x: Tensor | None = None


class Pass:
    """A step at work on one film, with what it remembers of the frames so far.

    :meth:`follow` looks at the source only and may run in a thread ahead of :meth:`results`. ``seconds``:
    time spent so far in the net, the temporal filter and the join with the source.

    With ``part``, a film can be done in parts. What is made of the frames from the first of a part on then
    depends on these frames and on the state there alone, to the last bit::

        for frame in whole.results(whole.follow(frames)):
            if frame is the first of part 3:
                state = whole.state(3)
        other.restore(state)
        other.results(other.follow(frames from that one on))  # go on
    """

    stage = "flow"

    def __init__(
        self, step: Step, warn: Callable[[str], None], part: Callable[[Frame], int] | None = None
    ) -> None:
        """``part``: the number of a frame's part, which never falls; None for a film done in one go."""
        self.runner = Runner(step.pipeline, batch_size=step.batch_size, strength=step.strength, warn=warn)
        self.moment = step.moment
        self.part = part
        self.seconds = {"net": 0.0, "blend": 0.0, "finish": 0.0}
        self.filter: TemporalFilter | None = None
        if step.temporal is not None and step.pipeline.blend is not None and step.strength > 0:
            self.filter = TemporalFilter(step.pipeline.blend, step.temporal, step.pipeline.layer_scale)
        # Where the net is told what was shown before, that must be finished first.
        self._hinted = False
        if self.filter is not None and self.filter.window is None:
            some = step.pipeline.takes_history and self.filter.key_frames.every > 1
            self._hinted = some or step.pipeline.blend == "continued"
        self.batch_size = 1 if self._hinted else step.batch_size
        self._begun = False
        self._frame: np.ndarray | None = None  # the last one that it saw; without a filter only
        self._result = np.empty(0, np.uint8)  # the last picture made
        self._states: dict[int, State] = {}

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of what becomes of a frame of that size."""
        return self.runner.pipeline.output_size(height, width)

    @property
    def ahead(self) -> int:
        """On how many frames from behind a part its last results depend, in whole batches."""
        run_up = 0 if self.filter is None or self.filter.window is None else self.filter.window[1]
        return -(-run_up // self.batch_size) * self.batch_size

    def state(self, part: int) -> State:
        """What was remembered just before the first frame of a part, for :meth:`restore`.

        There from the moment on when :meth:`results` gives that frame, but for the film's first; can be asked
        for once, from any thread. Those of earlier parts are forgotten.
        """
        found = self._states[part]
        for known in [known for known in self._states if known <= part]:
            del self._states[known]
        return found

    def restore(self, state: State) -> None:
        """Go on with the part before which another pass of the same step had this state.

        Before :meth:`follow`, which is then given the frames from that part on.
        """
        self._begun = True
        self._result = state["result"]
        self._frame = state.get("frame")
        if self.filter is not None:
            self.filter.restore(state, self.runner.pipeline.device)

    def follow(self, frames: Iterator[Frame]) -> Iterator[Followed]:
        """Frames with their motion."""
        if self.part is None:
            yield from self._follow(frames)
            return
        for number, group in groupby(frames, self.part):
            before = self._seen() if self._begun else None
            self._begun = True
            part = self._follow(group)
            yield next(part)._replace(part=number, before=before)
            yield from part

    def _follow(self, frames: Iterator[Frame]) -> Iterator[Followed]:
        if self.filter is not None:
            # On a CPU the net has the cores; beside a GPU they are free for the flow of several frames.
            workers = 1 if self.runner.pipeline.device.type == "cpu" else max(1, min(6, cpu_threads() // 2))
            pictures, vectors = (lambda frame: frame.rgb), (lambda frame: frame.vectors)
            for frame, motion in self.filter.track_ahead(frames, pictures, workers, vectors):
                due = not motion.repeat and self.filter.key_frames.due(motion)
                yield Followed(frame, motion, motion.repeat, due)
            return
        for frame in frames:
            yield Followed(frame, None, is_repeat(frame.rgb, self._frame))
            self._frame = frame.rgb

    def _seen(self) -> State:
        """What :meth:`follow` remembers."""
        if self.filter is not None:
            return {**self.filter.tracker.state(), **self.filter.key_frames.state()}
        return {} if self._frame is None else {"frame": self._frame}

    def results(self, followed: Iterator[Followed]) -> Iterator[Frame]:
        """The frames as the step makes them, in order, each at its time and as deep as it was."""
        groups = (self._predicted(batch) for batch in _batches(followed, self.batch_size))
        if self.filter is not None and self.filter.window is not None:
            groups = self._windows(groups, *self.filter.window)
        for group in groups:
            first = group.shown[0]
            if first.part is not None and first.before is not None:
                layers = {} if self.filter is None else self.filter.state()
                self._states[first.part] = {**first.before, **layers, "result": self._result}
            images = self._images(group)
            for one in group.shown:
                self._result = self._result if one.repeat else next(images)
                yield replace(one.frame, rgb=self._result)

    def _windows(self, groups: Iterator[Group], count: int, run_up: int) -> Iterator[Group]:
        """The same frames in windows that end at every ``count``-th frame of a part and with the part, each
        with up to ``run_up`` frames from behind it.

        Where a window ends must not depend on where the pass began, or a restored one would differ.
        """
        waiting: list[tuple[Followed, Tensor | None]] = []
        while True:
            while len(waiting) < count + run_up and (group := next(groups, None)) is not None:
                layers = iter(group.layers)
                waiting += [(one, None if one.repeat else next(layers)) for one in group.shown]
            if not waiting:
                return
            begins = (i for i, (one, _) in enumerate(waiting[:count]) if i and one.part is not None)
            length = next(begins, count)
            shown = [one for one, _ in waiting[:length]]
            known = [(one, layer) for one, layer in waiting[: length + run_up] if layer is not None]
            yield Group(shown, [one for one, _ in known], [layer for _, layer in known])
            del waiting[:length]

    @torch.inference_mode()
    def _predicted(self, batch: list[Followed]) -> Group:
        """A batch of which the net has seen what it is to see."""
        fresh, runner = [one for one in batch if not one.repeat], self.runner
        if not fresh:
            return Group(batch, [], [])
        due = [index for index, one in enumerate(fresh) if one.due]
        with self._timed("net"):
            x = runner.load(np.stack([one.frame.rgb for one in fresh]))
            if runner.strength == 0:
                layers = runner.base(x)
            elif len(due) == len(fresh):
                layers = self._layers(x, fresh)
            else:
                layers = [self._stand_in(one) for one in x]
                made = self._layers(x[due], [fresh[index] for index in due]) if due else ()
                for index, layer in zip(due, made, strict=True):
                    layers[index] = layer
        window = self.filter is not None and self.filter.window is not None
        return Group(batch, fresh, list(layers), None if window else x)

    def _stand_in(self, x: Tensor) -> Tensor:
        """What the filter gets of a frame (3,H,W) that the net has not seen, see ``TemporalFilter.blend``."""
        pipeline = self.runner.pipeline
        if pipeline.blend == "chroma":
            return x[:0]
        tall, wide = (side * pipeline.layer_scale for side in x.shape[-2:])
        return resize(x[None], tall, wide)[0]

    def _layers(self, x: Tensor, fresh: list[Followed]) -> Tensor:
        """What the net makes of frames x, its lattice moved along with what the camera sees.

        Else the lattice would stand still on the screen while the picture passes under it, which is most of
        the flicker of a net that works in strides.
        """
        stride, start = self.runner.pipeline.stride, 0
        layers: list[Tensor] = []
        for (left, top), alike in groupby(_place(one, stride, *x.shape[-2:]) for one in fresh):
            part = slice(start, start + len(list(alike)))
            shown = F.pad(x[part], (left, 0, top, 0), mode="reflect") if left or top else x[part]
            times = tuple(self.moment(one.frame.time) for one in fresh[part])
            layer = self.runner.predict(shown, times, self._told(fresh[part]))
            layers.append(layer[..., top:, left:] if left or top else layer)
            start = part.stop
        return layers[0] if len(layers) == 1 else torch.cat(layers)

    def _told(self, fresh: list[Followed]) -> dict[str, Any]:
        """What a net that takes it is told of the past of a frame."""
        if not self._hinted or self.filter is None or fresh[0].motion is None:
            return {}
        past = self.filter.history(fresh[0].motion)
        return {} if past is None else {"history": past}

    def _images(self, group: Group) -> Iterator[np.ndarray]:
        """Results for the frames of a group that are no repeats."""
        fresh = group.fresh[: sum(not one.repeat for one in group.shown)]
        layers = self._steadied(group, len(fresh))
        for start in range(0, len(fresh), self.batch_size):
            part = slice(start, start + self.batch_size)
            yield from self._finished(fresh[part], layers[part], group.x)

    @torch.inference_mode()
    def _steadied(self, group: Group, count: int) -> list[Tensor]:
        """The layers to show of a group's first ``count`` fresh frames."""
        if self.filter is None:
            return group.layers
        motions, seen = [one.motion or Motion() for one in group.fresh], [one.due for one in group.fresh]
        with self._timed("blend"):
            if self.filter.window is not None:
                return self.filter.blend_window(motions, group.layers, count, seen)
            ways = zip(motions, group.layers, seen, strict=True)
            return [self.filter.blend(*way) for way in ways]

    @torch.inference_mode()
    def _finished(self, fresh: list[Followed], layers: list[Tensor], x: Tensor | None) -> np.ndarray:
        with self._timed("finish"):
            bits = 16 if fresh[0].frame.rgb.dtype == np.uint16 else 8
            y = layers[0][None] if len(layers) == 1 else torch.stack(layers)  # alone, in its memory order
            if self.runner.strength > 0:
                x = self.runner.load(np.stack([one.frame.rgb for one in fresh])) if x is None else x
                y = self.runner.finish(x, y)
            return to_array(y, bits)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        device = self.runner.pipeline.device
        began = time.perf_counter()
        yield
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # else the time would be booked on whoever waits for it
        self.seconds[stage] += time.perf_counter() - began


def _place(one: Followed, stride: int, tall: int, wide: int) -> tuple[int, int]:
    """(left, top), by how many pixels a frame is continued so that a net's lattice follows its motion."""
    if stride == 1 or one.motion is None or min(tall, wide) <= stride:
        return 0, 0
    across, down = one.motion.drift
    return -round(across * wide) % stride, -round(down * tall) % stride


def _batches(followed: Iterator[Followed], size: int) -> Iterator[list[Followed]]:
    """So many at once, but none across a boundary: on some machines a batch's size shows in the last bits."""
    batch: list[Followed] = []
    for one in followed:
        if one.part is not None and batch:  # a boundary
            yield batch
            batch = []
        batch.append(one)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
