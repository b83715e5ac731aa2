"""How far a piece of work is: counted, and shown as a bar, as a log line now and then, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

LOG_INTERVAL_S = 30.0
RATE = "images_per_s"
_LABEL_MAX = 26
_MOST_VALUES = 7  # in a log line


class Progress:
    """Counts units of work; this one shows nothing. Methods may be called from any thread."""

    def __init__(self, label: str, total: int | None, unit: str, clock: Callable[[], float] = time.monotonic):
        self.label = label
        self.unit = unit
        self.done = 0
        self._skipped = 0
        self.expected = total
        self.remark = ""
        self._clock = clock
        self._began = clock()

    def advance(self, n: int = 1) -> None:
        """``n`` more units are done."""
        self.done += n
        self._show()

    def skip(self, n: int) -> None:
        """``n`` units were done before this task began."""
        self._skipped += n
        self.advance(n)

    def total(self, n: int | None) -> None:
        """The total has become known, or was wrong."""
        self.expected = n
        self._show()

    def note(self, remark: str) -> None:
        """A word on what is going on just now, shown behind the figures."""
        self.remark = remark
        self._show()

    def values(self, values: Mapping[str, float]) -> None:
        """The latest figures of a training: losses, ``d_accuracy``, ``g_norm``, ``images_per_s``, ``lr``."""

    def scores(self, step: int, scores: Mapping[str, float], best: str = "") -> None:
        """Scores of the pictures kept out; ``best`` is the run's best so far in words ("psnr 22.91")."""

    def rate(self) -> float:
        """Units per second since the task began; 0 before the first."""
        return (self.done - self._skipped) / max(self._clock() - self._began, 1e-6)

    def figures(self) -> str:
        """ "120/300 frames, 3.4 frames/s, 0:53 left"."""
        if self.unit == "byte":
            of = f"/{self.expected / 1e6:.1f}" if self.expected else ""
            done, rate = f"{self.done / 1e6:.1f}{of} MB", f"{self.rate() / 1e6:.1f} MB/s"
        else:
            of = f"/{self.expected}" if self.expected else ""
            done, rate = f"{self.done}{of} {self.unit}s", f"{self.rate():.3g} {self.unit}s/s"
        words = [done] if self.done or self.expected else []
        if self.done > self._skipped:
            words.append(rate)
            if self.expected and self.expected > self.done:
                words.append(f"{clock_text((self.expected - self.done) / self.rate())} left")
        if self.remark:
            words.append(self.remark)
        return ", ".join(words)

    def _show(self) -> None:
        """Nothing to see here; the other two override it."""


class LogProgress(Progress):
    """A line now and then, for log files."""

    def __init__(self, say: Callable[[str], None], label: str, total: int | None, unit: str) -> None:
        super().__init__(label, total, unit)
        self._say = say
        self._last = self._began
        self._values = ""

    def values(self, values: Mapping[str, float]) -> None:
        """They stand behind the figures from the next line on."""
        self._values = main_values(values)

    def figures(self) -> str:
        """The figures, and the main values of a training."""
        return ", ".join(filter(None, (super().figures(), self._values)))

    def _show(self) -> None:
        now = self._clock()
        if now - self._last >= LOG_INTERVAL_S:
            self._last = now
            self._say(f"gantool: {self.label}: {self.figures()}")


class BarProgress(Progress):
    """A row of the display; gone when its work is done."""

    def __init__(self, bar: Any, label: str, total: int | None, unit: str) -> None:
        super().__init__(label, total, unit)
        self._bar = bar
        self._task = bar.add_task(shortened(label), total=total, figures=self.figures())

    def close(self) -> None:
        """Take the row off the screen."""
        self._bar.remove_task(self._task)

    def values(self, values: Mapping[str, float]) -> None:
        """Shown in a table under the bars."""
        self._bar.board.values(values)

    def scores(self, step: int, scores: Mapping[str, float], best: str = "") -> None:
        """Shown under the table."""
        self._bar.board.scores(step, scores, best)

    def _show(self) -> None:
        self._bar.update(self._task, completed=self.done, total=self.expected, figures=self.figures())


def value_text(name: str, value: float) -> str:
    """A figure of a training: a share as a percentage, all else with four digits."""
    words = name.split("_")
    if "accuracy" in words or "clipped" in words:
        return f"{value:.0%}"
    return f"{value:.3g}" if name == RATE else f"{value:#.4g}".rstrip(".")


def is_norm(name: str) -> bool:
    """Whether a value is a gradient's norm, by its name."""
    return "norm" in name.split("_")


def main_values(values: Mapping[str, float]) -> str:
    """ "g 1.204, l1 0.1014, d 0.5120, d_accuracy 87%, 12.3 images/s": no norms, and not too many losses."""
    names = [name for name in values if name not in (RATE, "lr") and not is_norm(name)]
    first = sorted(names, key=lambda name: "accuracy" not in name.split("_"))[:_MOST_VALUES]
    words = [f"{name} {value_text(name, values[name])}" for name in names if name in first]
    if RATE in values:
        words.append(f"{value_text(RATE, values[RATE])} images/s")
    return ", ".join(words)


def shortened(label: str) -> str:
    """A label that leaves room for the bar in 80 columns; of a long file name, both ends."""
    return label if len(label) <= _LABEL_MAX else f"{label[:14]}…{label[15 - _LABEL_MAX :]}"


def clock_text(seconds: float) -> str:
    """``75`` -> "1:15", ``4000`` -> "1:06:40"."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
