"""IMDN: a small net for super-resolution that sets features aside step by step; and its tiny real-time form.

Paper: Hui et al. 2019, "Lightweight Image Super-Resolution with Information Multi-distillation Network"
(1909.11856), section 3. State-dict keys are those of the authors' IMDN_x2, _x3, _x4 and model_RTC files,
which have no licence. KAIR's imdn_x4 has other names and is not one of these.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SLOPE = 0.05


class ContrastAttention(nn.Module):
    """A weight for each channel by its mean and standard deviation over the whole picture."""

    def __init__(self, width: int, reduction: int = 16) -> None:
        super().__init__()
        inner = width // reduction
        self.conv_du = nn.Sequential(
            nn.Conv2d(width, inner, 1), nn.ReLU(), nn.Conv2d(inner, width, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        # In float32: sums over a whole picture are too much for 8 bits.
        deviation, mean = torch.std_mean(x.float(), (2, 3), correction=0, keepdim=True)
        return x * self.conv_du((deviation + mean).to(x.dtype))


class DistillationBlock(nn.Module):
    """Four convolutions; after each of the first three a quarter of the channels is set aside."""

    def __init__(self, width: int, attention: bool) -> None:
        super().__init__()
        self.kept = width // 4
        rest = width - self.kept
        self.c1 = nn.Conv2d(width, width, 3, padding=1)
        self.c2 = nn.Conv2d(rest, width, 3, padding=1)
        self.c3 = nn.Conv2d(rest, width, 3, padding=1)
        self.c4 = nn.Conv2d(rest, self.kept, 3, padding=1)
        self.c5 = nn.Conv2d(4 * self.kept, width, 1)
        if attention:
            self.cca = ContrastAttention(4 * self.kept)
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        y, kept = x, []
        for layer in (self.c1, self.c2, self.c3):
            y = F.leaky_relu(layer(y), _SLOPE)
            kept.append(y[:, : self.kept])
            y = y[:, self.kept :]
        y = torch.cat((*kept, self.c4(y)), 1)
        return x + self.c5(self.cca(y) if self.attention else y)


class IMDN(nn.Module):
    """Blocks with attention whose answers are joined, one long skip, and a pixel shuffle.

    Every block weighs its channels by the whole picture.

    Args:
        width, blocks: 64 and 6 in the released files; the width is a multiple of 16.
        scale: factor per side.
    """

    def __init__(self, width: int = 64, blocks: int = 6, scale: int = 4) -> None:
        super().__init__()
        self.blocks = blocks
        self.fea_conv = nn.Conv2d(3, width, 3, padding=1)
        for n in range(1, blocks + 1):
            self.add_module(f"IMDB{n}", DistillationBlock(width, attention=True))
        self.c = nn.Sequential(nn.Conv2d(blocks * width, width, 1), nn.LeakyReLU(_SLOPE))
        self.LR_conv = nn.Conv2d(width, width, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        """RGB (N,3,H,W) in [0,1] -> RGB (N,3,H*scale,W*scale), about [0,1], not clamped."""
        first = y = self.fea_conv(x)
        answers = []
        for n in range(1, self.blocks + 1):
            y = self.get_submodule(f"IMDB{n}")(y)
            answers.append(y)
        return self.upsampler(self.LR_conv(self.c(torch.cat(answers, 1))) + first)


class _Skip(nn.Module):
    """A stack with its input added, under the name the released file has."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.sub = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.sub(x)


class IMDNRTC(nn.Module):
    """The real-time form: narrow blocks without attention in a row.

    The receptive-field radius is ``4 * blocks + 2`` input pixels.

    Args:
        width, blocks: 12 and 5 in the released file.
        scale: factor per side.
    """

    def __init__(self, width: int = 12, blocks: int = 5, scale: int = 2) -> None:
        super().__init__()
        stack = [DistillationBlock(width, attention=False) for _ in range(blocks)]
        self.model = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            _Skip(*stack, nn.Conv2d(width, width, 1)),
            nn.Conv2d(width, 3 * scale**2, 3, padding=1),
            nn.PixelShuffle(scale),
        )

    def forward(self, x: Tensor) -> Tensor:
        """RGB (N,3,H,W) in [0,1] -> RGB (N,3,H*scale,W*scale), about [0,1], not clamped."""
        return self.model(x)
