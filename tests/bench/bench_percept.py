"""How the perceptual distance ranks distorted photographs, beside plain squared error. Asserts nothing.

    python tests/bench/bench_percept.py PHOTOS
    python tests/bench/bench_percept.py PHOTOS --model runs/percept --number 30

Centre squares of 192 px. First, distortions of rising strength: the mean distance at each level, and for how
many photographs in a hundred it rises from one level to the next. Then pairs of which people prefer the
first though both have one squared error (bisection of the strength): it should be the nearer one. Last, how
often the right half of a photograph is the nearest to its left half, by Gram matrices, among all photographs.
Most kinds of distortion are also drawn by ``gantool train --task percept`` (turns and zooms are not).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from gantool import percept
from gantool.data import find_photos, read_rgb
from gantool.losses import gram
from gantool.ops.resize import to_tensor

SIDE = 192
Distance = Callable[[list[np.ndarray], list[np.ndarray]], np.ndarray]


def rounded(image: np.ndarray) -> np.ndarray:
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def seed_of(image: np.ndarray) -> np.random.Generator:
    """The same random numbers for every strength of one photograph."""
    return np.random.default_rng(int(image[::7, ::7].sum()))


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma)


def noise(image: np.ndarray, sigma: float) -> np.ndarray:
    return rounded(image + sigma * seed_of(image).normal(size=image.shape))


def jpeg(image: np.ndarray, quality: float) -> np.ndarray:
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, round(quality)])[1]
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1])


def colour_shift(image: np.ndarray, amount: float) -> np.ndarray:
    """a and b of Lab moved by so much in a direction of the photograph's own."""
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    angle = seed_of(image).uniform(0, 2 * np.pi)
    lab[..., 1:] += amount * np.array((np.cos(angle), np.sin(angle)), np.float32)
    return rounded(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255)


def texture_loss(image: np.ndarray, sigma: float) -> np.ndarray:
    """Edges kept, texture smoothed: a bilateral filter by its range."""
    return cv2.bilateralFilter(image, 9, sigma, 3)


LEVELS: dict[str, tuple[Callable[[np.ndarray, float], np.ndarray], tuple[float, ...]]] = {
    "blur, sigma px": (blur, (0.6, 1, 1.6, 2.5, 4, 6)),
    "noise, sigma of 255": (noise, (4, 8, 16, 28, 45, 70)),
    "JPEG, quality": (jpeg, (85, 60, 35, 20, 10, 5)),
    "colour shift, Lab": (colour_shift, (4, 8, 14, 22, 32, 45)),
    "texture loss, range": (texture_loss, (10, 20, 35, 60, 100, 180)),
}
STRENGTHS = {"blur": (blur, 0.3, 12.0), "JPEG": (jpeg, 98.0, 1.0), "noise": (noise, 0.5, 90.0)}


def turned(image: np.ndarray, degrees: float, zoom: float) -> np.ndarray:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
    return cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )


HARMLESS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "shift by 1 px": lambda image: np.roll(image, 1, axis=1),
    "shift by 3 px": lambda image: np.roll(image, 3, axis=1),
    "turn by 1 degree": lambda image: turned(image, 1, 1),
    "zoom by 1 %": lambda image: turned(image, 0, 1.01),
    "gamma 0.75": lambda image: rounded(255 * (image / 255) ** 0.75),
    "contrast 0.75": lambda image: rounded((image - 128.0) * 0.75 + 128),
}


def squared(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean((a.astype(np.float64) - b) ** 2))


def as_bad(image: np.ndarray, name: str, wanted: float) -> np.ndarray:
    """The photograph distorted until its squared error is the one wanted."""
    distort, low, high = STRENGTHS[name]
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if squared(distort(image, middle), image) < wanted else (low, middle)
    return distort(image, (low + high) / 2)


def pairs(photos: list[np.ndarray]) -> Iterator[tuple[str, list[np.ndarray], list, list]]:
    """(name, references, those that look nearer, those that look further)."""
    for first, change in HARMLESS.items():
        near = [change(image) for image in photos]
        for second in STRENGTHS:
            far = [as_bad(image, second, squared(n, image)) for image, n in zip(photos, near, strict=True)]
            yield f"{first} < {second}", photos, near, far
    grains = [seed_of(image).normal(size=(2, *image.shape)) * 20 for image in photos]
    grainy, other = ([rounded(image + g[i]) for image, g in zip(photos, grains, strict=True)] for i in (0, 1))
    yield "other grain < no grain", grainy, other, photos


