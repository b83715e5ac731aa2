"""``gantool models`` through the real command line, against a local hub."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hub_server import COMMIT, Fault, HubServer, hub_server
from hub_support import TOKEN

from gantool import cache, catalog, cli

DATA = bytes(range(256)) * 4000

pytest_plugins = ("hub_fixtures",)

CATALOG = """
[net-x4]
task = "upscale"
summary = "a net"
arch = "srvgg.SRVGGNetCompact"
args = {{ num_conv = 2 }}
source = "hub"
repo = "owner/model"
file = "net.safetensors"
revision = "{commit}"
sha256 = "{sha}"
bytes = {size}
licence = "MIT"
commercial = true
scale = 4

[net-nc]
task = "colorize"
summary = "a net that may not be sold"
arch = "colorizer.ResNetUNet"
source = "hub"
repo = "owner/model"
file = "nc.pth"
revision = "main"
licence = "CC-BY-NC-4.0"
needs = ["net-x4"]

[own]
task = "colorize"
summary = "in the package"
arch = "colorizer.ResNetUNet"
source = "builtin"
file = "own.safetensors"
sha256 = "{own}"
bytes = 3
licence = "MIT"
commercial = true
"""


@pytest.fixture(autouse=True)
def server(hub_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub, a catalog of three models and an empty cache."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    sha = hashlib.sha256(DATA).hexdigest()
    text = CATALOG.format(commit=COMMIT, sha=sha, size=len(DATA), own=hashlib.sha256(b"own").hexdigest())
    (tmp_path / "weights.toml").write_text(text)
    (tmp_path / "own.safetensors").write_bytes(b"own")
    monkeypatch.setattr(catalog, "_catalog_path", lambda: tmp_path / "weights.toml")
    monkeypatch.setattr(cache, "builtin_file", lambda row: tmp_path / row.file)
    with hub_server() as running:
        running.add("owner/model", "net.safetensors", DATA)
        running.add("owner/model", "nc.pth", DATA[::-1])
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def gantool(capfd: pytest.CaptureFixture[str]) -> Any:
    """Run a command line; (exit code, stdout, stderr)."""

    def run(*argv: str) -> tuple[int, str, str]:
        code = cli.main(["models", *argv])
        out, err = capfd.readouterr()
        assert TOKEN not in out + err
        return code, out, err

    return run


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("words", [(), ("list",)])
def test_list(gantool: Any, words: tuple[str, ...]) -> None:
    code, out, err = gantool(*words)
    assert code == 0 and err == ""
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["name", "task", "size", "licence", "commercial", "where", "what", "for"]
    assert rows[2] == ["own", "colorize", "3", "B", "MIT", "yes", "built-in", "in", "the", "package"]
    assert rows[3][:7] == ["net-nc", "colorize", "?", "CC-BY-NC-4.0", "no", "not", "here"]
    assert rows[4][:6] == ["net-x4", "upscale", "x4", "1.0", "MB", "MIT"]
    assert len(rows) == 5 and "\x1b" not in out
    gantool("pull", "net-x4")
    assert "cached" in gantool(*words)[1]


def test_table_on_a_narrow_terminal(gantool: Any) -> None:
    from rich.text import Text

    from gantool.commands.models_table import table

    rows = list(catalog.load_catalog().rows)
    long = "a-model-with-quite-a-long-name-and-more"
    rows.append(replace(rows[0], name=long, licence="GPL-3.0-or-later and CC-BY-NC-SA-4.0"))
    for colors in (False, True):
        text = Text.from_ansi(table(rows, width=80, colors=colors)).plain
        assert max(map(len, text.splitlines())) <= 80
        for row in rows:
            assert row.name in text
        assert "commercial" not in text and "a net" not in text
    assert "\x1b[32mbuilt-in" in table(rows, width=80, colors=True)
    short = [line.split() for line in table(rows[:-1], width=80).splitlines()]
    assert ["colorize"] in short and ["upscale"] in short
    assert ["net-nc", "?", "CC-BY-NC-4.0", "no", "not", "here"] in short
    assert ["net-x4", "x4", "1.0", "MB", "MIT", "yes", "not", "here"] in short
    wide = table(rows, width=160)
    assert "commercial" in wide and "in the package" in wide and max(map(len, wide.splitlines())) <= 160
    assert long in table(rows, width=None)


def test_list_on_a_terminal(
    gantool: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As wide as the terminal is, and in colour only where colours are wanted."""
    import io

    from gantool.commands import models
    from gantool.console import Console

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for columns, colors in ((80, True), (200, False)):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("NO_COLOR", "" if colors else "1")
        monkeypatch.setenv("TERM", "xterm")
        out = Terminal()
        models._list(Console(out=out), None)
        assert ("\x1b[" in out.getvalue()) == colors
        assert ("what for" in out.getvalue()) == (columns == 200)
        assert "`gantool models show NAME`" in capfd.readouterr().err


