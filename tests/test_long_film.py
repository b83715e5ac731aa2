"""Long films on the command line: whatever ends a run, the same command with --continue ends the film."""

from __future__ import annotations

import hashlib
import itertools
import os
import resource
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import av
import numpy as np
import pytest
from cli_kit import call, film, names, photo, upscaler

from gantool import segments
from gantool.errors import EncoderError, ExitCode, Stopped
from gantool.media.video import VideoWriter, probe, read_frames, write_clip
from gantool.workfolder import WorkFolder

FRAMES, ALL = 8, 36  # of a segment, here, and of the film
FOLDER = ".out.mp4.gantool"


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    upscaler(folder / "model.safetensors")
    film(folder / "film.mp4", frames=ALL, sound=True)
    return folder


@pytest.fixture
def here(album, tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy2(album / "film.mp4", work)
    shutil.copy2(album / "model.safetensors", tmp_path)
    monkeypatch.chdir(work)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("GANTOOL_DEVICE", "cpu")
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", FRAMES)
    return work


def words(*more: object, out: str = "out.mp4") -> list[str]:
    model = ("--model", "../model.safetensors", "--temporal", "online", "--threads", 1)
    return [str(word) for word in ("upscale", "film.mp4", "-o", out, *model, *more)]


def decoded(path: Path | str) -> list[tuple[int, str]]:
    return [(frame.pts, hashlib.sha256(frame.rgb.tobytes()).hexdigest()) for frame in read_frames(path)]


def sound(path: Path | str) -> list[tuple[int | None, bytes]]:
    with av.open(str(path)) as container:
        (stream,) = container.streams.audio
        return [(packet.pts, bytes(packet)) for packet in container.demux(stream) if packet.size]


@pytest.fixture
def stopped(here, capfd, monkeypatch):
    """Begins a film and stops when so many segments are finished."""

    def run(count: int, *more: object, out: str = "out.mp4"):
        commit = WorkFolder.commit
        left = itertools.count(1)

        def counted(self, *args, **facts):
            segment = commit(self, *args, **facts)
            if next(left) == count:
                raise Stopped
            return segment

        with monkeypatch.context() as patch:
            patch.setattr(WorkFolder, "commit", counted)
            return call(capfd, *words(*more, out=out))

    return run


# ---- killed, interrupted

ZYGOTE = """
import os, random, signal, sys, time
from pathlib import Path
import gantool.engine, gantool.loading, gantool.pipelines.upscale, gantool.segmenting, gantool.selection
from gantool import cli, segments
from gantool.inference import Runner
segments.SEGMENT_FRAMES = {frames}
words = {words!r}
folder = Path({folder!r})

predict = Runner.predict

def slowly(self, *args):
    time.sleep(0.05)
    return predict(self, *args)

Runner.predict = slowly

def start(*more):
    process = os.fork()
    if not process:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os._exit(cli.main([*words, *more]))
    return process

def finished():
    return len(list(folder.glob("seg_*[0-9].json")))

def wait_until(ready, process):
    while not ready():
        assert os.waitpid(process, os.WNOHANG) == (0, 0), "it has ended"
        time.sleep(0.002)

def end(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
"""


def zygote(here: Path, body: str) -> list[str]:
    """Runs many calls of gantool, of which the imports are done once; what the body printed."""
    script = ZYGOTE.format(frames=FRAMES, words=words("-q"), folder=str(here / FOLDER))
    script += textwrap.dedent(body)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=here, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_killed_at_any_moment(here, capfd):
    """kill -9 while a segment is written, and a little later, and again; then to the end."""
    out = zygote(
        here,
        """
        random.seed(0)
        killed = 0
        for number in range(4):
            process = start("--continue")
            wait_until(lambda: finished() > min(number, 2), process)
            time.sleep(random.random() * 0.1)
            os.kill(process, signal.SIGKILL)
            killed += end(process) == -signal.SIGKILL
        print(killed, folder.exists(), flush=True)
        print("again", end(start()), flush=True)
        print("last", end(start("--continue")), flush=True)
        """,
    )
    assert out == ["4 True", "again 4", "out.mp4", "last 0"]
    assert names(here) == ["film.mp4", "out.mp4"]
    assert call(capfd, *words(out="whole.mp4")).code == 0
    assert decoded("out.mp4") == decoded("whole.mp4") and len(decoded("out.mp4")) == ALL
    assert sound("out.mp4") == sound("whole.mp4") and probe("out.mp4").audio == 1


def test_signals_keep_what_is_finished(here, capfd):
    out = zygote(
        here,
        """
        for sign in (signal.SIGINT, signal.SIGTERM):
            before = finished()
            process = start("--continue")
            wait_until(lambda: finished() > before, process)
            os.kill(process, sign)
            print(end(process), finished() > before, flush=True)
        """,
    )
    assert out == ["130 True", "143 True"]
    done = call(capfd, *words("--continue"))
    assert done.code == 0 and "going on behind" in done.err and names(here) == ["film.mp4", "out.mp4"]


def test_stopped_by_ctrl_c_the_message_says_how_to_go_on(stopped, here, capfd):
    done = stopped(2)
    assert done.code == ExitCode.INTERRUPTED and done.out == ""
    assert done.err.splitlines()[-1] == (
        f"gantool: error: interrupted. What is finished stays in {here / FOLDER}; "
        "the same command with --continue goes on."
    )
    assert "out.mp4" not in names(here) and f"{FOLDER}/seg_000001.mp4" in names(here)
    for segment in (here / FOLDER).glob("*.mp4"):
        assert probe(segment).frames_hint == FRAMES  # they can be watched


# ---- going on


def test_going_on(stopped, here, capfd):
    assert call(capfd, *words(out="whole.mp4")).code == 0
    stopped(2)
    refused = call(capfd, *words())
    assert refused.code == ExitCode.OUTPUT and "--continue" in refused.err and FOLDER in refused.err
    assert call(capfd, *words("--overwrite")).code == ExitCode.OUTPUT, "work of hours is not thrown away"
    assert call(capfd, *words("--dry-run")).code == ExitCode.OUTPUT
    planned = call(capfd, *words("--dry-run", "--continue"))
    assert planned.code == 0 and planned.out.splitlines()[0] == "film.mp4 -> out.mp4 from frame 16 on"
    (record,) = call(capfd, *words("--dry-run", "--continue", "--json")).records
    assert record["continued_from"] == 16
    done = call(capfd, *words("--continue", "--json"))
    (record,) = done.records
    assert done.code == 0 and (record["continued_from"], record["frames"]) == (16, ALL)
    assert (record["width"], record["height"], record["output"]) == (96, 64, "out.mp4")
    assert decoded("out.mp4") == decoded("whole.mp4") and sound("out.mp4") == sound("whole.mp4")
    assert names(here) == ["film.mp4", "out.mp4", "whole.mp4"]
    assert call(capfd, *words("--continue")).code == ExitCode.OUTPUT, "it exists"


def test_nothing_to_go_on_with(here, capfd):
    done = call(capfd, *words("--continue", "--json"))
    assert done.code == 0 and "continued_from" not in done.records[0] and "going on" not in done.err
    photo(here / "a.png")
    done = call(capfd, "upscale", "a.png", "--model", "../model.safetensors", "--continue")
    assert done.code == 0 and names(here) == ["a.png", "a.upscale.png", "film.mp4", "out.mp4"]


def test_other_options(stopped, here, capfd):
    upscaler(here.parent / "other.safetensors", scale=3)
    stopped(1)
    before = names(here)
    for more, said in (
        (("--crf", 20), "--crf was 18, now 20"),
        (("--start", 0.5), "--start was not given, now 0.5"),
        (("--no-audio",), "--audio was True, now False"),
        (("--scale", 3), "--scale was not given, now 3.0"),
        (("--model", "../other.safetensors"), "the model was tiny ("),
    ):
        done = call(capfd, *words(*more, "--continue"))
        assert done.code == ExitCode.USAGE and said in done.err, done.err
        assert f"remove {here / FOLDER}" in done.err and names(here) == before


def test_options_that_leave_the_picture_alone(stopped, capfd):
    stopped(1)
    more = ("--continue", "--batch-size", 3, "--keep-partial", "--progress", "log")
    done = call(capfd, *words(*more, "--json"))
    assert done.code == 0 and done.records[0]["continued_from"] == 8


def test_another_input(stopped, here, capfd):
    stopped(1)
    changed = bytearray(Path("film.mp4").read_bytes())
    status = Path("film.mp4").stat()
    changed[-5] ^= 1
    Path("film.mp4").write_bytes(changed)
    os.utime("film.mp4", (status.st_atime, status.st_mtime))
    done = call(capfd, *words("--continue"))
    assert done.code == ExitCode.USAGE and "begun otherwise: the input was" in done.err
    Path(FOLDER, "job.json").write_text("{}")
    done = call(capfd, *words("--continue"))
    assert done.code == ExitCode.OUTPUT and "Remove the folder" in done.err


def test_a_batch_goes_on(stopped, here, capfd, monkeypatch):
    for name in ("in/a.mp4", "in/b.mp4", "in/c.mp4"):
        (here / name).parent.mkdir(exist_ok=True)
        shutil.copy2("film.mp4", name)
    batch = ("upscale", "in", "-o", "made/", "--model", "../model.safetensors", "--continue", "--json")
    commit = WorkFolder.commit

    def stop_at_b(self, *args, **facts):
        segment = commit(self, *args, **facts)
        if self.target.name.startswith("b.") and segment.number == 1:
            raise Stopped
        return segment

    monkeypatch.setattr(WorkFolder, "commit", stop_at_b)
    done = call(capfd, *batch)
    assert done.code == ExitCode.INTERRUPTED
    assert "What is finished stays in" in done.err and "1 of 3 are done; --skip-existing" in done.err
    monkeypatch.setattr(WorkFolder, "commit", commit)
    assert call(capfd, *batch).code == ExitCode.OUTPUT  # a.mp4 exists
    done = call(capfd, *batch, "--skip-existing")
    assert [record.get("continued_from", 0) for record in done.records] == [16, 0]
    assert names(here / "made") == [f"{name}.upscale.mp4" for name in "abc"]


def test_all_is_done_but_the_tidying_up(stopped, here, capfd, monkeypatch):
    """Killed between the last rename and the removal of the folder."""
    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, "remove", lambda self: None)
        assert call(capfd, *words()).code == 0
    assert FOLDER in names(here)
    before = Path("out.mp4").read_bytes()
    for more in (("--continue",), ("--continue", "--skip-existing")):
        copy = shutil.copytree(FOLDER, "copy")
        done = call(capfd, *words(*more, "--json"))
        assert done.code == 0 and done.records[0]["frames"] == ALL
        assert names(here) == sorted(
            ["film.mp4", "out.mp4", *[n for n in names(here) if n.startswith("copy")]]
        )
        Path(copy).rename(FOLDER)
    assert Path("out.mp4").read_bytes() == before
    assert call(capfd, *words("--overwrite")).code == 0 and FOLDER not in names(here)


