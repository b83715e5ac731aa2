"""Textures of our own: of the right size, different, repeatable; colours change, shapes stay."""

import numpy as np
import pytest

from gantool import textures
from gantool.data import step_rng


@pytest.mark.parametrize("kind", range(len(textures._KINDS)))
@pytest.mark.parametrize("side", [32, 100])
def test_each_kind_fills_its_square_with_several_colours(kind, side):
    for seed in range(6):
        rng = step_rng(seed)
        image = textures._KINDS[kind](side, textures.palette(5, rng), rng)
        assert image.shape == (side, side, 3) and image.dtype == np.uint8
        assert len(np.unique(image.reshape(-1, 3), axis=0)) >= 2


def test_a_texture_follows_from_its_seed():
    assert np.array_equal(textures.texture(48, step_rng(1)), textures.texture(48, step_rng(1)))
    several = [textures.texture(48, step_rng(seed)) for seed in range(12)]
    assert len({image.tobytes() for image in several}) == 12
    assert np.mean([image.std() for image in several]) > 20


def test_a_palette_goes_from_dark_to_light():
    light = textures.palette(6, step_rng(2)).astype(int) @ (299, 587, 114)
    assert (np.diff(light) > -20_000).all() and light[-1] > light[0] + 20_000


def test_recoloring_keeps_shapes_and_changes_colours():
    image = textures.texture(64, step_rng(5))
    before = image.copy()
    other = textures.recolored(image, step_rng(6))
    assert other.shape == image.shape and other.dtype == np.uint8 and np.array_equal(image, before)
    assert np.abs(other.astype(int) - image).mean() > 5
    gray = [np.asarray(x, float).mean(-1).ravel() for x in (image, other)]
    assert abs(np.corrcoef(gray[0], gray[1])[0, 1]) > 0.5
