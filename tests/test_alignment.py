"""Aligned crops: where a face comes to lie, and where its parts are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from gantool import alignment as al


def test_a_face_anywhere_comes_to_the_template():
    angle, scale = np.radians(25), 2.7
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = al.TEMPLATE @ turn.T + (300, 140)
    found = al.moved(points, al.to_template(points))
    np.testing.assert_allclose(found, al.moved(al.TEMPLATE, al.to_template(al.TEMPLATE)), atol=1e-6)
    np.testing.assert_allclose(found, al.TEMPLATE, atol=0.1)


def test_the_matrix_moves_pixels_as_it_moves_points():
    picture = np.zeros((200, 200), np.uint8)
    points = al.TEMPLATE * 0.8 + (40, 30)
    matrix = al.to_template(points)
    x, y = np.rint(points[2]).astype(int)
    picture[y - 1 : y + 2, x - 1 : x + 2] = 255
    crop = cv2.warpAffine(picture, matrix, (al.SIDE, al.SIDE))
    rows, columns = np.nonzero(crop > 100)
    np.testing.assert_allclose((columns.mean(), rows.mean()), al.moved(points, matrix)[2], atol=1)


def test_in_profile_the_line_from_eyes_to_mouth_says_what_is_level():
    points = al.TEMPLATE.copy()
    points[:2] = (60.0, 41.0), (60.4, 45.0)  # eyes that nearly coincide: their own line is almost upright
    points[3:] = (66.0, 88.0), (66.2, 89.0)
    matrix = al.to_template(points)
    assert abs(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))) < 15


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.tile([3.0, 4.0], (5, 1))])
def test_a_face_without_extent_is_refused(points):
    with pytest.raises(ValueError, match="at one place"):
        al.to_template(points)


@pytest.mark.parametrize("count", [5, 68])
def test_boxes_hold_their_parts_and_stay_in_the_crop(count):
    five = al.TEMPLATE
    marks = five
    if count == 68:
        marks = np.zeros((68, 2))
        marks[36:42], marks[42:48], marks[48:68] = five[0], five[1], five[3:].mean(0)
        marks[48], marks[54] = five[3], five[4]
        marks[27:31] = np.linspace((64.1, 43.2), five[2], 4)
    boxes = np.array(al.BOXES[count])
    assert not (boxes[:, 2:] % 8).any()
    np.testing.assert_allclose(al.corners(marks), boxes[:, :2], atol=0 if count == 5 else 1)
    for x, y in ((-60, 0), (60, 70), (0, -60)):
        found = al.corners(marks + np.array([x, y]))
        assert (found >= 0).all() and (found + boxes[:, 2:] <= al.SIDE).all()


def test_the_box_of_a_turned_nose_lies_further_back():
    turned = al.TEMPLATE.copy()
    turned[2, 0] += 20
    assert al.corners(turned)[2, 0] < al.corners(al.TEMPLATE)[2, 0] + 20


def test_mirroring_twice_gives_the_points_again():
    marks = np.random.default_rng(0).uniform(0, 127, (68, 2))
    np.testing.assert_allclose(al.mirrored(al.mirrored(marks)), marks)
    assert al.mirrored(al.TEMPLATE)[0, 0] < al.mirrored(al.TEMPLATE)[1, 0]
