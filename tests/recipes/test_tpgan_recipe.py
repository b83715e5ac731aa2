"""The recipes of faces on a tiny rendered head: they learn, go on as if unbroken, and export what loads."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import heads_kit
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gantool import heads
from gantool.commands.check_data import check_data
from gantool.console import Console
from gantool.data import step_rng
from gantool.errors import InputError, UsageError, WeightsError
from gantool.facepairs import FacePairs, Wanted
from gantool.loading import load_net, row_of
from gantool.models.tpgan import BOXES, Answers
from gantool.people import Album
from gantool.recipes import faceid, tpgan
from gantool.training import TrainRequest

TINY = {"width": "0.03", "batch": "2", "people": "4", "holdout": "1", "identity": "0", "workers": "0"}
FACEID = {"people": "3", "views": "2", "batch": "4", "holdout": "2", "features": "8"}


@pytest.fixture(scope="module")
def head(tmp_path_factory) -> Path:
    return heads_kit.head_file(tmp_path_factory.mktemp("head"))


@pytest.fixture(scope="module")
def judge(head, tmp_path_factory) -> Path:
    return run(faceid, head, tmp_path_factory.mktemp("judge") / "run", steps=2, settings=FACEID)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root, rng = tmp_path_factory.mktemp("people"), np.random.default_rng(0)
    for person in range(2):
        for name in ("front", "side_1", "side_2"):
            path = root / f"p{person}" / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), cv2.resize(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8), (50, 60)))
    return root


def run(recipe, *data, out=None, **values):
    *data, out = (*data, out) if out else data
    values.setdefault("settings", TINY)
    task = recipe.__name__.rpartition(".")[2]
    request = TrainRequest(task, tuple(data), out, device="cpu", precision="fp32", threads=1, **values)
    return recipe.train(request)


@pytest.mark.parametrize("recipe", [tpgan, faceid])
def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(recipe, head, tmp_path):
    settings = TINY if recipe is tpgan else FACEID
    run(recipe, head, tmp_path / "whole", steps=2, seed=3, settings=settings)
    run(recipe, head, tmp_path / "parts", steps=2, seed=3, stop_after=1, settings=settings)
    run(recipe, head, tmp_path / "parts", resume=tmp_path / "parts", settings={})
    a, b = (torch.load(tmp_path / n / "last.ckpt", weights_only=True) for n in ("whole", "parts"))
    assert a["step"] == b["step"] == 2
    for part in {"net", "ema", "critic"} & set(a):
        assert all(torch.equal(a[part][k], b[part][k]) for k in a[part])


def test_what_it_exports_is_the_generator_with_its_row(head, tmp_path):
    settings = TINY | {"landmarks": "68", "classify": "1e-3", "upsample": "resize", "norm": "instance"}
    path = run(tpgan, head, tmp_path / "run", steps=1, settings=settings)
    row = row_of(path)
    assert row is not None and (row.task, row.arch, row.signed) == ("frontalize", "tpgan.TPGAN", True)
    assert row.args == {"width": 0.03, "landmarks": 68, "norm": "instance", "upsample": "resize"}
    net = load_net(row, path)
    corners = torch.tensor([[box[:2] for box in BOXES[68]]])
    assert net(torch.zeros(1, 3, 128, 128), corners).shape == (1, 3, 128, 128)
    logged = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()][-1]
    assert {"psnr", "held_l1", "held_l1_input", "held_l1_60"} <= set(logged)
    sheet = cv2.imread(str(tmp_path / "run/samples/0000001.png"))
    assert sheet.shape == (128, 3 * 6 * 128, 3)  # one person at six angles: side, ours, front


def test_the_losses_teach_a_generator_the_front(head):
    """On one pair of a rendered person, in a few steps."""
    wanted = Wanted(landmarks=5, people=1, renders=1.0, holdout=0, spoil=False)
    pairs = FacePairs(heads.load(head), Album(), wanted, 0)
    side, front, corners, _ = (torch.from_numpy(x)[None] for x in pairs.pair(pairs.load(0), step_rng(0, 1)))
    torch.manual_seed(0)
    net = tpgan.generator_of(tpgan.Config(width=0.03, norm="instance"))
    optimizer, seen = torch.optim.Adam(net.parameters(), 5e-3), []
    for _ in range(12):
        terms = tpgan.likeness(net(side, corners, None, True), front, net.boxes)
        optimizer.zero_grad()
        (terms["pixel"] + 3 * terms["parts"]).backward()
        optimizer.step()
        seen.append([terms[name].item() for name in ("pixel", "parts")])
    assert seen[-1][0] < 0.8 * seen[0][0] and seen[-1][1] < 0.8 * seen[0][1]


def test_kept_views_are_rendered_once(head):
    wanted = Wanted(landmarks=5, people=2, renders=1.0, holdout=0, spoil=False, views=2)
    pairs = FacePairs(heads.load(head), Album(), wanted, 0)
    item = pairs.load(1)
    assert item is not None and [part.shape[0] for part in item[1:]] == [2, 2, 2]
    seen = {pairs.pair(item, step_rng(0, n))[1].tobytes() for n in range(12)}
    assert len(seen) <= 4  # two views, and either mirrored where it is nearly frontal


def test_folders_alone_and_with_a_head_and_with_a_judge(head, folder, judge, tmp_path):
    said = []
    run(tpgan, folder, tmp_path / "folders", steps=1, say=said.append)
    assert any("4 pairs of 2 people in folders" in line for line in said)
    both, settings = tmp_path / "both", TINY | {"face": str(judge), "identity": "0.1"}
    run(tpgan, folder, head, both, steps=1, settings=settings | {"critic_steps": "2", "gan": "hinge"})
    log = [json.loads(line) for line in (both / "log.jsonl").read_text().splitlines()]
    assert -1 <= log[-1]["identity_held"] <= 1 and -1 <= log[-1]["identity_input"] <= 1


def test_parts_of_a_batch_add_up_to_the_whole(head, tmp_path):
    """Without batch norm; noise and penalty draw anew for each part, so there are none here."""
    settings = TINY | {"norm": "none", "noise": "0", "gp": "0"}
    for name, accumulate in (("one", 1), ("two", 2)):
        run(tpgan, head, tmp_path / name, steps=1, settings=settings, accumulate=accumulate)
    a, b = (torch.load(tmp_path / n / "last.ckpt", weights_only=True) for n in ("one", "two"))
    for part in ("optimizer", "critic_optimizer"):  # Adam's first momentum is the gradient's, as yet
        for number, state in a[part]["state"].items():
            mine, theirs = state["exp_avg"], b[part]["state"][number]["exp_avg"]
            assert (mine - theirs).norm() <= 0.01 * mine.norm() + 1e-7


def test_likeness_is_nothing_for_the_very_picture():
    half = torch.rand(2, 3, 128, 64) * 2 - 1
    front = torch.cat((half, half.flip(-1)), -1)
    scales = (front, F.avg_pool2d(front, 2), F.avg_pool2d(front, 4))
    parts = tuple(front[..., t : t + h, left : left + w] for left, t, w, h in BOXES[5])
    terms = tpgan.likeness(Answers(scales, parts, None, half), front, BOXES[5])
    assert {k for k, v in terms.items() if v < 1e-7} == {"pixel", "parts", "symmetry"}
    skewed = front.clone()
    skewed[..., :64] += 0.5
    off = tpgan.likeness(Answers((skewed, *scales[1:]), parts, None, half), front, BOXES[5])
    assert off["symmetry"] > 0.4 and off["pixel"] == pytest.approx(0.25, abs=1e-4) and off["parts"] < 1e-7


def test_the_judge_is_a_net_that_tells_people_apart(judge):
    row = row_of(judge)
    assert row is not None and (row.task, row.arch, row.color) == ("face", "facenet.FaceNet", "gray")
    identity = tpgan.Identity(str(judge.parent), torch.device("cpu"))
    x = torch.rand(2, 3, 128, 128, requires_grad=True)
    torch.testing.assert_close(identity.cosine(x, x), torch.ones(2))
    assert identity.distance(x, x.detach()) < 1e-6
    identity.distance(x, torch.rand(2, 3, 128, 128)).backward()
    assert x.grad is not None and x.grad.any()
    assert not any(p.requires_grad for p in identity.net.parameters())


def test_verification_finds_the_best_threshold():
    people = F.normalize(torch.eye(4)[:, None] + 0.01 * torch.randn(4, 3, 4), dim=-1)
    assert faceid.verification(people) == 1
    torch.manual_seed(0)
    assert 0.5 <= faceid.verification(F.normalize(torch.randn(20, 3, 64), dim=-1)) < 0.65


def test_check_shows_what_training_would_see(head, folder, tmp_path, capfd):
    check_data("tpgan", (head, folder), {}, tmp_path / "run", Console())
    assert cv2.imread(str(tmp_path / "run/check.png")).shape == (6 * 128, 8 * 128, 3)
    assert "4 pairs of 2 people in folders" in capfd.readouterr().err
    (folder / "p0" / "side_9.png").write_bytes(b"nothing")
    lines = tpgan.check((folder,), tpgan.Config(), tmp_path / "sheet.png")
    (folder / "p0" / "side_9.png").unlink()
    assert any("side_9.png" in line for line in lines)
    assert "1" in faceid.check((head,), faceid.Config(), tmp_path / "other.png")[0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"landmarks": "7"}, "neither 5 nor 68"),
        ({"norm": "layer"}, "no norm"),
        ({"upsample": "x"}, "no upsample"),
    ],
)
def test_unknown_settings_are_told(head, tmp_path, settings, words):
    with pytest.raises(UsageError, match=words):
        run(tpgan, head, tmp_path / "run", steps=1, settings=TINY | settings)


def test_what_is_missing_is_told(head, folder, tmp_path):
    with pytest.raises(InputError, match="rendered faces alone"):
        run(faceid, folder, tmp_path / "a", steps=1, settings=FACEID)
    with pytest.raises(InputError, match="no such head file"):
        run(tpgan, tmp_path / "gone.npz", tmp_path / "b", steps=1)
    with pytest.raises(WeightsError):
        run(
            tpgan, head, tmp_path / "c", steps=1, settings=TINY | {"face": str(tmp_path / "gone.safetensors")}
        )
    with pytest.raises(UsageError, match="too many to be told apart"):
        run(tpgan, head, tmp_path / "d", steps=1, settings=TINY | {"classify": "1", "people": "20000"})
