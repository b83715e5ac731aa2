"""Writing a file whole or not at all, and knowing it by its hash.

Every output of gantool goes through :func:`atomic`: the bytes are written into a temporary file in the
target's own folder and only bear the target's name once they are complete and on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from gantool.errors import GantoolError, OutputError

_ELSEWHERE = "Choose another place with -o"
_REASONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("no space is left on the disk", "Free some space, or choose another place with -o"),
    errno.EDQUOT: ("your disk quota is used up", "Free some space, or choose another place with -o"),
    errno.EFBIG: ("the file is larger than this place allows", _ELSEWHERE),
    errno.EACCES: ("you have no right to write here", _ELSEWHERE),
    errno.EPERM: ("you have no right to write here", _ELSEWHERE),
    errno.EROFS: ("this place is read-only", _ELSEWHERE),
    errno.ENOENT: ("the output's folder does not exist", "Create it, or choose another one with -o"),
    errno.ENOTDIR: ("a part of the output's path is a file, not a folder", _ELSEWHERE),
    errno.EISDIR: ("the output is a folder", "Name a file in it with -o"),
    errno.ENAMETOOLONG: ("the output's name is too long", "Choose a shorter one with -o"),
    errno.ELOOP: ("the output's path is a loop of symbolic links", _ELSEWHERE),
    errno.EEXIST: ("the output exists", "Use --overwrite to replace it, or --skip-existing to keep it"),
}
# A file's name may have 255 bytes; longer suffixes than these are no media suffixes and are left out.
_LONGEST_SUFFIX_BYTES = 32


def output_error(exc: OSError, target: str | os.PathLike[str]) -> OutputError:
    """The sentence for an operating-system error met while writing ``target``."""
    if exc.errno in _REASONS:
        what, remedy = _REASONS[exc.errno]
        return OutputError(what, target, remedy)
    return OutputError(f"the output cannot be written: {exc.strerror or exc}", target, _ELSEWHERE)


def make_folder(folder: Path) -> tuple[Path, ...]:
    """Make a folder for outputs, and those above it, where they are not there; returns those made, it first.

    Raises:
        OutputError: it cannot be made, or a file stands in its place or where a folder above it would be.
    """
    try:
        made = tuple(place for place in (folder, *folder.parents) if not place.exists())
        folder.mkdir(parents=True, exist_ok=True)
        return made
    except (FileExistsError, NotADirectoryError) as exc:
        raise output_error(OSError(errno.ENOTDIR, ""), folder) from exc
    except FileNotFoundError as exc:  # as in /proc, where nobody makes folders
        raise OutputError("no folder can be made here", folder, _ELSEWHERE) from exc
    except OSError as exc:
        raise output_error(exc, folder) from exc


@contextlib.contextmanager
def atomic(target: Path, *, overwrite: bool, folder: Path | None = None) -> Iterator[Path]:
    """Yield an empty temporary file beside ``target``; when the body ends well it becomes ``target``.

    The temporary file has a short random hidden name and the target's suffix. It lies in ``folder``, if one
    is given, which must be on the target's own disk. On any exception, Ctrl-C
    included, it is removed and the target is as it was. A symbolic link as target stays a link; the file
    behind it is replaced. Permissions of a replaced file are kept. Without ``overwrite``, a file that
    appeared at the target while the body ran is left alone and :class:`OutputError` is raised.

    Raises:
        OutputError: the target exists (without ``overwrite``) or is a folder or read-only; the folder is
            missing or not writable; the name is too long; the disk is full; the body wrote nothing. Any
            GantoolError about the temporary file that the body raises is made to name the target.
    """
    final = _resolve(target)
    mode = _existing_mode(final, target, overwrite)
    suffix = final.suffix if len(os.fsencode(final.suffix)) <= _LONGEST_SUFFIX_BYTES else ""
    temporary = (folder or final.parent) / f".gantool-{secrets.token_hex(4)}{suffix}"
    try:
        try:
            # Not tempfile.mkstemp: that makes private files (0600), an output obeys the umask.
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        except OSError as exc:
            raise output_error(exc, target) from exc
        try:
            yield temporary
        except GantoolError as exc:
            if exc.file == os.fspath(temporary):
                exc.file = os.fspath(target)
            raise
        except OSError as exc:
            if _is_about(exc, temporary):
                raise output_error(exc, target) from exc
            raise
        try:
            _commit(temporary, final, mode, overwrite, target)
        except OSError as exc:
            raise output_error(exc, target) from exc
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def settle(temporary: Path, final: Path) -> None:
    """Give a finished file its name, once its bytes are on the disk; replaces. Raises OSError."""
    descriptor = os.open(temporary, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(final)
    _sync_folder(final.parent)


def sha256(path: Path) -> str:
    """The file's SHA-256 as 64 lower-case hexadecimal digits. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _resolve(target: Path) -> Path:
    """``target`` with symbolic links followed, so that replacing it does not replace the link."""
    try:
        return Path(os.path.realpath(target))
    except ValueError as exc:  # a null byte in the name
        raise OutputError("the output's name is not a valid file name", repr(target), _ELSEWHERE) from exc
    except OSError as exc:
        raise output_error(exc, target) from exc


def _existing_mode(final: Path, target: Path, overwrite: bool) -> int | None:
    """Permission bits of the file to be replaced, or None; refuses what must not or cannot be replaced."""
    try:
        state = final.lstat()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise output_error(exc, target) from exc
    if stat.S_ISLNK(state.st_mode):  # realpath gave up: the link leads to itself
        raise output_error(OSError(errno.ELOOP, ""), target)
    if stat.S_ISDIR(state.st_mode):
        raise output_error(OSError(errno.EISDIR, ""), target)
    if not stat.S_ISREG(state.st_mode):
        raise OutputError("the output is a device or a pipe, not a file", target, _ELSEWHERE)
    if not overwrite:
        raise output_error(OSError(errno.EEXIST, ""), target)
    if not os.access(final, os.W_OK):
        raise OutputError("the output exists and is read-only", target, _ELSEWHERE)
    return stat.S_IMODE(state.st_mode)


def _is_about(exc: OSError, temporary: Path) -> bool:
    """Whether an error from the body concerns the output rather than some input it reads."""
    full = exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return full or (
        isinstance(exc.filename, str | bytes) and os.fsdecode(exc.filename) == os.fspath(temporary)
    )


def _commit(temporary: Path, final: Path, mode: int | None, overwrite: bool, target: Path) -> None:
    """Bring the finished temporary file to the disk and give it the final name."""
    descriptor = os.open(temporary, os.O_RDWR)
    try:
        if os.fstat(descriptor).st_size == 0:
            raise OutputError("nothing was written", target, "This is a fault of gantool; please report it")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if mode is not None:
        with contextlib.suppress(OSError):  # a file system without permissions
            temporary.chmod(mode)
    if overwrite:
        temporary.replace(final)
    else:
        _place_new(temporary, final)
    _sync_folder(final.parent)


def _place_new(temporary: Path, final: Path) -> None:
    """Name the file without ever replacing one that is there; FileExistsError if there is one."""
    try:
        os.link(temporary, final)  # the one call that both creates and refuses to replace
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links (FAT, some network shares): claim the name first, then take it.
        os.close(os.open(final, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            temporary.replace(final)
        except BaseException:
            final.unlink(missing_ok=True)
            raise


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system allows it (not on Windows or some shares)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
