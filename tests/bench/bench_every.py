"""What ``--every N`` spares and costs: films of which the net sees every Nth frame, beside the full run.

    python tests/bench/bench_every.py CLIP... [--task colorize] [--model builtin] [--temporal online]

On one thread. Columns: share of frames that the net saw; seconds of CPU for flow, net and filter; E_warp (Lai
2018, times 1e5, along DIS flow of the source at its finest scale, which the filter does not use); sharpness;
and how far the film is from that of every frame, whose own flicker is a part of it: root mean square in
levels of 255, and mean and 99th percentile of the distance of a and b in Lab. Asserts nothing.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

import gantool
from gantool import metrics
from gantool.media.video import Frame, probe, read_frames
from gantool.passes import Pass, Step
from gantool.pipelines import Pipeline
from gantool.temporal import TemporalOptions


def dis(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Flow at the finest scale."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    return search.calc(first, second, np.zeros((*first.shape, 2), np.float32))


def judged(frames: Sequence[Frame]) -> list[tuple[np.ndarray, np.ndarray]]:
    """(flow, where it counts) from each frame to the next; nowhere over a cut."""
    grays = [cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY) for frame in frames]
    found = []
    for now, then in itertools.pairwise(grays):
        there, back = dis(now, then), dis(then, now)
        found.append((there, metrics.reliable(there, back)))
    return found


def errors(results: Sequence[np.ndarray], flows: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """E_warp at the size of the source, of what is larger shrunk to it."""
    height, width = flows[0][1].shape
    small = [cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA) for one in results]
    pairs = zip(itertools.pairwise(small), flows, strict=True)
    each = [
        metrics.warping_error(list(pair), [flow], [mask]) for pair, (flow, mask) in pairs if mask.mean() > 0.2
    ]
    return float(np.mean(each)) * 1e5


def run(
    pipeline: Pipeline, frames: list[Frame], options: TemporalOptions, batch: int
) -> tuple[list[np.ndarray], float, float]:
    """(results, seconds of CPU, share of frames that the net saw)."""
    seen = []

    def counted(x, context):
        seen.append(len(x))
        return pipeline.predict(x, context)

    net = Pipeline(**{**vars(pipeline), "predict": counted})
    one = Pass(Step(net, options, batch), print)
    began = time.process_time()
    results = [frame.rgb for frame in one.results(one.follow(iter(frames)))]
    return results, time.process_time() - began, sum(seen) / len(frames)


def main() -> None:
    """Print a table for each clip."""
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--task", default="colorize")
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--temporal", default="online")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--every", type=int, nargs="+", default=[1, 2, 4, 8])
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pipeline = gantool.load(options.task, options.model, device="cpu", precision="fp32")
    for clip in options.clips:
        frames = list(itertools.islice(read_frames(clip, probe(clip)), options.frames))
        flows, whole = judged(frames), []
        source = errors([frame.rgb for frame in frames], flows)
        print(f"{clip.name}, {len(frames)} frames, E_warp of the source {source:.1f}")
        print(f"{'every':>6}{'seen':>7}{'s':>8}{'E_warp':>8}{'sharp':>7}{'rms':>6}{'ab':>6}{'p99':>6}")
        for every in options.every:
            how = TemporalOptions(mode=options.temporal, every=every)
            results, seconds, seen = run(pipeline, frames, how, 4 if options.task == "colorize" else 1)
            whole = whole or results
            pairs = list(zip(results, whole, strict=True))
            apart = [
                np.hypot(*(metrics.lab(a) - metrics.lab(b))[..., 1:].transpose(2, 0, 1)) for a, b in pairs
            ]
            square = np.mean([np.mean((metrics.unit(a) - metrics.unit(b)) ** 2) for a, b in pairs])
            sharp = np.mean([metrics.sharpness(one) for one in results])
            error, far = errors(results, flows), np.percentile(np.stack(apart), 99)
            print(
                f"{every:6}{seen:7.2f}{seconds:8.2f}{error:8.1f}{sharp:7.2f}{255 * square**0.5:6.2f}"
                f"{np.mean(apart):6.2f}{far:6.2f}"
            )


if __name__ == "__main__":
    main()
