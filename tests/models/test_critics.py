"""Critics of super-resolution: sizes, features, gradients, spectral norm."""

import pytest
import torch
from torch import nn

from gantool import losses
from gantool.models.critics import UNetDiscriminatorSN, VGGStyleDiscriminator


@pytest.mark.parametrize("size", [32, 96, 128, 256])
def test_one_logit_a_picture(size):
    net = VGGStyleDiscriminator(num_feat=2, input_size=size)
    assert net(torch.rand(2, 3, size, size)).shape == (2, 1)
    assert net.linear1.in_features == 16 * (size // (64 if size == 256 else 32)) ** 2


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (8, 8)])
def test_one_logit_a_pixel(size):
    net = UNetDiscriminatorSN(num_feat=2)
    assert net(torch.rand(2, 3, *size)).shape == (2, 1, *size)


@pytest.mark.parametrize(
    "make",
    [
        lambda: VGGStyleDiscriminator(num_feat=2, input_size=32),
        lambda: VGGStyleDiscriminator(num_feat=2, input_size=32, norm="none"),
        lambda: losses.spectral_norm(VGGStyleDiscriminator(num_feat=2, input_size=32, norm="none")),
        lambda: UNetDiscriminatorSN(num_feat=2),
    ],
)
def test_every_parameter_learns_through_loss_and_penalty(make):
    torch.manual_seed(0)
    net = make()
    real, fake = torch.rand(2, 2, 3, 32, 32)
    loss = losses.vanilla_critic(net(real), net(fake))
    if not any(isinstance(m, nn.BatchNorm2d) for m in net.modules()):
        loss = loss + losses.r1_penalty(net, real) + losses.gradient_penalty(net, real, fake)
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
    assert all(p.grad.abs().sum() > 0 for p in net.parameters() if p.ndim > 1)


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: VGGStyleDiscriminator(input_size=32, num_feat=2), 12),
        (lambda: UNetDiscriminatorSN(num_feat=2), 10),
    ],
)
def test_features_end_with_the_logits(make, count):
    net = make().eval()
    x = torch.rand(1, 3, 32, 32)
    found = net.features(x)
    assert len(found) == count
    assert torch.equal(found[-1], net(x))
    kept = [f.clone() for f in found]
    net(x.flip(-1))
    assert all(torch.equal(a, b) for a, b in zip(kept, found, strict=True))


def test_the_norms_of_the_unet_hold_every_kernel_but_the_ends_at_one():
    torch.manual_seed(0)
    net = UNetDiscriminatorSN(num_feat=4)
    for _ in range(60):  # one power iteration each
        net(torch.rand(1, 3, 8, 8))
    net.eval()
    for n in range(1, 9):
        kernel = net.get_submodule(f"conv{n}").weight
        assert torch.linalg.matrix_norm(kernel.flatten(1), 2).item() == pytest.approx(1, abs=2e-2)
    assert "conv0.weight" in net.state_dict() and "conv9.weight" in net.state_dict()


def test_skips_of_the_unet_count():
    torch.manual_seed(0)
    net, bare = UNetDiscriminatorSN(num_feat=2).eval(), UNetDiscriminatorSN(num_feat=2, skip_connection=False)
    bare.load_state_dict(net.state_dict())
    x = torch.rand(1, 3, 16, 16)
    assert not torch.allclose(net(x), bare.eval()(x))


@pytest.mark.parametrize("args", [{"input_size": 100}, {"input_size": 288}, {"norm": "group"}])
def test_unknown_arguments(args):
    with pytest.raises(ValueError, match=str(next(iter(args.values())))):
        VGGStyleDiscriminator(**args)


def test_pictures_of_another_size_are_refused():
    with pytest.raises(ValueError, match="32 px squares, not 40x32"):
        VGGStyleDiscriminator(num_feat=2, input_size=32)(torch.rand(1, 3, 32, 40))
