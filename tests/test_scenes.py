"""What a user gives by its time begins where the scene does."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from moving_pictures import scene, view

from gantool import scenes
from gantool.errors import UsageError
from gantool.media.video import probe, write_clip
from gantool.scenes import moments


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """12 frames a second: cuts at 10 and 20, a flash at 25, 30 in all."""
    shots = [view(scene(1 + 8 * (t // 10)), 2 * t, 20) for t in range(30)]
    shots[25] = np.full_like(shots[25], 255)
    path = tmp_path_factory.mktemp("scenes") / "film.mp4"
    write_clip(path, shots, Fraction(12), None, crf=12)
    return probe(path)


def at(frame: float) -> float:
    return frame / 12


@pytest.mark.parametrize("piece", [0.3, 4.0])
def test_a_time_begins_with_its_scene(film, monkeypatch, piece):
    monkeypatch.setattr(scenes, "_PIECE_S", piece)
    told = moments(film, [at(28), at(13)])
    expected = [t if t < 10 else max(t, 13) if t < 20 else max(t, 28) for t in range(30)]
    assert [told(at(t)) for t in range(30)] == pytest.approx([at(t) for t in expected])


def test_half_a_frame_does_not_matter(film):
    for time in (at(9.6), at(10.4)):
        told = moments(film, [time])
        assert told(at(9)) == at(9) and told(at(10)) >= time


def test_two_times_in_one_scene(film):
    told = moments(film, [at(15), at(12)])
    assert told(at(10)) == at(12) and told(at(13)) == at(13) and told(at(14)) == at(14)
    assert told(at(15)) == at(15)


def test_the_first_scene(film):
    assert moments(film, [at(4)])(0.0) == at(4)
    assert moments(film, [0.0])(0.0) == 0


def test_a_time_behind_the_end(film):
    with pytest.raises(UsageError, match=r"99 s is behind the end of the film \(2\.50 s\)"):
        moments(film, [1.0, 99.0])


def test_it_can_be_stopped(film):
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moments(film, [1.0], stop)
