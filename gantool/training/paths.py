"""Parameters that name files: what is meant stays meant, wherever a run goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantool.catalog import load_catalog
from gantool.selection import GATYS

_WORDS = ("auto", "builtin", GATYS)  # what models are called without being in the catalog


def located(kind: type[Any], settings: Mapping[str, str], folder: Path | None = None) -> dict[str, str]:
    """The settings of a recipe, with files and folders that are there by their absolute paths.

    Paths are meant from ``folder``, by default the current one. A name of the catalog stays a name, and a
    path to nothing what it is, for the error that tells of it. Links are not followed: files may have others
    beside them.
    """
    fields = {f.name for f in dataclasses.fields(kind) if f.metadata.get("path")}
    names = {*_WORDS, *(row.name for row in load_catalog().rows)} if fields & settings.keys() else set()
    values = dict(settings)
    for name in fields & settings.keys():
        text = settings[name]
        place = ((folder or Path()) / Path(text).expanduser()).absolute()
        if text and text not in names and place.exists():
            values[name] = str(place)
    return values
