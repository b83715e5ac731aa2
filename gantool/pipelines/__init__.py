"""Inference tasks: each module here turns a loaded net into a :class:`Pipeline`.

A pipeline works in two steps so that the temporal filter can stand between them:

1. ``predict(x, context)`` runs the net and returns what the task adds to the picture: chroma for colorize,
   detail for upscale, the whole picture for others. This is the *layer*, (N, C, h, w) float32, at whatever
   size the net works.
2. ``finish(x, layer)`` joins that layer with the source into the result.

The engine blends layers over time and calls ``finish`` with the blended layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Context:
    """What a pipeline may want to know beside the pixels; most ignore it.

    ``times``: presentation time of each picture of the batch in seconds, or empty for a still image.
    ``side``: side inputs by name, as the pipeline's module documents. "history", for one that takes it: what
    was shown of the frame before, a layer (C,h,w) brought along the motion, and how far to trust it, an
    array (h',w') in [0,1].
    """

    times: tuple[float, ...] = ()
    side: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pipeline:
    """One inference task, ready to run.

    ``predict``: x (N,3,H,W) in [0,1] on ``device`` -> layer (N,C,h,w) float32.
    ``finish``: the same x and a layer -> y (N,3,round(H*scale),round(W*scale)) float32 in [0,1].
    ``scale``: output side / input side. ``size``, if given, maps an input (height, width) to the exact
    output (height, width) and overrides ``scale``.
    ``blend``: what the temporal filter does to the layer: "chroma" (blend strongly, photometric weight
    loose), "detail" (larger pictures: blend what is finer than the source's pixels), "rgb" (whole pictures;
    both with neighbourhood clamp), "paint" (whole pictures whose texture is invented: as "rgb", with less
    care for what is out of place), "continued" (the pipeline itself goes on from what was shown before; its
    pictures are shown as they are) or None (this task has no temporal filter).
    ``layer_scale``: layer side / input side, where the layer is larger than the input.
    ``stride``: period in px of the lattice on which the net works, where its pictures show it: the layer is a
    picture of the input's size, and comes out alike only when the input moves by whole strides. 1: none.
    ``takes_history``: of films of which the net does not see every frame, it wants to know what was shown
    before; it is then given one picture at a time. One whose ``blend`` is "continued" always does.
    ``gray_output_for_gray``: a grey input gives a grey file (upscale) rather than a colour one (colorize).
    """

    task: str
    model: str
    predict: Callable[[Tensor, Context], Tensor]
    finish: Callable[[Tensor, Tensor], Tensor]
    device: torch.device
    scale: float = 1.0
    size: Callable[[int, int], tuple[int, int]] | None = None
    blend: Literal["chroma", "detail", "rgb", "paint", "continued"] | None = None
    layer_scale: int = 1
    stride: int = 1
    takes_history: bool = False
    gray_output_for_gray: bool = False

    def __call__(self, x: Tensor, context: Context | None = None) -> Tensor:
        """Both steps at once, as for a still picture."""
        return self.finish(x, self.predict(x, context or Context()))

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the result for an input of that size."""
        if self.size is not None:
            return self.size(height, width)
        return max(1, round(height * self.scale)), max(1, round(width * self.scale))
