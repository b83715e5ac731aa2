"""What ``gantool`` makes of unusual streams: refused with the flag that helps, before a model is loaded."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import pytest
from cli_kit import call, film, names, photo, start, upscaler

from gantool.commands.options import rate
from gantool.errors import ExitCode, UsageError
from gantool.media.image import read_picture
from gantool.media.video import probe, read_frames


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
    if "-o" not in words:  # of no concern for a photo
        assert call(capfd, "upscale", "photo.png", "--model", model, *words, "--dry-run").code == 0


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


def numbered(folder: Path, count: int = 4) -> None:
    for number in range(1, count + 1):
        photo(folder / f"{number:03d}.png", gray=False)


def test_numbered_pictures_to_a_film_and_back(here, model, capfd):
    numbered(here / "in")
    done = call(capfd, "upscale", "in/%03d.png", "-o", "film.mkv", "--model", model)
    assert (done.code, done.out) == (0, "film.mkv\n"), done.err
    assert "in/%03d.png: 25 frames/s; --fps says otherwise" in done.err
    info = probe(here / "film.mkv")
    assert len(list(read_frames(info.path, info))) == 4 and (info.width, info.height) == (48, 32)
    again = call(
        capfd, "upscale", "film.mkv", "-o", "out/%d.png", "--model", model, "--start", "0.08", "--json"
    )
    assert again.code == 0 and names(here / "out") == ["1.png", "2.png"]
    (record,) = again.records
    assert record["output"] == "out/%d.png" and record["frames"] == 2
    assert (record["width"], record["height"]) == (96, 64)
    assert b"gantool" in (read_picture(here / "out/2.png").xmp or b"")


def test_numbered_pictures_stay_pictures_unless_told_otherwise(here, model, capfd):
    numbered(here / "in")
    done = call(capfd, "upscale", "in/%03d.png", "--model", model, "--fps", "23.976")
    assert (done.code, done.out) == (0, "in/%03d.upscale.png\n")
    assert names(here / "in")[:2] == ["001.png", "001.upscale.png"] and "frames/s;" not in done.err
    assert call(capfd, "upscale", "in/%03d.png", "--model", model).code == ExitCode.OUTPUT
    sheet = call(capfd, "upscale", "in/%03d.png", "--model", model, "--preview")
    assert (sheet.code, sheet.out) == (0, "in/in.upscale.preview.png\n")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("in/%03d.png", "--fps", "fast"), 2, "--fps fast is not a frame rate"),
        (("in/%03d.png", "--fps", "0"), 2, "--fps 0 is not a frame rate"),
        (("film.mp4", "--fps", "24"), 2, "--fps is for numbered pictures"),
        (("in/%04d.png",), 3, "no picture of that name"),
        (("holes/%03d.png",), 3, "picture 003.png is missing"),
        (("film.mp4", "-o", "out/%d.png", "--codec", "libx264"), 7, "neither a film's codec"),
        (("film.mp4", "-o", "out/%d.bmp"), 4, "cannot write a video as .bmp"),
    ],
)
def test_numbered_pictures_that_cannot_be(here, model, no_model, capfd, words, code, sentence):
    numbered(here / "in")
    numbered(here / "holes")
    (here / "holes/003.png").unlink()
    film(here / "film.mp4")
    done = call(capfd, "upscale", *words, "--model", model)
    assert done.code == code and sentence in done.err and done.out == ""
    assert not (here / "out").exists()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("24", 24),
        ("12.5", Fraction(25, 2)),
        ("29.97", Fraction(30000, 1001)),
        ("24000/1001", Fraction(24000, 1001)),
    ],
)
def test_rates_are_exact(text, value):
    assert rate(text, "--fps") == value and rate(None, "--fps") is None
    with pytest.raises(UsageError):
        rate(text + "x", "--fps")


def test_a_film_through_a_pipe(here, model):
    """From standard input to standard output: nothing else is there, and nothing is left behind."""
    film(here / "film.mp4", sound=True)
    words = ("upscale", "-", "-o", "-", "--model", model, "--preset", "ultrafast")
    with (here / "film.mp4").open("rb") as source:
        process = start(*words, cwd=here, stdin=source)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    (here / "piped.mkv").write_bytes(out)
    info = probe(here / "piped.mkv")
    assert (info.width, info.height, info.audio) == (96, 64, 1) and len(list(read_frames(info.path))) == 6
    assert names(here) == ["film.mp4", "piped.mkv"]


def test_a_pipe_whose_reader_goes_away(here, model):
    film(here / "film.mp4", frames=60, width=96, height=64)
    process = start("upscale", "film.mp4", "-o", "-", "--model", model, "--preset", "ultrafast", cwd=here)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(100)
    process.stdout.close()
    err = process.stderr.read().decode()
    assert process.wait(60) == ExitCode.OUTPUT
    assert "the reader of standard output has gone away" in err and "Traceback" not in err
    assert names(here) == ["film.mp4"]


def test_streams_that_cannot_be(here, model, no_model, capfd, monkeypatch):
    film(here / "film.mp4")
    done = call(capfd, "upscale", "film.mp4", "-o", "-", "--model", model, "--json")
    assert done.code == ExitCode.USAGE and "cannot share standard output" in done.err
    (here / "broken.mp4").write_bytes((here / "film.mp4").read_bytes()[:200])
    with (here / "broken.mp4").open() as source:
        monkeypatch.setattr("sys.stdin", source)
        done = call(capfd, "upscale", "-", "-o", "out.mp4", "--model", model)
    assert done.code == ExitCode.INPUT and "(standard input)" in done.err


def test_a_dry_run_says_what_the_films_are(here, model, no_model, capfd):
    make(here / "tv.mp4", "-vf", "interlace,setsar=4/3", "-flags", "+ildct+ilme", "-x264-params", "tff=1")
    tags = "setparams=color_primaries=bt2020:color_trc=arib-std-b67:colorspace=bt2020nc"
    make(here / "hdr.mkv", "-vf", f"format=yuv420p10le,{tags}")
    done = call(capfd, "upscale", "tv.mp4", "hdr.mkv", "--model", model, "--dry-run", "--json")
    assert done.code == 0
    tv, hdr = done.records
    facts = ("64x48", "frames/s", "h264 yuv420p bt601 (a guess)", "pixels of 4:3", "interlaced")
    assert all(fact in tv["film"] and fact in done.err for fact in facts)
    assert "film" not in hdr and "HLG" in hdr["error"] and "Use --tonemap" in done.err
    again = call(capfd, "upscale", "hdr.mkv", "--model", model, "--dry-run", "--tonemap")
    assert "HDR (HLG, 1000 cd/m2)" in again.err and again.out.startswith("hdr.mkv -> hdr.upscale.mkv\n")


def test_degrade_takes_numbered_pictures_too(here, capfd):
    numbered(here / "in")
    done = call(capfd, "degrade", "in/%03d.png", "-o", "old/%03d.png", "--recipe", "old-film")
    assert done.code == 0 and names(here / "old") == [f"{n:03d}.png" for n in range(1, 5)], done.err
