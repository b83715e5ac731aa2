"""Whose net a bare state dict about faces is: the released frontalization generator, or LightCNN-29 v2.

LightCNN's file lies where only a person can fetch it, so there is no row in the catalog for it: who has it
names the file.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from gantool.anatomy import Layout, axes, kernel, numbered
from gantool.models.frontalizer import FrontalGenerator

PICKLED = {"frontalize": FrontalGenerator.PICKLED}
"""Task -> the class of which whole pickled modules are read (:mod:`gantool.pickled`); others have none."""


def recognise(state: Mapping[str, Tensor]) -> tuple[str, Layout] | None:
    """(task, net) of a state dict, None if it is neither.

    Whether all names and shapes fit is for the strict load to say.
    """
    generator, identity = _generator(state), _lightcnn(state)
    if generator is not None:
        return "frontalize", generator
    return None if identity is None else ("face", identity)


def _generator(state: Mapping[str, Tensor]) -> Layout | None:
    width, inputs, _ = kernel(state, "main.0.weight", 4)
    # Halvings and doublings are three layers each, the innermost and the last two each.
    layers = numbered(state, r"main\.(\d+)\.weight")
    depth = (layers + 3) // 6
    innermost, _, _ = kernel(state, f"main.{3 * depth - 3}.weight", 4)
    _, outputs, _ = kernel(state, f"main.{layers - 1}.weight", 4)  # transposed
    fits = depth >= 2 and layers == 6 * depth - 3 and innermost == width * 2 ** (depth - 1)
    if not (fits and (inputs, outputs) == (3, 3) and f"main.{3 * depth - 1}.weight" in state):
        return None
    args = {} if (width, depth) == (16, 6) else {"width": width, "depth": depth}
    return Layout("frontalizer.FrontalGenerator", args, whole=True, signed=True)


def _lightcnn(state: Mapping[str, Tensor]) -> Layout | None:
    stages = ("conv1", "group1.conv", "group2.conv", "group4.conv")
    widths = [kernel(state, f"{name}.filter.weight")[0] // 2 for name in stages]
    blocks = [numbered(state, rf"block{n}\.(\d+)\.conv1\.filter\.weight") for n in range(1, 5)]
    features = axes(state, "fc.weight", 2)
    if not (min(widths) and min(blocks) and features) or features[1] != 64 * widths[-1]:
        return None
    args = {"widths": widths, "blocks": blocks, "features": features[0]}
    return Layout("lightcnn.LightCNN29v2", args, whole=True, color="gray")
