"""Keep video steady: blend each frame's layer with the one before, carried along by the picture's motion.

A frame-by-frame net flickers. The *source* does not, so its optical flow says where each pixel was one frame
earlier, and the layer that was shown there is mixed into the new one:

    out[t] = s w history + (1 - s w) layer[t],    history = out[t-1] fetched along the flow

with s the strength and w, per pixel, how far the flow can be trusted: forward and backward flow agree
(Sundaram 2010) and the source looks the same at both ends, exp(-k d^2) with d the grey difference in [0,1].
Of colorize the layer is the chroma alone, so the source's own sharpness and grain are untouched. Translate,
which makes the picture anew, has it blended whole ("rgb"), where flow is trusted with more care. Of upscale
("detail") only what is finer than the source's pixels comes from the past; shrunk to the source's size, the
result is what the net made of this frame alone. As film rarely moves by whole pixels, the frames together
know more than each does (temporal super-sampling), so this sharpens while it steadies.
At a scene cut the filter starts afresh.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gantool.motion import Flow, Measured, Motion, MotionTracker, Pair, turned
from gantool.ops import flow as optical
from gantool.ops.clamp import clamp_to_picture, clamp_to_surroundings
from gantool.ops.resize import resize

Kind = Literal["chroma", "detail", "rgb"]
Mode = Literal["online", "bidirectional"]
T = TypeVar("T")

_STRENGTH: dict[Kind, float] = {"chroma": 0.9, "detail": 0.7, "rgb": 0.8}
# Frames of a window, and of the run-up behind it: what is left of the past after so many hardly counts.
_WINDOW: dict[Kind, tuple[int, int]] = {"chroma": (16, 16), "detail": (4, 4), "rgb": (8, 8)}
_PHOTOMETRIC: dict[Kind, float] = {"chroma": 10.0, "detail": 50.0, "rgb": 50.0}
_LIVELY = 0.95  # strength up to which torch's bicubic kernel cannot ring (see ops.flow.warp)
_MOST_HISTORY = 0.98  # drift guard: at least 2 % of every frame comes from the net, whatever the strength


@dataclass(frozen=True)
class TemporalOptions:
    """How video is kept steady.

    ``mode``: "online", each frame from the past only; "bidirectional", from what comes after it as well,
    which takes about twice the time and some frames of memory.
    ``strength``: 0..1, how much of the past is kept; None takes the task's own value (0.9 for chroma, 0.7
    for detail, 0.8 for rgb); 0 leaves every frame as the net made it.
    ``flow``: "farneback", "dis", "codec" (the stream's own vectors, where frames bring them along; "dis"
    elsewhere), or an estimator such as :func:`gantool.flownet.load` gives.
    """

    mode: Mode = "online"
    strength: float | None = None
    flow: Flow = "farneback"

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ValueError(f"unknown temporal mode {self.mode!r}")
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise ValueError("temporal strength must lie between 0 and 1")
        if not callable(self.flow) and self.flow not in (*optical.METHODS, "codec"):
            raise ValueError(f"unknown flow method {self.flow!r}")


class Recursion:
    """One way through a film: each layer blended with what was shown of the frame before."""

    def __init__(self, kind: Kind, strength: float, layer_scale: int = 1) -> None:
        self.kind: Kind = kind
        self.strength = strength
        self.layer_scale = layer_scale
        self.last: Tensor | None = None  # what was shown last, kept in float
        self.before: Tensor | None = None  # what was shown last before the latest cut

    def step(self, motion: Motion, layer: Tensor) -> Tensor:
        """The layer to show; ``layer`` itself, unchanged, where there is nothing to continue."""
        last = self.last
        if motion.repeat and last is not None:
            return last
        if motion.flow is None or motion.trust is None:
            self.before = last
            self.last = layer
            return layer
        past = self.before if motion.resumed else last
        if motion.resumed:
            self.before = last
        if past is None or self.strength == 0:
            self.last = layer
            return layer
        flow = torch.from_numpy(motion.flow).movedim(-1, 0).to(layer.device)
        trust = torch.from_numpy(motion.trust)[None, None].to(layer.device)
        stable = self.kind == "chroma" or (self.kind == "rgb" and self.strength > _LIVELY)
        history = optical.warp(past, flow, stable=stable)
        if self.kind == "detail":
            pixels = layer.shape[-1] / motion.flow.shape[1]
            history = clamp_to_surroundings(history, layer, radius=max(1, round(pixels)))
        elif self.kind == "rgb":
            history = clamp_to_picture(history, layer)
        share = F.interpolate(trust, size=layer.shape[-2:], mode="bilinear", align_corners=False)[0]
        share = (self.strength * share).clamp(max=_MOST_HISTORY)
        if self.kind == "detail":
            self.last = layer + _finer_part((history - layer).mul_(share), max(2, self.layer_scale))
        else:
            self.last = torch.lerp(layer, history, share)
        return self.last


def _finer_part(x: Tensor, factor: int) -> Tensor:
    """What of (C,h,w) is gone when it is shrunk to 1/``factor`` and enlarged again."""
    tall, wide = x.shape[-2:]
    shrunk = F.interpolate(x[None], size=(-(-tall // factor), -(-wide // factor)), mode="area")
    return x - resize(shrunk, tall, wide)[0]


class TemporalFilter:
    """The filter over one video: frames and layers in, steadier layers out, in order.

    :meth:`track` looks at the source only and may run in a thread ahead of :meth:`blend`, as long as each
    sees every frame in order; :meth:`step` does both. Both ways takes :meth:`blend_window`, several frames
    at once.
    """

    def __init__(self, kind: Kind, options: TemporalOptions | None = None, layer_scale: int = 1) -> None:
        """``kind`` and ``layer_scale``: a pipeline's ``blend`` and ``layer_scale``."""
        options = options or TemporalOptions()
        strength = _STRENGTH[kind] if options.strength is None else options.strength
        both = options.mode == "bidirectional" and strength > 0
        self.window = _WINDOW[kind] if both else None
        self.tracker = MotionTracker(options.flow, _PHOTOMETRIC[kind], careful=kind == "rgb", ahead=both)
        self._forward = Recursion(kind, strength, layer_scale)

    @property
    def blends(self) -> int:
        """How often a frame is blended: on the way there, on the way back, and in the run-up to that."""
        return 1 if self.window is None else 2 + round(self.window[1] / self.window[0])

    def state(self) -> dict[str, np.ndarray]:
        """The layers that are remembered, for :meth:`restore`. ``tracker`` has its own state."""
        known = {"layer": self._forward.last, "layer_before": self._forward.before}
        return {name: layer.cpu().numpy() for name, layer in known.items() if layer is not None}

    def restore(self, state: Mapping[str, np.ndarray], device: torch.device) -> None:
        """Go on where another filter of the same options was when it gave :meth:`state`."""
        self.tracker.restore(state)
        layers = {
            name: torch.from_numpy(np.array(value)).to(device)
            for name, value in state.items()
            if name.startswith("layer")
        }
        self._forward.last, self._forward.before = layers.get("layer"), layers.get("layer_before")

    def step(self, frame: np.ndarray, layer: Tensor) -> Tensor:
        """Source frame uint8 (H,W,3) RGB and its layer (C,h,w) float -> the layer to show, (C,h,w)."""
        return self.blend(self.track(frame), layer)

    def track(self, frame: np.ndarray, vectors: np.ndarray | None = None) -> Motion:
        """The motion of the next source frame; ``vectors`` of the stream are for flow "codec"."""
        return self.tracker.next(frame, vectors)

    def track_ahead(
        self,
        items: Iterable[T],
        frame_of: Callable[[T], np.ndarray],
        workers: int = 1,
        vectors_of: Callable[[T], np.ndarray | None] = lambda _: None,
    ) -> Iterator[tuple[T, Motion]]:
        """Each item with its motion, in order, up to ``workers`` items being measured at once."""
        tracker = self.tracker
        pending: deque[tuple[T, Pair | None, Future[Measured | None] | None]] = deque()

        def settle() -> tuple[T, Motion]:
            item, pair, found = pending.popleft()
            if pair is None or found is None:
                return item, Motion(repeat=True)
            return item, tracker.judge(pair, found.result())

        pool = ThreadPoolExecutor(workers, thread_name_prefix="gantool-flow")
        try:
            for item in items:
                pair = tracker.look(frame_of(item), vectors_of(item))
                pending.append((item, pair, pool.submit(tracker.measure, pair) if pair else None))
                if len(pending) > workers:
                    yield settle()
            while pending:
                yield settle()
        finally:
            pool.shutdown(cancel_futures=True)

    def blend(self, motion: Motion, layer: Tensor) -> Tensor:
        """The layer to show, from the past; ``layer`` itself where there is nothing to continue."""
        return self._forward.step(motion, layer)

    def blend_window(self, motions: Sequence[Motion], layers: Sequence[Tensor], count: int) -> list[Tensor]:
        """The layers to show of the first ``count`` frames: mean of the way there and the way back.

        The way there goes on from the last window. The way back begins with the last of the frames given:
        those after the first ``count`` are its run-up. No repeats among them.
        """
        there = [self.blend(motion, layer) for motion, layer in zip(motions, layers[:count], strict=False)]
        forward = self._forward
        back = Recursion(forward.kind, forward.strength, forward.layer_scale)
        ways = list(zip(turned(motions), layers, strict=True))
        for index in range(len(layers) - 1, -1, -1):
            shown = back.step(*ways[index])
            if index < count:
                there[index] = torch.lerp(there[index], shown, 0.5)
        return there
