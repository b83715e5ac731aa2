"""What gantool says: notices and progress on stderr, results on a protected stdout.

Results (output paths, or JSON lines) are the only thing on stdout. While a command runs, file descriptor 1
points at stderr, so that neither a library's ``print`` nor C code can put a byte between the results.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from gantool.errors import GantoolError, OutputError
from gantool.progress import BarProgress, LogProgress, Progress


class Console:
    """One run's mouth.

    Args:
        quiet: no notices and no progress; warnings and errors remain.
        verbose: 1 also shows debug lines and tracebacks.
        progress: "auto" (a bar on a terminal, else a line every 30 s), "bar", "log" or "none".
        json: results as one JSON object per line instead of a path.
        color: colour on stderr; None asks the terminal, NO_COLOR and TERM=dumb.
        out: where results go: the stream of :func:`protected_stdout`.
        check: called between pieces of work; raises ``errors.Stopped`` when a signal asked to stop.
        shield: a context in which a signal takes effect at the next ``check`` rather than anywhere.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        verbose: int = 0,
        progress: str = "auto",
        json: bool = False,
        color: bool | None = None,
        out: TextIO | None = None,
        check: Callable[[], None] = lambda: None,
        shield: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> None:
        self.quiet = quiet
        self.verbose = verbose
        self.progress = progress
        self.json = json
        self.color = color
        self.out: TextIO = out if out is not None else sys.stdout
        self.check = check
        self.shield = shield
        self._unread = False  # nobody reads stdout any more
        self._bar: Any = None  # the rich display while one is on the screen

    def configure(
        self, *, quiet: bool = False, verbose: int = 0, progress: str | None = None, json: bool = False
    ) -> None:
        """Take over a command's ``-q -v --progress --json``; what is set already stays set."""
        self.quiet = self.quiet or quiet
        self.verbose = max(self.verbose, verbose)
        self.progress = progress or self.progress
        self.json = self.json or json

    # ---- notices

    def info(self, message: str) -> None:
        """A notice; silent with ``-q``."""
        if not self.quiet:
            self._say(f"gantool: {message}")

    def warn(self, message: str) -> None:
        """Something the user should know although the work goes on."""
        self._say(f"gantool: {self._paint('warning:', 33)} {message}")
        if self._bar is not None:
            self._bar.board.warned(message)

    def debug(self, message: str) -> None:
        """Shown with ``-v`` only."""
        if self.verbose:
            self._say(f"gantool: {message}")

    def error(self, error: BaseException) -> None:
        """One line. An unexpected exception is named as what it is, a bug."""
        if isinstance(error, GantoolError):
            text = str(error)
        else:
            reason = " ".join(str(error).split())
            text = (
                f"unexpected {type(error).__name__}{f': {reason}' if reason else ''}. "
                "This is a bug in gantool: run again with -v for the traceback and report it."
            )
        self._say(f"gantool: {self._paint('error:', 31)} {text}")

    def traceback(self, error: BaseException) -> None:
        """The full traceback, for ``-v`` and GANTOOL_DEBUG."""
        import traceback

        self._say("".join(traceback.format_exception(error)).rstrip())

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a closed stderr must not end a job of hours
            if self._bar is not None:
                from rich.text import Text

                self._bar.console.print(Text.from_ansi(text), soft_wrap=True)
            elif sys.stderr is not None:
                print(text, file=sys.stderr, flush=True)

    def _paint(self, text: str, code: int) -> str:
        return f"\033[1;{code}m{text}\033[0m" if self.colored() else text

    def colored(self) -> bool:
        """Whether stderr takes colours."""
        if self.color is not None:
            return self.color
        return colored(sys.stderr)

    # ---- results

    def result(self, target: str, record: dict[str, Any]) -> None:
        """Print a finished output: its path, or with ``--json`` its record on one line."""
        self.print(json.dumps(record, ensure_ascii=True) if self.json else target)

    def print(self, line: str) -> None:
        """A line of results. When the reader has gone away (``| head``), the work goes on without it.

        Raises OutputError when stdout cannot be written for another reason (a full disk behind ``>``).
        """
        if self._unread:
            return
        try:
            with self._bar_aside():
                print(line, file=self.out, flush=True)
        except (BrokenPipeError, ValueError):
            self._unread = True
        except OSError as error:
            self._unread = True
            raise OutputError(f"cannot write to standard output: {error.strerror}") from error

    @contextlib.contextmanager
    def _bar_aside(self) -> Iterator[None]:
        """Results and bar on one terminal: take the bar away for a moment, else they overwrite each other."""
        if self._bar is None or not self.out.isatty():
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()

    def write_bytes(self, data: bytes) -> None:
        """A whole file to standard output (``-o -``). Raises BrokenPipeError when nobody reads it."""
        self.out.flush()
        buffer = self.out.buffer
        buffer.write(data)
        buffer.flush()

    # ---- progress

    @contextlib.contextmanager
    def task(self, label: str, total: int | None = None, unit: str = "frame") -> Iterator[Progress]:
        """Show the progress of one piece of work. ``total`` None: not known (yet). May be nested."""
        mode = self.progress_mode()
        if mode == "bar":
            with self._opened_bar() if self._bar is None else contextlib.nullcontext(self._bar) as bar:
                row = BarProgress(bar, label, total, unit)
                try:
                    yield row
                finally:
                    row.close()
        elif mode == "log":
            yield LogProgress(self._say, label, total, unit)
        else:
            yield Progress(label, total, unit)

    def progress_mode(self) -> str:
        """ "bar", "log" or "none"."""
        if self.progress in ("bar", "log", "none"):
            return self.progress
        if self.quiet:
            return "none"
        terminal = sys.stderr is not None and sys.stderr.isatty()
        return "bar" if terminal and os.environ.get("TERM") != "dumb" else "log"

    @contextlib.contextmanager
    def _opened_bar(self) -> Iterator[Any]:
        import rich.console
        from rich import progress as parts

        from gantool.board import Display

        forced = True if self.progress == "bar" else None
        console = rich.console.Console(
            stderr=True, force_terminal=forced, no_color=not self.colored() or None, highlight=False
        )
        bar = Display(
            parts.TextColumn("{task.description}", markup=False),
            parts.BarColumn(bar_width=16, complete_style="cyan", finished_style="cyan"),
            parts.TextColumn("{task.fields[figures]}", markup=False),
            console=console,
            transient=True,
            refresh_per_second=4,  # drawing takes the processor from a training
            redirect_stdout=False,  # stdout is protected already; stderr lines go above the bar
        )
        with bar:
            self._bar = bar
            try:
                yield bar
            finally:
                self._bar = None


