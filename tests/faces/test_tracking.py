"""Faces through a video: who is who, how steady, and what happens where nobody is found."""

from __future__ import annotations

import numpy as np
import pytest
from face_kit import points, row

from gantool.faces import Detector, Follower

FRAME = np.zeros((240, 400, 3), np.uint8)


def follow(frames, *, smooth=True, cuts=(), fps=25):
    """Every step of a follower through lists of five points."""
    queue = iter(frames)

    def rows(_):
        five = next(queue)
        return np.stack([row(one) for one in five]) if five else np.empty((0, 15), np.float32)

    def find(frame):  # one look per frame, whatever is found
        return Detector(rows)._at(frame, 1.0)

    follower = Follower(find, smooth=smooth)
    steps = [follower.step(FRAME, i / fps, cut=i in cuts) for i in range(len(frames))]
    return follower, steps


def nose(one):
    return np.array(one.face.points)[2, 0]


def test_trembling_points_are_calmed():
    rng = np.random.default_rng(0)
    given = [points() + rng.normal(0, 1, (5, 2)) for _ in range(60)]
    _, steps = follow([[five] for five in given])
    shown = np.array([step[0].face.points for step in steps])
    raw = np.array([step[0].raw.points for step in steps])
    assert raw == pytest.approx(np.array(given), abs=1e-4)
    trembling = [np.abs(np.diff(p, axis=0))[10:].mean() for p in (raw, shown)]
    assert trembling[1] < 0.35 * trembling[0]
    assert shown[10:].mean(0) == pytest.approx(points(), abs=0.6)


def test_a_moving_face_is_followed_closely():
    path = [points(at=(60 + 4 * i, 120)) for i in range(50)]  # a face height a second
    _, steps = follow([[five] for five in path])
    behind = path[-1][2, 0] - nose(steps[-1][0])
    assert 0 <= behind < 6


def test_the_same_face_keeps_its_number_in_any_order_of_detection():
    left, right = (lambda i: points(at=(90 + i, 120))), (lambda i: points(size=1.2, at=(300 - i, 120)))
    _, steps = follow([[left(i), right(i)][:: 1 if i % 2 else -1] for i in range(20)])
    for step in steps:
        assert [one.number for one in step] == [1, 2]  # the larger one first, as numbered in the first frame
        assert nose(step[0]) > nose(step[1])


def test_without_smoothing_it_is_the_detector_s():
    given = [points() + np.sin(i) for i in range(5)]
    _, steps = follow([[five] for five in given], smooth=False)
    assert np.array([step[0].face.points for step in steps]) == pytest.approx(np.array(given), abs=1e-4)


def test_a_face_that_is_not_found_is_held_for_a_while_and_counted():
    frames = [[points()]] * 3 + [[]] * 20 + [[points()]]
    follower, steps = follow(frames)
    assert [len(step) for step in steps] == [1] * 3 + [1] * 12 + [0] * 8 + [1]
    assert [one.found for step in steps[:5] for one in step] == [True, True, True, False, False]
    assert follower.lost == 12
    assert steps[-1][0].number == 2


def test_a_face_found_again_is_the_same():
    follower, steps = follow([[points()], [], [], [points()]])
    assert [step[0].number for step in steps] == [1, 1, 1, 1]
    assert follower.lost == 2


def test_nothing_is_carried_over_a_cut():
    frames = [[points()]] * 4 + [[points() + 6]] * 2
    _, steps = follow(frames, cuts=(4,))
    assert steps[4][0].number == 2
    assert steps[4][0].face.points == pytest.approx(points() + 6, abs=1e-3)
    _, plain = follow(frames)
    assert plain[4][0].number == 1 and nose(plain[4][0]) < points()[2, 0] + 5


def test_one_face_is_not_taken_for_two():
    _, steps = follow([[points(), points() + 400]] + [[points()]] * 2)
    assert [one.found for one in steps[1]] == [True, False]
