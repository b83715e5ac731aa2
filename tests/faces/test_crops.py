"""Aligned crops and their way back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from face_kit import drawing, points

from gantool import alignment, faces
from gantool.faces import Face


def whole(five):
    return Face.of_points(five, (0.0, 0.0, 10.0, 10.0))


@pytest.mark.parametrize("size", [0.5, 1.0, 3.0, 9.0])
def test_a_crop_shows_each_point_where_it_belongs(size):
    """Large faces are shrunk first, in whole steps: nothing may shift by that."""
    five = points(0, 15, size, (110 * size, 130 * size))
    picture = np.zeros((round(260 * size), round(240 * size), 3), np.uint8)
    for x, y in five:
        away = np.hypot(*np.meshgrid(np.arange(picture.shape[1]) - x, np.arange(picture.shape[0]) - y))
        disc = np.clip(3.5 * size + 0.5 - away, 0, 1) * 255
        picture = np.maximum(picture, disc.astype(np.uint8)[..., None])
    face = whole(five)
    crop = faces.crop(picture, face)[..., 0].astype(float)
    for x, y in alignment.moved(five, face.to_crop):
        rows, columns = np.mgrid[:128, :128]
        near = crop * (np.hypot(columns - x, rows - y) < 9)
        assert (near * columns).sum() / near.sum() == pytest.approx(x, abs=0.15)
        assert (near * rows).sum() / near.sum() == pytest.approx(y, abs=0.15)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("gray", [False, True])
def test_kinds(dtype, gray):
    picture = drawing(points()).astype(dtype) * (257 if dtype == np.uint16 else 1)
    crop = faces.crop(picture[..., 0] if gray else picture, whole(points()), 64)
    assert crop.dtype == dtype and crop.shape == ((64, 64) if gray else (64, 64, 3))


def test_a_crop_put_back_unchanged_changes_nothing_to_speak_of():
    rng = np.random.default_rng(0)
    coarse = rng.integers(80, 120, (40, 36, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (252, 280), interpolation=cv2.INTER_CUBIC)
    face = whole(points(0, 10, 1.0, (120, 140)))
    back = faces.paste(picture, faces.crop(picture, face, 512), face)
    apart = np.abs(back.astype(int) - picture)
    assert apart.max() <= 6 and apart.mean() < 0.2


def test_the_border_is_soft_and_the_rest_is_untouched():
    picture = np.full((240, 220, 3), 100, np.uint8)
    face = whole(points(0, 20, 0.8))
    made = np.full((128, 128, 3), 200, np.uint8)
    back = faces.paste(picture, made, face, match_color=False)
    assert (picture == 100).all()  # a copy
    nose = alignment.moved(np.array([[64.0, 63.0]]), np.linalg.inv(np.vstack([face.to_crop, [0, 0, 1]]))[:2])[
        0
    ]
    assert back[round(nose[1]), round(nose[0])].tolist() == [200, 200, 200]
    steps = np.abs(np.diff(back.astype(int), axis=1)).max()
    assert 0 < steps < 20
    outside = back[:40]
    assert (outside == 100).all()


def test_the_colour_of_what_is_covered_is_kept():
    picture = drawing(points())
    face = whole(points())
    crop = faces.crop(picture, face)
    dark = (crop * 0.5 + [40, 0, 0]).astype(np.uint8)
    assert np.abs(dark.astype(int) - crop).mean() > 20
    again = faces.matched(dark, crop, faces.oval(128))
    share = faces.oval(128) > 0.5
    assert np.abs(again.astype(int) - crop)[share].mean() < 4
    plain, matched = (faces.paste(picture, dark, face, match_color=m) for m in (False, True))
    apart = [np.abs(p.astype(int) - picture).mean() for p in (plain, matched)]
    assert apart[1] < 0.3 * apart[0]


def test_the_colours_behind_a_face_are_not_taken_for_its_own():
    """A blue flag in a fifth of the crop: what is not skin, such as teeth, must not turn blue."""
    skin = np.full((128, 128, 3), (190, 140, 120), np.uint8)
    skin = np.clip(skin + np.random.default_rng(0).normal(0, 6, (128, 128, 1)), 0, 255).astype(np.uint8)
    skin[80:90, 50:80] = (225, 222, 215)
    crop = skin.copy()
    crop[:, :38] = (40, 60, 200)
    again = faces.matched(skin, crop, faces.oval(128)).astype(int)
    assert np.abs(again - skin)[faces.oval(128) > 0.5].mean() < 6
    teeth = again[82:88, 55:75].mean((0, 1))
    assert teeth[2] <= teeth[0] + 3, teeth


def test_put_back_at_half_as_many_pixels_more_it_is_still_sharp():
    rng = np.random.default_rng(1)
    picture = np.repeat(rng.integers(60, 200, (300, 300, 1)), 3, 2).astype(np.uint8)
    picture = cv2.GaussianBlur(picture, (0, 0), 1.0)
    face = Face.of_aligned(300, 300)
    back = faces.paste(picture, faces.crop(picture, face, 512), face, match_color=False)
    inside = np.s_[120:180, 120:180]
    kept = [cv2.Laplacian(p[inside], cv2.CV_64F).std() for p in (back, picture)]
    assert kept[0] > 0.9 * kept[1]


@pytest.mark.parametrize("at", [(-300, 50), (5, 5), (218, 238), (1000, 1000)])
def test_faces_at_and_beyond_the_border(at):
    picture = drawing(points())
    face = whole(points(at=at))
    crop = faces.crop(picture, face)
    assert crop.shape == (128, 128, 3)
    back = faces.paste(picture, crop, face)
    assert back.shape == picture.shape
    if max(map(abs, at)) > 250:
        assert (back == picture).all() and face.share_inside(*picture.shape[:2]) == 0
    else:
        assert 0 < face.share_inside(*picture.shape[:2]) < 1


def test_deep_pictures_keep_their_depth():
    picture = drawing(points()).astype(np.uint16) * 256 + 77
    face = whole(points())
    back = faces.paste(picture, faces.crop(picture, face, 256), face)
    assert back.dtype == np.uint16 and np.abs(back.astype(int) - picture).mean() < 300


def test_the_oval_covers_the_features_and_spares_the_corners():
    oval = faces.oval(128)
    for x, y in alignment.TEMPLATE:
        assert oval[round(y), round(x)] > 0.8
    assert oval[0].max() == oval[:, 0].max() == 0 and oval.max() == 1
    assert faces.oval(64)[32, 32] == pytest.approx(oval[64, 64], abs=0.01)
