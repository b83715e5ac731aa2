"""The live table of a training: what stands in it, and that it fits any terminal."""

from __future__ import annotations

import io
import math
import re

import pytest
from rich.console import Console
from rich.progress import TextColumn

from gantool.board import WIDEST, Board, Display, sparkline

VALUES = {"d": 0.5, "d_accuracy": 0.87, "g": 1.25, "l1": 0.1, "d_norm": 2.0, "g_norm": 3.0}


def board(lines: int = 30) -> Board:
    made = Board()
    for i in range(lines):
        swing = 1 + 0.1 * math.sin(i)
        made.values({k: v * swing for k, v in VALUES.items()} | {"lr": 2e-4, "images_per_s": 12.34})
    made.values(VALUES)
    return made


def plain(made: Board, width: int = 79, height: int = 20, sparks: bool = True) -> list[str]:
    return [line.plain.rstrip() for line in made.lines(width, height, sparks)]


def test_a_table_of_two_columns_and_the_words_below():
    made = board()
    made.scores(500, {"psnr": 22.914, "percept": 0.25}, "psnr 23.01")
    made.warned("step 400: look here")
    lines = plain(made)
    assert [re.sub(r" +[▁-█ ]+", " ", line).split() for line in lines[:3]] == [
        ["d", "0.5000", "l1", "0.1000"],
        ["d_accuracy", "87%", "d_norm", "2.000"],
        ["g", "1.250", "g_norm", "3.000"],
    ]
    assert all(len(re.findall(r"[▁-█]", line)) >= 2 * 8 for line in lines[:3])
    assert lines[3:] == [
        "  12.3 images/s, lr 0.0002",
        "  held out at step 500: psnr 22.91, percept 0.2500; best so far psnr 23.01",
        "  last warning: step 400: look here",
    ]
    style = made.lines(79, 20)[-1].style
    assert style == "yellow"


def test_nothing_given_nothing_shown():
    assert not Board() and Board().lines(80, 20) == []
    assert board()


@pytest.mark.parametrize("width", [200, 79, 72, 71, 50, 30, 20])
@pytest.mark.parametrize("height", [30, 8, 3, 1, 0, -2])
def test_it_fits(width, height):
    made = board()
    made.scores(500, {f"score_{i}": i / 7 for i in range(9)}, "score_0 1.000")
    made.warned("step 400: " + "a long story " * 30)
    lines = plain(made, width, height)
    assert len(lines) <= max(0, height)
    assert all(len(line) <= min(width, WIDEST) for line in lines)
    if height >= 1:
        assert any("d_accu" in line and "87%" in line for line in lines), "the last to go"
    if height == 30:
        assert all(any(line.lstrip().startswith(n[:6]) or n[:6] in line for line in lines) for n in VALUES)
        assert lines[-1].endswith("…") and sum("last warning" in line for line in lines) == 1


def test_narrow_terminals_have_one_column():
    assert len([line for line in plain(board(), 71) if re.search("[▁-█]", line)]) == len(VALUES)
    assert len([line for line in plain(board(), 72) if re.search("[▁-█]", line)]) == len(VALUES) / 2


def test_no_blocks_where_they_cannot_be_shown():
    assert all(line.isascii() for line in plain(board(), sparks=False))


def test_values_that_come_later_and_no_number():
    made = Board()
    made.values({"loss": 1.0})
    made.values({"loss": math.nan, "late": 2.0})
    assert [line.split() for line in plain(made)] == [["loss", "nan", "▄"], ["late", "2.000"]]


def test_sparkline():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([5, 5, 5]) == "▄▄▄" and sparkline([]) == ""
    assert sparkline([0, math.nan, math.inf, 1]) == "▁  █" and sparkline([math.nan]) == " "


class Terminal:
    """What a terminal of changing width shows: it wraps, and breaks long lines anew when it gets narrower."""

    def __init__(self, width: int) -> None:
        self.width, self.rows, self.row, self.column = width, [""], 0, 0

    def resize(self, width: int) -> None:
        parts = [[row[i : i + width] for i in range(0, max(1, len(row)), width)] for row in self.rows]
        self.row = sum(map(len, parts[: self.row + 1])) - 1  # the cursor stands at the end of its line
        self.width, self.rows = width, [row for rows in parts for row in rows]
        self.column = len(self.rows[self.row])

    def feed(self, text: str) -> None:
        for code in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]", text):
            if code == "\r":
                self.column = 0
            elif code == "\n":
                self.row, self.column = self.row + 1, 0
            elif code.endswith("A"):
                self.row = max(0, self.row - int(code[2:-1] or 1))
            elif code == "\x1b[2K":
                self.rows[self.row] = ""
            elif not code.startswith("\x1b"):
                if self.column == self.width:
                    self.row, self.column = self.row + 1, 0
                self.rows += [""] * (self.row + 1 - len(self.rows))
                row = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = row[: self.column] + code + row[self.column + 1 :]
                self.column += 1
            self.rows += [""] * (self.row + 1 - len(self.rows))

    def text(self) -> list[str]:
        return [row.rstrip() for row in self.rows if row.strip()]


def shown(display: Display, terminal: Terminal) -> list[str]:
    """Draw once, and give what the terminal shows."""
    stream = display.console.file
    assert isinstance(stream, io.StringIO)
    stream.seek(0)
    stream.truncate()
    display.console.width = terminal.width
    display.refresh()
    terminal.feed(stream.getvalue())
    return terminal.text()


@pytest.mark.parametrize("widths", [(90, 60), (80, 40, 25), (60, 100), (100, 50, 70, 30)])
def test_a_terminal_that_becomes_narrower_is_left_clean(widths):
    terminal = Terminal(widths[0])
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, height=60, width=widths[0])
    display = Display(
        TextColumn("{task.description}"),
        TextColumn("{task.fields[figures]}"),
        console=console,
        transient=True,
        auto_refresh=False,
    )
    display.add_task("train pix2pix", figures="1000/20000 steps, 3.41 steps/s, 1:32:51 left")
    display.board.values(VALUES)
    display.board.warned("step 400: " + "a long story " * 8)
    terminal.feed("a notice before\n")
    display.live.start()
    for width in widths:
        if width < terminal.width:
            terminal.resize(width)
        terminal.width = width
        for _ in range(2):
            rows = shown(display, terminal)
            assert rows[0] == "a notice before"
            assert sum("train pix2pix" in row for row in rows) == 1, rows
            assert sum("last warning" in row for row in rows) == 1, rows
    display.live.stop()
