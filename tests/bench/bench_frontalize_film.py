"""How a face is followed through films: found, lost, how much it trembles, how quick. Asserts nothing.

    python tests/bench/bench_frontalize_film.py YUNET CLIP [CLIP ...] [--model runs/tpgan] [--out FOLDER]

YUNET is the detector's file. Landmark speed is the mean way of the five points from one frame to the next, as
the detector has them and as they are shown after smoothing, in px of the film and in thousandths of a face's
height; trembling is the same of the second difference, which steady motion leaves at 0.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from gantool import faces, loading
from gantool.catalog import Checkpoint
from gantool.engine import run_video
from gantool.faces import Follower
from gantool.facestep import FaceStep
from gantool.media.video import probe, read_frames
from gantool.motion import MotionTracker
from gantool.pipelines.frontalize import Frontalizer
from gantool.selection import local_file


def followed(path: Path, find: faces.Detector) -> None:
    """Print what becomes of the largest face of a film."""
    motion, follower = MotionTracker("dis"), Follower(find)
    raw: list[np.ndarray] = []
    shown: list[np.ndarray] = []
    heights: list[float] = []
    yaws: list[float] = []
    frames = cuts = several = 0
    spent = {"detector": 0.0, "cuts": 0.0}
    number = None
    for frame in read_frames(path):
        began = time.perf_counter()
        moved = motion.next(frame.rgb)
        between = time.perf_counter()
        frames, cuts = frames + 1, cuts + moved.cut
        there = follower.step(frame.rgb, frame.time, cut=moved.cut)
        spent["cuts"] += between - began
        spent["detector"] += time.perf_counter() - between
        found = [one for one in there if one.found]
        several += len(found) > 1
        if all(one.number != number for one in there):
            number = found[0].number if found else None
            raw.append(np.full((5, 2), np.nan))  # nobody moves from one face to another
            shown.append(raw[-1])
        for one in found:
            if one.number == number and one.face.points is not None and one.raw.points is not None:
                raw.append(one.raw.points)
                shown.append(one.face.points)
                heights.append(one.face.box[3])
                yaws.append(one.face.yaw or 0.0)
    print(f"\n{path.name}: {frames} frames, face in {len(heights)}, several in {several}, {cuts} cuts")
    if not heights:
        return
    tall = float(np.median(heights))
    print(f"  height {tall:.0f} px, yaw {min(yaws):.0f} to {max(yaws):.0f} degrees")
    for what, order in (("speed", 1), ("trembling", 2)):
        ways = [np.nanmean(np.hypot(*np.diff(np.array(p), order, axis=0).T)) for p in (raw, shown)]
        words = [f"{way:.2f} px ({1000 * way / tall:.1f})" for way in ways]
        print(f"  {what}: {words[0]} as found, {words[1]} as shown")
    each = ", ".join(f"{name} {1000 * seconds / frames:.0f} ms" for name, seconds in spent.items())
    print(f"  a frame: {each}; {frames / sum(spent.values()):.1f} frames/s")


def whole(path: Path, step: FaceStep, target: Path) -> None:
    """Print how quick all of it is, and what is told."""
    report = run_video(probe(path), target, [step], warn=lambda said: print(f"  told: {said}"))
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in report.stages.items())
    print(
        f"  {target.name}: {report.frames} frames, {report.frames / report.seconds:.1f} frames/s ({stages} s)"
    )


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("yunet", type=Path)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--model", help="a file or a training run of frontalize")
    parser.add_argument("--out", type=Path, default=Path())
    args = parser.parse_args()
    torch.set_num_threads(1)
    find = faces.Detector(faces.yunet(args.yunet.read_bytes()))
    maker = None
    if args.model is not None:
        path = local_file(args.model)
        assert path is not None
        net, row = loading.load(Checkpoint(path.stem, "frontalize", file=str(path)), path)
        maker = Frontalizer(net, row, device=torch.device("cpu"))
    for clip in args.clips:
        followed(clip, find)
        if maker is not None:
            whole(clip, FaceStep(maker, find), args.out / f"{clip.stem}.front.mp4")
            whole(clip, FaceStep(maker, find, paste=True), args.out / f"{clip.stem}.paste.mp4")


if __name__ == "__main__":
    main()
