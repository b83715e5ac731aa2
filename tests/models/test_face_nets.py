"""LightCNN-29 v2 and the released frontalization generator against their authors' programs.

``face_layouts.json`` was recorded with the nets of AlfredXiangWu/LightCNN and scaleway/frontalization filled
by ``known_weights``: names and shapes of every tensor, and figures of the output.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch
from known_weights import figures, fill, picture

from gantool.models.frontalizer import FrontalGenerator
from gantool.models.lightcnn import LightCNN29v2

RECORD = json.loads((Path(__file__).parent / "face_layouts.json").read_text(encoding="utf-8"))
SMALL = {"widths": (2, 4, 6, 4), "blocks": (1, 1, 2, 1), "features": 8}


def build(case):
    module, name = RECORD[case]["arch"].split(".")
    return getattr(importlib.import_module(f"gantool.models.{module}"), name)().eval()


@pytest.mark.parametrize("case", RECORD)
def test_names_and_shapes_are_the_original_ones_in_their_order(case):
    with torch.device("meta"):
        ours = {name: list(value.shape) for name, value in build(case).state_dict().items()}
    assert list(ours.items()) == list(RECORD[case]["keys"].items())


def test_features_are_the_original_ones():
    net = build("lightcnn-29v2")
    state = fill(net.state_dict())
    state["fc.weight"] = (state["fc.weight"] - 1) / 64
    net.load_state_dict(state)
    with torch.no_grad():
        found = figures(net((picture(1, 128, 128) + 1) / 2) / 1000)
    _agree(found, RECORD["lightcnn-29v2"]["figures"])


def test_front_views_are_the_original_ones():
    net = build("face-frontalization")
    net.load_state_dict(fill(net.state_dict()))
    with torch.no_grad():
        _agree(figures(net(picture(3, 128, 128))), RECORD["face-frontalization"]["figures"])


def _agree(found, expected):
    assert found["shape"] == expected["shape"]
    range_ = max(expected["values"]) - min(expected["values"])
    for figure in ("values", "mean", "std"):
        assert found[figure] == pytest.approx(expected[figure], abs=1e-4 * range_)


def test_parameters():
    with torch.device("meta"):
        assert sum(p.numel() for p in LightCNN29v2().parameters()) == 10_475_872
        assert sum(p.numel() for p in FrontalGenerator().parameters()) == 5_591_472


def test_a_released_file_is_taken_without_its_classifier():
    net = LightCNN29v2(**SMALL)
    state = net.state_dict() | {"fc2.weight": torch.zeros(5, 8)}
    assert list(LightCNN29v2.own_names(state)) == list(net.state_dict())


def test_color_counts_by_its_luma():
    net = LightCNN29v2(**SMALL).eval()
    x = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    luma = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    with torch.no_grad():
        assert torch.allclose(net(x), net(luma), atol=1e-6)
        assert net.maps(x).shape == (2, 4, 8, 8) and net(x).shape == (2, 8)


def test_a_loss_reaches_the_picture_and_every_weight():
    net = LightCNN29v2(**SMALL)
    x = torch.rand(1, 1, 128, 128, requires_grad=True)
    net(x).square().sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize(("width", "depth", "side"), [(2, 3, 16), (4, 6, 128)])
def test_sizes(width, depth, side):
    net = FrontalGenerator(width, depth).eval()
    assert net.side == side
    with torch.no_grad():
        y = net(torch.rand(2, 3, side, side))
    assert y.shape == (2, 3, side, side) and y.abs().max() <= 1


def test_files_of_before_the_batch_counters():
    net = FrontalGenerator(2, 3)
    old = {name: value for name, value in net.state_dict().items() if "num_batches" not in name}
    assert set(FrontalGenerator.own_names(old)) == set(net.state_dict())
    net.load_state_dict(FrontalGenerator.own_names(old))
