"""Painting by optimisation, with tiny nets that see and few steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from cli_kit import call, film, names, photo
from PIL import Image

from gantool import gatys, percept, segments
from gantool.catalog import Checkpoint
from gantool.errors import ExitCode, Stopped, UsageError
from gantool.gatys import Effort, Eye, paint, sizes, steps
from gantool.media.video import Frame, read_frames
from gantool.models.vgg import VGG19
from gantool.ops.palette import palette_of
from gantool.passes import Pass, Step
from gantool.pipelines import Context
from gantool.pipelines import gatys as pipeline
from gantool.pipelines.style import Style, build
from gantool.temporal import TemporalOptions
from gantool.workfolder import WorkFolder

QUICK = Effort(first=4, later=2, longest=64, follow=6)


class Counter:
    done = 0

    def advance(self, n: int = 1) -> None:
        self.done += n


@pytest.fixture(scope="module")
def eye() -> Eye:
    torch.manual_seed(0)
    return Eye.of(VGG19(0.05, "avg", "replicate").requires_grad_(False))


def picture(seed: int, height: int = 64, width: int = 80) -> torch.Tensor:
    torch.manual_seed(seed)
    x = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 10), size=(height, width), mode="bicubic")
    return x.clamp(0.05, 0.95)


def test_sizes_grow_to_the_picture_s_own():
    found = sizes(480, 640, Effort(longest=128))
    assert found == [(120, 160), (170, 226), (240, 320), (339, 453), (480, 640)]
    assert sizes(100, 1000, Effort(longest=128))[0] == (71, 707)  # both sides still show something
    assert sizes(64, 64, Effort()) == [(64, 64)]
    assert steps(480, 640, Effort(first=200, later=100, longest=128)) == 600
    assert steps(5, 7, Effort(first=200)) == 200


def test_layers_of_the_paper_and_those_of_a_small_net(eye):
    assert eye.style[-1] == "relu4_1" and eye.content == "relu3_2"
    with torch.device("meta"):
        whole = Eye.of(VGG19())
    assert whole.style == ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    assert whole.content == "relu4_2"


def test_steps_lessen_the_loss_and_bring_the_colours_near(eye):
    content, style = picture(1), picture(2) * torch.tensor((1.0, 0.4, 0.2)).view(1, 3, 1, 1)
    goal = gatys._Goal(eye, content, content, [(style, 1.0)], 1.0)
    few, many = (
        paint(eye, content, [(style, 1.0)], effort=Effort(first=count, longest=64)) for count in (1, 25)
    )
    with torch.no_grad():
        before, between, after = (float(goal.loss(y, Effort())) for y in (content, few, many))
    assert after < 0.8 * between < between < before
    apart = [float((palette_of(y[0]).mean - palette_of(style[0]).mean).abs().max()) for y in (content, many)]
    assert apart[1] < 0.2 * apart[0]
    assert float(many.min()) >= 0 and float(many.max()) <= 1


def test_lbfgs_lessens_the_loss_in_as_many_looks(eye):
    content, style = picture(1), picture(2)
    goal = gatys._Goal(eye, content, content, [(style, 1.0)], 1.0)
    told, shown, found = Counter(), [], {}
    for optimizer in ("adam", "lbfgs"):
        effort = Effort(first=20, longest=64, optimizer=optimizer)
        y = paint(eye, content, [(style, 1.0)], effort=effort, told=told, show=shown.append)
        assert bool(torch.isfinite(y).all()) and float(y.min()) >= 0 and float(y.max()) <= 1
        with torch.no_grad():
            found[optimizer] = float(goal.loss(y, effort))
    with torch.no_grad():
        before = float(goal.loss(content, Effort()))
    assert found["lbfgs"] < found["adam"] < before
    assert told.done == 40 and len(shown) >= 4 and shown[-1].shape == content.shape
    same = paint(eye, content, [(content, 1.0)], strength=0.0, effort=effort, told=told)
    assert (same - content).abs().max() < 0.05 and told.done == 60  # nothing to gain, and all steps are told


def test_strength_0_is_the_picture_and_little_changes_little(eye):
    content, style = picture(1), picture(2)
    same = paint(eye, content, [(style, 1.0)], strength=0.0, effort=QUICK)
    assert (same - content).abs().max() < 0.05
    apart = [
        float((paint(eye, content, [(style, 1.0)], strength=s, effort=QUICK) - content).abs().mean())
        for s in (0.0, 0.3, 1.0)
    ]
    assert apart[0] < apart[1] < apart[2]


@pytest.mark.parametrize("size", [(64, 80), (1, 1), (9, 130), (70, 65)])
def test_any_size_and_every_step_is_told(eye, size):
    told, shown = Counter(), []
    content = (
        picture(3, 96, 96)[..., : size[0], : size[1]] if min(size) > 60 else torch.full((1, 3, *size), 0.4)
    )
    effort = Effort(first=11, later=10, longest=64)
    y = paint(
        eye, content, [(picture(2), 2.0), (picture(4), 1.0)], effort=effort, told=told, show=shown.append
    )
    assert y.shape == content.shape and bool(torch.isfinite(y).all())
    height, width = size
    assert told.done == steps(height, width, effort)
    assert len(shown) == len(sizes(max(64, size[0]), max(64, size[1]), effort))
    assert abs(shown[-1].shape[-1] / shown[-1].shape[-2] - size[1] / size[0]) < 0.05 * size[1] / size[0]


def test_the_pipeline_s_part(eye, monkeypatch):
    told = []
    words = {"device": torch.device("cpu"), "strength": 1.0, "style_size": None, "watcher": None}
    art = (picture(2)[0].movedim(0, -1) * 255).byte().numpy()
    run = pipeline.painter(eye.net, [(art, 1.0)], warn=told.append, effort=QUICK, **words)
    with torch.inference_mode():
        x = torch.cat([picture(5), picture(6)])
        y = run(x, Context())
    assert y.shape == x.shape and not told
    alone = paint(eye, picture(6), [(picture(2).mul(255).byte() / 255, 1.0)], effort=QUICK)
    assert torch.allclose(y[1:], alone, atol=1e-5)
    monkeypatch.setitem(pipeline.MOST_PX, "cpu", 64 * 65)
    assert run(x[:1].clone(), Context()).shape == x[:1].shape
    assert told == ["80x64 px are more than gatys can paint; it paints 72x58, enlarged then"]
    run = pipeline.painter(eye.net, [(art, 1.0)], warn=told.append, effort=QUICK, lasting=False, **words)
    with pytest.raises(UsageError, match="keeps its styles through a film"):
        run(x, Context(times=(0.0, 0.04)))


def test_a_later_frame_goes_on_from_the_one_before(eye):
    content, style, past = picture(5), picture(2), picture(6)
    told, trust = Counter(), torch.zeros(1, 1, 64, 80)
    trust[..., :40] = 1
    effort = Effort(first=25, longest=64, follow=15)
    anew = paint(eye, content, [(style, 1.0)], effort=effort)
    later = paint(eye, content, [(style, 1.0)], before=(past, trust), effort=effort, told=told)
    assert told.done == 15
    near, far = ((later - past).abs()[..., part].mean() for part in (slice(0, 32), slice(48, 80)))
    assert near < 0.3 * far and near < 0.3 * (anew - past).abs()[..., :32].mean()
    apart = [
        (
            paint(eye, content, [(style, 1.0)], before=(past, trust), effort=replace(effort, temporal=weight))
            - past
        )
        .abs()[..., :32]
        .mean()
        for weight in (0.0, 1e4)
    ]
    assert apart[1] < 0.5 * apart[0]
    # Where the past is not to be trusted, it is as if there were none.
    goal = gatys._Goal(eye, content, content, [(style, 1.0)], 1.0)
    start = gatys._toned(content, [(style, 1.0)])
    blind = paint(eye, content, [(style, 1.0)], before=(past, 0 * trust), effort=effort)
    assert (blind - start).abs().mean() < 0.5 * (blind - past).abs().mean()
    with torch.no_grad():
        assert float(goal.loss(blind, effort)) < float(goal.loss(start, effort))


def test_films_of_the_pipeline_remember_and_go_on(eye):
    """Shown as painted, each from the one before, from the beginning at a cut; restored to the last bit."""
    ground = (picture(7, 72, 110)[0].movedim(0, -1) * 255).byte().numpy()
    pan = [np.ascontiguousarray(ground[4:68, 2 * t : 2 * t + 96]) for t in range(4)]
    other = np.ascontiguousarray(255 - ground[4:68, ::-1][:, :96])
    frames = [Frame(rgb, t, t / 25) for t, rgb in enumerate([*pan, other])]
    art = (picture(2)[0].movedim(0, -1) * 255).byte().numpy()
    row = Checkpoint("gatys-tiny", "style")
    built = build(eye.net, row, device=torch.device("cpu"), styles=[Style(art)], effort=QUICK)
    told = []

    def predict(x, context):
        told.append(context.side.get("history"))
        return built.predict(x, context)

    step = Step(replace(built, predict=predict), TemporalOptions())
    whole = Pass(step, pytest.fail, lambda frame: frame.pts // 2)
    results, states = [], {}
    for frame in whole.results(whole.follow(iter(frames))):
        if frame.pts in (2, 4):
            states[frame.pts] = whole.state(frame.pts // 2)
        results.append(frame.rgb)
    assert [history is not None for history in told] == [False, True, True, True, False]
    first = torch.from_numpy(results[0]).float() / 255
    history, trust = told[1]
    assert trust.mean() > 0.5
    assert (history.movedim(0, -1)[8:-8, 8:-8] - first[8:-8, 10:-6]).abs().mean() < 0.02  # moved by 2 px
    for begin, state in states.items():
        other_pass = Pass(step, pytest.fail, lambda frame: frame.pts // 2)
        other_pass.restore(state)
        again = [frame.rgb for frame in other_pass.results(other_pass.follow(iter(frames[begin:])))]
        assert all((a == b).all() for a, b in zip(again, results[begin:], strict=True))

    def change(strength):
        one = Pass(Step(built, TemporalOptions(strength=strength)), pytest.fail)
        shown = [frame.rgb.astype(float) for frame in one.results(one.follow(iter(frames[:2])))]
        return np.abs(shown[1][8:-8, 8:-8] - shown[0][8:-8, 10:-6]).mean()

    assert change(None) < 0.7 * change(0.0)
    with pytest.raises(UsageError, match="no way from both sides"):
        Pass(Step(built, TemporalOptions("bidirectional")), pytest.fail)


# ---- the command


@pytest.fixture
def here(tmp_path, monkeypatch):
    work = tmp_path / "work"
    photo(work / "a.png", 66, 64, gray=False)
    Image.fromarray((picture(2)[0].movedim(0, -1) * 255).byte().numpy()).save(work / "art.png")
    monkeypatch.chdir(work)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("GANTOOL_DEVICE", "cpu")
    monkeypatch.setattr("gantool.pipelines.style.EFFORT", Effort(first=12, later=2, follow=4))
    return work


def test_gatys_on_the_command_line(here, capfd, monkeypatch):
    """Offline, by the built-in encoder, which is said; the picture so far lies in a file."""
    monkeypatch.setattr("gantool.commands.live._EVERY_S", 0.0)
    words = ["style", "a.png", "--style", "art.png", "--model", "gatys"]
    done = call(capfd, *words, "--live", "so-far.png", "--json")
    assert done.code == 0, done.err
    (record,) = done.records
    assert record["model"] == "gatys-percept" and (record["width"], record["height"]) == (66, 64)
    assert "Using percept (built-in)" in done.err and "gantool models pull vgg19" in done.err
    assert Image.open("so-far.png").size == (66, 64)
    other = call(capfd, *words, "-o", "b.png", "--optimizer", "lbfgs")
    assert other.code == 0, other.err
    first, second = (np.asarray(Image.open(name), int) for name in ("a.style.png", "b.png"))
    assert first.shape == second.shape and (first != second).any()
    (here / "b.png").unlink()
    again = call(capfd, *words, "-o", "b.png", "--live", "so-far.png")
    assert again.code == ExitCode.OUTPUT and "--live exists" in again.err
    assert names(here) == ["a.png", "a.style.png", "art.png", "so-far.png"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], ExitCode.USAGE, "gatys must be shown a style"),
        (["--style", "art.png", "--tile-px", "64"], ExitCode.USAGE, "paints no tiles"),
        (["--style", "art.png", "--live", "x.txt"], ExitCode.OUTPUT, 'written as ".txt"'),
        (["--style", "art.png", "--live", "no/x.png"], ExitCode.OUTPUT, "folder for --live is missing"),
    ],
)
def test_what_gatys_cannot(here, capfd, words, code, said):
    done = call(capfd, "style", "a.png", "--model", "gatys", "-o", "b.png", *words)
    assert done.code == code and said in done.err
    assert names(here) == ["a.png", "art.png"]


def test_films(here, capfd):
    film(here / "f.mp4", frames=3, width=64, height=64)
    words = ["style", "f.mp4", "--model", "gatys", "--style"]
    for more, said in (
        (["art.png@0", "--style", "a.png@0.04"], "gatys keeps its styles through a film"),
        (["art.png", "--temporal", "bidirectional"], "no way from both sides"),
    ):
        done = call(capfd, *words, *more)
        assert done.code == ExitCode.USAGE and said in done.err
        assert names(here) == ["a.png", "art.png", "f.mp4"]
    done = call(capfd, *words, "art.png", "--live", "so-far.png", "--json")
    assert done.code == 0, done.err
    assert done.records[0]["frames"] == 3 and (here / "f.style.mp4").is_file()


def test_a_film_that_was_stopped_goes_on_as_if_it_had_not_been(here, capfd, monkeypatch):
    film(here / "f.mp4", frames=4, width=64, height=64)
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", 2)
    words = ["style", "f.mp4", "--model", "gatys", "--style", "art.png", "--threads", 1, "-o"]
    assert call(capfd, *words, "whole.mp4").code == 0
    commit = WorkFolder.commit

    def stopping(self, *args, **facts):
        commit(self, *args, **facts)
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, "commit", stopping)
        assert call(capfd, *words, "out.mp4").code == ExitCode.INTERRUPTED
    other = call(capfd, *words, "out.mp4", "--continue", "--optimizer", "lbfgs")
    assert other.code != 0 and "--optimizer" in other.err
    done = call(capfd, *words, "out.mp4", "--continue", "--live", "so-far.png", "--json")
    assert done.code == 0 and done.records[0]["continued_from"] == 2, done.err
    whole, parts = ([frame.rgb for frame in read_frames(here / name)] for name in ("whole.mp4", "out.mp4"))
    assert len(whole) == 4 and all((a == b).all() for a, b in zip(whole, parts, strict=True))


def test_other_models_are_refused(here, capfd):
    done = call(capfd, "style", "a.png", "--style", "art.png", "--model", "microast", "--live", "x.png")
    assert done.code == ExitCode.USAGE and "--live is for --model gatys" in done.err
    done = call(capfd, "style", "a.png", "--style", "art.png", "--optimizer", "lbfgs")
    assert done.code == ExitCode.USAGE and "--optimizer is for --model gatys" in done.err
    assert percept.load("cpu", model="builtin").name == "percept"  # its own name is as it was


def test_vgg19_is_taken_where_it_is_here(tmp_path, monkeypatch):
    from gantool import selection
    from gantool.catalog import load_catalog

    monkeypatch.setattr(selection.cache, "find", lambda row: tmp_path / "model.safetensors")
    monkeypatch.setattr(selection.hub, "verified", lambda row: tmp_path / "model.safetensors")
    choice = selection.select("gatys", "style", catalog=load_catalog())
    assert (choice.row.name, choice.path) == ("gatys-vgg19", tmp_path / "model.safetensors")
    assert choice.row.args == {"pool": "avg", "padding": "replicate"} and choice.row.task == "style"
    with pytest.raises(UsageError, match="unknown model 'gatys'"):
        selection.select("gatys", "upscale", catalog=load_catalog())
