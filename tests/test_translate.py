"""``gantool translate`` from the command line and from Python: files of all kinds, sizes, films, refusals."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_kit import call, film, names, photo, translator, upscaler
from moving_pictures import scene, view
from PIL import Image
from torch import nn

import gantool
from gantool import cache, degrade, loading, metrics
from gantool.catalog import Catalog, Checkpoint, load_catalog
from gantool.data import read_rgb
from gantool.errors import ExitCode, UsageError
from gantool.models.animegan import AnimeGANv2
from gantool.models.cyclegan import ResnetGenerator
from gantool.models.dped import DPED
from gantool.models.mobile_resnet import MobileResnetGenerator
from gantool.models.pix2pix import UnetGenerator
from gantool.models.stargan import StarGAN

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return translator(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture
def here(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return work


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def one_line(err: str) -> str:
    (line,) = err.splitlines()
    assert line.startswith("gantool: error: ")
    return line


# ---- what is made


@pytest.mark.parametrize("size", [(1, 1), (24, 16), (37, 23), (70, 9)])
def test_any_size_comes_back_in_that_size(here, model, capfd, size):
    photo(here / "a.png", *size, gray=False)
    done = call(capfd, "translate", "a.png", "--model", model)
    assert (done.code, done.out, done.err) == (0, "a.translate.png\n", "")
    assert Image.open("a.translate.png").size == size


def test_a_trained_file_and_its_run_folder_need_no_other_flag(here, model, capfd):
    photo(here / "a.png", 24, 16, gray=False)
    net = ResnetGenerator(blocks=1, ngf=2).eval()
    net.load_state_dict(loading.read_state(model)[0])
    x = torch.from_numpy(pixels("a.png").copy()).movedim(-1, 0)[None] / 127.5 - 1
    with torch.no_grad():
        expected = ((net(x)[0].movedim(0, -1).numpy() + 1) * 127.5).round()
    for spec in (model, model.parent):
        done = call(capfd, "translate", "a.png", "--model", spec, "--overwrite", "--json")
        (record,) = done.records
        assert (record["task"], record["model"], record["width"]) == ("translate", "tiny-g", 24)
        assert np.abs(pixels("a.translate.png") - expected).max() <= 1


def test_strength_mixes_and_zero_returns_the_source(here, model, capfd):
    photo(here / "a.png", 30, 20, gray=False)
    made = {}
    for strength in (0, 0.5, 1):
        name = f"{strength}.png"
        assert (
            call(capfd, "translate", "a.png", "-o", name, "--model", model, "--strength", strength).code == 0
        )
        made[strength] = pixels(name).astype(float)
    assert (made[0] == pixels("a.png")).all() and np.abs(made[1] - made[0]).mean() > 5
    assert np.abs(made[0.5] - (made[0] + made[1]) / 2).max() <= 1


def test_16_bits_and_alpha_are_kept(here, model):
    picture = np.random.default_rng(0).integers(0, 65536, (20, 28, 4), np.uint16)
    made = gantool.translate(picture, model=str(model))
    assert made.dtype == np.uint16 and (made[..., 3] == picture[..., 3]).all()
    assert len(np.unique(made[..., 0])) > 256


def test_python(here, model):
    pipeline = gantool.load("translate", str(model))
    image = Image.fromarray(view(scene(1)))
    made = gantool.translate(image, pipeline=pipeline)
    assert isinstance(made, Image.Image) and made.size == image.size
    assert (np.asarray(made) == np.asarray(gantool.translate(image, model=str(model)))).all()
    assert (
        gantool.translate(np.asarray(image), pipeline=pipeline, strength=0).tolist()
        == view(scene(1)).tolist()
    )
    with pytest.raises(UsageError, match="for translate, not for upscale"):
        gantool.upscale(image, pipeline=pipeline)


# ---- files of other programs


@pytest.mark.parametrize(
    "net",
    [
        UnetGenerator(downs=7, ngf=2),
        UnetGenerator(downs=8, ngf=1, norm="instance"),
        ResnetGenerator(blocks=6, ngf=2),
        ResnetGenerator(blocks=9, ngf=2, norm="batch", dropout=0.5),
        ResnetGenerator(blocks=6, ngf=2, input_nc=1, output_nc=1),
        DPED(6),
        AnimeGANv2(3),
        MobileResnetGenerator((2, 3, 4), (5, 2), (3, 2)),
    ],
    ids=[
        "unet_128 batch",
        "unet_256 instance",
        "resnet_6",
        "resnet_9 batch dropout",
        "grey",
        "DPED",
        "AnimeGANv2",
        "mobile",
    ],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_bare_files_are_recognised_and_run(here, capfd, net, prefix):
    torch.save({prefix + name: value for name, value in net.state_dict().items()}, "latest_net_G.pth")
    photo(here / "a.png", 33, 21, gray=False)
    done = call(capfd, "translate", "a.png", "--model", "latest_net_G.pth", "--json")
    assert done.code == 0, done.err
    assert done.records[0]["model"] == "latest_net_G" and Image.open("a.translate.png").size == (33, 21)
    first = pixels("a.translate.png")
    call(capfd, "translate", "a.png", "--model", "latest_net_G.pth", "--overwrite")
    assert (pixels("a.translate.png") == first).all()  # dropout is off


def test_help_names_the_programs_whose_files_are_recognised(capfd):
    said = " ".join(call(capfd, "translate", "--help").out.split())
    programs = ("pytorch-CycleGAN-and-pix2pix", "GAN Compression", "HugGAN", "AnimeGANv2", "StarGAN", "DPED")
    assert all(name in said for name in programs)


def test_labels_say_what_a_stargan_makes(here, capfd):
    torch.manual_seed(0)
    torch.save(StarGAN(width=4, blocks=1).state_dict(), "g.pth")
    photo(here / "a.png", 33, 21, gray=False)
    made = {}
    for to in ("Blond_Hair,Young", "young, blond-hair", "Male"):
        done = call(capfd, "translate", "a.png", "--model", "g.pth", "--to", to, "--overwrite")
        assert done.code == 0, done.err
        made[to] = pixels("a.translate.png")
    first, same, other = made.values()
    assert (first == same).all() and (first != other).any()
    for none in ((), ("--to", ","), ("--to", "")):
        done = call(capfd, "translate", "a.png", "--model", "g.pth", "-o", "b.png", *none)
        assert done.code == ExitCode.USAGE
        assert "Say it with --to, such as --to Black_Hair; there are Black_Hair, Blond_Hair" in one_line(
            done.err
        )
    done = call(capfd, "translate", "a.png", "--model", "g.pth", "-o", "b.png", "--to", "Beard")
    assert done.code == ExitCode.USAGE and "no label 'Beard', only Black_Hair" in one_line(done.err)
    with pytest.raises(UsageError, match="no label"):
        gantool.translate(view(scene(1))[:64, :96], model="g.pth", to=["Beard"])


def test_batch_norm_unets_use_the_picture_s_own_statistics(here):
    net = UnetGenerator(downs=5, ngf=2, norm="batch", own_statistics=True)
    torch.save(net.state_dict(), "g.pth")
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.add_(5)  # type: ignore[union-attr]
    torch.save(net.state_dict(), "other.pth")
    picture = view(scene(1))[:64, :96]
    made = [gantool.translate(picture, model=name) for name in ("g.pth", "other.pth")]
    assert (made[0] == made[1]).all()


DATA = Path(os.environ.get("GANTOOL_TEST_DATA", "/nowhere"))


@pytest.mark.weights
@pytest.mark.skipif(not (DATA / "weights").is_dir(), reason="GANTOOL_TEST_DATA names no folder of weights")
def test_dped_enhances():
    """The authors' net for phones: a brighter and livelier picture of the same things, without a dark rim."""
    pipeline = gantool.load("translate", str(DATA / "weights/translate/dped_iphone.safetensors"))
    image = Image.open(Path(__file__).parent.parent / "examples/photo.jpg").convert("RGB")
    picture = np.asarray(image.resize((300, 200)))
    made = gantool.translate(picture, pipeline=pipeline)
    assert 14 < metrics.psnr(made, picture) < 30
    assert np.corrcoef(made.mean(-1).ravel(), picture.mean(-1).ravel())[0, 1] > 0.9
    light = made.mean(-1) - picture.mean(-1)
    assert abs(light[:2].mean() - light[10:30].mean()) < 12


