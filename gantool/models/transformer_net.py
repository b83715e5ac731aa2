"""Johnson's transformation net: one style, learned once, in a single pass.

Paper: Johnson, Alahi & Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution",
ECCV 2016 (1603.08155), supplementary material; instance norm after Ulyanov et al. (1607.08022). Names of the
parameters: those of pytorch/examples' fast_neural_style (BSD-3-Clause). Files of the other programs that
released nets of this kind are renamed: gordicaleksa/pytorch-neural-style-transfer-johnson (MIT),
rrmina/fast-neural-style-pytorch (no licence stated), and lengstrom/fast-style-transfer as ml5.js has it (its
layout is TensorFlow's).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's

# Patterns of other programs' names -> ours; the first that fits is taken.
_NAMES = (
    (r"ConvBlock\.([024])\.conv_layer\.(.+)", lambda m: f"conv{int(m[1]) // 2 + 1}.conv2d.{m[2]}"),
    (r"ConvBlock\.([024])\.norm_layer\.(.+)", lambda m: f"in{int(m[1]) // 2 + 1}.{m[2]}"),
    (
        r"ResidualBlock\.(\d+)\.conv(\d)\.conv_layer\.(.+)",
        lambda m: f"res{int(m[1]) + 1}.conv{m[2]}.conv2d.{m[3]}",
    ),
    (r"ResidualBlock\.(\d+)\.conv(\d)\.norm_layer\.(.+)", lambda m: f"res{int(m[1]) + 1}.in{m[2]}.{m[3]}"),
    (
        r"DeconvBlock\.([024])\.(?:conv_transpose|conv_layer)\.(.+)",
        lambda m: f"deconv{int(m[1]) // 2 + 1}.conv2d.{m[2]}",
    ),
    (r"DeconvBlock\.([02])\.norm_layer\.(.+)", lambda m: f"in{int(m[1]) // 2 + 4}.{m[2]}"),
    (r"up([123])\.(?:conv2d\.)?conv2d\.(.+)", lambda m: f"deconv{m[1]}.conv2d.{m[2]}"),
)
_TENSORFLOW = (
    (r"conv([123])\.weight", lambda m: f"conv{m[1]}.conv2d.weight"),
    (r"conv([123])\.(scale|shift)", lambda m: f"in{m[1]}.{_NORM[m[2]]}"),
    (r"res(\d+)_(\d)\.weight", lambda m: f"res{m[1]}.conv{m[2]}.conv2d.weight"),
    (r"res(\d+)_(\d)\.(scale|shift)", lambda m: f"res{m[1]}.in{m[2]}.{_NORM[m[3]]}"),
    (r"up([12])\.weight", lambda m: f"deconv{m[1]}.conv2d.weight"),
    (r"up([12])\.(scale|shift)", lambda m: f"in{int(m[1]) + 3}.{_NORM[m[2]]}"),
    (r"out\.weight", lambda m: "deconv3.conv2d.weight"),
    (r"out\.(scale|shift)", lambda m: f"in6.{_NORM[m[1]]}"),
)
_NORM = {"scale": "weight", "shift": "bias"}


class TransformerNet(nn.Module):
    """Convolution 9x9, two halvings, residual blocks, two doublings, convolution 9x9; instance norms.

    Args:
        widths: channels after the first three convolutions; the doublings go the same way back.
        blocks: how many residual blocks.
        inner: channels inside a block of three convolutions (1x1, 3x3, 1x1); 0 for two of 3x3.
        up: the doublings: "nearest" and a convolution (no checkerboard), or "transposed" convolutions.
        tensorflow: as fast-style-transfer: zero borders that are uneven where the net halves, no biases, a
            norm after the last convolution as well, 1e-3 in the norms, and 150 tanh + 127.5 at the end.
        imagenet: pictures are normalised by ImageNet's mean and deviation, and results turned back.

    The range of pictures is that of the net's row: [0,255] for all but those with ``imagenet``. The norms
    measure the whole picture. The result's sides are rounded up to multiples of 4; any from 9 px work.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 128),
        blocks: int = 5,
        inner: int = 0,
        up: str = "nearest",
        tensorflow: bool = False,
        imagenet: bool = False,
    ) -> None:
        super().__init__()
        self.blocks, self.imagenet = blocks, imagenet
        # px: zeros beyond the border change what is near it, by 30 levels at the border, 23 with this margin.
        self.margin = 24 if tensorflow else 0
        first, second, third = widths
        form = {"tensorflow": tensorflow}
        self.conv1 = _Conv(3, first, 9, **form)
        self.in1 = _norm(first, **form)
        self.conv2 = _Conv(first, second, 3, stride=2, **form)
        self.in2 = _norm(second, **form)
        self.conv3 = _Conv(second, third, 3, stride=2, **form)
        self.in3 = _norm(third, **form)
        for number in range(1, blocks + 1):
            self.add_module(f"res{number}", _Residual(third, inner, **form))
        double = _Transposed if up == "transposed" else _Enlarged
        self.deconv1 = double(third, second, 3, **form)
        self.in4 = _norm(second, **form)
        self.deconv2 = double(second, first, 3, **form)
        self.in5 = _norm(first, **form)
        self.deconv3 = _Conv(first, 3, 9, **form)
        self.in6 = _norm(3, **form) if tensorflow else None
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    @staticmethod
    def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same tensors under the names of this class, whatever program saved them.

        TensorFlow's kernels are turned round; statistics of instance norms, which old files have and no
        program uses, are left out.
        """
        layout = _TENSORFLOW if "conv1.scale" in state else _NAMES
        renamed = {_renamed(name, layout): tensor for name, tensor in state.items()}
        used = {n: t for n, t in renamed.items() if not n.endswith((".running_mean", ".running_var"))}
        if layout is _NAMES:
            return used
        # height, width, in, out; of transposed ones out, in
        return {n: t.permute(3, 2, 0, 1) if t.ndim == 4 else t for n, t in used.items()}

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (N,3,H,W) -> pictures, in the range of the row; the result leaves that range."""
        if self.imagenet:
            x = (x - self.mean) / self.std
        for number in (1, 2, 3):
            x = F.relu(self._layer("in", number)(self._layer("conv", number)(x)))
        for number in range(1, self.blocks + 1):
            x = self._layer("res", number)(x)
        x = F.relu(self.in4(self.deconv1(x)))
        x = self.deconv3(F.relu(self.in5(self.deconv2(x))))
        if self.in6 is not None:
            x = torch.tanh(self.in6(x)) * 150 + 127.5
        return x * self.std + self.mean if self.imagenet else x

    def _layer(self, kind: str, number: int) -> nn.Module:
        return self.get_submodule(f"{kind}{number}")


