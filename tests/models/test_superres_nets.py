"""RRDBNet, EDSR, SRResNet: scales and odd sides, first weights, precision, spellings."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gantool.loading import placed
from gantool.models.edsr import EDSR
from gantool.models.rrdbnet import RRDBNet
from gantool.models.srresnet import MSRResNet, SRResNet

SMALL = {"num_feat": 6, "num_block": 1, "num_grow_ch": 3}
NETS = [
    *(lambda s=s, u=u: RRDBNet(scale=s, unshuffle=u, **SMALL) for s in (1, 2, 4, 8) for u in (True, False)),
    *(lambda s=s: EDSR(s, 6, 1, rgb_range=1.0) for s in (2, 3, 4, 8)),
    *(lambda s=s: MSRResNet(num_feat=6, num_block=1, upscale=s) for s in (2, 3, 4)),
    *(lambda s=s: SRResNet(s, 6, 1) for s in (2, 4, 8)),
]
SCALES = [1, 1, 2, 2, 4, 4, 8, 8, 2, 3, 4, 8, 2, 3, 4, 2, 4, 8]


@pytest.mark.parametrize(("make", "scale"), list(zip(NETS, SCALES, strict=True)))
@pytest.mark.parametrize("size", [(9, 13), (16, 8), (1, 5)])
def test_any_side_comes_out_scaled(make, scale, size):
    torch.manual_seed(0)
    with torch.no_grad():
        y = make().eval()(torch.rand(2, 3, *size))
    assert y.shape == (2, 3, size[0] * scale, size[1] * scale)
    assert torch.isfinite(y).all()


@pytest.mark.parametrize("make", NETS)
def test_every_parameter_learns(make):
    torch.manual_seed(0)
    net = make()
    (net(torch.rand(2, 3, 12, 12)) - 0.5).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.requires_grad != name.startswith(("sub_mean", "add_mean"))
        if parameter.requires_grad and not name.endswith("bias"):
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_folded_rrdbnet_is_the_unfolded_one_on_the_unshuffled_picture():
    torch.manual_seed(1)
    net, plain = RRDBNet(scale=2, **SMALL), RRDBNet(num_in_ch=12, scale=4, **SMALL)
    plain.load_state_dict(net.state_dict())
    x = torch.rand(1, 3, 10, 14)
    with torch.no_grad():
        assert torch.allclose(net(x), plain(F.pixel_unshuffle(x, 2)), atol=1e-6)
        odd = net(x[..., :9, :13])
        mirrored = F.pad(x[..., :9, :13], (0, 1, 0, 1), mode="reflect")
        assert torch.allclose(odd, net(mirrored)[..., :18, :26], atol=1e-6)


def test_a_new_block_hardly_changes_more_than_the_size():
    """With small first weights the dense blocks pass x on, and their residual adds a fifth of it."""
    torch.manual_seed(0)
    block = RRDBNet(**SMALL).body[0]
    x = torch.randn(1, 6, 12, 12)
    with torch.no_grad():
        y = block(x)
    assert torch.allclose(y, 1.2 * x, atol=0.05 * x.abs().max().item())
    assert not torch.allclose(y, 1.2 * x, atol=1e-6)


def test_second_spelling_of_rrdbnet():
    net = RRDBNet(scale=2, unshuffle=False, **SMALL)
    second = {}
    for name, value in net.state_dict().items():
        name = name.replace("body.0.rdb", "RRDB_trunk.0.RDB").replace("conv_body", "trunk_conv")
        second[name.replace("conv_up", "upconv").replace("conv_hr", "HRconv")] = value
    assert "RRDB_trunk.0.RDB3.conv5.weight" in second and "upconv1.bias" in second
    assert net.own_names(second).keys() == net.state_dict().keys()


@pytest.mark.parametrize("kind", [RRDBNet, EDSR, MSRResNet, SRResNet])
def test_names_of_a_stranger_s_file_pass(kind):
    strange = {"model.1.sub.0.RDB1.conv1.0.weight": torch.zeros(1), "weight": torch.zeros(1)}
    assert len(kind.own_names(strange)) == 2
    assert kind.own_names({}) == {}


def test_edsr_takes_the_mean_off_and_puts_it_back():
    net = EDSR(2, 4, 1)
    assert torch.allclose(net.sub_mean.bias, torch.tensor([-114.444, -111.4605, -103.02]), atol=1e-3)
    with torch.no_grad():
        for parameter in net.tail.parameters():
            parameter.zero_()
        flat = net(torch.zeros(1, 3, 4, 4))
    assert torch.allclose(flat[0, :, 0, 0], torch.tensor([114.444, 111.4605, 103.02]), atol=1e-3)


def test_edsr_without_shift_leaves_the_two_kernels_alone():
    torch.manual_seed(0)
    net = EDSR(2, 4, 1, rgb_range=1.0, shift=False).eval()
    x = torch.rand(1, 3, 5, 5)
    with torch.no_grad():
        y = net(x)
        net.sub_mean.bias.fill_(7)
        assert torch.equal(net(x), y)


@pytest.mark.parametrize(
    "make", [lambda: MSRResNet(num_feat=6, num_block=1), lambda: EDSR(4, 6, 1)], ids=["msrresnet", "edsr"]
)
def test_bf16_weights_do_not_round_the_picture(make):
    """Where a net adds to the picture or to its mean, that sum is made in float32."""
    torch.manual_seed(0)
    net = make().eval()
    last = net.conv_last if isinstance(net, MSRResNet) else net.tail[1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    x = torch.full((1, 3, 6, 6), 100.3 / 255)
    with torch.no_grad():
        full, half = net(x), net.to(torch.bfloat16)(x)
    assert net.takes_float32 and half.dtype == torch.float32
    assert (full - half).abs().max() < (1e-6 if isinstance(net, MSRResNet) else 0.3)


def test_the_closing_norm_of_srresnet_is_an_argument():
    assert "block3.1.running_mean" in SRResNet(blocks=1).state_dict()
    assert SRResNet(blocks=1, before_skip="prelu").state_dict()["block3.1.weight"].shape == (1,)


@pytest.mark.parametrize("make", [lambda: RRDBNet(scale=3), lambda: EDSR(5), lambda: MSRResNet(upscale=8)])
def test_scales_that_do_not_exist(make):
    with pytest.raises(ValueError, match="scale="):
        make()


def test_other_arguments_that_do_not_exist():
    with pytest.raises(ValueError, match="scale=3"):
        SRResNet(scale=3)
    with pytest.raises(ValueError, match="before_skip='relu'"):
        SRResNet(before_skip="relu")


def test_autocast_does_not_round_the_mean_of_edsr():
    torch.manual_seed(0)
    net = EDSR(2, 4, 1).eval()
    nn.init.zeros_(net.tail[1].weight)
    nn.init.zeros_(net.tail[1].bias)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        y = net(torch.rand(1, 3, 6, 6) * 255)
    assert y.dtype == torch.float32
    assert torch.allclose(y[0, :, 3, 3], torch.tensor([114.444, 111.4605, 103.02]), atol=1e-3)


def test_rrdbnet_in_bf16_casts_only_its_blocks():
    torch.manual_seed(0)
    net = RRDBNet(num_feat=16, num_block=3, num_grow_ch=8, scale=2).eval()
    for layer in net.body.modules():
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()  # larger than its own first weights: as after training
    x = torch.rand(1, 3, 21, 18)
    with torch.inference_mode():
        exact = net(x)
        half = placed(net, "cpu", torch.bfloat16)(x)
    kinds = {name: value.dtype for name, value in net.named_parameters()}
    assert {kind for name, kind in kinds.items() if name.startswith("body.")} == {torch.bfloat16}
    assert {kind for name, kind in kinds.items() if not name.startswith("body.")} == {torch.float32}
    apart = float((half - exact).abs().max() / (exact.max() - exact.min()))
    assert half.dtype == torch.float32 and 0 < apart < 0.5 / 255
