"""The look ahead at a video: the sheet and the estimate."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from moving_pictures import scene, view

from gantool.engine import expected_frames, preview
from gantool.errors import InputError, Stopped
from gantool.media.video import probe, write_clip
from gantool.passes import Step
from gantool.pipelines import Pipeline
from gantool.temporal import TemporalOptions

HEIGHT, WIDTH = 48, 64


@pytest.fixture
def info(tmp_path):
    frames = [np.full((HEIGHT, WIDTH, 3), 5 * i, np.uint8) for i in range(40)]
    write_clip(tmp_path / "film.mp4", frames, Fraction(20), crf=1, preset="ultrafast")
    return probe(tmp_path / "film.mp4")


def negative(scale: int = 1) -> Pipeline:
    def predict(x, context):
        return (1 - x).repeat_interleave(scale, 2).repeat_interleave(scale, 3)

    device = torch.device("cpu")
    return Pipeline("colorize", "negative", predict, lambda x, y: y, device, scale=scale, blend="chroma")


def test_ten_frames_on_a_sheet(info):
    sheet, seconds = preview(info, Step(negative(), TemporalOptions()))
    height = HEIGHT * 384 // WIDTH
    assert sheet.rgb.shape == (4 * height, 1920, 3) and sheet.rgb.dtype == np.uint8
    cells = sheet.rgb.reshape(2, 2, height, 5, 384, 3).mean((2, 4, 5))  # row, source or result, column
    sources, results = cells[:, 0].ravel(), cells[:, 1].ravel()
    assert np.abs(sources - [5 * (4 * i + 2) for i in range(10)]).max() <= 6
    assert np.abs(sources + results - 255).max() < 2
    assert seconds is not None and 0 < seconds < 60


def test_one_frame_at_its_own_size(info):
    sheet, _ = preview(info, Step(negative(2)), count=1, start=1.0, duration=0.5)
    assert sheet.rgb.shape == (4 * HEIGHT, 2 * WIDTH, 3)
    assert abs(float(sheet.rgb[: 2 * HEIGHT].mean()) - 125) <= 6


def test_what_goes_on_from_the_frame_before_is_timed_so(tmp_path):
    """Only the first frame of a scene is made from nothing; most frames of a film are not."""
    picture = scene(1)
    write_clip(tmp_path / "pan.mp4", [view(picture, 2 * t, 20) for t in range(6)], Fraction(20), crf=1)
    told = []

    def predict(x, context):
        told.append("history" in context.side)
        return x

    net = replace(negative(), predict=predict, blend="continued")
    preview(probe(tmp_path / "pan.mp4"), Step(net, TemporalOptions()), count=2)
    assert told == [False, True, False, True]
    told.clear()
    preview(probe(tmp_path / "pan.mp4"), Step(net), count=2)
    assert told == [False, False]


def test_preview_of_nothing_and_stopping(info):
    with pytest.raises(InputError, match="--start"):
        preview(info, Step(negative()), start=60.0)
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 3:
            raise Stopped

    with pytest.raises(Stopped):
        preview(info, Step(negative()), check=check)


def test_expected_frames(info):
    assert expected_frames(info) == 40
    assert expected_frames(info, 1.0) == 20
    assert expected_frames(info, 1.0, 0.5) == 10
    assert expected_frames(info, 1.0, 0.51) == 11
    assert expected_frames(info, 1.5, 9.0) == 10
