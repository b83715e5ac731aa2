"""Train EDSR on photographs and their reductions (Lim et al. 2017, 1707.02921).

Section 4.2: L1, Adam at 1e-4 halved every 200,000 steps, crops of 48 px, batches of 16, pictures turned and
mirrored. Width 64 with 16 blocks is the baseline net, ``--set width=256 --set blocks=32 --set residual=0.1``
the large one; x3 and x4 are best started from a trained x2 (``init``). EMA and other degradations are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from gantool import data, percept, superres, training, upscalers
from gantool.settings import param
from gantool.training import Ema, Loop, TrainRequest

LAYOUTS = ("photos",)


@dataclass
class Config(superres.PairConfig):
    """Parameters of ``gantool train --task edsr``."""

    width: int = param(64, "channels of the net", low=1)
    blocks: int = param(16, "residual blocks", low=1)
    residual: float = param(1.0, "share of a block's residual that is added (0.1 for wide nets)", low=0)
    lr: float = param(1e-4, "learning rate of Adam", low=1e-8)
    halve: int = param(200_000, "steps after which the rate is halved, again and again", low=1)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    found, fabric = data.find_photos(request.data), training.fabric_for(request)
    run, config = training.open_run(request, Config, lambda c: 300_000, found, fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    pairs = superres.Pairs(config)
    kept_out, paths = data.split(found, config.holdout, run.seed)
    photos, held = data.photos(paths, pairs.prepare), pairs.held(kept_out)
    training.seed_step(run.seed, 0)
    layout = upscalers.edsr(config.scale, config.width, config.blocks, config.residual)
    net = superres.net_of(layout)
    if config.init and not run.resumed:
        request.say(superres.start_from(net, config.init))
    ema, eye = Ema(net, config.ema), percept.load(fabric.device, model=config.eye)
    learnt = [p for p in net.parameters() if p.requires_grad]  # the mean shifts are fixed
    optimizer = torch.optim.Adam(learnt, lr=config.lr, betas=(0.9, 0.999))
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
        lr = config.lr * training.halved(step, config.halve)
        training.set_lr(optimizer, lr)
        optimizer.zero_grad(set_to_none=True)
        batch = fabric.to_device(next(feed))
        for (low, high), last in training.micro_batches(batch, request.accumulate):
            with fabric.no_backward_sync(model, enabled=not last):
                loss = F.l1_loss(enlarge(low), high)
                fabric.backward(loss / request.accumulate)
            loop.report(step, l1=loss)
        if loop.due(step):
            loop.report(step, grad_norm=training.grad_norm(fabric, net), lr=lr)
        optimizer.step()
        ema.update(net, step)
    for path in photos.bad:
        request.warn(f"left out: {path} (unreadable or smaller than a crop)")
    return run.model
