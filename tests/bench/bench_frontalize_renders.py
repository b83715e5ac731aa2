"""How near `frontalize` comes to the true front of rendered people, by how far they are turned.

    python tests/bench/bench_frontalize_renders.py HEAD.npz WEIGHTS --model runs/tpgan --sheet people.png

HEAD is the morphable head of ``gantool train --task tpgan``, WEIGHTS holds ``mobilefacenet_068.ckpt``, the
judge. The people are none that a training renders or keeps out, and their points are as wrong as YuNet's
usually are at that turn. L1 is in parts of the range, inside the oval of the face; cosine is with the true
front; rank-1 is whether that is the nearest of all people's at that turn (their light and expression are new
at each). "input" is the crop as it is, "symmetric" what an answer without a net would be; "true flow" is what
a net of ``--task frontwarp`` would make if it knew where each pixel lies and is seen. Asserts nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from bench_frontalize import maker_of, resized, symmetric
from mobilefacenet import Judge

from gantool import faces, heads, people
from gantool.alignment import SIDE
from gantool.data import step_rng, to_chw
from gantool.facepairs import HELD_YAWS, misjudged
from gantool.faces import Face
from gantool.models.frontwarp import FrontWarp, composed
from gantool.recipes.frontwarp import sources

_FIRST = people.HELD_OUT + 10_000  # trainings keep some out that follow HELD_OUT, and may choose by them


def pairs(head: heads.Head, count: int, yaw: float) -> list[tuple[np.ndarray, Face, np.ndarray, heads.Trace]]:
    """(side, its face, front, where that lies in it) of so many people; every second turned to the left."""
    found = []
    for number in range(count):
        person = people.rendered(head, _FIRST + number)
        turn = yaw if number % 2 else -yaw
        error = misjudged(turn)
        rng = step_rng(_FIRST + number, 23, round(yaw))
        side, front, trace = heads.traced_pair(person, turn, rng, error)
        points = side.points + error
        box = (0.0, 0.0, float(SIDE), float(SIDE))
        face = Face(box, np.eye(2, 3), points, 1.0, faces.yaw_of(points))
        found.append((side.picture, face, front.picture, trace))
    return found


def truly_moved(side: np.ndarray, trace: heads.Trace) -> np.ndarray:
    """The front view that frontwarp's sources make by the true flow; the background is the side's own."""
    x = torch.from_numpy(to_chw(side) * 2 - 1)[None]
    at = torch.from_numpy(np.ascontiguousarray(trace.at.transpose(2, 0, 1)))[None]
    inside = ((trace.at > -0.5) & (trace.at < SIDE - 0.5)).all(-1)
    seen = torch.from_numpy((trace.seen > 0.5) & inside)[None].float()
    shares = sources(at, seen)
    shares[:, :, ~torch.from_numpy(trace.covered)] = torch.tensor([0.0, 0.0, 1.0])[:, None]
    shares = shares.clamp_min(1e-8).log()
    paint = torch.nn.functional.avg_pool2d(x, 2)
    y = composed(x, at, shares, paint)[0]
    return ((y.movedim(0, -1).numpy() + 1) * 127.5).round().astype(np.uint8)


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("head", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--model", help="a file or a training run of frontalize")
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument(
        "--sheet", type=Path, help="write a sheet of five people: side, symmetric, ours, front"
    )
    args = parser.parse_args()
    head, judge = heads.load(args.head), Judge(args.weights / "mobilefacenet_068.ckpt")
    maker = None if args.model is None else maker_of(args.model)
    oval = faces.oval(SIDE)[..., None]
    rows = []
    print(f"{args.people} rendered people\nyaw what        L1    cosine  rank-1")
    for yaw in HELD_YAWS:
        some = pairs(head, args.people, yaw)
        truth = [front for _, _, front, _ in some]
        made = {
            "input": [side for side, *_ in some],
            "symmetric": [symmetric(side, face) for side, face, *_ in some],
        }
        if maker is not None:
            made["ours"] = [resized(maker.views(side, [face])[0]) for side, face, *_ in some]
            if isinstance(maker.net, FrontWarp):
                made["true flow"] = [truly_moved(side, trace) for side, _, _, trace in some]
        known = judge(truth)
        for name, views in made.items():
            apart = [np.abs(v.astype(float) - t) * oval for v, t in zip(views, truth, strict=True)]
            l1 = float(np.mean(apart) / oval.mean() / 255)
            scores = judge(views) @ known.T
            first = float((scores.argmax(1) == np.arange(len(scores))).mean())
            cosine = float(np.diagonal(scores).mean())
            print(f"{yaw:3.0f} {name:10s} {l1:6.4f}  {cosine:6.3f}  {first:6.2f}", flush=True)
        rows += [
            np.hstack([*(some[n] for some in made.values()), truth[n]]) for n in range(min(5, len(truth)))
        ]
    if args.sheet:
        count = len(rows) // len(HELD_YAWS)
        columns = [np.vstack(rows[place : place + count]) for place in range(0, len(rows), count)]
        cv2.imwrite(str(args.sheet), cv2.cvtColor(np.hstack(columns), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
