"""What ``--device``, ``--precision`` and ``--threads`` mean on this machine."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path
from typing import Literal

import torch

from gantool.catalog import Checkpoint
from gantool.errors import DeviceError, UsageError

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT = 1 << 30  # bytes
_GROUP = Path("/sys/fs/cgroup")
_MODEST = 8 << 30  # bytes of memory, where the system does not tell
_BYTES_PER_PX = 30  # of a result in memory
_MEMORY_WORDS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)


def pick_device(spec: str = "auto") -> torch.device:
    """The device of ``--device auto|cpu|cuda|cuda:N|mps``.

    ``auto`` is GANTOOL_DEVICE if that is set, else a CUDA GPU, else MPS, else the CPU. Raises UsageError for
    another word, DeviceError for a device that is not there.
    """
    if spec == "auto":
        named = os.environ.get("GANTOOL_DEVICE", "").strip()
        if named and named != "auto":
            return _named(named, "GANTOOL_DEVICE")
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    return _named(spec, "--device")


def device_class(device: torch.device) -> Literal["cpu", "gpu"]:
    """The word by which catalog rows recommend themselves."""
    return "cpu" if device.type == "cpu" else "gpu"


def precision_name(dtype: torch.dtype) -> str:
    """ "fp32", "bf16" or "fp16"."""
    return next(name for name, known in _DTYPES.items() if known == dtype)


def pick_dtype(spec: str, device: torch.device, row: Checkpoint) -> torch.dtype:
    """The type to compute in, of ``--precision auto|fp32|bf16|fp16``.

    ``auto`` is bf16 where both the device is quick at it and the row is cleared for it, else float32.
    Raises UsageError for another word and for a precision that the row is not cleared for, DeviceError for
    one that the device cannot do.
    """
    if spec == "auto":
        return torch.bfloat16 if "bf16" in row.dtypes and _fast_bf16(device) else torch.float32
    if spec not in _DTYPES:
        raise UsageError(f"unknown precision '{spec}'", remedy="Use --precision auto, fp32, bf16 or fp16.")
    if spec != "fp32" and spec not in row.dtypes and row.arch:  # of a stranger's file, the user knows more
        raise UsageError(f"{row.name} is not cleared for {spec}", remedy="Use --precision auto or fp32.")
    if spec == "fp16" and device.type == "cpu":
        raise DeviceError("a CPU does not compute in fp16", remedy="Use --precision auto, bf16 or fp32.")
    return _DTYPES[spec]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out, on any device: smaller tiles or batches may help."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _MEMORY_WORDS)


def remedy_for_memory(device: torch.device, *ways: str) -> str:
    """What to do where the memory of a device is short: these, or the CPU, if it is another device."""
    ways = ways if device.type == "cpu" else (*ways, "--device cpu")
    return f"Use {' or '.join(ways)}" if ways else "Close other programs, or use a machine with more memory"


def memory_of(device: torch.device) -> int:
    """Bytes of memory that a device has, in use or not; a container's limit counts."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    return min([*limits, *_granted()], default=_MODEST)


def check_memory(height: int, width: int) -> None:
    """Refuse a result for which this machine's free memory cannot do, before the system kills the program.

    Counted are an RGB picture in float, twice, and in whole numbers; Linux alone tells what is free.

    Args:
        height, width: of the result, px.

    Raises:
        DeviceError: it is short.
    """
    needed, free = height * width * _BYTES_PER_PX, _free_memory()
    if free is not None and needed > free:
        sizes = f"about {needed / 1e9:.0f} GB of memory, and {free / 1e9:.0f} GB are free"
        what = f"a result of {width}x{height} px needs {sizes}"
        raise DeviceError(what, remedy="Make it smaller")


def _free_memory() -> int | None:
    """Bytes that could be had without swapping; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def cpu_threads() -> int:
    """How many threads to compute with: no more than cores, affinity, cgroup quota and OMP_NUM_THREADS allow.

    A second thread on a busy or shared core makes the whole slower, so hyper-threads do not count.
    """
    limits = [_physical_cores(), _affinity(), _quota()]
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdigit() and int(wanted) > 0:
        limits.append(int(wanted))
    return max(1, min(limit for limit in limits if limit is not None))


def use_threads(count: int | None = None) -> None:
    """Let torch compute with so many threads, by default :func:`cpu_threads`, and make it ready for that.

    Where the C library is glibc, freed blocks of any size are kept for what comes next: by default those of
    a large picture go back to the system each time, and to get them anew costs more than many a layer
    (a film enlarged to 1704x960: 5 % of its processor time).
    """
    torch.set_num_threads(count or cpu_threads())
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _KEPT)
            mallopt(_M_TRIM_THRESHOLD, _KEPT)


def _named(spec: str, where: str) -> torch.device:
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,3})?", spec):
        raise UsageError(f"unknown device '{spec}'", remedy=f"Set {where} to auto, cpu, cuda, cuda:N or mps.")
    device = torch.device(spec)
    other = f"Set {where} to cpu, or leave it out; `gantool doctor` shows what is here."
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("this machine has no MPS device", remedy=other)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise DeviceError("no CUDA device is usable here", remedy=other)
        if (device.index or 0) >= count:
            raise DeviceError(
                f"there is no {spec}, only {count} CUDA device{'s' * (count > 1)}", remedy=other
            )
    return device


def _fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8  # older ones only emulate it
    if device.type == "cpu":
        return bool({"avx512_bf16", "amx_bf16"} & _cpu_flags())
    return False


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return set()
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return set(found[1].split()) if found else set()


def _physical_cores() -> int | None:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return os.cpu_count()
    cores = set()
    for block in text.split("\n\n"):
        package = re.search(r"^physical id\s*:\s*(\d+)", block, re.MULTILINE)
        core = re.search(r"^core id\s*:\s*(\d+)", block, re.MULTILINE)
        if package and core:
            cores.add((package[1], core[1]))
    return len(cores) or os.cpu_count()


def _affinity() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _granted() -> list[int]:
    """The memory that a container grants, bytes, if any."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return [int((_GROUP / name).read_text("ascii"))]
        except (OSError, ValueError):  # not there, or "max"
            continue
    return []


def _quota() -> int | None:
    """The CPU share that a container grants, rounded up, or None."""
    try:
        if (_GROUP / "cpu.max").is_file():
            quota, period = (_GROUP / "cpu.max").read_text("utf-8").split()[:2]
        else:
            quota = (_GROUP / "cpu" / "cpu.cfs_quota_us").read_text("utf-8")
            period = (_GROUP / "cpu" / "cpu.cfs_period_us").read_text("utf-8")
        if quota == "max" or int(quota) <= 0:
            return None
        return max(1, -(-int(quota) // int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return None
