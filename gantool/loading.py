"""A checkpoint file and its row -> an eval-mode net; and back, a net with its row inside.

What a file says is compared with what the architecture expects, name by name and shape by shape, on torch's
``meta`` device: nothing is allocated for a file that does not fit.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from gantool import cache, colorizers, conversion, facenets, legacy, stylers, upscalers
from gantool.catalog import COMMANDS, Checkpoint, embedded_row
from gantool.errors import DeviceError, GantoolError, Stopped, UsageError, WeightsError
from gantool.media.files import atomic
from gantool.ops import doubling
from gantool.tensors import ONE_NET, read_state

__all__ = ["check", "load", "load_foreign", "load_net", "placed", "read_state", "row_of", "save_model"]

_ARCH = re.compile(r"[a-z0-9_]+\.[A-Za-z0-9_]+")
_FIT = "Use a file of that architecture."


def load(
    row: Checkpoint, path: str | Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[nn.Module, Checkpoint]:
    """The net of any file that :func:`gantool.selection.select` chose, with its full row.

    A row without ``arch`` (a path, ``hf:owner/repo/file``, some of the catalog) is completed from the file:
    by the row inside it, by its layout, or, for upscale, by spandrel. Raises WeightsError for a file that is
    unfit or unknown, UsageError for a model of another task; of what was downloaded they name the row, not
    the cache.
    """
    if row.arch:
        return load_net(row, path, device, dtype), row
    with _as_named(row, path):
        copy = conversion.stand_in(row, Path(path), facenets.PICKLED.get(row.task, ""))
        net, found = _recognised(row.task, copy, device, dtype)
    if row.source == "file":
        return net, found
    if not row.sha256:  # named by its place, not by the catalog
        return net, replace(found, file=row.name)
    return net, replace(row, multiple=found.multiple, whole=found.whole, dtypes=found.dtypes)


def _recognised(
    task: str, path: Path, device: torch.device | str, dtype: torch.dtype
) -> tuple[nn.Module, Checkpoint]:
    """The net of a file without a row. Only upscale asks spandrel, whose import takes seconds."""
    found = row_of(path, facenets.PICKLED.get(task, ""))
    if found is None:
        if task == "upscale":
            return load_foreign(path, device, dtype)
        what = f"the file does not say which {task} model it holds"
        remedy = "Use a file made by `gantool train`, or a name of `gantool models`"
        raise WeightsError(what, path, f"{remedy}; if it enlarges pictures, `gantool upscale`.")
    if found.task != task:
        what = f"the file holds a model for {found.task}, not for {task}"
        other = "name another file with --model."
        remedy = f"Use `gantool {found.task}`, or {other}" if found.task in COMMANDS else other.capitalize()
        raise UsageError(what, path, remedy)
    return load_net(found, path, device, dtype), found


@contextlib.contextmanager
def _as_named(row: Checkpoint, path: str | Path) -> Iterator[None]:
    """Errors about a download or its copy call it what the user called it, not by its place in the cache."""
    try:
        yield
    except GantoolError as error:
        if row.source in ("hub", "https") and error.file in [str(p) for p in (path, *cache.copies(row))]:
            error.file = row.name
        raise


def load_net(
    row: Checkpoint, path: str | Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> nn.Module:
    """Build ``row.arch`` with ``row.args`` and load the file, strictly; eval mode, no gradients.

    Half-precision files are computed in ``dtype``, float32 unless asked otherwise. Raises WeightsError when
    the file does not fit the architecture, DeviceError when the net does not fit the device.
    """
    with _as_named(row, path):
        module = facenets.PICKLED.get(row.task, "")
        state, _ = read_state(conversion.stand_in(row, Path(path), module), row.key, module)
        net = _built(row, state, path)
    return placed(net, device, dtype)


def check(row: Checkpoint, path: str | Path) -> None:
    """Raise WeightsError unless the file holds finite tensors with the names and shapes of the row's net.

    A row without ``arch`` must be of a kind that is recognised. No net is built, but on torch's meta device.
    Of an ONNX file there is nothing to check but its hash.
    """
    if row.file.endswith(".onnx"):
        return
    if not row.arch:
        found = row_of(path) or load_foreign(path)[1]
        if not found.arch:
            return  # spandrel has compared names and shapes
        row = found
    state, _ = read_state(path, row.key, facenets.PICKLED.get(row.task, ""))
    _fitting(row, state, path)


def _built(row: Checkpoint, state: Mapping[str, Tensor], path: str | Path) -> nn.Module:
    """The net of a row with the tensors of a file, in eval mode. Raises WeightsError."""
    architecture, state = _fitting(row, state, path)
    with torch.random.fork_rng(devices=[]):  # random first weights must not shift the caller's random numbers
        net = architecture(**row.args)
    net.load_state_dict(state, strict=True)
    return net.eval()


def _fitting(
    row: Checkpoint, state: Mapping[str, Tensor], path: str | Path
) -> tuple[type[nn.Module], Mapping[str, Tensor]]:
    """The architecture of a row, and the tensors by its own names. Raises WeightsError where they differ."""
    architecture = _architecture(row.arch, path)
    try:
        with torch.device("meta"):
            blueprint = architecture(**row.args)
    except Stopped:
        raise
    except Exception as error:  # whatever wrong arguments raise inside a stranger's row
        raise WeightsError(f"{row.arch} cannot be built with the arguments of its row", path, _FIT) from error
    expected = blueprint.state_dict()
    own_names = getattr(architecture, "own_names", None)
    if own_names is not None:
        state = own_names(state)
    if any(name not in expected for name in state):
        state = legacy.tidy(state)
    _compare(expected, state, row.arch, path)
    return architecture, state


def load_foreign(
    path: str | Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[nn.Module, Checkpoint]:
    """A super-resolution file of another program, recognised by spandrel: (net, row).

    The tensors are read by gantool's safe reader; spandrel only recognises and builds. Raises WeightsError
    for what it does not know and for nets that are not RGB super-resolution.
    """
    from spandrel import ImageModelDescriptor, ModelLoader, ModelTiling

    path = Path(path)
    state, _ = read_state(path)
    remedy = "Use a super-resolution file of a known architecture, or a name of `gantool models`."
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.meshgrid(torch.zeros(1))  # warns once in a program, of what some of the nets do
            found = ModelLoader(device="cpu").load_from_state_dict(state)
    except Stopped:
        raise
    except Exception as error:  # each of spandrel's fifty architectures fails in its own way
        raise WeightsError("no known upscaler has this layout", path, remedy) from error
    if (
        not isinstance(found, ImageModelDescriptor)
        or found.input_channels != 3
        or found.output_channels != 3
        or found.purpose == "Inpainting"
    ):
        raise WeightsError(f"this {found.architecture.name} net does not upscale RGB pictures", path, remedy)
    row = Checkpoint(
        name=path.stem,
        task="upscale",
        source="file",
        file=str(path),
        bytes=path.stat().st_size,
        scale=found.scale,
        multiple=max(1, found.size_requirements.multiple_of),
        whole=found.tiling is not ModelTiling.SUPPORTED,
        dtypes=tuple(d for d, ok in (("bf16", found.supports_bfloat16), ("fp16", found.supports_half)) if ok),
        summary=f"{found.architecture.name}, recognised by spandrel",
    )
    return placed(_merged(found.model), device, dtype), row


def _merged(net: nn.Module) -> nn.Module:
    """Layers of SPAN's kind train as several convolutions and run as one; so that this is made but once."""
    for layer in net.eval().modules():
        if hasattr(layer, "update_params") and hasattr(layer, "eval_conv"):
            cast(Any, layer).update_params()
            cast(Any, layer).update_params = _done
    return net


