"""Train a compact super-resolution net (SRVGGNetCompact) on photographs and their bicubic reductions.

Low-resolution inputs are made with MATLAB's ``imresize`` (the field's benchmark degradation); the loss is
L1, as in EDSR (Lim et al. 2017), with Adam and a cosine schedule. Runs in bf16 with channels-last.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gantool import data, training
from gantool.loading import read_state, save_model
from gantool.models.srvgg import SRVGGNetCompact
from gantool.ops.resize import matlab_resize, resize
from gantool.settings import param
from gantool.training import Ema, Loop, TrainRequest


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
    workers: int = param(0, "processes that prepare data", low=0)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    found, fabric = data.find_photos(request.data), training.fabric_for(request)
    run, config = training.open_run(request, Config, lambda c: 100_000)
    kept_out, paths = data.split(found, config.holdout, run.seed)
    photos = data.Photos(paths, lambda image: _pair(image, config))
    torch.manual_seed(run.seed)
    plain = SRVGGNetCompact(num_feat=config.width, num_conv=config.depth, upscale=config.scale)
    if config.init and not run.resumed:
        _start_from(plain, Path(config.init), request)
    ema = Ema(plain, config.ema)
    net = plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(net.parameters(), lr=config.lr, betas=(0.9, 0.99))
    model, optimizer = fabric.setup(net, optimizer)
    parts = {"net": plain, "ema": ema, "optimizer": optimizer}
    start = training.load_last(run, parts) if run.resumed else 0
    ema.state = {k: v.to(fabric.device) for k, v in ema.state.items()}
    held = [pair for pair in (_held_pair(p, config) for p in kept_out) if pair is not None]
    request.say(f"{len(paths)} photographs to train on, {len(held)} kept out; {run.steps} steps")

    def sample(done: int) -> dict[str, float]:
        with ema.applied(plain):
            return _sample(plain, held, config, run.folder / "samples" / f"{done:07d}.png", fabric.device)

    def save(done: int) -> None:
        training.save_last(run, done, parts)
        _export(run.model, run, config, ema.state)

    def keep() -> None:
        _export(run.best_model, run, config, ema.state)

    every = request.sample_every or 500
    loop = Loop(run, request, start, config.batch, save, sample, keep, sample_every=every)
    dataset = data.Steps(photos, lambda item, rng: _crop(item, rng, config), config.batch, run.seed)
    feed = data.batches(dataset, start, loop.stop, config.workers)
    for step in loop:
        low, high = (fabric.to_device(t) for t in next(feed))
        training.set_lr(optimizer, config.lr * training.cosine(step, run.steps))
        loss = F.l1_loss(model(low.contiguous(memory_format=torch.channels_last)).float(), high)
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(loss)
        loop.report(step, l1=loss)
        optimizer.step()
        ema.update(plain, step)
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


def _start_from(net: SRVGGNetCompact, path: Path, request: TrainRequest) -> None:
    """Copy every tensor whose name and shape fit; the last layer of another scale starts anew."""
    state, _ = read_state(path)
    own = net.state_dict()
    fitting = {k: v.to(own[k].dtype) for k, v in state.items() if k in own and own[k].shape == v.shape}
    own.update(fitting)
    net.load_state_dict(own)
    request.say(f"{len(fitting)} of {len(own)} tensors taken from {path}")


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
        licence="as the training data",
        summary=f"trained for x{config.scale} by gantool train --task upscale",
        made=f"steps {run.steps}, seed {run.seed}, {dataclasses.asdict(config)}",
    )
    save_model(path, state, row, half=True)
