"""``python -m gantool``."""

from gantool.cli import run

if __name__ == "__main__":
    run()
