"""Losses: known values, gradients that point the right way, and the papers' identities."""

import functools
import math

import pytest
import torch
from torch import nn

from gantool import losses
from gantool.losses import ADVERSARIAL

SHAPES = [(4,), (4, 1), (2, 1, 5, 3)]


def full(shape, value):
    return torch.full(shape, float(value), requires_grad=True)


# --- adversarial


@pytest.mark.parametrize("shape", SHAPES)
def test_known_values(shape):
    zero, one, two = full(shape, 0), full(shape, 1), full(shape, 2)
    log2 = math.log(2)
    assert losses.vanilla_critic(zero, zero).item() == pytest.approx(2 * log2)
    assert losses.vanilla_generator(zero).item() == pytest.approx(log2)
    assert losses.lsgan_critic(one, zero).item() == 0
    assert losses.lsgan_critic(zero, one).item() == pytest.approx(2)
    assert losses.lsgan_generator(one).item() == 0
    assert losses.lsgan_generator(-two).item() == pytest.approx(9)
    assert losses.wgan_critic(two, one).item() == pytest.approx(-1)
    assert losses.wgan_generator(two).item() == pytest.approx(-2)


def test_vanilla_is_cross_entropy_and_stays_finite_at_extreme_logits():
    real, fake = torch.randn(50), torch.randn(50)
    bce = nn.functional.binary_cross_entropy_with_logits
    expected = bce(real, torch.ones(50)) + bce(fake, torch.zeros(50))
    assert torch.allclose(losses.vanilla_critic(real, fake), expected)
    extreme = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = losses.vanilla_critic(extreme, extreme)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(extreme.grad).all()


@pytest.mark.parametrize(("logit", "real_slope", "fake_slope"), [(0.0, -1, 1), (2.0, 0, 1), (-2.0, -1, 0)])
def test_hinge_beyond_its_margin_pulls_no_more(logit, real_slope, fake_slope):
    real, fake = full((1,), logit), full((1,), logit)
    losses.hinge_critic(real, fake).backward()
    assert real.grad.item() == real_slope
    assert fake.grad.item() == fake_slope
    assert losses.hinge_critic(full((3,), 1), full((3,), -1)).item() == 0  # exactly at the margins
    assert losses.hinge_critic(full((3,), 0), full((3,), 0)).item() == 2


@pytest.mark.parametrize("kind", ADVERSARIAL)
@pytest.mark.parametrize("shape", SHAPES)
def test_critic_and_generator_pull_in_opposite_directions(kind, shape):
    real, fake, made = full(shape, -0.1), full(shape, 0.1), full(shape, 0.1)
    ADVERSARIAL[kind].critic(real, fake).backward()
    ADVERSARIAL[kind].generator(made).backward()
    assert (real.grad < 0).all()  # a step raises the answer to real pictures
    assert (fake.grad > 0).all()
    assert (made.grad < 0).all()


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_means_do_not_depend_on_the_number_of_patches(kind):
    real, fake = torch.randn(2, 1, 3, 3), torch.randn(2, 1, 3, 3)
    loss = ADVERSARIAL[kind].critic(real, fake)
    more = ADVERSARIAL[kind].critic(real.repeat(3, 1, 2, 2), fake.repeat(3, 1, 2, 2))
    assert torch.allclose(loss, more, atol=1e-6)


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_half_precision_is_computed_in_float32(kind):
    real, fake = torch.randn(300, dtype=torch.bfloat16), torch.randn(300, dtype=torch.bfloat16)
    loss = ADVERSARIAL[kind].critic(real, fake)
    assert loss.dtype == torch.float32
    assert loss == ADVERSARIAL[kind].critic(real.float(), fake.float())


