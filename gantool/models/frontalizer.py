"""The released frontalization generator of Scaleway: a face of 128 px through a bottleneck of 512 numbers.

``opetrova/face-frontalization:generator_v0.pt`` on the hub (MIT), from scaleway/frontalization; there is no
paper. Six halving convolutions, a maximum, and six doubling ones; no skips and no noise. Trained on
Multi-PIE, and by its author's words it does not carry far beyond. Its program feeds (p - 128) / 128 for p in
0..255, at most one level away from the [-1,1] of other nets. The file is a whole pickled module, of which
gantool takes the tensors and makes no object (``gantool.pickled``).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class FrontalGenerator(nn.Module):
    """(N,3,128,128) RGB in [-1,1], a close and upright face -> the same from the front, in [-1,1].

    Args:
        width: channels of the first layer, 16 in the released file.
        depth: halvings, 6 in the released file, for 128 px; each fewer halves the side.
    """

    PICKLED = "network.G"
    """The class of the released file."""

    def __init__(self, width: int = 16, depth: int = 6) -> None:
        super().__init__()
        self.side = 2 ** (depth + 1)
        down = [width * 2**level for level in range(depth)]
        layers: list[nn.Module] = []
        for inputs, outputs in zip([3, *down[:-1]], down, strict=True):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU(True)]
        layers[-2:] = [nn.MaxPool2d(2)]  # the innermost has neither norm nor ReLU
        for index, (inputs, outputs) in enumerate(zip(down[::-1], [*down[-2::-1], 3], strict=True)):
            stride, padding = (2, 1) if index else (1, 0)
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False)]
            layers += [nn.BatchNorm2d(outputs), nn.ReLU(True)]
        layers[-2:] = [nn.Tanh()]
        self.main = nn.Sequential(*layers)

    @staticmethod
    def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state dict with the counters that batch norms of before torch 0.4.1 lack."""
        full = dict(state)
        for name in state:
            if name.endswith(".running_var"):
                counter = name.replace("running_var", "num_batches_tracked")
                full.setdefault(counter, torch.zeros((), dtype=torch.int64))
        return full

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)
