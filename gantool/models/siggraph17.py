"""SIGGRAPH17: a colorizer that takes the colours of single points as hints.

Zhang, Zhu, Isola et al. 2017, "Real-Time User-Guided Image Colorization with Learned Deep Priors" (section
3.2, the local hints network). Released by the authors as ``siggraph17-df00044c.pth`` (richzhang/colorization,
BSD-2-Clause), whose names this net has.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


def _stage(channels: list[int], *, dilation: int = 1) -> nn.Sequential:
    """3x3 convolutions with ReLU through these channels, then a batch norm."""
    layers: list[nn.Module] = []
    for i, o in itertools.pairwise(channels):
        layers += [nn.Conv2d(i, o, 3, 1, dilation, dilation), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.BatchNorm2d(channels[-1]))


def _double(in_ch: int, out_ch: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(in_ch, out_ch, 4, 2, 1))


def _skip(in_ch: int, out_ch: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_ch, out_ch, 3, 1, 1))


class SIGGRAPH17(nn.Module):
    """U-Net with dilated middle stages; up-sampled and skipped features are added, not joined.

    Args:
        width: channels of the first stage; the released file has 64.
        classes: bins of a second output that only training uses; the released file has 529.
    """

    multiple = 8
    # How the authors show pictures to it: stretched to a square of 256 px, shrunk bicubically.
    render_size = 256
    square = True
    shrink = "bicubic"
    takes_hints = True

    def __init__(self, width: int = 64, classes: int = 529) -> None:
        super().__init__()
        w2, w4, w8 = 2 * width, 4 * width, 8 * width
        self.model1 = _stage([4, width, width])
        self.model2 = _stage([width, w2, w2])
        self.model3 = _stage([w2, w4, w4, w4])
        self.model4 = _stage([w4, w8, w8, w8])
        self.model5 = _stage([w8, w8, w8, w8], dilation=2)
        self.model6 = _stage([w8, w8, w8, w8], dilation=2)
        self.model7 = _stage([w8, w8, w8, w8])
        self.model8up, self.model3short8 = _double(w8, w4), _skip(w4, w4)
        self.model8 = nn.Sequential(nn.ReLU(inplace=True), *_stage([w4, w4, w4]))
        self.model9up, self.model2short9 = _double(w4, w2), _skip(w2, w2)
        self.model9 = nn.Sequential(nn.ReLU(inplace=True), *_stage([w2, w2]))
        self.model10up, self.model1short10 = _double(w2, w2), _skip(width, w2)
        self.model10 = nn.Sequential(
            nn.ReLU(inplace=True), nn.Conv2d(w2, w2, 3, 1, 1), nn.LeakyReLU(0.2, inplace=True)
        )
        self.model_class = nn.Sequential(nn.Conv2d(w4, classes, 1))
        self.model_out = nn.Sequential(nn.Conv2d(w2, 2, 1), nn.Tanh())

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        """Lightness and hints -> ab (N,2,H,W) in Lab units, within 110.

        Args:
            gray: L/100 (N,1,H,W) in [0,1], sides multiples of 8.
            hints: (N,3,H,W): a and b in Lab units where there is a hint and 0 elsewhere, and 1 where there
                is one; None for none.
        """
        if hints is None:
            hints = gray.new_zeros(len(gray), 3, *gray.shape[-2:])
        full = self.model1(torch.cat((gray - 0.5, hints[:, :2] / 110, hints[:, 2:]), dim=1))
        half = self.model2(full[:, :, ::2, ::2])
        quarter = self.model3(half[:, :, ::2, ::2])
        x = self.model4(quarter[:, :, ::2, ::2])
        x = self.model7(self.model6(self.model5(x)))
        x = self.model8(self.model8up(x) + self.model3short8(quarter))
        x = self.model9(self.model9up(x) + self.model2short9(half))
        x = self.model10(self.model10up(x) + self.model1short10(full))
        return self.model_out(x).float() * 110
