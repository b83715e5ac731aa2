"""A net between two: its weights, its row, what cannot be mixed, and the options of upscale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from cli_kit import call, photo
from PIL import Image
from torch import nn

from gantool import cache, interpolation, loading
from gantool.catalog import Catalog, Checkpoint
from gantool.errors import ExitCode, UsageError
from gantool.interpolation import Between
from gantool.models.srresnet import MSRResNet, SRResNet
from gantool.models.srvgg import SRVGGNetCompact
from gantool.selection import Choice

ARGS = {"num_feat": 4, "num_conv": 1, "upscale": 2}


def row(name: str, **values: object) -> Checkpoint:
    usual: dict = {"arch": "srvgg.SRVGGNetCompact", "args": ARGS, "scale": 2, "radius": 3}
    return Checkpoint(name, "upscale", **(usual | values))


def net(seed: int) -> SRVGGNetCompact:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SRVGGNetCompact(**ARGS).eval()  # type: ignore[arg-type]


def near(base: nn.Module, seed: int) -> nn.Module:
    """What fine-tuning makes of a net: a little moved."""
    moved = net(seed)
    with torch.no_grad():
        for mine, its in zip(moved.parameters(), base.parameters(), strict=True):
            mine.mul_(0.3).add_(its)
    return moved


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    first = net(0)
    rows = (
        row("a-psnr", licence="MIT", commercial=True, dtypes=("bf16", "fp16")),
        row("b-gan", licence="CC-BY-NC-4.0", dtypes=("bf16",)),
    )
    paths = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for path, one, its in zip(paths, (first, near(first, 1)), rows, strict=True):
        loading.save_model(path, one, its)
    return paths


def select(
    first: Path | str, second: Path | str, mix: float = 0.8, catalog: Catalog = Catalog(())
) -> Between:
    return interpolation.select((str(first), str(second)), mix, "upscale", catalog=catalog)


# ---- weights


@pytest.mark.parametrize("mix", [0.0, 0.25, 0.8, 1.0])
def test_every_weight_lies_between(mix):
    a, b = net(0), near(net(0), 1)
    mixed = net(0)
    assert interpolation.interpolate(mixed, b, mix)
    for name, value in mixed.state_dict().items():
        expected = (1 - mix) * a.state_dict()[name] + mix * b.state_dict()[name]
        assert torch.allclose(value, expected, atol=1e-7)
        if mix in (0, 1):
            assert torch.equal(value, (b if mix else a).state_dict()[name])


def test_statistics_are_mixed_and_counters_stay():
    a, b = SRResNet(2, 4, 1), SRResNet(2, 4, 1)
    a.load_state_dict({k: torch.full_like(v, 2) for k, v in a.state_dict().items()})
    b.load_state_dict({k: torch.full_like(v, 4) for k, v in b.state_dict().items()})
    interpolation.interpolate(a, b, 0.5)
    state = a.state_dict()
    assert state["block2.bn1.running_var"].eq(3).all() and state["block1.0.weight"].eq(3).all()
    assert state["block2.bn1.num_batches_tracked"].item() == 2


def test_strangers_are_noticed():
    assert not interpolation.interpolate(net(0), net(5), 0.5)
    assert interpolation.interpolate(net(0), near(net(0), 5), 0.5)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: MSRResNet(num_feat=4, num_block=1, upscale=2), "unlike architectures.*SRVGG.*MSRResNet"),
        (lambda: SRVGGNetCompact(num_feat=6, num_conv=1, upscale=2), r"unlike sizes \(body.0.weight\)"),
        (lambda: SRVGGNetCompact(num_feat=4, num_conv=2, upscale=2), "unlike sizes"),
    ],
)
def test_nets_that_do_not_fit_are_told_apart(other, words):
    before = {k: v.clone() for k, v in net(0).state_dict().items()}
    mixed = net(0)
    with pytest.raises(UsageError, match=words):
        interpolation.interpolate(mixed, other(), 0.5)
    assert all(torch.equal(v, before[k]) for k, v in mixed.state_dict().items())


# ---- rows


def test_the_stricter_licence_counts():
    free, fair = row("a", licence="MIT", commercial=True), row("c", licence="Apache-2.0", commercial=True)
    strict = row("b", licence="CC-BY-NC-4.0")
    for first, second in ((free, strict), (strict, free)):
        mixed = interpolation.mixed_row(first, second, 0.8)
        assert (mixed.licence, mixed.commercial) == ("CC-BY-NC-4.0", False)
    both = interpolation.mixed_row(free, fair, 0.8)
    assert (both.licence, both.commercial) == ("MIT and Apache-2.0", True)
    assert interpolation.mixed_row(free, free, 0.8).licence == "MIT"


def test_the_row_between():
    first = row("a", dtypes=("bf16", "fp16"), radius=5, multiple=2, sha256="0" * 64, recommended=("cpu",))
    second = row("b", dtypes=("bf16",), radius=7, multiple=4)
    mixed = interpolation.mixed_row(first, second, 0.8)
    assert mixed.name == "0.2 a + 0.8 b"
    assert (mixed.dtypes, mixed.radius, mixed.multiple) == (("bf16",), 7, 4)
    assert mixed.sha256 == "" and mixed.recommended == ()
    assert interpolation.mixed_row(first, row("c", radius=None), 0.5).radius is None


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"scale": 4}, "a enlarges x2 and b x4"),
        ({"arch": "rrdbnet.RRDBNet"}, "a is SRVGGNetCompact, b is RRDBNet"),
        ({"args": ARGS | {"num_feat": 8}}, "a has num_feat 4, b 8"),
        ({"value_range": 255.0}, "a has value_range 1.0, b 255.0"),
    ],
)
def test_rows_that_do_not_fit_are_refused_before_anything_is_fetched(other, words):
    missing = {"source": "hub", "repo": "x/y", "file": "f.pth", "revision": "main"}
    catalog = Catalog((row("a", **missing), row("b", **(missing | other))))
    with pytest.raises(UsageError, match=words):
        select("a", "b", catalog=catalog)


@pytest.mark.parametrize("mix", [-0.1, 1.5, float("nan")])
def test_beyond_the_two_is_refused(pair, mix):
    with pytest.raises(UsageError, match="from 0 to 1"):
        select(*pair, mix)


def test_bytes_to_fetch_are_those_of_the_missing_ones(pair):
    missing = {"source": "hub", "repo": "x/y", "file": "f.pth", "revision": "main", "bytes": 1000}
    catalog = Catalog((row("far", **missing), row("farther", **(missing | {"bytes": 500}))))
    assert select(*pair).choice.path is not None
    one, two = select(pair[0], "far", catalog=catalog), select("far", "farther", catalog=catalog)
    assert one.choice.path is None and one.choice.row.bytes == 1000
    assert two.choice.path is None and two.choice.row.bytes == 1500


def test_what_is_missing_is_fetched(pair):
    fetched = []

    def fetch(row: Checkpoint) -> Path:
        fetched.append(row.name)
        return pair[1]

    far = row("far", source="hub", repo="x/y", file="f.pth", revision="main")
    between = Between(select(*pair).first, Choice(far, None), 1.0)
    loaded, mixed = between.load(fetch=fetch)
    assert fetched == ["far"] and mixed.name == "0 a-psnr + 1 far"
    x = torch.rand(1, 3, 6, 6)
    assert torch.equal(loaded(x), near(net(0), 1)(x))
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())


def test_bare_files_of_one_spelling_or_two(tmp_path):
    """Which net a bare file holds is known only when it is read."""
    first = MSRResNet(num_feat=4, num_block=1, upscale=2)
    theirs = {
        k.replace("body.", "recon_trunk.").replace("conv_hr.", "HRconv."): v * 1.1
        for k, v in first.state_dict().items()
    }
    torch.save(first.state_dict(), tmp_path / "ours.pth")
    torch.save({"params": theirs}, tmp_path / "kair.pth")
    torch.save(net(0).state_dict(), tmp_path / "compact.pth")
    mixed, its = select(tmp_path / "ours.pth", tmp_path / "kair.pth", 0.5).load()
    assert torch.allclose(mixed.state_dict()["conv_hr.weight"], first.conv_hr.weight * 1.05)
    assert (its.scale, its.name) == (2, "0.5 ours + 0.5 kair")
    with pytest.raises(UsageError, match="ours is MSRResNet, compact is SRVGGNetCompact"):
        select(tmp_path / "ours.pth", tmp_path / "compact.pth").load()


def test_foreign_nets(tmp_path):
    from spandrel.architectures.ESRGAN import ESRGAN

    made = ESRGAN(num_filters=4, num_blocks=1, scale=2, plus=True).state_dict()
    torch.save(made, tmp_path / "a.pth")
    torch.save({k: v * 1.2 for k, v in made.items()}, tmp_path / "b.pth")
    torch.save(net(0).state_dict(), tmp_path / "compact.pth")
    mixed, its = select(tmp_path / "a.pth", tmp_path / "b.pth", 0.5).load()
    assert torch.allclose(mixed.state_dict()["model.0.weight"], made["model.0.weight"] * 1.1)
    assert its.scale == 2
    with pytest.raises(UsageError, match="a is ESRGAN, recognised by spandrel, compact is SRVGGNetCompact"):
        select(tmp_path / "a.pth", tmp_path / "compact.pth").load()


# ---- the options


@pytest.fixture
def here(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    photo(work / "photo.png", 12, 10, gray=False)
    return work


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_upscale_with_a_net_between(here, pair, capfd):
    def run(out: str, *words: object) -> dict:
        done = call(capfd, "upscale", "photo.png", "-o", out, "--json", "--precision", "fp32", *words)
        assert done.code == 0, done.err
        return done.records[0]

    run("a.png", "--model", pair[0])
    run("b.png", "--model", pair[1])
    zero = run("zero.png", "--interpolate", *pair, "--mix", 0)
    run("one.png", "--interpolate", *pair, "--mix", 1)
    half = run("half.png", "--interpolate", *pair, "--mix", 0.5)
    assert zero["model"] == "1 a-psnr + 0 b-gan" and half["model"] == "0.5 a-psnr + 0.5 b-gan"
    assert np.array_equal(pixels("zero.png"), pixels("a.png"))
    assert np.array_equal(pixels("one.png"), pixels("b.png"))
    assert not np.array_equal(pixels("half.png"), pixels("a.png"))
    assert not np.array_equal(pixels("half.png"), pixels("b.png"))
    assert run("usual.png", "--interpolate", *pair)["model"] == "0.2 a-psnr + 0.8 b-gan"
    with Image.open("usual.png") as image:
        assert any("0.2 a-psnr + 0.8 b-gan" in str(text) for text in image.info.values())


def test_a_plan_with_a_net_between(here, pair, capfd):
    done = call(capfd, "upscale", "photo.png", "--interpolate", *pair, "--dry-run")
    assert done.code == 0 and "model 0.2 a-psnr + 0.8 b-gan, nothing to download" in done.out


def test_two_trainings_that_are_strangers_are_mixed_with_a_warning(here, pair, capfd):
    loading.save_model("c.safetensors", net(9), row("c"))
    done = call(capfd, "upscale", "photo.png", "--interpolate", pair[0], "c.safetensors", "--json")
    assert done.code == 0
    assert "a-psnr and c were not made from one another" in done.records[0]["warnings"][0]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--interpolate", "{a}", "{b}", "--model", "builtin"), ExitCode.USAGE, "contradicts --model"),
        (("--mix", "0.5"), ExitCode.USAGE, "--interpolate A B"),
        (("--interpolate", "{a}", "{b}", "--mix", "1.5"), ExitCode.USAGE, "--mix"),
        (("--interpolate", "{a}"), ExitCode.USAGE, "--interpolate"),
        (("--interpolate", "{a}", "--mix", "0.5"), ExitCode.USAGE, "--interpolate takes two models"),
        (("--interpolate", "{a}", "gone.pth"), ExitCode.WEIGHTS, "gone.pth"),
        (("--interpolate", "{a}", "upscale-compact-x4"), ExitCode.USAGE, "unlike scales"),
        (("--interpolate", "{a}", "upscale-compact-x2"), ExitCode.USAGE, "do not fit each other"),
        (("--interpolate", "{a}", "colorize-unet"), ExitCode.USAGE, "for colorize, not for upscale"),
        (("--interpolate", "{a}", "realesr-genral-x4v3"), ExitCode.USAGE, "Did you mean"),
    ],
)
def test_requests_that_make_no_sense(here, pair, capfd, words, code, message):
    words = [word.format(a=pair[0], b=pair[1]) for word in words]
    done = call(capfd, "upscale", "photo.png", *words)
    assert done.code == code and message in done.err and "Traceback" not in done.err
    assert sorted(p.name for p in here.iterdir()) == ["photo.png"]


def test_the_python_function_takes_two_models_too(pair):
    import gantool

    image = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    names = str(pair[0]), str(pair[1])
    between = gantool.load("upscale", interpolate=names, mix=1, precision="fp32", device="cpu")
    second = gantool.load("upscale", names[1], precision="fp32", device="cpu")
    assert between.model == "0 a-psnr + 1 b-gan"
    large = gantool.upscale(image, pipeline=between)
    assert large.shape == (12, 16, 3) and np.array_equal(large, gantool.upscale(image, pipeline=second))
    with pytest.raises(UsageError, match="contradicts"):
        gantool.load("upscale", names[0], interpolate=names)


# ---- --denoise-strength


@pytest.fixture
def general(pair, monkeypatch) -> None:
    """The two nets of Real-ESRGAN's releases, small, and as if they were built in."""
    names = {"realesr-general-x4v3": 3, "realesr-general-wdn-x4v3": 7}
    place = {name: pair[0].with_name(f"{name}.safetensors") for name in names}
    for name, seed in names.items():  # not made from one another
        loading.save_model(place[name], net(seed), row(name))
    rows = [
        row(name, source="builtin", file=path.name, sha256=cache.sha256(path)) for name, path in place.items()
    ]
    monkeypatch.setattr("gantool.catalog.load_catalog", lambda: Catalog(tuple(rows)))
    monkeypatch.setattr(cache, "builtin_file", lambda row: place[row.name])


