"""A film against its source: steadiness in time, sharpness, lightness, colour, and what it kept.

Nothing here needs a reference for the result; the source gives the motion, and its own figures are the floor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np

from gantool import metrics
from gantool.errors import InputError
from gantool.evaluation.integrity import Clock, checks_of
from gantool.evaluation.pictures import Gallery, heat, small
from gantool.evaluation.result import Evaluation, Exhibit, Measure, Row, mean_of
from gantool.media.packets import sound_tracks
from gantool.media.video import VideoInfo, probe, read_frames
from gantool.ops import flow as optical
from gantool.preview import expected_frames
from gantool.progress import Progress

Judge = Literal["dis", "farneback"]
_LONGEST_SIDE = (
    960  # px, of the frames that motion is measured on: four times the pixels, four times the time
)
_LEAST_PX = 32  # what DIS wants; smaller frames are padded
_LEAST_SEEN = (
    0.2  # of the picture, seen in both frames: at cuts it was 0.04 at most, within shots 0.38 at least
)
_MOST_CHANGE = 0.01  # E_warp of a source that goes on; Farneback sees no motion over cuts, and trusts it

_FLOWS = {
    "dis": "DIS, medium preset, finest scale 0, at full size (longest side {side} px)",
    "farneback": "Farneback, at full size (longest side {side} px)",
}
MEASURES = (
    Measure(
        "warping_error",
        "E_warp",
        "1e-5",
        "less",
        2,
        "Mean squared change beyond the source's motion (Lai 2018), RGB in [0,1], each film at its own "
        "size. Below the source's own figure it is blurred rather than steady.",
        1e5,
    ),
    Measure("source_warping_error", "E_warp of the source", "1e-5", "", 2, "The floor, likewise.", 1e5),
    Measure(
        "sharpness",
        "sharpness",
        "",
        "more",
        3,
        "Spread of the Laplacian of luma, relative to the source (enlarged by bicubic where sizes differ).",
    ),
    Measure("lightness_shift", "lightness shift", "L*", "less", 3, "Mean absolute change of L*, 0 to 100."),
    Measure("colourfulness", "colourfulness", "", "", 1, "Hasler and Suesstrunk 2003, signed opponents."),
    Measure("source_colourfulness", "colourfulness of the source", "", "", 1, "Likewise."),
)
SUMMARY = (
    Measure("warping_error_over_floor", "E_warp / source's", "", "less", 2, "1 is as steady as the source."),
    Measure(
        "cdc",
        "CDC",
        "1e-4",
        "less",
        2,
        "Colour distribution consistency (TCVC 2021): divergence of histograms 1, 2 and 4 frames apart. "
        "Grey films score well too, so look at colourfulness.",
        1e4,
    ),
    Measure("source_cdc", "CDC of the source", "1e-4", "", 2, "Likewise.", 1e4),
)


class _Moment(NamedTuple):
    """A frame of the result at the size of ``source``'s grid or larger, and the source's."""

    number: int
    time: float
    result: np.ndarray
    source: np.ndarray


def evaluate_film(
    result: Path,
    source: Path,
    *,
    judge: Judge = "dis",
    duration: float | None = None,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Measure ``result`` against the film that it was made from.

    Args:
        judge: the flow that motion is measured with; take the one that the result was not made with.
        duration: only so many seconds from the beginning; sound and subtitles are then left out.

    Raises InputError for films that cannot be read, and for pictures of other proportions. Films of different
    length are measured as far as both go; the evaluation then bears an error.
    """
    infos = probe(source), probe(result)
    if progress is not None:
        progress.total(expected_frames(infos[0], 0.0, duration))
    clock, watch = Clock(), _Watch(judge)
    gallery = Gallery(apart=1.0)
    rows: list[Row] = []
    for moment in _moments(infos, clock, duration):
        check()
        values = watch.see(moment)
        rows.append(Row(f"frame {moment.number}", values, moment.time))
        jump = watch.jump
        if jump is not None:
            figure = MEASURES[0].text(values["warping_error"])
            title = f"frame {moment.number} at {moment.time:.2f} s (E_warp {figure}e-5)"
            gallery.offer(
                jump.error, moment.time, lambda word, title=title, jump=jump: jump.exhibit(word, title)
            )
        if progress is not None:
            progress.advance(1)
    sound = None if duration is not None else (sound_tracks(source), sound_tracks(result))
    totals = {one.name: mean_of(rows, one.name) for one in MEASURES} | watch.totals(rows)
    left_out = {} if duration is None else {"sound, subtitles": "only a part of the film was measured"}
    if watch.cuts:
        frames = ", ".join(map(str, watch.cuts[:12])) + (", ..." if len(watch.cuts) > 12 else "")
        left_out["E_warp at cuts"] = f"the source does not go on from the frame before at {frames}"
    if len(rows) <= max(metrics.CDC_GAPS):
        left_out["CDC"] = "it needs at least five frames"
    return Evaluation(
        "eval video",
        {"result": str(result), "source": str(source)},
        {"judge": _FLOWS[judge].format(side=watch.longest), "frames": len(rows), "cuts": watch.cuts},
        MEASURES,
        totals,
        rows,
        left_out=left_out,
        checks=checks_of(*infos, clock, sound),
        exhibits=gallery.exhibits(len(rows)),
        curves=[
            ("warping_error", "source_warping_error"),
            ("sharpness",),
            ("lightness_shift",),
            ("colourfulness", "source_colourfulness"),
        ],
        summary=SUMMARY,
        error=_length_error(result, clock),
    )


