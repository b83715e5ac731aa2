"""Faces in pictures that lie on a side: found upright, at their places in the picture as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from face_kit import blob, find_blobs

from gantool import faces


def upright(dtype=np.uint8):
    """A picture with two faces; its light falls from above."""
    picture = np.empty((240, 320, 3), np.uint8)
    picture[:] = np.linspace(180, 20, 240)[:, None, None]
    blob(picture, (100, 90), 80, 20)
    blob(picture, (240, 150), 50, -10)
    return picture.astype(dtype) * (257 if dtype == np.uint16 else 1)


class Light:
    """A detector that is surer where the light falls from above; else it has the points all wrong."""

    def __init__(self, sure=0.95, unsure=0.8):
        self.sure, self.unsure, self.asked = sure, unsure, 0

    def __call__(self, picture):
        self.asked += 1
        top, low = picture[:4].mean(), picture[-4:].mean()
        left, right = picture[:, :4].mean(), picture[:, -4:].mean()
        score = self.sure if top - low > abs(left - right) else self.unsure
        return [replace(face, score=score) for face in find_blobs(picture)] if score else []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("turned", [1, 2, 3])
@pytest.mark.parametrize("unsure", [0.8, 0.0])
def test_any_quarter_turn(turned, unsure, dtype):
    picture = upright(dtype)
    plain = Light()(picture)
    lying = np.ascontiguousarray(np.rot90(picture, turned))
    found, turns = faces.any_way_up(Light(unsure=unsure), lying)
    assert turns == 4 - turned and len(found) == 2
    for face, same in zip(found, plain, strict=True):
        assert face.yaw == same.yaw and face.score == 0.95
        assert (
            np.abs(faces.crop(lying, face).astype(int) - faces.crop(picture, same)).max()
            <= np.iinfo(dtype).max // 50
        )
        x, y, wide, tall = (round(value) for value in face.box)
        inside = lying[y : y + tall, x : x + wide].astype(int)
        assert (inside[..., 0] > inside[..., 1] * 2).mean() > 0.9  # red all over
        assert face.points is not None and face.share_inside(*lying.shape[:2]) == pytest.approx(1, abs=0.2)
        middle = face.points.mean(0)
        assert x < middle[0] < x + wide and y < middle[1] < y + tall


def test_an_upright_face_that_is_sure_is_looked_for_once():
    find = Light()
    found, turns = faces.any_way_up(find, upright())
    assert (turns, find.asked, len(found)) == (0, 1, 2)


@pytest.mark.parametrize(("sure", "unsure"), [(0.85, 0.0), (0.89, 0.88), (0.0, 0.0)])
def test_in_doubt_the_picture_is_upright(sure, unsure):
    find, lying = Light(sure, unsure), np.ascontiguousarray(np.rot90(upright(), 2))
    found, turns = faces.any_way_up(find, lying)
    assert (turns, find.asked) == (0, 4)
    assert [face.score for face in found] == [unsure] * (2 if unsure else 0)


def test_it_is_put_back_where_it_was():
    lying = np.ascontiguousarray(np.rot90(upright(), 1))
    found, _ = faces.any_way_up(Light(), lying)
    green = np.zeros((128, 128, 3), np.uint8)
    green[..., 1] = 255
    back = faces.paste(lying, green, found[0], match_color=False)
    changed = np.argwhere((back != lying).any(-1))
    x, y, wide, tall = found[0].box
    assert np.abs(changed.mean(0) - (y + tall / 2, x + wide / 2)).max() < 6
