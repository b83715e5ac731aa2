"""Style by optimisation: the pixels themselves are trained until a net sees the style in the picture.

After Gatys, Ecker & Bethge, "Image Style Transfer Using Convolutional Neural Networks", 2016 (1508.06576):
deep activations of a net with average pooling stay near those of the content, while the statistics of
activations at several depths come near those of the style. What is done otherwise:

- the statistics are mean and covariance, of which the paper's Gram matrix is the sum;
- each part of the loss is a share of what it is compared with, so that the same weights serve any net;
- it begins with the content, in the style's colours, and small; the result is the beginning at the next size,
  so that strokes can be larger than what the net sees at once (Gatys et al. 2017, 1611.07865);
- Adam, unless L-BFGS is asked for as in the paper, and the running mean of its steps is given, which is
  smoother than each;
- the colours themselves count as a layer, and a little total variation is taken away, of colours more than
  of lightness: small nets hardly look at colours.

Of films, each frame goes on from the one before, brought along the motion, and leaving it where it is to be
trusted is a part of the loss (Ruder, Dosovitskiy & Brox 2016, 1604.08610).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from gantool import losses
from gantool.ops.color import join_lab, rgb_to_lab
from gantool.ops.palette import palette_of, with_palette
from gantool.ops.resize import mirror_pad, resize

SMALLEST = 64  # px: of a side at the first size, so that something is left in the fifth block
_BETAS = (0.9, 0.99)
_KEPT = 0.98  # of the running mean, from step to step
_REMEMBERED = 10  # steps of L-BFGS, two pictures each: 240 B a pixel
_HELD = 10.0  # weight of what leaves [0,1] under L-BFGS
_SHOWN = 10  # steps between two pictures to be shown


class Told(Protocol):
    """What hears of the progress: :class:`gantool.progress.Progress` and the like."""

    def advance(self, n: int = 1) -> None: ...


@dataclass(frozen=True)
class Eye:
    """A net that sees, and by what of it pictures are painted.

    ``net``: (x, layers) -> activations by name, on the pictures' device. ``style``, ``content``: its layers.
    """

    net: nn.Module
    style: tuple[str, ...]
    content: str

    @classmethod
    def of(cls, net: nn.Module) -> Eye:
        """VGG19 with the paper's layers; a narrower net with those that tell most of its pictures."""
        whole = net.get_submodule("features.0").weight.shape[0] >= 64  # type: ignore[union-attr]
        if whole:
            return cls(net, tuple(f"relu{block}_1" for block in range(1, 6)), "relu4_2")
        return cls(net, ("relu1_2", "relu2_2", "relu3_2", "relu4_1"), "relu3_2")

    def see(self, x: Tensor) -> dict[str, Tensor]:
        return self.net(x, tuple(dict.fromkeys((*self.style, self.content))))


@dataclass(frozen=True)
class Effort:
    """How long and how strongly: steps at the first and at each later size, Adam's rate, and the weights of
    the content, of lightness and colours that vary, and of the style's colours, beside the style's 1.

    ``optimizer``: of "lbfgs" a step is one look at loss and slope, of which its line search may take several.

    ``longest``: px, long side of the first size, at least; each further one is ``growth`` times as large.
    ``follow``, ``follow_rate``, ``temporal``: steps and Adam's rate for a frame that goes on from the one
    before, and the weight of what changes between them.
    """

    first: int = 200
    later: int = 100
    longest: int = 128
    growth: float = 2**0.5
    optimizer: Literal["adam", "lbfgs"] = "adam"
    rate: float = 0.02
    content: float = 0.08
    smooth: float = 0.15
    smooth_color: float = 0.5
    colors: float = 3.0
    follow: int = 40
    follow_rate: float = 0.01
    temporal: float = 50.0


def sizes(height: int, width: int, effort: Effort) -> list[tuple[int, int]]:
    """(height, width) at which a picture is painted one after the other; the last is its own."""
    factors = [1.0]
    least = max(effort.longest / max(height, width), SMALLEST / min(height, width))
    while factors[0] / effort.growth >= least * 0.99:
        factors.insert(0, factors[0] / effort.growth)
    return [(round(height * factor), round(width * factor)) for factor in factors]


