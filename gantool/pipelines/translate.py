"""Pictures into other pictures of the same size: any image-to-image net, at any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gantool.catalog import Checkpoint
from gantool.errors import UsageError, WeightsError
from gantool.ops.footprint import bytes_per_px
from gantool.ops.resize import mirror_pad
from gantool.ops.tiling import run_blended, up
from gantool.pipelines import Context, Pipeline
from gantool.pipelines.room import Room

_OVERLAP = 64  # where a row does not know its net's receptive field
_FEATHER = 32
_SMALLEST_TILE_PX = 64
_SMALLEST_SIDE = (
    16  # shown to a net: instance norm and reflected borders need a few pixels after all halvings
)
_LARGEST_STRIDE = 8  # of nets whose lattice follows the camera; others would be shown much more or less
_NEARLY_GRAY = 2.5 / 255  # between the channels of a pixel; encoders leave grey films this far from grey
_LUMA = (0.299, 0.587, 0.114)


def build(
    net: nn.Module,
    row: Checkpoint,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    tile_px: int | None = None,
    to: Sequence[str] | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> Pipeline:
    """The translate pipeline: its layer is the whole picture (N,3,H,W) in [0,1].

    The picture is continued by its mirror image to the sides that the net wants, run, and cut back. Large
    ones go in tiles: exactly joined where the row knows the net's radius, faded into each other otherwise.
    A net with an attribute ``margin`` is shown that many pixels more on every side.

    Args:
        net: in eval mode, without dropout; keeps the size of what it is given. Takes and gives three
            channels in the row's range and order, or one where the row's args say ``input_nc`` or
            ``output_nc`` 1 (luma in, grey out).
        tile_px: side of a tile's core, px; by default as large as a quarter of the device's memory allows.
        to: what the result shall have, one or more labels of the row, for a net that must be told (StarGAN).
        warn: told when tiles change the result, or had to be made smaller for want of memory.

    Raises WeightsError for a net that is none of this kind, UsageError for labels that do not fit it.
    """
    inputs, outputs = _channels(row)
    _aim(net, row, to)
    layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format  # slower on a CPU
    net = net.to(memory_format=layout)  # type: ignore[call-overload]
    luma = torch.tensor(_LUMA, device=device).view(1, 3, 1, 1)
    exact = row.radius is not None
    overlap, feather = (row.radius or 0, 0) if exact else (_OVERLAP, _FEATHER)
    margin = getattr(net, "margin", 0)
    feed = torch.float32 if getattr(net, "takes_float32", False) else dtype

    def side(length: int) -> int:
        """The side shown to the net for a picture's side."""
        return up(max(length + 2 * margin, _SMALLEST_SIDE), row.multiple)

    def run(x: Tensor) -> Tensor:
        tall, wide = x.shape[-2:]
        shown = mirror_pad(x, side(tall), side(wide), margin)
        shown = _luma(shown, luma) if inputs == 1 else shown
        shown = shown.flip(1) if row.color == "bgr" else shown
        shown = shown * 2 - 1 if row.signed else shown * row.value_range
        y = net(shown.to(feed, memory_format=layout)).float()
        if y.shape[1] != outputs or y.shape[-2:] != shown.shape[-2:]:
            what = f"the model {row.name} made {tuple(y.shape[1:])} of {tuple(shown.shape[1:])}"
            raise WeightsError(
                what, row.file or None, "Use a model that keeps the size, three channels each."
            )
        y = y[..., margin : margin + tall, margin : margin + wide]
        y = (y + 1) / 2 if row.signed else y / row.value_range
        y = y.flip(1) if row.color == "bgr" else y
        return y.expand(-1, 3, -1, -1).clamp(0, 1)

    def taken(x: Tensor) -> float:
        """Bytes of memory that the net takes for a pixel; of as many pictures, as styles may be of each."""
        count, small = len(x), up(_SMALLEST_TILE_PX, row.multiple)
        return bytes_per_px(lambda grey: run(grey.expand(count, -1, -1, -1)), x, small) / count

    def tiled(x: Tensor, core: tuple[int, int]) -> Tensor:
        return run_blended(run, x, core, overlap, feather, row.multiple)

    # Reads go on to the next multiple of the stride.
    around, least = overlap + row.multiple - 1, max(_SMALLEST_TILE_PX, row.multiple // 2)
    room = Room(row, device, tile_px, around, least, taken, "differ in light and colour", warn)

    def predict(x: Tensor, context: Context) -> Tensor:
        y = room.run(tiled, x)
        if row.keeps_gray:
            gray = (x.amax(1) - x.amin(1)).amax((-2, -1)) <= _NEARLY_GRAY  # (N,)
            y = torch.where(gray.view(-1, 1, 1, 1), _luma(y, luma), y)
        return y

    def finish(x: Tensor, layer: Tensor) -> Tensor:
        return layer.clamp(0, 1)

    keeps_gray = row.keeps_gray or outputs == 1
    return Pipeline(
        "translate",
        row.name,
        predict,
        finish,
        device,
        blend="rgb",
        stride=row.multiple if row.multiple <= _LARGEST_STRIDE else 1,
        gray_output_for_gray=keeps_gray,
    )


def _channels(row: Checkpoint) -> tuple[int, int]:
    """Channels that the net takes and gives. Raises WeightsError for what is not picture to picture."""
    inputs, outputs = row.args.get("input_nc", 3), row.args.get("output_nc", 3)
    what = ""
    if inputs not in (1, 3) or outputs not in (1, 3):
        what = f"the model {row.name} makes {outputs} channels of {inputs}"
    elif row.color == "lab" or row.scale != 1:
        what = f"the model {row.name} works on {row.color.upper()} pictures at scale {row.scale}"
    if what:
        remedy = "Use a model that makes pictures of the same size from pictures, RGB or grey."
        raise WeightsError(what, row.file or None, remedy)
    return inputs, outputs


def _aim(net: nn.Module, row: Checkpoint, to: Sequence[str] | None) -> None:
    """Tell a net with labels which of them are wanted. Raises UsageError."""
    aim = getattr(net, "aim", None)
    labels = [str(label) for label in getattr(net, "labels", [])]
    if aim is None and to is not None:
        raise UsageError(f"the model {row.name} has no labels to choose from", remedy="Leave out --to")
    if aim is not None and not to:  # "--to ," names none, which is a slip rather than a wish
        remedy = f"Say it with --to, such as --to {labels[0]}; there are {', '.join(labels)}"
        raise UsageError(f"the model {row.name} must be told what to make", remedy=remedy)
    if aim is not None:
        try:
            aim(to)
        except ValueError as error:
            raise UsageError(f"the model {row.name} has {error}", remedy="Name some of these") from error


def _luma(x: Tensor, weights: Tensor) -> Tensor:
    """(N,3,H,W) -> (N,1,H,W), the luma of BT.601 as Pillow's "L" has it."""
    return (x * weights).sum(1, keepdim=True)
