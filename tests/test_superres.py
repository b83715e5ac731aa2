"""What the recipes of super-resolution share: pairs that belong together, critics, games, layers, rates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from gantool import losses, superres
from gantool.errors import UsageError
from gantool.ops.resize import matlab_resize
from gantool.training import GameConfig
from gantool.upscalers import edsr


def photo(height: int = 90, width: int = 70) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def pairs(**values) -> superres.Pairs:
    return superres.Pairs(superres.PairConfig(**({"scale": 2, "patch": 16} | values)))


# ---- pairs


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_crops_are_those_of_matlab_s_reduction(scale):
    made = pairs(scale=scale)
    item = made.prepare(photo())
    assert item is not None
    low, high = item
    assert np.array_equal(low, matlab_resize(high, high.shape[0] // scale, high.shape[1] // scale))
    small, large = made.crop(item, np.random.default_rng(4))
    assert small.shape == (3, 16, 16) and large.shape == (3, 16 * scale, 16 * scale)
    assert small.dtype == large.dtype == np.float32 and small.min() >= 0 and large.max() <= 1


def test_low_and_high_show_the_same_place():
    """The mean of every block of a large crop of a smooth picture is about the pixel of the small one."""
    y, x = np.mgrid[:96, :80]
    smooth = np.stack([2 * y, 3 * x, y + x], axis=-1).astype(np.uint8)
    for name in ("bicubic", "bsrgan", "real-esrgan"):
        made = pairs(scale=4, patch=12, degrade=name)
        item = made.prepare(smooth)
        assert item is not None
        for seed in range(8):
            low, high = made.crop(item, np.random.default_rng(seed))
            blocks = high.reshape(3, 12, 4, 12, 4).mean((2, 4))
            # A shift by two pixels would be 8 to 24 levels in the mean.
            assert abs(float((low - blocks).mean())) * 255 < (1 if name == "bicubic" else 6), (name, seed)


def test_random_recipes_spoil_every_crop_anew_and_repeat_with_the_generator():
    made = pairs(degrade="bsrgan")
    item = made.prepare(photo())
    assert item is not None and len(item) == 1
    one, again, other = (made.crop(item, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one[0], again[0]) and np.array_equal(one[1], again[1])
    assert not np.array_equal(one[0], other[0])


def test_margins_end_at_the_edges_of_the_photo():
    """Every place of a photo hardly larger than the crop can be cut, corners too."""
    made = pairs(degrade="bsrgan", patch=16)
    (image,) = made.prepare(photo(34, 37)) or (None,)
    assert image is not None
    for top in (0, 1):
        for left in (0, 2):
            low, high = made._cut((image,), top, left, np.random.default_rng(0))
            assert low.shape == (16, 16, 3) and high.shape == (32, 32, 3)
            y, x = 2 * top, 2 * left
            assert np.array_equal(high, image[y : y + 32, x : x + 32])


@pytest.mark.parametrize("name", ["bicubic", "bsrgan"])
def test_photos_smaller_than_a_crop_are_dropped(name):
    assert pairs(degrade=name).prepare(photo(31, 90)) is None
    assert pairs(degrade=name).prepare(photo(33, 33)) is not None


def test_nothing_kept_out_is_no_error():
    assert len(pairs().held([])) == 0


# ---- critics and games


def game(**values) -> superres.Game:
    return superres.Game(GameConfig(**values))


@pytest.mark.parametrize("kind", superres.CRITICS)
def test_critics_judge_pictures_of_the_crop(kind):
    critic = superres.critic_of(kind, 64, 4, game())
    assert critic(torch.rand(2, 3, 64, 64)).shape[:2] == (2, 1)


@pytest.mark.parametrize("values", [{"spectral": True}, {"gan": "wgangp"}, {"r1": 1.0}])
@pytest.mark.parametrize("kind", ["vgg", "patch"])
def test_batch_norm_gives_way(kind, values):
    def norms(**values) -> int:
        critic = superres.critic_of(kind, 64, 4, game(**values))
        return sum(isinstance(layer, nn.BatchNorm2d) for layer in critic.modules())

    assert norms() > 0 and norms(**values) == 0


def test_the_relativistic_game():
    played = game(gan="relativistic")
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0])
    assert played.critic(real, fake) == losses.relativistic_critic(real, fake)
    assert played.accuracy(real, fake).item() == 0.5  # 1 is no more than the fakes' mean, 2 no less
    assert played.accuracy(real + 10, fake).item() == 1
    asked = []

    def ask(x: torch.Tensor) -> torch.Tensor:
        asked.append(x)
        return x * 2

    fake.requires_grad_()
    loss = played.against(ask, real, fake)
    assert loss.item() == pytest.approx(losses.relativistic_generator(real * 2, fake * 2).item())
    loss.backward()
    assert (fake.grad < 0).all() and len(asked) == 2


def test_other_games_do_not_ask_about_real_pictures():
    asked = []
    fake = torch.zeros(2)
    loss = game(gan="lsgan").against(lambda x: asked.append(x) or x, torch.ones(2), fake)
    assert loss.item() == 1 and len(asked) == 1 and asked[0] is fake


# ---- layers, rates, nets


def test_layers_with_and_without_weights():
    assert superres.layers_of("conv5_4") == {"conv5_4": 1.0}
    assert superres.layers_of("conv1_2:0.1, relu3_4:2  conv5_4") == {
        "conv1_2": 0.1,
        "relu3_4": 2.0,
        "conv5_4": 1.0,
    }


def test_rates_fall_at_shares_of_the_whole():
    rates = [
        superres.stepped(step, 400, (1 / 8, 1 / 4, 1 / 2, 3 / 4), 0.5) for step in (-5, 49, 50, 100, 399)
    ]
    assert rates == [1, 1, 0.5, 0.25, 0.0625]


def test_nets_of_other_ranges_are_asked_in_theirs():
    given = []

    def net(x: torch.Tensor) -> torch.Tensor:
        given.append(x)
        return x + 51

    y = superres.enlarger(net, edsr())(torch.full((1, 3, 2, 2), 0.5))
    assert torch.allclose(given[0], torch.tensor(127.5)) and torch.allclose(y, torch.tensor(0.7))


@pytest.mark.parametrize(("kind", "blocks", "most"), [("rrdb", 0, 16_697_987), ("compact", 0, 621_424)])
def test_generators_are_the_papers_unless_asked_otherwise(kind, blocks, most):
    layout = superres.generator(kind, 4, 64, blocks)
    with torch.device("meta"):
        net = superres.net_of(layout)
    assert sum(p.numel() for p in net.parameters()) == most


def test_generators_that_cannot_be():
    with pytest.raises(UsageError, match="RRDBNet makes 1, 2, 4 or 8"):
        superres.net_of(superres.generator("rrdb", 3, 8, 1))
