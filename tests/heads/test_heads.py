"""Rendered faces: what covers what, pairs that belong together, landmarks where the picture shows them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import heads_kit
import numpy as np
import pytest

from gantool import alignment, faces, heads
from gantool.errors import InputError
from gantool.heads import mesh, paint, raster, views


@pytest.fixture(scope="module")
def head():
    return mesh.head_of(heads_kit.arrays())


def test_the_nearer_triangle_is_seen_and_none_from_behind():
    square = np.array([[0, 0, 0], [0, 7, 0], [7, 7, 0], [7, 0, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    small = square * (0.5, 0.5, 1) + (2, 2, 5)  # in front of it
    vertices = np.concatenate([square, small]).astype(np.float32)
    seen = raster.rasterise(vertices, np.concatenate([faces, faces + 4]), 8)
    picture = np.full(64, -1)
    picture[seen.pixel] = seen.triangle // 2
    assert len(seen.pixel) == len(set(seen.pixel.tolist())) == 64
    expected = np.zeros((8, 8), int)
    expected[2:6, 2:6] = 1
    np.testing.assert_array_equal(picture.reshape(8, 8), expected)
    # What is mixed from the corners is the pixel's own position.
    at = seen.mixed(vertices[:, :2])
    np.testing.assert_allclose(at, np.stack([seen.pixel % 8, seen.pixel // 8], 1), atol=1e-4)
    assert not len(raster.rasterise(vertices, faces[:, ::-1], 8).pixel)


def test_what_lies_outside_of_the_picture_is_cut_off():
    vertices = np.array([[-50, -50, 0], [-50, 90, 0], [90, -50, 0]], np.float32)
    seen = raster.rasterise(vertices, np.array([[0, 1, 2]]), 16)
    assert len(seen.pixel) == 256
    assert not len(raster.rasterise(vertices + np.float32([200, 0, 0]), np.array([[0, 1, 2]]), 16).pixel)


def test_a_pair_is_the_same_for_the_same_numbers_and_another_for_others(head):
    def drawn(who, when):
        return heads.pair(heads.person(head, np.random.default_rng(who)), 45.0, np.random.default_rng(when))

    side, front = drawn(1, 2)
    again = drawn(1, 2)
    for a, b in zip((side, front), again, strict=True):
        assert a.picture.shape == (128, 128, 3) and a.picture.dtype == np.uint8
        np.testing.assert_array_equal(a.picture, b.picture)
        np.testing.assert_array_equal(a.landmarks, b.landmarks)
    assert (drawn(3, 2)[1].picture != front.picture).mean() > 0.3
    assert (drawn(1, 4)[0].picture != side.picture).mean() > 0.3


def test_a_trace_tells_where_the_front_view_s_places_lie_in_the_side_view(head):
    someone = heads.person(head, np.random.default_rng(1))
    side, front, trace = heads.traced_pair(someone, 40.0, np.random.default_rng(2))
    again, _ = heads.pair(someone, 40.0, np.random.default_rng(2))
    np.testing.assert_array_equal(side.picture, again.picture)
    x, y = np.ascontiguousarray(trace.at[..., 0]), np.ascontiguousarray(trace.at[..., 1])
    brought = cv2.remap(side.picture, x, y, cv2.INTER_LINEAR).astype(float)
    truth = cv2.resize(front.picture, (64, 64), interpolation=cv2.INTER_AREA).astype(float)
    seen = cv2.erode(trace.seen, np.ones((3, 3))) > 0  # without the rims, where a pixel is of two surfaces
    apart = np.abs(brought - truth).mean(-1)
    assert seen.sum() > 800 and apart[seen].mean() < 8
    unmoved = cv2.resize(side.picture, (64, 64), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(unmoved - truth).mean(-1)[seen].mean() > 2 * apart[seen].mean()
    # The nose points to the right, so what is hidden lies there.
    hidden = trace.covered & (trace.seen == 0)
    assert hidden[:, 32:].sum() > 2 * hidden[:, :32].sum()
    _, _, frontal = heads.traced_pair(someone, 0.0, np.random.default_rng(2))
    assert frontal.seen[frontal.covered].mean() > 0.95


def test_the_front_is_aligned_and_the_side_turned(head):
    someone = heads.person(head, np.random.default_rng(5))
    side, front = heads.pair(someone, 60.0, np.random.default_rng(6))
    eyes, mouth = front.points[:2].mean(0), front.points[3:].mean(0)
    np.testing.assert_allclose(eyes, (64, 40), atol=1e-3)
    assert mouth[1] - eyes[1] == pytest.approx(48, abs=1e-3)
    other = side.points[:2].mean(0), side.points[3:].mean(0)
    np.testing.assert_allclose(other[0], (64, 40), atol=4)  # a detector's points are a little off
    assert side.points[2, 0] > side.points[:2, 0].mean() + 10  # the nose points to the right
    assert abs(faces.yaw_of(front.points)) < 6
    yaws = [
        faces.yaw_of(heads.pair(someone, y, np.random.default_rng(6))[0].points) for y in (-60, 0, 30, 80)
    ]
    assert yaws == sorted(yaws) and yaws[0] < -30 and yaws[3] > 45


def test_landmarks_are_where_the_picture_shows_them(head):
    """A red nose is found at the landmark of the nose, from whichever side it is seen."""
    someone = heads.person(head, np.random.default_rng(7))
    atlas = np.full_like(someone.atlas, 60)
    x, y = np.rint(head.marks[30]).astype(int)
    atlas[y - 6 : y + 7, x - 6 : x + 7] = (255, 0, 0)
    someone = replace(someone, atlas=atlas)
    for yaw in (-50.0, 0.0, 35.0):
        side = heads.pair(someone, yaw, np.random.default_rng(8))[0]
        red = side.picture[..., 0].astype(int) - side.picture[..., 1:].max(-1).astype(int) > 40
        red[: int(side.landmarks[30, 1]) - 20] = False  # whatever the background holds
        rows, columns = np.nonzero(red[:, 30:110])
        assert len(rows) > 4
        near = np.hypot(columns + 30 - side.landmarks[30, 0], rows - side.landmarks[30, 1])
        assert near.min() < 3


def test_mirrored_views_keep_the_order_of_their_points(head):
    view = heads.portrait(heads.person(head, np.random.default_rng(9)), 40.0, np.random.default_rng(1))
    turned = views.mirrored(view)
    assert turned.yaw == -40
    np.testing.assert_array_equal(turned.picture, view.picture[:, ::-1])
    np.testing.assert_allclose(turned.landmarks[45], (127 - view.landmarks[36, 0], view.landmarks[36, 1]))
    np.testing.assert_allclose(turned.points, alignment.mirrored(view.points), atol=1e-9)
    np.testing.assert_allclose(views.mirrored(turned).landmarks, view.landmarks)


def test_people_differ_and_paint_stays_on_the_atlas(head):
    atlases = [heads.person(head, np.random.default_rng(n)).atlas for n in range(6)]
    means = np.array([atlas[: -mesh.EYE_PATCH].mean((0, 1)) for atlas in atlases])
    assert means.std(0).min() > 5
    canvas = np.zeros((mesh.ATLAS_HEIGHT, mesh.ATLAS_WIDTH, 3), np.float32)
    paint.glasses(canvas, head, np.random.default_rng(0))
    assert canvas.any() and not canvas[-mesh.EYE_PATCH :].any()


def test_long_hair_is_a_mesh_of_its_own(head):
    for seed in range(40):
        someone = heads.person(head, np.random.default_rng(seed))
        if (someone.region == 6).any():
            break
    else:
        raise AssertionError("nobody of forty has long hair")
    assert len(someone.vertices) > len(head.vertices)
    assert someone.triangles.max() == len(someone.vertices) - 1
    assert len(someone.uv) == len(someone.open) == len(someone.vertices)
    heads.pair(someone, 70.0, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"identity": None}, "lacks identity"),
        ({"landmarks68": np.zeros(5, np.uint16)}, "landmarks68 does not fit"),
        (
            {"triangles": np.full((4, 3), 60000, np.uint16), "triangle_region": np.zeros(4)},
            "triangles does not fit",
        ),
    ],
)
def test_a_file_that_is_no_head_is_told_why(tmp_path, change, words):
    arrays = {k: v for k, v in (heads_kit.arrays() | change).items() if v is not None}
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=words):
        heads.load(tmp_path / "x.npz")


def test_a_missing_or_foreign_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no such head file"):
        heads.load(tmp_path / "gone.npz")
    (tmp_path / "photo.npz").write_bytes(b"not an archive")
    with pytest.raises(InputError, match="not a file of arrays"):
        heads.load(tmp_path / "photo.npz")


def test_a_file_of_a_head_loads(tmp_path):
    loaded = heads.load(heads_kit.head_file(tmp_path))
    assert loaded.names == ("jawOpen", "mouthSmile_L") and len(loaded.landmarks) == 68
    assert ((loaded.open >= 0) & (loaded.open <= 1)).all()
