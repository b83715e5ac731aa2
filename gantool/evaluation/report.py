"""An evaluation as one HTML file that needs nothing else: styles, pictures and plots are inside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import cv2
import numpy as np

from gantool import __version__
from gantool.evaluation import plots
from gantool.evaluation.result import Check, Evaluation, Exhibit, Measure
from gantool.evaluation.style import STYLE

_CLOSE_UP_PX = 200  # panels up to this wide are shown magnified, pixel by pixel
_WISHES = {"more": "more is better", "less": "less is better", "": ""}


def html(found: Evaluation) -> str:
    """The report's text, UTF-8."""
    title = f"{found.task}: {' and '.join(found.subject.values())}"
    sections = [
        _head(found),
        _tiles(found),
        _section("What was left out", _left_out(found)),
        _section("What the film kept", _checks(found.checks)),
        _section("Over time" if _timed(found) else "Picture by picture", _plots(found)),
        _section("Worth a look", "".join(map(_exhibit, found.exhibits))),
        _section("All figures", _figures(found)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(filter(None, sections))
        + f"\n<footer>Made by gantool {escape(__version__)}</footer>\n</main></body></html>\n"
    )


def _timed(found: Evaluation) -> bool:
    return bool(found.rows) and found.rows[0].time is not None


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>" if body else ""


def _head(found: Evaluation) -> str:
    subject = "".join(
        f"<dt>{escape(role)}</dt><dd>{escape(name)}</dd>" for role, name in found.subject.items()
    )
    settings = " · ".join(
        f"{escape(name.replace('_', ' '))}: {escape(_words(value))}"
        for name, value in found.settings.items()
        if value not in (None, [], "")
    )
    warning = f'<p class="error">{escape(str(found.error))}</p>' if found.error else ""
    return (
        f"<header><h1>gantool {escape(found.task)}</h1><dl>{subject}</dl><p>{settings}</p>{warning}</header>"
    )


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _tiles(found: Evaluation) -> str:
    tiles = []
    for one in [*found.measures, *found.summary]:
        value = found.totals.get(one.name)
        if value is None:
            continue
        values = [v for row in found.rows if (v := row.values.get(one.name)) is not None]
        ends = f"{one.text(min(values))} to {one.text(max(values))}" if len(values) > 1 else ""
        wish = " · ".join(filter(None, (_WISHES[one.better], ends)))
        tiles.append(
            f'<div class="tile"><h3>{escape(one.label)}</h3><p class="figure">{one.text(value)}'
            f"<span>{escape(_unit(one))}</span></p><p>{wish}</p><p class=about>{escape(one.about)}</p></div>"
        )
    return f'<section class="tiles">{"".join(tiles)}</section>'


def _unit(measure: Measure) -> str:
    return f"× {measure.unit}" if measure.scale != 1 else measure.unit


def _left_out(found: Evaluation) -> str:
    items = "".join(f"<li><b>{escape(k)}</b>: {escape(v)}</li>" for k, v in found.left_out.items())
    return f"<ul>{items}</ul>" if items else ""


def _checks(checks: Sequence[Check]) -> str:
    if not checks:
        return ""
    kinds = {True: ("good", "✓"), False: ("bad", "✗"), None: ("other", "≠")}
    lines = "".join(
        f"<tr><th>{escape(one.name)}</th><td>{escape(one.source)}</td><td>{escape(one.result)}</td>"
        f'<td class="{kinds[one.ok][0]}">{kinds[one.ok][1]} {escape(one.verdict)}</td></tr>'
        for one in checks
    )
    head = "<tr><th></th><th>source</th><th>result</th><th></th></tr>"
    return f"<div class=wide><table>{head}{lines}</table></div>"


def _plots(found: Evaluation) -> str:
    if len(found.rows) < 2:
        return ""
    known = {one.name: one for one in found.measures}
    times = {row.name: row.time for row in found.rows}
    cuts = [time for cut in found.settings.get("cuts", ()) if (time := times.get(f"frame {cut}")) is not None]
    parts = []
    for names in found.curves:
        measures = [known[name] for name in names if name in known]
        if not measures:
            continue
        timed = _timed(found)
        svg = plots.curves(measures, found.rows, cuts) if timed else plots.spread(measures[0], found.rows)
        if not svg:
            continue
        legend = " ".join(
            f'<span class="s{number}">{escape(one.label)}{f" ({_unit(one)})" if one.unit else ""}</span>'
            for number, one in enumerate(measures if timed else measures[:1])
        )
        parts.append(f"<figure class=plot><figcaption>{legend}</figcaption>{svg}</figure>")
    return "".join(parts)


def _exhibit(exhibit: Exhibit) -> str:
    panels = list(exhibit.panels)
    parts = []
    if exhibit.over:
        (name, first), (other, second), *panels = panels
        parts.append(
            '<figure><div class="over">'
            f'{_image(second, other)}<div class="top">{_image(first, name)}</div><i></i>'
            '<input type="range" value="50" aria-label="slider" '
            "oninput=\"this.parentNode.style.setProperty('--x',this.value+'%')\"></div>"
            f"<figcaption>{escape(name)} | {escape(other)}</figcaption></figure>"
        )
    parts += [
        f"<figure>{_image(image, label)}<figcaption>{escape(label)}</figcaption></figure>"
        for label, image in panels
    ]
    return f'<article><h3>{escape(exhibit.title)}</h3><div class="panels">{"".join(parts)}</div></article>'


def _image(image: np.ndarray, label: str) -> str:
    """An ``img`` with its data: PNG for close-ups, else JPEG without loss of colour resolution."""
    height, width = image.shape[:2]
    close = width <= _CLOSE_UP_PX
    options = [] if close else [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    suffix, kind = (".png", "png") if close else (".jpg", "jpeg")
    done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    assert done  # only unknown suffixes and full disks fail
    text = base64.b64encode(data.tobytes()).decode()
    style = f' class="close" style="width:{2 * width}px"' if close else ""
    source = f"data:image/{kind};base64,{text}"
    return f'<img{style} width={width} height={height} alt="{escape(label)}" src="{source}">'


def _figures(found: Evaluation) -> str:
    if len(found.rows) < 2:
        return ""
    timed = _timed(found)
    heads = "".join(f"<th>{escape(one.label)} {escape(_unit(one))}</th>" for one in found.measures)
    lines = "".join(
        f"<tr><th>{escape(row.name)}</th>{f'<td>{row.time:.3f}</td>' if timed else ''}"
        + "".join(f"<td>{one.text(row.values.get(one.name))}</td>" for one in found.measures)
        + "</tr>"
        for row in found.rows
    )
    return (
        f"<details><summary>{len(found.rows)} {'frames' if timed else 'pictures'}</summary><div class=wide>"
        f"<table class=figures><tr><th></th>{'<th>time, s</th>' if timed else ''}{heads}</tr>{lines}</table>"
        "</div></details>"
    )
