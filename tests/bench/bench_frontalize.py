"""Who is who before and after `frontalize`: rank-1 and cosine by pose, on photographs. Asserts nothing.

    python tests/bench/bench_frontalize.py FACES WEIGHTS
    python tests/bench/bench_frontalize.py FACES WEIGHTS --model runs/tpgan --sheet faces.png

FACES holds ``umist/pNN/vMM.png`` (profile to front) and ``orl/sNN/MM.png``; WEIGHTS
``yunet_s_640_640.onnx`` and ``mobilefacenet_068.ckpt``, the judge. One gallery of all people: of UMIST the
view nearest to the front, of ORL the first picture. The other UMIST views are the probes, and their halves
those of each person's views that are turned more and less. "symmetric" is the crop with its farther half
replaced by the mirror image of the nearer one: what an answer without a net would be. The sheet has a row for
each person: the view turned furthest, what the model makes of it, one that is half turned, what the model
makes of that, and the real front (most people of UMIST end 20 to 45 degrees from it, so the gallery is also
sent through the model). ``--people 3`` takes so many of either, for a first look.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from mobilefacenet import Judge

from gantool import faces, loading
from gantool.alignment import SIDE
from gantool.catalog import Checkpoint
from gantool.data import read_rgb
from gantool.faces import Face
from gantool.pipelines.frontalize import Frontalizer
from gantool.selection import local_file

Views = list[tuple[np.ndarray, Face]]


def found_in(folder: Path, find: faces.Detector) -> Views:
    """(picture, its largest face) of the pictures of a person, in order; those without a face are named."""
    result = []
    for path in sorted(folder.glob("*.png")):
        picture = read_rgb(path)
        assert picture is not None
        some = find(picture)
        if some:
            result.append((picture, some[0]))
        else:
            print(f"no face: {path}")
    return result


def symmetric(crop: np.ndarray, face: Face) -> np.ndarray:
    """The half that is nearer to the viewer, twice, with a soft seam."""
    share = np.clip((np.arange(crop.shape[1]) - 64) / 16 + 0.5, 0, 1)[None, :, None]
    near = share if (face.yaw or 0) < 0 else 1 - share
    return (crop * near + crop[:, ::-1] * (1 - near)).round().astype(np.uint8)


def by_turn(views: Views) -> list[int]:
    """Indices of a person's views, the most frontal first.

    By the median turn of five views in a row: a detector that takes the bow of glasses for eyes is wrong in
    one or two of them.
    """
    yaws = [abs(face.yaw or 0.0) for _, face in views]
    return sorted(range(len(views)), key=lambda view: float(np.median(yaws[max(view - 2, 0) : view + 3])))


def table(name: str, people: list[Views], gallery: np.ndarray, probes: list[np.ndarray]) -> None:
    """Rank-1 and mean cosine with the own gallery picture, which is no probe, by view and by halves."""
    cells: dict[str | int, list[tuple[float, float]]] = {}
    for own, (views, features) in enumerate(zip(people, probes, strict=True)):
        _, *rest = by_turn(views)
        less, more = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        for half, indices in (("less turned", less), ("more turned", more)):
            for view in indices:
                scores = gallery @ features[view]
                found = float(scores.argmax() == own), float(scores[own])
                cells.setdefault(half, []).append(found)
                cells.setdefault(view, []).append(found)
    indices = sorted(key for key in cells if isinstance(key, int))
    print(f"\n{name}\nview   " + "".join(f"{view:6d}" for view in indices))
    for place, what in enumerate(("rank-1", "cosine")):
        means = {key: np.mean([found[place] for found in some]) for key, some in cells.items()}
        print(f"{what} " + "".join(f"{means[view]:6.2f}" for view in indices))
        halves = ", ".join(f"{half} {means[half]:.3f}" for half in ("more turned", "less turned"))
        print(f"       {halves}")


def orl(name: str, gallery: np.ndarray, probes: list[np.ndarray]) -> None:
    """Rank-1 of the other pictures of ORL's people, who come last in the gallery; nearly all are frontal."""
    first = len(gallery) - len(probes)
    hits = [(some @ gallery.T).argmax(1) == own for own, some in enumerate(probes, first)]
    print(
        f"\nORL, 9 pictures of each against the first, {name}: {np.concatenate(hits).mean():.3f}", flush=True
    )


