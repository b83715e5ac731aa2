"""VGG19's features: names, shapes, arithmetic, and what stands before and behind a ReLU."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gantool.models.vgg import IMAGENET_MEAN, IMAGENET_STD, VGG16, VGG19, fold_norm, layer_names

CONVS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)


@pytest.fixture
def theirs():
    """torchvision's layers, without the classifier, which alone has 124 million weights."""
    vgg = pytest.importorskip("torchvision.models.vgg")
    torch.manual_seed(1)
    return vgg.make_layers(vgg.cfgs["E"]).eval()


def test_keys_and_sizes_are_torchvisions(theirs):
    ours = VGG19().state_dict()
    assert {k: v.shape for k, v in ours.items()} == {
        f"features.{k}": v.shape for k, v in theirs.state_dict().items()
    }
    assert sorted({int(k.split(".")[1]) for k in ours}) == list(CONVS)
    assert sum(v.numel() for v in ours.values()) == 20_024_384


def test_same_numbers_as_torchvisions_layers(theirs):
    ours = VGG19().eval()
    ours.load_state_dict({f"features.{k}": v for k, v in theirs.state_dict().items()})
    x = torch.rand(1, 3, 19, 26)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        y = (x - mean) / std
        found = ours(x, layer_names())
        for name, layer in zip(layer_names(), theirs, strict=False):
            y = layer(y.clone())  # a copy: torchvision's ReLUs work in place
            assert torch.allclose(found[name], y, atol=1e-6), name
            assert (y < 0).any() == name.startswith("conv")


def test_vgg16_is_torchvisions_too():
    vgg = pytest.importorskip("torchvision.models.vgg")
    torch.manual_seed(2)
    theirs, ours = vgg.make_layers(vgg.cfgs["D"]).eval(), VGG16().eval()
    ours.load_state_dict({f"features.{k}": v for k, v in theirs.state_dict().items()}, strict=True)
    assert sum(v.numel() for v in ours.state_dict().values()) == 14_714_688
    names = layer_names(VGG16.blocks)
    assert names[-1] == "relu5_3" and set(VGG16.ends) < set(names) and set(VGG19.ends) < set(layer_names())
    x = torch.rand(1, 3, 16, 21)
    with torch.no_grad():
        y, found = ours.normalised(x), ours(x, VGG16.ends)
        for name, layer in zip(names, theirs, strict=False):
            y = layer(y.clone())
            if name in found:
                assert torch.allclose(found[name], y, atol=1e-6), name
        assert list(ours(x)) == ["relu5_3"]
    with pytest.raises(ValueError, match="VGG16 has no layer relu3_4"):
        ours(x, ["relu3_4"])


def test_a_quarter_of_the_width_fits_four_megabytes():
    state = VGG19(0.25).state_dict()
    assert state["features.0.weight"].shape == (16, 3, 3, 3)
    assert state["features.34.weight"].shape == (128, 128, 3, 3)
    assert 2 * sum(v.numel() for v in state.values()) < 4e6


def test_before_and_behind_the_relu_in_the_order_asked_for():
    net = VGG19(0.05).eval()
    x = torch.rand(2, 3, 48, 64)
    found = net(x, ["conv3_4", "relu1_2", "relu3_4"])
    assert list(found) == ["conv3_4", "relu1_2", "relu3_4"]
    assert (found["conv3_4"] < 0).any()
    assert torch.equal(F.relu(found["conv3_4"]), found["relu3_4"])
    assert found["relu1_2"].shape[-2:] == (48, 64) and found["relu3_4"].shape[-2:] == (12, 16)


def test_nothing_is_computed_beyond_the_last_layer_asked_for():
    net = VGG19(0.05)
    called = []
    for layer in net.features:
        layer.register_forward_hook(lambda *_: called.append(1))
    net(torch.rand(1, 3, 8, 8), ["conv1_2"])
    assert len(called) == 3


@pytest.mark.parametrize("side", [15, 1])
def test_too_small_pictures_and_unknown_layers_say_so(side):
    net = VGG19(0.05)
    with pytest.raises(ValueError, match="at least 16 x 16"):
        net(torch.rand(1, 3, side, 40), ["conv5_1"])
    with pytest.raises(ValueError, match="no layer relu5_5"):
        net(torch.rand(1, 3, 40, 40), ["relu5_5"])
    assert net(torch.rand(1, 3, 16, 16), ["relu5_4"])["relu5_4"].shape[-2:] == (1, 1)


def test_pooling_by_the_mean_and_padding_by_replication():
    torch.manual_seed(0)
    most, mean = VGG19(0.05).eval(), VGG19(0.05, pool="avg").eval()
    mean.load_state_dict(most.state_dict())
    x = torch.rand(1, 3, 32, 32)
    found = mean(x, ["relu1_2", "pool1"])
    assert torch.allclose(found["pool1"], F.avg_pool2d(found["relu1_2"], 2), atol=1e-6)
    assert (most(x, ["pool1"])["pool1"] >= found["pool1"]).all()
    with pytest.raises(ValueError, match="no pooling called 'median'"):
        VGG19(pool="median")
    replicated = VGG19(0.05, padding="replicate").eval()
    flat = replicated(torch.full((1, 3, 16, 16), 0.3), ["relu4_4"])["relu4_4"]
    assert torch.allclose(flat, flat[..., :1, :1].expand_as(flat), atol=1e-6)  # a flat picture has no border


def test_normalisation_of_the_row():
    plain, ours = VGG19(0.05), VGG19(0.05, mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25])
    assert torch.allclose(ours.normalised(torch.full((1, 3, 1, 1), 0.75)), torch.ones(1, 3, 1, 1))
    white = plain.normalised(torch.ones(1, 3, 1, 1)).flatten()
    assert torch.allclose(white, torch.tensor([2.2489, 2.4286, 2.6400]), atol=1e-4)
    assert ours.bfloat16().normalised(torch.rand(1, 3, 4, 4)).dtype == torch.bfloat16


def test_folded_batch_norm_is_the_same_function():
    torch.manual_seed(2)
    conv, norm = nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5)
    nn.init.uniform_(norm.weight, -2, 2)
    nn.init.normal_(norm.bias)
    norm.train()
    for _ in range(20):
        norm(conv(torch.rand(4, 3, 8, 8)))
    norm.eval()
    x = torch.rand(2, 3, 8, 8)
    weight, bias = fold_norm(conv, norm)
    assert torch.allclose(F.conv2d(x, weight, bias, padding=1), norm(conv(x)), atol=1e-5)
