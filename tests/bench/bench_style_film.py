"""How steady styled films are, and how sharp they stay: with known pans, or on clips.

    python tests/bench/bench_style_film.py --model FILE [--style ART] [--photo FILE] [--motions pan2 pan8]
    python tests/bench/bench_style_film.py --model FILE [--style ART] --clip FILM [--start 1] [--frames 24]

Columns: E_warp (Lai 2018, times 1e5), how much of the frame-by-frame one is gone, sharpness (spread of the
Laplacian) relative to frame by frame, PSNR to frame by frame, and milliseconds a frame besides the net. Known
pans are judged by the exact motion; clips by DIS at full size and its finest scale and by Farneback at full
size, on the source: read the one that the filter does not use. Asserts nothing.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench_temporal import MOTIONS, exact_flow, places, seen, sharpness

from gantool import hub, metrics, parts, selection
from gantool.catalog import load_catalog
from gantool.media.image import read_picture
from gantool.media.video import Frame, probe, read_frames
from gantool.ops import flow as optical
from gantool.passes import Pass, Step
from gantool.pipelines import Pipeline, style
from gantool.temporal import TemporalOptions

Judge = Callable[[np.ndarray, np.ndarray], np.ndarray]


def pipeline(model: str, art: Path | None) -> Pipeline:
    choice = selection.select(model, "style", catalog=load_catalog())
    nets, row = parts.load(choice.row, choice.path or hub.fetch(choice.row))
    styles = [] if art is None else [style.Style(art)]
    return style.build(nets, row, device=torch.device("cpu"), styles=styles)


def run(made_by: Pipeline, frames: Sequence[np.ndarray], options: TemporalOptions | None):
    """Results, float (H,W,3) in [0,1], and the seconds that all but the net took."""
    work = Pass(Step(made_by, options), print)
    began = time.perf_counter()
    source = (Frame(rgb, number, number / 25) for number, rgb in enumerate(frames))
    made = [frame.rgb for frame in work.results(work.follow(source))]
    spent = time.perf_counter() - began - work.seconds["net"]
    return [picture.astype(np.float32) / 255 for picture in made], spent


def settings(options: argparse.Namespace):
    yield "frame by frame", None
    for mode, flow in itertools.product(options.modes, options.flow):
        yield f"{mode} {flow}", TemporalOptions(mode, options.strength, flow)


def table(name: str, frames: Sequence[np.ndarray], judges: dict, options: argparse.Namespace) -> None:
    """``judges``: flows t -> t+1 and masks (or None) by name."""
    floor = {key: metrics.warping_error(frames, *both) for key, both in judges.items()}
    print(
        f"{name}: {frames[0].shape[1]}x{frames[0].shape[0]}, {len(frames)} frames; the source's own E_warp:"
    )
    print("  " + ", ".join(f"{key} {value * 1e5:.1f}" for key, value in floor.items()))
    base: dict[str, float] = {}
    first: list[np.ndarray] = []
    for label, temporal in settings(options):
        made, seconds = run(options.made_by, frames, temporal)
        first = first or made
        found = {key: metrics.warping_error(made, *both) for key, both in judges.items()}
        base = base or found
        columns = "".join(
            f"{key:>11} {found[key] * 1e5:7.1f} {1 - found[key] / base[key]:6.1%}" for key in found
        )
        near = np.median([metrics.psnr(*pair) for pair in zip(made, first, strict=True)])
        print(
            f"  {label:26}{columns}  sharp {sharpness(made) / sharpness(first):.2f}  PSNR {near:.1f}"
            f"  {seconds / len(frames) * 1e3:.0f} ms",
            flush=True,
        )
        if options.sheet:
            places_ = [len(made) // 2 + step for step in range(3)]
            options.rows.append(np.hstack([made[place] for place in places_]))


def known_pans(options: argparse.Namespace, width: int, height: int) -> None:
    photo = read_picture(options.photo).rgb
    factor = max(2 * width / photo.shape[1], 2 * height / photo.shape[0])
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    photo = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=method)
    for motion in options.motions:
        maps = places(motion, options.frames, height, width, photo.shape[1], photo.shape[0])
        frames = [seen(photo, place, height, width) for place in maps]
        flows = [exact_flow(now, then, height, width) for now, then in itertools.pairwise(maps)]
        table(motion, frames, {"exact": (flows, None)}, options)


def clip(options: argparse.Namespace, width: int, height: int) -> None:
    found = read_frames(options.clip, probe(options.clip), start=options.start)
    frames = [frame.rgb for frame in itertools.islice(found, options.frames)]
    if options.size:
        frames = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames]
    grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    ways: dict[str, Judge] = {
        "by DIS": lambda a, b: search.calc(a, b, None),  # type: ignore[call-overload]
        "by Farneb.": lambda a, b: optical.estimate(a, b, "farneback"),
    }
    judges = {}
    for name, way in ways.items():
        both = [(way(now, then), way(then, now)) for now, then in itertools.pairwise(grays)]
        judges[name] = [there for there, _ in both], [metrics.reliable(*pair) for pair in both]
    table(options.clip.name, frames, judges, options)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="auto")
    parser.add_argument("--style", type=Path, help="for a net that takes any")
    parser.add_argument("--photo", type=Path, default=Path(__file__).parents[2] / "examples/photo.jpg")
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--start", type=float, default=0.0)
    parser.add_argument("--motions", nargs="+", choices=MOTIONS, default=["pan2", "pan5", "pan8"])
    parser.add_argument("--modes", nargs="+", default=["online", "bidirectional"])
    parser.add_argument("--flow", nargs="+", default=["farneback", "dis"])
    parser.add_argument("--strength", type=float, help="--temporal-strength")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", help="WIDTHxHEIGHT; pans 320x240, clips as they are")
    parser.add_argument("--sheet", type=Path, help="a PNG of three frames from the middle, one row each")
    options = parser.parse_args()
    options.made_by, options.rows = pipeline(options.model, options.style), []
    width, height = (int(side) for side in (options.size or "320x240").split("x"))
    with torch.inference_mode():
        (clip if options.clip else known_pans)(options, width, height)
    if options.sheet:
        sheet = (np.vstack(options.rows) * 255).round().astype(np.uint8)
        cv2.imwrite(str(options.sheet), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
