"""The engine: every frame, in order, from every stage's failure back in seconds, in flat memory; pictures."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

import gantool.engine as engine
from gantool.engine import Step, run_picture, run_video
from gantool.errors import DeviceError, EncoderError, InputError, OutputError, Stopped
from gantool.media.image import Picture
from gantool.media.video import VideoWriter, probe, read_frames, write_clip
from gantool.motion import MotionTracker
from gantool.passes import Pass
from gantool.pipelines import Pipeline
from gantool.temporal import TemporalOptions

CPU = torch.device("cpu")
LOSSLESS = {"crf": 0, "preset": "ultrafast", "pix_fmt": "yuv444p"}
SIZE = (48, 64)


def numbered(count: int, height: int = SIZE[0], width: int = SIZE[1]) -> list[np.ndarray]:
    """Grey frames that tell their number by their brightness, with a little texture."""
    texture = np.random.default_rng(0).integers(0, 8, (height, width, 1))
    return [
        np.repeat(np.clip(20 + 6 * (i % 35) + texture, 0, 255), 3, 2).astype(np.uint8) for i in range(count)
    ]


@pytest.fixture
def clip(tmp_path):
    def make(count: int = 9, frames: list[np.ndarray] | None = None, fps: Fraction = Fraction(25)) -> Path:
        path = tmp_path / "source.mkv"
        write_clip(path, frames or numbered(count), fps, **LOSSLESS)
        return path

    return make


def identity(**options) -> Pipeline:
    return Pipeline("colorize", "identity", lambda x, c: x * 1.0, lambda x, layer: layer, CPU, **options)


def tinted(batches: list[int] | None = None) -> Pipeline:
    """A colorizer that flickers: constant chroma plus noise that differs from call to call."""
    generator = torch.Generator().manual_seed(0)

    def predict(x, context):
        if batches is not None:
            batches.append(len(x))
        assert len(context.times) in (0, len(x))
        noise = torch.randn(len(x), 2, 1, 1, generator=generator)
        return (noise * 0.05 + torch.tensor([0.1, -0.1]).view(1, 2, 1, 1)).expand(-1, -1, 12, 16).clone()

    def finish(x, layer):
        red = layer.mean((2, 3))[:, :1, None, None]
        blue = layer.mean((2, 3))[:, 1:, None, None]
        return torch.cat((x[:, :1] + red, x[:, 1:2], x[:, 2:] + blue), 1).clamp(0, 1)

    return Pipeline("colorize", "tinted", predict, finish, CPU, blend="chroma")


def doubled() -> Pipeline:
    def predict(x, context):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    return Pipeline("upscale", "nearest", predict, lambda x, y: y, CPU, scale=2.0, gray_output_for_gray=True)


def run(source: Path, steps: Pipeline | list[Step], target: Path | None = None, **options):
    target = target or source.with_name("result.mkv")
    options.setdefault("writer", LOSSLESS)
    words = {word: options.pop(word) for word in ("temporal", "batch_size", "strength") if word in options}
    if isinstance(steps, Pipeline):
        steps = [Step(steps, **words)]
    report = run_video(probe(source), target, steps, **options)
    return report, list(read_frames(target))


def levels(frames) -> list[float]:
    return [float(frame.rgb[..., 1].mean()) for frame in frames]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())  # a download that was given up may still be ending
    yield
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert [name for name in left if name.startswith("gantool-")] == []


# ---- videos


@pytest.mark.parametrize(
    ("count", "batch_size", "temporal"),
    [
        *itertools.product((1, 2, 9), (1, 2, 4, 16), (None,)),
        *itertools.product((1, 9), (1, 4), (TemporalOptions(),)),
        (40, 3, None),
    ],
)
def test_every_frame_once_and_in_order(clip, count, batch_size, temporal):
    source = clip(count)
    pipeline = tinted() if temporal else identity()
    report, frames = run(source, pipeline, batch_size=batch_size, temporal=temporal)
    originals = list(read_frames(source))
    assert report.frames == len(frames) == len(originals) == count
    assert [f.time for f in frames] == pytest.approx([f.time for f in originals], abs=2e-3)
    assert np.abs(np.subtract(levels(frames), levels(originals))).max() < 1
    assert set(report.stages) == {"decode", "flow", "net", "blend", "finish", "encode"}
    assert all(seconds >= 0 for seconds in report.stages.values()) and report.seconds > 0


def test_larger_output(clip):
    source = clip(3)
    report, frames = run(source, doubled())
    assert frames[0].rgb.shape == (96, 128, 3) and report.frames == 3


def test_part_of_a_video(clip):
    report, frames = run(clip(30), identity(), start=0.4, duration=0.2)
    assert report.frames == len(frames) == 5


def test_steadier_with_the_filter(clip):
    def spread(temporal):
        _, frames = run(clip(16), tinted(), temporal=temporal)
        reds = [float((f.rgb[..., 0].astype(float) - f.rgb[..., 1]).mean()) for f in frames]
        return float(np.abs(np.diff(reds)).mean())

    texture = np.random.default_rng(0).integers(0, 200, SIZE)
    frames = [np.repeat(np.roll(texture, i, 1)[..., None], 3, 2).astype(np.uint8) for i in range(16)]
    clip(frames=frames)
    assert spread(TemporalOptions()) < 0.5 * spread(None)


def test_strength_zero_is_the_source(clip):
    source = clip(5)
    _, frames = run(source, tinted(), strength=0.0, temporal=TemporalOptions())
    for frame, original in zip(frames, read_frames(source), strict=True):
        assert np.abs(frame.rgb.astype(int) - original.rgb).max() <= 2  # the codec's colour conversion


def test_repeated_frames_repeat_their_result_without_the_net(clip):
    pictures = numbered(3)
    order = [0, 0, 0, 1, 1, 2, 2, 2]
    batches: list[int] = []
    source = clip(frames=[pictures[i] for i in order])
    for temporal in (None, TemporalOptions()):
        batches.clear()
        report, frames = run(source, tinted(batches), batch_size=3, temporal=temporal)
        assert report.frames == 8 and sum(batches) == 3
        for a, b in itertools.pairwise(range(8)):
            assert np.array_equal(frames[a].rgb, frames[b].rgb) == (order[a] == order[b])


def test_progress_is_told(clip):
    class Counter:
        def __init__(self):
            self.done, self.expected, self.remarks = 0, None, set()

        def note(self, remark):
            self.remarks.add(remark)

        def advance(self, n=1):
            self.done += n

        def total(self, n):
            self.expected = n

    counter = Counter()
    run(clip(7), identity(), progress=counter)
    assert (counter.done, counter.expected) == (7, 7)
    assert counter.remarks <= {f"{stage} is slowest" for stage in ("decode", "flow", "net", "encode")}
    assert counter.remarks


def test_broken_source_and_keep_partial(clip, monkeypatch):
    source = clip(20)
    info = probe(source)

    def damaged(*args, keep_partial, warn, **options):
        yield from itertools.islice(read_frames(*args, **options), 6)
        if not keep_partial:
            raise InputError("the video is damaged after 0.20 s", source, "Use --keep-partial")
        warn("damaged after 0.20 s")

    monkeypatch.setattr(engine, "read_frames", damaged)
    with pytest.raises(InputError, match="damaged"):
        run_video(info, source.with_name("a.mkv"), [Step(identity())], writer=LOSSLESS)
    said = []
    report = run_video(
        info,
        source.with_name("b.mkv"),
        [Step(identity())],
        writer=LOSSLESS,
        keep_partial=True,
        warn=said.append,
    )
    assert report.frames == 6 and report.warnings == ("damaged after 0.20 s",) == tuple(said)


# ---- several steps


def test_several_steps_are_what_several_runs_are(clip):
    """Each step keeps its own memory, and sees in 8 bit what the one before made."""

    def steps() -> list[Step]:
        return [Step(tinted(), TemporalOptions(), 3), Step(doubled()), Step(tinted(), TemporalOptions(), 2)]

    source = clip(7)
    report, made = run(source, steps())
    assert report.frames == 7 and set(report.stages) == {"decode", "flow", "net", "blend", "finish", "encode"}
    frames = list(read_frames(source))
    for step in steps():  # one whole run after the other
        one = Pass(step, lambda message: None)
        frames = list(one.results(one.follow(iter(frames))))
    expected = source.with_name("expected.mkv")
    write_clip(expected, (frame.rgb for frame in frames), probe(source).fps, **LOSSLESS)
    assert made[0].rgb.shape == (2 * SIZE[0], 2 * SIZE[1], 3)
    for mine, theirs in zip(made, read_frames(expected), strict=True):
        np.testing.assert_array_equal(mine.rgb, theirs.rgb)
        assert mine.time == theirs.time


# ---- failures


def fail_at(n, error):
    calls = itertools.count()

    def maybe():
        if next(calls) == n:
            raise error

    return maybe


@pytest.mark.parametrize("stage", ["decode", "flow", "predict", "finish", "encode", "close", "check"])
@pytest.mark.parametrize("at", [0, 5])
def test_the_first_failure_comes_out_soon(clip, monkeypatch, stage, at):
    source = clip(60)
    error = RuntimeError(f"{stage} broke")
    maybe = fail_at(at, error)
    pipeline, check = tinted(), None
    if stage == "decode":

        def frames(*args, **options):
            for frame in read_frames(*args, **options):
                maybe()
                yield frame

        monkeypatch.setattr(engine, "read_frames", frames)
    elif stage == "flow":
        measure = MotionTracker.measure
        monkeypatch.setattr(MotionTracker, "measure", lambda self, pair: (maybe(), measure(self, pair))[1])
    elif stage in ("predict", "finish"):
        plain = pipeline

        def call(name):
            step = getattr(plain, name)
            return lambda *args: (maybe(), step(*args))[1] if name == stage else step(*args)

        pipeline = Pipeline("colorize", "x", call("predict"), call("finish"), CPU, blend="chroma")
    elif stage == "encode":
        write = VideoWriter.write
        monkeypatch.setattr(VideoWriter, "write", lambda self, *a: (maybe(), write(self, *a))[1])
    elif stage == "close":

        def close(self):
            self.abort()
            raise error

        monkeypatch.setattr(VideoWriter, "close", close)
    else:
        error = Stopped()
        check = fail_at(at, error)
    began = time.monotonic()
    with pytest.raises(type(error)) as caught:
        run_video(
            probe(source),
            source.with_name("result.mkv"),
            [Step(pipeline, TemporalOptions(), batch_size=2)],
            writer=LOSSLESS,
            check=check,
        )
    assert caught.value is error
    assert time.monotonic() - began < (2 if stage != "close" else 5)


@pytest.mark.parametrize(
    ("writer", "suffix", "error"),
    [
        ({"codec": "no_such_codec"}, ".mkv", EncoderError),
        ({}, "/no/folder/here.mkv", OutputError),
    ],
)
def test_errors_of_the_writer_keep_their_kind(clip, tmp_path, writer, suffix, error):
    source = clip(3)
    target = Path(f"{tmp_path}/out{suffix}")
    with pytest.raises(error):
        run_video(probe(source), target, [Step(identity())], writer=writer)


def test_nothing_selected(clip):
    with pytest.raises(InputError, match="no frame"):
        run(clip(3), identity(), start=5.0)


def broken(value: float, at: int = 0) -> Pipeline:
    calls = itertools.count()

    def predict(x, context):
        y = x.clone()
        if next(calls) == at:
            y[..., 3, 5] = value
        return y

    return Pipeline("colorize", "broken", predict, lambda x, y: y, CPU)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_never_become_pixels(clip, value):
    with pytest.raises(DeviceError, match=r"not numbers at 0\.08 s.*--precision fp32"):
        run(clip(4), broken(value, at=2))
    with pytest.raises(DeviceError, match="not numbers"):
        run_picture(Picture(numbered(1)[0]), broken(value))
    late = Pipeline("colorize", "late", lambda x, c: x, lambda x, y: y * value, CPU)
    with pytest.raises(DeviceError, match="not numbers"):
        run_picture(Picture(numbered(1)[0]), late)


# ---- memory

MEASURE = """
import sys, resource
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import cv2, torch
cv2.setNumThreads(1); torch.set_num_threads(1)
from gantool.engine import Step, run_video
from gantool.media.video import probe
from gantool.temporal import TemporalOptions
import test_engine
for source in sys.argv[2:]:
    steps = [Step(test_engine.tinted(), TemporalOptions(flow="dis"), 2)]
    run_video(probe(source), Path(source + ".out.mp4"), steps, writer={"preset": "ultrafast", "threads": 1})
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path):
    """90 kB kept of every frame (of 230) would be seen: a short film twice and a long one in one process."""
    rng = np.random.default_rng(0)
    wide = np.repeat(rng.integers(0, 256, (60, 200, 1), dtype=np.uint8), 3, 2).repeat(4, 0).repeat(4, 1)
    sources = []
    for count in (40, 240):
        sources.append(tmp_path / f"{count}.mp4")
        frames = (wide[:, i % 400 : i % 400 + 320] for i in range(count))
        write_clip(sources[-1], frames, Fraction(12), preset="ultrafast", threads=1)
    command = [sys.executable, "-c", MEASURE, Path(__file__).parent, sources[0], *sources]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    _, short, long = (float(line) / 1024 for line in done.stdout.split())
    print(f"peak memory: 40 frames {short:.0f} MB, 240 frames {long:.0f} MB")
    assert long < short + 200 * 0.09


