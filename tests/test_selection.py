"""What --model means: auto, builtin, a name, a path, a file on the hub."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hub_server import COMMIT, HubServer
from hub_support import DATA, FILE, REPO, sha

from gantool import cache, hub
from gantool.catalog import Catalog, Checkpoint, load_catalog
from gantool.errors import UsageError, WeightsError
from gantool.selection import Choice, select

pytest_plugins = ("hub_fixtures",)
pytestmark = pytest.mark.usefixtures("hub_home")


@pytest.fixture
def catalog(hub_row: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    folder = tmp_path / "builtin"
    folder.mkdir()
    (folder / "small.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(cache, "builtin_file", lambda row: folder / row.file)
    own = Checkpoint(
        "own",
        "upscale",
        arch="srvgg.SRVGGNetCompact",
        source="builtin",
        file="small.safetensors",
        sha256=sha(b"weights"),
        scale=4,
    )
    best = replace(hub_row, name="best", recommended=("gpu",), scale=4, licence="MIT", commercial=True)
    grey = replace(hub_row, name="tint", task="colorize")
    return Catalog((own, replace(own, name="own-x2", scale=2), best, grey))


def test_auto_takes_the_built_in_and_names_the_better_one(catalog: Catalog) -> None:
    choice = select("auto", "upscale", catalog=catalog, device_class="gpu")
    assert choice.row.name == "own" and choice.path is not None
    assert choice.notice == (
        "Using own (built-in); best is recommended: `gantool models pull best` (3.0 MB, MIT)."
    )
    choice = select("auto", "upscale", catalog=catalog, device_class="cpu")
    assert choice.notice == "Using own (built-in)."
    assert select("auto", "upscale", catalog=catalog, scale=2).row.name == "own-x2"
    assert select("auto", "upscale", catalog=catalog, scale=2.5).row.name == "own"
    assert select("auto", "upscale", catalog=catalog, scale=8).row.name == "own"


def test_auto_where_nothing_is_built_in(
    catalog: Catalog, hub_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recommended model counts as here when all of its parts are."""
    part = Checkpoint("paint-eye", "style", source="https", url="https://x.org/eye", bytes=700_000)
    row = replace(
        part, name="paint", bytes=600_000, licence="MIT", needs=("paint-eye",), recommended=("cpu",)
    )
    several = Catalog((*catalog.rows, row, part))
    with pytest.raises(WeightsError) as caught:
        select("auto", "style", catalog=several)
    assert str(caught.value) == (
        "style has no built-in model, and paint, which is recommended, is not here. "
        "`gantool models pull paint` gets it (1.3 MB, MIT)."
    )
    here = {"paint"}
    monkeypatch.setattr("gantool.cache.find", lambda row, *_: hub_home if row.name in here else None)
    monkeypatch.setattr("gantool.hub.verified", lambda row: hub_home)
    with pytest.raises(WeightsError, match="not here"):
        select("auto", "style", catalog=several)
    here.add("paint-eye")
    assert select("auto", "style", catalog=several) == Choice(row, hub_home, "Using paint.")


def test_auto_never_asks_the_network(server: HubServer, catalog: Catalog) -> None:
    best = catalog.get("best")
    path = hub.fetch(best)
    server.requests.clear()
    choice = select("auto", "upscale", catalog=catalog, device_class="gpu")
    assert (choice.row.name, choice.path) == ("best", path)
    path.resolve().write_bytes(b"!" + DATA[1:])
    choice = select("auto", "upscale", catalog=catalog, device_class="gpu")
    assert choice.row.name == "own" and "damaged" in (choice.notice or "")
    assert server.requests == []


def test_builtin_missing_or_altered(catalog: Catalog, tmp_path: Path) -> None:
    assert select("builtin", "upscale", catalog=catalog, scale=2).row.name == "own-x2"
    file = tmp_path / "builtin" / "small.safetensors"
    file.write_bytes(b"altered")
    with pytest.raises(WeightsError, match=r"altered.*Reinstall"):
        select("builtin", "upscale", catalog=catalog)
    file.unlink()
    with pytest.raises(WeightsError, match=r"missing.*Reinstall"):
        select("auto", "upscale", catalog=catalog)
    with pytest.raises(UsageError, match="stays"):
        hub.remove(catalog.get("own"))
    with pytest.raises(UsageError, match="no built-in"):
        select("builtin", "colorize", catalog=catalog)


def test_a_name(server: HubServer, catalog: Catalog) -> None:
    choice = select("best", "upscale", catalog=catalog)
    assert choice.path is None and server.requests == []
    path = hub.fetch(choice.row)
    assert select("best", "upscale", catalog=catalog).path == path
    with pytest.raises(UsageError, match="Did you mean best"):
        select("bets", "upscale", catalog=catalog)
    with pytest.raises(UsageError, match="for upscale, not for colorize"):
        select("best", "colorize", catalog=catalog)


def test_a_path(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "some net.pth"
    file.write_bytes(b"x")
    choice = select(str(file), "upscale", catalog=catalog)
    assert (choice.path, choice.row.name, choice.row.arch, choice.row.source) == (
        file,
        "some net",
        "",
        "file",
    )
    assert hub.fetch(choice.row) == file
    with pytest.raises(WeightsError, match="no such"):
        select("missing/net.pth", "upscale", catalog=catalog)
    run = tmp_path / "run"
    run.mkdir()
    row = replace(catalog.get("own"), name="mine", args={"num_conv": 2}, source="file")
    header = json.dumps({"__metadata__": {"gantool": row.to_json()}}).encode()
    (run / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    choice = select(str(run), "upscale", catalog=catalog)
    assert (choice.row.name, choice.row.args) == ("mine", {"num_conv": 2})
    with pytest.raises(UsageError, match="for upscale, not for colorize"):
        select(str(run), "colorize", catalog=catalog)
    monkeypatch.chdir(tmp_path)
    assert select("run", "upscale", catalog=catalog).row.name == "mine"


def test_a_file_on_the_hub(server: HubServer, catalog: Catalog) -> None:
    choice = select(f"hf:{REPO}/{FILE}", "upscale", catalog=catalog)
    assert choice.path is None
    assert hub.fetch(choice.row).read_bytes() == DATA
    assert select(f"hf:{REPO}/{FILE}@{COMMIT}", "upscale", catalog=catalog).row.revision == COMMIT
    for bad in (
        "hf:owner",
        "hf:owner/model/../x.pth",
        "hf:o/m/x.onnx",
        "hf:o/m/x.zip",
        "hf:o/m//x.pth",
        "hf:",
    ):
        with pytest.raises(UsageError):
            select(bad, "upscale", catalog=catalog)


def test_no_command_is_named_that_does_not_exist():
    for task, words in (("flow", "gantool models --task upscale"), ("style", "Use `gantool style`")):
        row = next(row for row in load_catalog().rows if row.task == task and row.arch)
        with pytest.raises(UsageError) as caught:
            select(row.name, "upscale", catalog=load_catalog(), device_class="cpu")
        assert words in str(caught.value) and "gantool flow" not in str(caught.value)
