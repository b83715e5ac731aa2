"""Half precision with a way out: what it spoils is computed again in float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from gantool.pipelines import Context, Pipeline

_LIT = 0.05  # mean of a picture that is certainly not black
_BLACK = 1 / 255


def with_fallback(
    quick: Pipeline, exact: Callable[[], Pipeline], precision: str, warn: Callable[[str], None]
) -> Pipeline:
    """``quick`` until one of its answers is spoiled, then ``exact()``, beginning with the pictures at hand.

    Args:
        exact: builds the same pipeline in float32; called at most once.
        precision: name of the precision that ``quick`` computes in, for the warning.
        warn: told why, when that happens.
    """
    now = [quick]

    def predict(x: Tensor, context: Context) -> Tensor:
        layer = now[0].predict(x, context)
        reason = spoiled(x, layer, quick.blend) if now[0] is quick else ""
        if not reason:
            return layer
        warn(said(quick.model, reason, precision))
        now[0] = exact()
        return now[0].predict(x, context)

    return replace(quick, predict=predict)


def said(model: str, reason: str, precision: str) -> str:
    """The warning that a model is run in fp32 from here on."""
    return f"{model} gave {reason} in {precision}: from here on in fp32, slower (--precision fp32)"


def spoiled(x: Tensor, layer: Tensor, blend: str | None) -> str:
    """What half precision made of pictures x (N,3,H,W), or "" when nothing is wrong with their layers.

    Values beyond the range of numbers, or black where the picture is not; a net of chroma alone
    (``blend`` "chroma") cannot make black.
    """
    if not bool(torch.isfinite(layer.sum(dtype=torch.float32))):
        return "values that are not numbers"
    if blend == "chroma":
        return ""
    light = x.mean((1, 2, 3))
    black = layer.amax((1, 2, 3)) < _BLACK
    return "a black picture" if bool((black & (light > _LIT)).any()) else ""
