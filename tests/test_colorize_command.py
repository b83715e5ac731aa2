"""gantool colorize with colorizers of other programs, hints and a reference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_kit import call, film, photo
from PIL import Image

from gantool.errors import ExitCode
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
