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
    """24 frames a second: cuts at 20 and 40, a flash at 50, 60 in all."""
    shots = [view(scene(1 + 8 * (t // 20)), 2 * t, 20) for t in range(60)]
    shots[50] = np.full_like(shots[50], 255)
    path = tmp_path_factory.mktemp("scenes") / "film.mp4"
    write_clip(path, shots, Fraction(24), None, crf=12)
    return probe(path)


def at(frame: float) -> float:
    return frame / 24


@pytest.mark.parametrize("piece", [0.3, 4.0])
def test_a_time_begins_with_its_scene(film, monkeypatch, piece):
    monkeypatch.setattr(scenes, "_PIECE_S", piece)
    told = moments(film, [at(55), at(27)])
    expected = [t if t < 20 else max(t, 27) if t < 40 else max(t, 55) for t in range(60)]
    assert [told(at(t)) for t in range(60)] == pytest.approx([at(t) for t in expected])


def test_half_a_frame_does_not_matter(film):
    for time in (at(19.6), at(20), at(20.4)):
        told = moments(film, [time])
        assert told(at(19)) == at(19) and told(at(20)) >= time


def test_two_times_in_one_scene(film):
    told = moments(film, [at(30), at(24)])
    assert told(at(20)) == at(24) and told(at(25)) == at(25) and told(at(29)) == at(29)
    assert told(at(30)) == at(30)


def test_the_first_scene(film):
    assert moments(film, [at(7)])(0.0) == at(7)
    assert moments(film, [0.0])(0.0) == 0


def test_a_time_behind_the_end(film):
    with pytest.raises(UsageError, match=r"99 s is behind the end of the film \(2\.50 s\)"):
        moments(film, [1.0, 99.0])


def test_it_can_be_stopped(film):
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moments(film, [1.0], stop)
