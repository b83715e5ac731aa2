"""RAFT-small: optical flow by a net, built by torchvision.

Paper: Teed & Deng 2020, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow" (2003.12039).
State-dict keys are torchvision's (``raft_small_C_T_V1`` and ``_V2``; code BSD-3-Clause, weights without a
licence of their own).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

_MULTIPLE = 8  # the net works at an eighth of the side
_SMALLEST_SIDE = 128  # below it the coarsest correlations vanish


class RAFTSmall(nn.Module):
    """Where every pixel of one frame lies in another, refined step by step.

    Args:
        updates: steps of refinement; 12 as trained, fewer are quicker and less exact.
    """

    takes_float32 = True

    def __init__(self, updates: int = 12) -> None:
        from torchvision.models.optical_flow import raft_small

        super().__init__()
        self.updates = updates
        self.net = raft_small(weights=None, progress=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """RGB (N,3,H,W) in [0,1], twice -> flow (N,2,H,W) in pixels, x then y, from first to second.

        Sides that the net cannot take are continued by their last line, and the flow is cut back.
        """
        tall, wide = first.shape[-2:]
        down, right = (max(-side % _MULTIPLE, _SMALLEST_SIDE - side) for side in (tall, wide))
        shown = [F.pad(x * 2 - 1, (0, right, 0, down), mode="replicate") for x in (first, second)]
        return self.net(*shown, num_flow_updates=self.updates)[-1][..., :tall, :wide]

    @staticmethod
    def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state dict of torchvision's file under this class's names; its own names pass unchanged."""
        return {name if name.startswith("net.") else f"net.{name}": value for name, value in state.items()}
