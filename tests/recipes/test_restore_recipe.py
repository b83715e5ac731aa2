"""The restore recipe on a few small photographs, and its net."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gantool.errors import InputError, UsageError
from gantool.loading import load_net, row_of
from gantool.models.restorer import RestoreUNet, ToneCurve
from gantool.recipes import restore
from gantool.training import TrainRequest

SMALL = {"width": "2", "blocks": "1", "crop": "32", "batch": "2", "holdout": "2"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(20):
        image = cv2.resize(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8), (64, 64))
        cv2.imwrite(str(folder / f"{number:02d}.png"), image)
    return folder


def run(photos, out, **values):
    values.setdefault("settings", SMALL)
    request = TrainRequest("restore", (photos,), out, device="cpu", precision="fp32", threads=1, **values)
    return restore.train(request)


def test_resumed_run_equals_unbroken_one_bit_for_bit(photos, tmp_path):
    run(photos, tmp_path / "whole", steps=4, seed=3)
    run(photos, tmp_path / "parts", steps=4, seed=3, stop_after=2)
    run(photos, tmp_path / "parts", resume=tmp_path / "parts", settings={})
    a, b = (torch.load(tmp_path / n / "last.ckpt", weights_only=True) for n in ("whole", "parts"))
    for part in ("net", "ema"):
        assert all(torch.equal(a[part][k], b[part][k]) for k in a[part])


def test_it_learns_and_translate_can_use_it(photos, tmp_path):
    settings = SMALL | {"lr": "3e-3", "ema": "0.9", "batch": "4", "preset": "heavy"}
    path = run(photos, tmp_path / "run", steps=60, sample_every=60, settings=settings)
    last = [json.loads(x) for x in (tmp_path / "run/log.jsonl").read_text().splitlines()][-1]
    assert last["psnr"] > last["psnr_input"] + 0.5
    row = row_of(path)
    assert row is not None and row.task == "translate" and row.keeps_gray and row.whole and row.multiple == 16
    gray = torch.rand(1, 1, 16, 48).expand(1, 3, 16, 48)
    y = load_net(row, path, torch.device("cpu"))(gray)
    assert torch.allclose(y[:, :1].expand_as(y), y, atol=1e-6)


def test_a_recipe_that_shrinks_pictures_and_an_odd_crop_are_refused(photos, tmp_path):
    with pytest.raises(UsageError, match="not a multiple of 16"):
        run(photos, tmp_path / "a", steps=1, settings=SMALL | {"crop": "40"})
    with pytest.raises(UsageError, match="unknown recipe"):
        run(photos, tmp_path / "b", steps=1, settings=SMALL | {"degrade": "rain"})
    with pytest.raises(UsageError, match="bicubic spoils nothing"):
        run(photos, tmp_path / "c", steps=1, settings=SMALL | {"degrade": "bicubic"})


def test_what_spoils_the_photographs_has_parameters_of_its_own(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "phone").mkdir()
    for number in range(2):
        noisy = np.random.default_rng(number).normal(110, 3, (64, 64, 3)).clip(0, 255)
        cv2.imwrite(str(tmp_path / f"phone/{number}.png"), noisy)
    settings = SMALL | {"degrade": "realsr noise_from=phone patch=32", "preset": "heavy"}
    out = tmp_path / "run"
    run(photos, out, steps=4, stop_after=2, settings=settings)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    path = run(photos, out, resume=out, settings={})
    row = row_of(path)
    assert row is not None and row.summary.startswith("mends realsr;")
    wrong = settings | {"degrade": "realsr noise_from=gone patch=32"}
    with pytest.raises(InputError, match="no such folder"):
        run(photos, tmp_path / "b", steps=1, settings=wrong)


def test_a_perceptual_net_without_a_loss_is_refused(photos, tmp_path):
    with pytest.raises(UsageError, match="eye=builtin changes nothing: percept is 0"):
        run(photos, tmp_path / "a", steps=1, settings=SMALL | {"eye": "builtin"})
    settings = SMALL | {"eye": "builtin", "percept": "0.1"}
    assert run(photos, tmp_path / "b", steps=1, settings=settings).is_file()


def test_a_new_net_changes_nothing_and_fits_any_multiple():
    net = RestoreUNet((4, 8, 12, 16), 1)
    x = torch.rand(2, 3, 16, 48)
    assert net.multiple == 16 and torch.equal(net(x), x)
    assert sum(p.numel() for p in RestoreUNet().parameters()) * 2 < 5_000_000  # bytes in half precision


def test_the_tone_curve_belongs_to_the_whole_picture():
    """A part with the whole beside it is mended as the whole is; half-precision weights blur no picture."""
    torch.manual_seed(0)
    curve = ToneCurve()
    torch.nn.init.normal_(curve.last.weight, std=0.1)
    light = torch.rand(1, 1, 96, 192)
    damage = torch.full_like(light, 0.02)
    everywhere = curve(light, light, damage)
    assert (everywhere - light).abs().max() > 0.01
    assert torch.equal(curve(light[..., :32], light, damage), everywhere[..., :32])
    assert not torch.allclose(curve(light, light, damage / 10), everywhere)
    halved = curve.to(torch.bfloat16)(light, light, damage)
    assert halved.dtype == torch.float32 and halved.unique().numel() > 0.99 * light.unique().numel()


def test_the_curve_sees_fading_and_hardly_dust_grain_or_size():
    generator = torch.Generator().manual_seed(0)
    curve, light = (
        ToneCurve(),
        torch.nn.functional.interpolate(
            torch.rand(1, 1, 9, 9, generator=generator), (288, 384), mode="bicubic"
        ).clamp(0, 1),
    )
    dusty = torch.where(torch.rand(light.shape, generator=generator) < 0.001, 1.0, light)
    grainy = light + 0.05 * torch.randn(light.shape, generator=generator)
    small = torch.nn.functional.avg_pool2d(light, 3)
    shown = curve.seen(light)
    assert shown[:, len(curve.ENDS) :].square().sum() == pytest.approx(1, abs=1e-5)  # shares of all
    faded = (curve.seen(0.1 + 0.75 * light) - shown).norm()
    for other in (dusty, grainy.clamp(0, 1), small):
        assert (curve.seen(other) - shown).norm() < faded / 4
