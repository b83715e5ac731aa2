"""The style pipeline with tiny nets: mixing, strength, masks, sizes, colours, and what is refused."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gantool.catalog import Checkpoint
from gantool.errors import InputError, UsageError, WeightsError
from gantool.inference import Runner
from gantool.models import adain, microast
from gantool.models.transformer_net import TransformerNet
from gantool.ops.color import lightness, rgb_to_lab
from gantool.ops.palette import palette_of
from gantool.pipelines import Context
from gantool.pipelines.style import Style, build, with_color_kept
from gantool.pipelines.style_pictures import read_mask, read_style

CPU = torch.device("cpu")
ADAIN = Checkpoint("a", "style", arch="adain.AdaIN", multiple=8, whole=True)
MICRO = Checkpoint("m", "style", arch="microast.MicroAST", multiple=4, whole=True)
FIXED = Checkpoint("f", "style", arch="transformer_net.TransformerNet", multiple=4, whole=True)


Net = TypeVar("Net", bound=nn.Module)


def seeded(net: Net) -> Net:
    """Weights such that something of the picture reaches the other end, in about [0,1]."""
    torch.manual_seed(3)
    last = None
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            last = layer
    assert last is not None and last.bias is not None
    nn.init.normal_(last.weight, std=0.1 / last.weight[0].numel() ** 0.5)
    nn.init.constant_(last.bias, 0.5)
    return net.eval().requires_grad_(False)


ANY_STYLE = seeded(microast.MicroAST(2))
NETS: dict[str, tuple[Any, Checkpoint]] = {
    "adain": (seeded(adain.AdaIN(0.1)), ADAIN),
    "microast": (ANY_STYLE, MICRO),
}
PAINTING = np.random.default_rng(1).integers(0, 256, (40, 30, 3), np.uint8)
OTHER = np.zeros_like(PAINTING)
OTHER[::8, :, 0] = 230


def photo(height: int = 32, width: int = 40, count: int = 1) -> torch.Tensor:
    torch.manual_seed(7)
    return torch.rand(count, 3, height, width) * 0.8 + 0.1


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("size", [(32, 40), (33, 39), (1, 5), (16, 16)])
def test_any_size_comes_back_in_that_size(name, size):
    net, row = NETS[name]
    x = photo(size[0], size[1], 2)
    y = build(net, row, device=CPU, styles=[Style(PAINTING)])(x)
    assert y.shape == x.shape and float(y.min()) >= 0 and float(y.max()) <= 1


@pytest.mark.parametrize("name", NETS)
def test_the_result_is_the_net_s(name):
    net, row = NETS[name]
    style = net.style(torch.from_numpy(PAINTING[None]).movedim(-1, 1) / 255)
    x = photo()
    y = build(net, row, device=CPU, styles=[Style(PAINTING)])(x)
    assert torch.allclose(y, net(x, style).clamp(0, 1), atol=1e-6)


@pytest.mark.parametrize("name", NETS)
def test_styles_are_encoded_once(name, monkeypatch):
    net, row = NETS[name]
    calls, real = [], net.style
    monkeypatch.setattr(net, "style", lambda picture: (calls.append(picture.shape), real(picture))[1])
    pipeline = build(net, row, device=CPU, styles=[Style(PAINTING), Style(OTHER)], style_size=20)
    for _ in range(3):
        pipeline(photo())
    assert calls == [(1, 3, 27, 20)] * 2


@pytest.mark.parametrize("keep_color", ["off", "luma", "histogram"])
@pytest.mark.parametrize("name", NETS)
def test_strength_0_is_the_picture_and_nothing_jumps_beside_it(name, keep_color):
    net, row = NETS[name]
    x = photo()

    def at(strength: float) -> torch.Tensor:
        return build(
            net, row, device=CPU, styles=[Style(PAINTING)], strength=strength, keep_color=keep_color
        )(x)

    assert torch.equal(at(0), x)
    if keep_color == "off":
        assert (at(1e-4) - x).abs().max() < 0.01
        assert (at(1 - 1e-4) - at(1)).abs().max() < 0.01
        assert (at(0.5) - x).abs().mean() < (at(1) - x).abs().mean()


def test_strength_of_a_net_with_one_style_is_a_share_of_it():
    net = seeded(TransformerNet((4, 5, 6), 1))
    x, row = photo(), FIXED
    whole = build(net, row, device=CPU)(x)
    assert torch.allclose(whole, net(x).clamp(0, 1), atol=1e-6)
    half = build(net, row, device=CPU, strength=0.25)(x)
    assert torch.allclose(half, torch.lerp(x, net(x), 0.25).clamp(0, 1), atol=1e-6)
    assert torch.equal(build(net, row, device=CPU, strength=0)(x), x)


def test_range_and_order_of_channels_are_the_row_s():
    class Probe(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert float(x.max()) > 100
            return x * torch.tensor((1.0, 0.0, 0.0)).view(1, 3, 1, 1)

    row = Checkpoint("p", "style", multiple=4, value_range=255.0, color="bgr")
    y = build(Probe(), row, device=CPU)(photo())
    assert torch.allclose(y[:, 2], photo()[:, 2], atol=1e-6) and float(y[:, :2].max()) == 0


@pytest.mark.parametrize("name", NETS)
def test_weights_mix_styles(name):
    net, row = NETS[name]
    x = photo()

    def of(*styles: Style) -> torch.Tensor:
        return build(net, row, device=CPU, styles=styles)(x)

    one, two = of(Style(PAINTING)), of(Style(OTHER))
    assert (one - two).abs().max() > 0.01
    assert torch.allclose(of(Style(PAINTING, 5), Style(PAINTING, 2)), one, atol=1e-5)
    near = of(Style(PAINTING, 9), Style(OTHER, 1))
    far = of(Style(PAINTING, 1), Style(OTHER, 9))
    assert (near - one).abs().mean() < (far - one).abs().mean()


def test_masks_say_where_a_style_holds():
    net, row = NETS["microast"]
    x, told = photo(), []
    left = np.zeros((32, 40, 3), np.uint8)
    left[:, :20] = 255
    one = build(net, row, device=CPU, styles=[Style(PAINTING)])(x)
    two = build(net, row, device=CPU, styles=[Style(OTHER)])(x)
    alone = build(net, row, device=CPU, styles=[Style(PAINTING, mask=left)], warn=told.append)(x)
    assert torch.equal(alone[..., 20:], x[..., 20:]) and torch.allclose(alone[..., :20], one[..., :20])
    assert not told
    both = build(
        net, row, device=CPU, styles=[Style(PAINTING, mask=left[::2, ::2]), Style(OTHER)], warn=told.append
    )
    y = both(x)
    assert torch.allclose(y[..., :18], one[..., :18], atol=1e-6)
    assert torch.allclose(y[..., 22:], two[..., 22:], atol=1e-6)
    both(x)
    assert told == ["the mask of 20x16 px is resized to the picture's 40x32"]


def test_a_mask_of_several_styles_holds_their_mixture():
    net, row = NETS["microast"]
    x, left = photo(), np.zeros((32, 40, 3), np.uint8)
    left[:, :20] = 255
    mixed = build(net, row, device=CPU, styles=[Style(PAINTING), Style(OTHER)])(x)
    masked = build(net, row, device=CPU, styles=[Style(PAINTING, mask=left), Style(OTHER, mask=left)])(x)
    assert torch.equal(masked[..., 20:], x[..., 20:]) and torch.allclose(masked[..., :20], mixed[..., :20])


def test_a_net_s_own_style_can_be_masked():
    net = seeded(TransformerNet((4, 5, 6), 1))
    x, left = photo(), np.zeros((32, 40, 3), np.uint8)
    left[:, :20] = 255
    y = build(net, FIXED, device=CPU, styles=[Style(None, mask=left)])(x)
    assert torch.equal(y[..., 20:], x[..., 20:])
    assert torch.allclose(y[..., :20], net(x).clamp(0, 1)[..., :20], atol=1e-6)


@pytest.mark.parametrize("name", NETS)
def test_styles_take_over_in_their_time(name):
    """Each within a second, or until the next begins; the first holds from the start."""
    net, row = NETS[name]
    x, told = photo(), []
    styles = [Style(PAINTING, at=2.0), Style(OTHER, at=5.0), Style(PAINTING[::-1], at=5.4)]
    film = build(net, row, device=CPU, styles=styles, warn=told.append)
    alone = [build(net, row, device=CPU, styles=[Style(style.picture)])(x) for style in styles]

    def at(*times: float) -> torch.Tensor:
        return film(x.expand(len(times), -1, -1, -1), Context(times=times))

    for time, number in ((0.0, 0), (3.0, 0), (5.0, 0), (5.4, 1), (6.4, 2), (99.0, 2)):
        assert torch.allclose(at(time), alone[number], atol=1e-5), time
    half = build(net, row, device=CPU, styles=[Style(PAINTING), Style(OTHER)])(x)
    assert torch.allclose(at(5.2), half, atol=1e-4)
    together = at(1.0, 5.2, 5.9, 7.0)
    for one, time in zip(together.split(1), (1.0, 5.2, 5.9, 7.0), strict=True):
        assert torch.allclose(one, at(time), atol=1e-5)
    assert not told
    assert torch.allclose(film(x), alone[0], atol=1e-5)
    assert told == ["a photo has no times: it gets the style of the beginning"]


def test_styles_of_odd_sizes_are_shown_at_sizes_that_a_net_can_take(monkeypatch):
    net, row = NETS["adain"]
    seen, real = [], net.style
    monkeypatch.setattr(net, "style", lambda picture: (seen.append(picture.shape[-2:]), real(picture))[1])
    for shape, size in [
        ((1, 1), None),
        ((600, 5), None),
        ((1200, 1300), None),
        ((10, 100), 64),
        ((64, 64), 32),
    ]:
        picture = np.full((*shape, 3), 90, np.uint16)
        y = build(net, row, device=CPU, styles=[Style(picture)], style_size=size)(photo(16, 16))
        assert bool(torch.isfinite(y).all())
    assert [tuple(size) for size in seen] == [(16, 16), (20, 16), (512, 555), (64, 256), (32, 32)]


def test_colors_are_kept():
    y, x = photo(24, 24, 2).sqrt(), photo(24, 24, 2).flip(1) * 0.5 + 0.2
    assert with_color_kept(y, x, "off") is y
    luma = with_color_kept(y, x, "luma")
    assert (lightness(luma) - lightness(y)).abs().max() < 0.1
    gentle = x * 0.2 + 0.4  # few colours that no lightness has to give up
    found = rgb_to_lab(with_color_kept(gentle.flip(-1), gentle, "luma"))[:, 1:]
    assert (found - rgb_to_lab(gentle)[:, 1:]).abs().max() < 0.1
    moved = with_color_kept(y, gentle, "histogram")
    for result, source in zip(rgb_to_lab(moved), rgb_to_lab(gentle), strict=True):
        have, want = palette_of(result), palette_of(source)
        assert torch.allclose(have.mean, want.mean, atol=0.5)
        assert (have.covariance - want.covariance).abs().max() < 0.1 * want.covariance.abs().max()
    gray = gentle.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    for keep in ("luma", "histogram"):
        kept = with_color_kept(y, gray, keep)
        assert rgb_to_lab(kept)[:, 1:].abs().max() < 0.5, keep


def test_the_runner_s_frames_and_the_filter_s_layers():
    net, row = NETS["microast"]
    pipeline = build(net, row, device=CPU, styles=[Style(PAINTING)], keep_color="luma")
    assert (pipeline.task, pipeline.model, pipeline.blend, pipeline.stride) == ("style", "m", "paint", 4)
    masked = build(net, row, device=CPU, styles=[Style(PAINTING, mask=PAINTING)])
    assert masked.stride == 1
    x = photo(count=3)
    layers = Runner(pipeline, batch_size=2).predict(x, (0.0, 0.1, 0.2))
    assert layers.shape == x.shape
    assert torch.allclose(pipeline.finish(x, layers), pipeline(x, Context()), atol=1e-4)


def test_parts_are_joined_and_incomplete_ones_refused():
    net = ANY_STYLE
    row = Checkpoint("d", "style", arch="microast.Decoder", multiple=4, whole=True, needs=("c", "s", "m"))
    parts: list[nn.Module] = [net.decoder, net.content_encoder, net.style_encoder, net.modulator]
    y = build(parts, row, device=CPU, styles=[Style(PAINTING)])(photo())
    assert torch.equal(y, build(net, MICRO, device=CPU, styles=[Style(PAINTING)])(photo()))
    for some in (parts[:1], parts[:3], parts[0]):
        with pytest.raises(WeightsError, match=r"d is only a part .* with c, s, m"):
            build(some, row, device=CPU, styles=[Style(PAINTING)])
    with pytest.raises(WeightsError, match="only a part"):
        build(parts[1], MICRO, device=CPU)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"styles": []}, "must be shown a style"),
        ({"styles": [Style(PAINTING, 0)]}, "weight cannot be 0"),
        ({"styles": [Style(PAINTING, -1)]}, "weight cannot be -1"),
        ({"styles": [Style(PAINTING, float("nan"))]}, "weight cannot be nan"),
        ({"strength": 1.5}, "out of range"),
        ({"strength": float("nan")}, "out of range"),
        ({"keep_color": "all"}, "off, luma, histogram"),
        ({"style_size": 0}, "too small"),
    ],
)
def test_what_makes_no_sense_is_refused(change, words):
    net, row = NETS["microast"]
    with pytest.raises(UsageError, match=words):
        build(net, row, device=CPU, **{"styles": [Style(PAINTING)]} | change)


def test_a_net_of_one_style_takes_no_other():
    with pytest.raises(UsageError, match="knows one style"):
        build(seeded(TransformerNet((4, 5, 6), 1)), FIXED, device=CPU, styles=[Style(PAINTING)])


def test_a_style_that_is_no_picture_is_named(tmp_path):
    net, row = NETS["microast"]
    path = tmp_path / "art.jpg"
    path.write_text("not a picture")
    with pytest.raises(InputError) as caught:
        build(net, row, device=CPU, styles=[Style(path)])
    assert str(caught.value.file) == str(path)
    with pytest.raises(InputError):
        build(net, row, device=CPU, styles=[Style(PAINTING, mask=path)])


def test_style_files(tmp_path):
    """Large ones come at the size at which they are shown; tiny ones show nothing."""
    Image.fromarray(np.zeros((60, 12000, 3), np.uint8)).save(tmp_path / "wide.png")
    assert read_style(tmp_path / "wide.png").shape == (60, 240, 3)
    Image.fromarray(np.zeros((700, 900, 3), np.uint8)).save(tmp_path / "art.png")
    assert read_style(tmp_path / "art.png").shape == (512, 658, 3)
    assert read_style(tmp_path / "art.png", 100).shape == (100, 129, 3)
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(tmp_path / "dot.png")
    with pytest.raises(InputError, match="1x1 px are too few to show a style"):
        read_style(tmp_path / "dot.png")
    with pytest.raises(InputError):
        read_style(tmp_path / "art.png", max_pixels=1000)
    clear = np.full((4, 4, 4), 255, np.uint8)
    clear[:, 2:, 3] = 0
    Image.fromarray(clear).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert (mask[:, :2] == 255).all() and (mask[:, 2:] == 0).all()
