"""The translate pipeline: any size in, the same size out; ranges, grey, tiles, memory."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool.catalog import Checkpoint
from gantool.errors import DeviceError, WeightsError
from gantool.models.cyclegan import ResnetGenerator
from gantool.models.dped import DPED
from gantool.models.pix2pix import UnetGenerator
from gantool.pipelines import Context, room, translate
from gantool.pipelines.translate import build

CPU = torch.device("cpu")


def row(**values) -> Checkpoint:
    return Checkpoint(**{"name": "test", "task": "translate", **values})


class Seen(nn.Module):
    """Returns ``answer`` of what it is shown, and remembers it; lacks memory above ``most`` pixels a side."""

    def __init__(self, answer=lambda x: x, most: int = 10_000) -> None:
        super().__init__()
        self.answer, self.most, self.seen = answer, most, []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        if max(x.shape[-2:]) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.answer(x)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (13, 7), (16, 16), (33, 90), (127, 65)])
@pytest.mark.parametrize("tile_px", [None, 16, 40])
@pytest.mark.parametrize(
    "values", [{}, {"signed": True}, {"value_range": 255.0, "color": "bgr"}, {"radius": 3}]
)
def test_identity_returns_the_picture_for_any_size(size, tile_px, values):
    x = torch.rand(2, 3, *size)
    pipeline = build(Seen(), row(multiple=32, **values), device=CPU, tile_px=tile_px)
    assert pipeline.output_size(*size) == size
    assert (pipeline(x) - x).abs().max() < 1e-5


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (37, 41), (64, 72)])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_real_nets_take_any_size(size, norm):
    torch.manual_seed(0)
    unet = UnetGenerator(downs=5, ngf=2, norm=norm, own_statistics=norm == "batch").eval()
    resnet = ResnetGenerator(blocks=1, ngf=2, norm=norm).eval()
    x = torch.rand(1, 3, *size)
    with torch.no_grad():
        for net, multiple in ((unet, 32), (resnet, 4), (DPED(4).eval(), 1)):
            y = build(net, row(multiple=multiple, signed=True), device=CPU)(x)
            assert y.shape == x.shape and torch.isfinite(y).all() and y.min() >= 0 and y.max() <= 1


def test_a_picture_of_the_right_size_is_shown_to_the_net_as_it_is():
    torch.manual_seed(0)
    net, x = ResnetGenerator(blocks=1, ngf=3).eval(), torch.rand(1, 3, 24, 40)
    with torch.no_grad():
        y = build(net, row(multiple=4, signed=True, whole=True), device=CPU)(x)
        assert torch.equal(y, (net(x * 2 - 1) + 1) / 2)


def test_what_the_net_is_shown():
    x = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(1, 3, 20, 30)
    for values, expected in (
        ({}, (0, 0.5, 1)),
        ({"signed": True}, (-1, 0, 1)),
        ({"value_range": 255.0}, (0, 127.5, 255)),
        ({"color": "bgr", "signed": True}, (1, 0, -1)),
    ):
        net = Seen()
        build(net, row(multiple=8, **values), device=CPU)(x)
        assert net.seen[0].shape == (1, 3, 24, 32) and net.seen[0][0, :, 5, 5].tolist() == list(expected)


def test_the_mirror_image_fills_up_and_a_margin_goes_all_around():
    net, x = Seen(), torch.rand(1, 3, 20, 30)
    build(net, row(multiple=16), device=CPU)(x)
    assert torch.equal(net.seen[0], F.pad(x, (0, 2, 0, 12), mode="reflect"))
    net.margin = 5
    assert (build(net, row(), device=CPU)(x) - x).abs().max() == 0
    assert torch.equal(net.seen[1], F.pad(x, (5, 5, 5, 5), mode="reflect"))


def test_values_out_of_range_are_cut():
    y = build(Seen(lambda x: x * 3 - 1), row(), device=CPU).predict(torch.rand(1, 3, 20, 20), Context())
    assert y.min() == 0 and y.max() == 1


# ---- grey


def test_nets_of_one_channel_see_luma_and_make_grey():
    net, x = Seen(), torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    pipeline = build(net, row(args={"input_nc": 1, "output_nc": 1}), device=CPU)
    assert pipeline(x)[0, :, 3, 4].tolist() == pytest.approx([0.299] * 3)
    assert pipeline.gray_output_for_gray and net.seen[0].shape[1] == 1
    net = Seen(lambda x: x.expand(-1, 3, -1, -1))
    pipeline = build(net, row(args={"input_nc": 1}), device=CPU)
    assert not pipeline.gray_output_for_gray and pipeline(x).shape == x.shape


def test_grey_pictures_stay_grey_where_the_row_says_so():
    colour = torch.rand(1, 3, 16, 16)
    gray = colour[:, :1].expand(-1, 3, -1, -1)
    tint = torch.tensor([0.2, 0.0, -0.1]).view(1, 3, 1, 1)
    both = torch.cat((colour, gray + tint / 200))  # an encoder's grey
    y = build(Seen(lambda x: x + tint), row(keeps_gray=True), device=CPU)(both)
    assert (y[1].amax(0) - y[1].amin(0)).max() < 1e-6
    assert (y[0] - (colour[0] + tint[0]).clamp(0, 1)).abs().max() < 1e-6  # its neighbour keeps its colours
    free = build(Seen(lambda x: x + tint), row(), device=CPU)
    assert (free(gray).amax(1) - free(gray).amin(1)).max() > 0.1 and not free.gray_output_for_gray


@pytest.mark.parametrize(
    "values",
    [{"args": {"input_nc": 4}}, {"args": {"output_nc": 2}}, {"color": "lab"}, {"scale": 2, "file": "x.pth"}],
)
def test_nets_that_are_not_picture_to_picture_are_refused(values):
    with pytest.raises(WeightsError, match="same size from pictures"):
        build(Seen(), row(**values), device=CPU)


@pytest.mark.parametrize("answer", [lambda x: x[:, :2], lambda x: F.avg_pool2d(x, 2)])
def test_a_net_that_does_something_else_is_told(answer):
    with pytest.raises(WeightsError, match="keeps the size"):
        build(Seen(answer), row(), device=CPU)(torch.rand(1, 3, 16, 16))


# ---- tiles


def test_tiles_are_as_large_as_memory_allows(monkeypatch):
    monkeypatch.setattr(room, "_ALWAYS_WHOLE", 100 * 100)
    for size in ((100, 100), (300, 400)):
        net = Seen()
        build(net, row(), device=CPU)(torch.rand(1, 3, *size))
        assert tuple(net.seen[-1].shape[-2:]) == size and len(net.seen) == 1 + (size[0] > 100)  # a trial
    x = torch.rand(1, 3, 300, 400)
    monkeypatch.setattr(translate, "bytes_per_px", lambda fn, x, side: 10.0)
    monkeypatch.setattr(room, "MOST_BYTES", 10 * 300 * 240)
    net = Seen()
    pipeline = build(net, row(radius=10), device=CPU)
    assert (pipeline(x) - x).abs().max() < 1e-6
    assert [tuple(one.shape[-2:]) for one in net.seen] == [(300, 210)] * 2
    net = Seen()
    build(net, row(), device=CPU, tile_px=400)(x)
    assert len(net.seen) == 1  # asked for


def test_a_net_that_measures_the_picture_may_take_more_memory(monkeypatch):
    monkeypatch.setattr(room, "_ALWAYS_WHOLE", 0)
    monkeypatch.setattr(room, "MOST_BYTES", 1)
    net, said, x = Seen(lambda x: x + 0.0), [], torch.rand(1, 3, 200, 300)
    build(net, row(whole=True), device=CPU, warn=said.append)(x)
    assert tuple(net.seen[-1].shape[-2:]) == (200, 300) and not said
    monkeypatch.setattr(room, "memory_of", lambda device: 4 * 24 * 40_000)
    build(net, row(whole=True), device=CPU, warn=said.append)(x)
    assert max(one.shape[-2] * one.shape[-1] for one in net.seen[-2:]) < 40_000 and len(said) == 1


def test_tiles_are_exact_where_the_radius_is_known():
    torch.manual_seed(0)
    local = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 3, padding=1)).eval()
    x = torch.rand(1, 3, 75, 130)
    with torch.no_grad():
        whole = build(local, row(radius=2), device=CPU)(x)
        tiled = build(local, row(radius=2), device=CPU, tile_px=32)(x)
    assert (whole - tiled).abs().max() < 1e-6


def test_tiles_of_a_net_that_measures_the_picture_fade_and_it_is_said():
    said: list[str] = []
    x = torch.linspace(0, 1, 360).expand(1, 3, 270, 360)  # the left half is dark, the right half is bright
    net = Seen(lambda x: 0.5 + 0.1 * F.instance_norm(x))
    whole = build(net, row(whole=True), device=CPU, warn=said.append)(x)
    assert said == [] and len(net.seen) == 2  # the first is a trial, which tells how much memory it takes
    tiled = build(net, row(whole=True), device=CPU, tile_px=180, warn=said.append)(x)
    assert len(said) == 1 and "360x270" in said[0] and "--tile-px 360" in said[0]
    light = (tiled - whole)[0, 0, 100]
    jump = float(light[120:150].mean() - light[210:240].mean())
    assert abs(jump) > 0.1  # each half was measured by itself, ...
    assert light.diff().abs().max() < abs(jump) / 20  # ... and no seam is left
    said.clear()
    build(Seen(), row(), device=CPU, tile_px=32, warn=said.append)(torch.rand(1, 3, 64, 64))
    assert said == []  # of a net that does not measure


# ---- memory


def test_out_of_memory_makes_smaller_tiles_and_says_so():
    net, said = Seen(most=250), []
    x = torch.rand(1, 3, 300, 400)
    pipeline = build(net, row(), device=CPU, warn=said.append)
    assert (pipeline(x) - x).abs().max() < 1e-5
    assert said == [f"out of memory: tiles of {n} px from here on (--tile-px {n})" for n in (200, 100)]
    count = len(net.seen)
    pipeline(x)
    assert max(max(one.shape[-2:]) for one in net.seen[count:]) <= 250  # it is remembered


def test_several_pictures_are_left_to_smaller_batches_first():
    pipeline = build(Seen(most=30), row(), device=CPU)
    with pytest.raises(torch.OutOfMemoryError):
        pipeline(torch.rand(2, 3, 64, 64))


def test_out_of_memory_at_last_is_a_device_error():
    with pytest.raises(DeviceError, match="smallest tile"):
        build(Seen(most=1), row(), device=CPU)(torch.rand(1, 3, 300, 300))


def test_other_errors_are_not_taken_for_memory():
    def broken(x):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        build(Seen(broken), row(), device=CPU)(torch.rand(1, 3, 20, 20))
