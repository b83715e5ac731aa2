"""The upscale pipeline: sizes, exact tiles, value ranges, and smaller tiles when memory runs out."""

import pytest
import torch
from torch import Tensor, nn

from gantool.catalog import Checkpoint
from gantool.errors import DeviceError
from gantool.inference import Runner
from gantool.models.rlfn import RLFN
from gantool.models.rrdbnet import RRDBNet
from gantool.models.srvgg import SRVGGNetCompact
from gantool.ops.footprint import bytes_per_px
from gantool.pipelines import Context, room
from gantool.pipelines.upscale import build, output_size

CPU = torch.device("cpu")


def row(**values) -> Checkpoint:
    return Checkpoint(**{"name": "test", "task": "upscale", "arch": "a.B", "scale": 2, "radius": 5, **values})


def net(scale: int = 2) -> SRVGGNetCompact:
    torch.manual_seed(1)
    return SRVGGNetCompact(num_feat=8, num_conv=3, upscale=scale).eval()


class Nearest(nn.Module):
    """Doubles every pixel; fails for lack of memory above ``most`` pixels a side."""

    def __init__(self, most: int = 10_000) -> None:
        super().__init__()
        self.most, self.seen = most, []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        if max(x.shape[-2:]) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize("size", [(33, 71), (64, 65), (130, 40)])
def test_tiles_equal_the_whole_for_odd_sizes(size):
    x = torch.rand(1, 3, *size)
    with torch.no_grad():
        whole = build(net(), row(), device=CPU, tile_px=4096)(x)
        tiled = build(net(), row(), device=CPU, tile_px=16)(x)
    assert (whole - tiled).abs().max() < 1e-6  # far below 1/255


def test_tiles_fall_on_the_pixels_of_a_net_that_folds_its_input():
    """x2 of Real-ESRGAN takes squares of 2 px: tiles that began at odd places would show."""
    torch.manual_seed(0)
    folding = RRDBNet(scale=2, num_feat=6, num_block=1, num_grow_ch=3).eval()
    x = torch.rand(1, 3, 75, 70)
    with torch.no_grad():
        whole = build(folding, row(multiple=2, radius=None), device=CPU, tile_px=4096)(x)
        tiled = build(folding, row(multiple=2, radius=None), device=CPU, tile_px=17)(x)
    assert (whole - tiled).abs().max() < 1e-5


def test_nets_that_measure_the_picture_get_it_whole_as_far_as_memory_goes(monkeypatch):
    torch.manual_seed(0)
    said: list[str] = []
    measuring, x = RLFN(4, 4, 1, 2, 2).eval(), torch.rand(1, 3, 70, 80)
    whole = row(whole=True, radius=None, value_range=255.0)
    monkeypatch.setattr(room, "_ALWAYS_WHOLE", 69 * 80)
    with torch.no_grad():
        expected = measuring(x * 255) / 255
        y = build(measuring, whole, device=CPU, warn=said.append)(x)
        assert torch.allclose(y, expected.clamp(0, 1), atol=1e-5) and not said
        monkeypatch.setattr(room, "MOST_BYTES", 1)  # holds for nets of which tiles are exact
        assert torch.equal(build(measuring, whole, device=CPU, warn=said.append)(x), y) and not said
        monkeypatch.setattr(room, "memory_of", lambda device: 4000)
        tiled = build(measuring, whole, device=CPU, warn=said.append)(x)
    assert said == [
        "test wants whole pictures; 80x70 px went in tiles of 40x35 px, which may leave seams "
        "(--tile-px 80 runs it whole, given the memory)"
    ]
    assert tiled.shape == y.shape


def test_tiles_are_as_large_as_memory_allows(monkeypatch):
    monkeypatch.setattr(room, "_ALWAYS_WHOLE", 0)
    model, x = Nearest(), torch.rand(1, 3, 90, 130)
    y = build(model, row(), device=CPU)(x)
    assert [tuple(seen.shape[-2:]) for seen in model.seen] == [(32, 32), (90, 130)]  # a trial, then it whole

    taken = bytes_per_px(lambda x: model(x * 1.0) / 1.0, x)  # with the range of values set
    monkeypatch.setattr(room, "MOST_BYTES", taken * 90 * 75)
    model = Nearest()
    pipeline = build(model, row(), device=CPU)
    for picture in (x, x):
        assert torch.equal(pipeline(picture), y)
    sizes = [tuple(seen.shape[-2:]) for seen in model.seen]
    assert sizes == [(32, 32), *[(90, 70)] * 4]  # one trial for the whole job


