"""What segments cost: the same film in one go and in segments, with a net that does nothing.

Run it with a clip of some thousand frames, ``python tests/bench/bench_segments.py film.mp4``. Where others
use the machine too, count the seconds of CPU. Prints figures, asserts nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from gantool.engine import Step, run_video
from gantool.media.video import VideoInfo, probe
from gantool.pipelines import Pipeline
from gantool.segmenting import make_segments
from gantool.segments import Film, join
from gantool.temporal import TemporalOptions
from gantool.workfolder import WorkFolder


def step(temporal: bool) -> Step:
    """The source's own colours, through the filter or not."""
    device = torch.device("cpu")
    same = Pipeline(
        "colorize", "same", lambda x, _: x[:, :2, ::4, ::4] * 1.0, lambda x, y: x, device, blend="chroma"
    )
    return Step(same, TemporalOptions() if temporal else None, 4)


def in_one_go(info: VideoInfo, target: Path, steps: list[Step], writer: dict[str, str]) -> int:
    """As a short film is made."""
    return run_video(info, target, steps, writer=writer).frames


def in_segments(info: VideoInfo, target: Path, steps: list[Step], writer: dict[str, str]) -> int:
    """As a long one is."""
    film = Film(info, target, writer)
    with WorkFolder(target) as work:
        work.begin({"facts": {}})
        plan = film.rehearse((info.width, info.height), print)
        made = make_segments(film, work, steps, plan)
        return join(film, work, made.segments, plan, overwrite=False)


def main() -> None:
    """Print seconds of both, taken in turns."""
    parser = argparse.ArgumentParser()
    parser.add_argument("film", type=Path)
    parser.add_argument("--preset", default="medium")
    parser.add_argument("--temporal", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    info, writer = probe(options.film), {"preset": options.preset}
    for number in range(options.rounds):
        for way in (in_one_go, in_segments):
            with tempfile.TemporaryDirectory() as folder:
                target = Path(folder) / "film.mp4"
                cpu, wall = time.process_time(), time.perf_counter()
                frames = way(info, target, [step(options.temporal)], writer)
                cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
                size = target.stat().st_size / 1e6
            print(
                f"{number + 1} {way.__name__:12} {frames} frames, {cpu:6.2f} s of CPU, {wall:6.2f} s, "
                f"{frames / wall:6.1f} frames/s, {size:.2f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