def test_an_encoder_that_dies(here, capfd, monkeypatch):
    write = VideoWriter.write
    written = itertools.count(1)

    def dies(self, *args):
        if next(written) == FRAMES + 7:
            raise EncoderError("the encoder died", self.path, "Try another --codec")
        write(self, *args)

    monkeypatch.setattr(VideoWriter, "write", dies)
    done = call(capfd, *words())
    assert done.code == ExitCode.ENCODER
    assert "the encoder died (out.mp4). Try another --codec. What is finished stays in" in done.err
    assert not [name for name in names(here / FOLDER) if ".new" in name]
    assert call(capfd, *words("--continue", "--json")).records[0]["continued_from"] == FRAMES


def test_no_model_is_needed_for_the_rest(stopped, here, capfd, monkeypatch):
    """All segments are there: what is left is to join them."""
    stopped(5)
    monkeypatch.setattr("gantool.commands.session.Session.pipeline", lambda _: pytest.fail("loaded a model"))
    done = call(capfd, *words("--continue"))
    assert done.code == 0 and len(decoded("out.mp4")) == ALL


def test_several_steps(here, capfd):
    chain = ["chain", "film.mp4", "-o", "out.mp4", "upscale --model ../model.safetensors"]
    assert call(capfd, *chain, "--segment", "1/2").code == 0
    alone = ["upscale", *chain[1:4], "--model", "../model.safetensors"]
    assert "the command was chain, now upscale" in call(capfd, *alone, "--continue").err
    other = [*chain[:4], "upscale --model ../model.safetensors --scale 3"]
    done = call(capfd, *other, "--segment", "2/2")
    assert done.code == ExitCode.USAGE and "--scale of step 1 was not given, now 3.0" in done.err
    assert call(capfd, *chain, "--continue").code == 0 and len(decoded("out.mp4")) == ALL


