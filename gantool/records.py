"""A small JSON file that several processes read and change: what gantool remembers about what it fetched.

A change is made under a lock of the system and written beside the file before it takes its name, so that two
runs that end at once both leave their line, and a killed one leaves the file as it was.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gantool.errors import WeightsError

Table = dict[str, dict[str, Any]]
"""Section -> name -> what is known of it."""

_PATIENCE_S = 10.0


def read(path: Path) -> Table:
    """The whole file; empty when there is none yet. Raises WeightsError when it is damaged."""
    try:
        table = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _damaged(path) from error
    if not isinstance(table, dict) or not all(isinstance(section, dict) for section in table.values()):
        raise _damaged(path)
    return table


def change(path: Path, edit: Callable[[Table], None]) -> bool:
    """Let ``edit`` alter the table and write it; False when the folder cannot be written.

    Raises WeightsError when the file is damaged: it is not overwritten.
    """
    temporary = path.with_name(f".{secrets.token_hex(6)}.json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            table = read(path)
            before = json.dumps(table, sort_keys=True)
            edit(table)
            if json.dumps(table, sort_keys=True) == before:
                return True
            temporary.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", "utf-8")
            temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        return False
    return True


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the file for this process; for no longer than a few seconds, a change takes milliseconds."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system: of two changes at one moment the later one counts
        yield
        return
    with path.with_name(path.name + ".lock").open("a") as lock:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.01)
        yield


def _damaged(path: Path) -> WeightsError:
    # Going on as if nothing had been recorded would let an altered file pass as a first download.
    remedy = "Repair or delete it; hashes are then recorded anew, and licences asked for again."
    return WeightsError("the record of downloaded checkpoints is unreadable", path, remedy)
