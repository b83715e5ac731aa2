"""EDSR, SRResNet, SRGAN and ESRGAN on a few small photographs: they learn, resume exactly, and upscale."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gantool.catalog import Checkpoint
from gantool.errors import InputError, UsageError
from gantool.loading import load, load_net, row_of
from gantool.models.srvgg import SRVGGNetCompact
from gantool.recipes import edsr, esrgan, srgan, srresnet, upscale
from gantool.training import TrainRequest

RECIPES = {"edsr": edsr, "srresnet": srresnet, "srgan": srgan, "esrgan": esrgan}
TINY = {"scale": "2", "patch": "16", "batch": "2", "width": "4", "blocks": "1", "holdout": "2"}
SMALL = {
    "edsr": TINY,
    "srresnet": TINY,
    "srgan": TINY | {"ndf": "2", "pretrain": "2", "layers": "relu2_2"},
    "esrgan": TINY | {"ndf": "2", "pretrain": "2", "layers": "conv1_2:0.5 conv2_2"},
}
ARCHS = {
    "edsr": "edsr.EDSR",
    "srresnet": "srresnet.SRResNet",
    "srgan": "srresnet.SRResNet",
    "esrgan": "rrdbnet.RRDBNet",
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Twenty smooth colourful pictures of 48 px with sharp lines across."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(20):
        image = cv2.resize(rng.integers(60, 255, (5, 5, 3), dtype=np.uint8), (48, 48))
        image[:, rng.integers(2, 46) :: 9] //= 3
        cv2.imwrite(str(folder / f"{number:02d}.png"), image)
    return folder


def run(task, photos, out, **values):
    values["settings"] = SMALL[task] | values.get("settings", {}) if "resume" not in values else {}
    values.setdefault("precision", "fp32")
    return RECIPES[task].train(TrainRequest(task, (photos,), out, device="cpu", threads=1, **values))


def test_only_a_net_that_knows_nothing_is_warned_of(photos, tmp_path):
    warned: list[str] = []
    settings = {"pretrain": "0"}
    run("esrgan", photos, tmp_path, steps=2, stop_after=1, settings=settings, warn=warned.append)
    assert sum("knows nothing" in line for line in warned) == 1
    run("esrgan", photos, tmp_path, resume=tmp_path, warn=warned.append)
    assert sum("knows nothing" in line for line in warned) == 1


def test_noise_comes_from_the_photographs_themselves_where_no_others_are_named(photos, tmp_path):
    settings = {"degrade": "realsr patch=8 max_variance=400"}
    assert run("srresnet", photos, tmp_path / "a", steps=2, settings=settings).is_file()
    with pytest.raises(InputError, match="no photo has a smooth part of 256 x 256 px"):
        run("srresnet", photos, tmp_path / "b", steps=2, settings={"degrade": "realsr"})


def entries(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def same(a, b) -> bool:
    """Whether two saved states are equal, tensor by tensor and number by number."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("task", RECIPES)
def test_resumed_run_equals_unbroken_one_bit_for_bit(task, photos, tmp_path):
    run(task, photos, tmp_path / "whole", steps=5, seed=3)
    run(task, photos, tmp_path / "parts", steps=5, seed=3, stop_after=1)
    run(task, photos, tmp_path / "parts", stop_after=2, resume=tmp_path / "parts")
    run(task, photos, tmp_path / "parts", resume=tmp_path / "parts")
    whole, parts = (
        torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "parts")
    )
    for state in (whole, parts):  # it has seen the samples that are drawn at every end
        del state["health"]
    assert whole["step"] == 5 and same(whole, parts)
    if task.endswith("gan"):
        moved = whole["critic_optimizer"]["state"]
        assert moved and all(float(its["step"]) == 3 for its in moved.values()), "two steps were without it"


@pytest.mark.parametrize("task", RECIPES)
def test_what_is_saved_upscales_without_a_flag(task, photos, tmp_path):
    path = run(task, photos, tmp_path / "My Run", steps=3)
    row = row_of(path)
    assert row is not None and (row.task, row.name, row.arch) == ("upscale", "my-run", ARCHS[task])
    assert (row.scale, row.value_range) == (2, 255.0 if task == "edsr" else 1.0)
    x = torch.rand(1, 3, 9, 7) * row.value_range
    assert load_net(row, path)(x).shape == (1, 3, 18, 14)
    scores = [x for x in entries(tmp_path / "My Run") if "psnr" in x][-1]
    assert scores.keys() == {"step", "psnr", "psnr_bicubic", "percept", "percept_bicubic"}
    assert 0 < scores["percept"] < 2 and scores["percept_bicubic"] > 0
    sheet = cv2.imread(str(tmp_path / "My Run/samples/0000003.png"))
    assert sheet is not None and sheet.shape == (2 * 32, 3 * 32, 3)


