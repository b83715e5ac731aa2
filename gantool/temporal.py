"""Keep video steady: blend each frame's layer with the one before, carried along by the picture's motion.

A frame-by-frame net flickers. The *source* does not, so its optical flow says where each pixel was one frame
earlier, and the layer that was shown there is mixed into the new one:

    out[t] = s w history + (1 - s w) layer[t],    history = out[t-1] fetched along the flow

with s the strength and w, per pixel, how far the flow can be trusted: forward and backward flow agree
(Sundaram 2010) and the source looks the same at both ends, exp(-k d^2) with d the grey difference in [0,1].
The layer is what the task adds to the picture (chroma, detail), never the picture itself, so the source's
own sharpness and grain are untouched. At a scene cut the filter starts afresh.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gantool.ops import flow as optical

Kind = Literal["chroma", "detail"]

_STRENGTH: dict[Kind, float] = {"chroma": 0.9, "detail": 0.6}
_PHOTOMETRIC: dict[Kind, float] = {"chroma": 10.0, "detail": 50.0}
_MOST_HISTORY = 0.98  # drift guard: at least 2 % of every frame comes from the net, whatever the strength
_LOST = 0.3  # mean trust below which the flow has failed and the past is dropped
_LONGEST_SIDE = 640  # flow is computed at half the frame's size and at most this large
_SMALLEST_SIDE = 256  # ... but a small frame is not halved below this
_FLASH = 3  # frames: a cut that is undone so soon was a flash or a damaged frame


@dataclass(frozen=True)
class TemporalOptions:
    """How video is kept steady.

    ``mode``: "online", each frame from the past only.
    ``strength``: 0..1, how much of the past is kept; None takes the task's own value (0.9 for chroma, 0.6
    for detail); 0 leaves every frame as the net made it.
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


@dataclass(frozen=True)
class Motion:
    """How a frame continues the ones before.

    ``flow``: (h,w,2) float32, this frame into the earlier one, at the flow's own size; None when there is
    nothing to continue: the first frame, a scene cut, or flow that failed.
    ``trust``: (h,w) float32 in [0,1], the w of the module's formula; None with ``flow``.
    ``repeat``: the frame is the one before, byte by byte.
    ``resumed``: the earlier frame is not the one just before but the last one before the latest cut.
    ``cut``: a scene cut was seen here.
    """

    flow: np.ndarray | None = None
    trust: np.ndarray | None = None
    repeat: bool = False
    resumed: bool = False
    cut: bool = False


def is_repeat(frame: np.ndarray, previous: np.ndarray | None) -> bool:
    """Whether two frames are the same byte by byte; nearly free when they are not."""
    if previous is None or frame.shape != previous.shape:
        return False
    return np.array_equal(frame[::16], previous[::16]) and np.array_equal(frame, previous)


