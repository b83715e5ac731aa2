"""What an evaluation found: figures of the whole and of each part, checks, and pictures worth a look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from gantool.errors import GantoolError


@dataclass(frozen=True)
class Measure:
    """A column: ``name`` in JSON, ``label`` elsewhere; ``better`` is the direction to wish for, "" if none.

    ``about`` says in a sentence what it is, by which protocol. ``digits`` stand behind the point of a figure
    times ``scale``; ``unit`` then names its reciprocal ("1e-5").
    """

    name: str
    label: str
    unit: str = ""
    better: Literal["more", "less", ""] = ""
    digits: int = 2
    about: str = ""
    scale: float = 1.0

    def text(self, value: float | None) -> str:
        """A figure as it is shown; "-" where there is none."""
        if value is None or math.isnan(value):
            return "-"
        if math.isinf(value):
            return "equal"  # of all measures only PSNR is infinite, and only for equal pictures
        return f"{value * self.scale:.{self.digits}f}"


@dataclass(frozen=True)
class Row:
    """A picture or a frame: its name, its time in the film in seconds, and its figures by measure."""

    name: str
    values: dict[str, float | None]
    time: float | None = None


@dataclass(frozen=True)
class Check:
    """A property that should have survived. ``ok`` None: it differs, as it may. ``verdict``: in words."""

    name: str
    source: str
    result: str
    ok: bool | None
    verdict: str


@dataclass(frozen=True)
class Exhibit:
    """Pictures side by side, (H,W,3) uint8 each with its label, under one title.

    ``over``: the first two are of one size and may lie over each other, with a slider between them.
    """

    title: str
    panels: tuple[tuple[str, np.ndarray], ...]
    over: bool = False


@dataclass
class Evaluation:
    """All of it. ``subject``: what was measured, by role; ``settings``: how, in words; ``totals``: figures of
    the whole by measure; ``left_out``: which measure was not taken, and why; ``curves``: which measures go
    into one plot; ``error``: raised after all is shown, since the figures are not those of a whole."""

    task: str
    subject: dict[str, str]
    settings: dict[str, Any]
    measures: Sequence[Measure]
    totals: dict[str, float | None]
    rows: list[Row]
    left_out: dict[str, str] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    exhibits: list[Exhibit] = field(default_factory=list)
    curves: Sequence[tuple[str, ...]] = ()
    summary: Sequence[Measure] = ()
    error: GantoolError | None = None

    def to_json(self) -> dict[str, Any]:
        """One object; figures that are not finite are null."""

        def finite(values: dict[str, float | None]) -> dict[str, float | None]:
            return {k: v if v is not None and math.isfinite(v) else None for k, v in values.items()}

        return {
            "task": self.task,
            **self.subject,
            "settings": self.settings,
            "totals": finite(self.totals),
            "left_out": self.left_out,
            **({"checks": [vars(check) for check in self.checks]} if self.checks else {}),
            "rows": [
                {"name": row.name, **({} if row.time is None else {"time": row.time}), **finite(row.values)}
                for row in self.rows
            ],
        }


def mean_of(rows: Sequence[Row], name: str) -> float | None:
    """The mean of a measure over the rows that have it; infinite if one is; None without any."""
    values = [value for row in rows if (value := row.values.get(name)) is not None]
    return float(np.mean(values)) if values else None
