"""RFDN and RLFN: small nets for super-resolution, winners of the efficiency challenges of 2020 and 2022.

Papers: Liu et al. 2020, "Residual Feature Distillation Network for Lightweight Image Super-Resolution"
(2009.11551); Kong et al. 2022, "Residual Local Feature Network for Efficient Super-Resolution" (2205.07514);
the attention of both: Liu et al. 2020, "Residual Feature Aggregation Network for Image Super-Resolution".
State-dict keys are those of the files in the NTIRE 2022 challenge's collection (MIT);
:meth:`RLFN.own_names` knows the spelling of ByteDance's own code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SLOPE = 0.05
_SMALLEST_SIDE = 15  # of what the attention's halving and its 7x7 maximum leave something of
_BYTEDANCE = re.compile(r"(conv_1|conv_2|block_(\d+))\.(.*)")


class SpatialAttention(nn.Module):
    """How much each place matters, found on a coarse grid of maxima that is stretched over the picture.

    The grid is stretched from border to border whatever the picture's size, so a tile's attention is not
    quite that of the same place in the whole picture.

    Args:
        deep: RFDN's three convolutions on the grid; RLFN has one.
    """

    def __init__(self, width: int, channels: int, deep: bool) -> None:
        super().__init__()
        self.deep = deep
        self.conv1 = nn.Conv2d(width, channels, 1)
        self.conv_f = nn.Conv2d(channels, channels, 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, 2)
        if deep:
            self.conv_max = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv3 = nn.Conv2d(channels, channels, 3, padding=1)
        if deep:
            self.conv3_ = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv4 = nn.Conv2d(channels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.conv1(x)
        coarse = F.max_pool2d(self.conv2(fine), 7, 3)
        if self.deep:
            coarse = self.conv3_(F.relu(self.conv3(F.relu(self.conv_max(coarse)))))
        else:
            coarse = self.conv3(coarse)
        coarse = F.interpolate(coarse, x.shape[-2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.conv4(coarse + self.conv_f(fine)))


class DistillationBlock(nn.Module):
    """RFDN's block: three steps, each of which also sets half the channels aside, and the attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        for n in (1, 2, 3):
            self.add_module(f"c{n}_d", nn.Conv2d(width, width // 2, 1))
            self.add_module(f"c{n}_r", nn.Conv2d(width, width, 3, padding=1))
        self.c4 = nn.Conv2d(width, width // 2, 3, padding=1)
        self.c5 = nn.Conv2d(4 * (width // 2), width, 1)
        self.esa = SpatialAttention(width, width // 4, deep=True)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for n in (1, 2, 3):
            kept.append(self.get_submodule(f"c{n}_d")(x))
            x = F.leaky_relu(self.get_submodule(f"c{n}_r")(x) + x, _SLOPE)
        kept.append(self.c4(x))
        return self.esa(self.c5(F.leaky_relu(torch.cat(kept, 1), _SLOPE)))


class LocalBlock(nn.Module):
    """RLFN's block: three convolutions around a skip, and the attention."""

    def __init__(self, width: int, inner: int, attention: int) -> None:
        super().__init__()
        self.c1_r = nn.Conv2d(width, inner, 3, padding=1)
        self.c2_r = nn.Conv2d(inner, inner, 3, padding=1)
        self.c3_r = nn.Conv2d(inner, width, 3, padding=1)
        self.c5 = nn.Conv2d(width, width, 1)
        self.esa = SpatialAttention(width, attention, deep=False)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in (self.c1_r, self.c2_r, self.c3_r):
            y = F.leaky_relu(layer(y), _SLOPE)
        return self.esa(self.c5(y + x))


class RFDN(nn.Module):
    """Distillation blocks whose answers are joined, one long skip, and a pixel shuffle.

    Args:
        width: channels, 50 in the released file.
        blocks: 4 there.
        scale: factor per side.
    """

    def __init__(self, width: int = 50, blocks: int = 4, scale: int = 4) -> None:
        super().__init__()
        self.scale, self.blocks = scale, blocks
        self.fea_conv = nn.Conv2d(3, width, 3, padding=1)
        for n in range(1, blocks + 1):
            self.add_module(f"B{n}", DistillationBlock(width))
        self.c = nn.Sequential(nn.Conv2d(blocks * width, width, 1), nn.LeakyReLU(_SLOPE))
        self.LR_conv = nn.Conv2d(width, width, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        """RGB (N,3,H,W) in [0,255] -> (N,3,H*scale,W*scale) in about that range, not clamped. Any size."""
        tall, wide = x.shape[-2:]
        first = y = self.fea_conv(_grown(x))
        answers = []
        for n in range(1, self.blocks + 1):
            y = self.get_submodule(f"B{n}")(y)
            answers.append(y)
        y = self.upsampler(self.LR_conv(self.c(torch.cat(answers, 1))) + first)
        return y[..., : tall * self.scale, : wide * self.scale]


class RLFN(nn.Module):
    """Local blocks, one long skip, and a pixel shuffle.

    Args:
        width, inner: channels, and those inside a block: 52 and 52 in the paper, 46 and 48 in the challenge.
        blocks: 6 in the paper, 4 in the challenge.
        attention: channels of the attention.
        scale: factor per side.
    """

    def __init__(
        self, width: int = 52, inner: int = 52, blocks: int = 6, attention: int = 16, scale: int = 4
    ) -> None:
        super().__init__()
        self.scale, self.blocks = scale, blocks
        self.fea_conv = nn.Conv2d(3, width, 3, padding=1)
        for n in range(1, blocks + 1):
            self.add_module(f"B{n}", LocalBlock(width, inner, attention))
        self.LR_conv = nn.Conv2d(width, width, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        """RGB (N,3,H,W) in [0,255] -> (N,3,H*scale,W*scale) in about that range, not clamped. Any size."""
        tall, wide = x.shape[-2:]
        first = y = self.fea_conv(_grown(x))
        for n in range(1, self.blocks + 1):
            y = self.get_submodule(f"B{n}")(y)
        return self.upsampler(self.LR_conv(y) + first)[..., : tall * self.scale, : wide * self.scale]

    @staticmethod
    def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict of ByteDance's spelling ("conv_1", "block_1") under this class's names."""
        if "block_1.c1_r.weight" not in state:
            return dict(state)

        def renamed(name: str) -> str:
            match = _BYTEDANCE.fullmatch(name)
            if match is None:
                return name
            layer = {"conv_1": "fea_conv", "conv_2": "LR_conv"}.get(match[1], f"B{match[2]}")
            return f"{layer}.{match[3]}"

        return {renamed(name): value for name, value in state.items()}


def _grown(x: Tensor) -> Tensor:
    """Short sides continued by their last line, for the attention to have something to look at."""
    down, right = max(0, _SMALLEST_SIDE - x.shape[-2]), max(0, _SMALLEST_SIDE - x.shape[-1])
    return F.pad(x, (0, right, 0, down), mode="replicate") if down or right else x