@pytest.mark.parametrize(
    ("task", "settings", "share"),
    [
        ("edsr", {"lr": "2e-3"}, 0.5),
        ("srresnet", {"lr": "2e-3"}, 0.5),
        # Begins with the bilinear picture, to which there is less to add.
        ("srresnet", {"lr": "1e-3", "generator": "msrresnet", "loss": "l1", "width": "16"}, 0.85),
    ],
)
def test_nets_by_pixels_learn(task, settings, share, photos, tmp_path):
    settings = {"width": "8", "batch": "4", "ema": "0.9"} | settings
    run(task, photos, tmp_path / "run", steps=120, settings=settings, sample_every=120)
    loss = settings.get("loss", "l1" if task == "edsr" else "mse")
    losses = [x[loss] for x in entries(tmp_path / "run") if loss in x]
    assert losses[-1] < share * losses[0]


@pytest.mark.parametrize("task", ["srgan", "esrgan"])
def test_the_critic_plays_its_part(task, photos, tmp_path):
    """Log lines have all that a player wants to see, and the best model is the one that looks best."""
    settings = {"pretrain": "20", "lr": "1e-3", "generator": "compact"}
    run(task, photos, tmp_path / "run", steps=60, settings=settings, sample_every=20)
    lines = [x for x in entries(tmp_path / "run") if "g_norm" in x]
    pixels = "mse" if task == "srgan" else "l1"
    assert {pixels, "g_norm", "lr"} == lines[0].keys() - {"step", "images_per_s"}
    expected = {pixels, "feature", "g", "g_norm", "lr", "d", "d_norm", "d_accuracy"}
    assert expected == lines[-1].keys() - {"step", "images_per_s"}
    assert 0 <= lines[-1]["d_accuracy"] <= 1
    best = min((x["percept"], x["step"]) for x in entries(tmp_path / "run") if "percept" in x)
    kept = row_of(tmp_path / "run/best.safetensors")
    assert kept is not None and kept.arch == "srvgg.SRVGGNetCompact" and best[0] > 0


def test_the_generator_heeds_the_critic(photos, tmp_path):
    """Without features and pixels, what moves the generator is the critic alone."""
    quiet = {"pretrain": "0", "feature": "0", "l1": "0", "generator": "compact"}
    warned: list[str] = []
    for weight in ("0", "1"):
        settings = quiet | {"adversarial": weight}
        run("esrgan", photos, tmp_path / weight, steps=1, settings=settings, warn=warned.append)
    assert any("--set init=FILE" in line for line in warned)
    moments = []
    for weight in ("0", "1"):
        state = torch.load(tmp_path / weight / "last.ckpt", weights_only=True)
        moments.append([its["exp_avg"].abs().sum() for its in state["optimizer"]["state"].values()])
    assert all(float(m) == 0 for m in moments[0]) and all(float(m) > 0 for m in moments[1])


@pytest.mark.parametrize("gan", ["relativistic", "vanilla", "lsgan", "hinge", "wgan", "wgangp"])
@pytest.mark.parametrize("critic", ["vgg", "unet", "patch"])
def test_every_game_plays_with_every_critic(gan, critic, photos, tmp_path):
    settings = {"gan": gan, "critic": critic, "pretrain": "0", "generator": "compact", "spectral": "true"}
    settings |= {"r1": "1"} if gan == "hinge" else {}
    run("esrgan", photos, tmp_path / "run", steps=1, settings=settings)
    state = torch.load(tmp_path / "run/last.ckpt", weights_only=True)["critic"]
    assert any("parametrizations" in key for key in state) and not any("running" in key for key in state)
    if gan == "wgan":
        kernels = [v for k, v in state.items() if k.endswith(".original")]
        assert max(float(k.abs().max()) for k in kernels) <= 0.01 + 1e-6


