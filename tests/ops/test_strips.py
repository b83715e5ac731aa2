"""Nets that enlarge piece by piece give what they give at once, in less memory."""

from typing import Any

import pytest
import torch

from gantool.models.edsr import EDSR
from gantool.models.rrdbnet import RRDBNet
from gantool.models.srresnet import SRResNet
from gantool.ops import strips
from gantool.ops.footprint import bytes_per_px
from gantool.ops.strips import Strips

SMALL: dict[str, Any] = {"num_feat": 8, "num_block": 1, "num_grow_ch": 4}
NETS = [
    *[(RRDBNet, {"scale": scale, **SMALL}) for scale in (1, 2, 4, 8)],
    (RRDBNet, {"scale": 2, "unshuffle": False, **SMALL}),
    *[(EDSR, {"scale": scale, "n_feats": 8, "n_resblocks": 1}) for scale in (2, 3, 4, 8)],
    *[(SRResNet, {"scale": scale, "width": 8, "blocks": 1}) for scale in (2, 4, 8)],
]


@pytest.fixture(autouse=True)
def little(monkeypatch):
    monkeypatch.setattr(strips, "_ALWAYS_WHOLE", 0)


@pytest.mark.parametrize(("kind", "args"), NETS)
def test_pieces_are_exact_and_see_no_further_than_they_must(kind, args, monkeypatch):
    torch.manual_seed(0)
    net = kind(**args).double().eval()
    fold = getattr(net, "fold", 1)
    x = torch.rand(1, 3, 68 * fold, 70 * fold, dtype=torch.float64)
    with torch.inference_mode():
        seen = net.features(x)
        per_px = bytes_per_px(net.enlarged, seen)
        monkeypatch.setattr(strips, "MOST_BYTES", per_px * seen[:, 0].numel() / 2)
        sizes = []
        enlarge = net.enlarged
        monkeypatch.setattr(net, "enlarged", lambda y: sizes.append(y.numel()) or enlarge(y))
        whole, pieces = net(x), Strips(net)(x)
        assert len(sizes) > 3 and max(sizes[2:]) <= seen.numel() / 2  # whole, a trial, and the pieces
        assert (whole - pieces).abs().max() < 1e-12 * whole.abs().max()
        net.reach -= 1
        assert not torch.allclose(whole, Strips(net)(x), rtol=1e-9)


def test_small_pictures_are_enlarged_at_once(monkeypatch):
    net, x = RRDBNet(**SMALL).eval(), torch.rand(1, 3, 20, 30)
    monkeypatch.setattr(strips, "_ALWAYS_WHOLE", 20 * 30)
    monkeypatch.setattr(strips, "bytes_per_px", lambda *_: pytest.fail("asked for its memory"))
    with torch.inference_mode():
        assert torch.equal(Strips(net)(x), net(x))