def test_relativistic_average():
    real, fake = torch.randn(8), torch.randn(8)
    shifted = losses.relativistic_critic(real + 5, fake + 5)  # only the difference counts
    assert torch.allclose(losses.relativistic_critic(real, fake), shifted, atol=1e-5)
    assert losses.relativistic_critic(full((4,), 3), full((4,), 3)).item() == pytest.approx(2 * math.log(2))
    real, fake = full((4,), 0), full((4,), 0)
    losses.relativistic_generator(real, fake).backward()
    assert real.grad is None
    assert (fake.grad < 0).all()
    real, fake = torch.randn(6), torch.randn(6)
    assert torch.allclose(
        losses.relativistic_generator(real, fake), losses.relativistic_critic(fake, real), atol=1e-6
    )


def test_clipping_reaches_every_parameter():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(2, 2))
    losses.clip_weights(net, 0.01)
    assert all(p.abs().max() <= 0.01 for p in net.parameters())
    assert net[1].weight.eq(0.01).all()


def test_spectral_norm_bounds_the_largest_singular_value():
    torch.manual_seed(1)
    net = losses.spectral_norm(nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 1, 3)))
    for _ in range(60):  # one power iteration each
        net(torch.randn(1, 3, 8, 8))
    net.eval()
    for layer in (net[0], net[2]):
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-2)


# --- gradient penalties


class Linear(nn.Module):
    """D(x) = w . x, and with ``patches`` several answers that add up to patches times that."""

    def __init__(self, shape, patches=1):
        super().__init__()
        self.w = nn.Parameter(torch.randn(shape))
        self.patches = patches

    def forward(self, x):
        one = (x * self.w).flatten(1).sum(1, keepdim=True)
        return torch.cat([one * (1 + k - (self.patches - 1) / 2) for k in range(self.patches)], 1)


@pytest.mark.parametrize("patches", [1, 4])
@pytest.mark.parametrize("shape", [(3, 5, 4), (1, 9, 9)])
def test_penalties_of_a_linear_critic(shape, patches):
    torch.manual_seed(0)
    critic = Linear(shape, patches)
    real, fake = torch.randn(6, *shape), torch.randn(6, *shape)
    norm = critic.w.norm()
    assert torch.allclose(losses.gradient_penalty(critic, real, fake), (norm - 1) ** 2, rtol=1e-4)
    assert torch.allclose(losses.r1_penalty(critic, real), norm**2, rtol=1e-4)
    losses.gradient_penalty(critic, real, fake).backward()
    assert torch.allclose(critic.w.grad, 2 * (norm - 1) * critic.w.detach() / norm, rtol=1e-3)


def test_gradient_penalty_looks_between_each_pair_and_not_across_the_batch():
    seen = []

    def critic(x):
        seen.append(x.detach())
        return (x**2).flatten(1).sum(1)

    real, fake = torch.ones(5, 2, 3, 3), torch.zeros(5, 2, 3, 3)
    losses.gradient_penalty(critic, real, fake, torch.Generator().manual_seed(4))
    shares = seen[0][:, 0, 0, 0]
    assert (seen[0] == shares.view(5, 1, 1, 1)).all()  # one share for a whole picture
    assert shares.unique().numel() == 5
    assert ((shares > 0) & (shares < 1)).all()
    # |grad| = 2 |x|, known at every such point
    expected = (2 * seen[0].flatten(1).norm(dim=1) - 1).square().mean()
    again = losses.gradient_penalty(critic, real, fake, torch.Generator().manual_seed(4))
    assert torch.allclose(again, expected)


def test_gradient_penalty_reaches_the_critic_only_and_survives_a_flat_one():
    real, fake = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4, requires_grad=True)
    critic = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 2))
    losses.gradient_penalty(critic, real, fake).backward()
    assert fake.grad is None
    assert critic[0].weight.grad.abs().sum() > 0
    flat = Linear((3, 4, 4))
    nn.init.zeros_(flat.w)
    loss = losses.gradient_penalty(flat, real, fake)
    loss.backward()
    assert loss.item() == 1
    assert torch.isfinite(flat.w.grad).all()


