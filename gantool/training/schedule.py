"""Learning rates as functions of the step alone."""

from __future__ import annotations

import numpy as np
import torch


def cosine(step: int, steps: int, warmup: int = 100, floor: float = 0.01) -> float:
    """Learning-rate factor: linear warm-up, then half a cosine to ``floor`` (Loshchilov & Hutter 2017)."""
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return floor + (1 - floor) * 0.5 * (1 + float(np.cos(np.pi * done)))


def linear_decay(step: int, steps: int, constant: float = 0.5) -> float:
    """Learning-rate factor: 1 for the first ``constant`` share of all steps, then straight down to 0.

    pix2pix and CycleGAN: 100 epochs, then 100 more to nothing.
    """
    return min(1.0, (1 - step / max(1, steps)) / max(1e-9, 1 - constant)) if constant < 1 else 1.0


def halved(step: int, every: int) -> float:
    """Learning-rate factor: halved every so many steps."""
    return 0.5 ** (step // every)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every parameter group the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr
