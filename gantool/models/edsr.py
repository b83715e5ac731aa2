"""EDSR: residual blocks without batch norm, L1, and the mean of the training set taken off.

Paper: Lim et al. 2017, "Enhanced Deep Residual Networks for Single Image Super-Resolution" (1707.02921).
Keys follow the authors' files (and super-image's, whose nets are other ones: see ``shift``);
:meth:`EDSR.own_names` knows BasicSR's spelling. Released weights: the authors' have no licence of their own
(code MIT); super-image's Apache-2.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K, RGB

_BASICSR_BLOCK = re.compile(r"body\.(\d+)\.conv([12])\.(weight|bias)")


class MeanShift(nn.Conv2d):
    """Takes the mean off, or puts it back: fixed numbers, which the released files carry as a 1x1 kernel."""

    def __init__(self, rgb_range: float, sign: int) -> None:
        super().__init__(3, 3, 1)
        with torch.no_grad():
            nn.init.dirac_(self.weight)
            if self.bias is not None:
                self.bias.copy_(torch.tensor(MEAN) * rgb_range * sign)
        self.requires_grad_(False)


class ResBlock(nn.Module):
    """Convolution, ReLU, convolution, and a share of that added."""

    def __init__(self, n_feats: int, res_scale: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_feats, n_feats, 3, 1, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(n_feats, n_feats, 3, 1, 1),
        )
        self.res_scale = res_scale

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.body(x), alpha=self.res_scale)


class EDSR(nn.Module):
    """Blocks at input resolution around one long skip, pixel shuffles at the end.

    Args:
        scale: factor per side: 2, 3, 4 or 8.
        n_feats, n_resblocks: width and blocks: 64 and 16 in the baseline, 256 and 32 in the large net.
        res_scale: share of a block's residual that is added; 1, and 0.1 for the large net (section 3.3).
        rgb_range: the range of pictures; 255 in all released files.
        shift: whether the mean is taken off and put back. super-image's files hold the two kernels, but its
            program never used them, and works in [0,1]: ``shift=False, rgb_range=1``.
    """

    # Pictures come and go in float32: bf16 knows no more than 256 levels, and hardly those of 0..255.
    takes_float32 = True
    reach = 2  # px of the features that ``enlarged`` sees around one

    def __init__(
        self,
        scale: int = 4,
        n_feats: int = 64,
        n_resblocks: int = 16,
        res_scale: float = 1.0,
        rgb_range: float = 255.0,
        shift: bool = True,
    ) -> None:
        super().__init__()
        self.growth = scale
        self.shift = shift
        self.sub_mean = MeanShift(rgb_range, -1)
        self.add_mean = MeanShift(rgb_range, 1)
        self.head = nn.Sequential(nn.Conv2d(3, n_feats, 3, 1, 1))
        blocks = [ResBlock(n_feats, res_scale) for _ in range(n_resblocks)]
        self.body = nn.Sequential(*blocks, nn.Conv2d(n_feats, n_feats, 3, 1, 1))
        steps = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}.get(scale)
        if steps is None:
            raise ValueError(f"scale={scale}: EDSR makes 2, 3, 4 or 8")
        ups: list[nn.Module] = []
        for step in steps:
            ups += [nn.Conv2d(n_feats, n_feats * step * step, 3, 1, 1), nn.PixelShuffle(step)]
        self.tail = nn.Sequential(nn.Sequential(*ups), nn.Conv2d(n_feats, 3, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """RGB (N,3,H,W) in [0,rgb_range] -> RGB (N,3,H*scale,W*scale) in about that range, not clamped."""
        return self.enlarged(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """What :meth:`forward` makes of its input before it enlarges that, (N,n_feats,H,W)."""
        x = self._shifted(x, self.sub_mean).to(self.head[0].weight.dtype)  # type: ignore[arg-type]
        y = self.head(x)
        return y + self.body(y)

    def enlarged(self, y: Tensor) -> Tensor:
        """The rest of :meth:`forward`: (N,n_feats,h,w) -> RGB (N,3,h*growth,w*growth)."""
        return self._shifted(self.tail(y), self.add_mean)

    def _shifted(self, x: Tensor, by: MeanShift) -> Tensor:
        if not self.shift or by.bias is None:
            return x
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x.float(), by.weight.float(), by.bias.float())

    @staticmethod
    def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict of BasicSR's spelling under the authors' names; others pass unchanged.

        BasicSR's nets take [0,1], but multiply by 255 and take the mean off just as the authors' do: the two
        fixed kernels, which its files lack, are added.
        """
        if "conv_after_body.weight" not in state:
            return dict(state)
        found = [m for m in map(_BASICSR_BLOCK.fullmatch, state) if m]
        count = 1 + max((int(m[1]) for m in found), default=-1)
        layers = {
            "conv_first": "head.0",
            "conv_after_body": f"body.{count}",
            "conv_last": "tail.1",
            **{f"upsample.{n}": f"tail.0.{n}" for n in (0, 2, 4)},
            **{f"body.{m[1]}.conv{m[2]}": f"body.{m[1]}.body.{2 * int(m[2]) - 2}" for m in found},
        }
        own = {}
        for name, value in state.items():
            layer, dot, kind = name.rpartition(".")
            own[layers.get(layer, layer) + dot + kind] = value
        for name, sign in (("sub_mean", -1), ("add_mean", 1)):
            fixed = MeanShift(255.0, sign).state_dict()
            own |= {f"{name}.{kind}": value for kind, value in fixed.items()}
        return own
