"""A small net that mends the lightness of old photographs and films, and leaves colours as they are.

Of gantool. Two parts: a tone curve for the whole picture, read off its histogram, undoes fading; then a U-Net
(Ronneberger et al. 2015, 1505.04597) with residual blocks and without norms, as restoration nets since EDSR
(Lim et al. 2017) have them, mends places. The U-Net works at half the size, on 2x2 px as channels, as in
FFDNet (Zhang et al. 2018, 1710.04026): four times less work, and it sees twice as far.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class _Block(nn.Module):
    """Two 3x3 convolutions beside a straight way.

    They begin by adding nothing, which keeps many of them steady without norms (Zhang et al. 2019,
    1901.09321).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.leaky_relu(self.first(x), 0.1))


class ToneCurve(nn.Module):
    """What fading took from a picture, told from the histogram of the whole of it.

    The histogram is that of 96x96 averages of the picture, so that grain, dust and scratches hardly count and
    the size does not matter. Four numbers come out: a factor, an offset and two bends, which leave black
    and white alone.
    """

    SIDE = 96
    ENDS = (0.002, 0.005, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99, 0.995, 0.998)
    BINS = 32

    def __init__(self, hidden: int = 128) -> None:
        super().__init__()
        self.first = nn.Linear(len(self.ENDS) + self.BINS, hidden)
        self.second = nn.Linear(hidden, hidden // 2)
        self.last = nn.Linear(hidden // 2, 4)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, light: Tensor, whole: Tensor) -> Tensor:
        """Lightness (N,1,H,W) in [0,1] -> the same, in float32; ``whole`` (N,1,h,w) is all of the picture."""
        with torch.autocast(light.device.type, enabled=False):
            y = self.seen(whole.detach().float())
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

    def __init__(self, widths: Sequence[int] = (48, 64, 96, 128), blocks: int = 2) -> None:
        super().__init__()
        self.multiple = 2 ** len(widths)
        self.tone = ToneCurve()
        self.first = nn.Conv2d(8, widths[0], 3, padding=1)
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

    def forward(self, x: Tensor, whole: Tensor | None = None) -> Tensor:
        """RGB (N,3,H,W) in [0,1] -> the same, sides multiples of ``multiple``; may leave [0,1] a little.

        ``whole``: lightness (N,1,h,w) of the picture that x is a part of, of any size; x itself if None.
        """
        weights = x.new_tensor(_LUMA).reshape(1, 3, 1, 1)
        light = (x * weights).sum(1, keepdim=True)
        toned = self.tone(light, light if whole is None else whole)
        add = self.mended(torch.cat((light.float(), toned), 1))
        return x + (toned - light + add).to(x.dtype)

    def mended(self, seen: Tensor) -> Tensor:
        """Lightness before and after the tone curve (N,2,H,W) -> what to add (N,1,H,W)."""
        y = self.first(F.pixel_unshuffle(seen, 2).to(self.first.weight.dtype))
        beside = []
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            y = blocks(y)
            beside.append(y)
            y = shrink(y)
        y = self.middle(y)
        for blocks, grow in zip(reversed(self.up), reversed(self.grow), strict=True):
            # Nearest and a convolution: no checkerboard (Odena et al. 2016).
            y = blocks(F.interpolate(grow(y), scale_factor=2, mode="nearest") + beside.pop())
        return F.pixel_shuffle(self.last(y), 2).float()
