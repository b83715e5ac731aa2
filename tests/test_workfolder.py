"""The folder of an unfinished film: whole or not there, one owner, and known again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from gantool.errors import OutputError, UsageError
from gantool.workfolder import WorkFolder, folder_for, target_of

JOB = {"facts": {"the input": "12 bytes", "--crf": "18"}, "output": "film.mp4"}


@pytest.fixture
def work(tmp_path):
    with WorkFolder(tmp_path / "film.mp4") as work:
        work.begin(JOB)
        yield work


def finish(work: WorkFolder, number: int, data: bytes = b"picture", following: int | None = None, **state):
    temporary = work.temporary(number, ".mp4")
    temporary.write_bytes(data)
    states = [state, {"other": np.arange(3)}] if state else None
    facts = {"pts": (3, 5), "duration": 2, "first": number == 0, "following": following, "tail": ((5, 77),)}
    return work.commit(temporary, states, number=number, **facts)


def test_where_it_lies(tmp_path):
    assert folder_for(tmp_path / "film.mp4") == tmp_path / ".film.mp4.gantool"
    assert target_of(tmp_path / ".film.mp4.gantool") == tmp_path / "film.mp4"
    far = tmp_path / "far"
    far.mkdir()
    (tmp_path / "link.mp4").symlink_to(far / "real.mp4")
    assert folder_for(tmp_path / "link.mp4") == far / ".real.mp4.gantool"
    for name in ("ü" * 120 + ".mp4", "x" * 250 + ".mp4"):  # 244 bytes fit with what is added, 254 do not
        with WorkFolder(tmp_path / name) as work:
            work.begin(JOB | {"output": name})
            assert target_of(work.path) == tmp_path / name
            work.remove()


def test_segments_come_back_as_they_were(work):
    first = finish(work, 0, following=2, layer=np.ones((2, 3), np.float32))
    second = finish(work, 2)
    assert work.segments() == {0: first, 2: second}
    states = work.states(0)
    assert states is not None and len(states) == 2
    np.testing.assert_array_equal(states[0]["layer"], np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(states[1]["other"], [0, 1, 2])
    assert work.states(2) is None
    work.forget_states(0)
    assert work.states(0) is None and work.segments() == {0: first, 2: second}
    work.drop(0)
    assert work.segments() == {2: second}


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "record", "no record"])
def test_only_whole_segments_count(work, damage):
    finish(work, 0, following=1, layer=np.ones(9))
    segment = finish(work, 1)
    picture, record = work.path / segment.file, work.path / "seg_000001.json"
    if damage == "cut":
        picture.write_bytes(b"pict")
    elif damage == "changed":
        picture.write_bytes(b"Picture")
    elif damage == "gone":
        picture.unlink()
    elif damage == "record":
        record.write_bytes(record.read_bytes()[:40])
    else:
        record.rename(work.path / "seg_000001.new.json")  # as a run that was killed leaves it
    assert list(work.segments()) == [0]
    (work.path / "seg_000000.npz").write_bytes((work.path / "seg_000000.npz").read_bytes()[:-30])
    assert work.states(0) is None
    again = finish(work, 1)
    assert work.segments()[1] == again


def test_what_was_begun_must_stay_the_same(work):
    work.release()
    work.begin(JOB | {"output": "elsewhere"})  # not a fact
    work.release()
    changed = {"facts": {"the input": "13 bytes", "--crf": "18", "--scale": "2"}}
    with pytest.raises(UsageError) as caught:
        work.begin(changed)
    assert caught.value.what.endswith(
        "begun otherwise: the input was 12 bytes, now 13 bytes; --scale was not given, now 2"
    )
    assert str(work.path) in caught.value.remedy
    (work.path / "job.json").write_text("{")
    work.release()
    with pytest.raises(OutputError, match="cannot be read"):
        work.begin(JOB)


def test_one_at_a_time_or_several_that_share(tmp_path):
    one, two = WorkFolder(tmp_path / "film.mp4"), WorkFolder(tmp_path / "film.mp4")
    with one, two:
        one.begin(JOB)
        for shared in (False, True):
            with pytest.raises(OutputError, match="at work on this output"):
                two.begin(JOB, shared=shared)
        one.release()
        one.begin(JOB, shared=True)
        two.begin(JOB, shared=True)
        one.claim(4)
        one.claim(4)
        with pytest.raises(OutputError, match="at work"):
            two.claim(4)
        finish(one, 4)
        with pytest.raises(OutputError, match="at work"):
            two.claim(4)  # made by now
        (one.path / "seg_000004.mp4").write_bytes(b"damaged")
        two.release()
        two.begin(JOB, shared=True)
        two.claim(4)


def test_a_dead_process_locks_nothing(tmp_path):
    script = f"""
