"""A face's pose, its way into the crop, and which of several is meant."""

from __future__ import annotations

import json

import numpy as np
import pytest
from face_kit import points

from gantool import alignment, faces
from gantool.errors import ExitCode, InputError, UsageError
from gantool.faces import Face


def face(x, y, wide, tall):
    return Face.of_box((float(x), float(y), float(wide), float(tall)))


@pytest.mark.parametrize("yaw", [-90, -60, -30, 0, 15, 45, 75, 90])
@pytest.mark.parametrize("roll", [-40, 0, 20])
def test_yaw(yaw, roll):
    """Within a few degrees for a head whose proportions are not the mean; whatever its roll and size."""
    assert faces.yaw_of(points(yaw, roll, size=3.0)) == pytest.approx(yaw, abs=5)


def test_a_mirrored_face_is_turned_the_other_way():
    one = points(35)
    assert faces.yaw_of(alignment.mirrored(one, 200)) == pytest.approx(-faces.yaw_of(one))


def test_a_nose_beyond_the_eyes_is_a_profile_and_not_the_back_of_a_head():
    five = points(90)
    five[[0, 1]] = five[[1, 0]] + [[1, 0], [-1, 0]]  # eyes that have changed sides
    assert faces.yaw_of(five) == pytest.approx(90, abs=1)


@pytest.mark.parametrize("yaw", [0, 30, 80])
def test_points_are_brought_to_the_template(yaw):
    found = Face.of_points(points(yaw, roll=25, size=2.5), (0, 0, 10, 10), 0.7)
    at = alignment.moved(np.array(found.points), found.to_crop)
    assert at[:2].mean(0) == pytest.approx([64, 40], abs=0.01)
    assert at[3:].mean(0)[1] == pytest.approx(88, abs=2)
    if not yaw:
        assert at == pytest.approx(alignment.TEMPLATE, abs=3)
    assert found.score == 0.7 and found.yaw == pytest.approx(yaw, abs=5)


def test_points_at_one_place_are_no_face():
    with pytest.raises(ValueError, match="one place"):
        Face.of_points(np.ones((5, 2)), (0, 0, 1, 1))


def test_an_aligned_picture_is_taken_as_it_is():
    whole = Face.of_aligned(128, 128)
    assert whole.to_crop == pytest.approx(np.eye(2, 3))
    assert whole.yaw is None and whole.points is None
    # Corners of the middle square: edge to edge, the centre of a pixel at whole numbers.
    wide = Face.of_aligned(100, 300)
    assert wide.box == (100, 0, 100, 100)
    corners = np.array([[99.5, -0.5], [199.5, 99.5]])
    assert alignment.moved(corners, wide.to_crop) == pytest.approx(np.array([[-0.5, -0.5], [127.5, 127.5]]))


def test_a_box_alone_gives_the_crop_that_its_points_would():
    """As far as a box can: of a face at the template the detector's box is known."""
    only = face(10, -10, 108, 132)
    assert only.to_crop == pytest.approx(np.eye(2, 3), abs=1e-9)
    twice = face(220, 180, 216, 264)
    assert alignment.moved(np.array([[328.0, 312.0]]), twice.to_crop) == pytest.approx(
        np.array([[64.0, 56.0]])
    )


def test_crops_of_other_sides_show_the_same():
    found = Face.of_points(points(10, 5, 1.3), (0, 0, 10, 10))
    edge = np.array([[-0.5, -0.5], [127.5, 127.5]])
    back = alignment.moved(edge, np.linalg.inv(np.vstack([found.to_crop, [0, 0, 1]]))[:2])
    assert alignment.moved(back, found.to_side(256)) == pytest.approx(
        np.array([[-0.5, -0.5], [255.5, 255.5]])
    )


def test_share_inside_the_picture():
    assert Face.of_aligned(90, 90).share_inside(90, 90) == pytest.approx(1)
    assert Face.of_aligned(90, 90).share_inside(90, 45) == pytest.approx(0.5)
    assert Face.of_aligned(90, 90).share_inside(45, 45) == pytest.approx(0.25)


def test_small_boxes_inside_larger_ones_are_dropped():
    large, eye, beside, half = (
        face(0, 0, 100, 100),
        face(20, 20, 20, 20),
        face(200, 0, 30, 30),
        face(80, 0, 50, 50),
    )
    assert faces.without_inner([eye, beside, large, half]) == [large, half, beside]


def test_chosen():
    found = [face(0, 0, 30, 30), face(50, 0, 20, 20)]
    assert faces.chosen(found, "all") == found
    assert faces.chosen(found, "largest") == faces.chosen(found, 1) == found[:1]
    assert faces.chosen(found, 2) == found[1:]
    with pytest.raises(InputError, match="no face 3: found 2 faces") as caught:
        faces.chosen(found, 3)
    assert caught.value.code == ExitCode.INPUT
    with pytest.raises(InputError, match=r"no face was found\. --face-box .*--aligned"):
        faces.chosen([], "all")


def test_a_record_is_plain_json():
    known = Face.of_points(points(20), (1.04, 2.0, 30.0, 40.0), 0.87654)
    record = json.loads(json.dumps(known.record()))
    assert record["box"] == [1.0, 2.0, 30.0, 40.0] and record["score"] == 0.877
    assert record["yaw"] == pytest.approx(20, abs=5) and np.array(record["landmarks"]).shape == (5, 2)
    assert face(0, 0, 9, 9).record() == {"box": [0, 0, 9, 9], "yaw": None, "landmarks": None, "score": 1}


def test_what_is_written_on_the_command_line():
    assert [faces.which_of(text) for text in ("largest", "all", "3")] == ["largest", "all", 3]
    for text in ("0", "-1", "both", "", "1.5", "²"):
        with pytest.raises(UsageError, match="largest, all, or a number"):
            faces.which_of(text)
    assert faces.box_of("1,2.5, 30,40") == (1, 2.5, 30, 40)
    for text in ("1,2,3", "1,2,3,x", "1,2,0,5", "nan,1,2,3", "1,2,inf,4", ""):
        with pytest.raises(UsageError, match="--face-box 120,80,200,260"):
            faces.box_of(text)
