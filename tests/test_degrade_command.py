"""``gantool degrade``: names, targets, films, the preview, and what happens when something is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from cli_kit import call, film, names, photo
from PIL import Image

from gantool.commands import degrade
from gantool.degrade import RECIPES, recipe
from gantool.degrade.sheet import contact_sheet
from gantool.errors import ExitCode


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def photos(here):
    for number in range(3):
        photo(here / f"photos/{number}.png", 50 + number, 42, gray=False)
    photo(here / "photos/deep/3.jpg", 64, 48, gray=False)
    return here / "photos"


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_the_recipes_are_all_there():
    assert tuple(RECIPES) == degrade.RECIPES


def test_results_in_a_folder_keep_the_names(photos, capfd):
    done = call(capfd, "degrade", photos, "-o", "low/", "--recipe", "bicubic", "--recursive")
    assert done.code == ExitCode.OK, done.err
    assert names(Path("low")) == ["0.png", "1.png", "2.png", "deep", "deep/3.png"]
    assert done.out.splitlines() == [f"low/{name}" for name in ("0.png", "1.png", "2.png", "deep/3.png")]
    wanted = recipe("bicubic", 4).apply(pixels(photos / "1.png"), np.random.default_rng())
    np.testing.assert_array_equal(pixels("low/1.png"), wanted)


def test_without_a_folder_results_go_beside_their_inputs(photos, capfd):
    assert call(capfd, "degrade", photos / "0.png", "--recipe", "bsrgan").code == ExitCode.OK
    assert pixels(photos / "0.degrade.png").shape == (10, 12, 3)
    assert call(capfd, "degrade", photos / "0.png", "-o", "x.jpg", "--recipe", "bicubic").code == ExitCode.OK
    assert Image.open("x.jpg").format == "JPEG"


@pytest.mark.parametrize("name", ["bsrgan", "real-esrgan", "old-film"])
def test_a_picture_comes_out_the_same_whatever_else_there_is(photos, capfd, name):
    words = ("--recipe", name, "--seed", 5)
    assert call(capfd, "degrade", photos, "-o", "all/", *words).code == ExitCode.OK
    assert call(capfd, "degrade", photos / "2.png", "-o", "one.png", *words).code == ExitCode.OK
    np.testing.assert_array_equal(pixels("all/2.png"), pixels("one.png"))
    assert call(capfd, "degrade", photos, "-o", "other/", "--recipe", name, "--seed", 6).code == ExitCode.OK
    assert (pixels("all/2.png") != pixels("other/2.png")).any()


def test_targets_make_pairs(photos, capfd):
    words = ("degrade", photos, "-o", "A", "--targets", "B", "--recipe", "old-film", "--json")
    done = call(capfd, *words)
    assert done.code == ExitCode.OK, done.err
    assert names(Path("A")) == names(Path("B")) == ["0.png", "1.png", "2.png"]
    for name in names(Path("A")):
        low, target = pixels(f"A/{name}"), pixels(f"B/{name}")
        assert low.shape == target.shape == pixels(photos / name).shape
        np.testing.assert_array_equal(target, recipe("old-film").target(pixels(photos / name)))
        assert (low != target).any()
    first = done.records[0]
    assert first["target"] == "B/0.png" and first["output"] == "A/0.png"
    assert first["recipe"] == "old-film" and first["scale"] == 1 and first["seed"] == 0
    assert first["width"] == 50 and first["height"] == 42 and first["warnings"] == []


def test_targets_are_as_large_as_scale_times_the_results(photos, capfd):
    words = ("--targets", "high", "--recipe", "real-esrgan", "--scale", 3)
    done = call(capfd, "degrade", photos, "-o", "low/", *words)
    assert done.code == ExitCode.OK, done.err
    assert pixels("low/1.png").shape == (14, 17, 3) and pixels("high/1.png").shape == (42, 51, 3)


def test_interrupted_pairs_are_completed(photos, capfd):
    words = ("degrade", photos, "-o", "A/", "--targets", "B/", "--recipe", "old-film")
    assert call(capfd, *words).code == ExitCode.OK
    Path("A/1.png").unlink()
    Path("A/2.png").unlink()
    Path("B/2.png").unlink()
    kept = Path("B/1.png").stat().st_mtime_ns
    assert call(capfd, *words).code == ExitCode.OUTPUT
    done = call(capfd, *words, "--skip-existing")
    assert done.code == ExitCode.OK and done.out.splitlines() == ["A/1.png", "A/2.png"]
    assert names(Path("A")) == names(Path("B")) == ["0.png", "1.png", "2.png"]
    assert Path("B/1.png").stat().st_mtime_ns == kept


def test_a_second_run_does_not_take_results_for_photos(photos, capfd):
    words = ("degrade", photos, "-o", photos / "A", "--targets", photos / "B", "--recipe", "bicubic", "-r")
    assert call(capfd, *words).code == ExitCode.OK
    done = call(capfd, *words, "--overwrite")
    assert done.code == ExitCode.OK and len(done.out.splitlines()) == 4
    assert names(photos / "A") == names(photos / "B") == ["0.png", "1.png", "2.png", "deep", "deep/3.png"]


def test_results_and_targets_must_differ(photos, capfd):
    done = call(capfd, "degrade", photos, "-o", "A/", "--targets", "A", "--recipe", "bicubic")
    assert done.code == ExitCode.USAGE and "same names" in done.err
    done = call(capfd, "degrade", photos, "-o", "A/", "--targets", "{stem}", "--recipe", "bicubic")
    assert done.code == ExitCode.USAGE and "not a template" in done.err
    done = call(capfd, "degrade", photos, "-o", "A/", "--targets", photos, "--recipe", "bicubic")
    assert done.code == ExitCode.USAGE and "inputs lie in the --targets folder" in done.err
    assert not Path("A").exists()


def test_dry_run_writes_nothing(photos, capfd):
    before = names(Path())
    done = call(
        capfd, "degrade", photos, "-o", "A/", "--targets", "B/", "--recipe", "bsrgan", "--dry-run", "--json"
    )
    assert done.code == ExitCode.OK and names(Path()) == before
    assert [record["output"] for record in done.records] == [f"A/{n}.png" for n in range(3)]
    plain = call(capfd, "degrade", photos, "-o", "A/", "--recipe", "bsrgan", "--dry-run").out
    assert plain.splitlines()[0] == f"{photos}/0.png -> A/0.png"


def test_a_film_becomes_an_old_film(here, capfd):
    from gantool.media.video import probe, read_frames

    source = film(here / "film.mp4", frames=5, sound=True)
    done = call(capfd, "degrade", source, "--recipe", "old-film", "--json", "--seed", 2)
    assert done.code == ExitCode.OK, done.err
    (record,) = done.records
    assert (
        record["frames"] == 5 and record["kind"] == "video" and record["output"].endswith("film.degrade.mp4")
    )
    made = [frame.rgb.astype(int) for frame in read_frames(record["output"])]
    assert len(made) == 5 and made[0].shape == (32, 48, 3)
    assert max(np.ptp(frame, axis=2).max() for frame in made) <= 6  # grey, but for the encoder's rounding
    assert [f.pts for f in read_frames(record["output"])] == [f.pts for f in read_frames(source)]
    assert probe(Path(record["output"])).audio


def test_only_old_film_takes_films(here, photos, capfd):
    film(here / "photos/4.mp4", frames=2)
    done = call(capfd, "degrade", photos, "-o", "low/", "--recipe", "bicubic")
    assert done.code == ExitCode.PARTIAL and "bicubic is for pictures" in done.err
    assert names(Path("low")) == ["0.png", "1.png", "2.png"]
    done = call(capfd, "degrade", here / "photos/4.mp4", "--recipe", "old-film", "--targets", "B")
    assert done.code == ExitCode.INPUT and "--targets is for pictures" in done.err
    assert not Path("B").exists() and not Path("photos/4.degrade.mp4").exists()


def test_one_bad_picture_does_not_stop_the_others(photos, capfd):
    Path("photos/1.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    photo(Path("photos/0b.png"), 3, 3)
    done = call(capfd, "degrade", photos, "-o", "A/", "--targets", "B/", "--recipe", "real-esrgan")
    assert done.code == ExitCode.PARTIAL
    assert "3 x 3 pixels are too few; 4 a side are needed" in done.err
    assert names(Path("A")) == names(Path("B")) == ["0.png", "2.png"]


def test_deep_and_transparent_pictures(here, capfd):
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (16, 20, 3), dtype=np.uint16)
    cv2.imwrite("deep.png", deep[..., ::-1])
    assert call(capfd, "degrade", "deep.png", "-o", "d.png", "--recipe", "bicubic").code == ExitCode.OK
    wanted = recipe("bicubic").apply(np.rint(deep / 257).astype(np.uint8), rng)
    np.testing.assert_allclose(pixels("d.png").astype(int), wanted, atol=1)
    Image.fromarray(rng.integers(0, 255, (16, 20, 4), dtype=np.uint8)).save("clear.png")
    done = call(capfd, "degrade", "clear.png", "-o", "c.png", "--recipe", "bicubic", "--json")
    assert done.code == ExitCode.OK and done.records[0]["warnings"] == ["transparency is left out"]
    assert Image.open("c.png").mode == "RGB"


def test_standard_input_to_standard_output(photos, capfdbinary, monkeypatch):
    from gantool import cli

    monkeypatch.setattr("sys.stdin", (photos / "0.png").open())
    capfdbinary.readouterr()
    assert cli.main(["degrade", "-", "-o", "-", "--recipe", "bicubic"]) == ExitCode.OK
    assert capfdbinary.readouterr().out.startswith(b"\x89PNG")


def test_results_say_who_made_them(photos, capfd):
    call(capfd, "degrade", photos / "0.png", "-o", "a.png", "--recipe", "bsrgan")
    data = Path("a.png").read_bytes()
    assert b"degrade with bsrgan" in data and b"algorithmicallyEnhanced" in data
    call(capfd, "degrade", photos / "0.png", "-o", "b.png", "--recipe", "bsrgan", "--no-metadata")
    assert b"gantool" not in Path("b.png").read_bytes()


# ---- recipes and their parameters


def test_a_recipe_must_be_named(photos, capfd):
    done = call(capfd, "degrade", photos)
    assert done.code == ExitCode.USAGE and "Recipes are bicubic, bsrgan" in done.err
    done = call(capfd, "degrade", photos, "--recipe", "bsrgn")
    assert done.code == ExitCode.USAGE and "Did you mean bsrgan?" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--recipe", "old-film", "--scale", 2), "keeps the size"),
        (("--recipe", "old-film", "--set", "preset=awful"), "unknown preset"),
        (("--recipe", "bicubic", "--set", "presets=x"), "unknown parameter"),
        (("--recipe", "bicubic", "--set", "scale"), "not KEY=VALUE"),
        (("--recipe", "bicubic", "--scale", 99), "at most 16"),
    ],
)
def test_wrong_parameters_are_usage_errors(photos, capfd, words, said):
    done = call(capfd, "degrade", photos, "-o", "low/", *words)
    assert done.code == ExitCode.USAGE and said in done.err
    assert not Path("low").exists()


def test_parameters_reach_the_recipe(photos, capfd):
    words = ("degrade", photos / "0.png", "--recipe", "old-film")
    assert call(capfd, *words, "-o", "light.png", "--set", "preset=light").code == ExitCode.OK
    assert call(capfd, *words, "-o", "heavy.png", "--set", "preset=heavy").code == ExitCode.OK
    target = recipe("old-film").target(pixels(photos / "0.png")).astype(float)
    light, heavy = (np.abs(pixels(f"{name}.png") - target).mean() for name in ("light", "heavy"))
    assert heavy > 1.5 * light
    assert call(capfd, "degrade", photos, "-o", "low/", "--recipe", "bicubic", "--set", "scale=2").code == 0
    assert pixels("low/0.png").shape == (21, 25, 3)


def test_list_shows_the_parameters(here, capfd):
    done = call(capfd, "degrade", "--recipe", "old-film", "--list", "--json")
    assert done.code == ExitCode.OK
    assert [record["name"] for record in done.records] == ["scale", "preset", "size"]
    assert "medium" in call(capfd, "degrade", "--recipe", "old-film", "--list").out


def test_realsr_takes_the_inputs_noise(here, capfd):
    grainy = np.random.default_rng(0).normal(120, 3, (64, 96, 3)).clip(0, 255).astype(np.uint8)
    Path("bad").mkdir()
    Image.fromarray(grainy).save("bad/a.png")
    photo(Path("bad/b.png"), 80, 80, gray=False)
    Path("bad/c.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    words = ("degrade", "bad", "-o", "low/", "--recipe", "realsr")
    done = call(capfd, *words)
    assert done.code == ExitCode.INPUT and "smooth part of 256 x 256" in done.err
    done = call(capfd, *words, "--set", "patch=32", "-v")
    assert done.code == ExitCode.PARTIAL and "6 noise patches" in done.err
    assert names(Path("low")) == ["a.png", "b.png"]
    assert pixels("low/a.png").std() == pytest.approx(3, rel=0.2)


# ---- preview


@pytest.mark.parametrize("name", ["bicubic", "real-esrgan", "old-film"])
def test_preview_is_one_sheet_beside_the_folder(photos, capfd, name):
    before = names(Path())
    done = call(capfd, "degrade", photos, "--recipe", name, "--preview")
    assert done.code == ExitCode.OK, done.err
    assert set(names(Path())) - set(before) == {"photos.degrade.preview.png"}
    rows = 2 if name == "bicubic" else 4
    assert pixels("photos.degrade.preview.png").shape == (rows * 46 + 4, 3 * 56 + 4, 3)
    assert call(capfd, "degrade", photos, "--recipe", name, "--preview").code == ExitCode.OUTPUT
    assert call(capfd, "degrade", photos, "--recipe", name, "--preview", "--overwrite").code == ExitCode.OK


def test_preview_goes_where_it_is_sent(photos, capfd):
    film(photos / "film.mp4", frames=2)
    words = ("degrade", photos, "--recipe", "old-film", "--preview", "-o")
    assert call(capfd, *words, "sheet.png").code == ExitCode.OK
    assert call(capfd, *words, "sheets/").code == ExitCode.OK
    assert names(Path("sheets")) == ["photos.degrade.preview.png"]
    assert pixels("sheet.png").shape[1] == 4 * 56 + 4
    assert call(capfd, *words, "{stem}.png").code == ExitCode.USAGE
    assert call(capfd, "degrade", "-", "--recipe", "old-film", "--preview").code == ExitCode.USAGE


def test_preview_passes_over_what_cannot_be_read(photos, capfd):
    Path("photos/1.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    done = call(capfd, "degrade", photos, "--recipe", "bsrgan", "--preview")
    assert done.code == ExitCode.OK and "photos/1.png" in done.err
    for path in photos.glob("*.png"):
        path.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    done = call(capfd, "degrade", photos, "--recipe", "bsrgan", "--preview", "--overwrite")
    assert done.code == ExitCode.INPUT and "none of the inputs can be shown" in done.err


def test_contact_sheet_shows_small_results_as_large_as_their_original():
    original = np.full((8, 12, 3), 200, np.uint8)
    small = np.zeros((2, 3, 3), np.uint8)
    small[0, 0] = 255
    sheet = contact_sheet([(original, [small]), (original[:4], [])])
    assert sheet.shape == (2 * 12 + 4, 2 * 16 + 4, 3)
    assert (sheet[4:12, 4:16] == 200).all() and (sheet[16:20, 4:8] == 255).all()
    assert (sheet[20:24, 4:16] == 0).all() and (sheet[8:12, 20:32] == 40).all()


# ---- real data


@pytest.mark.weights
@pytest.mark.skipif(
    "GANTOOL_SET5" not in os.environ, reason="GANTOOL_SET5 names no folder with set5, set5_lr"
)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_is_bit_exact_with_the_published_set5(here, capfd, scale):
    folder = Path(os.environ["GANTOOL_SET5"])
    done = call(
        capfd,
        "degrade",
        folder / "set5",
        "-o",
        "low/",
        "--recipe",
        "bicubic",
        "--scale",
        scale,
        "--no-metadata",
    )
    assert done.code == ExitCode.OK and len(done.out.splitlines()) == 5
    for path in sorted((folder / f"set5_lr/x{scale}").glob("*.png")):
        np.testing.assert_array_equal(pixels(f"low/{path.name}"), pixels(path))
