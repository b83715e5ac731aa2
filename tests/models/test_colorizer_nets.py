"""DeOldify, ECCV16, SIGGRAPH17 and DDColor against a record made with their authors' programs.

``colorizer_layouts.json`` was recorded (see known_weights) from jantic/DeOldify (commit 5f86c28, with its
fastai layers), richzhang/colorization in clibdev's fork (ba536f0) and piddnad/DDColor (2adb63f), all with
fewer channels and blocks; each picture was given together with its mirror image.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from known_weights import figures, fill, picture, settled

import gantool
from gantool import colorizers, loading, metrics
from gantool.catalog import Checkpoint
from gantool.data import read_rgb
from gantool.errors import WeightsError
from gantool.models.colorizer import ResNetStraight
from gantool.models.ddcolor import DDColor
from gantool.models.deoldify import DeOldifyDeep, DeOldifyWide, folded
from gantool.models.eccv16 import ECCV16
from gantool.models.siggraph17 import SIGGRAPH17

DATA = Path(os.environ.get("GANTOOL_TEST_DATA", "/nowhere"))
RECORD = json.loads((Path(__file__).parent / "colorizer_layouts.json").read_text(encoding="utf-8"))


def build(entry):
    module, name = entry["arch"].split(".")
    return getattr(importlib.import_module(f"gantool.models.{module}"), name)(**entry["args"])


def original(case):
    """The state dict that the original net was given, under its own names."""
    return dict(made(case))


@functools.cache  # the values of spectral norms take longer than all else
def made(case):
    entry = RECORD[case]
    zeros = {
        name: torch.zeros(shape, dtype=torch.long if name.endswith("num_batches_tracked") else torch.float32)
        for name, shape in entry["keys"].items()
    }
    state = settled(fill(zeros))
    for name, value in state.items():
        if name.endswith("gamma") and value.numel() == 1:
            state[name] = torch.tensor([0.7])
    if "mean" in state:  # part of the file, and never trained
        state["mean"] = torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1)
        state["std"] = torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1)
    return state


def own(net, state):
    return net.own_names(state) if hasattr(net, "own_names") else state


def answer(net, height, width):
    """What the original was asked, in the form that gantool's net takes."""
    both = (picture(1, height, width), picture(2, height, width), picture(1, height, width))
    gray, hint, mask = (torch.cat((one, one.flip(-1))) for one in both)
    gray = (gray + 1) / 2
    if isinstance(net, SIGGRAPH17):
        mask = (mask > 0.2).float()
        return net(gray, torch.cat((hint * 50 * mask, mask), dim=1))
    return net(gray.expand(-1, 3, -1, -1) if isinstance(net, DDColor) else gray)


@pytest.mark.parametrize("case", RECORD)
def test_outputs_are_the_original_ones(case):
    entry = RECORD[case]
    net = build(entry).eval()
    net.load_state_dict(own(net, original(case)), strict=True)
    assert own(net, net.state_dict()).keys() == net.state_dict().keys()
    for expected in entry["outputs"]:
        with torch.no_grad():
            found = figures(answer(net, *expected["size"]))
        close = 1e-4 * (max(expected["values"]) - min(expected["values"]))
        assert found["shape"] == expected["shape"]
        assert found["values"] == pytest.approx(expected["values"], abs=close)
        assert found["mean"] == pytest.approx(expected["mean"], abs=close)
        assert found["std"] == pytest.approx(expected["std"], abs=close)


@pytest.mark.parametrize(
    ("kind", "args", "params"),
    [
        (DeOldifyDeep, {}, 63_646_881),
        (DeOldifyWide, {}, 218_222_197),
        (ECCV16, {}, 32_236_011),
        (SIGGRAPH17, {}, 34_187_027),
        (DDColor, {}, 227_869_328),
        (DDColor, {"depths": [3, 3, 9, 3], "dims": [96, 192, 384, 768]}, 55_006_640),
    ],
)
def test_full_sizes_are_those_of_the_released_files(kind, args, params):
    """A weight norm holds a further number for each channel, which is no more when it is folded."""
    with torch.device("meta"):
        net = kind(**args)
    gains = {DeOldifyDeep: 1200, DeOldifyWide: 1024}.get(kind, 0)
    assert sum(p.numel() for p in net.parameters()) + gains == params


