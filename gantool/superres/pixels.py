"""A training without a critic: by pixels, and by the texture around them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from gantool import losses, training
from gantool.anatomy import Layout
from gantool.superres.learner import Learner
from gantool.superres.nets import enlarger
from gantool.superres.pairs import PairConfig


def by_pixels(
    learner: Learner[PairConfig],
    layout: Layout,
    loss: tuple[str, Callable[[Tensor, Tensor], Tensor]],
    betas: tuple[float, float],
    rate: Callable[[int], float],
) -> Path:
    """Train a net to come near to its photographs, and to their ``texture`` if asked; returns the path of
    ``model.safetensors``.

    Args:
        layout: of the net.
        loss: its name in the log, and what it is of enlarged pictures and photographs.
        betas: of Adam.
        rate: the learning rate of a step.
    """
    fabric, accumulate, net = learner.fabric, learner.request.accumulate, learner.take(layout)
    learnt = [p for p in net.parameters() if p.requires_grad]  # EDSR's mean shifts are fixed
    optimizer = torch.optim.Adam(learnt, lr=rate(0), betas=betas)
    model, optimizer = training.set_up(fabric, learner.request, net, optimizer)
    enlarge, (name, distance), texture = enlarger(model, layout), loss, learner.config.texture
    loop = learner.loop(optimizer=optimizer)
    for step, batch in learner.steps(loop):
        lr = rate(step)
        training.set_lr(optimizer, lr)
        optimizer.zero_grad(set_to_none=True)
        for (low, high), last in training.micro_batches(batch, accumulate):
            with fabric.no_backward_sync(model, enabled=not last):
                made = enlarge(low)
                terms = {name: distance(made, high)}
                total = terms[name]
                if texture:
                    terms["texture"] = losses.texture_loss(made, high)
                    total = total + texture * terms["texture"]
                fabric.backward(total / accumulate)
            loop.report(step, **terms)
        if loop.due(step):
            loop.report(step, grad_norm=training.grad_norm(fabric, net), lr=lr)
        optimizer.step()
        learner.ema.update(net, step)
    return learner.run.model
