"""pix2pix: a U-Net generator and the PatchGAN discriminators, with the keys of the released files.

Papers: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks" (1611.07004);
U-Net: Ronneberger et al. 2015 (1505.04597). Key layout: that of pytorch-CycleGAN-and-pix2pix, so that its
``latest_net_G.pth`` and ``latest_net_D.pth`` load strictly, and files made here load there.
Released weights: BSD-2-Clause code, weights without a licence of their own.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["batch", "instance", "none"]
Upsample = Literal["transpose", "resize"]


class OwnStatistics(nn.BatchNorm2d):
    """Batch norm that, in eval mode, normalises every picture by its own mean and variance.

    pix2pix is tested that way by its authors (batch norm left in training mode, batches of one): section 3.3
    of the paper. Per picture and not per batch, so that a result never depends on its neighbours.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training:
            return super().forward(input)
        return F.instance_norm(input, weight=self.weight, bias=self.bias, eps=self.eps)


def _norm(norm: Norm, channels: int, own_statistics: bool = False) -> nn.Module:
    if norm == "batch":
        return OwnStatistics(channels) if own_statistics else nn.BatchNorm2d(channels)
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
        return nn.ConvTranspose2d(in_ch, out_ch, 4, 2, 1, bias=bias)
    if kind == "resize":
        return _Doubled(in_ch, out_ch, bias)
    raise ValueError(f"unknown upsample {kind!r}: transpose or resize")


def _dense(gradient: Tensor) -> Tensor:
    """A gradient as a picture of its own: as a part of the joined one, batch norm takes ten times as long."""
    return gradient.contiguous(memory_format=torch.channels_last)