def test_gradient_penalty_in_mixed_precision_is_that_of_float32():
    torch.manual_seed(2)
    critic = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 2))
    real = torch.randn(2, 3, 6, 6)
    expected = losses.r1_penalty(critic, real)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(losses.r1_penalty(critic, real), expected)


def test_gradient_penalty_refuses_pictures_of_two_shapes():
    with pytest.raises(ValueError, match="fake is"):
        losses.gradient_penalty(Linear((1, 4, 4)), torch.zeros(2, 1, 4, 4), torch.zeros(1, 1, 4, 4))


def test_gradient_penalty_pins_the_slope_of_a_critic_that_learns():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(critic.parameters(), 2e-2)
    real, fake = torch.randn(64, 2) * 0.1 + 1, torch.randn(64, 2) * 0.1 - 1
    for _ in range(100):
        loss = losses.wgan_critic(critic(real), critic(fake)) + 10 * losses.gradient_penalty(
            critic, real, fake
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # Clouds d apart: the slope s that makes most of s d - 10 (s - 1)^2 is 1 + d / 20.
    d = 2 * math.sqrt(2)
    estimate = -losses.wgan_critic(critic(real), critic(fake)).item()
    assert estimate == pytest.approx(d * (1 + d / 20), rel=0.05)


# --- likeness


def test_feature_loss():
    fake = [full((2, 3, 4, 4), 1), full((2, 5, 2, 2), 3)]
    real = [full((2, 3, 4, 4), 0), full((2, 5, 2, 2), 1)]
    assert losses.feature_loss(fake, real).item() == pytest.approx(1 + 2)
    assert losses.feature_loss(fake, real, [0.5, 10]).item() == pytest.approx(0.5 + 20)
    loss = losses.feature_loss(fake, real, distance="l2")
    assert loss.item() == pytest.approx(1 + 4)
    loss.backward()
    assert real[0].grad is None
    assert (fake[0].grad > 0).all()
    assert losses.feature_loss(real, real).item() == 0
    with pytest.raises(ValueError, match="zip"):
        losses.feature_loss(fake, real[:1])


def test_gram_of_a_constant_and_of_orthogonal_channels():
    constant = torch.tensor([2.0, -3.0]).view(1, 2, 1, 1).expand(1, 2, 5, 7)
    assert torch.allclose(losses.gram(constant), torch.tensor([[[4.0, -6.0], [-6.0, 9.0]]]) / 2)
    apart = torch.zeros(1, 2, 1, 2)
    apart[0, 0, 0, 0] = apart[0, 1, 0, 1] = 1
    assert torch.allclose(losses.gram(apart), torch.eye(2)[None] / 4)


def test_style_knows_what_but_not_where():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6)
    moved = x.flatten(2)[:, :, torch.randperm(36)].reshape(x.shape)
    assert losses.style_loss([x], [moved]).item() == pytest.approx(0, abs=1e-10)
    one, two = torch.ones(2, 3, 4, 4), torch.ones(1, 3, 8, 5) * 2  # other size, one style for the batch
    assert losses.style_loss([one], [two]).item() == pytest.approx(9 * (1 / 3 - 4 / 3) ** 2)
    assert losses.style_loss([one, one], [two, one], [2.0, 7.0]).item() == pytest.approx(18)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_shares_do_not_depend_on_scale_nor_on_the_other_pictures(scale):
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.rand(3, 4, 6, 5, generator=generator) for _ in range(2))
    relative = functools.partial(losses.style_loss, relative=True)
    for loss in (relative, losses.moment_loss, losses.relative_loss):
        value = loss([scale * x], [scale * y])
        assert value.item() == pytest.approx(loss([x], [y]).item(), rel=1e-4)
        alone = [loss([a[None]], [b[None]]).item() for a, b in zip(x, y, strict=True)]
        assert value.item() == pytest.approx(sum(alone) / 3, rel=1e-3)
        assert loss([x, x], [y, x], [2.0, 1.0]).item() == pytest.approx(2 * loss([x], [y]).item(), abs=1e-3)
        assert loss([0 * y], [y]).item() == pytest.approx(0.5**0.5, abs=0.02)
        assert loss([1e6 * y], [y]).item() == pytest.approx(1, abs=0.02)


