"""The detector by `gantool models`, from a hub on this machine, and then by name."""

from __future__ import annotations

import pytest
from hub_server import COMMIT, hub_server
from hub_support import sha

from gantool import cache, catalog, cli, faces
from gantool.errors import UsageError
from gantool.faces import detector
from gantool.selection import select

pytest_plugins = ("hub_fixtures",)
DATA = b"\x08\x07 a net for OpenCV" * 50


@pytest.fixture(autouse=True)
def hub(hub_home, tmp_path, monkeypatch):
    row = f"""
        [yunet]
        task = "face"
        summary = "finds faces"
        source = "hub"
        repo = "owner/faces"
        file = "net.onnx"
        revision = "{COMMIT}"
        sha256 = "{sha(DATA)}"
        bytes = {len(DATA)}
        licence = "MIT"
        commercial = true
    """
    (tmp_path / "weights.toml").write_text(row.replace("        ", ""))
    monkeypatch.setattr(catalog, "_catalog_path", lambda: tmp_path / "weights.toml")
    monkeypatch.setattr(detector, "yunet", lambda model: model)
    with hub_server() as running:
        running.add("owner/faces", "net.onnx", DATA)
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def test_pull_verify_show_and_list(capfd):
    assert cli.main(["models", "pull", "yunet"]) == 0
    assert capfd.readouterr().out.rstrip().endswith("net.onnx")
    assert cli.main(["models", "verify", "yunet"]) == 0
    assert capfd.readouterr().out.split()[:2] == ["yunet", "ok"]
    assert cli.main(["models", "show", "yunet"]) == 0
    assert cli.main(["models", "--task", "face"]) == 0
    assert "yunet" in capfd.readouterr().out


def test_an_altered_copy_is_seen(capfd):
    cli.main(["models", "pull", "yunet"])
    path = cache.find(catalog.load_catalog().get("yunet"))
    assert path is not None
    path.resolve().write_bytes(DATA + b"!")
    assert cli.main(["models", "verify", "yunet"]) == 5
    assert "altered" in capfd.readouterr().err


def test_it_is_fetched_when_it_is_needed_and_then_found_offline(hub, monkeypatch):
    assert faces.load()._rows == DATA
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert faces.load()._rows == DATA


def test_it_is_no_model_of_a_task_for_pictures():
    with pytest.raises(UsageError, match=r"only finds or compares faces.*models --task upscale"):
        select("yunet", "upscale", catalog=catalog.load_catalog())
