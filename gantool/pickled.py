"""The tensors of a whole pickled module, read without making a single object of it.

Some authors save ``torch.save(net)``, a pickle of their own classes, and loading that would run whatever the
pickle names. Here nothing of it is ever called or imported. The pickle's instructions are followed as on
paper: a class is its name, a call is the name and the arguments, an object is the name and its attributes.
Every name must be among the few that such a file of layers needs, and the outermost class must be the one
asked for. The tensors are then put together from their bytes, and named by their path of attributes,
"main.0.weight", as ``state_dict()`` names them.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from gantool import container
from gantool.errors import WeightsError

_NN = "torch.nn.modules."
_LAYERS = {
    _NN + name
    for name in (
        "container.Sequential",
        "conv.Conv2d",
        "conv.ConvTranspose2d",
        "batchnorm.BatchNorm2d",
        "activation.ReLU",
        "activation.Tanh",
        "pooling.MaxPool2d",
    )
}
_REBUILT = {
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
}
_DICT, _SETS = "collections.OrderedDict", {"__builtin__.set", "builtins.set"}
_BACKEND = "torch.nn.backends.thnn._get_thnn_function_backend"  # in every layer of before torch 1.3
_STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.DoubleStorage": torch.float64,
    "torch.LongStorage": torch.int64,
}
_KNOWN = _LAYERS | _REBUILT | _SETS | {_DICT, _BACKEND} | set(_STORAGES)

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_MOST_MODULES = 200


@dataclass(frozen=True)
class _Name:
    """A class or function of the file; never looked up."""

    path: str


@dataclass(frozen=True, eq=False)
class _Call:
    """A call that the file asks for; never made."""

    name: str
    args: tuple[Any, ...]


@dataclass(eq=False)
class _Object:
    """An object of the file: its class's name and its attributes."""

    name: str
    state: Any = None


@dataclass(frozen=True, eq=False)
class _Storage:
    """Numbers that lie elsewhere in the file."""

    dtype: torch.dtype
    key: str
    count: int


class _Refused(Exception):
    """What the file holds that it must not."""


def read_module(path: Path, root: str) -> dict[str, Tensor]:
    """The state dict of a file of ``torch.save(net)`` whose net is of the class ``root`` ("network.G").

    Both formats of torch are read, zip and the older one. Raises WeightsError for any other object in it,
    and for what is damaged.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                loaded, bytes_of = _from_zip(archive, root)
        else:
            loaded, bytes_of = _from_stream(path.read_bytes(), root)
        return _state(loaded, root, bytes_of, path.stat().st_size)
    except _Refused as refused:
        raise WeightsError(f"the checkpoint holds {refused}", path, container.OTHER_FILE) from refused
    except (
        OSError,
        zipfile.BadZipFile,
        EOFError,
        ArithmeticError,
        RecursionError,
        NotImplementedError,
    ) as error:
        raise WeightsError("the checkpoint is damaged or cut short", path, container.AGAIN) from error
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        # A pickle whose instructions make no sense ends in any of these.
        raise WeightsError("the checkpoint is damaged or cut short", path, container.AGAIN) from error


def _from_zip(archive: zipfile.ZipFile, root: str) -> tuple[Any, Callable[[_Storage], bytes]]:
    (pickle,) = (name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl")
    folder = pickle.removesuffix("data.pkl")
    if folder + "byteorder" in archive.namelist() and archive.read(folder + "byteorder") != b"little":
        raise _Refused("numbers of another byte order")
    loaded = _follow(io.BytesIO(archive.read(pickle)), root)
    numbers: dict[str, bytes] = {}

    def bytes_of(storage: _Storage) -> bytes:
        if storage.key not in numbers:
            numbers[storage.key] = archive.read(f"{folder}data/{storage.key}")
        return numbers[storage.key]

    # Read now, while the archive is open.
    for storage in _storages(loaded):
        bytes_of(storage)
    return loaded, bytes_of


def _from_stream(data: bytes, root: str) -> tuple[Any, Callable[[_Storage], bytes]]:
    """The format of before torch 1.6: five pickles, then the storages one after the other."""
    file = io.BytesIO(data)
    magic, protocol, system = (_follow(file, root) for _ in range(3))
    if (magic, protocol) != (_MAGIC, _PROTOCOL) or system.get("little_endian") is not True:
        raise _Refused("no module of a format that is known")
    loaded, keys = _follow(file, root), _follow(file, root)
    sizes = {storage.key: storage.dtype.itemsize for storage in _storages(loaded)}
    numbers: dict[str, bytes] = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        numbers[key] = file.read(count * sizes[key])
    return loaded, lambda storage: numbers[storage.key]


def _follow(file: IO[bytes], root: str) -> Any:
    """What one pickle describes, from where the file stands to the pickle's end."""
    stack: list[Any] = []
    marks: list[list[Any]] = []
    memo: dict[Any, Any] = {}

    def since_mark() -> list[Any]:
        nonlocal stack
        items, stack = stack, marks.pop()
        return items

    for opcode, arg, _ in pickletools.genops(file):
        match opcode.name:
            case "PROTO":
                pass
            case "STOP":
                (result,) = stack
                return result
            case "MARK":
                marks.append(stack)
                stack = []
            case "GLOBAL":
                stack.append(_name(str(arg), root))
            case "BINPUT" | "LONG_BINPUT":
                memo[arg] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[arg])
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINSTRING":
                stack.append(arg)
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[opcode.name]())
            case "TUPLE":
                items = since_mark()
                stack.append(tuple(items))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "APPEND" | "APPENDS":
                items = since_mark() if opcode.name == "APPENDS" else [stack.pop()]
                _of(list, stack[-1]).extend(items)
            case "SETITEM" | "SETITEMS":
                items = since_mark() if opcode.name == "SETITEMS" else [stack.pop() for _ in range(2)][::-1]
                _of(dict, stack[-1]).update(zip(items[::2], items[1::2], strict=True))
            case "BINPERSID":
                stack.append(_stored(stack.pop()))
            case "REDUCE" | "NEWOBJ":
                args = _of(tuple, stack.pop())
                stack.append(_made(_of(_Name, stack.pop()), args, opcode.name == "NEWOBJ"))
            case "BUILD":
                state = stack.pop()
                if isinstance(stack[-1], _Object):
                    stack[-1].state = state
                elif not isinstance(stack[-1], dict):  # attributes of an OrderedDict mean nothing here
                    raise _Refused("attributes of what is no layer")
            case _:
                raise _Refused(f"an instruction that no module needs ({opcode.name})")
    raise EOFError


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} is no {kind.__name__}")
    return value


