"""Keep video steady: blend each frame's layer with the one before, carried along by the picture's motion.

A frame-by-frame net flickers. The *source* does not, so its optical flow says where each pixel was one frame
earlier, and the layer that was shown there is mixed into the new one:

    out[t] = s w history + (1 - s w) layer[t],    history = out[t-1] fetched along the flow

with s the strength and w, per pixel, how far the flow can be trusted: forward and backward flow agree
(Sundaram 2010) and the source looks the same at both ends, exp(-k d^2) with d the grey difference in [0,1].
Of colorize the layer is the chroma alone, so the source's own sharpness and grain are untouched. Translate,
which makes the picture anew, has it blended whole ("rgb"), where flow is trusted with more care; style, whose
brushwork hides what is out of place, does without that care ("paint"); what is painted on from the frame
before ("continued") is shown as it is, and the painter is told where that frame's pixels are now. Of upscale
("detail") only what is finer than the source's pixels comes from the past; shrunk to the source's size, the
result is what the net made of this frame alone. As film rarely moves by whole pixels, the frames together
know more than each does (temporal super-sampling), so this sharpens while it steadies.
At a scene cut the filter starts afresh.

Where the net does not see every frame, the layer of the others is that of the last one it saw, fetched along
the flows between; what is not to be trusted on that way counts the less when the net sees a frame again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor

from gantool.errors import UsageError
from gantool.keyframes import KeyFrames, relied
from gantool.motion import Flow, Measured, Motion, MotionTracker, Pair, turned
from gantool.ops import flow as optical
from gantool.ops.clamp import blend_finer, clamp_to_picture, enlarged, finer_part

Kind = Literal["chroma", "detail", "rgb", "paint", "continued"]
Mode = Literal["online", "bidirectional"]
T = TypeVar("T")

_STRENGTH: dict[Kind, float] = {"chroma": 0.9, "detail": 0.7, "rgb": 0.8, "paint": 0.85, "continued": 1.0}
# Frames of a window, and of the run-up behind it: what is left of the past after so many hardly counts.
_WINDOW: dict[Kind, tuple[int, int]] = {"chroma": (16, 16), "detail": (4, 4), "rgb": (8, 8), "paint": (8, 8)}
_PHOTOMETRIC: dict[Kind, float] = {**dict.fromkeys(get_args(Kind), 50.0), "chroma": 10.0}
_WHOLE = ("rgb", "paint", "continued")  # blended as pictures
_LIVELY = 0.95  # strength up to which torch's bicubic kernel cannot ring (see ops.flow.warp)
_MOST_HISTORY = 0.98  # drift guard: at least 2 % of every frame comes from the net, whatever the strength
_HARDLY = 1e-3  # trust of what neither way knows


@dataclass(frozen=True)
class TemporalOptions:
    """How video is kept steady.

    ``mode``: "online", each frame from the past only; "bidirectional", from what comes after it as well,
    which takes about twice the time and some frames of memory.
    ``strength``: 0..1, how much of the past is kept; None takes the task's own value (0.9 for chroma, 0.7
    for detail, 0.8 for rgb, 0.85 for paint, 1 for continued); 0 leaves every frame as the net made it.
    ``every``: the net sees every Nth frame only, and more where motion is lost; others are carried along.
    ``flow``: "farneback", "dis", "codec" (the stream's own vectors, where frames bring them along; "dis"
    elsewhere), or an estimator such as :func:`gantool.flownet.load` gives.
    """

    mode: Mode = "online"
    strength: float | None = None
    flow: Flow = "farneback"
    every: int = 1

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ValueError(f"unknown temporal mode {self.mode!r}")
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise ValueError("temporal strength must lie between 0 and 1")
        if self.every < 1:
            raise ValueError("every must be at least 1")
        if not callable(self.flow) and self.flow not in (*optical.METHODS, "codec"):
            raise ValueError(f"unknown flow method {self.flow!r}")


class Recursion:
    """One way through a film: each layer blended with what was shown of the frame before.

    Of frames that the net has not seen, ``path`` leads from the latest back to the last one that it saw, and
    ``sure`` says how far it can be trusted: (h,w,2) and (h,w) float32 at the flow's size, None where that is
    the latest one itself. So layers are sampled once, however far they are carried, and stay sharp. ``age``:
    the number of such frames.
    """

    def __init__(self, kind: Kind, strength: float, layer_scale: int = 1) -> None:
        self.kind: Kind = kind
        self.strength = strength
        self.layer_scale = layer_scale
        self.last: Tensor | None = None  # what was shown of the last frame that the net saw, kept in float
        self.shown: Tensor | None = None  # what was shown last
        self.before: Tensor | None = None  # what was shown last before the latest cut
        self.age = 0
        self.path: np.ndarray | None = None
        self.sure: np.ndarray | None = None

    def step(self, motion: Motion, layer: Tensor) -> Tensor:
        """The layer to show; ``layer`` itself, unchanged, where there is nothing to continue."""
        layer = layer.contiguous()  # plane by plane, as the history is: all that follows is quicker so
        if motion.repeat and self.shown is not None:
            return self.shown
        history = self.history(motion) if self.strength > 0 else None
        trust = None if motion.trust is None else relied(motion.trust, motion, self._sure(motion))
        self._turn(motion)
        self.age, self.path, self.sure = 0, None, None
        if history is None or trust is None or self.kind == "continued":
            self.last = self.shown = layer
            return layer
        share = _enlarged(np.minimum(self.strength * trust, _MOST_HISTORY), layer)
        if self.kind == "detail":
            pixels = max(1, round(layer.shape[-1] / trust.shape[1]))
            self.last = blend_finer(history, layer, share, pixels, max(2, self.layer_scale))
        else:
            history = clamp_to_picture(history, layer) if self.kind in _WHOLE else history
            self.last = torch.lerp(layer, history, share)
        self.shown = self.last
        return self.last

    def carry(self, motion: Motion, plain: Tensor) -> Tensor | None:
        """The layer to show of a frame that the net has not seen: the past; None where there is none.

        ``plain``: the frame itself at the layer's size, on which rests what cannot be trusted: to detail,
        nothing is added there; whole pictures get what the net changes in the surroundings. Chroma, which
        needs no ``plain``, gets that of the surroundings.
        """
        history = self.history(motion)
        if history is None:
            self._turn(motion)
            self.last = self.shown = self.path = self.sure = None
            return None
        path, sure = self._way(motion), relied(motion.loose, motion, self._sure(motion))
        if motion.resumed:
            self.last, self.age = self.before, 0
        self._turn(motion)
        self.age, self.path, self.sure = self.age + 1, path, sure
        trust = _enlarged(sure, history)
        if self.kind == "detail":
            self.shown = plain + finer_part((history - plain).mul_(trust), max(2, self.layer_scale))
        elif self.kind in _WHOLE:
            self.shown = (plain + _filled(history - plain, trust)).clamp_(0, 1)
        else:
            self.shown = _filled(history, trust)
        return self.shown

    def history(self, motion: Motion) -> Tensor | None:
        """What was shown before, (C,h,w), brought along the motion; None where nothing is continued."""
        past = self.before if motion.resumed else self.last
        if past is None or motion.flow is None:
            return None
        flow = torch.from_numpy(self._way(motion)).movedim(-1, 0).to(past.device)
        stable = self.kind == "chroma" or (self.kind in _WHOLE and self.strength > _LIVELY)
        return optical.warp(past, flow, stable=stable)

    def _way(self, motion: Motion) -> np.ndarray:
        """The flow from a frame to ``last``, or over a flash."""
        assert motion.flow is not None
        if motion.resumed or self.path is None:
            return motion.flow
        return motion.flow + optical.follow(self.path, motion.flow)

    def _sure(self, motion: Motion) -> np.ndarray | None:
        return None if motion.resumed else self.sure

    def _turn(self, motion: Motion) -> None:
        """Remember what was shown before a cut, or before the end of a flash."""
        if motion.flow is None or motion.resumed:
            self.before = self.shown


def _enlarged(trust: np.ndarray, like: Tensor) -> Tensor:
    """(h,w) at the flow's size -> (1,H,W) at that of a layer."""
    return enlarged(torch.from_numpy(trust)[None].to(like.device), *like.shape[-2:])


