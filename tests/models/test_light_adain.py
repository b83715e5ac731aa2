"""The light AdaIN net: sizes, what styles do to it, and what half precision and flat pictures do."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gantool import losses, percept, textures
from gantool.catalog import load_catalog
from gantool.data import read_rgb, to_chw
from gantool.loading import load
from gantool.models.adain import LightAdaIN, moments, restyled
from gantool.selection import select

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def net():
    torch.manual_seed(0)
    return LightAdaIN(4, 2).eval().requires_grad_(False)


def pictures(*size):
    return torch.rand(*size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(9, 9), (33, 41), (64, 17)])
def test_any_size_comes_back_and_one_style_serves_all(net, size):
    x, style = pictures(2, 3, *size), net.style(pictures(1, 3, 24, 16))
    assert [tuple(part.shape) for part in style] == [(1, c, 1, 1) for c in (3, 4, 8, 16, 24) for _ in (0, 1)]
    y = net(x, style)
    assert y.shape == x.shape and torch.isfinite(y).all()
    assert torch.allclose(y[1:], net(x[1:], style), atol=1e-5)


def test_what_it_adds_to_is_the_picture_in_the_style_s_colours(net):
    net.paint.weight.zero_(), net.paint.bias.zero_()
    x, painting = pictures(1, 3, 32, 32), 0.5 * pictures(1, 3, 40, 24)
    y = net(x, net.style(painting))
    # Red and blue are apart as in the painting, and the whole is as light.
    ours, theirs = ([*moments(z[:, :1] - z[:, 2:]), *moments(z.sum(1, True))] for z in (y, painting))
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(ours, theirs, strict=True))
    assert torch.allclose(net(x, net.style(x)), x, atol=1e-5)


def test_each_part_of_a_style_matters(net):
    x, style = pictures(1, 3, 32, 32), net.style(pictures(1, 3, 32, 24))
    for number in range(len(style)):
        other = [part + 0.3 * (i == number) for i, part in enumerate(style)]
        assert (net(x, tuple(other)) - net(x, style)).abs().max() > 1e-4, number


def test_noise_of_a_flat_picture_is_stretched_so_far_only(net):
    flat = 0.5 + 1e-2 * pictures(1, 3, 32, 32)
    assert restyled(flat, torch.zeros(1), torch.ones(1)).std() > 0.3
    assert restyled(flat, torch.zeros(1), torch.ones(1), most=5.0).std() < 0.02
    assert net(flat, net.style(pictures(1, 3, 32, 32))).std((-1, -2)).max() < 0.1


def test_half_precision_is_near(net):
    x, painting = pictures(1, 3, 40, 40), pictures(1, 3, 32, 32)
    y = net(x, net.style(painting))
    halved = net.to(torch.bfloat16)
    half = halved(x.bfloat16(), halved.style(painting.bfloat16()))
    assert half.dtype == torch.bfloat16 and (half.float() - y).abs().mean() < 0.05


def test_the_builtin_net_takes_colours_and_texture_and_keeps_to_a_picture_in_its_own_style():
    choice = select("builtin", "style", catalog=load_catalog())
    assert choice.path is not None
    net, row = load(choice.row, choice.path)
    assert row.arch == "adain.LightAdaIN" and row.bytes <= 5_000_000
    smooth = torch.nn.functional.interpolate(pictures(1, 3, 5, 6), (96, 112), mode="bicubic").clamp(0, 1)
    rows = torch.arange(96).div(4, rounding_mode="floor") % 2
    painting = torch.stack((0.2 + 0.6 * rows, 0.3 + 0.1 * rows, 0.6 - 0.4 * rows))[None, ..., None]
    painting = painting.expand(1, 3, 96, 96)
    with torch.no_grad():
        y, own = net(smooth, net.style(painting)), net(smooth, net.style(smooth))
    assert (own - smooth).abs().mean() < 0.6 * (y - smooth).abs().mean()
    assert (y.mean((2, 3)) - painting.mean((2, 3))).abs().max() < 0.02
    photo = read_rgb(EXAMPLES / "photo.jpg")
    assert photo is not None
    x = torch.from_numpy(to_chw(photo[:192, :256].copy()))[None]
    layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
    eye = percept.load(model="builtin")
    for seed in range(6):
        painting = torch.from_numpy(to_chw(textures.texture(128, np.random.default_rng(seed))))[None]
        with torch.no_grad():
            y, wanted = net(x, net.style(painting)), list(eye.features(painting, layers).values())
            near, far = (
                losses.style_loss(list(eye.features(z, layers).values()), wanted, relative=True)
                for z in (y, x)
            )
        assert near < 0.9 * far, seed
