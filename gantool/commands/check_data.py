"""``gantool train --check``: look at all training data before a night is spent on it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from gantool.console import Console


def check_data(
    task: str, folders: tuple[Path, ...], values: dict[str, str], out: Path | None, console: Console
) -> None:
    """Decode everything, say what was found, and write a contact sheet.

    The sheet is ``check.png`` in the folder ``out``, or ``TASK-check.png`` where gantool was called.

    Raises:
        InputError: something in the data would spoil the training or its figures.
        OutputError: the folder cannot be made or written to.
        UsageError: a setting without which nothing can be trained is missing.
    """
    from gantool import datacheck, layouts
    from gantool.settings import configure

    recipe = importlib.import_module(f"gantool.recipes.{task}")
    config: Any = configure(recipe.Config, values)
    if hasattr(recipe, "ready"):
        recipe.ready(config)
    if hasattr(recipe, "check"):  # its data are not of the layouts of pictures
        sheet = _sheet_path(task, out)
        for line in recipe.check(folders, config, sheet):
            console.info(line)
        console.result(str(sheet), {"task": task, "output": str(sheet)})
        return
    also = [str(getattr(config, name)) for name in getattr(recipe, "ALSO", ())]
    roots = (*folders, *(Path(name) for name in also if name))
    layout = layouts.recognise(roots, recipe.LAYOUTS)
    path = _sheet_path(task, out)
    with console.task(f"check {task}", unit="file") as progress:
        report = datacheck.check(layout, crop=_crop(config), progress=progress)
    for line in report.lines():
        console.info(line)  # with -q, the sentence at the end counts the errors
    sheet = datacheck.contact_sheet(layout, path)
    console.result(str(sheet), {"task": task, "output": str(sheet), **report.to_json()})
    if (error := report.error()) is not None:
        raise error


def _sheet_path(task: str, out: Path | None) -> Path:
    """Where the contact sheet goes; the run folder is made if need be."""
    if out is None:
        return Path(f"{task}-check.png")
    from gantool.media.files import make_folder

    make_folder(out)
    return out / "check.png"


def _crop(config: Any) -> int:
    """The side of a recipe's training crops in pixels of the files, whatever it calls it."""
    if hasattr(config, "patch"):
        return config.patch * getattr(config, "scale", 1)
    # Recipes with a size bring pictures to it, however small they are.
    return getattr(config, "crop", 1)
