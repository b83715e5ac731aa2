"""Which frames the net sees: every Nth, and those that cannot be made of the ones before."""

from __future__ import annotations

import numpy as np
import pytest

from gantool.keyframes import KeyFrames, relied
from gantool.motion import Motion


def moved(trust: np.ndarray | float = 1.0, resumed: bool = False) -> Motion:
    """Everything moves by one pixel to the right."""
    flow = np.zeros((8, 10, 2), np.float32)
    flow[..., 0] = -1
    loose = np.broadcast_to(np.float32(trust), (8, 10)).copy()
    return Motion(flow, np.zeros((8, 10), np.float32), loose, resumed=resumed)


def test_every_nth_counts_from_the_last_one():
    keys = KeyFrames(3)
    motions = [Motion(), *(moved() for _ in range(4)), Motion(cut=True), *(moved() for _ in range(3))]
    assert [keys.due(motion) for motion in motions] == [1, 0, 0, 1, 0, 1, 0, 0, 1]


def test_one_is_all():
    keys = KeyFrames(1)
    assert all(keys.due(moved()) for _ in range(5))
    with pytest.raises(ValueError):
        KeyFrames(0)


def test_behind_a_flash_nothing_is_carried_on():
    keys = KeyFrames(9)
    assert [keys.due(motion) for motion in (Motion(), moved(), moved(resumed=True))] == [1, 0, 1]


def test_doubt_adds_up_but_the_same_place_counts_once():
    keys = KeyFrames(99)
    keys.due(Motion())
    assert [keys.due(moved(0.92)) for _ in range(8)] == [0, 0, 0, 1, 0, 0, 0, 1]
    strip = np.ones((8, 10), np.float32)
    strip[:, 0] = 0  # comes into view at the left, and moves on
    keys = KeyFrames(99)
    assert [keys.due(motion) for motion in (Motion(), *(moved(strip) for _ in range(4)))] == [1, 0, 0, 1, 0]
    still = Motion(np.zeros((8, 10, 2), np.float32), strip, strip)
    keys = KeyFrames(99)
    assert [keys.due(motion) for motion in (Motion(), *(still for _ in range(9)))] == [1] + [0] * 9


def test_doubt_goes_where_the_picture_goes():
    doubtful = np.ones((8, 10), np.float32)
    doubtful[:, 4] = 0.25
    assert np.array_equal(relied(moved().loose, moved(), doubtful), np.roll(doubtful, 1, axis=1))
    assert np.array_equal(relied(moved(0.5).loose, moved(), None), np.full((8, 10), 0.5))


def test_a_restored_one_goes_on():
    keys = KeyFrames(5)
    motions = [Motion(), *(moved(0.93) for _ in range(9))]
    expected, states = [], []
    for motion in motions:
        states.append(keys.state())
        expected.append(keys.due(motion))
    for index, state in enumerate(states):
        other = KeyFrames(5)
        other.restore(state)
        assert [other.due(motion) for motion in motions[index:]] == expected[index:]
