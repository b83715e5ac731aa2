"""A convolution of a doubled picture equals the plain way, and nets that use it learn and are recorded."""

import copy
import importlib

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gantool.ops import doubling

NETS = [
    ("rrdbnet.RRDBNet", {"num_block": 1, "num_feat": 8, "num_grow_ch": 4}, (1, 3, 10, 7)),
    ("colorizer.ResNetUNet", {}, (1, 1, 64, 32)),
    ("cyclegan.ResnetGenerator", {"blocks": 1, "ngf": 8, "upsample": "resize"}, (1, 3, 20, 16)),
    ("pix2pix.UnetGenerator", {"downs": 7, "ngf": 4, "upsample": "resize"}, (1, 3, 128, 128)),
    ("transformer_net.TransformerNet", {"blocks": 1}, (1, 3, 24, 20)),
    ("adain.Decoder", {"width": 0.125}, (1, 64, 5, 4)),
]


def plain(x, conv, beside=None):
    y = F.interpolate(x, scale_factor=2, mode="nearest")
    y = y if beside is None else torch.cat((y, beside), 1)
    mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    return F.conv2d(F.pad(y, (1, 1, 1, 1), mode=mode), conv.weight, conv.bias)


class Doubled(nn.Conv2d):
    """A layer as the models have it."""

    doubles = True

    def __init__(self, inside, outside, mode="zeros"):
        super().__init__(inside, outside, 3, padding=1, padding_mode=mode)

    def forward(self, x, beside=None):
        y = F.interpolate(x, scale_factor=2, mode="nearest")
        return super().forward(y if beside is None else torch.cat((y, beside), 1))


def quick(*layers):
    net = nn.Sequential(*layers)
    doubling.quicken(net)
    return net


@pytest.fixture(autouse=True)
def small_pictures_too(monkeypatch):
    monkeypatch.setattr(doubling, "_LEAST", 0)
    monkeypatch.setattr(doubling, "_MOST", 40)  # bands of a few rows


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (13, 7)])
def test_equals_the_plain_way(mode, bias, size):
    torch.manual_seed(0)
    conv, x = nn.Conv2d(5, 3, 3, padding=1, bias=bias, padding_mode=mode), torch.randn(2, 5, *size)
    with torch.no_grad():
        ours = doubling.conv_of_doubled(x, conv.weight, conv.bias, mode)
        torch.testing.assert_close(ours, plain(x, conv), rtol=0, atol=1e-5)
    assert ours.dtype == x.dtype and ours.is_contiguous(memory_format=torch.channels_last)


def test_no_large_picture_is_made(monkeypatch):
    net = quick(Doubled(2, 3))
    monkeypatch.setattr(F, "interpolate", None)
    with torch.no_grad():
        assert net(torch.randn(1, 2, 4, 5)).shape == (1, 3, 8, 10)


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_a_net_made_quick_says_the_same_and_has_its_weights(mode):
    torch.manual_seed(0)
    plain_net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(Doubled(4, 5, mode), nn.ReLU())).eval()
    net, x = copy.deepcopy(plain_net), torch.randn(1, 3, 9, 6)
    doubling.quicken(net)
    assert type(net[1][0]) is not Doubled and type(net[0]) is nn.Conv2d
    assert not net[1][0].training
    with torch.no_grad():
        torch.testing.assert_close(net(x), plain_net(x), rtol=0, atol=1e-5)
        net.load_state_dict(copy.deepcopy(plain_net).state_dict(), strict=True)
        first = net[1][0]
        doubling.quicken(net)
        assert net[1][0] is first  # twice is as once


@pytest.mark.parametrize("arch, args, x", NETS, ids=lambda value: value if isinstance(value, str) else "")
def test_nets_say_where_they_double(arch, args, x, monkeypatch):
    module, name = arch.split(".")
    torch.manual_seed(0)
    net = getattr(importlib.import_module(f"gantool.models.{module}"), name)(**args).eval()
    with torch.no_grad():
        for p in net.parameters():  # some start at zero
            p.add_(torch.randn_like(p) * 0.02)
        torch.manual_seed(1)
        x = torch.rand(x)
        expected = net(x)
        asked = []
        real = doubling.conv_of_doubled
        monkeypatch.setattr(doubling, "conv_of_doubled", lambda *some: asked.append(1) or real(*some))
        doubling.quicken(net)
        torch.testing.assert_close(net(x), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    assert len(asked) == {"rrdbnet": 2, "colorizer": 4, "adain": 3, "pix2pix": 7}.get(module, 2)


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_more_channels_beside(mode):
    torch.manual_seed(0)
    conv = nn.Conv2d(7, 4, 3, padding=1, padding_mode=mode)
    x, beside = torch.randn(1, 5, 6, 8), torch.randn(1, 2, 12, 16)
    with torch.no_grad():
        ours = doubling.conv_of_doubled(x, conv.weight, conv.bias, mode, beside)
        torch.testing.assert_close(ours, plain(x, conv, beside), rtol=0, atol=1e-5)


def test_learns():
    conv, x = quick(Doubled(2, 2)), torch.randn(1, 2, 4, 4, requires_grad=True)
    conv(x).square().sum().backward()
    assert x.grad is not None and conv[0].weight.grad is not None
    assert conv[0].weight.grad.abs().sum() > 0


def test_half_precision_and_autocast():
    torch.manual_seed(0)
    conv, x = quick(Doubled(8, 4)), torch.randn(1, 8, 6, 6)
    exact = plain(x, conv[0])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        cast = conv(x)
    with torch.no_grad():
        half = conv.bfloat16()(x.bfloat16())
    assert cast.dtype == half.dtype == torch.bfloat16
    for ours in (cast, half):
        torch.testing.assert_close(ours.float(), exact, rtol=0, atol=0.03)


def test_a_traced_graph_takes_other_sizes():
    torch.manual_seed(0)
    conv = quick(Doubled(2, 2)).requires_grad_(False)
    traced = torch.jit.trace(conv, torch.randn(1, 2, 5, 5))
    x = torch.randn(1, 2, 7, 4)
    torch.testing.assert_close(traced(x), conv(x), rtol=0, atol=1e-5)
