"""Whether two pictures show one person, as a frozen net sees it: a loss for training, and a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gantool import loading
from gantool.catalog import Checkpoint
from gantool.errors import UsageError


class Identity:
    """A frozen net that tells people apart: a run or file of ``gantool train --task faceid``, or LightCNN's.

    Raises:
        WeightsError: the file is missing, or no net that is known.
        UsageError: the net has no maps to compare.
    """

    def __init__(self, path: str, device: torch.device) -> None:
        file = str(Path(path) / "model.safetensors") if Path(path).is_dir() else path
        found, self.row = loading.load(Checkpoint(name=file, task="face", file=file), file, device)
        self.net: Any = found.requires_grad_(False)
        if not hasattr(self.net, "maps"):
            raise UsageError(
                f"{path} holds no net that tells people apart", remedy="Train one: --task faceid"
            )

    def distance(self, ours: Tensor, truth: Tensor) -> Tensor:
        """L1 of the last maps plus L1 of the features (TP-GAN, equation 8), each divided by the truth's size.

        The division makes one weight do for nets whose features are of different sizes. Pictures
        (N,3,128,128) in [-1,1]; ``truth`` gets no gradients.
        """
        maps, features = self.seen(ours)
        with torch.no_grad():
            true_maps, true_features = self.seen(truth)
        apart = (maps - true_maps).abs().mean() / true_maps.abs().mean().clamp_min(1e-6)
        return apart + (features - true_features).abs().mean() / true_features.abs().mean().clamp_min(1e-6)

    def cosine(self, ours: Tensor, truth: Tensor) -> Tensor:
        """Cosine of the features (N,) of squares of any size in [-1,1]; ``truth`` gets no gradients."""
        if ours.shape[-1] != 128:
            ours, truth = (F.interpolate(x, (128, 128), mode="bilinear") for x in (ours, truth))
        with torch.no_grad():
            wanted = self.seen(truth)[1]
        return F.cosine_similarity(self.seen(ours)[1], wanted)

    def seen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(maps, features) float32 of pictures (N,3,128,128) in [-1,1]."""
        maps = self.net.maps((x + 1) / 2)
        features = (
            self.net.features_of(maps) if hasattr(self.net, "features_of") else self.net.fc(maps.flatten(1))
        )
        return maps.float(), features.float()