def by_net(net: percept.PerceptNet, chunk: int = 10) -> Distance:
    """The distance of lists of pictures, a few at a time."""

    @torch.no_grad()
    def measure(a: list[np.ndarray], b: list[np.ndarray]) -> np.ndarray:
        parts = [slice(i, i + chunk) for i in range(0, len(a), chunk)]
        return torch.cat([net(tensor(a[p]), tensor(b[p])) for p in parts]).numpy()

    return measure


def tensor(images: list[np.ndarray]) -> torch.Tensor:
    return to_tensor(np.stack(images)).contiguous(memory_format=torch.channels_last)


def by_pixels(a: list[np.ndarray], b: list[np.ndarray]) -> np.ndarray:
    return np.array([squared(x, y) / 255**2 for x, y in zip(a, b, strict=True)])


def show_levels(photos: list[np.ndarray], measure: Distance) -> None:
    for name, (distort, levels) in LEVELS.items():
        found = np.stack([measure([distort(p, level) for p in photos], photos) for level in levels])
        rising = (np.diff(found, axis=0) > 0).mean(1) * 100
        print(
            f"| {name} | "
            + " | ".join(f"{n:g}: {d:.4f}" for n, d in zip(levels, found.mean(1), strict=True)),
            end=" | ",
        )
        print(" ".join(f"{share:.0f}" for share in rising), "|")


def show_pairs(photos: list[np.ndarray], measures: list[Distance]) -> None:
    totals = []
    for name, references, near, far in pairs(photos):
        right = [(m(near, references) < m(far, references)).mean() * 100 for m in measures]
        totals.append(right)
        print(f"| {name} | " + " | ".join(f"{share:.0f} %" for share in right), "|")
    print("| mean | " + " | ".join(f"{share:.1f} %" for share in np.mean(totals, axis=0)), "|")


@torch.no_grad()
def show_styles(photos: list[np.ndarray], net: percept.PerceptNet) -> None:
    """Left and right halves, by Gram matrices of features whose channels count alike."""
    for layer in ("relu2_2", "relu3_4", "relu4_4"):
        halves = [[p[:, : SIDE // 2] for p in photos], [p[:, SIDE // 2 :] for p in photos]]
        features = [
            torch.cat([net.features(tensor([h]), [layer])[layer].float() for h in half]) for half in halves
        ]
        scale = torch.cat(features).square().mean((0, 2, 3), keepdim=True).sqrt() + 1e-6
        left, right = (gram(f / scale).flatten(1) for f in features)
        nearest = torch.cdist(left, right).argmin(1)
        print(f"| {layer} | {(nearest == torch.arange(len(photos))).float().mean() * 100:.0f} % |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of photographs not trained on")
    parser.add_argument("--model", default="builtin", help="as load() of gantool.percept takes it")
    parser.add_argument("--number", type=int, default=100, help="how many of the photographs")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    args = parser.parse_args()
    begun = time.monotonic()
    dtype = torch.bfloat16 if args.precision == "bf16" else torch.float32
    net = percept.load("cpu", dtype, args.model)
    images = [read_rgb(path) for path in find_photos([args.photos])[: args.number]]
    photos = []
    for image in images:
        if image is not None and min(image.shape[:2]) >= SIDE:
            top, left = (image.shape[0] - SIDE) // 2, (image.shape[1] - SIDE) // 2
            photos.append(np.ascontiguousarray(image[top : top + SIDE, left : left + SIDE]))
    print(f"{len(photos)} photographs, {net.name}, {args.precision}")
    print("\nlevel: mean distance | % of photographs rising to the next")
    show_levels(photos, by_net(net))
    print("\n| ranked right | percept | squared error |")
    show_pairs(photos, [by_net(net), by_pixels])
    print("\nnearest by Gram matrix is the other half of the same photograph")
    show_styles(photos, net)
    print(f"\n{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
