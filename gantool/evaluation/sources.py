"""What is to be measured: pictures in a folder, and which picture belongs to which."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from gantool.errors import InputError, UsageError
from gantool.numbered import is_numbered
from gantool.sniff import IMAGE_SUFFIXES, Kind, kind_of

# gantool's own outputs beside their inputs: photo.upscale.png belongs to photo.png.
_OWN = re.compile(r"\.(colorize|frontalize|translate|upscale|style|degrade|chain)$")


class Pair(NamedTuple):
    """A result, what it should look like, and the name under which it is shown."""

    name: str
    result: Path
    truth: Path


class Subject(NamedTuple):
    """``kind``: "image" or "video"; ``pairs``: one, or those of two folders; ``unmatched``: how many pictures
    of the second folder have no counterpart in the first."""

    kind: str
    pairs: list[Pair]
    unmatched: int = 0


def pairs_of(result: Path, truth: Path, recursive: bool = False) -> Subject:
    """Two files, or two folders matched by the stems of their pictures (and by folder, with ``recursive``).

    Raises:
        InputError: something is missing, empty or ambiguous, or a picture of ``result`` has no counterpart.
        UsageError: a folder against a file, or a picture against a film.
    """
    for path in (result, truth):
        if not path.exists() and not is_numbered(path):
            raise InputError("there is no such file or folder", path, "Check the path")
    if result.is_dir() != truth.is_dir():
        raise UsageError(
            f"{result} and {truth} are a folder and a file", remedy="Give two files or two folders"
        )
    if not result.is_dir():
        kinds = _kind(result), _kind(truth)
        if kinds[0] != kinds[1]:
            what = f"{result} is {_WORDS[kinds[0]]}, {truth} is {_WORDS[kinds[1]]}"
            raise UsageError(what, remedy="Give two of a kind")
        return Subject(kinds[0], [Pair(result.name, result, truth)])
    results, truths = (_by_stem(folder, recursive) for folder in (result, truth))
    missing = [path for stem, path in results.items() if stem not in truths]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        what = f"no counterpart of {missing[0].name}{others} in the other folder"
        raise InputError(what, truth, "Pictures are matched by their names without suffix")
    pairs = [Pair(str(path.relative_to(result)), path, truths[stem]) for stem, path in results.items()]
    return Subject("image", pairs, len(truths) - len(pairs))


_WORDS = {"image": "a picture", "video": "a film"}


def _kind(path: Path) -> Kind:
    return "video" if is_numbered(path) else kind_of(path)


def pictures_in(folder: Path, recursive: bool = False) -> list[Path]:
    """The pictures of a folder, hidden ones aside, sorted. Raises InputError when there are none."""
    if not folder.exists():
        raise InputError("there is no such folder", folder, "Check the path")
    if not folder.is_dir():
        raise InputError("this is not a folder", folder, "Give a folder of pictures")
    try:
        found = sorted(folder.rglob("*") if recursive else folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot read the folder: {error.strerror}", folder, "Check its rights") from error
    pictures = [
        path
        for path in found
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    if not pictures:
        remedy = "Give another folder" if recursive else "Use --recursive to look into its folders"
        raise InputError("no pictures in the folder", folder, remedy)
    return pictures


def _by_stem(folder: Path, recursive: bool) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in pictures_in(folder, recursive):
        stem = str(path.relative_to(folder).parent / _OWN.sub("", path.stem))
        if stem in found:
            what = f"{found[stem].name} and {path.name} have one name"
            raise InputError(what, folder, "Move one of them away, so that pictures can be matched")
        found[stem] = path
    return found
