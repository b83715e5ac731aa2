"""The file in which several processes remember what they fetched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gantool import records
from gantool.errors import WeightsError


def test_a_change_is_there_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock.json"
    assert records.read(path) == {}
    assert records.change(path, lambda table: table.setdefault("files", {}).update(a={"bytes": 1}))
    assert records.read(path) == {"files": {"a": {"bytes": 1}}}
    before = path.stat().st_mtime_ns
    assert records.change(path, lambda table: None) and path.stat().st_mtime_ns == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["lock.json", "lock.json.lock"]


def test_processes_do_not_forget_each_other_s_lines(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from gantool import records\n"
        "for n in range(40):\n"
        "    name = f'{sys.argv[2]}-{n}'\n"
        "    edit = lambda table: table.setdefault('files', {}).update({name: {}})\n"
        "    assert records.change(Path(sys.argv[1]), edit)\n"
    )
    path = tmp_path / "lock.json"
    children = [subprocess.Popen([sys.executable, "-c", program, path, str(n)]) for n in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert len(json.loads(path.read_text())["files"]) == 120


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not records.change(tmp_path / "file" / "lock.json", lambda table: table.update(a={}))


def test_a_failed_change_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock.json"
    records.change(path, lambda table: table.update(a={}))

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert not records.change(path, lambda table: table.update(b={}))
    assert records.read(path) == {"a": {}}
    assert not list(tmp_path.glob(".*"))


def test_a_damaged_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    path.write_text("{")
    with pytest.raises(WeightsError, match="unreadable"):
        records.change(path, lambda table: table.update(a={}))
    assert path.read_text() == "{"
