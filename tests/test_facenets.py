"""Bare files about faces: recognised by their layout, and taken for nothing else."""

from __future__ import annotations

import pytest
import torch

from gantool import facenets, loading
from gantool.catalog import Checkpoint
from gantool.errors import UsageError, WeightsError
from gantool.models.frontalizer import FrontalGenerator
from gantool.models.lightcnn import LightCNN29v2
from gantool.models.pix2pix import UnetGenerator

SMALL = {"widths": [2, 4, 6, 4], "blocks": [1, 1, 2, 1], "features": 8}


def test_a_lightcnn_file_as_its_authors_save_it(tmp_path):
    net = LightCNN29v2(**SMALL).eval()
    state = {f"module.{name}": value for name, value in net.state_dict().items()}
    state["module.fc2.weight"] = torch.zeros(10, 8)
    path = tmp_path / "LightCNN_29Layers_V2_checkpoint.pth.tar"
    torch.save({"epoch": 9, "arch": "LightCNN-29v2", "state_dict": state, "prec1": 99.0}, path)
    loaded, row = loading.load(Checkpoint("x", "face"), path)
    assert row.arch == "lightcnn.LightCNN29v2" and row.args == SMALL and row.color == "gray"
    x = torch.rand(1, 1, 128, 128)
    with torch.no_grad():
        assert torch.equal(loaded(x), net(x))
    with pytest.raises(UsageError, match="model for face, not for translate"):
        loading.load(Checkpoint("x", "translate"), path)


@pytest.mark.parametrize("args", [{"width": 2, "depth": 3}, {"width": 3, "depth": 6}, {}])
def test_a_generator_s_state_dict(args):
    with torch.device("meta"):
        state = FrontalGenerator(**args).state_dict()
    task, layout = facenets.recognise(state) or ("", None)
    assert task == "frontalize" and layout is not None
    assert layout.args == args and layout.signed and layout.arch == "frontalizer.FrontalGenerator"


def test_other_nets_are_neither():
    with torch.device("meta"):
        assert facenets.recognise(UnetGenerator(downs=5).state_dict()) is None
        cut = FrontalGenerator(2, 3).state_dict()
    del cut["main.14.weight"]
    assert facenets.recognise(cut) is None
    assert facenets.recognise({}) is None


def test_a_file_that_only_begins_like_one_is_refused_by_name(tmp_path):
    state = LightCNN29v2(**SMALL).state_dict()
    del state["group3.conv.filter.bias"]
    torch.save(state, tmp_path / "n.pth")
    with pytest.raises(WeightsError, match=r"1 tensors missing \(group3.conv.filter.bias\)"):
        loading.load(Checkpoint("x", "face"), tmp_path / "n.pth")
