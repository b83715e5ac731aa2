"""Tiles give what the whole picture gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gantool.models.srvgg import SRVGGNetCompact
from gantool.ops.tiling import blended_tiles, feather, largest_tile, run_blended, run_tiled, tiles


@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    tile_px=st.integers(1, 70),
    wide_px=st.integers(1, 70),
    overlap=st.integers(0, 9),
    scale=st.integers(1, 3),
)
@settings(max_examples=60)
def test_nearest_enlargement_is_exact_for_any_size(height, width, tile_px, wide_px, overlap, scale):
    x = torch.rand(1, 2, height, width)
    grow = nn.Upsample(scale_factor=scale)
    assert torch.equal(run_tiled(grow, x, scale, (tile_px, wide_px), overlap), grow(x))


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
        whole, tiled = net(x), run_tiled(net, x, 2, (16, 16), 3 + 2)
        short = run_tiled(net, x, 2, (16, 16), 3 + 1)
    assert torch.allclose(whole, tiled, atol=1e-12)
    assert not torch.allclose(whole, short, atol=1e-12)  # one pixel less is not enough: the radius is exact


@pytest.mark.parametrize(
    ("size", "most_px", "core"),
    [
        ((720, 1280), 720 * 1280, (720, 1280)),
        ((720, 1280), 720 * 1280 - 1, (720, 640)),  # the shortest cut
        ((1280, 720), 720 * 1280 - 1, (640, 720)),
        ((1080, 1920), 572 * 572, (540, 480)),  # 8 tiles; 15 of squares of 512 px less the overlap
        ((100, 20_000), 572 * 572, (100, 2858)),
        ((720, 1280), 40 * 40, (33, 32)),  # nothing fits: as small as tiles get
    ],
)
def test_the_largest_tiles_that_fit_are_nearly_equal_and_read_little_twice(size, most_px, core):
    assert largest_tile(*size, most_px, 32) == core


@given(
    height=st.integers(1, 900),
    width=st.integers(1, 900),
    most_px=st.integers(200 * 200, 600_000),
    overlap=st.integers(0, 40),
    multiple=st.sampled_from([1, 2, 4, 16]),
)
def test_the_largest_tiles_fit(height, width, most_px, overlap, multiple):
    tall, wide = largest_tile(height, width, most_px, overlap, multiple)
    assert (tall, wide) == (height, width) or (tall % multiple == 0 and wide % multiple == 0)
    reads = [
        max(end - start for _, _, start, end in tiles(length, core, overlap))
        for length, core in ((height, tall), (width, wide))
    ]
    assert reads[0] * reads[1] <= most_px


def test_refuses_nonsense():
    with pytest.raises(ValueError):
        run_tiled(lambda x: x, torch.rand(1, 1, 4, 4), 1, (4, 0), 0)


# ---- tiles that fade into each other


AXIS = {
    "length": st.integers(1, 300),
    "tile_px": st.integers(1, 120),
    "overlap": st.integers(0, 40),
    "multiple": st.sampled_from([1, 4, 32]),
}


@given(**AXIS)
def test_blended_cores_cover_an_axis_once_and_are_nearly_equal(length, tile_px, overlap, multiple):
    covered, sizes = [], []
    for start, end, read_start, read_end in blended_tiles(length, tile_px, overlap, multiple):
        assert 0 <= read_start <= max(0, start - overlap) and min(length, end + overlap) <= read_end <= length
        assert read_start % multiple == 0 and (read_end == length or read_end % multiple == 0)
        covered += range(start, end)
        sizes.append(end - start)
    assert covered == list(range(length))
    assert max(sizes) <= tile_px and max(sizes) - min(sizes) <= 1


@given(**AXIS, data=st.data())
def test_weights_sum_to_one_and_are_never_negative(length, tile_px, overlap, multiple, data):
    width = data.draw(st.integers(0, overlap))
    total = torch.zeros(length)
    for piece in blended_tiles(length, tile_px, overlap, multiple):
        weights = feather(piece, length, width)
        assert weights.min() >= 0 and weights.max() <= 1
        total[piece[2] : piece[3]] += weights
    assert (total - 1).abs().max() < 1e-6


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    core=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    overlap=st.integers(0, 20),
    multiple=st.sampled_from([1, 4, 16]),
    data=st.data(),
)
@settings(max_examples=60)
def test_identity_comes_back_for_any_size(height, width, core, overlap, multiple, data):
    x = torch.rand(1, 2, height, width)
    fade = data.draw(st.integers(0, overlap))
    y = run_blended(lambda piece: piece, x, core, overlap, fade, multiple)
    assert y.shape == x.shape and (y - x).abs().max() < 5e-6  # below a third of a 16-bit level


def test_tiles_that_differ_in_brightness_fade_smoothly():
    brightness = iter([0.2, 0.8])
    x = torch.rand(1, 1, 8, 200)
    row = run_blended(lambda piece: torch.full_like(piece, next(brightness)), x, (8, 100), 40, 30)[0, 0, 0]
    assert torch.allclose(row[:70], torch.tensor(0.2)) and torch.allclose(row[130:], torch.tensor(0.8))
    assert (
        row.diff() >= -1e-6
    ).all() and row.diff().max() < 0.6 * 1.6 / 60  # never steeper than 1.5 times even


@pytest.mark.parametrize("size", [(72, 88), (36, 128)])
def test_a_strided_net_is_exact_at_its_radius_with_aligned_tiles(size):
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 4, 4), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ConvTranspose2d(4, 3, 4, 4))
    net = nn.Sequential(*layers).double().eval()
    x = torch.rand(1, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        whole, tiled = net(x), run_blended(net, x, (23, 23), 7, 0, 4)
        short = run_blended(net, x, (23, 23), 0, 0, 4)
    assert torch.allclose(whole, tiled, atol=1e-12)
    assert not torch.allclose(whole, short, atol=1e-12)


def test_blending_refuses_nonsense():
    for arguments in (((0, 4), 0, 0), ((4, 4), 2, 3), ((4, 4), 2, -1), ((4, 4), 2, 0, 0)):
        with pytest.raises(ValueError):
            run_blended(lambda x: x, torch.rand(1, 1, 8, 8), *arguments)
