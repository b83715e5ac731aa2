"""AdaIN: any picture's style by the mean and spread of its features, with one encoder and one decoder.

Paper: Huang & Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization",
ICCV 2017 (1703.06868), sections 4 to 6. Names and layout of the parameters: those of the files of
naoto0804/pytorch-AdaIN (MIT), ``vgg_normalised.pth`` (of which only the part up to relu4_1 is used) and
``decoder.pth``: children by their numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import inf

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_UP = 0
_ENCODER = ((64, 64), (128, 128), (256, 256, 256, 256), (512,))  # output channels, block by block
_DECODER = (256, _UP, 256, 256, 256, 128, _UP, 128, 64, _UP, 64)
_TAPS = (0, 4, 11, 18, 31)  # children up to relu1_1, relu2_1, relu3_1, relu4_1
_EPS = 1e-5
_MOST = 5.0  # times that the light net stretches features
# Light, red against blue, green against both: red, green and blue themselves go together in nearly all
# pictures, and given another picture's spread one by one would lose its chroma (Reinhard et al. 2001).
_OPPONENT = torch.tensor(((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0)))
_OPPONENT /= _OPPONENT.norm(dim=1, keepdim=True)


class _Doubled(nn.Conv2d):
    """Nearest x2 and a 3x3 convolution with mirrored borders."""

    doubles = True  # for whoever has a quicker way to the same

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(inside, outside, 3, 1, 1, padding_mode="reflect")

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.interpolate(input, scale_factor=2, mode="nearest"))


class Encoder(nn.Sequential):
    """VGG19 up to relu4_1 with mirrored borders, behind a 1x1 convolution that normalises the colours.

    Args:
        width: factor on the channels 64, 128, 256, 512.

    Takes RGB (N,3,H,W) in [0,1] of at least 9 px a side and gives relu4_1, an eighth as wide, rounded up.
    """

    def __init__(self, width: float = 1.0) -> None:
        layers: list[nn.Module] = [nn.Conv2d(3, 3, 1)]
        inside = 3
        for number, block in enumerate(_ENCODER):
            if number:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            for full in block:
                layers += _layer(inside, _scaled(full, width))
                inside = _scaled(full, width)
        super().__init__(*layers)

    @staticmethod
    def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The part up to relu4_1 of a file that holds all of VGG19."""

        def deeper(name: str) -> bool:
            number = name.partition(".")[0]
            return number.isdecimal() and int(number) >= _TAPS[-1]

        return {name: tensor for name, tensor in state.items() if not deeper(name)}

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        """RGB (N,3,H,W) in [0,1] -> relu1_1 to relu4_1, which the losses compare."""
        found = []
        for start, end in pairwise(_TAPS):
            for layer in list(self)[start:end]:
                x = layer(x)
            found.append(x)
        return tuple(found)


class Decoder(nn.Sequential):
    """Features of relu4_1 back to RGB, eight times as wide: the encoder mirrored, nearest for the pooling.

    Args:
        width: as of the encoder.

    Not limited to [0,1].
    """

    def __init__(self, width: float = 1.0) -> None:
        layers: list[nn.Module] = []
        inside, doubled = _scaled(_ENCODER[-1][-1], width), False
        for full in _DECODER:
            if full == _UP:
                doubled = True
                continue
            outside = _scaled(full, width)
            layers += _doubling_layer(inside, outside) if doubled else _layer(inside, outside)
            inside, doubled = outside, False
        super().__init__(*layers, *_layer(inside, 3)[:2])

    def forward(self, input: Tensor) -> Tensor:
        """relu4_1 (N,512w,H,W) -> RGB (N,3,8H,8W)."""
        return super().forward(input)

    def joined(self, encoder: Encoder) -> AdaIN:
        """This and the encoder, which come in a file each, as one net."""
        return AdaIN(encoder=encoder, decoder=self)


class AdaIN(nn.Module):
    """Encoder and decoder in one net; the style is given as what :meth:`style` measures.

    Args:
        width: factor on the channels of both.
        encoder, decoder: parts to take as they are instead of new ones.
    """

    def __init__(
        self, width: float = 1.0, encoder: Encoder | None = None, decoder: Decoder | None = None
    ) -> None:
        super().__init__()
        self.encoder = Encoder(width) if encoder is None else encoder
        self.decoder = Decoder(width) if decoder is None else decoder

    def style(self, picture: Tensor) -> tuple[Tensor, ...]:
        """RGB (N,3,H,W) in [0,1] -> mean and standard deviation of relu4_1, (N,C,1,1) float32 each.

        Since AdaIN is linear in them, weighted means of several pictures' styles are the paper's style
        interpolation (section 6.4), and means with the content's own style its trade-off.
        """
        return moments(self.encoder(picture))

    def forward(self, x: Tensor, style: tuple[Tensor, ...]) -> Tensor:
        """RGB (N,3,H,W) in [0,1] in that style: RGB, sides rounded up to multiples of 8, not kept in [0,1].

        Args:
            style: of :meth:`style`, of N pictures or one.
        """
        mean, deviation = style
        return self.decoder(restyled(self.encoder(x), mean, deviation))


