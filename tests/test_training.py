"""EMA, run folders and the loop, without a real recipe."""

import json
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from gantool import training
from gantool.errors import DivergedError, InputError, OutputError, Stopped, UsageError
from gantool.settings import param
from gantool.training import Ema, Loop, TrainRequest


@dataclass
class Config:
    lr: float = param(0.1, "rate")
    deep: bool = param(False, "or not")
    name: str = param("a", "word")
    count: int = param(3, "number", low=1, high=9)


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


def loop(run, asked, start=0, log=None):
    saved, sampled = [], []
    made = Loop(run, asked, start, 1, saved.append, lambda s: sampled.append(s) or {}, lambda: None, 2, 4)
    return made, saved, sampled


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
    again.task, again.settings = "upscale", {"lr": "1"}
    with pytest.raises(UsageError, match="cannot change"):
        training.open_run(again, Config, lambda c: 99)


def test_the_best_sample_is_kept_across_a_resume(tmp_path):
    asked = request(tmp_path, steps=5)
    run, _ = training.open_run(asked, Config, lambda c: 99)
    scores, kept = iter([20.0, 22.0, 21.0, 21.5, 23.0]), []

    def go(start, stop_after):
        asked.stop_after = stop_after
        made = Loop(
            run,
            asked,
            start,
            1,
            lambda s: None,
            lambda s: {"psnr": next(scores)},
            lambda: kept.append(made.done),
            sample_every=1,
        )
        for step in made:
            made.report(step, loss=1.0)

    go(0, 3)
    go(3, 2)  # 21.5 is no longer the best, although this call has seen none yet
    assert kept == [1, 2, 5]