def _name(words: str, root: str) -> _Name:
    path = words.replace(" ", ".", 1)
    if path != root and path not in _KNOWN:
        raise _Refused(f"Python objects ({path}), which could run code when loaded")
    return _Name(path)


def _made(name: _Name, args: tuple[Any, ...], new: bool) -> Any:
    """What a call or a new object comes to: a layer, a dict, a set, or a tensor yet to be put together."""
    if name.path == _DICT:
        return dict(args[0]) if args else {}
    if new:
        if args or name.path in _REBUILT or name.path in _STORAGES:
            raise _Refused(f"an object of {name.path}")
        return _Object(name.path)
    if name.path in _REBUILT or name.path in _SETS or name.path == _BACKEND:
        return _Call(name.path, args)
    raise _Refused(f"a call of {name.path}")


def _stored(pid: Any) -> Any:
    """A storage; or a class, which files of before torch 1.6 give together with its source code."""
    kind = _of(tuple, pid)[0]
    if kind == "module":
        return _of(_Name, pid[1])
    if kind != "storage" or (len(pid) > 5 and pid[5] is not None):
        raise _Refused("references that no module needs")
    dtype = _STORAGES.get(_of(_Name, pid[1]).path)
    key, count = pid[2], pid[4]
    if (
        dtype is None
        or not (isinstance(key, str) and key.isalnum())
        or not (isinstance(count, int) and count >= 0)
    ):
        raise _Refused("numbers of a kind that gantool does not take")
    return _Storage(dtype, key, count)


def _entries(
    module: Any, root: str, path: str = "", left: list[int] | None = None
) -> Iterator[tuple[str, Any]]:
    """(attribute path, value) of every parameter and buffer of a module, in the order of ``state_dict()``."""
    left = [_MOST_MODULES] if left is None else left
    left[0] -= 1
    if left[0] < 0:
        raise _Refused("modules without end")
    if not isinstance(module, _Object) or not isinstance(module.state, dict):
        raise _Refused("something else in the place of a layer")
    if not path and module.name != root:
        raise _Refused(f"a module of another class ({module.name})")
    for kind in ("_parameters", "_buffers"):
        for name, value in _of(dict, module.state[kind]).items():
            if value is not None:
                yield path + _of(str, name), value
    for name, inner in _of(dict, module.state["_modules"]).items():
        if inner is not None:
            yield from _entries(inner, root, f"{path}{_of(str, name)}.", left)


def _storages(loaded: Any) -> Iterator[_Storage]:
    """Every storage that a description holds."""
    waiting, seen = [loaded], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, _Storage):
            yield value
        elif isinstance(value, (dict, list, tuple, _Call, _Object)) and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, dict):
                waiting += [*value.keys(), *value.values()]
            elif isinstance(value, _Call):
                waiting += value.args
            else:
                waiting += [value.state] if isinstance(value, _Object) else value


def _state(loaded: Any, root: str, bytes_of: Callable[[_Storage], bytes], size: int) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for name, value in _entries(loaded, root):
        state[name] = _tensor(value, bytes_of)
        size -= state[name].nbytes
        if size < 0:
            raise _Refused("tensors that claim more than the file has")
    return state


def _tensor(value: Any, bytes_of: Callable[[_Storage], bytes]) -> Tensor:
    """A tensor or parameter from its parts, with memory of its own."""
    call = _of(_Call, value)
    if call.name == "torch._utils._rebuild_parameter":
        call = _of(_Call, call.args[0])
    if call.name not in _REBUILT or call.name.endswith("_parameter"):
        raise _Refused("something else in the place of a tensor")
    storage, start, shape, stride = call.args[:4]
    whole = [_of(int, n) for n in (start, *_of(tuple, shape), *_of(tuple, stride))]
    data = bytes_of(_of(_Storage, storage))
    if len(data) != storage.count * storage.dtype.itemsize:
        raise EOFError
    count = math.prod(shape)
    last = start + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if min(whole) < 0 or not 0 < count <= storage.count or last >= storage.count:
        raise _Refused("tensors that claim more than the file has")
    flat = torch.frombuffer(bytearray(data), dtype=storage.dtype)
    return flat.as_strided(shape, stride, start).clone()