from pathlib import Path
from gantool.workfolder import WorkFolder
work = WorkFolder(Path({str(tmp_path / "film.mp4")!r}))
work.begin({JOB!r})
print("begun", flush=True)
input()
"""
    command = [sys.executable, "-c", script]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdout.readline() == b"begun\n"
    with WorkFolder(tmp_path / "film.mp4") as work:
        with pytest.raises(OutputError):
            work.begin(JOB)
        other.kill()
        other.wait()
        work.begin(JOB)


def test_nothing_finished_nothing_stays(tmp_path):
    one, two = WorkFolder(tmp_path / "film.mp4"), WorkFolder(tmp_path / "film.mp4")
    with one, two:
        assert not one.keep_if_begun()
        one.begin(JOB, shared=True)
        two.begin(JOB, shared=True)
        one.temporary(0, ".mp4").write_bytes(b"half")
        assert not one.keep_if_begun() and one.exists(), "the other one is at work"
        two.release()
        assert not one.keep_if_begun() and not one.exists()
        one.release()
        one.begin(JOB)
        finish(one, 0)
        assert one.keep_if_begun() and one.exists()


def test_removal_takes_only_its_own(work):
    finish(work, 0, following=1, layer=np.ones(3))
    work.temporary(1, ".mp4").write_bytes(b"half")
    (work.path / ".gantool-0123abcd.mp4").write_bytes(b"half a film")
    (work.path / "notes.txt").write_text("mine")
    work.remove()
    assert [path.name for path in work.path.iterdir()] == ["notes.txt"]
    (work.path / "notes.txt").unlink()
    work.remove()
    assert not work.exists()


def test_done_is_told_from_another_file_of_that_name(work):
    joined = work.path / ".gantool-0123abcd.mp4"
    joined.write_bytes(b"film")
    work.mark_done(joined)
    assert not work.is_done()
    work.target.write_bytes(b"older")
    assert not work.is_done()
    joined.replace(work.target)
    assert work.is_done()
    work.remove()
    assert not work.exists() and not work.is_done()


def test_removed_while_in_use(work, tmp_path):
    temporary = work.temporary(0, ".mp4")
    temporary.write_bytes(b"picture")
    shutil.rmtree(work.path)
    facts = {"number": 0, "pts": (1,), "duration": 1, "first": True, "following": None, "tail": ()}
    with pytest.raises(OutputError, match="was removed"):
        work.commit(temporary, None, **facts)
    with pytest.raises(OutputError, match="was removed"):
        work.lock()


def test_unwritable_places(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="not a folder"):
        WorkFolder(tmp_path / "file/film.mp4").begin(JOB)
    with pytest.raises(OutputError, match="does not exist"):
        WorkFolder(tmp_path / "no/film.mp4").begin(JOB)


def test_records_are_plain_json(work):
    finish(work, 3, following=None)
    record = json.loads((work.path / "seg_000003.json").read_text())
    assert record["pts"] == [3, 5] and record["file"] == "seg_000003.mp4" and record["bytes"] == 7