def _done() -> None:
    pass


def save_model(
    path: str | Path, net_or_state: nn.Module | Mapping[str, Tensor], row: Checkpoint, *, half: bool = False
) -> None:
    """Write safetensors with the row inside, atomically; an existing file is replaced.

    ``half`` stores floating-point tensors as float16 (loading computes in float32 again). Raises WeightsError
    when a value is not finite or too large for that, OutputError when the file cannot be written.
    """
    from safetensors.torch import save

    path = Path(path)
    source = net_or_state.state_dict() if isinstance(net_or_state, nn.Module) else net_or_state
    state: dict[str, Tensor] = {}
    for name, tensor in source.items():
        value = tensor.detach().to("cpu")
        if half and value.is_floating_point():
            value = value.to(torch.float16)
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise WeightsError(f"tensor '{name}' holds values that cannot be stored", path)
        # Cloned, because safetensors refuses tensors that share memory.
        state[name] = value.contiguous().clone()
    data = save(state, metadata={"format": "pt", "gantool": row.to_json()})
    with atomic(path, overwrite=True) as temporary:
        temporary.write_bytes(data)


def row_of(path: str | Path, module: str = "") -> Checkpoint | None:
    """The row of a file: the one inside it, or one for a layout that is recognised, else None.

    Recognised are the nets of :mod:`gantool.upscalers`, :mod:`gantool.colorizers`, :mod:`gantool.facenets`
    and the translation nets of :mod:`gantool.legacy`. ``module`` is that of :func:`tensors.read_state`.
    Raises WeightsError when the file cannot be read safely or holds several nets.
    """
    path = Path(path)
    row = embedded_row(path)
    if row is not None:
        return row
    state, _ = read_state(path, module=module)
    place = {"source": "file", "file": str(path), "bytes": path.stat().st_size}
    upscaler = upscalers.recognise(state)
    if upscaler is not None:
        summary = f"{upscaler.arch.partition('.')[2]}, recognised by its layout"
        rows = [
            Checkpoint(path.stem, "upscale", summary=summary, **vars(layout), **place)
            for layout in upscalers.conventions(upscaler)
        ]
        return rows[0] if len(rows) == 1 else _tried(rows, state, path)
    colorizer = colorizers.recognise(state)
    if colorizer is not None:
        summary = f"{colorizer.arch.partition('.')[2]}, recognised by its layout"
        return Checkpoint(path.stem, "colorize", summary=summary, **vars(colorizer), **place)
    face = facenets.recognise(state)
    if face is not None:
        task, net = face
        summary = f"{net.arch.partition('.')[2]}, recognised by its layout"
        return Checkpoint(path.stem, task, summary=summary, **vars(net), **place)
    styler = stylers.recognise(state)
    if styler is not None:
        summary = f"{styler.arch.partition('.')[2]}, recognised by its layout"
        return Checkpoint(path.stem, "style", summary=summary, **vars(styler), **place)
    layout = legacy.recognise(legacy.tidy(state))
    if layout is not None:
        summary = f"{layout.arch.partition('.')[2]}, recognised by its layout"
        return Checkpoint(path.stem, "translate", summary=summary, **vars(layout), **place)
    several = legacy.nets_inside(state)
    if several:
        raise WeightsError(f"the file holds several nets: {', '.join(sorted(several)[:8])}", path, ONE_NET)
    return None


