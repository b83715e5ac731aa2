"""The curves of a run as a picture: what ``log.jsonl`` says, on one sheet 1200 px wide.

Every value of the training lines and every held-out score has its place; values of one family (``psnr`` and
``psnr_gray``, ``g_a`` and ``g_b``, all norms) share a panel. Raw values are faint, smoothed ones in front of
them; scores are drawn as they are, with a dot each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gantool.media.files import atomic

WIDTH_PX = 1200
_DPI = 100
_LINES = 20_000  # of a log that are read, about
_POINTS = 800  # of a curve at most: a panel is not much wider in pixels
_WINDOW = 0.04  # width of the smoothing, as a share of a curve
_WIDE = 50.0  # a ratio of largest to smallest value from which a log scale shows more
_RATE = "images_per_s"  # by this name a training line is known
_MARGINS_PX = {"left": 78, "right": 16, "top": 30, "bottom": 50}  # of a panel, for its labels
_PANEL_HEIGHT_PX = 310
_UNITS = {
    "psnr": "dB",
    "images_per_s": "images/s",
    "accuracy": "share right",
    "lr": "learning rate",
    "norm": "of the gradient",
    "gp_norm": "of the gradient",
    "clipped": "share",
}


@dataclass(frozen=True)
class Series:
    """One value over the steps; NaN where it was not a finite number."""

    name: str
    steps: np.ndarray  # (n,) float64, rising
    values: np.ndarray  # (n,) float64
    score: bool  # from the lines of validation


def draw_curves(log: Path, target: Path, warn: Callable[[str], None] = lambda _: None) -> bool:
    """Draw a run's log; whatever goes wrong is a warning, since a training must not end by its picture.

    Args:
        log: ``log.jsonl``, one JSON object per line. Training lines hold ``images_per_s``; numbers in other
            lines are scores. Where steps come twice (a resumed run), the later lines win.
        target: the PNG, replaced whole.
        warn: gets the reason when nothing could be drawn.

    Returns:
        Whether the picture was written. A log without values gives no picture, and no warning.
    """
    try:
        panels = _panels(read_series(log))
        if panels:
            _draw(panels, target)
        return bool(panels)
    except Exception as error:
        warn(f"{target.name} could not be drawn: {error or type(error).__name__}")
        return False


def read_series(log: Path) -> list[Series]:
    """The values of a log by name, in the order in which they first appear; scores after the rest.

    A line that is followed, however late, by one of a lower step belongs to what a resumed run did again, and
    is dropped. Of two values at one step the later wins. Lines cut short by a crash are passed over.
    """
    entries = _entries(log.read_text(encoding="utf-8", errors="replace"))
    if not entries:
        return []
    steps = np.array([entry["step"] for entry in entries], np.float64)
    kept = np.flatnonzero(steps <= np.minimum.accumulate(steps[::-1])[::-1])
    alike: dict[tuple[str, ...], list[int]] = {}  # lines with the same names are turned into columns at once
    for i in kept.tolist():
        alike.setdefault(tuple(entries[i]), []).append(i)
    parts: dict[tuple[bool, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    for names, lines in alike.items():
        columns = zip(*(entries[i].values() for i in lines), strict=True)
        for name, column in zip(names, columns, strict=True):
            if name != "step" and any(map(_is_number, column)):
                part = np.array(lines), _numbers(column)
                parts.setdefault((_RATE not in names, name), []).append(part)
    found = [_series(name, score, steps, parts[score, name]) for score, name in parts]
    return sorted(found, key=lambda series: series.score)


def _entries(text: str) -> list[dict[str, Any]]:
    lines = _some([line for line in text.splitlines() if line])
    try:  # one call is five times as quick as one a line
        entries = json.loads("[" + ",".join(lines) + "]")
    except ValueError:
        entries = [_parsed(line) for line in lines]
    return [entry for entry in entries if isinstance(entry, dict) and _is_number(entry.get("step"))]


def _some(lines: list[str]) -> list[str]:
    """All scores, and of a long run's training lines as many as can be told apart: parsing takes time."""
    step = len(lines) // _LINES
    if step < 2:
        return lines
    return [line for i, line in enumerate(lines) if i % step == 0 or f'"{_RATE}"' not in line]


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(column: Sequence[Any]) -> np.ndarray:
    """float64, NaN for what is no finite number."""
    try:
        values = np.array(column, np.float64)
    except (TypeError, ValueError):
        values = np.array([value if _is_number(value) else np.nan for value in column], np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def _series(name: str, score: bool, steps: np.ndarray, parts: list[tuple[np.ndarray, np.ndarray]]) -> Series:
    lines = np.concatenate([lines for lines, _ in parts])
    values = np.concatenate([values for _, values in parts])
    order = np.argsort(lines)
    at, values = steps[lines[order]], values[order]
    newest = np.append(at[1:] > at[:-1], True)
    return Series(name, at[newest], values[newest], score)


# --- what goes into which panel, and how ----------------------------------------------------------------


def _panels(series: list[Series]) -> list[list[Series]]:
    panels: dict[tuple[bool, str], list[Series]] = {}
    for one in series:
        if np.isfinite(one.values).any():
            panels.setdefault((one.score, family(one.name)), []).append(one)
    return list(panels.values())


def family(name: str) -> str:
    """The word by which values share a panel: the unit where it is known, otherwise the first word."""
    if name in _UNITS:
        return name
    words = name.removeprefix("held_").split("_")
    if name.endswith("gp_norm"):
        return "gp_norm"
    return next((word for word in ("accuracy", "norm") if word in words), words[0])


def thinned(steps: np.ndarray, values: np.ndarray, most: int = _POINTS) -> tuple[np.ndarray, ...]:
    """At most ``most`` bins of equal length: (steps, means, lows, highs), NaN ignored where there is more."""
    size = -(-len(steps) // most)
    if size <= 1:
        return steps, values, values, values
    padded = np.full(-(-len(steps) // size) * size, np.nan)
    padded[: len(values)] = values
    bins = padded.reshape(-1, size)
    there = np.isfinite(bins)
    count = there.sum(1)
    means = np.where(count > 0, np.where(there, bins, 0).sum(1) / np.maximum(count, 1), np.nan)
    lows, highs = np.where(there, bins, np.inf).min(1), np.where(there, bins, -np.inf).max(1)
    lows[count == 0] = highs[count == 0] = np.nan
    return steps[::size], means, lows, highs


def smoothed(values: np.ndarray, window: float = _WINDOW) -> np.ndarray:
    """Gaussian-weighted mean around every point, over finite values only; its ends do not lag.

    Args:
        values: (n,); gaps (NaN) stay gaps.
        window: standard deviation, as a share of n.
    """
    sigma = window * len(values) / 2
    if sigma < 0.5:
        return values
    reach = min(int(3 * sigma) + 1, len(values) - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    there = np.isfinite(values)
    total = np.convolve(np.where(there, values, 0.0), kernel)[reach : reach + len(values)]
    weight = np.convolve(there.astype(float), kernel)[reach : reach + len(values)]
    return np.where(there, total / np.maximum(weight, 1e-12), np.nan)


def wants_log(panel: list[Series]) -> bool:
    """Whether values are all positive and so far apart that a linear axis would hide most of them."""
    values = np.concatenate([one.values[np.isfinite(one.values)] for one in panel])
    if values.min() <= 0 or family(panel[0].name) in ("accuracy", "images_per_s", "clipped", "psnr"):
        return False
    low, high = np.percentile(values, (1, 99))
    return bool(high / low > _WIDE)


# --- drawing --------------------------------------------------------------------------------------------


def _draw(panels: list[list[Series]], target: Path) -> None:
    import logging

    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it speaks of caches and fonts
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(panels), 2 if len(panels) <= 4 else 3)
    rows = -(-len(panels) // columns)
    last = max(one.steps[-1] for panel in panels for one in panel)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own style may ask for LaTeX, or for white on white
        matplotlib.rcParams.update({"font.size": 10, "axes.titlesize": 11})
        figure = Figure((WIDTH_PX / _DPI, rows * _PANEL_HEIGHT_PX / _DPI), dpi=_DPI)
        FigureCanvasAgg(figure)
        for i, panel in enumerate(panels):
            # Fixed margins: matplotlib's own layouts measure every label, at the price of a second drawing.
            width, height = WIDTH_PX / columns, _PANEL_HEIGHT_PX
            left, right, top, bottom = _MARGINS_PX.values()
            x, y = (i % columns) * width + left, (rows - 1 - i // columns) * height + bottom
            box = (x / WIDTH_PX, y / rows / height, (width - left - right) / WIDTH_PX)
            _panel(figure.add_axes((*box, (height - top - bottom) / rows / height)), panel, last)
        with atomic(target, overwrite=True) as temporary:
            figure.savefig(temporary, format="png")


def _panel(ax: Any, panel: list[Series], last: float) -> None:
    from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator

    word = family(panel[0].name)
    if wants_log(panel):
        ax.set_yscale("log")
    for color, one in zip(_colors(len(panel)), panel, strict=True):
        _curve(ax, one, color)
    low, high = _limits(panel, ax.get_yscale() == "log")
    ax.set_ylim(low, high)
    if ax.get_yscale() == "log":
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 2000 else (1,)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))
    single = len(panel) == 1
    title = panel[0].name if single else word
    ax.set_title(f"{title} (held out)" if panel[0].score else title, loc="left", fontweight="bold")
    ax.set_ylabel(_UNITS.get(word, ""))
    ax.set_xlabel("step")
    ax.set_xlim(0, last * 1.02 if last > 0 else 1)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.grid(True, color="0.88", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    if not single:
        ax.legend(fontsize=9, framealpha=0.85, borderpad=0.3, handlelength=1.4)


def tick_text(value: float) -> str:
    """A tick in at most seven characters: 0.00015, 12.5, 25k."""
    if abs(value) < 10_000:
        return f"{value:.4g}"
    power = min(4, int(np.log10(abs(value)) // 3))
    return f"{value / 1000**power:.4g}{' kMGT'[power]}"


def _limits(panel: list[Series], log: bool) -> tuple[float, float]:
    """Where the axis ends: a share is 0 to 1; otherwise a rare raw value may leave the picture."""
    if family(panel[0].name) in ("accuracy", "clipped"):
        return -0.03, 1.03
    ends = []
    for one in panel:
        drawn = one.values if one.score else smoothed(thinned(one.steps, one.values)[1])
        ends += [np.nanmin(drawn), np.nanmax(drawn)]
        ends += np.nanpercentile(one.values, (0.5, 99.5)).tolist()
    low, high = float(min(ends)), float(max(ends))
    if log:
        return low / (high / low) ** 0.05, high * (high / low) ** 0.05
    room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    return low - room, high + room


def _curve(ax: Any, one: Series, color: str) -> None:
    label = one.name
    if one.score:
        few = len(one.steps) <= 60
        ax.plot(
            one.steps, one.values, color=color, linewidth=1.6, marker="o" if few else "", ms=3.5, label=label
        )
        return
    steps, means, lows, highs = thinned(one.steps, one.values)
    if lows is not means:
        ax.fill_between(steps, lows, highs, color=color, alpha=0.18, linewidth=0)
    else:
        ax.plot(steps, means, color=color, alpha=0.3, linewidth=0.8)
    line = smoothed(means)
    alone = len(steps) == 1 or _lonely(line).any()
    ax.plot(steps, line, color=color, linewidth=1.7, label=label)
    if alone:  # a line needs two neighbours to be seen
        spots = _lonely(line)
        ax.plot(steps[spots], line[spots], color=color, linestyle="", marker="o", ms=4)


def _lonely(line: np.ndarray) -> np.ndarray:
    """Finite points without a finite neighbour."""
    there = np.concatenate(([False], np.isfinite(line), [False]))
    return there[1:-1] & ~there[:-2] & ~there[2:]


def _colors(count: int) -> list[str]:
    """Colours that differ for colour-blind eyes too (Okabe & Ito 2008), repeated where there are more."""
    palette = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444"]
    return [palette[i % len(palette)] for i in range(count)]
