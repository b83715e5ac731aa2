"""Train a compact super-resolution net (SRVGGNetCompact) on photographs and their bicubic reductions.

Low-resolution inputs are made with MATLAB's ``imresize`` (the field's benchmark degradation); the loss is
L1, as in EDSR (Lim et al. 2017), with Adam and a cosine schedule. Runs in bf16 with channels-last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gantool import data, training
from gantool.loading import save_model
from gantool.models.srvgg import SRVGGNetCompact
from gantool.ops.resize import matlab_resize, resize
from gantool.settings import param
from gantool.training import Ema, Loop, TrainRequest

LAYOUTS = ("photos",)


@dataclass
class Config:
    """Parameters of ``gantool train --task upscale``."""

    scale: int = param(4, "factor per side: 2, 3 or 4", low=2, high=4)
    width: int = param(64, "channels of the net", low=1)
    depth: int = param(16, "convolutions between the first and the last", low=0)
    batch: int = param(16, "pictures per step", low=1)
    patch: int = param(48, "side of a low-resolution training crop, px", low=8)
    lr: float = param(5e-4, "highest learning rate of Adam", low=1e-8)
    ema: float = param(0.999, "decay of the averaged weights", low=0, high=1)
    init: str = param("", "a model.safetensors or .pth to start from; layers that do not fit start anew")
    holdout: int = param(16, "photographs kept out of training, for samples and PSNR", low=0)
    workers: int = param(-1, "processes that prepare data; -1 = by device", low=-1)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    found, fabric = data.find_photos(request.data), training.fabric_for(request)
    run, config = training.open_run(request, Config, lambda c: 100_000, found, fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    kept_out, paths = data.split(found, config.holdout, run.seed)
    photos = data.photos(paths, lambda image: _pair(image, config))
    training.seed_step(run.seed, 0)
    net = SRVGGNetCompact(num_feat=config.width, num_conv=config.depth, upscale=config.scale)
    if config.init and not run.resumed:
        request.say(training.start_from(net, config.init))
    ema = Ema(net, config.ema)
    optimizer = torch.optim.Adam(net.parameters(), lr=config.lr, betas=(0.9, 0.99))
    model, optimizer = training.set_up(fabric, request, net, optimizer)
    ema.to(fabric.device)
    held = [pair for pair in (_held_pair(p, config) for p in kept_out) if pair is not None]

    def sample(done: int) -> dict[str, float]:
        with ema.applied(net):
            return _sample(net, held, config, run.sheet(done), fabric.device)

    def export(path: Path) -> None:
        _export(path, run, config, ema.state)

    parts = {"net": net, "ema": ema, "optimizer": optimizer}
    loop = Loop(run, request, fabric, config.batch, parts, sample, export)
    request.say(f"{len(paths)} photographs to train on, {len(held)} kept out; {run.steps} steps")
    dataset = data.Steps(photos, lambda item, rng: _crop(item, rng, config), config.batch, run.seed, share)
    feed = data.batches(dataset, loop.start, loop.stop, config.workers, fabric.device)
    for step in loop:
        training.set_lr(optimizer, config.lr * training.cosine(step, run.steps))
        optimizer.zero_grad(set_to_none=True)
        batch = fabric.to_device(next(feed))
        for (low, high), last in training.micro_batches(batch, request.accumulate):
            with fabric.no_backward_sync(model, enabled=not last):
                loss = F.l1_loss(model(training.channels_last(low)).float(), high)
                fabric.backward(loss / request.accumulate)
            loop.report(step, l1=loss)
        if loop.due(step):
            loop.report(step, grad_norm=training.grad_norm(fabric, net))
        optimizer.step()
        ema.update(net, step)
    for path in photos.bad:
        request.warn(f"left out: {path} (unreadable or smaller than a crop)")
    return run.model


def _pair(image: np.ndarray, config: Config) -> tuple[np.ndarray, np.ndarray] | None:
    """A photo cut to a multiple of the scale, and its bicubic reduction; None if smaller than a crop."""
    height, width = image.shape[0] // config.scale, image.shape[1] // config.scale
    if min(height, width) < config.patch:
        return None
    high = image[: height * config.scale, : width * config.scale]
    return matlab_resize(high, height, width), high


def _held_pair(path: Path, config: Config) -> tuple[np.ndarray, np.ndarray] | None:
    image = data.read_rgb(path)
    pair = None if image is None else _pair(image, config)
    if pair is None:
        return None
    low, high = pair
    side, scale = config.patch, config.scale
    top, left = (low.shape[0] - side) // 2, (low.shape[1] - side) // 2
    big = high[top * scale : (top + side) * scale, left * scale : (left + side) * scale]
    return low[top : top + side, left : left + side], big


def _crop(
    item: tuple[np.ndarray, ...], rng: np.random.Generator, config: Config
) -> tuple[np.ndarray, np.ndarray]:
    low, high = item
    side, scale = config.patch, config.scale
    top = int(rng.integers(low.shape[0] - side + 1))
    left = int(rng.integers(low.shape[1] - side + 1))
    small = low[top : top + side, left : left + side]
    big = high[top * scale : (top + side) * scale, left * scale : (left + side) * scale]
    small, big = data.augment((small, big), rng)
    return data.to_chw(small), data.to_chw(big)


@torch.no_grad()
def _sample(
    net: SRVGGNetCompact,
    held: Sequence[tuple[np.ndarray, np.ndarray]],
    config: Config,
    path: Path,
    device: torch.device,
) -> dict[str, float]:
    """Write rows of (bicubic, ours, truth) and return the mean PSNR over RGB, dB."""
    if not held:
        return {}
    low = torch.stack([torch.from_numpy(data.to_chw(pair[0])) for pair in held]).to(device)
    high = torch.stack([torch.from_numpy(data.to_chw(pair[1])) for pair in held]).to(device)
    ours = torch.cat([net(part) for part in low.split(4)]).clamp(0, 1)
    cubic = resize(low, high.shape[-2], high.shape[-1]).clamp(0, 1)
    training.save_grid(
        path, [[training.to_image(t[i]) for t in (cubic, ours, high)] for i in range(min(6, len(held)))]
    )

    def psnr(x: Tensor) -> float:
        return float((-10 * ((x - high) ** 2).mean((1, 2, 3)).clamp_min(1e-10).log10()).mean())

    return {"psnr": psnr(ours), "psnr_bicubic": psnr(cubic)}


def _export(path: Path, run: training.Run, config: Config, state: dict[str, Tensor]) -> None:
    row = training.trained_row(
        run,
        task="upscale",
        arch="srvgg.SRVGGNetCompact",
        args={"num_feat": config.width, "num_conv": config.depth, "upscale": config.scale},
        scale=config.scale,
        radius=config.depth + 2,
        dtypes=("bf16",),
        summary=f"trained for x{config.scale} by gantool train --task upscale",
    )
    save_model(path, state, row, half=True)
