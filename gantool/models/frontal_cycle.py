"""Generators that turn a face to the front and back again, for training with and without pairs.

No paper of its own: encoder, residual blocks and decoder as in CycleGAN (Zhu et al. 2017, 1703.10593), but
down to 8 px, since turning a head moves its parts by a quarter of the picture; the pose that the way back
needs enters there, as in StarGAN (Choi et al. 2018, 1711.09020). No weights are released for it.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 32
_BOTTOM = 8  # px
_WIDEST = 8  # in parts of ngf


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "none":
        return nn.Identity()
    raise ValueError(f"unknown norm {kind!r}: instance, batch or none")


def _conv(before: int, after: int, kernel: int, stride: int, norm: str) -> nn.Sequential:
    padding = (kernel - stride + 1) // 2
    conv = nn.Conv2d(before, after, kernel, stride, padding, bias=norm == "none")
    return nn.Sequential(conv, _norm(norm, after), nn.LeakyReLU(0.2))


class _Res(nn.Module):
    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.first = _conv(channels, channels, 3, 1, norm)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=norm == "none"), _norm(norm, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class FaceTurner(nn.Module):
    """A face in one pose to the same face in another.

    Args:
        size: side of the pictures, px: 32, 64, 128, 256, ...
        ngf: channels at full size; twice as many at each halving, up to eight times.
        poses: length of the pose code; 0 for a net that always turns to the front.
        blocks: residual blocks at 8 px.
        norm: "instance", "batch" or "none".
    """

    def __init__(
        self, size: int = 128, ngf: int = 32, poses: int = 0, blocks: int = 4, norm: str = "instance"
    ) -> None:
        super().__init__()
        depth = math.log2(size / _BOTTOM)
        if size < SMALLEST or depth != int(depth):
            raise ValueError(f"size={size}: a power of two from {SMALLEST} on")
        self.side, self.poses = size, poses
        widths = [min(ngf * 2**n, ngf * _WIDEST) for n in range(int(depth) + 1)]
        self.first = _conv(3, widths[0], 7, 1, norm)
        self.down = nn.ModuleList([_conv(a, b, 4, 2, norm) for a, b in itertools.pairwise(widths)])
        self.join = _conv(widths[-1] + poses, widths[-1], 1, 1, norm)
        self.blocks = nn.Sequential(*(_Res(widths[-1], norm) for _ in range(blocks)))
        # What is fine stays behind: at more than 16 px a turned face and its front do not lie on each other.
        self.up = nn.ModuleList()
        for n in range(int(depth), 0, -1):
            beside = widths[n] if n >= int(depth) - 1 else 0
            self.up.append(_conv(widths[n] + beside, widths[n - 1], 3, 1, norm))
        self.last = nn.Conv2d(widths[0], 3, 7, 1, 3)

    def forward(self, x: Tensor, pose: Tensor | None = None) -> Tensor:
        """(N,3,size,size) in [-1,1] -> the same; ``pose`` (N,poses), one-hot, for a net that has poses."""
        x = self.first(x)
        seen = []
        for stage in self.down:
            x = stage(x)
            seen.append(x)
        if self.poses:
            if pose is None or pose.shape != (len(x), self.poses):
                raise ValueError(f"a pose code of {self.poses} is needed for each of {len(x)} pictures")
            x = torch.cat((x, pose.to(x.dtype)[..., None, None].expand(-1, -1, *x.shape[-2:])), 1)
        x = self.blocks(self.join(x))
        for number, stage in enumerate(self.up):
            if number < 2:
                x = torch.cat((x, seen[-1 - number]), 1)
            x = stage(F.interpolate(x, scale_factor=2, mode="nearest"))
        return torch.tanh(self.last(x))
