"""ECCV16: colours as a distribution over 313 bins of the ab plane, answered with its mean.

Zhang, Isola & Efros 2016, "Colorful Image Colorization" (section 2.3 and figure 2). Released by the authors
as ``colorization_release_v2-9b330a0b.pth`` (richzhang/colorization, BSD-2-Clause), whose names this net has.
The centres of the bins are the weights of ``model_out``.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def _stage(channels: list[int], *, last_stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """3x3 convolutions with ReLU through these channels, of which the last may halve the size, and a norm."""
    layers: list[nn.Module] = []
    for place in range(1, len(channels)):
        stride = last_stride if place == len(channels) - 1 else 1
        layers += [
            nn.Conv2d(channels[place - 1], channels[place], 3, stride, dilation, dilation),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, nn.BatchNorm2d(channels[-1]))


class ECCV16(nn.Module):
    """Lightness -> ab at an eighth of the size, classified, and enlarged by 4 after two-fold up-sampling.

    Args:
        width: channels of the first stage; the released file has 64.
        bins: colours to choose from; the released file has 313.
    """

    multiple = 8
    # How the authors show pictures to it: stretched to a square of 256 px, shrunk bicubically.
    render_size = 256
    square = True
    shrink = "bicubic"

    def __init__(self, width: int = 64, bins: int = 313) -> None:
        super().__init__()
        w2, w4, w8 = 2 * width, 4 * width, 8 * width
        self.model1 = _stage([1, width, width], last_stride=2)
        self.model2 = _stage([width, w2, w2], last_stride=2)
        self.model3 = _stage([w2, w4, w4, w4], last_stride=2)
        self.model4 = _stage([w4, w8, w8, w8])
        self.model5 = _stage([w8, w8, w8, w8], dilation=2)
        self.model6 = _stage([w8, w8, w8, w8], dilation=2)
        self.model7 = _stage([w8, w8, w8, w8])
        self.model8 = nn.Sequential(
            nn.ConvTranspose2d(w8, w4, 4, 2, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(w4, w4, 3, 1, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(w4, w4, 3, 1, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(w4, bins, 1),
        )
        self.model_out = nn.Conv2d(bins, 2, 1, bias=False)

    def forward(self, gray: Tensor) -> Tensor:
        """Lightness L/100 (N,1,H,W) in [0,1], sides multiples of 8 -> ab (N,2,H,W) in Lab units."""
        x = gray - 0.5
        for number in range(1, 9):
            x = getattr(self, f"model{number}")(x)
        ab = self.model_out(x.softmax(dim=1)).float() * 110
        return F.interpolate(ab.contiguous(), scale_factor=4, mode="bilinear", align_corners=False)
