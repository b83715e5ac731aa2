"""What is loaded, what is refused, and that nothing in a refused file ever runs."""

from __future__ import annotations

import argparse
import io
import pickle
import struct
import sys
import types
import warnings
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gantool import loading
from gantool.catalog import Checkpoint, embedded_row
from gantool.errors import ExitCode, OutputError, Stopped, UsageError, WeightsError
from gantool.models.cyclegan import ResnetGenerator
from gantool.models.srvgg import SRVGGNetCompact

ARGS = {"num_feat": 8, "num_conv": 2, "upscale": 2}
ROW = Checkpoint(
    "tiny",
    "upscale",
    arch="srvgg.SRVGGNetCompact",
    args=ARGS,
    scale=2,
    radius=4,
    dtypes=("bf16",),
    licence="MIT",
    commercial=True,
    summary="a tiny net",
)
X = torch.rand(1, 3, 9, 7, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def net() -> SRVGGNetCompact:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SRVGGNetCompact(**ARGS).eval()


def refused(path: Path, *words: str) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(WeightsError) as caught:
        loading.read_state(path)
    assert caught.value.code == ExitCode.WEIGHTS
    text = str(caught.value)
    assert "\n" not in text and str(path) in text
    for word in words:
        assert word in text
    return text


# ---- files that load


def test_the_three_containers_give_the_same_net(net: SRVGGNetCompact, tmp_path: Path) -> None:
    state = net.state_dict()
    save_file(state, tmp_path / "a.safetensors")
    torch.save({"params": state}, tmp_path / "b.pth")
    torch.save(state, tmp_path / "c.pth", _use_new_zipfile_serialization=False)
    torch.save({"module." + k: v for k, v in state.items()}, tmp_path / "d.pth")
    for name, key in (
        ("a.safetensors", ""),
        ("b.pth", "params"),
        ("b.pth", ""),
        ("c.pth", ""),
        ("d.pth", ""),
    ):
        loaded = loading.load_net(replace(ROW, key=key), tmp_path / name)
        assert torch.equal(loaded(X), net(X))
        assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())


def test_a_zip_that_was_deflated_again_loads(net: SRVGGNetCompact, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "stored.pth")
    with (
        zipfile.ZipFile(tmp_path / "stored.pth") as stored,
        zipfile.ZipFile(tmp_path / "deflated.pth", "w", zipfile.ZIP_DEFLATED) as deflated,
    ):
        for entry in stored.infolist():
            deflated.writestr(entry.filename, stored.read(entry))
    assert torch.equal(loading.load_net(ROW, tmp_path / "deflated.pth")(X), net(X))


