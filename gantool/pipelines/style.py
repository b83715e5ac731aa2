"""Pictures in the style of others: feed-forward nets for any style, and nets that learned one style."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gantool.catalog import Checkpoint
from gantool.errors import UsageError, WeightsError
from gantool.gatys import Effort
from gantool.ops.color import join_lab, lightness, rgb_to_lab
from gantool.ops.palette import palette_of, with_palette
from gantool.ops.resize import resize, to_tensor
from gantool.pipelines import Context, Pipeline, gatys, translate
from gantool.pipelines.style_pictures import SMALLEST, read_mask, read_style, sized

KEEP_COLOR = ("off", "luma", "histogram")
EFFORT = Effort()
FADE = 1.0  # s in which one style takes over from the one before
_PARTS = ("Encoder", "Decoder", "Modulator")


@dataclass(frozen=True)
class Style:
    """A style picture and where, when and how much it holds.

    ``picture``: a file, or (H,W,3) uint8 or uint16 RGB; None for the style that a net has learned.
    ``weight``: its share beside other styles of the same mask and time, above 0. ``mask``: a file or (H,W,3)
    array, white where this style holds, of any size; None for everywhere. ``at``: from which second of a
    film on it holds, until that of the next one of its mask; None from the beginning.
    """

    picture: str | Path | np.ndarray | None
    weight: float = 1.0
    mask: str | Path | np.ndarray | None = None
    at: float | None = None


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
    effort: Effort | None = None,
    watcher: gatys.Watcher | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> Pipeline:
    """The style pipeline: its layer is the whole picture (N,3,H,W) in [0,1], before colours are put back.

    Style pictures are encoded once, here. Styles without a mask are mixed by their weights and cover the
    picture; those of a mask then lie over that where their mask is white. Where nothing lies, the picture
    stays as it is. In a film, styles with a later time take over within a second; a picture without a time
    has those of the beginning.

    Args:
        nets: the row's net, or that and those of ``row.needs`` in their order; in eval mode. Or VGG19 and its
            like, by which photos are painted pixel by pixel (:mod:`gantool.gatys`).
        styles: for a net that takes any style at least one; one that learned its own needs none.
        strength: 0..1, how far from the picture's own style toward that of the styles; what the net loses of
            the picture in its own style is put back in the measure that is left, so that 0 is the picture. A
            net of one style is mixed with the picture.
        keep_color: "off"; "luma", lightness of the result and chroma of the source; or "histogram", the
            result's colours moved linearly to the mean and covariance of the source's.
        style_size: short side at which styles are encoded, px, at least 16; None for 512 or less. Smaller
            styles give smaller strokes.
        tile_px: as for :func:`gantool.pipelines.translate.build`.
        effort, watcher: of such a painting.
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
    if style_size is not None and style_size < SMALLEST:
        raise UsageError(f"--style-size {style_size} is too small", remedy=f"Use at least {SMALLEST}")
    net = _joined(nets, row)
    eye = gatys.is_eye(net)
    check(styles, eye or hasattr(net, "style"), row.name)
    if eye and tile_px is not None:
        raise UsageError(f"{row.name} paints no tiles", remedy="Leave out --tile-px")

    def runner(some: Sequence[Style]) -> Callable[[Tensor, Context], Tensor]:
        if eye:
            given = [(_picture(style, style_size), style.weight) for style in _first(some)]
            lasting = all(style.at == some[0].at for style in some)
            words = {
                "strength": strength,
                "style_size": style_size,
                "effort": effort or EFFORT,
                "watcher": watcher,
            }
            return gatys.painter(net, given, device=device, warn=warn, lasting=lasting, **words)
        styled = _Styled(net, strength)
        run = translate.build(styled, row, device=device, dtype=dtype, tile_px=tile_px, warn=warn).predict
        shown = _Timeline(net, some, style_size, device, dtype) if hasattr(net, "style") else None

        def styled_run(x: Tensor, context: Context) -> Tensor:
            if not context.times and any(style.at for style in some):
                warn("a photo has no times: it gets the style of the beginning")
            styled.style = None if shown is None else shown.at(context.times)
            return run(x, context)

        return styled_run

    groups: dict[object, list[Style]] = {}
    for style in styles or [Style(None)]:
        key = id(style.mask) if isinstance(style.mask, np.ndarray) else style.mask
        groups.setdefault(key, []).append(style)
    covering = groups.pop(None, [])
    base = runner(covering) if covering else None
    regions = [(runner(some), _Mask(some[0].mask, warn)) for some in groups.values()]

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
    return Pipeline(
        "style", row.name, predict, finish, device, blend="continued" if eye else "paint", stride=stride
    )


