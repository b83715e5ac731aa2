"""Whose net a bare state dict of a style net is: AdaIN and MicroAST, which come in parts, and Johnson's nets.

Johnson's kind is known by the names of four programs: pytorch/examples, gordicaleksa's, rrmina's and
fast-style-transfer as ml5.js has it. Widths and depths are read from shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gantool import anatomy
from gantool.anatomy import kernel, numbered
from gantool.models.transformer_net import TransformerNet

_ADAIN = ("adain-vgg",)
_MICROAST = ("microast-content", "microast-style", "microast-modulator")


@dataclass(frozen=True)
class Layout(anatomy.Layout):
    """Of a style net. ``needs``: the rows of the catalog whose nets are its other parts."""

    whole: bool = True
    needs: tuple[str, ...] = ()


def recognise(state: Mapping[str, Tensor]) -> Layout | None:
    """The style net, or the part of one, that a state dict belongs to; None if it is none of these.

    Whether all names and shapes fit is for the strict load to say.
    """
    return _adain(state) or _microast(state) or _transformer(state)


def _adain(state: Mapping[str, Tensor]) -> Layout | None:
    if "encoder.0.weight" in state and "decoder.28.weight" in state:
        encoder = {n.removeprefix("encoder."): t for n, t in state.items() if n.startswith("encoder.")}
        found = _adain(encoder)
        return found and Layout("adain.AdaIN", found.args, 8)
    deepest = kernel(state, "29.weight", 3)[0]  # relu4_1's
    if kernel(state, "0.weight") == (3, 3, 1) and kernel(state, "2.weight")[1:] == (3, 3) and deepest:
        return Layout("adain.Encoder", {"width": deepest / 512}, 8)
    deepest = kernel(state, "1.weight", 3)[1]
    if kernel(state, "28.weight", 3)[0] == 3 and kernel(state, "25.weight", 3)[0] and deepest:
        return Layout("adain.Decoder", {"width": deepest / 512}, 8, needs=_ADAIN)
    return None


def _microast(state: Mapping[str, Tensor]) -> Layout | None:
    whole = kernel(state, "content_encoder.enc1.0.conv_layer.weight", 9)[0]
    if whole and "modulator.weight1.0.conv_layer.weight" in state:
        return Layout("microast.MicroAST", {"width": whole}, 4)
    encoder = kernel(state, "enc1.0.conv_layer.weight", 9)[0]
    if encoder and "enc2.0.conv2.conv_layer.weight" in state:
        return Layout("microast.Encoder", {"width": encoder}, 4)
    modulator = kernel(state, "weight1.0.conv_layer.weight", 3)[0]
    if modulator and "bias2.0.conv_layer.weight" in state:
        return Layout("microast.Modulator", {"width": modulator // 4}, 4)
    decoder = kernel(state, "dec3.10.conv_layer.weight", 9)
    if decoder[0] == 3 and "dec1.conv1.conv_layer.weight" in state:
        return Layout("microast.Decoder", {"width": decoder[1]}, 4, needs=_MICROAST)
    return None


def _transformer(state: Mapping[str, Tensor]) -> Layout | None:
    tensorflow = "conv1.scale" in state
    net = TransformerNet.own_names(state)
    widths = [kernel(net, f"conv{n}.conv2d.weight")[0] for n in (1, 2, 3)]
    blocks = numbered(net, r"res(\d+)\.conv1\.conv2d\.weight") - 1
    first, last = kernel(net, "conv1.conv2d.weight", 9), kernel(net, "deconv3.conv2d.weight", 9)
    if not all(widths) or blocks < 1 or first[1] != 3 or last != (3, widths[0], 9):
        return None
    inner = kernel(net, "res1.conv1.conv2d.weight", 1)[0]
    rrmina = "ConvBlock.0.conv_layer.weight" in state
    args: dict[str, Any] = {"widths": widths, "blocks": blocks}
    if inner:
        args["inner"] = inner
    if tensorflow or any("conv_transpose" in name for name in state):
        args["up"] = "transposed"
    if tensorflow:
        args["tensorflow"] = True
    if "up1.conv2d.conv2d.weight" in state:
        args["imagenet"] = True
    value_range = 1.0 if "imagenet" in args else 255.0
    return Layout(
        "transformer_net.TransformerNet", args, 4, value_range=value_range, color="bgr" if rrmina else "rgb"
    )


def takes_any_style(arch: str) -> bool:
    """Whether a style net is shown the style that it is to give, rather than having learned one."""
    return arch.partition(".")[0] in ("adain", "microast")
