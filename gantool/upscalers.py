"""What gantool's super-resolution nets need beside their weights, and whose a bare state dict is.

Released files say nothing about themselves: scale, width and depth are read from names and shapes, the rest
is what the programs that made them take for granted. EDSR under its authors' names is left out: the files of
super-image have the same names and shapes, but are other nets (see ``models/edsr.py``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gantool.models.edsr import EDSR
from gantool.models.rrdbnet import RRDBNet
from gantool.models.srresnet import MSRResNet

_LARGEST_OVERLAP = 64  # px; beyond it, tiles would consist of little else

_COMPACT = re.compile(r"body\.(\d+)\.(weight|bias)")


@dataclass(frozen=True)
class Layout:
    """What a row needs to say, named as in :class:`gantool.catalog.Checkpoint`."""

    arch: str
    args: dict[str, Any]
    scale: int
    radius: int | None
    dtypes: tuple[str, ...] = ("bf16",)
    value_range: float = 1.0
    multiple: int = 1


def compact(num_feat: int = 64, num_conv: int = 16, upscale: int = 4, channels: int = 3) -> Layout:
    """SRVGGNetCompact."""
    args = {"num_in_ch": channels, "num_out_ch": channels, "num_feat": num_feat, "num_conv": num_conv}
    return Layout("srvgg.SRVGGNetCompact", args | {"upscale": upscale}, upscale, num_conv + 2)


def rrdbnet(
    scale: int = 4, num_feat: int = 64, num_block: int = 23, num_grow_ch: int = 32, unshuffle: bool = True
) -> Layout:
    """RRDBNet. It sees further than any overlap that makes sense, but looks there little."""
    args: dict[str, Any] = {"num_feat": num_feat, "num_block": num_block, "num_grow_ch": num_grow_ch}
    args |= {"scale": scale, "unshuffle": unshuffle}
    fold = 4 // scale if unshuffle and scale < 4 else 1
    radius = fold * (15 * num_block + 4)
    return Layout(
        "rrdbnet.RRDBNet",
        args,
        scale,
        radius if radius <= _LARGEST_OVERLAP else None,
        ("bf16", "fp16"),
        multiple=fold,
    )


def edsr(scale: int = 4, n_feats: int = 64, n_resblocks: int = 16, res_scale: float = 1.0) -> Layout:
    """EDSR as its authors have it: pictures in 0..255."""
    args = {"scale": scale, "n_feats": n_feats, "n_resblocks": n_resblocks, "res_scale": res_scale}
    # Its features carry the whole picture, not only what is added to one: too much for the 8 bits of bf16.
    return Layout("edsr.EDSR", args, scale, 2 * n_resblocks + 4, (), 255.0)


def msrresnet(upscale: int = 4, num_feat: int = 64, num_block: int = 16) -> Layout:
    """SRResNet as BasicSR has it."""
    args = {"upscale": upscale, "num_feat": num_feat, "num_block": num_block}
    return Layout("srresnet.MSRResNet", args, upscale, 2 * num_block + 3)


def srresnet(scale: int = 4, width: int = 64, blocks: int = 16, before_skip: str = "batch") -> Layout:
    """SRResNet as the paper has it."""
    args = {"scale": scale, "width": width, "blocks": blocks, "before_skip": before_skip}
    # In bf16 leftthomas' net is up to 4 levels of 255 off: the whole picture goes through its features.
    return Layout("srresnet.SRResNet", args, scale, 2 * blocks + 8, ())


def recognise(state: Mapping[str, Tensor]) -> Layout | None:
    """The net that a bare state dict belongs to; None if it is none of these, or not one for RGB.

    SRVGGNetCompact and EDSR with BasicSR's names, RRDBNet in its three spellings, MSRResNet in two, and
    leftthomas' SRResNet. Whether all names and shapes fit is for the strict load to say.
    """
    return (
        _compact(state)
        or _rrdbnet(RRDBNet.own_names(state))
        or _edsr(state)
        or _msrresnet(MSRResNet.own_names(state))
        or _srresnet(state)
    )


def _kernel(state: Mapping[str, Tensor], name: str) -> tuple[int, int, int]:
    """(output channels, input channels, side) of a kernel; zeros if there is none of that name."""
    value = state.get(name)
    if value is None or value.ndim != 4:
        return 0, 0, 0
    return int(value.shape[0]), int(value.shape[1]), int(value.shape[-1])


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many numbered things there are, by the highest number."""
    found = re.compile(pattern)
    return 1 + max((int(m[1]) for m in map(found.fullmatch, state) if m), default=-1)


