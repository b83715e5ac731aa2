"""Locks on files that end with their process, however it ends; between machines that share the disk, too."""

from __future__ import annotations

try:
    import fcntl
except ImportError:  # not on Windows, where nothing is locked
    fcntl = None


def take(descriptor: int, *, shared: bool = False) -> None:
    """Lock an open file until it is closed; ``shared``: let in others that share.

    On a file system that has no locks, nothing is locked. Raises BlockingIOError when another has it.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return


def alone(descriptor: int) -> bool:
    """Whether nobody shares the lock on an open file, as far as can be told; nobody can from then on."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