def test_moments_know_what_but_not_where():
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    moved = x.flatten(2)[..., torch.randperm(64)].view_as(x)
    assert losses.moment_loss([x], [moved]).item() == pytest.approx(0, abs=1e-3)
    assert losses.relative_loss([x], [moved]).item() > 0.1
    assert losses.moment_loss([x], [x[:, :, :4]]).item() > 0.01
    assert losses.moment_loss([x, x], [x, x + 1]).item() > 0.3


def test_shares_at_nothing_and_at_the_same_have_finite_gradients():
    relative = functools.partial(losses.style_loss, relative=True)
    for loss in (relative, losses.moment_loss, losses.relative_loss):
        for truth in (torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)):
            x = truth.clone().requires_grad_()
            loss([x], [truth]).backward()
            assert x.grad is not None and torch.isfinite(x.grad).all()


def test_gram_gradient():
    x = torch.randn(1, 3, 4, 4, requires_grad=True)
    losses.style_loss([x], [torch.zeros(1, 3, 4, 4)]).backward()
    assert x.grad.abs().sum() > 0


def grain(seed: int, strength: float = 0.05) -> torch.Tensor:
    """Grey with random detail in it, (1,3,96,96)."""
    noise = torch.randn(1, 1, 96, 96, generator=torch.Generator().manual_seed(seed))
    return (0.5 + strength * noise).expand(-1, 3, -1, -1)


def test_texture_is_compared_by_its_grain_and_not_by_its_place():
    real = grain(0)
    assert losses.texture_loss(real, real).item() == 0
    assert losses.texture_loss(real - 0.2, real).item() < 1e-4  # light does not count
    elsewhere = losses.texture_loss(grain(1), real).item()
    assert losses.texture_loss(grain(1, 0), real).item() > 1.5 * elsewhere  # too smooth
    for period, times in ((4, 4), (8, 1.4), (12, 1.4)):  # as strong as the grain, but the same in every cell
        grid = torch.zeros(1, 1, 96, 96)
        grid[..., ::period, ::period] = 0.05 * period
        assert grid.std().item() == pytest.approx(0.05, rel=0.05)
        assert losses.texture_loss((0.5 + grid).expand(-1, 3, -1, -1), real).item() > times * elsewhere
    assert 0 <= losses.texture_loss(grain(2, 1.0), grain(3, 0)).item() <= 1


def test_texture_asks_for_more_detail_where_there_is_too_little():
    made, real = grain(1, 0.01).clone().requires_grad_(), grain(0).clone().requires_grad_()
    losses.texture_loss(made, real).backward()
    assert real.grad is None and made.grad is not None
    stronger = (made.detach() - 0.5) * 1.1
    assert (made.grad * stronger).sum() < 0 and torch.isfinite(made.grad).all()


@pytest.mark.parametrize("size", [(8, 8), (3, 17)])
def test_total_variation_of_ramps(size):
    height, width = size
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    ramp = (0.25 * x - 0.5 * y).expand(2, 3, height, width)
    assert losses.total_variation(ramp).item() == pytest.approx(0.75)
    assert losses.total_variation(torch.full((1, 1, *size), 4.0)).item() == 0


def test_total_variation_of_a_single_row_and_pixel_is_a_number():
    assert losses.total_variation(torch.tensor([[[[0.0, 1.0, 3.0]]]])).item() == pytest.approx(1.5)
    assert losses.total_variation(torch.zeros(1, 1, 1, 1)).item() == 0


