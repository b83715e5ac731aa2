"""Quality of colorize, upscale and restore on benchmark photographs, beside simple rivals. Asserts nothing.

    python tests/bench/bench_quality.py colorize PHOTOS --train PHOTOS --peer resnet18_colorizer.pth
    python tests/bench/bench_quality.py upscale HR LR --scale 4 --peer realesr-general-x4v3.pth
    python tests/bench/bench_quality.py upscale HR --mix builtin runs/e/model.safetensors
    python tests/bench/bench_quality.py restore PHOTOS --preset light medium heavy

``percept`` is the distance in the features of the built-in encoder. Restore: photographs spoiled by
``old-film`` at a preset, number i by the seed (7, i). Colorize: short side 256 (area), centre crop 256,
lightness kept; PSNR over RGB and signed Hasler-Suesstrunk colourfulness, means over the photographs. Upscale:
uint8 RGB in and out, PSNR and SSIM on Y, ``scale`` px shaved; the low-resolution files are found by the name
of the high-resolution one, or made by MATLAB's bicubic.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

import gantool
from gantool import degrade, metrics, percept
from gantool.catalog import Checkpoint
from gantool.data import find_photos, read_rgb
from gantool.loading import load_net
from gantool.ops.color import join_lab, lightness, rgb_to_lab
from gantool.ops.resize import matlab_resize, resize, to_tensor
from gantool.pipelines import colorize

Rival = Callable[[np.ndarray], np.ndarray]


def square(image: np.ndarray, side: int = 256) -> np.ndarray:
    """Short side to ``side``, then the centre square."""
    tall, wide = image.shape[:2]
    factor = side / min(tall, wide)
    size = (max(side, round(wide * factor)), max(side, round(tall * factor)))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return np.ascontiguousarray(image[top : top + side, left : left + side])


def with_constant_ab(image: np.ndarray, ab: tuple[float, float]) -> np.ndarray:
    """The photograph's lightness with one chroma everywhere."""
    light = lightness(to_tensor(image[None]))
    chroma = torch.tensor(ab).view(1, 2, 1, 1).expand(1, 2, *light.shape[-2:])
    return (join_lab(light, chroma)[0] * 255).round().byte().movedim(0, -1).numpy()


def mean_ab(folders: list[Path]) -> tuple[float, float]:
    """Mean a and b over training photographs, each counted once."""
    means = []
    for path in find_photos(folders):
        image = read_rgb(path)
        if image is not None:
            means.append(rgb_to_lab(to_tensor(image[None, ::4, ::4]))[0, 1:].mean((1, 2)))
    a, b = torch.stack(means).mean(0).tolist()
    return a, b


def straight_peer(path: Path) -> Rival:
    """A public ResNet18 colorizer of the straight-line kind: luma in, (ab + 128) / 255 out."""
    row = Checkpoint(
        name="peer",
        task="colorize",
        arch="colorizer.ResNetStraight",
        args={"ab_gain": 255.0, "ab_shift": -128.0},
        color="gray",
        multiple=8,
    )
    device = torch.device("cpu")
    pipeline = colorize.build(load_net(row, path, device), row, device=device)
    return lambda image: gantool.colorize(image, pipeline=pipeline)


def distance(eye: percept.PerceptNet, result: np.ndarray, truth: np.ndarray) -> float:
    """``percept`` of two uint8 pictures of one size."""
    with torch.inference_mode():
        return float(eye(to_tensor(result[None]), to_tensor(truth[None])))


