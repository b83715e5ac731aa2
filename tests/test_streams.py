"""What ``gantool`` makes of unusual streams: refused with the flag that helps, before a model is loaded."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest
from cli_kit import call, film, names, photo, upscaler

from gantool.errors import ExitCode
from gantool.media.video import probe


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return upscaler(tmp_path_factory.mktemp("model") / "u.safetensors")


@pytest.fixture
def here(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return work


@pytest.fixture
def no_model(monkeypatch):
    """Loading a model fails the test."""
    from gantool.commands.session import Session

    def fail(self):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(Session, "pipeline", fail)


def make(path: Path, *options: str) -> Path:
    """Half a second of test picture by the ffmpeg program."""
    source = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=0.5")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-nostdin", *source, *options, str(path)]
    subprocess.run(command, check=True)
    return path


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--codec", "libx246"), "there is no video encoder libx246. Use libx265"),
        (("--preset", "warp"), "there is no preset warp. Use one of ultrafast"),
        (("--pix-fmt", "yuv999p"), "libx264 does not take the pixel format yuv999p. Use --pix-fmt auto"),
        (("--codec", "libx264", "-o", "out.webm"), "refused"),
    ],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_encoder_words_are_refused_before_any_work(here, model, no_model, capfd, words, sentence, dry):
    film(here / "film.mp4")
    photo(here / "photo.png")
    done = call(capfd, "upscale", "film.mp4", "--model", model, *words, *dry)
    assert done.code == ExitCode.ENCODER and done.out == ""
    assert sentence in done.err
    assert names(here) == ["film.mp4", "photo.png"]
    assert call(capfd, "upscale", "photo.png", "--model", model, *words, "--dry-run").code in (0, 2, 4)


def test_hdr_is_refused_with_the_flag_and_then_done(here, model, no_model, capfd, monkeypatch):
    tags = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc"
    make(here / "hdr.mkv", "-vf", f"format=yuv420p10le,{tags}")
    done = call(capfd, "upscale", "hdr.mkv", "--model", model)
    assert done.code == ExitCode.INPUT and "Use --tonemap" in done.err and names(here) == ["hdr.mkv"]
    monkeypatch.undo()
    monkeypatch.chdir(here)
    done = call(capfd, "upscale", "hdr.mkv", "--model", model, "--tonemap", "--preset", "ultrafast")
    assert done.code == 0, done.err
    info = probe(here / "hdr.upscale.mkv")
    assert (info.transfer, info.primaries, info.matrix, info.pix_fmt) == (1, 1, "bt709", "yuv420p10le")


def test_interlaced_films_are_made_whole_unless_they_are_to_stay(here, model, capfd):
    make(here / "tv.mp4", "-vf", "interlace", "-flags", "+ildct+ilme", "-x264-params", "tff=1")
    done = call(capfd, "upscale", "tv.mp4", "--model", model, "--preset", "ultrafast")
    assert done.code == 0 and "its frames are made whole (--deinterlace off leaves them)" in done.err
    again = call(
        capfd, "upscale", "tv.mp4", "-o", "torn.mp4", "--model", model, "--deinterlace", "off", "--json"
    )
    assert again.code == 0 and again.records[0]["frames"] == probe(here / "tv.upscale.mp4").frames_hint
    assert "stays so" in " ".join(again.records[0]["warnings"])
