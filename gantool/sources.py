"""The inputs of a command: what its words stand for, in order, and of which kind each is.

Standard library only, so that a plan can be made (and refused) before anything heavy is loaded.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gantool import numbered
from gantool.errors import InputError, UsageError
from gantool.sniff import Kind, kind_of, kind_of_suffix


@dataclass(frozen=True)
class Source:
    """One input. ``path`` None is standard input; ``rel`` is for inputs that were found in a folder."""

    path: Path | None
    kind: Kind
    rel: Path = Path()  # the file's folder relative to the folder that was named


def listed(list_file: Path) -> list[str]:
    """The inputs named in a file, one per line or NUL-separated. Raises InputError."""
    try:
        data = list_file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the list of inputs: {error.strerror}", list_file) from error
    names = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [os.fsdecode(name) for name in names if name.strip()]


def collect(
    named: Iterable[str], task: str, recursive: bool, output: str | None, stdin_kind: Kind
) -> tuple[list[Source], bool]:
    """All sources in the order given, folders sorted; and whether a folder was among them."""
    sources: list[Source] = []
    from_folder = False
    for name in named:
        path = Path(name)
        if name == "-":
            sources.append(Source(None, stdin_kind))
        elif numbered.is_numbered(path):
            sources.append(_numbered_source(path))
        elif _is_folder(path):
            from_folder = True
            sources.extend(_in_folder(path, task, recursive, output))
        else:
            sources.append(Source(path, kind_of(path)))
    if [s.path for s in sources].count(None) > 1:
        raise UsageError("standard input was named twice", remedy="Give - once")
    if any(s.path is None for s in sources) and len(sources) > 1:
        raise UsageError("standard input cannot be mixed with other inputs", remedy="Give - alone")
    return sources, from_folder


def _numbered_source(pattern: Path) -> Source:
    try:
        if numbered.numbers(pattern):
            return Source(pattern, "video")
    except OSError as error:
        raise InputError(f"cannot read the folder: {error.strerror}", pattern.parent, "Check it") from error
    raise InputError("there is no picture of that name", pattern, "Check the name and its number of digits")


def _is_folder(path: Path) -> bool:
    """Whether a named input is a folder (True) or a regular file (False); anything else is refused."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        remedy = "The link leads nowhere" if path.is_symlink() else "Check the name"
        raise InputError("no such input", path, remedy) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the input: {getattr(error, 'strerror', error)}", path) from error
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise InputError("the input is not a regular file", path, "Give - to read from standard input")
    return stat.S_ISDIR(mode)


def _in_folder(folder: Path, task: str, recursive: bool, output: str | None) -> list[Source]:
    """The media of a folder, sorted; hidden files, other files and this task's own outputs are left out."""
    own = own_name(task)
    inside = real_path(Path(output)) if output and not is_template(output) else None
    found: list[Source] = []
    unreadable: list[OSError] = []
    for here, folders, names in os.walk(folder, onerror=unreadable.append):
        keep = sorted(n for n in folders if not n.startswith(".") and real_path(Path(here, n)) != inside)
        folders[:] = keep if recursive else []
        for name in sorted(names):
            path = Path(here, name)
            usable = (
                path.is_file() or path.is_symlink()
            )  # a dangling link is a failure to report, not to hide
            if name.startswith(".") or own.search(name) or not usable or kind_of_suffix(path) is None:
                continue
            kind = kind_of(path) if path.suffix.lower() == ".gif" and path.is_file() else kind_of_suffix(path)
            found.append(Source(path, kind or "image", Path(here).relative_to(folder)))
    if unreadable:
        where = unreadable[0].filename
        raise InputError(f"cannot read the folder: {unreadable[0].strerror}", where, "Check its permissions")
    if not found:
        remedy = "Give another folder" if recursive else "Use --recursive to look into its folders"
        raise InputError("no images or videos in the folder", folder, remedy)
    return found


def own_name(task: str) -> re.Pattern[str]:
    """Names that this task gives to its outputs: ``photo.upscale.png``, ``film.upscale.preview.png``."""
    return re.compile(rf"\.{re.escape(task)}\.(\w+\.)?\w+$")


def is_template(output: str) -> bool:
    """Whether ``-o`` has fields to be filled in."""
    return "{" in output


def real_path(path: Path) -> str:
    """A path without links and dots, by which two names of one place are told. Raises InputError."""
    try:
        return os.path.realpath(path)
    except FileNotFoundError:  # even that needs to know where we are
        raise InputError("the working folder is gone", remedy="Change to a folder that exists") from None
