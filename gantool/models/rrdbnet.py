"""RRDBNet: the generator of ESRGAN, Real-ESRGAN, BSRGAN and RealSR, with the keys of the released files.

Papers: Wang et al. 2018, "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks" (1809.00219);
x2 and x1 by pixel-unshuffle: Wang et al. 2021, "Real-ESRGAN" (2107.10833), section 3.3.
Released weights: Real-ESRGAN BSD-3-Clause, ESRGAN and BSRGAN Apache-2.0; many community files are
CC-BY-NC-SA. Keys follow BasicSR's (Real-ESRGAN's); :meth:`RRDBNet.own_names` knows the two older spellings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SHARE = 0.2  # of a residual that is added, in both kinds of block
_SLOPE = 0.2

# The spelling of ESRGAN's second code base, which BSRGAN and RealSR use too.
_SECOND = {"trunk_conv": "conv_body", "upconv1": "conv_up1", "upconv2": "conv_up2", "HRconv": "conv_hr"}
_BLOCK = re.compile(r"(?:RRDB_trunk|model\.1\.sub)\.(\d+)\.RDB(\d)\.conv(\d)(?:\.0)?\.(weight|bias)")
_FIRST_TRUNK = re.compile(r"model\.1\.sub\.(\d+)\.(weight|bias)")
_FIRST = re.compile(r"model\.(\d+)\.(weight|bias)")


class _Doubled(nn.Conv2d):
    """Nearest x2 and a 3x3 convolution: up-sampling without a checkerboard (Odena et al. 2016)."""

    doubles = True  # for whoever has a quicker way to the same

    def __init__(self, in_ch: int, out_ch: int, bias: bool = True) -> None:
        super().__init__(in_ch, out_ch, 3, 1, 1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N,C,H,W) -> (N,out,2H,2W)."""
        return super().forward(F.interpolate(input, scale_factor=2, mode="nearest"))


