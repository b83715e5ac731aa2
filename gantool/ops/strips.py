"""Super-resolution nets that enlarge last: that takes most of their memory, so it is done piece by piece."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from gantool.ops.footprint import bytes_per_px
from gantool.ops.tiling import largest_tile, run_tiled

MOST_BYTES = 5 << 26
"""What tensors hold at most while features are enlarged, beside the features and the result."""

_ALWAYS_WHOLE = 128 * 128  # px


class Parted(Protocol):
    """A net whose answer is ``enlarged(features(x))``."""

    growth: int
    """Side of what :meth:`enlarged` gives / side of what it gets."""
    reach: int
    """px of the features that it sees around one."""

    def features(self, x: Tensor) -> Tensor: ...
    def enlarged(self, y: Tensor) -> Tensor: ...


class Strips:
    """A parted net, with the memory of its first part. Its answer is the net's own."""

    def __init__(self, net: Parted) -> None:
        self.features = net.features
        self._net = net
        self._most_px: float | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """(N,C,H,W) -> (N,C',H*growth,W*growth) of the features' size."""
        y, net = self.features(x), self._net
        tall, wide = y.shape[-2:]
        if len(y) * tall * wide <= _ALWAYS_WHOLE:
            return net.enlarged(y)
        if self._most_px is None:
            self._most_px = MOST_BYTES / bytes_per_px(net.enlarged, y)
        core = largest_tile(tall, wide, self._most_px / len(y), net.reach)
        return run_tiled(net.enlarged, y, net.growth, core, net.reach)
