"""``gantool style``: photos and films with tiny nets, and what is refused before a model is loaded."""

from __future__ import annotations

import hashlib
import itertools
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cli_kit import call, film, johnson, names, photo, styler
from PIL import Image

from gantool import parts, segments
from gantool.catalog import Catalog, Checkpoint, load_catalog
from gantool.errors import ExitCode, Stopped, UsageError
from gantool.loading import load, save_model
from gantool.media.image import read_picture
from gantool.media.video import read_frames
from gantool.models.microast import MicroAST
from gantool.pipelines import style as pipeline
from gantool.workfolder import WorkFolder

DATA = Path(os.environ.get("GANTOOL_TEST_DATA", "/nowhere"))
CPU = torch.device("cpu")
ANY, ONE = "../any.safetensors", "../one.safetensors"
LOSSLESS = ["--codec", "ffv1", "--pix-fmt", "bgr0"]


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("style")
    styler(folder / "any.safetensors")
    johnson(folder / "one.safetensors")
    return folder


@pytest.fixture
def here(nets, tmp_path, monkeypatch):
    """Photos, a film of 12 frames, two styles, and the nets above."""
    work = tmp_path / "work"
    photo(work / "a.png", 40, 32, gray=False)
    film(work / "f.mp4", frames=12)
    rng = np.random.default_rng(0)
    for name, colors in (("art.png", (200, 40, 20)), ("wave.png", (10, 60, 220))):
        noise = rng.integers(0, 90, (40, 50, 1))
        Image.fromarray(np.clip(noise + np.array(colors) - 45, 0, 255).astype(np.uint8)).save(work / name)
    for file in nets.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(work)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("GANTOOL_DEVICE", "cpu")
    return work


def pixels(path: str) -> np.ndarray:
    return read_picture(Path(path)).rgb


def frames(path: str) -> list[np.ndarray]:
    return [frame.rgb for frame in read_frames(path)]


def run(capfd, *words: object) -> str:
    """The path of the one result."""
    done = call(capfd, "style", *words, "--overwrite")
    assert done.code == 0, done.err
    return done.out.strip()


def built(**options) -> pipeline.Pipeline:
    net, row = load(Checkpoint("any", "style", file=ANY), Path(ANY))
    return pipeline.build(net, row, device=CPU, **options)


# ---- pictures


def test_a_photo(here, capfd):
    done = call(capfd, "style", "a.png", "--style", "art.png", "--model", ANY, "--json")
    assert done.code == 0, done.err
    (record,) = done.records
    assert (record["task"], record["output"], record["width"]) == ("style", "a.style.png", 40)
    x = torch.from_numpy(pixels("a.png")[None]).movedim(-1, 1) / 255
    y = built(styles=[pipeline.Style(pixels("art.png"))])(x)
    wanted = (y[0].movedim(0, -1) * 255).round().byte().numpy()
    np.testing.assert_array_equal(pixels("a.style.png"), wanted)


def test_strength_is_used_once_and_0_is_the_input(here, capfd):
    x = torch.from_numpy(pixels("a.png")[None]).movedim(-1, 1) / 255
    half = built(styles=[pipeline.Style(pixels("art.png"))], strength=0.5)(x)
    run(capfd, "a.png", "--style", "art.png", "--model", ANY, "--strength", 0.5)
    wanted = (half[0].movedim(0, -1) * 255).round().byte().numpy()
    np.testing.assert_array_equal(pixels("a.style.png"), wanted)
    run(capfd, "a.png", "--style", "art.png", "--model", ANY, "--strength", 0)
    np.testing.assert_array_equal(pixels("a.style.png"), pixels("a.png"))
    run(capfd, "f.mp4", "-o", "f.mkv", "--style", "art.png", "--model", ANY, "--strength", 0, *LOSSLESS)
    for mine, source in zip(frames("f.mkv"), frames("f.mp4"), strict=True):
        np.testing.assert_array_equal(mine, source)


def test_several_styles_weights_colors_and_sizes_change_the_result(here, capfd):
    two = ["--style", "art.png", "--style", "wave.png"]
    ways = [
        two,
        [*two, "--weight", 5, "--weight", 1],
        [*two, "--keep-color", "luma"],
        [*two, "--keep-color", "histogram"],
        [*two, "--style-size", 20],
    ]
    made = []
    for way in ways:
        run(capfd, "a.png", "--model", ANY, *way)
        made.append(pixels("a.style.png"))
    for one, other in itertools.combinations(made, 2):
        assert (one != other).any()


