"""A look ahead at a long video: a few frames through the pipeline, and how long the whole would take."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from gantool.errors import InputError
from gantool.inference import Runner, to_array
from gantool.media.image import Picture
from gantool.media.video import Frame, VideoInfo, read_frames, write_clip
from gantool.passes import Step
from gantool.temporal import TemporalFilter

_SHEET_WIDTH = 1920  # px, of a sheet with several frames
_COLUMNS = 5
_ENCODER_WORDS = ("codec", "crf", "preset", "pix_fmt")


class Preview(NamedTuple):
    """``sheet``: the source's frames above the results. ``seconds``: the estimate for the whole, or None
    where the file does not say how many frames it has."""

    sheet: Picture
    seconds: float | None


def expected_frames(info: VideoInfo, start: float = 0.0, duration: float | None = None) -> int | None:
    """About how many frames lie in a part of a video; None when the file does not say. Only ever a hint."""
    if start <= 0 and duration is None:
        return info.frames_hint
    if info.duration is None:
        return None if duration is None else max(1, math.ceil(duration * info.fps - 1e-6))
    rest = max(0.0, info.duration - max(start, 0.0))
    # Up: a part of a frame is a frame.
    return max(1, math.ceil((rest if duration is None else min(rest, duration)) * info.fps - 1e-6))


def preview(
    info: VideoInfo,
    step: Step,
    *,
    count: int = 10,
    writer: dict[str, Any] | None = None,
    start: float = 0.0,
    duration: float | None = None,
    check: Callable[[], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Preview:
    """``count`` frames spread over the film, each source above its result, and the time the whole would take.

    One frame is shown at its own size, several on a sheet 1920 px wide. The estimate rests on these frames:
    decoding, the net, the temporal filter and the encoder are each timed. Arguments as for ``run_video``.

    Raises InputError when no frame can be read, DeviceError as ``run_video`` does.
    """
    check = check or (lambda: None)
    cost = _Cost(step)
    runner = Runner(step.pipeline, batch_size=step.batch_size, strength=step.strength, warn=warn)
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for second in _instants(info, count, start, duration):
        check()
        pair = cost.read(info, second)
        if not pair:
            continue
        with torch.inference_mode():
            if count == 1:  # a first run for warmth, since there is no other to be timed
                cost.process(runner, pair)
            result = cost.process(runner, pair)
        pairs.append((pair[0].rgb, result))
    if not pairs:
        raise InputError("no frame of the video can be read", info.path, "Change --start or --duration")
    check()
    cost.encode([result for _, result in pairs], info, writer or {})
    frames = expected_frames(info, start, duration)
    seconds = None if frames is None else cost.per_frame() * frames
    return Preview(Picture(_sheet(pairs)), seconds)


def _instants(info: VideoInfo, count: int, start: float, duration: float | None) -> list[float]:
    """``count`` times in seconds, in the middle of equal pieces of the chosen part."""
    first = max(0.0, start)
    length = info.duration - first if info.duration is not None else (duration or 0.0)
    if duration is not None:
        length = min(length, duration)
    return [first + max(0.0, length) * (index + 0.5) / count for index in range(count)]


class _Cost:
    """Seconds per frame of each part of the work, the first call of each left out: it warms things up."""

    def __init__(self, step: Step) -> None:
        self.step, self.pipeline = step, step.pipeline
        self.times: dict[str, list[float]] = {}

    def _add(self, part: str, began: float, frames: int = 1) -> None:
        self.times.setdefault(part, []).append((time.perf_counter() - began) / frames)

    def read(self, info: VideoInfo, second: float) -> list[Frame]:
        """The frame at ``second`` and the next one; empty behind the last."""
        assert info.path is not None
        step = 1 / float(info.fps)
        try:
            frames = read_frames(info.path, info, start=max(0.0, second - step / 2), keep_partial=True)
            pair = [next(frames)]
            began = time.perf_counter()
            pair += [frame for frame in [next(frames, None)] if frame is not None]
            if len(pair) == 2:
                self._add("decode", began)
            frames.close()  # type: ignore[attr-defined]
        except (InputError, StopIteration):
            return []
        return pair

    def process(self, runner: Runner, pair: list[Frame]) -> np.ndarray:
        """The result for the first frame; the second is only there to time the filter."""
        began = time.perf_counter()
        x = runner.load(pair[0].rgb[None])
        if runner.strength == 0:
            return to_array(runner.base(x))[0]
        blend = self.pipeline.blend
        temporal = self.step.temporal if blend is not None else None
        asked = time.perf_counter()
        layer = runner.predict(x, (self.step.moment(pair[0].time),))
        every = 1 if temporal is None else temporal.every
        spared = (time.perf_counter() - asked) * (1 - 1 / every)  # of most frames
        result = to_array(runner.finish(x, layer))[0]
        if temporal is None or blend is None or len(pair) < 2:
            self._add("net", began + spared)
            return result
        if blend != "continued":
            self._add("net", began + spared)
        steady = TemporalFilter(blend, temporal, self.pipeline.layer_scale)
        steady.step(pair[0].rgb, layer[0])
        began = time.perf_counter()
        motion = steady.track(pair[1].rgb, pair[1].vectors)
        past = steady.history(motion) if blend == "continued" else None
        for _ in range(steady.blends):
            steady.blend(motion, layer[0])
        self._add("flow", began)
        if blend == "continued":  # most frames are of those that go on from the one before
            began = time.perf_counter()
            side = {} if past is None else {"history": past}
            runner.predict(runner.load(pair[1].rgb[None]), (self.step.moment(pair[1].time),), side)
            self._add("net", began + (time.perf_counter() - began) * (1 - 1 / every))
        return result

    def encode(self, results: list[np.ndarray], info: VideoInfo, writer: dict[str, Any]) -> None:
        options = {word: writer[word] for word in _ENCODER_WORDS if word in writer}
        with tempfile.TemporaryDirectory(prefix="gantool-") as folder:
            began = time.perf_counter()
            write_clip(Path(folder) / "preview.mkv", results, info.fps, None, **options)
            self._add("encode", began, len(results))

    def per_frame(self) -> float:
        """Seconds per frame of a run. On a CPU all parts share the cores; a GPU works beside them."""
        usual = {part: float(np.median(times[1:] or times)) for part, times in self.times.items()}
        if self.pipeline.device.type == "cpu":
            return sum(usual.values())
        return max(usual.values(), default=0.0)


def _sheet(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Sources above results, up to five side by side, each pair at one size."""
    height, width = pairs[0][1].shape[:2]
    columns = min(_COLUMNS, len(pairs))
    if len(pairs) > 1:
        height, width = max(1, round(height * _SHEET_WIDTH / columns / width)), _SHEET_WIDTH // columns
    rows = []
    for index in range(0, len(pairs), columns):
        cells = [
            np.concatenate([_fitted(image, height, width) for image in pair])
            for pair in pairs[index : index + columns]
        ]
        cells += [np.zeros_like(cells[0])] * (columns - len(cells))
        rows.append(np.concatenate(cells, axis=1))
    return np.concatenate(rows)


def _fitted(image: np.ndarray, height: int, width: int) -> np.ndarray:
    shrinks = image.shape[0] > height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=method)
