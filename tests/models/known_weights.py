"""Weights and pictures by formula, the same on every machine, for comparing two programs' nets.

``released_layouts.json`` beside this file was recorded with them from the nets of
pytorch-CycleGAN-and-pix2pix (its commit da39a525): names and shapes of every tensor, and figures of the
output. No code of that project is needed to check gantool's nets against the record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor


def _wave(count: int, seed: int) -> Tensor:
    """``count`` values in [-1,1] without a visible order: the fraction of a growing sine."""
    steps = torch.arange(count, dtype=torch.float64)
    wave = torch.sin(steps * (12.9898 + seed) + seed) * 43758.5453
    return (wave - wave.floor()) * 2 - 1


def fill(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """New values for every tensor of a state dict, such that activations keep their size."""
    filled: dict[str, Tensor] = {}
    for seed, name in enumerate(sorted(state)):
        old = state[name]
        values = _wave(old.numel(), seed).reshape(old.shape)
        if name.endswith("num_batches_tracked"):
            filled[name] = torch.full_like(old, 7)
            continue
        if old.ndim == 4:
            values = values * math.sqrt(3 / (old.shape[1] * old.shape[2] * old.shape[3]))
        elif name.endswith("running_var"):
            values = 1 + values / 2
        elif name.endswith("weight"):
            values = 1 + values / 4
        else:
            values = values / 4
        filled[name] = values.to(old.dtype)
    return filled


def settled(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The vectors of torch's first spectral norm replaced by those that its power iteration converges to.

    Otherwise the largest singular value would be that of chance.
    """
    new = dict(state)
    for name in [n for n in state if n.endswith("weight_orig")]:
        left, _, right = torch.linalg.svd(state[name].flatten(1).double(), full_matrices=False)
        new[name.replace("_orig", "_u")] = left[:, 0].float()
        new[name.replace("_orig", "_v")] = right[0].float()
    return new


def picture(channels: int, height: int, width: int) -> Tensor:
    """A picture (1,channels,height,width) in [-1,1] with smooth and rough parts."""
    y = torch.arange(height, dtype=torch.float64)[:, None] / 17
    x = torch.arange(width, dtype=torch.float64) / 23
    planes = [torch.sin(x * (c + 1) + y) * torch.cos(y * (c + 2) - x) for c in range(channels)]
    rough = _wave(channels * height * width, 3).reshape(channels, height, width)
    return (0.8 * torch.stack(planes) + 0.2 * rough)[None].float()


def figures(y: Tensor) -> dict[str, object]:
    """Shape, mean, standard deviation and 24 values spread over an output."""
    flat = y.detach().double().flatten()
    places = torch.linspace(0, flat.numel() - 1, 24).round().long()
    return {
        "shape": list(y.shape),
        "mean": round(float(flat.mean()), 6),
        "std": round(float(flat.std()), 6),
        "values": [round(v, 5) for v in flat[places].tolist()],
    }
