"""Parameters that name files: what is meant stays meant, wherever a run goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantool.catalog import load_catalog
from gantool.degrade import settled
from gantool.selection import GATYS
from gantool.settings import absolute, paths

_WORDS = ("auto", "builtin", GATYS)  # what models are called without being in the catalog


def located(kind: type[Any], settings: Mapping[str, str], folder: Path | None = None) -> dict[str, str]:
    """The settings of a recipe, with files and folders that are there by their absolute paths.

    Paths are meant from ``folder``, by default the current one. A name of the catalog stays a name, and a
    path to nothing what it is, for the error that tells of it. Likewise what recipes of degradation name.
    """
    fields = paths(kind)
    names = {*_WORDS, *(row.name for row in load_catalog().rows)} if fields & settings.keys() else set()
    values = dict(settings)
    for name in fields & settings.keys():
        if settings[name] not in names:
            values[name] = absolute(settings[name], folder)
    for parameter in dataclasses.fields(kind):
        if parameter.metadata.get("degradation") and parameter.name in settings:
            values[parameter.name] = settled(settings[parameter.name], folder)
    return values
