"""A step's pass over a film: a restored pass goes on as if it had never stopped, to the last bit."""

from __future__ import annotations

import functools
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from moving_pictures import scene, view

from gantool import metrics
from gantool.media.video import Frame
from gantool.passes import Pass, Step
from gantool.pipelines import Pipeline
from gantool.temporal import TemporalOptions

CPU = torch.device("cpu")
KINDS = {"chroma": 2, "detail": 3, "rgb": 3, None: 3}


# Where parts begin, and their numbers.
PARTS = {0: 0, 6: 1, 12: 2, 18: 5}


def part_of(frame: Frame) -> int:
    return max(number for begin, number in PARTS.items() if begin <= frame.pts)


@functools.cache
def film() -> list[Frame]:
    """A pan with two repeats, a flash and a cut, each next to the beginning of a part."""
    picture, other = scene(1), scene(9)
    pictures = [view(picture, 2 * t, 20) for t in range(20)]
    pictures[5] = np.full_like(pictures[5], 255)  # a flash, over where a part begins
    pictures[12] = pictures[11].copy()
    pictures[14] = pictures[13].copy()
    pictures[18:] = [view(other, 2 * t, 20) for t in range(2)]
    return [Frame(picture, t, t / 25) for t, picture in enumerate(pictures)]


def flickering(kind, asked: list[int] | None = None) -> Pipeline:
    """A net whose layer differs from frame to frame, in a way that depends on the frame alone."""
    channels = KINDS[kind]

    def predict(x, context):
        if asked is not None:
            asked.extend(round(25 * time) for time in context.times)
        layers = []
        for image in x:
            seed = int(image.double().sum() * 1e3) % (1 << 31)
            noise = torch.randn(1, channels, 9, 12, generator=torch.Generator().manual_seed(seed))
            layers.append(F.interpolate(noise, size=(72, 96), mode="bicubic")[0] * 0.1 + 0.4)
        return torch.stack(layers)

    def finish(x, layer):
        return (x * 0.5 + F.interpolate(layer, size=x.shape[-2:], mode="bilinear").mean(1, True)).clamp(0, 1)

    return Pipeline("translate", "flickering", predict, finish, CPU, blend=kind)


def made(one: Pass, frames: list[Frame]) -> list[np.ndarray]:
    return [frame.rgb for frame in one.results(one.follow(iter(frames)))]


def kept(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The state after a stay in a file."""
    file = io.BytesIO()
    np.savez(file, **state)  # type: ignore[arg-type]
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("mode", ["online", "bidirectional"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_pass_goes_on_as_if_it_had_never_stopped(kind, mode):
    frames = film()
    goes_on(frames, Step(flickering(kind), TemporalOptions(mode) if kind else None, batch_size=4))


def test_a_restored_pass_knows_the_motion_vectors_of_the_frame_before():
    """Each frame was fetched from the next one but one, so none but the one before tells of its motion."""
    block = np.float32([(0, 0, 1, 1, -2 / 192, 0, 1)])
    frames = [replace(frame, vectors=block if t in (5, 11) else None) for t, frame in enumerate(film())]
    goes_on(frames, Step(flickering("chroma"), TemporalOptions(flow="codec")))


def goes_on(frames: list[Frame], step: Step) -> None:
    whole, states = Pass(step, pytest.fail, part_of), {}
    expected = []
    for index, frame in enumerate(whole.results(whole.follow(iter(frames)))):
        expected.append(frame.rgb)
        if index and index in PARTS:
            states[index] = kept(whole.state(PARTS[index]))
    for index, state in states.items():
        other = Pass(step, pytest.fail, part_of)
        other.restore(state)
        assert np.array_equal(made(other, frames[index:]), expected[index:])
    # 12 repeats the frame before the boundary; the rest depends on the past only where there is a filter.
    alone = np.array_equal(made(Pass(step, pytest.fail), frames[6:]), expected[6:])
    assert alone == (step.temporal is None)


@pytest.mark.parametrize("mode", ["online", "bidirectional"])
def test_a_part_depends_on_no_more_behind_it_than_it_says(mode):
    for kind in KINDS:
        step = Step(flickering(kind), TemporalOptions(mode) if kind else None, batch_size=4)
        one, other = Pass(step, pytest.fail, part_of), Pass(step, pytest.fail, part_of)
        assert (one.ahead > 0) == (mode == "bidirectional" and kind is not None)
        few = made(one, film()[: 6 + one.ahead])
        assert np.array_equal(few[:6], made(other, film())[:6])


@pytest.mark.parametrize("mode", ["online", "bidirectional"])
def test_a_repeat_at_the_beginning_of_a_part_needs_no_net(mode):
    frames, asked = film(), []
    step = Step(flickering("chroma", asked), TemporalOptions(mode), 4)
    one = Pass(step, pytest.fail, part_of)
    for index, _ in enumerate(one.results(one.follow(iter(frames)))):
        if index == 12:
            state = one.state(2)
    assert asked == [t for t in range(20) if t not in (12, 14)]
    asked.clear()
    other = Pass(step, pytest.fail, part_of)
    other.restore(state)
    made(other, frames[12:])
    assert asked == [13, *range(15, 20)]


def test_a_state_can_be_asked_for_once_and_makes_earlier_ones_forgotten():
    one = Pass(Step(flickering(None)), pytest.fail, part_of)
    made(one, film()[:14])
    one.state(2)
    for number in (0, 1, 2, 5):
        with pytest.raises(KeyError):
            one.state(number)
    unbroken = Pass(Step(flickering(None)), pytest.fail)
    made(unbroken, film()[:14])
    with pytest.raises(KeyError):
        unbroken.state(1)


def test_deep_frames_stay_deep():
    same = Pipeline("translate", "same", lambda x, _: x * 1, lambda x, y: y, CPU, blend="rgb")
    rng = np.random.default_rng(0)
    frames = [Frame(rng.integers(0, 1 << 16, (9, 12, 3), dtype=np.uint16), t, t / 25) for t in range(3)]
    for step in (Step(same), Step(same, TemporalOptions(strength=0)), Step(same, strength=0.0)):
        results = made(Pass(step, pytest.fail), frames)
        assert all(np.array_equal(rgb, frame.rgb) for rgb, frame in zip(results, frames, strict=True))


def test_both_ways_hold_no_more_frames_than_two_windows():
    """Read ahead as far as a window and its run-up reach, and no further."""
    frames, read = film() * 5, []

    def source():
        for index, frame in enumerate(frames):
            read.append(index)
            yield frame

    one = Pass(Step(flickering("rgb"), TemporalOptions("bidirectional")), pytest.fail)
    ahead = [read[-1] - index for index, _ in enumerate(one.results(one.follow(source())))]
    assert len(ahead) == len(frames)
    assert 8 < max(ahead) <= 18  # 8 and 8, one that is being measured, and one that is just asked for


def test_both_ways_turn_a_film_around():
    frames, step = film()[6:18], Step(flickering("rgb"), TemporalOptions("bidirectional"))
    there = made(Pass(step, pytest.fail), frames)
    back = made(Pass(step, pytest.fail), frames[::-1])[::-1]
    apart = [np.abs(a.astype(int) - b).mean() for a, b in zip(there, back, strict=True)]
    assert max(apart) < 0.01  # levels; windows end elsewhere, but their run-ups reach the film's end
    one_way = Step(flickering("rgb"), TemporalOptions())
    past, future = (made(Pass(one_way, pytest.fail), part) for part in (frames, frames[::-1]))
    assert np.abs(past[5].astype(int) - future[::-1][5]).mean() > 4


def blocks(x, context):
    """A net that works in strides: the mean of every 4x4 pixels."""
    tall, wide = x.shape[-2:]
    mean = F.avg_pool2d(F.pad(x, (0, -wide % 4, 0, -tall % 4), mode="replicate"), 4)
    return F.interpolate(mean, scale_factor=4)[..., :tall, :wide]


def test_the_lattice_of_a_net_follows_the_camera():
    def steadiness(stride: int, step: tuple[int, int], batch_size: int) -> float:
        net = Pipeline("translate", "blocks", blocks, lambda x, y: y, CPU, blend="rgb", stride=stride)
        views = [view(scene(1), 40 + step[0] * t, 40 + step[1] * t) for t in range(8)]
        frames = [Frame(picture, t, t / 25) for t, picture in enumerate(views)]
        one = Pass(Step(net, TemporalOptions(strength=0), batch_size), pytest.fail)
        results = made(one, frames)
        plain = blocks(torch.from_numpy(views[0]).movedim(-1, 0)[None] / 255, None)
        assert np.array_equal(results[0], (plain * 255).round().byte()[0].movedim(0, -1))
        motion = np.tile(np.float32((-step[0], -step[1])), (*views[0].shape[:2], 1))
        return metrics.warping_error(results, [motion] * 7)

    for step in ((3, 0), (-2, 1)):
        assert steadiness(4, step, 1) < 0.05 * steadiness(1, step, 1)
    assert steadiness(4, (3, 0), 3) < 0.05 * steadiness(1, (3, 0), 3)
    still = [Frame(view(scene(1)), t, t / 25) for t in range(2)]
    still[1].rgb[0, 0] ^= 1
    asked = []

    def noted(x, context):
        asked.append(x.shape)
        return x * 1

    net = Pipeline("translate", "noted", noted, lambda x, y: y, CPU, blend="rgb", stride=4)
    made(Pass(Step(net, TemporalOptions(), 2), pytest.fail), still)
    assert asked == [(2, 3, 144, 192)]


def content(kind, asked: list[int] | None = None) -> Pipeline:
    """A net whose layer goes with what is seen, as a good net's does."""

    def predict(x, context):
        if asked is not None:
            asked.extend(round(25 * time) for time in context.times)
        if kind == "chroma":
            soft = F.avg_pool2d(F.pad(x[:, :2], (4, 4, 4, 4), mode="replicate"), 9, stride=1)
            return F.avg_pool2d(soft, 2) - 0.5
        if kind == "detail":
            large = F.interpolate(x, scale_factor=2, mode="bicubic")
            return large + 0.3 * (large - F.avg_pool2d(F.pad(large, (1, 1, 1, 1), mode="replicate"), 3, 1))
        return 1 - x

    def finish(x, layer):
        if kind == "chroma":
            red, blue = F.interpolate(layer, size=x.shape[-2:], mode="bilinear").split(1, 1)
            layer = torch.cat((x[:, :1] + red, x[:, 1:2], x[:, 2:] + blue), 1)
        return layer.clamp(0, 1)

    scale = 2 if kind == "detail" else 1
    return Pipeline("t", "content", predict, finish, CPU, scale, blend=kind, layer_scale=scale)


@pytest.mark.parametrize("mode", ["online", "bidirectional"])
@pytest.mark.parametrize("kind", ["chroma", "detail", "rgb", "paint"])
def test_a_net_that_sees_every_fourth_frame_gives_nearly_the_same(kind, mode):
    frames, asked = film()[6:11] + film()[13:18], []
    whole = made(Pass(Step(content(kind), TemporalOptions(mode)), pytest.fail), frames)
    few = made(Pass(Step(content(kind, asked), TemporalOptions(mode, every=4)), pytest.fail), frames)
    assert len(asked) <= 4 and asked[0] == 6
    differences = [np.abs(a.astype(int) - b).mean() for a, b in zip(whole, few, strict=True)]
    assert len(differences) == len(frames) and max(differences) < 4
    source = frames[-1].rgb if kind != "detail" else frames[-1].rgb.repeat(2, 0).repeat(2, 1)
    assert np.abs(few[-1].astype(int) - source).mean() > 2 * max(differences)


@pytest.mark.parametrize("mode", ["online", "bidirectional"])
def test_key_frames_come_where_motion_is_lost(mode):
    asked: list[int] = []
    step = Step(content("chroma", asked), TemporalOptions(mode, every=100))
    results = made(Pass(step, pytest.fail), film())
    assert asked == [0, 5, 6, 18]  # the flash and the frame after it, and the cut; no repeat
    assert np.array_equal(results[12], results[11])
    # Noise that is new in every frame: nothing can be carried on.
    rng = np.random.default_rng(0)
    noise = [Frame(rng.integers(0, 256, (72, 96, 3), dtype=np.uint8), t, t / 25) for t in range(4)]
    asked.clear()
    made(Pass(step, pytest.fail), noise)
    assert asked == [0, 1, 2, 3]


@pytest.mark.parametrize("mode", ["online", "bidirectional"])
def test_a_restored_pass_knows_when_the_net_was_last_asked(mode):
    for kind in ("chroma", "detail"):
        goes_on(film(), Step(content(kind), TemporalOptions(mode, every=4), batch_size=2))


def test_what_comes_into_view_takes_the_colours_around_it():
    """A bright square leaves its place on a ground that has its own colour."""
    frames = []
    ground = view(scene(1)) // 4
    for t in range(3):
        picture = ground.copy()
        picture[40:100, 20 + 30 * t : 60 + 30 * t] = 240
        frames.append(Frame(picture, t, t / 25))
    whole = made(Pass(Step(content("chroma"), TemporalOptions()), pytest.fail), frames)
    few = made(Pass(Step(content("chroma"), TemporalOptions(every=100)), pytest.fail), frames)
    left = np.s_[50:90, 25:45]  # where it was at first
    assert np.abs(whole[1][left].astype(int) - few[1][left]).mean() < 8


def test_a_net_that_takes_it_is_told_what_was_shown_before():
    told, plain = [], content("chroma")

    def predict(x, context):
        told.append((round(25 * context.times[0]), len(x), context.side.get("history")))
        return plain.predict(x, context)

    frames = [frame for frame in film()[6:18] if frame.pts not in (12, 14)]
    for options, takes in ((TemporalOptions(every=4), True), (TemporalOptions(), False)):
        told.clear()
        net = replace(plain, predict=predict, takes_history=True)
        results = made(Pass(Step(net, options, batch_size=4), pytest.fail), frames)
        assert len(results) == len(frames)
        assert [history is not None for _, _, history in told] == [takes and t > 6 for t, _, _ in told]
    told.clear()
    one = Pass(
        Step(replace(plain, predict=predict, takes_history=True), TemporalOptions(every=4)), pytest.fail
    )
    results = made(one, frames)
    assert [size for _, size, _ in told] == [1] * len(told) and len(told) >= 2
    time, _, (history, trust) = told[1]
    # It is what the frame before showed, brought along the pan.
    red = torch.from_numpy(results[time - 7][..., 0].astype(np.float32) / 255)
    gray = torch.from_numpy(frames[time - 7].rgb[..., 0].astype(np.float32) / 255)
    shown = F.avg_pool2d((red - gray)[None], 2)[0]
    assert history.shape == (2, 72, 96) and trust.mean() > 0.8
    assert (history[0, 8:-8, 8:-8] - shown.roll(-1, 1)[8:-8, 8:-8]).abs().mean() < 0.02
    goes_on(film(), Step(net, TemporalOptions(every=4)))  # it remembers what the net was told
