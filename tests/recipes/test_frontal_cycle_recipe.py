"""The way to the front and back: what counts as a pair, going on as if unbroken, what it exports."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import heads_kit
import numpy as np
import pytest
import torch

from gantool import turning
from gantool.errors import InputError, UsageError
from gantool.loading import load_net, row_of
from gantool.models.frontal_cycle import FaceTurner
from gantool.posepairs import Drawn, Faces, pose_of
from gantool.recipes import frontal_cycle
from gantool.training import TrainRequest

TINY = {"size": "32", "ngf": "4", "ndf": "4", "blocks": "1", "batch": "2", "identity": "0", "workers": "0"}


def picture(path: Path, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(small, (48, 48), interpolation=cv2.INTER_CUBIC))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    root, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for person in range(12):
        for name in ("front_0", "left_0", "right_0"):
            picture(root / f"p{person}" / f"{name}.png", rng)
    return root


@pytest.fixture(scope="module")
def loose(tmp_path_factory) -> Path:
    root, rng = tmp_path_factory.mktemp("loose"), np.random.default_rng(1)
    for number in range(4):
        picture(root / "trainA" / f"right_{number}.png", rng)
        picture(root / "trainB" / f"front_{number}.png", rng)
    return root


def run(*data: Path, out: Path, settings=TINY, **values) -> Path:
    request = TrainRequest(
        "frontal_cycle", data, out, settings=settings, device="cpu", precision="fp32", threads=1, **values
    )
    return frontal_cycle.train(request)


def last_line(folder: Path) -> dict[str, float]:
    return json.loads((folder / "log.jsonl").read_text().splitlines()[-1])


def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(pairs, loose, tmp_path):
    run(pairs, loose, out=tmp_path / "whole", steps=2, seed=3)
    run(pairs, loose, out=tmp_path / "parts", steps=2, seed=3, stop_after=1)
    run(pairs, loose, out=tmp_path / "parts", resume=tmp_path / "parts", settings={})
    a, b = (torch.load(tmp_path / n / "last.ckpt", weights_only=True) for n in ("whole", "parts"))
    assert a["step"] == b["step"] == 2
    for part in ("to_front", "to_side", "ema", "critics"):
        assert all(torch.equal(a[part][k], b[part][k]) for k in a[part])


def test_it_exports_the_way_to_the_front(pairs, tmp_path):
    path = run(pairs, out=tmp_path / "run", steps=1)
    row = row_of(path)
    assert row is not None and (row.task, row.arch, row.signed) == (
        "frontalize",
        "frontal_cycle.FaceTurner",
        True,
    )
    net = load_net(row, path)
    assert net.side == 32 and net(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 32, 32)
    assert {"psnr", "held_l1", "held_l1_input"} <= set(last_line(tmp_path / "run"))
    assert cv2.imread(str(tmp_path / "run/samples/0000001.png")) is not None


def test_pairs_alone_faces_without_partners_alone_and_rendered_heads(pairs, loose, tmp_path):
    head = heads_kit.head_file(tmp_path)
    for name, data in (("loose", [loose]), ("head", [head, loose])):
        said: list[str] = []
        run(*data, out=tmp_path / name, steps=1, say=said.append)
        checkpoint = torch.load(tmp_path / name / "last.ckpt", weights_only=True)
        conditional = any(key.startswith("nets.front_of") for key in checkpoint["critics"])
        assert conditional == (name == "head")
        assert any("without a partner" in line for line in said)


def test_the_losses_teach_pairs_and_the_inner_losses_bind_the_rest(pairs, loose):
    """Some steps on one batch: pairs come nearer to their partners, and cycles to where they began."""
    faces = Faces([pairs, loose])
    drawn = Drawn(faces, 32, 0, 0, 0)
    batch = [torch.from_numpy(a) for s in frontal_cycle._sources(drawn, 4, 0) for a in s[0]]
    config = frontal_cycle.Config(size=32, ngf=8, ndf=4, blocks=1, identity=0, percept=0)
    torch.manual_seed(0)
    nets = frontal_cycle.generators_of(config, len(faces.poses))
    critics, game = turning.Critics(4, 2), frontal_cycle.Game(config)
    optimizer = torch.optim.Adam([p for net in nets for p in net.parameters()], 2e-3)

    class Plain:
        autocast = staticmethod(torch.enable_grad)

    asked = turning.Asked(critics, game, None, None, Plain())
    seen = []
    for _ in range(25):
        found = [
            turning.terms(one, *nets, asked, frontal_cycle._TERMS)
            for one in frontal_cycle.kinds_of(batch, faces)
        ]
        assert set(found[0]) - set(found[1]) == {"pixel"}
        sums = {n: torch.stack([t[n] for t in found if n in t]).sum() for n in found[0]}
        optimizer.zero_grad()
        torch.stack([frontal_cycle._weight(config, n) * t for n, t in sums.items()]).sum().backward()
        optimizer.step()
        seen.append({n: t.item() for n, t in sums.items()})
    for name in ("pixel", "cycle", "inner"):
        assert seen[-1][name] < 0.8 * seen[0][name], name


def test_a_pose_is_the_words_of_a_name():
    assert [pose_of(Path(n)) for n in ("left_03.png", "Right 2.jpg", "17.png")] == ["left", "right", "any"]


def test_people_are_kept_out_whole(pairs):
    drawn = Drawn(Faces([pairs]), 32, 0, 1, 0)
    (person,) = drawn.out
    held, scored = drawn.held()
    assert scored and len(held) == 2 and len(drawn.items[0]) == 22
    assert all(str(key.person) != person for key in drawn.items[0].keys)


def test_where_nobody_can_be_spared_samples_show_what_is_learnt(pairs, loose, tmp_path):
    for name, data, shown in (("few", pairs, 8), ("loose", loose, 4)):
        held, scored = Drawn(Faces([data]), 32, 0, 0, 0).held()
        assert not scored and len(held) == shown
        run(data, out=tmp_path / name, steps=1, settings=TINY | {"holdout": "0"})
        assert (tmp_path / name / "samples/0000001.png").is_file()
        assert "held_l1" not in (tmp_path / name / "log.jsonl").read_text()


def test_the_way_back_needs_a_pose():
    net = FaceTurner(32, 4, poses=2, blocks=0)
    x = torch.zeros(2, 3, 32, 32)
    left, right = (net(x, torch.eye(2)[[n, n]]) for n in (0, 1))
    assert not torch.equal(left, right)
    with pytest.raises(ValueError, match="pose code of 2"):
        net(x)
    with pytest.raises(ValueError, match="power of two"):
        FaceTurner(48)


def test_bad_settings_and_nothing_to_learn_from(pairs, tmp_path):
    (tmp_path / "empty").mkdir()
    for key, value in (("size", "48"), ("norm", "layer"), ("gan", "none")):
        with pytest.raises(UsageError):
            run(pairs, out=tmp_path / "run", steps=1, settings=TINY | {key: value})
    with pytest.raises(InputError):
        run(tmp_path / "empty", out=tmp_path / "none", steps=1)


def test_check_shows_pairs_and_the_rest(pairs, loose, tmp_path):
    torn = pairs.parent / "torn"
    torn.mkdir(exist_ok=True)
    picture(torn / "p" / "front_0.png", np.random.default_rng(2))
    (torn / "p" / "left_0.png").write_bytes(b"no picture")
    lines = frontal_cycle.check([pairs, torn, loose], frontal_cycle.Config(size=32), tmp_path / "sheet.png")
    assert "poses: left, right" in lines[0] and any("left_0.png" in line for line in lines[1:])
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None and sheet.shape == (8 * 32, 8 * 32, 3)  # 16 pairs and 16 of the rest
