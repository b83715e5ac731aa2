"""TensorBoard event files of a run: every logged value as a scalar, every sample sheet as an image.

Written record by record with tensorboardX's parts rather than through its ``SummaryWriter``: that one writes
from a thread, and where the disk is full its queue fills up and blocks the training.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

_FLUSH_EVERY_S = 20.0
_LONGEST_PX = 1280  # of an image; the whole sheet lies in samples/
_JPEG_QUALITY = 90


class Events:
    """One call's event file in ``folder``; a resumed run adds a file, and TensorBoard reads all of them.

    Args:
        folder: ``RUN/events``, made if need be.
        start: steps done before this call. What an earlier call wrote for later steps is withdrawn, so that
            an interrupted and resumed run looks like an unbroken one.
        warn: gets the reason, once, when the files cannot be written; the training goes on without them.
    """

    def __init__(self, folder: Path, start: int = 0, warn: Callable[[str], None] = lambda _: None) -> None:
        self._folder, self._start, self._warn = folder, start, warn
        self._writer: Any = None
        self._failed = False
        self._flushed = time.monotonic()

    def values(self, step: int, values: Mapping[str, float], group: str = "train") -> None:
        """Scalars of one log line, named ``group/name``; ``group`` is "train" or "held_out"."""

        def fill(summary: Any) -> None:
            for name, value in values.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    summary.value.add(tag=f"{group}/{name}", simple_value=float(value))

        self._write(step, fill)

    def image(self, step: int, image: np.ndarray, name: str = "samples") -> None:
        """A picture, kept as a JPEG of at most 1280 px.

        Args:
            image: uint8 RGB (H,W,3).
        """

        def fill(summary: Any) -> None:
            height, width = image.shape[:2]
            factor = min(1.0, _LONGEST_PX / max(height, width))
            size = max(1, round(width * factor)), max(1, round(height * factor))
            small = image if factor == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
            ok, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
            if ok:
                part = summary.value.add(tag=name)
                part.image.width, part.image.height, part.image.colorspace = *size, 3
                part.image.encoded_image_string = encoded.tobytes()

        self._write(step, fill)
        self.flush()

    def flush(self) -> None:
        """Bring all to the disk: before ``last.ckpt`` is written, so that a resumed run has no gap."""
        self._safely(lambda: self._writer and self._writer.flush())
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Write out and close the file; nothing can be added afterwards."""
        self.flush()
        self._safely(lambda: self._writer and self._writer.close())
        self._writer, self._failed = None, True

    def _write(self, step: int, fill: Callable[[Any], None]) -> None:
        def write() -> None:
            event = _event(step)
            fill(event.summary)
            if event.summary.value:
                self._writer = self._writer or self._opened()
                self._writer.write(event.SerializeToString())

        self._safely(write)
        if time.monotonic() - self._flushed > _FLUSH_EVERY_S:
            self.flush()

    def _opened(self) -> Any:
        from tensorboardX import RecordWriter

        self._folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files in the order of their names; the count tells two of one second apart.
        count = len(list(self._folder.glob("events.out.tfevents.*")))
        path = self._folder / f"events.out.tfevents.{int(time.time()):010d}.{count:04d}"
        writer = RecordWriter(str(path.resolve()))
        first = _event(0)
        first.file_version = "brain.Event:2"
        writer.write(first.SerializeToString())
        if self._start:
            again = _event(self._start + 1)  # readers drop what they have from this step on
            again.session_log.status = 1  # START
            writer.write(again.SerializeToString())
        return writer

    def _safely(self, act: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            act()
        except Exception as error:
            self._failed = True
            self._warn(f"no more TensorBoard events are written: {error or type(error).__name__}")


def _event(step: int) -> Any:
    from tensorboardX.proto import event_pb2

    messages: Any = event_pb2  # made at run time, which type checkers cannot see
    return messages.Event(wall_time=time.time(), step=step)
