"""``gantool doctor`` names what is broken and ends with its exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli_kit import call

from gantool import cache


def test_well_and_then_a_damaged_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    done = call(capfd, "doctor")
    assert done.code == 0 and "all is well" in done.err and "built-in models" in done.out
    cache.lock_file().parent.mkdir(parents=True)
    cache.lock_file().write_text("{cut", encoding="utf-8")
    done = call(capfd, "doctor")
    assert done.code == 5 and "record of downloaded checkpoints is unreadable" in done.err
    assert "all is well" not in done.err and str(cache.lock_file()) in done.err