def test_a_net_is_tried_at_a_multiple_of_its_stride(monkeypatch):
    monkeypatch.setattr(room, "_ALWAYS_WHOLE", 0)
    model = Nearest()
    build(model, row(multiple=24), device=CPU)(torch.rand(1, 3, 90, 130))
    assert [tuple(seen.shape[-2:]) for seen in model.seen] == [(48, 48), (96, 144)]
    model = Nearest()
    build(model, row(arch=""), device=CPU)(torch.rand(1, 3, 90, 130))
    assert [tuple(seen.shape[-2:]) for seen in model.seen] == [(64, 64), (90, 130)]  # with nothing added


def test_a_batch_is_parted_before_pictures_are(monkeypatch):
    monkeypatch.setattr(room, "_ALWAYS_WHOLE", 0)
    model, x = Nearest(), torch.rand(5, 3, 90, 130)
    taken = bytes_per_px(lambda x: model(x * 1.0) / 1.0, x)
    monkeypatch.setattr(room, "MOST_BYTES", taken * 90 * 130 * 2.5)
    model = Nearest()
    y = build(model, row(), device=CPU)(x)
    assert torch.equal(y, x.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert [tuple(seen.shape) for seen in model.seen[1:]] == [(n, 3, 90, 130) for n in (2, 2, 1)]


def test_where_several_do_not_fit_fewer_are_tried_before_tiles():
    class Full(Nearest):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(x)

    said: list[str] = []
    pipeline = build(Full(), row(), device=CPU, warn=said.append)
    runner, x = Runner(pipeline, batch_size=4, warn=said.append), torch.rand(4, 3, 40, 40)
    assert torch.equal(runner.predict(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert said == [f"out of memory: batches of {n} from here on (--batch-size {n})" for n in (2, 1)]


def test_bfloat16_weights_leave_no_steps_in_a_16_bit_picture():
    x = torch.linspace(0.5, 1, 3 * 16 * 16).view(1, 3, 16, 16)  # bf16 knows 129 values in here
    with torch.no_grad():
        exact = build(net(), row(), device=CPU)
        rough = build(net().to(torch.bfloat16), row(), device=CPU, dtype=torch.bfloat16)
        layers = exact.predict(x, Context()), rough.predict(x, Context())
    assert (layers[0] - layers[1]).abs().max() < 1e-3  # 6e-3 with a rounded picture
    assert layers[1].dtype == torch.float32
    assert len((rough.finish(x, layers[1]) * 65535).round().unique()) > 1000


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (60, 42)),
        ({"scale": 3.0}, (90, 63)),
        ({"scale": 2.5}, (75, 52)),
        ({"scale": 0.5}, (15, 10)),
        ({"width": 100}, (143, 100)),
        ({"height": 100}, (100, 70)),
        ({"width": 11, "height": 13}, (13, 11)),
    ],
)
def test_output_sizes(options, expected):
    pipeline = build(net(), row(), device=CPU, **options)
    assert pipeline.output_size(30, 21) == expected
    with torch.no_grad():
        y = pipeline(torch.rand(1, 3, 30, 21))
    assert y.shape[-2:] == expected and y.min() >= 0 and y.max() <= 1


def test_native_scale_is_the_net_itself():
    model, x = net(), torch.rand(1, 3, 20, 24)
    with torch.no_grad():
        assert torch.allclose(build(model, row(), device=CPU)(x), model(x).clamp(0, 1), atol=1e-6)


def test_value_range_and_multiple():
    model, x = Nearest(), torch.rand(1, 3, 13, 18)
    y = build(model, row(value_range=255.0, multiple=8), device=CPU)(x)
    assert torch.allclose(y, x.repeat_interleave(2, 2).repeat_interleave(2, 3), atol=1e-6)
    assert model.seen[0].shape[-2:] == (16, 24) and model.seen[0].max() > 2


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (100, 5), (80, 90)])
def test_nets_of_other_programs_are_shown_no_very_small_pictures(size):
    model, x = Nearest(), torch.rand(1, 3, *size)
    y = build(model, row(arch="", multiple=16), device=CPU)(x)
    assert torch.equal(y, x.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert all(shown >= 64 and shown % 16 == 0 for shown in model.seen[0].shape[-2:])


def test_out_of_memory_halves_the_tile_and_says_so():
    model, said = Nearest(most=80), []
    x = torch.rand(1, 3, 150, 150)
    y = build(model, row(), device=CPU, warn=said.append)(x)
    assert torch.allclose(y, x.repeat_interleave(2, 2).repeat_interleave(2, 3), atol=1e-6)
    assert said and "--tile-px" in said[-1]


def test_out_of_memory_at_last_is_a_device_error():
    with pytest.raises(DeviceError, match="smallest tile"):
        build(Nearest(most=1), row(), device=CPU)(torch.rand(1, 3, 200, 200))


def test_other_errors_are_not_taken_for_memory():
    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        build(Broken(), row(), device=CPU)(torch.rand(1, 3, 8, 8))


def test_output_size_never_reaches_zero():
    assert output_size(1, 1, 0.1, None, None) == (1, 1)