@pytest.mark.parametrize("wrapper", [None, "params", "model"])
@pytest.mark.parametrize("case", RECORD)
def test_a_file_says_whose_it_is(case, wrapper, tmp_path):
    entry, path = RECORD[case], tmp_path / "some name.pth"
    state = original(case)
    torch.save({wrapper: state, "opt": {}} if wrapper else state, path)
    net, row = loading.load(Checkpoint("x", "colorize"), path)
    assert (row.name, row.task, row.arch) == ("some name", "colorize", entry["arch"])
    assert {name: row.args[name] for name in entry["args"]} == entry["args"]
    assert row.multiple == net.multiple
    loading.save_model(tmp_path / "own.safetensors", net, row)
    again, _ = loading.load(Checkpoint("x", "colorize"), tmp_path / "own.safetensors")
    for name, value in net.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_head_that_is_not_used_is_left_out():
    state = original("ddcolor") | {"encoder.arch.head_cls.weight": torch.zeros(4, 32)}
    net = build(RECORD["ddcolor"])
    net.load_state_dict(net.own_names(state), strict=True)


def test_norms_are_folded_as_torch_folds_them():
    torch.manual_seed(0)
    spectral = torch.nn.utils.spectral_norm(torch.nn.Conv2d(3, 5, 3))
    weight = torch.nn.utils.weight_norm(torch.nn.Conv2d(3, 5, 3))
    for layer in (spectral, weight):
        for _ in range(3):
            layer(torch.rand(1, 3, 8, 8))
        state = folded({f"a.{name}": value for name, value in layer.state_dict().items()})
        assert set(state) == {"a.weight", "a.bias"}
        layer.eval()(torch.rand(1, 3, 8, 8))
        assert torch.allclose(state["a.weight"], layer.weight, atol=1e-6)


def test_a_norm_that_does_not_fit_its_weight_is_refused(tmp_path):
    state = original("deep")
    state["layers.11.0.weight_u"] = torch.zeros(7)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"layers\.11\.0\.weight"):
        loading.load(Checkpoint("x", "colorize"), tmp_path / "x.pth")


def test_others_are_not_taken_for_colorizers():
    assert colorizers.recognise({}) is None
    assert colorizers.recognise({"layers.0.0.weight": torch.zeros(8, 3, 7, 7)}) is None
    assert colorizers.recognise({"model1.0.weight": torch.zeros(8, 1, 3, 3)}) is None


@pytest.mark.parametrize("case", RECORD)
def test_half_precision_runs_and_answers_much_the_same(case):
    """For whoever asks for it of a file of their own; no row of the catalog is cleared for it."""
    net = build(RECORD[case]).eval()
    torch.manual_seed(0)
    shape = (1, 3 if isinstance(net, DDColor) else 1, 64, 64)
    with torch.no_grad():
        exact = net(torch.rand(shape))
        torch.manual_seed(0)
        half = net.to(torch.bfloat16)(torch.rand(shape).to(torch.bfloat16))
    assert half.dtype == torch.float32 and bool(torch.isfinite(half).all())
    assert (half - exact).abs().mean() <= 0.1 * exact.std() + 0.01


@pytest.mark.weights
@pytest.mark.skipif(not (DATA / "weights").is_dir(), reason="GANTOOL_TEST_DATA names no folder of weights")
def test_a_public_resnet18_colorizer_sees_as_torchvision_s_does_and_colours():
    import torchvision

    path = DATA / "weights/colorize/resnet18_colorizer.pth"
    net, row = loading.load(Checkpoint("x", "colorize"), path)
    assert isinstance(net, ResNetStraight) and (row.color, row.multiple) == ("gray", 8)
    body = torchvision.models.resnet18(weights=None)
    body.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    encoder = torch.nn.Sequential(*list(body.children())[:6]).eval()
    state, _ = loading.read_state(path)
    own_part = "midlevel_resnet."
    encoder.load_state_dict(
        {name.removeprefix(own_part): v for name, v in state.items() if name.startswith(own_part)},
        strict=True,
    )
    gray = (picture(1, 96, 80) + 1) / 2
    with torch.no_grad():
        assert torch.allclose(net.midlevel_resnet(gray), encoder(gray), atol=1e-5)
    pipeline = gantool.load("colorize", str(path), device="cpu", precision="fp32")
    gains = []
    for photo in sorted((DATA / "photos/val/bsds500_test").iterdir())[:6]:
        image = read_rgb(photo)
        assert image is not None
        colored = gantool.colorize(image, pipeline=pipeline, strength=1.0)
        plain = np.repeat(image.astype(float).dot((0.299, 0.587, 0.114)).round()[..., None], 3, 2)
        gains.append(metrics.psnr(colored, image) - metrics.psnr(plain.astype(np.uint8), image))
    assert np.mean(gains) == pytest.approx(0.29, abs=0.1)  # dB, as first measured
