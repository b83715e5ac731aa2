"""The command line: ``main(argv) -> exit code``.

Here stand what every command has in common: the list of commands, stdout protection, signals, and the one
place where an exception becomes a line on stderr and an exit code.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Annotated, Any

import typer

from gantool.commands import (
    chain,
    colorize,
    degrade,
    doctor,
    evaluate,
    export,
    frontalize,
    join,
    models,
    style,
    train,
    translate,
    upscale,
)
from gantool.commands.help_page import Command, Group, dress
from gantool.commands.options import examples
from gantool.commands.session import Request
from gantool.console import Console, protected_stdout
from gantool.errors import DeviceError, ExitCode, GantoolError, Stopped, UsageError

app = typer.Typer(
    cls=Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "gantool colorize film.mp4",
        "gantool upscale photo.jpg --scale 2",
        "gantool colorize album/ -o coloured/ --recursive",
    ),
)
for _name, _module in (
    ("colorize", colorize),
    ("translate", translate),
    ("upscale", upscale),
    ("style", style),
    ("frontalize", frontalize),
    ("chain", chain),
    ("join", join),
    ("train", train),
    ("degrade", degrade),
    ("export", export),
):
    app.command(_name, cls=Command, epilog=_module.EXAMPLES)(_module.command)
app.add_typer(dress(evaluate.app), name="eval", cls=Group)
app.add_typer(dress(models.app), name="models", cls=Group)
app.command("doctor", cls=Command, epilog=doctor.EXAMPLES)(doctor.command)


@app.callback()
def _gantool(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Turn images and videos into other images and videos with GANs: colour for old films, more pixels for
    small photos.

    Runs offline with the built-in models; `gantool models` lists better ones that can be downloaded.
    """


class Signals:
    """The first Ctrl-C, SIGTERM or hang-up raises :class:`Stopped` in the main thread, the second ends all.

    The stop is also remembered, so that :meth:`check` raises it again where the first exception was lost
    (inside a callback of a C library) or held back by :meth:`shield`.
    """

    def __init__(self) -> None:
        self._signum: int | None = None
        self._shields = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for signum in filter(None, (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None))):
                before = signal.getsignal(signum)
                # Ignored from birth (a script's background job, nohup): stays ignored.
                if before is not signal.SIG_IGN:
                    self._before[signum] = before
                    signal.signal(signum, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, before in self._before.items():
            signal.signal(signum, before if before is not None else signal.SIG_DFL)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._signum is not None:
            if os.isatty(2):
                os.write(2, b"\033[?25h\n")  # a progress bar hides the cursor
            os._exit(Stopped(signum).code)
        self._signum = signum
        if not self._shields:
            raise Stopped(signum)

    def check(self) -> None:
        """Raise Stopped when a signal has come."""
        if self._signum is not None:
            raise Stopped(self._signum)

    @contextlib.contextmanager
    def shield(self) -> Iterator[None]:
        """Inside, a first signal only takes effect at the next :meth:`check`."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        argv: the arguments without the program's name; those of this process by default.

    Returns:
        An :class:`~gantool.errors.ExitCode`. fd 1, fd 2, ``sys.stdout`` and the signal handlers are left as
        they were.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if _only_prints(argv):
        return _print_only(argv)
    with Signals() as signals:
        try:
            with protected_stdout() as out:
                console = Console(
                    out=out,
                    verbose=1 if os.environ.get("GANTOOL_DEBUG") else 0,
                    check=signals.check,
                    shield=signals.shield,
                )
                code = _invoke(argv or ["--help"], console)
        except Stopped as stopped:  # came between a command's end and here
            return int(stopped.code)
    return code if argv else int(ExitCode.USAGE)


def run() -> None:
    """The console script ``gantool``."""
    code = main()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads any more; keep the interpreter from saying so at exit
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _only_prints(argv: list[str]) -> bool:
    """Whether this is a call for help or the version, which belong on the real stdout."""
    options = argv[: argv.index("--")] if "--" in argv else argv
    return argv[:1] == ["--version"] or any(word in ("-h", "--help") for word in options)


def _print_only(argv: list[str]) -> int:
    if argv[0] == "--version":
        argv = []
    stdout, stderr = sys.stdout, sys.stderr
    console = Console()
    try:
        if argv:
            return _invoke(argv, console)
        from gantool import __version__

        console.print(f"gantool {__version__}")
    except SystemExit:  # the reader of the page has gone away (``| head``), which is no failure
        pass
    finally:
        sys.stdout, sys.stderr = stdout, stderr
    return int(ExitCode.OK)


def _invoke(argv: list[str], console: Console) -> int:
    """Parse, run the command, and turn whatever comes out of it into an exit code."""
    try:
        command = typer.main.get_command(app)
        answer = command.main(args=argv, prog_name="gantool", standalone_mode=False, obj=console)
        if isinstance(answer, Request):
            from gantool.commands import batch

            batch.run(answer, console)
    except Exception as error:
        known = _as_known(error)
        if console.verbose:
            console.traceback(error)
        console.error(known or error)
        return int(known.code if known else ExitCode.BUG)
    return answer if isinstance(answer, int) else int(ExitCode.OK)


def _as_known(error: Exception) -> GantoolError | None:
    """An exception as one of ours, or None when nobody foresaw it."""
    if isinstance(error, GantoolError):
        return error
    # Typer's own errors, of whichever base class its version has, can format themselves and know their code.
    message = getattr(error, "format_message", None)
    if message is not None and getattr(error, "exit_code", None) == ExitCode.USAGE:
        text = " ".join(str(message()).replace("Value error, ", "").split())
        context = getattr(error, "ctx", None)
        path = getattr(context, "command_path", None) or "gantool"
        return UsageError(text, remedy=f"See {path} --help")
    if isinstance(error, MemoryError):
        return DeviceError("out of memory", remedy="Use smaller inputs or --batch-size 1")
    return None