def colored(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal that takes colours, by NO_COLOR and TERM."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream is not None and stream.isatty()


@contextlib.contextmanager
def protected_stdout() -> Iterator[TextIO]:
    """Yield a stream to the real stdout; meanwhile everything else that writes there lands on stderr.

    Where ``sys.stdout`` is not file descriptor 1 (a notebook, a test), results go to that object. On exit
    fd 1 and ``sys.stdout`` are what they were. A closed stdout or stderr is taken for the null device.
    """
    with contextlib.ExitStack() as undo:
        python_stdout = sys.stdout
        if python_stdout is not None:
            with contextlib.suppress(OSError, ValueError):
                python_stdout.flush()
        out: TextIO
        real = _duplicate(1)
        if _is_fd(python_stdout, 1) or python_stdout is None:
            fd = real if real is not None else os.open(os.devnull, os.O_WRONLY)
            raw = os.fdopen(os.dup(fd), "wb")
            # Surrogates carry the bytes of file names that are not valid text; paths leave as they came.
            out = io.TextIOWrapper(raw, encoding=sys.getfilesystemencoding(), errors="surrogateescape")
            undo.callback(_close_quietly, out)
        else:
            out = python_stdout
        if real is not None:
            undo.callback(os.close, real)
            undo.callback(os.dup2, real, 1)
            elsewhere = _duplicate(2)
            if elsewhere is None:
                elsewhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(elsewhere, 1)
            os.close(elsewhere)
        sys.stdout = sys.stderr
        undo.callback(setattr, sys, "stdout", python_stdout)
        yield out


def _duplicate(fd: int) -> int | None:
    try:
        return os.dup(fd)
    except OSError:
        return None


def _is_fd(stream: TextIO | None, fd: int) -> bool:
    try:
        return stream is not None and stream.fileno() == fd
    except (OSError, ValueError, AttributeError):
        return False


def _close_quietly(stream: TextIO) -> None:
    try:
        stream.close()
    except (OSError, ValueError):  # the reader went away with results unread: nothing left to tell it
        with contextlib.suppress(OSError, ValueError):
            stream.detach()  # type: ignore[attr-defined]
