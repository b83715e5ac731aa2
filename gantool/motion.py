"""What moves in a video: each source frame compared with the one before, scene cuts included.

Looks at grey pictures of at most 640 px only, and knows nothing of nets; the temporal filter builds on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np

from gantool.ops import blockflow
from gantool.ops import flow as optical

Flow = optical.Method | Literal["codec"] | optical.Estimator

_LOST = 0.3  # mean trust below which the flow has failed and the past is dropped
_LONGEST_SIDE = 640  # flow is computed at half the frame's size and at most this large
_SMALLEST_SIDE = 256  # ... but a small frame is not halved below this
_CAREFUL = 6.0  # times the photometric k, and
_GAP = 0.5  # px: spread of the misfit there and back that careful trust allows; both rid fast films of ghosts
_CAMERA = 0.5  # share of the picture that moves alike, to a pixel, where the camera is said to move
_STILL = 0.2  # px a frame below which it is said not to
_FLASH = 3  # frames: a cut that is undone so soon was a flash or a damaged frame


Way = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Motion:
    """How a frame continues the ones before.

    ``flow``: (h,w,2) float32, this frame into the earlier one, at the flow's own size; None when there is
    nothing to continue: the first frame, a scene cut, or flow that failed.
    ``trust``: (h,w) float32 in [0,1], the weight of the past beside what is new; ``loose``: its weight where
    there is nothing else, without the care that whole pictures need. None with ``flow``.
    ``repeat``: the frame is the one before, byte by byte.
    ``resumed``: the earlier frame is not the one just before but the last one before the latest cut.
    ``cut``: a scene cut was seen here.
    ``ahead``: (flow, trust, loose) of the earlier frame into this one, where that was asked for.
    ``drift``: how far what the camera sees has moved since the last cut, across and down, in widths and
    heights of the frame, as far as that is clear.
    """

    flow: np.ndarray | None = None
    trust: np.ndarray | None = None
    loose: np.ndarray | None = None
    repeat: bool = False
    resumed: bool = False
    cut: bool = False
    ahead: Way | None = None
    drift: tuple[float, float] = (0.0, 0.0)


def turned(motions: Sequence[Motion]) -> list[Motion]:
    """The same frames told backwards: how each continues the ones *after* it. No repeats, ``ahead`` known.

    The last frame continues nothing. The frame before a flash continues the one after it, if that is there.
    """
    result = [Motion() for _ in motions]
    over_flash: Way | None = None
    for t in range(len(motions) - 1, 0, -1):
        motion = motions[t]
        if motion.resumed:
            over_flash = motion.ahead
        elif motion.ahead is not None:
            result[t - 1] = Motion(*motion.ahead)
        elif over_flash is not None:
            result[t - 1], over_flash = Motion(*over_flash, resumed=True), None
    return result


def is_repeat(frame: np.ndarray, previous: np.ndarray | None) -> bool:
    """Whether two frames are the same byte by byte; nearly free when they are not."""
    if previous is None or frame.shape != previous.shape or frame.dtype != previous.dtype:
        return False
    return np.array_equal(frame[::16], previous[::16]) and np.array_equal(frame, previous)


def flow_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) at which the flow of a frame is computed."""
    longest = max(height, width)
    scale = min(0.5, _LONGEST_SIDE / longest)
    scale = max(scale, min(1.0, _SMALLEST_SIDE / longest))
    return max(1, round(height * scale)), max(1, round(width * scale))


class Pair(NamedTuple):
    """Two grey frames at the flow's size; ``earlier`` is None for the first frame of all. ``guessed``: what
    the motion may be, by the stream's own vectors, where these are used.
    """

    gray: np.ndarray
    earlier: np.ndarray | None
    guessed: Sequence[np.ndarray] | None = None


class Measured(NamedTuple):
    """What :meth:`MotionTracker.measure` found out about a pair. ``held``: mean of what is trusted loosely.

    ``back``: flow, trust and loose trust of the later frame into the earlier; ``ahead``: the other way.
    """

    back: Way
    held: float
    likeness: float
    residual: float
    ahead: Way | None = None


