"""Colour hints: which colour a place in the picture has, from a JSON or CSV file. Standard library only."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantool.errors import InputError, UsageError

_COLOR = re.compile(r"#?([0-9a-fA-F]{6})")
_NAMES = ("x", "y", "color", "radius")
_REMEDY = "Each hint is x, y, a colour such as #c08040, and a radius if you like; README shows examples."
_MOST = 10_000
_MOST_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Hint:
    """A colour at a place.

    ``x``, ``y``: from the left and the top of the upright picture, in px, or as shares of its width and
    height. ``rgb``: sRGB in [0,1]; only hue and saturation count, lightness is the picture's own.
    ``radius``: half the side of the square that is coloured, in px, or as a share of the picture's shorter
    side; None for what suits the net.
    """

    x: float
    y: float
    rgb: tuple[float, float, float]
    radius: float | None = None
    fractions: bool = False

    def at(self, width: int, height: int) -> tuple[float, float, float | None]:
        """(x, y, radius) in px of a picture of that size; the middle of a pixel for whole numbers of px.

        Raises InputError when that is outside the picture.
        """
        if self.fractions:
            radius = None if self.radius is None else self.radius * min(width, height)
            return self.x * width, self.y * height, radius
        if self.x >= width or self.y >= height:
            what = f"the hint at {self.x:g}, {self.y:g} lies outside the picture of {width} x {height} px"
            raise InputError(what, remedy="Count from the top left corner of the upright picture")
        return self.x + 0.5, self.y + 0.5, self.radius


def no_hints(model: str) -> UsageError:
    """What is said when hints are given to a model that cannot take them."""
    return UsageError(f"{model} takes no colour hints", remedy="Use --model siggraph17, or leave out --hints")


def read_hints(path: str | Path) -> tuple[Hint, ...]:
    """The hints of a file, at least one.

    JSON is a list (or an object with such a list under "hints") of objects with x, y, color and perhaps
    radius, or of lists in that order. CSV has these columns, with or without a line of their names; lines
    that begin with # are comments. Where all x and y of a file lie between 0 and 1 they are shares of the
    picture's width and height, and radii of its shorter side; otherwise all are px. Raises InputError.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError("the file is too large to be hints", path, _REMEDY)
        text = path.read_text("utf-8-sig")
    except OSError as error:
        what = f"cannot read the hints: {error.strerror}"
        raise InputError(what, path, "Check the path given to --hints.") from error
    except UnicodeDecodeError as error:
        raise InputError("the hints are not text", path, _REMEDY) from error
    rows = _json(text, path) if text.lstrip()[:1] in ("[", "{") else _csv(text, path)
    if not rows:
        raise InputError("the file holds no hints", path, _REMEDY)
    if len(rows) > _MOST:
        raise InputError(f"the file holds more than {_MOST:,} hints", path, _REMEDY)
    read = [_row(row, number, path) for number, row in enumerate(rows, 1)]
    fractions = all(x <= 1 and y <= 1 for x, y, _, _ in read)
    return tuple(Hint(x, y, rgb, radius, fractions) for x, y, rgb, radius in read)


def _json(text: str, path: Path) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the hints are not valid JSON: {error}", path, _REMEDY) from error
    if isinstance(found, dict):
        found = found.get("hints")
    if not isinstance(found, list):
        raise InputError("the JSON file holds no list of hints", path, _REMEDY)
    return found


def _csv(text: str, path: Path) -> list[Any]:
    # A colour begins with # too, but never a line: the place comes first.
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    comma = "," if not lines or "," in lines[0] else ";" if ";" in lines[0] else "\t"
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=comma)]
    except csv.Error as error:  # a cell as long as a book
        raise InputError(f"the hints are not valid CSV: {error}", path, _REMEDY) from error
    if rows and [cell.lower() for cell in rows[0]][:2] == ["x", "y"]:
        names = [cell.lower() for cell in rows[0]]
        names += [f"column {number}" for number in range(len(names) + 1, max(map(len, rows)) + 1)]
        return [{name: cell for name, cell in zip(names, row, strict=False) if cell} for row in rows[1:]]
    return rows


def _row(row: Any, number: int, path: Path) -> tuple[float, float, tuple[float, float, float], float | None]:
    """x, y, colour and radius of one hint. Raises InputError that tells which one is wrong, and how."""
    if isinstance(row, list):
        if any(cell not in ("", None) for cell in row[len(_NAMES) :]):
            raise InputError(f"hint {number} says more than x, y, a colour and a radius", path, _REMEDY)
        row = dict(zip(_NAMES, row, strict=False))
    if not isinstance(row, dict):
        raise InputError(f"hint {number} is not x, y and a colour", path, _REMEDY)
    strange = [name for name in row if name not in (*_NAMES, "colour")]
    if strange:  # a misspelt radius would pass unnoticed
        raise InputError(f"hint {number} has an unknown field '{strange[0]}'", path, _REMEDY)
    color = _COLOR.fullmatch(str(row.get("color", row.get("colour", ""))).strip())
    if color is None:
        raise InputError(f"hint {number} has no colour such as #c08040", path, _REMEDY)
    x, y = (_number(row.get(name), name, number, path) for name in ("x", "y"))
    radius = row.get("radius")
    radius = None if radius in (None, "") else _number(radius, "radius", number, path)
    red, green, blue = (int(color[1][i : i + 2], 16) / 255 for i in (0, 2, 4))
    return x, y, (red, green, blue), radius


def _number(value: Any, name: str, number: int, path: Path) -> float:
    try:
        found = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not (math.isfinite(found) and found >= 0):
        raise InputError(f"hint {number} has no {name} that is a number of 0 or more", path, _REMEDY)
    return found
