"""Gatys' method as a part of the style pipeline: pictures one by one, each with its progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from gantool import gatys
from gantool.errors import UsageError
from gantool.ops.resize import resize, to_tensor
from gantool.pipelines import Context

MOST_PX = {"cpu": 2_000_000, "cuda": 16_000_000}  # about 1 kB a pixel with the built-in encoder, 6 with VGG19


class Watcher(Protocol):
    """What follows a painting."""

    def begin(self, steps: int) -> AbstractContextManager[gatys.Told]:
        """A picture of so many steps begins; what is given hears of each."""
        ...

    def show(self, y: Tensor) -> None:
        """The picture so far, (1,3,h,w) in [0,1], at first smaller than it will be."""
        ...


def is_eye(net: nn.Module) -> bool:
    """Whether a net is one that only sees: VGG19 and its like, by which pictures can be painted."""
    return hasattr(net, "normalised")


def painter(
    net: nn.Module,
    styles: Sequence[tuple[np.ndarray, float]],
    *,
    device: torch.device,
    strength: float,
    style_size: int | None,
    watcher: Watcher | None,
    warn: Callable[[str], None],
    effort: gatys.Effort,
) -> Callable[[Tensor, Context], Tensor]:
    """What paints pictures x (N,3,H,W) in [0,1] after some styles, (H,W,3) each with its weight.

    A style is seen as large as the picture (their long sides), or with a short side of ``style_size``, but
    not larger than it is. Pictures of more than :data:`MOST_PX` are painted smaller, ``warn`` is told, and
    enlarged. Films are refused with UsageError, when the first frame comes.
    """
    eye = gatys.Eye.of(net)
    shown = [(to_tensor(picture[None]).to(device), weight) for picture, weight in styles]

    def paint(x: Tensor) -> Tensor:
        tall, wide = x.shape[-2:]
        factor = min(1.0, (MOST_PX.get(device.type, MOST_PX["cpu"]) / (tall * wide)) ** 0.5)
        small = resize(x, max(1, round(tall * factor)), max(1, round(wide * factor))).clamp(0, 1)
        height, width = small.shape[-2:]
        if factor < 1:
            warn(f"{wide}x{tall} px are more than gatys can paint; it paints {width}x{height}, enlarged then")
        beside = [(_beside(style, small, style_size), weight) for style, weight in shown]
        words = {"strength": strength, "effort": effort}
        if watcher is None:
            painted = gatys.paint(eye, small, beside, **words)
        else:
            with watcher.begin(gatys.steps(height, width, effort)) as told:
                painted = gatys.paint(eye, small, beside, told=told, show=watcher.show, **words)
        return resize(painted, tall, wide).clamp(0, 1)

    def run(x: Tensor, context: Context) -> Tensor:
        if context.times:
            what = "gatys paints photos, a minute or more each; a film would take days"
            raise UsageError(what, remedy="Use another --model for films")
        # The engine works without gradients, and what is made so can never have any: hence the copy.
        with torch.inference_mode(False), torch.enable_grad():
            return torch.cat([paint(one.clone()) for one in x.split(1)])

    return run


def _beside(style: Tensor, x: Tensor, style_size: int | None) -> Tensor:
    """A style picture (1,3,h,w) as large as it is to be seen beside a picture."""
    tall, wide = style.shape[-2:]
    wanted = max(x.shape[-2:]) / max(tall, wide) if style_size is None else style_size / min(tall, wide)
    factor = min(1.0, wanted)
    return resize(style, max(1, round(tall * factor)), max(1, round(wide * factor)))
