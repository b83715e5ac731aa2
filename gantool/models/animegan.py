"""AnimeGANv2's generator: photographs drawn in the style of an animated film.

Paper: Chen et al. 2020, "AnimeGAN: A Novel Lightweight GAN for Photo Animation"; the second version is its
authors' later work (github.com/TachibanaYoshino/AnimeGANv2). State-dict keys are those of the files of
bryandlee/animegan2-pytorch (MIT), among them face_paint_512_v2, celeba_distill and paprika.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class _Layer(nn.Sequential):
    """Reflected border, convolution, norm over the whole picture and all channels, leaky ReLU."""

    def __init__(
        self,
        inside: int,
        outside: int,
        side: int = 3,
        stride: int = 1,
        border: int | tuple[int, int, int, int] = 1,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__(
            nn.ReflectionPad2d(border),
            nn.Conv2d(inside, outside, side, stride, groups=groups, bias=bias),
            nn.GroupNorm(1, outside),
            nn.LeakyReLU(0.2),
        )


class _InvertedBlock(nn.Module):
    """Twice the channels, a 3x3 kernel for each of them, and back; with a skip where the widths agree."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        wide = 2 * inside
        self.layers = nn.Sequential(
            _Layer(inside, wide, 1, border=0),
            _Layer(wide, wide, groups=wide, bias=True),
            nn.Conv2d(wide, outside, 1, bias=False),
            nn.GroupNorm(1, outside),
        )
        self.skip = inside == outside

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.skip else self.layers(x)


class AnimeGANv2(nn.Module):
    """Two halvings, blocks at a quarter of the side, two bilinear doublings, tanh.

    Its norms measure the whole picture.

    Args:
        width: channels of the first layer, 32 in the released files.
        align_corners: how the doublings are placed: corner on corner, to the very size of the input, as the
            authors' own function for photographs has it; or False, as their command for folders has it,
            which wants sides that are multiples of 4.

    Any side from 9 px works otherwise.
    """

    def __init__(self, width: int = 32, align_corners: bool = True) -> None:
        super().__init__()
        w = width
        self.align_corners = align_corners
        self.block_a = nn.Sequential(
            _Layer(3, w, 7, border=3), _Layer(w, 2 * w, stride=2, border=(0, 1, 0, 1)), _Layer(2 * w, 2 * w)
        )
        self.block_b = nn.Sequential(
            _Layer(2 * w, 4 * w, stride=2, border=(0, 1, 0, 1)), _Layer(4 * w, 4 * w)
        )
        self.block_c = nn.Sequential(
            _Layer(4 * w, 4 * w),
            _InvertedBlock(4 * w, 8 * w),
            *(_InvertedBlock(8 * w, 8 * w) for _ in range(3)),
            _Layer(8 * w, 4 * w),
        )
        self.block_d = nn.Sequential(_Layer(4 * w, 4 * w), _Layer(4 * w, 4 * w))
        self.block_e = nn.Sequential(
            _Layer(4 * w, 2 * w), _Layer(2 * w, 2 * w), _Layer(2 * w, w, 7, border=3)
        )
        self.out_layer = nn.Sequential(nn.Conv2d(w, 3, 1, bias=False), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """RGB (N,3,H,W) in [-1,1] -> RGB (N,3,H,W) in [-1,1]."""
        half = self.block_a(x)
        y = self.block_c(self.block_b(half))
        y = self.block_d(self._doubled(y, half))
        return self.out_layer(self.block_e(self._doubled(y, x)))

    def _doubled(self, y: Tensor, like: Tensor) -> Tensor:
        if self.align_corners:
            return F.interpolate(y, like.shape[-2:], mode="bilinear", align_corners=True)
        return F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
