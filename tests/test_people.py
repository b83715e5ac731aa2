"""Folders of people: who is frontal, where faces are, and pairs that are turned to one side."""

from __future__ import annotations

from pathlib import Path

import cv2
import heads_kit
import numpy as np
import pytest

from gantool import alignment, data, people
from gantool.errors import InputError
from gantool.facepairs import FacePairs, Wanted, misjudged
from gantool.heads import mesh

WANTED = Wanted(landmarks=5, people=9, renders=0.5, holdout=1, spoil=False)


def picture(path: Path, height: int = 40, width: int = 32, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 255, (5, 4, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(small, (width, height)))


@pytest.fixture
def folder(tmp_path):
    for person in ("ann", "bob"):
        for name in ("forward_0", "forward_1", "left_0", "left_1", "up_7"):
            picture(tmp_path / person / f"{name}.png")
    for view in (0, 2, 10):
        picture(tmp_path / "cyd" / f"v{view}.png")
    return tmp_path


def test_frontal_pictures_are_known_by_name_or_come_last(folder):
    album = people.album([folder])
    pairs = {pose.side.stem: pose.front.stem for pose in album.poses[str(folder / "ann")]}
    # Where a number is the same in both names, so is the expression.
    assert pairs == {"left_0": "forward_0", "left_1": "forward_1", "up_7": "forward_0"}
    last = {pose.side.stem: pose.front.stem for pose in album.poses[str(folder / "cyd")]}
    assert last == {"v0": "v10", "v2": "v10"}
    assert len(album.notes) == 1 and album.notes[0].endswith("cyd")
    assert len(album.files) == 13
    other = people.album([folder], "up")
    assert {pose.front.stem for pose in other.poses[str(folder / "bob")]} == {"up_7"}


def test_points_bring_a_face_into_the_crop(folder):
    points = alignment.TEMPLATE * 0.5 + (10, 4)
    line = ",".join(["ann/left_0.png", *(f"{v:.3f}" for v in points.ravel())])
    (folder / "landmarks.csv").write_text(f"file,x1,y1\n{line}\n")
    album = people.album([folder])
    path = folder / "ann/left_0.png"
    np.testing.assert_allclose(album.points[path], points, atol=1e-3)
    found = people.aligned(path, album.points[path])
    assert found is not None and found[0].shape == (128, 128, 3)
    np.testing.assert_allclose(found[1], alignment.TEMPLATE, atol=1.5)
    assert people.aligned(path, np.zeros((5, 2))) is None
    (folder / "landmarks.csv").write_text("ann/left_0.png,1,2,3\n")
    with pytest.raises(InputError, match="line 1"):
        people.album([folder])


def test_without_points_the_middle_square_is_the_crop(tmp_path):
    image = np.zeros((60, 40, 3), np.uint8)
    image[10:50] = 200
    cv2.imwrite(str(tmp_path / "a.png"), image)
    crop, points = people.aligned(tmp_path / "a.png", None)
    assert crop.shape == (128, 128, 3) and (crop == 200).all() and points is None
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert people.aligned(tmp_path / "b.png", None) is None


def test_folders_without_a_pair_are_told_so(tmp_path):
    picture(tmp_path / "ann" / "front.png")
    with pytest.raises(InputError, match="no person has a frontal picture"):
        people.album([tmp_path])
    with pytest.raises(InputError, match="two morphable heads"):
        people.split_roots([Path("a.npz"), Path("b.NPZ")])
    with pytest.raises(InputError, match="no faces to learn from"):
        FacePairs(None, people.Album(), WANTED, 0)


def test_noses_are_turned_to_the_right():
    head = mesh.head_of(heads_kit.arrays())
    pairs = FacePairs(head, people.Album(), WANTED, 0)
    assert pairs.count == 9 and len(pairs.keys) == 9 and pairs.summary() == "9 rendered people"
    for place in range(6):
        item = pairs.load(place)
        side, front, corners, person = pairs.pair(item, data.step_rng(0, place))
        assert side.shape == front.shape == (3, 128, 128) and side.dtype == np.float32
        assert abs(side).max() <= 1 and corners.shape == (4, 2) and person == place
        again = pairs.pair(item, data.step_rng(0, place))
        assert all(np.array_equal(a, b) for a, b in zip((side, front, corners), again, strict=False))
    held = pairs.held()
    assert [float(item[3]) for item in held] == [15, 30, 45, 60, 75, 90]


def test_renders_to_learn_from_are_misjudged_as_a_detector_does_and_those_to_judge_by_are_not():
    assert not misjudged(30).any()
    np.testing.assert_array_equal(misjudged(-80), -misjudged(80)[[1, 0, 2, 4, 3]])
    assert misjudged(90)[1, 0] > 15 and misjudged(90)[0, 0] == 0
    pairs = FacePairs(mesh.head_of(heads_kit.arrays()), people.Album(), WANTED, 0)
    exact, wrong = (pairs._rendered(1, 85.0, data.step_rng(1, 1), detected=way)[2] for way in (False, True))
    assert wrong[1, 0] - wrong[0, 0] > exact[1, 0] - exact[0, 0] + 4
    assert abs(wrong[:2, 0].mean() - 64) < 3  # in the middle of the crop that they make


def test_a_face_that_looks_left_is_mirrored_with_its_front(folder):
    points = alignment.TEMPLATE.copy()
    points[2, 0] -= 20
    album = people.album([folder])
    album.points.update({pose.side: points for poses in album.poses.values() for pose in poses})
    pairs = FacePairs(None, album, WANTED, 0)
    item = pairs.load(pairs.keys[0])
    side, front, corners, _ = pairs.pair(item, data.step_rng(0, 0))
    np.testing.assert_array_equal(side, data.to_chw(np.ascontiguousarray(item[0][:, ::-1])) * 2 - 1)
    np.testing.assert_array_equal(front, data.to_chw(np.ascontiguousarray(item[1][:, ::-1])) * 2 - 1)
    np.testing.assert_array_equal(corners, alignment.corners(alignment.mirrored(item[2])))


def test_tones_are_shared_and_pictures_spoiled_within_range():
    rng = np.random.default_rng(0)
    gray = cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (128, 128))
    changed = 0
    for seed in range(8):
        one, other = people.toned([gray, gray], np.random.default_rng(seed))
        np.testing.assert_array_equal(one, other)
        spoiled = people.spoiled(gray, np.random.default_rng(seed))
        assert spoiled.shape == gray.shape and spoiled.dtype == np.uint8
        changed += int((spoiled != gray).any())
    assert 3 < changed <= 8
