"""The adversarial half of recipes: losses by name, penalties, accuracy, what is told of them."""

import pytest
import torch
from torch import nn

from gantool.errors import UsageError
from gantool.training import Game, GameConfig, frozen


@pytest.mark.parametrize(("gan", "threshold"), [("vanilla", 0.0), ("hinge", 0.0), ("lsgan", 0.5)])
def test_accuracy_counts_answers_on_the_right_side(gan, threshold):
    game = Game(GameConfig(gan=gan))
    real = torch.tensor([threshold + 0.1, threshold + 0.2, threshold - 0.3, threshold + 1])
    fake = torch.tensor([threshold - 0.1, threshold + 0.2, threshold - 0.3, threshold + 1])
    assert float(game.accuracy(real, fake)) == pytest.approx((3 / 4 + 2 / 4) / 2)


def test_wasserstein_accuracy_is_about_the_order():
    game = Game(GameConfig(gan="wgangp"))
    assert float(game.accuracy(torch.tensor([5.0, 5.0]), torch.tensor([4.0, 6.0]))) == 0.5


def test_the_penalty_is_weighted_and_its_norm_is_told():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    real, fake = torch.rand(4, 3, 2, 2), torch.rand(4, 3, 2, 2)
    game = Game(GameConfig(gan="wgangp", gp=10, r1=4))
    penalty = game.penalty(critic, real, fake)
    norm = critic[1].weight.norm()
    assert penalty is not None
    assert float(penalty) == pytest.approx(float(10 * (norm - 1) ** 2 + 2 * norm**2), rel=1e-5)
    assert float(game.figures(critic, "b")["gp_norm_b"]) == pytest.approx(float(norm), rel=1e-5)
    assert Game(GameConfig(gan="vanilla")).penalty(critic, real, fake) is None


def test_wgan_clips_and_tells_how_many_weights_stand_at_the_bound():
    critic = nn.Linear(4, 1)
    with torch.no_grad():
        critic.weight.copy_(torch.tensor([[0.5, -0.5, 0.001, 0.002]]))
        critic.bias.zero_()
    game = Game(GameConfig(gan="wgan", clip=0.01))
    game.after_step(critic)
    assert critic.weight.abs().max() <= 0.01
    assert float(game.figures(critic)["clipped"]) == pytest.approx(2 / 5)


def test_spectral_norm_only_if_asked_for():
    plain = Game(GameConfig()).prepare(nn.Linear(4, 4))
    normed = Game(GameConfig(spectral=True)).prepare(nn.Linear(4, 4))
    assert "weight" in plain.state_dict() and "weight" not in normed.state_dict()


def test_an_unknown_game_is_a_usage_error():
    with pytest.raises(UsageError, match="no game called 'wgan-gp'"):
        Game(GameConfig(gan="wgan-gp"))


def test_frozen_nets_pass_gradients_on_and_get_none():
    critic, x = nn.Linear(2, 1), torch.ones(1, 2, requires_grad=True)
    with frozen(critic):
        critic(x).sum().backward()
    assert x.grad is not None and critic.weight.grad is None and critic.weight.requires_grad
