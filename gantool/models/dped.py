"""DPED: phone photographs made to look like those of a reflex camera, one residual net at full size.

Paper: Ignatov et al., "DSLR-Quality Photos on Mobile Devices with Deep Convolutional Networks", ICCV 2017
(1704.02470), figure 4. Parameter names and layout: those of the authors' TensorFlow files (kernels height,
width, in, out; the norms' shift before their scale), so that a file converted name by name loads strictly.
Released weights: the repository states no licence.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BLOCKS = 4


class DPED(nn.Module):
    """Convolution 9x9, four residual blocks with instance norm, two 3x3, 9x9, and a tanh.

    Args:
        width: channels of all inner layers.

    The norms measure the whole picture. Any side from 2 px works.
    """

    margin = 12  # px: the convolutions pad with zeros, which leaves a dark rim (10 levels at the border)

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        last = 2 * _BLOCKS + 4
        for n in range(1, last + 1):
            side = 9 if n in (1, last) else 3
            inputs, outputs = 3 if n == 1 else width, 3 if n == last else width
            kernel = torch.empty(side, side, inputs, outputs)
            self.register_parameter(f"W{n}", nn.Parameter(nn.init.trunc_normal_(kernel, std=0.01)))
            self.register_parameter(f"b{n}", nn.Parameter(torch.full((outputs,), 0.01)))
        for n in range(2 * _BLOCKS):
            self.register_parameter(_variable(2 * n), nn.Parameter(torch.zeros(width)))
            self.register_parameter(_variable(2 * n + 1), nn.Parameter(torch.ones(width)))

    def forward(self, x: Tensor) -> Tensor:
        """RGB (N,3,H,W) in [0,1] -> RGB (N,3,H,W) in [-0.08,1.08]."""
        y = F.relu(self._convolve(x, 1))
        for block in range(_BLOCKS):
            inner = F.relu(self._norm(self._convolve(y, 2 * block + 2), 2 * block))
            y = y + F.relu(self._norm(self._convolve(inner, 2 * block + 3), 2 * block + 1))
        for n in (2 * _BLOCKS + 2, 2 * _BLOCKS + 3):
            y = F.relu(self._convolve(y, n))
        # The original's gain and offset: a little more than [0,1], so that black and white are reached.
        return torch.tanh(self._convolve(y, 2 * _BLOCKS + 4)) * 0.58 + 0.5

    def _convolve(self, x: Tensor, n: int) -> Tensor:
        kernel = self.get_parameter(f"W{n}").permute(3, 2, 0, 1)
        return F.conv2d(x, kernel, self.get_parameter(f"b{n}"), padding=kernel.shape[-1] // 2)

    def _norm(self, x: Tensor, n: int) -> Tensor:
        shift, scale = self.get_parameter(_variable(2 * n)), self.get_parameter(_variable(2 * n + 1))
        return F.instance_norm(x, weight=scale, bias=shift, eps=1e-3)


def _variable(n: int) -> str:
    """TensorFlow's names for variables that were given none."""
    return f"Variable_{n}" if n else "Variable"
