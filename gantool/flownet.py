"""Optical flow by a net, RAFT-small, for the temporal filter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from gantool import hub, loading
from gantool.catalog import Checkpoint, load_catalog
from gantool.ops.flow import Estimator

NAME = "raft-small"  # its row in the catalog


def load(
    device: torch.device,
    *,
    fetch: Callable[[Checkpoint], Path] | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> Estimator:
    """The flow of a first grey picture into a second, as ``gantool.ops.flow.estimate`` has it.

    Args:
        fetch: finds or downloads a row's file; ``hub.fetch`` unless given.
        warn: told that a CPU is slow at this.

    Raises WeightsError where the weights cannot be had, DeviceError where the net does not fit the device.
    """
    row = load_catalog().get(NAME, "flow")
    net = loading.load_net(row, (fetch or hub.fetch)(row), device)
    if device.type == "cpu":
        warn("RAFT takes seconds a frame on a CPU; --flow dis is quick, and nearly as exact")

    @torch.inference_mode()
    def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        pair = torch.from_numpy(np.stack((first, second))).to(device).float().div_(255)
        now, then = pair[:, None, None].expand(-1, 1, 3, -1, -1)
        return np.ascontiguousarray(net(now, then)[0].movedim(0, -1).cpu().numpy())

    return estimate