# ---- what is refused


def test_wrong_task_in_one_sentence(here, model, capfd):
    photo(here / "a.png")
    torch.save(ResnetGenerator(blocks=6, ngf=2).state_dict(), "bare.pth")
    upscaler(here / "up.safetensors")
    for task, file, words in (
        ("upscale", str(model), "for translate, not for upscale"),
        ("upscale", "bare.pth", "for translate, not for upscale"),
        ("colorize", "bare.pth", "for translate, not for colorize"),
        ("translate", "up.safetensors", "for upscale, not for translate"),
    ):
        done = call(capfd, task, "a.png", "--model", file)
        assert done.code == ExitCode.USAGE and done.out == ""
        line = one_line(done.err)
        assert words in line and f"Use `gantool {words.split()[1].strip(',')}`" in line


def test_a_file_of_several_nets_says_which(here, capfd):
    photo(here / "a.png")
    state = ResnetGenerator(blocks=6, ngf=2).state_dict()
    torch.save({"netG_A2B": state, "netG_B2A": state}, "both.pth")
    done = call(capfd, "translate", "a.png", "--model", "both.pth")
    assert done.code == ExitCode.WEIGHTS
    assert "netG_A2B, netG_B2A" in one_line(done.err)


def test_nets_that_make_no_pictures_are_refused(here, capfd):
    photo(here / "a.png")
    torch.save(UnetGenerator(1, 2, 5, 2).state_dict(), "ab.pth")
    done = call(capfd, "translate", "a.png", "--model", "ab.pth")
    assert done.code == ExitCode.WEIGHTS and "makes 2 channels of 1" in one_line(done.err)
    assert names(here) == ["a.png", "ab.pth"]


