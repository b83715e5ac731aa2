"""The recipes on a few small photographs: they learn, resume bit for bit, and save what the commands use."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gantool.errors import UsageError
from gantool.loading import load_net, read_state, row_of
from gantool.recipes import colorize, upscale
from gantool.training import TrainRequest

RECIPES = {"colorize": colorize, "upscale": upscale}
SMALL = {
    "upscale": {"scale": "2", "width": "8", "depth": "2", "batch": "2", "patch": "16", "holdout": "2"},
    "colorize": {"batch": "2", "crop": "32", "holdout": "2"},
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Twenty smooth colourful pictures of 72 px, sky above and ground below."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(20):
        image = cv2.resize(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8), (72, 72))
        image[:30, :, 0] = np.maximum(image[:30, :, 0], 180)
        cv2.imwrite(str(folder / f"{number:02d}.png"), image)
    return folder


def run(task, photos, out, **values):
    values.setdefault("settings", SMALL[task])
    values.setdefault("precision", "fp32")
    return RECIPES[task].train(TrainRequest(task, (photos,), out, device="cpu", **values))


@pytest.mark.parametrize("task", RECIPES)
def test_resumed_run_equals_unbroken_one_bit_for_bit(task, photos, tmp_path):
    whole = run(task, photos, tmp_path / "whole", steps=6, seed=3)
    run(task, photos, tmp_path / "parts", steps=6, seed=3, stop_after=2)
    run(task, photos, tmp_path / "parts", stop_after=1, resume=tmp_path / "parts", settings={})
    parts = run(task, photos, tmp_path / "parts", resume=tmp_path / "parts", settings={})
    assert _same_tensors(whole, parts)
    a = torch.load(tmp_path / "whole/last.ckpt", weights_only=True)
    b = torch.load(tmp_path / "parts/last.ckpt", weights_only=True)
    assert a["step"] == b["step"] == 6
    for part in ("net", "ema"):
        assert all(torch.equal(a[part][k], b[part][k]) for k in a[part])
    moments = zip(a["optimizer"]["state"].values(), b["optimizer"]["state"].values(), strict=True)
    assert all(torch.equal(x["exp_avg"], y["exp_avg"]) for x, y in moments)


def _same_tensors(one: Path, other: Path) -> bool:
    a, b = read_state(one)[0], read_state(other)[0]
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("task", RECIPES)
def test_run_folder_and_saved_model(task, photos, tmp_path):
    path = run(task, photos, tmp_path / "My Run", steps=4, sample_every=2)
    folder = tmp_path / "My Run"
    assert path == folder / "model.safetensors"
    assert {p.name for p in folder.iterdir()} == {
        "config.json",
        "log.jsonl",
        "last.ckpt",
        "samples",
        "model.safetensors",
        "best.safetensors",
        "curves.png",
        "events",
    }
    assert [p.name for p in sorted((folder / "samples").iterdir())] == ["0000002.png", "0000004.png"]
    sheet = cv2.imread(str(folder / "samples/0000004.png"))
    assert sheet is not None and sheet.std() > 5
    scores = [json.loads(x) for x in (folder / "log.jsonl").read_text().splitlines()]
    assert any("psnr" in x for x in scores)
    row = row_of(path)
    assert row is not None and row.task == task and row.name == "my-run"
    net = load_net(row, path, torch.device("cpu"))
    x = torch.rand(1, 1 if task == "colorize" else 3, 32, 32)
    assert torch.isfinite(net(x)).all()


def test_upscaler_learns(photos, tmp_path):
    settings = SMALL["upscale"] | {"lr": "5e-3", "batch": "4", "ema": "0.9"}
    run("upscale", photos, tmp_path / "run", steps=60, settings=settings, sample_every=30)
    lines = [json.loads(x) for x in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    losses = [x["l1"] for x in lines if "l1" in x]
    assert losses[-1] < 0.5 * losses[0]


def test_upscaler_learns_texture(photos, tmp_path):
    settings = SMALL["upscale"] | {"patch": "16", "texture": "0.5"}
    run("upscale", photos, tmp_path / "run", steps=20, settings=settings)
    lines = [json.loads(x) for x in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    found = [x["texture"] for x in lines if "texture" in x]
    assert found and all(0 < value < 1 for value in found)
    with pytest.raises(UsageError, match="makes pictures of 16 px") as caught:
        run("upscale", photos, tmp_path / "small", steps=4, settings=settings | {"patch": "8"})
    assert caught.value.remedy == "Use --set patch=14"


def test_colorizer_learns_the_sky(photos, tmp_path):
    settings = SMALL["colorize"] | {"batch": "4", "old": "0", "ema": "0.9"}
    run("colorize", photos, tmp_path / "run", steps=60, settings=settings, sample_every=60)
    last = [json.loads(x) for x in (tmp_path / "run/log.jsonl").read_text().splitlines()][-1]
    assert last["psnr"] > last["psnr_gray"] + 1


def test_upscaler_starts_from_another_scale(photos, tmp_path):
    first = run("upscale", photos, tmp_path / "x2", steps=2)
    said: list[str] = []
    settings = SMALL["upscale"] | {"scale": "3", "init": str(first)}
    run("upscale", photos, tmp_path / "x3", steps=2, settings=settings, say=said.append)
    assert any("9 of 11 tensors taken" in line for line in said)


@pytest.mark.parametrize("schedule", ["gan", "nogan"])
def test_adversarial_schedules_resume_bit_for_bit(schedule, photos, tmp_path):
    settings = SMALL["colorize"] | {"schedule": schedule, "ndf": "4", "tv": "0.1", "percept": "0.1"}
    settings |= {"style": "1", "pretrain": "0.34", "judging": "0.34"}
    run("colorize", photos, tmp_path / "whole", steps=6, settings=settings, sample_every=6)
    run("colorize", photos, tmp_path / "parts", steps=6, settings=settings, stop_after=3, sample_every=6)
    run("colorize", photos, tmp_path / "parts", resume=tmp_path / "parts", settings={}, sample_every=6)
    a = torch.load(tmp_path / "whole/last.ckpt", weights_only=True)
    b = torch.load(tmp_path / "parts/last.ckpt", weights_only=True)
    for part in ("net", "ema", "critic"):
        assert all(torch.equal(a[part][k], b[part][k]) for k in a[part])
    fresh = torch.load(tmp_path / "whole/last.ckpt", weights_only=True)["critic"]
    assert all(torch.isfinite(v).all() for v in fresh.values())
    assert (tmp_path / "whole/snapshots").exists() == (schedule == "nogan")


def test_a_perceptual_net_without_a_loss_is_refused(photos, tmp_path):
    settings = SMALL["colorize"] | {"eye": "builtin"}
    with pytest.raises(UsageError, match="eye=builtin changes nothing: percept and style are 0"):
        run("colorize", photos, tmp_path / "a", steps=1, settings=settings)
    assert run("colorize", photos, tmp_path / "b", steps=1, settings=settings | {"style": "1"}).is_file()


def test_nogan_plays_in_three_turns():
    config = colorize.Config(schedule="nogan", pretrain=0.5, judging=0.2)
    turns = [colorize.phase_of(step, 10, config) for step in range(10)]
    assert turns == ["pixels"] * 5 + ["critic"] * 2 + ["both"] * 3
    assert colorize.phase_of(0, 10, colorize.Config(schedule="gan")) == "both"
    assert colorize.phase_of(9, 10, colorize.Config()) == "pixels"


def test_the_critic_of_colours_answers_for_32_by_32_places():
    from gantool.models.pix2pix import NLayerDiscriminator

    assert NLayerDiscriminator(3, 4, norm="none", head=3)(torch.zeros(1, 3, 256, 256)).shape[-2:] == (32, 32)


def test_cutmix_pastes_the_same_rectangle_everywhere():
    rng = np.random.default_rng(0)
    light = torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 1, 8, 8)
    mixed, twin = colorize.cutmix([light, light * 10], 1.0, rng)
    assert torch.equal(mixed * 10, twin) and (mixed != light).any()
    for i in range(4):
        assert set(mixed[i].unique().tolist()) <= {float(i), float((i + 1) % 4)}
    assert torch.equal(colorize.cutmix([light], 0.0, rng)[0], light)


def test_chroma_loss_weighs_saturated_pixels_more():
    ab = torch.zeros(1, 2, 1, 2)
    ab[0, :, 0, 1] = 40.0
    gray_miss, color_miss = ab.clone(), ab.clone()
    gray_miss[0, :, 0, 0] += 10
    color_miss[0, :, 0, 1] += 10
    plain = colorize.chroma_loss(gray_miss, ab, 0), colorize.chroma_loss(color_miss, ab, 0)
    assert plain[0] == pytest.approx(float(plain[1]))
    assert colorize.chroma_loss(color_miss, ab, 1) > colorize.chroma_loss(gray_miss, ab, 1)
