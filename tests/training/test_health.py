"""Every ailment is warned of once, with what to try; health is silent."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gantool.training.health import COLLAPSE, CRITIC_TOO_GOOD, Health, advice, spread

RNG = np.random.default_rng(0)
CONFIG = {"gan": "lsgan", "r1": 0.0, "lr": 2e-4, "critic_lr": 4e-4, "clip": 0.01, "gp": 10.0, "ndf": 64}


def photos(count: int = 6, size: int = 48, seed: int = 0) -> np.ndarray:
    """Smooth random pictures that differ from each other."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    phase = rng.uniform(0, 6, (count, 3, 1, 1))
    waves = np.sin(phase + 5 * x * rng.uniform(0.3, 1, (count, 3, 1, 1)) + 4 * y)
    return np.moveaxis((waves + 1) * 127, 1, -1).astype(np.uint8)


class Ward:
    """A Health, and what it said."""

    def __init__(self, **options: object) -> None:
        self.said: list[str] = []
        self.health = Health(self.said.append, CONFIG, **options)  # type: ignore[arg-type]
        self.step = 0

    def lines(self, count: int, **values: object) -> list[str]:
        """Log ``count`` lines; a callable is asked for each value by its place in 0..1. Gives what is new."""
        before = len(self.said)
        for i in range(count):
            self.step += 20
            place = i / max(1, count - 1)
            now = {k: float(v(place)) if callable(v) else float(v) for k, v in values.items()}  # type: ignore[arg-type]
            self.health.values(self.step, now)
        return self.said[before:]


def wobble(mean: float, share: float = 0.1):
    return lambda _: mean * (1 + share * RNG.standard_normal())


def test_a_healthy_run_is_silent():
    ward = Ward()
    for block in range(5):
        said = ward.lines(
            100,
            d_accuracy=wobble(0.75),
            g=wobble(1.0),
            d=wobble(0.5),
            g_norm=wobble(2.0, 0.3),
            gp_norm=wobble(1.0),
            clipped=0.3,
            images_per_s=9,
        )
        ward.health.scores(ward.step, {"psnr": 20 + block})
        ward.health.samples(ward.step, 255 - photos(), photos(seed=1), photos())
        assert said == []
    assert ward.said == []


def test_a_critic_too_good_is_told_once_and_again_after_it_went_away():
    ward = Ward()
    rising = {"d_accuracy": 0.99, "g": lambda t: 1 + 4 * t}
    (said,) = ward.lines(100, **rising)
    assert said.startswith("step 500: the critic is right in 99% of cases and g rises (1.")
    assert said.endswith("A new run with --set gan=wgangp or --set r1=10 or --set critic_lr=0.0002 may help.")
    assert ward.lines(3, d_accuracy=0.9, g=5) == []
    assert ward.lines(20, d_accuracy=0.99, g=lambda t: 5 + t) == [], "a short dip is no recovery"
    assert ward.lines(80, d_accuracy=0.8, g=1) == []
    assert len(ward.lines(100, **rising)) == 1


def test_a_good_critic_alone_is_no_ailment():
    assert Ward().lines(200, d_accuracy=0.99, g=lambda t: 5 - 4 * t) == []
    assert Ward().lines(200, d_accuracy=0.9, g=lambda t: 1 + t) == []


def test_a_wasserstein_critic_may_be_right():
    said: list[str] = []
    health = Health(said.append, {"gan": "wgangp"})
    for step in range(200):
        health.values(step, {"d_accuracy": 1.0, "g": float(step)})
    assert said == []


def test_each_critic_has_its_own_loss():
    ward = Ward()
    (said,) = ward.lines(60, d_accuracy_a=0.99, d_accuracy_b=0.99, g_a=lambda t: 3 - t, g_b=lambda t: 1 + t)
    assert "g_b rises" in said


def test_a_guessing_critic():
    stuck = {"d_accuracy": wobble(0.5, 0.02), "g": wobble(0.25, 0.01), "d": wobble(0.5, 0.01)}
    (said,) = Ward().lines(150, **stuck)
    assert "only guesses" in said and "--set critic_lr=0.0008 or --set ndf=128" in said
    assert Ward().lines(150, **stuck | {"d": lambda t: 1 - t / 2}) == [], "a loss that moves"
    better = Ward()
    for i in range(10):
        better.lines(20, **stuck)
        better.health.scores(better.step, {"psnr": 20 + i})
    assert better.said == [], "the samples get better: the critic is at its best, not lost"


@pytest.mark.parametrize(
    ("better", "scores", "warned"), [("psnr", (20, 19), True), ("-percept", (0.4, 0.3), False)]
)
def test_which_score_counts(better, scores, warned):
    ward = Ward(better=better)
    for score in scores:
        ward.health.scores(0, {better.removeprefix("-"): score, "other": 1.0})
    said = ward.lines(80, accuracy=0.5, adv=0.69, critic=1.38)
    assert bool(said) == warned


def test_a_gradient_that_explodes():
    ward = Ward()
    assert ward.lines(19, d_norm=1.0) == [] and ward.lines(1, d_norm=300.0) == [], "too early to tell"
    assert ward.lines(30, d_norm=wobble(1.0)) == []
    (said,) = ward.lines(2, d_norm=50.0)
    assert "d_norm is 50, 5" in said and "times its usual" in said and "--set lr=0.0001" in said
    assert ward.lines(10, d_norm=1.0) == [] and len(ward.lines(1, d_norm=50.0)) == 1


def test_clipped_weights():
    ward = Ward()
    assert ward.lines(4, clipped=0.9) == []
    (said,) = ward.lines(20, clipped=0.9)
    assert "90% of the critic's weights" in said and "--set gan=wgangp or --set clip=0.02" in said