@pytest.mark.parametrize(("preset", "gain"), [("light", 0.0), ("medium", 1.0), ("heavy", 1.0)])
def test_the_built_in_model_mends_old_film(preset, gain):
    """Nearer to the photo by so many dB, on average over four films; a grey picture stays grey."""
    photo = read_rgb(EXAMPLES / "photo.jpg")
    assert photo is not None
    net, gained = gantool.load("translate", "restore", device="cpu"), []
    spoil = degrade.recipe("old-film", preset=preset)
    for seed in range(4):
        bad, good = spoil.pair(photo, np.random.default_rng(seed))
        mended = gantool.translate(bad, pipeline=net)
        assert np.ptp(mended.astype(int), axis=-1).max() == 0
        gained.append(metrics.psnr(mended, good) - metrics.psnr(bad, good))
    assert np.mean(gained) > gain


def test_the_built_in_model_leaves_colours_alone(here):
    photo = read_rgb(EXAMPLES / "photo.jpg")
    assert photo is not None
    mended = gantool.translate(photo, model="restore", device="cpu").astype(int)
    change = mended - photo
    inside = ((mended > 0) & (mended < 255)).all(-1)  # elsewhere a channel may be cut off
    assert np.ptp(change, axis=-1)[inside].max() <= 1
    assert metrics.psnr(mended.astype(np.uint8), photo) > 22


def test_auto_is_the_built_in_model_once_there_is_one(here, model, capfd, monkeypatch):
    photo(here / "a.png")
    rows = tuple(row for row in load_catalog().rows if row.task != "translate")
    monkeypatch.setattr("gantool.catalog.load_catalog", lambda: Catalog(rows))
    done = call(capfd, "translate", "a.png")
    assert done.code == ExitCode.USAGE
    assert "translate has no built-in model. Name one with --model" in one_line(done.err)
    data = model.read_bytes()
    (here.parent / "restore.safetensors").write_bytes(data)
    monkeypatch.setattr(cache, "builtin_file", lambda row: here.parent / row.file)
    built_in = Checkpoint(
        "restore",
        "translate",
        arch="cyclegan.ResnetGenerator",
        args={"blocks": 1, "ngf": 2},
        source="builtin",
        file="restore.safetensors",
        sha256=cache.sha256(here.parent / "restore.safetensors"),
        multiple=4,
        signed=True,
    )
    monkeypatch.setattr("gantool.catalog.load_catalog", lambda: Catalog((*rows, built_in)))
    done = call(capfd, "translate", "a.png")
    assert (done.code, done.out) == (0, "a.translate.png\n") and "Using restore (built-in)" in done.err


