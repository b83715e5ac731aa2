"""The pictures of training folders, and what the folders' names say about them.

Names are read word by word: ``train_A``, ``trainA``, ``A/train`` and ``train/A`` all say "train" and "a".
What is left of a folder's path is its group, so that the frames of several sequences stay apart. Names are
only hints here; :mod:`gantool.layouts.recognition` looks at the pictures before it believes them.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gantool.errors import InputError
from gantool.layouts.samples import PICTURE_SUFFIXES, natural
from gantool.sniff import IMAGE_SUFFIXES, VIDEO_SUFFIXES

_ROLE_WORDS = {
    "a": "a input inputs source src lr lq low lowres before noisy degraded blur blurry",
    "b": "b target targets output outputs gt hr hq high highres after clean sharp dst",
    "label": "label labels labelmap labelmaps labelids seg segmentation segmentations semantic mask masks "
    "annotation annotations",
    "inst": "inst insts instance instances instanceids",
    "photo": "img imgs image images photo photos rgb",
}
_ROLES = {word: role for role, words in _ROLE_WORDS.items() for word in words.split()}
_TRAIN = ("train", "training")
_SPLITS = {
    **dict.fromkeys(_TRAIN, "train"),
    **dict.fromkeys(("val", "valid", "validation", "eval"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_ENDINGS = "|".join([*_ROLES, "leftimg8bit", "gtfine", "color", "real", "fake", "ids"])
_STEM_END = re.compile(rf"(?:[_\-. ](?:{_ENDINGS})|(?<=\d)_?x[2-9])$")
_STEM_START = re.compile(rf"^(?:{_ENDINGS})[_\-. ]")
_RUN_TOGETHER = re.compile(r"(?<=[a-z])(?=[A-Z])|(?:(?<=^train)|(?<=^test)|(?<=^val))(?=[ab]$)")
_NOT_DATA = {"__MACOSX", "@eaDir", "$RECYCLE.BIN"}


@dataclass(frozen=True)
class Entry:
    """One picture file.

    ``split`` is "train", "val", "test" or "", ``role`` "a", "b", "label", "inst", "photo" or "", as the
    folder is named; ``group`` the rest of the folder's path, ``root`` the number of the root it is from.
    """

    path: Path
    split: str
    role: str
    group: str
    root: int

    @property
    def name(self) -> str:
        """Group and stem: "seq0/0001"."""
        return f"{self.group}/{self.path.stem}" if self.group else self.path.stem


@dataclass(frozen=True)
class Tree:
    """All picture files under the roots, in natural order, and the folder that they are named from."""

    roots: tuple[Path, ...]
    base: Path
    entries: tuple[Entry, ...]
    names: frozenset[str]  # of all folders, in lower case
    notes: tuple[str, ...] = ()

    def of(self, role: str) -> list[Entry]:
        """The entries of one role."""
        return [entry for entry in self.entries if entry.role == role]

    def by_root(self) -> Tree:
        """The same with the first of two roots as A, the second as B."""
        entries = []
        for entry in self.entries:
            parts = _parts(entry.path.parent, _folder(self.roots[entry.root]))
            split, _, group = _meaning(parts, self.names)
            entries.append(replace(entry, split=split, role="ab"[entry.root], group=group))
        return replace(self, entries=tuple(entries))


def walk(roots: Sequence[Path]) -> Tree:
    """Find the pictures of the roots, folders or files; links are followed, hidden files left out.

    Raises:
        InputError: a root is missing or cannot be read, or there is no picture in any.
    """
    if not roots:
        raise InputError("no training pictures", remedy="Name one or more folders")
    base = _base(roots)
    found: dict[Path, int] = {}
    others: Counter[str] = Counter()
    for number, root in enumerate(roots):
        for path in _files(root, others):
            found.setdefault(path, number)
    if not found:
        raise InputError("no pictures found", roots[0], f"Known: {', '.join(sorted(PICTURE_SUFFIXES))}")
    notes = []
    if others:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
        notes.append(f"files of kinds that training does not read are left out: {kinds}")
    folders = {path.parent: _parts(path.parent, base) for path in found}
    names = frozenset(part.lower() for parts in folders.values() for part in parts)
    meanings = {folder: _meaning(parts, names) for folder, parts in folders.items()}
    entries = [Entry(path, *meanings[path.parent], root) for path, root in found.items()]
    entries.sort(key=lambda entry: natural(entry.path.as_posix()))
    return Tree(tuple(roots), base, tuple(entries), names, tuple(notes))


def plain_stem(stem: str) -> str:
    """A file's stem without case and without words that name its role: ``0801x4`` and ``0801_HR`` -> 0801."""
    stem, before = stem.casefold(), ""
    while stem != before:
        before = stem
        stem = _STEM_START.sub("", _STEM_END.sub("", stem))
    return stem


