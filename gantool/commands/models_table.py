"""What ``gantool models`` shows: whole lines in a pipe, no more than its width on a terminal."""

from __future__ import annotations

import textwrap
from typing import Any

# On narrower terminals there is no room for a sentence beside the other columns, or a long word above one.
_WITH_SUMMARY = 120
_WITH_WHOLE_HEADS = 98

# What somebody who chooses a model wants to know; how its net is called comes after it.
_FIRST = ("name", "task", "summary", "state", "path", "bytes", "licence", "commercial", "licence_accepted")
_FIRST += ("recommended", "origin", "paper", "made", "source")
_PLAIN = {"scale": 1, "multiple": 1, "value_range": 1.0, "signed": False, "color": "rgb", "whole": False}
_PLAIN |= {"keeps_gray": False}


def table(rows: list[Any], *, width: int | None, colors: bool = False) -> str:
    """The rows as text: name, task, size, licence, commercial use or not, where the file is.

    On a narrow terminal the task stands above its models, and there is no sentence on what each is for.

    Args:
        rows: of the catalog; shown by task, the built-in ones first and then the recommended ones.
        width: of the terminal, columns; None for a pipe, where no line is broken.
        colors: whether escape codes may be used.
    """
    import io

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from gantool import hub
    from gantool.catalog import TASKS

    roomy = width is None or width >= _WITH_SUMMARY
    grid = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True, header_style="bold"
    )
    # Names are to be copied: where there is too little room, the licence is broken.
    grid.add_column("name", no_wrap=True, overflow="fold")
    grid.add_column("task" if roomy else "", no_wrap=True)
    grid.add_column("size", justify="right", no_wrap=True)
    grid.add_column("licence", no_wrap=width is None, overflow="fold")
    whole = width is None or width >= _WITH_WHOLE_HEADS
    grid.add_column("commercial" if whole else "com-\nmercial", no_wrap=True)
    grid.add_column("where", no_wrap=True)
    if roomy:
        grid.add_column("what for", no_wrap=width is None, ratio=1)
    heading = ""

    def place(row: Any) -> tuple[Any, ...]:
        return TASKS.index(row.task), row.source != "builtin", not row.recommended, row.name

    for row in sorted(rows, key=place):
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


def details(record: dict[str, Any], width: int | None) -> str:
    """One model as text, a field a line: what matters first, nothing that is empty or as with most nets.

    Args:
        record: the row's fields, with ``state``, ``path`` and what was recorded of it.
        width: of the terminal, columns: longer values go on below themselves; None for a pipe.
    """
    order = [*_FIRST, *(name for name in record if name not in _FIRST)]
    told = {name: record[name] for name in order if record.get(name) not in ("", None, [], {}, ())}
    told = {name: value for name, value in told.items() if name not in _PLAIN or value != _PLAIN[name]}
    margin = max(map(len, told)) + 2
    lines = []
    for name, value in told.items():
        text = _text(name, value)
        parts = [text]
        if width is not None:  # a path or an address that is too long stays whole, to be copied
            room = max(20, width - margin)
            parts = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
        lines += [f"{name if n == 0 else '':<{margin}}{part}" for n, part in enumerate(parts)]
    return "\n".join(lines)


def _text(name: str, value: Any) -> str:
    from gantool import hub

    if name == "bytes":
        return f"{value:,} ({hub.describe_size(value)})" if value else "not known before the first download"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{k}={v}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(str(v) for v in value)
    return str(value)