def test_a_net_of_one_style_needs_no_picture(here, capfd):
    run(capfd, "a.png", "--model", ONE)
    whole = pixels("a.style.png")
    assert (whole != pixels("a.png")).any()
    photo(here / "left.png", 40, 32)
    mask = np.zeros((32, 40), np.uint8)
    mask[:, :20] = 255
    Image.fromarray(mask).save("left.png")
    run(capfd, "a.png", "--model", ONE, "--mask", "left.png")
    masked = pixels("a.style.png")
    np.testing.assert_array_equal(masked[:, 20:], pixels("a.png")[:, 20:])
    np.testing.assert_array_equal(masked[:, :20], whole[:, :20])


def test_masks(here, capfd):
    """One for all styles or one for each; another size is said, and what is transparent is not white."""
    mask = np.zeros((16, 20), np.uint8)
    mask[:, :10] = 255
    Image.fromarray(mask).save("left.png")
    Image.fromarray(255 - mask).save("right.png")
    Image.fromarray(np.dstack([np.full((32, 40, 3), 255, np.uint8), mask.repeat(2, 0).repeat(2, 1)])).save(
        "clear.png"
    )
    one = call(capfd, "style", "a.png", "--style", "art.png", "--mask", "left.png", "--model", ANY)
    assert one.code == 0 and one.err.count("the mask of 20x16 px is resized to the picture's 40x32") == 1
    np.testing.assert_array_equal(pixels("a.style.png")[:, 22:], pixels("a.png")[:, 22:])
    run(capfd, "a.png", "--style", "art.png", "--mask", "clear.png", "--model", ANY)
    np.testing.assert_array_equal(pixels("a.style.png")[:, 20:], pixels("a.png")[:, 20:])
    two = ["--style", "art.png", "--style", "wave.png", "--model", ANY]
    run(capfd, "a.png", *two, "--mask", "left.png")
    mixed = pixels("a.style.png")
    np.testing.assert_array_equal(mixed[:, 22:], pixels("a.png")[:, 22:])
    run(capfd, "a.png", *two)
    np.testing.assert_array_equal(mixed[:, :18], pixels("a.style.png")[:, :18])
    run(capfd, "a.png", *two, "--mask", "left.png", "--mask", "right.png")
    both = pixels("a.style.png")
    run(capfd, "a.png", "--style", "wave.png", "--model", ANY)
    np.testing.assert_array_equal(both[:, 22:], pixels("a.style.png")[:, 22:])


def test_a_style_of_12000_px(here, capfd):
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (60, 12000, 3), np.uint8)).save("wide.png")
    run(capfd, "a.png", "--style", "wide.png", "--model", ANY)
    assert pixels("a.style.png").shape == (32, 40, 3)


# ---- films

TIMED = ["--style", "art.png", "--style", "wave.png@0.2", "--model", ANY]


def test_styles_follow_each_other_in_a_film(here, capfd, monkeypatch):
    monkeypatch.setattr(pipeline, "FADE", 0.1)  # of the film's 0.48 s
    off = ["--temporal", "off", *LOSSLESS]
    first = frames(run(capfd, "f.mp4", "-o", "1.mkv", "--style", "art.png", "--model", ANY, *off))
    second = frames(run(capfd, "f.mp4", "-o", "2.mkv", "--style", "wave.png", "--model", ANY, *off))
    both = frames(run(capfd, "f.mp4", "-o", "3.mkv", *TIMED, *off))
    alike = [
        "".join(str(number) for number, made in ((1, first), (2, second)) if (made[n] == both[n]).all())
        for n in range(12)
    ]
    # 25 frames a second: the second style begins at frame 5 and has taken over at frame 8.
    assert alike == ["1"] * 6 + [""] * 2 + ["2"] * 4
    by_fours = frames(run(capfd, "f.mp4", "-o", "4.mkv", *TIMED, *off, "--batch-size", 4))
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(by_fours, both, strict=True)) <= 1
    run(capfd, "a.png", *TIMED)
    timed = pixels("a.style.png")
    run(capfd, "a.png", "--style", "art.png", "--model", ANY)
    np.testing.assert_array_equal(timed, pixels("a.style.png"))


def decoded(path: str) -> list[str]:
    return [hashlib.sha256(frame.rgb.tobytes()).hexdigest() for frame in read_frames(path)]


