"""The frontalize pipeline with nets whose result is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from gantool import alignment, faces
from gantool.catalog import Checkpoint
from gantool.errors import DeviceError, WeightsError
from gantool.faces import Face
from gantool.models.frontalizer import FrontalGenerator
from gantool.pipelines import frontalize
from gantool.pipelines.frontalize import Frontalizer, Fusion

CPU = torch.device("cpu")
ROW = Checkpoint("net", "frontalize", signed=True, whole=True)


class Seen(nn.Module):
    """Gives back what it is shown, and remembers it."""

    def __init__(self, side=128):
        super().__init__()
        self.side, self.shown = side, []

    def forward(self, x, *more):
        self.shown.append((x, *more))
        return x


class Parts(Seen):
    boxes = alignment.BOXES[5]


def picture(gray=False, dtype=np.uint8):
    rng = np.random.default_rng(0)
    made = rng.integers(0, 256, (40, 50, 1 if gray else 3)).astype(np.uint8)
    made = np.repeat(np.repeat(made, 6, 0), 6, 1)
    made = np.repeat(made, 3, 2) if gray else made
    return made.astype(dtype) * (257 if dtype == np.uint16 else 1)


def face(yaw=0.0, at=(150.0, 120.0), size=1.0):
    """A face whose points say that it is turned about so far."""
    five = alignment.TEMPLATE - (64, 64)
    five = five * (np.cos(np.radians(yaw)), 1)
    five[2, 0] += 23 * np.sin(np.radians(yaw))
    five = five * size + at
    return Face.of_points(five, (at[0] - 50 * size, at[1] - 60 * size, 100 * size, 130 * size), 0.9)


def of(net, row=ROW, **more):
    return Frontalizer(net.eval(), row, device=CPU, **more)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("row", "low", "high"),
    [
        (ROW, -1, 1),
        (Checkpoint("n", "frontalize"), 0, 1),
        (Checkpoint("n", "frontalize", value_range=255.0, color="bgr"), 0, 255),
    ],
)
def test_a_net_that_changes_nothing_gives_the_crops(row, low, high, dtype):
    net, shown = Seen(), picture(dtype=dtype)
    some = [face(), face(at=(90, 100), size=0.6)]
    for view, one in zip(of(net, row).views(shown, some), some, strict=True):
        assert view.dtype == dtype
        assert np.array_equal(view, faces.crop(shown, one))
    ((x,),) = net.shown
    assert x.min() >= low and x.max() <= high and x.max() > 0.9 * high
    first = x[0, 2 if row.color == "bgr" else 0]
    red = torch.from_numpy(faces.crop(shown, some[0])[..., 0].astype(np.float32)) / np.iinfo(dtype).max
    assert torch.allclose((first - low) / (high - low), red, atol=1e-5)


def test_a_net_of_another_side():
    view = of(FrontalGenerator(2, 3)).views(picture(), [face()])[0]
    assert view.shape == (16, 16, 3) and view.dtype == np.uint8


def test_a_grey_face_stays_grey():
    (view,) = of(FrontalGenerator(2, 3)).views(picture(gray=True), [face()])
    assert (view[..., 0] == view[..., 2]).all() and (view[..., 0] == view[..., 1]).all()
    (view,) = of(FrontalGenerator(2, 3)).views(picture(), [face()])
    assert (view[..., 0] != view[..., 2]).any()


def test_parts_are_told_and_every_face_looks_to_the_right():
    net, shown = Parts(), picture()
    right, left, known_by_box = face(40), face(-40), Face.of_box((100.0, 60.0, 100.0, 130.0))
    views = of(net).views(shown, [right, left, known_by_box])
    ((x, corners),) = net.shown
    assert corners.shape == (3, 4, 2)
    for view, one in zip(views, (right, left, known_by_box), strict=True):
        assert np.array_equal(view, faces.crop(shown, one))  # turned back
    flipped = torch.from_numpy(faces.crop(shown, left)[:, ::-1].copy()).movedim(-1, 0) / 127.5 - 1
    assert torch.allclose(x[1], flipped, atol=1e-5)
    assert abs(corners[0] - corners[1]).max() <= 1  # mirror images of each other
    assert corners[2].tolist() == [list(box[:2]) for box in alignment.BOXES[5]]
    assert corners[0, 2, 0] > corners[2, 2, 0] - 10


def test_boxes_for_68_landmarks():
    net = Parts()
    of(net, Checkpoint("n", "frontalize", args={"landmarks": 68}, signed=True)).views(picture(), [face()])
    expected = np.array([box[:2] for box in alignment.BOXES[68]])
    assert np.abs(net.shown[0][1][0].numpy() - expected).max() <= 2


def test_the_same_twice():
    maker, shown = of(FrontalGenerator(2, 3)), picture()
    assert np.array_equal(maker.views(shown, [face()])[0], maker.views(shown, [face()])[0])


def test_thirty_faces_and_none():
    net = Seen()
    assert of(net).views(picture(), []) == []
    assert len(of(net).views(picture(), [face(at=(60 + 5 * i, 100)) for i in range(30)])) == 30
    assert [len(x) for (x,) in net.shown] == [16, 14]


class Greedy(Seen):
    def __init__(self, most):
        super().__init__()
        self.most = most

    def forward(self, x, *more):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(x)


def test_fewer_at_once_where_memory_is_short():
    net, shown = Greedy(3), picture()
    some = [face(at=(60 + 5 * i, 100)) for i in range(9)]
    views = of(net).views(shown, some)
    assert [len(x) for (x,) in net.shown] == [2, 2, 2, 2, 1]
    for view, one in zip(views, some, strict=True):
        assert np.array_equal(view, faces.crop(shown, one))
    with pytest.raises(DeviceError, match="one face at a time"):
        of(Greedy(0)).views(shown, some)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    class Broken(Seen):
        def forward(self, x, *more):
            raise RuntimeError("sizes do not fit")

    with pytest.raises(RuntimeError, match="do not fit"):
        of(Broken()).views(picture(), [face()])


@pytest.mark.parametrize(
    ("spoil", "reason"), [(float("nan"), "values that are not numbers"), (-9.0, "a black")]
)
def test_what_half_precision_spoils_is_made_again(spoil, reason):
    class Spoiled(Seen):
        def forward(self, x, *more):
            return super().forward(x) * 0 + spoil

    told, shown, net = [], picture(), Spoiled()
    half = of(net)
    if spoil != spoil:
        with pytest.raises(DeviceError, match="not numbers"):
            half.views(shown, [face()])
    half.fall_back(lambda: of(Seen()), "bf16", told.append)
    for _ in range(2):
        assert np.array_equal(half.views(shown, [face()])[0], faces.crop(shown, face()))
    assert len(told) == 1 and reason in told[0] and "--precision fp32" in told[0]


def test_a_net_that_makes_something_else():
    class Half(Seen):
        def forward(self, x, *more):
            return x[..., ::2]

    with pytest.raises(WeightsError, match=r"made \(3, 128, 64\) of \(3, 128, 128\)"):
        of(Half()).views(picture(), [face()])


class Anyhow(torch.nn.Module):
    """Notes the sides that it is shown, and gives the picture back."""

    any_side = True

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(tuple(x.shape))
        return x


def test_views_of_several_sides():
    net, shown = Anyhow(), picture()
    some = [face(size=size) for size in (0.9, 0.6, 1.8, 3.6, 20.0)]
    maker = of(net)
    sides = [maker.side_for(one.crop_px) for one in some]
    assert sides == [128, 128, 256, 512, 1024]
    views = maker.views(shown, some, sides=sides)
    assert [view.shape for view in views] == [(side, side, 3) for side in sides]
    for view, one, side in zip(views, some, sides, strict=True):
        assert np.abs(view.astype(int) - faces.crop(shown, one, side)).max() <= 1
    assert net.seen == [(2, 3, 128, 128), (1, 3, 256, 256), (1, 3, 512, 512), (1, 3, 1024, 1024)]
    assert [len(view) for view in maker.views(shown, some[:2], 0.0, [256, 128])] == [256, 128]
    net.seen.clear()
    maker.views(shown, [face()] * 9, sides=[256] * 9)  # no more pixels at once than of small ones
    assert [shape[0] for shape in net.seen] == [4, 4, 1]
    fixed = of(Seen())
    assert fixed.side_for(512) == 128 and fixed.views(shown, [face(size=4.0)])[0].shape[0] == 128


# ---- back into the picture, and what is said


def test_only_faces_that_are_turned_little_are_put_back():
    shown = np.full((240, 500, 3), 100, np.uint8)
    front, side = face(10, at=(120, 120)), face(55, at=(370, 120))
    bright = np.full((128, 128, 3), 100, np.uint8)
    bright[40:90, 30:100] = 220
    back, count = frontalize.pasted(shown, [front, side], [bright, bright])
    assert count == 1
    assert (back[:, :240] != 100).any() and (back[:, 260:] == 100).all()
    back, count = frontalize.pasted(shown, [side], [bright])
    assert count == 0 and np.array_equal(back, shown) and back is not shown


def test_in_a_film_a_view_fades_out_before_it_is_no_longer_put_back():
    shown = np.full((240, 300, 3), 100, np.uint8)
    bright = np.full((128, 128, 3), 100, np.uint8)
    bright[40:90, 30:100] = 220
    little = face(10, at=(150, 120))
    much = next(one for n in range(20, 45) if 27 < ((one := face(n, at=(150, 120))).yaw or 0) < 29)
    changes = []
    for one in (little, much):
        for film in (False, True):
            back, count = frontalize.pasted(shown, [one], [bright], film=film)
            changes.append(np.abs(back.astype(int) - shown).sum() * count)
    assert changes[0] == changes[1] and changes[2] > 0.8 * changes[0]
    assert 0 < changes[3] < 0.7 * changes[2]


def test_the_larger_face_lies_on_top():
    shown = np.full((240, 300, 3), 100, np.uint8)
    small, large = face(at=(150, 120), size=0.7), face(at=(160, 120))
    views = [np.random.default_rng(n).integers(0, 255, (128, 128, 3)).astype(np.uint8) for n in range(2)]
    both, _ = frontalize.pasted(shown, [large, small], views)
    one, _ = frontalize.pasted(shown, [large], views[:1])
    middle = (slice(110, 130), slice(150, 170))
    assert np.abs(both[middle].astype(int) - one[middle]).mean() < 3


def test_remarks():
    photo = np.random.default_rng(0).integers(60, 200, (240, 300, 3)).astype(np.uint8)
    assert frontalize.remarks(face(), photo) == []
    (said,) = frontalize.remarks(face(size=0.2), photo)
    assert "only 20 px wide" in said
    (said,) = frontalize.remarks(face(at=(20, 120)), photo)
    assert "% of the face's crop lies beyond" in said
    (said,) = frontalize.remarks(face(-80), photo)
    assert "nearly in profile" in said
    assert frontalize.remarks(Face.of_box((100.0, 50.0, 100.0, 120.0)), photo) == []
    (said,) = frontalize.remarks(face(), np.full_like(photo, 230))
    assert "looks drawn" in said


def test_fusion_weighs_frontal_faces_more():
    fusion = Fusion()
    with pytest.raises(ValueError, match="no view"):
        fusion.view()
    dark, light = (np.full((4, 4, 3), value, np.uint8) for value in (0, 200))
    fusion.add(face(), light)
    assert (fusion.view() == 200).all() and fusion.view().dtype == np.uint8
    fusion.add(face(75), dark)
    assert 160 < fusion.view()[0, 0, 0] < 200
    for _ in range(3):
        fusion.add(face(), dark)
    assert 30 < fusion.view()[0, 0, 0] < 60
