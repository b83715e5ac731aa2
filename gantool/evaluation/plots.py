"""Plots as SVG text for a report: curves over time, dots by picture, histograms. style.py colours them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from gantool.evaluation.result import Measure, Row

_WIDTH, _HEIGHT = 760, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 10, 26
_MOST_POINTS = 600  # of a curve: more would not be told apart
_MOST_DOTS = 40
_BINS = 24


def curves(measures: Sequence[Measure], rows: Sequence[Row], marks: Sequence[float] = ()) -> str:
    """One curve for each measure over the rows' times in seconds; ``marks``: times of scene cuts. Empty when
    no row has a figure."""
    lines = [_points(one, rows) for one in measures]
    values = np.array([value for line in lines for _, value in line])
    if not len(values):
        return ""
    first, last = (row.time or 0.0 for row in (rows[0], rows[-1]))
    frame = _Frame((first, max(last, first + 1e-9)), _range(values, zero=measures[0].better == "less"))
    parts = [_open("curves"), *frame.grid(_digits(frame.y)), *frame.seconds()]
    for mark in marks:
        x = frame.across(mark)
        parts.append(f'<line class="cut" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
        parts.append(f'<text class="cut" x="{x + 3:.1f}" y="{_TOP + 9}">cut</text>')
    for number, (one, line) in enumerate(zip(measures, lines, strict=True)):
        parts += _curve(frame, one, line, f"s{number}")
    return "".join([*parts, "</svg>"])


def spread(measure: Measure, rows: Sequence[Row]) -> str:
    """A dot for each picture, worst first; of many pictures a histogram. Empty when no row has a figure."""
    found = [
        (row.name, value * measure.scale)
        for row in rows
        if (value := row.values.get(measure.name)) is not None and math.isfinite(value)
    ]
    if not found:
        return ""
    if len(found) <= _MOST_DOTS:
        return _dots(measure, sorted(found, key=lambda one: one[1], reverse=measure.better == "less"))
    return _histogram(measure, np.array([value for _, value in found]))


class _Frame:
    """From values to places in the picture; ``y``: the range of the vertical axis, ticks included."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float, float]) -> None:
        self.x, self.y = x, y

    def across(self, value: float) -> float:
        low, high = self.x
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def down(self, value: float) -> float:
        low, high, _ = self.y
        return _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def grid(self, digits: int) -> list[str]:
        low, high, step = self.y
        parts = []
        for number in range(round((high - low) / step) + 1):
            value = low + number * step
            y = self.down(value)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            parts.append(f'<text class="y" x="{_LEFT - 7}" y="{y + 3.5:.1f}">{value:.{digits}f}</text>')
        return parts

    def seconds(self) -> list[str]:
        low, high = self.x
        step = _step((high - low) / 8)
        first = math.ceil(low / step - 1e-9)
        parts = []
        for number in range(first, math.floor(high / step + 1e-9) + 1):
            text = f"{number * step:g} s"
            parts.append(
                f'<text class="x" x="{self.across(number * step):.1f}" y="{_HEIGHT - 8}">{text}</text>'
            )
        return parts


def _open(kind: str, height: int = _HEIGHT) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {_WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg">'
    )


def _points(measure: Measure, rows: Sequence[Row]) -> list[tuple[float, float]]:
    """(time, value) of the rows that have one; of very many, the least and the greatest of each stretch."""
    line = [
        (row.time or 0.0, value * measure.scale)
        for row in rows
        if (value := row.values.get(measure.name)) is not None and math.isfinite(value)
    ]
    if len(line) <= _MOST_POINTS:
        return line
    kept = []
    for part in np.array_split(np.arange(len(line)), _MOST_POINTS // 2):
        piece = [line[index] for index in part]
        kept += sorted({min(piece, key=lambda one: one[1]), max(piece, key=lambda one: one[1])})
    return kept


def _curve(frame: _Frame, measure: Measure, line: list[tuple[float, float]], style: str) -> list[str]:
    places = [(frame.across(x), frame.down(y)) for x, y in line]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<polyline class="{style}" points="{path}"/>']
    for (x, y), (time, value) in zip(places, line, strict=True):
        said = f"{time:.2f} s: {measure.label} {value:.{measure.digits}f}"
        parts.append(
            f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{escape(said)}</title></circle>'
        )
    return parts


def _dots(measure: Measure, found: list[tuple[str, float]]) -> str:
    """Dots rather than bars, which would have to begin at 0, where SSIM never is."""
    values = [value for _, value in found]
    low, high = min(values), max(values)
    low = 0.0 if measure.better == "less" and low > 0 else low - 0.08 * (high - low)
    left, right, line = 210, _WIDTH - 80, 17
    parts = [_open("dots", line * len(found) + 4)]
    for number, (name, value) in enumerate(found):
        y = line * number + 10
        x = left + (right - left) * ((value - low) / (high - low) if high > low else 0.5)
        short = name if len(name) <= 32 else f"{name[:14]}...{name[-14:]}"
        parts.append(f'<text class="name" x="{left - 12}" y="{y + 4}">{escape(short)}</text>')
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<line class="s0" x1="{left}" x2="{x:.1f}" y1="{y}" y2="{y}"/>' if low == 0 else "")
        parts.append(
            f'<circle class="dot" cx="{x:.1f}" cy="{y}" r="5"><title>{escape(name)}</title></circle>'
        )
        parts.append(f'<text x="{x + 10:.1f}" y="{y + 4}">{value:.{measure.digits}f}</text>')
    return "".join([*parts, "</svg>"])


def _histogram(measure: Measure, values: np.ndarray) -> str:
    counts, edges = np.histogram(values, bins=_BINS)
    frame = _Frame((float(edges[0]), float(edges[-1])), _range(np.array([0.0, counts.max()]), zero=True))
    parts = [_open("histogram"), *frame.grid(0)]
    base = frame.down(0)
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        x, y = frame.across(low), frame.down(count)
        said = f"{low:.{measure.digits}f} to {high:.{measure.digits}f}: {count}"
        parts.append(
            f'<rect class="s0" x="{x + 1:.1f}" y="{y:.1f}" width="{frame.across(high) - x - 2:.1f}" '
            f'height="{base - y:.1f}"><title>{said}</title></rect>'
        )
    for value in edges[:: _BINS // 4]:
        text = f"{value:.{measure.digits}f}"
        parts.append(f'<text class="x" x="{frame.across(value):.1f}" y="{_HEIGHT - 8}">{text}</text>')
    x = frame.across(float(values.mean()))
    parts.append(f'<line class="mean" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{base:.1f}"/>')
    return "".join([*parts, "</svg>"])


def _range(values: np.ndarray, *, zero: bool) -> tuple[float, float, float]:
    """Least, greatest and step of an axis in round numbers; from 0 where that is what is best or ``zero``."""
    low, high = float(values.min()), float(values.max())
    if zero:
        low = min(0.0, low)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    step = _step((high - low) / 5)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step


def _step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, not below ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def _digits(axis: tuple[float, float, float]) -> int:
    return max(0, -math.floor(math.log10(axis[2]) + 1e-9))
