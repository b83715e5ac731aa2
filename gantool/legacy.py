"""Bare state dicts of translation nets made by other programs: which net they belong to.

``latest_net_G.pth`` of pytorch-CycleGAN-and-pix2pix says nothing about itself: its program is told the
training flags again at test time. Here they are read from names and shapes. What the weights do not show is
as in that program: dropout shares, and that its batch-norm U-Nets are tested with the picture's own
statistics. The files of GAN Compression, HugGAN, DPED, AnimeGANv2 and StarGAN are known by their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from torch import Tensor

from gantool import anatomy
from gantool.anatomy import axes, kernel
from gantool.models.stargan import CELEBA, StarGAN

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_BLOCK = re.compile(r"model\.(\d+)\.conv_block\.(\d+)\.weight")


@dataclass(frozen=True)
class Layout(anatomy.Layout):
    """Of a net that translates: nearly all of them work in [-1,1]."""

    signed: bool = True


def tidy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict without what its program's own loader drops.

    "module." of DataParallel, and the statistics of instance norms in files from before torch 0.4, which
    were recorded and never used: those that stand without the weight a batch norm has.
    """
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}

    def unused(name: str) -> bool:
        layer, _, last = name.rpartition(".")
        return last in _STATISTICS and f"{layer}.weight" not in state

    return {name: value for name, value in state.items() if not unused(name)}


def recognise(state: Mapping[str, Tensor]) -> Layout | None:
    """The generator that a :func:`tidy` state dict belongs to; None if it is none that is known.

    U-Net of any depth from 5 and ResNet with any number of blocks, of any width and channels, with batch,
    instance or no norm, and for the ResNet with or without dropout layers; ResNets of separable convolutions,
    HugGAN's U-Nets, DPED, AnimeGANv2 and StarGAN of any width. Whether all names and shapes fit is for the
    strict load to say.
    """
    return (
        _unet(state)
        or _resnet(state)
        or _mobile(state)
        or _huggan(state)
        or _dped(state)
        or _animegan(state)
        or _stargan(StarGAN.own_names(state))
    )


def nets_inside(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The nets of a state dict that holds several, by the word before their tensors: "netG_A", "netD_A", ...

    Empty unless there are at least two such words and one of them is a net that :func:`recognise` knows.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        word, _, rest = name.partition(".")
        parts.setdefault(word, {})[rest] = value
    if len(parts) < 2 or not any(recognise(tidy(part)) for part in parts.values()):
        return ()
    return tuple(parts)


def _norm(state: Mapping[str, Tensor], convolution: str, norm: str) -> str:
    """The norm after a convolution: batch norm has weights; instance norm leaves the convolution its bias."""
    if f"{norm}.running_mean" in state:
        return "batch"
    return "instance" if f"{convolution}.bias" in state else "none"


def _unet(state: Mapping[str, Tensor]) -> Layout | None:
    width, inputs, _ = kernel(state, "model.model.0.weight", 4)
    _, outputs, _ = kernel(state, "model.model.3.weight", 4)  # transposed
    if not (width and outputs):
        return None
    downs, level = 1, "model.model.1"
    while any(kernel(state, f"{level}.model.1.weight", 4)):
        downs, level = downs + 1, f"{level}.model.3"
    if downs < 5:
        return None
    norm = _norm(state, "model.model.1.model.1", "model.model.1.model.2")
    args = {"input_nc": inputs, "output_nc": outputs, "downs": downs, "ngf": width, "norm": norm}
    if norm == "batch":
        args["own_statistics"] = True
    return Layout("pix2pix.UnetGenerator", args, 2**downs, whole=norm != "none")


def _resnet(state: Mapping[str, Tensor]) -> Layout | None:
    width, inputs, _ = kernel(state, "model.1.weight", 7)
    convolutions = [m for m in map(_BLOCK.fullmatch, state) if m and state[m[0]].ndim == 4]
    blocks = {int(m[1]) for m in convolutions}
    outputs, _, _ = kernel(state, f"model.{len(blocks) + 17}.weight", 7)
    if not (width and outputs):
        return None
    args: dict[str, Any] = {"input_nc": inputs, "output_nc": outputs, "blocks": len(blocks), "ngf": width}
    args["norm"] = _norm(state, "model.1", "model.2")
    # A dropout layer has no weights, but it takes up a number: the second convolution is 6 and not 5.
    if any(m[2] == "6" for m in convolutions):
        args["dropout"] = 0.5
    return Layout("cyclegan.ResnetGenerator", args, 4, whole=args["norm"] == "instance")


def _dped(state: Mapping[str, Tensor]) -> Layout | None:
    first, last = axes(state, "W1", 4), axes(state, "W12", 4)  # height, width, in, out
    if first[:3] != (9, 9, 3) or last[3:] != (3,) or "Variable_15" not in state:
        return None
    args = {} if first[3] == 64 else {"width": first[3]}
    return Layout("dped.DPED", args, whole=True, signed=False, keeps_gray=True)


def _mobile(state: Mapping[str, Tensor]) -> Layout | None:
    names = (f"model.{n}.conv_block.1.conv.2.weight" for n in range(10, len(state)))
    inner = [state[name].shape[0] for name in takewhile(state.__contains__, names)]
    down = [kernel(state, f"model.{n}.weight", side) for n, side in ((1, 7), (4, 3), (7, 3))]
    after = 10 + len(inner)
    up = [kernel(state, f"model.{n}.weight", 3) for n in (after, after + 3)]  # transposed
    last = kernel(state, f"model.{after + 7}.weight", 7)
    if not inner or not all(map(any, (*down, *up, last))):
        return None
    args = {
        "down": [width for width, _, _ in down],
        "inner": inner,
        "up": [width for _, width, _ in up],
        "input_nc": down[0][1],
        "output_nc": last[0],
    }
    return Layout("mobile_resnet.MobileResnetGenerator", args, 4, whole=True)


def _huggan(state: Mapping[str, Tensor]) -> Layout | None:
    width, inputs, _ = kernel(state, "down1.model.0.weight", 4)
    outputs, _, _ = kernel(state, "final.2.weight", 4)
    if (inputs, outputs) != (3, 3):
        return None
    return Layout("huggan_unet.HugganUnet", {} if width == 64 else {"width": width}, 256, whole=True)


def _animegan(state: Mapping[str, Tensor]) -> Layout | None:
    width, inputs, _ = kernel(state, "block_a.0.1.weight", 7)
    if inputs != 3 or "out_layer.0.weight" not in state:
        return None
    return Layout("animegan.AnimeGANv2", {} if width == 32 else {"width": width}, whole=True)


def _stargan(state: Mapping[str, Tensor]) -> Layout | None:
    width, inputs, _ = kernel(state, "main.0.weight", 7)
    blocks = sum(re.fullmatch(r"main\.\d+\.main\.0\.weight", name) is not None for name in state)
    if inputs < 4 or not blocks:
        return None
    count = inputs - 3
    labels = list(CELEBA) if count == len(CELEBA) else [str(n) for n in range(1, count + 1)]
    args = {"labels": labels, "width": width, "blocks": blocks}
    return Layout("stargan.StarGAN", args, 4, radius=8 * blocks + 15)
