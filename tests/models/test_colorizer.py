"""The two colorizers: keys of ResNet18 and of public checkpoints, shapes, gradients."""

import pytest
import torch
from torchvision.models import resnet18

from gantool.models.colorizer import ResNetStraight, ResNetUNet, gray_first_conv


def test_encoder_takes_resnet18_weights():
    theirs = resnet18().eval()
    ours = ResNetUNet().eval()
    state = ours.state_dict()
    taken = 0
    for name, value in theirs.state_dict().items():
        if name == "conv1.weight":
            value = gray_first_conv(value)
        if name in state and not name.startswith(("layer3", "layer4", "fc")):
            assert state[name].shape == value.shape
            state[name] = value
            taken += 1
    assert taken == 60
    ours.load_state_dict(state)
    gray = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        a = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(gray.expand(-1, 3, -1, -1)))))
        a = theirs.layer2(theirs.layer1(a))
        b = torch.relu(ours.bn1(ours.conv1(gray)))
        b = ours.layer2(ours.layer1(torch.nn.functional.max_pool2d(b, 3, 2, 1)))
    assert torch.allclose(a, b, atol=1e-4)


def test_straight_has_the_keys_of_public_files():
    state = ResNetStraight(255, -128).state_dict()
    assert sum(p.numel() for p in ResNetStraight().parameters()) == 954_722
    assert state["midlevel_resnet.0.weight"].shape == (64, 1, 7, 7)
    assert state["upsample.14.weight"].shape == (2, 32, 3, 3)
    modules = {int(k.split(".")[1]) for k in state if k.startswith("upsample")}
    assert modules == {0, 1, 4, 5, 7, 8, 11, 12, 14}


@pytest.mark.parametrize(("net", "size"), [(ResNetUNet(), (64, 96)), (ResNetStraight(), (40, 56))])
def test_output_is_two_channels_at_input_size(net, size):
    net.eval()
    with torch.no_grad():
        assert net(torch.rand(2, 1, *size)).shape == (2, 2, *size)


def test_untrained_unet_predicts_gray():
    net = ResNetUNet().eval()
    assert net(torch.rand(1, 1, 32, 32)).abs().max() == 0


@pytest.mark.parametrize("kind", [ResNetUNet, ResNetStraight])
def test_every_parameter_learns(kind):
    torch.manual_seed(0)
    net = kind()
    if kind is ResNetUNet:  # its last layer starts at zero, which stops gradients in the very first step
        torch.nn.init.normal_(net.ab.weight)
    net(torch.rand(2, 1, 64, 64)).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
    assert sum(float(p.grad.abs().sum()) > 0 for p in net.parameters()) == len(list(net.parameters()))


def test_built_in_size_stays_under_four_megabytes():
    assert 2 * sum(v.numel() for v in ResNetUNet().state_dict().values()) < 4_000_000
