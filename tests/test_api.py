"""The Python API: arrays and PIL images in, the same kind out; videos; nothing heavy at import."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import cli_kit
import numpy as np
import pytest
from PIL import Image

import gantool
from gantool.errors import ExitCode, GantoolError, InputError, OutputError, UsageError, WeightsError


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Random small models by task."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "colorize": cli_kit.colorizer(folder / "colorize.safetensors"),
        "upscale": cli_kit.upscaler(folder / "upscale.safetensors"),
    }


@pytest.fixture(scope="module")
def pipelines(models):
    """Loaded small pipelines by task; the colorizer sees 32 px."""
    color = gantool.load("colorize", str(models["colorize"]), device="cpu", render_size=32)
    return {"colorize": color, "upscale": gantool.load("upscale", str(models["upscale"]), device="cpu")}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def run(code: str, **env: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_import_is_light():
    heavy = "{'torch', 'numpy', 'cv2', 'PIL', 'av', 'huggingface_hub', 'typer', 'rich'}"
    assert run(f"import sys, gantool; gantool.__version__; print({heavy} & set(sys.modules))") == "set()"


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="frontalise"):
        _ = gantool.frontalise  # type: ignore[attr-defined]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 3), (20, 30, 4)])
def test_arrays(pipelines, rng, shape, dtype):
    picture = rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    before = picture.copy()
    color = gantool.colorize(picture, pipeline=pipelines["colorize"])
    assert color.shape == (20, 30, 4 if shape[2:] == (4,) else 3) and color.dtype == dtype
    large = gantool.upscale(picture, pipeline=pipelines["upscale"])
    assert large.shape == (40, 60, *shape[2:]) and large.dtype == dtype
    assert (picture == before).all()


def test_views_and_foreign_byte_order(pipelines, rng):
    picture = rng.integers(0, 65536, (20, 30, 3), np.uint16)
    plain = gantool.upscale(picture, pipeline=pipelines["upscale"])
    swapped = gantool.upscale(picture.astype(">u2"), pipeline=pipelines["upscale"])
    turned = gantool.upscale(picture[::-1, ::-1][::-1, ::-1], pipeline=pipelines["upscale"])
    picture.setflags(write=False)
    frozen = gantool.upscale(picture, pipeline=pipelines["upscale"])
    assert (plain == swapped).all() and (plain == turned).all() and (plain == frozen).all()


MODES = {
    "1": ("RGB", "L"),
    "L": ("RGB", "L"),
    "LA": ("RGBA", "LA"),
    "La": ("RGBA", "LA"),
    "P": ("RGB", "RGB"),
    "PA": ("RGBA", "RGBA"),
    "RGB": ("RGB", "RGB"),
    "RGBA": ("RGBA", "RGBA"),
    "RGBa": ("RGBA", "RGBA"),
    "RGBX": ("RGB", "RGB"),
    "CMYK": ("RGB", "RGB"),
    "YCbCr": ("RGB", "RGB"),
    "HSV": ("RGB", "RGB"),
    "LAB": ("RGB", "RGB"),
    "I;16": ("RGB", "I;16"),
    "I;16B": ("RGB", "I;16"),
    "I": ("RGB", "I;16"),
}


def image_of(mode: str, rng: np.random.Generator) -> Image.Image:
    if mode.startswith("I"):
        values = rng.integers(0, 65536, (20, 30))
        if mode == "I":
            return Image.fromarray(values.astype(np.int32))
        return Image.frombytes(mode, (30, 20), values.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    base = Image.fromarray(rng.integers(0, 256, (20, 30, 4), np.uint8))
    steps = {"La": ("LA", "La"), "PA": ("P", "PA"), "LAB": ("RGB", "LAB"), "RGBa": ("RGBa",)}
    for step in steps.get(mode, ("RGB", mode) if mode not in ("LA", "RGBA") else (mode,)):
        if step == "LAB":
            from PIL import ImageCms

            profiles = [ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")]
            converted = ImageCms.profileToProfile(base, *profiles, outputMode="LAB")
            assert converted is not None
            base = converted
        else:
            base = base.convert(step)
    assert base.mode == mode
    return base


@pytest.mark.parametrize("mode", MODES)
def test_pil(pipelines, rng, mode):
    picture = image_of(mode, rng)
    before = picture.tobytes()
    color = gantool.colorize(picture, pipeline=pipelines["colorize"])
    large = gantool.upscale(picture, pipeline=pipelines["upscale"])
    assert (color.mode, large.mode) == MODES[mode]
    assert color.size == (30, 20) and large.size == (60, 40)
    assert picture.mode == mode and picture.tobytes() == before


def test_pil_equals_array(pipelines, rng):
    pixels = rng.integers(0, 256, (20, 30, 3), np.uint8)
    one = gantool.colorize(pixels, pipeline=pipelines["colorize"])
    other = gantool.colorize(Image.fromarray(pixels), pipeline=pipelines["colorize"])
    assert (one == np.asarray(other)).all()


def test_pil_file_upright_with_profile(pipelines, tmp_path, rng):
    """A photo as a phone stores it: turned by its EXIF block, with a colour profile."""
    from gantool.media.image import srgb_profile

    photo = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Camera"
    photo.save(tmp_path / "photo.png", exif=exif, icc_profile=srgb_profile())
    with Image.open(tmp_path / "photo.png") as opened:
        made = gantool.colorize(opened, pipeline=pipelines["colorize"])
    assert made.size == (20, 30)
    assert made.info["icc_profile"] == srgb_profile()
    made.save(tmp_path / "made.png", exif=made.info["exif"])
    with Image.open(tmp_path / "made.png") as again:
        assert again.getexif().get(0x0112, 1) == 1 and again.getexif()[0x010F] == "Camera"


def test_profile_becomes_srgb_before_colouring(pipelines, rng):
    """A wide profile is converted for colorize, which makes sRGB colours, and kept by upscale."""
    from gantool.media.icc import srgb_profile

    other = srgb_profile().replace("sRGB".encode("utf-16-be"), "some".encode("utf-16-be"))
    photo = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8))
    photo.info["icc_profile"] = other
    assert gantool.upscale(photo, pipeline=pipelines["upscale"]).info["icc_profile"] == other
    assert gantool.colorize(photo, pipeline=pipelines["colorize"]).info["icc_profile"] == srgb_profile()


def test_lightness_is_kept(pipelines, rng):
    """Every gamut-safe mid-grey keeps its lightness to the rounding of 8 bits."""
    import torch

    from gantool.ops.color import lightness

    def light(pixels):
        return lightness(torch.from_numpy(pixels).movedim(-1, 0)[None].float() / 255)

    gray = rng.integers(60, 190, (40, 48), np.uint8)
    color = gantool.colorize(gray, pipeline=pipelines["colorize"])
    assert float((light(color) - light(np.dstack([gray] * 3))).abs().mean()) < 0.3


def test_options(models, rng):
    picture = rng.integers(0, 256, (20, 30, 3), np.uint8)
    same = gantool.colorize(picture, model=str(models["colorize"]), strength=0, device="cpu")
    assert (same == picture).all()
    small = gantool.upscale(picture, 1.5, model=str(models["upscale"]), device="cpu")
    assert small.shape == (30, 45, 3)
    wide = gantool.upscale(picture, width=60, height=50, model=str(models["upscale"]), device="cpu")
    assert wide.shape == (50, 60, 3)


def test_style(tmp_path, rng):
    """A file, an array, a PIL image or several styles; the strength is the pipeline's."""
    from gantool.pipelines.style import Style

    net, one = cli_kit.styler(tmp_path / "any.safetensors"), cli_kit.johnson(tmp_path / "one.safetensors")
    photo, art = (rng.integers(0, 256, (20, 24, 3), np.uint8) for _ in range(2))
    Image.fromarray(art).save(tmp_path / "art.png")
    words: dict[str, Any] = {"model": str(net), "device": "cpu"}
    made = gantool.style(photo, tmp_path / "art.png", **words)
    assert made.shape == photo.shape and (made != photo).any()
    for like in (art, Image.fromarray(art), [Style(art)]):
        np.testing.assert_array_equal(gantool.style(photo, like, **words), made)
    np.testing.assert_array_equal(gantool.style(photo, art, strength=0, **words), photo)
    ready = gantool.load("style", styles=[Style(art)], strength=0.5, **words)
    np.testing.assert_array_equal(
        gantool.style(photo, pipeline=ready), gantool.style(photo, art, strength=0.5, **words)
    )
    with pytest.raises(UsageError, match="loaded already"):
        gantool.style(photo, art, pipeline=ready)
    with pytest.raises(UsageError, match="must be shown a style"):
        gantool.style(photo, **words)
    assert gantool.style(photo, model=str(one), device="cpu").shape == photo.shape
    film = cli_kit.film(tmp_path / "a.mp4", frames=2)
    report = gantool.run_video(film, tmp_path / "b.mp4", "style", styles=[Style(art)], strength=0.5, **words)
    assert report.frames == 2


