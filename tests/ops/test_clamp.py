"""What of the past is blended in: held within the new picture, and only what is finer than its pixels."""

import pytest
import torch
import torch.nn.functional as F

from gantool.ops import clamp


def resized(x, tall, wide, mode):
    extra = {} if mode == "area" else {"align_corners": False}
    return F.interpolate(x[None], size=(tall, wide), mode=mode, **extra)[0]


def as_defined(history, layer, share, radius, factor):
    """The docstring in plain torch."""
    tall, wide = layer.shape[-2:]
    shrink = max(1, min(4, radius))
    around = max(1, round(radius / shrink))
    size = (-(-tall // shrink), -(-wide // shrink))

    def mean(x):
        return F.avg_pool2d(resized(x, *size, "area")[None], 2 * around + 1, 1, around, False, False)[0]

    spread = 1.25 * (mean(layer * layer) - mean(layer) ** 2).clamp(min=0).sqrt()
    bounds = (resized(mean(layer) + sign * spread, tall, wide, "bilinear") for sign in (-1, 1))
    d = share * (torch.clamp(history, *bounds) - layer)
    small = resized(d, -(-tall // factor), -(-wide // factor), "area")
    return layer + d - resized(small, tall, wide, "bicubic")


@pytest.mark.parametrize("size", [(12, 12), (24, 36)])  # of others, "area" means something else to OpenCV
@pytest.mark.parametrize("radius, factor", [(1, 2), (3, 2), (7, 4)])
def test_blend_finer_is_what_it_says(size, radius, factor):
    torch.manual_seed(0)
    history, layer = torch.rand(3, *size), torch.rand(3, *size)
    share = torch.rand(1, *size)
    before = history.clone(), layer.clone()
    found = clamp.blend_finer(history, layer, share, radius, factor)
    assert torch.allclose(found, as_defined(history, layer, share, radius, factor), atol=3e-5)
    assert torch.equal(history, before[0]) and torch.equal(layer, before[1])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 5), (25, 33)])
def test_in_a_flat_picture_of_any_size_nothing_old_is_left(size):
    torch.manual_seed(0)
    layer = torch.full((3, *size), 0.25)
    found = clamp.blend_finer(torch.rand(3, *size), layer, torch.full((1, *size), 0.9), 7, 4)
    assert torch.allclose(found, layer, atol=1e-3)


def test_without_a_share_the_layer_stays():
    history, layer = torch.rand(3, 16, 20), torch.rand(3, 16, 20)
    assert torch.equal(clamp.blend_finer(history, layer, torch.zeros(1, 16, 20), 4, 4), layer)


def test_an_old_thing_that_is_gone_does_not_linger():
    layer, history = torch.full((3, 32, 32), 0.5), torch.full((3, 32, 32), 0.5)
    history[:, 12:20, 12:20] = 1.0
    held = clamp.blend_finer(history, layer, torch.ones(1, 32, 32), 4, 4)
    assert torch.allclose(held, layer, atol=1e-3)
    kept = clamp.clamp_to_picture(history, layer)  # as far as a flat region may flicker
    assert float((kept - layer).abs().max()) == pytest.approx(0.08, abs=1e-3)