# ---- pictures


def deep_picture(**options) -> Picture:
    rgb = np.random.default_rng(1).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    return Picture(rgb, **options)


def test_sixteen_bits_are_kept_exactly():
    picture = deep_picture(icc=b"profile", exif=b"Exif\0\0", dpi=(300.0, 300.0))
    result = run_picture(picture, identity())
    assert result.rgb.dtype == np.uint16 and np.array_equal(result.rgb, picture.rgb)
    assert (result.icc, result.exif, result.dpi) == (picture.icc, picture.exif, picture.dpi)


def test_values_are_rounded_not_cut():
    almost = Pipeline("colorize", "x", lambda x, c: x, lambda x, y: (y - 0.4 / 255).clamp(0, 1), CPU)
    picture = Picture(numbered(1)[0])
    assert np.array_equal(run_picture(picture, almost).rgb, picture.rgb)
    deep = Pipeline("colorize", "x", lambda x, c: x, lambda x, y: (y - 0.4 / 65535).clamp(0, 1), CPU)
    assert np.array_equal(run_picture(deep_picture(), deep).rgb, deep_picture().rgb)


def test_strength():
    black = Pipeline("colorize", "black", lambda x, c: x * 0, lambda x, y: y, CPU)
    picture = deep_picture()
    assert np.array_equal(run_picture(picture, black, strength=0).rgb, picture.rgb)
    half = run_picture(picture, black, strength=0.5).rgb
    assert np.abs(half.astype(int) - picture.rgb / 2).max() <= 1
    enlarged = run_picture(picture, doubled(), strength=0).rgb
    assert enlarged.shape == (40, 60, 3) and enlarged.dtype == np.uint16


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_comes_along_without_halos(dtype):
    peak = np.iinfo(dtype).max
    rgb = np.zeros((40, 40, 3), dtype)  # black where nobody sees it
    alpha = np.zeros((40, 40), dtype)
    rgb[10:30, 10:30], alpha[10:30, 10:30] = peak, peak

    def predict(x, context):
        return torch.nn.functional.interpolate(x, scale_factor=2, mode="bicubic")

    smooth = Pipeline("upscale", "bicubic", predict, lambda x, y: y.clamp(0, 1), CPU, scale=2.0)
    result = run_picture(Picture(rgb, alpha), smooth)
    assert result.alpha is not None and result.alpha.shape == (80, 80) and result.alpha.dtype == dtype
    assert result.alpha[40, 40] == peak and result.alpha[2, 2] == 0
    assert result.rgb[result.alpha > 0].min() > 0.99 * peak  # no dark rim
    same = run_picture(Picture(rgb, alpha), identity())
    assert np.array_equal(same.alpha, alpha)
    visible = alpha > 0
    assert np.array_equal(same.rgb[visible], rgb[visible])
    empty = run_picture(Picture(rgb, np.zeros_like(alpha)), identity())
    assert np.array_equal(empty.rgb, rgb)


def test_gray_stays_gray_where_the_task_says_so():
    def tint(x, context):
        return (x + torch.tensor([0.1, 0.0, -0.1]).view(1, 3, 1, 1)).clamp(0, 1)

    keeps = Pipeline("upscale", "x", tint, lambda x, y: y, CPU, gray_output_for_gray=True)
    colors = Pipeline("colorize", "x", tint, lambda x, y: y, CPU)
    picture = Picture(numbered(1)[0], gray=True)
    kept, colored = run_picture(picture, keeps), run_picture(picture, colors)
    assert kept.gray and (kept.rgb == kept.rgb[..., :1]).all()
    assert not colored.gray and (colored.rgb != colored.rgb[..., :1]).any()
    assert run_picture(picture, colors, strength=0).gray


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3)])
def test_tiny_pictures(size):
    picture = Picture(np.full((*size, 3), 77, np.uint8), np.full(size, 128, np.uint8))
    result = run_picture(picture, doubled())
    assert result.rgb.shape == (2 * size[0], 2 * size[1], 3) and (result.rgb == 77).all()
    assert result.alpha is not None and (result.alpha == 128).all()
