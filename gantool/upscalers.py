"""What gantool's super-resolution nets need beside their weights, and whose a bare state dict is.

Released files say nothing about themselves: scale, width and depth are read from names and shapes, the rest
is what the programs that made them take for granted. Where programs differ in what they take for granted
(pictures in [0,1] or in 0..255, EDSR's mean taken off or not), :func:`conventions` lists what there is, and
:func:`resemblance` tells which of them the weights were trained for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool.anatomy import Layout, axes, kernel, numbered
from gantool.models.edsr import EDSR
from gantool.models.rlfn import RLFN
from gantool.models.rrdbnet import RRDBNet
from gantool.models.srresnet import MSRResNet

_LARGEST_OVERLAP = 64  # px; beyond it, tiles would consist of little else

RESEMBLES = 0.1
"""A :func:`resemblance` below this is one; the released nets, rightly used, stay below 0.05."""

_COMPACT = re.compile(r"body\.(\d+)\.(weight|bias)")


def compact(num_feat: int = 64, num_conv: int = 16, upscale: int = 4, channels: int = 3) -> Layout:
    """SRVGGNetCompact."""
    args = {"num_in_ch": channels, "num_out_ch": channels, "num_feat": num_feat, "num_conv": num_conv}
    args |= {"upscale": upscale}
    return Layout("srvgg.SRVGGNetCompact", args, scale=upscale, radius=num_conv + 2, dtypes=("bf16",))


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
        multiple=fold,
        radius=radius if radius <= _LARGEST_OVERLAP else None,
        scale=scale,
        dtypes=("bf16", "fp16"),
    )


def edsr(scale: int = 4, n_feats: int = 64, n_resblocks: int = 16, res_scale: float = 1.0) -> Layout:
    """EDSR as its authors have it: pictures in 0..255."""
    args = {"scale": scale, "n_feats": n_feats, "n_resblocks": n_resblocks, "res_scale": res_scale}
    # Its features carry the whole picture, not only what is added to one: too much for the 8 bits of bf16.
    return Layout("edsr.EDSR", args, radius=2 * n_resblocks + 4, scale=scale, value_range=255.0)


def msrresnet(upscale: int = 4, num_feat: int = 64, num_block: int = 16) -> Layout:
    """SRResNet as BasicSR has it."""
    args = {"upscale": upscale, "num_feat": num_feat, "num_block": num_block}
    return Layout("srresnet.MSRResNet", args, radius=2 * num_block + 3, scale=upscale, dtypes=("bf16",))


def srresnet(scale: int = 4, width: int = 64, blocks: int = 16, before_skip: str = "batch") -> Layout:
    """SRResNet as the paper has it."""
    args = {"scale": scale, "width": width, "blocks": blocks, "before_skip": before_skip}
    # In bf16 leftthomas' net is up to 4 levels of 255 off: the whole picture goes through its features.
    return Layout("srresnet.SRResNet", args, radius=2 * blocks + 8, scale=scale)


def imdn(scale: int = 4, width: int = 64, blocks: int = 6) -> Layout:
    """IMDN: every block measures the whole picture."""
    args = {"scale": scale, "width": width, "blocks": blocks}
    return Layout("imdn.IMDN", args, whole=True, scale=scale)


def imdn_rtc(scale: int = 2, width: int = 12, blocks: int = 5) -> Layout:
    """IMDN's real-time form."""
    args = {"scale": scale, "width": width, "blocks": blocks}
    return Layout("imdn.IMDNRTC", args, radius=4 * blocks + 2, scale=scale)


def rfdn(scale: int = 4, width: int = 50, blocks: int = 4) -> Layout:
    """RFDN as its authors have it: pictures in 0..255. Its attention is stretched over the whole picture."""
    args = {"scale": scale, "width": width, "blocks": blocks}
    return Layout("rlfn.RFDN", args, whole=True, scale=scale, value_range=255.0)


