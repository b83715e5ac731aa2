"""Distortions grow with severity, and pairs are what their order claims."""

import numpy as np
import pytest

from gantool import severity

ROOM = 64


@pytest.fixture(scope="module")
def picture():
    """A smooth picture with some texture and an edge, in float RGB."""
    y, x = np.mgrid[0:ROOM, 0:ROOM] / ROOM
    texture = 0.08 * np.random.default_rng(0).normal(size=(ROOM, ROOM))
    planes = [0.3 + 0.4 * x + texture, 0.5 + 0.3 * np.sin(6 * y) + texture, 0.2 + 0.5 * (x > 0.5)]
    return np.clip(np.stack(planes, 2), 0, 1).astype(np.float32)


def error(a, b):
    return float(np.mean((a - b) ** 2))


@pytest.mark.parametrize("name", severity.HARMFUL)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_more_is_worse_and_pictures_stay_pictures(name, seed, picture):
    before = picture.copy()
    results = [
        severity.HARMFUL[name](picture, s, np.random.default_rng(seed)) for s in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert np.array_equal(picture, before)
    for result in results:
        assert result.shape == picture.shape and result.dtype == np.float32
        assert result.min() >= 0 and result.max() <= 1
    errors = [error(result, picture) for result in results]
    assert errors == sorted(errors) and errors[-1] > 1.05 * errors[0]


def test_pairs_of_one_distortion_differ_in_severity(picture):
    rng = np.random.default_rng(5)
    for _ in range(40):
        reference, near, far = severity.more_of_the_same(picture, rng)
        assert reference is picture and error(near, picture) < error(far, picture)


def test_pairs_of_two_distortions_differ_much(picture):
    rng = np.random.default_rng(8)
    errors = []
    for _ in range(40):
        reference, near, far = severity.more_of_another(picture, rng)
        assert reference is picture
        errors.append((error(near, picture), error(far, picture)))
    assert np.mean([near < far for near, far in errors]) > 0.7  # by squared error, which is not the eye


def test_harmless_and_harmful_pictures_have_about_one_squared_error(picture):
    rng = np.random.default_rng(6)
    ratios = []
    for _ in range(40):
        _, near, far = severity.harmless_and_harmful(picture, rng)
        ratios.append(error(far, picture) / error(near, picture))
    assert 0.9 < np.median(ratios) < 1.1
    assert max(ratios) < 8


def test_other_grain_has_twice_the_squared_error_of_none(picture):
    middle = picture * 0.4 + 0.3  # nothing to clip
    rng = np.random.default_rng(7)
    ratios = []
    for _ in range(20):
        grainy, other, none = severity.other_grain_and_none(middle, rng)
        ratios.append(error(other, grainy) / error(none, grainy))
        assert abs(np.std(other - middle) / np.std(grainy - middle) - 1) < 0.1
    assert 1.8 < np.mean(ratios) < 2.2


def test_other_detail_is_as_sharp_as_the_picture_and_none_is_not(picture):
    rng = np.random.default_rng(4)

    def sharpness(image):
        return np.abs(np.diff(image, axis=1)).mean()

    for _ in range(20):
        reference, near, far = severity.other_detail_and_none(picture, rng)
        assert reference is picture
        assert sharpness(near) > 1.3 * sharpness(far)
        assert 0.4 < sharpness(near) / sharpness(picture) < 1.3
        assert near.min() >= 0 and far.max() <= 1 and near.dtype == far.dtype == np.float32


def test_the_generator_alone_decides(picture):
    for draw in (severity.ordered, severity.moved, severity.relit):
        a, b = (draw(picture, np.random.default_rng(9)) for _ in range(2))
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
