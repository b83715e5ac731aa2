"""Train SRResNet on photographs and their reductions: the net from which SRGAN starts.

Ledig et al. 2017 (1609.04802), section 3.2: squared error, Adam at 1e-4, batches of 16 crops whose large
side is 96 px, a million steps. ``--set generator=msrresnet --set loss=l1 --set lr=2e-4 --set patch=32`` is
BasicSR's form, without batch norm. EMA and other degradations are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from gantool import data, percept, superres, training
from gantool.errors import UsageError
from gantool.settings import param
from gantool.training import Ema, Loop, TrainRequest

LAYOUTS = ("photos",)
LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss}


@dataclass
class Config(superres.PairConfig):
    """Parameters of ``gantool train --task srresnet``."""

    patch: int = param(24, "side of a low-resolution training crop, px", low=8)
    generator: str = param("srresnet", "srresnet (the paper's) or msrresnet (BasicSR's, without batch norm)")
    width: int = param(64, "channels of the net", low=1)
    blocks: int = param(16, "residual blocks", low=1)
    loss: str = param("mse", "mse or l1")
    lr: float = param(1e-4, "learning rate of Adam", low=1e-8)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    found, fabric = data.find_photos(request.data), training.fabric_for(request)
    run, config = training.open_run(request, Config, lambda c: 1_000_000, found, fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    if config.loss not in LOSSES:
        raise UsageError(f"no loss called '{config.loss}'", remedy=f"Known: {', '.join(LOSSES)}")
    pairs, apart = superres.Pairs(config), LOSSES[config.loss]
    kept_out, paths = data.split(found, config.holdout, run.seed)
    photos, held = data.photos(paths, pairs.prepare), pairs.held(kept_out)
    training.seed_step(run.seed, 0)
    layout = superres.generator(config.generator, config.scale, config.width, config.blocks)
    net = superres.net_of(layout)
    if config.init and not run.resumed:
        request.say(superres.start_from(net, config.init))
    ema, eye = Ema(net, config.ema), percept.load(fabric.device, model=config.eye)
    optimizer = torch.optim.Adam(net.parameters(), lr=config.lr, betas=(0.9, 0.999))
    model, optimizer = training.set_up(fabric, request, net, optimizer)
    enlarge = superres.enlarger(model, layout)
    ema.to(fabric.device)

    def sample(done: int) -> dict[str, float]:
        with ema.applied(net):
            return held.score(net, layout, eye, loop, done)

    def export(path: Path) -> None:
        superres.export(path, run, layout, ema.state, request.task)

    parts = {"net": net, "ema": ema, "optimizer": optimizer}
    loop = Loop(run, request, fabric, config.batch, parts, sample, export)
    request.say(f"{len(paths)} photographs to train on, {len(held)} kept out; {run.steps} steps")
    dataset = data.Steps(photos, pairs.crop, config.batch, run.seed, share)
    feed = data.batches(dataset, loop.start, loop.stop, config.workers, fabric.device)
    for step in loop:
        optimizer.zero_grad(set_to_none=True)
        batch = fabric.to_device(next(feed))
        for (low, high), last in training.micro_batches(batch, request.accumulate):
            with fabric.no_backward_sync(model, enabled=not last):
                loss = apart(enlarge(low), high)
                fabric.backward(loss / request.accumulate)
            loop.report(step, **{config.loss: loss})
        if loop.due(step):
            loop.report(step, grad_norm=training.grad_norm(fabric, net), lr=config.lr)
        optimizer.step()
        ema.update(net, step)
    for path in photos.bad:
        request.warn(f"left out: {path} (unreadable or smaller than a crop)")
    return run.model
