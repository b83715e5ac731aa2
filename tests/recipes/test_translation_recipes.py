"""pix2pix and CycleGAN on a few small pictures: they learn, resume exactly, and save what translate uses."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gantool import layouts
from gantool.errors import UsageError
from gantool.loading import load_net, row_of
from gantool.recipes import cyclegan, pix2pix
from gantool.settings import configure
from gantool.training import TrainRequest

RECIPES = {"pix2pix": pix2pix, "cyclegan": cyclegan}
SMALL = {
    "pix2pix": {"size": "32", "ngf": "4", "ndf": "4", "layers": "2", "batch": "2", "holdout": "2"},
    "cyclegan": {"size": "32", "ngf": "4", "ndf": "4", "layers": "2", "blocks": "1", "pool": "3"},
}


def scene(rng) -> np.ndarray:
    """A smooth colourful picture of 40 px."""
    return cv2.resize(rng.integers(0, 255, (5, 5, 3), dtype=np.uint8), (40, 40))


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Side-by-side pairs in which B is A turned negative; the same two sides apart; and plain photos."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name in ("pairs", "apart/trainA", "apart/trainB", "photos"):
        (root / name).mkdir(parents=True)
    for number in range(20):
        a = scene(rng)
        b = 255 - scene(rng)
        cv2.imwrite(str(root / f"pairs/{number:02d}.png"), np.concatenate((a, 255 - a), axis=1))
        cv2.imwrite(str(root / f"photos/{number:02d}.png"), a)
        if number < 12:
            cv2.imwrite(str(root / f"apart/trainA/a{number}.png"), a)
            cv2.imwrite(str(root / f"apart/trainB/b{number}.png"), b)
    return {"pix2pix": root / "pairs", "cyclegan": root / "apart", "photos": root / "photos"}


def run(task, data, out, **values):
    values["settings"] = SMALL[task] | values.get("settings", {}) if "resume" not in values else {}
    values.setdefault("precision", "fp32")
    return RECIPES[task].train(TrainRequest(task, (data,), out, device="cpu", threads=1, **values))


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
def test_resumed_run_equals_unbroken_one_bit_for_bit(task, folders, tmp_path):
    run(task, folders[task], tmp_path / "whole", steps=6, seed=3)
    run(task, folders[task], tmp_path / "parts", steps=6, seed=3, stop_after=2)
    run(task, folders[task], tmp_path / "parts", stop_after=1, resume=tmp_path / "parts")
    run(task, folders[task], tmp_path / "parts", resume=tmp_path / "parts")
    whole, parts = (
        torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "parts")
    )
    for state in (whole, parts):
        state.pop(
            "health"
        )  # it has seen other averages: those of steps since the last log line end at a stop
    assert whole["step"] == 6 and len(whole) > 6
    assert same(whole, parts)
    if task == "cyclegan":
        assert len(whole["pool_a"]["pictures"]) == 3


@pytest.mark.parametrize("task", RECIPES)
def test_what_is_saved_says_how_to_use_it(task, folders, tmp_path):
    path = run(task, folders[task], tmp_path / "My Run", steps=2)
    names = ["model"] if task == "pix2pix" else ["model", "model-BtoA", "best", "best-BtoA"]
    for name in names:
        file = path.with_name(f"{name}.safetensors")
        row = row_of(file)
        assert row is not None and row.task == "translate" and row.signed and row.whole
        assert (row.name, row.multiple) == ("my-run", 32 if task == "pix2pix" else 4)
        y = load_net(row, file, torch.device("cpu"))(torch.zeros(1, 3, 64, 64))
        assert y.shape == (1, 3, 64, 64) and y.abs().max() <= 1
    sheet = cv2.imread(str(tmp_path / "My Run/samples/0000002.png"))
    assert sheet is not None and sheet.shape[1] == 3 * 32


def test_pix2pix_learns_the_negative(folders, tmp_path):
    settings = {"batch": "4", "ngf": "8", "lr": "2e-3", "ema": "0.9", "mirror": "false", "dropout": "0"}
    run("pix2pix", folders["pix2pix"], tmp_path / "run", steps=60, sample_every=30, settings=settings)
    lines = [json.loads(x) for x in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    scores = [x for x in lines if "held_l1" in x]
    assert scores[-1]["held_l1"] < 0.5 * scores[-1]["held_l1_input"]
    assert {"d", "g", "l1", "d_accuracy", "d_norm", "g_norm"} <= lines[0].keys()


def test_pairs_turn_together(folders):
    """Every quarter turn comes up, of both pictures the same one."""
    layout = layouts.recognise([folders["pix2pix"]], pix2pix.LAYOUTS)
    config = configure(pix2pix.Config, {"size": "32", "load": "1", "mirror": "false", "turn": "true"})
    pairs = pix2pix.Pairs(layout, config)
    item = pairs.load(layout.train[0])
    assert item is not None
    plain = pix2pix.Pairs(layout, configure(pix2pix.Config, {"size": "32", "load": "1", "mirror": "false"}))
    still, seen = plain.crop(item, np.random.default_rng(0)), set()
    for seed in range(20):
        turned = pairs.crop(item, np.random.default_rng(seed))
        quarters = [
            next(k for k in range(4) if np.array_equal(np.rot90(a, k, (1, 2)), b))
            for a, b in zip(still, turned, strict=True)
        ]
        assert quarters[0] == quarters[1]
        seen.add(quarters[0])
    assert seen == {0, 1, 2, 3}


def test_cyclegan_learns_the_way_back(folders, tmp_path):
    settings = {"lr": "2e-3", "ema": "0.9", "batch": "2", "ngf": "8"}
    run("cyclegan", folders["cyclegan"], tmp_path / "run", steps=60, sample_every=30, settings=settings)
    lines = [json.loads(x) for x in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    cycles = [x["cycle_a"] + x["cycle_b"] for x in lines if "cycle_a" in x]
    assert cycles[-1] < 0.8 * cycles[0]


@pytest.mark.parametrize("gan", ["vanilla", "lsgan", "hinge", "wgan", "wgangp"])
@pytest.mark.parametrize("task", RECIPES)
def test_every_game_plays(task, gan, folders, tmp_path):
    extra = {"gan": gan, "r1": "1", "spectral": "true", "tv": "1"}
    extra |= {"matching": "1"} if task == "pix2pix" else {}
    run(task, folders[task], tmp_path / "run", steps=2, settings=extra, accumulate=1)
    state = torch.load(tmp_path / "run/last.ckpt", weights_only=True)
    critic = state["critic" if task == "pix2pix" else "critic_b"]
    assert any("parametrizations" in key for key in critic)
    if gan == "wgan":
        kernels = [v for k, v in critic.items() if k.endswith(".original")]
        assert max(float(k.abs().max()) for k in kernels) <= 0.01 + 1e-6


@pytest.mark.parametrize("task", RECIPES)
def test_parts_of_a_batch_add_up_to_it(task, folders, tmp_path):
    settings = {"norm": "instance", "pool": "0", "batch": "2"} | (
        {"dropout": "0"} if task == "pix2pix" else {}
    )
    states = []
    for parts in (1, 2):
        run(task, folders[task], tmp_path / f"run{parts}", steps=1, settings=settings, accumulate=parts)
        states.append(torch.load(tmp_path / f"run{parts}/last.ckpt", weights_only=True))
    for name in [name for name in states[0] if name.endswith("optimizer")]:
        one, two = (state[name]["state"] for state in states)
        for place in one:
            a, b = one[place]["exp_avg"], two[place]["exp_avg"]
            # A bias before instance norm has no gradient but rounding, hence the second bound.
            assert float((a - b).abs().max()) < 1e-4 * float(a.abs().max()) + 1e-5, (name, place)


def test_plain_photos_become_pairs_by_greying(folders, tmp_path):
    path = run("pix2pix", folders["photos"], tmp_path / "run", steps=1)
    assert path.is_file()
    sheet = cv2.imread(str(tmp_path / "run/samples/0000001.png"))
    assert sheet is not None
    a, b = sheet[:32, :32].astype(int), sheet[:32, 64:].astype(int)
    assert np.ptp(a, axis=2).max() <= 1 and np.ptp(b, axis=2).max() > 20


def test_the_other_direction_exchanges_the_sides(folders, tmp_path):
    run("pix2pix", folders["photos"], tmp_path / "run", steps=1, settings={"direction": "BtoA"})
    sheet = cv2.imread(str(tmp_path / "run/samples/0000001.png"))
    assert sheet is not None and np.ptp(sheet[:32, 64:].astype(int), axis=2).max() <= 1


def test_very_few_pictures_are_all_learnt_from(folders, tmp_path):
    for side in ("trainA", "trainB"):
        (tmp_path / "few" / side).mkdir(parents=True)
        for path in sorted((folders["cyclegan"] / side).iterdir())[:2]:
            (tmp_path / "few" / side / path.name).write_bytes(path.read_bytes())
    run("cyclegan", tmp_path / "few", tmp_path / "run", steps=1)
    assert (tmp_path / "run/samples/0000001.png").exists() and not (
        tmp_path / "run/best.safetensors"
    ).exists()


@pytest.mark.parametrize(
    ("task", "settings", "word"),
    [
        ("pix2pix", {"gan": "gan"}, "no game"),
        ("pix2pix", {"net": "vit"}, "no generator"),
        ("pix2pix", {"size": "100"}, "size=100"),
        ("pix2pix", {"direction": "up"}, "direction"),
        ("pix2pix", {"norm": "layer"}, "no norm"),
        ("pix2pix", {"critic": "none"}, "no critic"),
        ("cyclegan", {"size": "30"}, "multiple of 4"),
        ("cyclegan", {"upsample": "magic"}, "no upsampling"),
    ],
)
def test_settings_that_make_no_sense(task, settings, word, folders, tmp_path):
    with pytest.raises(UsageError, match=word):
        run(task, folders[task], tmp_path / "run", steps=1, settings=settings)
