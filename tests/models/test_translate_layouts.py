"""Translation nets of other programs against a record made with those programs.

``translate_layouts.json`` was recorded (see known_weights) from animegan2-pytorch, yunjey/stargan,
mit-han-lab/gan-compression, and a transcription of HugGAN's U-Net with fewer channels; each picture was given
together with its mirror image, StarGAN's with the labels below.
"""

from __future__ import annotations

import importlib
import json
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from known_weights import figures, fill, picture

from gantool import legacy, loading
from gantool.catalog import Checkpoint
from gantool.errors import UsageError
from gantool.models.animegan import AnimeGANv2
from gantool.models.huggan_unet import HugganUnet
from gantool.models.mobile_resnet import MobileResnetGenerator
from gantool.models.stargan import CELEBA, StarGAN
from gantool.pipelines.translate import build

RECORD = json.loads((Path(__file__).parent / "translate_layouts.json").read_text(encoding="utf-8"))
LABELS = torch.tensor([[0, 1, 0, 0, 1.0], [1, 0, 0, 1, 0]])


def made(entry):
    module, name = entry["arch"].split(".")
    return getattr(importlib.import_module(f"gantool.models.{module}"), name)(**entry["args"]).eval()


def original(entry):
    """The state dict that the original net was given."""
    return fill(
        {
            name: torch.zeros(shape, dtype=torch.long if name.endswith("tracked") else torch.float32)
            for name, shape in entry["keys"].items()
        }
    )


@pytest.mark.parametrize("case", RECORD)
def test_names_shapes_and_outputs_are_the_original_ones(case):
    entry = RECORD[case]
    net, state = made(entry), original(entry)
    assert {name: list(value.shape) for name, value in net.state_dict().items()} == entry["keys"]
    net.load_state_dict(state, strict=True)
    for expected in entry["outputs"]:
        x = picture(3, *expected["size"])
        x = torch.cat((x, x.flip(-1)))
        with torch.no_grad():
            found = figures(net(x, LABELS) if isinstance(net, StarGAN) else net(x))
        close = 1e-4 * expected["std"]
        assert found["shape"] == expected["shape"]
        assert found["values"] == pytest.approx(expected["values"], abs=max(close, 1.1e-5))
        assert found["mean"] == pytest.approx(expected["mean"], abs=close)
        assert found["std"] == pytest.approx(expected["std"], abs=close)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("case", RECORD)
def test_a_file_is_recognised_and_runs_at_odd_sizes(case, prefix, tmp_path):
    entry, path = RECORD[case], tmp_path / "net.pth"
    torch.save(OrderedDict((prefix + name, value) for name, value in original(entry).items()), path)
    net, row = loading.load(Checkpoint("x", "translate", file=str(path)), path)
    assert row.arch == entry["arch"] and row.signed
    x = (picture(3, 21, 27) + 1) / 2
    with torch.no_grad():
        to = ["Male"] if "StarGAN" in case else None
        y = build(net, row, device=torch.device("cpu"), to=to)(x)
    assert y.shape == x.shape and y.std() > 0.005


def test_full_sizes_are_those_of_the_released_files():
    sizes = [
        (AnimeGANv2, {}, 77, 2_143_552),
        (StarGAN, {}, 103, 8_430_528),
        (HugganUnet, {}, 17, 54_404_099),
        (MobileResnetGenerator, {}, 84, 1_987_075),
        (
            MobileResnetGenerator,
            {"down": (16, 32, 128), "inner": (64,) * 3 + (128,) * 6, "up": (32, 16)},
            84,
            356_867,
        ),
    ]
    for kind, args, keys, params in sizes:
        with torch.device("meta"):
            net = kind(**args)
        assert len(net.state_dict()) == keys
        assert sum(p.numel() for p in net.parameters()) == params


def stargan_pytorch(name: str, blocks: int) -> str:
    """A name of yunjey's file as StarGAN-PyTorch spells it."""
    _, number, rest = name.split(".", 2)
    n = int(number)
    if 9 <= n < 9 + blocks:
        return f"trunk.{n - 9}.{rest}"
    for part, start in (("last_layer", 15 + blocks), ("up_sampling", 9 + blocks), ("down_sampling", 3)):
        if n >= start:
            return f"{part}.{n - start}.{rest}"
    return f"first_layer.{n}.{rest}"


