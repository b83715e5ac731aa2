"""Ctrl-C and SIGTERM in the middle of real work, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from cli_kit import film, names, photo, upscaler

from gantool.cli import Signals
from gantool.errors import ExitCode, Stopped

CODES = [
    (signal.SIGINT, ExitCode.INTERRUPTED),
    (signal.SIGTERM, ExitCode.TERMINATED),
    (signal.SIGHUP, ExitCode.TERMINATED),
]


@pytest.fixture
def here(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    film(work / "film.mp4", frames=60)
    photo(work / "photo.png")
    upscaler(tmp_path / "model.safetensors")
    return work


def launch(here: Path, body: str, *words: str) -> subprocess.Popen[bytes]:
    """``gantool upscale`` with a patch applied first; Ctrl-C works even where the tests run in background."""
    script = f"""
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from gantool import cli, engine
{textwrap.dedent(body)}
sys.exit(cli.main(sys.argv[1:]))
"""
    command = [
        sys.executable,
        "-c",
        script,
        "upscale",
        *words,
        "--model",
        str(here.parent / "model.safetensors"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )


def wait_for(ready, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


SLOW_FRAMES = """
from gantool.inference import Runner
predict = Runner.predict
def slow(self, *args, **options):
    time.sleep(0.1)
    open("at-work", "a").write(".")
    return predict(self, *args, **options)
Runner.predict = slow
"""


@pytest.mark.parametrize(("signum", "code"), CODES)
def test_in_the_middle_of_a_film(here, signum, code):
    process = launch(here, SLOW_FRAMES, "film.mp4", "-o", "new/film.mp4")
    marker = here / "at-work"
    wait_for(lambda: marker.exists() and marker.stat().st_size >= 5, process)
    assert any(name.startswith("new/.gantool-") for name in names(here)), (
        "the temporary file lies beside the target"
    )
    process.send_signal(signum)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code and out == b""
    assert err.count(b"\n") == 1 and err.startswith(b"gantool: error: ")
    marker.unlink()
    assert names(here) == ["film.mp4", "photo.png"]


def test_while_the_program_is_still_being_imported():
    script = """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class CtrlC:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, CtrlC())
sys.argv = ["gantool", "--version"]
runpy.run_module("gantool", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.INTERRUPTED
    assert (done.stdout, done.stderr) == ("", "gantool: error: interrupted.\n")


@pytest.mark.parametrize(("signum", "code"), CODES[:2])
def test_the_second_signal_ends_at_once(here, signum, code):
    """The first one is swallowed by something stubborn; without the second this would take a minute."""
    body = """
    def stubborn(*args, **options):
        open("at-work", "w").close()
        try:
            time.sleep(60)
        except BaseException:
            open("stopping", "w").close()
            time.sleep(60)
    engine.run_picture = stubborn
    """
    process = launch(here, body, "photo.png")
    wait_for((here / "at-work").exists, process)
    process.send_signal(signum)
    wait_for((here / "stopping").exists, process)
    process.send_signal(signum)
    process.communicate(timeout=10)
    assert process.returncode == code


def test_a_swallowed_stop_is_seen_again(here):
    """A callback of a C library eats the exception; the work ends at the next frame all the same."""
    body = """
    import os
    real = engine.run_video
    def run_video(*args, check, **options):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException:
            pass
        return real(*args, check=check, **options)
    engine.run_video = run_video
    """
    process = launch(here, body, "film.mp4")
    process.communicate(timeout=60)
    assert process.returncode == ExitCode.TERMINATED and names(here) == ["film.mp4", "photo.png"]


# ---- the handler itself


@pytest.fixture
def listening():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_shield_holds_a_signal_back_until_the_next_check(listening):
    with Signals() as signals:
        signals.check()
        with signals.shield():
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(Stopped) as caught:
                signals.check()
        assert caught.value.code == ExitCode.INTERRUPTED
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Signals():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_from_another_thread_there_are_no_handlers():
    import threading

    failed = []

    def work():
        try:
            with Signals() as signals:
                signals.check()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed
