"""The temporal filter: known motion, scene cuts, identity cases, drift."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from moving_pictures import HEIGHT, WIDTH, scene, view

from gantool import metrics
from gantool.motion import Motion
from gantool.ops import flow as optical
from gantool.ops.color import join_lab, lightness
from gantool.ops.resize import to_tensor
from gantool.temporal import TemporalFilter, TemporalOptions


def true_chroma(seed: int, height: int = 240, width: int = 640) -> torch.Tensor:
    noise = torch.randn(1, 2, 8, 20, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=(height, width), mode="bicubic")[0] * 25


def flicker(generator: torch.Generator, height: int, width: int) -> torch.Tensor:
    """What a frame-by-frame colorizer adds: a tint and blotches that change with every frame."""
    blotches = F.interpolate(
        torch.randn(1, 2, 4, 5, generator=generator), size=(height, width), mode="bicubic"
    )
    return blotches[0] * 6 + torch.randn(2, 1, 1, generator=generator) * 3


def colored(frame: np.ndarray, ab: torch.Tensor) -> np.ndarray:
    x = to_tensor(frame[None])
    return (
        join_lab(lightness(x), F.interpolate(ab[None], size=x.shape[-2:], mode="bilinear"))[0]
        .movedim(0, -1)
        .numpy()
    )


@pytest.mark.parametrize("method", optical.METHODS)
@pytest.mark.parametrize("step", [2, 5, 8])
def test_known_pan_loses_its_flicker_and_keeps_its_colour(method, step):
    count, grain = 14, np.random.default_rng(0)
    picture, chroma = scene(1), true_chroma(2)
    generator = torch.Generator().manual_seed(3)
    steady = TemporalFilter("chroma", TemporalOptions(flow=method))
    before, after = [], []
    for t in range(count):
        noise = grain.normal(0, 3, (HEIGHT, WIDTH, 1))
        frame = np.clip(view(picture, t * step, 20) + noise, 0, 255).astype(np.uint8)
        ab = chroma[:, 20 : 20 + HEIGHT, t * step : t * step + WIDTH]
        # The net works at half size here, so the flow must be scaled as well.
        layer = F.avg_pool2d((ab + flicker(generator, HEIGHT, WIDTH))[None], 2)[0]
        clean = view(picture, t * step, 20)  # grain is not the colorizer's fault and would hide its flicker
        before.append(colored(clean, layer))
        after.append(colored(clean, steady.step(frame, layer)))
    motion = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    motion[..., 0] = -step
    flows = [motion] * (count - 1)
    assert metrics.warping_error(after, flows) < 0.1 * metrics.warping_error(before, flows)
    colour_before = np.mean([metrics.colourfulness(image) for image in before])
    colour_after = np.mean([metrics.colourfulness(image) for image in after])
    assert abs(colour_after / colour_before - 1) < 0.05


def unsteady_translation(frame: np.ndarray, generator: torch.Generator) -> torch.Tensor:
    """What a frame-by-frame GAN makes: tone, blotches and texture that change with every frame."""

    def noise(height: int, width: int) -> torch.Tensor:
        waves = torch.randn(1, 3, height, width, generator=generator)
        return F.interpolate(waves, size=frame.shape[:2], mode="bicubic")[0]

    picture = to_tensor(frame[None])[0] * (1 + 0.06 * torch.randn(3, 1, 1, generator=generator))
    return (picture + 0.04 * noise(5, 7) + 0.02 * noise(HEIGHT // 2, WIDTH // 2)).clamp(0, 1)


@pytest.mark.parametrize("method", optical.METHODS)
@pytest.mark.parametrize("step", [2, 5])
def test_whole_pictures_on_a_known_pan_lose_their_flicker_and_stay_sharp(method, step):
    picture, generator = scene(1), torch.Generator().manual_seed(0)
    steady = TemporalFilter("rgb", TemporalOptions(flow=method))
    before, after = [], []
    for t in range(14):
        frame = view(picture, t * step, 20)
        layer = unsteady_translation(frame, generator)
        before.append(layer.movedim(0, -1).numpy())
        after.append(steady.step(frame, layer).movedim(0, -1).numpy())
    motion = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    motion[..., 0] = -step
    flows = [motion] * (len(before) - 1)
    assert metrics.warping_error(after, flows) < 0.15 * metrics.warping_error(before, flows)

    def sharpness(images: list[np.ndarray]) -> float:
        return float(np.mean([cv2.Laplacian(image.mean(-1), cv2.CV_32F).std() for image in images]))

    assert sharpness(after) > 0.85 * sharpness(before)


def test_a_highlight_that_stays_is_not_dimmed():
    layer = torch.full((3, HEIGHT, WIDTH), 0.1)
    layer[:, 80, 90] = 1.0
    steady = TemporalFilter("rgb")
    for t in range(6):
        frame = view(scene(1))
        frame[0, 0] = t  # no repeat
        shown = steady.step(frame, layer)
    assert shown[:, 80, 90].min() > 0.95


def test_whole_pictures_keep_no_ghosts_but_lose_their_flicker_in_flat_places():
    picture = scene(1)
    steady = TemporalFilter("rgb", TemporalOptions(strength=1.0))
    ghost = torch.full((3, HEIGHT, WIDTH), 0.4)
    ghost[:, 50:70, 50:70] = 1.0
    steady.step(view(picture), ghost)
    shown = steady.step(view(picture, 1), torch.full((3, HEIGHT, WIDTH), 0.4))
    assert shown.max() < 0.49  # 1.0 without the clamp
    flat = TemporalFilter("rgb")
    tones = [0.5 + (0.03 if t % 2 else -0.03) for t in range(12)]
    shown = [
        flat.step(view(picture, t), torch.full((3, HEIGHT, WIDTH), tone)) for t, tone in enumerate(tones)
    ]
    steps = [float((a - b).abs().median()) for a, b in itertools.pairwise(shown)]
    assert max(steps[4:]) < 0.25 * 0.06


@pytest.mark.parametrize("kind", ["chroma", "rgb", "paint"])
@pytest.mark.parametrize("method", optical.METHODS)
def test_a_cut_starts_afresh_bit_for_bit(method, kind):
    steady = TemporalFilter(kind, TemporalOptions(flow=method))
    generator = torch.Generator().manual_seed(0)
    for t in range(12):
        picture = scene(1) if t < 7 else scene(9)
        layer = torch.randn(3 if kind == "rgb" else 2, 36, 48, generator=generator)
        motion = steady.track(view(picture, 3 * t, 10))
        shown = steady.blend(motion, layer)
        assert motion.cut == (t == 7)
        assert torch.equal(shown, layer) == (t in (0, 7))


def test_brushwork_is_steadied_where_motion_is_somewhat_doubtful():
    """A pan with a thing that goes its own way: "paint" leaves less flicker than "rgb"."""
    picture, thing = scene(1), scene(5)[40:70, 40:80]
    generator, frames, raw = torch.Generator().manual_seed(0), [], []
    for t in range(10):
        frame = view(picture, 5 * t, 20).copy()
        frame[50:80, 60 + 2 * t : 100 + 2 * t] = thing
        frames.append(frame)
        strokes = 0.08 * torch.randn(3, HEIGHT, WIDTH, generator=generator)
        raw.append((torch.from_numpy(frame).movedim(-1, 0) / 255 + strokes).clamp(0, 1))
    flows = [np.tile(np.float32((-5, 0)), (HEIGHT, WIDTH, 1))] * 9
    left = {}
    for kind in ("rgb", "paint"):
        steady = TemporalFilter(kind)
        shown = [steady.step(*both).movedim(0, -1).numpy() for both in zip(frames, raw, strict=True)]
        left[kind] = metrics.warping_error(shown, flows)
    before = metrics.warping_error([layer.movedim(0, -1).numpy() for layer in raw], flows)
    assert left["paint"] < 0.8 * left["rgb"] < 0.8 * before


def test_a_flash_does_not_lose_the_colours():
    picture = scene(1)
    frames = [view(picture, 2 * t, 20) for t in range(8)]
    frames[4] = np.full_like(frames[4], 255)
    steady = TemporalFilter("chroma")
    shown = []
    for t, frame in enumerate(frames):
        motion = steady.track(frame)
        assert motion.resumed == (t == 5)
        shown.append(steady.blend(motion, torch.full((2, 36, 48), 10.0 if t < 4 else 40.0)))
    assert (shown[4] == 40).all()
    assert shown[5].median() < 20  # the colour from before the flash goes on


def test_repeats_cost_nothing():
    frame = view(scene(1))
    steady = TemporalFilter("chroma")
    first = steady.step(frame, torch.ones(2, 8, 8))
    motion = steady.track(frame.copy())
    assert motion == Motion(repeat=True)
    assert steady.blend(motion, torch.zeros(2, 8, 8)) is first


@pytest.mark.parametrize("workers", [1, 3])
def test_tracking_ahead_tells_the_same(workers):
    frames = [view(scene(1), 2 * t) for t in range(5)]
    frames += [frames[-1].copy(), np.full_like(frames[0], 255), view(scene(1), 12), view(scene(9))]
    ahead = TemporalFilter("chroma").track_ahead(iter(frames), lambda frame: frame, workers)
    one_by_one = TemporalFilter("chroma")
    for frame, (same, motion) in zip(frames, ahead, strict=True):
        expected = one_by_one.track(frame)
        assert same is frame
        assert (motion.repeat, motion.cut, motion.resumed) == (
            expected.repeat,
            expected.cut,
            expected.resumed,
        )
        assert (motion.flow is None) == (expected.flow is None)
        if motion.flow is not None:
            assert np.array_equal(motion.flow, expected.flow) and np.array_equal(motion.trust, expected.trust)


def test_strength_zero_is_the_net_alone_and_strength_one_still_listens_to_it():
    picture = scene(1)
    off = TemporalFilter("chroma", TemporalOptions(strength=0))
    full = TemporalFilter("chroma", TemporalOptions(strength=1))
    for t in range(120):
        frame = view(picture, t % 3, 10)
        layer = torch.full((2, 36, 48), 0.0 if t == 0 else 10.0)
        assert torch.equal(off.step(frame, layer), layer)
        shown = full.step(frame, layer)
    assert 8.5 < shown.mean() < 10  # at least 2 % of each frame is new


@pytest.mark.parametrize("kind", ["chroma", "rgb"])
def test_a_static_clip_does_not_drift(kind):
    frame, rng = view(scene(1)), np.random.default_rng(0)
    layer = true_chroma(3, 72, 96)
    steady = TemporalFilter(kind)
    for _ in range(200):
        noisy = np.clip(frame + rng.normal(0, 2, frame.shape), 0, 255).astype(np.uint8)
        shown = steady.step(noisy, layer)
    assert (shown.mean((1, 2)) - layer.mean((1, 2))).abs().max() < 0.1
    assert abs(float(shown.std() / layer.std()) - 1) < 0.02


def test_constant_chroma_stays_exactly_what_it_is():
    picture, layer = scene(1), torch.tensor([12.0, -7.0])[:, None, None].expand(2, 36, 48)
    steady = TemporalFilter("chroma")
    for t in range(10):
        shown = steady.step(view(picture, 3 * t), layer)
    assert torch.allclose(shown, layer, atol=1e-4)


def test_detail_of_the_past_is_held_within_the_present():
    picture = scene(1)
    steady = TemporalFilter("detail", TemporalOptions(strength=1.0))
    ghost = torch.zeros(3, 288, 384)
    ghost[:, 100:140, 100:140] = 1.0
    steady.step(view(picture), ghost)
    shown = steady.step(view(picture, 1), torch.zeros(3, 288, 384))
    assert shown.abs().max() == 0
    noise = torch.randn(3, 288, 384, generator=torch.Generator().manual_seed(1)) * 0.05
    steadier = steady.step(view(picture, 2), noise)
    assert torch.isfinite(steadier).all() and steadier.std() < noise.std()


def test_upscaled_film_gains_by_the_frames_before_and_keeps_what_the_source_shows():
    """Every frame is shown every other pixel of the scene, and moves by odd numbers of them."""
    picture, count = scene(1, 320, 640), 10
    steady, before, after, truth = TemporalFilter("detail", layer_scale=2), [], [], []
    for t in range(count):
        large = np.ascontiguousarray(picture[20 + t : 20 + t + 2 * 72, 3 * t : 3 * t + 2 * 96])
        frame = cv2.resize(large, (96, 72), interpolation=cv2.INTER_AREA)
        layer = F.interpolate(to_tensor(frame[None]), scale_factor=2, mode="bicubic").clamp(0, 1)[0]
        noise = torch.randn(1, 72, 96, generator=torch.Generator().manual_seed(t)) * 0.06
        noise = noise.repeat_interleave(2, 1).repeat_interleave(2, 2)
        noise[:, ::2] *= -1  # nothing that would be seen at the source's size
        layer = layer + noise
        shown = steady.step(frame, layer)
        small = [F.avg_pool2d(x, 2) for x in (layer, shown)]
        assert (small[0] - small[1]).abs().mean() < 0.006
        before.append(layer.movedim(0, -1).numpy())
        after.append(shown.movedim(0, -1).numpy())
        truth.append(large)
    motion = np.tile(np.float32((-3, -1)), (144, 192, 1))
    flows = [motion] * (count - 1)
    assert metrics.warping_error(after, flows) < 0.4 * metrics.warping_error(before, flows)
    gain = [metrics.psnr(b, c) - metrics.psnr(a, c) for a, b, c in zip(before, after, truth, strict=True)]
    assert gain[0] == 0 and min(gain[4:]) > 2


@pytest.mark.parametrize("kind", ["chroma", "detail", "rgb", "paint"])
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 9), (1, 40), (61, 35)])
@pytest.mark.parametrize("method", optical.METHODS)
def test_any_size(kind, size, method):
    rng = np.random.default_rng(0)
    steady = TemporalFilter(kind, TemporalOptions(flow=method))
    for _ in range(3):
        frame = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        shown = steady.step(frame, torch.rand(2, size[0] * 2 + 1, size[1] + 2))
        assert shown.shape == (2, size[0] * 2 + 1, size[1] + 2) and torch.isfinite(shown).all()


@pytest.mark.parametrize(
    "options", [{"mode": "sideways"}, {"strength": 1.5}, {"strength": -0.1}, {"flow": "x"}]
)
def test_options_are_checked(options):
    with pytest.raises(ValueError):
        TemporalOptions(**options)