def _tried(rows: list[Checkpoint], state: Mapping[str, Tensor], path: Path) -> Checkpoint:
    """The row by which the net's result resembles what it was given; the first if none does."""
    apart: dict[float, Checkpoint] = {}
    for row in rows:
        try:
            apart.setdefault(upscalers.resemblance(_built(row, state, path), row.value_range), row)
        except WeightsError:  # it does not fit: for the load itself to say
            return rows[0]
    return apart[min(apart)] if min(apart) < upscalers.RESEMBLES else rows[0]


def _architecture(arch: str, path: str | Path) -> type[nn.Module]:
    """The class of ``file.Class`` under ``gantool.models``; nothing else can be named."""
    what = f"the model's architecture '{arch}' is not part of this version"
    if not _ARCH.fullmatch(arch):
        raise WeightsError(what, path, "Update gantool.")
    file, _, name = arch.partition(".")
    try:
        module = importlib.import_module(f"gantool.models.{file}")
    except ModuleNotFoundError as error:
        if error.name != f"gantool.models.{file}":
            raise
        raise WeightsError(what, path, "Update gantool.") from error
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, nn.Module) and found.__module__ == module.__name__):
        raise WeightsError(what, path, "Update gantool.")
    return found


def _compare(
    expected: Mapping[str, Tensor], state: Mapping[str, Tensor], arch: str, path: str | Path
) -> None:
    """Raise WeightsError unless names, shapes and kinds of number agree."""
    missing = [name for name in expected if name not in state]
    extra = [name for name in state if name not in expected]
    if missing or extra:
        parts = [
            f"{len(names)} tensors {word} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for names, word in ((missing, "missing"), (extra, "unknown"))
            if names
        ]
        raise WeightsError(f"the checkpoint does not fit {arch}: {' and '.join(parts)}", path, _FIT)
    for name, tensor in expected.items():
        ours, theirs = tuple(tensor.shape), tuple(state[name].shape)
        if ours != theirs:
            what = f"the checkpoint does not fit {arch}: {name} has shape {theirs}, expected {ours}"
            raise WeightsError(what, path, _FIT)
        if tensor.is_floating_point() != state[name].is_floating_point():
            what = (
                f"the checkpoint does not fit {arch}: {name} is {state[name].dtype}, expected {tensor.dtype}"
            )
            raise WeightsError(what, path, _FIT)


def placed(net: nn.Module, device: torch.device | str, dtype: torch.dtype) -> nn.Module:
    """The net in eval mode, without gradients, on a device and in a precision. Raises DeviceError.

    A net that names its ``halves`` has only those parts cast; on a CPU, layers that double their input do it
    the quick way.
    """
    try:
        net = net.eval().requires_grad_(False).to(device)
        for part in getattr(net, "halves", ("",)):
            net.get_submodule(part).to(dtype)
        if torch.device(device).type == "cpu":
            doubling.quicken(net)
        return net
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"the model does not fit in the memory of {device}", remedy="Use --device cpu."
        ) from error
