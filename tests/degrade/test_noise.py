"""Noise: as strong as asked, the same for the same seed, and RealSR's patches by its rule."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from gantool.degrade import noise

SHAPE = (200, 220, 3)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("sigma", [1.0, 12.0, 30.0])
@pytest.mark.parametrize("gray", [False, True])
def test_gaussian_has_the_deviation_asked_for(sigma, gray):
    made = noise.gaussian(SHAPE, sigma, rng(), gray)
    assert made.shape == (*SHAPE[:2], 1 if gray else 3) and made.dtype == np.float32
    assert made.std() * 255 == pytest.approx(sigma, rel=0.05)
    assert abs(made.mean()) * 255 < 0.05 * sigma


def test_correlated_channels_go_together_and_stay_below_the_peak():
    made = noise.correlated(SHAPE, 25.0, rng(4)).reshape(-1, 3) * 255
    covariance = np.cov(made.T)
    assert np.linalg.eigvalsh(covariance).max() < 3 * 25.0**2
    together = np.corrcoef(made.T)[np.triu_indices(3, 1)]
    assert (together > 0.02).all()


@pytest.mark.parametrize("level", [30, 128, 250])
def test_poisson_variance_is_the_light_over_the_photons(level):
    image = np.full(SHAPE, level / 255, np.float32)
    image[0, :256, 0] = (np.arange(220) / 255).astype(np.float32)  # more than 128 values: 256 photons
    made = noise.poisson(image, 1.0, rng(1))[1:]
    assert made.std() == pytest.approx(np.sqrt(level / 255 / 256), rel=0.05)
    assert abs(made.mean()) < 0.02 * made.std() + 1e-3
    twice = noise.poisson(image, 2.0, rng(1))[1:]
    np.testing.assert_allclose(twice, 2 * made, rtol=1e-4, atol=1e-6)


def test_poisson_counts_the_values_that_occur():
    """A picture of one value has one photon: each pixel is dark or bright, and right on average."""
    image = np.full(SHAPE, 0.5, np.float32)
    made = noise.poisson(image, 1.0, rng(2), gray=True)
    assert made.shape == (*SHAPE[:2], 1)
    assert made.std() == pytest.approx(np.sqrt(0.5), rel=0.05)


def test_jpeg_is_worse_with_less_quality():
    y, x = np.mgrid[:64, :80]
    image = np.stack([x * 3 % 255, y * 4 % 255, (x * y) % 255], -1).astype(np.float32) / 255
    errors = [float(np.abs(noise.jpeg(image, q) - image).mean()) for q in (95, 60, 30)]
    assert 0 < errors[0] < errors[1] < errors[2]
    gray = noise.jpeg_bytes(np.full((16, 24), 77, np.uint8), 50)
    assert gray.shape == (16, 24) and abs(int(gray[3, 3]) - 77) <= 1


def test_jpeg_keeps_red_red():
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    back = noise.jpeg_bytes(red, 90)
    np.testing.assert_allclose(back.reshape(-1, 3).mean(0), [200, 0, 0], atol=4)


def test_qualities_are_those_published():
    drawn = [noise.quality(rng(seed)) for seed in range(2000)]
    assert min(drawn) == 30 and max(drawn) == 95


@pytest.mark.parametrize("color", [(0.7, 0.3, 0.2), (0.2, 0.6, 0.4), (0.3, 0.35, 0.8)])
def test_the_camera_keeps_colours(color):
    """Each colour comes back as itself, so that the Bayer filter is read in the order it was laid."""
    image = np.broadcast_to(np.float32(color), (63, 50, 3)).copy()
    taken = noise.camera(image, rng(3))
    assert taken.shape == image.shape and taken.min() >= 0 and taken.max() <= 1
    assert taken.std((0, 1)).max() > 1e-4
    np.testing.assert_allclose(taken.mean((0, 1)), color, atol=0.03)


def photo(seed, smooth, level, size=(200, 300)):
    grain = rng(seed).normal(0, 2.0 if smooth else 40.0, (*size, 3))
    return np.clip(level + grain, 0, 255).astype(np.uint8)


def test_patches_obey_the_rule():
    mixed = np.concatenate([photo(0, True, 120), photo(1, False, 120)])
    found = noise.noise_patches([mixed, photo(2, True, 30)], side=64, max_variance=20, min_mean=50)
    assert len(found) == 3 * 4  # of the upper half of the first photo, which holds 3 x 4 squares
    for patch in found:
        gray = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).astype(float)
        assert patch.shape == (64, 64, 3) and gray.var() < 20 and gray.mean() > 50


def test_patches_are_counted_and_need_room():
    photos = [photo(0, True, 120)] * 3
    assert len(noise.noise_patches(photos, side=64, most=5)) == 5
    assert len(noise.noise_patches(photos, side=200)) == 3
    assert noise.noise_patches(photos, side=201) == []


@pytest.mark.parametrize("size", [(20, 30), (64, 64), (150, 70), (1, 1)])
def test_patch_noise_is_the_patches_own_without_their_mean(size):
    patches = noise.noise_patches([photo(5, True, 120)], side=64)
    made = noise.patch_noise(patches, *size, rng(6))
    assert made.shape == (*size, 3)
    assert np.abs(made.mean((0, 1))).max() < 1e-6
    if min(size) > 10:
        assert made.std() * 255 == pytest.approx(2.0, rel=0.1)


def test_bytes_are_rounded_and_cut_off():
    values = np.array([[-0.5, 0.0, 0.4999 / 255, 0.51 / 255, 1.0, 7.0]], np.float32)
    np.testing.assert_array_equal(noise.to_bytes(values), [[0, 0, 0, 1, 255, 255]])
