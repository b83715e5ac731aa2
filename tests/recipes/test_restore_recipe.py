"""The restore recipe on a few small photographs, and its net."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gantool.errors import UsageError
from gantool.loading import load_net, row_of
from gantool.models.restorer import RestoreUNet, stretched
from gantool.recipes import restore
from gantool.training import TrainRequest

SMALL = {"width": "4", "crop": "32", "batch": "2", "holdout": "2"}


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
    assert row is not None and row.task == "translate" and row.keeps_gray and row.whole and row.multiple == 8
    gray = torch.rand(1, 1, 16, 24).expand(1, 3, 16, 24)
    y = load_net(row, path, torch.device("cpu"))(gray)
    assert torch.allclose(y[:, :1].expand_as(y), y, atol=1e-6)


def test_a_recipe_that_shrinks_pictures_and_an_odd_crop_are_refused(photos, tmp_path):
    with pytest.raises(UsageError, match="not a multiple of 8"):
        run(photos, tmp_path / "a", steps=1, settings=SMALL | {"crop": "30"})
    with pytest.raises(UsageError, match="unknown recipe"):
        run(photos, tmp_path / "b", steps=1, settings=SMALL | {"degrade": "rain"})


def test_a_new_net_changes_nothing_and_small_ones_fit_any_multiple():
    net = RestoreUNet((4, 8, 12, 16), 1)
    x = torch.rand(2, 3, 16, 40)
    assert net.multiple == 8 and torch.equal(net(x), x)
    assert sum(p.numel() for p in RestoreUNet().parameters()) * 2 < 5_000_000  # bytes in half precision


def test_stretched_goes_from_black_to_white_whatever_lies_on_it():
    ramp = torch.linspace(0.2, 0.7, 128).expand(1, 1, 128, 128).clone()
    speckled = ramp.clone()
    speckled[..., 64, 64] = 1.0
    for light in (ramp, speckled):
        y = stretched(light)
        assert y[..., 0].mean() == pytest.approx(0, abs=0.03)
        assert y[..., 10, -1].item() == pytest.approx(1, abs=0.03)