def test_total_variation_pulls_a_speck_down():
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 1
    x.requires_grad_()
    losses.total_variation(x).backward()
    assert x.grad[0, 0, 2, 2] > 0


# --- time


def shifted(height=16, width=20, by=3):
    """A picture and the same moved right by ``by`` px, the flow that fetches it, and where it is known."""
    torch.manual_seed(0)
    wide = torch.rand(2, 3, height, width + by)
    before, now = wide[..., by:], wide[..., :width]  # now[x] = before[x - by]
    flow = torch.zeros(2, 2, height, width)
    flow[:, 0] = -by
    visible = torch.ones(2, 1, height, width)
    visible[..., :by] = 0
    return now, before, flow, visible


@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_flow_loss_follows_the_motion(distance):
    now, before, flow, visible = shifted()
    assert losses.flow_loss(now, before, flow, visible, distance).item() == pytest.approx(0, abs=1e-6)
    assert losses.flow_loss(now, before, flow * 0, visible, distance).item() > 0.05
    assert losses.flow_loss(now, before, flow, torch.ones_like(visible), distance).item() > 0.005


def test_flow_loss_counts_visible_pixels_only():
    now, before = torch.full((1, 3, 4, 6), 0.5), torch.zeros(1, 3, 4, 6)
    flow, visible = torch.zeros(1, 2, 4, 6), torch.zeros(1, 4, 6, dtype=torch.bool)
    assert losses.flow_loss(now, before, flow, visible).item() == 0
    visible[:, :, :3] = True
    assert losses.flow_loss(now, before, flow, visible).item() == pytest.approx(0.25)
    assert losses.flow_loss(now, before, flow, visible, "l2").item() == pytest.approx(0.125)


def test_flow_loss_teaches_both_frames_and_takes_small_flows():
    now, before, flow, visible = shifted(by=4)
    now, before = now.requires_grad_(), before.clone().requires_grad_()
    losses.flow_loss(now, before, flow * 0, visible).backward()
    assert now.grad.abs().sum() > 0 and before.grad.abs().sum() > 0
    assert now.grad[..., :4].abs().sum() == 0  # occluded
    small = nn.functional.avg_pool2d(flow, 2) / 2  # half resolution, values with it
    assert losses.flow_loss(now, before, small, visible).item() == pytest.approx(0, abs=1e-5)


def test_visibility():
    now = torch.rand(2, 3, 5, 5)
    assert (losses.visibility(now, now) == 1).all()
    other = now + 0.1
    assert torch.allclose(losses.visibility(now, other), torch.tensor(math.exp(-50 * 0.03)), atol=1e-5)
    assert losses.visibility(now, other).shape == (2, 1, 5, 5)


def test_frame_differences():
    torch.manual_seed(0)
    source_now, source_before = torch.rand(2, 3, 6, 6), torch.rand(2, 3, 6, 6)
    look = torch.rand(2, 3, 6, 6)  # any fixed change of look keeps the differences
    args = (source_now + look, source_before + look, source_now, source_before)
    assert losses.frame_difference_loss(*args).item() == pytest.approx(0, abs=1e-12)
    flicker = losses.frame_difference_loss(source_now + look + 0.1, *args[1:])
    assert flicker.item() == pytest.approx(0.01, rel=1e-3)
    assert losses.frame_difference_loss(args[0] + 0.1, *args[1:], "l1").item() == pytest.approx(0.1, rel=1e-3)


def test_frame_differences_take_a_grey_source_and_teach_both_outputs():
    now, before = torch.rand(1, 3, 4, 4, requires_grad=True), torch.rand(1, 3, 4, 4, requires_grad=True)
    gray_now = torch.rand(1, 1, 4, 4, requires_grad=True)
    losses.frame_difference_loss(now, before, gray_now, torch.zeros(1, 1, 4, 4)).backward()
    assert now.grad.abs().sum() > 0
    assert torch.allclose(now.grad, -before.grad)
    assert gray_now.grad is None
