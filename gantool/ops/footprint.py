"""How much memory a net takes for each pixel that it is shown, counted while it runs."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def bytes_per_px(fn: Callable[[Tensor], Tensor], x: Tensor, side: int = 32) -> float:
    """The most bytes that tensors made by ``fn`` hold at a time, for each pixel of a picture like ``x``.

    Counted on a small grey picture: the parameters do not count, nor do the picture itself and what a kernel
    takes for its own use while it runs. For nets whose memory grows with the number of pixels.

    Args:
        fn: what runs the net, (1,C,H,W) -> (1,C',H',W'); called once.
        x: (N,C,H,W); only its channels, its type and its device matter.
        side: of the grey picture, px.
    """
    grey = x.new_full((1, x.shape[1], side, side), 0.5)
    with _Counting() as counting:
        fn(grey)
    return counting.most / side**2


class _Counting(TorchDispatchMode):
    """Counts the bytes of all tensors that operations return, for as long as those live; views count once."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._now = 0
        self._holders: Counter[int] = Counter()  # live tensors by the address of their memory

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        foreign = {address for _, address, _ in _held((args, kwargs)) if not self._holders[address]}
        result = func(*args, **(kwargs or {}))
        for tensor, address, size in _held(result):
            if address in foreign:
                continue  # a view of a parameter, or of the picture
            if not self._holders[address]:
                self._now += size
                self.most = max(self.most, self._now)
            self._holders[address] += 1
            weakref.finalize(tensor, self._let_go, address, size)
        return result

    def _let_go(self, address: int, size: int) -> None:
        self._holders[address] -= 1
        if not self._holders[address]:
            self._now -= size


def _held(values: Any) -> Iterator[tuple[Tensor, int, int]]:
    """The tensors among nested values, each with the address and the bytes of its memory."""
    for value in tree_leaves(values):
        if isinstance(value, Tensor) and value.layout is torch.strided:
            memory = value.untyped_storage()
            yield value, memory.data_ptr(), memory.nbytes()
