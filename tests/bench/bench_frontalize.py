"""Who is who before and after `frontalize`: rank-1 and cosine by pose, on photographs. Asserts nothing.

    python tests/bench/bench_frontalize.py FACES WEIGHTS
    python tests/bench/bench_frontalize.py FACES WEIGHTS --model runs/tpgan --sheet faces.png

FACES holds ``umist/pNN/vMM.png`` (profile to front) and ``orl/sNN/MM.png``; WEIGHTS
``yunet_s_640_640.onnx`` and ``mobilefacenet_068.ckpt``, the judge. One gallery of all people: of UMIST the
view nearest to the front, of ORL the first picture. The UMIST views are the probes. "symmetric" is the crop
with its farther half replaced by the mirror image of the nearer one: what an answer without a net would be.
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


def table(name: str, gallery: np.ndarray, probes: list[np.ndarray]) -> None:
    """Rank-1 and mean cosine with the own gallery picture, by index of the view."""
    longest = max(map(len, probes))
    print(f"\n{name}\nview   " + "".join(f"{view:6d}" for view in range(longest)))
    scores = [features @ gallery.T for features in probes]
    for what in ("rank-1", "cosine"):
        cells = []
        for view in range(longest):
            here = [(score[view], own) for own, score in enumerate(scores) if view < len(score)]
            values = [s.argmax() == own if what == "rank-1" else s[own] for s, own in here]
            cells.append(f"{np.mean(values):6.2f}")
        print(f"{what} " + "".join(cells))


def sheet(path: Path, crops: list[list[np.ndarray]], made: list[list[np.ndarray]]) -> None:
    """Every second view of each person, the front views below."""
    rows = [np.hstack(some[::2]) for pair in zip(crops, made, strict=True) for some in pair]
    wide = min(row.shape[1] for row in rows)
    cv2.imwrite(str(path), cv2.cvtColor(np.vstack([row[:, :wide] for row in rows]), cv2.COLOR_RGB2BGR))


def after(model: str, people: list[Views]) -> list[list[np.ndarray]]:
    """The front views of a model's file or run."""
    path = local_file(model)
    assert path is not None
    net, row = loading.load(Checkpoint(path.stem, "frontalize", file=str(path)), path)
    maker = Frontalizer(net, row, device=torch.device("cpu"))
    return [[maker.views(picture, [face])[0] for picture, face in views] for views in people]


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("faces", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--model", help="a file or a training run of frontalize")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet of the model's views")
    args = parser.parse_args()
    find = faces.Detector(faces.yunet((args.weights / "yunet_s_640_640.onnx").read_bytes()))
    judge = Judge(args.weights / "mobilefacenet_068.ckpt")
    start = time.perf_counter()
    people = [found_in(folder, find) for folder in sorted((args.faces / "umist").iterdir())]
    others = [found_in(folder, find) for folder in sorted((args.faces / "orl").iterdir())]
    count = sum(map(len, people + others))
    print(f"{count} faces found, {(time.perf_counter() - start) / count * 1000:.0f} ms each")
    fronts = [min(views, key=lambda view: abs(view[1].yaw or 0)) for views in people]
    gallery = judge([faces.crop(*front) for front in [*fronts, *(views[0] for views in others)]])
    hits = [
        (judge([faces.crop(*view) for view in views[1:]]) @ gallery.T).argmax(1) == own
        for own, views in enumerate(others, len(people))
    ]
    print(f"ORL, 9 pictures of each against the first: rank-1 {np.concatenate(hits).mean():.3f}", flush=True)
    crops = [[faces.crop(*view) for view in views] for views in people]
    table("crops as they are", gallery, [judge(some) for some in crops])
    mirrored = [
        [symmetric(crop, face) for crop, (_, face) in zip(some, views, strict=True)]
        for some, views in zip(crops, people, strict=True)
    ]
    table("symmetric", gallery, [judge(some) for some in mirrored])
    if args.model is not None:
        made = after(args.model, people)
        table(f"after {args.model}", gallery, [judge(some) for some in made])
        if args.sheet:
            sheet(args.sheet, crops, made)


if __name__ == "__main__":
    main()
