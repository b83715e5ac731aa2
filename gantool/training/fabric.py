"""Devices, processes and precision, through Lightning Fabric; and a step's batch in parts."""

from __future__ import annotations

import atexit
import logging
import os
import subprocess
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gantool import catalog
from gantool.errors import DeviceError, UsageError
from gantool.ops import fewpixels
from gantool.training.request import TrainRequest

STRATEGIES = ("auto", "ddp")


def fabric_for(request: TrainRequest) -> Any:
    """A launched Lightning Fabric on the devices and in the precision asked for (auto: bf16 if it is fast).

    ``request.precision`` is then the one taken. With several devices it starts the other processes, which
    run the same command; all but the first are silenced.

    Raises:
        DeviceError: there are fewer devices than asked for.
        UsageError: an unknown strategy.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    from gantool.devices import cpu_threads, pick_device, pick_dtype, precision_name, use_threads

    if request.strategy not in STRATEGIES:
        raise UsageError(f"no strategy called '{request.strategy}'", remedy=f"Known: {', '.join(STRATEGIES)}")
    device = pick_device(request.device)
    if device.type == "cuda" and request.devices > torch.cuda.device_count():
        _too_few(request.devices, torch.cuda.device_count(), "GPU")
    if device.type == "cpu" and request.devices > (os.cpu_count() or 1):
        _too_few(request.devices, os.cpu_count() or 1, "CPU core")
    if device.type == "mps" and request.devices > 1:
        _too_few(request.devices, 1, "GPU")
    any_precision = catalog.Checkpoint(name=request.task, task=request.task, dtypes=("bf16", "fp16"))
    dtype = pick_dtype(request.precision, device, any_precision)
    request.precision = precision_name(dtype)
    precision = {torch.float32: "32-true", torch.bfloat16: "bf16-mixed", torch.float16: "16-mixed"}[dtype]
    _hush()
    several = request.devices * request.nodes > 1
    strategy: Any = "auto"
    if several or request.strategy == "ddp":
        # Buffers are each process's own: a broadcast in the middle of a step would break the second backward.
        strategy = DDPStrategy(
            process_group_backend="nccl" if device.type == "cuda" else "gloo", broadcast_buffers=False
        )
    devices: Any = request.devices
    if device.type == "cuda" and not several:
        devices = [device.index or 0]
    fabric = Fabric(
        accelerator=device.type,
        devices=devices,
        num_nodes=request.nodes,
        strategy=strategy,
        precision=precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    if several:
        atexit.register(_end, fabric)
    # After the launch, which sets OMP_NUM_THREADS for several processes.
    use_threads(request.threads or max(1, cpu_threads() // request.devices))
    if fabric.global_rank:
        request.quiet()
    return fabric


def _end(fabric: Any) -> None:
    """Leave no process behind when this one fails: the others would wait for it."""
    for process in getattr(fabric.strategy.launcher, "procs", ()):
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()


def _too_few(wanted: int, there: int, what: str) -> None:
    raise DeviceError(
        f"--devices {wanted} on a machine with {there} {what}{'s' * (there != 1)}",
        remedy=f"Use --devices {max(1, there)}" + (" or --device cpu" if not there else ""),
    )


def _hush() -> None:
    """Fabric announces every precision and process; PyTorch warns of what Fabric does inside."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    for name in ("lightning_fabric.utilities.distributed", "lightning.fabric.utilities.distributed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module=r"lightning_fabric\..*")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def set_up(
    fabric: Any,
    request: TrainRequest,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    plain_on_cpu: bool = False,
) -> tuple[Any, Any]:
    """A net and its optimiser for the loop: channels-last, compiled if asked for, one copy per process.

    ``plain_on_cpu`` leaves it in the plain order there: quicker for CycleGAN's nets, slower for others.
    Layers of many weights and few pixels have a way of their own there (``ops/fewpixels.py``).
    Batch norm is synchronised over processes on GPUs (on CPUs PyTorch cannot).
    ``net`` itself stays what is averaged, sampled and saved; its parameters are those of what is returned.
    """
    if not (plain_on_cpu and fabric.device.type == "cpu"):
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if fabric.device.type == "cpu":
        fewpixels.quicken(net)
    _mend_instance_norm(net)
    ready: nn.Module = net
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        ready = nn.SyncBatchNorm.convert_sync_batchnorm(ready)
    if request.compile:
        ready = torch.compile(ready)  # type: ignore[assignment]
    return fabric.setup(ready, optimizer)


def _mend_instance_norm(net: nn.Module) -> None:
    """Give instance norms gradients in the plain memory order.

    On a CPU, PyTorch 2.15 computes wrong ones for a single picture whose gradient arrives channels-last.
    """

    def order(module: nn.Module, inputs: Any, output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda gradient: gradient.contiguous())

    for module in net.modules():
        if isinstance(module, nn.InstanceNorm2d):
            module.register_forward_hook(order)


def share_of(fabric: Any, batch: int, accumulate: int) -> tuple[int, int]:
    """(rank, processes) among which a step's batch is shared.

    Raises:
        UsageError: the batch cannot be shared evenly.
    """
    parts = fabric.world_size * accumulate
    if batch % parts:
        devices = f" by {fabric.world_size} devices" if fabric.world_size > 1 else ""
        pieces = f" in {accumulate} parts{' each' if devices else ''}" if accumulate > 1 else ""
        raise UsageError(
            f"a batch of {batch} cannot be shared evenly{devices}{pieces}",
            remedy=f"Use --set batch={max(1, batch // parts) * parts}",
        )
    return fabric.global_rank, fabric.world_size


def micro_batches(batch: Sequence[Tensor], accumulate: int) -> Iterator[tuple[list[Tensor], bool]]:
    """A process's share of a step in ``accumulate`` equal parts, each with whether it is the last.

    Gradients of the parts, each divided by their number, add up to those of the whole.
    """
    pieces = [tensor.chunk(accumulate) for tensor in batch]
    for i in range(accumulate):
        yield [piece[i] for piece in pieces], i == accumulate - 1


def channels_last(x: Tensor, plain_on_cpu: bool = False) -> Tensor:
    """(N,C,H,W) in the memory order in which convolutions are quickest; see :func:`set_up`."""
    if plain_on_cpu and x.device.type == "cpu":
        return x
    return x.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def grad_norm(fabric: Any, net: nn.Module) -> Tensor:
    """L2 norm of all gradients of a net, before the optimiser's step."""
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    if not gradients:
        return torch.zeros(())
    scaler = getattr(fabric._precision, "scaler", None)  # fp16: gradients are scaled until the step
    norm = torch.nn.utils.get_total_norm(gradients)
    return norm / scaler.get_scale() if scaler is not None else norm


class Scaler:
    """The loss scale of fp16, as a part of a training's state; empty in the other precisions."""

    def __init__(self, fabric: Any) -> None:
        self._precision = fabric._precision

    def state_dict(self) -> dict[str, Any]:
        return self._precision.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._precision.load_state_dict(state)
