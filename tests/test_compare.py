"""``--compare``: before and after in one picture or film, made of the finished files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from cli_kit import call, film, names, photo, upscaler

from gantool.compare import LAYOUTS, Comparison, compare_films, compare_pictures
from gantool.errors import InputError
from gantool.media.image import read_picture
from gantool.media.packets import sound_tracks
from gantool.media.video import probe, read_frames

BEFORE, AFTER = (np.full((120, 160, 3), level, np.uint8) for level in (60, 200))


def test_split_shows_the_left_of_before_and_the_right_of_after():
    whole = Comparison("split", (120, 160), (120, 160))(BEFORE, AFTER)
    assert whole.shape == (120, 160, 3)
    below = whole[60:]  # under the labels
    assert (below[:, :79] == 60).all() and (below[:, 81:] == 200).all() and (below[:, 79:81] == 255).all()


@pytest.mark.parametrize(("layout", "axis"), [("side", 1), ("stack", 0)])
def test_side_and_stack_show_both_whole(layout, axis):
    whole = Comparison(layout, (120, 160), (120, 160))(BEFORE, AFTER)
    assert whole.shape == ((120, 322, 3) if axis == 1 else (242, 160, 3))
    first, second = np.split(whole, 2, axis=axis)
    assert (first[60:-2, :-2] == 60).all() and (second[60:, 2:] == 200).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_labels_stand_at_the_top_left_of_each_pane(layout):
    whole = Comparison(layout, (360, 640), (360, 640))(np.full((360, 640, 3), 60, np.uint8), AFTER_360)
    second = {"split": (0, 321), "side": (0, 642), "stack": (362, 0)}[layout]
    for y, x in ((0, 0), second):
        corner = whole[y : y + 40, x : x + 90].astype(int)
        assert corner.max() > 240 and corner.min() < 100, "white words on a dark plate"
    assert np.ptp(whole[200:340, :300], axis=(0, 1)).max() == 0


AFTER_360 = np.full((360, 640, 3), 200, np.uint8)


def test_labels_grow_with_the_picture_and_small_ones_have_none():
    def plate(height, width):
        whole = Comparison("side", (height, width), (height, width))(
            *(np.zeros((height, width, 3), np.uint8),) * 2
        )
        rows, columns = np.nonzero(whole[:, :width].max(axis=-1))
        return (np.ptp(rows), np.ptp(columns)) if len(rows) else None

    small, large = plate(240, 320), plate(1080, 1920)
    assert 5 <= small[0] < large[0] < 60 and small[1] < large[1] < 300
    assert plate(20, 24) is None


def test_a_small_source_is_enlarged_by_bicubic():
    small = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    whole = Comparison("side", (30, 40), (120, 160))(small, AFTER)
    expected = cv2.resize(small, (160, 120), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(whole[60:, :160], expected[60:])
    padded = np.pad(small, ((0, 1), (0, 0), (0, 0)), mode="edge")
    whole = Comparison("stack", (30, 40), (31, 40))(small, np.zeros_like(padded))
    assert np.array_equal(whole[:31], padded), "a line that only makes sides even is no enlargement"


def test_depth_and_transparency():
    deep = BEFORE.astype(np.uint16) * 257
    alpha = np.zeros((120, 160), np.uint16)
    whole = compare_pictures("side", deep, AFTER, (alpha, None))
    assert whole.dtype == np.uint8 and (whole[60:, :160] == 255).all() and (whole[60:, 162:] == 200).all()
    assert (compare_pictures("side", deep, AFTER)[60:, :160] == 60).all()


def test_films_must_have_the_same_frames(tmp_path):
    info = probe(film(tmp_path / "a.mp4", frames=4))
    film(tmp_path / "b.mp4", frames=3)
    with pytest.raises(InputError, match="not as many frames"):
        compare_films("side", info, tmp_path / "b.mp4", tmp_path / "c.mp4")


# ---- on the command line


@pytest.fixture
def here(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    upscaler(tmp_path / "u.safetensors")
    return work


def upscale(capfd, *words):
    return call(capfd, "upscale", *words, "--model", "../u.safetensors", "--progress", "none")


def test_a_photo(here, capfd):
    photo(here / "a.png", 120, 80, gray=False)
    done = upscale(capfd, "a.png", "--compare", "side")
    assert done.code == 0 and done.out == "a.upscale.png\na.upscale.compare.png\n"
    whole = read_picture(Path("a.upscale.compare.png"))
    result = read_picture(Path("a.upscale.png"))
    assert whole.width == 2 * result.width + 2 and whole.height == result.height == 160
    assert np.array_equal(whole.rgb[80:, -240:], result.rgb[80:])
    assert b"Made by gantool" in Path("a.upscale.compare.png").read_bytes()
    (record,) = upscale(
        capfd, "a.png", "--compare", "stack", "--overwrite", "--no-metadata", "--json"
    ).records
    assert record["compare"] == "a.upscale.compare.png" and record["width"] == 240
    assert b"gantool" not in Path("a.upscale.compare.png").read_bytes()
    assert names(here) == ["a.png", "a.upscale.compare.png", "a.upscale.png"]


def test_a_part_of_a_film_with_its_sound(here, capfd):
    film(here / "f.mp4", frames=12, width=64, height=48, sound=True)
    done = upscale(
        capfd, "f.mp4", "-o", "new.mkv", "--compare", "split", "--start", "0.2", "--duration", "0.2"
    )
    assert done.code == 0 and done.out == "new.mkv\nnew.compare.mkv\n"
    made, whole = probe("new.mkv"), probe("new.compare.mkv")
    assert (whole.width, whole.height, whole.fps, whole.audio) == (128, 96, made.fps, 1)
    results, frames = (list(read_frames(name)) for name in ("new.mkv", "new.compare.mkv"))
    assert [one.time for one in frames] == [one.time for one in results] and len(frames) == 5
    assert np.abs(frames[3].rgb[50:, 70:].astype(int) - results[3].rgb[50:, 70:]).mean() < 4
    packets = [sound_tracks(Path(name))[0].digest for name in ("new.mkv", "new.compare.mkv")]
    assert packets[0] == packets[1]


def test_numbered_pictures_become_a_film(here, capfd):
    film(here / "f.mp4", frames=3, width=64, height=48)
    (here / "frames").mkdir()
    done = upscale(capfd, "f.mp4", "-o", "frames/%03d.png", "--compare", "side")
    assert done.code == 0, done.err
    assert "frames/frames.compare.mp4" in names(here)
    assert len(list(read_frames("frames/frames.compare.mp4"))) == 3


def test_other_commands(here, capfd):
    photo(here / "a.png", 64, 64, gray=False)
    done = call(
        capfd, "degrade", "a.png", "--recipe", "bicubic", "--scale", "2", "--compare", "side", "-o", "low.png"
    )
    assert done.code == 0 and done.out == "low.png\nlow.compare.png\n"
    assert read_picture(Path("low.compare.png")).width == 66
    step = f"upscale --model {here.parent / 'u.safetensors'}"
    done = call(capfd, "chain", "a.png", step, step, "--compare", "split", "--progress", "none")
    assert done.code == 0 and done.out == "a.chain.png\na.chain.compare.png\n", done.err
    assert read_picture(Path("a.chain.compare.png")).width == 256


def test_the_plan_names_the_comparison(here, capfd):
    photo(here / "a.png", 40, 40)
    done = upscale(capfd, "a.png", "--compare", "side", "--dry-run")
    assert done.out.splitlines()[0] == "a.png -> a.upscale.png and a.upscale.compare.png"
    (record,) = upscale(capfd, "a.png", "--compare", "side", "--dry-run", "--json").records
    assert record["compare"] == "a.upscale.compare.png"
    done = call(capfd, "degrade", "a.png", "--recipe", "bicubic", "--compare", "side", "--dry-run")
    assert done.out == "a.png -> a.degrade.png and a.degrade.compare.png\n"
    assert "compare" not in upscale(capfd, "a.png", "--dry-run").out


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["a.png", "--compare", "half"], 2, "--compare"),
        (["f.mp4", "--compare", "side", "--preview"], 2, "--preview"),
        (["a.png", "--compare", "side", "-o", "-"], 2, "--compare needs files"),
        (["a.png", "--compare", "side"], 4, "a.upscale.compare.png"),
        (["a.png", "ax.compare.png", "--compare", "side", "-o", "{stem}x.png"], 4, "also an input"),
        (["c.png", "--compare", "side"], 4, "is a folder"),
    ],
)
def test_what_is_refused_before_any_work(here, capfd, monkeypatch, words, code, hint):
    monkeypatch.setattr("gantool.commands.session.Session.pipeline", lambda _: pytest.fail("loaded a model"))
    for name in ("a.png", "ax.compare.png", "c.png", "a.upscale.compare.png"):
        photo(here / name)
    film(here / "f.mp4", frames=2)
    (here / "c.upscale.compare.png").mkdir()
    before = names(here)
    done = upscale(capfd, *words)
    assert done.code == code and done.out == "" and hint in done.err, done.err
    assert names(here) == before


def test_a_comparison_is_no_input_of_the_next_run(here, capfd):
    photo(here / "in/a.png")
    assert upscale(capfd, "in", "--compare", "side").code == 0
    done = upscale(capfd, "in", "--overwrite")
    assert done.out == "in/a.upscale.png\n"