def test_denoise_strength_mixes_as_real_esrgan_does(here, general, pair, capfd):
    made = {}
    for strength in (0, 0.25, 1):
        words = "--model", "realesr-general-x4v3", "--denoise-strength", strength, "--precision", "fp32"
        done = call(capfd, "upscale", "photo.png", "-o", f"{strength}.png", "--json", *words)
        assert done.code == 0 and "warning" not in done.err, done.err
        made[strength] = done.records[0]["model"]
    assert made == {
        0: "realesr-general-wdn-x4v3",
        0.25: "0.75 realesr-general-wdn-x4v3 + 0.25 realesr-general-x4v3",
        1: "realesr-general-x4v3",
    }
    general_net, noisy = net(3), net(7)
    for mine, its in zip(general_net.parameters(), noisy.parameters(), strict=True):
        mine.data = 0.25 * mine.data + 0.75 * its.data
    x = torch.from_numpy(pixels("photo.png")).movedim(-1, 0)[None].float() / 255
    with torch.no_grad():
        expected = (general_net(x).clamp(0, 1)[0].movedim(0, -1) * 255).numpy()
    assert np.abs(pixels("0.25.png") - expected).max() <= 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--denoise-strength is for one model only. Add --model realesr-general-x4v3"),
        (("--model", "realesr-general-wdn-x4v3"), "for one model only"),
        (("--interpolate", "a", "b"), "contradicts --interpolate"),
    ],
)
def test_denoise_strength_is_for_one_model(here, general, capfd, words, said):
    done = call(capfd, "upscale", "photo.png", "--denoise-strength", 0.5, *words)
    assert done.code == ExitCode.USAGE and said in done.err