def _length_error(result: Path, clock: Clock) -> InputError | None:
    wanted, found = clock.frames
    if wanted == found:
        return None
    what = f"the film has {found} frames, its source {wanted}; what was measured ends with the shorter one"
    return InputError(what, result, "Make the film again, or measure a part of both with --duration")


def _moments(infos: tuple[VideoInfo, VideoInfo], clock: Clock, duration: float | None) -> Iterator[_Moment]:
    """The frames of both films, one by one, as far as both go; ``clock`` is filled in."""
    paths = [info.path for info in infos]
    readers = [
        read_frames(path, info, duration=duration) for path, info in zip(paths, infos, strict=True) if path
    ]
    counts = [0, 0]
    for number, (source, result) in enumerate(zip_longest(*readers)):
        counts = [count + (one is not None) for count, one in zip(counts, (source, result), strict=True)]
        clock.frames = counts[0], counts[1]
        if source is None or result is None:
            continue
        if number == 0:
            clock.starts = source.time, result.time
        passed = [one.time - start for one, start in zip((source, result), clock.starts, strict=True)]
        clock.apart = max(clock.apart, abs(passed[0] - passed[1]))
        picture = _unpadded(result.rgb, source.rgb, paths[1])
        yield _Moment(number, source.time, picture, source.rgb)


def _unpadded(result: np.ndarray, source: np.ndarray, path: Path | None) -> np.ndarray:
    """The result without the line that makes an odd side even. Raises InputError for other proportions."""
    height, width = source.shape[:2]
    if 0 <= result.shape[0] - height <= 1 and 0 <= result.shape[1] - width <= 1:
        return np.ascontiguousarray(result[:height, :width])
    tall, wide = result.shape[:2]
    if abs((tall / height) / (wide / width) - 1) > 0.02:
        what = f"its pictures are {wide}x{tall}, the source's {width}x{height}: other proportions"
        raise InputError(what, path, "Give the film that the result was made from")
    return result


class _Jump(NamedTuple):
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


class _Watch:
    """Sees the frames one by one. Keeps the last pair, and histograms of the last four."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.cuts: list[int] = []
        self.longest = 0
        self.jump: _Jump | None = None
        self._last: _Moment | None = None
        self._past: tuple[deque, deque] = (deque(maxlen=4), deque(maxlen=4))
        self._apart: dict[tuple[int, int], list[float]] = {}  # sum and count by film and gap

    def see(self, now: _Moment) -> dict[str, float | None]:
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

    def _steadiness(self, last: _Moment, now: _Moment) -> dict[str, float | None]:
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
                self.jump = _Jump(error, now.source, before, after, np.sqrt(square) * seen)
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
