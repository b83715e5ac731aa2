"""The real huggingface_hub client downloads from a local server, which fails in every way it can."""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hub_server import COMMIT, Fault, HubServer, hub_server
from hub_support import DATA, FILE, REPO, TOKEN, Bar, fails, files_in, sha

from gantool import cache, download, hub
from gantool.catalog import Checkpoint

pytest_plugins = ("hub_fixtures",)
pytestmark = pytest.mark.usefixtures("hub_home")


# ---- the good case


def test_fetches_verifies_and_shows_progress(server: HubServer, hub_row: Checkpoint) -> None:
    bar = Bar()
    assert hub.cached(hub_row) is None and hub.state(hub_row) == "not here"
    path = hub.fetch(hub_row, progress=bar)
    assert path.read_bytes() == DATA
    assert (bar.size, bar.done) == (len(DATA), len(DATA))
    assert bar.steps > 1
    assert hub.cached(hub_row) == path and hub.state(hub_row) == "cached"
    assert hub.verify(hub_row) == path


def test_the_cache_lookup_agrees_with_the_client(server: HubServer, hub_row: Checkpoint) -> None:
    from huggingface_hub import try_to_load_from_cache

    for revision in (COMMIT, "main"):
        path = hub.fetch(replace(hub_row, revision=revision))
        theirs = try_to_load_from_cache(REPO, FILE, revision=revision, cache_dir=cache.hub_cache())
        assert str(path) == theirs


def test_a_cached_file_needs_no_network(server: HubServer, hub_row: Checkpoint) -> None:
    path = hub.fetch(hub_row)
    asked = len(server.requests)
    assert hub.fetch(hub_row) == path
    assert hub.fetch(replace(hub_row, name="other")) == path
    assert len(server.requests) == asked


