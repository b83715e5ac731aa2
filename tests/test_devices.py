"""--device, --precision, --threads. No accelerator is needed: what torch would say is made up."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gantool import devices
from gantool.catalog import Checkpoint
from gantool.errors import DeviceError, ExitCode, UsageError

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)
BF16 = Checkpoint("a", "upscale", arch="srvgg.SRVGGNetCompact", dtypes=("bf16",))
FP32 = Checkpoint("b", "upscale", arch="srvgg.SRVGGNetCompact")
UNKNOWN = Checkpoint("c", "upscale")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without accelerator and without our environment variable."""
    monkeypatch.delenv("GANTOOL_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def give_cuda(monkeypatch: pytest.MonkeyPatch, count: int = 1, capability: tuple[int, int] = (9, 0)) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)


def test_auto_prefers_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.pick_device("auto") == CPU
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices.pick_device("auto").type == "mps"
    give_cuda(monkeypatch)
    assert devices.pick_device("auto") == CUDA
    assert devices.pick_device("cpu") == CPU


def test_the_environment_names_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    give_cuda(monkeypatch, 2)
    monkeypatch.setenv("GANTOOL_DEVICE", "cuda:1")
    assert devices.pick_device("auto") == torch.device("cuda:1")
    assert devices.pick_device("cpu") == CPU
    monkeypatch.setenv("GANTOOL_DEVICE", "toaster")
    with pytest.raises(UsageError, match="GANTOOL_DEVICE"):
        devices.pick_device("auto")


@pytest.mark.parametrize("spec", ["gpu", "cuda:", "cuda:x", "CPU", "", "cuda:1000", "meta", "cpu:0"])
def test_unknown_words(spec: str) -> None:
    with pytest.raises(UsageError, match="unknown device") as caught:
        devices.pick_device(spec)
    assert caught.value.code == ExitCode.USAGE


def test_absent_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for spec in ("cuda", "cuda:0", "mps"):
        with pytest.raises(DeviceError) as caught:
            devices.pick_device(spec)
        assert caught.value.code == ExitCode.DEVICE and "--device" in str(caught.value)
    give_cuda(monkeypatch, 2)
    assert devices.pick_device("cuda:1").index == 1
    with pytest.raises(DeviceError, match="only 2 CUDA devices"):
        devices.pick_device("cuda:2")


def test_device_classes() -> None:
    assert devices.device_class(CPU) == "cpu"
    assert devices.device_class(CUDA) == devices.device_class(torch.device("mps")) == "gpu"


def test_auto_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    for flags, expected in (
        ({"avx2"}, torch.float32),
        ({"avx512_bf16"}, torch.bfloat16),
        ({"amx_bf16"}, torch.bfloat16),
    ):
        monkeypatch.setattr(devices, "_cpu_flags", lambda flags=flags: flags)
        assert devices.pick_dtype("auto", CPU, BF16) == expected
        assert devices.pick_dtype("auto", CPU, FP32) == torch.float32
    give_cuda(monkeypatch)
    assert devices.pick_dtype("auto", CUDA, BF16) == torch.bfloat16
    assert devices.pick_dtype("auto", CUDA, FP32) == torch.float32
    give_cuda(monkeypatch, capability=(7, 5))
    assert devices.pick_dtype("auto", CUDA, BF16) == torch.float32
    assert devices.pick_dtype("auto", torch.device("mps"), BF16) == torch.float32


def test_named_precision() -> None:
    assert devices.pick_dtype("fp32", CPU, FP32) == torch.float32
    assert devices.pick_dtype("bf16", CPU, BF16) == torch.bfloat16
    assert devices.pick_dtype("fp16", CUDA, UNKNOWN) == torch.float16
    with pytest.raises(UsageError, match="not cleared for bf16"):
        devices.pick_dtype("bf16", CPU, FP32)
    with pytest.raises(UsageError, match="unknown precision"):
        devices.pick_dtype("int8", CPU, BF16)
    with pytest.raises(DeviceError, match="fp16"):
        devices.pick_dtype("fp16", CPU, UNKNOWN)


def test_out_of_memory_is_recognised() -> None:
    assert devices.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert devices.is_out_of_memory(MemoryError())
    assert devices.is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"))
    assert not devices.is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not devices.is_out_of_memory(ValueError("out of memory"))


def test_real_cpu_exhaustion_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**48)
    assert devices.is_out_of_memory(caught.value)


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert 1 <= devices.cpu_threads() <= (os.cpu_count() or 1)
    for cores, affinity, quota, wanted, expected in (
        (8, 16, None, "", 8),
        (8, 4, None, "", 4),
        (8, 16, 2, "", 2),
        (8, 16, None, "3", 3),
        (8, 16, None, "3,2", 3),
        (None, None, 5, "0", 5),
        (8, 16, None, "many", 8),
    ):
        monkeypatch.setattr(devices, "_physical_cores", lambda cores=cores: cores)
        monkeypatch.setattr(devices, "_affinity", lambda affinity=affinity: affinity)
        monkeypatch.setattr(devices, "_quota", lambda quota=quota: quota)
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
        assert devices.cpu_threads() == expected


def test_threads_are_used_and_large_blocks_are_kept():
    before = torch.get_num_threads()
    try:
        devices.use_threads(1)
        assert torch.get_num_threads() == 1
        devices.use_threads()
        assert torch.get_num_threads() == devices.cpu_threads()
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep blocks as they like")
def test_a_large_block_is_not_fetched_from_the_system_each_time():
    script = """
import resource, torch
from gantool import devices
devices.use_threads(1)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = 0
for turn in range(24):
    torch.ones(40_000_000)
    before = faults() if turn == 11 else before  # the heap grows in up to six of the first turns
print(faults() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2000  # 160 MB are 39,000 pages, and twelve times that


def test_a_result_that_no_memory_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    devices.check_memory(4000, 6000)
    with pytest.raises(DeviceError, match=r"a result of 1000000x1000000 px needs about 30000 GB of memory"):
        if devices._free_memory() is None:
            monkeypatch.setattr(devices, "_free_memory", lambda: 8 << 30)
        devices.check_memory(1_000_000, 1_000_000)
    monkeypatch.setattr(devices, "_free_memory", lambda: None)  # where the system does not tell
    devices.check_memory(1_000_000, 1_000_000)


def test_the_memory_of_a_device_is_what_the_machine_or_the_container_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "_granted", list)
    whole = devices.memory_of(CPU)
    assert whole > 100 << 20
    monkeypatch.setattr(devices, "_granted", lambda: [whole // 2])
    assert devices.memory_of(CPU) == whole // 2
    monkeypatch.setattr(devices, "_granted", lambda: [2 * whole])  # a version 1 group without a limit
    assert devices.memory_of(CPU) == whole


@pytest.mark.parametrize(("text", "granted"), [("4294967296\n", [1 << 32]), ("max\n", []), (None, [])])
def test_what_a_container_grants(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, granted: list[int]
) -> None:
    if text is not None:
        (tmp_path / "memory.max").write_text(text)
    monkeypatch.setattr(devices, "_GROUP", tmp_path)
    assert devices._granted() == granted


def test_what_helps_where_memory_is_short() -> None:
    assert devices.remedy_for_memory(CUDA) == "Use --device cpu"
    assert devices.remedy_for_memory(CUDA, "a smaller --tile-px") == "Use a smaller --tile-px or --device cpu"
    assert devices.remedy_for_memory(CPU, "a smaller --tile-px") == "Use a smaller --tile-px"
    assert "--device" not in devices.remedy_for_memory(CPU)
