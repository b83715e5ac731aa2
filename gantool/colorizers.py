"""Whose net a bare state dict of a colorizer is: released files say nothing about themselves.

Known are DeOldify (both nets), ECCV16, SIGGRAPH17 and DDColor, and the straight-line ResNet18 colorizer of
which public files exist. Widths and depths are read from shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gantool.anatomy import Layout, axes, kernel, numbered


def recognise(state: Mapping[str, Tensor]) -> Layout | None:
    """The colorizer that a state dict belongs to, None if it is none of these.

    With the names of the released file or with gantool's own. Whether all names and shapes fit is for the
    strict load to say.
    """
    # A weight under a spectral norm counts as that weight.
    state = {name.removesuffix("_orig"): value for name, value in state.items()} | dict(state)
    return _deoldify(state) or _ddcolor(state) or _zhang(state) or _straight(state)


def _blocks(state: Mapping[str, Tensor], pattern: str) -> list[int]:
    """How many numbered things there are under each of four numbered stages."""
    found = [re.fullmatch(pattern, name) for name in state]
    pairs = {(int(m[1]), int(m[2])) for m in found if m}
    first = min((stage for stage, _ in pairs), default=0)
    return [sum(stage == first + number for stage, _ in pairs) for number in range(4)]


def _deoldify(state: Mapping[str, Tensor]) -> Layout | None:
    width, _, _ = kernel(state, "layers.0.0.weight")
    blocks = _blocks(state, r"layers\.0\.([4-7])\.(\d+)\.conv1\.weight")
    if not width or min(blocks) < 1 or not any(kernel(state, "layers.11.0.weight")):
        return None
    args: dict[str, Any] = {"blocks": blocks, "width": width}
    if any(kernel(state, "layers.4.conv1.0.weight")):
        return Layout("deoldify.DeOldifyDeep", args, 16, color="lab")
    features, _, _ = kernel(state, "layers.4.conv.0.weight")
    args |= {"features": features}
    return Layout("deoldify.DeOldifyWide", args, 16, color="lab") if features else None


def _ddcolor(state: Mapping[str, Tensor]) -> Layout | None:
    dims = [axes(state, f"encoder.arch.norm{number}.weight", 1) for number in range(4)]
    depths = _blocks(state, r"encoder\.arch\.stages\.(\d+)\.(\d+)\.dwconv\.weight")
    decoder = "decoder.color_decoder"
    width, _, _ = kernel(state, "decoder.layers.0.conv.0.weight")
    queries = axes(state, f"{decoder}.query_feat.weight", 2)
    feed = axes(state, f"{decoder}.transformer_ffn_layers.0.linear1.weight", 2)
    refine = any(kernel(state, "refine_net.0.0.weight"))
    if not (width and queries and feed and refine) or min(depths) < 1 or not all(dims):
        return None
    layers = rf"{re.escape(decoder)}\.transformer_ffn_layers\.(\d+)\.linear1\.weight"
    args = {
        "depths": depths,
        "dims": [dim for (dim,) in dims],
        "width": width,
        "queries": queries[0],
        "layers": numbered(state, layers),
        "feed": feed[0],
    }
    return Layout("ddcolor.DDColor", args, 32, color="lab")


def _zhang(state: Mapping[str, Tensor]) -> Layout | None:
    width, planes, _ = kernel(state, "model1.0.weight")
    ab, bins, _ = kernel(state, "model_out.weight")
    if planes == 1 and ab == 2 and any(kernel(state, "model8.0.weight")):
        return Layout("eccv16.ECCV16", {"width": width, "bins": bins}, 8, color="lab")
    classes, _, _ = kernel(state, "model_class.0.weight")
    if planes == 4 and classes and any(kernel(state, "model8up.0.weight")):
        return Layout("siggraph17.SIGGRAPH17", {"width": width, "classes": classes}, 8, color="lab")
    return None


def _straight(state: Mapping[str, Tensor]) -> Layout | None:
    first, last = kernel(state, "midlevel_resnet.0.weight"), kernel(state, "upsample.14.weight")
    if first != (64, 1, 7) or last[0] != 2:
        return None
    # The published files answer (a + 128) / 255 and are shown luma.
    args = {"ab_gain": 255.0, "ab_shift": -128.0}
    return Layout("colorizer.ResNetStraight", args, 8, color="gray")