def steps(height: int, width: int, effort: Effort = Effort()) -> int:
    """How many steps a picture of that size takes."""
    least = (max(height, SMALLEST), max(width, SMALLEST))
    return effort.first + effort.later * (len(sizes(*least, effort)) - 1)


def paint(
    eye: Eye,
    picture: Tensor,
    styles: Sequence[tuple[Tensor, float]],
    *,
    strength: float = 1.0,
    before: tuple[Tensor, Tensor] | None = None,
    effort: Effort = Effort(),
    told: Told | None = None,
    show: Callable[[Tensor], None] = lambda _: None,
) -> Tensor:
    """A picture (1,3,H,W) in [0,1], painted in the style of others: (1,3,H,W) in [0,1].

    Args:
        styles: pictures (1,3,h,w) as large as they are to be seen beside the picture at its full size, and
            their weights, whose sum counts as 1.
        strength: 0..1, from the picture's own statistics to those of the style; 0 is the picture.
        before: of a film's later frame, what was painted before, brought along the motion, (1,3,H,W) in
            [0,1], and how far to trust it, (1,1,H,W) in [0,1].
        told: hears of every step.
        show: is given the picture so far, now and then.
    """
    tall, wide = picture.shape[-2:]
    whole = mirror_pad(picture, max(tall, SMALLEST), max(wide, SMALLEST))
    total = sum(weight for _, weight in styles)
    y, (most, widest) = None, whole.shape[-2:]
    if before is not None:
        history, trust = (mirror_pad(one, most, widest) for one in before)
        before = history, trust
        effort = replace(effort, first=effort.follow, rate=effort.follow_rate)
    for height, width in sizes(most, widest, effort) if before is None else [(most, widest)]:
        factor = height / most
        content = resize(whole, height, width).clamp(0, 1)
        shown = [(_scaled(style, factor), weight / total) for style, weight in styles]
        toned = torch.lerp(content, _toned(content, shown), strength)
        start = toned if y is None else resize(y, height, width).clamp(0, 1)
        if before is not None:
            start = torch.lerp(toned, *before).clamp(0, 1)
        goal = _Goal(eye, content, toned, shown, strength, before)
        count = effort.first if y is None else effort.later
        painted = _by_adam if effort.optimizer == "adam" else _by_lbfgs
        y = painted(start, goal, count, effort, told, lambda y: show(_cut(y, whole, tall, wide)))
    assert y is not None
    return y[..., :tall, :wide]


