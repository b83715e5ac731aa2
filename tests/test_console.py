"""The console: what goes to stderr, what to the protected stdout, and how progress looks."""

from __future__ import annotations

import ctypes
import io
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gantool import progress as module
from gantool.console import Console, colored, protected_stdout
from gantool.errors import InputError
from gantool.progress import Progress, clock_text, main_values, shortened


def test_levels(capfd):
    for quiet, verbose, shown in [(False, 0, "iw"), (True, 0, "w"), (False, 1, "iwd"), (True, 1, "wd")]:
        said = Console(quiet=quiet, verbose=verbose, color=False)
        said.info("i-line")
        said.warn("w-line")
        said.debug("d-line")
        out, err = capfd.readouterr()
        assert out == ""
        assert "".join(letter for letter in "iwd" if f"{letter}-line" in err) == shown


def test_error_lines(capfd):
    said = Console(color=False)
    said.error(InputError("the picture is damaged", "a.png", "Give another one"))
    said.error(RuntimeError("first\nsecond"))
    expected, bug = capfd.readouterr().err.splitlines()
    assert expected == "gantool: error: the picture is damaged (a.png). Give another one."
    assert bug.startswith("gantool: error: unexpected RuntimeError: first second. This is a bug")


def test_colour_only_where_it_is_wanted(capfd, monkeypatch):
    Console(color=True).warn("x")
    assert "\033[" in capfd.readouterr().err
    Console().warn("x")
    assert "\033[" not in capfd.readouterr().err, "stderr is no terminal here"

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert colored(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colored(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not colored(Terminal()) and not colored(None)


def test_results_are_paths_or_json(capfd):
    record = {"output": "ü.png", "frames": 1}
    with protected_stdout() as out:
        Console(out=out).result("ü.png", record)
        Console(out=out, json=True).result("ü.png", record)
    first, second = capfd.readouterr().out.splitlines()
    assert first == "ü.png" and json.loads(second) == record


def test_noise_of_every_kind_lands_on_stderr(capfd):
    with protected_stdout() as out:
        print("python noise")
        os.write(1, b"fd noise\n")
        libc = ctypes.CDLL(None)
        libc.puts(b"C noise")
        libc.fflush(None)
        os.system("echo child noise")
        Console(out=out).print("result")
    out, err = capfd.readouterr()
    assert out == "result\n"
    assert all(f"{kind} noise" in err for kind in ("python", "fd", "C", "child"))


def test_stdout_is_given_back(capfd):
    before, inode = sys.stdout, os.fstat(1).st_ino
    with pytest.raises(KeyError), protected_stdout():
        assert sys.stdout is sys.stderr
        raise KeyError
    assert sys.stdout is before and os.fstat(1).st_ino == inode
    print("after")
    assert capfd.readouterr().out == "after\n"


def test_replaced_stdout_gets_the_results(monkeypatch):
    notebook = io.StringIO()
    monkeypatch.setattr(sys, "stdout", notebook)
    with protected_stdout() as out:
        print("noise")
        Console(out=out).print("result")
    assert notebook.getvalue() == "result\n" and sys.stdout is notebook


def in_a_process(body: str, **options) -> subprocess.CompletedProcess[bytes]:
    """Where stdout is file descriptor 1 itself, as it is not under pytest."""
    script = "import os, sys\nfrom gantool.console import Console, protected_stdout\n" + textwrap.dedent(body)
    return subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, **options)


def test_file_descriptor_1_is_protected_and_given_back():
    done = in_a_process(
        """
        print("before")
        with protected_stdout() as out:
            print("python noise")
            os.write(1, b"fd noise\\n")
            os.system("echo child noise")
            Console(out=out).print("result")
            Console(out=out).print(os.fsdecode(b"caf\\xe9.png"))
        print("after")
        """,
        stdout=subprocess.PIPE,
    )
    assert done.stdout == b"before\nresult\ncaf\xe9.png\nafter\n"
    assert sorted(done.stderr.splitlines()) == [b"child noise", b"fd noise", b"python noise"]


def test_closed_stdout_is_no_failure():
    body = """
        with protected_stdout() as out:
            Console(out=out).print("unheard")
        """
    done = in_a_process(body, preexec_fn=lambda: os.close(1))
    assert done.returncode == 0 and done.stderr == b""


def test_reader_gone_means_silence():
    reading, writing = os.pipe()
    os.close(reading)
    body = """
        with protected_stdout() as out:
            said = Console(out=out)
            said.print("first")
            said.print("second")
            said.info("the work goes on")
        """
    done = in_a_process(body, stdout=writing)
    os.close(writing)
    assert done.returncode == 0 and done.stderr == b"gantool: the work goes on\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_disk_behind_stdout_is_an_error():
    body = """
        from gantool.errors import OutputError
        with protected_stdout() as out:
            try:
                Console(out=out).print("lost")
            except OutputError as error:
                print(error)
        """
    with Path("/dev/full").open("w") as full:
        done = in_a_process(body, stdout=full)
    assert done.returncode == 0 and done.stderr.startswith(b"cannot write to standard output")


@pytest.mark.parametrize(
    ("progress", "quiet", "mode"),
    [
        ("auto", False, "log"),
        ("auto", True, "none"),
        ("bar", True, "bar"),
        ("log", False, "log"),
        ("none", False, "none"),
    ],
)
def test_progress_mode_off_a_terminal(progress, quiet, mode):
    assert Console(progress=progress, quiet=quiet).progress_mode() == mode


def test_figures():
    now = [0.0]
    progress = Progress("film.mp4", 300, "frame", clock=lambda: now[0])
    assert progress.figures() == "0/300 frames"
    now[0] = 10.0
    progress.advance(100)
    assert progress.figures() == "100/300 frames, 10 frames/s, 0:20 left"
    progress.total(None)
    progress.note("waiting")
    assert progress.figures() == "100 frames, 10 frames/s, waiting"


def test_what_was_done_before_is_no_speed():
    now = [0.0]
    progress = Progress("film.mp4", 200, "frame", clock=lambda: now[0])
    progress.skip(100)
    assert progress.figures() == "100/200 frames"
    now[0] = 10.0
    progress.advance(10)
    assert progress.figures() == "110/200 frames, 1 frames/s, 1:30 left"


def test_bytes_are_told_in_megabytes():
    now = [0.0]
    progress = Progress("model", 4_885_111, "byte", clock=lambda: now[0])
    now[0] = 2.0
    progress.advance(2_000_000)
    assert progress.figures() == "2.0/4.9 MB, 1.0 MB/s, 0:03 left"


def test_log_mode_speaks_every_thirty_seconds(capfd, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Progress.__init__, "__defaults__", (lambda: now[0],))
    with Console(progress="log").task("film.mp4", 100) as progress:
        for second in range(70):
            now[0] = float(second)
            progress.advance()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("gantool: film.mp4: 31/100 frames, ") and lines[0].endswith(" left")


def test_bar_keeps_notices_apart(capfd):
    said = Console(progress="bar", color=False)
    with said.task("film.mp4", 3) as progress:
        progress.advance()
        said.warn("odd [size] of 427")
    out, err = capfd.readouterr()
    assert out == "" and "gantool: warning: odd [size] of 427" in err and "film.mp4" in err


VALUES = {
    "d": 0.512,
    "d_accuracy": 0.871,
    "g": 1.25,
    "l1": 0.1,
    "d_norm": 2.0,
    "lr": 2e-4,
    "images_per_s": 12.34,
}


def test_a_training_on_a_terminal_has_a_table(capfd):
    said = Console(progress="bar", color=False)
    with said.task("train pix2pix", 3, unit="step") as progress:
        progress.values(VALUES)
        progress.scores(20, {"psnr": 22.91}, best="psnr 23.01")
        said.warn("the critic is too good")
        progress.advance()
    out, err = capfd.readouterr()
    assert out == "" and err.count("gantool: warning: the critic is too good") == 1
    err = re.sub(r"\x1b\[[0-9;]*m", "", err)
    for words in ("d_accuracy       87%", "12.3 images/s, lr 0.0002", "psnr 22.91; best so far psnr 23.01"):
        assert words in err
    assert "last warning: the critic is too good" in err


@pytest.mark.parametrize(("mode", "quiet"), [("none", False), ("auto", True)])
def test_no_progress_no_values(capfd, mode, quiet):
    with Console(progress=mode, quiet=quiet).task("train pix2pix", 3) as progress:
        progress.values(VALUES)
        progress.scores(20, {"psnr": 22.91}, best="psnr 23.01")
        progress.advance()
    assert capfd.readouterr() == ("", "")


def test_main_values_stand_in_the_log_line(capfd, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(Progress.__init__, "__defaults__", (lambda: now[0],))
    with Console(progress="log").task("train pix2pix", 300, unit="step") as progress:
        progress.values(VALUES)
        progress.scores(20, {"psnr": 22.91}, best="psnr 23.01")
        now[0] = 30.0
        progress.advance(60)
        progress.values(VALUES | {"d": 0.6})
        progress.advance(60)
    assert capfd.readouterr().err == (
        "gantool: train pix2pix: 60/300 steps, 2 steps/s, 2:00 left, "
        "d 0.5120, d_accuracy 87%, g 1.250, l1 0.1000, 12.3 images/s\n"
    )


def test_a_log_line_has_room_for_some_values_only():
    many = {f"loss_{i}": 0.1 for i in range(20)} | {"images_per_s": 3.0, "d_accuracy": 0.5}
    words = main_values(many)
    assert len(words) < 120 and words.endswith("d_accuracy 50%, 3 images/s")


def test_a_terminal_that_cannot_move_gets_lines(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert Console().progress_mode() == "bar"
    monkeypatch.setenv("TERM", "dumb")
    assert Console().progress_mode() == "log"


def test_nested_bars(capfd):
    said = Console(progress="bar", color=False)
    with said.task("upscale", 2, unit="input") as outer:
        with said.task("film.mp4") as inner:
            inner.advance()
            inner.total(9)
        outer.advance()
    assert (outer.done, inner.done, inner.expected) == (1, 1, 9)
    assert capfd.readouterr().out == ""


def test_long_labels_keep_both_ends():
    assert shortened("film.mp4") == "film.mp4"
    label = shortened("holiday-1957-part-two-reel-three.mp4")
    assert len(label) == 26 and label.startswith("holiday-1957") and label.endswith("three.mp4")


def test_clock_text():
    assert [clock_text(s) for s in (-1, 0.4, 75, 4000)] == ["0:00", "0:00", "1:15", "1:06:40"]
