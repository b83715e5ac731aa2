"""Blur kernels: sum, centre, covariance, and what a sinc lets through."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gantool.degrade import kernels

SIGMA = st.floats(0.2, 3.0)
ANGLE = st.floats(-math.pi, math.pi)


def moments(kernel):
    """Centre (x, y) and covariance (xx, xy, yy) in pixels, from the middle pixel."""
    half = kernel.shape[0] // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    k = kernel.astype(np.float64) / kernel.sum(dtype=np.float64)
    mx, my = (k * x).sum(), (k * y).sum()
    dx, dy = x - mx, y - my
    return (mx, my), ((k * dx * dx).sum(), (k * dx * dy).sum(), (k * dy * dy).sum())


@given(SIGMA, SIGMA, ANGLE, st.sampled_from([7, 13, 21]), st.floats(0.5, 4.0), st.booleans())
def test_kernels_sum_to_one(sigma_x, sigma_y, angle, size, beta, plateau):
    kernel = kernels.elliptic(size, sigma_x, sigma_y, angle, beta=beta, plateau=plateau)
    assert kernel.shape == (size, size) and kernel.dtype == np.float32
    assert kernel.sum() == pytest.approx(1, abs=1e-5) and kernel.min() >= 0
    # Points that lie opposite are alike: nothing is moved.
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-6)


@pytest.mark.parametrize("sigmas", [(1.0, 1.0), (0.8, 2.5), (3.0, 1.2)])
@pytest.mark.parametrize("angle", [0.0, 0.6, math.pi / 2, -1.1])
def test_covariance_is_that_of_sigmas_and_angle(sigmas, angle):
    _, (xx, xy, yy) = moments(kernels.elliptic(41, *sigmas, angle))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    wanted = turn @ np.diag(np.square(sigmas)) @ turn.T
    np.testing.assert_allclose([xx, yy], [wanted[0, 0], wanted[1, 1]], rtol=0.03)
    assert xy == pytest.approx(wanted[0, 1], abs=0.03 * max(wanted[0, 0], wanted[1, 1]))


def test_beta_one_is_the_gaussian_and_larger_ones_are_flatter():
    plain = kernels.elliptic(21, 2, 2)
    np.testing.assert_array_equal(plain, kernels.elliptic(21, 2, 2, beta=1.0))
    flat, peaked = kernels.elliptic(21, 2, 2, beta=4.0), kernels.elliptic(21, 2, 2, beta=0.5)
    assert flat[10, 11] / flat[10, 10] > plain[10, 11] / plain[10, 10] > peaked[10, 11] / peaked[10, 10]


def test_the_plateau_falls_as_one_over_one_plus_q():
    kernel = kernels.elliptic(21, 2, 2, beta=1.5, plateau=True)
    q = (3**2 + 1) / 4
    assert kernel[11, 13] / kernel[10, 10] == pytest.approx(1 / (1 + q**1.5), rel=1e-5)


def test_an_offset_moves_the_centre():
    (x, y), _ = moments(kernels.elliptic(41, 2, 2, offset=1.5))
    assert (x, y) == pytest.approx((1.5, 1.5), abs=1e-3)


def test_no_width_at_all_is_a_point():
    kernel = kernels.elliptic(9, 0.0, 0.0)
    assert kernel[4, 4] == 1 and kernel.sum() == 1


# Of the integral in DLMF 10.9.2 and of the tables in Abramowitz and Stegun, chapter 9.
@pytest.mark.parametrize(
    ("x", "value"), [(0.0, 0.0), (1.0, 0.4400505857), (5.0, -0.3275791376), (40.0, 0.1260383182)]
)
def test_bessel_function(x, value):
    assert kernels.bessel_j1(np.array([x]))[0] == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("cutoff", [math.pi / 5, math.pi / 3, math.pi / 2])
def test_sinc_passes_below_its_cutoff_and_stops_above(cutoff):
    size = 21
    kernel = kernels.sinc(size, cutoff)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    response = np.abs(np.fft.fft2(kernel, (256, 256)))
    frequency = np.fft.fftfreq(256) * 2 * math.pi
    radius = np.hypot(frequency[:, None], frequency[None])
    # A filter of 21 pixels needs this much room to fall.
    slope = 1.5 * 2 * math.pi / size
    assert response[radius > cutoff + slope].max() < 0.1
    if cutoff > slope:
        assert response[radius < cutoff - slope].min() > 0.8


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([7, 9, 21]))
def test_drawn_kernels(seed, size):
    kernel = kernels.draw(np.random.default_rng(seed), size, (0.2, 3.0))
    again = kernels.draw(np.random.default_rng(seed), size, (0.2, 3.0))
    assert kernel.shape == (size, size) and kernel.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(kernel, again)


def test_shapes_come_as_often_as_published(monkeypatch):
    rng, seen = np.random.default_rng(0), []
    monkeypatch.setattr(
        kernels,
        "elliptic",
        lambda size, x, y, angle=0.0, *, beta=1.0, plateau=False: seen.append(
            (plateau, plateau or beta != 1, x != y)
        ),
    )
    for _ in range(4000):
        kernels.draw(rng, 21, (0.2, 3.0))
    shares = [
        np.mean([s == shape for s in seen])
        for shape in (
            (False, False, False),
            (False, False, True),
            (False, True, False),
            (False, True, True),
            (True, True, False),
            (True, True, True),
        )
    ]
    np.testing.assert_allclose(shares, kernels.SHAPE_ODDS, atol=0.025)


@pytest.mark.parametrize("shape", [(13, 13), (8, 8), (5, 9)])
def test_a_foreign_kernel_is_centred(shape):
    raw = np.zeros(shape)
    raw[1:4, 2:5] = np.random.default_rng(3).uniform(0.5, 1, (3, 3))
    kernel = kernels.centred(raw, offset=1.5)
    assert kernel.shape[0] == kernel.shape[1] and kernel.shape[0] % 2 == 1
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    (x, y), _ = moments(kernel)
    assert (x, y) == pytest.approx((1.5, 1.5), abs=0.05)


@pytest.mark.parametrize("raw", [np.zeros((5, 5)), np.ones(5), np.full((3, 3), np.nan), -np.ones((3, 3))])
def test_what_is_no_kernel_is_refused(raw):
    with pytest.raises(ValueError, match="positive sum"):
        kernels.centred(raw)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_reduction_keeps_the_picture_in_place(scale):
    """On a ramp, a low pixel has the mean of the pixels that it stands for."""
    ramp = np.tile(np.arange(96, dtype=np.float32), (96, 1))
    kernel = kernels.elliptic(21, 1.5, 1.5, offset=(scale - 1) / 2)
    low = kernels.box_down(ramp, kernel, scale)
    wanted = ramp.reshape(96 // scale, scale, 96 // scale, scale).mean((1, 3))
    inner = slice(5, -5)
    np.testing.assert_allclose(low[inner, inner], wanted[inner, inner], atol=0.02)
