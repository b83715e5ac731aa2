"""Train SRResNet on photographs and their reductions: the net from which SRGAN starts.

Ledig et al. 2017 (1609.04802), section 3.2: squared error, Adam at 1e-4, batches of 16 crops whose large
side is 96 px, a million steps. ``--set generator=msrresnet --set loss=l1 --set lr=2e-4 --set patch=32`` is
BasicSR's form, without batch norm. EMA and other degradations are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F

from gantool import superres
from gantool.errors import UsageError
from gantool.settings import param
from gantool.training import TrainRequest

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
    learner = superres.Learner(request, Config, lambda c: 1_000_000)
    config = learner.config
    if config.loss not in LOSSES:
        raise UsageError(f"no loss called '{config.loss}'", remedy=f"Known: {', '.join(LOSSES)}")
    return superres.by_pixels(
        learner,
        layout=superres.generator(config.generator, config.scale, config.width, config.blocks),
        loss=(config.loss, LOSSES[config.loss]),
        betas=(0.9, 0.999),
        rate=lambda step: config.lr,
    )
