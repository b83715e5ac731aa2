"""MicroAST: any picture's style with half a million parameters, by two small encoders and no VGG.

Paper: Wang et al., "MicroAST: Towards Super-Fast Ultra-Resolution Arbitrary Style Transfer", AAAI 2023
(2211.15313). Names and layout of the parameters: those of the four files of EndyWon/MicroAST (MIT), content
encoder, style encoder, modulator and decoder.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EPS = 1e-5
_AT_ONCE = 16  # output channels that a CPU's convolution computes together


class Encoder(nn.Module):
    """Two halvings by separable convolutions, then residual blocks: features at two depths, at a quarter.

    Args:
        width: channels of the first convolution; 2 and 4 times as many follow.

    The net has two, one for contents and one for styles.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.enc1 = nn.Sequential(
            _Conv(3, width, 9),
            nn.ReLU(inplace=True),
            *_separable(width, 2 * width, stride=2, groups=width),
            *_separable(2 * width, 4 * width, stride=2, groups=2 * width),
            _Residual(4 * width),
        )
        self.enc2 = nn.Sequential(_Residual(4 * width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """RGB (N,3,H,W) in [0,1], at least 9 px a side -> two of (N,4*width,ceil(H/4),ceil(W/4))."""
        first = self.enc1(x)
        return first, self.enc2(first)


class Modulator(nn.Module):
    """A style's features to a weight and a bias for each channel of the decoder's two blocks.

    Args:
        width: as of the encoder.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        for name in ("weight1", "bias1", "weight2", "bias2"):
            one = nn.Sequential(_Conv(4 * width, 4 * width, 3, groups=4 * width), nn.AdaptiveAvgPool2d(1))
            self.add_module(name, one)

    def forward(self, features: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Both depths of the style encoder -> weight and bias of each, four of (N,4*width,1,1)."""
        names = (("weight1", "bias1"), ("weight2", "bias2"))
        return tuple(
            self.get_submodule(name)(one) for one, pair in zip(features, names, strict=True) for name in pair
        )


class Decoder(nn.Module):
    """Two residual blocks that the style steers, then two bilinear enlargements.

    Args:
        width: as of the encoder.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.dec1 = _Residual(4 * width)
        self.dec2 = _Residual(4 * width)
        self.dec3 = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear"),
            *_separable(4 * width, 2 * width, groups=2 * width),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            *_separable(2 * width, width, groups=width),
            _Conv(width, 3, 9),
        )

    def forward(self, deep: Tensor, style: tuple[Tensor, ...]) -> Tensor:
        """The content's deeper features -> RGB, four times as wide, not limited to [0,1].

        ``style``: as :meth:`MicroAST.style` gives it.
        """
        (mean1, deviation1, weight1, bias1), (mean2, deviation2, weight2, bias2) = style[:4], style[4:]
        y = self.dec1(_restyled(deep, mean2, deviation2), weight2, bias2)
        y = self.dec2(_restyled(y, mean1, deviation1), weight1, bias1)
        return self.dec3(y)

    def joined(self, content: Encoder, style: Encoder, modulator: Modulator) -> MicroAST:
        """This and the other three parts, which come in a file each, as one net."""
        return MicroAST(parts=(content, style, modulator, self))


class MicroAST(nn.Module):
    """All four parts in one net; the style is given as what :meth:`style` measures.

    Args:
        width: of all parts; 16 as released.
        parts: content encoder, style encoder, modulator and decoder to take as they are instead of new ones.
    """

    def __init__(
        self, width: int = 16, parts: tuple[Encoder, Encoder, Modulator, Decoder] | None = None
    ) -> None:
        super().__init__()
        if parts is None:
            parts = Encoder(width), Encoder(width), Modulator(width), Decoder(width)
        self.content_encoder, self.style_encoder, self.modulator, self.decoder = parts

    def style(self, picture: Tensor) -> tuple[Tensor, ...]:
        """RGB (N,3,H,W) in [0,1] -> eight of (N,C,1,1): mean, deviation, weight, bias at each of two depths.

        Weighted means of several pictures' styles are a style between them, and so are those with the
        content's own style. The authors' trade-off mixes features before and after each AdaIN instead, under
        the style's weights and biases all the same; with the released files its results are no pictures.
        """
        features = self.style_encoder(picture)
        weight1, bias1, weight2, bias2 = (one.float() for one in self.modulator(features))
        return (*_moments(features[0]), weight1, bias1, *_moments(features[1]), weight2, bias2)

    def forward(self, x: Tensor, style: tuple[Tensor, ...]) -> Tensor:
        """RGB (N,3,H,W) in [0,1] in that style: RGB, sides rounded up to multiples of 4, not kept in [0,1].

        Args:
            style: of :meth:`style`, of N pictures or one.
        """
        return self.decoder(self.content_encoder(x)[1], style)


class _Conv(nn.Module):
    def __init__(self, inside: int, outside: int, side: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv_layer = nn.Conv2d(inside, outside, side, stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        edge = self.conv_layer.kernel_size[0] // 2
        x = F.pad(x, (edge, edge, edge, edge), mode="reflect") if edge else x
        conv = self.conv_layer
        if 2 * conv.out_channels > _AT_ONCE or conv.groups > 1 or conv.stride != (1, 1):
            return conv(x)
        learns = torch.is_grad_enabled() and (x.requires_grad or conv.weight.requires_grad)
        if learns or x.device.type != "cpu" or _recorded():
            return conv(x)
        return _few(x, conv)


def _few(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """``conv(x)`` of few output channels, without padding, on a CPU in a third of the time.

    Its kernels compute 16 channels at once, whether they are asked for or not. So pixels beside each other
    take their places: a convolution in strides of so many pixels, whose kernels are the same one, shifted.
    """
    beside, wide = _AT_ONCE // conv.out_channels, x.shape[-1] - conv.kernel_size[1] + 1
    x = F.pad(x, (0, -wide % beside))
    weight = torch.cat([F.pad(conv.weight, (left, beside - 1 - left)) for left in range(beside)])
    bias = None if conv.bias is None else conv.bias.repeat(beside)
    y = F.conv2d(x, weight, bias, stride=(1, beside))
    return y.unflatten(1, (beside, conv.out_channels)).permute(0, 2, 3, 4, 1).flatten(3)[..., :wide]


def _recorded() -> bool:
    """Whether a graph is being made for another program."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _Conv(channels, channels, 3)
        self.conv2 = _Conv(channels, channels, 3)

    def forward(self, x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """Without weight and bias a usual residual block; with them, each convolution's result is scaled by
        the weight, and what it was given, times the bias, is added."""
        if weight is None or bias is None:
            return x + self.conv2(F.relu(self.conv1(x), inplace=True))
        weight, bias = weight.to(x.dtype), bias.to(x.dtype)
        inner = F.relu(weight * self.conv1(x) + bias * x, inplace=True)
        return x + weight * self.conv2(inner) + bias * inner


def _separable(inside: int, outside: int, stride: int = 1, *, groups: int) -> list[nn.Module]:
    return [
        _Conv(inside, outside, 3, stride, groups),
        nn.ReLU(inplace=True),
        _Conv(outside, outside, 1),
        nn.ReLU(inplace=True),
    ]


# As in AdaIN; modules of this folder do not import each other.


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    unbiased = min(1, features[0, 0].numel() - 1)  # a single place has no spread, and 0/0 is not a number
    variance, mean = torch.var_mean(features.float(), (2, 3), correction=unbiased, keepdim=True)
    return mean, (variance + _EPS).sqrt()


def _restyled(features: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    own_mean, own_deviation = _moments(features)
    moved = torch.addcmul(mean, features.float() - own_mean, deviation / own_deviation)
    return moved.to(features.dtype)
