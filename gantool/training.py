"""What every recipe needs around its loop: run folder, resume, EMA, samples, log, export.

Functions, not a trainer: the loop stays in the recipe, where it can be read.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import platform
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from gantool import catalog
from gantool.errors import DivergedError, InputError, OutputError, Stopped, UsageError
from gantool.media.files import atomic
from gantool.settings import configure

T = TypeVar("T")


def _silent(_: str) -> None:
    """The default listener."""


@dataclass
class TrainRequest:
    """One call of ``gantool train``.

    ``steps`` is the planned total, None for the recipe's default; ``stop_after`` ends the run early after
    that many steps of this call, as an interruption would, so that it can be resumed to the planned total.
    ``resume`` names a run folder to go on with; ``out`` is the folder of a new run.
    ``check`` raises :class:`~gantool.errors.Stopped` when the user asked for a stop; ``shield`` wraps the
    loop, so that a signal takes effect between two steps and ``last.ckpt`` can be saved whole.
    """

    task: str
    data: tuple[Path, ...]
    out: Path
    steps: int | None = None
    stop_after: int | None = None
    seed: int = 0
    resume: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    settings: dict[str, str] = field(default_factory=dict)
    sample_every: int | None = None
    threads: int | None = None
    say: Callable[[str], None] = _silent
    warn: Callable[[str], None] = _silent
    progress: Any = None
    check: Callable[[], None] = lambda: None
    shield: Callable[[], AbstractContextManager[Any]] = nullcontext


# --- run folder -----------------------------------------------------------------------------------------


@dataclass
class Run:
    """A run folder: ``config.json``, ``log.jsonl``, ``last.ckpt``, ``samples/``, ``model.safetensors`` (the
    latest) and ``best.safetensors`` (the one that scored best on the photographs kept out).
    """

    folder: Path
    steps: int
    seed: int
    config: dict[str, Any]
    resumed: bool
    lock: IO[str] | None = None  # held open while this process writes to the folder

    @property
    def last(self) -> Path:
        return self.folder / "last.ckpt"

    @property
    def model(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def best_model(self) -> Path:
        return self.folder / "best.safetensors"

    def best(self, until: int) -> float:
        """The highest held-out PSNR logged up to a step, dB; minus infinity before the first."""
        path = self.folder / "log.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        entries = [json.loads(line) for line in lines]
        return max((e["psnr"] for e in entries if "psnr" in e and e["step"] <= until), default=-np.inf)

    def log(self, **values: Any) -> None:
        """Append one JSON object to ``log.jsonl``."""
        line = json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in values.items()})
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


_BEFORE_A_STEP = ("config.json", "log.jsonl")  # all that a run leaves which failed before its first save


def open_run(request: TrainRequest, kind: type[T], default_steps: Callable[[T], int]) -> tuple[Run, T]:
    """Start a new run folder, or reopen the one of ``--resume`` with the settings it was started with.

    Raises:
        OutputError: the folder of a new run exists already, and there is something in it to lose.
        InputError: ``--resume`` names no run, or one of another task.
        UsageError: ``--resume`` together with other settings or another seed than the run has.
    """
    if request.resume is None:
        config = configure(kind, request.settings)
        if request.out.exists() and any(p.name not in _BEFORE_A_STEP for p in request.out.iterdir()):
            raise OutputError(
                "the run folder exists", request.out, "Use --resume to go on with it, or another -o"
            )
        request.out.mkdir(parents=True, exist_ok=True)
        steps = default_steps(config) if request.steps is None else request.steps
        run = Run(request.out, steps, request.seed, dataclasses.asdict(config), False)  # type: ignore[call-overload]
        run.lock = _locked(run.folder)
        if run.lock is not None:
            run.lock.truncate(0)
        _write_config(run, request.task)
        return run, config
    path = request.resume / "config.json"
    if not path.is_file() or not (request.resume / "last.ckpt").is_file():
        raise InputError(
            "not a run folder that can go on", request.resume, "It needs config.json and last.ckpt"
        )
    saved = json.loads(path.read_text(encoding="utf-8"))
    if saved["task"] != request.task:
        raise UsageError(f"that run is of task {saved['task']}", remedy=f"Use --task {saved['task']}")
    if request.settings:
        raise UsageError("--set cannot change a run that goes on", remedy="Start a new run with -o")
    config = configure(kind, {k: str(v) for k, v in saved["settings"].items()})
    steps = saved["steps"] if request.steps is None else request.steps
    run = Run(request.resume, steps, saved["seed"], saved["settings"], True, _locked(request.resume))
    if steps != saved["steps"]:
        _write_config(run, request.task)
    return run, config


def _locked(folder: Path) -> IO[str] | None:
    """Make sure that no other process trains into this folder; the lock ends with the process."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    file = (folder / "log.jsonl").open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise OutputError(
            "another training is writing to this run", folder, "Wait for it or stop it"
        ) from None
    return file


