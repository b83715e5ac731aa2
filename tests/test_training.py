"""EMA, run folders and the loop, without a real recipe."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gantool import training
from gantool.errors import DivergedError, InputError, OutputError, Stopped, UsageError, WeightsError
from gantool.settings import param
from gantool.training import Ema, Loop, TrainRequest


@dataclass
class Config:
    lr: float = param(0.1, "rate")
    deep: bool = param(False, "or not")
    name: str = param("a", "word")
    count: int = param(3, "number", low=1, high=9)


def test_a_slow_ema_looks_at_every_fourth_step():
    net = nn.Linear(2, 2, bias=False)
    ema, exact = Ema(net, 0.999), net.weight.detach().clone()
    for step in range(1000):
        with torch.no_grad():
            net.weight += 0.01
        before = ema.state["weight"].clone()
        ema.update(net, step)
        exact.lerp_(net.weight.detach(), 1 - min(0.999, (1 + step) / (10 + step)))
        moved = not torch.equal(before, ema.state["weight"])
        assert moved == (step < 16 or step % 4 == 3)
    behind = float((net.weight.detach() - exact).min())
    assert behind > 1  # a hundred steps
    assert float((ema.state["weight"] - exact).abs().max()) < 0.02  # two steps
    none = Ema(net, 0.0)
    with torch.no_grad():
        net.weight += 1
    none.update(net, 500)
    assert torch.equal(none.state["weight"], net.weight)


def test_ema_follows_and_is_applied_only_inside():
    net = nn.Linear(2, 2)
    ema = Ema(net, 0.9)
    first = net.weight.detach().clone()
    with torch.no_grad():
        net.weight.add_(1.0)
    ema.update(net, 10_000)
    assert torch.allclose(ema.state["weight"], first + 0.1)
    with ema.applied(net):
        assert torch.allclose(net.weight, first + 0.1) and not net.training
    assert torch.allclose(net.weight, first + 1.0) and net.training


def test_cosine_warms_up_and_comes_down():
    values = [training.cosine(s, 1000, warmup=100) for s in range(1000)]
    assert values[0] == pytest.approx(0.01) and max(values) == pytest.approx(1, abs=1e-3)
    assert values[-1] < 0.011 and values[99] == pytest.approx(1)


def request(tmp_path, **values) -> TrainRequest:
    return TrainRequest("upscale", (tmp_path,), tmp_path / "run", **values)


class Part:
    """A part of the state that remembers when it was asked for."""

    def __init__(self) -> None:
        self.saved: list[int] = []
        self.loop: Loop | None = None

    def state_dict(self):
        assert self.loop is not None
        self.saved.append(self.loop.done)
        return {}

    def load_state_dict(self, state):
        pass


def loop(
    run, asked, start=0, scores=lambda step: {}, export=lambda path: None, sample_every=4, better="psnr"
):
    part, sampled = Part(), []
    if start:
        run.resumed = True
        torch.save({"step": start, "part": {}, "health": training.Health(print).state_dict()}, run.last)
    fabric = training.fabric_for(TrainRequest("upscale", (), run.folder, device="cpu", precision="fp32"))
    made = Loop(
        run,
        asked,
        fabric,
        1,
        {"part": part},
        lambda step: sampled.append(step) or scores(step),
        export,
        better=better,
        log_every=2,
        sample_every=sample_every,
    )
    part.loop = made
    return made, part.saved, sampled


def test_loop_saves_samples_and_ends(tmp_path):
    asked = request(tmp_path, steps=10)
    run, _ = training.open_run(asked, Config, lambda c: 99)
    made, saved, sampled = loop(run, asked)
    for step in made:
        made.report(step, loss=torch.tensor(float(step)))
    assert sampled == [4, 8, 10] and saved == [4, 8, 10]
    lines = [json.loads(x) for x in (run.folder / "log.jsonl").read_text().splitlines()]
    assert [x["step"] for x in lines] == [2, 4, 6, 8, 10] and lines[0]["loss"] == 0.5


def test_stop_after_ends_early_and_counts_from_the_start(tmp_path):
    asked = request(tmp_path, steps=10, stop_after=3)
    run, _ = training.open_run(asked, Config, lambda c: 99)
    made, saved, _ = loop(run, asked, start=5)
    assert list(made) == [5, 6, 7] and saved == [8]


def test_stop_saves_first(tmp_path):
    def check():
        if saved_steps_done() == 3:
            raise Stopped(2)

    asked = request(tmp_path, steps=10, check=check)
    run, _ = training.open_run(asked, Config, lambda c: 99)
    made, saved, _ = loop(run, asked)

    def saved_steps_done():
        return getattr(made, "done", 0)

    with pytest.raises(Stopped):
        for step in made:
            made.report(step, loss=1.0)
    assert saved == [3]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_diverges_with_exit_code_nine(tmp_path, bad):
    asked = request(tmp_path, steps=10)
    run, _ = training.open_run(asked, Config, lambda c: 99)
    made, saved, _ = loop(run, asked)
    with pytest.raises(DivergedError) as caught:
        for step in made:
            made.report(step, loss=bad)
    assert caught.value.code == 9 and saved == []


def test_a_run_that_failed_before_its_first_save_may_be_started_anew(tmp_path):
    asked = request(tmp_path, steps=10)
    run, _ = training.open_run(asked, Config, lambda c: 99)
    run.log(step=1)
    with pytest.raises(OutputError, match="another training"):
        training.open_run(asked, Config, lambda c: 99)
    assert run.lock is not None
    run.lock.close()
    run, _ = training.open_run(asked, Config, lambda c: 99)
    assert (run.folder / "log.jsonl").read_text() == ""
    run.last.write_bytes(b"")
    with pytest.raises(OutputError, match="exists"):
        training.open_run(asked, Config, lambda c: 99)


def test_run_folders_are_not_mixed_up(tmp_path):
    asked = request(tmp_path, steps=10)
    run, _ = training.open_run(asked, Config, lambda c: 99)
    again = request(tmp_path, resume=run.folder)
    with pytest.raises(InputError, match=r"last\.ckpt"):
        training.open_run(again, Config, lambda c: 99)
    run.last.write_bytes(b"")
    with pytest.raises(OutputError, match="another training"):
        training.open_run(again, Config, lambda c: 99)
    assert run.lock is not None
    run.lock.close()
    resumed, config = training.open_run(again, Config, lambda c: 99)
    assert resumed.steps == 10 and resumed.resumed and config == Config()
    assert resumed.lock is not None
    resumed.lock.close()
    again.task = "colorize"
    with pytest.raises(UsageError, match="of task upscale"):
        training.open_run(again, Config, lambda c: 99)
    again.task, again.seed = "upscale", 5
    with pytest.raises(UsageError, match="seed 0"):
        training.open_run(again, Config, lambda c: 99)
    again.seed, again.settings = 0, {"lr": "1"}
    with pytest.raises(UsageError, match="cannot change"):
        training.open_run(again, Config, lambda c: 99)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_best_sample_is_kept_across_a_resume(tmp_path, sign):
    asked = request(tmp_path, steps=5)
    run, _ = training.open_run(asked, Config, lambda c: 99)
    scores, kept = iter([20.0, 22.0, 21.0, 21.5, 23.0]), []

    def go(start, stop_after):
        asked.stop_after = stop_after
        made, _, _ = loop(
            run,
            asked,
            start,
            scores=lambda step: {"score": sign * next(scores)},
            export=lambda path: kept.append((made.done, path.name)),
            sample_every=1,
            better="score" if sign > 0 else "-score",
        )
        for step in made:
            made.report(step, loss=1.0)

    go(0, 3)
    go(3, 2)  # 21.5 is no longer the best, although this call has seen none yet
    assert [step for step, name in kept if name == "best.safetensors"] == [1, 2, 5]


def test_a_part_that_is_not_finite_is_not_saved(tmp_path):
    asked = request(tmp_path, steps=10)
    run, _ = training.open_run(asked, Config, lambda c: 99)
    net = nn.Linear(2, 2)
    training.save_last(run, 1, {"net": net})
    before = run.last.read_bytes()
    with torch.no_grad():
        net.weight[0, 0] = float("nan")
    with pytest.raises(DivergedError, match=r"net has values.*last good state"):
        training.save_last(run, 2, {"net": net})
    assert run.last.read_bytes() == before


def test_a_damaged_state_is_one_sentence(tmp_path):
    run, _ = training.open_run(request(tmp_path, steps=10), Config, lambda c: 99)
    training.save_last(run, 1, {"net": nn.Linear(2, 2)})
    for part in (nn.Linear(3, 3), nn.Conv2d(2, 2, 1), torch.optim.Adam(nn.Linear(2, 2).parameters())):
        with pytest.raises(InputError, match="of another net or of other settings"):
            training.load_last(run, {"net": part})
    whole = run.last.read_bytes()
    for broken in (whole[:200], b"", b"garbage text", b"\x80"):
        run.last.write_bytes(broken)
        with pytest.raises(InputError, match="damaged or cut off"):
            training.load_last(run, {"net": nn.Linear(2, 2)})
    for other in ([1, 2], {"net": {}}, {"step": "many"}):
        torch.save(other, run.last)
        with pytest.raises(InputError, match="damaged or cut off"):
            training.load_last(run, {"net": nn.Linear(2, 2)})


def test_a_log_with_lines_that_are_none_goes_on(tmp_path):
    run, _ = training.open_run(request(tmp_path, steps=10), Config, lambda c: 99)
    run.log(step=3, psnr=20.0)
    with (run.folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write('[1]\n{"a": 1}\n{"step": "x"}\n7\n{"ste')
    assert run.entries(5) == [{"step": 3, "psnr": 20.0}] and run.best(5) == 20


@pytest.mark.parametrize(
    ("key", "value"), [("steps", "many"), ("settings", [1]), ("seed", None), ("task", 3)]
)
def test_settings_of_no_run_are_one_sentence(tmp_path, key, value):
    run, _ = training.open_run(request(tmp_path, steps=10), Config, lambda c: 99)
    training.save_last(run, 1, {"net": nn.Linear(2, 2)})
    path = run.folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(InputError, match="not the settings of a run"):
        training.saved_config(run.folder)


def test_a_run_without_its_state_says_what_is_missing(tmp_path):
    run, _ = training.open_run(request(tmp_path, steps=10), Config, lambda c: 99)
    with pytest.raises(InputError, match=r"it has no last\.ckpt") as caught:
        training.saved_config(run.folder)
    assert caught.value.remedy == "Start a new run"
    run.model.write_bytes(b"")
    with pytest.raises(InputError) as caught:
        training.saved_config(run.folder)
    assert "init=" in caught.value.remedy
    with pytest.raises(InputError, match=r"no config\.json and no last\.ckpt"):
        training.saved_config(tmp_path)


def test_weights_of_which_none_fits_are_refused(tmp_path):
    net = nn.Linear(2, 2)
    (tmp_path / "run").mkdir()
    save_file(net.state_dict(), tmp_path / "run/model.safetensors")
    other = nn.Linear(2, 2)
    assert training.start_from(other, tmp_path / "run").startswith("2 of 2 tensors")  # a run's folder, too
    assert torch.equal(other.weight, net.weight)
    with pytest.raises(WeightsError, match="none of the 2 tensors"):
        training.start_from(nn.Linear(3, 3), tmp_path / "run/model.safetensors")


def test_a_state_without_a_loss_scale_goes_on_in_fp16(tmp_path):
    run, _ = training.open_run(request(tmp_path, steps=10), Config, lambda c: 99)
    net, scaler = nn.Linear(2, 2), Part()
    training.save_last(run, 7, {"net": net})
    assert training.load_last(run, {"net": net, "scaler": scaler}) == 7


ORDERS = (torch.channels_last, torch.contiguous_format)


@pytest.mark.parametrize("first, second", [ORDERS, ORDERS[::-1]])
def test_a_run_goes_on_in_another_memory_order(first, second, tmp_path):
    """As on another device: fused Adam would pair momenta and weights that do not belong together."""
    run, _ = training.open_run(request(tmp_path, steps=10), Config, lambda c: 99)

    def made(order):
        torch.manual_seed(0)
        net = nn.Conv2d(6, 8, 4).to(memory_format=order)
        return net, training.adam(net, 0.1)

    def step(net, optimizer, seed):
        optimizer.zero_grad()
        x = torch.randn(2, 6, 5, 5, generator=torch.Generator().manual_seed(seed))
        net(x).square().sum().backward()
        optimizer.step()

    net, optimizer = made(first)
    step(net, optimizer, 1)
    training.save_last(run, 1, {"net": net, "optimizer": optimizer})
    other, resumed = made(second)
    training.load_last(run, {"net": other, "optimizer": resumed})
    step(net, optimizer, 2)
    step(other, resumed, 2)
    assert torch.allclose(net.weight, other.weight, atol=1e-5)


@pytest.mark.parametrize("text", ['{"task": "upsc', "[]", '{"task": "upscale"}'])
def test_damaged_settings_are_one_sentence(tmp_path, text):
    asked = request(tmp_path, steps=10)
    run, _ = training.open_run(asked, Config, lambda c: 99)
    run.last.touch()
    (run.folder / "config.json").write_text(text)
    with pytest.raises(InputError, match="settings"):
        training.saved_config(run.folder)


def test_every_step_draws_its_own_random_numbers():
    def draw(*key):
        training.seed_step(*key)
        return (*torch.rand(3).tolist(), random.random(), float(np.random.rand()))  # noqa: NPY002

    assert draw(0, 7) == draw(0, 7)
    assert len({draw(*k) for k in [(0, 7), (0, 8), (1, 7), (0, 7, 1)]}) == 4


def test_linear_decay_and_halving():
    assert [training.linear_decay(s, 10) for s in (0, 5, 6, 9)] == pytest.approx([1, 1, 0.8, 0.2])
    assert [training.halved(s, 3) for s in (0, 2, 3, 7)] == [1, 1, 0.5, 0.25]


def test_micro_batches_add_up():
    x = torch.arange(6.0)
    parts = list(training.micro_batches([x, -x], 3))
    assert [last for _, last in parts] == [False, False, True]
    assert torch.equal(torch.cat([a for (a, _), _ in parts]), x)


def test_gradients_of_a_single_picture_are_right_in_every_memory_order():
    """Of PyTorch 2.15's instance norm on a CPU they are not, channels-last; set_up sees to it."""
    x, target = torch.rand(1, 3, 16, 16), torch.rand(1, 8, 12, 12)

    def build():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3))

    plain, net = build(), build()
    (plain(x) - target).square().mean().backward()
    asked = TrainRequest("upscale", (), Path("run"), device="cpu", precision="fp32")
    fabric = training.fabric_for(asked)
    model, _ = training.set_up(fabric, asked, net, torch.optim.SGD(net.parameters(), lr=1))
    fabric.backward((model(training.channels_last(x)) - target).square().mean())
    for ours, theirs in zip(net.parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None and torch.allclose(ours.grad, theirs.grad, atol=1e-5)
