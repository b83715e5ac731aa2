"""AdaIN, MicroAST and Johnson's nets against a record made with their authors' programs.

``style_layouts.json`` was recorded (see known_weights) at full size from naoto0804/pytorch-AdaIN (commit
47950d0), EndyWon/MicroAST (5a6c905), pytorch/examples (77f55b9), gordicaleksa's net (00c96e8) and rrmina's
(f32f6ca); fast-style-transfer (1424228) from its TensorFlow source written out in NumPy, float64.
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
from known_weights import figures, fill, picture

from gantool import loading, stylers
from gantool.catalog import Checkpoint, load_catalog
from gantool.data import read_rgb
from gantool.errors import WeightsError
from gantool.models import adain, microast
from gantool.models.transformer_net import TransformerNet
from gantool.ops.resize import resize, to_tensor
from gantool.pipelines.style import Style
from gantool.pipelines.style import build as build_pipeline

DATA = Path(os.environ.get("GANTOOL_TEST_DATA", "/nowhere"))
RECORD = json.loads((Path(__file__).parent / "style_layouts.json").read_text(encoding="utf-8"))
ANY_STYLE = [case for case, entry in RECORD.items() if "parts" in entry]
ONE_STYLE = [case for case, entry in RECORD.items() if "keys" in entry]
ROWS = {
    "adain": {"encoder": "adain-vgg", "decoder": "adain"},
    "microast": {
        "content_encoder": "microast-content",
        "style_encoder": "microast-style",
        "modulator": "microast-modulator",
        "decoder": "microast",
    },
}
PARTS = ("content_encoder", "style_encoder", "modulator")


def filled(shapes):
    return fill({name: torch.zeros(shape) for name, shape in shapes.items()})


@functools.cache
def parts(case):
    """Part -> the state dict that the original part was given."""
    found = {name: filled(shapes) for name, shapes in RECORD[case]["parts"].items()}
    if case == "microast":  # so that the two encoders, which are alike, are not the same
        found["style_encoder"] = {name: -value for name, value in found["style_encoder"].items()}
    return found


def build(entry):
    module, name = entry["arch"].split(".")
    return getattr(importlib.import_module(f"gantool.models.{module}"), name)(**entry["args"]).eval()


def shown(height, width, shift=0):
    return (picture(3, height, width).roll(shift, -1) + 1) / 2


def same(found, expected, part=1e-4):
    close = part * (max(expected["values"]) - min(expected["values"]))
    assert found["shape"] == expected["shape"]
    for what in ("values", "mean", "std"):
        assert found[what] == pytest.approx(expected[what], abs=close)


@pytest.mark.parametrize("case", ANY_STYLE)
def test_any_style_nets_give_the_original_outputs(case):
    entry = RECORD[case]
    net = build(entry)
    state = {f"{part}.{name}": value for part, found in parts(case).items() for name, value in found.items()}
    net.load_state_dict(state, strict=True)
    found = stylers.recognise(net.state_dict())
    assert found is not None and found.arch == entry["arch"]
    with torch.no_grad():
        style = net.style(shown(40, 56, 3))
        for expected in entry["outputs"]:
            x, strength = shown(*expected["size"]), expected["strength"]
            mixed = tuple(torch.lerp(a, b, strength) for a, b in zip(net.style(x), style, strict=True))
            same(figures(net(x, mixed)), expected)


@pytest.mark.parametrize("case", ANY_STYLE)
def test_parts_in_files_of_their_own_are_recognised_and_joined(case, tmp_path):
    """The released files: one part each, and of VGG more than is used."""
    catalog, nets, needs = load_catalog(), {}, ()
    for part, name in ROWS[case].items():
        path = tmp_path / f"{part}.pth"
        unused = {"31.weight": torch.zeros(2), "51.bias": torch.zeros(2)} if name == "adain-vgg" else {}
        torch.save(parts(case)[part] | unused, path)
        nets[name], row = loading.load(Checkpoint("x", "style"), path)
        known = catalog.get(name)
        assert (row.task, row.arch, row.multiple) == ("style", known.arch, known.multiple)
        assert row.needs == known.needs
        needs = row.needs or needs
    main = next(name for name in nets if catalog.get(name).needs)
    net = nets[main].joined(*(nets[name] for name in needs))
    expected = RECORD[case]["outputs"][1]
    with torch.no_grad():
        same(figures(net(shown(*expected["size"]), net.style(shown(40, 56, 3)))), expected)


@pytest.mark.parametrize("case", ONE_STYLE)
def test_one_style_files_give_the_original_outputs(case, tmp_path):
    entry, state = RECORD[case], filled(RECORD[case]["keys"])
    old = {f"{name.rpartition('.')[0]}.running_mean": value for name, value in state.items() if "in1" in name}
    if case == "fast-style-transfer":
        path = tmp_path / "some.npz"
        np.savez(path, **{name: value.numpy() for name, value in state.items()})  # type: ignore[arg-type]
    else:
        path = tmp_path / "some.pth"
        torch.save({"state_dict": state | old, "epochs": 2}, path)
    net, row = loading.load(Checkpoint("x", "style"), path)
    assert (row.arch, row.multiple, row.whole) == (entry["arch"], 4, True)
    assert {name: row.args[name] for name in entry["args"]} == entry["args"]
    assert row.color == ("bgr" if "rrmina" in case else "rgb")
    assert row.value_range == (1.0 if case == "gordicaleksa" else 255.0)
    for expected in entry["outputs"]:
        with torch.no_grad():
            same(figures(net(shown(*expected["size"]) * row.value_range)), expected)
    loading.save_model(tmp_path / "own.safetensors", net, row)
    again, kept = loading.load(Checkpoint("x", "style"), tmp_path / "own.safetensors")
    assert kept.args == row.args
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in again.state_dict().items())


@pytest.mark.parametrize(
    ("net", "params"),
    [
        (adain.Encoder, 3_505_740),
        (adain.Decoder, 3_505_219),
        (microast.Encoder, 157_792),
        (microast.Modulator, 2_560),
        (microast.Decoder, 153_843),
        (TransformerNet, 1_679_235),
        (functools.partial(TransformerNet, up="transposed", inner=64), 470_915),
    ],
)
def test_full_sizes_are_those_of_the_released_files(net, params):
    with torch.device("meta"):
        assert sum(p.numel() for p in net().parameters()) == params


def test_styles_are_mixed_as_the_paper_mixes_features():
    torch.manual_seed(0)
    content, one, two = torch.randn(3, 1, 4, 9, 7)
    mixed = tuple(0.3 * a + 0.7 * b for a, b in zip(adain.moments(one), adain.moments(two), strict=True))
    each = [adain.restyled(content, *adain.moments(style)) for style in (one, two)]
    assert torch.allclose(
        adain.restyled(content, mixed[0], mixed[1]), 0.3 * each[0] + 0.7 * each[1], atol=1e-6
    )


@pytest.mark.parametrize("net", [adain.AdaIN(0.05), microast.MicroAST(2)], ids=["adain", "microast"])
def test_a_style_without_any_spread_is_a_number(net):
    with torch.no_grad():
        style = net.style(torch.full((1, 3, 9, 9), 0.5))
        y = net(torch.rand(1, 3, 16, 16), style)
    assert bool(torch.isfinite(y).all())
    single = adain.moments(torch.rand(2, 3, 1, 1))
    assert bool(torch.isfinite(torch.cat(single)).all())


@pytest.mark.parametrize("harm", ["objects", "cut", "text"])
def test_harmed_arrays_are_refused(harm, tmp_path):
    path = tmp_path / "some.npz"
    values = {"objects": np.array([{}, "x"], dtype=object), "text": np.array(["a", "b"])}
    np.savez(path, values.get(harm, np.ones((64, 64))))
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(WeightsError, match="damaged"):
        loading.read_state(path)


def test_others_are_not_taken_for_style_nets():
    assert stylers.recognise({}) is None
    assert (
        stylers.recognise({"0.weight": torch.zeros(8, 3, 3, 3), "28.weight": torch.zeros(3, 8, 3, 3)}) is None
    )
    assert stylers.recognise({"conv1.conv2d.weight": torch.zeros(8, 3, 9, 9)}) is None


@pytest.mark.weights
@pytest.mark.skipif(not (DATA / "weights").is_dir(), reason="GANTOOL_TEST_DATA names no folder of weights")
def test_the_released_files_paint():
    """Mean colours, and how alike light and dark are to the photo's, as when the results were looked at."""
    folder, cpu = DATA / "weights/style", torch.device("cpu")
    photo = read_rgb(DATA / "photos/val/bsds500_test/10081.jpg")
    assert photo is not None
    x = resize(to_tensor(photo[None]), 160, 240)
    seen = {
        "microast": ((0.336, 0.441, 0.482), 0.582),
        "johnson_wave_f16.npz": ((0.544, 0.581, 0.537), 0.555),
        "mosaic_resnext.pth": ((0.700, 0.658, 0.634), 0.652),
    }
    for name, (colors, alike) in seen.items():
        several = (
            [f"microast_{part}.pth.tar" for part in ("decoder", *PARTS)] if name == "microast" else [name]
        )
        loaded = [loading.load(Checkpoint("x", "style"), folder / file) for file in several]
        painting = Style(DATA / "paintings/van_gogh_starry_night_1889.jpg")
        styles = [painting] if name == "microast" else []
        pipeline = build_pipeline([net for net, _ in loaded], loaded[0][1], device=cpu, styles=styles)
        with torch.no_grad():
            y = pipeline(x)
        both = torch.stack((x.mean(1).flatten(), y.mean(1).flatten()))
        assert y.mean((0, 2, 3)).tolist() == pytest.approx(colors, abs=0.003), name
        assert float(torch.corrcoef(both)[0, 1]) == pytest.approx(alike, abs=0.005), name


@pytest.mark.parametrize(("outside", "size"), [(3, (20, 33)), (3, (9, 9)), (1, (12, 40)), (2, (15, 16))])
def test_few_channels_are_computed_side_by_side_without_gradients_only(outside, size, monkeypatch):
    torch.manual_seed(0)
    conv = microast._Conv(5, outside, 9)
    x = torch.rand(2, 5, *size)
    ways = []
    few = microast._few
    monkeypatch.setattr(microast, "_few", lambda *words: ways.append(1) or few(*words))
    learned = conv(x)
    assert not ways and learned.requires_grad
    with torch.no_grad():
        seen = conv(x)
        half = conv.to(torch.bfloat16)(x.bfloat16())
    assert len(ways) == 2 and seen.shape == learned.shape == (2, outside, *size)
    assert torch.allclose(seen, learned, atol=1e-5)
    assert half.dtype == torch.bfloat16 and torch.allclose(half.float(), learned, atol=0.05)
