"""NIQE against another program's figures, and its fit against distributions with known parameters."""

import numpy as np
import pytest
from scipy.stats import gennorm

from gantool import niqe


def clouds(seed, height, width):
    """Structure of all sizes."""
    rng = np.random.default_rng(seed)
    sum_ = np.zeros((height, width, 3))
    for size in (1, 2, 4, 8, 16, 32, 64):
        noise = rng.standard_normal((height // size + 1, width // size + 1, 3))
        sum_ += size**0.7 * np.kron(noise, np.ones((size, size, 1)))[:height, :width]
    return np.clip(128 + sum_ * (40 / sum_.std()), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("seed", "height", "width", "theirs"),
    # What BasicSR 1.4.2 gives for these. For its baboon.png we give 5.729574, MATLAB's program 5.729573.
    [(0, 300, 400, 10.463449), (1, 192, 192, 14.144005)],
)
def test_as_basicsr(seed, height, width, theirs):
    assert niqe.niqe(clouds(seed, height, width)) == pytest.approx(theirs, abs=5e-4)


def test_depth_and_margins_do_not_matter():
    picture = clouds(1, 192, 192)
    wider = np.pad(picture, ((0, 50), (0, 95), (0, 0)))
    assert niqe.niqe(wider) == pytest.approx(niqe.niqe(picture), abs=0.5)  # but for what filters see of it
    assert niqe.niqe(picture.astype(np.uint16) * 257) == pytest.approx(niqe.niqe(picture), abs=1e-9)


@pytest.mark.parametrize("shape", [0.8, 1.0, 2.0, 4.0])
def test_fit_finds_the_shape(shape):
    values = gennorm.rvs(shape, scale=1.5, size=200_000, random_state=0)
    found, left, right = (float(one[0]) for one in niqe._fitted(values.reshape(1, 500, 400)))
    assert found == pytest.approx(shape, rel=0.05)
    assert left == pytest.approx(1.5, rel=0.05) and right == pytest.approx(1.5, rel=0.05)
    values[values < 0] *= 0.5  # the left side narrower
    found, left, right = (float(one[0]) for one in niqe._fitted(values.reshape(1, 500, 400)))
    assert left / right == pytest.approx(0.5, rel=0.02)


def test_reference_is_whole():
    mean, covariance = niqe._reference()
    assert mean.shape == (36,) and covariance.shape == (36, 36)
    assert np.allclose(covariance, covariance.T) and np.linalg.eigvalsh(covariance).min() > 0


def test_small_and_flat_pictures_are_refused():
    with pytest.raises(ValueError, match="192"):
        niqe.niqe(clouds(0, 191, 300))
    with pytest.raises(ValueError, match="flat"):
        niqe.niqe(np.full((200, 200, 3), 99, np.uint8))
