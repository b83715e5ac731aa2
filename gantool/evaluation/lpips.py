"""LPIPS (Zhang et al. 2018), where its backbone is at hand; nothing is downloaded for it.

torchmetrics computes it with the fitted weights that it brings. The backbone is torchvision's, from the
folder where torch keeps what it has downloaded.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from gantool.tensors import read_state

BACKBONES = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}
LEAST_PX = 32
"""Smallest side: below it, a backbone's poolings leave nothing."""


class Lpips(NamedTuple):
    """``distance`` of two batches (N,3,H,W) in [0,1] and the backbone's name; or None and why not."""

    distance: Callable[[Tensor, Tensor], float] | None
    words: str


def load(device: torch.device) -> Lpips:
    """The first of :data:`BACKBONES` that torch has in its cache. Raises WeightsError for a damaged file."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    here = next(
        ((name, folder / file) for name, file in BACKBONES.items() if (folder / file).is_file()), None
    )
    if here is None:
        return Lpips(None, f"no backbone ({' or '.join(BACKBONES.values())}) in {folder}")
    if find_spec("torchmetrics") is None:
        return Lpips(None, "torchmetrics is not installed (pip install 'gantool[eval]')")
    name, file = here
    read_state(file)  # torchvision's loader would run whatever a file in that place contains
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's on its own older arguments
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        metric = LearnedPerceptualImagePatchSimilarity(net_type=name, normalize=True)  # type: ignore[arg-type]
    net = metric.net.to(device)

    def distance(x: Tensor, y: Tensor) -> float:
        with torch.inference_mode():
            return float(net(x.clamp(0, 1), y.clamp(0, 1), normalize=True))

    return Lpips(distance, name)