@pytest.mark.parametrize("mode", ["online", "bidirectional"])
def test_a_film_that_goes_on_is_that_of_an_unbroken_run(here, capfd, monkeypatch, mode):
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", 4)
    words = ["f.mp4", *TIMED, "--temporal", mode, "--threads", 1]
    run(capfd, *words, "-o", "whole.mp4")
    commit = WorkFolder.commit

    def stop(self, *args, **facts):
        commit(self, *args, **facts)
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, "commit", stop)
        assert call(capfd, "style", *words, "-o", "out.mp4").code == ExitCode.INTERRUPTED
    art = Path("art.png").read_bytes()
    Path("art.png").write_bytes(Path("wave.png").read_bytes())
    other = call(capfd, "style", *words, "-o", "out.mp4", "--continue")
    assert other.code == ExitCode.USAGE and "--style was art.png" in other.err
    Path("art.png").write_bytes(art)
    done = call(capfd, "style", *words, "-o", "out.mp4", "--continue")
    assert done.code == 0, done.err
    assert decoded("out.mp4") == decoded("whole.mp4")


def test_films_are_steadied_both_ways_unless_told_otherwise(here, capfd):
    words = ["f.mp4", "--style", "art.png", "--model", ANY, *LOSSLESS]
    usual, both, online = (
        frames(run(capfd, *words, "-o", f"{mode}.mkv", *(["--temporal", mode] if mode != "usual" else [])))
        for mode in ("usual", "bidirectional", "online")
    )
    assert all((one == two).all() for one, two in zip(usual, both, strict=True))
    assert any((one != two).any() for one, two in zip(usual, online, strict=True))


def test_a_step_of_a_chain(here, capfd):
    run(capfd, "f.mp4", "-o", "1.mkv", "--style", "art.png", "--strength", 0.5, "--model", ANY, *LOSSLESS)
    step = f"style --style art.png --strength 0.5 --model {ANY}"
    done = call(capfd, "chain", "f.mp4", step, "-o", "2.mkv", *LOSSLESS)
    assert done.code == 0, done.err
    for one, two in zip(frames("1.mkv"), frames("2.mkv"), strict=True):
        np.testing.assert_array_equal(one, two)


# ---- what is refused


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--style", "text.jpg"], ExitCode.INPUT, "text.jpg"),
        (["--style", "dot.png"], ExitCode.INPUT, "1x1 px are too few to show a style (dot.png)"),
        (["--style", "gone.png"], ExitCode.INPUT, "no such file (gone.png)"),
        (["--style", "."], ExitCode.INPUT, "a folder"),
        (["--style", "big.png", "--max-pixels", "2000"], ExitCode.INPUT, "big.png"),
        (["--style", "art.png", "--mask", "text.jpg"], ExitCode.INPUT, "text.jpg"),
        (["--style", "art.png@soon"], ExitCode.USAGE, "'soon' is not a time"),
        (["--style", "art.png", "--weight", "1", "--weight", "2"], ExitCode.USAGE, "1 style and 2 weights"),
        (["--weight", "1"], ExitCode.USAGE, "0 styles and 1 weight"),
        (["--style", "art.png", "--weight", "0"], ExitCode.USAGE, "weight cannot be 0"),
        (["--style", "art.png", "--mask", "a.png", "--mask", "a.png"], ExitCode.USAGE, "1 style and 2 masks"),
        (["--style", "art.png", "--style-size", "2"], ExitCode.USAGE, "--style-size"),
        ([], ExitCode.USAGE, "must be shown a style"),
        (["--model", "microast"], ExitCode.USAGE, "microast must be shown a style"),
        (["--model", "fast-style-mosaic", "--style", "art.png"], ExitCode.USAGE, "knows one style, its own"),
        (["--model", "percept", "--style", "art.png"], ExitCode.USAGE, "percept only measures"),
    ],
)
def test_refused_before_a_model_is_loaded(here, capfd, monkeypatch, words, code, said):
    monkeypatch.setattr("gantool.commands.session.Session.pipeline", lambda _: pytest.fail("loaded a model"))
    Path("text.jpg").write_text("no picture at all\n" * 20)
    photo(here / "dot.png", 1, 1)
    photo(here / "big.png", 60, 50)
    before = names(here)
    done = call(capfd, "style", "a.png", *words)
    assert done.code == code and done.out == ""
    (line,) = done.err.splitlines()
    assert line.startswith("gantool: error: ") and said in line
    assert names(here) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", ANY], "tiny-any must be shown a style. Give --style PICTURE"),
        (["--model", ONE, "--style", "art.png"], "tiny-one knows one style, its own. Leave out --style"),
    ],
)
def test_a_file_says_whether_it_wants_a_style(here, capfd, words, said):
    done = call(capfd, "style", "a.png", *words)
    assert done.code == ExitCode.USAGE and said in done.err
    assert not Path("a.style.png").exists()


# ---- nets in parts


