"""The net that moves a face's pixels to the front: what its flow, its sources and its paint do."""

from __future__ import annotations

import pytest
import torch

from gantool.models.frontwarp import FrontWarp, Moved, places, sampled


@pytest.fixture(scope="module")
def net() -> FrontWarp:
    torch.manual_seed(0)
    return FrontWarp(0.25).eval()


def told(net: FrontWarp, x: torch.Tensor, flow: tuple[float, float], source: int) -> torch.Tensor:
    """The picture if every place comes from so many px to the right and below, and from one source."""
    with torch.no_grad():
        bias = net.last.bias
        assert bias is not None
        net.last.weight.zero_()
        bias[:2] = torch.tensor(flow) / 32
        bias[2:5] = -60.0
        bias[2 + source] = 60.0
        bias[5:] = torch.atanh(torch.tensor([0.5, -0.5, 0.0]))
        return net(x)


def test_every_place_comes_from_where_the_flow_says(net):
    x = torch.rand(2, 3, 128, 128) * 2 - 1
    torch.testing.assert_close(told(net, x, (0.0, 0.0), 0), x, atol=1e-5, rtol=0)
    moved = told(net, x, (5.0, -3.0), 0)
    torch.testing.assert_close(moved[..., 3:, :-5], x[..., :-3, 5:], atol=1e-4, rtol=0)
    torch.testing.assert_close(moved[..., 3:, -5:], x[..., :-3, -1:].expand(-1, -1, -1, 5), atol=1e-4, rtol=0)


def test_the_other_sources_are_the_mirrored_place_and_paint(net):
    x = torch.rand(1, 3, 128, 128) * 2 - 1
    torch.testing.assert_close(told(net, x, (5.0, 0.0), 1), told(net, x, (5.0, 0.0), 0).flip(-1))
    paint = torch.tensor([0.5, -0.5, 0.0]).view(1, 3, 1, 1).expand_as(x)
    torch.testing.assert_close(told(net, x, (0.0, 0.0), 2), paint, atol=1e-5, rtol=0)


def test_places_are_pixel_centres():
    line = places(64, torch.zeros(1))[0, 0, 0]
    assert line[0] == 0.5 and line[-1] == 126.5
    x = torch.rand(1, 3, 128, 128)
    torch.testing.assert_close(sampled(x, places(128, x)), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("times", [2, 8])
def test_a_larger_face_is_moved_by_its_own_pixels(net, times):
    side = 128 * times
    x = torch.rand(1, 3, side, side) * 2 - 1
    torch.testing.assert_close(told(net, x, (0.0, 0.0), 0), x, atol=1e-4, rtol=0)
    moved, away = told(net, x, (5.0, -3.0), 0), (3 * times, 5 * times)
    kept = moved[..., away[0] :, : -away[1]]
    torch.testing.assert_close(kept, x[..., : -away[0], away[1] :], atol=1e-3, rtol=0)
    mirrored = told(net, x, (5.0, -3.0), 1)
    torch.testing.assert_close(mirrored, moved.flip(-1), atol=1e-5, rtol=0)


def test_a_larger_face_is_seen_as_the_small_one():
    torch.manual_seed(2)
    net = FrontWarp(0.25).eval()
    torch.nn.init.normal_(net.last.weight, 0, 0.1)
    small = torch.rand(2, 3, 128, 128) * 2 - 1
    with torch.no_grad():
        one = net(small, everything=True)
        large = net(small.repeat_interleave(4, -1).repeat_interleave(4, -2), everything=True)
    assert isinstance(one, Moved) and isinstance(large, Moved)
    assert large.picture.shape == (2, 3, 512, 512)
    for ours, same in zip(one[1:], large[1:], strict=True):
        torch.testing.assert_close(ours, same, atol=1e-4, rtol=0)


def test_every_weight_learns_and_the_corners_are_looked_at():
    torch.manual_seed(1)
    net, x = FrontWarp(0.25), torch.rand(2, 3, 128, 128) * 2 - 1
    torch.nn.init.normal_(net.last.weight, 0, 0.1)
    corners = torch.tensor([[box[:2] for box in net.boxes]]).expand(2, -1, -1)
    said = net(x, corners, True)
    assert isinstance(said, Moved)
    assert said.flow.shape == (2, 2, 64, 64) and said.logits.shape == said.paint.shape == (2, 3, 64, 64)
    assert said.picture.shape == x.shape and said.picture.abs().max() <= 1 + 1e-6
    (said.picture.square().mean() + said.flow.mean()).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
    net.eval()
    with torch.no_grad():
        frontal = net(x)
        torch.testing.assert_close(frontal, net(x, corners))
        assert (net(x, corners + 20) - frontal).abs().max() > 1e-4
