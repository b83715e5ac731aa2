"""Convolutions by products equal the plain ones, in value and in gradients of every order."""

import copy

import pytest
import torch
from torch import nn

from gantool.ops import fewpixels

CONV, TRANSPOSED = nn.Conv2d, nn.ConvTranspose2d
LAYERS = [
    (CONV, (4, 4), (2, 2), (1, 1)),
    (CONV, (3, 1), (1, 2), (1, 0)),
    (CONV, (2, 3), (2, 3), (0, 2)),
    (TRANSPOSED, (4, 4), (2, 2), (1, 1)),
    (TRANSPOSED, (3, 2), (2, 3), (0, 0)),  # a stride beyond the kernel leaves holes
    (TRANSPOSED, (5, 4), (1, 2), (2, 1)),
]
CASES = [(*layer, size) for layer in LAYERS for size in ((4, 3), (5, 6))]
CASES += [(*layer, (1, 1)) for layer in LAYERS if layer[0] is TRANSPOSED]
CASES += [(CONV, (3, 3), (2, 2), (1, 1), (1, 1))]


@pytest.fixture(autouse=True)
def small_layers_too(monkeypatch):
    monkeypatch.setattr(fewpixels, "_WEIGHTS", 1)


def quick(*layers):
    net = nn.Sequential(*layers)
    fewpixels.quicken(net)
    return net


def went_by_products(monkeypatch):
    calls = []
    for kind in ("_Product", "_Transposed"):
        function = getattr(fewpixels, kind)
        original = function.apply

        def apply(*arguments, original=original, kind=kind):
            calls.append(kind)
            return original(*arguments)

        monkeypatch.setattr(function, "apply", apply)
    return calls


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind, kernel, stride, padding, size", CASES)
def test_equals_the_plain_way(kind, kernel, stride, padding, size, bias, monkeypatch):
    torch.manual_seed(0)
    layer = kind(3, 2, kernel, stride, padding, bias=bias).double()
    products, calls = quick(copy.deepcopy(layer)), went_by_products(monkeypatch)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    found = []
    for net in (layer, products):
        seen = x.clone().requires_grad_()
        y = net(seen)
        weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
        found.append((y, *torch.autograd.grad((y * weights).sum(), (seen, *net.parameters()))))
    assert calls
    for ours, plain in zip(*found, strict=True):
        assert ours.shape == plain.shape
        assert torch.allclose(ours, plain, atol=1e-12)


@pytest.mark.parametrize("kind", [CONV, TRANSPOSED])
def test_gradients_of_gradients_are_right(kind):
    """A gradient penalty asks for them."""
    torch.manual_seed(0)
    net = quick(kind(2, 2, 3, 2, 1).double())
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in net.named_parameters()]

    def call(x, *values):
        return torch.func.functional_call(net, dict(zip(names, values, strict=True)), x)

    arguments = (x, *(p.detach().clone().requires_grad_() for p in net.parameters()))
    assert torch.autograd.gradcheck(call, arguments)
    assert torch.autograd.gradgradcheck(call, arguments)


def test_parameters_and_names_stay_the_same_and_a_state_loads():
    net = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Sequential(nn.ConvTranspose2d(8, 4, 4, 2, 1)))
    before = {name: id(p) for name, p in net.named_parameters()}
    state = {name: value.clone() for name, value in net.state_dict().items()}
    fewpixels.quicken(net)
    assert {name: id(p) for name, p in net.named_parameters()} == before
    net.load_state_dict(state, strict=True)


def test_only_layers_that_it_knows_are_taken(monkeypatch):
    hooked = nn.Conv2d(4, 4, 3)
    hooked.register_forward_hook(lambda *_: None)
    others = [
        hooked,
        nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 3)),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1),
    ]
    net, calls = quick(*others), went_by_products(monkeypatch)
    assert [type(layer) for layer in net] == [type(layer) for layer in others]
    net(torch.randn(1, 4, 16, 16))
    assert not calls
    monkeypatch.setattr(fewpixels, "_WEIGHTS", 4 * 4 * 9 + 1)
    assert type(quick(nn.Conv2d(4, 4, 3))[0]) is nn.Conv2d


@pytest.mark.parametrize("kind", [CONV, TRANSPOSED])
def test_many_pixels_trained_nets_and_recorded_graphs_go_the_plain_way(kind, monkeypatch):
    net, calls = quick(kind(2, 2, 4, 2, 1)), went_by_products(monkeypatch)
    few = torch.randn(1, 2, *((32, 32) if kind is CONV else (16, 16)))
    with torch.no_grad():
        net(few)
    torch.jit.trace(net, few, check_trace=False)
    net(torch.cat((few, few)))
    assert not calls
    net(few)
    assert len(calls) == 1


def test_autocast_is_heeded():
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 8, 3, padding=1)
    net, x = quick(copy.deepcopy(layer)), torch.randn(1, 8, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, plain = net(x), layer(x)
    assert ours.dtype == plain.dtype == torch.bfloat16
    assert (ours.float() - plain.float()).abs().max() < 0.03
    ours.float().sum().backward()
    assert net[0].weight.grad.dtype == torch.float32
