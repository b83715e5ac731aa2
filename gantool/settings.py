"""Recipe parameters: a dataclass with meanings and bounds, set by ``--set`` and shown by ``--list``."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable
from dataclasses import field
from pathlib import Path
from typing import Any, TypeVar

from gantool.errors import UsageError

T = TypeVar("T")


def describe(kind: type[Any]) -> list[tuple[str, str, str]]:
    """(name, default, meaning) of every parameter of a recipe's Config."""
    return [(f.name, str(f.default), f.metadata.get("help", "")) for f in dataclasses.fields(kind)]


def param(default: Any, help: str, low: float | None = None, high: float | None = None) -> Any:
    """A recipe parameter with its meaning, and the least and greatest value that makes sense."""
    return field(default=default, metadata={"help": help, "low": low, "high": high})


def path_param(default: str, help: str) -> Any:
    """A recipe parameter that names a file or folder, or may do so."""
    return field(default=default, metadata={"help": help, "path": True})


def degradation_param(default: str, help: str) -> Any:
    """A recipe parameter that takes a recipe of :mod:`gantool.degrade`, with that one's parameters."""
    return field(default=default, metadata={"help": help, "degradation": True})


def paths(kind: type[Any]) -> set[str]:
    """The parameters of a recipe that name files or folders."""
    return {f.name for f in dataclasses.fields(kind) if f.metadata.get("path")}


def absolute(text: str, folder: Path | None = None) -> str:
    """The absolute path of a file or folder that is there; any other text as it is.

    It is meant from ``folder``, by default the current one. Links are not followed: files may have others
    beside them.
    """
    place = ((folder or Path()) / Path(text).expanduser()).absolute()
    return str(place) if text and place.exists() else text


def assignments(words: Iterable[str]) -> dict[str, str]:
    """The ``KEY=VALUE`` words of ``--set`` as a dictionary; a dash in a key counts as an underscore.

    Raises:
        UsageError: a word without a key or without an equals sign, or two values of one key.
    """
    values: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key.strip() or not equals:
            raise UsageError(f"--set {word} is not KEY=VALUE", remedy="--list shows the keys")
        name = key.strip().replace("-", "_")
        if values.get(name, value) != value:
            what = f"--set {name}={values[name]} and --set {name}={value} contradict each other"
            raise UsageError(what, remedy="Give one of them")
        values[name] = value
    return values


def configure(kind: type[T], settings: dict[str, str]) -> T:
    """A recipe's Config with ``--set`` values applied, each read as the type of its default.

    Raises:
        UsageError: an unknown name (with the nearest one), a value of the wrong type or out of bounds.
    """
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, text in settings.items():
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(sorted(fields))}"
            raise UsageError(f"unknown parameter '{name}'", remedy=hint)
        wanted = type(fields[name].default)
        try:
            if wanted is bool:
                values[name] = {"true": True, "1": True, "false": False, "0": False}[text.lower()]
            else:
                values[name] = wanted(text)
        except (ValueError, KeyError):
            kinds = {int: "a whole number", float: "a number", bool: "true or false"}
            raise UsageError(f"{name} takes {kinds.get(wanted, 'a word')}, not '{text}'") from None
        low, high = fields[name].metadata.get("low"), fields[name].metadata.get("high")
        # "not at least" rather than "below": NaN is neither.
        if low is not None and not values[name] >= low:
            raise UsageError(
                f"{name} must be at least {low:g}, not {text}", remedy="--list shows the defaults"
            )
        if high is not None and not values[name] <= high:
            raise UsageError(
                f"{name} must be at most {high:g}, not {text}", remedy="--list shows the defaults"
            )
        if wanted is float and not math.isfinite(values[name]):
            raise UsageError(f"{name} takes a number, not '{text}'", remedy="--list shows the defaults")
    return kind(**values)
