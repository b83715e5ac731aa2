"""gantool colorize with colorizers of other programs, hints and a reference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_kit import call, film, photo
from PIL import Image

from gantool.commands.options import at_time, seconds
from gantool.errors import ExitCode, UsageError
from gantool.inference import Runner
from gantool.models.ddcolor import DDColor
from gantool.models.deoldify import DeOldifyDeep
from gantool.models.eccv16 import ECCV16
from gantool.models.siggraph17 import SIGGRAPH17

NETS = {
    "eccv16": (ECCV16, {"width": 4}),
    "siggraph17": (SIGGRAPH17, {"width": 4}),
    "deoldify": (DeOldifyDeep, {"blocks": (1, 1, 1, 1), "width": 8}),
    "ddcolor": (
        DDColor,
        {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8), "width": 32, "queries": 4, "layers": 3, "feed": 8},
    ),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A released-looking file of each net, with random weights."""
    folder = tmp_path_factory.mktemp("nets")
    for name, (kind, args) in NETS.items():
        torch.manual_seed(3)
        torch.save(kind(**args).state_dict(), folder / f"{name}.pth")
    return folder


def light(path: Path) -> np.ndarray:
    from skimage.color import rgb2lab

    return rgb2lab(np.asarray(Image.open(path).convert("RGB")))[..., 0]


@pytest.mark.parametrize("name", NETS)
def test_a_file_colours_a_photo(capfd, files, tmp_path, name):
    source, target = photo(tmp_path / "a.png", 61, 37), tmp_path / "b.png"
    words = ("colorize", source, "-o", target, "--model", files / f"{name}.pth", "--render-size", 64)
    done = call(capfd, *words, "--json", "--saturation", 3)
    assert done.code == 0, done.err
    assert done.records[0]["model"] == name
    assert Image.open(target).size == (61, 37)
    assert np.abs(light(target) - light(source)).mean() < 0.5
    done = call(capfd, *words, "--overwrite", "--strength", 0)
    assert done.code == 0
    assert np.array_equal(np.asarray(Image.open(target).convert("L")), np.asarray(Image.open(source)))


def test_a_render_size_that_does_not_suit(capfd, files, tmp_path):
    source = photo(tmp_path / "a.png")
    done = call(capfd, "colorize", source, "--model", files / "deoldify.pth", "--render-size", 100)
    assert done.code == ExitCode.USAGE and "multiples of 16 px" in done.err and "96" in done.err


def test_hints_change_what_siggraph17_answers(capfd, files, tmp_path):
    source = photo(tmp_path / "a.png", 40, 40)
    (tmp_path / "h.json").write_text(json.dumps([{"x": 20, "y": 20, "color": "#ff0000", "radius": 15}]))
    words = ("colorize", source, "--model", files / "siggraph17.pth", "--render-size", 64)
    assert call(capfd, *words, "-o", tmp_path / "b.png").code == 0
    done = call(capfd, *words, "-o", tmp_path / "c.png", "--hints", tmp_path / "h.json")
    assert done.code == 0, done.err
    plain, hinted = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("b.png", "c.png"))
    assert np.abs(plain - hinted).max() > 2


@pytest.mark.parametrize("model", ["auto", "builtin", "ddcolor-modelscope"])
def test_hints_for_other_models_are_refused_before_any_download(capfd, tmp_path, model):
    source = photo(tmp_path / "a.png")
    (tmp_path / "h.csv").write_text("1,1,#ff0000")
    done = call(capfd, "colorize", source, "--model", model, "--hints", tmp_path / "h.csv")
    assert done.code == ExitCode.USAGE
    assert "takes no colour hints" in done.err and "--model siggraph17" in done.err


def test_hints_for_a_file_that_takes_none(capfd, files, tmp_path):
    source = photo(tmp_path / "a.png")
    (tmp_path / "h.csv").write_text("1,1,#ff0000")
    done = call(capfd, "colorize", source, "--model", files / "eccv16.pth", "--hints", tmp_path / "h.csv")
    assert done.code == ExitCode.USAGE and "eccv16 takes no colour hints" in done.err


