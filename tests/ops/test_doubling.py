"""A convolution of a doubled picture equals the plain way, and nets that use it learn and are recorded."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gantool.ops import doubling


def plain(x, conv, beside=None):
    y = F.interpolate(x, scale_factor=2, mode="nearest")
    y = y if beside is None else torch.cat((y, beside), 1)
    mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    return F.conv2d(F.pad(y, (1, 1, 1, 1), mode=mode), conv.weight, conv.bias)


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
    monkeypatch.setattr(F, "interpolate", None)
    with torch.no_grad():
        assert doubling.ResizeConv(2, 3)(torch.randn(1, 2, 4, 5)).shape == (1, 3, 8, 10)


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_more_channels_beside(mode):
    torch.manual_seed(0)
    conv = nn.Conv2d(7, 4, 3, padding=1, padding_mode=mode)
    x, beside = torch.randn(1, 5, 6, 8), torch.randn(1, 2, 12, 16)
    with torch.no_grad():
        ours = doubling.conv_of_doubled(x, conv.weight, conv.bias, mode, beside)
        torch.testing.assert_close(ours, plain(x, conv, beside), rtol=0, atol=1e-5)


def test_learns():
    conv, x = doubling.ResizeConv(2, 2), torch.randn(1, 2, 4, 4, requires_grad=True)
    conv(x).square().sum().backward()
    assert x.grad is not None and conv.weight.grad is not None
    assert conv.weight.grad.abs().sum() > 0


def test_half_precision_and_autocast():
    torch.manual_seed(0)
    conv, x = doubling.ResizeConv(8, 4), torch.randn(1, 8, 6, 6)
    exact = plain(x, conv)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        cast = conv(x)
    with torch.no_grad():
        half = conv.bfloat16()(x.bfloat16())
    assert cast.dtype == half.dtype == torch.bfloat16
    for ours in (cast, half):
        torch.testing.assert_close(ours.float(), exact, rtol=0, atol=0.03)


def test_a_traced_graph_takes_other_sizes():
    torch.manual_seed(0)
    conv = doubling.ResizeConv(2, 2).requires_grad_(False)
    traced = torch.jit.trace(conv, torch.randn(1, 2, 5, 5))
    x = torch.randn(1, 2, 7, 4)
    torch.testing.assert_close(traced(x), conv(x), rtol=0, atol=1e-5)
