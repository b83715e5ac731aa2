"""How steady the temporal filter makes a film: known motion, or a clip with its flickering result.

    python tests/bench/bench_temporal.py [--photo FILE] [--task colorize] [--motions pan2 pan8]
    python tests/bench/bench_temporal.py --clip SOURCE RESULT [--frames 48]

Known motion: a photo (or a made-up scene) under an exactly known pan, zoom and turn, and a net that flickers
from frame to frame: for colorize and translate tone, blotches and texture on top of the truth, for upscale
the built-in one on a source with grain. Columns: E_warp (Lai 2018, along the exact flow, times 1e5), how much
of the per-frame one is gone, sharpness and chroma spread relative to per-frame, PSNR to the truth, and
milliseconds a frame that flow and filter take.

A clip: E_warp along DIS flow of the source at its finest scale, which no candidate uses, relative to the
source's own. Asserts nothing.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from moving_pictures import scene

from gantool import metrics
from gantool.media.image import read_picture
from gantool.media.vectors import with_vectors
from gantool.media.video import probe, read_frames
from gantool.ops.color import join_lab, lightness, rgb_to_lab
from gantool.ops.flow import METHODS
from gantool.ops.resize import resize, to_tensor
from gantool.temporal import Kind, TemporalFilter, TemporalOptions

MOTIONS = {  # px across, px down, zoom, degrees, all a frame
    "pan2": (2, 1, 1, 0),
    "pan5": (5, 2, 1, 0),
    "pan8": (8, 2, 1, 0),
    "zoom": (0, 0, 1.012, 0),
    "turn": (0, 0, 1, 0.6),
    "all": (8, 2, 1.01, 0.5),
}
KINDS: dict[str, Kind] = {"colorize": "chroma", "translate": "rgb", "upscale": "detail"}


@dataclass
class Film:
    """Source frames, the layer the net makes of each, the true results, and their exact flows t -> t+1."""

    frames: list[np.ndarray]
    layers: list[Tensor]
    truth: list[np.ndarray]
    flows: list[np.ndarray]
    kind: Kind
    vectors: list[np.ndarray | None] | None = None

    def join(self, index: int, layer: Tensor) -> np.ndarray:
        """The result, float (H,W,3), of a frame and its layer."""
        x = to_tensor(self.frames[index][None])
        if self.kind == "chroma":
            y = join_lab(lightness(x), resize(layer[None], x.shape[-2], x.shape[-1], "bilinear"))
        else:
            y = layer[None]
        return y.clamp(0, 1)[0].movedim(0, -1).numpy()


def places(motion: str, count: int, height: int, width: int, wide: int, tall: int) -> list[np.ndarray]:
    """3x3 maps of each frame's pixels into the photo, the middle of the film in the middle of the photo."""
    across, down, zoom, degrees = MOTIONS[motion]
    maps = []
    for t in range(count):
        at = t - (count - 1) / 2
        turn = cv2.getRotationMatrix2D((0, 0), degrees * at, zoom**at)
        to_middle = np.array([[1, 0, -(width - 1) / 2], [0, 1, -(height - 1) / 2], [0, 0, 1]], np.float64)
        moved = np.array(
            [[1, 0, (wide - 1) / 2 + across * at], [0, 1, (tall - 1) / 2 + down * at], [0, 0, 1]]
        )
        maps.append(moved @ np.vstack((turn, (0, 0, 1))) @ to_middle)
    return maps