# ---- films


class Unsteady(nn.Module):
    """A net that shows every frame in another light and with other fine texture."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3))
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x):
        light = 1 + 0.06 * torch.randn(len(x), 3, 1, 1, generator=self.generator)
        return x * light * self.gain.view(1, 3, 1, 1) + 0.015 * torch.randn(x.shape, generator=self.generator)


def test_a_film_loses_its_flicker_but_not_at_a_cut(here):
    from fractions import Fraction

    from gantool.media.video import probe, read_frames, write_clip

    frames = [view(scene(1), 3 * t, 20) for t in range(12)] + [view(scene(9), 3 * t, 20) for t in range(6)]
    write_clip(Path("pan.mkv"), iter(frames), Fraction(25), None, codec="ffv1", pix_fmt="bgr0")
    made = {}
    for temporal in ("off", "online"):
        pipeline = translate_with(Unsteady())
        gantool.run_video(
            "pan.mkv",
            f"{temporal}.mkv",
            "translate",
            pipeline=pipeline,
            temporal=temporal,
            encoder={"codec": "ffv1", "pix_fmt": "bgr0"},
        )
        path = Path(f"{temporal}.mkv")
        made[temporal] = [frame.rgb for frame in read_frames(path, probe(path))]
    assert len(made["online"]) == 18
    motion = np.zeros((*frames[0].shape[:2], 2), np.float32)
    motion[..., 0] = -3
    before, after = (metrics.warping_error(made[way][:12], [motion] * 11) for way in ("off", "online"))
    assert after < 0.3 * before
    for t in (0, 12):  # the first frame and the one after the cut are the net's own
        assert (made["off"][t] == made["online"][t]).all()
    for t in (5, 15):
        assert (made["off"][t] != made["online"][t]).any()


def translate_with(net: nn.Module):
    from gantool.pipelines.translate import build

    return build(net.eval(), Checkpoint("unsteady", "translate"), device=torch.device("cpu"))


def test_a_film_keeps_its_frames_sound_and_size(here, model, capfd):
    from gantool.media.video import probe

    film(here / "f.mp4", frames=6, sound=True)
    done = call(capfd, "translate", "f.mp4", "--model", model, "--json")
    assert done.code == 0, done.err
    (record,) = done.records
    assert (record["output"], record["frames"]) == ("f.translate.mp4", 6)
    info = probe(Path("f.translate.mp4"))
    assert (info.width, info.height) == (48, 32) and info.audio
    assert set(record["stages"]) >= {"flow", "net", "blend"}  # steady by default


def test_a_warning_of_a_film_is_given_once(here, model, capfd):
    film(here / "f.mp4", frames=4)
    done = call(capfd, "translate", "f.mp4", "--model", model, "--tile-px", 32, "--json", "--temporal", "off")
    assert done.code == 0, done.err
    (record,) = done.records
    assert len(record["warnings"]) == 1 and "wants whole pictures" in record["warnings"][0]
    assert sum("wants whole pictures" in line for line in done.err.splitlines()) == 1


def test_frames_in_batches_are_the_frames_alone(here, model, capfd):
    film(here / "f.mp4", frames=5)
    for size in (1, 3):
        done = call(
            capfd, "translate", "f.mp4", "-o", f"{size}.mkv", "--model", model, "--batch-size", size,
            "--codec", "ffv1", "--pix-fmt", "bgr0",
        )  # fmt: skip
        assert done.code == 0, done.err
    from gantool.media.video import probe, read_frames

    made = [[f.rgb for f in read_frames(Path(name), probe(Path(name)))] for name in ("1.mkv", "3.mkv")]
    assert len(made[0]) == 5
    for alone, together in zip(*made, strict=True):
        assert np.abs(alone.astype(int) - together).max() <= 1
