"""``gantool train --config FILE``: options and parameters from a TOML file, or from a run's config.json."""

from __future__ import annotations

import difflib
import json
import tomllib
from pathlib import Path
from typing import Any

from gantool.errors import InputError, UsageError

_WORDS = (str,)
_NUMBER = (int,)
KEYS: dict[str, tuple[type, ...]] = {
    "task": _WORDS,
    "data": (list, str),
    "output": _WORDS,
    "steps": _NUMBER,
    "seed": _NUMBER,
    "sample_every": _NUMBER,
    "device": _WORDS,
    "precision": _WORDS,
    "threads": _NUMBER,
    "devices": _NUMBER,
    "nodes": _NUMBER,
    "strategy": _WORDS,
    "accumulate": _NUMBER,
    "compile": (bool,),
    "set": (dict,),
}
LEAST = {"steps": 1, "seed": 0} | dict.fromkeys(
    ("sample_every", "threads", "devices", "nodes", "accumulate"), 1
)
_OF_A_RUN = ("data_hash", "gantool", "torch", "python")  # what config.json tells besides


def read_config(path: Path) -> dict[str, Any]:
    """The file's values by option name (``sample_every``); ``set`` holds the recipe's parameters as text.

    ``data`` and ``output`` are meant from where the file is; those of ``set``, only the recipe knows.

    Raises:
        InputError: there is no such file, or it is neither TOML nor JSON.
        UsageError: an unknown key (with the nearest one), or a value of the wrong type or out of its range.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise InputError(f"the config cannot be read: {error.strerror}", path, "Check --config") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"the config is not valid: {error}", path, "Correct the file") from error
    if not isinstance(raw, dict):
        raise InputError("the config is no table of keys and values", path, "Correct the file")
    if path.suffix == ".json":
        raw = {("set" if k == "settings" else k): v for k, v in raw.items() if k not in _OF_A_RUN}
    values = {}
    for key, value in raw.items():
        name = key.replace("-", "_")
        if name not in KEYS:
            near = difflib.get_close_matches(name, KEYS, n=1)
            hint = f"Did you mean {near[0]}?" if near else "Parameters of the recipe go under [set]"
            raise UsageError(f"unknown key '{key}' in {path}", remedy=hint)
        if not isinstance(value, KEYS[name]) or (isinstance(value, bool) and bool not in KEYS[name]):
            kind = {
                str: "text",
                int: "a whole number",
                bool: "true or false",
                list: "a list",
                dict: "a table",
            }
            raise UsageError(f"{key} in {path} takes {kind[KEYS[name][0]]}, not {value!r}")
        if name in LEAST and value < LEAST[name]:
            raise UsageError(f"{key} in {path} must be at least {LEAST[name]}, not {value}")
        values[name] = value
    if isinstance(values.get("data"), str):
        values["data"] = [values["data"]]
    for entry in values.get("data", []):
        if not isinstance(entry, str):
            raise UsageError(f"data in {path} takes the names of folders, not {entry!r}")
    # Paths are meant from where the file is, wherever gantool is called from.
    values["data"] = [str(path.parent / Path(entry)) for entry in values.get("data", [])]
    if "output" in values:
        values["output"] = str(path.parent / values["output"])
    values["set"] = {k.replace("-", "_"): _text(v) for k, v in values.get("set", {}).items()}
    return values


def _text(value: Any) -> str:
    """A parameter as it would stand on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)
