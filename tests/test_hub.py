"""The real huggingface_hub client downloads from a local server; nothing else is reached."""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hub_server import COMMIT, Fault, HubServer, hub_server

from gantool import cache, hub
from gantool.catalog import Catalog, Checkpoint
from gantool.errors import ExitCode, UsageError, WeightsError

REPO, FILE = "owner/model", "weights/net.safetensors"
DATA = random.Random(0).randbytes(3_000_000)
TOKEN = "hf_" + "Secret" * 6


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no proxy, no environment of the machine's own."""
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGINGFACE_", "TRANSFORMERS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with hub_server() as running:
        running.add(REPO, FILE, DATA)
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def row() -> Checkpoint:
    return Checkpoint(
        "net",
        "upscale",
        arch="srvgg.SRVGGNetCompact",
        source="hub",
        repo=REPO,
        file=FILE,
        revision=COMMIT,
        sha256=sha(DATA),
        bytes=len(DATA),
    )


class Bar:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.size = 0
        self.done = 0
        self.steps = 0

    def total(self, n: int) -> None:
        self.size = n

    def advance(self, n: int = 1) -> None:
        self.done += n
        self.steps += 1


def files_in(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def fails(row: Checkpoint, **options: Any) -> WeightsError:
    """The WeightsError of a fetch; no finished or partial file may be left, nor a secret be told."""
    with pytest.raises(WeightsError) as caught:
        hub.fetch(row, **options)
    assert caught.value.code == ExitCode.WEIGHTS
    assert TOKEN not in str(caught.value)
    assert hub.cached(row) is None
    left = [p for p in cache.hf_home().rglob("*") if p.is_file() and p.stat().st_size > 1000]
    assert left == []
    return caught.value


# ---- the good case


def test_fetches_verifies_and_shows_progress(server: HubServer, row: Checkpoint) -> None:
    bar = Bar()
    assert hub.cached(row) is None and hub.state(row) == "not here"
    path = hub.fetch(row, progress=bar)
    assert path.read_bytes() == DATA
    assert (bar.size, bar.done) == (len(DATA), len(DATA))
    assert bar.steps > 1
    assert hub.cached(row) == path and hub.state(row) == "cached"
    assert hub.verify(row) == path


def test_the_cache_lookup_agrees_with_the_client(server: HubServer, row: Checkpoint) -> None:
    from huggingface_hub import try_to_load_from_cache

    for revision in (COMMIT, "main"):
        path = hub.fetch(replace(row, revision=revision))
        theirs = try_to_load_from_cache(REPO, FILE, revision=revision, cache_dir=cache.hub_cache())
        assert str(path) == theirs


def test_a_cached_file_needs_no_network(server: HubServer, row: Checkpoint) -> None:
    path = hub.fetch(row)
    asked = len(server.requests)
    assert hub.fetch(row) == path
    assert hub.fetch(replace(row, name="other")) == path
    assert len(server.requests) == asked


def test_cache_dir_and_endpoint_may_be_given(
    server: HubServer, row: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    path = hub.fetch(row, endpoint=server.url, cache_dir=tmp_path / "elsewhere")
    assert path.is_relative_to(tmp_path / "elsewhere")
    assert hub.cached(row) is None
    assert hub.cached(row, cache_dir=tmp_path / "elsewhere") == path


def test_the_token_goes_to_the_hub_only(
    server: HubServer, row: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with hub_server() as storage:
        storage.files["elsewhere/blob"] = DATA
        server.fault = Fault(redirect=f"{storage.url}/elsewhere/blob")
        assert hub.fetch(row).read_bytes() == DATA
        sent = {name.lower(): value for name, value in server.requests[0][2].items()}
        assert sent["authorization"] == f"Bearer {TOKEN}"
        assert all("authorization" not in {k.lower() for k in headers} for _, _, headers in storage.requests)


def test_old_leftovers_of_a_killed_process_are_swept(server: HubServer, row: Checkpoint) -> None:
    blobs = cache.hub_folder(row) / "blobs"
    blobs.mkdir(parents=True)
    old, young = blobs / "a.11111111.incomplete", blobs / "b.22222222.incomplete"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (time.time() - 90_000,) * 2)
    hub.fetch(row)
    assert not old.exists() and young.exists()


# ---- broken transfers


def test_a_cut_in_the_middle_is_resumed(server: HubServer, row: Checkpoint) -> None:
    server.fault = Fault(cut_after=2_000_000)
    bar = Bar()
    assert hub.fetch(row, progress=bar).read_bytes() == DATA
    ranges = [headers["Range"] for _, _, headers in server.requests if "Range" in headers]
    assert ranges == [f"bytes={2**20}-"]
    assert bar.done == len(DATA)


def test_wrong_bytes_of_the_right_length_are_thrown_away(server: HubServer, row: Checkpoint) -> None:
    server.fault = Fault(body=DATA[:-1] + bytes([DATA[-1] ^ 1]))
    error = fails(row)
    assert sha(DATA) in str(error) and "expected" in str(error)
    assert server.count("GET") == 2  # once more, then no more


def test_wrong_length(server: HubServer, row: Checkpoint) -> None:
    server.fault = Fault(body=DATA[:-7])
    assert "length" in str(fails(row))


def test_another_file_is_refused_before_any_byte(server: HubServer, row: Checkpoint) -> None:
    error = fails(replace(row, sha256=sha(b"another")))
    assert "another file" in str(error)
    assert server.count("GET") == 0


def test_another_commit_is_refused(server: HubServer, row: Checkpoint) -> None:
    server.fault = Fault(commit="f" * 40)
    assert "another revision" in str(fails(row))
    assert server.count("GET") == 0


@pytest.mark.parametrize("etag", ["../../../../evil", "..%2f..%2fevil", "x" * 64, "0" * 39])
def test_a_hostile_etag_writes_nothing(server: HubServer, row: Checkpoint, tmp_path: Path, etag: str) -> None:
    server.fault = Fault(etag=etag)
    assert "malformed" in str(fails(replace(row, sha256="")))
    assert server.count("GET") == 0
    assert not [name for name in files_in(tmp_path) if "evil" in name]


def test_a_hostile_commit_writes_nothing(server: HubServer, row: Checkpoint, tmp_path: Path) -> None:
    server.fault = Fault(commit="../../../evil")
    assert "malformed" in str(fails(replace(row, revision="main")))
    assert not [name for name in files_in(tmp_path) if "evil" in name]


def test_a_hostile_answer_after_a_lost_one_writes_nothing(
    server: HubServer, row: Checkpoint, tmp_path: Path
) -> None:
    server.fault = Fault(drop=1, etag="../../../../evil")
    assert "reached" in str(fails(replace(row, sha256="")))
    assert not [name for name in files_in(tmp_path) if "evil" in name]


# ---- altered caches


@pytest.mark.parametrize("damage", ["altered", "truncated", "emptied"])
def test_a_damaged_blob_is_fetched_again_once(server: HubServer, row: Checkpoint, damage: str) -> None:
    path = hub.fetch(row)
    blob = path.resolve()
    blob.chmod(0o644)
    bad = {"altered": b"!" + DATA[1:], "truncated": DATA[:1000], "emptied": b""}[damage]
    blob.write_bytes(bad)
    with pytest.raises(WeightsError, match="altered"):
        hub.verify(row)
    asked = server.count("GET")
    assert hub.fetch(row).read_bytes() == DATA
    assert server.count("GET") == asked + 1


def test_a_damaged_copy_without_links_is_replaced(server: HubServer, row: Checkpoint) -> None:
    path = hub.fetch(row)
    path.unlink()
    path.write_bytes(b"!" + DATA[1:])
    assert hub.fetch(row).read_bytes() == DATA


def test_a_damaged_blob_that_cannot_be_mended_is_an_error(server: HubServer, row: Checkpoint) -> None:
    hub.fetch(row).resolve().write_bytes(b"!" + DATA[1:])
    server.fault = Fault(body=b"?" + DATA[1:])
    fails(row)


def test_a_damaged_blob_stays_when_the_hub_is_down(server: HubServer, row: Checkpoint) -> None:
    path = hub.fetch(row)
    path.resolve().write_bytes(b"!" + DATA[1:])
    server.fault = Fault(status=503)
    with pytest.raises(WeightsError, match="503"):
        hub.fetch(row)
    assert path.exists()


def test_offline_an_altered_cache_is_an_error(server: HubServer, row: Checkpoint) -> None:
    path = hub.fetch(row)
    path.resolve().write_bytes(b"!" + DATA[1:])
    with pytest.raises(WeightsError, match=r"altered.*HF_HUB_OFFLINE"):
        hub.fetch(row, offline=True)


def test_a_read_only_cache_is_enough(
    server: HubServer, row: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pinned in (row, replace(row, sha256="")):
        path = hub.fetch(row)
        with monkeypatch.context() as patch:
            # Running as root, as tests in containers do, no mode of a folder forbids anything.
            patch.setattr(Path, "mkdir", _read_only)
            patch.setattr(Path, "write_text", _read_only)
            assert hub.fetch(pinned) == path
            assert hub.verify(pinned) == path


def test_a_cache_that_cannot_be_written(
    server: HubServer, row: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "makedirs", _read_only)
    assert "HF_HOME" in str(fails(row))


def _read_only(*_: Any, **__: Any) -> None:
    raise OSError(30, "Read-only file system")


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
    server: HubServer, row: Checkpoint, monkeypatch: pytest.MonkeyPatch, fault: Fault, word: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    server.fault = fault
    began = time.monotonic()
    assert word in str(fails(row))
    assert time.monotonic() - began < 5


def test_connection_refused_is_noticed_at_once(row: Checkpoint) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        began = time.monotonic()
        error = fails(row, endpoint=f"http://user:{TOKEN}@127.0.0.1:{unused.getsockname()[1]}")
    assert "cannot be reached" in str(error) and "HF_ENDPOINT" in str(error)
    assert time.monotonic() - began < 5


def test_a_hub_that_hangs(server: HubServer, row: Checkpoint) -> None:
    server.fault = Fault(hang="HEAD")
    began = time.monotonic()
    error = fails(row, timeout=0.5)
    assert time.monotonic() - began < 3
    assert "reached" in str(error) or "answer" in str(error)


@pytest.mark.parametrize("hang", ["GET", "BODY"])
def test_a_download_that_stands_still(server: HubServer, row: Checkpoint, hang: str) -> None:
    server.fault = Fault(hang=hang)
    began = time.monotonic()
    error = fails(row, timeout=1, stall=1)
    assert time.monotonic() - began < 5
    assert "stands still" in str(error)


def test_an_interruption_leaves_nothing(
    server: HubServer, row: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting(Bar):
        def advance(self, n: int = 1) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hub.fetch(row, progress=Interrupting())
    assert hub.cached(row) is None
    assert not list(cache.hf_home().rglob("*.incomplete"))


def test_two_at_once_download_once(server: HubServer, row: Checkpoint) -> None:
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(hub.fetch(row))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [p.read_bytes() == DATA for p in paths] == [True] * 3
    assert server.count("GET") == 1


# ---- offline


@pytest.mark.parametrize("how", ["argument", "HF_HUB_OFFLINE"])
def test_offline(server: HubServer, row: Checkpoint, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "HF_HUB_OFFLINE":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    options = {"offline": True} if how == "argument" else {}
    error = fails(row, **options)
    assert "HF_HUB_OFFLINE" in str(error) and "gantool models pull net" in str(error)
    assert server.requests == []
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    path = hub.fetch(row)
    if how == "HF_HUB_OFFLINE":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub.fetch(row, **options) == path


# ---- hashes that are not known yet


def test_an_unknown_hash_is_recorded_and_checked_from_then_on(
    server: HubServer, row: Checkpoint, home: Path
) -> None:
    row = replace(row, sha256="", revision="main")
    path = hub.fetch(row)
    assert json.loads((home / "gantool" / "hashes.json").read_text()) == {
        f"hub:{REPO}@main/{FILE}": sha(DATA)
    }
    path.resolve().write_bytes(b"!" + DATA[1:])
    with pytest.raises(WeightsError, match="altered"):
        hub.verify(row)
    assert hub.fetch(row).read_bytes() == DATA


def test_another_file_under_a_recorded_name_is_refused(server: HubServer, row: Checkpoint) -> None:
    row = replace(row, sha256="", revision="main")
    path = hub.fetch(row)
    path.unlink()
    server.add(REPO, FILE, b"new" + DATA)
    with pytest.raises(WeightsError, match="expected " + sha(DATA)):
        hub.fetch(row)
    hub.remove(row)
    assert hub.fetch(row).read_bytes() == b"new" + DATA


def test_an_unknown_hash_must_be_what_the_hub_says(server: HubServer, row: Checkpoint) -> None:
    server.fault = Fault(body=b"!" + DATA[1:])
    assert "hub names" in str(fails(replace(row, sha256="")))


def test_a_damaged_record_is_no_reason_to_trust(server: HubServer, row: Checkpoint, home: Path) -> None:
    row = replace(row, sha256="")
    hub.fetch(row)
    (home / "gantool" / "hashes.json").write_text("{")
    with pytest.raises(WeightsError, match=r"hashes\.json"):
        hub.fetch(row)


# ---- plain https


@pytest.fixture
def plain(server: HubServer) -> Checkpoint:
    server.files["release/v1/net.pth"] = DATA
    url = f"{server.url}/release/v1/net.pth"
    return Checkpoint("net", "upscale", source="https", url=url, sha256=sha(DATA), bytes=len(DATA))


def test_https_success(server: HubServer, plain: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    bar = Bar()
    path = hub.fetch(plain, progress=bar)
    assert path.read_bytes() == DATA and path.suffix == ".pth"
    assert (bar.size, bar.done) == (len(DATA), len(DATA))
    assert path.is_relative_to(cache.own_folder() / "https")
    assert files_in(path.parent) == {path.name, path.name + ".lock"}
    assert "Authorization" not in server.requests[0][2]
    assert hub.fetch(plain) == path and len(server.requests) == 1


def test_https_resumes_within_a_run(server: HubServer, plain: Checkpoint) -> None:
    server.fault = Fault(cut_after=1_000_000, cuts=2)
    bar = Bar()
    assert hub.fetch(plain, progress=bar).read_bytes() == DATA
    assert [h["Range"] for _, _, h in server.requests if "Range" in h] == [
        "bytes=1000000-",
        "bytes=2000000-",
    ]
    assert bar.done == len(DATA)


@pytest.mark.parametrize("known", [True, False])
def test_https_resumes_in_the_next_run(server: HubServer, plain: Checkpoint, known: bool) -> None:
    row = plain if known else replace(plain, sha256="", bytes=0)
    server.fault = Fault(hang="BODY")
    with pytest.raises(WeightsError, match=r"stands still|breaking off"):
        hub.fetch(row, timeout=0.2, stall=0.5)
    assert hub.cached(row) is None
    server.requests.clear()
    server.fault = Fault()
    assert hub.fetch(row).read_bytes() == DATA
    sent = server.requests[0][2]
    assert sent["Range"] == f"bytes={len(DATA) // 2}-"
    assert sent["If-Range"] == f'"{sha(DATA)}"'


def test_https_starts_anew_when_the_server_ignores_ranges(server: HubServer, plain: Checkpoint) -> None:
    server.fault = Fault(cut_after=1_000_000, ignore_range=True)
    bar = Bar()
    assert hub.fetch(plain, progress=bar).read_bytes() == DATA
    assert bar.done == len(DATA)


def test_https_a_part_of_another_file_is_thrown_away(server: HubServer, plain: Checkpoint) -> None:
    target = cache.https_file(plain)
    target.parent.mkdir(parents=True)
    target.with_name(target.name + ".part").write_bytes(b"?" * 1000)
    assert hub.fetch(plain).read_bytes() == DATA


def test_https_a_part_that_is_too_long(server: HubServer, plain: Checkpoint) -> None:
    target = cache.https_file(plain)
    target.parent.mkdir(parents=True)
    target.with_name(target.name + ".part").write_bytes(b"?" * (len(DATA) + 9))
    assert hub.fetch(plain).read_bytes() == DATA


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (Fault(status=404), "404"),
        (Fault(status=403), "403"),
        (Fault(status=500), "500"),
        (Fault(body=b"!" + DATA[1:]), "expected"),
        (Fault(body=DATA[:-5]), "another file"),
        (Fault(page=True), "another file"),
    ],
)
def test_https_refusals(server: HubServer, plain: Checkpoint, fault: Fault, word: str) -> None:
    server.fault = fault
    assert word in str(fails(plain))


def test_https_page_for_an_unknown_hash(server: HubServer, plain: Checkpoint) -> None:
    server.fault = Fault(page=True)
    assert "web page" in str(fails(replace(plain, sha256="", bytes=0)))


def test_https_hang_refusal_and_offline(server: HubServer, plain: Checkpoint) -> None:
    server.fault = Fault(hang="GET")
    assert "reached" in str(fails(plain, timeout=0.2, stall=0.5))
    assert "reached" in str(fails(replace(plain, url="http://127.0.0.1:9/net.pth")))
    assert "HF_HUB_OFFLINE" in str(fails(plain, offline=True))


def test_https_an_altered_file_is_fetched_again(server: HubServer, plain: Checkpoint) -> None:
    hub.fetch(plain).write_bytes(b"!" + DATA[1:])
    assert hub.fetch(plain).read_bytes() == DATA


def test_https_unknown_hash_is_recorded(server: HubServer, plain: Checkpoint, home: Path) -> None:
    row = replace(plain, sha256="", bytes=0)
    path = hub.fetch(row)
    assert json.loads((home / "gantool" / "hashes.json").read_text()) == {row.url: sha(DATA)}
    path.write_bytes(b"!")
    with pytest.raises(WeightsError, match="altered"):
        hub.verify(row)


def test_the_authors_release_stands_in_for_the_hub(
    server: HubServer, row: Checkpoint, plain: Checkpoint
) -> None:
    server.files = {k: v for k, v in server.files.items() if "resolve" not in k}
    both = replace(row, url=plain.url)
    path = hub.fetch(both)
    assert path.read_bytes() == DATA and hub.cached(both) == path
    with pytest.raises(WeightsError):  # without a pinned hash nothing says that it is the same file
        hub.fetch(replace(both, sha256="", name="other", url=plain.url + "?"))


# ---- removing


def test_remove(server: HubServer, row: Checkpoint, plain: Checkpoint) -> None:
    for each in (row, plain, replace(row, revision="main")):
        hub.fetch(each)
        assert hub.remove(each) == len(DATA)
        assert hub.cached(each) is None
        assert hub.remove(each) == 0
    assert not [p for p in cache.hf_home().rglob("*") if p.is_file() and p.stat().st_size > 1000]


def test_remove_leaves_a_blob_that_another_snapshot_uses(server: HubServer, row: Checkpoint) -> None:
    path = hub.fetch(row)
    other = path.parents[2] / ("e" * 40) / "net.safetensors"
    other.parent.mkdir()
    other.symlink_to(path.resolve())
    assert hub.remove(row) == 0
    assert other.read_bytes() == DATA


# ---- built-in rows and --model


@pytest.fixture
def catalog(row: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
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
    best = replace(row, name="best", recommended=("gpu",), scale=4, licence="MIT")
    grey = replace(row, name="tint", task="colorize")
    return Catalog((own, replace(own, name="own-x2", scale=2), best, grey))


def test_auto_takes_the_built_in_and_names_the_better_one(catalog: Catalog) -> None:
    choice = hub.select("auto", "upscale", catalog=catalog, device_class="gpu")
    assert choice.row.name == "own" and choice.path is not None
    assert choice.notice == (
        "Using own (built-in); best is recommended: `gantool models pull best` (3.0 MB, MIT)."
    )
    choice = hub.select("auto", "upscale", catalog=catalog, device_class="cpu")
    assert choice.notice == "Using own (built-in)."
    assert hub.select("auto", "upscale", catalog=catalog, scale=2).row.name == "own-x2"
    assert hub.select("auto", "upscale", catalog=catalog, scale=2.5).row.name == "own"
    assert hub.select("auto", "upscale", catalog=catalog, scale=8).row.name == "own"


def test_auto_never_asks_the_network(server: HubServer, catalog: Catalog) -> None:
    best = catalog.get("best")
    path = hub.fetch(best)
    server.requests.clear()
    choice = hub.select("auto", "upscale", catalog=catalog, device_class="gpu")
    assert (choice.row.name, choice.path) == ("best", path)
    path.resolve().write_bytes(b"!" + DATA[1:])
    choice = hub.select("auto", "upscale", catalog=catalog, device_class="gpu")
    assert choice.row.name == "own" and "damaged" in (choice.notice or "")
    assert server.requests == []


def test_builtin_missing_or_altered(catalog: Catalog, tmp_path: Path) -> None:
    assert hub.select("builtin", "upscale", catalog=catalog, scale=2).row.name == "own-x2"
    file = tmp_path / "builtin" / "small.safetensors"
    file.write_bytes(b"altered")
    with pytest.raises(WeightsError, match=r"altered.*Reinstall"):
        hub.select("builtin", "upscale", catalog=catalog)
    file.unlink()
    with pytest.raises(WeightsError, match=r"missing.*Reinstall"):
        hub.select("auto", "upscale", catalog=catalog)
    with pytest.raises(UsageError, match="stays"):
        hub.remove(catalog.get("own"))
    with pytest.raises(UsageError, match="no built-in"):
        hub.select("builtin", "colorize", catalog=catalog)


def test_a_name(server: HubServer, catalog: Catalog) -> None:
    choice = hub.select("best", "upscale", catalog=catalog)
    assert choice.path is None and server.requests == []
    path = hub.fetch(choice.row)
    assert hub.select("best", "upscale", catalog=catalog).path == path
    with pytest.raises(UsageError, match="Did you mean best"):
        hub.select("bets", "upscale", catalog=catalog)
    with pytest.raises(UsageError, match="for upscale, not for colorize"):
        hub.select("best", "colorize", catalog=catalog)


def test_a_path(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "some net.pth"
    file.write_bytes(b"x")
    choice = hub.select(str(file), "upscale", catalog=catalog)
    assert (choice.path, choice.row.name, choice.row.arch, choice.row.source) == (
        file,
        "some net",
        "",
        "file",
    )
    assert hub.fetch(choice.row) == file
    with pytest.raises(WeightsError, match="no such"):
        hub.select("missing/net.pth", "upscale", catalog=catalog)
    run = tmp_path / "run"
    run.mkdir()
    row = replace(catalog.get("own"), name="mine", args={"num_conv": 2}, source="file")
    header = json.dumps({"__metadata__": {"gantool": row.to_json()}}).encode()
    (run / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    choice = hub.select(str(run), "upscale", catalog=catalog)
    assert (choice.row.name, choice.row.args) == ("mine", {"num_conv": 2})
    with pytest.raises(UsageError, match="for upscale, not for colorize"):
        hub.select(str(run), "colorize", catalog=catalog)
    monkeypatch.chdir(tmp_path)
    assert hub.select("run", "upscale", catalog=catalog).row.name == "mine"


def test_a_file_on_the_hub(server: HubServer, catalog: Catalog) -> None:
    choice = hub.select(f"hf:{REPO}/{FILE}", "upscale", catalog=catalog)
    assert choice.path is None
    assert hub.fetch(choice.row).read_bytes() == DATA
    assert hub.select(f"hf:{REPO}/{FILE}@{COMMIT}", "upscale", catalog=catalog).row.revision == COMMIT
    for bad in ("hf:owner", "hf:owner/model/../x.pth", "hf:o/m/x.pt", "hf:o/m/x.bin", "hf:o/m//x.pth", "hf:"):
        with pytest.raises(UsageError):
            hub.select(bad, "upscale", catalog=catalog)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "?"), (999, "999 B"), (4885111, "4.9 MB"), (220_000_000, "220 MB"), (2**31, "2.1 GB")],
)
def test_sizes(size: int, text: str) -> None:
    assert hub.describe_size(size) == text