def flow_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) at which the flow of a frame is computed."""
    longest = max(height, width)
    scale = min(0.5, _LONGEST_SIDE / longest)
    scale = max(scale, min(1.0, _SMALLEST_SIDE / longest))
    return max(1, round(height * scale)), max(1, round(width * scale))


class MotionTracker:
    """Watches the source frames of one video, in order, and says how each continues the ones before.

    Knows nothing of the net's output, so it may run ahead in a thread of its own.
    """

    def __init__(self, flow: optical.Method = "farneback", photometric: float = 10.0) -> None:
        """``photometric``: k of exp(-k d^2)."""
        self._method: optical.Method = flow
        self._photometric = photometric
        self._frame: np.ndarray | None = None
        self._gray: np.ndarray | None = None  # of the last frame, at the flow's size
        self._before: np.ndarray | None = None  # of the last frame before the latest cut
        self._since_cut = 0
        self._residuals: list[float] = []  # of the last two frames

    def next(self, frame: np.ndarray) -> Motion:
        """``frame``: uint8 (H,W,3) RGB; must not be changed by the caller afterwards."""
        if is_repeat(frame, self._frame):
            return Motion(repeat=True)
        height, width = flow_size(*frame.shape[:2])
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        gray = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
        motion = self._compare(gray)
        self._frame, self._gray = frame, gray
        return motion

    def _compare(self, gray: np.ndarray) -> Motion:
        previous = self._gray
        if previous is None:
            return Motion()
        self._since_cut += 1
        flow, trust, likeness, residual = self._pair(gray, previous)
        usual = float(np.mean(self._residuals)) if self._residuals else 0.0
        self._residuals = [*self._residuals[-1:], residual]
        cut = likeness < 0.55 and residual > 10 and residual > 2.5 * usual
        if not cut and float(trust.mean()) < _LOST:
            flow, trust = self._at_rest(gray, previous)
        if not cut and float(trust.mean()) >= _LOST:
            return Motion(flow, trust)
        before, recent = self._before, self._since_cut <= _FLASH
        self._before, self._since_cut = previous, 0
        self._residuals = []
        if before is not None and recent:
            flow, trust, likeness, _ = self._pair(gray, before)
            if likeness > 0.8 and float(trust.mean()) >= _LOST:
                return Motion(flow, trust, resumed=True)
        return Motion(cut=cut)

    def _at_rest(self, gray: np.ndarray, earlier: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(flow, trust) that say "nothing moves": for frames too empty or too dark to see motion in."""
        trust = np.zeros(gray.shape, np.float32)
        if _alike(gray, earlier)[1] < 4:
            trust = self._same(gray, earlier)
        return np.zeros((*gray.shape, 2), np.float32), trust

    def _same(self, gray: np.ndarray, fetched: np.ndarray) -> np.ndarray:
        """exp(-k d^2) of two grey frames."""
        difference = cv2.subtract(gray, fetched, dtype=cv2.CV_32F) / 255
        return np.exp(-self._photometric * difference**2)

    def _pair(self, gray: np.ndarray, earlier: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
        """(flow, trust, likeness, residual) of two grey frames.

        The last two judge cuts: what is left, in grey levels, of the difference after motion is taken out,
        and the correlation of what motion brings into line. Over cuts it was 0.4 at most in the test clips,
        and never below 0.7 within a shot, however fast; a change of exposure does not touch it.
        """
        backward = optical.estimate(gray, earlier, self._method)
        forward = optical.estimate(earlier, gray, self._method)
        agreed = optical.consistent(backward, forward)
        if self._method == "farneback":
            # After the test: in a flat region both directions may borrow from different neighbours.
            backward = optical.mend_flat(backward, gray, earlier)
            agreed &= optical.inside(backward)
        fetched = optical.follow(earlier, backward)
        trust = agreed * self._same(gray, fetched)
        trust = cv2.GaussianBlur(trust, (0, 0), 1.0)  # a hard edge would be seen in the colour
        likeness, residual = _alike(gray, fetched)
        return backward, trust, likeness, residual


def _alike(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """(correlation, mean absolute difference in levels) of two grey pictures seen from afar.

    From afar (96 px), so that grain does not count.
    """
    height, width = first.shape
    shrink = min(1.0, 96 / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    a = cv2.resize(first, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    b = cv2.resize(second, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    residual = float(np.abs(a - b).mean())
    a -= a.mean()
    b -= b.mean()
    # 4 levels^2 of slack: two flat pictures are alike in nothing.
    return float((a * b).mean() / (a.std() * b.std() + 4)), residual


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
        self._tracker = MotionTracker(options.flow, _PHOTOMETRIC[kind])
        self._last: Tensor | None = None  # what was shown last, kept in float
        self._before: Tensor | None = None  # what was shown last before the latest cut

    def step(self, frame: np.ndarray, layer: Tensor) -> Tensor:
        """Source frame uint8 (H,W,3) RGB and its layer (C,h,w) float -> the layer to show, (C,h,w)."""
        return self.blend(self.track(frame), layer)

    def track(self, frame: np.ndarray) -> Motion:
        """The motion of the next source frame."""
        return self._tracker.next(frame)

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
        history = optical.warp(past, flow, stable=self.kind == "chroma")
        if self.kind == "detail":
            pixels = layer.shape[-1] / motion.flow.shape[1]
            history = _clamp_to_surroundings(history, layer, radius=max(1, round(pixels)))
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


def _box(x: Tensor, radius: int) -> Tensor:
    """Mean over (2 radius + 1)^2 pixels, fewer at the border; rows, then columns."""
    side = 2 * radius + 1
    rows = F.avg_pool2d(x[None], (side, 1), stride=1, padding=(radius, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, side), stride=1, padding=(0, radius), count_include_pad=False)[0]