def bench_colorize(args: argparse.Namespace) -> None:
    photos = [square(image) for path in find_photos([args.photos]) if (image := read_rgb(path)) is not None]
    rivals: dict[str, Rival] = {"grey": lambda image: with_constant_ab(image, (0.0, 0.0))}
    if args.train:
        tint = mean_ab(args.train)
        rivals[f"mean tint ({tint[0]:.1f}, {tint[1]:.1f})"] = lambda image: with_constant_ab(image, tint)
    if args.peer:
        rivals[args.peer.name] = straight_peer(args.peer)
    for model in args.model:
        pipeline = gantool.load(
            "colorize", model, precision=args.precision, render_size=args.render_size, device=args.device
        )
        rivals[f"gantool {model}"] = lambda image, p=pipeline: gantool.colorize(image, pipeline=p)
    rivals["truth"] = lambda image: image
    eye = percept.load(model="builtin")
    print(f"{len(photos)} photographs, 256 px\n{'':34s} PSNR dB  colourfulness  percept")
    for name, rival in rivals.items():
        results = [rival(photo) for photo in photos]
        psnr = np.mean([metrics.psnr(r, p) for r, p in zip(results, photos, strict=True)])
        lively = np.mean([metrics.colourfulness(r) for r in results])
        seen = np.mean([distance(eye, r, p) for r, p in zip(results, photos, strict=True)])
        print(f"{name:34s} {psnr:7.2f}  {lively:6.1f}  {seen:.4f}", flush=True)
        if args.sheet and name.startswith("gantool"):
            shown = list(zip(photos, results, strict=True))[:: max(1, len(photos) // 24)][:24]
            trios = [np.concatenate([with_constant_ab(p, (0, 0)), r, p], 1) for p, r in shown]
            rows = [np.concatenate(trios[i : i + 2], 1) for i in range(0, len(trios) - 1, 2)]
            cv2.imwrite(str(args.sheet), np.concatenate(rows)[..., ::-1])


def bench_upscale(args: argparse.Namespace) -> None:
    scale, pairs = args.scale, []
    for path in find_photos([args.high]):
        high = read_rgb(path)
        assert high is not None
        high = high[: high.shape[0] // scale * scale, : high.shape[1] // scale * scale]
        found = [p for p in find_photos([args.low]) if path.stem in p.stem] if args.low else []
        low = read_rgb(found[0]) if found else None
        pairs.append(
            (matlab_resize(high, *(s // scale for s in high.shape[:2])) if low is None else low, high)
        )

    def bicubic(image: np.ndarray) -> np.ndarray:
        grown = resize(to_tensor(image[None]), image.shape[0] * scale, image.shape[1] * scale)
        return (grown[0].clamp(0, 1) * 255).round().byte().movedim(0, -1).numpy()

    rivals: dict[str, Rival] = {"bicubic": bicubic}
    for model in [*args.peer, *args.model]:
        pipeline = gantool.load(
            "upscale", str(model), scale=scale, precision=args.precision, device=args.device
        )
        rivals[f"gantool --model {Path(model).name}"] = lambda i, p=pipeline: gantool.upscale(i, pipeline=p)
    for share in args.shares if args.mix else []:
        pipeline = gantool.load(
            "upscale",
            interpolate=tuple(args.mix),
            mix=share,
            scale=scale,
            precision=args.precision,
            device=args.device,
        )
        rivals[f"gantool --mix {share}"] = lambda i, p=pipeline: gantool.upscale(i, pipeline=p)
    eye = percept.load(model="builtin")
    print(f"{len(pairs)} photographs, x{scale}\n{'':50s} PSNR-Y dB  SSIM-Y  percept")
    for name, rival in rivals.items():
        scores = []
        for low, high in pairs:
            result = rival(low)
            scores.append(
                (
                    metrics.psnr_y(result, high, shave=scale),
                    metrics.ssim_y(result, high, shave=scale),
                    distance(eye, result, high),
                )
            )
        psnr, ssim, seen = np.mean(scores, axis=0)
        print(f"{name:50s} {psnr:8.3f}  {ssim:.4f}  {seen:.4f}", flush=True)


def bench_restore(args: argparse.Namespace) -> None:
    photos = [image for path in find_photos([args.photos]) if (image := read_rgb(path)) is not None]
    eye = percept.load(model="builtin")
    nets = {
        model: gantool.load("translate", model, precision=args.precision, device=args.device)
        for model in args.model
    }
    print(f"{len(photos)} photographs\n{'':50s} PSNR dB  percept")
    for preset in args.preset:
        spoil = degrade.recipe("old-film", preset=preset)
        pairs = [spoil.pair(photo, np.random.default_rng([7, i])) for i, photo in enumerate(photos)]
        results = {"spoiled": [bad for bad, _ in pairs]}
        for model, net in nets.items():
            results[f"gantool --model {Path(model).name}"] = [
                gantool.translate(bad, pipeline=net) for bad, _ in pairs
            ]
        for name, pictures in results.items():
            scores = [
                (metrics.psnr(r, good), distance(eye, r, good))
                for r, (_, good) in zip(pictures, pairs, strict=True)
            ]
            psnr, seen = np.mean(scores, axis=0)
            print(f"{preset + ': ' + name:50s} {psnr:7.2f}  {seen:.4f}", flush=True)
        if args.sheet:
            size = (480, 320)
            rows = [
                np.concatenate([cv2.resize(p, size) for p in (bad, mended, good)], 1)
                for mended, (bad, good) in list(zip(pictures, pairs, strict=True))[:: len(photos) // 8 or 1]
            ]
            cv2.imwrite(
                str(args.sheet.with_stem(f"{args.sheet.stem}-{preset}")), np.concatenate(rows)[..., ::-1]
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    color = commands.add_parser("colorize")
    color.add_argument("photos", type=Path)
    color.add_argument("--train", type=Path, action="append", default=[], help="for the mean-tint rival")
    color.add_argument("--peer", type=Path, help="a public ResNet18 colorizer")
    color.add_argument("--render-size", type=int, help="[the model's own]")
    color.add_argument("--sheet", type=Path, help="write grey | ours | truth as a PNG")
    color.set_defaults(run=bench_colorize)
    large = commands.add_parser("upscale")
    large.add_argument("high", type=Path)
    large.add_argument("low", type=Path, nargs="?")
    large.add_argument("--scale", type=int, default=4)
    large.add_argument("--peer", action="append", default=[], help="a further model, by name or path")
    large.set_defaults(run=bench_upscale)
    large.add_argument("--mix", nargs=2, help="two models, and the nets between them")
    large.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.25, 0.5, 0.75, 1.0])
    old = commands.add_parser("restore")
    old.add_argument("photos", type=Path)
    old.add_argument("--preset", nargs="+", default=["medium"])
    old.add_argument("--sheet", type=Path, help="write spoiled | mended | good as a PNG per preset")
    old.set_defaults(run=bench_restore)
    for command in (color, large, old):
        command.add_argument("--model", action="append", default=[])
        command.add_argument("--precision", default="fp32")
        command.add_argument("--device", default="auto")
    args = parser.parse_args()
    args.model = args.model or ["builtin"]
    torch.set_num_threads(1)
    args.run(args)


if __name__ == "__main__":
    main()