@pytest.fixture
def in_parts(here, monkeypatch):
    """A net in four files, and a catalog that knows them."""
    torch.manual_seed(0)
    net = MicroAST(2)
    folder = here / "net"
    folder.mkdir()
    pieces = {
        "d": net.decoder,
        "c": net.content_encoder,
        "s": net.style_encoder,
        "m": net.modulator,
    }
    rows = []
    for name, piece in pieces.items():
        torch.save(piece.state_dict(), folder / f"{name}.pth.tar")
        data = (folder / f"{name}.pth.tar").read_bytes()
        facts = {
            "arch": f"microast.{type(piece).__name__}",
            "args": {"width": 2},
            "source": "https",
            "url": f"https://example.org/{name}.pth.tar",
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "multiple": 4,
            "licence": "MIT",
            "commercial": True,
            "needs": ("c", "s", "m") if name == "d" else (),
        }
        rows.append(Checkpoint(name, "style", **facts))
    catalog = Catalog((*load_catalog().rows, *rows))
    monkeypatch.setattr("gantool.catalog.load_catalog", lambda *_: catalog)
    monkeypatch.setattr("gantool.parts.load_catalog", lambda *_: catalog)
    save_model(
        "whole.safetensors", net, Checkpoint("w", "style", arch="microast.MicroAST", args={"width": 2})
    )
    return rows


def test_the_parts_of_a_model_are_fetched_in_their_order(in_parts):
    asked = []

    def fetch(row: Checkpoint) -> Path:
        asked.append(row.name)
        return Path("net") / f"{row.name}.pth.tar"

    nets, row = parts.load(in_parts[0], fetch(in_parts[0]), fetch=fetch)
    assert isinstance(nets, list) and asked == ["d", "c", "s", "m"] and row.name == "d"
    names_of = [type(net).__name__ for net in nets]
    assert names_of == ["Decoder", "Encoder", "Encoder", "Modulator"]
    lost = Checkpoint("x", "style", needs=("nobody",))
    with pytest.raises(UsageError, match="unknown model 'nobody'"):
        parts.parts_of(lost)
    assert parts.parts_of(Checkpoint("face-frontalization", "frontalize", needs=("yunet",))) == ()


def test_parts_that_lie_beside_a_file_are_used(in_parts, capfd, monkeypatch):
    monkeypatch.setattr("gantool.stylers._MICROAST", ("c", "s", "m"))
    run(capfd, "a.png", "--style", "art.png", "--model", "whole.safetensors")
    whole = pixels("a.style.png")
    run(capfd, "a.png", "--style", "art.png", "--model", "net/d.pth.tar")
    np.testing.assert_array_equal(pixels("a.style.png"), whole)
    Path("net/m.pth.tar").write_bytes(Path("net/s.pth.tar").read_bytes())
    done = call(capfd, "style", "a.png", "--style", "art.png", "--model", "net/d.pth.tar", "--overwrite")
    assert done.code == ExitCode.WEIGHTS and "gantool models pull m" in done.err
    part = call(capfd, "style", "a.png", "--style", "art.png", "--model", "net/c.pth.tar", "--overwrite")
    assert part.code == ExitCode.WEIGHTS and "only a part of a style net" in part.err


def test_a_plan_counts_the_bytes_of_all_parts(in_parts, capfd):
    done = call(capfd, "style", "a.png", "--style", "art.png", "--model", "d", "--dry-run", "--json")
    assert done.code == 0, done.err
    assert done.records[0]["download_bytes"] == sum(row.bytes for row in in_parts)
    offline = call(capfd, "style", "a.png", "--style", "art.png", "--model", "d")
    assert offline.code == ExitCode.WEIGHTS and "gantool models pull d" in offline.err


def test_models_are_told_with_how_they_are_used():
    from gantool.commands.models import _say_how

    said: list[str] = []
    for name in ("microast", "microast-style", "fast-style-mosaic"):
        _say_how(SimpleNamespace(info=said.append), load_catalog().get(name))
    assert [line for line in said if line.endswith("uses it")] == [
        "`gantool style FILE --model microast --style PICTURE` uses it",
        "`gantool style FILE --model fast-style-mosaic` uses it",
    ]


@pytest.mark.skipif(not (DATA / "weights/style").is_dir(), reason="GANTOOL_TEST_DATA names no folder of nets")
@pytest.mark.weights
@pytest.mark.parametrize("file", ["microast_decoder.pth.tar", "mosaic_resnext.pth", "johnson_wave_f16.npz"])
def test_released_files_paint(here, capfd, file):
    style = [] if "microast" not in file else ["--style", "art.png"]
    run(capfd, "a.png", "--model", DATA / "weights/style" / file, *style)
    assert np.abs(pixels("a.style.png").astype(int) - pixels("a.png")).mean() > 10
