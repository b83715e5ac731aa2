"""A net as a graph, ONNX or TorchScript, and what the graph gives when another program runs it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gantool.devices import is_out_of_memory
from gantool.errors import Stopped, UsageError, WeightsError

_WRITERS = ("onnx", "onnxscript")
_LARGEST_PROTOBUF = 2**31 - 2**20


class FixedSize(Exception):
    """The graph holds for one picture size only."""


@dataclass(frozen=True)
class Ran:
    """``program`` ran the file and gave ``answers``, one for each picture; None where it is not installed."""

    program: str
    answers: list[Tensor] | None


def write_onnx(net: nn.Module, file: Path, pictures: list[Tensor], free: bool, name: str) -> Ran:
    """Write ONNX through torch's exporter and run it with onnxruntime where that is installed.

    Args:
        pictures: (1,C,H,W) each, the first to trace the net with; ``free`` leaves H and W open.

    Raises:
        UsageError: the packages that write ONNX are not installed.
        FixedSize: the net does not hold for other sizes.
        WeightsError: it cannot be exported at all. Lack of memory comes out as it is.
    """
    missing = [package for package in _WRITERS if importlib.util.find_spec(package) is None]
    if missing:
        what = f"ONNX needs {' and '.join(missing)}, which are not installed"
        raise UsageError(what, remedy="Install gantool with its extra: pip install 'gantool[onnx]'.")
    auto = torch.export.Dim.AUTO
    try:
        with _quiet():
            program = torch.onnx.export(
                net,
                (pictures[0],),
                dynamo=True,
                verbose=False,
                input_names=["x"],
                output_names=["y"],
                dynamic_shapes=({2: auto, 3: auto},) if free else None,
            )
            assert program is not None
            if sum(t.numel() * t.element_size() for t in net.state_dict().values()) > _LARGEST_PROTOBUF:
                raise WeightsError(f"{name} is too large for one ONNX file", None, "Use .safetensors.")
            sides = program.model.graph.inputs[0].shape[2:]  # type: ignore[index]
            if free and any(isinstance(side, int) for side in sides):
                raise FixedSize
            program.save(str(file), external_data=False)
    except (Stopped, WeightsError, FixedSize, OSError):
        raise
    except Exception as error:  # each operator that has no ONNX form fails in its own way
        if is_out_of_memory(error):
            raise
        raise WeightsError(f"{name} cannot be written as ONNX", None, "Use .pt or .safetensors.") from error
    return _run_onnx(file, pictures, free)


def _run_onnx(file: Path, pictures: list[Tensor], free: bool) -> Ran:
    if importlib.util.find_spec("onnxruntime") is None:
        return Ran("onnxruntime", None)
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    (name,) = (i.name for i in session.get_inputs())
    answers = []
    for picture in pictures:
        try:
            answers.append(torch.from_numpy(session.run(None, {name: picture.numpy()})[0]))
        except Exception as error:
            if free and answers:  # the first size went well
                raise FixedSize from error
            raise
    return Ran(f"onnxruntime {onnxruntime.__version__}", answers)


def write_torchscript(net: nn.Module, file: Path, picture: Tensor, name: str) -> None:
    """Trace the net with a picture (1,C,H,W) and write TorchScript. Raises WeightsError when that fails."""
    buffer = io.BytesIO()
    try:
        with _quiet(), torch.no_grad():
            traced = torch.jit.trace(net, picture, check_trace=False)
            torch.jit.save(traced, buffer)
    except Stopped:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise WeightsError(f"{name} cannot be traced", None, "Use .onnx or .safetensors.") from error
    file.write_bytes(buffer.getbuffer())


def run_torchscript(file: Path, pictures: list[Tensor], free: bool) -> Ran:
    """Load TorchScript and run it. Raises FixedSize when it does not hold for the second size."""
    answers: list[Tensor] = []
    with _quiet(), torch.no_grad():
        loaded = torch.jit.load(str(file))
        for picture in pictures:
            try:
                answers.append(loaded(picture))
            except Exception as error:
                if free and answers:
                    raise FixedSize from error
                raise
    return Ran(f"torch {torch.__version__}", answers)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' chatter: what fails is an exception, and the result is compared anyway."""
    loggers: list[Any] = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
