"""Tiles give what the whole picture gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gantool.models.srvgg import SRVGGNetCompact
from gantool.ops.tiling import run_tiled, tiles


@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    tile_px=st.integers(1, 70),
    overlap=st.integers(0, 9),
    scale=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_nearest_enlargement_is_exact_for_any_size(height, width, tile_px, overlap, scale):
    x = torch.rand(1, 2, height, width)
    grow = nn.Upsample(scale_factor=scale)
    assert torch.equal(run_tiled(grow, x, scale, tile_px, overlap), grow(x))


@given(st.integers(1, 500), st.integers(1, 200), st.integers(0, 50))
def test_cores_cover_an_axis_once(length, tile_px, overlap):
    covered = []
    for start, end, read_start, read_end in tiles(length, tile_px, overlap):
        assert 0 <= read_start <= start < end <= read_end <= length
        covered += range(start, end)
    assert covered == list(range(length))


@pytest.mark.parametrize("size", [(33, 47), (64, 31), (17, 90)])
def test_compact_net_is_exact_at_its_radius(size):
    torch.manual_seed(0)
    net = SRVGGNetCompact(num_feat=8, num_conv=3, upscale=2).double().eval()
    x = torch.rand(1, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        whole, tiled = net(x), run_tiled(net, x, 2, 16, 3 + 2)
        short = run_tiled(net, x, 2, 16, 3 + 1)
    assert torch.allclose(whole, tiled, atol=1e-12)
    assert not torch.allclose(whole, short, atol=1e-12)  # one pixel less is not enough: the radius is exact


def test_refuses_nonsense():
    with pytest.raises(ValueError):
        run_tiled(lambda x: x, torch.rand(1, 1, 4, 4), 1, 0, 0)
