"""``gantool chain``: several commands in one pass."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from cli_kit import call, colorizer, film, names, photo, translator, upscaler

from gantool.errors import ExitCode
from gantool.media.image import read_picture
from gantool.media.video import read_frames

LOSSLESS = ["--codec", "ffv1", "--pix-fmt", "bgr0"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A photo and a film to work on, and a tiny model of each task."""
    work = tmp_path / "work"
    photo(work / "a.png")
    photo(work / "deep/b.png")
    film(work / "f.mp4", frames=5, sound=True)
    for make, name in ((colorizer, "c"), (upscaler, "u"), (translator, "t")):
        make(tmp_path / f"{name}.safetensors")
    monkeypatch.chdir(work)
    return work


STEPS = [
    "translate --model ../t.safetensors --temporal-strength 0.5",
    "colorize --model ../c.safetensors --saturation 2 --strength 0.7",
    "upscale --model ../u.safetensors --temporal online --flow dis",
]


def one_by_one(capfd, source: str, suffix: str, *options: str) -> Path:
    """The steps as commands of their own, each reading what the one before wrote."""
    for number, step in enumerate(STEPS):
        target = f"{number}{suffix}"
        done = call(capfd, *shlex.split(step), source, "-o", target, *options)
        assert done.code == 0, done.err
        source = target
    return Path(source)


def test_a_film_is_what_the_commands_make_one_after_the_other(here, capfd):
    last = one_by_one(capfd, "f.mp4", ".mkv", *LOSSLESS)
    done = call(capfd, "chain", "f.mp4", *STEPS, "-o", "all.mkv", "--json", *LOSSLESS)
    assert done.code == 0, done.err
    (record,) = done.records
    assert record["model"] == "tiny-g + tiny-color + tiny" and record["task"] == "chain"
    assert (record["width"], record["height"], record["frames"]) == (96, 64, 5)
    for mine, theirs in zip(read_frames("all.mkv"), read_frames(last), strict=True):
        np.testing.assert_array_equal(mine.rgb, theirs.rgb)
        assert mine.time == theirs.time


def test_a_photo_and_a_folder(here, capfd):
    last = one_by_one(capfd, "a.png", ".png")
    assert call(capfd, "chain", "a.png", *STEPS).code == 0
    np.testing.assert_array_equal(read_picture(Path("a.chain.png")).rgb, read_picture(last).rgb)
    done = call(capfd, "chain", "deep", *STEPS, "-o", "out/")
    assert done.code == 0 and names(here / "out") == ["b.chain.png"]
    Path("list.txt").write_text("a.png\ndeep/b.png\n")
    done = call(capfd, "chain", *STEPS, "--from-file", "list.txt", "-o", "listed/")
    assert done.code == 0 and len(names(here / "listed")) == 2


def test_what_holds_for_all_steps_and_what_for_one(here, capfd):
    def frames(name: str, *words: str) -> list[np.ndarray]:
        assert call(capfd, "chain", "f.mp4", *words, "-o", name, *LOSSLESS).code == 0
        return [frame.rgb for frame in read_frames(name)]

    step = "translate --model ../t.safetensors"
    steady, loose = frames("1.mkv", step), frames("2.mkv", step, "--temporal", "off")
    assert any((a != b).any() for a, b in zip(steady, loose, strict=True))
    own = frames("3.mkv", f"{step} --temporal online", "--temporal", "off")
    assert all((a == b).all() for a, b in zip(steady, own, strict=True))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([], "no step"),
        (["polish"], "no step 'polish'"),
        (["restor"], "Perhaps restore"),
        ([""], "empty step"),
        (["upscale 'x"], "cannot be read"),
        (["upscale --crf 3"], "--crf is not for a single step"),
        (["upscale -o x.png"], "--output is not for a single step"),
        (["upscale --device cpu"], "--device is not for a single step"),
        (["upscale --nonsense"], "No such option"),
        (["upscale --scale 2 --width 9"], "contradict"),
        (["colorize --model ../u.safetensors"], "is for upscale"),
        (["colorize", "upscale", "--preview"], "--preview takes one step"),
    ],
)
def test_bad_steps(here, capfd, steps, said):
    done = call(capfd, "chain", "f.mp4", *steps)
    assert done.code == ExitCode.USAGE and said in done.err
    assert names(here) == ["a.png", "deep", "deep/b.png", "f.mp4"]


def test_a_dry_run_names_every_model(here, capfd):
    done = call(capfd, "chain", "a.png", "restore", *STEPS, "--dry-run")
    assert done.code == 0 and "a.png -> a.chain.png" in done.out
    assert [line for line in done.out.splitlines() if line.startswith("model ")] == [
        f"model {name}, nothing to download" for name in ("restore", "tiny-g", "tiny-color", "tiny")
    ]
    assert names(here) == ["a.png", "deep", "deep/b.png", "f.mp4"]