# ---- disks and folders


@pytest.fixture
def room():
    """No file may grow beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_in_the_middle(here, capfd, room):
    noise = np.random.default_rng(0).integers(0, 255, (30, 64, 96, 3), dtype=np.uint8)
    noise[:FRAMES] = 90
    write_clip("film.mp4", noise, 25, crf=0, preset="ultrafast")
    still = ("--temporal", "off", "--crf", 0)
    assert call(capfd, *words(*still, out="whole.mp4")).code == 0
    room(150_000)  # enough for what the steps remember, but not for a segment of noise
    done = call(capfd, *words(*still))
    room(resource.RLIM_INFINITY)
    assert done.code == ExitCode.OUTPUT and "no space" in done.err and "(out.mp4)" in done.err
    assert "Free some space" in done.err and "--continue goes on" in done.err
    assert [name for name in names(here / FOLDER) if name.endswith(".mp4")] == ["seg_000000.mp4"]
    done = call(capfd, *words(*still, "--continue", "--json"))
    assert done.code == 0 and done.records[0]["continued_from"] == FRAMES
    assert decoded("out.mp4") == decoded("whole.mp4") and names(here) == ["film.mp4", "out.mp4", "whole.mp4"]


def test_a_disk_that_is_full_at_the_join(stopped, here, capfd, room):
    stopped(5)
    sizes = [path.stat().st_size for path in (here / FOLDER).glob("*.mp4")]
    room(max(sizes) + 100)
    done = call(capfd, *words("--continue"))
    room(resource.RLIM_INFINITY)
    assert done.code == ExitCode.OUTPUT
    assert "no space is left on the disk to join the segments (out.mp4). Free about 1 MB." in done.err
    assert not any(name.startswith(f"{FOLDER}/.gantool-") for name in names(here))
    assert call(capfd, *words("--continue")).code == 0 and len(decoded("out.mp4")) == ALL


@pytest.mark.parametrize("what", ["folder", "all"])
def test_removed_while_running(here, capfd, monkeypatch, what):
    commit = WorkFolder.commit

    def removed(self, *args, **facts):
        if facts["number"] == 2:
            shutil.rmtree(self.path if what == "folder" else self.path.parent)
        return commit(self, *args, **facts)

    monkeypatch.setattr(WorkFolder, "commit", removed)
    done = call(capfd, *words(out="deep/out.mp4"))
    assert done.code == ExitCode.OUTPUT and "(deep/out.mp4)" in done.err
    assert ("was removed" if what == "folder" else "folder does not exist") in done.err
    assert names(here) == ["film.mp4"]


def test_two_runs_to_one_output(stopped, here, capfd):
    stopped(1)
    with WorkFolder(here / "out.mp4") as other:
        other.lock()
        done = call(capfd, *words("--continue"))
        assert done.code == ExitCode.OUTPUT and "another gantool is at work on this output" in done.err
        assert call(capfd, *words("--segment", "1/2")).code == ExitCode.OUTPUT
        assert call(capfd, "join", "out.mp4").code == ExitCode.OUTPUT
    assert call(capfd, *words("--continue")).code == 0


def test_a_link_as_output_and_a_long_name(here, capfd):
    (here / "far").mkdir()
    Path("out.mp4").symlink_to("far/real.mp4")
    assert call(capfd, *words("--segment", "1/2", "--overwrite")).code == 0
    assert (here / "far/.real.mp4.gantool").is_dir()
    assert call(capfd, *words("--continue", "--overwrite")).code == 0
    assert Path("out.mp4").is_symlink() and len(decoded("far/real.mp4")) == ALL
    name = "ä" * 122 + ".mp4"
    assert call(capfd, *words("--segment", "1/1", out=name)).code == 0
    assert call(capfd, "join", name).code == 0 and len(decoded(name)) == ALL
    assert names(here) == sorted(["far", "far/real.mp4", "film.mp4", "out.mp4", name])


def test_a_clock_that_goes_backwards(here, capfd, monkeypatch):
    now = itertools.count(2_000_000_000, -1000)
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    assert call(capfd, *words("--segment", "1/2", "--progress", "log")).code == 0
    done = call(capfd, *words("--continue", "--json", "--progress", "log"))
    assert done.code == 0 and done.records[0]["seconds"] >= 0


# ---- shares


def test_shares_and_join(here, capfd):
    assert call(capfd, *words(out="whole.mp4")).code == 0
    done = call(capfd, *words("--segment", "2/3", "--json"))
    assert done.code == 0 and done.records[0]["segment"] == "2/3" and done.records[0]["frames"] == 16
    assert done.records[0]["output"] == str(here / FOLDER)
    done = call(capfd, "join", "out.mp4")
    assert done.code == ExitCode.INPUT and "segments 0, 3 to the end are missing" in done.err
    (damaged,) = [path for path in Path(FOLDER).glob("seg_*.mp4") if "000001" in path.name]
    kept = damaged.read_bytes()
    damaged.write_bytes(kept[:-5])
    assert "segments 0 to 1, 3 to the end are missing or damaged" in call(capfd, "join", "out.mp4").err
    damaged.write_bytes(kept)
    done = call(capfd, *words("--segment", "1/3", out="-"))
    assert done.code == ExitCode.USAGE and "needs a file to read and one to write" in done.err
    done = call(capfd, *words("--segment", "1/3"))
    assert (done.code, done.out) == (0, f"{here / FOLDER}\n")
    assert call(capfd, *words("--segment", "1/3", "--crf", 3)).code == ExitCode.USAGE
    assert call(capfd, *words("--segment", "3/3")).code == 0
    again = call(capfd, *words("--segment", "3/3", "--json")).records[0]
    assert again["continued_from"] == again["frames"] == 12
    Path("out.mp4").write_bytes(b"in the way")
    assert call(capfd, "join", "out.mp4").code == ExitCode.OUTPUT
    done = call(capfd, "join", FOLDER, "--overwrite", "--json")
    assert done.code == 0 and done.records[0]["frames"] == ALL and done.records[0]["output"] == "out.mp4"
    assert sound("out.mp4") == sound("whole.mp4")
    assert [pts for pts, _ in decoded("out.mp4")] == [pts for pts, _ in decoded("whole.mp4")]
    with av.open("out.mp4") as made, av.open("whole.mp4") as whole:
        assert made.metadata == whole.metadata and "gantool" in made.metadata["comment"]
    for name in ("out.mp4", FOLDER):
        done = call(capfd, "join", name)
        assert (done.code, done.out) == (0, "out.mp4\n") and "nothing left to join" in done.err
    assert names(here) == ["film.mp4", "out.mp4", "whole.mp4"]


@pytest.mark.parametrize(
    ("more", "out", "said"),
    [
        (("--segment", "0/3"), "out.mp4", "--segment 0/3 is no share"),
        (("--segment", "4/3"), "out.mp4", "no share"),
        (("--segment", "half"), "out.mp4", "no share"),
        (("--segment", "1/2", "--preview"), "out.png", "contradicts --preview"),
        (("--segment", "1/2"), "out.gif", "cannot be made in shares"),
        (("--segment", "1/2", "film.mp4", "other.png"), "out/", "--segment is for one film"),
    ],
)
def test_shares_that_cannot_be(here, capfd, more, out, said):
    photo(here / "other.png")
    done = call(capfd, *words(*more, out=out))
    assert done.code == ExitCode.USAGE and said in done.err
    assert names(here) == ["film.mp4", "other.png"]


def test_join_wants_the_source_as_it_was(here, capfd):
    assert call(capfd, "join", "out.mp4").code == ExitCode.INPUT
    assert call(capfd, *words("--segment", "1/1")).code == 0
    Path("film.mp4").rename("away.mp4")
    done = call(capfd, "join", "out.mp4")
    assert done.code == ExitCode.INPUT and "source is not there" in done.err
    shutil.copy("away.mp4", "film.mp4")
    with Path("film.mp4").open("ab") as file:
        file.write(b"\0")
    done = call(capfd, "join", "out.mp4")
    assert done.code == ExitCode.INPUT and "has changed" in done.err
    # The whole folder may move, as it does between machines that mount it elsewhere.
    Path("film.mp4").unlink()
    Path("away.mp4").rename("film.mp4")
    moved = here.parent / "moved"
    here.rename(moved)
    os.chdir(moved)
    assert call(capfd, "join", "out.mp4").code == 0 and len(decoded("out.mp4")) == ALL
    assert names(moved) == ["film.mp4", "out.mp4"]


def test_numbered_pictures(here, capfd):
    for number in range(30):
        photo(here / f"in/{number:03}.png")
    begun = ["upscale", "in/%03d.png", "-o", "out.mp4", "--model", "../model.safetensors", "--fps", "10"]
    assert call(capfd, *begun, "--segment", "2/2").code == 0
    photo(here / "in/007.png", width=24, gray=False)
    done = call(capfd, *begun, "--continue")
    assert done.code == ExitCode.USAGE and "the input was" in done.err
    shutil.rmtree(FOLDER)
    assert call(capfd, *begun, "--segment", "1/1").code == 0 and call(capfd, "join", "out.mp4").code == 0
    assert len(decoded("out.mp4")) == 30 and probe("out.mp4").fps == 10


def test_going_on_where_the_net_sees_some_frames_only(stopped, here, capfd):
    assert call(capfd, *words("--every", 5, out="whole.mp4")).code == 0
    assert call(capfd, *words(out="all.mp4")).code == 0
    assert decoded("whole.mp4") != decoded("all.mp4")
    stopped(2, "--every", 5)
    done = call(capfd, *words("--every", 4, "--continue"))
    assert done.code == ExitCode.USAGE and "--every was 5, now 4" in done.err
    assert call(capfd, *words("--every", 5, "--continue")).code == 0
    assert decoded("out.mp4") == decoded("whole.mp4")


def test_shares_where_the_net_sees_some_frames_only(here, capfd):
    assert call(capfd, *words("--every", 3, out="whole.mp4")).code == 0
    for share in (3, 1, 2):
        assert call(capfd, *words("--every", 3, "--segment", f"{share}/3")).code == 0
    assert call(capfd, "join", "out.mp4").code == 0
    whole, made = (
        [frame.rgb.astype(int) for frame in read_frames(name)] for name in ("whole.mp4", "out.mp4")
    )
    assert len(made) == len(whole) == ALL
    np.testing.assert_array_equal(made[0], whole[0])  # the first share begins as the whole does
    assert max(abs(one - other).mean() for one, other in zip(made, whole, strict=True)) < 8
    assert names(here) == ["film.mp4", "out.mp4", "whole.mp4"]
