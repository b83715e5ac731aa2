"""``gantool train`` from the command line: config files, runs that know their data, several processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import typer
from cli_kit import call, start

from gantool import devices, training
from gantool.catalog import embedded_row
from gantool.commands import one_voice
from gantool.commands import train as command
from gantool.commands.config_file import read_config
from gantool.errors import DeviceError, ExitCode, InputError, UsageError
from gantool.recipes import pix2pix
from gantool.settings import configure

SMALL = [
    "--set=scale=2",
    "--set=width=8",
    "--set=depth=2",
    "--set=batch=4",
    "--set=patch=16",
    "--set=holdout=2",
]
PLAIN = ["--device", "cpu", "--precision", "fp32", "--threads", "1", "-q"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(20):
        image = cv2.resize(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8), (72, 72))
        cv2.imwrite(str(folder / f"{number:02d}.png"), image)
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for side in "AB":
        (folder / side).mkdir()
        for number in range(12):
            image = cv2.resize(rng.integers(0, 255, (5, 5, 3), dtype=np.uint8), (48, 48))
            cv2.imwrite(str(folder / f"{side}/{number}.png"), image)
    return folder


def nets(folder):
    return torch.load(folder / "last.ckpt", weights_only=True)["net"]


def difference(one, other):
    a, b = nets(one), nets(other)
    return max(float((a[key] - b[key]).abs().max()) for key in a)


@pytest.mark.slow
def test_two_processes_and_two_parts_equal_one_whole_batch(photos, tmp_path, capfd):
    words = ["train", "--task", "upscale", photos, "--steps", "6", *SMALL, *PLAIN]
    with start(*words, "-o", tmp_path / "two", "--devices", "2") as process:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err.decode()
    assert out.decode().splitlines() == [str(tmp_path / "two/model.safetensors")]
    assert call(capfd, *words, "-o", tmp_path / "one").code == 0
    assert call(capfd, *words, "-o", tmp_path / "parts", "--accumulate", "2").code == 0
    assert difference(tmp_path / "one", tmp_path / "two") < 1e-5
    assert difference(tmp_path / "one", tmp_path / "parts") < 1e-5
    log = [(tmp_path / name / "log.jsonl").read_text() for name in ("one", "two")]
    assert [json.loads(line)["step"] for line in log[1].splitlines()] == [6]
    assert json.loads(log[0])["psnr"] == pytest.approx(json.loads(log[1])["psnr"], abs=1e-4)


@pytest.mark.slow
def test_two_processes_with_instance_norm_make_the_nets_of_one(pairs, tmp_path, capfd):
    """Biases in front of an instance norm change nothing, so their gradients are rounding alone and Adam
    makes steps of it: what must agree is every gradient, and what the nets make of a picture."""
    settings = ["size=32", "ngf=4", "ndf=4", "layers=2", "net=resnet", "blocks=1", "norm=instance"]
    settings += ["dropout=0", "batch=2", "holdout=2"]
    words = ["train", "--task", "pix2pix", pairs, "--steps", "4", *PLAIN, *(f"--set={s}" for s in settings)]
    with start(*words, "-o", tmp_path / "two", "--devices", "2") as process:
        _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err.decode()
    assert call(capfd, *words, "-o", tmp_path / "one").code == 0
    one, two = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("one", "two"))
    for part in ("optimizer", "critic_optimizer"):
        a, b = (run[part]["state"] for run in (one, two))
        largest = max(float(moments["exp_avg"].abs().max()) for moments in a.values())
        apart = max(float((a[i]["exp_avg"] - b[i]["exp_avg"]).abs().max()) for i in a)
        assert largest > 0.01 and apart < 1e-5 * max(1.0, largest)
    config = configure(pix2pix.Config, dict(s.split("=") for s in settings))
    x = torch.rand(2, 6, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for part, make in (("net", pix2pix.generator_of), ("critic", pix2pix.critic_of)):
        net, answers = make(config).eval(), []
        shown = x[:, :3] if part == "net" else x
        with torch.no_grad():
            for run in (one, two):
                net.load_state_dict(run[part])
                answers.append(net(shown))
        assert answers[0].abs().max() > 0.1 and (answers[0] - answers[1]).abs().max() < 1e-5


def test_of_two_processes_that_fail_alike_one_speaks(monkeypatch):
    monkeypatch.setattr(one_voice, "_WAIT_S", 0.1)
    monkeypatch.delenv(one_voice.PLACE, raising=False)  # and so it will be afterwards
    with pytest.raises(UsageError), one_voice.one_voice(first=True):
        place = os.environ[one_voice.PLACE]
        monkeypatch.setenv(one_voice.PLACE, place + "?")
        with pytest.raises(DeviceError), one_voice.one_voice(first=False):  # the first one says nothing
            raise DeviceError("out of memory")
        raise UsageError("a batch of 3")
    assert one_voice.PLACE not in os.environ
    monkeypatch.setenv(one_voice.PLACE, place)  # as the second process has it
    with pytest.raises(typer.Exit) as ended, one_voice.one_voice(first=False):
        raise UsageError("a batch of 3")
    assert ended.value.exit_code == ExitCode.USAGE
    with pytest.raises(DeviceError), one_voice.one_voice(first=False):
        raise DeviceError("out of memory")  # its own trouble


def test_sigterm_ends_two_processes_and_the_run_goes_on(photos, tmp_path, capfd):
    words = ["train", "--task", "upscale", photos, "-o", tmp_path / "run", "--steps", "100000", *SMALL]
    process = start(*words, "--devices", "2", "--device", "cpu", "--sample-every", "5", "--threads", "1")
    for _ in range(1200):
        if (tmp_path / "run/last.ckpt").exists() or process.poll() is not None:
            break
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err.decode()
    assert err.decode().count("go on with --resume") == 1  # said by the first process only
    done = torch.load(tmp_path / "run/last.ckpt", weights_only=True)["step"]
    assert done % 5 == 0
    resumed = call(capfd, "train", "--resume", tmp_path / "run", "--steps", done + 1, *PLAIN)
    assert resumed.code == 0, resumed.err
    assert torch.load(tmp_path / "run/last.ckpt", weights_only=True)["step"] == done + 1


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on a process there")
def test_no_room_for_a_checkpoint_keeps_the_one_before(photos, tmp_path, capfd):
    """A limit on the size of files stands in for a full disk: the system refuses in the middle of a write."""
    import resource

    run, words = tmp_path / "run", ["train", "--task", "upscale", photos, "--steps", "4", *SMALL, *PLAIN]
    assert call(capfd, *words, "-o", run, "--stop-after", "2").code == 0
    before, there = (run / "last.ckpt").read_bytes(), {path.name for path in run.iterdir()}
    limit = (len(before) // 2, resource.RLIM_INFINITY)
    with start(
        "train", "--resume", run, *PLAIN, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    ) as process:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 4 and out == b""
    assert b"the file is larger than this place allows" in err and b"last.ckpt" in err, err
    assert b"Traceback" not in err
    assert (run / "last.ckpt").read_bytes() == before
    assert {path.name for path in run.iterdir()} == there
    assert call(capfd, "train", "--resume", run, *PLAIN).code == 0
    assert call(capfd, *words, "-o", tmp_path / "whole").code == 0
    assert difference(run, tmp_path / "whole") == 0


def test_a_run_knows_its_task_and_data(photos, tmp_path, capfd):
    words = [
        "train",
        "--task",
        "upscale",
        photos,
        "-o",
        tmp_path / "run",
        "--steps",
        "3",
        "--stop-after",
        "1",
    ]
    assert call(capfd, *words, *SMALL, *PLAIN).code == 0
    done = call(capfd, "train", "--resume", tmp_path / "run", *PLAIN)
    assert done.code == 0, done.err
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["data"] == [str(photos)] and len(config["data_hash"]) == 16
    other = tmp_path / "other"
    other.mkdir()
    for number in range(20):
        (other / f"x{number:02d}.png").write_bytes((photos / f"{number:02d}.png").read_bytes())
    warned = call(
        capfd,
        "train",
        other,
        "--resume",
        tmp_path / "run",
        "--steps",
        "4",
        "--device=cpu",
        "--precision=fp32",
    )
    assert warned.code == 0 and "not those that this run began with" in warned.err


def test_a_run_goes_on_as_it_was_trained(photos, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(devices, "_fast_bf16", lambda device: False)  # auto is fp32
    run, here = tmp_path / "run", ["--device", "cpu", "--threads", "1"]
    words = ["train", "--task", "upscale", photos, "-o", run, "--steps", "3", "--stop-after", "1", *SMALL]
    manner = ["--precision", "bf16", "--accumulate", "2", "--sample-every", "2", "--seed", "7"]
    assert call(capfd, *words, *manner, *here).code == 0
    config = json.loads((run / "config.json").read_text())
    assert (config["precision"], config["accumulate"], config["sample_every"]) == ("bf16", 2, 2)
    assert config["seed"] == 7
    done = call(capfd, "train", "--resume", run, *here)
    assert done.code == 0 and "goes on with" not in done.err
    assert {path.stem for path in (run / "samples").iterdir()} == {"0000001", "0000002", "0000003"}
    for words in (["--accumulate", "3"], ["--seed", "5"]):
        refused = call(capfd, "train", "--resume", run, "--steps", "4", *words, *here)
        assert refused.code == 2 and "gantool: error: " in refused.err
        assert json.loads((run / "config.json").read_text()) == config
    done = call(capfd, "train", "--resume", run, "--seed", "7", *here)
    assert done.code == 0 and "all 3 steps are done; --steps M makes it longer" in done.err
    change = ["--steps", "4", "--precision", "auto", "--accumulate", "1"]
    done = call(capfd, "train", "--resume", run, *change, *here)
    assert done.code == 0 and "goes on with --precision fp32; up to now it had bf16" in done.err
    assert "goes on with --accumulate 1; up to now it had 2" in done.err
    changed = config | {"steps": 4, "precision": "fp32", "accumulate": 1}
    assert json.loads((run / "config.json").read_text()) == changed


def test_a_run_of_earlier_days_goes_on_and_learns_its_manner(photos, tmp_path, capfd):
    run = tmp_path / "run"
    words = ["train", "--task", "upscale", photos, "-o", run, "--steps", "2", "--stop-after", "1"]
    assert call(capfd, *words, *SMALL, *PLAIN).code == 0
    config = json.loads((run / "config.json").read_text())
    old = {key: value for key, value in config.items() if key not in ("precision", "accumulate")}
    (run / "config.json").write_text(json.dumps(old))
    done = call(capfd, "train", "--resume", run, "--device=cpu", "--precision=fp32", "--threads=1")
    assert done.code == 0 and "goes on with" not in done.err
    assert json.loads((run / "config.json").read_text()) == config


def test_the_command_line_stands_before_the_config_file(photos, tmp_path, capfd):
    file = tmp_path / "run.toml"
    file.write_text(
        f'task = "upscale"\ndata = "{photos}"\noutput = "{tmp_path / "run"}"\nsteps = 2\nseed = 7\n'
        'device = "cpu"\nprecision = "fp32"\n[set]\nscale = 2\nwidth = 8\ndepth = 2\nbatch = 2\npatch = 16\n'
    )
    done = call(capfd, "train", "--config", file, "--steps", "1", "--set", "width=9", "--threads", "1")
    assert done.code == 0, done.err
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert (config["steps"], config["seed"], config["settings"]["width"]) == (1, 7, 9)
    assert config["settings"]["depth"] == 2
    again = ["train", "--config", tmp_path / "run/config.json", "-o", tmp_path / "again", "--device", "cpu"]
    assert call(capfd, *again, "--precision", "fp32").code == 0
    repeated = json.loads((tmp_path / "again/config.json").read_text())
    assert repeated == config
    assert difference(tmp_path / "run", tmp_path / "again") == 0


def test_paths_keep_their_meaning_wherever_the_run_goes_on(photos, tmp_path, capfd, monkeypatch):
    (tmp_path / "job").mkdir()
    (tmp_path / "job/art.png").write_bytes((photos / "00.png").read_bytes())
    small = "batch = 2\ncrop = 32\nstyle_size = 32\nwidth = 2\nblocks = 1\nholdout = 2\n"
    (tmp_path / "job/run.toml").write_text(
        f'task = "fast_style"\ndata = "{photos}"\noutput = "made"\nsteps = 2\n'
        f'[set]\nstyle = "art.png"\n{small}'
    )
    monkeypatch.chdir(tmp_path)
    done = call(capfd, "train", "--config", "job/run.toml", "--stop-after", "1", *PLAIN)
    assert (done.code, done.out) == (0, "job/made/model.safetensors\n"), done.err
    config = json.loads(Path("job/made/config.json").read_text())
    assert config["settings"]["style"] == str(tmp_path / "job/art.png")
    row = embedded_row(Path("job/made/model.safetensors"))
    assert row is not None and "'art.png'" in row.made and str(tmp_path) not in row.made
    monkeypatch.chdir("job/made")
    done = call(capfd, "train", "--resume", ".", *PLAIN)
    assert done.code == 0, done.err
    monkeypatch.chdir(tmp_path / "job")
    given = ["--set", "style=art.png", "-o", "again", "--steps", "1", "--config", "../job/run.toml"]
    assert call(capfd, "train", *given, *PLAIN).code == 0
    again = json.loads(Path("again/config.json").read_text())
    assert again["settings"] == config["settings"]


@pytest.mark.parametrize(
    ("text", "error", "word"),
    [
        ('tsk = "upscale"', UsageError, "Did you mean task"),
        ("lr = 1.0", UsageError, r"under \[set\]"),
        ("steps = true", UsageError, "whole number"),
        ('steps = "many"', UsageError, "whole number"),
        ("steps = ", InputError, "not valid"),
        ("steps = -5", UsageError, "steps in .* must be at least 1, not -5"),
        ("accumulate = 0", UsageError, "at least 1"),
        ("seed = -1", UsageError, "at least 0"),
        ("data = [1, 2]", UsageError, "names of folders, not 1"),
    ],
)
def test_config_files_that_are_wrong(tmp_path, text, error, word):
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(InputError, match="no table of keys and values"):
        read_config(tmp_path / "list.json")
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(error, match=word):
        read_config(tmp_path / "c.toml")
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path / "gone.toml")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--devices", "999"], 6, "--devices 999 on a machine with"),
        (["--strategy", "fsdp"], 2, "no strategy called"),
        (["--accumulate", "3"], 2, "cannot be shared evenly"),
        (["--accumulate", "3"], 2, "a batch of 4 cannot be shared evenly in 3 parts. Use --set batch=3."),
        (["--set", "widht=3"], 2, "Did you mean width?\n"),
        (["--set", "lr=inf"], 2, "lr takes a number, not 'inf'"),
        (["--set", "init=gone.pth"], 5, "No such file or directory (gone.pth). Check --set init=gone.pth."),
        (["--set", "eye=gone.pth"], 5, "no such checkpoint file (gone.pth). Check --set eye=gone.pth."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(photos, tmp_path, capfd, words, code, sentence):
    base = ["train", "--task", "upscale", photos, "-o", tmp_path / "run", "--steps", "1", *PLAIN, *SMALL]
    done = call(capfd, *base, *words)
    assert done.code == code and sentence in done.err and done.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("there", ["", "runs", "runs/new"])
def test_a_refused_run_takes_with_it_what_it_made_and_no_more(photos, tmp_path, capfd, there):
    run = tmp_path / "runs/new"
    (tmp_path / there).mkdir(parents=True, exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    words = ["train", "--task", "upscale", photos, "-o", run, "--steps", "1", *PLAIN]
    assert call(capfd, *words, *SMALL, "--set", "init=gone.safetensors").code != 0
    assert sorted(tmp_path.rglob("*")) == before
    run.mkdir(parents=True, exist_ok=True)
    (run / "check.png").write_bytes(b"a sheet")
    assert call(capfd, *words, "--set", "scale=7").code != 0
    assert [path.name for path in run.iterdir()] == ["check.png"]


def test_a_run_that_fails_later_keeps_all(photos, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(training.Loop, "_after", lambda self: failing())

    def failing():
        raise DeviceError("out of memory")

    words = ["train", "--task", "upscale", photos, "-o", tmp_path / "run", "--steps", "2", *SMALL, *PLAIN]
    assert call(capfd, *words).code == 6
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.json", "log.jsonl"}


@pytest.mark.parametrize("check", [[], ["--check"]])
def test_a_run_that_cannot_be_written_is_one_sentence(photos, tmp_path, capfd, check):
    (tmp_path / "file").touch()
    places = ["file", "file/run", "x" * 300]
    if sys.platform == "linux":
        places.append("/proc/run")
    for place in places:
        done = call(
            capfd, "train", "--task", "upscale", photos, "-o", tmp_path / place, *SMALL[:5], *PLAIN, *check
        )
        assert done.code == ExitCode.OUTPUT and done.err.count("\n") == 1, done.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_missing_style_is_one_sentence(photos, tmp_path, capfd):
    words = ["train", "--task", "fast_style", photos, "-o", tmp_path / "run", "--set", "style=gone.png"]
    done = call(capfd, *words, *PLAIN)
    assert done.code == 3
    assert done.err == "gantool: error: no such style picture (gone.png). Check --set style=...\n"


def test_out_of_memory_names_what_helps(photos, tmp_path, capfd, monkeypatch):
    import gantool.recipes.upscale as recipe

    def train(request):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(recipe, "train", train)
    done = call(capfd, "train", "--task", "upscale", photos, "-o", tmp_path / "run")
    assert done.code == 6 and "--accumulate 2" in done.err and "--precision bf16" in done.err


def test_a_batch_too_small_for_batch_norm_is_one_sentence(photos, tmp_path, capfd):
    words = ["schedule=gan", "batch=1", "crop=32", "holdout=2"]
    base = ["train", "--task", "colorize", photos, "-o", tmp_path / "run", "--steps", "1", *PLAIN]
    done = call(capfd, *base, *(f"--set={word}" for word in words))
    assert done.code == 2 and "batch=" in done.err and done.err.count("\n") == 1


def test_check_names_what_is_wrong_and_trains_nothing(tmp_path, capfd, monkeypatch):
    rng = np.random.default_rng(0)
    for side in ("A", "B"):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        for number in range(6):
            image = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / f"pairs/{side}/{number}.png"), image)
    monkeypatch.chdir(tmp_path)
    words = ["train", "--task", "pix2pix", "pairs", "--check"]
    done = call(capfd, *words)
    assert (done.code, done.out) == (0, "pix2pix-check.png\n") and "no errors" in done.err
    sheet = cv2.imread("pix2pix-check.png")
    assert sheet is not None and sheet.std() > 5
    (tmp_path / "pairs/A/5.png").rename(tmp_path / "pairs/A/six.png")
    (tmp_path / "pairs/A/0.png").write_bytes(b"not a picture")
    cv2.imwrite(str(tmp_path / "pairs/A/1.png"), rng.integers(0, 65535, (40, 40, 3), dtype=np.uint16))
    cv2.imwrite(str(tmp_path / "pairs/B/2.png"), rng.integers(0, 255, (40, 40), dtype=np.uint8))
    done = call(capfd, *words, "-o", "run", "--json")
    assert done.code == 3
    for name in ("0.png", "1.png", "2.png", "six", "5"):
        assert name in done.err
    assert "16" in done.err and "gr" in done.err and done.records[0]["output"] == "run/check.png"
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["check.png"]


def test_every_task_has_a_recipe():
    import importlib

    from gantool.settings import describe

    for task in command.TASKS:
        recipe = importlib.import_module(f"gantool.recipes.{task}")
        assert callable(recipe.train)
        assert all(meaning for _, _, meaning in describe(recipe.Config))
