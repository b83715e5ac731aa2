"""Finding faces with a stand-in for the net: what is shown to it, what it finds, what is said without it."""

from __future__ import annotations

import numpy as np
import pytest
from face_kit import drawing, points, row

from gantool import cache, faces
from gantool.catalog import load_catalog
from gantool.errors import ExitCode, WeightsError
from gantool.faces import detector


class StandIn:
    """Finds ``five`` (in px of the whole picture) where the picture is shown between two widths."""

    def __init__(self, width, five=None, least=0, most=10_000):
        self.width, self.five, self.least, self.most = width, five, least, most
        self.shown: list[np.ndarray] = []

    def __call__(self, picture):
        self.shown.append(picture)
        scale = picture.shape[1] / self.width
        if self.five is None or not self.least <= picture.shape[1] <= self.most:
            return np.empty((0, 15), np.float32)
        return row((self.five + 0.5) * scale - 0.5)[None]

    @property
    def sizes(self):
        return [picture.shape[1::-1] for picture in self.shown]


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((500, 400), [(500, 400), (1280, 1024), (320, 256)]),
        ((640, 480), [(640, 480), (1280, 960), (320, 240)]),
        ((4000, 2000), [(640, 320), (1280, 640), (320, 160)]),
        ((60, 50), [(60, 50), (180, 150)]),
    ],
)
def test_sizes_at_which_a_picture_without_a_face_is_looked_at(size, shown):
    stand_in = StandIn(size[0])
    assert faces.Detector(stand_in)(np.zeros((size[1], size[0], 3), np.uint8)) == []
    assert stand_in.sizes == shown


def test_once_is_enough_where_a_face_is_found():
    five = points(size=5, at=(900, 700))
    stand_in = StandIn(2000, five)
    (face,) = faces.Detector(stand_in)(np.zeros((1500, 2000, 3), np.uint8))
    assert stand_in.sizes == [(640, 480)]
    assert face.points == pytest.approx(five, abs=0.01)
    assert face.score == pytest.approx(0.9)
    assert face.box[0] == pytest.approx(five[:, 0].min() - 20 * 3.125, abs=3)


@pytest.mark.parametrize(("least", "most", "shown"), [(1000, 10_000, 2), (0, 400, 3)])
def test_small_and_very_large_faces_are_looked_for_again(least, most, shown):
    stand_in = StandIn(2000, points(size=5, at=(900, 700)), least, most)
    assert len(faces.Detector(stand_in)(np.zeros((1500, 2000, 3), np.uint8))) == 1
    assert len(stand_in.shown) == shown


@pytest.mark.parametrize("kind", ["rgb", "gray", "deep"])
def test_kinds_of_picture(kind):
    picture = np.zeros((40, 50, 3), np.uint8)
    picture[..., 0], picture[..., 2] = 200, 50
    given = {"rgb": picture, "gray": picture[..., 0], "deep": picture.astype(np.uint16) * 257}[kind]
    stand_in = StandIn(50)
    faces.Detector(stand_in)(given)
    expected = [200, 200, 200] if kind == "gray" else [50, 0, 200]  # blue first
    assert stand_in.shown[0].dtype == np.uint8 and stand_in.shown[0][0, 0].tolist() == expected


def test_rows_that_are_no_face_are_left_out():
    good, nan, flat, one = row(points()), row(points()), row(points()), row(points())
    nan[7], flat[3], one[4:14] = np.nan, 0, 5
    found = faces.Detector(lambda picture: np.stack([good, nan, flat, one]))(drawing(points()))
    assert len(found) == 1


def test_the_largest_comes_first_and_an_eye_is_no_face():
    large, small = row(points(size=1.5)), row(points(size=0.5, at=(20, 200)))
    eye = row(points(size=0.1, at=(90, 90)), box=(85, 85, 10, 12))
    found = faces.Detector(lambda picture: np.stack([eye, small, large]))(drawing(points()))
    assert [np.array(face.points)[2, 0] for face in found] == pytest.approx([100, 20], abs=1)


# ---- without the file


def test_without_the_detector_the_error_says_what_works(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError) as caught:
        faces.load()
    assert caught.value.code == ExitCode.WEIGHTS
    for word in ("--aligned", "--face-box x,y,w,h", "gantool models pull yunet", "face detector"):
        assert word in str(caught.value)


def test_nothing_is_fetched_where_that_is_not_wanted(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(WeightsError, match="gantool models pull yunet"):
        faces.load(fetch=False)


def test_a_file_that_opencv_cannot_run(tmp_path, monkeypatch):
    path = tmp_path / "d.onnx"
    path.write_bytes(b"no net")
    monkeypatch.setattr(detector.hub, "fetch", lambda row, **_: path)
    with pytest.raises(WeightsError, match="OpenCV cannot run the face detector"):
        faces.load()


def test_the_row_of_the_catalog():
    found = load_catalog().get(detector.NAME)
    assert found.task == "face" and found.bytes == 232_589 and cache.expected_hash(found) == found.sha256
