"""How a face is followed through films: found, lost, how much it trembles, how quick. Asserts nothing.

    python tests/bench/bench_frontalize_film.py YUNET CLIP [CLIP ...] [--model runs/tpgan] [--out FOLDER]

YUNET is the detector's file. Landmark speed is the mean way of the five points from one frame to the next, as
the detector has them and as they are shown after smoothing, in px of the film and in thousandths of a face's
height; trembling is the same of the second difference, which steady motion leaves at 0. The crop's trembling
is measured in the crops of 128 px themselves.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from gantool import faces, loading
from gantool.catalog import Checkpoint
from gantool.engine import run_video
from gantool.faces import Face
from gantool.facestep import FaceStep
from gantool.media.video import probe, read_frames
from gantool.models.frontalizer import FrontalGenerator
from gantool.pipelines.frontalize import Frontalizer
from gantool.selection import local_file

# Only asked whom it would show.
NOBODY = Frontalizer(FrontalGenerator(2, 3), Checkpoint("none", "frontalize"), device=torch.device("cpu"))


def followed(path: Path, find: faces.Detector) -> None:
    """Print what becomes of the face that a film of front views would show."""
    latest: list[Face] = []

    def watched(picture: np.ndarray) -> list[Face]:
        began = time.perf_counter()
        latest[:] = find(picture)
        spent["detector"] += time.perf_counter() - began
        return latest

    raw: list[np.ndarray] = []
    shown: list[np.ndarray] = []
    crops: list[list[np.ndarray]] = [[], []]
    turns: list[tuple[float, float]] = []
    frames, number, spent = 0, 0, {"detector": 0.0}
    began = time.perf_counter()
    for seen in FaceStep(NOBODY, watched).begin(print).follow(read_frames(path)):
        frames += 1
        if seen.number != number:  # nobody moves from one face to another
            number = seen.number
            raw.append(np.full((5, 2), np.nan))
            shown.append(raw[-1])
        for face in seen.faces:
            assert face.points is not None
            found = min(latest, key=lambda one: abs(one.box[0] - face.box[0]) + abs(one.box[1] - face.box[1]))
            assert found.points is not None
            raw.append(found.points)
            shown.append(face.points)
            gray = cv2.cvtColor(seen.frame.rgb, cv2.COLOR_RGB2GRAY)
            for some, one in zip(crops, (found, face), strict=True):
                some.append(faces.crop(gray, one).astype(np.float64))
            turns.append((face.box[3], face.yaw or 0.0))
    seconds = time.perf_counter() - began
    print(
        f"\n{path.name}: {frames} frames, face in {len(turns)}, of {np.isnan(raw).any((1, 2)).sum()} people"
    )
    if not turns:
        return
    heights, yaws = np.array(turns).T
    tall = float(np.median(heights))
    print(f"  height {tall:.0f} px, yaw {yaws.min():.0f} to {yaws.max():.0f} degrees")
    for what, order in (("speed", 1), ("trembling", 2)):
        ways = [np.nanmean(np.hypot(*np.diff(np.array(p), order, axis=0).T)) for p in (raw, shown)]
        words = [f"{way:.2f} px ({1000 * way / tall:.1f})" for way in ways]
        print(f"  {what}: {words[0]} as found, {words[1]} as shown")
    words = [f"{trembling(some):.2f} px" for some in crops]
    print(f"  the crop's picture trembles by {words[0]} as found, {words[1]} as shown")
    each = f"{1000 * spent['detector'] / frames:.0f} ms each for the detector"
    print(f"  decoded and followed at {frames / seconds:.1f} frames/s, {each}")


def trembling(crops: list[np.ndarray]) -> float:
    """How much the way from one crop to the next changes, px, as their pictures tell it."""
    window = cv2.createHanningWindow((128, 128), cv2.CV_64F)
    ways = [cv2.phaseCorrelate(a, b, window)[0] for a, b in itertools.pairwise(crops)]
    return float(np.hypot(*np.diff(ways, axis=0).T).mean())


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
