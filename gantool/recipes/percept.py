"""Train the small perceptual encoder on plain photographs, without labels.

Two tasks at once. **Repair**: from the last layers of blocks 3 to 5, a light decoder (a feature pyramid, Lin
et al. 2017) paints the photograph that was greyed, cut into or distorted: that takes features which know
colours, textures and what lies around a hole (context encoders, Pathak et al. 2016). **Order**: of pictures
made from one photograph, the distance ``percept`` must rank the worse one further away (``severity.py``).
The decoder is thrown away; batch norm, by which a stack this deep trains quickly, is folded into the
convolutions, so that the export is a plain VGG.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool import data, severity, training
from gantool.loading import save_model
from gantool.models.vgg import VGG19, fold_norm, layer_names
from gantool.percept import LAYERS, distance
from gantool.settings import param
from gantool.training import Ema, Loop, TrainRequest

MEAN, STD = [0.45, 0.45, 0.45], [0.25, 0.25, 0.25]

LAYOUTS = ("photos",)


@dataclass
class Config:
    """Parameters of ``gantool train --task percept``."""

    width: float = param(0.25, "channels, as a share of VGG19's", low=0.02, high=1)
    batch: int = param(16, "photographs per step; four versions of each go through the net", low=1)
    crop: int = param(64, "side of a training crop, px; a multiple of 16", low=32)
    lr: float = param(2e-3, "highest learning rate of AdamW", low=1e-8)
    decay: float = param(0.02, "weight decay", low=0)
    order: float = param(0.3, "weight of the ranking loss; that of the repair loss is 1", low=0)
    softness: float = param(0.2, "gap of log distances at which a pair counts as ranked", low=1e-3)
    ema: float = param(0.998, "decay of the averaged weights", low=0, high=1)
    holdout: int = param(64, "photographs kept out of training, for samples and scores", low=0)
    workers: int = param(-1, "processes that prepare data; -1 = by device", low=-1)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    found, fabric = data.find_photos(request.data), training.fabric_for(request)
    run, config = training.open_run(request, Config, lambda c: 30_000, found, fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    _check(config)
    kept_out, paths = data.split(found, config.holdout, run.seed)
    photos = data.photos(paths, lambda image: _shrink(image, config))
    training.seed_step(run.seed, 0)
    net = Learner(config.width)
    ema = Ema(net, config.ema)
    optimizer = torch.optim.AdamW(_groups(net, config.decay), lr=config.lr, betas=(0.9, 0.99))
    model, optimizer = training.set_up(fabric, request, net, optimizer)
    ema.to(fabric.device)
    held = _held(kept_out, config, run.seed)

    def sample(done: int) -> dict[str, float]:
        with ema.applied(net):
            return _sample(net, held, run.sheet(done), fabric.device, config.softness)

    def export(path: Path) -> None:
        with ema.applied(net):
            _export(path, run, config, net)

    parts = {"net": net, "ema": ema, "optimizer": optimizer}
    loop = Loop(run, request, fabric, config.batch, parts, sample, export, better="-disorder")
    request.say(data.told(len(paths), "photograph", len(held), run.steps))
    dataset = data.Steps(photos, lambda item, rng: _crop(item, rng, config), config.batch, run.seed, share)
    feed = data.batches(dataset, loop.start, loop.stop, config.workers, fabric.device)
    for step in loop:
        training.set_lr(optimizer, config.lr * training.cosine(step, run.steps, warmup=100))
        optimizer.zero_grad(set_to_none=True)
        for batch, last in training.micro_batches(fabric.to_device(next(feed)), request.accumulate):
            with fabric.no_backward_sync(model, enabled=not last):
                repaired, near, far = model(*batch)
                repair, order = F.l1_loss(repaired, batch[0]), order_loss(near, far, config.softness)
                fabric.backward((repair + config.order * order) / request.accumulate)
            loop.report(step, repair=repair, order=order, ranked=(near < far).float().mean())
        if loop.due(step):
            loop.report(step, grad_norm=training.grad_norm(fabric, net))
        optimizer.step()
        ema.update(net, step)
    for path in photos.bad:
        request.warn(f"left out: {path} (unreadable or smaller than a crop)")
    return run.model


def order_loss(near: Tensor, far: Tensor, softness: float) -> Tensor:
    """Cross-entropy of "far is further than near", on logarithms: a pair counts alike at any severity.

    RankNet (Burges et al. 2005) with the log ratio of two distances (N,), divided by ``softness``, as logit.
    """
    return F.softplus((near.clamp_min(1e-7).log() - far.clamp_min(1e-7).log()) / softness).mean()


class Learner(nn.Module):
    """The encoder with batch norm behind every convolution, and the decoder of the repair task."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.net = VGG19(width, pool="avg", mean=MEAN, std=STD)
        convs = {str(i): m for i, m in enumerate(self.net.features) if isinstance(m, nn.Conv2d)}
        self.norms = nn.ModuleDict({i: nn.BatchNorm2d(conv.out_channels) for i, conv in convs.items()})
        for conv in convs.values():
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        self.decoder = Decoder([convs[i].out_channels for i in ("14", "23", "32")])

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """Activations of :data:`gantool.percept.LAYERS` with batch norm."""
        y, found = self.net.normalised(x), {}
        for index, (name, layer) in enumerate(zip(layer_names(), self.net.features, strict=False)):
            y = layer(y)
            if str(index) in self.norms:
                y = self.norms[str(index)](y)
            if name in LAYERS:
                found[name] = y
        return found

    def forward(
        self, clean: Tensor, damaged: Tensor, reference: Tensor, near: Tensor, far: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All (N,3,H,W) -> the repaired picture (N,3,H,W), and the distances of near and far (N,)."""
        count = len(clean)
        everything = self.features(training.channels_last(torch.cat((damaged, reference, near, far))))
        parts = [{k: v[i * count : (i + 1) * count] for k, v in everything.items()} for i in range(4)]
        repaired = self.decoder([parts[0][name] for name in ("relu3_4", "relu4_4", "relu5_4")])
        return repaired.float(), distance(parts[2], parts[1], LAYERS), distance(parts[3], parts[1], LAYERS)

    def folded(self) -> dict[str, Tensor]:
        """State of the plain net that does what this one does in eval mode."""
        state = {}
        for index, norm in self.norms.items():
            weight, bias = fold_norm(self.net.features[int(index)], norm)  # type: ignore[arg-type]
            state |= {f"features.{index}.weight": weight, f"features.{index}.bias": bias}
        return state


class Decoder(nn.Module):
    """From the last activations of blocks 3 to 5 to RGB; the fine end is a pixel shuffle, which is cheap."""

    def __init__(self, channels: Sequence[int], width: int = 64) -> None:
        super().__init__()
        self.sides = nn.ModuleList([nn.Conv2d(c, width, 1) for c in channels])
        self.joints = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in channels])
        self.paint = nn.Conv2d(width, 3 * 4 * 4, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        y: Tensor | None = None
        for feature, side, joint in reversed(list(zip(features, self.sides, self.joints, strict=True))):
            here = side(feature)
            if y is not None:
                here = here + F.interpolate(y, size=here.shape[-2:], mode="nearest")
            y = F.relu(joint(here))
        assert y is not None
        return F.pixel_shuffle(self.paint(y), 4)


def _check(config: Config) -> None:
    from gantool.errors import UsageError

    if config.crop % 16:
        raise UsageError(f"crop={config.crop} is not a multiple of 16", remedy="Try --set crop=64")


def _groups(net: nn.Module, decay: float) -> list[dict[str, object]]:
    """Weight decay for convolution kernels only, not for biases and norms."""
    kernels = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _shrink(image: np.ndarray, config: Config) -> tuple[np.ndarray] | None:
    """Keep at most four crops of short side in memory; None if the photo is smaller than a crop."""
    short = min(image.shape[:2])
    if short < config.crop:
        return None
    factor = 4 * config.crop / short
    if factor < 1:
        size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return (image,)


def _crop(item: tuple[np.ndarray, ...], rng: np.random.Generator, config: Config) -> tuple[np.ndarray, ...]:
    """A random square at a random scale -> clean, damaged, reference, nearer, further; each (3,h,w)."""
    (image,) = item
    short = min(image.shape[:2])
    side = int(rng.integers(config.crop, short + 1))
    if rng.random() < 0.5:  # as sharp as the photograph is
        side = config.crop
    top = int(rng.integers(image.shape[0] - side + 1))
    left = int(rng.integers(image.shape[1] - side + 1))
    square = cv2.resize(
        image[top : top + side, left : left + side], (config.crop, config.crop), interpolation=cv2.INTER_AREA
    )
    (square,) = data.augment((square,), rng, turn=False)
    clean = square.astype(np.float32) / 255
    pictures = (clean, damaged(clean, rng), *severity.ordered(clean, rng))
    return tuple(np.ascontiguousarray(p.transpose(2, 0, 1)) for p in pictures)


def damaged(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Something to repair: grey (one in three), holes (two in three), distorted (one in three)."""
    result = image.copy()
    if rng.random() < 1 / 3:
        distort = severity.HARMFUL[str(rng.choice(list(severity.HARMFUL)))]
        result = distort(result, rng.uniform(0, 0.8), rng).copy()
    if rng.random() < 1 / 3:
        result[:] = cv2.cvtColor(result, cv2.COLOR_RGB2GRAY)[..., None]
    if rng.random() < 2 / 3:
        height, width = image.shape[:2]
        for _ in range(rng.integers(1, 6)):
            h, w = (int(n * rng.uniform(0.1, 0.4)) for n in (height, width))
            top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
            result[top : top + h, left : left + w] = rng.random(3)
    return result


def _held(paths: Sequence[Path], config: Config, seed: int) -> list[tuple[Tensor, ...]]:
    """One fixed sample of each photo kept out; unusable photos are left out."""
    samples = []
    for number, path in enumerate(paths):
        image = data.read_rgb(path)
        item = None if image is None else _shrink(image, config)
        if item is not None:
            arrays = _crop(item, data.step_rng(seed, 6, number), config)
            samples.append(tuple(torch.from_numpy(a) for a in arrays))
    return samples


@torch.no_grad()
def _sample(
    net: Learner, held: Sequence[tuple[Tensor, ...]], path: Path, device: torch.device, softness: float
) -> dict[str, float]:
    """Write rows of (damaged, repaired, clean); return PSNR of the repair (dB), the share ranked
    right, and the ranking loss, by which the best export is chosen.
    """
    if not held:
        return {}
    errors, right, loss, rows = [], [], [], []
    for start in range(0, len(held), 8):
        batch = [torch.stack(part).to(device) for part in zip(*held[start : start + 8], strict=True)]
        repaired, near, far = net(*batch)
        errors += (repaired.clamp(0, 1) - batch[0]).square().mean((1, 2, 3)).clamp_min(1e-10).tolist()
        right += (near < far).float().tolist()
        loss += [order_loss(n, f, softness).item() for n, f in zip(near, far, strict=True)]
        if not rows:
            shown = zip(batch[1], repaired, batch[0], strict=True)
            rows = [[training.to_image(picture) for picture in row] for row in shown]
    training.save_grid(path, rows)
    psnr, ranked, disorder = -10 * np.log10(errors).mean(), np.mean(right), np.mean(loss)
    return {"psnr": float(psnr), "ranked_held": float(ranked), "disorder": float(disorder)}


def _export(path: Path, run: training.Run, config: Config, net: Learner) -> None:
    row = training.trained_row(
        run,
        task="percept",
        arch="vgg.VGG19",
        args={"width": config.width, "pool": "avg", "mean": MEAN, "std": STD},
        dtypes=("bf16",),
        summary="trained by gantool train --task percept",
    )
    save_model(path, net.folded(), row, half=True)
