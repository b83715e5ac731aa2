"""``gantool export``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gantool.commands.options import ACCEPT_LICENSE, Output, examples, option, panels
from gantool.console import Console
from gantool.errors import UsageError

if TYPE_CHECKING:
    from gantool.catalog import Checkpoint

EXAMPLES = examples(
    "gantool export upscale-compact-x4 -o upscale.onnx",
    "gantool export runs/maps -o maps.pt --size 256",
    "gantool export latest_net_G.pth -o horses.safetensors --precision fp16",
)

_SIZE = re.compile(r"([1-9]\d{0,4})(?:[xX]([1-9]\d{0,4}))?")


@panels
def command(
    ctx: typer.Context,
    *,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name from `gantool models`, a file, a training run, or hf:owner/repo/file.",
            rich_help_panel="Model",
            show_default=False,
        ),
    ],
    accept_license: Annotated[bool, ACCEPT_LICENSE] = False,
    target: Annotated[
        Path,
        option(
            "Files",
            "-o",
            "--output",
            metavar="FILE",
            help="Ends in .safetensors, .onnx or .pt (TorchScript).",
        ),
    ],
    overwrite: Annotated[bool, option("Files", "--overwrite", help="Replace outputs that exist.")] = False,
    size: Annotated[
        str | None,
        option(
            "Quality",
            "--size",
            metavar="WIDTHxHEIGHT",
            help="Fix the size of pictures that the graph takes. [free, where the net allows it]",
        ),
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16"],
        option(
            "Quality", "--precision", metavar="fp32|fp16", help="Of the weights, and of a graph's arithmetic."
        ),
    ] = "fp32",
    output: Output,
) -> None:
    """Write a model as safetensors, ONNX or TorchScript, for other programs.

    The file is run and compared with gantool's own net before it gets its name. Beside it a model card
    (FILE.md) says what it takes and gives, where it is from, and under which licence.
    """
    console: Console = ctx.obj
    console.configure(quiet=output.quiet, verbose=output.verbose, progress=output.progress, json=output.json)
    sides = _sides(size)
    import gantool.export as exporting

    exporting.check_target(target, overwrite=overwrite)
    if model in ("auto", "builtin"):
        raise UsageError(f"'{model}' names no single model", remedy="`gantool models` lists them.")
    net, row = _loaded(model, accept_license, console)
    options = {"size": sides, "half": precision == "fp16", "overwrite": overwrite, "warn": console.warn}
    done = exporting.export(net, row, target, **options)
    if done.difference is not None:
        gap = f"{done.difference:.1e}" if done.difference else "0"
        console.info(f"{target.name} gives what the net gives, to {gap} of its range ({done.checked})")
    record = {
        "output": str(done.path),
        "card": str(done.card),
        "model": row.name,
        "task": row.task,
        "format": done.format,
        "precision": done.precision,
        "width": done.size and done.size[1],
        "height": done.size and done.size[0],
        "checked": done.checked or None,
        "difference": done.difference,
    }
    console.result(str(done.path), record)


def _sides(text: str | None) -> tuple[int, int] | None:
    """``256`` or ``640x360`` (width x height) as (height, width)."""
    if text is None:
        return None
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--size {text} is not a size", remedy="Give WIDTHxHEIGHT, or one number for both.")
    width, height = int(match[1]), int(match[2] or match[1])
    return height, width


def _loaded(spec: str, accept_license: bool, console: Console) -> tuple[Any, Checkpoint]:
    """The net that MODEL names, whatever its task: (net in float32 on the CPU, its complete row)."""
    from dataclasses import replace

    from gantool import devices, hub, loading, selection
    from gantool.catalog import Checkpoint, load_catalog

    catalog = load_catalog()
    path = None if any(row.name == spec for row in catalog.rows) else selection.local_file(spec)
    if path is not None:
        row = Checkpoint(path.stem, "upscale", file=str(path))
    else:
        row = selection.named(spec, catalog)
        with console.task(f"fetch {row.name}", row.bytes or None, unit="byte") as progress:
            path = hub.fetch(row, accept_license=accept_license, progress=progress)
    devices.use_threads()
    if not row.arch:
        # Which task it is for, only the file can tell; what nothing of ours knows, spandrel may.
        found = loading.row_of(path)
        row = row if found is None else replace(row, task=found.task)
    return loading.load(row, path)
