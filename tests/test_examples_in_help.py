"""Every example that a help page shows is run, against small files of the names that it uses."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from cli_kit import call, colorizer, film, johnson, photo, styler, translator, upscaler

from gantool.errors import ExitCode

COMMANDS = ["", "colorize", "translate", "upscale", "chain", "join", "train", "degrade", "export", "doctor"]
COMMANDS += ["style"]
COMMANDS += ["models", "frontalize"]
EVAL = ["eval", "eval pair", "eval set", "eval video"]
MODELS = ["models list", "models show", "models pull", "models verify", "models remove"]


def examples(command: str) -> list[str]:
    """The lines under "Examples" of a help page."""
    import typer

    from gantool import cli

    found = typer.main.get_command(cli.app)
    for word in command.split():
        found = found.commands[word]
    assert found.epilog, f"gantool {command} has no examples"
    return found.epilog.splitlines()


def frontalizer(path: Path) -> None:
    """A net of frontalize with random weights."""
    import torch

    from gantool.catalog import Checkpoint
    from gantool.loading import save_model
    from gantool.models.frontalizer import FrontalGenerator

    torch.manual_seed(0)
    args, arch = {"width": 2, "depth": 3}, "frontalizer.FrontalGenerator"
    save_model(
        path, FrontalGenerator(2, 3), Checkpoint("front", "frontalize", arch=arch, args=args, signed=True)
    )


def one_face(picture):
    """A detector that finds a face in the middle of everything."""
    from gantool.faces import Face

    height, width = picture.shape[:2]
    return [Face.of_box((width / 4, height / 4, width / 2, height / 2))]


def old_program_s(path: Path) -> None:
    """A generator as pytorch-CycleGAN-and-pix2pix saves it."""
    import torch

    from gantool.models.cyclegan import ResnetGenerator

    torch.save(ResnetGenerator(blocks=6, ngf=2).state_dict(), path)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """A folder with everything that examples name."""
    folder = tmp_path_factory.mktemp("examples")
    photo(folder / "photo.jpg", 40, 32)
    photo(folder / "postcard.jpg", gray=False)
    film(folder / "film.mp4", frames=3, sound=True)
    for name in ("album/a.jpg", "album/deep/b.png", "scans/c.png", "city.jpg", "horses/far/d.png"):
        photo(folder / name)
    film(folder / "color.mp4", frames=3, sound=True)
    for name in ("result.png", "original.png"):
        photo(folder / name, gray=False)
    for number in range(2):
        photo(folder / f"results/{number}.png", 200, 200, gray=False)
        photo(folder / f"originals/{number}.jpg", 200, 200, gray=False)
    for number in range(6):
        photo(folder / f"photos/{number}.png", 240, 200, gray=False)
    for side in ("A", "B"):
        for number in range(3):
            photo(folder / f"pairs/{side}/{number}.png", 40, 40, gray=False)
    photo(folder / "group.jpg", 400, 400, gray=False)
    frontalizer(folder / "frontalize.safetensors")
    colorizer(folder / "colorize.safetensors")
    upscaler(folder / "upscale.safetensors")
    translator(folder / "translate.safetensors")
    for run in ("psnr", "gan"):
        (folder / "runs" / run).mkdir(parents=True)
        upscaler(folder / f"runs/{run}/model.safetensors")
    (folder / "runs/maps").mkdir(parents=True)
    translator(folder / "runs/maps/model.safetensors")
    old_program_s(folder / "latest_net_G.pth")
    for name in ("art.jpg", "wave.jpg"):
        photo(folder / name, 40, 32, gray=False)
    styler(folder / "style.safetensors")
    johnson(folder / "mosaic.pth")
    return folder


@pytest.fixture
def here(album, tmp_path, monkeypatch):
    """The album as working folder, no network, and tiny models in the place of the built-in ones."""
    from gantool import selection

    def tiny(spec, task, **_):
        if task == "percept":
            return real(spec, task, **_)
        if spec not in ("auto", "builtin"):
            assert task in ("translate", "upscale", "style"), "an example of this command names no model"
            return real(spec, task, **_)
        choice = real(str(album / f"{task}.safetensors"), task, **_)
        return replace(choice, notice="Using a tiny model.")

    real = selection.select
    monkeypatch.setattr(selection, "select", tiny)
    monkeypatch.setattr("gantool.faces.load", lambda: one_face)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("GANTOOL_DEVICE", raising=False)
    work = tmp_path / "work"
    shutil.copytree(album, work)
    monkeypatch.chdir(work)
    return work


@pytest.mark.parametrize(
    "line", dict.fromkeys(line for command in COMMANDS + EVAL for line in examples(command))
)
def test_example(here, capfd, line):
    words = shlex.split(line)
    assert words[0] == "gantool"
    wanted = {ExitCode.OK}
    if any(word.endswith(".onnx") for word in words):
        pytest.importorskip("onnxscript")
    if words[1] == "train" and not {"--list", "--check"} & set(words):
        if "--resume" in words:
            first = next(one for one in examples("train") if "runs/colour " in one)
            assert call(capfd, *shlex.split(first)[1:], "--stop-after", 1).code == 0
        words += ["--stop-after", "1"]
    if words[1] == "join":
        assert call(capfd, "colorize", "film.mp4", "--segment", "1/1").code == 0
    if words[1] == "doctor":
        wanted |= set(ExitCode)  # tells the truth about this machine, whatever that is
    done = call(capfd, *words[1:])
    assert done.code in wanted, done.err
    if words[1] in ("colorize", "translate", "upscale", "style", "chain", "frontalize", "degrade", "export"):
        assert done.out and all(Path(result).is_file() for result in done.out.splitlines())


@pytest.mark.parametrize("line", [line for command in MODELS for line in examples(command)])
def test_example_of_models(here, capfd, line):
    """Without a network: what needs one says so, and nothing else goes wrong."""
    words = shlex.split(line)
    done = call(capfd, *words[1:])
    assert done.code == (
        ExitCode.WEIGHTS if words[2] in ("pull", "verify") and len(words) > 3 else ExitCode.OK
    ), done.err