def check(styles: Sequence[Style], takes_any: bool, name: str) -> None:
    """Raise UsageError for styles that do not suit a model of that name, or with weights or times that make
    no sense. ``takes_any``: it is shown its style, rather than having learned one."""
    given = [style for style in styles if style.picture is not None]
    if takes_any and (not given or len(given) < len(styles)):
        raise UsageError(f"the model {name} must be shown a style", remedy="Give --style PICTURE")
    if given and not takes_any:
        what = f"the model {name} knows one style, its own"
        raise UsageError(what, remedy="Leave out --style, or name a model that takes any")
    for style in styles:
        if not 0 < style.weight < float("inf"):
            raise UsageError(f"a style's weight cannot be {style.weight:g}", remedy="Use a value above 0")


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
    """A style net with the style that it is to give: picture to picture."""

    def __init__(self, net: nn.Module, strength: float) -> None:
        super().__init__()
        self.net, self.strength = net, strength
        self.style: tuple[Tensor, ...] | None = None  # of all pictures, or of each; None: the net's own
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


class _Timeline:
    """What a net knows of styles, which follow each other in a film."""

    def __init__(
        self,
        net: nn.Module,
        styles: Sequence[Style],
        size: int | None,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        times = sorted({style.at or 0.0 for style in styles})
        self._known = [_mixed(net, _of(styles, time), size, device, dtype) for time in times]
        self._starts = times[1:]  # the first holds from the beginning on, whatever its time
        gaps = [later - start for start, later in pairwise(self._starts)]
        self._fades = [min(FADE, gap) for gap in (*gaps, FADE)]

    def at(self, times: Sequence[float]) -> tuple[Tensor, ...]:
        """The style of pictures shown at these seconds, of each or of all; without any, the first."""
        places = [self._place(time) for time in times] or [(0, 0.0)]
        if len(set(places)) == 1:
            return self._between(*places[0])
        found = [self._between(*place) for place in places]
        return tuple(torch.cat(same) for same in zip(*found, strict=True))

    def _place(self, time: float) -> tuple[int, float]:
        """(number of a style, how far the next one has taken over, 0..1)."""
        number = sum(start <= time for start in self._starts)
        if number == 0:
            return 0, 0.0
        share = (time - self._starts[number - 1]) / self._fades[number - 1]
        return (number, 0.0) if share >= 1 else (number - 1, share)

    def _between(self, number: int, share: float) -> tuple[Tensor, ...]:
        if share == 0:
            return self._known[number]
        pair = zip(self._known[number], self._known[number + 1], strict=True)
        return tuple(torch.lerp(a, b, share) for a, b in pair)


class _Mask:
    """Where a style holds, at the size of whatever picture is asked for."""

    def __init__(self, mask: str | Path | np.ndarray | None, warn: Callable[[str], None]) -> None:
        assert mask is not None
        picture = mask if isinstance(mask, np.ndarray) else read_mask(Path(mask))
        self._plane = to_tensor(picture[None]).mean(1, keepdim=True)
        self._warn = warn
        self._last = self._plane

    def of(self, x: Tensor) -> Tensor:
        """(1,1,H,W) in [0,1] for pictures (N,3,H,W)."""
        tall, wide = x.shape[-2:]
        if self._last.shape[-2:] != (tall, wide):
            own_tall, own_wide = self._plane.shape[-2:]
            if (own_tall, own_wide) != (tall, wide):
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


def _mixed(
    net: nn.Module, styles: Sequence[Style], size: int | None, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, ...]:
    """What the net knows of the styles, averaged by their weights."""
    total = sum(style.weight for style in styles)
    found: list[list[Tensor]] = []
    for style in styles:
        shown = to_tensor(_picture(style, size)[None]).to(device, dtype)
        with torch.no_grad():
            measured: tuple[Tensor, ...] = net.style(shown)  # type: ignore[operator]
        found.append([style.weight / total * one for one in measured])
    return tuple(torch.stack(same).sum(0) for same in zip(*found, strict=True))


def _picture(style: Style, size: int | None) -> np.ndarray:
    """What a net is shown of a style, (H,W,3)."""
    given = style.picture
    assert given is not None
    return sized(given if isinstance(given, np.ndarray) else read_style(Path(given), size), size)


def _of(styles: Sequence[Style], time: float) -> list[Style]:
    """Those that begin together at a time."""
    return [style for style in styles if (style.at or 0.0) == time]


def _first(styles: Sequence[Style]) -> list[Style]:
    """Those of the beginning."""
    return _of(styles, min(style.at or 0.0 for style in styles))
