"""The colorize pipeline: lightness kept, old chroma dropped, any size and aspect."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from gantool.catalog import Checkpoint
from gantool.errors import InputError, UsageError
from gantool.hints import Hint
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


class Shown(nn.Module):
    """Remembers what it is shown, and answers with a colour of its own kind."""

    def __init__(self, **manner: object) -> None:
        super().__init__()
        for name, value in manner.items():
            setattr(self, name, value)

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        self.shown, self.hints = gray, hints
        color = (0.8, 0.4, 0.2) if getattr(self, "gives", "ab") == "rgb" else (10.0, -5.0)
        return torch.tensor(color).view(1, -1, 1, 1).expand(len(gray), -1, *gray.shape[-2:])


TINT = torch.tensor((0.2, 0.4, 0.6)).view(1, 3, 1, 1)


def test_square_nets_see_a_square_of_their_own_size():
    net = Shown(square=True, render_size=64, render_size_film=32, shrink="bicubic")
    pipeline = build(net, ROW, device=CPU)
    assert pipeline(torch.rand(1, 3, 30, 90)).shape == (1, 3, 30, 90)
    assert net.shown.shape == (1, 1, 64, 64)
    assert net.shown.min() >= 0 and net.shown.max() <= 1  # bicubic overshoots
    pipeline.predict(torch.rand(2, 3, 30, 90), Context(times=(0.0, 0.04)))
    assert net.shown.shape == (2, 1, 32, 32)
    build(net, ROW, device=CPU, render_size=96)(torch.rand(1, 3, 30, 90))
    assert net.shown.shape == (1, 1, 96, 96)
    with pytest.raises(UsageError, match="multiples of 32 px, not at 100") as caught:
        build(net, ROW, device=CPU, render_size=100)
    assert "96" in str(caught.value)


@pytest.mark.parametrize(
    ("shows", "expected"),
    [
        ("luma", 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6),
        ("lightness", 0.42008),
        ("rgb", 0.38865),
    ],
)
def test_what_nets_are_shown(shows, expected):
    net = Shown(shows=shows)
    build(net, ROW, device=CPU)(TINT.expand(1, 3, 64, 64))
    assert net.shown.shape[1] == (3 if shows == "rgb" else 1)
    assert torch.allclose(net.shown, torch.tensor(expected), atol=1e-4)
    if shows == "rgb":
        assert lightness(net.shown).mean() == pytest.approx(float(lightness(TINT)), abs=1e-3)


def test_of_an_rgb_answer_only_chroma_is_used():
    x = torch.rand(1, 1, 40, 40).expand(1, 3, 40, 40) * 0.4 + 0.3
    answer = rgb_to_lab(torch.tensor((0.8, 0.4, 0.2)).view(1, 3, 1, 1))
    pipeline = build(Shown(gives="rgb"), ROW, device=CPU, saturation=0.5)
    y = pipeline(x)
    assert (lightness(y) - lightness(x)).abs().max() < 0.05
    layer = pipeline.predict(x, Context())
    assert layer.shape[1] == 2
    assert layer.mean((0, 2, 3)).tolist() == pytest.approx((answer[0, 1:, 0, 0] / 2).tolist(), abs=1e-3)


def test_hints_lie_where_they_should():
    net = Shown(square=True, render_size=64, takes_hints=True)
    red, blue = Hint(10, 20, (1, 0, 0), radius=2), Hint(0.75, 0.5, (0, 0, 1), radius=0.1, fractions=True)
    x = torch.rand(1, 3, 32, 128)  # halved across, doubled down
    build(net, ROW, device=CPU, hints=[red])(x)
    assert net.hints is not None and net.hints.shape == (1, 3, 64, 64)
    down, across = torch.nonzero(net.hints[0, 2]).T
    assert (int(down.min()), int(down.max())) == (37, 44)  # 20.5 +- 2, twice
    assert (int(across.min()), int(across.max())) == (4, 5)  # 10.5 +- 2, half
    lab = rgb_to_lab(torch.tensor((1.0, 0, 0)).view(1, 3, 1, 1))[0, :, 0, 0]
    assert net.hints[0, :2, 40, 5].tolist() == pytest.approx(lab[1:].tolist(), abs=1e-3)
    assert net.hints.flatten(2)[..., 0].abs().sum() == 0
    build(net, ROW, device=CPU, hints=[blue])(x)
    down, across = torch.nonzero(net.hints[0, 2]).T
    assert (int(down.min()), int(down.max())) == (26, 37)  # 16 +- 3.2, twice
    assert int(across.min()) >= 46 and int(across.max()) <= 49  # 96 +- 3.2, half


def test_a_hint_without_radius_is_as_large_as_in_training_and_a_tiny_one_still_there():
    net = Shown(square=True, render_size=64, takes_hints=True)
    build(net, ROW, device=CPU, hints=[Hint(500, 500, (1, 0, 0))])(torch.rand(1, 3, 1000, 1000))
    assert net.hints is not None and int(net.hints[0, 2].sum()) == 36
    build(net, ROW, device=CPU, hints=[Hint(999, 0, (1, 0, 0), radius=0)])(torch.rand(1, 3, 1000, 1000))
    assert int(net.hints[0, 2].sum()) == 1 and net.hints[0, 2, 0, 63] == 1


def test_later_hints_lie_above_earlier_ones():
    net = Shown(square=True, render_size=64, takes_hints=True)
    hints = [Hint(0.5, 0.5, (1, 0, 0), fractions=True), Hint(0.5, 0.5, (0, 0, 1), fractions=True)]
    build(net, ROW, device=CPU, hints=hints)(torch.rand(2, 3, 64, 64))
    assert net.hints is not None and len(net.hints) == 2 and net.hints[1, 1, 32, 32] < -100


def test_hints_are_refused_by_nets_that_take_none_and_outside_the_picture():
    with pytest.raises(UsageError, match=r"test takes no colour hints.*siggraph17"):
        build(Shown(), ROW, device=CPU, hints=[Hint(1, 1, (1, 0, 0))])
    pipeline = build(Shown(takes_hints=True), ROW, device=CPU, hints=[Hint(60, 1, (1, 0, 0))])
    with pytest.raises(InputError, match="outside the picture of 50 x 40"):
        pipeline(torch.rand(1, 3, 40, 50))


def test_reference_gives_its_palette(tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (10, 4, 3), dtype=np.uint8)
    photo[:, :, 2] //= 4
    photo = photo.repeat(40, 0).repeat(40, 1)  # larger than what is looked at
    Image.fromarray(photo).save(tmp_path / "photo.png")
    x = torch.rand(1, 3, 64, 64)
    by_file = build(Noisy(), ROW, device=CPU, reference=tmp_path / "photo.png").predict(x, Context())
    by_array = build(Noisy(), ROW, device=CPU, reference=photo).predict(x, Context())
    assert torch.equal(by_file, by_array)
    wanted = rgb_to_lab(torch.from_numpy(photo)[None].movedim(-1, 1) / 255.0)[0, 1:].mean((1, 2))
    assert by_file.mean((0, 2, 3)).tolist() == pytest.approx(wanted.tolist(), abs=1.5)
    half = build(Noisy(), ROW, device=CPU, reference=photo, saturation=0.5).predict(x, Context())
    assert torch.allclose(half, by_array / 2)


class Noisy(nn.Module):
    def forward(self, gray: Tensor) -> Tensor:
        return 20 * torch.randn(1, 2, *gray.shape[-2:], generator=torch.Generator().manual_seed(0))


def test_a_gray_reference_is_refused(tmp_path):
    Image.new("L", (9, 9), 100).save(tmp_path / "gray.png")
    with pytest.raises(InputError, match=r"holds no colours \(.*gray.png\)"):
        build(Noisy(), ROW, device=CPU, reference=tmp_path / "gray.png")


class Hinted(nn.Module):
    """Remembers its hints, and answers with grey."""

    takes_hints = True

    def forward(self, gray: Tensor, hints: Tensor | None = None) -> Tensor:
        self.hints = hints
        return torch.zeros(len(gray), 2, *gray.shape[-2:])


def test_the_past_is_hinted_at_where_it_can_be_trusted():
    net, x = Hinted(), torch.rand(1, 3, 64, 96)
    hint = Hint(0, 0, (1.0, 0.0, 0.0), radius=2)
    pipeline = build(net, ROW, device=CPU, render_size=64, saturation=2.0, hints=[hint])
    assert pipeline.takes_history and not build(Constant(0, 0), ROW, device=CPU).takes_history
    history = torch.stack((torch.full((64, 96), 30.0), torch.full((64, 96), -10.0)))
    trust = np.ones((32, 48), np.float32)
    trust[:, 24:] = 0.5
    pipeline.predict(x, Context((0.0,), {"history": (history, trust)}))
    a, b, holds = net.hints[0]
    assert (a[8, 8], b[8, 8], holds[8, 8]) == (15, -5, 1)  # as they were before the saturation
    assert holds[:, 52:].sum() == 0 and holds[:, 5:44].sum() == 4 * 3
    assert holds[0, 0] == 1 and a[0, 0] > 50  # what the user says, too
    assert (a[holds == 0] == 0).all()


def test_palettes_hold_from_their_time_on():
    palettes = {-np.inf: color(200, 120, 60), 2.0: color(60, 120, 200), 5.0: color(90, 200, 90)}
    pipeline = build(Constant(0, 0), ROW, device=CPU, reference=palettes)
    x = torch.rand(5, 1, 32, 32, generator=torch.Generator().manual_seed(0)).expand(5, 3, 32, 32)
    ab = pipeline.predict(x, Context((0.0, 1.99, 2.0, 4.9, 60.0))).mean((2, 3))
    assert [bool(b > 0) for _, b in ab[:4]] == [True, True, False, False] and ab[4, 0] < -20
    assert torch.equal(ab[0], ab[1]) and torch.equal(ab[2], ab[3])
    assert torch.equal(pipeline.predict(x[:1], Context()).mean((2, 3))[0], ab[0])
    later = build(Constant(7, 0), ROW, device=CPU, reference={2.0: color(60, 120, 200)})
    assert (later.predict(x[:1], Context((1.0,)))[:, 0] == 7).all()


def color(*rgb: int) -> np.ndarray:
    return np.full((8, 8, 3), rgb, np.uint8)
