"""The style recipes on a few small photographs: they learn, resume bit for bit, and give styles."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gantool import textures
from gantool.catalog import load_catalog
from gantool.data import step_rng
from gantool.errors import ExitCode, InputError, UsageError
from gantool.loading import load, save_model
from gantool.models.microast import MicroAST
from gantool.pipelines.style import Style, build
from gantool.recipes import adain, fast_style
from gantool.selection import select
from gantool.training import TrainRequest, trained_row

RECIPES = {"adain": adain, "fast_style": fast_style}
SMALL = {
    "adain": {"width": "4", "crop": "32", "batch": "2", "holdout": "2"},
    "fast_style": {
        "width": "4",
        "blocks": "1",
        "crop": "32",
        "batch": "2",
        "holdout": "2",
        "style_size": "64",
    },
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """``photos``: twenty smooth pictures of 64 px; ``art``: three textures of 48 to 80 px."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name in ("photos", "art"):
        (root / name).mkdir()
    for number in range(20):
        image = cv2.resize(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8), (64, 64))
        cv2.imwrite(str(root / f"photos/{number:02d}.png"), image)
    for number in range(3):
        cv2.imwrite(str(root / f"art/{number}.png"), textures.texture(48 + 16 * number, step_rng(number)))
    return root


def settings_of(task: str, folders: Path, **values: str) -> dict[str, str]:
    own = {"styles": str(folders / "art")} if task == "adain" else {"style": str(folders / "art/2.png")}
    return SMALL[task] | own | values


def run(task, folders, out, **values):
    values.setdefault("settings", settings_of(task, folders))
    photos = (folders / "photos",)
    request = TrainRequest(task, photos, out, device="cpu", precision="fp32", threads=1, **values)
    return RECIPES[task].train(request)


def scores(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(x) for x in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "held" in line]


@pytest.mark.parametrize("task", RECIPES)
def test_resumed_run_equals_unbroken_one_bit_for_bit(task, folders, tmp_path):
    run(task, folders, tmp_path / "whole", steps=4, seed=3)
    run(task, folders, tmp_path / "parts", steps=4, seed=3, stop_after=2)
    run(task, folders, tmp_path / "parts", resume=tmp_path / "parts", settings={})
    a, b = (torch.load(tmp_path / n / "last.ckpt", weights_only=True) for n in ("whole", "parts"))
    assert a["step"] == b["step"] == 4
    for part in ("net", "ema"):
        assert all(torch.equal(a[part][k], b[part][k]) for k in a[part])


@pytest.mark.parametrize("task", RECIPES)
def test_it_learns_and_the_style_pipeline_uses_it(task, folders, tmp_path):
    plain = (
        {"textures": "0", "photos": "0", "recolor": "0", "net": "microast"}
        if task == "adain"
        else {"content": "1"}
    )
    settings = settings_of(task, folders, lr="3e-3", ema="0.9", **plain)
    path = run(task, folders, tmp_path / "My Run", steps=50, sample_every=10, settings=settings)
    held = [line["held"] for line in scores(tmp_path / "My Run")]
    assert len(held) == 5 and held[-1] < 0.93 * held[0]
    sheet = cv2.imread(str(tmp_path / "My Run/samples/0000050.png"))
    assert sheet is not None and sheet.shape[:2] == (64, 32 * (3 if task == "adain" else 2))
    assert (tmp_path / "My Run/best.safetensors").is_file()
    choice = select(str(path.parent), "style", catalog=load_catalog())
    net, row = load(choice.row, path)
    assert row.name == "my-run" and row.whole and row.multiple == 4
    styles = [Style(folders / "art/1.png")] if task == "adain" else []
    x = torch.rand(1, 3, 33, 41, generator=torch.Generator().manual_seed(0))
    y = build(net, row, device=torch.device("cpu"), styles=styles)(x)
    assert y.shape == x.shape and (y - x).abs().mean() > 0.02


@pytest.mark.parametrize("name", ["microast", "adain"])
def test_nets_of_the_papers_and_styles_without_paintings(name, folders, tmp_path):
    settings = SMALL["adain"] | {"net": name, "textures": "0.5", "photos": "0.5"}
    path = run("adain", folders, tmp_path / "run", steps=2, settings=settings)
    net, row = load(select(str(path), "style", catalog=load_catalog()).row, path)
    assert (row.arch, row.multiple) == {"adain": ("adain.AdaIN", 8), "microast": ("microast.MicroAST", 4)}[
        name
    ]
    assert net(torch.rand(1, 3, 32, 32), net.style(torch.rand(1, 3, 32, 32))).shape == (1, 3, 32, 32)


