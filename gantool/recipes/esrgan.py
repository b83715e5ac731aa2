"""Train ESRGAN: detail that a net trained for PSNR does not dare (Wang et al. 2018, 1809.00219).

Section 3: RRDBNet; a critic that tells whether a real picture looks more real than the generated ones do
(relativistic average); features of VGG19 *before* the activation; L = features + 5e-3 x adversarial
+ 0.01 x L1. It starts from a net trained for PSNR: ``init=FILE``, or ``pretrain=STEPS`` of this run. Section
4.1: Adam at 1e-4, halved at 1/8, 1/4, 1/2 and 3/4 of 400,000 steps; crops whose large side is 128 px, batches
of 16. Compact generators, other games and critics, degradations of chance (Real-ESRGAN, 2107.10833) and EMA
are options.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F

from gantool import superres
from gantool.settings import param
from gantool.training import TrainRequest

LAYOUTS = ("photos",)
HALVED_AT = (1 / 8, 1 / 4, 1 / 2, 3 / 4)


@dataclass
class Config(superres.AdversarialConfig):
    """Parameters of ``gantool train --task esrgan``."""

    gan: str = param("relativistic", "relativistic, vanilla, lsgan, hinge, wgan (clipped weights) or wgangp")
    patch: int = param(32, "side of a low-resolution training crop, px", low=8)
    feature: float = param(1.0, "weight of the L1 distance of features", low=0)
    adversarial: float = param(5e-3, "weight of the critic's opinion", low=0)
    l1: float = param(0.01, "weight of the L1 distance of pixels", low=0)


def train(request: TrainRequest) -> Path:
    """Train or go on training; returns the path of ``model.safetensors``."""
    learner = superres.Learner(request, Config, lambda c: c.pretrain + 400_000)
    config = learner.config
    return superres.against_critic(
        learner,
        pixels=("l1", F.l1_loss),
        features="l1",
        weights={"l1": config.l1, "feature": config.feature, "g": config.adversarial},
        betas=(0.9, 0.99),
        factor=lambda step, steps: superres.stepped(step, steps, HALVED_AT, 0.5),
    )
