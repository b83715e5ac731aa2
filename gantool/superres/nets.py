"""The nets that learn to enlarge, and how they are asked for pictures."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from torch import Tensor, nn

from gantool import training
from gantool.anatomy import Layout
from gantool.errors import UsageError
from gantool.upscalers import compact, msrresnet, rrdbnet, srresnet


def generator(kind: str, scale: int, width: int, blocks: int = 0) -> Layout:
    """The net that a recipe's ``generator`` names; 0 blocks are those of its paper.

    Raises:
        UsageError: no such generator.
    """
    match kind:
        case "compact":
            return compact(width, blocks or 16, scale)
        case "rrdb":
            return rrdbnet(scale, width, blocks or 23, max(1, width // 2))
        case "msrresnet":
            return msrresnet(scale, width, blocks or 16)
        case "srresnet":
            return srresnet(scale, width, blocks or 16)
    raise UsageError(f"no generator called '{kind}'", remedy="Known: rrdb, compact, msrresnet, srresnet")


def net_of(layout: Layout) -> nn.Module:
    """A new net. Raises UsageError for settings that it cannot have, such as its scale."""
    file, name = layout.arch.split(".")
    try:
        return getattr(import_module(f"gantool.models.{file}"), name)(**layout.args)
    except ValueError as error:
        raise UsageError(str(error), remedy="Choose another with --set") from error


def enlarger(model: Callable[[Tensor], Tensor], layout: Layout) -> Callable[[Tensor], Tensor]:
    """The net as a function of pictures in [0,1] that gives pictures in about [0,1], float32."""

    def enlarge(low: Tensor) -> Tensor:
        return model(training.channels_last(low) * layout.value_range).float() / layout.value_range

    return enlarge
