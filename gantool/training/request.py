"""What one call of ``gantool train`` asks for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gantool.training.run import Run


def _silent(_: str) -> None:
    """The default listener."""


@dataclass
class TrainRequest:
    """One call of ``gantool train``.

    ``steps`` is the planned total, None for the recipe's default; ``stop_after`` ends the run early after
    that many steps of this call, as an interruption would, so that it can be resumed to the planned total.
    ``resume`` names a run folder to go on with; ``out`` is the folder of a new run. ``seed`` is 0 if not
    given, or that of the run that goes on.
    ``devices`` per node and ``nodes`` share every step's batch; ``accumulate`` splits a process's share into
    that many parts that go through the nets one after the other. Neither changes what is learned, but for
    what looks across a batch (batch norm, relativistic critics, CutMix).
    ``opened`` is the run that :func:`~gantool.training.open_run` made or reopened for it.
    ``check`` raises :class:`~gantool.errors.Stopped` when the user asked for a stop; ``shield`` wraps the
    loop, so that a signal takes effect between two steps and ``last.ckpt`` can be saved whole.
    """

    task: str
    data: tuple[Path, ...]
    out: Path
    steps: int | None = None
    stop_after: int | None = None
    seed: int | None = None
    resume: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    accumulate: int = 1
    compile: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    sample_every: int | None = None
    threads: int | None = None
    say: Callable[[str], None] = _silent
    warn: Callable[[str], None] = _silent
    progress: Any = None
    opened: Run | None = field(default=None, init=False)
    check: Callable[[], None] = lambda: None
    shield: Callable[[], AbstractContextManager[Any]] = nullcontext

    def quiet(self) -> None:
        """Nothing more is said: another process of this training speaks."""
        self.say = self.warn = _silent
        self.progress = None
