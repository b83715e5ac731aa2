"""A loaded net as a file for other programs: safetensors, ONNX or TorchScript, compared with the original.

What is exported is the net as it is, without the tiles, resizing and colour conversion around it; what it
takes and gives stands in the model card beside the file. Nothing bears the final names before the check.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from gantool import loading
from gantool.catalog import Checkpoint
from gantool.devices import is_out_of_memory
from gantool.errors import DeviceError, OutputError, UsageError, WeightsError
from gantool.export.card import card
from gantool.export.contract import Contract, contract, example
from gantool.export.graph import FixedSize, Ran, run_torchscript, write_onnx, write_torchscript
from gantool.media.files import atomic, output_error

FORMATS = {".safetensors": "safetensors", ".onnx": "ONNX", ".pt": "TorchScript"}
_TOLERANCE = {"fp32": 1e-4, "fp16": 2 / 255}  # of the output's range
_SMALLEST_SIDE = 48


@dataclass(frozen=True)
class Exported:
    """What was written.

    ``size``: the fixed (height, width) of the input, or None where both are free. ``checked``: the program
    that ran the file for comparison, or "" when none was at hand. ``difference``: the largest one found, as
    a share of the output's range, or None. ``takes_half``, ``gives_half``: whether the input and the output
    of a graph are float16; the second is None where the file was not run.
    """

    path: Path
    card: Path
    format: str
    precision: str
    size: tuple[int, int] | None
    checked: str
    difference: float | None
    takes_half: bool = False
    gives_half: bool | None = False


def card_of(path: Path) -> Path:
    """Where the model card of an exported file lies: beside it, under its whole name and ``.md``."""
    return path.with_name(path.name + ".md")


def check_target(path: Path, *, overwrite: bool) -> str:
    """The format that the suffix of ``path`` names, one of FORMATS.

    Raises UsageError for another suffix, OutputError where the file or its card exists (without
    ``overwrite``) or the folder does not.
    """
    if path.suffix.lower() not in FORMATS:
        what = f"cannot tell the format of '{path}'"
        raise UsageError(what, remedy=f"Name a file that ends in {', '.join(FORMATS)}.")
    if not path.parent.is_dir():
        raise output_error(FileNotFoundError(2, ""), path)
    for each in (path, card_of(path)):
        if each.exists() and not overwrite:
            raise OutputError("the output exists", each, "Use --overwrite to replace it")
    return FORMATS[path.suffix.lower()]


@contextlib.contextmanager
def _in_memory() -> Iterator[None]:
    """Lack of memory as DeviceError, also where the exporter has made something else of it."""
    try:
        yield
    except (RuntimeError, MemoryError, WeightsError) as error:
        cause: BaseException | None = error
        while cause is not None and not is_out_of_memory(cause):
            cause = cause.__cause__
        if cause is None:
            raise
        raise DeviceError("out of memory in the export", remedy="Use a smaller --size") from error


@_in_memory()
def export(
    net: nn.Module,
    row: Checkpoint,
    path: Path,
    *,
    size: tuple[int, int] | None = None,
    half: bool = False,
    overwrite: bool = False,
    warn: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write ``net``, loaded in float32 on the CPU, and its card; compare what the file gives with the net.

    Args:
        row: the complete row of the net.
        path: ends in one of FORMATS; the card is written beside it.
        size: a fixed (height, width) in px for ONNX and TorchScript; None leaves both free.
        half: weights, and inside a graph all arithmetic, in float16.
        warn: told when the net is not known to be safe in float16, or the file could not be checked.

    Raises:
        UsageError: a suffix that is none of FORMATS, a size that the net cannot take or must have.
        WeightsError: the net cannot be written in this format, or the file gives something else than it.
        OutputError: a target exists (without ``overwrite``) or cannot be written.
        DeviceError: memory ran out.
    """
    kind = check_target(path, overwrite=overwrite)
    precision = "fp16" if half else "fp32"
    terms = contract(net, row)
    _check_request(row, kind, size, terms)
    if half and "fp16" not in row.dtypes:
        warn(f"{row.name} is not known to be safe in fp16; only random pictures were compared")
    # Of a size that is free, both sides are changed between the export and the comparison.
    side = -(-_SMALLEST_SIDE // terms.multiple) * terms.multiple
    first = size or (side, side + terms.multiple)
    pictures = [example(terms, *first, seed=0)]
    if size is None:
        pictures.append(example(terms, *reversed(first), seed=1))
    wanted = [answer(net, picture) for picture in pictures]
    with atomic(card_of(path), overwrite=overwrite) as page, atomic(path, overwrite=overwrite) as file:
        try:
            ran = _written(net, row, kind, file, pictures, size is None, half)
            difference = _apart(wanted, ran, row, kind, precision)
        except FixedSize as error:
            what = f"as {kind}, {row.name} does not take pictures of any size"
            raise UsageError(what, None, f"Fix one: --size {side}, or --size WIDTHxHEIGHT.") from error
        if difference is None:
            warn(f"{path.name} was not checked: {ran.program} is not installed (pip install 'gantool[onnx]')")
        done = Exported(
            path,
            card_of(path),
            kind,
            precision,
            size,
            "" if difference is None else ran.program,
            difference,
            half and kind != "safetensors" and not getattr(net, "takes_float32", False),
            None if ran.answers is None else ran.answers[0].dtype == torch.float16,
        )
        page.write_text(card(row, terms, done, pictures), "utf-8")
    return done


def answer(net: nn.Module, picture: Tensor) -> Tensor:
    """What a net gives for a picture, in float32; of several answers (percept) the first."""
    with torch.inference_mode():
        found = net(picture)
    return (next(iter(found.values())) if isinstance(found, dict) else found).float()


def _check_request(row: Checkpoint, kind: str, size: tuple[int, int] | None, terms: Contract) -> None:
    if row.task == "percept" and kind != "safetensors":
        what = f"{row.name} has many answers and is exported as safetensors only"
        raise UsageError(what, remedy="Name a file that ends in .safetensors.")
    if size is not None and kind == "safetensors":
        raise UsageError("a safetensors file has no picture size", remedy="Leave out --size.")
    if size is not None and any(side < 1 or side % terms.multiple for side in size):
        what = f"{row.name} wants sides that are multiples of {terms.multiple} px, not {size[1]}x{size[0]}"
        raise UsageError(what, remedy=f"Use --size {terms.multiple * max(1, 256 // terms.multiple)}, say.")


def _written(
    net: nn.Module,
    row: Checkpoint,
    kind: str,
    file: Path,
    pictures: list[Tensor],
    free: bool,
    half: bool,
) -> Ran:
    """Write the file and run it: what it gives for the pictures."""
    if kind == "safetensors":
        _write_safetensors(net, row, file, half)
        again, _ = loading.load(replace(row, source="file", file=str(file), arch=""), file)
        return Ran(f"gantool with torch {torch.__version__}", [answer(again, x) for x in pictures])
    if half:
        floats = getattr(net, "takes_float32", False)
        net = copy.deepcopy(net).half()
        pictures = pictures if floats else [x.half() for x in pictures]
    if kind == "ONNX":
        return write_onnx(net, file, pictures, free, row.name)
    write_torchscript(net, file, pictures[0], row.name)
    return run_torchscript(file, pictures, free)


def _write_safetensors(net: nn.Module, row: Checkpoint, file: Path, half: bool) -> None:
    if row.arch:
        loading.save_model(file, net, replace(row, bytes=0, recommended=()), half=half)
        return
    from safetensors.torch import save_file  # a net of another program: its own names, and no row of ours

    state = {name: tensor.detach().contiguous().clone() for name, tensor in net.state_dict().items()}
    if half:
        state = {n: t.half() if t.is_floating_point() else t for n, t in state.items()}
    save_file(state, file, {"format": "pt"})


def _apart(wanted: list[Tensor], ran: Ran, row: Checkpoint, kind: str, precision: str) -> float | None:
    """The largest difference, as a share of the right answers' range; None when the file was not run.

    Raises WeightsError above the bar, FixedSize when only pictures of another size are above it.
    """
    if ran.answers is None:
        return None
    gaps = [_gap(*pair) for pair in zip(wanted, ran.answers, strict=True)]
    bar = _TOLERANCE[precision]
    if max(gaps) <= bar:
        return max(gaps)
    if gaps[0] <= bar:
        raise FixedSize
    what = f"the {kind} file of {row.name} does not give what the net gives ({gaps[0]:.1%} of its range off)"
    remedy = "Use --precision fp32." if precision == "fp16" else "Use another format, and please report it."
    raise WeightsError(what, None, f"Nothing was written. {remedy}")


def _gap(right: Tensor, other: Tensor) -> float:
    if right.shape != other.shape:
        return float("inf")
    span = max(float(right.max() - right.min()), 1e-3)
    gap = float((right - other.float()).abs().max()) / span
    return gap if gap == gap else float("inf")  # NaN
