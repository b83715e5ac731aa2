"""What a net takes and gives, in figures for a test picture and in words for a model card."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gantool.catalog import Checkpoint


@dataclass(frozen=True)
class Contract:
    """Input: (1, ``channels``, H, W) from ``low`` to ``high``, sides multiples of ``multiple``.

    ``takes``, ``gives``: the same for a reader. ``notes``: what else matters to who runs the net.
    """

    channels: int
    low: float
    high: float
    multiple: int
    takes: str
    gives: str
    notes: tuple[str, ...] = ()


def contract(net: nn.Module, row: Checkpoint) -> Contract:
    """The contract of a net, from its row and from what its class declares."""
    multiple = max(1, row.multiple, int(getattr(net, "multiple", 1)))
    notes = _notes(net, row)
    if row.task == "colorize":
        shows = getattr(net, "shows", "luma" if row.color == "gray" else "lightness")
        takes = {
            "luma": "luma (0.299 R + 0.587 G + 0.114 B) from 0 to 1",
            "lightness": "lightness L of CIE Lab (D65) divided by 100, from 0 to 1",
            "rgb": "a grey picture as three equal channels R, G, B from 0 to 1",
        }[shows]
        gives = "the channels a and b of CIE Lab, in Lab units; join them with the source's lightness"
        if getattr(net, "gives", "ab") == "rgb":
            gives = "R, G, B from 0 to 1; keep its chroma and the source's lightness"
        return Contract(3 if shows == "rgb" else 1, 0.0, 1.0, multiple, takes, gives, notes)
    low, high = (-1.0, 1.0) if row.signed else (0.0, row.value_range)
    span = f"from {low:g} to {high:g}"
    inputs, outputs = row.args.get("input_nc", 3), row.args.get("output_nc", 3)
    order = "B, G, R" if row.color == "bgr" else "R, G, B"
    takes = f"channels {order} {span}" if inputs == 3 else f"{inputs} channel(s) {span} (luma if one)"
    if row.task == "percept":
        gives = "the activations of its layers by name"
    else:
        gives = f"channels {order} {span}" if outputs == 3 else f"{outputs} channel(s) {span}"
        gives += f", {row.scale} times the size" if row.scale > 1 else ", the same size"
        gives += "; values beyond these may come out: clip them"
    return Contract(inputs, low, high, multiple, takes, gives, notes)


def _notes(net: nn.Module, row: Checkpoint) -> tuple[str, ...]:
    notes = []
    if row.whole:
        notes.append("Its norms measure the whole picture: do not cut pictures into tiles.")
    if row.radius is not None:
        notes.append(f"Tiles that overlap by {row.radius} px on each side give what the whole picture gives.")
    if size := getattr(net, "render_size", None):
        square = ", stretched to a square" if getattr(net, "square", False) else ""
        notes.append(
            f"Made for pictures of about {size} px{square}: show it a small one, enlarge its chroma."
        )
    if margin := getattr(net, "margin", 0):
        notes.append(f"Show it {margin} px more on every side, mirrored, and cut them off: its rim is dark.")
    if getattr(net, "takes_hints", False):
        notes.append("An exported graph takes no colour hints.")
    if getattr(net, "labels", None) and hasattr(net, "target"):
        notes.append("Which attributes it gives a face is fixed in an exported graph.")
    return tuple(notes)


def example(terms: Contract, height: int, width: int, seed: int) -> Tensor:
    """A smooth random picture (1, channels, height, width) in the range that the net takes, float32.

    Smooth, because pure noise is nothing that a net has ever seen and says little about its arithmetic.
    """
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, terms.channels, max(2, height // 8), max(2, width // 8), generator=generator)
    if terms.channels == 3 and "three equal" in terms.takes:
        coarse = coarse[:, :1].expand(-1, 3, -1, -1)
    x = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    grain = torch.rand(x.shape, generator=generator) * 0.1
    return (x * 0.9 + grain) * (terms.high - terms.low) + terms.low
