"""Pictures in the style of others: feed-forward nets for any style, and nets that learned one style."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from gantool.catalog import Checkpoint
from gantool.errors import UsageError, WeightsError
from gantool.ops.color import join_lab, lightness, rgb_to_lab
from gantool.ops.palette import palette_of, with_palette
from gantool.ops.resize import resize, to_tensor
from gantool.pipelines import Context, Pipeline, translate

KEEP_COLOR = ("off", "luma", "histogram")
_STYLE_SIZE = 512  # px, short side: what the nets were trained and are shown with
_LONGEST = 4  # a style is shown as if it were 4:1 at most
_SMALLEST = 16  # px: what is left of a side after three halvings must still have a mirror image
_PARTS = ("Encoder", "Decoder", "Modulator")


@dataclass(frozen=True)
class Style:
    """A style picture and where and how much it holds.

    ``picture``: a file, or (H,W,3) uint8 or uint16 RGB. ``weight``: its share beside other styles, above 0.
    ``mask``: a file or (H,W,3) array, white where this style holds, of any size; None for everywhere.
    """

    picture: str | Path | np.ndarray
    weight: float = 1.0
    mask: str | Path | np.ndarray | None = None


def build(
    nets: nn.Module | Sequence[nn.Module],
    row: Checkpoint,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    styles: Sequence[Style] = (),
    strength: float = 1.0,
    keep_color: str = "off",
    style_size: int | None = None,
    tile_px: int | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> Pipeline:
    """The style pipeline: its layer is the whole picture (N,3,H,W) in [0,1], before colours are put back.

    Style pictures are encoded once, here. Styles without a mask are mixed by their weights and cover the
    picture; each style with a mask then lies over that where its mask is white. Where nothing lies, the
    picture stays as it is.

    Args:
        nets: the row's net, or that and those of ``row.needs`` in their order; in eval mode.
        styles: for a net that takes any style at least one, for one that learned its own none.
        strength: 0..1, how far from the picture's own style toward that of the styles; what the net loses of
            the picture in its own style is put back in the measure that is left, so that 0 is the picture. A
            net of one style is mixed with the picture.
        keep_color: "off"; "luma", lightness of the result and chroma of the source; or "histogram", the
            result's colours moved linearly to the mean and covariance of the source's.
        style_size: short side at which styles are encoded, px, at least 16; None for 512 or less. Smaller
            styles give smaller strokes.
        tile_px: as for :func:`gantool.pipelines.translate.build`.
        warn: told what tiles change, and when a mask had to be resized.

    Raises:
        UsageError: styles that do not suit the net, a weight, size or strength out of its range.
        WeightsError: nets that are no style net, or only a part of one.
        InputError: a style or mask that is not a picture.
    """
    if keep_color not in KEEP_COLOR:
        raise UsageError(f"--keep-color {keep_color} is unknown", remedy=f"Use {', '.join(KEEP_COLOR)}")
    if not 0 <= strength <= 1:
        raise UsageError(f"--strength {strength:g} is out of range", remedy="Use a value from 0 to 1")
    if style_size is not None and style_size < _SMALLEST:
        raise UsageError(f"--style-size {style_size} is too small", remedy=f"Use at least {_SMALLEST}")
    net = _joined(nets, row)
    _check(net, row, styles)

    def runner(some: Sequence[Style]) -> Callable[[Tensor, Context], Tensor]:
        known = _mixed(net, some, style_size, device, dtype) if some else None
        styled = _Styled(net, known, strength)
        return translate.build(styled, row, device=device, dtype=dtype, tile_px=tile_px, warn=warn).predict

    everywhere = [style for style in styles if style.mask is None]
    base = runner(everywhere) if everywhere or not styles else None
    regions = [(runner([one]), _Mask(one.mask, warn)) for one in styles if one.mask is not None]

    def predict(x: Tensor, context: Context) -> Tensor:
        if strength == 0:
            return x
        y = x if base is None else base(x, context)
        for run, mask in regions:
            y = torch.lerp(y, run(x, context), mask.of(x))
        return y

    def finish(x: Tensor, layer: Tensor) -> Tensor:
        return layer.clamp(0, 1) if strength == 0 else with_color_kept(layer.clamp(0, 1), x, keep_color)

    # A frame that is continued for the lattice's sake is no longer where its masks lie.
    stride = 1 if regions else row.multiple
    return Pipeline("style", row.name, predict, finish, device, blend="rgb", stride=stride)


def with_color_kept(y: Tensor, x: Tensor, keep_color: str) -> Tensor:
    """A result y (N,3,H,W) in [0,1] with the colours of its source x, same size, as :func:`build` says."""
    if keep_color == "luma":
        return join_lab(lightness(y), rgb_to_lab(x)[:, 1:])
    if keep_color == "histogram":
        pairs = zip(rgb_to_lab(y).split(1), rgb_to_lab(x), strict=True)
        lab = torch.cat([with_palette(one, palette_of(source)) for one, source in pairs])
        return join_lab(lab[:, :1].clamp(0, 100), lab[:, 1:])
    return y


class _Styled(nn.Module):
    """A style net that is given its style: picture to picture."""

    def __init__(self, net: nn.Module, style: tuple[Tensor, ...] | None, strength: float) -> None:
        super().__init__()
        self.net, self.style, self.strength = net, style, strength
        self.margin = getattr(net, "margin", 0)

    def forward(self, x: Tensor) -> Tensor:
        if self.style is None:
            return torch.lerp(x, self.net(x).to(x.dtype), self.strength)
        if self.strength == 1:
            return self.net(x, self.style)
        own: tuple[Tensor, ...] = self.net.style(x)  # type: ignore[operator]
        between = tuple(torch.lerp(a, b, self.strength) for a, b in zip(own, self.style, strict=True))
        lost = x - self.net(x, own)
        return self.net(x, between) + (1 - self.strength) * lost


class _Mask:
    """Where a style holds, at the size of whatever picture is asked for."""

    def __init__(self, mask: str | Path | np.ndarray, warn: Callable[[str], None]) -> None:
        self._plane = to_tensor(_read(mask)[None]).mean(1, keepdim=True)
        self._warn = warn
        self._last = self._plane

    def of(self, x: Tensor) -> Tensor:
        """(1,1,H,W) in [0,1] for pictures (N,3,H,W)."""
        tall, wide = x.shape[-2:]
        if self._last.shape[-2:] != (tall, wide):
            own_tall, own_wide = self._plane.shape[-2:]
            self._warn(f"the mask of {own_wide}x{own_tall} px is resized to the picture's {wide}x{tall}")
            self._last = resize(self._plane, tall, wide, "bilinear").clamp(0, 1)
        self._last = self._last.to(x.device)
        return self._last


def _joined(nets: nn.Module | Sequence[nn.Module], row: Checkpoint) -> nn.Module:
    several = [nets] if isinstance(nets, nn.Module) else list(nets)
    net = several[0]
    if len(several) > 1 and len(several) == 1 + len(row.needs):
        net = net.joined(*several[1:])  # type: ignore[operator]
    elif len(several) > 1 or type(net).__name__ in _PARTS:
        what = f"{row.name} is only a part of a style net"
        remedy = f"It runs with {', '.join(row.needs)}" if row.needs else "Name the model that it belongs to"
        raise WeightsError(what, row.file or None, f"{remedy}: `gantool models` lists them.")
    return net


def _check(net: nn.Module, row: Checkpoint, styles: Sequence[Style]) -> None:
    takes_any = hasattr(net, "style")
    if takes_any and not styles:
        raise UsageError(f"the model {row.name} must be shown a style", remedy="Give --style PICTURE")
    if styles and not takes_any:
        what = f"the model {row.name} knows one style, its own"
        raise UsageError(what, remedy="Leave out --style, or name a model that takes any")
    for style in styles:
        if not 0 < style.weight < float("inf"):
            raise UsageError(f"a style's weight cannot be {style.weight:g}", remedy="Use a value above 0")


def _mixed(
    net: nn.Module, styles: Sequence[Style], size: int | None, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, ...]:
    """What the net knows of the styles, averaged by their weights."""
    total = sum(style.weight for style in styles)
    found: list[list[Tensor]] = []
    for style in styles:
        shown = to_tensor(_sized(_read(style.picture), size)[None]).to(device, dtype)
        with torch.no_grad():
            measured: tuple[Tensor, ...] = net.style(shown)  # type: ignore[operator]
        found.append([style.weight / total * one for one in measured])
    return tuple(torch.stack(same).sum(0) for same in zip(*found, strict=True))


def _read(picture: str | Path | np.ndarray) -> np.ndarray:
    """(H,W,3) uint8 or uint16. Raises InputError."""
    if isinstance(picture, np.ndarray):
        return picture
    from gantool.media.image import read_picture

    return read_picture(Path(picture), to_srgb=True).rgb


def _sized(picture: np.ndarray, size: int | None) -> np.ndarray:
    """A style picture at the size at which it is encoded; large ones are shrunk before they are tensors."""
    short = min(picture.shape[:2])
    target = min(short, _STYLE_SIZE) if size is None else size
    sides = [round(min(side * target / short, target * _LONGEST)) for side in picture.shape[:2]]
    tall, wide = (max(side, _SMALLEST) for side in sides)
    if (tall, wide) == picture.shape[:2]:
        return picture
    method = cv2.INTER_AREA if target < short else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(picture), (wide, tall), interpolation=method)
