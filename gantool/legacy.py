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

from gantool.models.stargan import CELEBA, StarGAN

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_BLOCK = re.compile(r"model\.(\d+)\.conv_block\.(\d+)\.weight")


@dataclass(frozen=True)
class Layout:
    """What a row needs to say, named as in :class:`gantool.catalog.Checkpoint`."""

    arch: str
    args: dict[str, Any]
    multiple: int
    whole: bool
    signed: bool = True
    keeps_gray: bool = False
    radius: int | None = None


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


def _kernel(state: Mapping[str, Tensor], name: str, side: int) -> Tensor | None:
    value = state.get(name)
    return value if value is not None and value.ndim == 4 and value.shape[-1] == side else None


def _norm(state: Mapping[str, Tensor], convolution: str, norm: str) -> str:
    """The norm after a convolution: batch norm has weights; instance norm leaves the convolution its bias."""
    if f"{norm}.running_mean" in state:
        return "batch"
    return "instance" if f"{convolution}.bias" in state else "none"


def _unet(state: Mapping[str, Tensor]) -> Layout | None:
    first, last = _kernel(state, "model.model.0.weight", 4), _kernel(state, "model.model.3.weight", 4)
    if first is None or last is None:
        return None
    downs, level = 1, "model.model.1"
    while _kernel(state, f"{level}.model.1.weight", 4) is not None:
        downs, level = downs + 1, f"{level}.model.3"
    if downs < 5:
        return None
    norm = _norm(state, "model.model.1.model.1", "model.model.1.model.2")
    args = {
        "input_nc": first.shape[1],
        "output_nc": last.shape[1],
        "downs": downs,
        "ngf": first.shape[0],
        "norm": norm,
    }
    if norm == "batch":
        args["own_statistics"] = True
    return Layout("pix2pix.UnetGenerator", args, 2**downs, whole=norm != "none")


def _resnet(state: Mapping[str, Tensor]) -> Layout | None:
    first = _kernel(state, "model.1.weight", 7)
    convolutions = [m for m in map(_BLOCK.fullmatch, state) if m and state[m[0]].ndim == 4]
    blocks = {int(m[1]) for m in convolutions}
    last = _kernel(state, f"model.{len(blocks) + 17}.weight", 7)
    if first is None or last is None:
        return None
    args: dict[str, Any] = {
        "input_nc": first.shape[1],
        "output_nc": last.shape[0],
        "blocks": len(blocks),
        "ngf": first.shape[0],
        "norm": _norm(state, "model.1", "model.2"),
    }
    # A dropout layer has no weights, but it takes up a number: the second convolution is 6 and not 5.
    if any(m[2] == "6" for m in convolutions):
        args["dropout"] = 0.5
    return Layout("cyclegan.ResnetGenerator", args, 4, whole=args["norm"] == "instance")


def _dped(state: Mapping[str, Tensor]) -> Layout | None:
    first, last = state.get("W1"), state.get("W12")
    if first is None or last is None or first.ndim != 4 or last.ndim != 4 or "Variable_15" not in state:
        return None
    if first.shape[:3] != (9, 9, 3) or last.shape[3] != 3:
        return None
    args = {} if first.shape[3] == 64 else {"width": first.shape[3]}
    return Layout("dped.DPED", args, 1, whole=True, signed=False, keeps_gray=True)


def _mobile(state: Mapping[str, Tensor]) -> Layout | None:
    names = (f"model.{n}.conv_block.1.conv.2.weight" for n in range(10, len(state)))
    inner = [state[name].shape[0] for name in takewhile(state.__contains__, names)]
    down = [_kernel(state, f"model.{n}.weight", side) for n, side in ((1, 7), (4, 3), (7, 3))]
    after = 10 + len(inner)
    up = [_kernel(state, f"model.{n}.weight", 3) for n in (after, after + 3)]
    last = _kernel(state, f"model.{after + 7}.weight", 7)
    if not inner or any(kernel is None for kernel in (*down, *up, last)):
        return None
    args = {
        "down": [kernel.shape[0] for kernel in down if kernel is not None],
        "inner": inner,
        "up": [kernel.shape[1] for kernel in up if kernel is not None],
        "input_nc": state["model.1.weight"].shape[1],
        "output_nc": state[f"model.{after + 7}.weight"].shape[0],
    }
    return Layout("mobile_resnet.MobileResnetGenerator", args, 4, whole=True)


def _huggan(state: Mapping[str, Tensor]) -> Layout | None:
    first, last = _kernel(state, "down1.model.0.weight", 4), _kernel(state, "final.2.weight", 4)
    if first is None or last is None or first.shape[1] != 3 or last.shape[0] != 3:
        return None
    args = {} if first.shape[0] == 64 else {"width": first.shape[0]}
    return Layout("huggan_unet.HugganUnet", args, 256, whole=True)


def _animegan(state: Mapping[str, Tensor]) -> Layout | None:
    first = _kernel(state, "block_a.0.1.weight", 7)
    if first is None or first.shape[1] != 3 or "out_layer.0.weight" not in state:
        return None
    args = {} if first.shape[0] == 32 else {"width": first.shape[0]}
    return Layout("animegan.AnimeGANv2", args, 1, whole=True)


def _stargan(state: Mapping[str, Tensor]) -> Layout | None:
    first = _kernel(state, "main.0.weight", 7)
    blocks = sum(re.fullmatch(r"main\.\d+\.main\.0\.weight", name) is not None for name in state)
    if first is None or first.shape[1] < 4 or not blocks:
        return None
    count = first.shape[1] - 3
    labels = list(CELEBA) if count == len(CELEBA) else [str(n) for n in range(1, count + 1)]
    args = {"labels": labels, "width": first.shape[0], "blocks": blocks}
    return Layout("stargan.StarGAN", args, 4, whole=False, radius=8 * blocks + 15)
