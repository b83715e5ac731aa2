"""The net that tells people apart, and its classifier."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from gantool.models.facenet import FaceNet, MarginHead

WIDTHS = (4, 6, 8, 8)


def test_grey_and_colour_of_the_same_lightness_are_one_face():
    torch.manual_seed(0)
    net = FaceNet(WIDTHS, features=10).eval()
    gray = torch.rand(2, 1, 128, 128)
    assert net.maps(gray).shape == (2, 8, 8, 8) and net(gray).shape == (2, 10)
    torch.testing.assert_close(net(gray), net(gray.expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(net(gray), net.features_of(net.maps(gray)))


def test_every_weight_learns():
    torch.manual_seed(1)
    net, head = FaceNet(WIDTHS, features=10), MarginHead(10, 5)
    loss, _ = head(net(torch.rand(4, 1, 128, 128)), torch.tensor([0, 1, 2, 4]), 0.2)
    loss.backward()
    both = [*net.named_parameters(), *head.named_parameters()]
    assert [name for name, p in both if p.grad is None or not p.grad.any()] == []


def test_the_margin_is_taken_from_the_right_person_alone():
    head = MarginHead(3, 3, scale=10.0)
    with torch.no_grad():
        head.weight.copy_(torch.eye(3) * 7)  # lengths do not count
    x = torch.tensor([[2.0, 0.0, 0.0]])
    loss, right = head(x, torch.tensor([0]), 0.3)
    expected = F.cross_entropy(torch.tensor([[7.0, 0.0, 0.0]]), torch.tensor([0]))
    torch.testing.assert_close(loss, expected)
    assert right == 1 and head(x, torch.tensor([1]), 0.0)[1] == 0
