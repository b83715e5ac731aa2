"""The live display of a terminal: bars, and under them, for a training, a small table of its figures."""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.control import Control
from rich.progress import Progress, ProgressColumn
from rich.segment import ControlType, Segment
from rich.text import Text

from gantool.progress import RATE, is_norm, value_text

WIDEST = 79  # columns: a line that is not wider survives most changes of the terminal's width
_TWO_COLUMNS_FROM = 72
_BAR_FROM = 64  # below it, words take the room of the bar
_NAME_MAX, _VALUE, _SPARK_MAX, _SPARK_MIN = 16, 9, 24, 6
_BARS = "▁▂▃▄▅▆▇█"


@dataclass
class Row:
    """One value: what it is called, what it was last, and a line of what it was before."""

    name: str
    history: list[float]


class Board:
    """Figures of a training, as many as the terminal has room for. Empty until it is given some.

    Methods may be called from any thread; the display asks for the lines from its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, Row] = {}
        self._facts: dict[str, float] = {}
        self._scores = ""
        self._warning = ""

    def __bool__(self) -> bool:
        return bool(self._rows)

    def values(self, values: Mapping[str, float]) -> None:
        """The figures of a log line."""
        with self._lock:
            for name, value in values.items():
                if name in (RATE, "lr") or name.endswith("_lr"):
                    self._facts[name] = value
                else:
                    row = self._rows.setdefault(name, Row(name, []))
                    row.history = [*row.history[1 - _SPARK_MAX :], value]

    def scores(self, step: int, scores: Mapping[str, float], best: str) -> None:
        """Scores of the pictures kept out, and the best so far in words."""
        with self._lock:
            words = ", ".join(f"{name} {value_text(name, value)}" for name, value in scores.items())
            self._scores = f"held out at step {step}: {words}" + (f"; best so far {best}" if best else "")

    def warned(self, message: str) -> None:
        """The last warning, which has scrolled away above the display."""
        with self._lock:
            self._warning = message

    def lines(self, width: int, height: int, sparks: bool = True) -> list[Text]:
        """The table in at most ``height`` lines of at most ``width`` columns.

        ``sparks`` False: the terminal cannot show block characters.
        """
        width = min(width, WIDEST)
        with self._lock:
            rows = list(self._rows.values())
            below = self._below(width)
        columns = 2 if width >= _TWO_COLUMNS_FROM and len(rows) > 2 else 1
        # Where there is no room for all: first the words below go, then rows, norms before losses.
        room = max(0, height)
        deep = -(-len(rows) // columns)
        below = below[: max(0, room - min(deep, 4))]
        deep = min(deep, room - len(below))
        first = sorted(rows, key=lambda row: _rank(row.name))[: deep * columns]
        rows = sorted((row for row in rows if row in first), key=lambda row: is_norm(row.name))
        cell = (width - 2 * columns) // columns
        names = min(_NAME_MAX, max((len(row.name) for row in rows), default=0))
        made = []
        for i in range(deep):
            line = Text(no_wrap=True, overflow="crop")
            for row in rows[i::deep][:columns]:
                part = _cell(row, cell, names, sparks)
                line.append("  ").append_text(part).append(" " * (cell - part.cell_len))
            line.rstrip()
            made.append(line)
        return made + below

    def _below(self, width: int) -> list[Text]:
        facts = [f"{value_text(name, value)} images/s" for name, value in self._facts.items() if name == RATE]
        facts += [f"{name} {value:.3g}" for name, value in self._facts.items() if name != RATE]
        parts = [(", ".join(facts), ""), (self._scores, "")]
        parts += [(f"last warning: {self._warning}", "yellow")] if self._warning else []
        return [
            Text(f"  {line}", style=style, no_wrap=True, overflow="ellipsis")
            for text, style in parts
            for line in textwrap.wrap(
                text, max(10, width - 2), max_lines=3, placeholder=" …", break_on_hyphens=False
            )
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        sparks = not options.ascii_only
        yield from self.lines(options.max_width, console.height - 3, sparks)


def _cell(row: Row, width: int, names: int, sparks: bool) -> Text:
    """``l1   0.1014 ▁▂▃▅▇`` in ``width`` columns; if few, without the line, then the name."""
    names = max(1, min(names, width - _VALUE - 1))
    name = row.name if len(row.name) <= names else row.name[: names - 1] + "…"
    text = Text(f"{name:<{names}}", style="bold")
    text.append(f" {value_text(row.name, row.history[-1]):>{_VALUE}}", style="not bold")
    room = min(_SPARK_MAX, width - names - _VALUE - 3)
    if sparks and room >= _SPARK_MIN and len(row.history) > 1:
        text.append(" " + sparkline(row.history[-room:]), style="not bold cyan")
    return text


def _rank(name: str) -> int:
    """What is to be seen first: whether critic and generator are in balance, then losses, then norms."""
    return 0 if "accuracy" in name.split("_") else 2 if is_norm(name) else 1


def sparkline(values: Sequence[float]) -> str:
    """A bar for each value, from the lowest to the highest of them; half high where all are alike."""
    finite = [value for value in values if abs(value) < float("inf")]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    if high <= low:
        return "".join(_BARS[3] if abs(value) < float("inf") else " " for value in values)
    last = len(_BARS) - 1
    return "".join(
        _BARS[round((value - low) / (high - low) * last)] if abs(value) < float("inf") else " "
        for value in values
    )


class Display(Progress):
    """Rich's progress with a board under its bars."""

    def __init__(self, *columns: str | ProgressColumn, **options: Any) -> None:
        self.board = Board()
        self._drawn: list[int] = []  # columns of each line on the screen
        super().__init__(*columns, **options)

    def stop(self) -> None:
        """Take everything off the screen."""
        super().stop()
        self._drawn.clear()

    def get_renderables(self) -> Iterable[RenderableType]:
        """Bars, and the board once it has something to show."""
        tasks = self.tasks
        words = [Text(f"{task.description} {task.fields['figures']}") for task in tasks]
        parts = [_ByWidth(self.make_tasks_table(tasks), Group(*words)), *([self.board] if self.board else [])]
        yield _Frame(Group(*parts), self._drawn)


@dataclass
class _ByWidth:
    """Bars where there is room for them, otherwise the same in words."""

    bars: RenderableType
    words: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width >= _BAR_FROM:
            yield self.bars
        else:
            yield from console.render(self.words, options.update(no_wrap=False, overflow="fold"))


@dataclass
class _Frame:
    """What is drawn, after the leftovers of what was drawn before on a wider terminal.

    A terminal that becomes narrower breaks the lines on it, so that they take more rows than rich knows of
    when it moves up to draw over them.
    """

    content: RenderableType
    drawn: list[int]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        extra = sum(max(0, (columns - 1) // max(1, options.max_width)) for columns in self.drawn)
        if extra:
            up = (ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)
            yield Control(*(up * min(extra, console.height)))
        lines = console.render_lines(self.content, options, pad=False)
        self.drawn[:] = [Segment.get_line_length(line) for line in lines]
        for last, line in enumerate(lines, 1 - len(lines)):
            yield from line
            if last:
                yield Segment.line()
