"""The list of ``gantool models`` as a table: whole lines in a pipe, no more than its width on a terminal."""

from __future__ import annotations

from typing import Any

# Beside these columns there is no room for a sentence on a narrow terminal.
_WITH_SUMMARY = 120


def table(rows: list[Any], *, width: int | None, colors: bool = False) -> str:
    """The rows as text: name, task, size, licence, commercial use or not, where the file is.

    Args:
        rows: of the catalog; shown by task, the built-in ones first.
        width: of the terminal, columns; None for a pipe, where no line is broken.
        colors: whether escape codes may be used.
    """
    import io

    from rich import box
    from rich.console import Console
    from rich.table import Table

    from gantool import hub

    roomy = width is None or width >= _WITH_SUMMARY
    grid = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True, header_style="bold"
    )
    # Names are to be copied: of all columns theirs is broken last.
    grid.add_column("name", no_wrap=roomy, overflow="fold", style="bold" if colors else "")
    grid.add_column("task", no_wrap=True)
    grid.add_column("size", justify="right", no_wrap=True)
    grid.add_column("licence", no_wrap=roomy, overflow="fold")
    grid.add_column("commercial" if roomy else "com-\nmercial", no_wrap=True)
    grid.add_column("where", no_wrap=True)
    if roomy:
        grid.add_column("what for", no_wrap=width is None, ratio=1)
    shades = {"built-in": "green", "cached": "green"} if colors else {}
    for row in sorted(rows, key=lambda row: (row.task, row.source != "builtin", row.name)):
        state = hub.state(row)
        cells = [
            row.name,
            f"{row.task} x{row.scale}" if row.task == "upscale" else row.task,
            hub.describe_size(row.bytes),
            row.licence,
            _painted("yes" if row.commercial else "no", "" if row.commercial or not colors else "yellow"),
            _painted(state, shades.get(state, "")),
        ]
        grid.add_row(*cells, *([row.summary] if roomy else []))
    text = io.StringIO()
    Console(
        file=text,
        width=width or 10_000,
        force_terminal=colors,
        color_system="standard" if colors else None,
        markup=False,
        highlight=False,
    ).print(grid)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _painted(word: str, style: str) -> Any:
    from rich.text import Text

    return Text(word, style=style)