def rlfn(scale: int = 4, width: int = 52, inner: int = 52, blocks: int = 6, attention: int = 16) -> Layout:
    """RLFN as its authors have it: pictures in 0..255. Its attention is stretched over the whole picture."""
    args = {"scale": scale, "width": width, "inner": inner, "blocks": blocks, "attention": attention}
    return Layout("rlfn.RLFN", args, whole=True, scale=scale, value_range=255.0)


def conventions(layout: Layout) -> tuple[Layout, ...]:
    """The nets that a file of this layout may hold, the one of the architecture's own authors first."""
    if layout.arch == "edsr.EDSR":
        plain = replace(layout, args=layout.args | {"rgb_range": 1.0, "shift": False}, value_range=1.0)
        return layout, plain
    if layout.arch in ("rlfn.RFDN", "rlfn.RLFN", "imdn.IMDN", "imdn.IMDNRTC"):
        return layout, replace(layout, value_range=1.0 if layout.value_range > 1 else 255.0)
    return (layout,)


@torch.no_grad()
def resemblance(net: nn.Module, value_range: float) -> float:
    """How far the result for a smooth picture is from that picture once it is shrunk again, mean of |.|.

    A few hundredths for a net used as it was trained, with pictures in [0, ``value_range``]; anything
    otherwise.
    """
    ramp = torch.linspace(0.2, 0.8, 24)
    x = torch.stack((ramp.expand(24, 24), ramp.flip(0)[:, None].expand(24, 24), torch.full((24, 24), 0.6)))
    y = net(x[None] * value_range) / value_range
    apart = (F.adaptive_avg_pool2d(y, (24, 24)) - x)[..., 4:-4, 4:-4].abs().mean()
    return float(apart) if bool(torch.isfinite(apart)) else math.inf


def recognise(state: Mapping[str, Tensor]) -> Layout | None:
    """The net that a bare state dict belongs to; None if it is none of these, or not one for RGB.

    SRVGGNetCompact, EDSR in two spellings, RRDBNet in three, MSRResNet in two, leftthomas' SRResNet, IMDN
    and IMDN-RTC, RFDN, and RLFN in two spellings. Whether all names and shapes fit is for the strict load to
    say.
    """
    return (
        _compact(state)
        or _rrdbnet(RRDBNet.own_names(state))
        or _edsr(state)
        or _msrresnet(MSRResNet.own_names(state))
        or _srresnet(state)
        or _imdn(state)
        or _rfdn(state)
        or _rlfn(RLFN.own_names(state))
    )


