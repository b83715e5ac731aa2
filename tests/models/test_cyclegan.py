"""CycleGAN's generator: sizes, both numberings of its blocks, gradients."""

import copy

import pytest
import torch

from gantool.models.cyclegan import ResnetGenerator


@pytest.mark.parametrize(
    ("size", "expected"), [((64, 64), (64, 64)), ((20, 36), (20, 36)), ((37, 51), (40, 52)), ((5, 5), (8, 8))]
)
def test_any_size_comes_back_at_the_next_multiple_of_four(size, expected):
    net = ResnetGenerator(blocks=2, ngf=2).eval()
    y = net(torch.rand(1, 3, *size))
    assert y.shape == (1, 3, *expected)
    assert y.abs().max() <= 1


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("mine", [0.0, 0.5])
@pytest.mark.parametrize("saved", [0.0, 0.5])
def test_both_numberings_load(norm, mine, saved):
    torch.manual_seed(0)
    source = ResnetGenerator(blocks=3, ngf=2, norm=norm, dropout=saved).eval()
    state = source.state_dict()
    before = dict(state)
    net = ResnetGenerator(blocks=3, ngf=2, norm=norm, dropout=mine).eval()
    net.load_state_dict(state, strict=True)
    assert state.keys() == before.keys()  # the caller's own dict is left alone
    x = torch.randn(1, 3, 24, 28)
    with torch.no_grad():
        assert torch.equal(net(x), source(x))
    second = {0.0: 5, 0.5: 6}[mine]
    assert f"model.11.conv_block.{second}.weight" in net.state_dict()
    assert net.state_dict()[f"model.11.conv_block.{second}.weight"].ndim == 4


def test_copies_load_too():
    net = copy.deepcopy(ResnetGenerator(blocks=1, ngf=2))
    state = ResnetGenerator(blocks=1, ngf=2, dropout=0.5).state_dict()
    net.load_state_dict(state, strict=True)
    assert torch.equal(
        net.state_dict()["model.10.conv_block.5.weight"], state["model.10.conv_block.6.weight"]
    )


def test_a_block_that_is_missing_is_still_an_error():
    state = ResnetGenerator(blocks=2, ngf=2, dropout=0.5).state_dict()
    del state["model.11.conv_block.6.weight"]
    with pytest.raises(RuntimeError, match=r"model\.11\.conv_block\.5\.weight"):
        ResnetGenerator(blocks=2, ngf=2).load_state_dict(state)


@pytest.mark.parametrize("upsample", ["transpose", "resize"])
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_every_parameter_learns(norm, upsample):
    torch.manual_seed(0)
    net = ResnetGenerator(1, 2, blocks=2, ngf=3, norm=norm, upsample=upsample)
    y = net(torch.randn(2, 1, 16, 20))
    assert y.shape == (2, 2, 16, 20)
    (y - 0.5).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
    assert all(p.grad.abs().sum() > 0 for name, p in net.named_parameters() if name.endswith("weight"))


@pytest.mark.parametrize("args", [{"norm": "group"}, {"upsample": "shuffle"}])
def test_unknown_arguments(args):
    with pytest.raises(ValueError, match=str(next(iter(args.values())))):
        ResnetGenerator(ngf=2, **args)