class LightAdaIN(nn.Module):
    """AdaIN at every scale of a small U-Net, in which the encoder learns too: a design of gantool's own.

    Colours are moved to the style's mean and deviation along three axes, and the net adds to that what else
    makes the style. Its features of each scale get the style's moments on their way to the decoder, whose
    deepest blocks the style steers. In its own style a picture is left as it is but for what is added.

    Args:
        width: channels at full size; 2, 4 and 6 times as many at a half, a quarter and an eighth.
        blocks: residual blocks at an eighth.
    """

    margin = 16  # px: what a mirrored border does to strokes and colours reaches so far

    def __init__(self, width: int = 16, blocks: int = 3) -> None:
        super().__init__()
        one, two, four, six = width, 2 * width, 4 * width, 6 * width
        self.downs = nn.ModuleList(
            [
                _mirrored(3, one, 5),
                _mirrored(one, two, 3, 2),
                _mirrored(two, four, 3, 2),
                _mirrored(four, six, 3, 2),
            ]
        )
        self.blocks = nn.ModuleList(
            [nn.ModuleList([_mirrored(six, six, 3), _mirrored(six, six, 3)]) for _ in range(blocks)]
        )
        self.steer = nn.Linear(2 * (3 + one + two + four + six), 2 * blocks * six)
        self.ups = nn.ModuleList(
            [_mirrored(six + four, four, 3), _mirrored(four + two, two, 3), _mirrored(two + one, one, 3)]
        )
        self.paint = _mirrored(one + 3, 3, 3)

    def style(self, picture: Tensor) -> tuple[Tensor, ...]:
        """RGB (N,3,H,W) in [0,1], at least 9 px a side -> ten of (N,C,1,1) float32: mean and deviation of the
        picture and of the features at four scales. Weighted means of several are a style between them.
        """
        levels = (_turned(picture, _OPPONENT), *self._features(picture))
        return tuple(part for one in levels for part in moments(one))

    def forward(self, x: Tensor, style: tuple[Tensor, ...]) -> Tensor:
        """RGB (N,3,H,W) in [0,1] in that style: RGB of the same size, not kept in [0,1].

        Args:
            style: of :meth:`style`, of N pictures or one.
        """
        levels = [_turned(x, _OPPONENT), *self._features(x)]
        moved = [restyled(one, *style[2 * i : 2 * i + 2], most=_MOST) for i, one in enumerate(levels)]
        y = moved.pop()
        steered = self.steer(torch.cat(style, 1).flatten(1).to(x.dtype)).unflatten(
            1, (-1, 2, y.shape[1], 1, 1)
        )
        for number, (first, second) in enumerate(self.blocks):  # type: ignore[misc]
            gain, shift = steered[:, number].unbind(1)
            inner = first(y)
            mean, deviation = moments(inner)
            inner = ((inner - mean) / deviation).to(x.dtype)  # else what a style steers has no bounds
            y = y + second(_leaky((1 + gain) * inner + shift))
        for up in self.ups:
            beside = moved.pop()
            # With nearest neighbours the net wove a grid of four pixels, plain to see from 400 px on.
            larger = nn.functional.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False)
            larger = larger[..., : beside.shape[-2], : beside.shape[-1]]
            y = _leaky(up(torch.cat((larger, beside), 1)))
        colored = _turned(moved[0], _OPPONENT.mT)
        painted = colored + self.paint(torch.cat((y, colored), 1))
        # The colours once more: whether a stroke brightens the whole is nothing that the net need learn.
        exact = restyled(_turned(painted, _OPPONENT), *style[:2], most=_MOST)
        return _turned(exact, _OPPONENT.mT)

    def _features(self, x: Tensor) -> list[Tensor]:
        """At full size, a half, a quarter and an eighth, rounded up."""
        found = []
        for down in self.downs:
            x = _leaky(down(x))
            found.append(x)
        return found


def _turned(x: Tensor, axes: Tensor) -> Tensor:
    """Colours (N,3,H,W) along other axes, the rows of (3,3)."""
    red, green, blue = x.unbind(1)  # no matrix product, which autocast would round
    return torch.stack([r * red + g * green + b * blue for r, g, b in axes.tolist()], 1)


def _leaky(x: Tensor) -> Tensor:
    """A slope of 0.1 below zero: plain ReLUs, the last ones before the picture, all died in one training."""
    return nn.functional.leaky_relu(x, 0.1)


def _mirrored(inside: int, outside: int, side: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, side, stride, side // 2, padding_mode="reflect")


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over the places of (N,C,H,W): (N,C,1,1) float32 each.

    Unbiased, with 1e-5 added to the variance, as in the released programs.
    """
    unbiased = min(1, features[0, 0].numel() - 1)  # a single place has no spread, and 0/0 is not a number
    variance, mean = torch.var_mean(features.float(), (2, 3), correction=unbiased, keepdim=True)
    return mean, (variance + _EPS).sqrt()


def restyled(features: Tensor, mean: Tensor, deviation: Tensor, most: float = inf) -> Tensor:
    """AdaIN (section 4): (N,C,H,W) moved and stretched to that mean and deviation.

    ``most``: how far it is stretched at most, so that noise of flat pictures is not made much of.
    """
    own_mean, own_deviation = moments(features)
    gain = (deviation / own_deviation).clamp(max=most)
    moved = torch.addcmul(mean, features.float() - own_mean, gain)
    return moved.to(features.dtype)


def _layer(inside: int, outside: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(1), nn.Conv2d(inside, outside, 3), nn.ReLU()]


def _doubling_layer(inside: int, outside: int) -> list[nn.Module]:
    """The convolution stands third: in the files, enlarging and mirrored borders have their own numbers."""
    return [nn.Identity(), nn.Identity(), _Doubled(inside, outside), nn.ReLU()]


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))