@pytest.mark.parametrize("task", ["srgan", "esrgan"])
def test_parts_of_a_batch_add_up_to_it(task, photos, tmp_path):
    """With a game and nets in which pictures do not mix."""
    settings = {"gan": "vanilla", "critic": "unet", "generator": "compact", "pretrain": "0"}
    states = []
    for parts in (1, 2):
        run(task, photos, tmp_path / f"run{parts}", steps=1, settings=settings, accumulate=parts)
        states.append(torch.load(tmp_path / f"run{parts}/last.ckpt", weights_only=True))
    for one, two in zip(*(state["optimizer"]["state"].values() for state in states), strict=True):
        a, b = one["exp_avg"], two["exp_avg"]
        # Each part asks a critic whose power iteration has gone a step further.
        assert float((a - b).abs().max()) < 2e-2 * float(a.abs().max()) + 1e-7


def test_a_gan_starts_from_a_net_trained_by_pixels(photos, tmp_path):
    first = run("srresnet", photos, tmp_path / "psnr", steps=2)
    said: list[str] = []
    settings = {"init": str(first), "pretrain": "0", "lr": "1e-8"}
    second = run("srgan", photos, tmp_path / "gan", steps=1, settings=settings, say=said.append)
    assert any("30 of 30 tensors taken" in line for line in said)
    old, new = load(Checkpoint("x", "upscale"), first)[0], load(Checkpoint("x", "upscale"), second)[0]
    kernels = zip(old.named_parameters(), new.named_parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-3) for (_, a), (_, b) in kernels)


def test_esrgan_starts_from_a_file_in_the_first_spelling(photos, tmp_path):
    from spandrel.architectures.ESRGAN import ESRGAN

    made = ESRGAN(num_filters=64, num_blocks=1, scale=4)
    torch.save(made.state_dict(), tmp_path / "old.pth")
    said: list[str] = []
    settings = {"init": str(tmp_path / "old.pth"), "pretrain": "0", "patch": "8", "scale": "4"} | {
        "width": "64"
    }
    run("esrgan", photos, tmp_path / "run", steps=1, settings=settings, say=said.append)
    assert any("42 of 42 tensors taken" in line for line in said)


def test_degradations_of_chance_feed_the_same_recipes(photos, tmp_path):
    for name in ("real-esrgan", "bsrgan"):
        settings = {"degrade": name, "generator": "compact"}
        path = run("esrgan", photos, tmp_path / name, steps=3, settings=settings)
        assert isinstance(load(Checkpoint("x", "upscale"), path)[0], SRVGGNetCompact)


@pytest.mark.parametrize(
    ("task", "settings", "words"),
    [
        ("edsr", {"scale": "5"}, "EDSR makes 2, 3, 4 or 8"),
        ("edsr", {"scale": "1"}, "nothing to learn"),
        ("edsr", {"degrade": "bicubc"}, "unknown recipe.*bicubic"),
        ("edsr", {"degrade": "old-film"}, "old-film"),
        ("srresnet", {"loss": "l2"}, "no loss called 'l2'.*mse, l1"),
        ("srresnet", {"generator": "vdsr"}, "no generator called 'vdsr'"),
        ("srresnet", {"scale": "3"}, "SRResNet makes 2, 4 or 8"),
        ("esrgan", {"critic": "pixel"}, "no critic called 'pixel'.*vgg, unet, patch"),
        ("esrgan", {"patch": "20"}, "does not judge pictures of 40 px.*critic=unet"),
        ("esrgan", {"layers": "conv6_1"}, "no layer 'conv6_1'"),
        ("esrgan", {"layers": "conv5_4:x"}, "not LAYER:WEIGHT"),
        ("esrgan", {"layers": ","}, "no layer named"),
        ("esrgan", {"gan": "ragan"}, "no game called 'ragan'.*wgangp, relativistic"),
        ("srgan", {"patch": "8", "scale": "1", "degrade": "bsrgan"}, "pictures of 8 px.*patch=16"),
    ],
)
def test_settings_that_cannot_be(task, settings, words, photos, tmp_path):
    with pytest.raises(UsageError, match=words):
        run(task, photos, tmp_path / "run", steps=1, settings=settings)


def test_the_compact_recipe_takes_degradations_too(photos, tmp_path):
    settings = {"scale": "2", "patch": "16", "batch": "2", "width": "4", "depth": "1", "degrade": "bsrgan"}
    request = TrainRequest("upscale", (photos,), tmp_path / "run", steps=1, settings=settings, device="cpu")
    assert upscale.train(request).is_file()
