"""The released detector on real pictures, where they are at hand (see test_released_weights)."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from gantool import alignment, cache, faces
from gantool.catalog import load_catalog
from gantool.data import read_rgb

DATA = Path(os.environ.get("GANTOOL_TEST_DATA", "/nowhere"))
FILE = DATA / "weights/face/yunet_s_640_640.onnx"
FACES = DATA / "faces"
pytestmark = [
    pytest.mark.skipif(not FILE.is_file(), reason="GANTOOL_TEST_DATA names no folder with the detector"),
    pytest.mark.weights,
]


@pytest.fixture(scope="module")
def find():
    return faces.Detector(faces.yunet(FILE.read_bytes()))


def shown(*parts):
    picture = read_rgb(FACES.joinpath(*parts))
    assert picture is not None
    return picture


def test_it_is_the_file_of_the_catalog():
    assert cache.sha256(FILE) == load_catalog().get("yunet").sha256


def test_a_portrait(find):
    (face,) = find(shown("portraits", "astronaut.png"))
    assert face.box == pytest.approx((178, 63, 90, 113), abs=8) and face.score > 0.9
    assert abs(face.yaw) < 10
    # She smiles, so the corners of the mouth are far apart.
    assert alignment.moved(face.points, face.to_crop) == pytest.approx(alignment.TEMPLATE, abs=10)


def test_two_people_and_which_is_meant(find):
    found = find(shown("portraits", "white_house_two_people.jpg"))
    assert len(faces.chosen(found, "all")) == 2
    assert faces.chosen(found, 2)[0].area < faces.chosen(found, 1)[0].area


@pytest.mark.parametrize("grown", [0.15, 1.0, 6.0])
def test_sizes_from_a_thumbnail_to_a_poster(find, grown):
    whole = shown("portraits", "astronaut.png")
    picture = cv2.resize(whole, None, fx=grown, fy=grown, interpolation=cv2.INTER_AREA)
    (face,) = find(picture)
    (known,) = find(whole)
    # The net's points are as coarse as its grid: 6 of 90 px, and a px or two of a thumbnail.
    assert face.points / grown == pytest.approx(known.points, abs=max(7.0, 2 / grown))


def test_a_face_that_fills_the_picture(find):
    picture = shown("portraits", "astronaut.png")[60:180, 175:270]
    assert len(find(cv2.resize(picture, None, fx=12, fy=12, interpolation=cv2.INTER_CUBIC))) == 1


@pytest.mark.slow
def test_every_view_from_profile_to_front_is_found_and_its_turn_is_seen(find):
    """UMIST person 8 turns from profile to the front, his nose to the right."""
    turns = []
    for path in sorted((FACES / "umist/p08").glob("*.png")):
        (face, *_) = find(shown("umist/p08", path.name))
        turns.append(face.yaw)
    assert min(turns[:4]) > 50 and abs(turns[-1]) < 10
    assert np.corrcoef(turns, np.arange(len(turns)))[0, 1] < -0.9


def test_nothing_in_a_drawing_without_a_face(find):
    rows, columns = np.mgrid[:300, :400]
    drawn = np.stack([rows % 60, columns % 70, (rows + columns) % 80], -1).astype(np.uint8) * 3
    assert find(drawn) == []
