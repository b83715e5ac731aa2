"""The command line as a whole: exit codes one by one, streams, help, versions."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest
from cli_kit import call, colorizer, film, names, photo, start, upscaler

from gantool.errors import DivergedError, ExitCode


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {"colorize": colorizer(folder / "c.safetensors"), "upscale": upscaler(folder / "u.safetensors")}


@pytest.fixture
def here(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("GANTOOL_DEBUG", "GANTOOL_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    return work


def one_line(err: str) -> str:
    """The error line, which must be the only one."""
    lines = err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("gantool: error: "), err
    return lines[0]


# ---- exit codes, one by one


def test_0_ok(here, models, capfd):
    photo(here / "a.png")
    done = call(capfd, "colorize", "a.png", "--model", models["colorize"])
    assert (done.code, done.out, done.err) == (0, "a.colorize.png\n", "")
    assert names(here) == ["a.colorize.png", "a.png"]


def test_1_bug(here, models, capfd, monkeypatch):
    photo(here / "a.png")

    def broken(*_, **__):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("gantool.engine.run_picture", broken)
    done = call(capfd, "upscale", "a.png", "--model", models["upscale"])
    assert done.code == ExitCode.BUG and done.out == ""
    assert "unexpected ZeroDivisionError" in one_line(done.err)
    assert names(here) == ["a.png"]
    assert "Traceback" in call(capfd, "upscale", "a.png", "--model", models["upscale"], "-v").err
    monkeypatch.setenv("GANTOOL_DEBUG", "1")
    assert "Traceback" in call(capfd, "upscale", "a.png", "--model", models["upscale"]).err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["colorize"], "no input"),
        (["colorise", "a.png"], "No such command 'colorise'"),
        (["colorize", "a.png", "--modle", "x"], "--model"),
        (["colorize", "a.png", "--strength", "2"], "--strength"),
        (["colorize", "a.png", "--flow", "rafts"], "'farneback', 'dis', 'raft', 'codec'"),
        (["colorize", "a.png", "--model", "colorise-unet-nonesuch"], "unknown model"),
        (["colorize", "a.png", "--device", "toaster"], "--device"),
        (["colorize", "a.png", "--precision", "fp8"], "--precision"),
        (["colorize", "a.png", "--overwrite", "--skip-existing"], "contradict"),
        (["colorize", "a.png", "-o"], "-o"),
        (["colorize", "a.png", "-o", "-", "--json"], "--json"),
        (["colorize", "a.png", "--model", "{upscale}"], "is for upscale"),
        (["upscale", "a.png", "--scale", "2", "--width", "9"], "contradict"),
        (["upscale", "f.mp4", "--start", "soon", "--model", "{upscale}"], "h:mm:ss"),
        (["upscale", "f.mp4", "--start", "1:00:00", "--model", "{upscale}"], "behind the end"),
        (["train"], "--task"),
        (["train", "--task", "colour", "."], "Did you mean colorize"),
        (["train", "--task", "colorize", "-o", "run"], "no training pictures"),
        (["train", "--task", "colorize", "."], "-o RUN"),
        (["train", "--task", "colorize", ".", "-o", "run", "--set", "lr"], "KEY=VALUE"),
    ],
)
def test_2_usage(here, models, capfd, words, hint):
    photo(here / "a.png")
    if "f.mp4" in words:
        film(here / "f.mp4")
    before = names(here)
    words = [str(models["upscale"]) if word == "{upscale}" else word for word in words]
    done = call(capfd, *words)
    assert done.code == ExitCode.USAGE and done.out == ""
    assert hint in one_line(done.err)
    assert names(here) == before


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("gone.png", None),
        ("empty.png", b""),
        ("empty.mp4", b""),
        ("text.mp4", b"hello, I am no film\n" * 50),
        ("page.mp4", b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n"),
        ("text.png", b"hello, I am no picture\n" * 50),
        ("text.dat", b"hello"),
    ],
)
def test_3_input(here, capfd, monkeypatch, name, data):
    monkeypatch.setattr("gantool.commands.session.Session.pipeline", lambda _: pytest.fail("loaded a model"))
    if data is not None:
        Path(name).write_bytes(data)
    done = call(capfd, "upscale", name, "--model", upscaler(here.parent / "u.safetensors"))
    assert done.code == ExitCode.INPUT and done.out == ""
    assert name in one_line(done.err)
    assert names(here) == ([name] if data is not None else [])


def test_3_truncated_and_too_large(here, models, capfd):
    photo(here / "a.png", 64, 64)
    Path("cut.png").write_bytes(Path("a.png").read_bytes()[:-40])
    film(here / "a.mp4", frames=20)
    Path("cut.mp4").write_bytes(Path("a.mp4").read_bytes()[:900])
    for name in ("cut.png", "cut.mp4"):
        done = call(capfd, "upscale", name, "--model", models["upscale"])
        assert done.code == ExitCode.INPUT and name in one_line(done.err)
    done = call(capfd, "upscale", "a.png", "--model", models["upscale"], "--max-pixels", 1000)
    assert done.code == ExitCode.INPUT and "--max-pixels" in one_line(done.err)
    assert names(here) == ["a.mp4", "a.png", "cut.mp4", "cut.png"]


def test_4_output(here, models, capfd):
    photo(here / "a.png")
    Path("a.upscale.png").write_bytes(b"mine")
    done = call(capfd, "upscale", "a.png", "--model", models["upscale"])
    assert done.code == ExitCode.OUTPUT and "--overwrite" in one_line(done.err)
    assert Path("a.upscale.png").read_bytes() == b"mine"
    done = call(capfd, "upscale", "a.png", "-o", "a.png/b.png", "--model", models["upscale"])
    assert done.code == ExitCode.OUTPUT and "not a folder" in one_line(done.err)
    done = call(capfd, "upscale", "a.png", "-o", "b.xyz", "--model", models["upscale"])
    assert done.code == ExitCode.OUTPUT
    done = call(capfd, "upscale", "a.png", "--model", models["upscale"], "--overwrite")
    assert done.code == 0 and Path("a.upscale.png").read_bytes() != b"mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_4_folder_without_rights(here, models, capfd):
    photo(here / "a.png")
    (here / "closed").mkdir(mode=0o500)
    done = call(capfd, "upscale", "a.png", "-o", "closed/", "--model", models["upscale"])
    assert done.code == ExitCode.OUTPUT and "cannot be written" in one_line(done.err)


def test_5_weights(here, capfd):
    photo(here / "a.png")
    done = call(capfd, "upscale", "a.png", "--model", "gone.safetensors")
    assert done.code == ExitCode.WEIGHTS and "gone.safetensors" in one_line(done.err)
    Path("bad.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    done = call(capfd, "upscale", "a.png", "--model", "bad.safetensors")
    assert done.code == ExitCode.WEIGHTS and "bad.safetensors" in one_line(done.err)
    done = call(capfd, "upscale", "a.png", "--model", "realesr-animevideov3")
    assert done.code == ExitCode.WEIGHTS, "known, not here, and the network is off"
    assert names(here) == ["a.png", "bad.safetensors"]


def test_6_device(here, models, capfd, monkeypatch):
    photo(here / "a.png")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = call(capfd, "upscale", "a.png", "--model", models["upscale"], "--device", "cuda")
    assert done.code == ExitCode.DEVICE and "gantool doctor" in one_line(done.err)

    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("gantool.engine.run_picture", full)
    done = call(capfd, "upscale", "a.png", "--model", models["upscale"])
    assert done.code == ExitCode.DEVICE and "out of memory" in one_line(done.err)


def test_7_encoder(here, models, capfd):
    film(here / "f.mp4")
    done = call(capfd, "upscale", "f.mp4", "--model", models["upscale"], "--codec", "libnonesuch")
    assert done.code == ExitCode.ENCODER and "libnonesuch" in one_line(done.err)
    assert names(here) == ["f.mp4"]


def test_8_partial(here, models, capfd):
    photo(here / "in/a.png")
    photo(here / "in/b.png")
    Path("in/bad.png").write_bytes(b"no")
    done = call(capfd, "upscale", "in", "-o", "out", "--model", models["upscale"])
    assert done.code == ExitCode.PARTIAL
    assert done.out.splitlines() == ["out/a.upscale.png", "out/b.upscale.png"]
    assert done.err.splitlines()[-1].startswith("gantool: error: 1 of 3 inputs failed.")


def test_9_diverged(here, capfd, monkeypatch):
    photo(here / "photos/a.png")

    def train(request):
        raise DivergedError("loss became nan at step 3", request.out, "Lower the rate with --set lr=1e-5")

    monkeypatch.setitem(sys.modules, "gantool.recipes.colorize", types.SimpleNamespace(train=train))
    done = call(capfd, "train", "--task", "colorize", "photos", "-o", "run")
    assert done.code == ExitCode.DIVERGED and "--set lr" in one_line(done.err)


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
def test_130_and_143(here, models, capfd, monkeypatch, signum, code):
    photo(here / "a.png")

    def stopped(*_, **__):
        os.kill(os.getpid(), signum)

    monkeypatch.setattr("gantool.engine.run_picture", stopped)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    if before[0] is signal.SIG_IGN:
        pytest.skip("this process ignores Ctrl-C")
    done = call(capfd, "upscale", "a.png", "--model", models["upscale"])
    assert done.code == code and done.out == ""
    one_line(done.err)
    assert names(here) == ["a.png"]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_the_numbers_are_what_is_documented():
    assert {int(code) for code in ExitCode} == {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130, 143}


# ---- streams


def test_library_noise_stays_off_stdout(here, models, capfd, monkeypatch):
    from gantool import engine

    photo(here / "a.png")
    quiet = engine.run_picture

    def noisy(*args, **options):
        print("python noise")
        os.write(1, b"fd noise\n")
        libc = ctypes.CDLL(None)
        libc.puts(b"C noise")
        libc.fflush(None)
        subprocess.run(["echo", "child noise"], check=True)
        return quiet(*args, **options)

    monkeypatch.setattr(engine, "run_picture", noisy)
    done = call(capfd, "upscale", "a.png", "--model", models["upscale"], "--json")
    assert len(done.records) == 1
    assert all(f"{kind} noise" in done.err for kind in ("python", "fd", "C", "child"))


def test_json_record(here, models, capfd):
    photo(here / "a.png", 24, 16)
    film(here / "f.mp4", frames=6)
    done = call(capfd, "upscale", "a.png", "f.mp4", "--json", "--model", models["upscale"])
    picture, video = done.records
    for record in (picture, video):
        assert record["task"] == "upscale" and record["model"] == "tiny"
        assert record["device"] == "cpu" and record["precision"] in ("fp32", "bf16")
        assert record["seconds"] > 0 and record["warnings"] == []
        assert record["stages"] and all(seconds >= 0 for seconds in record["stages"].values())
    assert (picture["source"], picture["output"]) == ("a.png", "a.upscale.png")
    assert (picture["kind"], picture["width"], picture["height"], picture["frames"]) == ("image", 48, 32, 1)
    assert (video["kind"], video["width"], video["height"], video["frames"]) == ("video", 96, 64, 6)


def test_quiet_and_verbose(here, models, capfd):
    photo(here / "a.png")
    words = ("upscale", "a.png", "--model", models["upscale"], "--overwrite")
    assert call(capfd, *words, "-q").err == ""
    assert "tiny on cpu" in call(capfd, *words, "-v").err


def test_reader_of_results_goes_away(here, models):
    """``gantool ... | head -0``: the work is done all the same, and nothing is said about the pipe."""
    photo(here / "a.png")
    photo(here / "b.png")
    process = start("upscale", "a.png", "b.png", "--model", models["upscale"], cwd=here)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0 and err == b""
    assert names(here) == ["a.png", "a.upscale.png", "b.png", "b.upscale.png"]


def test_reader_of_help_goes_away():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "gantool", "colorize", "--help"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert done.returncode == 0 and done.stderr == b""


def test_reader_of_a_picture_goes_away(here, models):
    photo(here / "a.png", 512, 512)
    process = start("upscale", "a.png", "-o", "-", "--model", models["upscale"], cwd=here)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait() == ExitCode.OUTPUT and b"gone away" in err and err.count(b"\n") == 1


def test_picture_through_standard_streams(here, models):
    from gantool.media.image import read_picture

    photo(here / "a.png", 24, 16)
    process = start("upscale", "-", "-o", "-", "--model", models["upscale"], cwd=here, stdin=subprocess.PIPE)
    out, err = process.communicate(Path("a.png").read_bytes())
    assert process.returncode == 0 and err == b""
    made = read_picture(out)
    assert (made.width, made.height, made.gray) == (48, 32, True)
    process = start("upscale", "-", "-o", "-", "--model", models["upscale"], cwd=here, stdin=subprocess.PIPE)
    out, err = process.communicate(b"")
    assert process.returncode == ExitCode.INPUT and out == b"" and b"standard input is empty" in err


# ---- help and version


def test_version(capfd):
    from importlib import metadata

    done = call(capfd, "--version")
    assert (done.code, done.out, done.err) == (0, f"gantool {metadata.version('gantool')}\n", "")


def test_no_words_show_the_help_as_a_usage_error(capfd):
    done = call(capfd)
    assert done.code == ExitCode.USAGE and done.out == "" and done.err.startswith("Usage: gantool COMMAND")


@pytest.mark.parametrize("command", ["", "colorize", "upscale", "train", "models", "models list", "doctor"])
@pytest.mark.parametrize("width", [80, 120])
def test_help_pages(capfd, monkeypatch, command, width):
    monkeypatch.setenv("COLUMNS", str(width))
    done = call(capfd, *command.split(), "--help")
    assert done.code == 0 and done.err == ""
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= min(width, 100)
    assert lines[0].startswith("Usage: gantool") and "\033" not in done.out
    examples = lines[lines.index("Examples") + 1 :]
    assert 2 <= len(examples) <= 4 and all(line.startswith("  gantool ") for line in examples)
    assert call(capfd, *command.split(), "-h").out == done.out


@pytest.mark.parametrize("command", ["colorize", "upscale"])
def test_help_panels_in_the_order_of_the_design(capfd, command):
    lines = call(capfd, command, "--help").out.splitlines()
    panels = [line for line in lines if line and line[0] != " "][2:]
    wanted = ["Files", "Model", "Quality", "Video", "Hardware", "Output", "Examples"]
    assert [panel for panel in panels if panel in wanted] == wanted


def test_one_word_means_one_thing():
    """An option that several commands have is written and explained alike, but for what concerns its task."""
    import typer

    from gantool import cli

    meanings: dict[str, set[str]] = {}
    own = {"--output", "--resume", "--task", "--help", "--list", "--scale", "--preview"}
    of_the_file = ("export", "--precision")  # what is written, not how a run computes
    for command in typer.main.get_command(cli.app).commands.values():
        for param in command.params:
            for name in param.opts:
                if name.startswith("--") and name not in own and (command.name, name) != of_the_file:
                    assert name == name.lower() and "_" not in name
                    meanings.setdefault(name, set()).add(f"{param.help} {param.metavar} {param.opts}")
    assert all(len(said) == 1 for said in meanings.values()), meanings
