"""A turned face seen from the front, made of its own pixels: a flow moves them, the mirror image fills in.

An encoder and a decoder (U-Net, Ronneberger et al. 2015, 1505.04597) look at an aligned face and say, for
each place of the front view, where in the picture it is found. What the turn hides on one side of a face is
taken from the other (soft symmetry, Hassner et al. 2015, 1411.7964), and what neither side shows, background
above all, from a picture of few details that the decoder paints. That a face keeps more of its person if its
pixels are moved than if they are painted anew is the idea of FFWM (Wei et al. 2020, 2008.02965); layers,
weights and code are ours.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 128
BOXES = ((23, 20, 40, 40), (65, 20, 40, 40), (43, 48, 40, 32), (40, 72, 48, 32))
"""(left, top, width, height) of left eye, right eye, nose and mouth of a frontal face, as TP-GAN has them."""

_WIDTHS = (16, 32, 64, 96, 128)


class Moved(NamedTuple):
    """All that the net says.

    ``picture`` (N,3,S,S) in [-1,1]; ``flow`` (N,2,64,64): x and y of where every second pixel of the front
    view lies, px of the face at 128 px; ``logits`` (N,3,64,64) of what is shown there: the pixel of that
    place, that of the mirrored place, or paint; ``paint`` (N,3,64,64) in [-1,1].
    """

    picture: Tensor
    flow: Tensor
    logits: Tensor
    paint: Tensor


class _Block(nn.Sequential):
    """Convolution, batch norm, leaky ReLU."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.LeakyReLU(0.2, inplace=True),
        )


class FrontWarp(nn.Module):
    """The net.

    Args:
        width: channels, as a share of the usual 16 to 128.
    """

    any_side = True  # takes larger faces as well

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.boxes = BOXES
        widths = [max(4, round(n * width)) for n in _WIDTHS]
        before = [3, *widths[:-1]]
        self.down = nn.ModuleList(
            nn.Sequential(_Block(n, m, 2), _Block(m, m)) for n, m in zip(before, widths, strict=True)
        )
        self.middle = nn.Sequential(_Block(widths[-1] + 8, widths[-1]), _Block(widths[-1], widths[-1]))
        self.up = nn.ModuleList(
            nn.Sequential(_Block(n + m, m), _Block(m, m))
            for n, m in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.last = nn.Conv2d(widths[0], 8, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, corners: Tensor | None = None, everything: bool = False) -> Tensor | Moved:
        """Aligned faces (N,3,S,S) in [-1,1], nose to the right -> the same faces from the front.

        S is 128 or a multiple of it: the net sees 128 px, and the pixels that are moved are those of the
        large picture.

        Args:
            corners: (N,4,2), x and y of where the boxes of eyes, nose and mouth begin; None for those of a
                frontal face.
            everything: give :class:`Moved` instead of the picture.
        """
        usual = torch.tensor([box[:2] for box in self.boxes], device=x.device)
        off = torch.zeros_like(usual)[None] if corners is None else corners - usual
        code = (off.to(x.dtype) / 32).flatten(1).expand(len(x), -1)
        beside, y = [], x if x.shape[-1] == SIDE else F.interpolate(x, (SIDE, SIDE), mode="area")
        for stage in self.down:
            y = stage(y)
            beside.append(y)
        beside.pop()
        y = self.middle(torch.cat((y, code[:, :, None, None].expand(-1, -1, *y.shape[2:])), 1))
        for stage in self.up:
            y = F.interpolate(y, scale_factor=2, mode="nearest")
            y = stage(torch.cat((y, beside.pop()), 1))
        with torch.autocast(y.device.type, enabled=False):  # bfloat16 knows places to a pixel at best
            y = self.last(y.to(self.last.weight.dtype)).float()
        flow, paint = places(SIDE // 2, y) + 32 * y[:, :2], torch.tanh(y[:, 5:])
        # Before training, and where nothing else is learned: the face's own pixels where they are.
        logits = y[:, 2:5] + y.new_tensor([2.0, 0.0, 0.0]).view(1, 3, 1, 1)
        picture = composed(x.float(), flow, logits, paint)
        return Moved(picture, flow, logits, paint) if everything else picture.to(x.dtype)


def sampled(x: Tensor, flow: Tensor) -> Tensor:
    """Square pictures (N,C,S,S) in [-1,1] at places (N,2,H,W), px; beyond the border, what is at the border.

    Larger ones than those of training bicubically: they are asked for because of their detail.
    """
    grid = (flow.movedim(1, -1) + 0.5) * (2 / x.shape[-1]) - 1
    mode = "bilinear" if x.shape[-1] == SIDE else "bicubic"
    return F.grid_sample(x, grid, mode=mode, padding_mode="border", align_corners=False).clamp(-1, 1)


def composed(x: Tensor, flow: Tensor, logits: Tensor, paint: Tensor) -> Tensor:
    """The front view of pictures (N,3,S,S) in [-1,1], of what :class:`Moved` says of it."""
    side = x.shape[-1]

    def enlarged(y: Tensor) -> Tensor:
        return F.interpolate(y, (side, side), mode="bilinear", align_corners=False)

    own, other, painted = enlarged(logits).softmax(1).split(1, 1)
    away = enlarged(flow - places(SIDE // 2, x)) * (side / SIDE)  # px of the large picture
    moved = sampled(x, places(side, x, side) + away)
    return own * moved + other * moved.flip(-1) + painted * enlarged(paint)


def places(side: int, like: Tensor, of: int = SIDE) -> Tensor:
    """Where each pixel of a picture of ``side`` px lies in one of ``of`` px, (1,2,side,side)."""
    line = (torch.arange(side, device=like.device, dtype=like.dtype) + 0.5) * (of / side) - 0.5
    return torch.stack(torch.meshgrid(line, line, indexing="xy"))[None]
