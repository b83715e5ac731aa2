"""CycleGAN's ResNet generator, with the keys of the released files.

Papers: Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks"
(1703.10593); the net is that of Johnson et al. 2016 (1603.08155). Key layout: that of
pytorch-CycleGAN-and-pix2pix, so that its ``latest_net_G.pth`` load strictly, and files made here load there.
Released weights: BSD-2-Clause code, weights without a licence of their own.
"""

from __future__ import annotations

from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["batch", "instance", "none"]
Upsample = Literal["transpose", "resize"]


def _norm(norm: Norm, channels: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "instance":
        return nn.InstanceNorm2d(channels)
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"unknown norm {norm!r}: batch, instance or none")


class _Doubled(nn.Conv2d):
    """Nearest x2 and a 3x3 convolution: up-sampling without a checkerboard (Odena et al. 2016)."""

    doubles = True  # for whoever has a quicker way to the same

    def __init__(self, in_ch: int, out_ch: int, bias: bool = True) -> None:
        super().__init__(in_ch, out_ch, 3, 1, 1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N,C,H,W) -> (N,out,2H,2W)."""
        return super().forward(F.interpolate(input, scale_factor=2, mode="nearest"))


def _up(kind: Upsample, in_ch: int, out_ch: int, bias: bool) -> nn.Module:
    if kind == "transpose":
        return nn.ConvTranspose2d(in_ch, out_ch, 3, 2, 1, output_padding=1, bias=bias)
    if kind == "resize":
        return _Doubled(in_ch, out_ch, bias)
    raise ValueError(f"unknown upsample {kind!r}: transpose or resize")


class ResnetBlock(nn.Module):
    """Two 3x3 convolutions with reflected borders and a shortcut.

    Files number the second convolution ``conv_block.5`` or, where a dropout layer stands before it,
    ``conv_block.6``; both load, whichever the block itself has.
    """

    def __init__(self, channels: int, norm: Norm, dropout: float, bias: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            _norm(norm, channels),
            nn.ReLU(),
        ]
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
        layers += [
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            _norm(norm, channels),
        ]
        self.second = len(layers) - 2
        self.conv_block = nn.Sequential(*layers)
        self.register_load_state_dict_pre_hook(_renumber)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


def _renumber(block: ResnetBlock, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Shift the second convolution and its norm to the numbers this block has.

    With batch norm ``conv_block.6`` is the norm of one layout and the convolution of the other, hence the
    look at the number of dimensions: kernels have four.
    """

    def name(index: int) -> str:
        return f"{prefix}conv_block.{index}."

    other = 11 - block.second  # 5 and 6
    kernel = state.get(f"{name(other)}weight")
    if kernel is None or kernel.ndim != 4:
        return
    moved = {
        name(new) + key.removeprefix(name(old)): state.pop(key)
        for old, new in ((other, block.second), (other + 1, block.second + 1))
        for key in list(state)
        if key.startswith(name(old))
    }
    state.update(moved)


class ResnetGenerator(nn.Module):
    """Two halvings, residual blocks at a quarter of the side, two doublings, tanh at the end.

    Args:
        input_nc, output_nc: channels of input and output.
        blocks: 9 for 256 px and more, 6 for 128 px, as in the paper.
        ngf: channels of the first layer; four times as many in the blocks.
        norm: "instance" (the paper's), "batch" or "none".
        dropout: share dropped inside the blocks in training; the paper has none.
        upsample: "transpose" as released, or "resize" (for new runs).

    Any side from 5 px works; where it is no multiple of 4 the output is that of the next one.
    """

    multiple = 4

    def __init__(
        self,
        input_nc: int = 3,
        output_nc: int = 3,
        blocks: int = 9,
        ngf: int = 64,
        norm: Norm = "instance",
        dropout: float = 0.0,
        upsample: Upsample = "transpose",
    ) -> None:
        super().__init__()
        bias = norm == "instance"  # batch norm has a bias of its own; "none" follows the released layout
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(input_nc, ngf, 7, bias=bias),
            _norm(norm, ngf),
            nn.ReLU(),
        ]
        for width in (ngf, 2 * ngf):
            layers += [nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias), _norm(norm, 2 * width), nn.ReLU()]
        layers += [ResnetBlock(4 * ngf, norm, dropout, bias) for _ in range(blocks)]
        for width in (2 * ngf, ngf):
            layers += [_up(upsample, 2 * width, width, bias), _norm(norm, width), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, output_nc, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N,input_nc,H,W) in [-1,1] -> (N,output_nc,H,W) in [-1,1], sides multiples of 4."""
        return self.model(x)
