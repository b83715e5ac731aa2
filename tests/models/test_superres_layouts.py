"""Super-resolution nets and critics against a record made with the original programs (see known_weights).

``superres_layouts.json`` was recorded from BasicSR (commit 8d56e3a0), spandrel's net of the first ESRGAN,
KAIR, leftthomas/SRGAN (commit b0323c6c), transcriptions of EDSR-PyTorch and super-image (commit 38b42bfa),
IMDN (commit 8f158e6a), and RFDN and RLFN in NTIRE2022_ESR (commit e95ba4a4); each picture was given together
with its mirror image.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch
from known_weights import figures, fill, picture, settled

from gantool.models.critics import UNetDiscriminatorSN, VGGStyleDiscriminator
from gantool.models.edsr import EDSR
from gantool.models.imdn import IMDN, IMDNRTC
from gantool.models.rlfn import RFDN, RLFN
from gantool.models.rrdbnet import RRDBNet
from gantool.models.srresnet import MSRResNet, SRResNet
from gantool.models.srvgg import SRVGGNetCompact

RECORD = json.loads((Path(__file__).parent / "superres_layouts.json").read_text(encoding="utf-8"))


def build(entry):
    module, name = entry["arch"].split(".")
    return getattr(importlib.import_module(f"gantool.models.{module}"), name)(**entry["args"])


def original(entry):
    """The state dict that the original net was given, under its own names."""
    counters = "num_batches_tracked"
    return settled(
        fill(
            {
                name: torch.zeros(shape, dtype=torch.long if name.endswith(counters) else torch.float32)
                for name, shape in entry["keys"].items()
            }
        )
    )


def own(net, state):
    return net.own_names(state) if hasattr(net, "own_names") else state


@pytest.mark.parametrize("case", RECORD)
def test_a_released_file_s_names_and_shapes_are_the_net_s(case):
    entry = RECORD[case]
    net = build(entry)
    ours = {name: list(value.shape) for name, value in net.state_dict().items()}
    assert {name: list(value.shape) for name, value in own(net, original(entry)).items()} == ours
    assert own(net, net.state_dict()).keys() == ours.keys()


@pytest.mark.parametrize("case", RECORD)
def test_outputs_are_the_original_ones(case):
    entry = RECORD[case]
    net = build(entry).eval()
    net.load_state_dict(own(net, original(entry)), strict=True)
    for expected in entry["outputs"]:
        x = (picture(3, *expected["size"]) + 1) / 2 * entry["range"]
        with torch.no_grad():
            found = figures(net(torch.cat((x, x.flip(-1)))))
        close = 1e-4 * min(1, expected["std"]) if entry["range"] == 1 else 1e-5 * expected["std"]
        assert found["shape"] == expected["shape"]
        assert found["values"] == pytest.approx(expected["values"], abs=close)
        assert found["mean"] == pytest.approx(expected["mean"], abs=close)
        assert found["std"] == pytest.approx(expected["std"], abs=close)


@pytest.mark.parametrize(
    ("kind", "args", "keys", "params"),
    [
        (RRDBNet, {}, 702, 16_697_987),
        (RRDBNet, {"num_block": 6}, 192, 4_467_779),
        (RRDBNet, {"scale": 2}, 702, 16_703_171),
        (EDSR, {}, 78, 1_517_571),
        (EDSR, {"n_feats": 256, "n_resblocks": 32, "res_scale": 0.1}, 142, 43_089_923),
        (MSRResNet, {}, 74, 1_517_571),
        (SRResNet, {}, 258, 1_549_462),
        (SRResNet, {"blocks": 5, "before_skip": "prelu"}, 89, 734_092),
        (SRVGGNetCompact, {"num_conv": 32}, 101, 1_213_296),
        (SRVGGNetCompact, {}, 53, 621_424),
        (IMDN, {}, 92, 715_176),
        (IMDN, {"scale": 2}, 92, 694_404),
        (IMDNRTC, {}, 56, 20_190),
        (RFDN, {}, 128, 433_448),
        (RLFN, {}, 114, 543_740),
        (RLFN, {"width": 46, "inner": 48, "blocks": 4}, 78, 317_218),
        (VGGStyleDiscriminator, {}, 60, 14_499_401),
        (UNetDiscriminatorSN, {}, 28, 4_376_897),
    ],
)
def test_full_sizes_are_those_of_the_released_files(kind, args, keys, params):
    with torch.device("meta"):
        net = kind(**args)
    assert len(net.state_dict()) == keys
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == params