def test_cache_dir_and_endpoint_may_be_given(
    server: HubServer, hub_row: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    path = hub.fetch(hub_row, endpoint=server.url, cache_dir=tmp_path / "elsewhere")
    assert path.is_relative_to(tmp_path / "elsewhere")
    assert hub.cached(hub_row) is None
    assert hub.cached(hub_row, cache_dir=tmp_path / "elsewhere") == path


def test_the_token_goes_to_the_hub_only(
    server: HubServer, hub_row: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with hub_server() as storage:
        storage.files["elsewhere/blob"] = DATA
        server.fault = Fault(redirect=f"{storage.url}/elsewhere/blob")
        assert hub.fetch(hub_row).read_bytes() == DATA
        sent = {name.lower(): value for name, value in server.requests[0][2].items()}
        assert sent["authorization"] == f"Bearer {TOKEN}"
        assert all("authorization" not in {k.lower() for k in headers} for _, _, headers in storage.requests)


def test_old_leftovers_of_a_killed_process_are_swept(server: HubServer, hub_row: Checkpoint) -> None:
    blobs = cache.hub_folder(hub_row) / "blobs"
    blobs.mkdir(parents=True)
    old, young = blobs / "a.11111111.incomplete", blobs / "b.22222222.incomplete"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (time.time() - 90_000,) * 2)
    hub.fetch(hub_row)
    assert not old.exists() and young.exists()


# ---- broken transfers


def test_a_cut_in_the_middle_is_resumed(server: HubServer, hub_row: Checkpoint) -> None:
    server.fault = Fault(cut_after=2_000_000)
    bar = Bar()
    assert hub.fetch(hub_row, progress=bar).read_bytes() == DATA
    ranges = [headers["Range"] for _, _, headers in server.requests if "Range" in headers]
    assert ranges == [f"bytes={2**20}-"]
    assert bar.done == len(DATA)


def test_wrong_bytes_of_the_right_length_are_thrown_away(server: HubServer, hub_row: Checkpoint) -> None:
    server.fault = Fault(body=DATA[:-1] + bytes([DATA[-1] ^ 1]))
    error = fails(hub_row)
    assert sha(DATA) in str(error) and "expected" in str(error)
    assert server.count("GET") == 2  # once more, then no more


def test_wrong_length(server: HubServer, hub_row: Checkpoint) -> None:
    server.fault = Fault(body=DATA[:-7])
    assert "length" in str(fails(hub_row))


def test_another_file_is_refused_before_any_byte(server: HubServer, hub_row: Checkpoint) -> None:
    error = fails(replace(hub_row, sha256=sha(b"another")))
    assert "another file" in str(error)
    assert server.count("GET") == 0


def test_another_commit_is_refused(server: HubServer, hub_row: Checkpoint) -> None:
    server.fault = Fault(commit="f" * 40)
    assert "another revision" in str(fails(hub_row))
    assert server.count("GET") == 0


@pytest.mark.parametrize("etag", ["../../../../evil", "..%2f..%2fevil", "x" * 64, "0" * 39])
def test_a_hostile_etag_writes_nothing(
    server: HubServer, hub_row: Checkpoint, tmp_path: Path, etag: str
) -> None:
    server.fault = Fault(etag=etag)
    assert "malformed" in str(fails(replace(hub_row, sha256="")))
    assert server.count("GET") == 0
    assert not [name for name in files_in(tmp_path) if "evil" in name]


def test_a_hostile_commit_writes_nothing(server: HubServer, hub_row: Checkpoint, tmp_path: Path) -> None:
    server.fault = Fault(commit="../../../evil")
    assert "malformed" in str(fails(replace(hub_row, revision="main")))
    assert not [name for name in files_in(tmp_path) if "evil" in name]


def test_a_hostile_answer_after_a_lost_one_writes_nothing(
    server: HubServer, hub_row: Checkpoint, tmp_path: Path
) -> None:
    server.fault = Fault(drop=1, etag="../../../../evil")
    assert "reached" in str(fails(replace(hub_row, sha256="")))
    assert not [name for name in files_in(tmp_path) if "evil" in name]


# ---- a hub that refuses, fails or is not there


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (Fault(status=404, error_code="RepoNotFound"), "no such repository"),
        (Fault(status=404, error_code="RevisionNotFound"), "no revision"),
        (Fault(status=404, error_code="EntryNotFound"), "no such file"),
        (Fault(status=401, error_code="RepoNotFound"), "HF_TOKEN"),
        (Fault(status=401), "HF_TOKEN"),
        (Fault(status=403, error_code="GatedRepo"), "licence"),
        (Fault(status=403), "HF_TOKEN"),
        (Fault(status=403, method="GET"), "HF_TOKEN"),
        (Fault(status=500), "500"),
        (Fault(status=503), "503"),
        (Fault(status=429), "429"),
        (Fault(status=502, method="GET"), "502"),
        (Fault(page=True), "not a hub"),
    ],
    ids=lambda value: f"{value.method}{value.status}{value.error_code}" if isinstance(value, Fault) else "",
)
def test_refusals(
    server: HubServer, hub_row: Checkpoint, monkeypatch: pytest.MonkeyPatch, fault: Fault, word: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    server.fault = fault
    began = time.monotonic()
    assert word in str(fails(hub_row))
    assert time.monotonic() - began < 5


def test_connection_refused_is_noticed_at_once(hub_row: Checkpoint) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        began = time.monotonic()
        error = fails(hub_row, endpoint=f"http://user:{TOKEN}@127.0.0.1:{unused.getsockname()[1]}")
    assert "cannot be reached" in str(error) and "HF_ENDPOINT" in str(error)
    assert time.monotonic() - began < 5


def test_a_hub_that_hangs(server: HubServer, hub_row: Checkpoint) -> None:
    server.fault = Fault(hang="HEAD")
    began = time.monotonic()
    error = fails(hub_row, timeout=0.5)
    assert time.monotonic() - began < 3
    assert "reached" in str(error) or "answer" in str(error)


@pytest.mark.parametrize("hang", ["GET", "BODY"])
def test_a_download_that_stands_still(server: HubServer, hub_row: Checkpoint, hang: str) -> None:
    server.fault = Fault(hang=hang)
    began = time.monotonic()
    error = fails(hub_row, timeout=1, stall=1)
    assert time.monotonic() - began < 5
    assert "stands still" in str(error)


def test_an_interruption_leaves_nothing(
    server: HubServer, hub_row: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting(Bar):
        def advance(self, n: int = 1) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hub.fetch(hub_row, progress=Interrupting())
    assert hub.cached(hub_row) is None
    assert not list(cache.hf_home().rglob("*.incomplete"))


def test_two_at_once_download_once(server: HubServer, hub_row: Checkpoint) -> None:
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(hub.fetch(hub_row))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [p.read_bytes() == DATA for p in paths] == [True] * 3
    assert server.count("GET") == 1


def test_a_download_that_was_given_up_disturbs_no_other(hub_row: Checkpoint) -> None:
    """It may end while others run, or after them; the client's session is that of all."""
    session = SimpleNamespace(event_hooks={"request": [], "response": []})
    ask = SimpleNamespace(method="HEAD")
    old, new, later = (download._Watch(hub_row, "") for _ in range(3))
    begun, over = threading.Event(), threading.Event()

    def given_up() -> None:
        with download._guarded(session, old):
            begun.set()
            over.wait(10)

    def asked(watch: download._Watch) -> bool:
        for hook in session.event_hooks["request"]:
            hook(ask)
        return watch.waiting

    thread = threading.Thread(target=given_up)
    thread.start()
    assert begun.wait(10)
    old.cancelled = True
    with download._guarded(session, new):
        over.set()
        thread.join()
        assert asked(new)
    asked(old)  # nobody's question
    with download._guarded(session, later):
        assert asked(later)
    assert not old.waiting and len(session.event_hooks["request"]) == 1
