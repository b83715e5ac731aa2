"""All recipes: sizes, seeds, kinds of arrays; and what is particular to each of those that shrink."""

from __future__ import annotations

import dataclasses
import pickle

import cv2
import numpy as np
import pytest
from PIL import Image

from gantool.degrade import RECIPES, Recipe, recipe, settled, spoiler
from gantool.degrade.real_esrgan import sharpened
from gantool.errors import InputError, UsageError
from gantool.ops.resize import matlab_resize

NAMES = tuple(RECIPES)
RANDOM = tuple(name for name in NAMES if name != "bicubic")


def scene(height=64, width=88):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x // 8 + y // 8) % 2 * 200], -1).astype(np.uint8)


def made(name, scale=None, **parameters) -> Recipe:
    found = recipe(name, scale, **parameters)
    if name == "realsr":
        patch = np.random.default_rng(0).normal(100, 3, (32, 32, 3)).astype(np.uint8)
        return found.with_noise([patch])  # type: ignore[attr-defined]
    return found


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_recipes_are_those_promised():
    assert NAMES == ("bicubic", "bsrgan", "real-esrgan", "realsr", "old-film")
    assert all(kind.summary and kind.__doc__ for kind in RECIPES.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_same_generator_gives_the_same_picture(name):
    spoil, image = made(name), scene()
    before = image.copy()
    first = spoil.apply(image, rng(7))
    np.testing.assert_array_equal(first, spoil.apply(image, rng(7)))
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(first, pickle.loads(pickle.dumps(spoil)).apply(image, rng(7)))


@pytest.mark.parametrize("name", RANDOM)
def test_other_seeds_give_other_pictures(name):
    spoil, image = made(name), scene()
    assert (spoil.apply(image, rng(7)) != spoil.apply(image, rng(8))).any()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_depends_on_or_changes_the_global_generator(name):
    spoil = made(name)
    np.random.seed(1)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = spoil.apply(scene(), rng(7))
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(first, spoil.apply(scene(), rng(7)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(4, 4), (5, 7), (33, 18), (97, 61), (9, 130)])
def test_any_size(name, size):
    spoil = made(name)
    for seed in range(6):
        low, target = spoil.pair(scene(*size), rng(seed))
        assert low.dtype == target.dtype == np.uint8
        assert low.shape == (size[0] // spoil.scale, size[1] // spoil.scale, 3)
        assert target.shape == (low.shape[0] * spoil.scale, low.shape[1] * spoil.scale, 3)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "old-film"])
