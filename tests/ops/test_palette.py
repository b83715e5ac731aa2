"""The palette map: mean and covariance reached, colours moved least, no noise magnified."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gantool.ops.palette import Palette, palette_of, with_palette


def cloud(seed, spread=15.0):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(2, 2, generator=generator) * spread
    ab = torch.einsum("oc,chw->ohw", mix, torch.randn(2, 20, 24, generator=generator))
    return ab + 10 * torch.randn(2, 1, 1, generator=generator)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_mean_and_covariance_are_the_palette_s(seed):
    own = cloud(seed)
    own = own + 8 * torch.randn(own.shape, generator=torch.Generator().manual_seed(seed + 1))
    wanted = palette_of(cloud(seed + 1, 6.0))
    found = palette_of(with_palette(own[None], wanted)[0])
    assert torch.allclose(found.mean, wanted.mean, atol=1e-3)
    # A little less than the palette's, for what is taken to be noise.
    assert bool((torch.linalg.eigvalsh(wanted.covariance - found.covariance) > -1e-2).all())
    assert found.covariance.trace() > 0.8 * wanted.covariance.trace()


def test_its_own_palette_leaves_a_picture_nearly_as_it_is():
    ab = cloud(3)
    ab = ab + 15 * torch.randn(ab.shape, generator=torch.Generator().manual_seed(9))
    assert (with_palette(ab[None], palette_of(ab))[0] - ab).abs().max() < 0.05 * ab.abs().max()


def test_each_picture_by_itself():
    first, second, wanted = cloud(1), cloud(2), palette_of(cloud(5))
    both = with_palette(torch.stack((first, second)), wanted)
    assert torch.allclose(both[1], with_palette(second[None], wanted)[0])


def test_next_to_no_colour_is_not_magnified():
    faint = 0.1 * torch.randn(2, 30, 30, generator=torch.Generator().manual_seed(0))
    wanted = Palette(torch.tensor([5.0, 5.0]).double(), 400 * torch.eye(2).double())
    found = palette_of(with_palette(faint[None], wanted)[0])
    assert float(found.covariance.diag().max()) ** 0.5 < 0.5
    assert torch.allclose(found.mean, wanted.mean, atol=1e-2)


def test_one_colour_everywhere():
    flat = torch.full((1, 2, 4, 4), 7.0)
    wanted = palette_of(cloud(5))
    assert torch.allclose(with_palette(flat, wanted)[0, :, 0, 0].double(), wanted.mean, atol=1e-3)
