"""Checkpoint files as tensors, and nothing but tensors.

A checkpoint comes from strangers. Safetensors files hold only numbers; torch's own format is a pickle, which
may hold code, inside a zip, which may be a bomb. So: the container is examined before it is opened, the
unpickler is torch's restricted one and there is no second try with an unrestricted one, and what comes out
must be plain tensors that own their memory.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantool import container, pickled
from gantool.errors import Stopped, WeightsError

# Real checkpoints are stored, not deflated; a few were zipped again by hand and shrank to about 0.9.
_LARGEST_RATIO = 4
_SLACK_BYTES = 16 * 2**20
_LARGEST_BYTES = 4 * 2**30
_MOST_ENTRIES = 20_000
_WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "net_state_dict", "model")
_DTYPES = {
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.bool,
}
_DIVERGED = "The training that made it broke down: take an earlier checkpoint, or another file."
ONE_NET = "Save the state dict of the one you want as a file of its own, and name that."


def read_state(path: str | Path, key: str = "", module: str = "") -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a checkpoint safely: (name -> tensor on the CPU, metadata of a safetensors file or {}).

    ``key`` names the entry that holds the state dict ("params"); a file that is a bare state dict is taken
    as it is, and without a key the usual wrappers are tried. A "module." before every name is dropped.
    ``module`` names a class of which a whole pickled object is read as well, by :mod:`gantool.pickled`.
    Raises WeightsError for anything that is not whole, not a checkpoint, or holds more than tensors.
    """
    path = Path(path)
    kind = container.kind_of(path)
    if kind == "safetensors":
        loaded, metadata = _read_safetensors(path)
    elif kind == "arrays":
        loaded, metadata = _read_arrays(path), {}
    else:
        if kind == "zip":
            _check_zip(path)
        try:
            loaded, metadata = _read_torch(path), {}
        except WeightsError:
            if not module:
                raise
            loaded, metadata = pickled.read_module(path, module), {}
    state = _unwrapped(loaded, key, path)
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    _check_tensors(state, path)
    return state, metadata


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as f:
            # Cloned: the file is only mapped, and a file cut short later would end the process.
            state = {name: f.get_tensor(name).clone() for name in f.keys()}  # noqa: SIM118
            return state, dict(f.metadata() or {})
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        what = "the safetensors file is damaged or cut short"
        raise WeightsError(what, path, container.AGAIN) from error


