"""Everything by which a training is seen, behind one object: live table, curves, TensorBoard, warnings."""

from __future__ import annotations

from collections.abc import Mapping

import cv2

from gantool.training.curves import draw_curves
from gantool.training.events import Events
from gantool.training.health import Health
from gantool.training.request import TrainRequest
from gantool.training.run import Run


class Watch:
    """What the loop tells of its log lines, scores and sample sheets. Nothing here can end a training.

    ``health`` belongs into the parts of ``last.ckpt``, and takes the samples themselves
    (:meth:`Health.samples`) from the recipe. In processes that do not write, all of this does nothing.

    Args:
        better: as for the loop: the score that counts, with a minus where less is better.
        paired: as for :class:`Health`.
    """

    def __init__(self, run: Run, request: TrainRequest, better: str = "psnr", paired: bool = True) -> None:
        self._run, self._progress = run, request.progress
        self._warn, self._curves_failed = request.warn, False
        self._score = better.removeprefix("-")
        self.health = Health(request.warn, run.config, better, paired=paired)
        self._events = Events(run.folder / "events", warn=request.warn)

    def begin(self, start: int) -> None:
        """The loop starts, with ``start`` steps done by earlier calls."""
        self._events = Events(self._run.folder / "events", start, self._warn)

    def logged(self, step: int, values: Mapping[str, float]) -> None:
        """The values of a log line."""
        if self._run.writes:
            if self._progress is not None:
                self._progress.values(values)
            self._events.values(step, values)
            self.health.values(step, values)

    def sampled(self, step: int, scores: Mapping[str, float], best: float | None = None) -> None:
        """Samples were drawn and their scores logged; ``best`` is the run's best score, this one included."""
        if not self._run.writes:
            return
        words = "" if best is None else f"{self._score} {best:.4g}"
        if self._progress is not None and scores:
            self._progress.scores(step, scores, words)
        self._events.values(step, scores, "held_out")
        self.health.scores(step, scores)
        path = self._run.sheet(step)
        sheet = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
        if sheet is not None:
            self._events.image(step, cv2.cvtColor(sheet, cv2.COLOR_BGR2RGB))
        draw_curves(self._run.folder / "log.jsonl", self._run.folder / "curves.png", self._once)

    def flush(self) -> None:
        """Before ``last.ckpt`` is written: nothing of what it follows may be lost."""
        self._events.flush()

    def close(self) -> None:
        """The loop has ended, in whatever way."""
        self._events.close()

    def _once(self, reason: str) -> None:
        if not self._curves_failed:
            self._warn(reason)
        self._curves_failed = True
