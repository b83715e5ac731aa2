"""Grey to colour: ResNet18 encoders with two decoders, straight-line and U-Net.

The encoder is the first six children of ResNet18 (He et al. 2016, "Deep Residual Learning for Image
Recognition") with a first convolution of one channel, as in mid-level feature colorization; the U-Net
decoder (Ronneberger et al. 2015) gets its details from skip connections. Up-sampling is resize plus
convolution, which leaves no checkerboard (Odena et al. 2016).
Encoder keys are those of torchvision's ResNet18, so pretrained weights load: see :func:`gray_first_conv`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def gray_first_conv(weight: Tensor) -> Tensor:
    """First-layer weights for one grey channel: (O,3,k,k) -> (O,1,k,k), summed over RGB.

    A grey pixel shown to an RGB net has three equal channels, so the sum gives the same response.
    """
    return weight.sum(dim=1, keepdim=True)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut; keys as in torchvision."""

    def __init__(self, in_ch: int, out_ch: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_ch, out_ch, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_ch)
        self.conv2 = nn.Conv2d(out_ch, out_ch, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_ch)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_ch != out_ch:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_ch, out_ch, 1, stride, bias=False), nn.BatchNorm2d(out_ch)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + shortcut, inplace=True)


def _stage(in_ch: int, out_ch: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(in_ch, out_ch, stride), BasicBlock(out_ch, out_ch))


class ResNetStraight(nn.Module):
    """The straight-line colorizer: encoder to 128 channels at 1/8, six convolutions, three x2 resizes.

    Keys ``midlevel_resnet.{0,1,4,5}`` and ``upsample.{0..14}`` are those of public checkpoints of this
    design, which predict ``(ab + 128) / 255`` from luma in [0,1].

    Args:
        ab_gain, ab_shift: ab = output * ab_gain + ab_shift; (255, -128) for those files.
    """

    multiple = 8

    def __init__(self, ab_gain: float = 110.0, ab_shift: float = 0.0) -> None:
        super().__init__()
        self.ab_gain, self.ab_shift = ab_gain, ab_shift
        self.midlevel_resnet = nn.Sequential(
            nn.Conv2d(1, 64, 7, 2, 3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
            _stage(64, 64, 1),
            _stage(64, 128, 2),
        )

        def conv(i: int, o: int) -> list[nn.Module]:
            return [nn.Conv2d(i, o, 3, 1, 1), nn.BatchNorm2d(o), nn.ReLU()]

        def double() -> nn.Module:
            return nn.Upsample(scale_factor=2)

        self.upsample = nn.Sequential(
            *conv(128, 128),
            double(),
            *conv(128, 64),
            *conv(64, 64),
            double(),
            *conv(64, 32),
            nn.Conv2d(32, 2, 3, 1, 1),
            double(),
        )

    def forward(self, gray: Tensor) -> Tensor:
        """Luma (N,1,H,W) in [0,1], sides multiples of 8 -> ab (N,2,H,W) in Lab units."""
        return self.upsample(self.midlevel_resnet(gray)) * self.ab_gain + self.ab_shift


class _Doubled(nn.Conv2d):
    """3x3 convolution of a picture enlarged by nearest neighbours and, as further channels, a skip."""

    doubles = True  # for whoever has a quicker way to the same

    def __init__(self, in_ch: int, out_ch: int) -> None:
        super().__init__(in_ch, out_ch, 3, 1, 1, bias=False)

    def forward(self, input: Tensor, beside: Tensor) -> Tensor:
        """(N,C,H,W) and (N,D,2H,2W) -> (N,out,2H,2W); C + D channels go in."""
        low = F.interpolate(input, scale_factor=2, mode="nearest")
        return super().forward(torch.cat((low, beside), 1))


class ResNetUNet(nn.Module):
    """ResNet18 encoder to 1/8, a bridge to 1/32 for the scene as a whole, and a U-Net decoder.

    Args:
        bridge: channels at 1/16 and 1/32.
        decoder: channels of the decoder at 1/16, 1/8, 1/4 and 1/2, where a and b are predicted.
        dropout: share of bridge channels dropped in training.
        ab_gain: Lab units per unit of output; 110 in training, less where a net is held to be too sure.
    """

    multiple = 32

    def __init__(
        self,
        bridge: int = 128,
        decoder: tuple[int, int, int, int] = (128, 80, 64, 48),
        dropout: float = 0.1,
        ab_gain: float = 110.0,
    ) -> None:
        super().__init__()
        self.ab_gain = ab_gain
        self.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, 1)
        self.layer2 = _stage(64, 128, 2)
        self.bridge1 = BasicBlock(128, bridge, 2)
        self.bridge2 = BasicBlock(bridge, bridge, 2)
        self.drop = nn.Dropout2d(dropout)
        d16, d8, d4, d2 = decoder
        self.up16 = self._fuse(bridge + bridge, d16)
        self.up8 = self._fuse(d16 + 128, d8)
        self.up4 = self._fuse(d8 + 64, d4)
        self.up2 = self._fuse(d4 + 64, d2)
        self.ab = nn.Conv2d(d2, 2, 3, 1, 1)
        nn.init.zeros_(self.ab.weight)
        nn.init.zeros_(self.ab.bias)  # type: ignore[arg-type]

    @staticmethod
    def _fuse(in_ch: int, out_ch: int) -> nn.Sequential:
        return nn.Sequential(_Doubled(in_ch, out_ch), nn.BatchNorm2d(out_ch), nn.ReLU(inplace=True))

    def forward(self, gray: Tensor) -> Tensor:
        """Lightness L/100 (N,1,H,W) in [0,1], sides multiples of 32 -> ab (N,2,H,W) in Lab units."""

        def up(fuse: nn.Sequential, low: Tensor, skip: Tensor) -> Tensor:
            convolution, *rest = fuse
            return nn.Sequential(*rest)(convolution(low, skip.to(low.dtype)))

        x = gray * 2 - 1
        half = F.relu(self.bn1(self.conv1(x)), inplace=True)
        quarter = self.layer1(F.max_pool2d(half, 3, 2, 1))
        eighth = self.layer2(quarter)
        sixteenth = self.bridge1(eighth)
        y = self.drop(self.bridge2(sixteenth))
        y = up(self.up16, y, sixteenth)
        y = up(self.up8, y, eighth)
        y = up(self.up4, y, quarter)
        y = up(self.up2, y, half)
        ab = self.ab(y).float().contiguous()  # a resize of two channels is far quicker plane by plane
        ab = F.interpolate(ab, scale_factor=2, mode="bilinear", align_corners=False)
        return ab * self.ab_gain
