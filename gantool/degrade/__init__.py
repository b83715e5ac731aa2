"""Synthetic degradations: recipes that spoil good pictures, to train nets that mend bad ones.

``recipe("real-esrgan", scale=4).apply(image, rng)``; :data:`RECIPES` lists them. A recipe can be written with
its parameters, "realsr noise_from=phone patch=128", as ``--set degrade=`` takes it. numpy and OpenCV only
(but MATLAB's bicubic comes from :mod:`gantool.ops`); all chance comes from the generator that is passed in.
"""

from __future__ import annotations

import difflib
import shlex
from pathlib import Path
from typing import Any

from gantool.degrade.bsrgan import BSRGAN
from gantool.degrade.film import OldFilm
from gantool.degrade.real_esrgan import RealESRGAN
from gantool.degrade.realsr import RealSR
from gantool.degrade.recipe import Recipe
from gantool.degrade.resampling import Bicubic
from gantool.errors import UsageError
from gantool.settings import absolute, assignments, configure, paths

RECIPES: dict[str, type[Recipe]] = {
    kind.name: kind for kind in (Bicubic, BSRGAN, RealESRGAN, RealSR, OldFilm)
}

__all__ = ["RECIPES", "Recipe", "recipe", "spoiler"]


def recipe(name: str, /, scale: int | str | None = None, **parameters: Any) -> Recipe:
    """The recipe of that name, which may have parameters behind it: "old-film preset=heavy".

    ``scale``: by which pictures shrink; the recipe's own (4, and 1 for old-film) if None. ``parameters``:
    further fields of the recipe, such as ``preset="heavy"``.

    Raises:
        UsageError: no such recipe, a parameter that it does not have, or a scale that it cannot do.
    """
    name, written = _read(name)
    kind = RECIPES.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, RECIPES, n=1, cutoff=0.4)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(f"unknown recipe '{name}'", remedy=f"{hint}Recipes are {', '.join(RECIPES)}")
    if scale is not None and str(scale) != "1" and kind is OldFilm:
        raise UsageError("old-film keeps the size of pictures", remedy="Leave the scale out")
    if scale is not None and "scale" in written:
        raise UsageError(f"the scale is {scale} here", remedy="Leave scale out of what is said of the recipe")
    if scale is not None:
        parameters["scale"] = scale
    return configure(kind, {key: str(value) for key, value in parameters.items()} | written)


def spoiler(name: str, /, **parameters: Any) -> Recipe:
    """The recipe of that name, for pictures that keep their size.

    Raises:
        UsageError: as :func:`recipe`, and for bicubic, which only makes pictures smaller.
    """
    if _read(name)[0] == Bicubic.name:
        what = f"{name} spoils nothing where pictures keep their size"
        raise UsageError(what, remedy="Use another recipe, such as old-film or real-esrgan")
    return recipe(name, scale=1, **parameters)


def settled(text: str, folder: Path | None = None) -> str:
    """A recipe as it is written, but its files and folders, where they are there, by absolute paths.

    Paths are meant from ``folder``, by default the current one. What cannot be read stays as it is, for the
    error that :func:`recipe` tells of it.
    """
    try:
        name, written = _read(text)
    except UsageError:
        return text
    for key in paths(RECIPES.get(name, Recipe)) & written.keys():
        written[key] = absolute(written[key], folder)
    return shlex.join((name, *(f"{key}={value}" for key, value in written.items())))


def _read(text: str) -> tuple[str, dict[str, str]]:
    """ "realsr patch=128" -> its name and parameters."""
    try:
        name, *words = shlex.split(text) or [""]
    except ValueError as error:  # a quotation without an end
        raise UsageError(f"cannot read the recipe '{text}': {error}") from None
    return name, assignments(words)
