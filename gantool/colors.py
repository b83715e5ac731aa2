"""Photographs as training pairs of lightness and chroma, and how well chroma was guessed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from gantool import data, training
from gantool.ops.color import join_lab


def shrink(image: np.ndarray, crop_px: int) -> tuple[np.ndarray] | None:
    """Keep at most two crops of short side in memory; None if the photo is smaller than a crop."""
    short = min(image.shape[:2])
    if short < crop_px:
        return None
    factor = 2 * crop_px / short
    if factor < 1:
        size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return (image,)


def to_lab(image: np.ndarray) -> np.ndarray:
    """uint8 RGB (H,W,3) -> float32 Lab (H,W,3)."""
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def crop(
    item: tuple[np.ndarray, ...], rng: np.random.Generator, crop_px: int, old: float
) -> tuple[np.ndarray, np.ndarray]:
    """A random square at a random scale -> L/100 (1,h,w) and ab (2,h,w)."""
    (image,) = item
    short = min(image.shape[:2])
    side = int(rng.integers(crop_px, short + 1))
    top = int(rng.integers(image.shape[0] - side + 1))
    left = int(rng.integers(image.shape[1] - side + 1))
    square = cv2.resize(
        image[top : top + side, left : left + side], (crop_px, crop_px), interpolation=cv2.INTER_AREA
    )
    (square,) = data.augment((square,), rng, turn=False)
    lab = to_lab(square)
    light = lab[..., 0] / 100
    if rng.random() < old:
        light = _age(light, rng)
    return np.ascontiguousarray(light[None], np.float32), np.ascontiguousarray(
        lab[..., 1:].transpose(2, 0, 1)
    )


def _age(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another gamma and contrast, a little blur, grain: what an old print did to lightness in [0,1]."""
    light = np.clip(light, 0, 1) ** rng.uniform(0.7, 1.4)
    low, high = rng.uniform(0, 0.12), rng.uniform(0.85, 1)
    light = low + light * (high - low)
    if rng.random() < 0.5:
        light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.3, 1.2))
    grain = rng.normal(0, rng.uniform(0, 0.03), light.shape)
    return np.clip(light + grain, 0, 1).astype(np.float32)


def held(path: Path, crop_px: int) -> np.ndarray | None:
    """Centre square of a held-out photo at training size, as Lab (H,W,3)."""
    image = data.read_rgb(path)
    if image is None or min(image.shape[:2]) < crop_px:
        return None
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = image[top : top + side, left : left + side]
    return to_lab(cv2.resize(square, (crop_px, crop_px), interpolation=cv2.INTER_AREA))


@torch.no_grad()
def sample(net: nn.Module, held: Sequence[np.ndarray], path: Path, device: torch.device) -> dict[str, float]:
    """Write rows of (grey, ours, truth); return PSNR over RGB (dB), that of grey, and colourfulness."""
    if not held:
        return {}
    lab = torch.stack([torch.from_numpy(h.transpose(2, 0, 1).copy()) for h in held]).to(device)
    light, ab = lab[:, :1], lab[:, 1:]
    guess = torch.cat([net(part / 100) for part in light.split(8)]).float()
    gray, ours, truth = (join_lab(light, c) for c in (ab * 0, guess, ab))
    training.save_grid(
        path, [[training.to_image(t[i]) for t in (gray, ours, truth)] for i in range(min(8, len(held)))]
    )

    def psnr(x: Tensor) -> float:
        return float((-10 * ((x - truth) ** 2).mean((1, 2, 3)).clamp_min(1e-10).log10()).mean())

    red, green, blue = (ours * 255).unbind(1)
    axes = torch.stack((red - green, (red + green) / 2 - blue), 1).flatten(2)
    colorful = axes.std(2).square().sum(1).sqrt() + 0.3 * axes.mean(2).square().sum(1).sqrt()
    return {"psnr": psnr(ours), "psnr_gray": psnr(gray), "colorfulness": float(colorful.mean())}