def test_hints_belong_to_one_picture(capfd, files, tmp_path):
    (tmp_path / "h.csv").write_text("1,1,#ff0000")
    for inputs in ([photo(tmp_path / "a/1.png"), photo(tmp_path / "a/2.png")], [tmp_path / "a"]):
        words = ("--model", files / "siggraph17.pth", "--hints", tmp_path / "h.csv")
        done = call(capfd, "colorize", *inputs, *words)
        assert done.code == ExitCode.USAGE and "single input" in done.err


def test_bad_hints_and_bad_reference_are_input_errors(capfd, files, tmp_path):
    source = photo(tmp_path / "a.png")
    (tmp_path / "h.csv").write_text("1,1,reddish")
    words = ("colorize", source, "--model", files / "siggraph17.pth")
    done = call(capfd, *words, "--hints", tmp_path / "h.csv")
    assert done.code == ExitCode.INPUT and "hint 1 has no colour" in done.err
    done = call(capfd, *words, "--reference", tmp_path / "gone.jpg")
    assert done.code == ExitCode.INPUT and "gone.jpg" in done.err


@pytest.mark.parametrize("model", ["eccv16.pth", "ddcolor-tiny"])
def test_a_grey_reference_is_refused_before_any_model_is_loaded(capfd, files, tmp_path, monkeypatch, model):
    from gantool import hub, loading

    for module, name in ((loading, "load"), (hub, "fetch")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("a model was asked for"))
    source = photo(tmp_path / "a.png")
    model = files / model if model.endswith(".pth") else model
    done = call(capfd, "colorize", source, "--model", model, "--reference", source)
    assert done.code == ExitCode.INPUT
    assert f"the reference photo holds no colours ({source})" in done.err


def test_reference_gives_its_colours(capfd, files, tmp_path):
    source = photo(tmp_path / "a.png", 40, 40)
    Image.new("RGB", (20, 20), (200, 120, 60)).save(tmp_path / "orange.png")
    target = tmp_path / "b.png"
    words = ("--model", files / "eccv16.pth", "--reference", tmp_path / "orange.png")
    assert call(capfd, "colorize", source, "-o", target, *words).code == 0
    red, _, blue = np.asarray(Image.open(target)).reshape(-1, 3).mean(0)
    assert red > blue + 20


def test_a_film_through_a_square_net(capfd, files, tmp_path):
    from gantool.media.video import probe

    source, target = film(tmp_path / "a.mp4", 4), tmp_path / "b.mp4"
    words = ("--model", files / "deoldify.pth", "--render-size", 32)
    done = call(capfd, "colorize", source, "-o", target, *words, "--json")
    assert done.code == 0, done.err
    assert done.records[0]["frames"] == 4
    assert (probe(target).width, probe(target).height) == (48, 32)


# ---- references by time


@pytest.fixture
def shots(tmp_path, monkeypatch):
    """a.mp4, two scenes of a second each; orange.png, blue.png, and one that is called x@3.png."""
    from fractions import Fraction

    from moving_pictures import scene, view

    from gantool.media.video import write_clip

    monkeypatch.chdir(tmp_path)
    pictures = [view(scene(1 if t < 12 else 9), 2 * t, 20) for t in range(24)]
    write_clip(tmp_path / "a.mp4", pictures, Fraction(12), None, crf=12)
    for name, rgb in (("orange", (200, 120, 60)), ("blue", (60, 120, 200)), ("x@3", (90, 200, 90))):
        Image.new("RGB", (20, 20), rgb).save(f"{name}.png")
    return tmp_path


def blueness(path: Path) -> list[float]:
    from gantool.media.video import read_frames

    return [float(frame.rgb[..., 2].mean() - frame.rgb[..., 0].mean()) for frame in read_frames(path)]


