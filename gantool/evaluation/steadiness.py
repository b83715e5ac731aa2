"""How a film follows from frame to frame, measured along the motion of its source."""

from __future__ import annotations

from collections import deque
from typing import Literal, NamedTuple

import cv2
import numpy as np

from gantool import metrics
from gantool.evaluation.pictures import heat, small
from gantool.evaluation.result import Exhibit, Row, mean_of
from gantool.ops import flow as optical

Judge = Literal["dis", "farneback"]
# px, of the frames that motion is measured on; four times the pixels take four times the time.
_LONGEST_SIDE = 960
_LEAST_PX = 32  # what DIS wants; smaller frames are padded
# Of the picture, seen in both frames: over cuts it was 0.04 at most, within shots 0.38 at least.
_LEAST_SEEN = 0.2
_MOST_CHANGE = 0.01  # E_warp of a source that goes on; Farneback sees no motion over cuts, and trusts it

FLOWS = {
    "dis": "DIS (medium preset, finest scale 0), source frames of {side} px",
    "farneback": "Farneback, source frames of {side} px",
}
"""What is said of a judge; ``side`` is the longer one of the frames that it saw."""


class Moment(NamedTuple):
    """A frame of the result at the size of ``source``'s grid or larger, and the source's."""

    number: int
    time: float
    result: np.ndarray
    source: np.ndarray


class Jump(NamedTuple):
    """How one frame of the result follows from the one before; ``change`` (H,W), 0 where it is not judged."""

    error: float
    source: np.ndarray
    before: np.ndarray
    now: np.ndarray
    change: np.ndarray

    def exhibit(self, word: str, title: str) -> Exhibit:
        words, colours = heat(self.change)
        panels = (
            ("source", small(self.source)),
            ("result, the frame before", small(self.before)),
            ("result", small(self.now)),
            (f"change beyond motion, {words}", colours),
        )
        name = {"worst": "Largest jump", "best": "Smallest"}[word]
        return Exhibit(f"{name}: {title}", panels)


class Watch:
    """Sees the frames one by one. Keeps the last pair, and histograms of the last four."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.cuts: list[int] = []
        self.longest = 0
        self.jump: Jump | None = None
        self._last: Moment | None = None
        self._past: tuple[deque, deque] = (deque(maxlen=4), deque(maxlen=4))
        self._apart: dict[tuple[int, int], list[float]] = {}  # sum and count by film and gap

    def see(self, now: Moment) -> dict[str, float | None]:
        """The figures of one frame."""
        last, self._last = self._last, now
        values: dict[str, float | None] = {"warping_error": None, "source_warping_error": None}
        self.jump = None
        if last is not None:
            values |= self._steadiness(last, now)
        size = now.source.shape[1], now.source.shape[0]
        back, large = now.result, now.source
        if now.result.shape != now.source.shape:
            shrinks = now.result.shape[0] > size[1]
            back = cv2.resize(now.result, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
            size = now.result.shape[1], now.result.shape[0]
            large = cv2.resize(now.source, size, interpolation=cv2.INTER_CUBIC if shrinks else cv2.INTER_AREA)
        detail = metrics.sharpness(large)
        values["sharpness"] = metrics.sharpness(now.result) / detail if detail > 0 else None
        values["lightness_shift"] = metrics.lightness_shift(back, now.source)
        values["colourfulness"] = metrics.colourfulness(now.result)
        values["source_colourfulness"] = metrics.colourfulness(now.source)
        for film, picture in enumerate((now.source, now.result)):
            found = metrics.histograms(picture)
            for gap in metrics.CDC_GAPS:
                if len(self._past[film]) >= gap:
                    total = self._apart.setdefault((film, gap), [0.0, 0.0])
                    total[0] += metrics.divergence(self._past[film][-gap], found)
                    total[1] += 1
            self._past[film].append(found)
        return values

    def _steadiness(self, last: Moment, now: Moment) -> dict[str, float | None]:
        """E_warp of the source and of the result over one step; none at a cut."""
        forward, mask = self._motion(last.source, now.source)
        values: dict[str, float | None] = {}
        for name, before, after in (
            ("source_warping_error", last.source, now.source),
            ("warping_error", last.result, now.result),
        ):
            flow, seen = _at_size(forward, mask, *after.shape[:2])
            change, within = metrics.change_beyond_motion(before, after, flow)
            seen = seen & within
            square = (change**2).mean(axis=-1)
            error = values[name] = float(square[seen].mean()) if seen.any() else 0.0
            if name == "source_warping_error" and (seen.mean() < _LEAST_SEEN or error > _MOST_CHANGE):
                self.cuts.append(now.number)
                return {}
            if name == "warping_error":
                self.jump = Jump(error, now.source, before, after, np.sqrt(square) * seen)
        return values

    def _motion(self, last: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flow of the earlier source frame into the later one, and where it can be trusted."""
        height, width = last.shape[:2]
        shrink = min(1.0, _LONGEST_SIDE / max(height, width))
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        self.longest = max(size)
        first, second = (
            cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
            for frame in (last, now)
        )
        if np.array_equal(first, second):
            return np.zeros((*first.shape, 2), np.float32), np.ones(first.shape, bool)
        forward, backward = self._flow(first, second), self._flow(second, first)
        return forward, metrics.reliable(forward, backward)

    def _flow(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        if self.judge == "farneback":
            return optical.estimate(first, second, "farneback")
        height, width = first.shape
        edges = 0, max(0, _LEAST_PX - height), 0, max(0, _LEAST_PX - width)
        first, second = (cv2.copyMakeBorder(x, *edges, cv2.BORDER_REPLICATE) for x in (first, second))
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        search.setFinestScale(0)
        return search.calc(first, second, np.zeros((*first.shape, 2), np.float32))[:height, :width]

    def totals(self, rows: list[Row]) -> dict[str, float | None]:
        """CDC of both films, and E_warp over the source's."""
        found: dict[str, float | None] = {}
        for film, name in enumerate(("source_cdc", "cdc")):
            parts = [self._apart.get((film, gap)) for gap in metrics.CDC_GAPS]
            means = [part[0] / part[1] for part in parts if part is not None]
            found[name] = float(np.mean(means)) if len(means) == len(parts) else None
        error, floor = mean_of(rows, "warping_error"), mean_of(rows, "source_warping_error")
        found["warping_error_over_floor"] = error / floor if error is not None and floor else None
        return found


def _at_size(flow: np.ndarray, mask: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A flow and its mask for pictures of another size: enlarged, and the flow's values with it."""
    tall, wide = mask.shape
    if (tall, wide) == (height, width):
        return flow, mask
    scaled = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
    scaled *= np.array([width / wide, height / tall], np.float32)
    seen = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return scaled, seen.astype(bool)
