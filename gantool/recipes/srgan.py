"""Train SRGAN: super-resolution against a critic, the first of its kind (Ledig et al. 2017, 1609.04802).

Section 2.2: L = 0.006 x squared distance of VGG19's last features (the paper divides features by 12.75)
+ 1e-3 x adversarial; pixels count only if asked for. It starts from an SRResNet: ``init=FILE``, or
``pretrain=STEPS`` of this run by squared error alone. Section 3.2: Adam at 1e-4, and 1e-5 for the second half
of 200,000 steps; crops whose large side is 96 px, batches of 16. Other games, critics and generators,
degradations of chance and EMA are options.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F

from gantool import superres
from gantool.settings import param
from gantool.training import TrainRequest

LAYOUTS = ("photos",)


@dataclass
class Config(superres.AdversarialConfig):
    """Parameters of ``gantool train --task srgan``."""

    gan: str = param("vanilla", "vanilla, relativistic, lsgan, hinge, wgan (clipped weights) or wgangp")
    patch: int = param(24, "side of a low-resolution training crop, px", low=8)
    generator: str = param("srresnet", "srresnet, msrresnet, rrdb or compact")
    layers: str = param("relu5_4", "layers of VGG19 to be alike in, such as 'relu2_2 relu5_4:0.5'")
    feature: float = param(0.006, "weight of the squared distance of features", low=0)
    adversarial: float = param(1e-3, "weight of the critic's opinion", low=0)
    mse: float = param(0.0, "weight of the squared distance of pixels", low=0)
    pretrain_lr: float = param(1e-4, "learning rate of the first steps without a critic", low=1e-8)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    learner = superres.Learner(request, Config, lambda c: c.pretrain + 200_000)
    config = learner.config
    return superres.against_critic(
        learner,
        pixels=("mse", F.mse_loss),
        features="l2",
        weights={"mse": config.mse, "feature": config.feature, "g": config.adversarial},
        betas=(0.9, 0.999),
        factor=lambda step, steps: superres.stepped(step, steps, (0.5,), 0.1),
    )
