"""CycleGAN's ResNet generator with separable convolutions, of which search has left few channels.

Paper: Li et al. 2020, "GAN Compression: Efficient Architectures for Interactive Conditional GANs"
(2003.08936), section 3. State-dict keys are those of the "mobile" and "compressed" files of
mit-han-lab/gan-compression (weights MIT by the card of their hub page; code BSD-2-Clause).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class SeparableConv(nn.Module):
    """A 3x3 kernel for each channel, a norm, and a mixture of the channels."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(inside, inside, 3, groups=inside),
            nn.InstanceNorm2d(inside),
            nn.Conv2d(inside, outside, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class MobileBlock(nn.Module):
    """Two separable convolutions with reflected borders and a shortcut, ``inner`` channels between."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        # The original has a dropout layer, which has no weights but takes up a number.
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            SeparableConv(width, inner),
            nn.InstanceNorm2d(inner),
            nn.ReLU(),
            nn.Identity(),
            nn.ReflectionPad2d(1),
            SeparableConv(inner, width),
            nn.InstanceNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class MobileResnetGenerator(nn.Module):
    """Two halvings, separable residual blocks, two doublings, tanh at the end; instance norm.

    Args:
        down: channels after the first layer and after each halving.
        inner: channels inside each block, one number a block.
        up: channels after each doubling.
        input_nc, output_nc: channels of input and output.

    Any side from 5 px works; where it is no multiple of 4 the output is that of the next one.
    """

    def __init__(
        self,
        down: Sequence[int] = (64, 128, 256),
        inner: Sequence[int] = (256,) * 9,
        up: Sequence[int] = (128, 64),
        input_nc: int = 3,
        output_nc: int = 3,
    ) -> None:
        super().__init__()
        first, half, quarter = down
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(input_nc, first, 7),
            nn.InstanceNorm2d(first),
            nn.ReLU(),
        ]
        for inside, outside in ((first, half), (half, quarter)):
            layers += [nn.Conv2d(inside, outside, 3, 2, 1), nn.InstanceNorm2d(outside), nn.ReLU()]
        layers += [MobileBlock(quarter, width) for width in inner]
        for inside, outside in ((quarter, up[0]), (up[0], up[1])):
            layers += [
                nn.ConvTranspose2d(inside, outside, 3, 2, 1, output_padding=1),
                nn.InstanceNorm2d(outside),
                nn.ReLU(),
            ]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(up[1], output_nc, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N,input_nc,H,W) in [-1,1] -> (N,output_nc,H,W) in [-1,1], sides multiples of 4."""
        return self.model(x.clamp(-1, 1))
