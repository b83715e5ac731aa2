"""Numbered pictures: ``frames/%05d.png`` stands for frames/00001.png, frames/00002.png and so on.

The pattern is printf's, one whole number in the file's name. A file that really bears such a name is that
file. Standard library only.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from gantool.sniff import IMAGE_SUFFIXES

_FIELD = re.compile(r"%(0\d{1,2})?d")


def is_numbered(path: Path) -> bool:
    """Whether a path is a pattern for pictures, and no file of that very name is there."""
    whole = len(_FIELD.findall(path.name)) == 1 and path.suffix.lower() in IMAGE_SUFFIXES
    return whole and not os.path.lexists(path)


def nth(pattern: Path, number: int) -> Path:
    """The picture with that number."""
    match = _FIELD.search(pattern.name)
    assert match is not None
    digits = f"{number:0{int(match[1] or 1)}d}"
    return pattern.with_name(pattern.name[: match.start()] + digits + pattern.name[match.end() :])


def numbers(pattern: Path) -> list[int]:
    """The numbers for which there is a picture, rising. Raises OSError when the folder cannot be read."""
    match = _FIELD.search(pattern.name)
    assert match is not None
    before, after = re.escape(pattern.name[: match.start()]), re.escape(pattern.name[match.end() :])
    known = re.compile(rf"{before}(\d+){after}")
    found = (known.fullmatch(name) for name in os.listdir(pattern.parent))  # noqa: PTH208 - names only
    # 0007 is none of %03d's, which writes 007.
    return sorted(int(one[1]) for one in found if one and nth(pattern, int(one[1])).name == one.string)


def plain_stem(pattern: Path) -> str:
    """A name for the whole: that of the pictures without their number, or of their folder."""
    stem = _FIELD.sub("", pattern.stem).strip(" ._-")
    return stem or pattern.absolute().parent.name or "pictures"
