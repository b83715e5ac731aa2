"""Super-resolution nets recognised by names and shapes, and how far they see."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gantool import loading, metrics, upscalers
from gantool.catalog import Checkpoint
from gantool.data import read_rgb
from gantool.models.critics import UNetDiscriminatorSN, VGGStyleDiscriminator
from gantool.models.edsr import EDSR
from gantool.models.srresnet import SRResNet

RECORD = json.loads((Path(__file__).parent / "models" / "superres_layouts.json").read_text(encoding="utf-8"))
NETS = {name: entry for name, entry in RECORD.items() if "critic" not in name}
LAYOUTS = [
    upscalers.compact(8, 3, 2),
    upscalers.rrdbnet(4, 8, 2, 4),
    upscalers.rrdbnet(2, 8, 1, 4),
    upscalers.rrdbnet(1, 8, 0, 4),
    upscalers.rrdbnet(1, 8, 2, 4, unshuffle=False),
    upscalers.rrdbnet(2, 8, 2, 4, unshuffle=False),
    upscalers.rrdbnet(8, 8, 2, 4),
    *(upscalers.edsr(scale, 8, 2) for scale in (2, 3, 4, 8)),
    *(upscalers.msrresnet(scale, 8, 2) for scale in (2, 3, 4)),
    *(upscalers.srresnet(scale, 8, 2) for scale in (2, 4, 8)),
    *(upscalers.imdn_rtc(scale, 8, 2) for scale in (2, 4)),
]
WHOLE = [upscalers.imdn(3, 16, 2), upscalers.rfdn(2, 8, 3), upscalers.rlfn(4, 6, 8, 2, 4)]


def build(layout) -> nn.Module:
    module, name = layout.arch.split(".")
    return getattr(importlib.import_module(f"gantool.models.{module}"), name)(**layout.args)


def zeros(keys):
    return {
        name: torch.zeros(shape, dtype=torch.long if name.endswith("num_batches_tracked") else torch.float32)
        for name, shape in keys.items()
    }


@pytest.mark.parametrize("case", NETS)
def test_released_layouts_are_recognised_and_load(case, tmp_path):
    state, entry = zeros(NETS[case]["keys"]), NETS[case]
    torch.save({"params_ema": state}, tmp_path / "some name.pth")
    row = loading.row_of(tmp_path / "some name.pth")
    assert row is not None and row.task == "upscale" and row.arch == entry["arch"]
    net, again = loading.load(Checkpoint("x", "upscale"), tmp_path / "some name.pth")
    assert again == row and row.name == "some name"
    height, width = entry["outputs"][0]["size"]
    with torch.no_grad():
        y = net(torch.zeros(1, 3, height, width))
    assert y.shape == (1, 3, height * row.scale, width * row.scale)
    assert list(y.shape[1:]) == entry["outputs"][0]["shape"][1:]


@pytest.mark.parametrize("layout", [*LAYOUTS, *WHOLE], ids=lambda x: f"{x.arch} x{x.scale}")
def test_a_net_s_own_file_gives_its_layout(layout):
    net = build(layout)
    found = upscalers.recognise(net.state_dict())
    if layout.scale == 1 and layout.args.get("num_block") == 0:
        assert found is None  # no block to know it by
    else:
        assert found == layout


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda x: f"{x.arch} x{x.scale}")
def test_the_radius_is_what_the_net_sees(layout):
    """Inputs further away than the radius have no part in an output pixel, and those at it do."""
    torch.manual_seed(0)
    net, scale, radius = build(layout).eval(), layout.scale, layout.radius
    for parameter in net.parameters():
        if parameter.ndim > 1:  # all of one sign, so that nothing cancels
            nn.init.uniform_(parameter, 0.5, 1)
            parameter.data /= parameter[0].numel()
    assert radius is not None
    middle = (radius + 4) // layout.multiple * layout.multiple
    x = torch.rand(1, 3, 2 * middle + 4, 8) * 0.1 + (300 if layout.value_range > 1 else 0)  # above the mean
    x.requires_grad_()
    seen = set()
    for phase in range(scale * layout.multiple):
        (slope,) = torch.autograd.grad(net(x)[0, :, middle * scale + phase].sum(), x)
        rows = slope.abs().sum((0, 1, 3)).nonzero().flatten() - middle - phase // scale
        seen |= {int(-rows.min()), int(rows.max())}
    assert max(seen) == radius


@pytest.mark.parametrize("layout", WHOLE, ids=lambda x: x.arch)
def test_nets_that_measure_the_whole_picture_say_so(layout):
    torch.manual_seed(0)
    net = build(layout).eval()
    x = torch.rand(1, 3, 40, 60) * layout.value_range
    with torch.no_grad():
        whole, left = net(x), net(x[..., :40])
        small = net(x[..., :3, :5])
    assert layout.whole and layout.radius is None
    far = slice(0, 4)  # 36 px from the cut
    assert (whole[..., far] - left[..., far]).abs().max() > 1e-7 * layout.value_range
    assert small.shape[-2:] == (3 * layout.scale, 5 * layout.scale)


class Shrunk(nn.Module):
    """A net that enlarges rightly if its pictures have the range it knows."""

    def __init__(self, known: float) -> None:
        super().__init__()
        self.known = known

    def forward(self, x):
        return nn.functional.interpolate(x, scale_factor=2, mode="nearest") * (x.max() < 2 * self.known) + (
            self.known if x.max() < self.known / 2 else 0
        )


@pytest.mark.parametrize("known", [1.0, 255.0])
def test_resemblance_tells_the_range(known):
    for value_range in (1.0, 255.0):
        apart = upscalers.resemblance(Shrunk(known), value_range)
        assert apart < 1e-6 if value_range == known else apart > upscalers.RESEMBLES


@pytest.mark.parametrize("case", ["authors", "super-image"])
def test_edsr_s_files_are_told_apart_by_what_they_give(case, tmp_path):
    """The same names and shapes: only a trial shows whose net it is."""
    net, own = EDSR(2, 8, 1), case == "authors"
    with torch.no_grad():  # what comes in enlarged by repetition
        for name, parameter in net.named_parameters():
            if not name.startswith(("sub_mean", "add_mean")):
                parameter.zero_()
        for c in range(3):
            net.head[0].weight[c, c, 1, 1] = 1
            net.tail[0][0].weight[4 * c : 4 * c + 4, c, 1, 1] = 1
            net.tail[1].weight[c, c, 1, 1] = 1
        if own:
            net.tail[1].bias.fill_(5)  # little in 0..255
        else:
            first, _, second = net.body[0].body
            first.weight[0, 0, 1, 1], first.weight[1, 0, 1, 1] = 1, -1
            first.bias.fill_(-5)  # never reached in [0,1]
            second.weight[3, :2, 1, 1] = 5
            net.body[1].weight[0, 3, 1, 1] = 1
    torch.save(net.state_dict(), tmp_path / "x.pth")
    row = loading.row_of(tmp_path / "x.pth")
    assert row is not None and row.value_range == (255.0 if own else 1.0)
    assert row.args.get("shift", True) == own
    loaded, _ = loading.load(Checkpoint("x", "upscale"), tmp_path / "x.pth")
    assert upscalers.resemblance(loaded, row.value_range) < 0.03


def test_large_nets_are_tiled_with_a_usual_overlap():
    assert upscalers.rrdbnet().radius is None
    assert upscalers.msrresnet().radius == 35


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"conv_first.weight": torch.zeros(8)},
        {"conv_first.weight": torch.zeros(8, 5, 3, 3), "body.0.rdb1.conv1.weight": torch.zeros(4, 8, 3, 3)},
        {"conv_after_body.weight": torch.zeros(1)},
        {"conv_after_body.weight": torch.zeros(8, 8, 3, 3), "conv_first.weight": torch.zeros(8, 3, 3, 3)},
        {"conv_first.weight": torch.zeros(8, 3, 3, 3), "upconv1.weight": torch.zeros(32, 8, 3, 3)},
        {"block1.0.weight": torch.zeros(8, 3, 9, 9)},
        {"RRDB_trunk.0.RDB1.conv1.weight": torch.zeros(1), "HRconv.weight": torch.zeros(2)},
        {"model.1.sub.0.RDB1.conv1.0.weight": torch.zeros(3)},
        UNetDiscriminatorSN(num_feat=2).state_dict(),
        VGGStyleDiscriminator(num_feat=2, input_size=32).state_dict(),
    ],
    ids=range(11),
)
def test_other_state_dicts_are_not_taken(state):
    assert upscalers.recognise(state) is None


DATA = Path(os.environ.get("GANTOOL_TEST_DATA", "/nowhere"))


@pytest.mark.weights
@pytest.mark.skipif(not (DATA / "weights").is_dir(), reason="GANTOOL_TEST_DATA names no folder of weights")
def test_leftthomas_srgan_enlarges_set5_as_measured(tmp_path):
    """30.66 dB is what the original program gives (its README has no figure)."""
    net, row = loading.load(
        Checkpoint("srgan", "upscale"), DATA / "weights/upscale/srgan_x4_netG_epoch_4_100.pth"
    )
    assert isinstance(net, SRResNet) and (row.scale, row.radius) == (4, 18)
    scores = []
    for path in sorted((DATA / "photos/val/set5_lr/x4").iterdir()):
        (truth,) = [p for p in (DATA / "photos/val/set5").iterdir() if p.stem in path.stem]
        low, high = read_rgb(path), read_rgb(truth)
        assert low is not None and high is not None
        with torch.no_grad():
            y = net(torch.from_numpy(low).movedim(-1, 0)[None].float() / 255)
        large = (y[0].movedim(0, -1) * 255).round().byte().numpy()
        scores.append(metrics.psnr_y(large, high[: large.shape[0], : large.shape[1]], shave=4))
    assert np.mean(scores) == pytest.approx(30.66, abs=0.02)
