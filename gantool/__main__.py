"""``python -m gantool`` and the console script."""

import sys


def run() -> None:
    """Run the command line and end the process.

    A Ctrl-C is told like any other also where it comes before the command line's own handlers stand: while
    the rest of the program is still being imported, which takes half a second.
    """
    try:
        from gantool.cli import run as command_line

        command_line()
    except KeyboardInterrupt:
        from gantool.errors import Stopped

        stopped = Stopped()
        print(f"gantool: error: {stopped}", file=sys.stderr)
        sys.exit(int(stopped.code))


if __name__ == "__main__":
    run()
