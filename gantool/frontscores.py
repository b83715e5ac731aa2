"""How near a net in training comes to the front views of people whom it never trains on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gantool import training
from gantool.facepairs import HELD_YAWS
from gantool.identity import Identity


@torch.no_grad()
def scores(
    net: nn.Module,
    held: Sequence[tuple[np.ndarray, ...]],
    judge: Identity | None,
    path: Path,
    fabric: Any,
    health: training.Health,
    done: int,
) -> dict[str, float]:
    """Write (side, ours, front) of up to six people, one a row by yaw; how near ours are to the fronts.

    Mean L1 in [0,1] (of the side as well, and from 60 degrees on), PSNR in dB, cosine of identity.
    """
    if not held:
        return {}
    side, front, corners = (torch.stack([torch.from_numpy(item[i]) for item in held]) for i in range(3))
    made, cosines = [], []
    for x, truth, corner in zip(side.split(8), front.split(8), corners.split(8), strict=True):
        x, truth = x.to(fabric.device), truth.to(fabric.device)
        with fabric.autocast():
            ours = net(x, corner.to(fabric.device)).float()
        made.append(ours.cpu())
        if judge is not None:
            cosines.append(torch.stack([judge.cosine(ours, truth), judge.cosine(x, truth)]).cpu())
    x, ours, truth = ((part + 1) / 2 for part in (side, torch.cat(made), front))
    wide = min(len(HELD_YAWS), len(held))
    trios = [[training.to_image(part[i]) for part in (x, ours, truth)] for i in range(len(held))]
    rows = [list(itertools.chain(*trios[i : i + wide])) for i in range(0, len(held) - wide + 1, wide)]
    training.save_grid(path, rows[:6])
    health.samples(done, *(np.stack([trio[i] for trio in trios[:6]]) for i in range(3)))
    error = (ours - truth).abs().mean((1, 2, 3))
    found = {
        "psnr": float(-10 * (ours - truth).square().mean((1, 2, 3)).clamp_min(1e-10).log10().mean()),
        "held_l1": float(error.mean()),
        "held_l1_input": float((x - truth).abs().mean()),
    }
    steep = torch.tensor([float(item[3]) >= 60 for item in held])
    if steep.any():
        found["held_l1_60"] = float(error[steep].mean())
    if cosines:
        found["identity_held"], found["identity_input"] = torch.cat(cosines, 1).mean(1).tolist()
    return found
