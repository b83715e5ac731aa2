"""A 3x3 convolution of a picture that nearest-neighbour made twice as large, without making it so.

Each answer sees only 2x2 different values of the small picture, by kernels that are sums of the large one's
taps, one kernel for each of the four places of a pixel: 4/9 of the products, and no large copy to read (the
sub-pixel form of Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?",
1609.07009).
"""

from __future__ import annotations

import itertools
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEAST = 32 * 32  # px of a small picture; below, the many small steps take longer than they save
_MOST = 32 * 1024  # px of it that are taken at once, so that what they give stays in the processor's caches


class _Quick(nn.Conv2d):
    doubles = True

    def forward(self, input: Tensor, beside: Tensor | None = None) -> Tensor:
        return conv_of_doubled(input, self.weight, self.bias, self.padding_mode, beside)


def quicken(net: nn.Module) -> None:
    """Have each layer of a net that ``doubles`` its input do so by :func:`conv_of_doubled`; weights stay.

    A layer says so by an attribute of that name that is true: a 3x3 nn.Conv2d with a padding of 1 (zeros or
    reflect) whose ``forward(x, beside=None)`` makes x (N,C,H,W) twice as large by nearest neighbours, and
    joins the channels of ``beside`` to it, if there are any.
    """
    for name, layer in list(net.named_modules()):
        if name and getattr(layer, "doubles", False) and not isinstance(layer, _Quick):
            plain = cast(nn.Conv2d, layer)
            with torch.device("meta"):
                quick = _Quick(
                    plain.in_channels,
                    plain.out_channels,
                    3,
                    padding=1,
                    bias=plain.bias is not None,
                    padding_mode=plain.padding_mode,
                )
            quick.weight, quick.bias = plain.weight, plain.bias
            net.set_submodule(name, quick.train(plain.training))


def conv_of_doubled(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    padding_mode: str = "zeros",
    beside: Tensor | None = None,
) -> Tensor:
    """``conv2d(nearest x2 of x, weight, bias)``, (N,C,H,W) -> (N,O,2H,2W) of the same type.

    Args:
        weight: (O,C,3,3).
        bias: (O,) or None.
        padding_mode: what lies around the large picture, one pixel wide: "zeros" or "reflect".
        beside: (N,D,2H,2W): more channels of the large picture; the weight is (O,C+D,3,3).

    In training, on GPUs, in exported graphs and for tiny pictures the large picture is made: there it is
    quicker, or what other programs know better. The two ways differ by rounding.
    """
    learns = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    if learns or x.device.type != "cpu" or _recorded() or x.shape[-2] * x.shape[-1] < _LEAST:
        y = F.interpolate(x, scale_factor=2, mode="nearest")
        return _conv(y if beside is None else torch.cat((y, beside), 1), weight, bias, padding_mode)
    channels = x.shape[1]
    if torch.is_autocast_enabled("cpu"):
        x = x.to(torch.get_autocast_dtype("cpu"))
    # A large picture that is mirrored repeats its border: the small one's next pixel is its last.
    x = F.pad(x, (1, 1, 1, 1), mode="replicate" if padding_mode == "reflect" else "constant")
    count, _, tall, wide = x.shape
    shape = (count, len(weight), 2 * (tall - 2), 2 * (wide - 2))
    answer = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
    kernels = [[_ordered(k) for k in _pairs(rows, 3)] for rows in _pairs(weight[:, :channels], 2)]
    band = max(1, _MOST // wide)
    for top in range(0, tall - 2, band):
        end = min(top + band, tall - 2)
        for row, column in itertools.product((0, 1), (0, 1)):
            seen = x[..., top + row : end + 1 + row, column : wide - 1 + column]
            answer[..., 2 * top + row : 2 * end : 2, column::2] = F.conv2d(seen, kernels[row][column], bias)
    if beside is not None:
        answer += _conv(beside, weight[:, channels:], None, padding_mode)
    return answer


def _conv(x: Tensor, weight: Tensor, bias: Tensor | None, padding_mode: str) -> Tensor:
    if padding_mode == "zeros":
        return F.conv2d(x, weight, bias, padding=1)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode=padding_mode), weight, bias)


def _ordered(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last)


def _pairs(weight: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Kernels with two taps along an axis for the first and the second half of each pixel."""
    first, middle, last = weight.unbind(axis)
    return torch.stack((first, middle + last), axis), torch.stack((first + middle, last), axis)


def _recorded() -> bool:
    """Whether a graph is being made for another program."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()