def _folder(root: Path) -> Path:
    return root.parent if root.is_file() else root


def _base(roots: Sequence[Path]) -> Path:
    """The folder that names are told from: the root, or what several roots have in common."""
    for root in roots:
        if not root.exists():
            raise InputError("no such file or folder", root, "Name a folder of pictures")
    folders = [Path(os.path.abspath(_folder(root))) for root in roots]  # noqa: PTH100 (resolve follows links)
    if len(folders) == 1:
        return folders[0]
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:  # on several drives
        return Path(folders[0].anchor)


def _parts(folder: Path, base: Path) -> tuple[str, ...]:
    relative = os.path.relpath(folder, base)
    return tuple(part for part in Path(relative).parts if part not in (".", ".."))


def _files(root: Path, others: Counter[str]) -> list[Path]:
    """Absolute paths of the pictures under a root; other media are counted by suffix."""
    start = Path(os.path.abspath(root))  # noqa: PTH100
    if root.is_file():
        return [start]
    if not os.access(root, os.R_OK | os.X_OK):
        raise InputError("the folder cannot be read", root, "Check its permissions")
    found: list[Path] = []
    seen: set[str] = set()
    for here, folders, names in os.walk(start, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:  # a link that leads back, or twice to the same place
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in _NOT_DATA)
        for name in names:
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                continue
            if suffix in PICTURE_SUFFIXES:
                found.append(Path(here, name))
            elif suffix in IMAGE_SUFFIXES or suffix in VIDEO_SUFFIXES:
                others[suffix] += 1
    return found


def _meaning(parts: Sequence[str], names: frozenset[str]) -> tuple[str, str, str]:
    """(split, role, group) of a folder's path; the deepest word wins."""
    split = role = ""
    rest: list[str] = []
    for part in parts:
        here_split, here_role, left = _words(part, names)
        split, role = here_split or split, here_role or role
        if left:
            rest.append(left)
    return split, role, "/".join(rest)


def _words(part: str, names: frozenset[str]) -> tuple[str, str, str]:
    """(split, role, what else it says) of one folder's name; ``names`` are those of all folders."""
    words = [word for word in re.split(r"[_\-. ]+", _RUN_TOGETHER.sub("_", part)) if word]
    split = role = ""
    rest = []
    for number, word in enumerate(words):
        low = word.lower()
        # A lone "a" is often an article: it counts as the last word only.
        means = _ROLES.get(low, "") if len(low) > 1 or number == len(words) - 1 else ""
        if low in _SPLITS and not split:
            split = _SPLITS[low]
        elif means and not role:
            role = means
        else:
            rest.append(word)
    if split and rest and not role and not _has_train(part, names):
        split = ""  # "bsds500_test" is the name of a collection, unless there is a "bsds500_train"
    return split, role, "_".join(rest) if split or role else part


def _has_train(part: str, names: frozenset[str]) -> bool:
    return any(
        re.sub(rf"(?<![a-z])({'|'.join(_SPLITS)})(?![a-z])", word, part.lower()) in names for word in _TRAIN
    )
