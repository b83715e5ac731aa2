"""A small net that mends the lightness of old photographs and films, and leaves colours as they are.

Of gantool. Two parts: a U-Net (Ronneberger et al. 2015, 1505.04597) of residual blocks mends places; then a
tone curve for the whole picture, read off its histogram, undoes fading. The U-Net works at half the size, on
2x2 px as channels, as FFDNet does (Zhang et al. 2018, 1710.04026): four times less work, and it sees twice as
far. Batch norm, as in DnCNN (Zhang et al. 2017, 1608.03981), lets it learn in few steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class _Block(nn.Module):
    """Two 3x3 convolutions, batch norm between them, beside a straight way."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels, momentum=0.02)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.norm(self.first(x))))


class ToneCurve(nn.Module):
    """What fading took from a picture, told from the histogram of the whole of it.

    The histogram is that of 96x96 averages of the picture, so that grain, dust and scratches hardly count and
    the size does not matter. How much there was to mend counts too: a picture without damage may well be
    meant to be pale. Four numbers come out: a factor, an offset and two bends, which leave black and white
    alone.
    """

    SIDE = 96
    ENDS = (0.002, 0.005, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99, 0.995, 0.998)
    BINS = 32

    def __init__(self, hidden: int = 128) -> None:
        super().__init__()
        self.first = nn.Linear(len(self.ENDS) + self.BINS + 1, hidden)
        self.second = nn.Linear(hidden, hidden // 2)
        self.last = nn.Linear(hidden // 2, 4)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, light: Tensor, whole: Tensor, damage: Tensor) -> Tensor:
        """Lightness (N,1,H,W) in [0,1] -> the same, in float32.

        ``whole``: all of the picture (N,1,h,w), before it was mended; ``damage``: what mending changed
        (N,1,H,W).
        """
        with torch.autocast(light.device.type, enabled=False):
            amount = damage.detach().float().abs().mean((1, 2, 3)).clamp_min(1e-4).log10()
            y = torch.cat((self.seen(whole.detach().float()), amount[:, None] + 2), 1)
            for layer in (self.first, self.second):
                y = F.gelu(F.linear(y, layer.weight.float(), layer.bias.float()))
            y = F.linear(y, self.last.weight.float(), self.last.bias.float())
            factor, offset, bend, tilt = y.reshape(-1, 4, 1, 1).split(1, 1)
            light = light.float()
            inner = light * (1 - light)
            return light + factor * light + offset + inner * (bend + tilt * (1 - 2 * light))

    def seen(self, whole: Tensor) -> Tensor:
        """What the layers see of a picture (N,1,h,w): quantiles, and roots of the shares of 32 levels."""
        flat = F.adaptive_avg_pool2d(whole, self.SIDE).flatten(1).clamp(0, 1)
        ends = torch.quantile(flat, flat.new_tensor(self.ENDS), dim=1).T
        edges = torch.linspace(0, 1, self.BINS + 1, device=flat.device)[1:-1]
        below = (flat[:, None] < edges[None, :, None]).float().mean(2)
        shares = torch.diff(F.pad(F.pad(below, (1, 0)), (0, 1), value=1.0), dim=1)
        return torch.cat((4 * ends - 2, shares.clamp_min(0).sqrt()), 1)


class RestoreUNet(nn.Module):
    """Lightness in, lightness out; what changes is added to red, green and blue alike.

    Args:
        widths: channels at a half, a quarter, ... of the size.
        blocks: residual blocks at each size, on the way down and again on the way up.
    """

    takes_float32 = True  # whatever the weights are: what is added is small, and the picture stays exact

    def __init__(self, widths: Sequence[int] = (48, 80, 128, 160), blocks: int = 1) -> None:
        super().__init__()
        self.multiple = 2 ** len(widths)
        self.tone = ToneCurve()
        self.first = nn.Conv2d(4, widths[0], 3, padding=1)
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for width, wider in pairwise(widths):
            self.down.append(nn.Sequential(*(_Block(width) for _ in range(blocks))))
            self.shrink.append(nn.Conv2d(width, wider, 2, stride=2))
            self.grow.append(nn.Conv2d(wider, width, 1))
            self.up.append(nn.Sequential(*(_Block(width) for _ in range(blocks))))
        self.middle = nn.Sequential(*(_Block(widths[-1]) for _ in range(2 * blocks)))
        self.last = nn.Conv2d(widths[0], 4, 3, padding=1)
        nn.init.zeros_(self.last.weight)  # a new net changes nothing
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """RGB (N,3,H,W) in [0,1] -> the same, sides multiples of ``multiple``; may leave [0,1] a little."""
        weights = x.new_tensor(_LUMA).reshape(1, 3, 1, 1)
        light = (x * weights).sum(1, keepdim=True)
        mended = self.mended(light)
        return x + (self.tone(mended, light, mended - light) - light).to(x.dtype)

    def mended(self, light: Tensor) -> Tensor:
        """Lightness (N,1,H,W) in [0,1] -> the same without damage, as faded as before, in float32."""
        y = self.first(F.pixel_unshuffle(2 * light - 1, 2).to(self.first.weight.dtype))
        beside = []
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            y = blocks(y)
            beside.append(y)
            y = shrink(y)
        y = self.middle(y)
        for blocks, grow in zip(reversed(self.up), reversed(self.grow), strict=True):
            # Nearest and a convolution: no checkerboard (Odena et al. 2016).
            y = blocks(F.interpolate(grow(y), scale_factor=2, mode="nearest") + beside.pop())
        return light.float() + F.pixel_shuffle(self.last(y), 2).float()
