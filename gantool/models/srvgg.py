"""SRVGGNetCompact: a plain stack of 3x3 convolutions that super-resolves at low-resolution cost.

Paper: Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data" (2021);
the compact net came with its 2022 releases (realesr-general-x4v3, realesr-animevideov3).
Released weights: BSD-3-Clause. State-dict keys follow those files: ``body.{0..2n+2}``, even = convolution,
odd = PReLU.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class SRVGGNetCompact(nn.Module):
    """Convolutions and PReLUs at input resolution, one pixel shuffle, plus the nearest-upsampled input.

    Args:
        num_in_ch, num_out_ch: image channels, 3.
        num_feat: width.
        num_conv: convolutions between the first and the last.
        upscale: factor per side.

    The receptive-field radius is ``num_conv + 2`` input pixels: tiles that overlap by as much are exact.
    """

    # The picture that comes in may be finer than the weights: the net only adds to it.
    takes_float32 = True

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_conv: int = 16,
        upscale: int = 4,
    ) -> None:
        super().__init__()
        self.upscale = upscale
        layers: list[nn.Module] = [nn.Conv2d(num_in_ch, num_feat, 3, 1, 1), nn.PReLU(num_feat)]
        for _ in range(num_conv):
            layers += [nn.Conv2d(num_feat, num_feat, 3, 1, 1), nn.PReLU(num_feat)]
        layers.append(nn.Conv2d(num_feat, num_out_ch * upscale * upscale, 3, 1, 1))
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """RGB (N,3,H,W) in [0,1] -> RGB (N,3,H*upscale,W*upscale), about [0,1], not clamped.

        Convolves in the precision of the weights; the enlarged picture that the result is added to keeps
        that of ``x``, since 8 bits of mantissa (bf16) would show as steps in it.
        """
        low = x.to(self.body[0].weight.dtype)  # type: ignore[arg-type]
        residual = F.pixel_shuffle(self.body(low), self.upscale)
        return residual + F.interpolate(x, scale_factor=self.upscale, mode="nearest")
