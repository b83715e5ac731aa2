"""What tests that download from the local hub share: the file, a progress that remembers, a check."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from gantool import cache, hub
from gantool.catalog import Checkpoint
from gantool.errors import ExitCode, WeightsError

REPO, FILE = "owner/model", "weights/net.safetensors"
DATA = random.Random(0).randbytes(3_000_000)
TOKEN = "hf_" + "Secret" * 6


def sha(data: bytes) -> str:
    """SHA-256 as hex digits."""
    return hashlib.sha256(data).hexdigest()


class Bar:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.size = 0
        self.done = 0
        self.steps = 0

    def total(self, n: int) -> None:
        """The size is known."""
        self.size = n

    def advance(self, n: int = 1) -> None:
        """More is here."""
        self.done += n
        self.steps += 1


def files_in(folder: Path) -> set[str]:
    """All files under a folder, by their path in it."""
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
