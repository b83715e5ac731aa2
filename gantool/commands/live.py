"""What is to be seen of a picture while it is painted: its progress, and the picture itself in a file."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from gantool.console import Console
from gantool.errors import OutputError
from gantool.progress import Progress

_EVERY_S = 2.0


class Live:
    """Follows ``--model gatys`` on the console and, every two seconds, in a file."""

    def __init__(self, console: Console, file: Path | None, overwrite: bool) -> None:
        """``file``: for the picture so far, or None. Raises OutputError where nothing can be written."""
        self._console, self._file = console, file
        self._last = time.monotonic()
        if file is None:
            return
        from gantool.media import image

        image.check_target(file.suffix, alpha=False, bits=8)
        if file.exists() and not overwrite:
            raise OutputError("the file for --live exists", file, "Use --overwrite to replace it")
        if not file.absolute().parent.is_dir():
            raise OutputError("the folder for --live is missing", file, "Make it first")

    def begin(self, steps: int) -> AbstractContextManager[Progress]:
        """A picture of so many steps begins."""
        return self._console.task("paint", steps, unit="step")

    def show(self, y: Any) -> None:
        """The picture so far, (1,3,h,w) in [0,1]."""
        self._console.check()
        if self._file is None or time.monotonic() - self._last < _EVERY_S:
            return
        from gantool.inference import to_array
        from gantool.media import files, image

        with files.atomic(self._file, overwrite=True) as temporary:
            image.write_picture(temporary, image.Picture(to_array(y.detach())[0]), provenance=None)
        self._last = time.monotonic()
