"""``gantool eval``: what goes where, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_kit import call, film, names, photo

from gantool.errors import ExitCode


@pytest.fixture
def here(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("a", "b"):
        photo(work / f"{name}.png", 40, 30, gray=False)
        photo(work / f"made/{name}.png", 40, 30, gray=False)
        photo(work / f"good/{name}.jpg", 40, 30, gray=False)
    film(work / "f.mp4", frames=6, sound=True)
    return work


def test_a_table_on_stdout_and_nothing_else(here, capfd):
    done = call(capfd, "eval", "pair", "a.png", "b.png", "--progress", "none")
    assert done.code == 0 and done.err == ""
    lines = done.out.splitlines()
    assert any(line.startswith("PSNR, dB ↑") and "equal" in line for line in lines)
    assert any(line.startswith("LPIPS: no backbone") for line in lines)
    assert any(line == "MS-SSIM: needs 176 px a side" for line in lines)


def test_json_is_one_object(here, capfd):
    words = ("eval", "pair", "made", "good", "--on", "y", "--crop", 2, "--json", "--progress", "none")
    (record,) = call(capfd, *words).records
    assert (record["task"], record["result"], record["truth"]) == ("eval pair", "made", "good")
    assert record["settings"]["on"] == "y" and record["settings"]["crop_px"] == 2
    assert [row["name"] for row in record["rows"]] == ["a.png", "b.png"]
    assert record["totals"]["psnr"] == pytest.approx(sum(row["psnr"] for row in record["rows"]) / 2)
    assert record["report"] is None and "LPIPS" in record["left_out"]


def test_a_report_beside_the_table(here, capfd):
    words = ("eval", "set", "made", "good", "--report", "r.html", "--progress", "none")
    done = call(capfd, *words)
    assert done.code == 0 and done.out.splitlines()[-1] == "r.html"
    assert Path("r.html").read_text("utf-8").startswith("<!doctype html>")
    Path("r.html").write_bytes(b"mine")
    done = call(capfd, *words)
    assert done.code == ExitCode.OUTPUT and "--overwrite" in done.err and done.out == ""
    assert Path("r.html").read_bytes() == b"mine"
    (record,) = call(capfd, *words, "--overwrite", "--json").records
    assert record["report"] == "r.html" and Path("r.html").stat().st_size > 5000
    assert record["totals"]["reference_colourfulness"] > 0


def test_a_film_against_its_source(here, capfd):
    done = call(
        capfd, "eval", "video", "f.mp4", "--source", "f.mp4", "--report", "r.html", "--progress", "none"
    )
    assert done.code == 0 and done.err == ""
    assert "equal, byte for byte" in done.out and "E_warp" in done.out
    (record,) = call(
        capfd, "eval", "video", "f.mp4", "--source", "f.mp4", "--json", "--progress", "none"
    ).records
    assert record["totals"]["sharpness"] == 1
    assert all(check["ok"] for check in record["checks"])


def test_a_film_that_lost_frames_is_measured_and_then_refused(here, capfd):
    film(here / "short.mp4", frames=5, sound=True)
    done = call(capfd, "eval", "video", "short.mp4", "--source", "f.mp4", "--progress", "none")
    assert done.code == ExitCode.INPUT and "5 frames, its source 6" in done.err
    assert "DIFFERS" in done.out and "sharpness" in done.out


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["pair", "a.png", "gone.png"], 3, "gone.png"),
        (["pair", "a.png", "small.png"], 3, "its counterpart 24x16"),
        (["pair", "made", "empty"], 3, "no pictures"),
        (["pair", "made", "other"], 3, "no counterpart of a.png and 1 more"),
        (["pair", "made", "a.png"], 2, "a folder and a file"),
        (["pair", "a.png", "f.mp4"], 2, "is a film"),
        (["pair", "broken.png", "a.png"], 3, "broken.png"),
        (["pair", "short.mp4", "f.mp4"], 3, "5 and 6 frames"),
        (["pair", "text.mp4", "f.mp4"], 3, "text.mp4"),
        (["pair", "a.png", "a.png", "--crop", "15"], 3, "--crop 15 leaves nothing"),
        (["pair", "a.png", "a.png", "--on", "hsv"], 2, "--on"),
        (["pair", "a.png", "a.png", "--device", "toaster"], 2, "--device"),
        (["pair", "a.png", "a.png", "--report", "made"], 4, "is a folder"),
        (["pair", "a.png", "a.png", "--report", "gone/r.html"], 4, "no such folder"),
        (["pair", "big.png", "big.png", "--max-pixels", "1000"], 3, "--max-pixels"),
        (["set", "gone"], 3, "no such folder"),
        (["set", "a.png"], 3, "not a folder"),
        (["set", "made", "--inception", "gone.pth"], 5, "gone.pth"),
        (["set", "made", "--inception", "text.mp4"], 5, "text.mp4"),
        (["video", "f.mp4"], 2, "--source"),
        (["video", "f.mp4", "--source", "a.png"], 3, "a.png"),
        (["video", "turned.mp4", "--source", "f.mp4"], 3, "other proportions"),
        (["video", "f.mp4", "--source", "f.mp4", "--duration", "soon"], 2, "h:mm:ss"),
        (["video", "f.mp4", "--source", "f.mp4", "--duration", "0"], 2, "no frame"),
        ([], 2, "Missing command"),
    ],
)
def test_what_is_refused_in_one_line(here, capfd, words, code, hint):
    photo(here / "small.png", 24, 16)
    photo(here / "big.png", 100, 100)
    photo(here / "other/x.png")
    film(here / "short.mp4", frames=5)
    film(here / "turned.mp4", width=32, height=48)
    Path("empty").mkdir()
    Path("broken.png").write_bytes(b"no picture")
    Path("text.mp4").write_bytes(b"hello, I am no film\n" * 50)
    before = names(here)
    done = call(capfd, "eval", *words, *(["--progress", "none"] if words else []))
    assert done.code == code, done.err
    assert done.out == "" and len(done.err.splitlines()) == 1 and hint in done.err, done.err
    assert names(here) == before


def test_more_originals_than_results_is_said(here, capfd):
    photo(here / "good/c.png")
    done = call(capfd, "eval", "pair", "made", "good", "--progress", "none")
    assert done.code == 0 and "good has 1 more without a counterpart" in done.err
    assert call(capfd, "eval", "pair", "made", "good", "--progress", "none", "-q").err == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_file_without_rights(here, capfd):
    Path("a.png").chmod(0)
    done = call(capfd, "eval", "pair", "a.png", "b.png", "--progress", "none")
    assert done.code == ExitCode.INPUT and "a.png" in done.err
