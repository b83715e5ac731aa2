"""Plain https: resumed, atomic, verified."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hub_server import Fault, HubServer
from hub_support import DATA, TOKEN, Bar, fails, files_in, sha

from gantool import cache, hub
from gantool.catalog import Checkpoint
from gantool.errors import WeightsError

pytest_plugins = ("hub_fixtures",)
pytestmark = pytest.mark.usefixtures("hub_home")


def test_https_success(server: HubServer, https_row: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    bar = Bar()
    path = hub.fetch(https_row, progress=bar)
    assert path.read_bytes() == DATA and path.suffix == ".pth"
    assert (bar.size, bar.done) == (len(DATA), len(DATA))
    assert path.is_relative_to(cache.own_folder() / "https")
    assert files_in(path.parent) == {path.name, path.name + ".lock"}
    assert "Authorization" not in server.requests[0][2]
    assert hub.fetch(https_row) == path and len(server.requests) == 1


def test_https_resumes_within_a_run(server: HubServer, https_row: Checkpoint) -> None:
    server.fault = Fault(cut_after=1_000_000, cuts=2)
    bar = Bar()
    assert hub.fetch(https_row, progress=bar).read_bytes() == DATA
    assert [h["Range"] for _, _, h in server.requests if "Range" in h] == [
        "bytes=1000000-",
        "bytes=2000000-",
    ]
    assert bar.done == len(DATA)


@pytest.mark.parametrize("known", [True, False])
def test_https_resumes_in_the_next_run(server: HubServer, https_row: Checkpoint, known: bool) -> None:
    row = https_row if known else replace(https_row, sha256="", bytes=0)
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


def test_https_starts_anew_when_the_server_ignores_ranges(server: HubServer, https_row: Checkpoint) -> None:
    server.fault = Fault(cut_after=1_000_000, ignore_range=True)
    bar = Bar()
    assert hub.fetch(https_row, progress=bar).read_bytes() == DATA
    assert bar.done == len(DATA)


def test_https_a_part_of_another_file_is_thrown_away(server: HubServer, https_row: Checkpoint) -> None:
    target = cache.https_file(https_row)
    target.parent.mkdir(parents=True)
    target.with_name(target.name + ".part").write_bytes(b"?" * 1000)
    assert hub.fetch(https_row).read_bytes() == DATA


def test_https_a_part_that_is_too_long(server: HubServer, https_row: Checkpoint) -> None:
    target = cache.https_file(https_row)
    target.parent.mkdir(parents=True)
    target.with_name(target.name + ".part").write_bytes(b"?" * (len(DATA) + 9))
    assert hub.fetch(https_row).read_bytes() == DATA


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
def test_https_refusals(server: HubServer, https_row: Checkpoint, fault: Fault, word: str) -> None:
    server.fault = fault
    assert word in str(fails(https_row))


def test_https_page_for_an_unknown_hash(server: HubServer, https_row: Checkpoint) -> None:
    server.fault = Fault(page=True)
    assert "web page" in str(fails(replace(https_row, sha256="", bytes=0)))


def test_https_hang_refusal_and_offline(server: HubServer, https_row: Checkpoint) -> None:
    server.fault = Fault(hang="GET")
    assert "reached" in str(fails(https_row, timeout=0.2, stall=0.5))
    assert "reached" in str(fails(replace(https_row, url="http://127.0.0.1:9/net.pth")))
    assert "HF_HUB_OFFLINE" in str(fails(https_row, offline=True))


def test_https_an_altered_file_is_fetched_again(server: HubServer, https_row: Checkpoint) -> None:
    hub.fetch(https_row).write_bytes(b"!" + DATA[1:])
    assert hub.fetch(https_row).read_bytes() == DATA


def test_https_unknown_hash_is_recorded(server: HubServer, https_row: Checkpoint, hub_home: Path) -> None:
    row = replace(https_row, sha256="", bytes=0)
    path = hub.fetch(row)
    recorded = {"sha256": sha(DATA), "bytes": len(DATA)}
    assert json.loads((hub_home / "gantool" / "lock.json").read_text()) == {"files": {row.url: recorded}}
    path.write_bytes(b"!")
    with pytest.raises(WeightsError, match="altered"):
        hub.verify(row)


def test_the_authors_release_stands_in_for_the_hub(
    server: HubServer, hub_row: Checkpoint, https_row: Checkpoint
) -> None:
    server.files = {k: v for k, v in server.files.items() if "resolve" not in k}
    both = replace(hub_row, url=https_row.url)
    path = hub.fetch(both)
    assert path.read_bytes() == DATA and hub.cached(both) == path
    with pytest.raises(WeightsError):  # without a pinned hash nothing says that it is the same file
        hub.fetch(replace(both, sha256="", name="other", url=https_row.url + "?"))
