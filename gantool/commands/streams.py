"""Films and pictures through standard input and output."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TextIO

from gantool.errors import GantoolError, InputError
from gantool.sniff import Kind, kind_of_bytes

_HEAD_BYTES = 512


def stdin_kind() -> Kind:
    """What standard input holds, by its first bytes, which stay there; waits for them. Else an image."""
    stream = _stdin()
    peek = getattr(stream, "peek", None)
    if peek is not None:
        return kind_of_bytes(peek(_HEAD_BYTES)) or "image"
    head = stream.read(_HEAD_BYTES)  # a file in memory, as tests have it
    stream.seek(0)
    return kind_of_bytes(head) or "image"


def stdin_bytes() -> bytes:
    """All of standard input. Raises InputError when it is empty."""
    data = _stdin().read()
    if not data:
        raise InputError("standard input is empty", remedy="Pipe an image or a film into gantool")
    return data


@contextlib.contextmanager
def stdin_file() -> Iterator[Path]:
    """Standard input as a file in the folder for temporary files, for as long as the body runs.

    A film is read three times over (its first frame, its frames, its sound), and many an mp4 says only at
    its end what it holds, so it cannot be used as it flows.
    """
    with tempfile.TemporaryDirectory(prefix="gantool-") as folder:
        path = Path(folder) / "standard input"
        with path.open("wb") as file:
            shutil.copyfileobj(_stdin(), file, 1 << 20)
        try:
            yield path
        except GantoolError as error:
            if error.file == str(path):
                error.file = "standard input"
            raise


class Sink:
    """Standard output as what a film's writer takes; :meth:`close` when the film is whole."""

    def __init__(self, out: TextIO) -> None:
        out.flush()
        self._buffer = out.buffer

    def write(self, data: bytes) -> int:
        """Raises BrokenPipeError when nobody reads it."""
        return self._buffer.write(data)

    def close(self) -> None:
        """Send what is still here."""
        self._buffer.flush()


def _stdin() -> IO[bytes]:
    if sys.stdin is None:
        raise InputError("standard input is closed", remedy="Pipe an image or a film into gantool")
    return sys.stdin.buffer
