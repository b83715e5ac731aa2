"""SRVGGNetCompact: the released files' keys, shapes and arithmetic."""

import pytest
import torch
import torch.nn.functional as F

from gantool.models.srvgg import SRVGGNetCompact


@pytest.mark.parametrize(("convs", "params", "last"), [(16, 621_424, 34), (32, 1_213_296, 66)])
def test_sizes_of_the_released_nets(convs, params, last):
    net = SRVGGNetCompact(num_feat=64, num_conv=convs, upscale=4)
    state = net.state_dict()
    assert sum(v.numel() for v in state.values()) == params
    assert max(int(k.split(".")[1]) for k in state) == last
    assert state["body.1.weight"].shape == (64,)  # PReLU, one slope a channel
    assert state[f"body.{last}.weight"].shape == (48, 64, 3, 3)


def test_forward_is_the_stack_plus_the_nearest_enlargement():
    torch.manual_seed(3)
    net = SRVGGNetCompact(num_feat=6, num_conv=2, upscale=3).eval()
    x = torch.rand(2, 3, 7, 5)
    y = x
    state = net.state_dict()
    for layer in (0, 2, 4):
        y = F.conv2d(y, state[f"body.{layer}.weight"], state[f"body.{layer}.bias"], padding=1)
        y = F.prelu(y, state[f"body.{layer + 1}.weight"])
    y = F.conv2d(y, state["body.6.weight"], state["body.6.bias"], padding=1)
    expected = F.pixel_shuffle(y, 3) + x.repeat_interleave(3, 2).repeat_interleave(3, 3)
    assert torch.allclose(net(x), expected, atol=1e-6)


def test_every_parameter_learns():
    net = SRVGGNetCompact(num_feat=6, num_conv=2, upscale=2)
    net(torch.rand(1, 3, 8, 8)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
