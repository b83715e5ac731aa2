"""Whose net a bare state dict of a colorizer is: released files say nothing about themselves.

Known are DeOldify (both nets), ECCV16, SIGGRAPH17 and DDColor, and the straight-line ResNet18 colorizer of
which public files exist. Widths and depths are read from shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """What a row needs to say, named as in :class:`gantool.catalog.Checkpoint`."""

    arch: str
    args: dict[str, Any]
    multiple: int
    color: str = "lab"


def recognise(state: Mapping[str, Tensor]) -> Layout | None:
    """The colorizer that a state dict belongs to, None if it is none of these.

    With the names of the released file or with gantool's own. Whether all names and shapes fit is for the
    strict load to say.
    """
    return _deoldify(state) or _ddcolor(state) or _zhang(state) or _straight(state)


def _shape(state: Mapping[str, Tensor], name: str, axes: int = 4) -> tuple[int, ...]:
    """The shape of a kernel, by its plain name or, under a spectral norm, by that of its original."""
    value = state.get(f"{name}.weight", state.get(f"{name}.weight_orig"))
    return tuple(value.shape) if value is not None and value.ndim == axes else ()


def _blocks(state: Mapping[str, Tensor], pattern: str) -> list[int]:
    """How many numbered things there are under each of four numbered stages."""
    found = [re.fullmatch(pattern, name) for name in state]
    pairs = {(int(m[1]), int(m[2])) for m in found if m}
    first = min((stage for stage, _ in pairs), default=0)
    return [sum(stage == first + number for stage, _ in pairs) for number in range(4)]


def _deoldify(state: Mapping[str, Tensor]) -> Layout | None:
    first = _shape(state, "layers.0.0")
    blocks = _blocks(state, r"layers\.0\.([4-7])\.(\d+)\.conv1\.weight")
    if not first or min(blocks) < 1 or not _shape(state, "layers.11.0"):
        return None
    args: dict[str, Any] = {"blocks": blocks, "width": first[0]}
    if _shape(state, "layers.4.conv1.0"):
        return Layout("deoldify.DeOldifyDeep", args, 16)
    wide = _shape(state, "layers.4.conv.0")
    return Layout("deoldify.DeOldifyWide", args | {"features": wide[0]}, 16) if wide else None


def _ddcolor(state: Mapping[str, Tensor]) -> Layout | None:
    dims = [state.get(f"encoder.arch.norm{number}.weight") for number in range(4)]
    depths = _blocks(state, r"encoder\.arch\.stages\.(\d+)\.(\d+)\.dwconv\.weight")
    decoder = "decoder.color_decoder"
    width, queries = _shape(state, "decoder.layers.0.conv.0"), _shape(state, f"{decoder}.query_feat", 2)
    feed = _shape(state, f"{decoder}.transformer_ffn_layers.0.linear1", 2)
    refine = _shape(state, "refine_net.0.0")
    if not (width and queries and feed and refine) or min(depths) < 1 or any(d is None for d in dims):
        return None
    layers = rf"{re.escape(decoder)}\.(transformer_ffn_layers)\.(\d+)\.linear1\.weight"
    args = {
        "depths": depths,
        "dims": [len(d) for d in dims if d is not None],
        "width": width[0],
        "queries": queries[0],
        "layers": sum(1 for name in state if re.fullmatch(layers, name)),
        "feed": feed[0],
    }
    return Layout("ddcolor.DDColor", args, 32)


def _zhang(state: Mapping[str, Tensor]) -> Layout | None:
    first = _shape(state, "model1.0")
    bins, classes = _shape(state, "model_out"), _shape(state, "model_class.0")
    if first[1:2] == (1,) and bins[:1] == (2,) and _shape(state, "model8.0"):
        return Layout("eccv16.ECCV16", {"width": first[0], "bins": bins[1]}, 8)
    if first[1:2] == (4,) and classes and _shape(state, "model8up.0"):
        return Layout("siggraph17.SIGGRAPH17", {"width": first[0], "classes": classes[0]}, 8)
    return None


def _straight(state: Mapping[str, Tensor]) -> Layout | None:
    first, last = _shape(state, "midlevel_resnet.0"), _shape(state, "upsample.14")
    if first != (64, 1, 7, 7) or last[:1] != (2,):
        return None
    # The published files answer (a + 128) / 255 and are shown luma.
    return Layout("colorizer.ResNetStraight", {"ab_gain": 255.0, "ab_shift": -128.0}, 8, "gray")
