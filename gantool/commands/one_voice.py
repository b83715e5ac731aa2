"""Several processes of one training fail for one reason: only the first of them says it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from gantool.errors import ExitCode

PLACE = "GANTOOL_TRAIN_SAID"
"""Environment variable: the file in which the first process leaves what it says at its end."""

_WAIT_S = 2.0  # for the first process, which may come to the same end a little later


@contextmanager
def one_voice(first: bool) -> Iterator[None]:
    """Around a training: an error that the first process tells too ends another one without a word.

    Processes that were not started by the first one (a cluster's) do not hear it, and speak.
    Raises typer.Exit with the error's exit code in the place of such an error.
    """
    if first:
        folder = tempfile.mkdtemp(prefix="gantool-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)  # the others may still have to read it
        os.environ[PLACE] = str(Path(folder) / "said")
    said = os.environ.get(PLACE)
    try:
        yield
    except Exception as error:
        if said is not None and first:
            whole = Path(said + ".new")
            whole.write_text(_text(error), "utf-8")
            whole.replace(said)
        elif said is not None and _heard(Path(said)) == _text(error):
            raise typer.Exit(int(getattr(error, "code", ExitCode.BUG))) from error
        raise
    finally:
        if first:
            os.environ.pop(PLACE, None)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _heard(file: Path) -> str:
    """What the first process said; empty if it says nothing in time."""
    until = time.monotonic() + _WAIT_S
    while time.monotonic() < until:
        try:
            return file.read_text("utf-8")
        except FileNotFoundError:
            time.sleep(0.05)
    return ""
