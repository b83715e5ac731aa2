"""The memory of a net is that of the tensors that live together."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool.models.rrdbnet import RRDBNet
from gantool.ops.footprint import bytes_per_px

X = torch.rand(1, 3, 7, 9)


def conv(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1)


@pytest.mark.parametrize(
    ("fn", "floats"),
    [
        (lambda x: x + 1, 3),
        (lambda x: x.add_(1), 0),
        (lambda x: x.view(-1), 0),
        (lambda x: (x + 1).view(-1)[2:], 3),
        (lambda x: (x + 1) + 1, 6),
        (lambda x: ((x + 1) + 1) + 1, 6),  # the first is gone by then
        (lambda x: torch.cat(((x + 1).relu_(), x), 1), 9),
        (lambda x: F.interpolate(x, scale_factor=2) * 2, 24),
        (lambda x: (x + 1).half(), 4.5),
        (conv(3, 10), 10),
        (nn.Sequential(conv(3, 10), nn.ReLU(inplace=True), conv(10, 1)), 11),
        (nn.Sequential(conv(3, 10), conv(10, 4), conv(4, 4)), 14),
    ],
)
@pytest.mark.parametrize("grad", [torch.no_grad, torch.inference_mode])
def test_counts_what_lives_together(fn, floats, grad):
    with grad():
        assert bytes_per_px(fn, X) == 4 * floats


def test_a_skip_connection_lives_on():
    def skipping(x: Tensor) -> Tensor:
        first = x * 2
        second = (first + 1) * 3
        return first + second

    with torch.no_grad():
        assert bytes_per_px(skipping, X) == 4 * 9


def test_precision_halves_it_and_pictures_do_not_count():
    with torch.no_grad():
        one = bytes_per_px(lambda x: x.double() * 2, X)
        several = bytes_per_px(lambda x: x.double() * 2, torch.rand(5, 3, 40, 40))
    assert one == several == 2 * 3 * 8


def test_the_last_layers_of_a_large_net_are_what_counts():
    net = RRDBNet(num_feat=16, num_block=2, num_grow_ch=8).eval()
    with torch.no_grad():
        taken = bytes_per_px(net, X)
    # 16 channels before and after a layer at 4x4 the size, and what those were enlarged from, at 2x2.
    assert taken == 4 * 16 * (16 + 16 + 4)