class _Conv(nn.Module):
    def __init__(
        self, inside: int, outside: int, side: int, stride: int = 1, *, tensorflow: bool = False
    ) -> None:
        super().__init__()
        self.conv2d = self._made(inside, outside, side, stride, not tensorflow)
        self.tensorflow = tensorflow

    def _made(self, inside: int, outside: int, side: int, stride: int, bias: bool) -> nn.Conv2d:
        return nn.Conv2d(inside, outside, side, stride, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        side, stride = self.conv2d.kernel_size[0], self.conv2d.stride[0]
        if not self.tensorflow:
            edge = side // 2
            return self.conv2d(F.pad(x, (edge, edge, edge, edge), mode="reflect") if edge else x)
        borders = []
        for length in (x.shape[-1], x.shape[-2]):
            both = max(0, (-(-length // stride) - 1) * stride + side - length)
            borders += [both // 2, both - both // 2]
        return self.conv2d(F.pad(x, borders))


class _Doubled(nn.Conv2d):
    """Nearest x2 and a 3x3 convolution with mirrored borders."""

    doubles = True  # for whoever has a quicker way to the same

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(inside, outside, 3, 1, 1, padding_mode="reflect")

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.interpolate(input, scale_factor=2, mode="nearest"))


class _Enlarged(_Conv):
    def _made(self, inside: int, outside: int, side: int, stride: int, bias: bool) -> nn.Conv2d:
        if side == 3 and bias:
            return _Doubled(inside, outside)
        return super()._made(inside, outside, side, stride, bias)

    def forward(self, x: Tensor) -> Tensor:
        if getattr(self.conv2d, "doubles", False):
            return self.conv2d(x)
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))


class _Transposed(nn.Module):
    def __init__(self, inside: int, outside: int, side: int, *, tensorflow: bool = False) -> None:
        super().__init__()
        self.conv2d = nn.ConvTranspose2d(inside, outside, side, stride=2, bias=not tensorflow)
        # The result is one row longer than twice the input: TensorFlow drops its last, the others the first.
        self.first = 0 if tensorflow else side // 2

    def forward(self, x: Tensor) -> Tensor:
        tall, wide = 2 * x.shape[-2], 2 * x.shape[-1]
        return self.conv2d(x)[..., self.first : self.first + tall, self.first : self.first + wide]


class _Residual(nn.Module):
    def __init__(self, channels: int, inner: int, *, tensorflow: bool = False) -> None:
        super().__init__()
        inner_width = inner or channels
        self.sides = (1, 3, 1) if inner else (3, 3)
        for number, side in enumerate(self.sides, 1):
            inside = channels if number == 1 else inner_width
            outside = channels if number == len(self.sides) else inner_width
            self.add_module(f"conv{number}", _Conv(inside, outside, side, tensorflow=tensorflow))
            self.add_module(f"in{number}", _norm(outside, tensorflow=tensorflow))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for number in range(1, len(self.sides) + 1):
            y = self.get_submodule(f"in{number}")(self.get_submodule(f"conv{number}")(y))
            y = F.relu(y) if number < len(self.sides) else y
        return x + y


def _norm(channels: int, *, tensorflow: bool) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(channels, eps=1e-3 if tensorflow else 1e-5, affine=True)


def _renamed(name: str, layout: Sequence[tuple]) -> str:
    for pattern, new in layout:
        found = re.fullmatch(pattern, name)
        if found:
            return new(found)
    return name
