"""How near a net in training comes to the front views of people whom it never trains on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gantool import training
from gantool.facepairs import HELD_YAWS
from gantool.identity import Identity

_AT_ONCE = 8  # pictures, so that memory is enough on a GPU that trains


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
    made = []
    for x, corner in zip(side.split(_AT_ONCE), corners.split(_AT_ONCE), strict=True):
        with fabric.autocast():
            made.append(net(x.to(fabric.device), corner.to(fabric.device)).float().cpu())
    found = figures(side, torch.cat(made), front, judge, fabric.device)
    x, ours, truth = ((part + 1) / 2 for part in (side, torch.cat(made), front))
    wide = min(len(HELD_YAWS), len(held))
    trios = [[training.to_image(part[i]) for part in (x, ours, truth)] for i in range(len(held))]
    rows = [list(itertools.chain(*trios[i : i + wide])) for i in range(0, len(held) - wide + 1, wide)]
    training.save_grid(path, rows[:6])
    health.samples(done, *(np.stack([trio[i] for trio in trios[:6]]) for i in range(3)))
    steep = torch.tensor([float(item[3]) >= 60 for item in held])
    if steep.any():
        found["held_l1_60"] = float((ours - truth)[steep].abs().mean())
    return found


@torch.no_grad()
def figures(
    side: Tensor, ours: Tensor, front: Tensor, judge: Identity | None, device: torch.device
) -> dict[str, float]:
    """How near pictures are to the fronts: PSNR in dB, mean L1 in [0,1], cosine of identity by ``judge``.

    All (N,3,H,W) in [-1,1]. L1 and cosine are given of the sides as well, as ``_input``.
    """
    found = {
        "psnr": float(-10 * ((ours - front) / 2).square().mean((1, 2, 3)).clamp_min(1e-10).log10().mean()),
        "held_l1": float((ours - front).abs().mean() / 2),
        "held_l1_input": float((side - front).abs().mean() / 2),
    }
    if judge is not None:
        for name, pictures in (("identity_held", ours), ("identity_input", side)):
            parts = zip(pictures.split(_AT_ONCE), front.split(_AT_ONCE), strict=True)
            cosines = [judge.cosine(part.to(device), truth.to(device)) for part, truth in parts]
            found[name] = float(torch.cat(cosines).mean())
    return found