def _check_zip(path: Path) -> None:
    """Refuse what would not fit in memory once unpacked, before anything is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise WeightsError("the checkpoint is damaged or cut short", path, container.AGAIN) from error
    unpacked = sum(entry.file_size for entry in entries)
    size = path.stat().st_size
    if unpacked > min(_LARGEST_RATIO * size + _SLACK_BYTES, _LARGEST_BYTES) or len(entries) > _MOST_ENTRIES:
        what = f"the checkpoint unpacks to {unpacked:,} bytes from {size:,}, like a zip bomb"
        raise WeightsError(what, path, "Get it from its authors, or as .safetensors.")
    if any(".." in Path(entry.filename).parts or entry.filename.startswith("/") for entry in entries):
        raise WeightsError("the checkpoint holds names that lead out of it", path, container.OTHER_FILE)
    if any("/code/" in entry.filename or entry.filename.endswith("constants.pkl") for entry in entries):
        raise WeightsError("this is a TorchScript program, not a state dict", path, container.OTHER_FILE)
    inside = {Path(entry.filename).name for entry in entries}
    if not any(name == "data.pkl" or name.endswith(".npy") for name in inside):
        raise WeightsError("this is a zip archive, not a checkpoint", path, container.OTHER_FILE)


def _read_arrays(path: Path) -> dict[str, Tensor]:
    """NumPy's .npz: numbers without a pickle; what would need one is refused."""
    import numpy as np

    _check_zip(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except Stopped:
        raise
    except Exception as error:  # what NumPy, zip and zlib raise for harmed files is no small set
        what = "the .npz file is damaged, or holds more than numbers"
        raise WeightsError(what, path, container.AGAIN) from error


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _unpickling_error(error, path) from error
    except MemoryError as error:
        raise WeightsError("the checkpoint does not fit in memory", path, container.OTHER_FILE) from error
    except Stopped:
        raise
    except Exception as error:
        # A text file is a KeyError here, a short one an EOFError or RuntimeError: the types tell little.
        raise WeightsError("the checkpoint is damaged or cut short", path, container.AGAIN) from error


def _unpickling_error(error: Exception, path: Path) -> WeightsError:
    found = re.search(r"GLOBAL ([\w.]+)|Unsupported class ([\w.]+)", str(error))
    if found:
        what = (
            f"the checkpoint holds Python objects ({found[1] or found[2]}), which could run code when loaded"
        )
        return WeightsError(what, path, container.OTHER_FILE)
    return WeightsError("the checkpoint holds more than tensors, or is damaged", path, container.OTHER_FILE)


def _unwrapped(loaded: Any, key: str, path: Path) -> dict[str, Tensor]:
    def is_state(value: Any) -> bool:
        return isinstance(value, Mapping) and any(isinstance(v, Tensor) for v in value.values())

    if not isinstance(loaded, Mapping):
        raise WeightsError(
            f"the checkpoint holds a {type(loaded).__name__}, not a state dict", path, container.OTHER_FILE
        )
    state: Any = loaded
    for name in [key] if key else _WRAPPERS:
        if is_state(loaded.get(name)):
            state = loaded[name]
            break
    if not is_state(state):
        nets = [str(name) for name, value in loaded.items() if is_state(value)]
        if len(nets) > 1:
            what = f"the checkpoint holds several nets: {', '.join(sorted(nets)[:8])}"
            raise WeightsError(what, path, ONE_NET)
    if not is_state(state):
        inside = ", ".join(sorted(str(k) for k in loaded)[:5])
        raise WeightsError(
            f"the checkpoint has no state dict, only: {inside or 'nothing'}", path, container.OTHER_FILE
        )
    for name, value in state.items():
        if not isinstance(value, Tensor):
            what = f"entry '{name}' of the checkpoint is a {type(value).__name__}, not a tensor"
            raise WeightsError(what, path, container.OTHER_FILE)
    return {str(name): tensor.detach() for name, tensor in state.items()}


def _check_tensors(state: dict[str, Tensor], path: Path) -> None:
    """Plain, dense, finite tensors with memory of their own: a view may claim terabytes over four bytes."""
    owned: dict[int, int] = {}
    claimed = 0
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.dtype not in _DTYPES or tensor.device.type != "cpu":
            what = f"tensor '{name}' is of a kind that gantool does not take ({tensor.dtype})"
            raise WeightsError(what, path, container.OTHER_FILE)
        storage = tensor.untyped_storage()
        nbytes = tensor.numel() * tensor.element_size()
        if nbytes > storage.nbytes():
            what = f"tensor '{name}' claims {nbytes:,} bytes and holds {storage.nbytes():,}"
            raise WeightsError(what, path, container.OTHER_FILE)
        owned[storage.data_ptr()] = storage.nbytes()
        claimed += nbytes
    if claimed > _LARGEST_RATIO * sum(owned.values()) + _SLACK_BYTES:
        raise WeightsError(
            "the tensors of the checkpoint share memory that is not there", path, container.OTHER_FILE
        )
    for name, tensor in state.items():
        if tensor.is_floating_point() and not _is_finite(tensor):
            raise WeightsError(f"tensor '{name}' holds NaN or infinite values", path, _DIVERGED)


def _is_finite(tensor: Tensor) -> bool:
    """Whether no value is NaN or infinite. A sum tells, ten times as quickly, unless it overflows itself."""
    total = tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32))
    return bool(torch.isfinite(total)) or bool(torch.isfinite(tensor).all())
