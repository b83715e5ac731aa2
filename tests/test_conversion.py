"""A downloaded .pth is read as a pickle once, and from its safetensors copy afterwards."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hub_server import HubServer
from hub_support import REPO, sha
from safetensors import safe_open

from gantool import cache, conversion, hub, loading, selection, tensors
from gantool.catalog import Catalog, Checkpoint
from gantool.errors import UsageError, WeightsError
from gantool.models.srvgg import SRVGGNetCompact

pytest_plugins = ("hub_fixtures",)

ARGS = {"num_feat": 4, "num_conv": 1, "upscale": 2}
X = torch.rand(1, 3, 9, 7, generator=torch.Generator().manual_seed(1))


def saved(dtype: torch.dtype = torch.float32, wrapped: bool = True) -> bytes:
    """A checkpoint as the authors of Real-ESRGAN write theirs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = {name: tensor.to(dtype) for name, tensor in SRVGGNetCompact(**ARGS).state_dict().items()}
    buffer = io.BytesIO()
    torch.save({"params": state} if wrapped else state, buffer)
    return buffer.getvalue()


@pytest.fixture
def row(server: HubServer) -> Checkpoint:
    data = saved()
    server.add(REPO, "net.pth", data)
    return Checkpoint(
        "net",
        "upscale",
        arch="srvgg.SRVGGNetCompact",
        args=ARGS,
        source="hub",
        repo=REPO,
        file="net.pth",
        revision="main",
        sha256=sha(data),
        scale=2,
        key="params",
    )


@pytest.fixture
def pickles(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The pickles that were opened."""
    opened: list[Path] = []
    real = tensors._read_torch
    monkeypatch.setattr(tensors, "_read_torch", lambda path: opened.append(path) or real(path))
    return opened


def test_the_second_load_reads_the_copy(row: Checkpoint, pickles: list[Path]) -> None:
    path = hub.fetch(row)
    first = loading.load_net(row, path)(X)
    assert pickles == [path]
    assert torch.equal(loading.load_net(row, path)(X), first)
    assert pickles == [path]
    (copy,) = cache.copies(row)
    assert copy.parent.name == f"{row.sha256[:16]}-params" and copy.name == "net.safetensors"
    with safe_open(copy, framework="pt") as file:
        assert file.metadata() == {"format": "pt", "source_sha256": row.sha256, "key": "params"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_the_copy_keeps_the_precision(server: HubServer, row: Checkpoint, dtype: torch.dtype) -> None:
    data = saved(dtype)
    server.add(REPO, "net.pth", data)
    row = replace(row, sha256=sha(data))
    copy = conversion.stand_in(row, hub.fetch(row))
    state, _ = loading.read_state(copy)
    wanted, _ = loading.read_state(hub.fetch(row), "params")
    assert sorted(state) == sorted(wanted) and {t.dtype for t in state.values()} == {dtype}
    assert all(torch.equal(state[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("harm", ["deleted", "altered", "emptied", "forgotten"])
def test_a_harmed_copy_is_made_again(row: Checkpoint, pickles: list[Path], harm: str) -> None:
    path = hub.fetch(row)
    right = loading.load_net(row, path)(X)
    (copy,) = cache.copies(row)
    whole = copy.read_bytes()
    if harm == "deleted":
        copy.unlink()
    elif harm == "forgotten":
        cache.lock_file().unlink()
    else:
        copy.write_bytes(whole[:-4] + b"evil" if harm == "altered" else b"")
    assert torch.equal(loading.load_net(row, path)(X), right)
    assert pickles == [path, path] and copy.stat().st_size == len(whole)
    assert conversion.stand_in(row, path) == copy and len(pickles) == 2


def test_without_a_place_for_it_the_download_serves(
    row: Checkpoint, pickles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hub.fetch(row)
    cache.own_folder().mkdir(exist_ok=True)
    (cache.own_folder() / "converted").write_text("a file where the folder should be")
    assert conversion.stand_in(row, path) == path
    (cache.own_folder() / "converted").unlink()
    monkeypatch.setattr(conversion.records, "change", lambda *_: False)
    assert conversion.stand_in(row, path) == path and cache.copies(row) == []
    loading.load_net(row, path)


def test_a_file_without_a_row_of_its_own(server: HubServer, row: Checkpoint, pickles: list[Path]) -> None:
    spec = selection.named(f"hf:{REPO}/net.pth", Catalog(()))
    path = hub.fetch(spec)
    net, found = loading.load(spec, path)
    again, _ = loading.load(spec, path)
    assert found.name == "net" and found.arch == row.arch and len(pickles) == 1
    assert torch.equal(net(X), again(X))


def test_only_what_was_downloaded(row: Checkpoint, tmp_path: Path) -> None:
    file = tmp_path / "net.pth"
    file.write_bytes(saved())
    own = Checkpoint("net", "upscale", arch=row.arch, args=ARGS, file=str(file), scale=2)
    assert conversion.stand_in(own, file) == file
    loading.load_net(own, file)
    assert not (cache.own_folder() / "converted").exists()


def test_what_is_no_checkpoint_is_not_copied(server: HubServer, row: Checkpoint) -> None:
    data = b"<html>Please log in</html>"
    server.add(REPO, "net.pth", data)
    bad = replace(row, sha256=sha(data))
    with pytest.raises(WeightsError, match="web page"):
        loading.load_net(bad, hub.fetch(bad))
    assert cache.copies(bad) == []


def test_errors_name_what_was_asked_for_and_not_the_cache(server: HubServer, row: Checkpoint) -> None:
    """The first load makes the copy, the second reads it."""
    spec = selection.named(f"hf:{REPO}/net.pth", Catalog(()))
    path = hub.fetch(spec)
    other = replace(row, args=ARGS | {"num_feat": 5})
    for _ in range(2):
        with pytest.raises(UsageError) as wrong_task:
            loading.load(replace(spec, task="colorize"), path)
        with pytest.raises(WeightsError) as misfit:
            loading.load_net(other, path)
        assert wrong_task.value.file == f"hf:{REPO}/net.pth" and misfit.value.file == "net"
    _, found = loading.load(spec, path)
    assert found.file == f"hf:{REPO}/net.pth"  # which later errors name


def test_remove_takes_the_copy_too(row: Checkpoint) -> None:
    loading.load_net(row, hub.fetch(row))
    size = sum(copy.stat().st_size for copy in cache.copies(row))
    assert hub.remove(row) == size + len(saved()) and cache.copies(row) == []
