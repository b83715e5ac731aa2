"""LightCNN-29 v2: 256 features by which faces are told apart.

Wu, He, Sun and Tan 2018, A light CNN for deep face representation with noisy labels (TIFS, 1511.02683).
Every activation is a max-feature-map: the larger of two halves of the channels. The second version pools by
maximum plus mean and leaves the features linear. The names of the tensors are those of the released file
``LightCNN_29Layers_V2_checkpoint.pth.tar`` (MIT); its classifier over 80,013 people is not part of the net.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LUMA = (0.299, 0.587, 0.114)


class MaxFeatureMap(nn.Module):
    """A convolution to twice the channels, of whose two halves the larger values are taken."""

    def __init__(self, inputs: int, outputs: int, side: int) -> None:
        super().__init__()
        self.filter = nn.Conv2d(inputs, 2 * outputs, side, padding=side // 2)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.filter(x).chunk(2, 1)
        return torch.maximum(first, second)


class Group(nn.Module):
    """A 1x1 step before a 3x3 one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_a = MaxFeatureMap(inputs, inputs, 1)
        self.conv = MaxFeatureMap(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.conv_a(x))


class Residual(nn.Module):
    """Two 3x3 steps added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = MaxFeatureMap(width, width, 3)
        self.conv2 = MaxFeatureMap(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x)) + x


class LightCNN29v2(nn.Module):
    """Features of an aligned face (LightCNN's crop: eye line level at 40 px, mouth 48 px below).

    Input (N,1,128,128) luma or (N,3,128,128) RGB in [0,1]; output (N,features), not of unit length.

    Args:
        widths: channels of the four stages.
        blocks: residual blocks of each.
        features: of the output.
    """

    def __init__(
        self,
        widths: Sequence[int] = (48, 96, 192, 128),
        blocks: Sequence[int] = (1, 2, 3, 4),
        features: int = 256,
    ) -> None:
        super().__init__()
        one, two, three, four = widths

        def stage(index: int, width: int) -> nn.Sequential:
            return nn.Sequential(*(Residual(width) for _ in range(blocks[index])))

        self.conv1 = MaxFeatureMap(1, one, 5)
        self.block1 = stage(0, one)
        self.group1 = Group(one, two)
        self.block2 = stage(1, two)
        self.group2 = Group(two, three)
        self.block3 = stage(2, three)
        self.group3 = Group(three, four)
        self.block4 = stage(3, four)
        self.group4 = Group(four, four)
        self.fc = nn.Linear(8 * 8 * four, features)

    @staticmethod
    def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A released state dict without its classifier."""
        return {name: value for name, value in state.items() if not name.startswith("fc2.")}

    def maps(self, x: Tensor) -> Tensor:
        """The last pooled maps (N,four,8,8), which TP-GAN's identity loss compares beside the features."""
        if x.shape[1] == 3:
            luma = torch.tensor(_LUMA, device=x.device, dtype=x.dtype).view(1, 3, 1, 1)
            x = (x * luma).sum(1, keepdim=True)
        x = _pooled(self.conv1(x))
        x = _pooled(self.group1(self.block1(x)))
        x = _pooled(self.group2(self.block2(x)))
        x = self.group3(self.block3(x))
        return _pooled(self.group4(self.block4(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.maps(x).flatten(1))


def _pooled(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2) + F.avg_pool2d(x, 2)
