"""Train a compact super-resolution net (SRVGGNetCompact) on photographs and their reductions.

Low-resolution inputs are made with MATLAB's ``imresize`` (the field's benchmark degradation) unless asked
otherwise; the loss is L1, as in EDSR (Lim et al. 2017), with Adam and a cosine schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F

from gantool import superres, training, upscalers
from gantool.settings import param
from gantool.training import TrainRequest

LAYOUTS = ("photos",)


@dataclass
class Config(superres.PairConfig):
    """Parameters of ``gantool train --task upscale``."""

    width: int = param(64, "channels of the net", low=1)
    depth: int = param(16, "convolutions between the first and the last", low=0)
    lr: float = param(5e-4, "highest learning rate of Adam", low=1e-8)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    learner = superres.Learner(request, Config, lambda c: 100_000)
    config, steps = learner.config, learner.run.steps
    return superres.by_pixels(
        learner,
        layout=upscalers.compact(config.width, config.depth, config.scale),
        loss=("l1", F.l1_loss),
        betas=(0.9, 0.99),
        rate=lambda step: config.lr * training.cosine(step, steps),
    )
