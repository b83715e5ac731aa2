"""A U-Net generator for pix2pix as PyTorch-GAN has it, with the keys of the files of the HugGAN community.

Paper: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks" (1611.07004).
Unlike the authors' own net (``pix2pix.py``) it has instance norm, no biases, and ends with a nearest
doubling and a convolution. Released weights: MIT by the cards of huggan/pix2pix-maps, -night2day and others.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_DOWN = (1, 2, 4, 8, 8, 8, 8, 8)  # channels of the eight halvings, in widths
_UP = (8, 8, 8, 8, 4, 2, 1)


class _Step(nn.Module):
    """A convolution that halves or doubles the side, and a norm; activations are the caller's."""

    def __init__(self, kernel: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(kernel, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class HugganUnet(nn.Module):
    """Eight halvings, as many doublings, skips between, tanh at the end.

    Args:
        width: channels of the first level, 64 in the released files.

    Sides must be multiples of 256. The norms measure the whole picture.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        inside = 3
        for n, times in enumerate(_DOWN, 1):
            outside = times * width
            norm = nn.Identity() if n in (1, 8) else nn.InstanceNorm2d(outside)
            self.add_module(f"down{n}", _Step(nn.Conv2d(inside, outside, 4, 2, 1, bias=False), norm))
            inside = outside
        for n, times in enumerate(_UP, 1):
            outside = times * width
            kernel = nn.ConvTranspose2d(inside, outside, 4, 2, 1, bias=False)
            self.add_module(f"up{n}", _Step(kernel, nn.InstanceNorm2d(outside)))
            inside = 2 * outside  # the skip stands beside it
        self.final = nn.ModuleDict({"2": nn.Conv2d(inside, 3, 4, padding=1)})

    def forward(self, x: Tensor) -> Tensor:
        """RGB (N,3,H,W) in [-1,1] -> RGB (N,3,H,W) in [-1,1]."""
        skips = []
        for n in range(1, len(_DOWN) + 1):
            x = F.leaky_relu(self.get_submodule(f"down{n}")(x), 0.2)
            skips.append(x)
        skips.pop()
        for n in range(1, len(_UP) + 1):
            x = torch.cat((F.relu(self.get_submodule(f"up{n}")(x)), skips.pop()), 1)
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        return torch.tanh(self.final["2"](F.pad(x, (1, 0, 1, 0))))
