"""MobileFaceNet (Chen et al. 2018, 1804.07573, table 1): a judge of identity for benchmarks only.

The file that it reads, ``Xiaoccer/MobileFaceNet_Pytorch:model/best/068.ckpt``, bears no licence, so neither
it nor this loader is part of gantool; and what is trained on one net must be judged by another.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool import alignment

# Expansion, channels, how often, stride of the first: the paper's bottlenecks.
_BOTTLENECKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
_HEIGHT, _WIDTH = 112, 96
# The five points of SphereFace in the picture of 96 x 112 px.
_POINTS = np.array([[30.29, 51.70], [65.53, 51.50], [48.03, 71.74], [33.55, 92.37], [62.73, 92.20]])


def _step(
    inputs: int, outputs: int, side: int | tuple[int, int], stride: int = 1, groups: int = 1, act: bool = True
):
    padding = 1 if side == 3 else 0
    parts: list[tuple[str, nn.Module]] = [
        ("conv", nn.Conv2d(inputs, outputs, side, stride, padding, groups=groups, bias=False)),
        ("bn", nn.BatchNorm2d(outputs)),
    ]
    return nn.Sequential(OrderedDict([*parts, ("prelu", nn.PReLU(outputs))] if act else parts))


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        steps = [
            _step(inputs, wide, 1),
            _step(wide, wide, 3, stride, wide),
            _step(wide, outputs, 1, act=False),
        ]
        self.conv = nn.Sequential(*(layer for step in steps for layer in step))
        self.joins = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + x if self.joins else self.conv(x)


class MobileFaceNet(nn.Module):
    """(N,3,112,96) RGB in [-1,1] -> features (N,128)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _step(3, 64, 3, 2)
        self.dw_conv1 = _step(64, 64, 3, groups=64)
        blocks, inputs = [], 64
        for expansion, outputs, count, stride in _BOTTLENECKS:
            for index in range(count):
                blocks.append(_Bottleneck(inputs, outputs, 1 if index else stride, expansion))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = _step(128, 512, 1)
        self.linear7 = _step(512, 512, (7, 6), groups=512, act=False)
        self.linear1 = _step(512, 128, 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.dw_conv1(self.conv1(x)))
        return self.linear1(self.linear7(self.conv2(x))).flatten(1)


class Judge:
    """Features of unit length of aligned crops of 128 px, so that their products are cosines."""

    def __init__(self, path: Path) -> None:
        self.net = MobileFaceNet().eval()
        state = torch.load(path, map_location="cpu", weights_only=True)["net_state_dict"]
        self.net.load_state_dict(state, strict=True)
        # The same map for every crop: what is judged is the crop, not a second alignment.
        self.matrix, _ = cv2.estimateAffinePartial2D(alignment.TEMPLATE, _POINTS, method=cv2.LMEDS)

    @torch.no_grad()
    def __call__(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """(N,128,128,3) uint8 -> (N,128) float32; a picture and its mirror image together."""
        shown = [
            cv2.warpAffine(crop, self.matrix, (_WIDTH, _HEIGHT), borderMode=cv2.BORDER_REPLICATE)
            for crop in crops
        ]
        x = (torch.from_numpy(np.stack(shown)).movedim(-1, 1).float() - 127.5) / 128
        found = [F.normalize(self.net(part) + self.net(part.flip(-1))) for part in x.split(32)]
        return torch.cat(found).numpy()
