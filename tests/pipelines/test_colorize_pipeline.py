"""The colorize pipeline: lightness kept, old chroma dropped, any size and aspect."""

import pytest
import torch
from torch import Tensor, nn

from gantool.catalog import Checkpoint
from gantool.errors import UsageError
from gantool.ops.color import lightness, rgb_to_lab
from gantool.pipelines import Context
from gantool.pipelines.colorize import build, render_shape

CPU = torch.device("cpu")
ROW = Checkpoint(name="test", task="colorize", multiple=32, color="lab")


class Constant(nn.Module):
    """Predicts one chroma everywhere and remembers what it was shown."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a, self.b = a, b

    def forward(self, gray: Tensor) -> Tensor:
        self.shown = gray
        return torch.tensor((self.a, self.b)).view(1, 2, 1, 1).expand(len(gray), 2, *gray.shape[-2:])


def test_lightness_is_the_source_and_chroma_the_net():
    x = torch.rand(2, 1, 50, 70).expand(2, 3, 50, 70) * 0.6 + 0.2
    y = build(Constant(12.0, -20.0), ROW, device=CPU)(x)
    lab = rgb_to_lab(y)
    assert (lab[:, :1] - lightness(x)).abs().max() < 0.05
    assert (lab[:, 1] - 12).abs().max() < 0.1 and (lab[:, 2] + 20).abs().max() < 0.1


def test_no_chroma_gives_the_same_gray_bytes():
    x = torch.randint(0, 256, (1, 1, 40, 40)).float().div(255).expand(1, 3, 40, 40)
    y = build(Constant(0.0, 0.0), ROW, device=CPU)(x)
    assert torch.equal((y * 255).round(), (x * 255).round())


def test_sepia_is_dropped_before_the_net_sees_it():
    gray = torch.rand(1, 1, 64, 64) * 0.5 + 0.25
    sepia = torch.cat((gray, gray * 0.85, gray * 0.6), 1)
    net = Constant(0.0, 0.0)
    y = build(net, ROW, device=CPU)(sepia)
    assert (y.amax(1) - y.amin(1)).max() < 1e-4
    assert net.shown.shape[1] == 1
    assert (lightness(y) - lightness(sepia)).abs().max() < 0.05


def test_gray_color_row_is_shown_luma():
    net = Constant(0.0, 0.0)
    row = Checkpoint(name="test", task="colorize", multiple=8, color="gray")
    build(net, row, device=CPU)(torch.tensor((0.2, 0.4, 0.6)).view(1, 3, 1, 1).expand(1, 3, 64, 64))
    assert float(net.shown.mean()) == pytest.approx(0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6, abs=1e-4)


def test_saturation_scales_chroma():
    x = torch.full((1, 3, 40, 40), 0.5)
    pipeline = build(Constant(10.0, 0.0), ROW, device=CPU, saturation=2.0)
    assert pipeline.predict(x, Context())[0, 0].mean() == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((480, 640), (256, 352)),
        ((640, 480), (352, 256)),
        ((100, 100), (256, 256)),
        ((20, 3000), (256, 1024)),  # no more than 4:1 is shown
        ((1, 1), (256, 256)),
    ],
)
def test_render_shape(size, shape):
    assert render_shape(*size, 256, 32) == shape


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (33, 47)])
def test_any_size(size):
    x = torch.rand(1, 3, *size)
    assert build(Constant(5.0, 5.0), ROW, device=CPU)(x).shape == x.shape


def test_too_small_a_render_size_is_a_usage_error():
    with pytest.raises(UsageError, match="at least 32"):
        build(Constant(0.0, 0.0), ROW, device=CPU, render_size=16)
