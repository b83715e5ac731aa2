"""curves.png: what is read from a log, and that a picture comes of it, or a warning."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from gantool.training import curves
from gantool.training.curves import draw_curves, family, read_series, smoothed, thinned, tick_text, wants_log


def write(path: Path, *entries: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    return path


def line(step: int, **values: object) -> dict[str, object]:
    return {"step": step, **values, "images_per_s": 10.0}


def by_name(log: Path) -> dict[str, list[tuple[float, float]]]:
    return {s.name: list(zip(s.steps.tolist(), s.values.tolist(), strict=True)) for s in read_series(log)}


def long_run(path: Path, lines: int) -> Path:
    with path.open("w", encoding="utf-8") as file:
        for i in range(1, lines + 1):
            noise = math.sin(i * 7919)
            values = {f"{name}_{side}": 2 + noise + 5 / i for name in ("g", "d", "cycle") for side in "ab"}
            file.write(json.dumps(line(i * 20, **values, lr=2e-4)) + "\n")
            if i % 100 == 0:
                file.write(json.dumps({"step": i * 20, "psnr": 20 + i / lines}) + "\n")
    return path


def test_a_sheet_of_the_promised_width(tmp_path):
    log = long_run(tmp_path / "log.jsonl", 300)
    assert draw_curves(log, tmp_path / "curves.png", pytest.fail)
    sheet = cv2.imread(str(tmp_path / "curves.png"))
    assert sheet is not None
    assert sheet.shape[1] == curves.WIDTH_PX == 1200 and sheet.shape[0] % 310 == 0
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 50, "curves in colour"
    border = np.concatenate((sheet[0], sheet[:, 0], sheet[:, -1]))
    assert (border == 255).all(), "nothing is cut off at the edges"


def test_scores_and_training_values_are_told_apart(tmp_path):
    log = write(tmp_path / "log.jsonl", line(20, l1=1.0), {"step": 20, "l1": 0.5, "psnr": 20.0})
    assert [(s.name, s.score) for s in read_series(log)] == [
        ("l1", False),
        ("images_per_s", False),
        ("l1", True),
        ("psnr", True),
    ]


def test_of_a_resumed_run_the_later_lines_win(tmp_path):
    log = write(
        tmp_path / "log.jsonl",
        *(line(step, loss=1.0) for step in (20, 40, 60, 80)),
        {"step": 80, "psnr": 10.0},
        *(line(step, loss=2.0) for step in (60, 100)),  # went on from 40; 80 was not logged again
        {"step": 100, "psnr": 11.0},
    )
    found = by_name(log)
    assert found["loss"] == [(20, 1.0), (40, 1.0), (60, 2.0), (100, 2.0)]
    assert found["psnr"] == [(100, 11.0)]


def test_the_last_line_logged_again_at_once(tmp_path):
    log = write(tmp_path / "log.jsonl", line(20, loss=1.0), line(40, loss=1.0), line(40, loss=2.0))
    assert by_name(log)["loss"] == [(20, 1.0), (40, 2.0)]


def test_lines_cut_short_and_odd_values(tmp_path):
    log = write(tmp_path / "log.jsonl", line(20, loss=1.0, word="x"), line(40, loss=None), line(60, loss=3.0))
    with log.open("a") as file:
        file.write('[1]\n"step"\n{"step": "80", "loss": 1}\n{"step": 80, "lo{"step": 100}\n{"st')
    loss = by_name(log)["loss"]
    assert [step for step, _ in loss] == [20, 40, 60] and math.isnan(loss[1][1])
    assert "word" not in by_name(log)


@pytest.mark.parametrize("text", ["", "\n\n", "not json\n", '{"step": 20}\n', '{"loss": 1}\n'])
def test_nothing_to_draw_is_no_failure(tmp_path, text):
    log, target = tmp_path / "log.jsonl", tmp_path / "curves.png"
    log.write_text(text)
    assert not draw_curves(log, target, pytest.fail) and not target.exists()


def test_only_nan_is_nothing_to_draw(tmp_path):
    log = write(tmp_path / "log.jsonl", {"step": 20, "loss": math.nan}, {"step": 40, "loss": math.inf})
    assert not draw_curves(log, tmp_path / "curves.png", pytest.fail)


@pytest.mark.parametrize(
    "values",
    [
        [5.0],
        [0.0],
        [-1.0],
        [1.0, math.nan, 2.0, math.inf, 3.0],
        [1e-30, 1e30],
        [3.0, 3.0, 3.0],
        [1e-9, 2e-9],
        [-1e9, 1e9],
    ],
)
def test_few_and_extreme_values_are_drawn(tmp_path, values):
    entries = [line(20 * i, loss=value) for i, value in enumerate(values)]
    log = write(tmp_path / "log.jsonl", *entries, {"step": 0, "psnr": values[0]})
    assert draw_curves(log, tmp_path / "curves.png", pytest.fail)


def test_one_point_is_seen(tmp_path):
    """A line of one point has no length: it gets a dot."""
    log = write(tmp_path / "log.jsonl", {"step": 20, "loss": 1.0, "images_per_s": math.nan})
    assert draw_curves(log, tmp_path / "curves.png", pytest.fail)
    sheet = cv2.imread(str(tmp_path / "curves.png")).astype(int)
    assert (np.abs(sheet - (0xB2, 0x72, 0x00)).sum(-1) < 30).sum() > 5, "blue, in BGR"


def test_a_failure_is_a_warning(tmp_path):
    said = []
    assert not draw_curves(tmp_path / "gone.jsonl", tmp_path / "curves.png", said.append)
    log = write(tmp_path / "log.jsonl", line(20, loss=1.0))
    assert not draw_curves(log, tmp_path / "no" / "such" / "curves.png", said.append)
    assert len(said) == 2 and all(word.startswith("curves.png could not be drawn: ") for word in said)


def test_a_failure_leaves_the_last_sheet(tmp_path, monkeypatch):
    log, target = write(tmp_path / "log.jsonl", line(20, loss=1.0)), tmp_path / "curves.png"
    assert draw_curves(log, target)
    before = target.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(curves, "_panel", full)
    assert not draw_curves(log, target) and target.read_bytes() == before


def test_random_numbers_and_styles_are_left_alone(tmp_path):
    import matplotlib

    matplotlib.rcParams["lines.linewidth"] = 7.25
    np.random.seed(3)  # noqa: NPY002 - the global one is what is asked about
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    assert draw_curves(write(tmp_path / "log.jsonl", line(20, loss=1.0)), tmp_path / "curves.png")
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    assert matplotlib.rcParams["lines.linewidth"] == 7.25
    matplotlib.rcdefaults()


def test_a_long_run_is_quick(tmp_path):
    """Processor time, with room for a slow machine; a second is the aim."""
    log = long_run(tmp_path / "log.jsonl", 100_000)
    draw_curves(
        write(tmp_path / "short.jsonl", line(20, loss=1.0)), tmp_path / "curves.png"
    )  # imports, fonts
    began = time.process_time()
    assert draw_curves(log, tmp_path / "curves.png", pytest.fail)
    assert time.process_time() - began < 4
    psnr = by_name(log)["psnr"]
    assert len(psnr) == 1000, "no score is left out"


def test_thinning_keeps_means_and_extremes():
    values = np.sin(np.arange(10_007) * 1.0)
    values[500] = 9.0
    values[5000:5200] = np.nan
    steps, means, lows, highs = thinned(np.arange(10_007) * 20.0, values, 500)
    assert len(steps) == len(means) <= 500
    assert np.nanmax(highs) == 9 and np.nanmin(lows) == np.nanmin(values)
    assert np.isnan(means).any() and np.nanmean(means) == pytest.approx(np.nanmean(values), abs=0.01)
    short = np.arange(5.0)
    assert thinned(short, short)[1] is short


def test_smoothing_neither_lags_nor_moves_a_straight_line():
    ramp = np.arange(400.0)
    assert np.allclose(smoothed(ramp)[60:-60], ramp[60:-60])
    assert np.allclose(smoothed(np.full(400, 2.5)), 2.5), "the ends have the same weight"
    noisy = np.where(np.arange(400) % 2, 1.0, -1.0)
    assert np.abs(smoothed(noisy)[20:-20]).max() < 0.01
    noisy[100] = np.nan
    line = smoothed(noisy)
    assert np.isnan(line[100]) and np.isfinite(line).sum() == 399
    assert smoothed(np.array([1.0, 5.0])).tolist() == [1.0, 5.0]


def test_families():
    assert family("psnr_gray") == family("psnr") == "psnr"
    assert family("g_a") == family("g_b") == "g" and family("d_accuracy") == family("accuracy") == "accuracy"
    assert family("held_l1") == family("held_l1_input") == "l1" and family("d_gp_norm") == "gp_norm"
    assert family("images_per_s") == "images_per_s" and family("d_norm") == "norm"


def test_log_scale_only_where_it_shows_more(tmp_path):
    def panel(name: str, values: list[float]) -> list[curves.Series]:
        return [curves.Series(name, np.arange(len(values)) * 1.0, np.array(values), False)]

    falling = [2.0 ** -(i / 10) for i in range(100)]
    assert wants_log(panel("loss", falling)) and not wants_log(panel("psnr", falling))
    assert not wants_log(panel("loss", [-x for x in falling])) and not wants_log(panel("loss", [1.0, 2.0]))
    assert not wants_log(panel("loss", [1.0] * 300 + [900.0])), "one spike is no reason"


def test_ticks_are_short():
    values = [0, 0.00015, 12.5, 9999, 25_000, 1_500_000, -30_000, 2e9]
    words = ["0", "0.00015", "12.5", "9999", "25k", "1.5M", "-30k", "2G"]
    assert [tick_text(value) for value in values] == words
