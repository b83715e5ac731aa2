"""pix2pix: sizes, statistics at test time, patches, features, first weights."""

import pytest
import torch

from gantool.models.pix2pix import (
    NLayerDiscriminator,
    OwnStatistics,
    PixelDiscriminator,
    UnetGenerator,
    _up,
    initialise,
)

NORMS = ["batch", "instance", "none"]


def receptive_side(net):
    """Side of what one answer in the middle depends on, px, by its gradient."""
    x = torch.randn(1, 3, 420, 420, requires_grad=True)
    y = net.eval()(x)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero()
    return int(rows.max() - rows.min()) + 1


@pytest.mark.parametrize(("layers", "side"), [(1, 16), (3, 70), (5, 286)])
def test_patches_have_the_paper_s_sizes(layers, side):
    assert receptive_side(NLayerDiscriminator(3, 2, layers, "none")) == side


def test_a_pixel_critic_sees_a_pixel():
    assert receptive_side(PixelDiscriminator(3, 2, "none")) == 1


@pytest.mark.parametrize(("head", "side"), [(4, 30), (3, 32)])
def test_map_sizes_at_256_px(head, side):
    assert NLayerDiscriminator(3, 2, head=head)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, side, side)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("upsample", ["transpose", "resize"])
def test_unet_keeps_the_size_and_every_parameter_learns(norm, upsample):
    torch.manual_seed(0)
    net = initialise(UnetGenerator(downs=5, ngf=2, norm=norm, upsample=upsample), 0.2)
    y = net(torch.rand(2, 3, 64, 96) * 2 - 1)
    assert y.shape == (2, 3, 64, 96)
    assert y.abs().max() <= 1
    (y - 0.5).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
    assert all(p.grad.abs().sum() > 0 for name, p in net.named_parameters() if name.endswith("weight"))


@pytest.mark.parametrize("norm", NORMS)
def test_every_parameter_of_the_critics_learns(norm):
    torch.manual_seed(0)
    for net in (NLayerDiscriminator(4, 3, norm=norm, bias=norm != "batch"), PixelDiscriminator(4, 3, norm)):
        net(torch.randn(2, 4, 70, 64)).square().mean().backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_channels_may_differ():
    net = UnetGenerator(1, 4, downs=5, ngf=2)
    assert net(torch.zeros(1, 1, 64, 32)).shape == (1, 4, 64, 32)


def test_dropout_works_in_training_only_and_repeats_with_the_seed():
    net = UnetGenerator(downs=6, ngf=2, norm="instance")
    x = torch.rand(1, 3, 64, 128)
    runs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        runs.append(net(x))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    net.eval()
    assert torch.equal(net(x), net(x))


def test_own_statistics_make_a_picture_independent_of_its_batch():
    torch.manual_seed(0)
    net = UnetGenerator(downs=5, ngf=2, own_statistics=True)
    assert any(isinstance(m, OwnStatistics) for m in net.modules())
    x = torch.randn(3, 3, 64, 64)
    net(x)  # training still records running statistics
    assert net.state_dict()["model.model.1.model.2.running_mean"].abs().sum() > 0
    net.eval()
    with torch.no_grad():
        assert torch.allclose(net(x)[1:2], net(x[1:2]), atol=1e-5)
        x[0] *= 100
        assert torch.allclose(net(x)[1:2], net(x[1:2]), atol=1e-5)


def test_features_end_with_the_logits():
    net = NLayerDiscriminator(6, 2).eval()
    x = torch.randn(1, 6, 70, 70)
    found = net.features(x)
    assert len(found) == 5
    assert [f.shape[1] for f in found] == [2, 4, 8, 16, 1]
    assert torch.equal(found[-1], net(x))


def test_resize_up_sampling_leaves_no_checkerboard():
    torch.manual_seed(0)

    def spread(layer):
        """How much the four phases of the output of a flat input differ, away from the borders."""
        torch.nn.init.uniform_(layer.weight, 0, 1)
        y = layer(torch.ones(1, 4, 8, 8))[0, 0, 4:-4, 4:-4]
        return torch.stack([y[i::2, j::2].mean() for i in (0, 1) for j in (0, 1)]).std()

    assert spread(_up("resize", 4, 1, bias=False)) < 1e-5
    assert spread(torch.nn.ConvTranspose2d(4, 1, 4, 2, 1, bias=False)) > 1e-2


def test_first_weights():
    torch.manual_seed(0)
    net = initialise(NLayerDiscriminator(6, 32))
    assert net.model[5].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert net.model[6].weight.mean().item() == pytest.approx(1, abs=0.02)
    assert net.model[0].bias.abs().sum() == 0 and net.model[6].bias.abs().sum() == 0


@pytest.mark.parametrize("args", [{"norm": "group"}, {"upsample": "shuffle"}, {"downs": 4}])
def test_unknown_arguments(args):
    with pytest.raises(ValueError, match=str(next(iter(args.values())))):
        UnetGenerator(ngf=2, **args)
