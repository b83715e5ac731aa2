"""Results against originals: which belongs to which, the figures, and what cannot be measured."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from cli_kit import film, photo
from moving_pictures import scene

from gantool import metrics, percept
from gantool.errors import InputError, UsageError, WeightsError
from gantool.evaluation import lpips
from gantool.evaluation.pairs import PairMeter, evaluate_pairs
from gantool.evaluation.sources import pairs_of, pictures_in
from gantool.media.video import write_clip


def names(subject):
    return [(pair.name, pair.truth.name) for pair in subject.pairs]


def test_folders_match_by_stem_and_without_the_command_s_word(tmp_path):
    for name in ("a.png", "b.upscale.png", "c.jpg", ".hidden.png"):
        photo(tmp_path / "made" / name)
    for name in ("a.jpg", "b.png", "c.png", "d.png", "notes.txt.png"):
        photo(tmp_path / "good" / name)
    subject = pairs_of(tmp_path / "made", tmp_path / "good")
    assert names(subject) == [("a.png", "a.jpg"), ("b.upscale.png", "b.png"), ("c.jpg", "c.png")]
    assert (subject.kind, subject.unmatched) == ("image", 2)


def test_folders_of_folders(tmp_path):
    for side in ("made", "good"):
        photo(tmp_path / side / "x/a.png")
        photo(tmp_path / side / "y/a.png")
    with pytest.raises(InputError, match="--recursive"):
        pairs_of(tmp_path / "made", tmp_path / "good")
    assert names(pairs_of(tmp_path / "made", tmp_path / "good", recursive=True)) == [
        ("x/a.png", "a.png"),
        ("y/a.png", "a.png"),
    ]


def test_what_cannot_be_matched(tmp_path):
    photo(tmp_path / "made/a.png")
    photo(tmp_path / "made/b.png")
    photo(tmp_path / "good/a.png")
    film(tmp_path / "f.mp4", frames=2)
    made, good = tmp_path / "made", tmp_path / "good"
    with pytest.raises(InputError, match=r"no counterpart of b\.png"):
        pairs_of(made, good)
    photo(tmp_path / "good/b.jpg")
    photo(tmp_path / "good/b.png")
    with pytest.raises(InputError, match="one name"):
        pairs_of(made, good)
    with pytest.raises(InputError, match="no such file"):
        pairs_of(made / "gone.png", good)
    with pytest.raises(UsageError, match="a folder and a file"):
        pairs_of(made, good / "a.png")
    with pytest.raises(UsageError, match=r"a picture, .* is a film"):
        pairs_of(made / "a.png", tmp_path / "f.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        pairs_of(tmp_path / "empty", good)
    with pytest.raises(InputError, match="not a folder"):
        pictures_in(made / "a.png")


@pytest.fixture(scope="module")
def pictures():
    truth = scene(1, 200, 240)
    noise = np.random.default_rng(0).normal(0, 12, truth.shape)
    return np.clip(truth + noise, 0, 255).astype(np.uint8), truth


def test_figures_are_those_of_metrics(pictures):
    values = PairMeter().measure(*pictures)
    assert values["psnr"] == metrics.psnr(*pictures)
    assert values["ssim"] == metrics.ssim(*pictures)
    assert values["ms_ssim"] == metrics.ms_ssim(*pictures)
    assert values["ciede2000"] == metrics.ciede2000(*pictures)
    x, y = (torch.from_numpy(p / 255).float().movedim(-1, 0)[None] for p in pictures)
    assert values["percept"] == pytest.approx(float(percept.load()(x, y)), rel=1e-5)


def test_on_luma_with_a_crop(pictures):
    meter = PairMeter("y", crop=4)
    values = meter.measure(*pictures)
    assert values["psnr"] == pytest.approx(metrics.psnr_y(*pictures, shave=4))
    assert values["ssim"] == pytest.approx(metrics.ssim_y(*pictures, shave=4))
    cut = [picture[4:-4, 4:-4] for picture in pictures]
    assert values["ms_ssim"] == metrics.ms_ssim_y(*cut)
    assert values["ciede2000"] == metrics.ciede2000(*cut)
    about = meter.measures[0].about
    assert "luma" in about and "4 px" in about
    assert meter.settings()["on"] == "y" and meter.settings()["crop_px"] == 4


def test_small_pictures_lose_measures_and_it_is_said(pictures):
    meter = PairMeter()
    meter.measure(*pictures)
    values = meter.measure(*(picture[:12, :12] for picture in pictures))
    assert values["ms_ssim"] is None and values["percept"] is None and values["ssim"] is not None
    assert meter.left_out()["MS-SSIM"] == "needs 176 px a side, missing for 1 of 2"
    assert meter.left_out()["percept"] == "needs 16 px a side, missing for 1 of 2"


def test_depth_does_not_matter(pictures):
    deep = [picture.astype(np.uint16) * 257 for picture in pictures]
    meter = PairMeter()
    mixed, plain = meter.measure(deep[0], pictures[1]), meter.measure(*pictures)
    assert mixed == {name: pytest.approx(value, rel=1e-5) for name, value in plain.items()}


def evaluated(made: Path, good: Path, **options):
    return evaluate_pairs(made, good, pairs_of(made, good), PairMeter(**options))


def test_equal_pictures_and_the_worst_of_them(tmp_path, pictures):
    for name, picture in (("good", pictures[1]), ("noisy", pictures[0])):
        (tmp_path / "made").mkdir(exist_ok=True)
        (tmp_path / "truth").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"made/{name}.png"), picture)
        cv2.imwrite(str(tmp_path / f"truth/{name}.png"), pictures[1])
    found = evaluated(tmp_path / "made", tmp_path / "truth")
    good, noisy = found.rows
    assert good.values["psnr"] == float("inf") and good.values["ciede2000"] == 0
    assert found.totals["ssim"] == pytest.approx((good.values["ssim"] + noisy.values["ssim"]) / 2)
    record = found.to_json()
    assert record["rows"][0]["psnr"] is None and record["totals"]["psnr"] is None
    assert record["rows"][1]["psnr"] == pytest.approx(metrics.psnr(*pictures))
    titles = [exhibit.title for exhibit in found.exhibits]
    assert titles[0].startswith("Worst: noisy.png") and titles[-1].startswith("Best: good.png")


def test_sizes_must_agree(tmp_path):
    photo(tmp_path / "a.png", 24, 16)
    photo(tmp_path / "b.png", 25, 16)
    with pytest.raises(InputError, match=r"a\.png is 24x16, its counterpart 25x16"):
        evaluated(tmp_path / "a.png", tmp_path / "b.png")
    with pytest.raises(InputError, match="--crop 8 leaves nothing"):
        evaluated(tmp_path / "a.png", tmp_path / "a.png", crop=8)


def test_films_frame_by_frame(tmp_path):
    frames = [scene(2, 64, 80 + n)[:, n:] for n in range(4)]
    bad = [frame.copy() for frame in frames]
    bad[2] = 255 - bad[2]
    for name, some in (("good", frames), ("bad", bad), ("short", frames[:3])):
        write_clip(tmp_path / f"{name}.mkv", some, Fraction(25), crf=4)
    found = evaluated(tmp_path / "bad.mkv", tmp_path / "good.mkv")
    for number, frame in enumerate(bad):
        cv2.imwrite(str(tmp_path / f"{number}.png"), frame)
    assert evaluated(tmp_path / "%d.png", tmp_path / "bad.mkv").totals["psnr"] > 30
    assert [row.name for row in found.rows] == [f"frame {n}" for n in range(4)]
    assert [row.time for row in found.rows] == pytest.approx([0, 0.04, 0.08, 0.12])
    psnr = [row.values["psnr"] for row in found.rows]
    assert psnr[2] < 15 and min(psnr[:2] + psnr[3:]) > 35
    assert found.exhibits[0].title.startswith("Worst: frame 2")
    with pytest.raises(InputError, match="3 and 4 frames"):
        evaluated(tmp_path / "short.mkv", tmp_path / "good.mkv")


def test_lpips_with_a_backbone_at_hand(tmp_path, monkeypatch, pictures):
    """torchvision's smallest backbone with random weights, in torch's own cache."""
    from torchvision.models import squeezenet1_1

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = lpips.load(torch.device("cpu"))
    assert found.distance is None and str(tmp_path) in found.words
    meter = PairMeter()
    assert "lpips" not in {one.name for one in meter.measures}
    assert "no backbone" in meter.left_out()["LPIPS"]

    checkpoints = tmp_path / "hub/checkpoints"
    checkpoints.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(squeezenet1_1().state_dict(), checkpoints / lpips.BACKBONES["squeeze"])
    meter = PairMeter()
    noisy, truth = pictures
    slightly = ((noisy.astype(int) + truth.astype(int) * 3) // 4).astype(np.uint8)
    values = [meter.measure(one, truth)["lpips"] for one in (truth, slightly, noisy)]
    assert values[0] == pytest.approx(0, abs=1e-7) and values[0] < values[1] < values[2]
    assert meter.settings()["lpips_net"] == "squeeze"
    assert "LPIPS (squeeze)" in {one.label for one in meter.measures}

    monkeypatch.setattr(lpips, "find_spec", lambda _: None)
    assert "gantool[eval]" in lpips.load(torch.device("cpu")).words
    monkeypatch.undo()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (checkpoints / lpips.BACKBONES["squeeze"]).write_bytes(b"<html>not found</html>")
    with pytest.raises(WeightsError):
        lpips.load(torch.device("cpu"))