class _Goal:
    """What is wanted of a picture at one size."""

    def __init__(
        self,
        eye: Eye,
        content: Tensor,
        toned: Tensor,
        styles: Sequence[tuple[Tensor, float]],
        strength: float,
        before: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.eye, self.strength, self.before = eye, strength, before
        with torch.no_grad():
            self.content = eye.see(toned)[eye.content].float()
            own = self._statistics(content, eye.see(content))
            of_styles = [self._statistics(style, eye.see(style)) for style, _ in styles]
            weights = [weight for _, weight in styles]
            mixed = [
                torch.stack([weight * one for weight, one in zip(weights, same, strict=True)]).sum(0)
                for same in zip(*of_styles, strict=True)
            ]
            self.wanted = [torch.lerp(a, b, strength) for a, b in zip(own, mixed, strict=True)]
            self._sizes = [float(one.square().sum()) + 1e-12 for one in mixed]
            self._size = float(self.content.square().mean()) + 1e-12

    def loss(self, y: Tensor, effort: Effort) -> Tensor:
        seen = self.eye.see(y)
        apart = (seen[self.eye.content].float() - self.content).square().mean() / self._size
        colors, *style = [
            (one - wanted).square().sum() / size
            for one, wanted, size in zip(self._statistics(y, seen), self.wanted, self._sizes, strict=True)
        ]
        rough = effort.smooth * losses.total_variation(y)
        rough = rough + effort.smooth_color * losses.total_variation(y - y.mean(1, keepdim=True))
        total = (
            torch.stack(style).mean()
            + effort.content * apart
            + effort.colors * colors
            + self.strength * rough
        )
        if self.before is None:
            return total
        history, trust = self.before
        return total + effort.temporal * (trust * (y - history).square()).mean()

    def _statistics(self, x: Tensor, seen: dict[str, Tensor]) -> list[Tensor]:
        """Of the colours, then of each layer."""
        return [_statistics(x - 0.5), *(_statistics(seen[layer]) for layer in self.eye.style)]


def _statistics(features: Tensor) -> Tensor:
    """(N,C,H,W) -> (N,C,C+1): twice the mean, and the covariance."""
    features = features.float()
    mean = features.mean((2, 3))
    covariance = losses.gram(features - mean[..., None, None]) * features.shape[1]
    return torch.cat([2 * mean[..., None], covariance], 2)


def _by_adam(
    start: Tensor,
    goal: _Goal,
    count: int,
    effort: Effort,
    told: Told | None,
    show: Callable[[Tensor], None],
) -> Tensor:
    """The running mean of so many steps from ``start`` on."""
    y = start.clone().requires_grad_(True)
    adam = torch.optim.Adam([y], lr=effort.rate, betas=_BETAS)
    mean, weight = torch.zeros_like(start), 0.0
    for step in range(count):
        adam.zero_grad()
        goal.loss(y, effort).backward()
        adam.step()
        with torch.no_grad():
            y.clamp_(0, 1)
            mean.mul_(_KEPT).add_(y, alpha=1 - _KEPT)
        weight = weight * _KEPT + 1 - _KEPT
        if told is not None:
            told.advance()
        if step % _SHOWN == _SHOWN - 1:
            show(mean / weight)
    return mean / weight


def _by_lbfgs(
    start: Tensor,
    goal: _Goal,
    count: int,
    effort: Effort,
    told: Told | None,
    show: Callable[[Tensor], None],
) -> Tensor:
    """The best that so many looks from ``start`` on find; a few more where the last line needs them.

    Pixels may leave [0,1] on the way, as a bend in the loss would spoil what it knows of curvature; they are
    held near, and cut off at the end.
    """
    y = start.clone(memory_format=torch.contiguous_format).requires_grad_(True)
    lbfgs = torch.optim.LBFGS(
        [y],
        max_iter=count,
        max_eval=count,
        tolerance_grad=0.0,  # the slope at a single pixel is as small as the picture is large
        tolerance_change=0.0,
        history_size=_REMEMBERED,
        line_search_fn="strong_wolfe",
    )
    done = 0

    def look() -> Tensor:
        nonlocal done
        lbfgs.zero_grad()
        loss = goal.loss(y, effort) + _HELD * (y - y.clamp(0, 1)).square().mean()
        loss.backward()
        if told is not None and done < count:
            told.advance()
        done += 1
        if done % _SHOWN == 0:
            show(y.detach().clamp(0, 1))
        return loss

    lbfgs.step(look)
    if told is not None and done < count:
        told.advance(count - done)  # there was nothing left to gain
    return y.detach().clamp(0, 1)


def _toned(content: Tensor, styles: Sequence[tuple[Tensor, float]]) -> Tensor:
    """The content with the colours of the styles, each moved for itself and mixed by their weights."""
    lab = rgb_to_lab(content)
    moved = [weight * with_palette(lab, palette_of(rgb_to_lab(style)[0])) for style, weight in styles]
    mixed = torch.stack(moved).sum(0)
    return join_lab(mixed[:, :1].clamp(0, 100), mixed[:, 1:])


def _scaled(style: Tensor, factor: float) -> Tensor:
    """A style picture at another size, of which the net still sees something."""
    least = SMALLEST / min(style.shape[-2:])
    height, width = (max(1, round(side * max(factor, least))) for side in style.shape[-2:])
    return resize(style, height, width).clamp(0, 1)


def _cut(y: Tensor, whole: Tensor, tall: int, wide: int) -> Tensor:
    """What of a picture at any size lies within the first ``tall`` by ``wide`` px of the whole."""
    height, width = (
        max(1, round(side * y.shape[axis] / whole.shape[axis])) for side, axis in ((tall, -2), (wide, -1))
    )
    return y[..., :height, :width]