def _compact(state: Mapping[str, Tensor]) -> Layout | None:
    numbers = [_COMPACT.fullmatch(name) for name in state]
    if not numbers or not all(numbers):
        return None
    last = max(int(m[1]) for m in numbers if m)
    width, channels, _ = kernel(state, "body.0.weight")
    bias = axes(state, f"body.{last}.bias", 1)
    if channels != 3 or not bias or last % 2 or last < 2:
        return None
    upscale = math.isqrt(bias[0] // channels)
    if upscale < 1 or upscale**2 * channels != bias[0]:
        return None
    return compact(width, (last - 2) // 2, upscale)


def _rrdbnet(state: Mapping[str, Tensor]) -> Layout | None:
    width, channels, _ = kernel(state, "conv_first.weight")
    grown, _, _ = kernel(state, "body.0.rdb1.conv1.weight")
    rgb, _, _ = kernel(state, "conv_last.weight")
    # ESRGAN+ has a further convolution in every block.
    if not grown or rgb != 3 or channels not in (3, 12, 48) or any(".conv1x1." in name for name in state):
        return None
    blocks = numbered(state, r"body\.(\d+)\.rdb1\.conv1\.weight")
    fold = {3: 1, 12: 2, 48: 4}[channels]
    ups = numbered(state, r"conv_up(\d)\.weight") - 1 if "conv_up1.weight" in state else 0
    scale = 2**ups // fold
    if scale not in (1, 2, 4, 8) or (fold > 1 and ups != 2):
        return None
    return rrdbnet(scale, width, blocks, grown, unshuffle=fold > 1 or scale > 2)


def _edsr(state: Mapping[str, Tensor]) -> Layout | None:
    names = EDSR.own_names(state)
    if "sub_mean.bias" not in names:
        return None
    width, channels, _ = kernel(names, "head.0.weight")
    ups = [n for n in (0, 2, 4) if f"tail.0.{n}.weight" in names]
    wide, _, _ = kernel(names, "tail.0.0.weight")
    if not width or channels != 3 or not ups or wide not in (4 * width, 9 * width):
        return None
    scale = 3 if wide == 9 * width else 2 ** len(ups)
    blocks = numbered(names, r"body\.(\d+)\.body\.0\.weight")
    # Nothing in the file shows the share; the authors damp their large nets only.
    return edsr(scale, width, blocks, 0.1 if width >= 256 else 1.0)


def _msrresnet(state: Mapping[str, Tensor]) -> Layout | None:
    width, channels, _ = kernel(state, "conv_first.weight")
    wide, _, _ = kernel(state, "upconv1.weight")
    if not width or channels != 3 or "conv_hr.weight" not in state or wide not in (4 * width, 9 * width):
        return None
    blocks = numbered(state, r"body\.(\d+)\.conv1\.weight")
    upscale = 3 if wide == 9 * width else 4 if "upconv2.weight" in state else 2
    return msrresnet(upscale, width, blocks) if blocks else None


def _srresnet(state: Mapping[str, Tensor]) -> Layout | None:
    width, channels, side = kernel(state, "block1.0.weight")
    blocks = numbered(state, r"block(\d+)\.conv1\.weight") - 2
    if channels != 3 or side != 9 or blocks < 1:
        return None
    ups = numbered(state, rf"block{blocks + 3}\.(\d+)\.conv\.weight")
    closing = "batch" if f"block{blocks + 2}.1.running_mean" in state else "prelu"
    return srresnet(2**ups, width, blocks, closing) if ups in (1, 2, 3) else None


def _shuffled(state: Mapping[str, Tensor], name: str) -> int:
    """The factor of a pixel shuffle to RGB behind the convolution of that name; 0 if it is none."""
    wide, _, _ = kernel(state, name)
    scale = math.isqrt(wide // 3)
    return scale if wide and 3 * scale**2 == wide else 0


def _imdn(state: Mapping[str, Tensor]) -> Layout | None:
    width, channels, _ = kernel(state, "fea_conv.weight")
    blocks, scale = numbered(state, r"IMDB(\d+)\.c1\.weight") - 1, _shuffled(state, "upsampler.0.weight")
    if channels == 3 and width and blocks > 0 and scale:
        return imdn(scale, width, blocks)
    width, channels, _ = kernel(state, "model.0.weight")
    blocks, scale = numbered(state, r"model\.1\.sub\.(\d+)\.c1\.weight"), _shuffled(state, "model.2.weight")
    return imdn_rtc(scale, width, blocks) if channels == 3 and width and blocks and scale else None


def _rfdn(state: Mapping[str, Tensor]) -> Layout | None:
    """RFDN, or what cannot be told from it: NTIRE 2022's dilated one (team 13) has the same names and shapes.

    That net only looks further apart (2 and 5 px in a block's second and third step) and, run as RFDN, loses
    about 0.2 dB; on a smooth picture the two are as good as each other, so no trial can decide either.
    """
    width, channels, _ = kernel(state, "fea_conv.weight")
    blocks, scale = numbered(state, r"B(\d+)\.c1_d\.weight") - 1, _shuffled(state, "upsampler.0.weight")
    return rfdn(scale, width, blocks) if channels == 3 and width and blocks > 0 and scale else None


def _rlfn(state: Mapping[str, Tensor]) -> Layout | None:
    width, channels, _ = kernel(state, "fea_conv.weight")
    inner, _, _ = kernel(state, "B1.c1_r.weight")
    attention, _, _ = kernel(state, "B1.esa.conv1.weight")
    blocks, scale = numbered(state, r"B(\d+)\.c2_r\.weight") - 1, _shuffled(state, "upsampler.0.weight")
    if channels != 3 or not (width and inner and attention and scale) or blocks < 1:
        return None
    return rlfn(scale, width, inner, blocks, attention)