def test_half_precision_files_are_computed_in_float32(net: SRVGGNetCompact, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    loading.save_model(path, net, ROW, half=True)
    state, metadata = loading.read_state(path)
    assert {t.dtype for t in state.values()} == {torch.float16} and "gantool" in metadata
    loaded = loading.load_net(ROW, path)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert (loaded(X) - net(X)).abs().max() < 2e-3
    assert {p.dtype for p in loading.load_net(ROW, path, "cpu", torch.bfloat16).parameters()} == {
        torch.bfloat16
    }


def test_loading_leaves_the_random_numbers_alone(net: SRVGGNetCompact, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    loading.save_model(path, net, ROW)
    torch.manual_seed(7)
    loading.load_net(ROW, path)
    loading.load_foreign(path)
    after = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(after, torch.rand(1))


def test_loading_says_nothing(
    net: SRVGGNetCompact, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.save(net.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loading.load_net(ROW, tmp_path / "old.pth")
    assert capfd.readouterr() == ("", "")


# ---- saving


def test_a_saved_model_needs_no_other_flag(net: SRVGGNetCompact, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    loading.save_model(path, net, ROW)
    row = loading.row_of(path)
    assert row == replace(ROW, file=str(path)) == embedded_row(path)
    loaded, row = loading.load(Checkpoint("anything", "upscale", file=str(path)), path)
    assert row.name == "tiny" and torch.equal(loaded(X), net(X))
    with pytest.raises(UsageError, match=r"for upscale, not for colorize.*gantool upscale"):
        loading.load(Checkpoint("anything", "colorize", file=str(path)), path)


def test_saving_replaces_atomically(net: SRVGGNetCompact, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    loading.save_model(path, net, ROW)
    before = path.read_bytes()
    bad = {k: v * float("nan") for k, v in net.state_dict().items()}
    with pytest.raises(WeightsError, match="cannot be stored"):
        loading.save_model(path, bad, ROW)
    with pytest.raises(WeightsError, match="cannot be stored"):
        loading.save_model(path, {"w": torch.full((2,), 1e6)}, ROW, half=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    with pytest.raises(OutputError):
        loading.save_model(tmp_path / "missing" / "model.safetensors", net, ROW)


def test_shared_and_strided_tensors_are_saved_whole(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    state = {"a": base, "b": base, "c": base.t(), "n": torch.tensor(3)}
    loading.save_model(tmp_path / "m.safetensors", state, ROW, half=True)
    loaded, _ = loading.read_state(tmp_path / "m.safetensors")
    assert torch.equal(loaded["c"].float(), base.t()) and loaded["n"].item() == 3


# ---- recognising


@pytest.mark.parametrize(("conv", "scale"), [(16, 4), (32, 4), (0, 2), (3, 3)])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_bare_compact_net_is_recognised(tmp_path: Path, conv: int, scale: int, wrapped: bool) -> None:
    state = SRVGGNetCompact(num_feat=8, num_conv=conv, upscale=scale).state_dict()
    path = tmp_path / "unknown name.pth"
    torch.save({"params": state} if wrapped else state, path)
    row = loading.row_of(path)
    assert row is not None
    assert (row.scale, row.radius, row.name) == (scale, conv + 2, "unknown name")
    assert row.args["num_feat"] == 8 and row.args["num_conv"] == conv
    loaded, _ = loading.load(Checkpoint("x", "upscale", file=str(path)), path)
    assert loaded(X).shape == (1, 3, 9 * scale, 7 * scale)


@pytest.mark.parametrize(
    "state",
    [
        {"body.0.weight": torch.zeros(8, 3, 3, 3)},
        {"body.0.weight": torch.zeros(8), "body.2.bias": torch.zeros(12)},
        {"body.0.weight": torch.zeros(8, 3, 3, 3), "body.2.bias": torch.zeros(13)},
        {"body.0.weight": torch.zeros(8, 4, 3, 3), "body.2.bias": torch.zeros(16)},
        {"conv.weight": torch.zeros(1)},
    ],
    ids=range(5),
)
def test_other_layouts_are_not_taken_for_compact(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, tmp_path / "x.pth")
    assert loading.row_of(tmp_path / "x.pth") is None


def test_foreign_nets_go_through_spandrel(tmp_path: Path) -> None:
    from spandrel.architectures.ESRGAN import ESRGAN

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = ESRGAN(num_filters=8, num_blocks=1, scale=2, plus=True).eval()  # ours has no ESRGAN+
    path = tmp_path / "foreign.safetensors"
    save_file({k: v.contiguous() for k, v in theirs.state_dict().items()}, path)
    loaded, row = loading.load(Checkpoint("foreign", "upscale", file=str(path)), path)
    assert (row.task, row.scale, row.arch, row.licence) == ("upscale", 2, "", "unknown")
    assert "ESRGAN" in row.summary
    assert loaded(X[:, :, :8, :6]).shape == (1, 3, 16, 12)


def test_layers_that_run_as_one_are_merged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spandrel.architectures.SPAN import SPAN

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2).eval()
    path = tmp_path / "span.pth"
    torch.save({"params": theirs.state_dict()}, path)
    loaded, _ = loading.load_foreign(path)
    merging = next(layer for layer in loaded.modules() if hasattr(layer, "update_params"))
    monkeypatch.setattr(type(merging), "update_params", lambda self: pytest.fail("merged again"))
    with torch.no_grad():
        answer = loaded(X)
        monkeypatch.undo()
        assert torch.allclose(answer, theirs(X), atol=1e-6)
    assert loaded.state_dict().keys() == theirs.state_dict().keys()


def test_foreign_files_that_nobody_knows(tmp_path: Path) -> None:
    path = tmp_path / "foreign.pth"
    torch.save({"w": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="no known upscaler"):
        loading.load_foreign(path)
    with pytest.raises(WeightsError, match="which colorize model"):
        loading.load(Checkpoint("x", "colorize", file=str(path)), path)


@pytest.mark.parametrize("task", ["colorize", "translate"])
def test_spandrel_is_not_asked_for_tasks_that_cannot_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)  # to import it is an error now
    torch.save({"w": torch.zeros(3)}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=f"which {task} model.*if it enlarges pictures, `gantool upscale`"):
        loading.load(Checkpoint("x", task, file="x"), tmp_path / "x.pth")
    with pytest.raises(ImportError):
        loading.load(Checkpoint("x", "upscale", file="x"), tmp_path / "x.pth")


def legacy_net() -> nn.Module:
    torch.manual_seed(0)
    return ResnetGenerator(blocks=6, ngf=2, norm="instance").eval()


def test_old_translation_files_are_recognised(tmp_path: Path) -> None:
    """As torch 0.3 under DataParallel left them: prefixed, with statistics that instance norm never used."""
    theirs, path = legacy_net(), tmp_path / "latest_net_G.pth"
    state = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    state["module.model.2.running_mean"] = state["module.model.2.running_var"] = torch.ones(2)
    torch.save(state, path, _use_new_zipfile_serialization=False)
    net, row = loading.load(Checkpoint("x", "translate", file=str(path)), path)
    assert (row.name, row.task, row.signed, row.whole) == ("latest_net_G", "translate", True, True)
    assert (row.arch, row.multiple, row.bytes) == ("cyclegan.ResnetGenerator", 4, path.stat().st_size)
    x = torch.rand(1, 3, 16, 20) * 2 - 1
    assert torch.equal(net(x), theirs(x))
    assert torch.equal(loading.load_net(row, path)(x), theirs(x))  # a catalog row for such a file does too


def test_translation_files_are_not_for_other_tasks_nor_upscalers_for_translate(
    net: SRVGGNetCompact, tmp_path: Path
) -> None:
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.save(legacy_net().state_dict(), tmp_path / "g.pth")
    torch.save(net.state_dict(), tmp_path / "compact.pth")
    torch.save(ESRGAN(num_filters=8, num_blocks=1, scale=2).state_dict(), tmp_path / "esrgan.pth")
    for name, task, found in (
        ("g.pth", "upscale", "translate"),
        ("g.pth", "colorize", "translate"),
        ("compact.pth", "translate", "upscale"),
        ("esrgan.pth", "translate", "upscale"),
    ):
        with pytest.raises(UsageError, match=rf"for {found}, not for {task}.*Use `gantool {found}`"):
            loading.load(Checkpoint("x", task, file=name), tmp_path / name)


def test_files_with_several_nets_say_which(tmp_path: Path) -> None:
    state, path = legacy_net().state_dict(), tmp_path / "all.pth"
    torch.save({"netG_A": state, "netG_B": state, "epoch": 3}, path)
    with pytest.raises(WeightsError, match=r"several nets: netG_A, netG_B .*of its own"):
        loading.row_of(path)
    torch.save({f"{word}.{name}": v for word in ("B2A", "A2B") for name, v in state.items()}, path)
    with pytest.raises(WeightsError, match=r"several nets: A2B, B2A .*of its own"):
        loading.row_of(path)


# ---- files that do not fit


def test_misfits(net: SRVGGNetCompact, tmp_path: Path) -> None:
    state = net.state_dict()
    cases = {
        "1 tensors missing (body.0.bias)": {k: v for k, v in state.items() if k != "body.0.bias"},
        "1 tensors unknown (evil)": state | {"evil": torch.zeros(1)},
        "body.0.bias has shape (9,), expected (8,)": state | {"body.0.bias": torch.zeros(9)},
        "body.0.bias is torch.int64": state | {"body.0.bias": torch.zeros(8, dtype=torch.int64)},
    }
    for words, bad in cases.items():
        save_file(bad, tmp_path / "bad.safetensors")
        with pytest.raises(WeightsError) as caught:
            loading.load_net(ROW, tmp_path / "bad.safetensors")
        assert words in str(caught.value)


def test_a_net_that_is_too_large_is_never_allocated(net: SRVGGNetCompact, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    loading.save_model(path, net, ROW)
    huge = replace(ROW, args={"num_feat": 10_000, "num_conv": 100, "upscale": 4})  # 360 GB
    with pytest.raises(WeightsError, match="does not fit"):
        loading.load_net(huge, path)


@pytest.mark.parametrize(
    "arch",
    ["os.system", "srvgg.F", "srvgg.nn", "srvgg.Tensor", "srvgg.missing", "srvgg.__doc__", "a.b.c", "..x.Y"],
)
def test_other_architectures_cannot_be_named(net: SRVGGNetCompact, tmp_path: Path, arch: str) -> None:
    path = tmp_path / "net.safetensors"
    loading.save_model(path, net, ROW)
    with pytest.raises(WeightsError, match="not part of this version"):
        loading.load_net(replace(ROW, arch=arch), path)


def test_wrong_arguments(net: SRVGGNetCompact, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    loading.save_model(path, net, ROW)
    for args in ({"surprise": 1}, {"num_feat": -3}, {"num_feat": "many"}):
        with pytest.raises(WeightsError, match="cannot be built"):
            loading.load_net(replace(ROW, args=args), path)


# ---- files that must not be opened


class Bomb:
    """Runs a command when unpickled without care."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (f"touch '{self.flag}'",)


@pytest.mark.parametrize("new_format", [True, False])
def test_code_in_a_pickle_does_not_run(tmp_path: Path, new_format: bool) -> None:
    flag = tmp_path / "ran"
    path = tmp_path / "evil.pth"
    torch.save({"params": Bomb(flag)}, path, _use_new_zipfile_serialization=new_format)
    assert "system" in refused(path, "Python objects")
    path.write_bytes(pickle.dumps(Bomb(flag)))
    refused(path)
    for read in (loading.row_of, loading.load_foreign):
        with pytest.raises(WeightsError):
            read(path)
    assert not flag.exists()


def test_whole_pickled_modules_and_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("somebodys_code")

    class Net(nn.Module):
        pass

    Net.__module__, Net.__qualname__ = "somebodys_code", "Net"
    module.Net = Net  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "somebodys_code", module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(Net(), tmp_path / "module.pth")
    monkeypatch.delitem(sys.modules, "somebodys_code")
    refused(tmp_path / "module.pth", "Python objects", "somebodys_code.Net", "state dict")
    torch.save({"args": argparse.Namespace(lr=1), "params": {"w": torch.zeros(1)}}, tmp_path / "ns.pth")
    refused(tmp_path / "ns.pth", "Python objects (argparse.Namespace)")


def test_torchscript(tmp_path: Path) -> None:
    path = tmp_path / "script.pth"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(nn.Linear(2, 2)).save(str(path))
    refused(path, "TorchScript")


def test_things_that_are_no_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    texts = {
        "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n",
        "web page": b"\n<!DOCTYPE html><html></html>",
        "not a checkpoint": b"hello, this is text",
        "is empty": b"",
        "damaged": b"\x80\x02garbage",
    }
    for words, data in texts.items():
        path.write_bytes(data)
        refused(path, words)
    refused(tmp_path / "missing.pth", "No such file")
    refused(tmp_path, "directory")
    path.write_bytes(b"PK\x03\x04 and no more")
    refused(path, "cut short")
    (tmp_path / "x.safetensors").write_bytes(b"hello, this is text")
    refused(tmp_path / "x.safetensors", "damaged")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_truncated_files(net: SRVGGNetCompact, tmp_path: Path, part: float) -> None:
    state = net.state_dict()
    torch.save(state, tmp_path / "a.pth")
    torch.save(state, tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "c.safetensors")
    for path in sorted(tmp_path.iterdir()):
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * part)])
        refused(path, "damaged or cut short")


def test_lying_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for header in (
        b'{"w":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4]}}',
        b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4000000000]}}',
        b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}',
        b'{"w":1}',
        b"{",
    ):
        path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
        refused(path)
    path.write_bytes(struct.pack("<Q", 2**60) + b"{" + b"\0" * 100)
    refused(path)
    path.write_bytes(struct.pack("<Q", 2) + b"{}")
    refused(path, "no state dict")


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path, bomb = tmp_path / "x.pth", tmp_path / "bomb.pth"
    torch.save({"w": torch.zeros(6_000_000)}, path)
    with (
        zipfile.ZipFile(path) as stored,
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as deflated,
    ):
        for entry in stored.infolist():
            deflated.writestr(entry.filename, stored.read(entry))
    assert bomb.stat().st_size < 1_000_000
    refused(bomb, "zip bomb")


def test_too_many_entries_and_names_that_climb(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(20_001):
            archive.writestr(f"a/data/{i}", b"")
    refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil", b"x")
    refused(path, "lead out")


def test_another_kind_of_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "weights.docx", "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    refused(tmp_path / "weights.docx", "this is a zip archive, not a checkpoint")


def test_arrays_of_numpy_are_a_state_dict(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", w=np.arange(3.0))
    state, metadata = loading.read_state(tmp_path / "weights.npz")
    assert state["w"].tolist() == [0, 1, 2] and state["w"].dtype == torch.float64 and not metadata
    np.savez(tmp_path / "complex.npz", w=np.zeros(3, complex))
    refused(tmp_path / "complex.npz", "of a kind that gantool does not take")
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", bytes(40 * 2**20))
    refused(tmp_path / "bomb.npz", "like a zip bomb")


@pytest.mark.parametrize("new_format", [True, False])
def test_a_giant_over_four_bytes_is_refused(tmp_path: Path, new_format: bool) -> None:
    path = tmp_path / "x.pth"
    giant = torch.zeros(1).expand(100_000, 100_000)
    torch.save({"w": giant}, path, _use_new_zipfile_serialization=new_format)
    assert path.stat().st_size < 10_000
    refused(path, "claims 40,000,000,000 bytes")


def test_many_views_of_one_storage_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    base = torch.zeros(1_000_000)
    torch.save({f"w{i}": base for i in range(200)}, path)
    refused(path, "share memory")


def test_entries_that_are_not_plain_tensors(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    for words, obj in {
        "holds a list": [torch.zeros(1)],
        "holds a Tensor": torch.zeros(1),
        "no state dict, only: epoch": {"epoch": 3},
        "entry 'lr' of the checkpoint is a float": {"w": torch.zeros(1), "lr": 0.1},
        "tensor 'w' is of a kind": {"w": torch.zeros(3, dtype=torch.complex64)},
        "tensor 's' is of a kind": {"s": torch.eye(3).to_sparse()},
        "tensor 'w' holds NaN": {"w": torch.tensor([float("nan")])},
        "tensor 'w' holds NaN or infinite": {"w": torch.tensor([float("inf")])},
    }.items():
        torch.save(obj, path)
        refused(path, words)
    torch.save({"g": OrderedDict(w=torch.zeros(1))}, path)
    refused(path, "only: g")
    assert loading.read_state(path, "g")[0].keys() == {"w"}


def test_a_signal_while_loading_stays_a_signal(
    net: SRVGGNetCompact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise Stopped

    torch.save(net.state_dict(), tmp_path / "x.pth")
    for owner, name in ((torch, "load"), (SRVGGNetCompact, "__init__")):
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            patch.setattr(owner, name, stop)
            loading.load_net(ROW, tmp_path / "x.pth")


def test_fuzzed_files_never_surprise(net: SRVGGNetCompact, tmp_path: Path) -> None:
    """Random damage gives a WeightsError or a state dict, nothing else."""
    generator = torch.Generator().manual_seed(3)
    buffer = io.BytesIO()
    torch.save(net.state_dict(), buffer, _use_new_zipfile_serialization=False)
    save_file(net.state_dict(), tmp_path / "good.safetensors")
    for good in (buffer.getvalue(), (tmp_path / "good.safetensors").read_bytes()):
        for _ in range(40):
            data = bytearray(good)
            for place in torch.randint(0, min(len(data), 3000), (4,), generator=generator).tolist():
                data[place] = int(torch.randint(0, 256, (1,), generator=generator))
            path = tmp_path / "fuzzed"
            path.write_bytes(bytes(data))
            try:
                loading.read_state(path)
            except WeightsError:
                continue