@pytest.mark.parametrize("scale", [1, 2, 3, 8])
def test_any_scale(name, scale):
    for seed in range(4):
        assert made(name, scale).apply(scene(48, 72), rng(seed)).shape == (48 // scale, 72 // scale, 3)


@pytest.mark.parametrize("name", NAMES)
def test_float_pictures_come_back_as_floats(name):
    spoil, image = made(name), scene()
    low, target = spoil.pair(image.astype(np.float32) / 255, rng(3))
    assert low.dtype == target.dtype == np.float32 and low.max() <= 1
    bytes_low, bytes_target = spoil.pair(image, rng(3))
    np.testing.assert_allclose(low * 255, bytes_low, atol=1e-3)
    np.testing.assert_allclose(target * 255, bytes_target, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_apply_and_target_are_the_two_halves_of_a_pair(name):
    spoil, image = made(name), scene()
    low, target = spoil.pair(image, rng(3))
    np.testing.assert_array_equal(low, spoil.apply(image, rng(3)))
    np.testing.assert_array_equal(target, spoil.target(image))


@pytest.mark.parametrize("name", NAMES)
def test_stages_are_a_pair_with_the_tone_between(name):
    spoil, image = made(name), scene()
    bad, good = spoil.pair(image, rng(3))
    low, faded, target = spoil.stages(image, rng(3))
    assert (low == bad).all() and (target == good).all() and faded.shape == good.shape
    assert (faded == good).all() == (name != "old-film")
    for ours, same in zip(spoil.stages(image / np.float32(255), rng(3)), (low, faded, target), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours * 255, same, atol=1e-3)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.uint16),
        np.zeros((3, 8, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(image):
    with pytest.raises(ValueError, match=r"picture is|less than 4 pixels"):
        recipe("bicubic").apply(image, rng())


@pytest.mark.parametrize("name", NAMES)
def test_degraded_pictures_still_show_the_scene(name):
    """Worse than the target, but far nearer to it than a picture that shows something else."""
    spoil, image = made(name), cv2.resize(scene(), (352, 256), interpolation=cv2.INTER_CUBIC)
    for seed in range(8):
        low, target = spoil.pair(image, rng(seed))
        small = cv2.resize(target, low.shape[1::-1], interpolation=cv2.INTER_AREA).astype(float)
        own = np.corrcoef(low.ravel(), small.ravel())[0, 1]
        other = np.corrcoef(low.ravel(), small[::-1, ::-1].ravel())[0, 1]
        assert own > 0.6 and own > other + 0.2


# ---- names and parameters


def test_an_unknown_name_brings_the_nearest():
    with pytest.raises(UsageError, match=r"Did you mean real-esrgan\?"):
        recipe("realesrgan")


def test_parameters_are_checked():
    assert recipe("old-film", preset="heavy") == RECIPES["old-film"](preset="heavy")  # type: ignore[call-arg]
    assert recipe("bicubic", 2).scale == recipe("bicubic", scale=2).scale == 2
    with pytest.raises(UsageError, match="unknown parameter"):
        recipe("bicubic", preset="heavy")
    with pytest.raises(UsageError, match="unknown preset 'awful'"):
        recipe("old-film", preset="awful")
    with pytest.raises(UsageError, match="at least 1"):
        recipe("bicubic", 0)
    with pytest.raises(UsageError, match="keeps the size"):
        recipe("old-film", 4)
    assert recipe("old-film").scale == recipe("old-film", 1).scale == 1


def test_recipes_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe("bicubic").scale = 2  # type: ignore[misc]


# ---- bicubic, Real-ESRGAN, BSRGAN


def test_bicubic_is_matlabs():
    image = scene(50, 71)
    np.testing.assert_array_equal(
        recipe("bicubic", 3).apply(image, rng()), matlab_resize(image[:48, :69], 16, 23)
    )


# Old film has dust and stains by nature.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "old-film"])
def test_a_plain_picture_stays_plain_without_noise(name, monkeypatch):
    """Kernels sum to 1, resizes and borders invent nothing."""
    from gantool.degrade import bsrgan, noise, real_esrgan

    monkeypatch.setattr(noise, "camera", lambda image, rng: image)
    monkeypatch.setattr(real_esrgan.RealESRGAN, "_noisy", lambda self, image, *_: image)
    monkeypatch.setattr(bsrgan.BSRGAN, "_noise", lambda self, shape, rng: np.float32(0))
    image = np.broadcast_to(np.uint8([90, 120, 150]), (61, 75, 3)).copy()
    spoil = recipe(name).with_noise([]) if name == "realsr" else recipe(name)  # type: ignore[attr-defined]
    for seed in range(10):
        low = spoil.apply(image, rng(seed))
        assert np.ptp(low.astype(int), axis=(0, 1)).max() <= 1
        np.testing.assert_allclose(low.reshape(-1, 3).mean(0), [90, 120, 150], atol=5)  # three JPEGs


def test_the_target_of_real_esrgan_is_sharpened():
    image = cv2.GaussianBlur(scene(120, 120), (0, 0), 2)
    target = recipe("real-esrgan").target(image)
    np.testing.assert_array_equal(target, sharpened(image))
    assert cv2.Laplacian(target, cv2.CV_32F).std() > 1.1 * cv2.Laplacian(image, cv2.CV_32F).std()
    np.testing.assert_array_equal(recipe("real-esrgan", sharpen=False).target(image), image)
    plain = np.full((60, 60, 3), 99, np.uint8)
    np.testing.assert_array_equal(sharpened(plain), plain)


@pytest.mark.parametrize("name", ["bsrgan", "real-esrgan"])
def test_some_are_much_worse_than_others(name):
    """The point of random orders and ranges: the error of one picture spreads widely over seeds."""
    image = cv2.resize(scene(), (256, 256), interpolation=cv2.INTER_CUBIC)
    errors = []
    for seed in range(30):
        low, target = made(name).pair(image, rng(seed))
        small = cv2.resize(target, low.shape[1::-1], interpolation=cv2.INTER_AREA)
        errors.append(np.abs(low.astype(float) - small).mean())
    assert max(errors) > 2 * min(errors)


# ---- RealSR


def photos(folder, count=2):
    for number in range(count):
        noisy = np.random.default_rng(number).normal(110, 3, (300, 280, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{number}.png")


def test_realsr_takes_noise_from_a_folder(tmp_path):
    photos(tmp_path)
    (tmp_path / "notes.txt").write_text("no photo")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    spoil = recipe("realsr", noise_from=tmp_path)
    plain = np.full((128, 128, 3), 120, np.uint8)
    low = spoil.apply(plain, rng(1))
    assert len(spoil.patches) == 2  # type: ignore[attr-defined]
    assert low.std() == pytest.approx(3, rel=0.1)


def test_realsr_without_noise_says_so(tmp_path):
    with pytest.raises(InputError, match="noise_from=FOLDER"):
        recipe("realsr").apply(scene(), rng())
    with pytest.raises(InputError, match="no such folder"):
        recipe("realsr", noise_from=tmp_path / "gone").apply(scene(), rng())
    Image.fromarray(cv2.resize(scene(), (300, 300))).save(tmp_path / "busy.png")
    with pytest.raises(InputError, match="smooth part of 256 x 256"):
        recipe("realsr", noise_from=tmp_path).apply(scene(), rng())


def test_realsr_takes_the_noise_of_what_it_spoils_unless_told_otherwise(tmp_path):
    photos(tmp_path)
    given = [np.random.default_rng(9).normal(90, 2, (256, 256, 3)).clip(0, 255).astype(np.uint8)]
    assert [np.array_equal(*one) for one in zip(recipe("realsr").ready(given).patches, given, strict=True)]  # type: ignore[attr-defined]
    named = recipe("realsr", noise_from=tmp_path).ready(iter(()))
    assert len(named.patches) == 2  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="smooth part"):
        recipe("realsr").ready([])
    with pytest.raises(InputError, match="no such folder"):
        recipe("realsr", noise_from=tmp_path / "gone").ready(given)
    assert recipe("bsrgan").ready(iter(given)) == recipe("bsrgan")


def test_a_recipe_is_written_with_its_parameters(tmp_path):
    written = f"realsr patch=128 'noise_from={tmp_path / 'my phone'}' min-mean=50"
    found = recipe(written, scale=2)
    assert (found.patch, found.min_mean, found.scale) == (128, 50, 2)  # type: ignore[attr-defined]
    assert found.noise_from == str(tmp_path / "my phone")  # type: ignore[attr-defined]
    assert spoiler("old-film preset=heavy", preset="light") == spoiler("old-film", preset="heavy")
    for wrong, what in {
        "realsr pach=128": "patch",
        "realsr patch": "KEY=VALUE",
        "realsr 'patch=128": "cannot read the recipe",
        "real patch=128": "unknown recipe 'real'",
        "": "unknown recipe ''",
    }.items():
        with pytest.raises(UsageError) as caught:
            recipe(wrong, scale=2)
        assert what in f"{caught.value} {caught.value.remedy}"
    with pytest.raises(UsageError, match="the scale is 2 here"):
        recipe("realsr scale=4", scale=2)
    with pytest.raises(UsageError, match="spoils nothing"):
        spoiler("bicubic scale=1")


def test_files_of_a_written_recipe_stay_what_they_are_wherever_a_run_goes_on(tmp_path, monkeypatch):
    (tmp_path / "my phone").mkdir()
    monkeypatch.chdir(tmp_path)
    there = settled("realsr patch=128 'noise_from=my phone'")
    assert recipe(there).noise_from == str(tmp_path / "my phone")  # type: ignore[attr-defined]
    assert settled("realsr noise_from=gone") == "realsr noise_from=gone"
    assert settled("realsr 'noise_from=my phone'", tmp_path / "runs") == "realsr 'noise_from=my phone'"
    for text in ("gray", "bicubic", "realsr 'patch", "no such"):
        assert settled(text) == text


def test_realsr_takes_kernels_from_files(tmp_path):
    """A point as kernel leaves nothing but the decimation."""
    point = np.zeros((5, 5))
    point[1, 2] = 3.0
    np.save(tmp_path / "point.npy", point)
    spoil = recipe("realsr", 3, kernels_from=tmp_path).with_noise([])  # type: ignore[attr-defined]
    image = scene(30, 45)
    np.testing.assert_array_equal(spoil.apply(image, rng()), image[1::3, 1::3])
    named = recipe("realsr", 3, kernels_from=tmp_path / "point.npy").with_noise([])  # type: ignore[attr-defined]
    np.testing.assert_array_equal(named.apply(image, rng()), image[1::3, 1::3])


def test_realsr_refuses_what_is_no_kernel(tmp_path):
    spoil = recipe("realsr", kernels_from=tmp_path).with_noise([])  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"no \.npy kernels"):
        spoil.apply(scene(), rng())
    np.save(tmp_path / "line.npy", np.ones(5))
    with pytest.raises(InputError, match="not a blur kernel"):
        spoil.apply(scene(), rng())


def test_realsr_cleans_bad_photos_first():
    image = scene(64, 88)
    spoil = recipe("realsr", 4, clean=2).with_noise([])  # type: ignore[attr-defined]
    low, target = spoil.pair(image, rng())
    np.testing.assert_array_equal(target, matlab_resize(image, 32, 44))
    assert low.shape == (8, 11, 3) and spoil.least_side == 8


@pytest.mark.parametrize("name", RANDOM)
def test_what_spoils_pictures_of_one_size_leaves_none_as_it_was(name):
    spoil, image = spoiler(name), scene()
    if name == "realsr":
        spoil = spoil.with_noise([])  # type: ignore[attr-defined]
    bad, good = spoil.pair(image, rng())
    assert bad.shape == good.shape and np.abs(bad.astype(int) - good).mean() > 1


def test_bicubic_spoils_nothing_where_pictures_keep_their_size():
    with pytest.raises(UsageError, match="bicubic spoils nothing where pictures keep their size"):
        spoiler("bicubic")
