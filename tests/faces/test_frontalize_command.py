"""``gantool frontalize`` with small nets and a detector that finds red patches."""

from __future__ import annotations

import dataclasses
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_kit import call, names
from face_kit import blob, find_blobs, frontalizer
from moving_pictures import scene
from PIL import Image

from gantool import faces, loading
from gantool.catalog import Catalog, Checkpoint, load_catalog
from gantool.errors import ExitCode
from gantool.media.video import probe, read_frames, write_clip
from gantool.models.frontwarp import FrontWarp

LOSSLESS = ("--codec", "ffv1", "--pix-fmt", "bgr0")


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return frontalizer(tmp_path_factory.mktemp("net") / "front.safetensors")


@pytest.fixture
def here(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("GANTOOL_DEVICE", raising=False)
    monkeypatch.setattr(faces, "load", lambda: find_blobs)
    return work


@pytest.fixture
def blind(monkeypatch):
    """There is no detector, and none may be asked for."""
    monkeypatch.setattr(faces, "load", lambda: pytest.fail("asked for the detector"))


def photo(name, *people, height=240, width=300, gray=False):
    """A picture of people, each (x, y), and perhaps a height in px and a turn in degrees."""
    picture = scene(1, height, width)[:height, :width].copy()
    for at in people:
        blob(picture, at[:2], *at[2:])
    image = Image.fromarray(picture)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    (image.convert("L") if gray else image).save(name)


def film(name, places, cuts=(), sound=False):
    """A film in which somebody stands at each of these places, or nobody (None)."""
    ground, frames = scene(1, 120, 400), []
    for t, at in enumerate(places):
        ground = scene(90 + t, 120, 400) if t in cuts else ground
        picture = np.ascontiguousarray(ground[:, t % 50 : t % 50 + 160])
        frames.append(picture if at is None else blob(picture, at[:2], 60, *at[2:]))
    audio = np.sin(np.arange(48_000 * len(frames) // 25) / 20)[:, None] * 0.1 if sound else None
    write_clip(Path(name), frames, Fraction(25), audio, crf=4)
    return frames


def frames_of(name):
    return [frame.rgb for frame in read_frames(Path(name), probe(Path(name)))]


def pixels(name):
    return np.asarray(Image.open(name))


def error(done):
    lines = [line for line in done.err.splitlines() if line.startswith("gantool: error: ")]
    assert len(lines) == 1, done.err
    return lines[0]


# ---- pictures


def test_a_photo(here, net, capfd):
    photo("a.png", (150, 120, 80, 40))
    done = call(capfd, "frontalize", "a.png", "--model", net)
    assert (done.code, done.out) == (0, "a.frontalize.png\n")
    assert done.err == "gantool: fetching yunet, which finds faces (233 kB, MIT)\n"
    assert Image.open("a.frontalize.png").size == (16, 16)
    done = call(capfd, "frontalize", "a.png", "--model", net, "--json", "--overwrite")
    (record,) = done.records
    assert (record["task"], record["model"], record["width"]) == ("frontalize", "tiny-front", 16)
    (face,) = record["faces"]
    assert face["output"] == record["output"] == "a.frontalize.png"
    assert face["box"] == [118, 80, 64, 80] and face["yaw"] == pytest.approx(40, abs=5)
    assert np.array(face["landmarks"]).shape == (5, 2) and face["score"] == 0.9
    assert "outputs" not in record and record["warnings"] == []


def test_it_says_that_it_was_made(here, net, capfd):
    photo("a.png", (150, 120, 80))
    call(capfd, "frontalize", "a.png", "--model", net)
    call(capfd, "frontalize", "a.png", "--model", net, "-o", "b.png", "--no-metadata")
    assert b"tiny-front" in Path("a.frontalize.png").read_bytes()
    assert b"tiny-front" not in Path("b.png").read_bytes()


def test_what_is_doubtful_of_many_faces_is_told_once(here, net, capfd):
    places = [(30 + 40 * (n % 7), 40 + 60 * (n // 7), 36) for n in range(14)]
    photo("a.png", *places, (40, 190, 30), (150, 190, 80))
    done = call(capfd, "frontalize", "a.png", "--model", net, "--faces", "all", "--json")
    (record,) = done.records
    (said,) = [line for line in record["warnings"] if "wide" in line]
    assert said.startswith("faces 2-16: the face is less than 40 px wide")
    assert done.err.count("px wide") == 1
    photo("b.png", (150, 120, 80), (40, 60, 30))
    done = call(capfd, "frontalize", "b.png", "--model", net, "--faces", "all")
    assert done.err.count("face 2: the face is only 24 px wide") == 1


def test_every_face_of_a_picture(here, net, capfd):
    photo("a.png", (60, 60, 50), (200, 120, 90), (60, 180, 40))
    done = call(capfd, "frontalize", "a.png", "--model", net, "--faces", "all", "--json")
    (record,) = done.records
    assert record["outputs"] == [f"a.frontalize{number}.png" for number in ("", ".2", ".3")]
    assert [face["output"] for face in record["faces"]] == record["outputs"]
    assert [face["box"][3] for face in record["faces"]] == [90, 50, 40]
    assert names(here) == sorted(["a.png", *record["outputs"]])
    # A second run over the folder sees none of them as inputs.
    done = call(capfd, "frontalize", ".", "--model", net, "--faces", "all", "--overwrite")
    assert done.out.splitlines() == record["outputs"]


def test_all_or_none_of_several_faces(here, net, capfd):
    photo("a.png", (60, 60, 50), (200, 120, 90))
    Path("a.frontalize.2.png").write_bytes(b"mine")
    done = call(capfd, "frontalize", "a.png", "--model", net, "--faces", "all")
    assert done.code == ExitCode.OUTPUT and "a.frontalize.2.png" in error(done)
    assert names(here) == ["a.frontalize.2.png", "a.png"]
    assert call(capfd, "frontalize", "a.png", "--model", net, "--faces", "all", "--overwrite").code == 0
    done = call(capfd, "frontalize", "a.png", "--model", net, "--faces", "all", "-o", "-")
    assert done.code == ExitCode.USAGE and "2 faces cannot go to standard output" in error(done)


def test_a_second_face_is_not_written_over_another_picture_s_result(here, net, capfd):
    photo("in/a.png", (60, 60, 50), (200, 120, 90))
    photo("in/a.2.png", (60, 60, 50))
    words = ("--model", net, "--faces", "all", "-o", "out/{stem}{ext}", "--overwrite")
    done = call(capfd, "frontalize", "in", *words)
    assert done.code == ExitCode.PARTIAL and done.out == "out/a.2.png\n"
    assert "another input's result has this name (out/a.2.png)" in done.err


def test_one_of_several(here, net, capfd):
    photo("a.png", (60, 60, 50), (200, 120, 90))
    done = call(capfd, "frontalize", "a.png", "--model", net, "--json")
    assert done.records[0]["faces"][0]["box"][3] == 90
    assert "2 faces were found, this is the largest; --faces all" in done.records[0]["warnings"][0]
    done = call(capfd, "frontalize", "a.png", "--model", net, "--faces", 2, "--json", "--overwrite")
    assert done.records[0]["faces"][0]["box"][3] == 50 and done.records[0]["warnings"] == []
    done = call(capfd, "frontalize", "a.png", "--model", net, "--faces", 3, "-o", "b.png")
    assert done.code == ExitCode.INPUT and "there is no face 3: found 2 faces (a.png)" in error(done)


def test_tp_gan_of_a_training_run(here, capfd):
    import torch

    from gantool.loading import save_model
    from gantool.models.tpgan import TPGAN

    photo("a.png", (150, 120, 80, 40))
    Path("run").mkdir()
    args = {"width": 0.02}
    torch.manual_seed(0)
    row = Checkpoint("tiny-tp", "frontalize", arch="tpgan.TPGAN", args=args, signed=True, whole=True)
    save_model(Path("run/model.safetensors"), TPGAN(**args), row)
    assert call(capfd, "frontalize", "a.png", "--model", "run").code == 0
    first = pixels("a.frontalize.png")
    assert first.shape == (128, 128, 3)
    call(capfd, "frontalize", "a.png", "--model", "run", "--overwrite")
    assert (pixels("a.frontalize.png") == first).all()


def test_strength_0_is_the_aligned_crop(here, net, capfd):
    photo("a.png", (150, 120, 80))
    made = {}
    for strength in (0, 0.5, 1):
        call(capfd, "frontalize", "a.png", "--model", net, "--strength", strength, "--overwrite")
        made[strength] = pixels("a.frontalize.png").astype(float)
    picture = pixels("a.png")
    assert (made[0] == faces.crop(picture, find_blobs(picture)[0], 16)).all()
    assert (made[1] != made[0]).any() and np.abs(made[0.5] - (made[0] + made[1]) / 2).max() <= 1


def test_larger_by_the_upscaler(here, net, capfd):
    photo("a.png", (60, 60, 50), (200, 120, 90))
    words = ("--model", net, "--faces", "all", "--scale", 2, "--json", "-q")
    (record,) = call(capfd, "frontalize", "a.png", *words).records
    assert (record["width"], record["height"]) == (32, 32) and len(record["faces"]) == 2
    assert re.fullmatch(r"tiny-front \+ \S*upscale\S*", record["model"])
    assert all(Image.open(name).size == (32, 32) for name in record["outputs"])


@pytest.fixture
def moving(here):
    """A net that moves pixels, as the built-in does: here every pixel to where it is."""
    net = FrontWarp(0.25)
    torch.nn.init.constant_(net.last.bias[2], 60.0)
    row = Checkpoint("mover", "frontalize", args={"width": 0.25}, arch="frontwarp.FrontWarp", signed=True)
    loading.save_model("mover.safetensors", net, row)
    return "mover.safetensors"


def test_as_many_pixels_as_are_wanted(here, moving, net, capfd):
    photo("a.png", (250, 250, 400), height=500, width=500)
    done = call(capfd, "frontalize", "a.png", "--model", moving, "--json")
    (record,) = done.records
    assert record["width"] == 128
    (said,) = record["warnings"]
    assert re.fullmatch(r"the picture has 4\d\d px of a face and the view 128; --side 512 keeps them", said)
    words = ("--model", moving, "--side", 512, "--overwrite", "--json")
    (record,) = call(capfd, "frontalize", "a.png", *words).records
    assert (record["width"], record["height"], record["warnings"]) == (512, 512, [])
    picture = pixels("a.png")
    crop = faces.crop(picture, find_blobs(picture)[0], 512)
    assert np.abs(pixels("a.frontalize.png").astype(int) - crop).max() <= 1
    call(capfd, "frontalize", "a.png", "--model", moving, "--paste", "-o", "b.png")
    close = np.abs(pixels("b.png").astype(int) - picture)
    assert close.max() <= 6 and close.mean() < 0.3
    done = call(capfd, "frontalize", "a.png", "--model", net, "--side", 256, "--overwrite")
    assert done.code == ExitCode.USAGE
    assert "tiny-front makes front views of 16 px, not of 256. Leave out --side" in error(done)


def test_a_film_of_a_large_face(here, moving, capfd):
    film("f.mp4", [(80, 60), None, (82, 60)])
    done = call(capfd, "frontalize", "f.mp4", "--model", moving, "--side", 256, "-q")
    info = probe(Path("f.frontalize.mp4"))
    assert done.code == 0 and (info.width, info.height, info.frames_hint) == (256, 256, 3)
    large = [blob(np.zeros((300, 300, 3), np.uint8), (150, 150), 250) for _ in range(2)]
    write_clip(Path("g.mp4"), large, Fraction(25), None, crf=4)
    done = call(capfd, "frontalize", "g.mp4", "--model", moving)
    assert re.search(r"the picture has 2\d\d px of a face and the view 128; --side \d+ keeps them", done.err)
    done = call(capfd, "frontalize", "f.mp4", "--model", moving, "--side", 256, "--fuse", "-o", "f.png", "-q")
    assert done.code == 0 and Image.open("f.png").size == (256, 256)


def test_a_picture_that_lies_on_its_side(here, net, capfd, monkeypatch):
    photo("a.png", (150, 120, 80))
    upright = pixels("a.png")
    Image.fromarray(np.rot90(upright, 3)).save("b.png")

    def find(picture):  # surer the right way up
        score = 0.95 if picture.shape == upright.shape and (picture == upright).all() else 0.7
        return [dataclasses.replace(face, score=score) for face in find_blobs(picture)]

    monkeypatch.setattr(faces, "load", lambda: find)
    done = call(capfd, "frontalize", "a.png", "b.png", "--model", net, "--json", "-o", "out/")
    straight, lying = done.records
    assert straight["warnings"] == []
    assert lying["warnings"] == [
        "faces stand upright after a quarter turn to the left; that is how they are shown"
    ]
    assert (pixels("out/a.frontalize.png") == pixels("out/b.frontalize.png")).all()
    x, y, wide, tall = straight["faces"][0]["box"]
    assert lying["faces"][0]["box"] == pytest.approx([239 - y - tall, x, tall, wide], abs=1.1)


def test_back_into_the_picture(here, net, capfd):
    photo("a.png", (150, 120, 90, 10))
    done = call(capfd, "frontalize", "a.png", "--model", net, "--paste", "--json", "--compare", "side")
    (record,) = done.records
    assert record["faces"][0]["pasted"] is True and record["width"] == 300
    before, after = pixels("a.png"), pixels("a.frontalize.png")
    changed = (before != after).any(-1)
    assert changed[110:130, 140:160].mean() > 0.8 and not changed[:30].any() and not changed[:, :60].any()
    assert Image.open("a.frontalize.compare.png").size[0] > 600


def test_a_face_that_is_turned_too_far_is_not_put_back(here, net, capfd):
    photo("a.png", (150, 120, 90, 50))
    done = call(capfd, "frontalize", "a.png", "--model", net, "--paste")
    assert done.code == ExitCode.INPUT and names(here) == ["a.png"]
    assert re.search(r"turned by (4|5)\d degrees, .*Leave out --paste", error(done))
    photo("b.png", (80, 120, 90, 50), (220, 120, 80, 0))
    done = call(capfd, "frontalize", "b.png", "--model", net, "--paste", "--faces", "all", "--json")
    assert [face["pasted"] for face in done.records[0]["faces"]] == [False, True]
    assert "1 of 2 faces are turned too far" in done.records[0]["warnings"][-1]


# ---- without the detector


def test_where_the_face_is_said(here, net, capfd, blind):
    photo("a.png", (150, 120, 80))
    for words in (["--aligned"], ["--face-box", "118,80,64,80"]):
        done = call(capfd, "frontalize", "a.png", "--model", net, "--json", "--overwrite", *words)
        assert done.code == 0 and done.records[0]["faces"][0]["yaw"] is None
    assert done.records[0]["faces"][0]["box"] == [118, 80, 64, 80]
    done = call(capfd, "frontalize", "a.png", "--model", net, "--face-box", "900,0,50,60", "-o", "b.png")
    assert done.code == ExitCode.INPUT and "outside of the picture, which has 300x240 px" in error(done)


def test_without_a_detector_the_error_says_what_works(here, net, capfd, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HF_HOME", str(here.parent / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    photo("in/a.png", (150, 120, 80))
    photo("in/b.png", (150, 120, 80))
    done = call(capfd, "frontalize", "in", "--model", net, "-o", "out/")
    assert done.code == ExitCode.WEIGHTS
    said = error(done)  # once, not for each picture
    assert all(word in said for word in ("--aligned", "--face-box", "`gantool models pull yunet`"))
    assert names(here) == ["in", "in/a.png", "in/b.png"]
    plan = call(capfd, "frontalize", "in/a.png", "--model", net, "--dry-run", "--json").records
    assert plan[0]["download_bytes"] == load_catalog().get("yunet").bytes


def test_put_back_at_strength_0_nothing_is_changed(here, net, capfd):
    photo("a.png", (150, 120, 90, 10))
    film("f.mp4", [(80, 60)] * 2)
    words = ("--model", net, "--paste", "--strength", 0)
    (record,) = call(capfd, "frontalize", "a.png", *words, "--json").records
    assert record["faces"][0]["pasted"] is True
    assert (pixels("a.png") == pixels("a.frontalize.png")).all()
    assert call(capfd, "frontalize", "f.mp4", "-o", "g.mkv", *words, *LOSSLESS).code == 0
    assert all((a == b).all() for a, b in zip(frames_of("f.mp4"), frames_of("g.mkv"), strict=True))


def test_a_face_of_a_picture_with_alpha_may_be_a_jpeg(here, net, capfd):
    photo("a.png", (150, 120, 90, 10))
    picture = Image.open("a.png").convert("RGBA")
    picture.putalpha(100)
    picture.save("a.png")
    assert call(capfd, "frontalize", "a.png", "--model", net, "-o", "b.jpg").code == 0
    done = call(capfd, "frontalize", "a.png", "--model", net, "--paste", "-o", "c.jpg")
    assert done.code == ExitCode.OUTPUT and "JPEG cannot hold transparency" in error(done)


def test_a_chain_does_not_compare_a_crop_either(here, net, capfd):
    photo("a.png", (150, 120, 90, 10))
    step = f"frontalize --model {net}"
    done = call(capfd, "chain", "a.png", "-o", "b.png", step, "--compare", "side")
    assert done.code == ExitCode.USAGE and "Add --paste" in error(done)
    assert call(capfd, "chain", "a.png", "-o", "b.png", f"{step} --paste", "--compare", "side").code == 0


def test_what_cannot_be_read_is_told_by_a_dry_run_too(here, net, capfd):
    photo("a.png", (150, 120, 90, 10))
    for words in (("--faces", "foo"), ("--face-box", "1,2")):
        done = call(capfd, "frontalize", "a.png", "--model", net, "--dry-run", *words)
        assert done.code == ExitCode.USAGE and words[0] in error(done)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--aligned", "--face-box", "1,2,30,40"], "--face-box contradicts --aligned"),
        (["--aligned", "--faces", "all"], "--faces contradicts --aligned"),
        (["--face-box", "1,2,30"], "--face-box does not understand"),
        (["--faces", "both"], "--faces does not know 'both'"),
        (["--paste", "--fuse"], "--fuse contradicts --paste"),
        (["--paste", "--side", "256"], "--side contradicts --paste"),
        (["--side", "200"], "--side"),
        (["--compare", "side"], "Add --paste"),
        (["--preview"], "--preview"),
        (["--temporal", "off"], "--temporal"),
        (["--segment", "1/2"], "--segment"),
    ],
)
def test_what_contradicts_itself(here, net, capfd, words, hint):
    photo("a.png", (150, 120, 80))
    done = call(capfd, "frontalize", "a.png", "--model", net, *words)
    assert done.code == ExitCode.USAGE and hint in error(done) and names(here) == ["a.png"]


# ---- bad input is told plainly


def test_no_face(here, net, capfd):
    photo("a.png")
    done = call(capfd, "frontalize", "a.png", "--model", net)
    assert done.code == ExitCode.INPUT and "no face was found (a.png). --face-box" in error(done)
    photo("in/a.png")
    photo("in/b.png", (150, 120, 80))
    done = call(capfd, "frontalize", "in", "--model", net, "-o", "out/")
    assert done.code == ExitCode.PARTIAL and done.out == "out/b.frontalize.png\n"
    assert "failed: in/a.png: no face was found" in done.err


@pytest.mark.parametrize(
    ("people", "told"),
    [
        ([(150, 120, 25)], "the face is only 20 px wide"),
        ([(10, 120, 100)], "of the face's crop lies beyond the picture's border"),
        ([(150, 120, 80, 88)], "seen nearly in profile; half of the front view is invented"),
        ([(30 + 50 * (i % 6), 25 + 45 * (i // 6), 30) for i in range(30)], "30 faces were found"),
    ],
)
def test_doubtful_faces(here, net, capfd, people, told):
    photo("a.png", *people, height=260, width=320)
    done = call(capfd, "frontalize", "a.png", "--model", net, "--json")
    assert done.code == 0 and any(told in said for said in done.records[0]["warnings"])
    assert told in done.err


def test_thirty_faces(here, net, capfd):
    people = [(30 + 50 * (i % 6), 25 + 45 * (i // 6), 30) for i in range(30)]
    photo("a.png", *people, height=260, width=320)
    done = call(capfd, "frontalize", "a.png", "--model", net, "--faces", "all")
    assert done.code == 0 and len(done.out.splitlines()) == 30
    assert done.err.count("faces 1-30: the face is less than 40 px wide") == 1


def test_a_grey_photo_stays_grey(here, net, capfd):
    photo("a.png", (150, 120, 80), gray=True)
    done = call(capfd, "frontalize", "a.png", "--model", net, "--face-box", "118,80,64,80")
    assert done.code == 0 and Image.open("a.frontalize.png").mode == "L"


def test_no_model(here, capfd, monkeypatch):
    photo("a.png", (150, 120, 80))
    rows = [row for row in load_catalog().rows if row.task != "frontalize"]
    monkeypatch.setattr("gantool.catalog.load_catalog", lambda: Catalog(tuple(rows)))
    done = call(capfd, "frontalize", "a.png")
    assert done.code == ExitCode.USAGE
    assert "frontalize has no built-in model. Name one with --model" in error(done)


# ---- films


def test_a_film_keeps_its_frames_and_its_sound(here, net, capfd):
    film("f.mp4", [(40 + 4 * t, 60) for t in range(12)], sound=True)
    done = call(capfd, "frontalize", "f.mp4", "--model", net, "--json")
    (record,) = done.records
    assert (record["output"], record["frames"], record["warnings"]) == ("f.frontalize.mp4", 12, [])
    info = probe(Path("f.frontalize.mp4"))
    assert (info.width, info.height, info.audio, info.frames_hint) == (16, 16, 1, 12)
    assert set(record["stages"]) >= {"decode", "faces", "net", "encode"}


def test_frames_without_a_face(here, net, capfd):
    there = [(60 + t, 60) for t in range(20)]
    film("f.mp4", [None, None, *there[:4], None, None, *there[4:8], None])
    done = call(capfd, "frontalize", "f.mp4", "--model", net, "-o", "v.mkv", "--json", *LOSSLESS)
    assert done.code == 0 and done.records[0]["frames"] == 13
    (told,) = done.records[0]["warnings"]
    assert told == (
        "no face to show was found in 5 of 13 frames; the first 2 are black; elsewhere the last view stands"
    )
    made = frames_of("v.mkv")
    assert len(made) == 13 and not made[0].any() and not made[1].any() and made[2].any()
    assert (made[6] == made[5]).all() and (made[7] == made[5]).all() and (made[12] == made[11]).all()
    done = call(capfd, "frontalize", "f.mp4", "--model", net, "-o", "w.mkv", "--paste", "--json", *LOSSLESS)
    (told,) = done.records[0]["warnings"]
    assert told.endswith("in 5 of 13 frames; they stay as they are")
    source, made = frames_of("f.mp4"), frames_of("w.mkv")
    assert [bool((a == b).all()) for a, b in zip(source, made, strict=True)] == [
        t in (0, 1, 6, 7, 12) for t in range(13)
    ]


def test_a_film_of_nobody(here, net, capfd):
    film("f.mp4", [None] * 5)
    for more in ([], ["--paste"], ["--fuse"]):
        done = call(capfd, "frontalize", "f.mp4", "--model", net, *more)
        assert done.code == ExitCode.INPUT and "no face was found (f.mp4)" in error(done)
    assert names(here) == ["f.mp4"]


def test_a_film_of_somebody_who_turns_away(here, net, capfd):
    film("f.mp4", [(80, 60, min(80, 8 * t)) for t in range(12)])
    done = call(capfd, "frontalize", "f.mp4", "--model", net, "-o", "v.mkv", "--paste", "--json", *LOSSLESS)
    told = done.records[0]["warnings"]
    assert re.fullmatch(r"in [678] of 12 frames the face is turned too far; they stay as they are", told[0])
    assert any(re.match(r"in \d of 12 frames the face is seen nearly in profile", said) for said in told)
    film("g.mp4", [(80, 60, 80)] * 5)
    done = call(capfd, "frontalize", "g.mp4", "--model", net, "--paste")
    assert done.code == ExitCode.INPUT and "in all frames the face is turned by 30 degrees" in error(done)
    assert "g.frontalize.mp4" not in names(here)


def test_one_picture_of_a_film(here, net, capfd):
    film("f.mp4", [(60 + t, 60) for t in range(6)] + [None] * 2)
    done = call(capfd, "frontalize", "f.mp4", "--model", net, "--fuse", "--json")
    (record,) = done.records
    assert (record["output"], record["frames"]) == ("f.frontalize.png", 6)
    assert record["warnings"] == ["no face to show was found in 2 of 8 frames; they are left out"]
    assert Image.open("f.frontalize.png").size == (16, 16)
    done = call(capfd, "frontalize", "f.mp4", "--model", net, "--fuse", "-o", "large.png", "--scale", 2, "-q")
    assert done.code == 0 and Image.open("large.png").size == (32, 32)
    done = call(capfd, "frontalize", "f.mp4", "--model", net, "--fuse", "-o", "film.mp4")
    assert done.code == ExitCode.OUTPUT


def test_one_picture_of_a_film_whose_pixels_are_not_square(here, net, capfd):
    whole = [blob(scene(90, 240, 320).copy(), (160 + 4 * t, 120), 120) for t in range(3)]
    squeezed = [np.ascontiguousarray(frame[:, ::2]) for frame in whole]
    write_clip(Path("whole.mp4"), whole, Fraction(25), None, crf=4)
    write_clip(Path("tv.mp4"), squeezed, Fraction(25), None, crf=4, sar=Fraction(2))
    boxes = []
    for name in ("whole.mp4", "tv.mp4"):
        assert call(capfd, "frontalize", name, "--model", net, "--fuse", "--strength", 0).code == 0
        boxes.append(pixels(name.replace(".mp4", ".frontalize.png")).astype(int))
    assert np.abs(boxes[0] - boxes[1]).mean() < 6


def test_a_larger_film_and_one_where_the_place_is_said(here, net, capfd, blind):
    film("f.mp4", [(80, 60)] * 4)
    words = ("--face-box", "60,35,40,50", "--scale", 2, "-q")
    done = call(capfd, "frontalize", "f.mp4", "--model", net, *words)
    info = probe(Path("f.frontalize.mp4"))
    assert done.code == 0 and (info.width, info.height, info.frames_hint) == (32, 32, 4)


def test_all_faces_of_a_film_are_put_back_or_none(here, net, capfd):
    film("f.mp4", [(80, 60)] * 3)
    done = call(capfd, "frontalize", "f.mp4", "--model", net, "--faces", "all")
    assert done.code == ExitCode.USAGE and "--faces all of a film needs --paste" in error(done)
    assert call(capfd, "frontalize", "f.mp4", "--model", net, "--faces", "all", "--paste").code == 0


def test_as_a_step_of_a_chain(here, net, capfd):
    photo("a.png", (150, 120, 80))
    step = f"frontalize --model {net}"
    done = call(capfd, "chain", "a.png", "-o", "b.png", step, "upscale --scale 2", "-q")
    assert done.code == 0 and Image.open("b.png").size == (32, 32)
    for word in ("--fuse", "--scale 2"):
        done = call(capfd, "chain", "a.png", "-o", "c.png", f"{step} {word}")
        assert done.code == ExitCode.USAGE and "not for a step of a chain" in error(done)


def test_help_speaks_of_consent(capfd):
    said = " ".join(call(capfd, "frontalize", "--help").out.split())
    assert "invented detail, not evidence" in said and "people who agreed" in said
