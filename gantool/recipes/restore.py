"""Train a net that mends old photographs and films, on good photographs that are spoiled on the way.

What spoils them is a recipe of ``degrade`` (old-film unless asked otherwise). Mending places and undoing
fading are learned apart, each against its own truth: fading is a matter of the whole picture that no part can
tell, and errors of tone would drown those of places. So a whole picture is spoiled and a crop of it trained
on, with the whole beside it. The loss of places is Charbonnier's, a smooth L1 (Lai et al. 2017, 1704.03915),
and ``square`` times the squared error, to which scratches and dust, few and strong, matter more; ``percept``
adds the distance in a perceptual net's features, which keeps texture. That of the tone is squared error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool import data, degrade, percept, training
from gantool.errors import UsageError
from gantool.loading import save_model
from gantool.models.restorer import RestoreUNet, ToneCurve
from gantool.settings import degradation_param, param, path_param
from gantool.training import Ema, Loop, TrainRequest

LAYOUTS = ("photos",)
_SOFT = 1e-3  # Charbonnier's epsilon


@dataclass
class Config:
    """Parameters of ``gantool train --task restore``."""

    width: int = param(16, "a third of the channels at half size; 5, 8 and 10 times this below", low=2)
    blocks: int = param(1, "residual blocks at each size", low=1)
    crop: int = param(128, "side of a training crop, px; a multiple of 16", low=16)
    batch: int = param(8, "pictures per step", low=1)
    degrade: str = degradation_param(
        "old-film", "what spoils the photographs: a recipe of `gantool degrade`, and its parameters"
    )
    preset: str = param("mixed", "of old-film: light, medium, heavy or mixed")
    square: float = param(5.0, "weight of the squared error", low=0)
    percept: float = param(0.0, "weight of the perceptual distance", low=0)
    eye: str = path_param("auto", "perceptual net: auto, builtin, vgg19, or a run or file of --task percept")
    lr: float = param(1e-3, "highest learning rate of AdamW", low=1e-8)
    decay: float = param(1e-4, "weight decay", low=0)
    ema: float = param(0.999, "decay of the averaged weights; 0 = none", low=0, high=1)
    init: str = path_param("", "a model file to start from")
    holdout: int = param(32, "photographs kept out of training, for samples and scores", low=0)
    workers: int = param(-1, "processes that prepare data; -1 = by device", low=-1)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    found, fabric = data.find_photos(request.data), training.fabric_for(request)
    run, config = training.open_run(request, Config, lambda c: 100_000, found, fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    kept_out, paths = data.split(found, config.holdout, run.seed)
    spoil = _recipe(config).ready(data.readable(paths))
    photos = data.photos(paths, lambda image: _shrink(image, config))
    training.seed_step(run.seed, 0)
    net = RestoreUNet(_widths(config), config.blocks)
    if config.init and not run.resumed:
        request.say(training.start_from(net, config.init))
    ema = Ema(net, config.ema)
    optimizer = torch.optim.AdamW(net.parameters(), config.lr, (0.9, 0.99), weight_decay=config.decay)
    model, optimizer = training.set_up(fabric, request, _Learner(net), optimizer)
    ema.to(fabric.device)
    eye = percept.for_loss(fabric.device, config.eye, percept=config.percept)
    held = _held(kept_out, config, spoil)

    def sample(done: int) -> dict[str, float]:
        with ema.applied(net):
            return _sample(net, held, run.sheet(done), fabric)

    def export(path: Path) -> None:
        _export(path, run, config, ema.state)

    parts = {"net": net, "ema": ema, "optimizer": optimizer}
    loop = Loop(run, request, fabric, config.batch, parts, sample, export)
    request.say(data.told(len(paths), "photograph", len(held), run.steps))

    def crop(item: tuple[np.ndarray, ...], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return _crop(item, rng, config, spoil)

    dataset = data.Steps(photos, crop, config.batch, run.seed, share)
    feed = data.batches(dataset, loop.start, loop.stop, config.workers, fabric.device)
    for step in loop:
        lr = config.lr * training.cosine(step, run.steps, warmup=200)
        training.set_lr(optimizer, lr)
        optimizer.zero_grad(set_to_none=True)
        batch = fabric.to_device(next(feed))
        for (bad, faded, good, whole), last in training.micro_batches(batch, request.accumulate):
            with fabric.no_backward_sync(model, enabled=not last):
                mended, toned = model(bad, faded, whole)
                error = mended - faded
                terms = {"pixels": (error.square() + _SOFT**2).sqrt().mean()}
                terms["tone"] = F.mse_loss(toned, good)
                total = terms["pixels"] + config.square * error.square().mean() + terms["tone"]
                if eye is not None:
                    terms["percept"] = eye(_rgb(mended.clamp(0, 1)), _rgb(faded)).mean()
                    total = total + config.percept * terms["percept"]
                fabric.backward(total / request.accumulate)
            loop.report(step, **terms)
        if loop.due(step):
            loop.report(step, grad_norm=training.grad_norm(fabric, net), lr=lr)
        fabric.clip_gradients(model, optimizer, max_norm=1.0)
        optimizer.step()
        ema.update(net, step)
    for path in photos.bad:
        request.warn(f"left out: {path} (unreadable or smaller than a crop)")
    return run.model


class _Learner(nn.Module):
    """Both parts of the net in one forward pass, each on what it learns from."""

    def __init__(self, net: RestoreUNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, bad: Tensor, faded: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
        """(N,1,h,w) spoiled, only faded, and all of the spoiled one -> mended (as faded), and faded toned."""
        mended = self.net.mended(bad)
        return mended, self.net.tone(faded, whole, mended - bad)


def _rgb(light: Tensor) -> Tensor:
    """(N,1,H,W) -> (N,3,H,W)."""
    return light.expand(-1, 3, -1, -1)


def _widths(config: Config) -> list[int]:
    return [config.width * factor for factor in (3, 5, 8, 10)]


def _recipe(config: Config) -> degrade.Recipe:
    if config.crop % 16:
        raise UsageError(f"crop={config.crop} is not a multiple of 16", remedy="Try --set crop=128")
    presets = {"preset": config.preset} if _name(config) == "old-film" else {}
    return degrade.spoiler(config.degrade, **presets)


def _name(config: Config) -> str:
    return config.degrade.split(" ")[0]


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


def _crop(
    item: tuple[np.ndarray, ...], rng: np.random.Generator, config: Config, spoil: degrade.Recipe
) -> tuple[np.ndarray, ...]:
    """The same square of a picture at a random size, spoiled, only faded, and good (1,h,w), and all of the
    spoiled one, small; lightness in [0,1]."""
    (image,) = item
    least = config.crop / min(image.shape[:2])
    if rng.random() < 0.75:
        factor = rng.uniform(least, 1)
        size = tuple(max(config.crop, round(side * factor)) for side in image.shape[1::-1])
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    image = np.ascontiguousarray(image[:, ::-1] if rng.random() < 0.5 else image)
    pictures = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in spoil.stages(image, rng)]
    top, left = (int(rng.integers(side - config.crop + 1)) for side in image.shape[:2])
    parts = [picture[top : top + config.crop, left : left + config.crop] for picture in pictures]
    small = cv2.resize(pictures[0], (ToneCurve.SIDE, ToneCurve.SIDE), interpolation=cv2.INTER_AREA)
    return tuple(np.divide(picture[None], 255, dtype=np.float32) for picture in (*parts, small))


def _held(paths: Sequence[Path], config: Config, spoil: degrade.Recipe) -> list[tuple[Tensor, Tensor]]:
    """(spoiled, good) centre squares of photographs kept out, each (3,h,w) in [0,1], 1.5 crops wide."""
    pairs, side = [], 3 * config.crop // 32 * 16
    for number, path in enumerate(paths):
        image = data.read_rgb(path)
        if image is None or min(image.shape[:2]) < side:
            continue
        short = min(image.shape[:2])
        top, left = (image.shape[0] - short) // 2, (image.shape[1] - short) // 2
        square = image[top : top + short, left : left + short]
        square = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)
        pair = spoil.pair(square, data.step_rng(0, 7, number))
        pairs.append(tuple(torch.from_numpy(data.to_chw(picture)) for picture in pair))
    return pairs


@torch.no_grad()
def _sample(
    net: nn.Module, held: Sequence[tuple[Tensor, Tensor]], path: Path, fabric: Any
) -> dict[str, float]:
    """Write rows of (spoiled, mended, good); mean PSNR of ours and of what went in, dB."""
    if not held:
        return {}
    bad, good = (torch.stack([pair[i] for pair in held]) for i in (0, 1))
    with fabric.autocast():
        ours = torch.cat([net(part.to(fabric.device)).float().cpu() for part in bad.split(8)]).clamp(0, 1)
    rows = [[training.to_image(x[i]) for x in (bad, ours, good)] for i in range(min(8, len(held)))]
    training.save_grid(path, rows)

    def psnr(x: Tensor) -> float:
        return float((-10 * (x - good).square().mean((1, 2, 3)).clamp_min(1e-10).log10()).mean())

    return {"psnr": psnr(ours), "psnr_input": psnr(bad)}


def _export(path: Path, run: training.Run, config: Config, state: dict[str, Tensor]) -> None:
    row = training.trained_row(
        run,
        task="translate",
        arch="restorer.RestoreUNet",
        args={"widths": _widths(config), "blocks": config.blocks},
        multiple=16,
        keeps_gray=True,
        whole=True,
        dtypes=("bf16",),
        summary=f"mends {_name(config)}; trained by gantool train --task restore",
    )
    save_model(path, state, row, half=True)
