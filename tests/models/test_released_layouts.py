"""pix2pix and CycleGAN nets against the record made with the original program (see known_weights)."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch
from known_weights import figures, fill, picture

from gantool.models.cyclegan import ResnetGenerator
from gantool.models.pix2pix import NLayerDiscriminator, PixelDiscriminator, UnetGenerator

RECORD = json.loads((Path(__file__).parent / "released_layouts.json").read_text(encoding="utf-8"))


def build(entry):
    module, name = entry["arch"].split(".")
    return getattr(importlib.import_module(f"gantool.models.{module}"), name)(**entry["args"])


def shapes(net):
    return {name: list(value.shape) for name, value in net.state_dict().items()}


@pytest.mark.parametrize("case", RECORD)
def test_names_and_shapes_are_the_original_ones_in_their_order(case):
    entry = RECORD[case]
    ours = shapes(build(entry))
    assert ours == entry["keys"]
    assert list(ours) == list(entry["keys"])


@pytest.mark.parametrize("case", RECORD)
def test_outputs_are_the_original_ones(case):
    entry = RECORD[case]
    net = build(entry).eval()
    net.load_state_dict(fill(net.state_dict()), strict=True)
    for expected in entry["outputs"]:
        with torch.no_grad():
            found = figures(net(picture(entry["args"].get("input_nc", 3), *expected["size"])))
        assert found["shape"] == expected["shape"]
        assert found["values"] == pytest.approx(expected["values"], abs=1e-4)
        assert found["mean"] == pytest.approx(expected["mean"], abs=1e-4)
        assert found["std"] == pytest.approx(expected["std"], abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "args", "keys", "params"),
    [
        (UnetGenerator, {}, 82, 54_413_955),
        (UnetGenerator, {"downs": 7}, 70, 41_828_995),
        (ResnetGenerator, {}, 48, 11_378_179),
        (ResnetGenerator, {"blocks": 6}, 36, 7_837_699),
        (NLayerDiscriminator, {}, 22, 2_768_705),
        (NLayerDiscriminator, {"input_nc": 3, "norm": "instance"}, 10, 2_764_737),
        (PixelDiscriminator, {}, 9, 9_024),
    ],
)
def test_full_sizes_are_those_of_the_released_files(kind, args, keys, params):
    with torch.device("meta"):
        net = kind(**args)
    assert len(net.state_dict()) == keys
    assert sum(p.numel() for p in net.parameters()) == params
