"""A 3x3 convolution of a picture that nearest-neighbour made twice as large, without making it so.

Each answer sees only 2x2 different values of the small picture, by kernels that are sums of the large one's
taps, one kernel for each of the four places of a pixel: 4/9 of the products, and no large copy to read (the
sub-pixel form of Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?",
1609.07009).
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PaddingMode = Literal["zeros", "reflect"]

_LEAST = 32 * 32  # px of a small picture; below, the many small steps take longer than they save
_MOST = 32 * 1024  # px of it that are taken at once, so that what they give stays in the processor's caches


class ResizeConv(nn.Conv2d):
    """Nearest x2 and a 3x3 convolution: up-sampling without a checkerboard (Odena et al. 2016).

    Args:
        in_ch, out_ch: channels before and after.
        bias: as of nn.Conv2d.
    """

    def __init__(self, in_ch: int, out_ch: int, bias: bool = True) -> None:
        super().__init__(in_ch, out_ch, 3, 1, 1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N,C,H,W) -> (N,out,2H,2W)."""
        return conv_of_doubled(input, self.weight, self.bias)


def conv_of_doubled(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    padding_mode: PaddingMode = "zeros",
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