def _write_config(run: Run, task: str) -> None:
    from gantool import __version__

    record = {
        "task": task,
        "steps": run.steps,
        "seed": run.seed,
        "settings": run.config,
        "gantool": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    with atomic(run.folder / "config.json", overwrite=True) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


# --- state ----------------------------------------------------------------------------------------------


class Ema:
    """Exponential moving average of a net's parameters and buffers (Polyak averaging with decay).

    The decay rises to its full value over the first steps, so that the start does not linger.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in net.state_dict().items():
            mine = self.state[name]
            if mine.is_floating_point():
                mine.lerp_(value.detach().to(mine.dtype), 1 - decay)
            else:
                mine.copy_(value)

    @contextmanager
    def applied(self, net: nn.Module) -> Iterator[nn.Module]:
        """The net in eval mode with the averaged weights; its own come back afterwards."""
        own = {k: v.detach().clone() for k, v in net.state_dict().items()}
        training = net.training
        net.load_state_dict(self.state)
        net.eval()
        try:
            yield net
        finally:
            net.load_state_dict(own)
            net.train(training)


def save_last(run: Run, step: int, parts: dict[str, Any]) -> None:
    """Write ``last.ckpt`` whole or not at all: networks, optimisers, EMA, step and random states."""
    state: dict[str, Any] = {"step": step, "torch_rng": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda_rng"] = torch.cuda.get_rng_state_all()
    for name, part in parts.items():
        state[name] = part.state if isinstance(part, Ema) else part.state_dict()
    with atomic(run.last, overwrite=True) as temporary:
        torch.save(state, temporary)


def load_last(run: Run, parts: dict[str, Any]) -> int:
    """Restore what :func:`save_last` wrote; returns the number of steps done."""
    state = torch.load(run.last, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        if isinstance(part, Ema):
            for key, value in state[name].items():
                part.state[key].copy_(value)
        else:
            part.load_state_dict(state[name])
    torch.set_rng_state(state["torch_rng"])
    if torch.cuda.is_available() and "cuda_rng" in state:
        torch.cuda.set_rng_state_all(state["cuda_rng"])
    return int(state["step"])


def fabric_for(request: TrainRequest) -> Any:
    """A Lightning Fabric on the device and in the precision asked for (auto: bf16 where it is fast)."""
    from lightning_fabric import Fabric

    from gantool.devices import cpu_threads, pick_device, pick_dtype

    device = pick_device(request.device)
    any_precision = catalog.Checkpoint(name=request.task, task=request.task, dtypes=("bf16", "fp16"))
    dtype = pick_dtype(request.precision, device, any_precision)
    precision = {torch.float32: "32-true", torch.bfloat16: "bf16-mixed", torch.float16: "16-mixed"}[dtype]
    torch.set_num_threads(request.threads or cpu_threads())
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces every precision
    devices: Any = [device.index or 0] if device.type == "cuda" else 1
    return Fabric(accelerator=device.type, devices=devices, precision=precision)  # type: ignore[arg-type]


# --- the loop's frame -----------------------------------------------------------------------------------


def cosine(step: int, steps: int, warmup: int = 100, floor: float = 0.01) -> float:
    """Learning-rate factor: linear warm-up, then half a cosine to ``floor`` (Loshchilov & Hutter 2017)."""
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return floor + (1 - floor) * 0.5 * (1 + float(np.cos(np.pi * done)))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every parameter group the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr


@dataclass
class Loop:
    """Counts steps, logs, samples, saves and stops; the recipe does the training in between.

    Use as ``for step in loop: ...; loop.report(loss=...)``. ``sample`` and ``save`` are called every
    ``sample_every`` steps and at the end; on a stop or an interruption ``save`` comes first.
    ``keep`` is called when a sample's "psnr" is the best of the run so far.
    """

    run: Run
    request: TrainRequest
    start: int
    images_per_step: int
    save: Callable[[int], None]
    sample: Callable[[int], dict[str, float]]
    keep: Callable[[], None]
    log_every: int = 20
    sample_every: int = 500

    @property
    def stop(self) -> int:
        """The step before which this call ends."""
        limit = self.run.steps
        if self.request.stop_after is not None:
            limit = min(limit, self.start + self.request.stop_after)
        return limit

    def __iter__(self) -> Iterator[int]:
        self._sums: dict[str, float] = {}
        self._count, self._since = 0, time.monotonic()
        self._best = self.run.best(self.start)
        step = self.start
        try:
            with self.request.shield():
                for step in range(self.start, self.stop):
                    yield step
                    self._after(step + 1)
                    self.request.check()
        except (Stopped, KeyboardInterrupt):
            self.save(self.done)
            self.request.say(f"saved {self.run.last}; go on with --resume {self.run.folder}")
            raise
        if self.stop % self.sample_every and self.start < self.stop:
            self._sample(self.stop)
            self.save(self.stop)
        if self.run.lock is not None:
            self.run.lock.close()

    def report(self, step: int, **values: Tensor | float) -> None:
        """Losses of one step; they are averaged until the next log line.

        Raises:
            DivergedError: a value is NaN or infinite.
        """
        self.done = step + 1
        for name, value in values.items():
            number = float(value.detach()) if isinstance(value, Tensor) else float(value)
            if not np.isfinite(number):
                remedy = "Use a lower --set lr=... or --precision fp32"
                if self.run.last.is_file():
                    remedy = "last.ckpt holds the last good state. " + remedy
                raise DivergedError(f"{name} became {number} at step {step}", self.run.folder, remedy)
            self._sums[name] = self._sums.get(name, 0.0) + number
        self._count += 1

    def _after(self, done: int) -> None:
        if self.request.progress is not None:
            self.request.progress.advance()
        if done % self.log_every == 0:
            seconds = time.monotonic() - self._since
            means = {k: v / max(1, self._count) for k, v in self._sums.items()}
            rate = self._count * self.images_per_step / max(seconds, 1e-9)
            self.run.log(step=done, **means, images_per_s=rate)
            if self.request.progress is not None:
                self.request.progress.note(" ".join(f"{k} {v:.4g}" for k, v in means.items()))
            self._sums, self._count, self._since = {}, 0, time.monotonic()
        if done % self.sample_every == 0:
            self._sample(done)
            self.save(done)
            self._since = time.monotonic()

    def _sample(self, done: int) -> None:
        scores = self.sample(done)
        if scores:
            self.run.log(step=done, **scores)
            self.request.say(f"step {done}: " + ", ".join(f"{k} {v:.3f}" for k, v in scores.items()))
        if scores.get("psnr", -np.inf) > self._best:
            self._best = scores["psnr"]
            self.keep()


def save_grid(path: Path, rows: Sequence[Sequence[np.ndarray]]) -> None:
    """Write rows of uint8 RGB pictures of one size as a PNG sheet."""
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, encoded = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not ok:
        raise OutputError("the sample grid could not be encoded", path)
    with atomic(path, overwrite=True) as temporary:
        temporary.write_bytes(encoded.tobytes())


def to_image(x: Tensor) -> np.ndarray:
    """(3,H,W) in [0,1] -> uint8 RGB (H,W,3)."""
    return (x.detach().float().clamp(0, 1) * 255).round().byte().movedim(0, -1).cpu().numpy()


def trained_row(run: Run, **values: Any) -> catalog.Checkpoint:
    """The catalog row that a trained model carries in its own file."""
    return catalog.Checkpoint(name=_row_name(run.folder), source="file", file="model.safetensors", **values)


def _row_name(folder: Path) -> str:
    """A run folder's name as a catalog name: lower case, digits, dots and dashes."""
    name = re.sub(r"[^a-z0-9.-]+", "-", folder.resolve().name.lower()).strip(".-")
    return name[:80] or "trained"
