"""Tables and HTML reports: whole, legible, and in need of nothing else."""

import base64
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from gantool.errors import InputError
from gantool.evaluation import Check, Evaluation, Exhibit, Measure, Row, plots
from gantool.evaluation.pictures import Gallery, comparison, heat, small
from gantool.evaluation.report import html
from gantool.evaluation.table import text

MEASURES = (
    Measure("psnr", "PSNR", "dB", "more", 2, "Higher is nearer."),
    Measure("error", "E_warp", "1e-5", "less", 2, "Change.", 1e5),
)
RED, BLUE = (np.full((90, 120, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 0, 200)))


def evaluation(count=3, *, timed=False, **options):
    rows = [
        Row(
            f"<b>{n}</b>.png",
            {"psnr": 20.0 + n, "error": None if n == 0 else n * 1e-5},
            n / 25 if timed else None,
        )
        for n in range(count)
    ]
    options = {
        "exhibits": [comparison("Worst: <b>0</b>.png", ("result", RED), ("reference", BLUE))]
    } | options
    return Evaluation(
        "eval pair",
        {"result": "a&b/", "truth": "c/"},
        {"on": "rgb", "crop_px": 4},
        MEASURES,
        {"psnr": 20 + (count - 1) / 2, "error": 2.5e-5},
        rows,
        curves=[("psnr",), ("error",)],
        **options,
    )


class Page(HTMLParser):
    """What a report refers to, and whether its elements are closed."""

    def __init__(self, page):
        super().__init__()
        self.open, self.images, self.links, self.words = [], [], [], ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "input", "br", "link"):
            self.open.append(tag)
        values = dict(attrs)
        self.links += [values[name] for name in ("href", "src", "data", "action") if name in values]
        if tag == "img":
            self.images.append(values)
        assert tag not in ("script", "link", "iframe", "object")

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] and self.open[-1] not in ("style", "title"):
            self.words += data + " "


def decoded(source):
    kind, _, data = source.partition(";base64,")
    assert kind in ("data:image/png", "data:image/jpeg")
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_a_report_is_whole_and_needs_nothing_else():
    report = html(evaluation(left_out={"LPIPS": "no backbone"}))
    page = Page(report)
    assert page.links and all(link.startswith("data:image/") for link in page.links)
    assert "http" not in re.sub(r"base64,[^\"]+|http://www\.w3\.org/2000/svg", "", report)
    assert "a&b/" in page.words and "<b>0</b>.png" in page.words and "<b>0" not in report
    for words in ("21.00", "2.50", "more is better", "20.00 to 22.00", "crop px: 4", "LPIPS", "no backbone"):
        assert words in page.words
    first, second, *_ = page.images
    assert (first["alt"], second["alt"]) == ("reference", "result")
    assert np.abs(decoded(first["src"]).astype(int) - BLUE).max() < 4
    assert np.abs(decoded(second["src"]).astype(int) - RED).max() < 4
    assert report.count('type="range"') == 1


def test_a_report_of_a_film():
    checks = [
        Check("frames", "75", "74", False, "differs"),
        Check("size", "4x4", "8x8", None, "x2"),
        Check("sound", "a", "a", True, "equal"),
    ]
    report = html(evaluation(5, timed=True, checks=checks, error=InputError("one frame is missing", "f.mp4")))
    page = Page(report)
    for words in ("Over time", "What the film kept", "✗ differs", "≠ x2", "✓ equal", "one frame is missing"):
        assert words in page.words
    svgs = re.findall(r"<svg.*?</svg>", report, re.DOTALL)
    assert len(svgs) == 2
    for svg in svgs:
        ElementTree.fromstring(svg)


def test_one_picture_has_no_plot_and_no_table_of_figures():
    page = Page(html(evaluation(1)))
    assert "Picture by picture" not in page.words and "All figures" not in page.words
    assert "21" not in page.words and "20.00" in page.words


def places(svg, tag, *names):
    root = ElementTree.fromstring(svg)
    return [tuple(one.get(name) for name in names) for one in root.iter() if one.tag.endswith(tag)]


def test_curves_lie_where_the_figures_are():
    rows = [
        Row(str(n), {"psnr": value, "error": None}, time=n)
        for n, value in enumerate((20.0, 30.0, 25.0, 20.0))
    ]
    svg = plots.curves([MEASURES[0], MEASURES[1]], rows, marks=[2.0])
    lines = places(svg, "polyline", "points")
    assert len(lines) == 2 and lines[1] == ("",)  # nothing is known of the second
    points = [tuple(map(float, point.split(","))) for point in lines[0][0].split()]
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = points
    assert y1 < y2 < y0 == y3 and x1 - x0 == pytest.approx(x3 - x2, abs=0.2)
    assert [title for (title,) in places(svg, "circle", "class")] == ["s0"] * 4
    assert "cut" in svg and "30" in [
        t.text for t in ElementTree.fromstring(svg).iter() if t.tag.endswith("text")
    ]
    assert plots.curves([MEASURES[1]], rows) == ""