def test_stargan_s_second_spelling_and_files_without_counters():
    net = StarGAN(width=4, blocks=3)
    state = {k: v for k, v in net.state_dict().items() if not k.endswith("tracked")}
    second = {stargan_pytorch(name, 3): value for name, value in state.items()}
    assert {"first_layer.0.weight", "down_sampling.3.weight", "trunk.2.main.4.bias"} < set(second)
    assert {"up_sampling.4.running_var", "last_layer.0.weight"} < set(second)
    for spelling in (state, second):
        assert StarGAN.own_names(spelling).keys() == net.state_dict().keys()
        found = legacy.recognise(spelling)
        assert found is not None and found.args == {"labels": list(CELEBA), "width": 4, "blocks": 3}


def test_stargan_gives_what_it_is_aimed_at():
    torch.manual_seed(0)
    net = StarGAN(width=4, blocks=1).eval()
    x = picture(3, 8, 12)
    with torch.no_grad():
        net.aim(["blond-hair", "Young "])
        assert net.target == (0, 1, 0, 0, 1)
        assert torch.equal(net(x), net(x, LABELS[:1]))
        assert not torch.equal(net(x), net(x, LABELS[1:]))
        net.aim([])
        assert torch.equal(net(x), net(x, torch.zeros(1, 5)))
    with pytest.raises(ValueError, match="no label 'Red_Hair', only Black_Hair, Blond_Hair"):
        net.aim(["Red_Hair"])


def test_stargan_must_be_told_what_to_make_and_others_must_not():
    net, row = StarGAN(width=4, blocks=1).eval(), Checkpoint("faces", "translate")
    cpu = torch.device("cpu")
    with pytest.raises(
        UsageError, match=r"faces must be told .*--to Black_Hair; there are Black_Hair, Blond"
    ):
        build(net, row, device=cpu)
    with pytest.raises(UsageError, match=r"faces has no label 'Beard', only Black_Hair"):
        build(net, row, device=cpu, to=["Beard"])
    build(net, row, device=cpu, to=["male"])
    assert net.target == (0, 0, 0, 1, 0)
    with pytest.raises(UsageError, match=r"anime has no labels .*Leave out --to"):
        build(AnimeGANv2(4), Checkpoint("anime", "translate"), device=cpu, to=["male"])


@pytest.mark.parametrize("blocks", [1, 3])
def test_stargan_in_eval_mode_sees_no_further_than_its_radius(blocks):
    torch.manual_seed(0)
    net = StarGAN(width=3, blocks=blocks).eval()
    for name, value in net.state_dict().items():  # nothing cancels, nothing saturates
        if value.ndim == 4:
            value.uniform_(0.5, 1).div_(value[0].numel() if "main.main" not in name else 1)
    layout = legacy.recognise(net.state_dict())
    assert layout is not None and layout.radius is not None
    middle = -(-layout.radius // 4) * 4 + 8
    x = (torch.rand(1, 3, 2 * middle, 8) * 0.01).requires_grad_()
    seen = 0
    for phase in range(4):
        (slope,) = torch.autograd.grad(net(x)[0, :, middle + phase].sum(), x)
        rows = slope.abs().sum((0, 1, 3)).nonzero().flatten() - middle - phase
        seen = max(seen, int(-rows.min()), int(rows.max()))
    assert seen == layout.radius


def test_animegan_s_two_ways_of_doubling():
    torch.manual_seed(0)
    net, other = AnimeGANv2(4).eval(), AnimeGANv2(4, align_corners=False).eval()
    other.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert not torch.allclose(net(picture(3, 16, 24)), other(picture(3, 16, 24)), atol=1e-3)
        assert net(picture(3, 9, 11)).shape == (1, 3, 9, 11)
    found = legacy.recognise(net.state_dict())
    assert found is not None and found.args == {"width": 4} and found.whole


@pytest.mark.parametrize(
    "state",
    [
        {"main.0.weight": torch.zeros(4, 3, 7, 7), "main.9.main.0.weight": torch.zeros(1)},
        {"main.0.weight": torch.zeros(4, 8, 7, 7)},
        {"block_a.0.1.weight": torch.zeros(4, 3, 7, 7)},
        {"model.10.conv_block.1.conv.2.weight": torch.zeros(4, 4, 1, 1)},
    ],
    ids=range(4),
)
def test_other_state_dicts_are_not_taken(state):
    assert legacy.recognise(state) is None
