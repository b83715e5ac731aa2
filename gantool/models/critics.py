"""Critics of super-resolution GANs: SRGAN's, in the form of VGG, and Real-ESRGAN's, in the form of a U-Net.

Papers: Ledig et al. 2017, "SRGAN" (1609.04802), figure 4, as ESRGAN (1809.00219) trained it; Wang et al.
2021, "Real-ESRGAN" (2107.10833), section 3.4, after Schönfeld et al. 2020 (2002.12655). Keys follow
BasicSR's, so that its ``net_d`` files load; the U-Net's spectral norms are torch's present ones, and
:meth:`UNetDiscriminatorSN.own_names` translates from those of the released files. Patch critics: pix2pix.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

_SLOPE = 0.2
_HIDDEN = 100


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE, inplace=True)


class VGGStyleDiscriminator(nn.Module):
    """Pairs of convolutions, the second of stride 2, down to a few pixels; then two linear layers.

    Args:
        num_in_ch: image channels.
        num_feat: width of the first pair; 2, 4, 8, 8, ... times as many further on.
        input_size: side of the pictures, px: a multiple of 32 (five halvings), of 64 from 256 on (six).
            ESRGAN's is 128, SRGAN's crops are 96.
        norm: "batch" as released, or "none", which WGAN-GP needs and spectral norm (:mod:`gantool.losses`)
            goes with.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_feat: int = 64,
        input_size: int = 128,
        norm: Literal["batch", "none"] = "batch",
    ) -> None:
        super().__init__()
        if norm not in ("batch", "none"):
            raise ValueError(f"unknown norm {norm!r}: batch or none")
        self.pairs = 5 if input_size < 256 else 6
        if input_size % 2**self.pairs or input_size <= 0:
            raise ValueError(f"input_size={input_size}: not a multiple of {2**self.pairs}")
        self.input_size = input_size
        width = num_in_ch
        for n in range(self.pairs):
            wider = num_feat * min(2**n, 8)
            # The very first convolution has no norm after it.
            self.add_module(f"conv{n}_0", nn.Conv2d(width, wider, 3, 1, 1, bias=n == 0 or norm == "none"))
            self.add_module(f"conv{n}_1", nn.Conv2d(wider, wider, 4, 2, 1, bias=norm == "none"))
            for part in ("1",) if n == 0 else ("0", "1"):
                self.add_module(f"bn{n}_{part}", nn.BatchNorm2d(wider) if norm == "batch" else nn.Identity())
            width = wider
        side = input_size // 2**self.pairs
        self.linear1 = nn.Linear(width * side * side, _HIDDEN)
        self.linear2 = nn.Linear(_HIDDEN, 1)

    def features(self, x: Tensor) -> list[Tensor]:
        """What every layer answers, the logit last: for feature matching. Pictures (N,C,S,S) in [0,1]."""
        if x.shape[-2:] != (self.input_size, self.input_size):
            wide, tall = x.shape[-1], x.shape[-2]
            raise ValueError(f"this critic judges {self.input_size} px squares, not {wide}x{tall}")
        found = []
        for n in range(self.pairs):
            for part in ("0", "1"):
                x = self.get_submodule(f"conv{n}_{part}")(x)
                if (n, part) != (0, "0"):
                    x = self.get_submodule(f"bn{n}_{part}")(x)
                x = _act(x)
                found.append(x)
        x = _act(self.linear1(x.flatten(1)))
        return [*found, x, self.linear2(x)]

    def forward(self, x: Tensor) -> Tensor:
        """(N,num_in_ch,input_size,input_size) in [0,1] -> (N,1), one logit a picture."""
        return self.features(x)[-1]


class UNetDiscriminatorSN(nn.Module):
    """Three halvings, three doublings, skips added; all kernels but the first and last spectrally normalised.

    Args:
        num_in_ch: image channels.
        num_feat: width at full resolution; 2, 4, 8 times as many below.
        skip_connection: whether what was seen on the way down is added on the way up.
    """

    def __init__(self, num_in_ch: int = 3, num_feat: int = 64, skip_connection: bool = True) -> None:
        super().__init__()
        self.skip_connection = skip_connection
        self.conv0 = nn.Conv2d(num_in_ch, num_feat, 3, 1, 1)
        for n in (1, 2, 3):
            width = num_feat * 2 ** (n - 1)
            self.add_module(f"conv{n}", spectral_norm(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False)))
        for n in (4, 5, 6):
            width = num_feat * 2 ** (7 - n)
            self.add_module(f"conv{n}", spectral_norm(nn.Conv2d(width, width // 2, 3, 1, 1, bias=False)))
        for n in (7, 8):
            self.add_module(f"conv{n}", spectral_norm(nn.Conv2d(num_feat, num_feat, 3, 1, 1, bias=False)))
        self.conv9 = nn.Conv2d(num_feat, 1, 3, 1, 1)

    def features(self, x: Tensor) -> list[Tensor]:
        """What every layer answers, the logits last: for feature matching. Pictures (N,C,H,W) in [0,1]."""
        down = [_act(self.conv0(x))]
        for n in (1, 2, 3):
            down.append(_act(self.get_submodule(f"conv{n}")(down[-1])))
        found, y = list(down), down[3]
        for n, skip in zip((4, 5, 6), reversed(down[:3]), strict=True):
            y = F.interpolate(y, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            y = _act(self.get_submodule(f"conv{n}")(y))
            y = y + skip if self.skip_connection else y
            found.append(y)
        for n in (7, 8):
            y = _act(self.get_submodule(f"conv{n}")(y))
            found.append(y)
        return [*found, self.conv9(y)]

    def forward(self, x: Tensor) -> Tensor:
        """(N,num_in_ch,H,W) in [0,1] -> (N,1,H,W), one logit a pixel. Any H and W of at least 8."""
        return self.features(x)[-1]

    @staticmethod
    def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict of torch's first spectral norm ("weight_orig", "weight_u") under today's names."""
        today = {
            "weight_orig": "parametrizations.weight.original",
            "weight_u": "parametrizations.weight.0._u",
            "weight_v": "parametrizations.weight.0._v",
        }

        def renamed(name: str) -> str:
            layer, dot, kind = name.rpartition(".")
            return layer + dot + today.get(kind, kind)

        return {renamed(name): value for name, value in state.items()}