def test_show_on_a_terminal(
    gantool: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What matters first, long values below themselves, addresses whole, and how to get and use it."""
    from gantool.commands.models_table import details

    record = {"made": "word " * 40, "url": "https://x/" + "y" * 90, "whole": False, "scale": 1, "bytes": 0}
    text = details({**record, "commercial": False, "summary": "a net", "name": "n"}, 80).splitlines()
    assert [line.split()[0] for line in text[:4]] == ["name", "summary", "bytes", "commercial"]
    assert "not known before the first download" in text[2] and text[3].split() == ["commercial", "no"]
    assert text[4].startswith("made        word word") and text[5].startswith("            word word")
    assert (
        max(len(line) for line in text if "url" not in line) <= 80
        and text[-1] == f"{'url':<12}{record['url']}"
    )
    assert not any(line.startswith(("whole", "scale")) for line in text)
    assert len(details(record, None).splitlines()) == 3
    monkeypatch.setattr("gantool.commands.models._width", lambda console: 100)
    _, out, err = gantool("show", "net-x4")
    assert all(len(line) <= 100 for line in out.splitlines())
    assert "`gantool models pull net-x4` downloads it" in err
    assert "`gantool upscale FILE --model net-x4` uses it" in err
    assert gantool("show", "net-x4", "--json")[2] == ""


@pytest.mark.parametrize("words", [("--json",), ("list", "--json"), ("--json", "list")])
def test_list_json(gantool: Any, words: tuple[str, ...]) -> None:
    code, out, _ = gantool(*words)
    assert code == 0
    assert [(r["name"], r["state"], r["path"] is None) for r in lines(out)] == [
        ("net-x4", "not here", True),
        ("net-nc", "not here", True),
        ("own", "built-in", False),
    ]


def test_list_task(gantool: Any) -> None:
    assert [r["name"] for r in lines(gantool("--task", "upscale", "--json")[1])] == ["net-x4"]
    code, out, err = gantool("list", "--task", "style")
    assert (code, out) == (0, "") and "no model for style" in err
    code, _, err = gantool("list", "--task", "paint")
    assert code == 2 and "colorize" in err


def test_show(gantool: Any) -> None:
    code, out, _ = gantool("show", "net-x4")
    shown = dict(line.split(None, 1) for line in out.splitlines())
    assert code == 0
    assert (
        shown["licence"] == "MIT" and shown["bytes"] == "1,024,000 (1.0 MB)" and shown["commercial"] == "yes"
    )
    assert shown["args"] == "num_conv=2" and shown["state"] == "not here"
    assert lines(gantool("show", "net-x4", "--json")[1])[0]["args"] == {"num_conv": 2}
    code, out, err = gantool("show", "net-x5")
    assert (code, out) == (2, "") and "Did you mean net-x4" in err


def test_pull_verify_remove(gantool: Any, server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from gantool import loading

    monkeypatch.setattr(loading, "check", lambda row, path: None)  # these files hold no nets
    code, out, err = gantool("pull", "net-x4")
    path = Path(out.strip())
    assert code == 0 and path.read_bytes() == DATA and err == ""
    asked = len(server.requests)
    assert gantool("pull", "net-x4")[:2] == (0, out) and len(server.requests) == asked
    code, out, _ = gantool("verify")
    assert code == 0 and [line.split()[:2] for line in out.splitlines()] == [
        ["net-x4", "ok"],
        ["net-nc", "not"],
        ["own", "ok"],
    ]
    path.resolve().write_bytes(DATA[::-1])
    code, out, err = gantool("verify", "net-x4")
    assert code == 5 and out == "net-x4  bad\n"  # the same sentence twice would help nobody
    assert err.startswith("gantool: error: the checkpoint has been altered: sha256")
    assert "gantool models pull net-x4" in err and err.count("\n") == 1
    code, out, err = gantool("verify", "net-x4", "own")
    assert code == 8 and out.startswith("net-x4  bad       the checkpoint has been altered: sha256")
    assert err == "gantool: error: 1 of 2 models are not as they should be.\n"
    path.resolve().write_bytes(DATA[:-1])
    code, out, err = gantool("verify", "--json")
    assert code == 8 and "1 of 3 models" in err
    assert [(r["name"], r["verified"]) for r in lines(out)] == [
        ("net-x4", False),
        ("net-nc", None),
        ("own", True),
    ]
    assert "1,023,999 bytes, expected 1,024,000" in lines(out)[0]["problem"]
    assert gantool("pull", "net-x4")[0] == 0
    code, out, _ = gantool("remove", "net-x4")
    assert code == 0 and "1.0 MB freed" in out and not path.exists()
    assert "was not here" in gantool("remove", "net-x4")[1]
    code, out, err = gantool("verify", "net-x4")
    assert code == 5 and "not here" in err and "not here" in out
    assert out.splitlines() == ["net-x4  not here"] and "`gantool models pull net-x4` gets it" in err


def test_pull_json_and_what_a_model_needs(gantool: Any) -> None:
    code, out, err = gantool("pull", "net-nc", "--json", "--accept-license")
    assert code == 0 and [r["name"] for r in lines(out)] == ["net-nc", "net-x4"]
    assert all(r["state"] == "cached" and Path(r["path"]).is_file() for r in lines(out))
    assert [r["licence_accepted"] for r in lines(out)] == [True, None] and err == ""


def test_a_licence_must_be_agreed_to_once(gantool: Any, server: HubServer) -> None:
    code, out, err = gantool("pull", "net-nc", "--json")
    assert code == 8 and [r["name"] for r in lines(out)] == ["net-x4"]
    assert "CC-BY-NC-4.0" in err and "`gantool models pull net-nc --accept-license`" in err
    photo = Path("photo.png")
    assert cli.main(["colorize", str(photo), "--model", "net-nc"]) == 3  # inputs are looked at first
    assert not any("nc.pth" in path for _, path, _ in server.requests)
    assert gantool("pull", "net-nc", "--accept-license")[0] == 0
    gantool("remove", "net-nc")
    assert gantool("pull", "net-nc")[0] == 0


def test_every_command_asks_before_it_downloads(
    gantool: Any, server: HubServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from cli_kit import call, photo

    picture = photo(tmp_path / "photo.png")
    for words in (("--json",), ("--dry-run",)):
        done = call(capfd, "colorize", picture, "--model", "net-nc", *words)
        assert (done.code, done.out) == (5, "") and done.err.count("\n") == 1
        assert "net-nc is not for commercial use" in done.err and "--accept-license" in done.err
    assert call(capfd, "colorize", picture, "--model", "net-nc", "--accept-license", "--dry-run").code == 0
    assert server.requests == []
    done = call(capfd, "colorize", picture, "--model", "net-nc", "--accept-license")
    assert done.code == 5 and "not a checkpoint" in done.err

    def fetched() -> int:  # the client itself may ask for other things once
        return sum(method == "GET" and path.endswith("nc.pth") for method, path, _ in server.requests)

    assert fetched() == 1
    gantool("remove", "net-nc")
    assert gantool("pull", "net-nc")[0] in (0, 8) and fetched() == 2


def test_what_the_catalog_does_not_pin_may_be_updated(gantool: Any, server: HubServer) -> None:
    path = Path(gantool("pull", "hf:owner/model/nc.pth")[1].strip())
    shown = lines(gantool("show", "hf:owner/model/nc.pth", "--json")[1])[0]
    assert shown["recorded"] == {
        "sha256": hashlib.sha256(DATA[::-1]).hexdigest(),
        "bytes": len(DATA),
        "revision": COMMIT,
    }
    server.add("owner/model", "nc.pth", DATA[::2])
    gantool("remove", "hf:owner/model/nc.pth")
    code, out, err = gantool("pull", "hf:owner/model/nc.pth")
    assert (code, out) == (5, "") and err.rstrip().endswith(
        "`gantool models pull hf:owner/model/nc.pth --update` accepts it."
    )
    assert gantool("pull", "hf:owner/model/nc.pth", "--update")[0] == 0 and path.read_bytes() == DATA[::2]
    assert "pinned by the catalog" in gantool("pull", "net-x4", "--update")[2]


def test_pull_from_the_hub_by_address(gantool: Any) -> None:
    code, out, _ = gantool("pull", "hf:owner/model/nc.pth")
    assert code == 0 and Path(out.strip()).read_bytes() == DATA[::-1]
    assert gantool("remove", "hf:owner/model/nc.pth")[0] == 0


def test_pull_failures(gantool: Any, server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.fault = Fault(status=401, error_code="RepoNotFound")
    code, out, err = gantool("pull", "net-x4")
    assert (code, out) == (5, "") and "HF_TOKEN" in err
    code, out, err = gantool("pull", "net-x4", "own", "hf:owner/model/missing.pth")
    assert code == 8 and out.strip().endswith("own.safetensors") and "2 of 3 models failed" in err
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, _, err = gantool("pull", "net-x4")
    assert code == 5 and "HF_HUB_OFFLINE" in err
    assert gantool("pull", "nothing-like-it")[0] == 2
    assert gantool("pull")[0] == 2


def test_progress_in_lines_stays_off_stdout(gantool: Any) -> None:
    code, out, _ = gantool("pull", "net-x4", "--progress", "bar")
    assert code == 0 and len(out.splitlines()) == 1


def test_built_in_models_stay(gantool: Any, tmp_path: Path) -> None:
    code, _, err = gantool("remove", "own")
    assert code == 2 and "stays" in err and (tmp_path / "own.safetensors").exists()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("source", ["hub", "https"])
def test_a_signal_in_the_middle_of_a_download(
    server: HubServer, tmp_path: Path, source: str, signum: int, code: int
) -> None:
    server.files["plain/net.pth"] = DATA
    server.fault = Fault(hang="BODY")
    row = (
        f"source='{source}', repo='owner/model', file='net.safetensors', revision='main', "
        f"url='{server.url}/plain/net.pth', bytes={len(DATA)}"
    )
    program = (
        "import sys; from gantool import catalog, cli\n"
        f"row = catalog.Checkpoint('net', 'upscale', {row})\n"
        "catalog.load_catalog = lambda: catalog.Catalog((row,))\n"
        "sys.exit(cli.main(['models', 'pull', 'net']))"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while server.count("GET") == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    child.send_signal(signum)
    began = time.monotonic()
    out, err = child.communicate(timeout=20)
    assert time.monotonic() - began < 4
    assert (child.returncode, out) == (code, b""), err
    left = {
        p.name.split(".", 1)[-1] for p in (tmp_path / "home").rglob("*") if p.is_file() and p.stat().st_size
    }
    # What came over plain https is kept for the next run; the hub's client cannot use its own part again.
    assert not any("incomplete" in name or "safetensors" in name for name in left)
    assert any(name.endswith(".part") for name in left) == (source == "https")