def _compact(state: Mapping[str, Tensor]) -> Layout | None:
    numbers = [_COMPACT.fullmatch(name) for name in state]
    if not numbers or not all(numbers):
        return None
    last = max(int(m[1]) for m in numbers if m)
    width, channels, _ = _kernel(state, "body.0.weight")
    bias = state.get(f"body.{last}.bias")
    if channels != 3 or bias is None or bias.ndim != 1 or last % 2 or last < 2:
        return None
    upscale = math.isqrt(len(bias) // channels)
    if upscale < 1 or upscale**2 * channels != len(bias):
        return None
    return compact(width, (last - 2) // 2, upscale)


def _rrdbnet(state: Mapping[str, Tensor]) -> Layout | None:
    width, channels, _ = _kernel(state, "conv_first.weight")
    grown, _, _ = _kernel(state, "body.0.rdb1.conv1.weight")
    rgb, _, _ = _kernel(state, "conv_last.weight")
    # ESRGAN+ has a further convolution in every block.
    if not grown or rgb != 3 or channels not in (3, 12, 48) or any(".conv1x1." in name for name in state):
        return None
    blocks = _count(state, r"body\.(\d+)\.rdb1\.conv1\.weight")
    fold = {3: 1, 12: 2, 48: 4}[channels]
    ups = _count(state, r"conv_up(\d)\.weight") - 1 if "conv_up1.weight" in state else 0
    scale = 2**ups // fold
    if scale not in (1, 2, 4, 8) or (fold > 1 and ups != 2):
        return None
    return rrdbnet(scale, width, blocks, grown, unshuffle=fold > 1 or scale > 2)


def _edsr(state: Mapping[str, Tensor]) -> Layout | None:
    if "conv_after_body.weight" not in state:
        return None
    names = EDSR.own_names(state)
    width, channels, _ = _kernel(names, "head.0.weight")
    ups = [n for n in (0, 2, 4) if f"tail.0.{n}.weight" in names]
    wide, _, _ = _kernel(names, "tail.0.0.weight")
    if not width or channels != 3 or not ups or wide not in (4 * width, 9 * width):
        return None
    scale = 3 if wide == 9 * width else 2 ** len(ups)
    blocks = _count(names, r"body\.(\d+)\.body\.0\.weight")
    # Nothing in the file shows the share; the authors damp their large nets only.
    return edsr(scale, width, blocks, 0.1 if width >= 256 else 1.0)


def _msrresnet(state: Mapping[str, Tensor]) -> Layout | None:
    width, channels, _ = _kernel(state, "conv_first.weight")
    wide, _, _ = _kernel(state, "upconv1.weight")
    if not width or channels != 3 or "conv_hr.weight" not in state or wide not in (4 * width, 9 * width):
        return None
    blocks = _count(state, r"body\.(\d+)\.conv1\.weight")
    upscale = 3 if wide == 9 * width else 4 if "upconv2.weight" in state else 2
    return msrresnet(upscale, width, blocks) if blocks else None


def _srresnet(state: Mapping[str, Tensor]) -> Layout | None:
    width, channels, side = _kernel(state, "block1.0.weight")
    blocks = _count(state, r"block(\d+)\.conv1\.weight") - 2
    if channels != 3 or side != 9 or blocks < 1:
        return None
    ups = _count(state, rf"block{blocks + 3}\.(\d+)\.conv\.weight")
    closing = "batch" if f"block{blocks + 2}.1.running_mean" in state else "prelu"
    return srresnet(2**ups, width, blocks, closing) if ups in (1, 2, 3) else None
