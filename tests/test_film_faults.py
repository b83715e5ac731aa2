"""Films in adverse places, by the command line: each has its exit code and a sentence, nothing is lost."""

from __future__ import annotations

import os
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_kit import call, colorizer, film, names, upscaler

from gantool.errors import ExitCode
from gantool.inference import Runner
from gantool.media.video import probe, read_frames, write_clip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, with tiny models beside it."""
    colorizer(tmp_path / "c.safetensors")
    upscaler(tmp_path / "u.safetensors")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


COLORIZE = ("colorize", "--model", "../c.safetensors", "--threads", 1, "--render-size", 32)
UPSCALE = ("upscale", "--model", "../u.safetensors", "--threads", 1)


@pytest.fixture
def at_frame_three(monkeypatch):
    """Lets something happen while a film is being made."""

    def happens(what):
        predict, calls = Runner.predict, []

        def predicted(self, *args):
            calls.append(1)
            if len(calls) == 3:
                what()
            return predict(self, *args)

        monkeypatch.setattr(Runner, "predict", predicted)

    return happens


def removed() -> None:
    """Remove the output folder, in which the writer's thread may be making a file at this very moment."""
    while Path("deep").exists():
        shutil.rmtree("deep", ignore_errors=True)


@pytest.mark.parametrize("name", ["f.mp4", "%03d.png"])
def test_the_output_folder_is_removed_while_running(here, capfd, at_frame_three, name):
    film(here / "f.mp4")
    at_frame_three(removed)
    done = call(capfd, *UPSCALE, "f.mp4", "-o", f"deep/er/{name}")
    assert done.code == ExitCode.OUTPUT and f"(deep/er/{name})" in done.err, done.err
    assert "no such file" in done.err or "folder does not exist" in done.err
    assert names(here) == ["f.mp4"]


def test_another_run_was_quicker(here, capfd, at_frame_three):
    film(here / "f.mp4")
    at_frame_three(lambda: Path("out.mp4").write_bytes(b"another's"))
    done = call(capfd, *UPSCALE, "f.mp4", "-o", "out.mp4")
    assert done.code == ExitCode.OUTPUT and "the output exists" in done.err
    assert Path("out.mp4").read_bytes() == b"another's" and names(here) == ["f.mp4", "out.mp4"]


@pytest.mark.parametrize("size", [(1, 1), (2, 16000)])
@pytest.mark.parametrize("more", [(), ("--temporal", "bidirectional"), ("--every", 3)])
def test_the_smallest_and_the_widest_frame(here, capfd, size, more):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(4)]
    exactly = {"codec": "ffv1", "pix_fmt": "bgr0"}
    write_clip(here / "f.mkv", frames, Fraction(25), None, **exactly)
    words = ("f.mkv", "-o", "out.mkv", "--codec", "ffv1", "--pix-fmt", "bgr0", *more)
    assert call(capfd, *COLORIZE, *words).code == 0
    assert [frame.rgb.shape[:2] for frame in read_frames(here / "out.mkv")] == [size] * 4
    if size[1] < 16000:
        assert call(capfd, *UPSCALE, *words, "--overwrite", "--temporal", "online").code == 0
        assert (probe(here / "out.mkv").height, probe(here / "out.mkv").width) == (2 * size[0], 2 * size[1])


def test_a_net_that_gives_no_numbers(here, capfd, monkeypatch):
    from gantool.models.colorizer import ResNetUNet

    film(here / "f.mp4")
    spoiled = lambda self, x: torch.full((len(x), 2, *x.shape[-2:]), float("nan"))  # noqa: E731
    monkeypatch.setattr(ResNetUNet, "forward", spoiled)
    done = call(capfd, *COLORIZE, "f.mp4")
    assert done.code == ExitCode.DEVICE and "values that are not numbers at 0.00 s" in done.err
    assert names(here) == ["f.mp4"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_damage_in_the_middle_of_a_film(here, capfd, suffix):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(30)]
    write_clip(here / f"f{suffix}", noise, Fraction(25), None, crf=10)
    data = bytearray(Path(f"f{suffix}").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 9000] = rng.bytes(9000)
    Path(f"f{suffix}").write_bytes(data)
    done = call(capfd, *UPSCALE, f"f{suffix}")
    assert done.code == ExitCode.INPUT and "damaged after" in done.err and "--keep-partial" in done.err
    assert names(here) == [f"f{suffix}"]
    done = call(capfd, *UPSCALE, f"f{suffix}", "--keep-partial", "--json")
    assert done.code == 0 and 1 <= done.records[0]["frames"] < 30
    assert any("damaged after" in warning for warning in done.records[0]["warnings"])


def test_a_read_only_input_on_another_file_system(here, capfd):
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == here.stat().st_dev:
        pytest.skip("there is no other file system")
    folder = elsewhere / f"gantool-test-{os.getpid()}"
    folder.mkdir()
    try:
        source = film(folder / "f.mp4", frames=3)
        source.chmod(0o444)
        folder.chmod(0o555)
        before = source.read_bytes()
        done = call(capfd, *UPSCALE, source, "-o", "out.mp4", "--compare", "side")
        assert done.code == 0, done.err
        assert names(here) == ["out.compare.mp4", "out.mp4"]
        assert source.read_bytes() == before and names(folder) == ["f.mp4"]
        if os.geteuid() != 0:  # root may write anywhere
            done = call(capfd, *UPSCALE, source)
            assert done.code == ExitCode.OUTPUT and "cannot be written" in done.err
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_awkward_names_of_films(here, capfd):
    odd = ["-dash.mp4", "ünï cödé.mp4", "x" * 240 + ".mp4"]
    for name in odd:
        film(here / name, frames=2)
    done = call(capfd, *UPSCALE, "-o", "out/", "--", *odd)
    assert done.code == 0, done.err
    assert len(names(here / "out")) == 3
    done = call(capfd, *UPSCALE, "--", odd[0])
    assert done.code == 0 and done.out == "-dash.upscale.mp4\n"


def test_a_link_as_output_stays_one(here, capfd):
    film(here / "f.mp4", frames=2)
    (here / "far").mkdir()
    Path("out.mp4").symlink_to("far/real.mp4")
    assert call(capfd, *UPSCALE, "f.mp4", "-o", "out.mp4").code == ExitCode.OUTPUT
    assert call(capfd, *UPSCALE, "f.mp4", "-o", "out.mp4", "--overwrite").code == 0
    assert Path("out.mp4").is_symlink() and probe(here / "far/real.mp4").width == 96


def test_a_share_cannot_be_compared(here, capfd):
    """It makes no film yet; one that stands at its place is an older one."""
    film(here / "f.mp4", frames=2)
    done = call(capfd, *UPSCALE, "f.mp4", "--segment", "1/2", "--compare", "side")
    assert done.code == ExitCode.USAGE and "--compare contradicts --segment" in done.err
    assert names(here) == ["f.mp4"]


def test_numbered_pictures_of_before_are_named(here, capfd):
    film(here / "f.mp4", frames=5)
    film(here / "g.mp4", frames=3)
    (here / "out").mkdir()
    words = ("-o", "out/%03d.png")
    assert call(capfd, *UPSCALE, "f.mp4", *words).code == 0
    done = call(capfd, *UPSCALE, "g.mp4", *words, "--overwrite")
    assert done.code == 0
    assert "pictures of before stay: 004.png to 005.png" in done.err
    assert len(names(here / "out")) == 5
    assert "of before stay" not in call(capfd, *UPSCALE, "f.mp4", *words, "--overwrite").err