@pytest.mark.parametrize(
    ("norm", "remedy"), [(4.0, "--set gp=20 or --set critic_lr=0.0002"), (0.2, "--set gp=5")]
)
def test_a_penalty_that_does_not_hold(norm, remedy):
    ward = Ward()
    assert ward.lines(24, d_gp_norm=norm) == []
    (said,) = ward.lines(60, d_gp_norm=norm)
    assert f"norm {norm:.3g} where the penalty wants 1" in said and f"with {remedy} may help" in said


def sampled(ward: Ward, times: int, *pictures: object) -> list[str]:
    before = len(ward.said)
    for _ in range(times):
        ward.step += 500
        ward.health.samples(ward.step, *pictures)  # type: ignore[arg-type]
    return ward.said[before:]


def test_black_and_constant_samples():
    real, black = photos(), np.zeros((6, 48, 48, 3), np.uint8)
    ward = Ward()
    (said,) = sampled(ward, 3, real, black, real)
    assert said.startswith("step 500: the samples are black.") and "--set lr=0.0001" in said
    assert sampled(ward, 1, 255 - real, real, real) == [], "it went away"
    (said,) = sampled(ward, 1, real, black + 200, real)
    assert "of one colour" in said
    assert sampled(Ward(), 3, None, black) != [] and sampled(Ward(), 3, real, black, black) == []


def test_collapse_of_diversity():
    real = photos()
    alike = np.clip(real[:1] + RNG.integers(0, 12, real.shape), 0, 255).astype(np.uint8)
    ward = Ward()
    assert sampled(ward, 1, None, alike, real) == []
    (said,) = sampled(ward, 4, None, alike, real)
    assert "collapse" in said and "gan=wgangp" in said
    assert sampled(ward, 1, None, real, real) == [] and len(sampled(ward, 2, None, alike, real)) == 1
    assert sampled(Ward(), 4, None, alike) == [], "nothing to compare with"
    assert sampled(Ward(), 4, None, real[:1], real[:1]) == [], "one picture has no spread"


def test_outputs_that_are_the_inputs():
    real = photos()
    gray = real.mean(-1, keepdims=True).astype(np.uint8)
    copied = np.repeat(gray, 3, -1)
    for inputs in (gray, gray[..., 0], copied, list(copied)):
        (said,) = sampled(Ward(), 3, inputs, copied, real)
        assert "their inputs again (mean difference 0.00 of 255)" in said
    assert sampled(Ward(), 3, gray, real, real) == []
    assert sampled(Ward(changes=False), 3, gray, copied, real) == []
    assert sampled(Ward(), 3, real, real, real) == [], "where inputs are as they should be, all is well"
    near = np.clip(real + 1.0, 0, 255).astype(np.uint8)
    assert len(sampled(Ward(paired=False), 3, real, near, photos(seed=5))) == 1
    assert sampled(Ward(paired=False), 3, real, photos(seed=7), photos(seed=5)) == []


def test_inputs_of_another_size_are_enlarged():
    real = photos(size=48)
    small = real[:, ::4, ::4]
    assert sampled(Ward(), 3, small, real, real) == []


def test_a_resumed_run_warns_alike():
    """Stopped at any line, the warnings are those of an unbroken run."""
    values = {
        "d_accuracy": [0.99] * 120,
        "g": np.linspace(1, 4, 120).tolist(),
        "g_norm": [1.0] * 90 + [50.0] * 3 + [1.0] * 27,
        "clipped": [0.9] * 120,
    }
    lines = [dict(zip(values, line, strict=True)) for line in zip(*values.values(), strict=True)]
    black = np.zeros((4, 8, 8, 3), np.uint8)

    def go(health: Health, first: int, last: int) -> None:
        for step in range(first, last):
            health.values(step, lines[step])
            if step % 10 == 0:
                health.samples(step, None, black)

    whole: list[str] = []
    go(Health(whole.append, CONFIG), 0, 120)
    assert len(whole) == 4
    for cut in (3, 24, 25, 91, 93, 110):
        said: list[str] = []
        first = Health(said.append, CONFIG)
        go(first, 0, cut)
        state = json.loads(json.dumps(first.state_dict()))  # nothing but plain values
        go(first, cut, 120)  # and the state is not bound to its giver
        del said[:]
        go(Health(said.append, CONFIG), 0, cut)
        second = Health(said.append, CONFIG)
        second.load_state_dict(state)
        go(second, cut, 120)
        assert said == whole, cut


def test_memory_does_not_grow():
    ward = Ward()
    ward.lines(500, g_norm=1.0, g=1.0)
    assert {len(values) for values in ward.health.state_dict()["history"].values()} == {100}


def test_advice_names_what_the_recipe_has():
    assert advice(CRITIC_TOO_GOOD, {"gan": "wgangp", "r1": 10.0, "critic_lr": 1e-4}).endswith(
        "with --set critic_lr=5e-05 may help"
    )
    same = advice(CRITIC_TOO_GOOD, {"lr": 2e-4, "critic_lr": 0.0})
    assert same == "A new run with --set critic_lr=0.0001 may help", "0 is the generator's"
    assert advice(COLLAPSE, {"lr": 0, "size": 8}) == "Look at the samples, and at the data with --check"
    assert advice(CRITIC_TOO_GOOD, None) == "A new run with --set gan=wgangp or --set r1=10 may help"


def test_spread():
    assert spread([np.zeros((8, 8, 3), np.uint8), np.full((16, 16, 3), 100, np.uint8)]) == pytest.approx(100)
    assert spread(photos(1)) == 0