def test_each_scene_has_its_palette(capfd, files, shots):
    words = ("a.mp4", "--model", files / "eccv16.pth", "--render-size", 32, "--threads", 1)
    references = ("--reference", "orange.png", "--reference", "blue.png@0:01.6")
    done = call(capfd, "colorize", *words, *references)
    assert done.code == 0, done.err
    blue = blueness(shots / "a.colorize.mp4")
    assert max(blue[:12]) < -20 and min(blue[12:]) > 20
    part = ("--start", 1.2, "--duration", 0.2, "-o", "part.mp4")
    assert call(capfd, "colorize", *words, *references, *part).code == 0
    assert min(blueness(shots / "part.mp4")) > 20
    step = f"colorize --model {files / 'eccv16.pth'} --render-size 32 --reference blue.png@1.04"
    assert call(capfd, "chain", "a.mp4", step, "-o", "chain.mp4", "--threads", 1).code == 0
    blue = blueness(shots / "chain.mp4")
    assert max(blue[:12]) < 20 < min(blue[12:])


def test_a_file_whose_name_holds_an_at(capfd, files, shots):
    words = ("a.mp4", "--model", files / "eccv16.pth", "--render-size", 32, "--duration", 0.1, "--threads", 1)
    for reference in ("x@3.png", "x@3.png@0"):
        assert call(capfd, "colorize", *words, "--reference", reference, "--overwrite").code == 0
    source = photo(shots / "p.png")
    assert (
        call(capfd, "colorize", source, "--model", files / "eccv16.pth", "--reference", "x@3.png").code == 0
    )
    assert at_time("blue.png@1:30", "--reference") == ("blue.png", 90.0)
    assert [seconds(text, "--start") for text in (".5", "90:00", "1:02:03.5")] == [0.5, 5400.0, 3723.5]
    for text in ("1:99", "1:60:00", ".", "-1", "1:"):
        with pytest.raises(UsageError, match="is not a time"):
            seconds(text, "--start")
    assert at_time("gone@home.png", "--reference") == ("gone@home.png", None)
    assert at_time("a" * 300 + "@5", "--reference") == ("a" * 300, 5.0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["p.png", "--reference", "blue.png@0"], "a photo has no times"),
        (["a.mp4", "--reference", "blue.png@soon"], "'soon' is not a time"),
        (["a.mp4", "--reference", "blue.png@9"], "9 s is behind the end of the film (2.00 s)"),
        (["a.mp4", "--reference", "blue.png", "--reference", "orange.png"], "two photos for the beginning"),
        (["a.mp4", "--reference", "blue.png@1", "--reference", "x@3.png@0:01"], "two photos for 1 s"),
    ],
)
def test_references_that_cannot_be(capfd, files, shots, words, said):
    photo(shots / "p.png")
    done = call(capfd, "colorize", *words, "--model", files / "eccv16.pth")
    assert done.code == ExitCode.USAGE and said in done.err, done.err
    assert not list(shots.glob("*colorize*"))


# ---- frames that the net does not see


def test_the_net_sees_every_nth_frame(capfd, files, shots, monkeypatch):
    seen, predict = [], Runner.predict
    monkeypatch.setattr(
        Runner, "predict", lambda self, x, *more: (seen.append(len(x)), predict(self, x, *more))[1]
    )
    words = ("colorize", "a.mp4", "--model", files / "siggraph17.pth", "--render-size", 32, "--threads", 1)
    for more, count in ((("--every", 4), 6), (("--every", 4, "--temporal", "bidirectional"), 6)):
        seen.clear()
        done = call(capfd, *words, *more, "--overwrite", "--json")
        assert done.code == 0, done.err
        assert sum(seen) == count and done.records[0]["frames"] == 24
    done = call(capfd, *words, "--every", 4, "--duration", 0.3, "--preview")
    assert done.code == 0 and "will take about" in done.err


def test_frames_that_nothing_is_known_of_are_refused(capfd, files, shots):
    done = call(
        capfd, "colorize", "a.mp4", "--model", files / "eccv16.pth", "--every", 2, "--temporal", "off"
    )
    assert done.code == ExitCode.USAGE and "--every carries results along the motion" in done.err
    assert call(capfd, "colorize", "a.mp4", "--every", 0).code == ExitCode.USAGE
