"""Train a grey-to-colour net: L of a photograph in, its a and b out (Lab).

The nets are ResNet18 encoders with a straight-line or a U-Net decoder (facts in ``models/colorizer.py``).
The loss is the squared error of a and b. With ``saturated`` above 0, saturated pixels weigh more (the idea of
Zhang et al. 2016, section 2.2, to rebalance by the rarity of colours): livelier, and more often wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from gantool import data, training
from gantool.loading import save_model
from gantool.models.colorizer import ResNetStraight, ResNetUNet, gray_first_conv
from gantool.ops.color import join_lab
from gantool.settings import param
from gantool.training import Ema, Loop, TrainRequest

NETS = {"unet": ResNetUNet, "straight": ResNetStraight}

LAYOUTS = ("photos",)


@dataclass
class Config:
    """Parameters of ``gantool train --task colorize``."""

    net: str = param("unet", "decoder: unet or straight")
    batch: int = param(16, "pictures per step", low=1)
    crop: int = param(160, "side of a training crop, px; a multiple of 32", low=32)
    lr: float = param(1e-3, "highest learning rate of AdamW", low=1e-8)
    decay: float = param(0.1, "weight decay", low=0)
    saturated: float = param(
        0.0, "extra weight of a pixel whose chroma is 50; 0 = plain squared error", low=0
    )
    old: float = param(0.4, "share of inputs that get an old film's contrast, blur and grain", low=0, high=1)
    mix: float = param(
        0.5, "share of crops of which a rectangle comes from another one (CutMix)", low=0, high=1
    )
    dropout: float = param(0.3, "share of the U-Net's bridge channels dropped in training", low=0, high=0.9)
    ema: float = param(0.998, "decay of the averaged weights", low=0, high=1)
    init: str = param("", "a ResNet18 or earlier colorizer file to start from; what does not fit starts anew")
    holdout: int = param(64, "photographs kept out of training, for samples and scores", low=0)
    workers: int = param(-1, "processes that prepare data; -1 = by device", low=-1)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    found, fabric = data.find_photos(request.data), training.fabric_for(request)
    run, config = training.open_run(request, Config, lambda c: 50_000, found, fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    kept_out, paths = data.split(found, config.holdout, run.seed)
    photos = data.photos(paths, lambda image: _shrink(image, config))
    training.seed_step(run.seed, 0)
    net = _build(config)
    if config.init and not run.resumed:
        request.say(training.start_from(net, config.init, _gray_input))
    ema = Ema(net, config.ema)
    optimizer = torch.optim.AdamW(_groups(net, config.decay), lr=config.lr, betas=(0.9, 0.99))
    model, optimizer = training.set_up(fabric, request, net, optimizer)
    ema.to(fabric.device)
    held = [lab for lab in (_held(p, config) for p in kept_out) if lab is not None]

    def sample(done: int) -> dict[str, float]:
        with ema.applied(net):
            return _sample(net, held, run.sheet(done), fabric.device)

    def export(path: Path) -> None:
        _export(path, run, config, ema.state)

    parts = {"net": net, "ema": ema, "optimizer": optimizer}
    loop = Loop(run, request, fabric, config.batch, parts, sample, export)
    request.say(f"{len(paths)} photographs to train on, {len(held)} kept out; {run.steps} steps")
    dataset = data.Steps(photos, lambda item, rng: _crop(item, rng, config), config.batch, run.seed, share)
    feed = data.batches(dataset, loop.start, loop.stop, config.workers, fabric.device)
    for step in loop:
        training.set_lr(optimizer, config.lr * training.cosine(step, run.steps, warmup=200))
        batch = cutmix(next(feed), config.mix, data.step_rng(run.seed, 4, step, share[0]))
        optimizer.zero_grad(set_to_none=True)
        for (light, ab), last in training.micro_batches(fabric.to_device(batch), request.accumulate):
            with fabric.no_backward_sync(model, enabled=not last):
                guess = model(training.channels_last(light)).float()
                loss = chroma_loss(guess, ab, config.saturated)
                fabric.backward(loss / request.accumulate)
            loop.report(step, loss=loss)
        if loop.due(step):
            loop.report(step, grad_norm=training.grad_norm(fabric, net))
        optimizer.step()
        ema.update(net, step)
    for path in photos.bad:
        request.warn(f"left out: {path} (unreadable or smaller than a crop)")
    return run.model


def chroma_loss(guess: Tensor, ab: Tensor, saturated: float) -> Tensor:
    """Weighted mean squared error of ab in units of 110; weights 1 + saturated * chroma / 50, mean 1.

    Args:
        guess, ab: (N,2,H,W) in Lab units.
    """
    weight = 1 + saturated * ab.square().sum(1, keepdim=True).sqrt() / 50
    return ((guess - ab) / 110).square().mul(weight / weight.mean()).mean()


def cutmix(parts: Sequence[Tensor], share: float, rng: np.random.Generator) -> list[Tensor]:
    """Paste into some samples a rectangle of the next one, at the same place in every part (Yun et al. 2019).

    A net that cannot rely on the whole photograph learns what a region's own texture says about its colour,
    and remembers the training set less.

    Args:
        parts: aligned batches (N,C,H,W).
        share: the expected share of samples that receive a rectangle.
        rng: chooses the rectangles; the area pasted is uniform in 0 to 1 (Beta(1,1)).
    """
    count, (height, width) = parts[0].shape[0], parts[0].shape[-2:]
    mixed = [part.clone() for part in parts]
    for i in range(count):
        if rng.random() >= share:
            continue
        side = np.sqrt(rng.random())
        h, w = round(height * side), round(width * side)
        top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
        for part, new in zip(parts, mixed, strict=True):
            new[i, :, top : top + h, left : left + w] = part[
                (i + 1) % count, :, top : top + h, left : left + w
            ]
    return mixed


def _build(config: Config) -> nn.Module:
    from gantool.errors import UsageError

    if config.net not in NETS:
        raise UsageError(f"no decoder called '{config.net}'", remedy=f"Known: {', '.join(NETS)}")
    if config.crop % 32:
        raise UsageError(f"crop={config.crop} is not a multiple of 32", remedy="Try --set crop=160")
    return ResNetUNet(dropout=config.dropout) if config.net == "unet" else ResNetStraight()


def _groups(net: nn.Module, decay: float) -> list[dict[str, object]]:
    """Weight decay for convolution kernels only, not for biases and norms."""
    kernels = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _gray_input(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """An RGB first convolution summed over its channels."""
    first = state.get("conv1.weight")
    if first is not None and first.shape[1] == 3:
        return state | {"conv1.weight": gray_first_conv(first)}
    return state


def _shrink(image: np.ndarray, config: Config) -> tuple[np.ndarray] | None:
    """Keep at most two crops of short side in memory; None if the photo is smaller than a crop."""
    short = min(image.shape[:2])
    if short < config.crop:
        return None
    factor = 2 * config.crop / short
    if factor < 1:
        size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return (image,)


def _lab(image: np.ndarray) -> np.ndarray:
    """uint8 RGB (H,W,3) -> float32 Lab (H,W,3)."""
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _crop(
    item: tuple[np.ndarray, ...], rng: np.random.Generator, config: Config
) -> tuple[np.ndarray, np.ndarray]:
    """A random square at a random scale -> L/100 (1,h,w) and ab (2,h,w)."""
    (image,) = item
    short = min(image.shape[:2])
    side = int(rng.integers(config.crop, short + 1))
    top = int(rng.integers(image.shape[0] - side + 1))
    left = int(rng.integers(image.shape[1] - side + 1))
    square = cv2.resize(
        image[top : top + side, left : left + side], (config.crop, config.crop), interpolation=cv2.INTER_AREA
    )
    (square,) = data.augment((square,), rng, turn=False)
    lab = _lab(square)
    light = lab[..., 0] / 100
    if rng.random() < config.old:
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


def _held(path: Path, config: Config) -> np.ndarray | None:
    """Centre square of a held-out photo at training size, as Lab (H,W,3)."""
    image = data.read_rgb(path)
    if image is None or min(image.shape[:2]) < config.crop:
        return None
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = image[top : top + side, left : left + side]
    return _lab(cv2.resize(square, (config.crop, config.crop), interpolation=cv2.INTER_AREA))


@torch.no_grad()
def _sample(net: nn.Module, held: Sequence[np.ndarray], path: Path, device: torch.device) -> dict[str, float]:
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


def _export(path: Path, run: training.Run, config: Config, state: dict[str, Tensor]) -> None:
    unet = config.net == "unet"
    row = training.trained_row(
        run,
        task="colorize",
        arch=f"colorizer.{NETS[config.net].__name__}",
        args={},
        multiple=32 if unet else 8,
        dtypes=("bf16",),
        color="lab",
        summary=f"trained by gantool train --task colorize ({config.net})",
    )
    save_model(path, state, row, half=True)
