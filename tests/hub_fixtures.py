"""Fixtures of the tests that download from the local hub, named by them as a pytest plugin."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import COMMIT, HubServer, hub_server
from hub_support import DATA, FILE, REPO, sha

from gantool.catalog import Checkpoint


@pytest.fixture
def hub_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no proxy, no environment of the machine's own."""
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGINGFACE_", "TRANSFORMERS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def server(hub_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub that offers the one model."""
    with hub_server() as running:
        running.add(REPO, FILE, DATA)
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def hub_row() -> Checkpoint:
    """The row of that model."""
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


@pytest.fixture
def https_row(server: HubServer) -> Checkpoint:
    """The same bytes at a plain address."""
    server.files["release/v1/net.pth"] = DATA
    url = f"{server.url}/release/v1/net.pth"
    return Checkpoint("net", "upscale", source="https", url=url, sha256=sha(DATA), bytes=len(DATA))
