"""How near style nets come to a style and how near they stay to a photograph, and a sheet. Asserts nothing.

    python tests/bench/bench_style.py --photos a.jpg b.jpg --paintings c.jpg d.jpg --sheet sheet.png \
        --judge microast_decoder.pth.tar --model ours=builtin --model microast=microast_decoder.pth.tar

The other files of MicroAST lie beside its decoder. Figures are means over all photographs and paintings:

- style: squared distance of Gram matrices as a share of the painting's, over relu1_1 to relu4_1 of the
  perceptual net that is printed;
- judge: the same of the two features of MicroAST's style encoder, which no loss of ours has seen;
- content: ``percept`` between photograph and result;
- seconds for one picture.

"photo" is the photograph left as it is, "palette" the photograph with the painting's colours. A net of one
style is measured against every painting all the same; the paintings after ``--unseen`` are also averaged
apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from gantool import data, losses, parts, percept, selection
from gantool.catalog import load_catalog
from gantool.ops.color import join_lab, rgb_to_lab
from gantool.ops.palette import palette_of, with_palette
from gantool.ops.resize import to_tensor
from gantool.pipelines.style import Style, build
from gantool.recipes import adain

CPU = torch.device("cpu")
LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
CELL = (160, 214)  # px, height and width in the sheet
Stylist = Callable[[Tensor, np.ndarray], Tensor]


def shown(path: Path, long: int) -> np.ndarray:
    """A picture at most so many px long."""
    image = data.read_rgb(path)
    assert image is not None, path
    factor = min(1.0, long / max(image.shape[:2]))
    return data.resized(image, *(round(side * factor) for side in image.shape[:2]))


def palette_only(x: Tensor, painting: np.ndarray) -> Tensor:
    lab = with_palette(rgb_to_lab(x), palette_of(rgb_to_lab(to_tensor(painting[None]))[0]))
    return join_lab(lab[:, :1].clamp(0, 100), lab[:, 1:]).clamp(0, 1)


def stylist(spec: str) -> Stylist:
    """What a net makes of (1,3,H,W) in [0,1] and a painting."""
    choice = selection.select(spec, "style", catalog=load_catalog())
    assert choice.path is not None, f"{spec} is not here"
    nets, row = parts.load(choice.row, choice.path, CPU)

    def make(x: Tensor, painting: np.ndarray) -> Tensor:
        any_style = isinstance(nets, list) or hasattr(nets, "style")
        return build(nets, row, device=CPU, styles=[Style(painting)] if any_style else [])(x)

    return make


def gram_share(ours: list[Tensor], theirs: list[Tensor]) -> float:
    return float(losses.style_loss(ours, theirs, [1 / len(ours)] * len(ours), relative=True))


def cell(image: np.ndarray) -> np.ndarray:
    """A picture in the middle of a cell of the sheet."""
    height, width = CELL
    factor = min(height / image.shape[0], width / image.shape[1])
    small = data.resized(image, *(round(side * factor) for side in image.shape[:2]))
    canvas = np.full((height, width, 3), 255, np.uint8)
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


def label(words: str) -> np.ndarray:
    canvas = np.full((*CELL, 3), 255, np.uint8)
    return cv2.putText(canvas, words, (8, CELL[0] // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1)


def to_image(x: Tensor) -> np.ndarray:
    return (x[0].clamp(0, 1) * 255).round().byte().movedim(0, -1).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", nargs="+", type=Path, required=True)
    parser.add_argument("--paintings", nargs="+", type=Path, required=True)
    parser.add_argument("--unseen", nargs="*", type=Path, default=[], help="paintings no net was shown")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=SPEC")
    parser.add_argument("--judge", required=True, help="MicroAST's decoder, the others beside it")
    parser.add_argument("--long-px", type=int, default=512)
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    eye, judge = percept.load(model="builtin"), adain.teacher_of(args.judge, CPU).style_encoder
    stylists: dict[str, Stylist] = {"photo": lambda x, _: x, "palette": palette_only}
    stylists |= {name: stylist(spec) for name, _, spec in (words.partition("=") for words in args.model)}
    photos = [shown(path, args.long_px) for path in args.photos]
    paintings = [*args.paintings, *args.unseen]
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in stylists}
    rows = []
    for path in paintings:
        painting = shown(path, 768)
        as_tensor = to_tensor(shown(path, 512)[None])
        with torch.no_grad():
            wanted, judged = list(eye.features(as_tensor, LAYERS).values()), list(judge(as_tensor))
        rows.append([cell(painting), *map(cell, photos)])
        for name, make in stylists.items():
            row = [label(name)]
            for photo in photos:
                x = to_tensor(photo[None])
                start = time.perf_counter()
                with torch.no_grad():
                    y = make(x, painting)
                    seconds = time.perf_counter() - start
                    style = gram_share(list(eye.features(y, LAYERS).values()), wanted)
                    apart = gram_share(list(judge(y)), judged)
                    found[name].append((style, apart, float(eye(x, y)), seconds))
                row.append(cell(to_image(y)))
            if name != "photo":
                rows.append(row)
    heads = ("style", "judge", "content", "s")
    print(f"style and content by {eye.name}; {len(photos)} photos x {len(paintings)} paintings")
    seen = len(args.paintings) * len(photos)
    parts = {"all": slice(None)} | ({"seen": slice(seen), "unseen": slice(seen, None)} if args.unseen else {})
    for part, which in parts.items():
        print(f"{part:10}" + "".join(f"{head:>9}" for head in heads))
        for name, values in found.items():
            means = np.mean(values[which], axis=0)
            print(f"{name:10}" + "".join(f"{value:9.3f}" for value in means))
    if args.sheet:
        sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows])
        cv2.imwrite(str(args.sheet), sheet[..., ::-1])


if __name__ == "__main__":
    main()