def test_long_films_keep_their_peaks():
    values = np.zeros(50_000)
    values[31_234] = 9e-5
    rows = [Row(str(n), {"error": float(v)}, time=n / 25) for n, v in enumerate(values)]
    svg = plots.curves([MEASURES[1]], rows)
    assert len(svg) < 120_000 and "1249.36 s: E_warp 9.00" in svg


def test_dots_worst_first_and_many_as_a_histogram():
    rows = [Row(f"{n}.png", {"psnr": 20.0 + n, "error": n * 1e-5}) for n in range(5)]
    names = [
        t.text
        for t in ElementTree.fromstring(plots.spread(MEASURES[0], rows)).iter()
        if t.get("class") == "name"
    ]
    assert names == [f"{n}.png" for n in range(5)]  # the lowest PSNR is the worst
    names = [
        t.text
        for t in ElementTree.fromstring(plots.spread(MEASURES[1], rows)).iter()
        if t.get("class") == "name"
    ]
    assert names == [f"{n}.png" for n in range(4, -1, -1)]
    many = [Row(f"{n}.png", {"psnr": 20.0 + n % 7}) for n in range(100)]
    svg = plots.spread(MEASURES[0], many)
    titles = [t.text or "" for t in ElementTree.fromstring(svg).iter() if t.tag.endswith("title")]
    assert sum(int(title.rpartition(": ")[2]) for title in titles) == 100
    assert plots.spread(MEASURES[0], [Row("a", {"psnr": float("inf")})]) == ""


@pytest.mark.parametrize(
    "values", [[1.0, 1.0], [0.0, 0.0], [1e-7, 3e-7], [0.98, 0.99], [3.0, 12345.0], [-3.0, 5.0]]
)
def test_axes_are_round_and_hold_all(values):
    low, high, step = plots._range(np.array(values), zero=False)
    assert low <= min(values) and high >= max(values) and high > low
    assert 2 <= round((high - low) / step) <= 8
    assert f"{step:.0e}"[0] in "125"


def test_tables(monkeypatch):
    few = text(evaluation(), width=None)
    lines = few.splitlines()
    assert "PSNR, dB ↑" in lines[0] and "E_warp, 1e-5 ↓" in lines[0]
    assert lines[2].split() == ["<b>0</b>.png", "20.00", "-"]
    assert lines[-1].split() == ["mean", "21.00", "2.50"]
    many = text(evaluation(30, left_out={"LPIPS": "no backbone"}), width=80)
    assert max(map(len, many.splitlines())) <= 80
    assert re.search(r"PSNR, dB ↑ +34\.50 +20\.00 +49\.00", many) and "LPIPS: no backbone" in many
    one = text(evaluation(1, checks=[Check("frames", "75", "74", False, "differs")]), width=None)
    assert "DIFFERS" in one and "least" not in one
    assert "\033" not in one and "\033" in text(evaluation(), width=100, colors=True)


def test_gallery_keeps_the_worst_apart_from_each_other():
    gallery, made = Gallery(count=2, apart=1.0), []

    def offer(badness, position):
        def make(word):
            made.append((badness, word))
            return Exhibit(f"{word} {badness}", ())

        gallery.offer(badness, position, make)

    for badness, position in ((1, 0.0), (5, 0.5), (4, 1.0), (3, 5.0), (2, 9.0), (9, 5.5), (0.5, 7.0)):
        offer(badness, position)
    assert [one.title for one in gallery.exhibits(7)] == ["worst 9", "worst 5", "best 0.5"]
    assert (2, "worst") not in made, "nothing is drawn that is not shown"
    assert Gallery().exhibits(0) == []


def test_differences_and_close_ups():
    first = np.zeros((400, 600, 3), np.uint8)
    second = first.copy()
    second[300:310, 500:510, 1] = 90
    exhibit = comparison("t", ("a", first), ("b", second))
    labels = [label for label, _ in exhibit.panels]
    assert (
        labels[0] == "a"
        and labels[2].startswith("difference")
        and labels[3:] == ["a, close up", "b, close up"]
    )
    assert exhibit.over
    assert (exhibit.panels[4][1] == 90).any() and not exhibit.panels[3][1].any()
    words, colours = heat(np.full((20, 30), 0.5))
    assert words == "brightest = 128/255 or more" and colours.shape == (20, 30, 3) and colours.min() > 100
    assert heat(np.zeros((20, 30)))[1].max() < 10
    assert small(np.full((100, 1000, 3), 65535, np.uint16)).shape == (56, 560, 3)
