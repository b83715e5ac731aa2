"""Verified files: caches that were altered, offline, unknown hashes, licences, removal."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hub_server import COMMIT, Fault, HubServer
from hub_support import DATA, FILE, REPO, fails, sha

from gantool import cache, hub
from gantool.catalog import Checkpoint
from gantool.errors import WeightsError

pytest_plugins = ("hub_fixtures",)
pytestmark = pytest.mark.usefixtures("hub_home")


# ---- altered caches


@pytest.mark.parametrize("damage", ["altered", "truncated", "emptied"])
def test_a_damaged_blob_is_fetched_again_once(server: HubServer, hub_row: Checkpoint, damage: str) -> None:
    path = hub.fetch(hub_row)
    blob = path.resolve()
    blob.chmod(0o644)
    bad = {"altered": b"!" + DATA[1:], "truncated": DATA[:1000], "emptied": b""}[damage]
    blob.write_bytes(bad)
    with pytest.raises(WeightsError, match="altered"):
        hub.verify(hub_row)
    asked = server.count("GET")
    assert hub.fetch(hub_row).read_bytes() == DATA
    assert server.count("GET") == asked + 1


def test_a_damaged_copy_without_links_is_replaced(server: HubServer, hub_row: Checkpoint) -> None:
    path = hub.fetch(hub_row)
    path.unlink()
    path.write_bytes(b"!" + DATA[1:])
    assert hub.fetch(hub_row).read_bytes() == DATA


def test_a_damaged_blob_that_cannot_be_mended_is_an_error(server: HubServer, hub_row: Checkpoint) -> None:
    hub.fetch(hub_row).resolve().write_bytes(b"!" + DATA[1:])
    server.fault = Fault(body=b"?" + DATA[1:])
    fails(hub_row)


def test_a_damaged_blob_stays_when_the_hub_is_down(server: HubServer, hub_row: Checkpoint) -> None:
    path = hub.fetch(hub_row)
    path.resolve().write_bytes(b"!" + DATA[1:])
    server.fault = Fault(status=503)
    with pytest.raises(WeightsError, match="503"):
        hub.fetch(hub_row)
    assert path.exists()


def test_offline_an_altered_cache_is_an_error(server: HubServer, hub_row: Checkpoint) -> None:
    path = hub.fetch(hub_row)
    path.resolve().write_bytes(b"!" + DATA[1:])
    with pytest.raises(WeightsError, match=r"altered.*HF_HUB_OFFLINE"):
        hub.fetch(hub_row, offline=True)


def test_a_read_only_cache_is_enough(
    server: HubServer, hub_row: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pinned in (hub_row, replace(hub_row, sha256="")):
        path = hub.fetch(hub_row)
        with monkeypatch.context() as patch:
            # Running as root, as tests in containers do, no mode of a folder forbids anything.
            patch.setattr(Path, "mkdir", _read_only)
            patch.setattr(Path, "write_text", _read_only)
            assert hub.fetch(pinned) == path
            assert hub.verify(pinned) == path


def test_a_cache_that_cannot_be_written(
    server: HubServer, hub_row: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "makedirs", _read_only)
    assert "HF_HOME" in str(fails(hub_row))


def _read_only(*_: Any, **__: Any) -> None:
    raise OSError(30, "Read-only file system")


# ---- offline


@pytest.mark.parametrize("how", ["argument", "HF_HUB_OFFLINE"])
def test_offline(server: HubServer, hub_row: Checkpoint, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "HF_HUB_OFFLINE":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    options: dict[str, Any] = {"offline": True} if how == "argument" else {}
    error = fails(hub_row, **options)
    assert "HF_HUB_OFFLINE" in str(error) and "gantool models pull net" in str(error)
    assert server.requests == []
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    path = hub.fetch(hub_row)
    if how == "HF_HUB_OFFLINE":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub.fetch(hub_row, **options) == path


# ---- hashes that are not known yet


def test_an_unknown_hash_is_recorded_and_checked_from_then_on(
    server: HubServer, hub_row: Checkpoint, hub_home: Path
) -> None:
    row = replace(hub_row, sha256="", revision="main")
    path = hub.fetch(row)
    recorded = {"sha256": sha(DATA), "bytes": len(DATA), "revision": COMMIT}
    assert json.loads((hub_home / "gantool" / "lock.json").read_text()) == {
        "files": {f"hub:{REPO}@main/{FILE}": recorded}
    }
    path.resolve().write_bytes(b"!" + DATA[1:])
    with pytest.raises(WeightsError, match="altered"):
        hub.verify(row)
    assert hub.fetch(row).read_bytes() == DATA


@pytest.mark.parametrize("announced", [True, False])
def test_another_file_under_a_recorded_name_is_refused(
    server: HubServer, hub_row: Checkpoint, announced: bool
) -> None:
    row = replace(hub_row, sha256="", bytes=0, revision="main")
    hub.fetch(row)
    hub.remove(row)
    new = b"new" + DATA
    server.add(REPO, FILE, new)
    if not announced:  # small files have another kind of hash on the hub
        server.fault = Fault(etag="a" * 40)
    asked = server.count("GET")
    with pytest.raises(WeightsError) as caught:
        hub.fetch(row)
    assert f"sha256 {sha(new)}, expected {sha(DATA)}" in str(caught.value)
    assert str(caught.value).endswith("`gantool models pull net --update` accepts it.")
    assert hub.cached(row) is None
    if announced:
        assert server.count("GET") == asked
    server.fault = Fault()
    assert hub.fetch(row, update=True).read_bytes() == new
    assert cache.recorded(row)["sha256"] == sha(new)
    assert hub.verify(row).read_bytes() == new


@pytest.mark.parametrize(
    ("junk", "words"),
    [
        (b"<!DOCTYPE html><p>Sign in</p>", "this is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "this is a Git LFS pointer"),
    ],
)
def test_what_is_no_checkpoint_is_not_trusted(
    server: HubServer, hub_row: Checkpoint, junk: bytes, words: str
) -> None:
    """Nothing of it stays, so that the real file is taken as soon as the owner has put it there."""
    row = replace(hub_row, sha256="", bytes=0, revision="main")
    server.add(REPO, FILE, junk)
    with pytest.raises(WeightsError, match=words):
        hub.fetch(row)
    assert hub.cached(row) is None and cache.recorded(row) == {}
    server.add(REPO, FILE, DATA)
    server.fault = Fault(commit="b" * 40)
    assert hub.fetch(row).read_bytes() == DATA


def test_an_update_of_what_is_here(server: HubServer, hub_row: Checkpoint) -> None:
    row = replace(hub_row, sha256="", bytes=0, revision="main")
    path = hub.fetch(row)
    asked = server.count("GET")
    assert hub.fetch(row, update=True) == path and server.count("GET") == asked
    server.add(REPO, FILE, DATA[::-1])
    server.fault = Fault(commit="b" * 40)
    assert hub.fetch(row) == path  # without being asked to, nobody looks
    new = hub.fetch(row, update=True)
    assert new.read_bytes() == DATA[::-1] and hub.fetch(row) == new
    assert cache.recorded(row) == {"sha256": sha(DATA[::-1]), "bytes": len(DATA), "revision": "b" * 40}


def test_an_update_without_a_hub_keeps_what_is_here(server: HubServer, hub_row: Checkpoint) -> None:
    row = replace(hub_row, sha256="", revision="main")
    path = hub.fetch(row)
    server.fault = Fault(status=503)
    with pytest.raises(WeightsError, match="503"):
        hub.fetch(row, update=True)
    with pytest.raises(WeightsError, match="switched off"):
        hub.fetch(row, update=True, offline=True)
    server.fault = Fault()
    assert hub.fetch(row) == path and cache.recorded(row)["sha256"] == sha(DATA)


def test_a_pinned_file_is_never_updated(server: HubServer, hub_row: Checkpoint) -> None:
    row = replace(hub_row, revision="main")
    path = hub.fetch(row)
    server.add(REPO, FILE, DATA[::-1])
    assert hub.fetch(row, update=True) == path
    hub.remove(row)
    with pytest.raises(WeightsError, match="catalog names"):
        hub.fetch(row, update=True)


# ---- licences


def test_a_licence_that_forbids_commercial_use_is_agreed_to_once(
    server: HubServer, hub_row: Checkpoint
) -> None:
    row = replace(hub_row, licence="CC-BY-NC-4.0")
    with pytest.raises(WeightsError) as caught:
        hub.fetch(row)
    assert str(caught.value) == (
        "net is not for commercial use (licence: CC-BY-NC-4.0). "
        "`gantool models pull net --accept-license` agrees to that, once."
    )
    assert server.requests == []
    hub.fetch(row, accept_license=True)
    hub.remove(row)
    assert hub.fetch(row).read_bytes() == DATA
    hub.remove(row)
    with pytest.raises(WeightsError, match="CC-BY-NC-ND"):  # another text, another question
        hub.fetch(replace(row, licence="CC-BY-NC-ND-4.0"))
    hub.fetch(replace(row, name="free", commercial=True))


def test_an_unknown_hash_must_be_what_the_hub_says(server: HubServer, hub_row: Checkpoint) -> None:
    server.fault = Fault(body=b"!" + DATA[1:])
    assert "hub names" in str(fails(replace(hub_row, sha256="")))


def test_a_damaged_record_is_no_reason_to_trust(
    server: HubServer, hub_row: Checkpoint, hub_home: Path
) -> None:
    row = replace(hub_row, sha256="")
    hub.fetch(row)
    for bad in ("{", "[]", '{"files": []}'):
        (hub_home / "gantool" / "lock.json").write_text(bad)
        with pytest.raises(WeightsError, match=r"lock\.json"):
            hub.fetch(row)
        assert (hub_home / "gantool" / "lock.json").read_text() == bad


# ---- removing


def test_remove(server: HubServer, hub_row: Checkpoint, https_row: Checkpoint) -> None:
    for each in (hub_row, https_row, replace(hub_row, revision="main")):
        hub.fetch(each)
        assert hub.remove(each) == len(DATA)
        assert hub.cached(each) is None
        assert hub.remove(each) == 0
    assert not [p for p in cache.hf_home().rglob("*") if p.is_file() and p.stat().st_size > 1000]


def test_remove_leaves_a_blob_that_another_snapshot_uses(server: HubServer, hub_row: Checkpoint) -> None:
    path = hub.fetch(hub_row)
    other = path.parents[2] / ("e" * 40) / "net.safetensors"
    other.parent.mkdir()
    other.symlink_to(path.resolve())
    assert hub.remove(hub_row) == 0
    assert other.read_bytes() == DATA


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "?"), (999, "999 B"), (4885111, "4.9 MB"), (220_000_000, "220 MB"), (2**31, "2.1 GB")],
)
def test_sizes(size: int, text: str) -> None:
    assert hub.describe_size(size) == text
