"""The recipe of the perceptual encoder on a few small pictures."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gantool import percept
from gantool.errors import UsageError
from gantool.loading import read_state, row_of
from gantool.recipes import percept as recipe
from gantool.training import TrainRequest

SMALL = {"width": "0.06", "batch": "4", "crop": "32", "holdout": "2"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Twenty pictures of 72 px: colours, edges, and texture to lose."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(20):
        image = cv2.resize(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8), (72, 72))
        image[20:50] = cv2.add(image[20:50], rng.integers(0, 60, (30, 72, 1), dtype=np.uint8).repeat(3, 2))
        cv2.imwrite(str(folder / f"{number:02d}.png"), image)
    return folder


def run(photos, out, **values):
    values.setdefault("settings", SMALL)
    return recipe.train(TrainRequest("percept", (photos,), out, device="cpu", precision="fp32", **values))


def test_resumed_run_equals_unbroken_one_bit_for_bit(photos, tmp_path):
    whole = run(photos, tmp_path / "whole", steps=5, seed=3)
    run(photos, tmp_path / "parts", steps=5, seed=3, stop_after=2)
    parts = run(photos, tmp_path / "parts", resume=tmp_path / "parts", settings={})
    one, other = (read_state(path)[0] for path in (whole, parts))
    assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
    a, b = (torch.load(tmp_path / p / "last.ckpt", weights_only=True) for p in ("whole", "parts"))
    assert a["step"] == b["step"] == 5
    for part in ("net", "ema"):
        assert all(torch.equal(a[part][k], b[part][k]) for k in a[part])
    moments = zip(a["optimizer"]["state"].values(), b["optimizer"]["state"].values(), strict=True)
    assert all(torch.equal(x["exp_avg"], y["exp_avg"]) for x, y in moments)


def test_run_folder_and_saved_model(photos, tmp_path):
    path = run(photos, tmp_path / "run", steps=4, sample_every=2)
    assert path == tmp_path / "run/model.safetensors"
    assert [p.name for p in sorted((tmp_path / "run/samples").iterdir())] == ["0000002.png", "0000004.png"]
    row = row_of(path)
    assert row is not None and row.task == "percept" and row.arch == "vgg.VGG19"
    net = percept.load(model=str(tmp_path / "run"))
    x = torch.rand(2, 3, 40, 40)
    assert net.name == "run" and torch.isfinite(net(x, x.flip(3))).all()
    lines = [json.loads(x) for x in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [set(x) >= {"ranked_held", "disorder"} for x in lines if "psnr" in x] == [True, True]
    assert (tmp_path / "run/best.safetensors").is_file()


def test_export_is_the_trained_net(photos):
    """Batch norm folded: the plain net gives what the learner gives in eval mode."""
    torch.manual_seed(0)
    learner = recipe.Learner(0.06)
    x = torch.rand(4, 3, 32, 32)
    learner.train()
    for _ in range(5):
        learner.features(torch.rand(8, 3, 32, 32))
    learner.eval()
    plain = recipe.VGG19(0.06, pool="avg", mean=recipe.MEAN, std=recipe.STD).eval()
    plain.load_state_dict(learner.folded())
    with torch.no_grad():
        ours, theirs = plain(x, list(percept.LAYERS)), learner.features(x)
    for name in percept.LAYERS:
        assert torch.allclose(ours[name], theirs[name], atol=1e-4), name
        assert ours[name].std() > 1e-3


def test_it_learns_to_rank_and_to_repair(photos, tmp_path):
    settings = SMALL | {"batch": "8", "order": "1", "lr": "4e-3"}
    run(photos, tmp_path / "run", steps=120, settings=settings, sample_every=200)
    lines = [json.loads(x) for x in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    first, last = lines[0], [x for x in lines if "order" in x][-1]
    assert last["repair"] < 0.7 * first["repair"]
    assert last["order"] < 0.8 * first["order"] and last["ranked"] > first["ranked"]


def test_order_loss_counts_ratios():
    near, far = torch.tensor([0.1, 1e-4]), torch.tensor([0.2, 2e-4])
    right = recipe.order_loss(near, far, 0.2)
    each = [recipe.order_loss(near[i : i + 1], far[i : i + 1], 0.2) for i in range(2)]
    assert each[0].item() == pytest.approx(each[1].item(), rel=1e-3)
    assert right < 0.05 and recipe.order_loss(far, near, 0.2) > 3
    assert torch.isfinite(recipe.order_loss(torch.zeros(2), torch.zeros(2), 0.2))


def test_damage_changes_most_pictures_and_stays_in_range():
    rng = np.random.default_rng(1)
    image = rng.random((48, 48, 3)).astype(np.float32)
    kept = image.copy()
    results = [recipe.damaged(image, np.random.default_rng(i)) for i in range(30)]
    assert np.array_equal(image, kept)
    assert all(
        r.shape == image.shape and r.dtype == np.float32 and 0 <= r.min() <= r.max() <= 1 for r in results
    )
    assert sum(not np.array_equal(r, image) for r in results) > 20
    assert any(np.ptp(r, axis=2).max() == 0 for r in results), "some are grey"


def test_crop_must_suit_the_net(photos, tmp_path):
    with pytest.raises(UsageError, match="multiple of 16"):
        run(photos, tmp_path / "run", steps=1, settings={"crop": "40"})
