"""Optical flow: known translations, flat regions, tiny pictures, warping."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gantool.ops import flow as optical


def texture(height, width, seed=0, finest=3):
    """Grey uint8 with structure from ``finest`` pixels upward."""
    rng = np.random.default_rng(seed)
    result = np.zeros((height, width), np.float32)
    size = finest
    while size < max(height, width):
        noise = rng.standard_normal((height // size + 2, width // size + 2)).astype(np.float32)
        result += size**0.5 * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        size *= 2
    result -= result.min()
    return (result * (255 / result.max())).astype(np.uint8)


@pytest.mark.parametrize("method", [*optical.METHODS, optical.keen])
@pytest.mark.parametrize("shift", [(2, 0), (5, -3), (-8, 6)])
def test_known_translation(method, shift):
    dx, dy = shift
    big = texture(160, 200)
    first, second = big[20:140, 20:180], big[20 - dy : 140 - dy, 20 - dx : 180 - dx]
    flow = optical.estimate(first, second, method)
    error = np.linalg.norm(flow - np.array(shift), axis=-1)[24:-24, 24:-24]
    assert error.mean() < 0.2
    back = optical.estimate(second, first, method)
    agrees = optical.consistent(flow, back)
    assert agrees[16:-16, 16:-16].mean() > 0.97
    if dx > 0:  # what lies beyond the right border is in no earlier picture
        assert not agrees[:, -dx + 1 :].any()
    fetched = optical.follow(second, flow)
    assert np.abs(fetched.astype(float) - first)[16:-16, 16:-16].mean() < 3


def moved(flow, region):
    return float(flow[region][..., 0].mean())


def test_flat_regions_take_the_motion_around_them():
    big = texture(160, 300)
    big[:, 110:190] = 90  # a flat strip, wider than Farneback's window
    first, second = big[20:140, 20:280], big[20:140, 12:272]  # the camera moves by 8 px
    strip = np.s_[40:80, 120:140]
    plain = cv2.calcOpticalFlowFarneback(first, second, None, *optical.FARNEBACK)  # type: ignore[call-overload]
    assert abs(moved(plain, strip)) < 4  # the fault that is mended here
    assert abs(moved(optical.mend_flat(plain, first, second), strip) - 8) < 0.8
    for method in optical.METHODS:
        assert abs(moved(optical.estimate(first, second, method), strip) - 8) < 0.8


def test_flat_regions_are_trusted_beside_a_thing_that_moves():
    """A thing crosses an empty sky: whatever motion the sky takes from it, there and back must agree."""
    rng = np.random.default_rng(0)
    thing = cv2.resize(rng.integers(0, 256, (20, 20), dtype=np.uint8), (40, 40))
    sky = np.tile(np.linspace(60, 110, 160)[:, None], (1, 260))
    sky += rng.normal(0, 0.5, sky.shape)
    first, second = sky.astype(np.uint8), sky.astype(np.uint8)
    first[60:100, 80:120], second[60:100, 70:110] = thing, thing
    agreed = optical.consistent(optical.estimate(first, second), optical.estimate(second, first))
    near = np.ones_like(agreed)
    near[50:110, 55:135] = False
    assert agreed[near].mean() > 0.96


def test_what_turns_fast_is_seen_by_keen_eyes():
    """A disc of 90 px turns by 20 degrees on ground at rest."""
    ground, thing = texture(160, 240, seed=1), texture(160, 240, seed=2)
    turn = cv2.getRotationMatrix2D((120, 80), 20, 1)
    y, x = np.mgrid[:160, :240]
    disc, inside = (np.hypot(x - 120, y - 80) < radius for radius in (45, 36))
    turned = cv2.warpAffine(thing, turn, (240, 160), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    first, second = np.where(disc, thing, ground), np.where(disc, turned, ground)
    truth = np.stack([x, y, np.ones_like(x)], -1) @ turn.T - np.stack([x, y], -1)
    usual, keen = (optical.estimate(first, second, method) for method in ("farneback", optical.keen))
    missed = [float(np.linalg.norm(flow - truth, axis=-1)[inside].mean()) for flow in (usual, keen)]
    assert missed[1] < 1 < missed[0]
    assert np.abs(keen[:, :50]).max() < 0.3
    assert optical.keen(texture(1, 5), texture(1, 5)).shape == (1, 5, 2)


def test_faint_texture_at_rest_is_not_dragged_along():
    ground = (texture(120, 260, seed=3) // 6 + 100).astype(np.uint8)
    thing = texture(60, 60, seed=4)
    first, second = ground.copy(), ground.copy()
    first[30:90, 60:120], second[30:90, 52:112] = thing, thing
    flow = optical.estimate(first, second)
    assert abs(moved(flow, np.s_[45:75, 80:100]) + 8) < 0.5
    assert abs(moved(flow, np.s_[30:90, 160:240])) < 0.5


@pytest.mark.parametrize("method", optical.METHODS)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (16, 16), (17, 9), (33, 31)])
def test_tiny_pictures(method, size):
    first = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)
    flow = optical.estimate(first, first, method)
    assert flow.shape == (*size, 2)
    assert np.abs(flow).max() < 0.5
    assert optical.consistent(flow, flow).all()


@pytest.mark.parametrize("method", optical.METHODS)
def test_flat_pictures_stand_still(method):
    gray = np.full((90, 120), 128, np.uint8)
    assert np.abs(optical.estimate(gray, gray, method)).max() < 1e-3


def test_unknown_method():
    with pytest.raises(ValueError, match="lucas"):
        optical.estimate(np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8), "lucas")  # type: ignore


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 3))
@settings(max_examples=30)
def test_fill_keeps_trusted_values_and_spreads_one(height, width, channels):
    rng = np.random.default_rng(height * 41 + width)
    values = rng.standard_normal((height, width, channels)).astype(np.float32)
    assert np.allclose(optical.fill(values, np.ones((height, width), np.float32)), values, atol=1e-5)
    trust = np.zeros((height, width), np.float32)
    trust[height // 2, width // 3] = 1
    spread = optical.fill(values, trust)
    assert spread.shape == values.shape
    assert np.allclose(spread, values[height // 2, width // 3], atol=0.05)


@given(st.integers(1, 30), st.integers(1, 30), st.booleans())
@settings(max_examples=30)
def test_zero_flow_is_identity(height, width, stable):
    layer = torch.rand(2, height, width, generator=torch.Generator().manual_seed(height))
    warped = optical.warp(layer, torch.zeros(2, height, width), stable=stable)
    assert torch.allclose(warped, layer, atol=1e-5)


@pytest.mark.parametrize("stable", [False, True])
def test_warp_by_whole_pixels(stable):
    layer = torch.rand(3, 37, 53)
    flow = torch.zeros(2, 37, 53)
    flow[0], flow[1] = 3, -2
    warped = optical.warp(layer, flow, stable=stable)
    assert torch.allclose(warped[:, 2:, :-3], layer[:, :-2, 3:], atol=1e-4)
    assert torch.allclose(warped[:, 2:, -3:], layer[:, :-2, -1:].expand(-1, -1, 3), atol=1e-4)


def test_warp_scales_a_flow_of_another_size():
    layer = torch.rand(1, 30, 80)
    flow = torch.zeros(2, 15, 20)
    flow[0], flow[1] = 1, 2  # 4 px and 4 px at the layer's size
    assert torch.allclose(optical.warp(layer, flow)[:, :-4, :-4], layer[:, 4:, 4:], atol=1e-4)


@pytest.mark.parametrize("stable", [False, True])
def test_both_ways_to_warp_are_one(stable):
    """OpenCV's on a CPU, and torch's where gradients are wanted or there is a GPU."""
    layer, flow = torch.rand(3, 31, 40), 5 * torch.randn(2, 16, 20)
    quick = optical.warp(layer, flow, stable=stable)
    exact = optical.warp(layer.requires_grad_(), flow, stable=stable)
    assert exact.requires_grad and float((quick - exact.detach()).abs().max()) < 1e-4
    exact.sum().backward()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_channels_are_moved_alike_however_many(channels):
    generator = torch.Generator().manual_seed(channels)
    x = torch.rand(channels, 40, 50, generator=generator)
    flow = 3 * torch.randn(2, 20, 25, generator=generator)
    alone = torch.cat([optical.warp(plane[None], flow) for plane in x])
    assert float((optical.warp(x, flow) - alone).abs().max()) < 1e-6


def test_stable_warp_never_amplifies():
    wave = torch.sin(torch.arange(240) * 1.0)[None, None].expand(1, 8, -1)
    half = torch.zeros(2, 8, 240)
    half[0] = 0.5
    for stable, louder in ((True, False), (False, True)):
        x = wave
        for _ in range(20):
            x = optical.warp(x, half, stable=stable)
        assert (x[..., 60:180].std() > wave[..., 60:180].std()) == louder


def test_motion_boundary():
    flow = np.zeros((20, 20, 2), np.float32)
    flow[:, 10:, 0] = 5
    edge = optical.motion_boundary(flow)
    assert edge[:, 9:11].all() and not edge[:, :8].any() and not edge[:, 12:].any()
    assert optical.motion_boundary(np.zeros((1, 1, 2), np.float32)).shape == (1, 1)