def seen(photo: np.ndarray, place: np.ndarray, height: int, width: int) -> np.ndarray:
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(photo, place[:2], (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def exact_flow(now: np.ndarray, then: np.ndarray, height: int, width: int) -> np.ndarray:
    """Where each pixel of a frame lies in another one."""
    across = np.linalg.inv(then) @ now
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    points = np.stack((x, y, np.ones_like(x)), -1) @ across.T
    return (points[..., :2] - np.stack((x, y), -1)).astype(np.float32)


def waves(generator: torch.Generator, channels: int, size: tuple[int, int], shape: Sequence[int]) -> Tensor:
    noise = torch.randn(1, channels, *size, generator=generator)
    return F.interpolate(noise, size=tuple(shape), mode="bicubic")[0]


def flickering(truth: np.ndarray, kind: Kind, generator: torch.Generator) -> Tensor:
    """What a frame-by-frame net makes: tone, blotches and texture that change with every frame."""
    x = to_tensor(truth[None])
    shape = x.shape[-2:]
    if kind == "chroma":
        small = (shape[0] // 2, shape[1] // 2)
        ab = resize(rgb_to_lab(x)[:, 1:], small[0], small[1], "bilinear")[0]
        return ab + waves(generator, 2, (4, 5), small) * 6 + torch.randn(2, 1, 1, generator=generator) * 3
    tone = 1 + 0.06 * torch.randn(3, 1, 1, generator=generator)
    texture = 0.02 * waves(generator, 3, (shape[0] // 2, shape[1] // 2), shape)
    return (x[0] * tone + 0.04 * waves(generator, 3, (5, 7), shape) + texture).clamp(0, 1)


def known_motion(photo: np.ndarray, task: str, motion: str, count: int, height: int, width: int) -> Film:
    kind, generator, rng = KINDS[task], torch.Generator().manual_seed(0), np.random.default_rng(0)
    scale = 2 if task == "upscale" else 1
    maps = places(motion, count, height, width, photo.shape[1], photo.shape[0])
    truth = [seen(photo, place, height, width) for place in maps]
    flows = [exact_flow(now, then, height, width) for now, then in itertools.pairwise(maps)]
    frames, layers = [], []
    upscaler = built_in_upscaler() if task == "upscale" else None
    for picture in truth:
        frame = picture
        if task == "colorize":
            frame = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        elif task == "upscale":
            small = cv2.resize(picture, (width // scale, height // scale), interpolation=cv2.INTER_AREA)
            frame = np.clip(small + rng.normal(0, 3, small.shape), 0, 255).round().astype(np.uint8)
        frames.append(frame)
        if upscaler is not None:
            with torch.inference_mode():
                layers.append(upscaler(to_tensor(frame[None]))[0])
        else:
            layers.append(flickering(picture, kind, generator))
    return Film(frames, layers, truth, flows, kind)


def built_in_upscaler():
    import gantool
    from gantool.pipelines import Context

    pipeline = gantool.load("upscale", "builtin", scale=2, device="cpu", precision="fp32")
    return lambda x: pipeline.predict(x, Context())


def runs(film: Film, options: TemporalOptions | None) -> tuple[list[Tensor], float]:
    """The layers to show, and the seconds that took."""
    began = time.perf_counter()
    if options is None:
        return film.layers, 0.0
    steady = TemporalFilter(film.kind, options, 2 if film.kind == "detail" else 1)
    vectors = film.vectors or [None] * len(film.frames)
    motions = [steady.track(*both) for both in zip(film.frames, vectors, strict=True)]
    if steady.window is None:
        shown = [steady.blend(motion, layer) for motion, layer in zip(motions, film.layers, strict=True)]
    else:
        count, run_up = steady.window
        shown = []
        for start in range(0, len(motions), count):
            part = slice(start, start + count + run_up)
            size = min(count, len(motions) - start)
            shown += steady.blend_window(motions[part], film.layers[part], size)
    return shown, time.perf_counter() - began


def sharpness(images: Sequence[np.ndarray]) -> float:
    return float(np.mean([cv2.Laplacian(image.mean(-1), cv2.CV_32F).std() for image in images]))


def chroma_spread(images: Sequence[np.ndarray]) -> float:
    """Standard deviation of all values of a and b of a picture, taken together; mean of the pictures."""
    planes = [cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2LAB)[..., 1:] for image in images]
    return float(np.mean([ab.std() for ab in planes]))


def settings(modes: Sequence[str], flows: Sequence[str]) -> Iterator[tuple[str, TemporalOptions | None]]:
    yield "off", None
    for mode, flow in itertools.product(modes, flows):
        yield f"{mode} {flow}", TemporalOptions(mode=mode, flow=flow)  # type: ignore[arg-type]


def table_of_known_motion(options: argparse.Namespace) -> None:
    width, height = (int(side) for side in options.size.split("x"))
    photo = scene(1, height, width * 2) if options.photo is None else read_picture(options.photo).rgb
    # Soft as film is: what is sharp to the pixel has a high E_warp however well it is known how it moves.
    factor = max(2 * width / photo.shape[1], 2 * height / photo.shape[0])
    photo = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    tiles = []
    print(f"{'motion':7}{'filter':26}{'E_warp':>8}{'down':>8}{'sharp':>7}{'chroma':>8}{'PSNR':>7}{'ms':>6}")
    for motion in options.motions:
        film = known_motion(photo, options.task, motion, options.frames, height, width)
        base: tuple[float, float, float] | None = None
        floor = metrics.warping_error(film.truth, film.flows)
        print(f"{motion:7}{'truth':26}{floor * 1e5:8.1f}")
        for name, setting in settings(options.modes, options.flow):
            layers, seconds = runs(film, setting)
            images = [film.join(index, layer) for index, layer in enumerate(layers)]
            found = metrics.warping_error(images, film.flows), sharpness(images), chroma_spread(images)
            base = base or found
            near = np.mean(
                [metrics.psnr(image, truth) for image, truth in zip(images, film.truth, strict=True)]
            )
            down, sharp, chroma = 1 - found[0] / base[0], found[1] / base[1], found[2] / max(base[2], 1e-9)
            print(
                f"{motion:7}{name:26}{found[0] * 1e5:8.1f}{down:8.1%}{sharp:7.2f}{chroma:8.2f}{near:7.2f}"
                f"{seconds / len(layers) * 1e3:6.0f}",
                flush=True,
            )
            tiles.append(images[len(images) // 2])
    save_sheet(options.sheet, tiles, 1 + len(options.modes) * len(options.flow))


def table_of_clip(options: argparse.Namespace) -> None:
    source, result = options.clip
    info = with_vectors(probe(source)) if "codec" in options.flow else probe(source)
    read = list(itertools.islice(read_frames(source, info), options.frames))
    frames = [frame.rgb for frame in read]
    made = [frame.rgb for frame in itertools.islice(read_frames(result), options.frames)]
    kind = KINDS[options.task]
    layers = [to_tensor(picture[None])[0] for picture in made]
    if kind == "chroma":
        layers = [rgb_to_lab(layer[None])[0, 1:] for layer in layers]
    film = Film(frames, layers, made, [], kind, [frame.vectors for frame in read])
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    flows, masks = [], []
    for now, then in itertools.pairwise(grays):
        ahead, back = search.calc(now, then, None), search.calc(then, now, None)  # type: ignore[call-overload]
        flows.append(ahead)
        masks.append(metrics.reliable(ahead, back))
    floor = metrics.warping_error(frames, flows, masks)
    print(f"the source's own E_warp: {floor * 1e5:.1f}")
    print(f"{'filter':26}{'E_warp':>8}{'/source':>9}{'sharp':>7}{'chroma':>8}{'ms':>6}")
    base: tuple[float, float] | None = None
    tiles = []
    for name, setting in settings(options.modes, options.flow):
        shown, seconds = runs(film, setting)
        images = [film.join(index, layer) for index, layer in enumerate(shown)]
        found = sharpness(images), chroma_spread(images)
        base = base or found
        error = metrics.warping_error(images, flows, masks)
        print(
            f"{name:26}{error * 1e5:8.1f}{error / floor:9.2f}{found[0] / base[0]:7.2f}"
            f"{found[1] / max(base[1], 1e-9):8.2f}{seconds / len(shown) * 1e3:6.0f}",
            flush=True,
        )
        tiles += images[:: max(1, len(images) // 4)][:4]
    save_sheet(options.sheet, tiles, 4)


def save_sheet(path: Path | None, tiles: list[np.ndarray], columns: int) -> None:
    if path is not None:
        rows = [np.hstack(tiles[at : at + columns]) for at in range(0, len(tiles), columns)]
        sheet = (np.vstack(rows) * 255).round().astype(np.uint8)
        cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photo", type=Path, help="what is filmed; a made-up scene otherwise")
    parser.add_argument("--clip", type=Path, nargs=2, metavar=("SOURCE", "RESULT"))
    parser.add_argument("--task", choices=KINDS, default="colorize")
    parser.add_argument("--motions", nargs="+", choices=MOTIONS, default=list(MOTIONS))
    parser.add_argument("--modes", nargs="+", default=["online", "bidirectional"])
    parser.add_argument("--flow", nargs="+", choices=(*METHODS, "codec"), default=["farneback", "dis"])
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--size", default="320x240", help="of the result")
    parser.add_argument("--sheet", type=Path, help="a PNG of frames from the middle, one row per motion")
    options = parser.parse_args()
    if options.clip:
        table_of_clip(options)
    else:
        table_of_known_motion(options)


if __name__ == "__main__":
    main()
