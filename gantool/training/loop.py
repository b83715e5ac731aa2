"""The frame of every training loop: counts, logs, samples, saves and stops; the recipe trains in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantool.errors import DivergedError, Stopped
from gantool.training import state
from gantool.training.request import TrainRequest
from gantool.training.run import Run
from gantool.training.watch import Watch

_STOP_EVERY = 5  # steps after which several processes agree on whether to stop


@dataclass
class Loop:
    """Use as ``for step in loop: ...; loop.report(step, loss=...)``.

    ``parts`` are what ``last.ckpt`` holds, each with ``state_dict`` and ``load_state_dict``; a resumed run
    gets them back when the loop is made. ``sample`` draws a sheet of a step's samples and returns scores
    on the pictures kept out; ``export`` writes a model file. Both are called by the first process only, every
    ``sample_every`` steps and at the end; on a stop the state is saved first.
    ``better`` names the score by which ``best.safetensors`` is chosen, with a minus where less is better.
    ``paired``: every sample has a picture that it should be.
    """

    run: Run
    request: TrainRequest
    fabric: Any
    batch: int
    parts: dict[str, Any]
    sample: Callable[[int], dict[str, float]]
    export: Callable[[Path], None]
    better: str = "psnr"
    paired: bool = True
    log_every: int = 20
    sample_every: int = 500
    start: int = field(init=False, default=0)
    done: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.sample_every = self.request.sample_every or self.sample_every
        self.watch = Watch(self.run, self.request, self.better, self.paired)
        self.parts = self.parts | {"health": self.watch.health}
        scaler = state_of_scaler(self.fabric)
        if scaler is not None:
            self.parts = self.parts | {"scaler": scaler}
        if self.run.resumed:
            self.start = state.load_last(self.run, self.parts)
        self.done = self.start
        self._sign, self._score = (-1, self.better[1:]) if self.better.startswith("-") else (1, self.better)
        self._sums: dict[str, Tensor | float] = {}
        self._counts: dict[str, int] = {}

    @property
    def stop(self) -> int:
        """The step before which this call ends."""
        limit = self.run.steps
        if self.request.stop_after is not None:
            limit = min(limit, self.start + self.request.stop_after)
        return limit

    def due(self, step: int) -> bool:
        """Whether a log line follows this step: the moment for figures that cost something."""
        return (step + 1) % self.log_every == 0

    def __iter__(self) -> Iterator[int]:
        self._since, self._logged = time.monotonic(), self.start
        self._best = self.run.best(self.start, self._score, self._sign)
        if self.request.progress is not None:
            self.request.progress.total(self.stop - self.start)
        if self.start < self.stop:
            self.run.write_record()
        else:
            done = f"all {self.start} steps are done"
            if self.run.steps < self.start:
                done = f"{self.start} steps are done, more than {self.run.steps}"
            self.request.say(f"{done}; --steps M makes it longer")
        self.watch.begin(self.start)
        try:
            with self.request.shield():
                for step in range(self.start, self.stop):
                    state.seed_step(self.run.seed, step, self.fabric.global_rank)
                    yield step
                    self.done, self.run.begun = step + 1, True
                    self._after()
                    self._check()
        except (Stopped, KeyboardInterrupt):
            self._save()
            self.request.say(f"saved {self.run.last}; go on with --resume {self.run.folder}")
            raise
        else:
            if self.stop % self.sample_every and self.start < self.stop:
                self._sample()
                self._save()
            self.fabric.barrier()
        finally:
            self.watch.close()
            if self.run.lock is not None:
                self.run.lock.close()

    def report(self, step: int, **values: Tensor | float) -> None:
        """Losses and other figures of one step; they are averaged until the next log line.

        Raises:
            DivergedError: a value is NaN or infinite (on a GPU it shows with the next log line).
        """
        for name, value in values.items():
            if isinstance(value, Tensor):
                value = value.detach().float()
                if value.device.type == "cpu":
                    self._finite(name, float(value), step)
            else:
                self._finite(name, value, step)
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def _finite(self, name: str, value: float, step: int) -> None:
        if not abs(value) < float("inf"):
            raise DivergedError(
                f"{name} became {value} at step {step}", self.run.folder, state.remedy(self.run)
            )

    def _after(self) -> None:
        if self.request.progress is not None:
            self.request.progress.advance()
        if self.done % self.log_every == 0:
            self._log()
        if self.done % self.sample_every == 0:
            self._sample()
            self._save()
            self._since = time.monotonic()

    def _log(self) -> None:
        means = self._means()
        for name, value in means.items():
            self._finite(name, value, self.done - 1)
        seconds = max(time.monotonic() - self._since, 1e-9)
        means["images_per_s"] = (self.done - self._logged) * self.batch / seconds
        self.run.log(step=self.done, **means)
        if self.request.progress is not None:
            self.request.progress.note(
                " ".join(f"{k} {v:.4g}" for k, v in means.items() if k != "images_per_s")
            )
        self._sums, self._counts = {}, {}
        self._since, self._logged = time.monotonic(), self.done

    def _means(self) -> dict[str, float]:
        """Averages since the last log line, over all processes."""
        names = list(self._sums)
        if not names:
            return {}
        device = self.fabric.device
        sums = torch.stack([torch.as_tensor(self._sums[n], dtype=torch.float32).to(device) for n in names])
        means = sums / torch.tensor([self._counts[n] for n in names], device=device)
        if self.fabric.world_size > 1:
            means = self.fabric.all_reduce(means, reduce_op="mean")
        return dict(zip(names, means.tolist(), strict=True))

    def _sample(self) -> None:
        if self.run.writes:
            scores = self.sample(self.done)
            if scores:
                self.run.log(step=self.done, **scores)
                words = ", ".join(f"{k} {v:.3f}" for k, v in scores.items())
                self.request.say(f"step {self.done}: {words}")
            if self._score in scores and self._sign * scores[self._score] > self._best:
                self._best = self._sign * scores[self._score]
                self.export(self.run.best_model)
            best = self._sign * self._best if abs(self._best) < float("inf") else None
            self.watch.sampled(self.done, scores, best)
        self.fabric.barrier()

    def _save(self) -> None:
        if self.run.writes:
            self.watch.flush()
            state.save_last(self.run, self.done, self.parts)
            self.export(self.run.model)
        self.fabric.barrier()

    def _check(self) -> None:
        """Stop where the user asked for it; several processes stop at one step or not at all."""
        if self.fabric.world_size == 1:
            self.request.check()
        elif self.done % _STOP_EVERY == 0:
            stopped: Stopped | None = None
            try:
                self.request.check()
            except Stopped as error:
                stopped = error
            flag = torch.tensor(float(stopped.signum if stopped else 0), device=self.fabric.device)
            signal = int(self.fabric.all_reduce(flag, reduce_op="max"))
            if signal:
                raise stopped or Stopped(signal)


def state_of_scaler(fabric: Any) -> Any:
    """The loss scale of fp16 as a part of the state; None in the other precisions."""
    from gantool.training.fabric import Scaler

    return Scaler(fabric) if getattr(fabric._precision, "scaler", None) is not None else None
