"""``gantool.frontalize``: pictures that a program holds, with small nets and a detector of red patches."""

from __future__ import annotations

import warnings

import cli_kit
import numpy as np
import pytest
from face_kit import blob, find_blobs, frontalizer
from moving_pictures import scene
from PIL import Image

import gantool
from gantool import faces
from gantool.errors import ExitCode, InputError, UsageError
from gantool.media.video import probe


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A small net, as options of ``gantool.load``."""
    net = frontalizer(tmp_path_factory.mktemp("net") / "front.safetensors")
    return {"model": str(net), "device": "cpu"}


@pytest.fixture(autouse=True)
def detector(monkeypatch):
    monkeypatch.setattr(faces, "load", lambda: find_blobs)


@pytest.fixture
def blind(monkeypatch):
    """There is no detector, and none may be asked for."""
    monkeypatch.setattr(faces, "load", lambda: pytest.fail("asked for the detector"))


def people(*places):
    """A picture of people, each x, y, a height in px and perhaps a turn in degrees."""
    picture = scene(1, 240, 300)[:240, :300].copy()
    for x, y, *more in places:
        blob(picture, (x, y), *more)
    return picture


def test_a_face_and_what_is_known_of_it(words):
    picture = people((150, 120, 80, 40))
    before = picture.copy()
    [(view, facts)] = gantool.frontalize(picture, **words)
    assert view.shape == (16, 16, 3) and view.dtype == np.uint8
    assert facts["box"] == [118, 80, 64, 80] and facts["yaw"] == pytest.approx(40, abs=5)
    assert np.array(facts["landmarks"]).shape == (5, 2) and facts["score"] == 0.9
    assert (picture == before).all()


def test_the_same_kind_comes_back(words):
    picture = people((150, 120, 80))
    [(view, _)] = gantool.frontalize(picture, **words)
    [(image, _)] = gantool.frontalize(Image.fromarray(picture), **words)
    assert isinstance(image, Image.Image) and (np.asarray(image) == view).all()
    [(deep, _)] = gantool.frontalize(picture.astype(np.uint16) * 257, **words)
    assert deep.dtype == np.uint16 and np.abs(deep / 257.0 - view).max() < 1
    clear = np.dstack([picture, np.full(picture.shape[:2], 99, np.uint8)])
    [(shown, _)] = gantool.frontalize(clear, **words)
    assert (shown == view).all()  # a crop has no transparency
    [(gray, _)] = gantool.frontalize(picture[..., 1], face_box=(100, 60, 100, 120), **words)
    assert gray.shape == (16, 16)


def test_several_faces(words):
    picture = people((60, 60, 50), (200, 120, 90), (60, 180, 70))
    step = gantool.load("frontalize", **words)
    with pytest.warns(UserWarning, match="3 faces were found"):
        [(largest, _)] = gantool.frontalize(picture, pipeline=step)
    every = gantool.frontalize(picture, "all", pipeline=step)
    assert [facts["box"][3] for _, facts in every] == [90, 70, 50]
    assert (every[0][0] == largest).all()
    [(second, facts)] = gantool.frontalize(picture, 2, pipeline=step)
    assert facts == every[1][1] and (second == every[1][0]).all()
    [(crop, _)] = gantool.frontalize(picture, 2, strength=0, pipeline=step)
    assert (crop == faces.crop(picture, find_blobs(picture)[1], 16)).all()


def test_doubts_are_warnings(words):
    with pytest.warns(UserWarning, match="only 24 px wide"):
        gantool.frontalize(people((150, 120, 30)), **words)


def test_without_a_detector(words, blind):
    picture = people((150, 120, 80))
    step = gantool.load("frontalize", detect=False, **words)
    [(one, facts)] = gantool.frontalize(picture, face_box=(118, 80, 64, 80), **words)
    assert facts["yaw"] is None and facts["landmarks"] is None
    [(same, _)] = gantool.frontalize(picture, face_box=(118, 80, 64, 80), pipeline=step)
    assert (one == same).all()
    [(whole, facts)] = gantool.frontalize(picture[:128, :128], aligned=True, pipeline=step)
    assert facts["box"] == [0, 0, 128, 128] and whole.shape == (16, 16, 3)
    with pytest.raises(UsageError, match="without the face detector"):
        gantool.frontalize(picture, pipeline=step)


def test_refusals(words):
    picture, step = people((150, 120, 80)), gantool.load("frontalize", **words)
    with pytest.raises(InputError, match="no face was found") as caught:
        gantool.frontalize(people(), pipeline=step)
    assert caught.value.code == ExitCode.INPUT and caught.value.remedy
    with pytest.raises(InputError, match="there is no face 2"):
        gantool.frontalize(picture, 2, pipeline=step)
    for wrong in ({"faces": "both"}, {"faces": 0}, {"face_box": (1, 2, 3, 0)}):
        with pytest.raises(UsageError):
            gantool.frontalize(picture, pipeline=step, **wrong)
    for wrong in ({"faces": "all", "aligned": True}, {"face_box": (0, 0, 9, 9), "aligned": True}):
        with pytest.raises(UsageError, match="contradict"):
            gantool.frontalize(picture, pipeline=step, **wrong)
    with pytest.raises(InputError, match="lies outside"):
        gantool.frontalize(picture, face_box=(900, 900, 50, 50), pipeline=step)
    with pytest.raises(UsageError, match="loaded already"):
        gantool.frontalize(picture, pipeline=step, device="cpu")
    with pytest.raises(UsageError, match="for frontalize, not for colorize"):
        gantool.colorize(picture, pipeline=step)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="from 0 to 1"):
        gantool.frontalize(picture, strength=2, pipeline=step)


def test_half_precision_falls_back(words, monkeypatch):
    """What bf16 spoils is computed in fp32, as everywhere."""
    import torch

    from gantool import devices
    from gantool.pipelines.frontalize import Frontalizer

    whole = gantool.load("frontalize", **words)
    monkeypatch.setattr(devices, "pick_dtype", lambda *_: torch.bfloat16)
    half = gantool.load("frontalize", **words)
    answer = Frontalizer._answer
    spoil = half.maker
    monkeypatch.setattr(
        Frontalizer, "_answer", lambda self, x, some: answer(self, x, some) * (0 if self is spoil else 1)
    )
    picture = people((150, 120, 80))
    with pytest.warns(UserWarning, match="from here on in fp32"):
        [(made, _)] = gantool.frontalize(picture, pipeline=half)
    assert (made == gantool.frontalize(picture, pipeline=whole)[0][0]).all()


def test_films(words, tmp_path):
    from fractions import Fraction

    from gantool.media.video import write_clip

    film, target = tmp_path / "film.mp4", tmp_path / "front.mp4"
    write_clip(film, [people((100 + 3 * t, 120, 80)) for t in range(4)], Fraction(25), None, crf=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = gantool.run_video(film, target, "frontalize", **words)
    assert report.frames == 4 and (probe(target).width, probe(target).height) == (16, 16)
    paste = gantool.load("frontalize", faces="all", paste=True, **words)
    gantool.run_video(film, target, overwrite=True, pipeline=paste)
    assert (probe(target).width, probe(target).height) == (300, 240)
    for wrong in ({"temporal": "online"}, {"every": 2}):
        with pytest.raises(UsageError, match="frontalize takes no"):
            gantool.run_video(film, tmp_path / "no.mp4", pipeline=paste, **wrong)
    assert cli_kit.names(tmp_path) == ["film.mp4", "front.mp4"]
