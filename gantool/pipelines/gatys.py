"""Gatys' method as a part of the style pipeline: pictures one by one, a film's each from the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

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
    lasting: bool = True,
) -> Callable[[Tensor, Context], Tensor]:
    """What paints pictures x (N,3,H,W) in [0,1] after some styles, (H,W,3) each with its weight.

    A style is seen as large as the picture (their long sides), or with a short side of ``style_size``, but
    not larger than it is. Pictures of more than :data:`MOST_PX` are painted smaller, ``warn`` is told, and
    enlarged. If not ``lasting``, others take over later in a film, which is a UsageError at its first frame.
    Frames of a film are no tasks of their own to ``watcher``. They go on from "history", where the
    context has it.
    """
    eye = gatys.Eye.of(net)
    shown = [(to_tensor(picture[None]).to(device), weight) for picture, weight in styles]

    def paint(x: Tensor, context: Context) -> Tensor:
        tall, wide = x.shape[-2:]
        factor = min(1.0, (MOST_PX.get(device.type, MOST_PX["cpu"]) / (tall * wide)) ** 0.5)
        small = resize(x, max(1, round(tall * factor)), max(1, round(wide * factor))).clamp(0, 1)
        height, width = small.shape[-2:]
        if factor < 1:
            warn(f"{wide}x{tall} px are more than gatys can paint; it paints {width}x{height}, enlarged then")
        beside = [(_beside(style, small, style_size), weight) for style, weight in shown]
        words: dict[str, Any] = {"strength": strength, "effort": effort}
        if watcher is not None:
            words["show"] = watcher.show
        if "history" in context.side:
            history, trust = context.side["history"]
            planes = history[None], torch.from_numpy(trust)[None, None].to(history.device)
            words["before"] = tuple(resize(one, height, width).clamp(0, 1) for one in planes)
        if watcher is None or context.times:
            painted = gatys.paint(eye, small, beside, **words)
        else:
            with watcher.begin(gatys.steps(height, width, effort)) as told:
                painted = gatys.paint(eye, small, beside, told=told, **words)
        return resize(painted, tall, wide).clamp(0, 1)

    def run(x: Tensor, context: Context) -> Tensor:
        if context.times and not lasting:
            what = "gatys keeps its styles through a film"
            raise UsageError(what, remedy="Leave out @TIME, or use another --model")
        # The engine works without gradients, and what is made so can never have any: hence the copy.
        with torch.inference_mode(False), torch.enable_grad():
            return torch.cat([paint(one.clone(), context) for one in x.split(1)])

    return run


def _beside(style: Tensor, x: Tensor, style_size: int | None) -> Tensor:
    """A style picture (1,3,h,w) as large as it is to be seen beside a picture."""
    tall, wide = style.shape[-2:]
    wanted = max(x.shape[-2:]) / max(tall, wide) if style_size is None else style_size / min(tall, wide)
    factor = min(1.0, wanted)
    return resize(style, max(1, round(tall * factor)), max(1, round(wide * factor)))
