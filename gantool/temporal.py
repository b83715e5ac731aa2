"""Keep video steady: blend each frame's layer with the one before, carried along by the picture's motion.

A frame-by-frame net flickers. The *source* does not, so its optical flow says where each pixel was one frame
earlier, and the layer that was shown there is mixed into the new one:

    out[t] = s w history + (1 - s w) layer[t],    history = out[t-1] fetched along the flow

with s the strength and w, per pixel, how far the flow can be trusted: forward and backward flow agree
(Sundaram 2010) and the source looks the same at both ends, exp(-k d^2) with d the grey difference in [0,1].
The layer is what the task adds to the picture (chroma, detail) where there is such a thing, so the source's
own sharpness and grain are untouched; translate, which makes the picture anew, has it blended whole ("rgb"),
where flow is trusted with more care. At a scene cut the filter starts afresh.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gantool.motion import Measured, Motion, MotionTracker, Pair
from gantool.ops import flow as optical

Kind = Literal["chroma", "detail", "rgb"]
T = TypeVar("T")

_STRENGTH: dict[Kind, float] = {"chroma": 0.9, "detail": 0.6, "rgb": 0.8}
_PHOTOMETRIC: dict[Kind, float] = {"chroma": 10.0, "detail": 50.0, "rgb": 50.0}
_TONE = 0.08  # of [0,1]: how far a flat region may flicker and still be steadied
_LIVELY = 0.95  # strength up to which torch's bicubic kernel cannot ring (see ops.flow.warp)
_MOST_HISTORY = 0.98  # drift guard: at least 2 % of every frame comes from the net, whatever the strength


@dataclass(frozen=True)
class TemporalOptions:
    """How video is kept steady.

    ``mode``: "online", each frame from the past only.
    ``strength``: 0..1, how much of the past is kept; None takes the task's own value (0.9 for chroma, 0.6
    for detail, 0.8 for rgb); 0 leaves every frame as the net made it.
    ``flow``: "farneback" or "dis".
    """

    mode: Literal["online"] = "online"
    strength: float | None = None
    flow: optical.Method = "farneback"

    def __post_init__(self) -> None:
        if self.mode != "online":
            raise ValueError(f"unknown temporal mode {self.mode!r}")
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise ValueError("temporal strength must lie between 0 and 1")
        if self.flow not in optical.METHODS:
            raise ValueError(f"unknown flow method {self.flow!r}")


class TemporalFilter:
    """The recursive filter over one video: frames and layers in, steadier layers out, in order.

    :meth:`track` looks at the source only and may run in a thread ahead of :meth:`blend`, as long as each
    sees every frame in order; :meth:`step` does both.
    """

    def __init__(self, kind: Kind, options: TemporalOptions | None = None) -> None:
        """``kind``: a pipeline's ``blend``."""
        options = options or TemporalOptions()
        self.kind: Kind = kind
        self.strength = _STRENGTH[kind] if options.strength is None else options.strength
        self.tracker = MotionTracker(options.flow, _PHOTOMETRIC[kind], careful=kind == "rgb")
        self._last: Tensor | None = None  # what was shown last, kept in float
        self._before: Tensor | None = None  # what was shown last before the latest cut

    def state(self) -> dict[str, np.ndarray]:
        """The layers that :meth:`blend` remembers, for :meth:`restore`. ``tracker`` has its own state."""
        known = {"layer": self._last, "layer_before": self._before}
        return {name: layer.cpu().numpy() for name, layer in known.items() if layer is not None}

    def restore(self, state: Mapping[str, np.ndarray], device: torch.device) -> None:
        """Go on where another filter of the same options was when it gave :meth:`state`."""
        self.tracker.restore(state)
        layers = {
            name: torch.from_numpy(np.array(value)).to(device)
            for name, value in state.items()
            if name.startswith("layer")
        }
        self._last, self._before = layers.get("layer"), layers.get("layer_before")

    def step(self, frame: np.ndarray, layer: Tensor) -> Tensor:
        """Source frame uint8 (H,W,3) RGB and its layer (C,h,w) float -> the layer to show, (C,h,w)."""
        return self.blend(self.track(frame), layer)

    def track(self, frame: np.ndarray) -> Motion:
        """The motion of the next source frame."""
        return self.tracker.next(frame)

    def track_ahead(
        self, items: Iterable[T], frame_of: Callable[[T], np.ndarray], workers: int = 1
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
                pair = tracker.look(frame_of(item))
                pending.append((item, pair, pool.submit(tracker.measure, pair) if pair else None))
                if len(pending) > workers:
                    yield settle()
            while pending:
                yield settle()
        finally:
            pool.shutdown(cancel_futures=True)

    def blend(self, motion: Motion, layer: Tensor) -> Tensor:
        """The layer to show; ``layer`` itself, unchanged, where there is nothing to continue."""
        last = self._last
        if motion.repeat and last is not None:
            return last
        if motion.flow is None or motion.trust is None:
            self._before = last
            self._last = layer
            return layer
        past = self._before if motion.resumed else last
        if motion.resumed:
            self._before = last
        if past is None or self.strength == 0:
            self._last = layer
            return layer
        flow = torch.from_numpy(motion.flow).movedim(-1, 0).to(layer.device)
        trust = torch.from_numpy(motion.trust)[None, None].to(layer.device)
        stable = self.kind == "chroma" or (self.kind == "rgb" and self.strength > _LIVELY)
        history = optical.warp(past, flow, stable=stable)
        if self.kind == "detail":
            pixels = layer.shape[-1] / motion.flow.shape[1]
            history = _clamp_to_surroundings(history, layer, radius=max(1, round(pixels)))
        elif self.kind == "rgb":
            history = _clamp_to_picture(history, layer)
        share = F.interpolate(trust, size=layer.shape[-2:], mode="bilinear", align_corners=False)[0]
        share = (self.strength * share).clamp(max=_MOST_HISTORY)
        self._last = torch.lerp(layer, history, share)
        return self._last


def _clamp_to_surroundings(history: Tensor, layer: Tensor, radius: int) -> Tensor:
    """``history`` (C,h,w) held within mean +- 1.25 standard deviations of the new layer around each pixel.

    Old detail that the new frame knows nothing of would linger as a ghost.
    """
    mean = _box(layer, radius)
    spread = 1.25 * (_box(layer * layer, radius) - mean * mean).clamp_min(0).sqrt()
    return torch.minimum(torch.maximum(history, mean - spread), mean + spread)


def _clamp_to_picture(history: Tensor, layer: Tensor) -> Tensor:
    """``history`` (C,h,w) held within what the new picture could look like around each pixel, against ghosts.

    That is mean +- 1.5 standard deviations of 12x12 px, found at a quarter of the size for speed; a little
    more, or the light of flat regions would go on to flicker; and any value that the new picture has next to
    the pixel, or a highlight that stays would be dimmed.
    """

    def around(x: Tensor) -> Tensor:
        small = F.avg_pool2d(x[None], 4, ceil_mode=True, count_include_pad=False)[0]
        return F.interpolate(_box(small, 1)[None], size=x.shape[-2:], mode="bilinear", align_corners=False)[0]

    mean = around(layer)
    spread = 1.5 * (around(layer * layer) - mean * mean).clamp_min_(0).sqrt_() + _TONE
    least = torch.minimum(mean - spread, -_highest(-layer))
    most = torch.maximum(mean + spread, _highest(layer))
    return torch.minimum(torch.maximum(history, least), most)


def _highest(x: Tensor) -> Tensor:
    """Maximum over 3x3 pixels of (C,h,w); much quicker than max_pool2d on a CPU."""
    x = F.pad(x[None], (1, 1, 1, 1), mode="replicate")[0]
    x = torch.maximum(torch.maximum(x[:, :-2], x[:, 1:-1]), x[:, 2:])
    return torch.maximum(torch.maximum(x[..., :-2], x[..., 1:-1]), x[..., 2:])


def _box(x: Tensor, radius: int) -> Tensor:
    """Mean over (2 radius + 1)^2 pixels, fewer at the border; rows, then columns."""
    side = 2 * radius + 1
    rows = F.avg_pool2d(x[None], (side, 1), stride=1, padding=(radius, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, side), stride=1, padding=(0, radius), count_include_pad=False)[0]
