"""``gantool degrade``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gantool.commands.options import MAX_PIXELS, QUALITY, Files, Marks, Output, examples, option, panels
from gantool.console import Console
from gantool.errors import UsageError

# Named here too, so that help needs no numpy; a test holds them to gantool.degrade.RECIPES.
RECIPES = ("bicubic", "bsrgan", "real-esrgan", "realsr", "old-film")

EXAMPLES = examples(
    "gantool degrade photos/ -o low/ --recipe bicubic --scale 2",
    "gantool degrade photos/ -o old/A/ --targets old/B/ --recipe old-film",
    "gantool degrade photos/ --recipe real-esrgan --preview",
    "gantool degrade film.mp4 --recipe old-film --set preset=heavy --seed 7",
)


@panels
def command(
    ctx: typer.Context,
    *,
    files: Files,
    targets: Annotated[
        Path | None,
        option(
            "Files",
            "--targets",
            metavar="FOLDER",
            help="Also write, under the same name, what a net should make of each result: the picture cut to "
            "a multiple of the scale, and grey or sharpened where the recipe has it so.",
        ),
    ] = None,
    recipe: Annotated[
        str, option("Recipe", "--recipe", metavar="NAME", help=f"How: {', '.join(RECIPES)}.")
    ] = "",
    scale: Annotated[
        int | None,
        option(
            "Recipe", "--scale", metavar="N", min=1, help="Factor by which pictures shrink. [4; old-film 1]"
        ),
    ] = None,
    seed: Annotated[int, option("Recipe", "--seed", metavar="N", min=0, help="Of all that is random.")] = 0,
    settings: Annotated[
        list[str] | None,
        option("Recipe", "--set", metavar="KEY=VALUE", help="A parameter of the recipe; may be repeated."),
    ] = None,
    show: Annotated[bool, option("Recipe", "--list", help="List the parameters of the recipe.")] = False,
    preview: Annotated[
        bool,
        option(
            "Recipe", "--preview", help="Make only one sheet: some originals, and below each three results."
        ),
    ] = False,
    quality: Annotated[int, QUALITY] = 95,
    max_pixels: Annotated[int, MAX_PIXELS] = 100_000_000,
    marks: Marks,
    output: Output,
) -> None:
    """Make bad pictures of good ones, to train nets that mend them: smaller, noisy, or like old film.

    In a folder given with -o, results are PNG files with their inputs' names.
    """
    console: Console = ctx.obj
    console.configure(quiet=output.quiet, verbose=output.verbose, progress=output.progress, json=output.json)
    if not recipe:
        raise UsageError("no recipe", remedy=f"Give --recipe. Recipes are {', '.join(RECIPES)}")
    if show:
        _list(recipe, console)
        return
    from gantool.commands.degrader import Request
    from gantool.commands.degrading import run
    from gantool.settings import assignments

    request = Request(
        files=files,
        targets=targets,
        recipe=recipe,
        scale=scale,
        seed=seed,
        settings=assignments(settings or []),
        preview=preview,
        quality=quality,
        max_pixels=max_pixels,
        metadata=marks.metadata,
    )
    run(request, console)


def _list(name: str, console: Console) -> None:
    from gantool.degrade import recipe
    from gantool.settings import describe

    rows = describe(type(recipe(name)))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for key, default, meaning in rows:
        line = f"{key:<{widths[0]}}  {default:<{widths[1]}}  {meaning}".rstrip()
        console.result(line, {"name": key, "default": default, "help": meaning})