def test_default_models(rng):
    """Without a word: the built-in models, four times as large."""
    picture = rng.integers(0, 256, (8, 10), np.uint8)
    assert gantool.upscale(picture, model="builtin", device="cpu").shape == (32, 40)
    assert gantool.upscale(picture, 2, model="builtin", device="cpu").shape == (16, 20)
    assert gantool.colorize(picture, model="builtin", device="cpu", render_size=32).shape == (8, 10, 3)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4), bool),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        Image.fromarray(np.zeros((4, 4), np.float32)),
        Image.fromarray(np.full((4, 4), 70_000, np.int32)),
        "photo.jpg",
        None,
    ],
    ids=str,
)
def test_refused_pictures(pipelines, picture):
    with pytest.raises(InputError) as caught:
        gantool.colorize(picture, pipeline=pipelines["colorize"])
    assert caught.value.remedy


def test_cut_off_pil_file(pipelines, tmp_path, rng):
    path = tmp_path / "photo.png"
    Image.fromarray(rng.integers(0, 256, (200, 200, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:50_000])
    with Image.open(path) as opened, pytest.raises(InputError):
        gantool.colorize(opened, pipeline=pipelines["colorize"])


def test_refused_requests(pipelines, models, rng, tmp_path):
    picture = rng.integers(0, 256, (8, 8, 3), np.uint8)
    with pytest.raises(UsageError, match="from 0 to 1"):
        gantool.colorize(picture, strength=1.5, pipeline=pipelines["colorize"])
    with pytest.raises(UsageError, match="colorize, translate, upscale"):
        gantool.load("colourise")
    with pytest.raises(UsageError, match=r"gantool\.load"):
        gantool.upscale(picture, 3, pipeline=pipelines["upscale"])
    with pytest.raises(UsageError, match="for upscale, not for colorize"):
        gantool.colorize(picture, pipeline=pipelines["upscale"])
    with pytest.raises(UsageError, match="for colorize, not for upscale"):
        gantool.upscale(picture, model=str(models["colorize"]))
    with pytest.raises(UsageError, match="no-such-model"):
        gantool.upscale(picture, model="no-such-model")
    with pytest.raises(WeightsError):
        gantool.upscale(picture, model=str(tmp_path / "missing.safetensors"))


def test_bare_compact_file(models, tmp_path, rng):
    """A file of another program, recognised by its layout."""
    from safetensors.torch import load_file, save_file

    bare = tmp_path / "bare.safetensors"
    save_file(load_file(models["upscale"]), bare)
    picture = rng.integers(0, 256, (8, 10, 3), np.uint8)
    made = gantool.upscale(picture, model=str(bare), device="cpu")
    assert (made == gantool.upscale(picture, model=str(models["upscale"]), device="cpu")).all()
    with pytest.raises(UsageError, match="for upscale, not for colorize"):
        gantool.colorize(picture, model=str(bare))


# ---- video


def test_run_video(pipelines, tmp_path):
    from gantool.media.video import probe, read_frames

    film = cli_kit.film(tmp_path / "film.mp4", frames=6, sound=True)
    target = tmp_path / "color.mp4"
    report = gantool.run_video(film, target, pipeline=pipelines["colorize"])
    made, source = probe(target), probe(film)
    assert report.frames == 6 == len(list(read_frames(target)))
    assert (made.width, made.height, made.fps, made.audio) == (48, 32, source.fps, 1)
    assert cli_kit.names(tmp_path) == ["color.mp4", "film.mp4"]


def test_run_video_options(models, tmp_path):
    from gantool.media.video import probe, read_frames

    film = cli_kit.film(tmp_path / "film.mp4", frames=10, sound=True)
    told: list[str] = []
    report = gantool.run_video(
        str(film),
        str(tmp_path / "large.mkv"),
        "upscale",
        temporal="online",
        flow="dis",
        start=0.08,
        duration=0.2,
        encoder={"audio": False, "preset": "ultrafast"},
        warn=told.append,
        model=str(models["upscale"]),
        scale=2,
        device="cpu",
    )
    made = probe(tmp_path / "large.mkv")
    assert report.frames == 5 == len(list(read_frames(tmp_path / "large.mkv")))
    assert (made.width, made.height, made.audio) == (96, 64, 0)
    assert tuple(told) == report.warnings


def test_run_video_of_numbered_pictures(pipelines, tmp_path):
    from fractions import Fraction

    from gantool.media.video import probe

    for number in range(1, 4):
        cli_kit.photo(tmp_path / f"in/{number}.png", 48, 32, gray=False)
    pattern = tmp_path / "in/%d.png"
    options = {"pipeline": pipelines["colorize"], "fps": Fraction(24000, 1001)}
    assert gantool.run_video(pattern, tmp_path / "film.mp4", **options).frames == 3
    assert probe(tmp_path / "film.mp4").fps == Fraction(24000, 1001)
    assert gantool.run_video(pattern, tmp_path / "%02d.png", **options).frames == 3
    assert (tmp_path / "03.png").exists()
    refused(OutputError, pattern, pattern, overwrite=True, **options)


def test_run_video_of_every_third_frame(pipelines, tmp_path, monkeypatch):
    from gantool.inference import Runner

    film, seen, predict = cli_kit.film(tmp_path / "film.mp4", frames=6), [], Runner.predict

    def noted(self, x, times, *more):
        seen.extend(round(25 * time) for time in times)
        return predict(self, x, times, *more)

    monkeypatch.setattr(Runner, "predict", noted)
    for task in ("colorize", "upscale"):
        seen.clear()
        report = gantool.run_video(film, tmp_path / f"{task}.mp4", every=3, pipeline=pipelines[task])
        assert report.frames == 6 and seen == [0, 3]
    for wrong in ({"every": 0}, {"every": 2, "temporal": "off"}):
        with pytest.raises(UsageError, match="every"):
            gantool.run_video(film, tmp_path / "no.mp4", pipeline=pipelines["colorize"], **wrong)


def test_run_video_temporal_defaults(pipelines, tmp_path):
    film = cli_kit.film(tmp_path / "film.mp4", frames=3)
    color = gantool.run_video(film, tmp_path / "a.mp4", pipeline=pipelines["colorize"])
    plain = gantool.run_video(film, tmp_path / "b.mp4", pipeline=pipelines["colorize"], temporal="off")
    large = gantool.run_video(film, tmp_path / "c.mp4", pipeline=pipelines["upscale"])
    assert color.stages["blend"] > 0
    assert plain.stages["blend"] == large.stages["blend"] == 0


def refused(kind: type[GantoolError], *words, **options) -> None:
    with pytest.raises(kind) as caught:
        gantool.run_video(*words, **options)
    assert caught.value.code in ExitCode and caught.value.code != ExitCode.BUG


def test_run_video_refusals(pipelines, tmp_path):
    """Each before the model is loaded (there is none of that name), and nothing is changed or left."""
    film = cli_kit.film(tmp_path / "film.mp4", frames=2)
    there = tmp_path / "there.mp4"
    there.write_bytes(b"precious")
    before = film.read_bytes()
    options = {"model": str(tmp_path / "none.safetensors")}
    refused(OutputError, film, there, **options)
    refused(OutputError, film, film, overwrite=True, **options)
    refused(OutputError, film, tmp_path / "missing" / "color.mp4", **options)
    refused(InputError, tmp_path / "none.mp4", tmp_path / "out.mp4", **options)
    refused(InputError, there, tmp_path / "out.mp4", **options)
    refused(UsageError, film, tmp_path / "out.mp4", temporal="on", **options)
    refused(UsageError, film, tmp_path / "out.mp4", flow="rafts", **options)
    refused(WeightsError, film, tmp_path / "out.mp4", **options)
    assert film.read_bytes() == before and there.read_bytes() == b"precious"
    assert cli_kit.names(tmp_path) == ["film.mp4", "there.mp4"]


def test_run_video_overwrites_when_told(pipelines, tmp_path):
    film = cli_kit.film(tmp_path / "film.mp4", frames=2)
    there = tmp_path / "there.mp4"
    there.write_bytes(b"old")
    assert gantool.run_video(film, there, overwrite=True, pipeline=pipelines["colorize"]).frames == 2
    assert there.stat().st_size > 100