class ResidualDenseBlock(nn.Module):
    """Five convolutions; each sees the input and all answers before it."""

    def __init__(self, num_feat: int, num_grow_ch: int) -> None:
        super().__init__()
        for n in range(1, 5):
            width = num_feat + (n - 1) * num_grow_ch
            self.add_module(f"conv{n}", nn.Conv2d(width, num_grow_ch, 3, 1, 1))
        self.conv5 = nn.Conv2d(num_feat + 4 * num_grow_ch, num_feat, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = x.to(self.conv5.weight.dtype)
        for n in range(1, 5):
            answer = F.leaky_relu(self.get_submodule(f"conv{n}")(seen), _SLOPE, inplace=True)
            seen = torch.cat((seen, answer), 1)
        return torch.add(x, self.conv5(seen), alpha=_SHARE)


class RRDB(nn.Module):
    """Three dense blocks in a row, inside a residual of their own."""

    def __init__(self, num_feat: int, num_grow_ch: int) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(num_feat, num_grow_ch)
        self.rdb2 = ResidualDenseBlock(num_feat, num_grow_ch)
        self.rdb3 = ResidualDenseBlock(num_feat, num_grow_ch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=_SHARE)


class RRDBNet(nn.Module):
    """Residual-in-residual dense blocks at input resolution, then nearest x2 and a convolution, twice.

    Args:
        num_in_ch, num_out_ch: image channels, 3.
        scale: factor per side: 1, 2, 4 or 8.
        num_feat: width.
        num_block: residual-in-residual blocks: 23 in the released nets, 6 in anime_6B.
        num_grow_ch: channels that each convolution of a block adds.
        unshuffle: x2 and x1 as in Real-ESRGAN: the input is folded 2 or 4 times into channels, and the body
            is that of x4. Otherwise as in the first ESRGAN and BSRGANx2: one enlargement per doubling.

    The blocks see far (1 + 15 per block + 2 input pixels and a little), though little of that matters.

    In half precision only the blocks' convolutions are half: what the blocks add up, and the layers next to
    the picture, stay float32. In bf16 the worst error is then a tenth of a level of 255 (5 levels otherwise;
    23 blocks, random weights), for a tenth more time.
    """

    takes_float32 = True
    halves = ("body",)  # the parts that are cast
    reach = 2  # px of the features that ``enlarged`` sees around one

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        scale: int = 4,
        num_feat: int = 64,
        num_block: int = 23,
        num_grow_ch: int = 32,
        unshuffle: bool = True,
    ) -> None:
        super().__init__()
        if scale not in (1, 2, 4, 8):
            raise ValueError(f"scale={scale}: RRDBNet makes 1, 2, 4 or 8")
        self.fold = 4 // scale if unshuffle and scale < 4 else 1
        self.growth = scale * self.fold
        self.doublings = self.growth.bit_length() - 1
        self.conv_first = nn.Conv2d(num_in_ch * self.fold**2, num_feat, 3, 1, 1)
        self.body = nn.Sequential(*(RRDB(num_feat, num_grow_ch) for _ in range(num_block)))
        self.conv_body = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        for n in range(1, self.doublings + 1):
            self.add_module(f"conv_up{n}", _Doubled(num_feat, num_feat))
        self.conv_hr = nn.Conv2d(num_feat, num_feat, 3, 1, 1)
        self.conv_last = nn.Conv2d(num_feat, num_out_ch, 3, 1, 1)
        self._start()

    @torch.no_grad()
    def _start(self) -> None:
        """First weights of the blocks: a tenth of He's, without which so deep a net does not settle
        (1809.00219, section 3.1).
        """
        for layer in self.body.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.kaiming_normal_(layer.weight).mul_(0.1)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """RGB (N,3,H,W) in [0,1] -> RGB (N,3,H*scale,W*scale), about [0,1], not clamped. Any H and W.

        Where the input is folded, sides are first reflected up to a multiple of the fold, and the result is
        cut.
        """
        y = self.enlarged(self.features(x))
        if self.fold == 1:
            return y
        tall, wide = (side * self.growth // self.fold for side in x.shape[-2:])
        return y[..., :tall, :wide]

    def features(self, x: Tensor) -> Tensor:
        """What :meth:`forward` makes of its input before it enlarges that, (N,num_feat,H/fold,W/fold)."""
        if self.fold > 1:
            x = F.pixel_unshuffle(_reflected(x, self.fold), self.fold)
        y = self.conv_first(x)
        return y + self.conv_body(self.body(y))

    def enlarged(self, y: Tensor) -> Tensor:
        """The rest of :meth:`forward`: (N,num_feat,h,w) -> RGB (N,3,h*growth,w*growth)."""
        for n in range(1, self.doublings + 1):
            y = F.leaky_relu(self.get_submodule(f"conv_up{n}")(y), _SLOPE, inplace=True)
        return self.conv_last(F.leaky_relu(self.conv_hr(y), _SLOPE, inplace=True))

    @staticmethod
    def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict of any of the three spellings under this class's names; others pass unchanged.

        First ESRGAN ("model.1.sub.0.RDB1.conv1.0.weight": 4x-UltraSharp, NMKD), second ("RRDB_trunk",
        "HRconv": BSRGAN, RealSR), BasicSR ("body", "conv_hr": Real-ESRGAN).
        """
        first = "model.1.sub.0.RDB1.conv1.0.weight" in state
        numbers = [int(m[1]) for m in map(_FIRST.fullmatch, state) if m] if first else []
        last = max(numbers, default=0)
        layers = {f"model.{n}": f"conv_up{n // 3}" for n in numbers}
        layers |= {"model.0": "conv_first", f"model.{last - 2}": "conv_hr", f"model.{last}": "conv_last"}

        def renamed(name: str) -> str:
            if match := _BLOCK.fullmatch(name):
                return f"body.{match[1]}.rdb{match[2]}.conv{match[3]}.{match[4]}"
            if first and (match := _FIRST_TRUNK.fullmatch(name)):
                return f"conv_body.{match[2]}"
            layer, dot, kind = name.rpartition(".")
            return (layers if first else _SECOND).get(layer, layer) + dot + kind

        return {renamed(name): value for name, value in state.items()}


def _reflected(x: Tensor, multiple: int) -> Tensor:
    """Right and bottom reflected up to a multiple; a side too short to be reflected repeats its last line."""
    down, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    if not down and not right:
        return x
    enough = down < x.shape[-2] and right < x.shape[-1]
    return F.pad(x, (0, right, 0, down), mode="reflect" if enough else "replicate")
