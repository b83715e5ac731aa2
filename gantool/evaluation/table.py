"""An evaluation as text: tables with whole lines in a pipe, no wider than the window on a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gantool.evaluation.result import Evaluation, Measure

_MOST_ROWS = 20
_ARROWS = {"more": " ↑", "less": " ↓", "": ""}


def text(found: Evaluation, *, width: int | None, colors: bool = False) -> str:
    """The tables: checks if any, each picture's figures where they are few, the whole's, and what is missing.

    Args:
        width: of the terminal, columns; None for a pipe, where no line is broken.
        colors: whether escape codes may be used.
    """
    out = io.StringIO()
    console = Console(
        file=out,
        width=width or 10_000,
        force_terminal=colors,
        color_system="standard" if colors else None,
        markup=False,
        highlight=False,
    )
    if found.checks:
        console.print(_checks(found))
        console.print()
    # A film has too many frames for a table: --json and --report have them.
    if 1 < len(found.rows) <= _MOST_ROWS and found.rows[0].time is None:
        console.print(_rows(found))
    else:
        console.print(_summary(found))
    for label, reason in found.left_out.items():
        console.print(f"{label}: {reason}")
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


def _grid() -> Table:
    return Table(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True, header_style="bold"
    )


def _checks(found: Evaluation) -> Table:
    grid = _grid()
    for title in ("", "source", "result", ""):
        grid.add_column(title, overflow="fold")
    styles = {True: "green", False: "bold red", None: "yellow"}
    for check in found.checks:
        verdict = check.verdict if check.ok is not False else check.verdict.upper()
        grid.add_row(check.name, check.source, check.result, Text(verdict, style=styles[check.ok]))
    return grid


def _rows(found: Evaluation) -> Table:
    grid = _grid()
    grid.add_column("", overflow="fold")
    for one in found.measures:
        grid.add_column(_heading(one), justify="right")
    for row in found.rows:
        grid.add_row(row.name, *(one.text(row.values.get(one.name)) for one in found.measures))
    grid.add_section()
    grid.add_row("mean", *(one.text(found.totals.get(one.name)) for one in found.measures), style="bold")
    for one in found.summary:
        grid.add_row(_heading(one), one.text(found.totals.get(one.name)))
    return grid


def _summary(found: Evaluation) -> Table:
    """One line for each measure: the mean, and the spread where there are several pictures or frames."""
    grid = _grid()
    several = len(found.rows) > 1
    grid.add_column("")
    titles = ("mean", "least", "most") if several else ("",)
    for title in titles:
        grid.add_column(title, justify="right")
    grid.add_column("", overflow="fold", style="dim")
    for one in [*found.measures, *found.summary]:
        cells = [one.text(found.totals.get(one.name))]
        if several:
            cells += _ends(found, one)
        grid.add_row(_heading(one), *cells, one.about)
    return grid


def _ends(found: Evaluation, measure: Measure) -> Sequence[str]:
    values = [value for row in found.rows if (value := row.values.get(measure.name)) is not None]
    return [measure.text(min(values)), measure.text(max(values))] if values else ["", ""]


def _heading(measure: Measure) -> str:
    unit = f", {measure.unit}" if measure.unit else ""
    return f"{measure.label}{unit}{_ARROWS[measure.better]}"
