"""Convolutions that have many weights and few pixels, as one product of matrices.

In the depths of a U-Net, millions of weights meet a handful of pixels. In training, a library that brings
weights and their gradients into an order of its own at each call then spends its time on that. Here they are
used as they lie in memory: the values under each place of the kernel side by side ("im2col", Chellapilla et
al. 2006), times the weights; a transposed convolution the other way round, each product added where it
belongs. Only in training: how a product is rounded depends on the number of its rows, and what a trained net
answers must not depend on the pictures that are beside one in a batch.
"""

from __future__ import annotations

import itertools
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WEIGHTS = 1 << 20  # a layer of fewer is quick enough as it is
_PIXELS = 256  # of a batch's small maps, up to which this is the quicker way

Layer = nn.Conv2d | nn.ConvTranspose2d
Pair = tuple[int, int]


class _Conv(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        if not _suits(self, input):
            return super().forward(input)
        x, weight = _in_autocast(input, self.weight)
        return _biased(_Product.apply(x, weight, self.stride, self.padding), self.bias)


class _ConvTranspose(nn.ConvTranspose2d):
    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if output_size is not None or not _suits(self, input):
            return super().forward(input, output_size)
        x, weight = _in_autocast(input, self.weight)
        sides = zip(input.shape[-2:], *_geometry(self), strict=True)
        large = tuple((n - 1) * s - 2 * p + k for n, k, s, p in sides)
        return _biased(_Transposed.apply(x, weight, self.stride, self.padding, large), self.bias)


def quicken(net: nn.Module) -> None:
    """Have each large convolution of a net learn by products wherever it has few pixels; its parameters stay.

    On CPUs, with zeros around the picture, one group and no dilation, and where nothing is hooked to the
    layer. It learns as before, gradients of gradients included; what comes out differs by rounding. Weights
    are kept in the plain memory order.
    """
    for name, layer in list(net.named_modules()):
        if not name or type(layer) not in (nn.Conv2d, nn.ConvTranspose2d):
            continue
        layer = cast(Layer, layer)
        usual = layer.groups == 1 and set(layer.dilation) == {1} and layer.padding_mode == "zeros"
        usual = usual and not isinstance(layer.padding, str) and set(layer.output_padding) == {0}
        if not usual or layer.weight.numel() < _WEIGHTS or layer._forward_pre_hooks or layer._forward_hooks:
            continue
        kind = _Conv if isinstance(layer, nn.Conv2d) else _ConvTranspose
        shape = cast(tuple[Pair, Pair, Pair], _geometry(layer))
        with torch.device("meta"):
            quick = kind(layer.in_channels, layer.out_channels, *shape, bias=layer.bias is not None)
        layer.weight.data = layer.weight.data.contiguous()  # Adam, too, is quicker with that
        quick.weight, quick.bias = layer.weight, layer.bias
        net.set_submodule(name, quick.train(layer.training))


class _Product(torch.autograd.Function):
    """A convolution: (N,C,H,W), (O,C,k,l) -> (N,O,h,w)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding
        columns = _columns(x, weight, stride, padding)
        answer = columns.flatten(0, 2).flatten(1) @ weight.flatten(1).t()
        return answer.unflatten(0, columns.shape[:3]).movedim(-1, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (x, weight), (gradient,), (stride, padding) = ctx.saved_tensors, gradients, ctx.geometry
        for_x, for_weight, *_ = ctx.needs_input_grad
        size = tuple(x.shape[-2:])
        return (
            _Transposed.apply(gradient, weight, stride, padding, size) if for_x else None,
            _of_weight(gradient, x, weight, stride, padding) if for_weight else None,
            None,
            None,
        )


class _Transposed(torch.autograd.Function):
    """A transposed convolution: (N,O,h,w), (O,C,k,l) -> (N,C,*size)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, size: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding
        pixels = x.movedim(1, -1)
        products = (pixels.flatten(0, 2) @ weight.flatten(1)).unflatten(1, weight.shape[1:])
        return _gathered(products.unflatten(0, pixels.shape[:3]), stride, padding, size)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (x, weight), (gradient,), (stride, padding) = ctx.saved_tensors, gradients, ctx.geometry
        for_x, for_weight, *_ = ctx.needs_input_grad
        return (
            _Product.apply(gradient, weight, stride, padding) if for_x else None,
            _of_weight(x, gradient, weight, stride, padding) if for_weight else None,
            None,
            None,
            None,
        )


def _of_weight(small: Tensor, large: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """The weight's gradient, from the maps (N,O,h,w) and (N,C,H,W) on its two sides."""
    columns = _columns(large, weight, stride, padding)
    found = small.movedim(1, -1).flatten(0, 2).t() @ columns.flatten(0, 2).flatten(1)
    return found.view_as(weight)


def _columns(x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """What lies under each place of the kernel: (N,C,H,W) -> (N,h,w,C,k,l)."""
    tall, wide = weight.shape[-2:]
    pixels = F.pad(x, (padding[1], padding[1], padding[0], padding[0])).movedim(1, -1)
    return pixels.unfold(1, tall, stride[0]).unfold(2, wide, stride[1])


def _gathered(products: Tensor, stride: Pair, padding: Pair, size: Pair) -> Tensor:
    """The other way, what belongs to one pixel added up: (N,h,w,C,k,l) -> (N,C,*size)."""
    count, down, right, channels, tall, wide = products.shape
    products = products.permute(4, 5, 0, 1, 2, 3)
    (above, left), (height, width) = padding, size
    answer = products.new_zeros(count, height + 2 * above, width + 2 * left, channels)
    for y, x in itertools.product(range(tall), range(wide)):
        rows = slice(y, y + (down - 1) * stride[0] + 1, stride[0])
        answer[:, rows, x : x + (right - 1) * stride[1] + 1 : stride[1]] += products[y, x]
    return answer[:, above : above + height, left : left + width].movedim(-1, 1)


def _suits(layer: Layer, x: Tensor) -> bool:
    """Whether a layer learns from few pixels here, and nobody records how it works."""
    if torch.jit.is_tracing() or torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export():
        return False
    learns = torch.is_grad_enabled() and (x.requires_grad or layer.weight.requires_grad)
    if not learns or x.ndim != 4 or x.device.type != "cpu" or layer.weight.device.type != "cpu":
        return False
    tall, wide = x.shape[-2:]
    if isinstance(layer, nn.Conv2d):
        sides = zip((tall, wide), *_geometry(layer), strict=True)
        tall, wide = ((n + 2 * p - k) // s + 1 for n, k, s, p in sides)
    return min(tall, wide) > 0 and 0 < len(x) * tall * wide <= _PIXELS


def _in_autocast(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    if not torch.is_autocast_enabled("cpu"):
        return x, weight
    dtype = torch.get_autocast_dtype("cpu")
    return x.to(dtype), weight.to(dtype)


def _biased(x: Any, bias: Tensor | None) -> Tensor:
    return x if bias is None else x + bias.to(x.dtype).view(-1, 1, 1)


def _geometry(layer: Layer) -> tuple[Any, Any, Any]:
    return layer.kernel_size, layer.stride, layer.padding
