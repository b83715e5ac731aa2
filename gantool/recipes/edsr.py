"""Train EDSR on photographs and their reductions (Lim et al. 2017, 1707.02921).

Section 4.2: L1, Adam at 1e-4 halved every 200,000 steps, crops of 48 px, batches of 16, pictures turned and
mirrored. Width 64 with 16 blocks is the baseline net, ``--set width=256 --set blocks=32 --set residual=0.1``
the large one; x3 and x4 are best started from a trained x2 (``init``). EMA and other degradations are ours.
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
    """Parameters of ``gantool train --task edsr``."""

    width: int = param(64, "channels of the net", low=1)
    blocks: int = param(16, "residual blocks", low=1)
    residual: float = param(1.0, "share of a block's residual that is added (0.1 for wide nets)", low=0)
    lr: float = param(1e-4, "learning rate of Adam", low=1e-8)
    halve: int = param(200_000, "steps after which the rate is halved, again and again", low=1)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    learner = superres.Learner(request, Config, lambda c: 300_000)
    config = learner.config
    return superres.by_pixels(
        learner,
        layout=upscalers.edsr(config.scale, config.width, config.blocks, config.residual),
        loss=("l1", F.l1_loss),
        betas=(0.9, 0.999),
        rate=lambda step: config.lr * training.halved(step, config.halve),
    )
