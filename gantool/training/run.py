"""The run folder: what it holds, how it is opened, and who may write to it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

import torch

from gantool import catalog
from gantool.data import data_hash
from gantool.errors import InputError, OutputError, UsageError
from gantool.media.files import atomic, make_folder, output_error
from gantool.settings import configure
from gantool.training.paths import located
from gantool.training.request import TrainRequest

T = TypeVar("T")

_BEFORE_A_STEP = ("check.png", "config.json", "log.jsonl")  # what stands there before the first save
ANEW = "Start a new run, with --set init=... from the model.safetensors beside it"
_TELLING = ("precision", "accumulate")  # options that change what is learned


@dataclass
class Run:
    """A run folder: ``config.json``, ``log.jsonl``, ``last.ckpt``, ``samples/``, ``model.safetensors`` (the
    latest) and ``best.safetensors`` (the one that scored best on the pictures kept out).
    """

    folder: Path
    steps: int
    seed: int
    config: dict[str, Any]
    resumed: bool
    lock: IO[str] | None = field(
        default=None, repr=False
    )  # held open while this process writes to the folder
    writes: bool = True  # False in all but the first process of a training
    record: dict[str, Any] | None = None  # what is still to be written into config.json
    made: tuple[Path, ...] = ()  # the folders that this run had to make, the innermost first
    begun: bool = False  # a step of it was made

    @property
    def last(self) -> Path:
        return self.folder / "last.ckpt"

    @property
    def model(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def best_model(self) -> Path:
        return self.folder / "best.safetensors"

    def sheet(self, step: int) -> Path:
        """Where the samples of a step go."""
        return self.folder / "samples" / f"{step:07d}.png"

    def entries(self, until: int) -> list[dict[str, Any]]:
        """The lines of ``log.jsonl`` up to a step; a line that a full disk cut short is left out."""
        path, found = self.folder / "log.jsonl", []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and isinstance(entry.get("step"), int) and entry["step"] <= until:
                found.append(entry)
        return found

    def best(self, until: int, score: str = "psnr", sign: int = 1) -> float:
        """The best score logged up to a step, times ``sign``; minus infinity before the first."""
        values = [sign * entry[score] for entry in self.entries(until) if score in entry]
        return max(values, default=-float("inf"))

    def withdraw(self) -> None:
        """Leave no trace of a new run that was refused before its first step; of any other, everything."""
        if self.resumed or self.begun or not self.writes or self.last.exists():
            return
        for name in ("config.json", "log.jsonl"):
            (self.folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # what else is in there is not this run's
            for folder in self.made:
                folder.rmdir()

    def write_record(self) -> None:
        """Bring ``config.json`` up to date, if there is anything new to say."""
        from gantool import __version__

        if self.record is None or not self.writes:
            return
        versions = {"gantool": __version__, "torch": torch.__version__, "python": platform.python_version()}
        with atomic(self.folder / "config.json", overwrite=True) as temporary:
            temporary.write_text(json.dumps(self.record | versions, indent=2) + "\n", encoding="utf-8")
        self.record = None

    def log(self, **values: Any) -> None:
        """Append one JSON object to ``log.jsonl``."""
        if not self.writes:
            return
        line = json.dumps({k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in values.items()})
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def open_run(
    request: TrainRequest,
    kind: type[T],
    default_steps: Callable[[T], int],
    files: Sequence[Path] = (),
    fabric: Any = None,
) -> tuple[Run, T]:
    """Start a new run folder, or reopen the one of ``--resume`` with the settings it was started with.

    ``files`` are the training pictures, whose fingerprint the folder keeps. With several processes only the
    first one writes; the others wait for it.

    Raises:
        OutputError: the folder of a new run exists already, and there is something in it to lose, or it
            cannot be made or written to.
        InputError: ``--resume`` names no run, or one of another task.
        UsageError: ``--resume`` together with other settings or another seed than the run has.
    """
    writes = fabric is None or fabric.global_rank == 0
    run, config = (_reopened if request.resume else _started)(request, kind, default_steps, files, writes)
    request.opened = run
    if fabric is not None:
        fabric.barrier()
    return run, config


def _started(
    request: TrainRequest,
    kind: type[T],
    default_steps: Callable[[T], int],
    files: Sequence[Path],
    writes: bool,
) -> tuple[Run, T]:
    config = configure(kind, located(kind, request.settings))
    settings = dataclasses.asdict(config)  # type: ignore[call-overload]
    steps = default_steps(config) if request.steps is None else request.steps
    run = Run(request.out, steps, request.seed or 0, settings, False, writes=writes)
    if not writes:
        return run, config
    run.made = make_folder(request.out)
    try:
        full = any(path.name not in _BEFORE_A_STEP for path in request.out.iterdir())
    except OSError as error:
        raise output_error(error, request.out) from error
    if full:
        raise OutputError(
            "the run folder exists", request.out, "Use --resume to go on with it, or another -o"
        )
    run.lock = _locked(run.folder)
    request.opened = run  # from here on the folder is this run's, and goes if it is refused
    if run.lock is not None:
        run.lock.truncate(0)
    run.record = {
        "task": request.task,
        "steps": run.steps,
        "seed": run.seed,
        **_manner(request),
        "settings": settings,
        "data": [str(path.resolve()) for path in request.data],
        "data_hash": data_hash(files),
    }
    run.write_record()
    return run, config


def _reopened(
    request: TrainRequest,
    kind: type[T],
    default_steps: Callable[[T], int],
    files: Sequence[Path],
    writes: bool,
) -> tuple[Run, T]:
    assert request.resume is not None
    saved = saved_config(request.resume)
    if saved["task"] != request.task:
        raise UsageError(f"that run is of task {saved['task']}", remedy=f"Use --task {saved['task']}")
    if request.settings:
        raise UsageError("--set cannot change a run that goes on", remedy="Start a new run with -o")
    if request.seed not in (None, saved["seed"]):
        raise UsageError(
            f"--seed {request.seed} cannot change a run that has seed {saved['seed']}",
            remedy="Leave it out, or start a new run with -o",
        )
    config = configure(kind, {k: str(v) for k, v in saved["settings"].items()})
    steps = saved["steps"] if request.steps is None else request.steps
    lock = _locked(request.resume) if writes else None
    run = Run(request.resume, steps, saved["seed"], saved["settings"], True, lock, writes)
    known = saved.get("data_hash", "")
    if known and files and data_hash(files) != known:
        request.warn("the training pictures are not those that this run began with")
    manner = _manner(request)
    for name, value in manner.items():
        if name in _TELLING and saved.get(name, value) != value:
            request.warn(f"this run goes on with --{name} {value}; up to now it had {saved[name]}")
    # Written with the first step only: a call that is refused must not change the run.
    record = saved | {"steps": steps} | manner
    run.record = record if record != saved else None
    return run, config


def _manner(request: TrainRequest) -> dict[str, Any]:
    """How a run is trained, for a resume to do the same: what of it was asked for or changes the result."""
    sampling = {} if request.sample_every is None else {"sample_every": request.sample_every}
    return {"precision": request.precision, "accumulate": request.accumulate, **sampling}


def saved_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of a run that can go on. Raises InputError if it is not one."""
    path = folder / "config.json"
    missing = [name for name in (path.name, "last.ckpt") if not (folder / name).is_file()]
    if missing:
        remedy = ANEW if (folder / "model.safetensors").is_file() else "Start a new run"
        what = f"not a run folder that can go on: it has no {' and no '.join(missing)}"
        raise InputError(what, folder, remedy)
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"the run's settings cannot be read: {error}", path, ANEW) from error
    kinds = {"task": str, "steps": int, "seed": int, "settings": dict}
    if not isinstance(saved, dict) or not all(isinstance(saved.get(k), kind) for k, kind in kinds.items()):
        raise InputError("these are not the settings of a run", path, ANEW)
    return saved


def _locked(folder: Path) -> IO[str] | None:
    """Make sure that no other process trains into this folder; the lock ends with the process."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        file = (folder / "log.jsonl").open("a", encoding="utf-8")
    except OSError as error:
        raise output_error(error, folder) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise OutputError(
            "another training is writing to this run", folder, "Wait for it or stop it"
        ) from None
    os.set_inheritable(file.fileno(), False)
    return file


def trained_row(run: Run, **values: Any) -> catalog.Checkpoint:
    """The catalog row that a trained model carries in its own file."""
    # Where things lie on this machine is nobody's concern who gets the file.
    settings = {
        key: Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
        for key, value in run.config.items()
    }
    made = f"steps {run.steps}, seed {run.seed}, {settings}"
    values = {"licence": "as the training data", "made": made} | values
    return catalog.Checkpoint(name=_row_name(run.folder), source="file", file="model.safetensors", **values)


def _row_name(folder: Path) -> str:
    """A run folder's name as a catalog name: lower case, digits, dots and dashes."""
    name = re.sub(r"[^a-z0-9.-]+", "-", folder.resolve().name.lower()).strip(".-")
    return name[:80] or "trained"