def sheet(path: Path, people: list[Views], made: list[list[np.ndarray]]) -> None:
    """A row for each person: from the side, ours, half turned, ours, the real front."""
    rows = []
    for views, ours in zip(people, made, strict=True):
        order = by_turn(views)
        front, half, side = order[0], order[len(order) // 2], order[-1]
        found = [faces.crop(*views[side]), ours[side], faces.crop(*views[half]), ours[half]]
        rows.append(np.hstack([resized(one) for one in (*found, faces.crop(*views[front]))]))
    cv2.imwrite(str(path), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))


def unit(features: np.ndarray) -> np.ndarray:
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def resized(crop: np.ndarray) -> np.ndarray:
    return crop if len(crop) == SIDE else cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def maker_of(model: str) -> Frontalizer:
    """What makes front views with a model's file or run."""
    path = local_file(model)
    assert path is not None
    net, row = loading.load(Checkpoint(path.stem, "frontalize", file=str(path)), path)
    return Frontalizer(net, row, device=torch.device("cpu"))


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("faces", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--model", help="a file or a training run of frontalize")
    parser.add_argument("--people", type=int, help="of UMIST and of ORL, no more than so many")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet of the model's views")
    args = parser.parse_args()
    find = faces.Detector(faces.yunet((args.weights / "yunet_s_640_640.onnx").read_bytes()))
    judge = Judge(args.weights / "mobilefacenet_068.ckpt")
    start = time.perf_counter()
    folders = [sorted((args.faces / name).iterdir())[: args.people] for name in ("umist", "orl")]
    people, others = ([found_in(folder, find) for folder in some] for some in folders)
    count = sum(map(len, people + others))
    print(f"{count} faces found, {(time.perf_counter() - start) / count * 1000:.0f} ms each")
    fronts = [views[by_turn(views)[0]] for views in people]
    known = [*fronts, *(views[0] for views in others)]
    gallery = judge([faces.crop(*front) for front in known])
    some_others = [[faces.crop(*view) for view in views[1:]] for views in others]
    orl("as they are", gallery, [judge(some) for some in some_others])
    crops = [[faces.crop(*view) for view in views] for views in people]
    table("crops as they are", people, gallery, [judge(some) for some in crops])
    mirrored = [
        [symmetric(crop, face) for crop, (_, face) in zip(some, views, strict=True)]
        for some, views in zip(crops, people, strict=True)
    ]
    table("symmetric", people, gallery, [judge(some) for some in mirrored])
    if args.model is not None:
        maker = maker_of(args.model)
        made = [[maker.views(picture, [face])[0] for picture, face in views] for views in people]
        probes = [judge([resized(one) for one in some]) for some in made]
        table(f"after {args.model}", people, gallery, probes)
        frontal_others = [
            judge([resized(maker.views(picture, [face])[0]) for picture, face in views[1:]])
            for views in others
        ]
        orl("after the model", gallery, frontal_others)
        frontal = judge([resized(maker.views(picture, [face])[0]) for picture, face in known])
        table("the same, and the gallery's pictures too", people, frontal, probes)
        orl("the same, and the gallery's pictures too", frontal, frontal_others)
        plain = [judge(some) for some in crops]
        both = [unit(one + other) for one, other in zip(plain, probes, strict=True)]
        table(
            "picture and front view together: mean of their features", people, unit(gallery + frontal), both
        )
        if args.sheet:
            sheet(args.sheet, people, made)


if __name__ == "__main__":
    main()
