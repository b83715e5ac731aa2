"""What fits into a device's memory: the tiles in which a net is shown large pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gantool.catalog import Checkpoint
from gantool.devices import is_out_of_memory, memory_of, remedy_for_memory
from gantool.errors import DeviceError
from gantool.ops.tiling import largest_tile

MOST_BYTES = 5 << 29
"""What the tensors of a net that needs no whole pictures hold on a CPU: RRDBNet's, of 960x960 px."""

_SHARE = 0.25  # of a device's memory, that a net's tensors may hold at most
_ALWAYS_WHOLE = 256 * 256  # px


@dataclass
class Room:
    """The tiles of a net on a device, which become smaller if memory runs out all the same.

    Args:
        row: of the net; one that measures whole pictures (``row.whole``) gets as much memory as may be.
        device: where it runs.
        tile_px: side of a tile's core, px; None for as large as memory allows.
        overlap: pixels read around a core.
        least: side of the smallest tile, px.
        taken: bytes of memory that the net takes for a pixel of pictures like these; asked once, when the
            first large picture comes.
        harm: what tiles do to the result of a net that measures whole pictures.
        warn: told of that, and of tiles that had to be made smaller.
    """

    row: Checkpoint
    device: torch.device
    tile_px: int | None
    overlap: int
    least: int
    taken: Callable[[Tensor], float]
    harm: str
    warn: Callable[[str], None]
    _per_px: list[float] = field(default_factory=list[float])

    def at_once(self, x: Tensor) -> int:
        """How many of the pictures x (N,C,H,W) the net may be shown together."""
        shown = x.shape[-2] * x.shape[-1]
        if self.tile_px is not None or len(x) * shown <= _ALWAYS_WHOLE:
            return len(x)
        return max(1, int(self._most_px(x) // shown))

    def run(self, fn: Callable[[Tensor, tuple[int, int]], Tensor], x: Tensor) -> Tensor:
        """``fn`` of the pictures x and the (height, width) of a tile's core; again with smaller ones, if
        memory is short.

        Raises:
            DeviceError: it is too short for the smallest.
            torch.OutOfMemoryError, MemoryError, RuntimeError: several pictures at once do not fit; fewer are
                to be tried first.
        """
        while True:
            core = self._core(x)
            try:
                return fn(x, core)
            except (RuntimeError, MemoryError) as error:
                if len(x) > 1 or not is_out_of_memory(error):
                    raise
            smaller = max(min(core[0], x.shape[-2]), min(core[1], x.shape[-1])) // 2
            if smaller < self.least:
                what = "out of memory even with the smallest tile"
                raise DeviceError(what, remedy=remedy_for_memory(self.device))
            self.warn(f"out of memory: tiles of {smaller} px from here on (--tile-px {smaller})")
            self.tile_px = smaller
            if x.device.type == "cuda":
                torch.cuda.empty_cache()

    def _core(self, x: Tensor) -> tuple[int, int]:
        tall, wide = x.shape[-2:]
        if self.tile_px is not None:
            core = self.tile_px, self.tile_px
        elif tall * wide <= _ALWAYS_WHOLE:
            core = tall, wide
        else:
            core = largest_tile(tall, wide, self._most_px(x), self.overlap, self.row.multiple, self.least)
        if self.row.whole and (core[0] < tall or core[1] < wide):
            self.warn(
                f"{self.row.name} wants whole pictures; {wide}x{tall} px went in tiles of "
                f"{core[1]}x{core[0]} px, which may {self.harm} (--tile-px {max(tall, wide)} runs it whole, "
                "given the memory)"
            )
        return core

    def _most_px(self, x: Tensor) -> float:
        """How many pixels the net may be shown at a time."""
        if not self._per_px:
            try:
                self._per_px.append(self.taken(x))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                return 0  # the smallest tile
        share = _SHARE * memory_of(self.device)
        # Beyond the most, larger tiles gain nothing, unless tiles are what must not be.
        if not self.row.whole and self.device.type == "cpu":
            share = min(share, MOST_BYTES)
        return share / self._per_px[0]
