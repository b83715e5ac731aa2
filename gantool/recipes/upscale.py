"""Train a compact super-resolution net (SRVGGNetCompact) on photographs and their reductions.

Low-resolution inputs are made with MATLAB's ``imresize`` (the field's benchmark degradation) unless asked
otherwise; the loss is L1, as in EDSR (Lim et al. 2017), with Adam and a cosine schedule.
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
    """Parameters of ``gantool train --task upscale``."""

    width: int = param(64, "channels of the net", low=1)
    depth: int = param(16, "convolutions between the first and the last", low=0)
    lr: float = param(5e-4, "highest learning rate of Adam", low=1e-8)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    found, fabric = data.find_photos(request.data), training.fabric_for(request)
    run, config = training.open_run(request, Config, lambda c: 100_000, found, fabric)
    share = training.share_of(fabric, config.batch, request.accumulate)
    pairs = superres.Pairs(config)
    kept_out, paths = data.split(found, config.holdout, run.seed)
    photos, held = data.photos(paths, pairs.prepare), pairs.held(kept_out)
    training.seed_step(run.seed, 0)
    layout = upscalers.compact(config.width, config.depth, config.scale)
    net = superres.net_of(layout)
    if config.init and not run.resumed:
        request.say(superres.start_from(net, config.init))
    ema, eye = Ema(net, config.ema), percept.load(fabric.device, model=config.eye)
    optimizer = torch.optim.Adam(net.parameters(), lr=config.lr, betas=(0.9, 0.99))
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
        lr = config.lr * training.cosine(step, run.steps)
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
