"""What the names and shapes of a state dict show of its net, and what a row must say of that net.

:mod:`gantool.upscalers`, :mod:`gantool.colorizers` and :mod:`gantool.legacy` recognise released files by it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """A net as a row describes it; names and defaults are those of :class:`gantool.catalog.Checkpoint`."""

    arch: str
    args: dict[str, Any]
    multiple: int = 1
    whole: bool = False
    signed: bool = False
    keeps_gray: bool = False
    radius: int | None = None
    scale: int = 1
    dtypes: tuple[str, ...] = ()
    value_range: float = 1.0
    color: str = "rgb"


def kernel(state: Mapping[str, Tensor], name: str, side: int | None = None) -> tuple[int, int, int]:
    """(output channels, input channels, side) of a convolution; zeros if none has that name (and ``side``).

    Of a transposed convolution the input channels come first.
    """
    shape = axes(state, name, 4)
    if not shape or side not in (None, shape[3]):
        return 0, 0, 0
    return shape[0], shape[1], shape[3]


def axes(state: Mapping[str, Tensor], name: str, count: int) -> tuple[int, ...]:
    """The shape of a tensor; empty if there is none of that name with so many axes."""
    value = state.get(name)
    return tuple(value.shape) if value is not None and value.ndim == count else ()


def numbered(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many things are numbered from 0: one more than the highest number that ``pattern`` captures."""
    found = re.compile(pattern)
    return 1 + max((int(m[1]) for m in map(found.fullmatch, state) if m), default=-1)