@pytest.fixture
def teacher(tmp_path) -> Path:
    """A net whose every result is one red."""
    net = MicroAST(2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.decoder.dec3[-1].conv_layer.bias.copy_(torch.tensor([0.9, 0.1, 0.1]))  # type: ignore[union-attr]
    save_model(tmp_path / "red.safetensors", net, _row(MicroAST))
    return tmp_path / "red.safetensors"


def _row(kind: type) -> object:
    from gantool.training import Run

    run = Run(Path("red"), 1, 0, {}, False)
    return trained_row(run, task="style", arch=f"microast.{kind.__name__}", args={"width": 2}, multiple=4)


def test_a_teacher_is_imitated(folders, tmp_path, teacher):
    nothing = {"content": "0", "moments": "0", "gram": "0", "tv": "0", "own": "0", "lr": "1e-2", "ema": "0"}
    nothing |= {"net": "microast", "likeness": "0"}
    settings = settings_of("adain", folders, teacher=str(teacher), **nothing)
    path = run("adain", folders, tmp_path / "run", steps=40, settings=settings)
    net, _ = load(select(str(path), "style", catalog=load_catalog()).row, path)
    y = net(torch.rand(1, 3, 32, 32), net.style(torch.rand(1, 3, 32, 32))).mean((0, 2, 3))
    assert torch.allclose(y, torch.tensor([0.9, 0.1, 0.1]), atol=0.15)


class Weaver(torch.nn.Module):
    """Gives back what it sees, with lines of four pixels where it begins to count."""

    def style(self, picture):
        return ()

    def forward(self, x, style):
        rows, columns = (torch.arange(side) % 4 == 0 for side in x.shape[-2:])
        return x + 0.2 * rows[:, None] - 0.2 * columns


def test_the_grid_of_a_teacher_is_not_learnt():
    y, x = torch.meshgrid(torch.linspace(0.3, 0.7, 32), torch.linspace(0.3, 0.7, 40), indexing="ij")
    content = torch.stack((x, y, 1 - x))[None]
    woven = adain.taught(Weaver(), content, content)
    plain = adain.taught(Weaver(), content, content, shifts=4)
    assert (woven - content).abs().mean() > 0.06
    assert torch.allclose(plain, content, atol=1e-5)


def test_contents_that_are_their_own_style_come_back(folders, tmp_path):
    weights = {"content": "0", "moments": "0", "gram": "0", "tv": "0", "own": "1", "identity": "10"}
    settings = settings_of("adain", folders, lr="2e-3", ema="0.9", **weights)
    run("adain", folders, tmp_path / "run", steps=40, settings=settings)
    lines = [json.loads(x) for x in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    errors = [line["identity"] for line in lines if "identity" in line]
    assert errors[-1] < 0.7 * errors[0]


@pytest.mark.parametrize(
    ("task", "values", "error", "sentence"),
    [
        ("adain", {"net": "vgg"}, UsageError, "no style net called 'vgg'"),
        ("adain", {"crop": "36"}, UsageError, "not a multiple of 8"),
        ("adain", {"textures": "0.7", "photos": "0.7"}, UsageError, "more than all styles"),
        ("adain", {"styels": "x"}, UsageError, "unknown parameter 'styels'"),
        ("adain", {"styles": "nowhere"}, InputError, "no such file or folder"),
        ("adain", {"teacher": "colorize-unet"}, UsageError, "is for colorize"),
        ("fast_style", {"crop": "34"}, UsageError, "not a multiple of 4"),
        ("fast_style", {"style": ""}, UsageError, "no style to learn"),
        ("fast_style", {"style": "nowhere.jpg"}, InputError, "no such style picture"),
        ("fast_style", {"style": __file__}, InputError, "cannot be read"),
    ],
)
def test_what_cannot_be_trained_is_refused(task, values, error, sentence, folders, tmp_path):
    with pytest.raises(error, match=sentence):
        run(task, folders, tmp_path / "run", steps=1, settings=settings_of(task, folders, **values))


def test_a_net_of_one_style_is_no_teacher(folders, tmp_path):
    path = run("fast_style", folders, tmp_path / "one", steps=1)
    with pytest.raises(UsageError, match="no net that takes any style"):
        run("adain", folders, tmp_path / "run", steps=1, settings={"teacher": str(path)} | SMALL["adain"])


def test_styles_are_drawn_in_the_shares_asked_for(folders):
    config = adain.Config(crop=32, textures=0.5, photos=0.25, recolor=0)
    photos = sorted((folders / "photos").iterdir())
    sources = adain.Sources(photos, sorted((folders / "art").iterdir()), config)
    drawn = {"photos": 0, "paintings": 0}
    for name in drawn:
        items = getattr(sources, name)
        load = items.load

        def counted(key, name=name, load=load):
            drawn[name] += 1
            return load(key)

        items.load, items.cache_bytes = counted, 0
    for number in range(400):
        assert sources.style(step_rng(number)).shape == (32, 32, 3)
    assert 70 < drawn["photos"] < 130 and 70 < drawn["paintings"] < 130


def test_check_looks_at_the_styles_too(folders, tmp_path, capfd):
    from cli_kit import call

    for task, name, count in (("adain", "styles=art", 23), ("fast_style", "style=art/2.png", 21)):
        value = f"{name.partition('=')[0]}={folders / name.partition('=')[2]}"
        words = ["train", "--task", task, folders / "photos", "--set", value, "--set", "crop=48", "--check"]
        done = call(capfd, *words, "-o", tmp_path / task)
        assert done.code == 0 and f"{count} to train on" in done.err
        assert (tmp_path / task / "check.png").is_file()


def test_check_misses_the_style_that_a_training_would_miss(folders, tmp_path, capfd):
    from cli_kit import call

    words = ["train", "--task", "fast_style", folders / "photos", "-o", tmp_path / "run", "--check"]
    done = call(capfd, *words)
    assert done.code == ExitCode.USAGE and "no style to learn. Give --set style=PICTURE" in done.err
    assert not (tmp_path / "run").exists()
