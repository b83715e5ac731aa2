"""A small net that tells people apart, for training: what it takes for the identity, a generator should keep.

Of gantool: max-feature-map layers as in LightCNN (Wu et al. 2018, 1511.02683) with batch norm, and
MobileFaceNet's depthwise layer at the end (Chen et al. 2018, 1804.07573), which weighs every place of the
face by itself. It sees what LightCNN sees, so that the two can stand for each other: grey, 128 px, [0,1].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class _MaxFeature(nn.Module):
    """A convolution of twice the channels, batch norm, and the greater of two halves."""

    def __init__(self, before: int, after: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, 2 * after, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(2 * after)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.norm(self.conv(x)).chunk(2, 1)
        return torch.maximum(first, second)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _MaxFeature(width, width), _MaxFeature(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class FaceNet(nn.Module):
    """Aligned faces to features whose cosine says whether two are of one person.

    Args:
        widths: channels at 64, 32, 16 and 8 px.
        features: of the output.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 128), features: int = 128) -> None:
        super().__init__()
        one, two, three, four = widths
        self.stages = nn.Sequential(
            _MaxFeature(1, one, 5, 2),
            _MaxFeature(one, two, 3, 2),
            _Residual(two),
            _MaxFeature(two, three, 3, 2),
            _Residual(three),
            _Residual(three),
            _MaxFeature(three, four, 3, 2),
            _Residual(four),
        )
        self.places = nn.Conv2d(four, four, 8, groups=four, bias=False)
        self.norm = nn.BatchNorm2d(four)
        self.fc = nn.Linear(four, features, bias=False)
        self.last = nn.BatchNorm1d(features)

    def maps(self, x: Tensor) -> Tensor:
        """The last maps (N,four,8,8) of faces (N,1 or 3,128,128) in [0,1]."""
        if x.shape[1] == 3:
            x = (x * x.new_tensor(_LUMA).reshape(1, 3, 1, 1)).sum(1, keepdim=True)
        return self.stages(2 * x - 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N,1 or 3,128,128) in [0,1] -> (N,features), not normalised."""
        return self.features_of(self.maps(x))

    def features_of(self, maps: Tensor) -> Tensor:
        """What :meth:`forward` makes of maps."""
        return self.last(self.fc(self.norm(self.places(maps)).flatten(1)))


class MarginHead(nn.Module):
    """CosFace's classifier (Wang et al. 2018, 1801.09414): the right person must win by a margin."""

    def __init__(self, features: int, people: int, scale: float = 32.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(people, features) * 0.05)
        self.scale = scale

    def forward(self, x: Tensor, person: Tensor, margin: float) -> tuple[Tensor, Tensor]:
        """(loss, share of people told right) of features (N,F) and person numbers (N,)."""
        with torch.autocast(x.device.type, enabled=False):
            cosine = F.normalize(x.float()) @ F.normalize(self.weight.float()).T
            shift = F.one_hot(person, len(self.weight)).to(cosine.dtype) * margin
            loss = F.cross_entropy(self.scale * (cosine - shift), person)
        return loss, (cosine.argmax(1) == person).float().mean()