class MotionTracker:
    """Watches the source frames of one video, in order, and says how each continues the ones before.

    Knows nothing of the net's output, so it may run ahead of it. Of its three steps only :meth:`measure` is
    dear, and it depends on nothing but its pair, so several may run at once.
    """

    def __init__(
        self,
        flow: Flow = "farneback",
        photometric: float = 10.0,
        careful: bool = False,
        ahead: bool = False,
    ) -> None:
        """``photometric``: k of exp(-k d^2). ``careful``: for what shows every edge that is out of place;
        trust only what fits to a fraction of a pixel, nowhere near what does not. ``ahead``: tell motions
        both ways.
        """
        self._method: Flow = flow
        self._photometric = photometric
        self._careful = careful
        self._ahead = ahead
        self._frame: np.ndarray | None = None
        self._gray: np.ndarray | None = None  # of the last frame, at the flow's size
        self._before: np.ndarray | None = None  # of the last frame before the latest cut
        self._since_cut = 0
        self._residuals: list[float] = []  # of the last two frames
        self._fields: blockflow.Fields = {}  # of the last frame
        self._drift = np.zeros((2, 2))  # of the last frame, and of the last one before the latest cut

    def state(self) -> dict[str, np.ndarray]:
        """All that is remembered of the frames so far, for :meth:`restore`; call it between frames."""
        known = {
            "frame": self._frame,
            "gray": self._gray,
            "gray_before": self._before,
            "since_cut": np.asarray(self._since_cut),
            "residuals": np.asarray(self._residuals, np.float64),
            "drift": self._drift.copy(),
            "fetched_before": self._fields.get(-1),
            "fetched_behind": self._fields.get(1),
        }
        return {name: value for name, value in known.items() if value is not None}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where another tracker of the same options was when it gave :meth:`state`."""
        self._frame, self._gray = state.get("frame"), state.get("gray")
        self._before, self._since_cut = state.get("gray_before"), int(state["since_cut"])
        self._residuals = [float(value) for value in state["residuals"]]
        self._drift = np.array(state["drift"], np.float64)
        named = (-1, state.get("fetched_before")), (1, state.get("fetched_behind"))
        self._fields = {direction: field for direction, field in named if field is not None}

    def next(self, frame: np.ndarray, vectors: np.ndarray | None = None) -> Motion:
        """All three steps for one frame: uint8 or uint16 (H,W,3) RGB, not to be changed afterwards."""
        pair = self.look(frame, vectors)
        return Motion(repeat=True) if pair is None else self.judge(pair, self.measure(pair))

    def look(self, frame: np.ndarray, vectors: np.ndarray | None = None) -> Pair | None:
        """Take the next frame in; None for a repeat of the last one. In order.

        ``vectors``: the stream's own, as :func:`gantool.ops.blockflow.fields` takes them, for flow "codec".
        """
        if is_repeat(frame, self._frame):
            return None
        height, width = flow_size(*frame.shape[:2])
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        gray = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
        if gray.dtype == np.uint16:
            gray = cv2.convertScaleAbs(gray, alpha=1 / 257)
        guessed = None
        if self._method == "codec":
            fields = blockflow.fields(vectors, max(1, height // 2), max(1, width // 2))
            guessed = blockflow.guesses(fields, self._fields)
            self._fields = fields
        pair = Pair(gray, self._gray, guessed)
        self._frame, self._gray = frame, pair.gray
        return pair

    def measure(self, pair: Pair) -> Measured | None:
        """Flow and likeness of a pair; None for the first frame. Any thread, any order."""
        return None if pair.earlier is None else self._measure(pair.gray, pair.earlier, pair.guessed or ())

    def judge(self, pair: Pair, found: Measured | None) -> Motion:
        """Is the frame a continuation, a cut, or the end of a flash? In order."""
        gray, previous, _ = pair
        if previous is None or found is None:
            return Motion()
        self._since_cut += 1
        usual = float(np.mean(self._residuals)) if self._residuals else 0.0
        self._residuals = [*self._residuals[-1:], found.residual]
        cut = found.likeness < 0.55 and found.residual > 10 and found.residual > 2.5 * usual
        way, held, ahead = found.back, found.held, found.ahead
        if not cut and held < _LOST:
            way, held = self._at_rest(gray, previous)
            ahead = way if self._ahead else None
        if not cut and held >= _LOST:
            self._drift[0] += _camera(way[0])
            return Motion(*way, ahead=ahead, drift=self._drifted())
        before, recent = self._before, self._since_cut <= _FLASH
        self._before, self._since_cut = previous, 0
        self._residuals = []
        drift_before = self._drift[1]
        self._drift = np.stack((np.zeros(2), self._drift[0]))
        if before is not None and recent:
            back = self._measure(gray, before)
            if back.likeness > 0.8 and back.held >= _LOST:
                self._drift[0] = drift_before + _camera(back.back[0])
                return Motion(*back.back, resumed=True, ahead=back.ahead, drift=self._drifted())
        return Motion(cut=cut)

    def _drifted(self) -> tuple[float, float]:
        across, down = self._drift[0].tolist()
        return across, down

    def _at_rest(self, gray: np.ndarray, earlier: np.ndarray) -> tuple[Way, float]:
        """What says "nothing moves", and its mean trust: for frames too empty or dark to see motion in."""
        flow, none = np.zeros((*gray.shape, 2), np.float32), np.zeros(gray.shape, np.float32)
        if _alike(gray, earlier)[1] >= 4:
            return (flow, none, none), 0.0
        trust, loose = self._trust(gray, earlier)
        return (flow, trust, loose), float(loose.mean())

    def _trust(
        self,
        gray: np.ndarray,
        fetched: np.ndarray,
        agreed: np.ndarray | float = 1.0,
        gap: np.ndarray | float = 0.0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The weight of the past, and what it is without care, by whose mean flow is judged.

        ``agreed``: (h,w), where flow is believed; ``gap``: how far it disagrees there and back, px^2.
        """
        difference = (cv2.subtract(gray, fetched, dtype=cv2.CV_32F) / 255) ** 2
        trust = loose = agreed * np.exp(-self._photometric * difference)
        if self._careful:
            # What lies beside a misfit is suspect too: an edge reaches further than the pixels that show it.
            near = cv2.blur(difference, (3, 3))
            trust = agreed * np.exp(-_CAREFUL * self._photometric * near - gap / (2 * _GAP**2))
            trust = cv2.erode(trust, np.ones((3, 3), np.uint8))
        return trust, loose

    def _measure(self, gray: np.ndarray, earlier: np.ndarray, guessed: Sequence[np.ndarray] = ()) -> Measured:
        """Flow, trust, and two figures that tell a cut.

        These are the residual, what is left, in grey levels, of the difference after motion is taken
        out, and the likeness, the correlation of what motion brings into line. Over cuts it was 0.4 at most
        in the test clips, and never below 0.7 within a shot, however fast; exposure does not touch it.
        """
        if self._method == "codec":
            backward = blockflow.estimate_from(guessed, gray, earlier)
            forward = blockflow.estimate_from([-flow for flow in guessed], earlier, gray)
        else:
            backward = optical.estimate(gray, earlier, self._method)
            forward = optical.estimate(earlier, gray, self._method)
        fetched, way, held = self._weighed(gray, earlier, backward, forward)
        ahead = self._weighed(earlier, gray, forward, backward)[1] if self._ahead else None
        likeness, residual = _alike(gray, fetched)
        return Measured(way, held, likeness, residual, ahead)

    def _weighed(
        self, gray: np.ndarray, other: np.ndarray, there: np.ndarray, back: np.ndarray
    ) -> tuple[np.ndarray, Way, float]:
        """(the other picture fetched along the flow there, that way, its mean trust) by both flows."""
        gap = optical.disagreement(there, back) if self._careful else 0.0
        agreed = optical.consistent(there, back)
        # Bicubic: between pixels, the blur of bilinear fetching would pass for motion that is wrong.
        fetched = optical.follow(other, there, cubic=True)
        trust, loose = self._trust(gray, fetched, agreed, gap)
        held = float(loose.mean())
        soft = cv2.GaussianBlur(trust, (0, 0), 1.0)  # a hard edge would be seen in the result
        loose = cv2.GaussianBlur(loose, (0, 0), 1.0) if self._careful else soft
        return fetched, (there, soft, loose), held


def _camera(flow: np.ndarray) -> np.ndarray:
    """How far all that is seen moves together, (across, down) in widths and heights: the median of the flow
    (now into before), where it is clear and more than noise; otherwise 0."""
    height, width = flow.shape[:2]
    some = flow[::4, ::4].reshape(-1, 2)
    moved = np.median(some, axis=0)
    together = np.mean(np.hypot(*(some - moved).T) < 1)
    if together < _CAMERA or np.hypot(*moved) < _STILL:
        return np.zeros(2)
    return -moved / (width, height)


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