def _filled(x: Tensor, trust: Tensor) -> Tensor:
    """(C,h,w), what is not trusted taken from its trusted surroundings."""
    values, weight = (one.movedim(0, -1).contiguous().cpu().numpy() for one in (x, trust))
    return torch.from_numpy(optical.fill(values, weight[..., 0])).movedim(-1, 0).to(x.device)


class TemporalFilter:
    """The filter over one video: frames and layers in, steadier layers out, in order.

    :meth:`track` looks at the source only and may run in a thread ahead of :meth:`blend`, as long as each
    sees every frame in order; :meth:`step` does both. Both ways takes :meth:`blend_window`, several frames
    at once.
    """

    def __init__(self, kind: Kind, options: TemporalOptions | None = None, layer_scale: int = 1) -> None:
        """``kind`` and ``layer_scale``: a pipeline's ``blend`` and ``layer_scale``. Raises UsageError."""
        options = options or TemporalOptions()
        strength = _STRENGTH[kind] if options.strength is None else options.strength
        both = options.mode == "bidirectional" and strength > 0
        if both and kind == "continued":
            what = "each frame goes on from the one before, so there is no way from both sides"
            raise UsageError(what, remedy="Use --temporal online")
        count, run_up = _WINDOW.get(kind, (1, 0))
        # So that a frame which the net did not see lies between two that it saw; memory sets a limit.
        run_up = max(run_up, min(options.every, count + run_up))
        self.window = (count, run_up) if both else None
        # What is painted anew wherever motion is lost flickers there, so it is looked for twice.
        flow = (
            optical.keen if kind in ("paint", "continued") and options.flow == "farneback" else options.flow
        )
        self.tracker = MotionTracker(flow, _PHOTOMETRIC[kind], careful=kind == "rgb", ahead=both)
        self.key_frames = KeyFrames(options.every)
        self._forward = Recursion(kind, strength, layer_scale)

    @property
    def blends(self) -> int:
        """How often a frame is blended: on the way there, on the way back, and in the run-up to that."""
        return 1 if self.window is None else 2 + round(self.window[1] / self.window[0])

    def state(self) -> dict[str, np.ndarray]:
        """The layers that are remembered, for :meth:`restore`. ``tracker`` has its own state."""
        forward = self._forward
        shown = None if forward.shown is forward.last else forward.shown
        layers = {"layer": forward.last, "layer_shown": shown, "layer_before": forward.before}
        known = {name: layer.cpu().numpy() for name, layer in layers.items() if layer is not None}
        ways = {"path": forward.path, "sure": forward.sure}
        known |= {name: array for name, array in ways.items() if array is not None}
        return known | {"age": np.asarray(forward.age)}

    def restore(self, state: Mapping[str, np.ndarray], device: torch.device) -> None:
        """Go on where another filter of the same options was when it gave :meth:`state`."""
        self.tracker.restore(state)
        self.key_frames.restore(state)
        layers = {
            name: torch.from_numpy(np.array(value)).to(device)
            for name, value in state.items()
            if name.startswith("layer")
        }
        forward = self._forward
        forward.last, forward.before = layers.get("layer"), layers.get("layer_before")
        forward.shown = layers.get("layer_shown", forward.last)
        forward.age, forward.path, forward.sure = int(state["age"]), state.get("path"), state.get("sure")

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

    def history(self, motion: Motion) -> tuple[Tensor, np.ndarray] | None:
        """What was shown last, brought along the motion of the next frame, and its trust; None for nothing.

        (C,h,w), and (h,w) in [0,1] at the flow's size. Online only, before that frame is blended. What is
        "continued" trusts it in the measure of the strength.
        """
        forward = self._forward
        history = None if forward.strength == 0 else forward.history(motion)
        if history is None:
            return None
        share = forward.strength if forward.kind == "continued" else 1.0
        return history, share * relied(motion.loose, motion, forward._sure(motion))

    def blend(self, motion: Motion, layer: Tensor, seen: bool = True) -> Tensor:
        """The layer to show, from the past; ``layer`` itself where there is nothing to continue.

        ``seen``: whether the net made the layer. If not, the past is carried on, and there must be one;
        ``layer`` then is the frame itself at the layer's size, of chroma anything.
        """
        if seen:
            return self._forward.step(motion, layer)
        shown = self._forward.carry(motion, layer)
        if shown is None:
            raise ValueError("there is no past to be carried on")
        return shown

    def blend_window(
        self,
        motions: Sequence[Motion],
        layers: Sequence[Tensor],
        count: int,
        seen: Sequence[bool] | None = None,
    ) -> list[Tensor]:
        """The layers to show of the first ``count`` frames: mean of the way there and the way back.

        The way there goes on from the last window. The way back begins with the last of the frames given:
        those after the first ``count`` are its run-up. No repeats among them. Of frames that the net has not
        ``seen``, see :meth:`blend`, each place is taken rather from the way that knows it, and knows it from
        nearer.
        """
        seen = seen or [True] * len(layers)
        forward = self._forward
        there: list[Tensor] = []
        known: list[tuple[int, np.ndarray | None]] = []
        for motion, layer, made in zip(motions[:count], layers, seen, strict=False):
            there.append(self.blend(motion, layer, made))
            known.append((forward.age, forward.sure))
        back = Recursion(forward.kind, forward.strength, forward.layer_scale)
        ways = list(zip(turned(motions), layers, seen, strict=True))
        for index in range(len(layers) - 1, -1, -1):
            motion, layer, made = ways[index]
            shown = back.step(motion, layer) if made else back.carry(motion, layer)
            if index >= count or shown is None:
                continue
            if made:
                there[index] = torch.lerp(there[index], shown, 0.5)
            else:
                share = _share(known[index], (back.age, back.sure))
                there[index] = torch.lerp(there[index], shown, _enlarged(share, shown))
        return there


def _share(there: tuple[int, np.ndarray | None], back: tuple[int, np.ndarray | None]) -> np.ndarray:
    """How much the way back counts, of (age, sure) on both ways: (h,w) in [0,1]."""
    (age, sure), (age_back, sure_back) = there, back
    assert sure is not None and sure_back is not None
    ahead, behind = (sure + _HARDLY) / age, (sure_back + _HARDLY) / age_back
    return behind / (ahead + behind)
