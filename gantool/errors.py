"""Exit codes and the errors behind them.

Every error says what happened and, where there is a way out, the flag or command that leads there. The
command line prints one line, ``gantool: error: WHAT (FILE). REMEDY``, and ends with the error's exit code.
"""

from __future__ import annotations

import signal
from enum import IntEnum
from os import PathLike, fspath


class ExitCode(IntEnum):
    """How gantool ends. README documents the numbers; scripts may rely on them."""

    OK = 0
    BUG = 1
    USAGE = 2
    INPUT = 3
    OUTPUT = 4
    WEIGHTS = 5
    DEVICE = 6
    ENCODER = 7
    PARTIAL = 8
    DIVERGED = 9
    INTERRUPTED = 130
    TERMINATED = 143


class GantoolError(Exception):
    """An expected failure.

    Args:
        what: what went wrong, one clause without a final full stop.
        file: the file or folder concerned, if any.
        remedy: what the user can do about it, one sentence; may be empty.
    """

    code: ExitCode = ExitCode.BUG

    def __init__(self, what: str, file: str | PathLike[str] | None = None, remedy: str = "") -> None:
        self.what = what
        self.file = None if file is None else fspath(file)
        self.remedy = remedy
        super().__init__(what)

    def __str__(self) -> str:
        where = f" ({self.file})" if self.file is not None else ""
        after = ""
        if self.remedy:
            whole = self.remedy.endswith(("?", "..."))
            after = f" {self.remedy}" if whole else f" {self.remedy.rstrip('.')}."
        # Typer's own words may end with a question.
        end = "" if self.what.endswith("?") and not where else "."
        return f"{self.what.rstrip('.')}{where}{end}{after}"


class UsageError(GantoolError):
    """The request itself makes no sense: an unknown model, a contradictory pair of flags."""

    code = ExitCode.USAGE


class InputError(GantoolError):
    """An input is missing, damaged, of an unknown kind or of a kind that gantool does not take."""

    code = ExitCode.INPUT


class OutputError(GantoolError):
    """An output exists already, or cannot be written (folder, rights, space)."""

    code = ExitCode.OUTPUT


class WeightsError(GantoolError):
    """A checkpoint cannot be had or must not be used: offline, wrong hash, unsafe, not fitting its model."""

    code = ExitCode.WEIGHTS


class DeviceError(GantoolError):
    """The device asked for is absent, or its memory is not enough."""

    code = ExitCode.DEVICE


class EncoderError(GantoolError):
    """The video encoder or muxer refused its work."""

    code = ExitCode.ENCODER


class PartialError(GantoolError):
    """Some of several inputs failed; the others are done."""

    code = ExitCode.PARTIAL


class DivergedError(GantoolError):
    """Training produced NaN or infinite values."""

    code = ExitCode.DIVERGED


class Stopped(GantoolError):
    """The user (SIGINT) or the system (SIGTERM) asked gantool to stop."""

    def __init__(self, signum: int = signal.SIGINT, remedy: str = "") -> None:
        self.signum = signum
        super().__init__("interrupted" if signum == signal.SIGINT else "terminated", remedy=remedy)
        self.code = ExitCode.INTERRUPTED if signum == signal.SIGINT else ExitCode.TERMINATED
