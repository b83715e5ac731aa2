"""A small U-Net that mends the lightness of old photographs and films, and leaves colours as they are.

Of gantool; the shape follows Ronneberger et al. 2015 (1505.04597), with residual blocks and without norms, as
restoration nets since EDSR (Lim et al. 2017) have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class _Block(nn.Module):
    """Two 3x3 convolutions beside a straight way."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.leaky_relu(self.first(x), 0.1))


class RestoreUNet(nn.Module):
    """Lightness in, lightness out; what changes is added to red, green and blue alike.

    Beside the lightness the net sees it stretched from the picture's own black to its own white, and answers
    for every pixel how far to go towards that and what to add: fading is a matter of the whole picture, which
    convolutions that look at a part cannot tell.

    Args:
        widths: channels at full, half, quarter, ... resolution.
        blocks: residual blocks at each resolution, on the way down and again on the way up.
    """

    def __init__(self, widths: Sequence[int] = (32, 64, 96, 128), blocks: int = 2) -> None:
        super().__init__()
        self.multiple = 2 ** (len(widths) - 1)
        self.first = nn.Conv2d(2, widths[0], 3, padding=1)
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for width, wider in pairwise(widths):
            self.down.append(nn.Sequential(*(_Block(width) for _ in range(blocks))))
            self.shrink.append(nn.Conv2d(width, wider, 2, stride=2))
            self.grow.append(nn.Conv2d(wider, width, 1))
            self.up.append(nn.Sequential(*(_Block(width) for _ in range(blocks))))
        self.middle = nn.Sequential(*(_Block(widths[-1]) for _ in range(2 * blocks)))
        self.last = nn.Conv2d(widths[0], 2, 3, padding=1)
        nn.init.zeros_(self.last.weight)  # a new net changes nothing
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """RGB (N,3,H,W) in [0,1] -> the same, sides multiples of ``multiple``; may leave [0,1] a little."""
        weights = x.new_tensor(_LUMA).reshape(1, 3, 1, 1)
        light = (x * weights).sum(1, keepdim=True)
        far = stretched(light) - light
        add, share = self.answers(torch.cat((light, far), 1)).chunk(2, 1)
        return x + add + share * far

    def answers(self, seen: Tensor) -> Tensor:
        """Lightness and what stretching would add to it (N,2,H,W) -> what to add, and how much of that."""
        y, beside = self.first(seen), []
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            y = blocks(y)
            beside.append(y)
            y = shrink(y)
        y = self.middle(y)
        for blocks, grow in zip(reversed(self.up), reversed(self.grow), strict=True):
            # Nearest and a convolution: no checkerboard (Odena et al. 2016).
            y = blocks(F.interpolate(grow(y), scale_factor=2, mode="nearest") + beside.pop())
        return self.last(y)


def stretched(light: Tensor, ends: float = 0.01) -> Tensor:
    """Lightness (N,1,H,W) with the picture's own black at 0 and its white at 1.

    Those are its ``ends`` and 1 - ``ends`` quantiles, measured on averages of at least 2x2 px, so that grain,
    dust and scratches do not count.
    """
    side = max(2, -(-max(light.shape[-2:]) // 128))
    small = F.avg_pool2d(light.detach().float(), side, ceil_mode=True).flatten(1)
    low, high = (small.quantile(q, dim=1).reshape(-1, 1, 1, 1) for q in (ends, 1 - ends))
    return ((light - low) / (high - low).clamp_min(0.1)).to(light.dtype)
