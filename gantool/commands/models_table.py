"""The list of ``gantool models`` as a table: whole lines in a pipe, no more than its width on a terminal."""

from __future__ import annotations

from typing import Any

# Beside these columns there is no room for a sentence on a narrow terminal.
_WITH_SUMMARY = 120


def table(rows: list[Any], *, width: int | None, colors: bool = False) -> str:
    """The rows as text: name, task, size, licence, commercial use or not, where the file is.

    On a narrow terminal the task stands above its models, and there is no sentence on what each is for.

    Args:
        rows: of the catalog; shown by task, the built-in ones first.
        width: of the terminal, columns; None for a pipe, where no line is broken.
        colors: whether escape codes may be used.
    """
    import io

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from gantool import hub

    roomy = width is None or width >= _WITH_SUMMARY
    grid = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True, header_style="bold"
    )
    # Names are to be copied: where there is too little room, the licence is broken.
    grid.add_column("name", no_wrap=True, overflow="fold")
    grid.add_column("task" if roomy else "", no_wrap=True)
    grid.add_column("size", justify="right", no_wrap=True)
    grid.add_column("licence", no_wrap=width is None, overflow="fold")
    grid.add_column("commercial" if roomy else "com-\nmercial", no_wrap=True)
    grid.add_column("where", no_wrap=True)
    if roomy:
        grid.add_column("what for", no_wrap=width is None, ratio=1)
    heading = ""
    for row in sorted(rows, key=lambda row: (row.task, row.source != "builtin", row.name)):
        if not roomy and row.task != heading:
            if heading:
                grid.add_row()
            heading = row.task
            grid.add_row(Text(heading, style="bold" if colors else ""))
        state = hub.state(row)
        scale = f"x{row.scale}" if row.task == "upscale" else ""
        cells = [
            Text(row.name, style="cyan" if colors else ""),
            f"{row.task} {scale}" if roomy else scale,
            hub.describe_size(row.bytes),
            row.licence,
            Text("yes") if row.commercial else Text("no", style="yellow" if colors else ""),
            Text(state, style="green" if colors and state != "not here" else ""),
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
