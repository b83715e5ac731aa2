"""Old film: grey, aligned, damaged as the preset says; over time scratches stay and dust does not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from gantool.degrade import damage, recipe
from gantool.degrade.film import PRESETS, Preset, Reel


def rng(seed=0):
    return np.random.default_rng(seed)


def scene(height=160, width=200):
    y, x = np.mgrid[:height, :width]
    wave = 110 + 60 * np.sin(x / 17) + 40 * np.cos(y / 23)
    return np.stack([wave, wave * 0.8, 255 - wave], -1).astype(np.uint8)


def calm(**changes) -> Preset:
    """A preset that does nothing but what is asked for."""
    nothing = dict.fromkeys(Preset.__dataclass_fields__, (0.0, 0.0))
    nothing |= {"blur": (0.2, 0.2), "white": (1.0, 1.0), "gamma": (1.0, 1.0), "grain_size": (0.3, 0.3)}
    nothing |= {"quality": (100, 100)}
    return Preset(**(nothing | changes))


def clip(preset: Preset, frames: int, gray: np.ndarray, seed=0) -> np.ndarray:
    reel = Reel(preset, *gray.shape, rng(seed))
    return np.stack([reel.frame(gray, moving=True) for _ in range(frames)])


def test_it_is_grey_and_so_is_the_target():
    low, target = recipe("old-film").pair(scene(), rng())
    for image in (low, target):
        assert image.shape == scene().shape
        assert (image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all()
    np.testing.assert_array_equal(target[..., 0], cv2.cvtColor(scene(), cv2.COLOR_RGB2GRAY))


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def test_heavier_presets_are_worse():
    means = []
    for preset in PRESETS:
        spoil = recipe("old-film", preset=preset)
        pairs = [spoil.pair(scene(), rng(seed)) for seed in range(30)]
        means.append(np.mean([psnr(*pair) for pair in pairs]))
    assert means[0] > means[1] + 2 and means[1] > means[2] + 2
    assert 17 < means[1] < 26


def test_mixed_draws_a_preset_for_each_picture():
    mixed = recipe("old-film", preset="mixed")
    found = {mixed.reel(32, 32, rng(seed)).quality // 30 for seed in range(40)}  # type: ignore[attr-defined]
    assert len(found) >= 3


@pytest.mark.parametrize("seed", range(12))
def test_a_photo_lies_exactly_on_its_target(seed):
    """A net cannot learn from pairs that are out of place: the best shift is none."""
    busy = cv2.GaussianBlur(rng(99).integers(0, 256, (160, 160, 3), dtype=np.uint8), (0, 0), 3)
    busy = cv2.normalize(busy, None, 0, 255, cv2.NORM_MINMAX)
    low, target = recipe("old-film", preset="light").pair(busy, rng(seed))
    (right, down), _ = cv2.phaseCorrelate(target[..., 0].astype(np.float32), low[..., 0].astype(np.float32))
    assert abs(right) < 0.25 and abs(down) < 0.25


# ---- each kind of damage alone


def test_nothing_asked_for_is_nearly_nothing_done():
    gray = scene()[..., 0]
    assert np.abs(clip(calm(), 2, gray).astype(int) - gray).max() <= 8


@pytest.mark.parametrize(("strength", "size"), [(0.03, 0.3), (0.05, 0.8), (0.05, 1.2)])
def test_grain_is_as_strong_as_asked_whatever_its_size(strength, size):
    """In the mid-tones, before the scanner softens it."""
    reel = Reel(calm(grain=(strength, strength), grain_size=(size, size)), 240, 240, rng(1))
    grain = reel._grain(np.full((240, 240), 128, np.uint8))
    assert grain.std() == pytest.approx(strength, rel=0.05)
    dark = reel._grain(np.zeros((240, 240), np.uint8))
    assert dark.std() < 0.5 * strength
    neighbours = np.corrcoef(grain[:, 1:].ravel(), grain[:, :-1].ravel())[0, 1]
    assert neighbours > (0.1 if size > 0.5 else -0.05)


def test_fading_lifts_black_and_lowers_white():
    gray = np.zeros((64, 64), np.uint8)
    gray[:, 32:] = 255
    faded = clip(calm(black=(0.1, 0.1), white=(0.8, 0.8)), 1, gray)[0]
    assert faded[:, :28].mean() == pytest.approx(25.5, abs=1)
    assert faded[:, 36:].mean() == pytest.approx(204, abs=1)


def test_what_is_only_faded_has_no_damage():
    """Without grain, dirt, blur and JPEG the spoiled picture is the faded one; with them it is not."""
    gray = cv2.cvtColor(scene(), cv2.COLOR_RGB2GRAY)
    reel = Reel(
        calm(black=(0.1, 0.1), white=(0.8, 0.8), gamma=(1.2, 1.2), vignette=(0.2, 0.2)), *gray.shape, rng()
    )
    assert np.abs(reel.frame(gray) - 255 * reel.faded(gray)).max() <= 3
    low, faded, target = recipe("old-film", preset="heavy").stages(scene(), rng())
    assert np.abs(low.astype(float) - faded).mean() > 5
    assert np.ptp(faded.astype(float)) < 0.95 * np.ptp(target.astype(float))  # less contrast
    like = [np.corrcoef(picture.ravel(), target.ravel())[0, 1] for picture in (low, faded)]
    assert like[1] > 0.95 > like[0] + 0.05


def test_vignette_darkens_the_corners_only():
    gray = np.full((101, 101), 200, np.uint8)
    shaded = clip(calm(vignette=(0.3, 0.3)), 1, gray)[0].astype(int)
    assert abs(shaded[50, 50] - 200) <= 2
    assert shaded[1, 1] == pytest.approx(140, abs=6)


def test_scratches_stay_where_dust_does_not():
    gray = np.full((160, 240), 120, np.uint8)
    lines = clip(calm(scratches=(12.0, 12.0)), 3, gray, seed=3).astype(float)
    columns = np.abs(lines - 120).mean(1)  # how much of each column is scratched
    assert columns.max() > 8
    assert np.corrcoef(columns[0], columns[1])[0, 1] > 0.7
    specks = np.abs(clip(calm(dust=(60.0, 60.0)), 2, gray).astype(float) - 120)
    assert specks.max() > 60
    assert np.corrcoef(specks[0].ravel(), specks[1].ravel())[0, 1] < 0.2


def test_scratches_end_and_new_ones_come():
    kind = damage.ScratchKind(100, 200, 0.5)
    lines = damage.draw_scratches(40, kind, rng(0))
    first = {id(line) for line in lines}
    counts = []
    for frame in range(200):
        lines = damage.aged(lines, 40.0, kind, rng(frame + 1))
        counts.append(len(lines))
    assert not first & {id(line) for line in lines if line.life > 200}
    assert 20 < np.mean(counts[100:]) < 90  # bundles count once in the rate


def test_scratches_run_along_the_film():
    gray = np.full((200, 200), 120, np.uint8)
    changed = np.abs(clip(calm(scratches=(15.0, 15.0)), 1, gray, seed=5)[0].astype(float) - 120)
    assert changed.mean(0).std() > 2 * changed.mean(1).std()


def test_flicker_changes_the_light_from_frame_to_frame():
    gray = np.full((32, 32), 150, np.uint8)
    light = clip(calm(flicker=(0.05, 0.05)), 200, gray).mean((1, 2)) / 150
    assert light.std() == pytest.approx(0.05, rel=0.25)
    assert abs(light.mean() - 1) < 0.02
    assert np.corrcoef(light[1:], light[:-1])[0, 1] == pytest.approx(0.4, abs=0.2)


def test_weave_moves_the_picture_in_the_gate():
    gray = cv2.GaussianBlur(rng(8).integers(0, 256, (96, 96), dtype=np.uint8), (0, 0), 2)
    gray = cv2.normalize(gray, None, 0, 255, cv2.NORM_MINMAX)
    film = clip(calm(weave=(1.0, 1.0)), 60, gray).astype(np.float32)
    places = np.array([cv2.phaseCorrelate(gray.astype(np.float32), frame)[0] for frame in film])
    assert places[:, 1].std() == pytest.approx(1.0, rel=0.4)
    assert places[:, 0].std() == pytest.approx(0.6, rel=0.4)


def test_hairs_and_dust_stay_inside_the_picture():
    mask = np.zeros((40, 50), np.uint8)
    damage.draw_dust(mask, 200, rng(0), size=3)
    damage.draw_hairs(mask, 30, rng(0), size=3)
    assert mask.max() > 200
    empty = np.zeros((40, 50), np.uint8)
    damage.draw_dust(empty, 0, rng(0))
    damage.draw_hairs(empty, 0, rng(0))
    assert not empty.any()


def test_size_makes_everything_larger():
    small, large = (np.zeros((200, 200), np.uint8) for _ in range(2))
    damage.draw_dust(small, 20, rng(0))
    damage.draw_dust(large, 20, rng(0), size=4)
    assert (large > 50).sum() > 6 * (small > 50).sum()


# ---- clips


def test_a_clip_is_made_frame_by_frame():
    spoil = recipe("old-film")
    taken = []

    def frames():
        for number in range(4):
            taken.append(number)
            yield scene()

    made = spoil.apply_clip(frames(), rng(3))  # type: ignore[attr-defined]
    next(made)
    assert taken == [0]
    rest = list(made)
    assert len(rest) == 3 and all(frame.shape == scene().shape for frame in rest)


def test_a_clip_is_the_same_for_the_same_seed_and_takes_floats():
    spoil = recipe("old-film")
    film = np.stack([scene()] * 3)
    first = np.stack(list(spoil.apply_clip(film, rng(3))))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(first, np.stack(list(spoil.apply_clip(film, rng(3)))))  # type: ignore[attr-defined]
    assert (first[0] != first[1]).any() and first.dtype == np.uint8
    floats = np.stack(list(spoil.apply_clip(film.astype(np.float32) / 255, rng(3))))  # type: ignore[attr-defined]
    np.testing.assert_allclose(floats * 255, first, atol=1e-3)


def test_an_empty_clip_is_empty():
    assert list(recipe("old-film").apply_clip([], rng())) == []  # type: ignore[attr-defined]
