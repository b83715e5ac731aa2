"""Grey or faded pictures to colour: chroma from the net at a small size, lightness from the source."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gantool.catalog import Checkpoint
from gantool.errors import UsageError
from gantool.ops.color import join_lab, lightness
from gantool.ops.resize import resize
from gantool.pipelines import Context, Pipeline

_LONGEST = (
    4.0  # a wider picture is shown to the net as if it were 4:1; more context would not fit its training
)


def build(
    net: nn.Module,
    row: Checkpoint,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    render_size: int = 256,
    saturation: float = 1.0,
) -> Pipeline:
    """The colorize pipeline: its layer is ab (N,2,h,w) in Lab units at render size.

    Old chroma (sepia, tint, an earlier colouring) is dropped: only lightness is shown to the net and kept.

    Args:
        net: maps L/100 (or, where ``row.color`` is "gray", luma) (N,1,h,w) to ab (N,2,h,w).
        render_size: short side at which the net works, px; at least ``row.multiple``.
        saturation: factor on a and b, 0 or more.
    """
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    multiple = max(1, row.multiple)
    if render_size < multiple:
        raise UsageError(f"--render-size {render_size} is too small", remedy=f"Use at least {multiple}")

    def predict(x: Tensor, context: Context) -> Tensor:
        height, width = render_shape(x.shape[-2], x.shape[-1], render_size, multiple)
        small = resize(x, height, width, "bilinear")
        if row.color == "gray":
            weights = torch.tensor((0.299, 0.587, 0.114), device=x.device).view(1, 3, 1, 1)
            shown = (small * weights).sum(1, keepdim=True)
        else:
            shown = lightness(small) / 100
        return net(shown.to(dtype)).float() * saturation

    def finish(x: Tensor, layer: Tensor) -> Tensor:
        ab = resize(layer, x.shape[-2], x.shape[-1], "bilinear")
        return join_lab(lightness(x), ab)

    return Pipeline("colorize", row.name, predict, finish, device, blend="chroma")


def render_shape(height: int, width: int, short: int, multiple: int) -> tuple[int, int]:
    """Size shown to the net: short side ``short``, same aspect up to 4:1, sides multiples of ``multiple``."""
    factor = short / min(height, width)
    limit = short * _LONGEST

    def fit(side: int) -> int:
        return max(multiple, round(min(side * factor, limit) / multiple) * multiple)

    return fit(height), fit(width)
