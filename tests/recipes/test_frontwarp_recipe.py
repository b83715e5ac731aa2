"""The recipe that learns where a face's pixels go, on a tiny rendered head."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import heads_kit
import pytest
import torch
import torch.nn.functional as F

from gantool import heads
from gantool.data import step_rng
from gantool.errors import InputError
from gantool.loading import load_net, row_of
from gantool.models.frontwarp import FrontWarp, Moved, places
from gantool.recipes import frontwarp
from gantool.training import TrainRequest

TINY = {"width": "0.25", "batch": "2", "people": "3", "views": "1", "holdout": "1", "identity": "0"}


@pytest.fixture(scope="module")
def head(tmp_path_factory) -> Path:
    return heads_kit.head_file(tmp_path_factory.mktemp("head"))


def run(data: Path, out: Path, **values) -> Path:
    values.setdefault("settings", TINY)
    request = TrainRequest("frontwarp", (data,), out, device="cpu", precision="fp32", threads=1, **values)
    return frontwarp.train(request)


def pair(head: Path, seed: int = 0) -> list[torch.Tensor]:
    item = frontwarp._views(heads.load(head), 0, 1)
    return [torch.from_numpy(part)[None] for part in frontwarp._pair(item, step_rng(seed, 1))]


def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(head, tmp_path):
    run(head, tmp_path / "whole", steps=2, seed=3)
    run(head, tmp_path / "parts", steps=2, seed=3, stop_after=1)
    run(head, tmp_path / "parts", resume=tmp_path / "parts", settings={})
    a, b = (torch.load(tmp_path / n / "last.ckpt", weights_only=True) for n in ("whole", "parts"))
    assert a["step"] == b["step"] == 2
    for part in ("net", "ema"):
        assert all(torch.equal(a[part][k], b[part][k]) for k in a[part])


def test_what_it_exports_is_the_net_with_its_row(head, tmp_path):
    path = run(head, tmp_path / "run", steps=1)
    row = row_of(path)
    assert row is not None and (row.task, row.arch, row.signed) == ("frontalize", "frontwarp.FrontWarp", True)
    assert load_net(row, path)(torch.zeros(1, 3, 128, 128)).shape == (1, 3, 128, 128)
    logged = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()][-1]
    assert {"psnr", "held_l1", "held_l1_input", "held_l1_60"} <= set(logged)
    again = TINY | {"init": str(path)}
    said: list[str] = []
    run(head, tmp_path / "again", steps=1, settings=again, say=said.append)
    assert any(path.name in line for line in said)


def test_the_losses_teach_the_flow(head):
    """On one pair of a rendered person, in a few steps."""
    side, front, corners, at, seen, covered = pair(head)
    torch.manual_seed(0)
    net, terms = FrontWarp(0.25), []
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(15):
        found = frontwarp.closeness(net(side, corners, True), front, at, seen, covered)
        optimizer.zero_grad()
        (0.1 * found["flow"] + found["sources"] + found["paint"]).backward()
        optimizer.step()
        terms.append({name: float(value.detach()) for name, value in found.items()})
    for name in ("flow", "sources", "paint"):
        assert terms[-1][name] < 0.8 * terms[0][name], name


def test_the_truth_costs_nothing(head):
    _, front, _, at, seen, covered = pair(head)
    logits = frontwarp.sources(at, seen).clamp_min(1e-9).log()
    right = Moved(front, at, logits, F.avg_pool2d(front, 2))
    terms = frontwarp.closeness(right, front, at, seen, covered)
    assert terms["flow"] == terms["pixel"] == terms["paint"] == 0
    worse = frontwarp.closeness(right._replace(logits=logits.flip(1)), front, at, seen, covered)
    assert worse["sources"] > 2 * terms["sources"]


def test_sources_are_the_pixel_itself_its_mirror_image_or_paint():
    at, seen = places(8, torch.zeros(1)), torch.ones(1, 8, 8)
    as_it_is = frontwarp.sources(at, seen)
    assert as_it_is[:, 0].min() > 0.9  # where both are as good, the pixel itself
    seen[..., 5:] = 0
    hidden = frontwarp.sources(at, seen)
    assert hidden[:, 1, :, 6:].min() > 0.9 and hidden[:, 0, :, :3].min() > 0.9
    assert frontwarp.sources(at, torch.zeros(1, 8, 8))[:, 2].min() > 0.9
    squeezed = at.clone()
    squeezed[:, 0, :, 4:] = at[:, 0, :, 4:5] + (at[:, 0, :, 4:] - at[:, 0, :, 4:5]) / 4
    everywhere = torch.ones(1, 8, 8)
    assert frontwarp.sources(squeezed, everywhere, own=2)[:, 1, :, 6:].min() > 0.9  # a quarter as dense
    assert frontwarp.sources(squeezed, everywhere, own=8)[:, 0, :, 6:].min() > 0.9


def test_what_is_missing_is_told(head, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="rendered faces alone"):
        run(tmp_path / "folder", tmp_path / "a", steps=1)


def test_check_writes_a_sheet(head, tmp_path):
    lines = frontwarp.check((head,), frontwarp.Config(people=2), tmp_path / "sheet.png")
    assert "2 rendered people" in lines[0]
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None and sheet.shape == (6 * 128, 8 * 128, 3)