class _Level(nn.Module):
    """One resolution of the U-Net: half the size, all that is below, and back, beside the skip.

    The modules stand under the numbers they have in the released files, where activations, which have no
    weights, take up numbers too.
    """

    def __init__(
        self,
        channels: int,
        inner: int,
        below: nn.Module | None,
        norm: Norm,
        upsample: Upsample,
        own_statistics: bool,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        bias = norm == "instance"  # batch norm has a bias of its own; "none" follows the released layout
        self.dropout = dropout
        layers: dict[str, nn.Module] = {"1": nn.Conv2d(channels, inner, 4, 2, 1, bias=bias)}
        if below is None:
            layers["3"] = _up(upsample, inner, channels, bias)
            layers["4"] = _norm(norm, channels, own_statistics)
        else:
            layers["2"] = _norm(norm, inner, own_statistics)
            layers["3"] = below
            layers["5"] = _up(upsample, 2 * inner, channels, bias)
            layers["6"] = _norm(norm, channels, own_statistics)
        self.innermost = below is None
        self.model = nn.ModuleDict(layers)

    def forward(self, x: Tensor) -> Tensor:
        layers = self.model
        y = layers["1"](F.leaky_relu(x, 0.2))
        if self.innermost:
            y = layers["4"](layers["3"](F.relu(y)))
        else:
            y = layers["3"](layers["2"](y))
            y = layers["6"](layers["5"](F.relu(y)))
        if y.requires_grad and y.is_contiguous(memory_format=torch.channels_last):
            y.register_hook(_dense)
        return torch.cat((x, F.dropout(y, self.dropout, self.training)), dim=1)


class UnetGenerator(nn.Module):
    """The U-Net of pix2pix: ``downs`` halvings, as many doublings, skips between, tanh at the end.

    Args:
        input_nc, output_nc: channels of input and output.
        downs: 8 is "unet_256", 7 is "unet_128"; at least 5. Sides must be multiples of ``2 ** downs``.
        ngf: channels of the first level; 2, 4, 8, 8, ... times as many below.
        norm: "batch" (the paper's), "instance" or "none".
        dropout: share dropped in the levels of 8 ngf between the innermost and the fourth, in training.
        upsample: "transpose" as released, or "resize" (for new runs; its kernels are 3x3).
        own_statistics: see :class:`OwnStatistics`.
    """

    def __init__(
        self,
        input_nc: int = 3,
        output_nc: int = 3,
        downs: int = 8,
        ngf: int = 64,
        norm: Norm = "batch",
        dropout: float = 0.5,
        upsample: Upsample = "transpose",
        own_statistics: bool = False,
    ) -> None:
        super().__init__()
        if downs < 5:
            raise ValueError(f"downs={downs}: the U-Net has at least 5 levels")
        self.multiple = 2**downs
        level = _Level(8 * ngf, 8 * ngf, None, norm, upsample, own_statistics)
        for _ in range(downs - 5):
            level = _Level(8 * ngf, 8 * ngf, level, norm, upsample, own_statistics, dropout)
        for factor in (4, 2, 1):
            level = _Level(factor * ngf, 2 * factor * ngf, level, norm, upsample, own_statistics)
        first = nn.Conv2d(input_nc, ngf, 4, 2, 1, bias=norm == "instance")
        last = _up(upsample, 2 * ngf, output_nc, True)
        # "model.model": the original nests its outermost level in the generator.
        self.model = nn.ModuleDict({"model": nn.ModuleDict({"0": first, "1": level, "3": last})})

    def forward(self, x: Tensor) -> Tensor:
        """(N,input_nc,H,W) in [-1,1] -> (N,output_nc,H,W) in [-1,1], sides multiples of ``multiple``."""
        layers = self.model["model"]
        return torch.tanh(layers["3"](F.relu(layers["1"](layers["0"](x)))))  # type: ignore[index]


class NLayerDiscriminator(nn.Module):
    """PatchGAN: judges overlapping patches of a picture; three layers see 70x70 px each.

    For a conditional critic join the condition and the picture along the channels first.

    Args:
        input_nc: channels of the picture, or of condition and picture together.
        ndf: channels of the first layer; 2, 4, 8, 8, ... times as many further on.
        n_layers: convolutions of stride 2: 3 sees 70x70 px, 1 sees 16x16, 5 sees 286x286.
        norm: "batch", "instance" or "none"; WGAN-GP wants no batch norm, which mixes the pictures of a batch.
        bias: of the normalised convolutions; None means as released (with instance norm only).
        head: kernel of the last two layers; 4 as released, 3 makes a map of 1/8 of the side (256 -> 32).
    """

    def __init__(
        self,
        input_nc: int = 6,
        ndf: int = 64,
        n_layers: int = 3,
        norm: Norm = "batch",
        bias: bool | None = None,
        head: int = 4,
    ) -> None:
        super().__init__()
        bias = norm == "instance" if bias is None else bias
        layers: list[nn.Module] = [nn.Conv2d(input_nc, ndf, 4, 2, 1), nn.LeakyReLU(0.2)]
        width = ndf
        for n in range(1, n_layers + 1):
            wider = ndf * min(2**n, 8)
            kernel, stride = (4, 2) if n < n_layers else (head, 1)
            layers += [
                nn.Conv2d(width, wider, kernel, stride, 1, bias=bias),
                _norm(norm, wider),
                nn.LeakyReLU(0.2),
            ]
            width = wider
        layers.append(nn.Conv2d(width, 1, head, 1, 1))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N,input_nc,H,W) in [-1,1] -> (N,1,h,w) one logit a patch; 256 px give 30x30."""
        return self.model(x)

    def features(self, x: Tensor) -> list[Tensor]:
        """What every layer answers, the logits last: for feature matching."""
        found = []
        for layer in self.model:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                found.append(x)
        return [*found, x]


class PixelDiscriminator(nn.Module):
    """PixelGAN: patches of 1x1 px, colours without structure. Arguments: :class:`NLayerDiscriminator`."""

    def __init__(
        self, input_nc: int = 6, ndf: int = 64, norm: Norm = "batch", bias: bool | None = None
    ) -> None:
        super().__init__()
        bias = norm == "instance" if bias is None else bias
        self.net = nn.Sequential(
            nn.Conv2d(input_nc, ndf, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
            _norm(norm, 2 * ndf),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * ndf, 1, 1, bias=bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N,input_nc,H,W) in [-1,1] -> (N,1,H,W), one logit a pixel."""
        return self.net(x)


@torch.no_grad()
def initialise(net: nn.Module, std: float = 0.02) -> nn.Module:
    """The papers' first weights, in place: kernels N(0, std), batch norm N(1, std), biases zero."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, std)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, std)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    return net
