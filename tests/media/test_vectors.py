"""Motion vectors of a stream: there where asked for, turned with the picture, and refused where none are."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import cli_kit
import numpy as np
import pytest
from moving_pictures import HEIGHT, WIDTH, scene, view

import gantool
from gantool.errors import ExitCode, InputError
from gantool.media import vectors
from gantool.media.video import probe, read_frames, write_clip
from gantool.ops import blockflow
from gantool.temporal import TemporalFilter, TemporalOptions


@pytest.fixture(scope="module")
def pan(tmp_path_factory):
    """6 px a frame to the left, with grain; coded by x264 with all kinds of frames."""
    picture, rng = scene(1), np.random.default_rng(0)
    frames = []
    for t in range(12):
        grain = rng.normal(0, 2, (HEIGHT, WIDTH, 1))
        frames.append(np.clip(view(picture, 6 * t, 20) + grain, 0, 255).astype(np.uint8))
    path = tmp_path_factory.mktemp("pan") / "pan.mp4"
    write_clip(path, frames, Fraction(25), crf=18, preset="fast")
    return path


def test_a_pan_s_vectors_tell_the_pan(pan):
    plain = list(read_frames(pan))
    assert all(frame.vectors is None for frame in plain)
    frames = list(read_frames(pan, vectors.with_vectors(probe(pan))))
    assert [frame.pts for frame in frames] == [frame.pts for frame in plain]
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(frames, plain, strict=True))
    told = [frame.vectors for frame in frames if frame.vectors is not None]
    assert len(told) >= 10 and frames[0].vectors is None  # a key frame
    for blocks in told:
        assert blocks.shape[1] == 7 and blocks.dtype == np.float32 and set(blocks[:, 6]) <= {-1, 1}
        assert (blocks[:, 2:4] > blocks[:, :2]).all()
    steady = TemporalFilter("chroma", TemporalOptions(flow="codec"))
    motions = [steady.track(frame.rgb, frame.vectors) for frame in frames]
    across = [np.median(motion.flow[..., 0]) for motion in motions[1:] if motion.flow is not None]
    assert len(across) == 11 and np.allclose(across, 6, atol=0.2)


def test_vectors_are_the_same_at_every_reading(tmp_path):
    """Frames decoded beside each other lose theirs now and then; a film that goes on would be another one."""
    picture = scene(1)
    frames = (view(picture, 5 * (t % 60), t % 20) for t in range(60))
    path = tmp_path / "film.mp4"
    write_clip(path, frames, Fraction(25), crf=12, preset="veryfast")
    info = vectors.with_vectors(probe(path))
    first, *others = ([frame.vectors for frame in read_frames(path, info)] for _ in range(8))
    for other in others:
        for mine, theirs in zip(first, other, strict=True):
            assert (mine is None) == (theirs is None)
            assert mine is None or np.array_equal(mine, theirs)


@pytest.mark.parametrize(("rotation", "mirrored"), [(0, False), (90, False), (180, False), (270, True)])
def test_vectors_are_turned_with_the_picture(monkeypatch, rotation, mirrored):
    """One block of a stored frame of 64x32, marked and moved as a picture would be."""
    words = ("source", "w", "h", "dst_x", "dst_y", "motion_x", "motion_y", "motion_scale")
    block = np.array(
        [(-1, 16, 8, 8, 4, 32, 8, 4)], dtype=[(word, "i4") for word in words]
    )  # top left; from 8 px right, 2 px down
    data = SimpleNamespace(to_ndarray=lambda: block)
    frame = SimpleNamespace(width=64, height=32, side_data={"MOTION_VECTORS": data})
    monkeypatch.setattr(vectors, "orientation", lambda _: (rotation, mirrored))

    def shown(x, y, wide, tall):
        stored = np.zeros((32, 64))
        stored[y : y + tall, x : x + wide] = 1
        return np.rot90(stored[:, ::-1] if mirrored else stored, rotation // 90)

    turned, source = shown(0, 0, 16, 8), shown(8, 2, 16, 8)
    info = replace(gantool_info(), vectors=True, rotation=rotation, mirrored=mirrored)
    found = vectors.vectors_of(frame, info)
    assert found is not None
    height, width = turned.shape
    left, top, right, bottom = found[0, :4] * (width, height, width, height)
    assert turned[round(top) : round(bottom), round(left) : round(right)].all()
    assert (right - left) * (bottom - top) == pytest.approx(turned.sum())
    across, down = found[0, 4:6] * (width, height)
    moved = [slice(round(a + by), round(b + by)) for a, b, by in ((top, bottom, down), (left, right, across))]
    assert source[tuple(moved)].all() and found[0, 6] == -1
    assert vectors.vectors_of(frame, gantool_info()) is None


def gantool_info():
    from gantool.media.video import VideoInfo

    return VideoInfo(None, 64, 32, Fraction(25), Fraction(1, 25), codec="h264")


def test_what_has_no_vectors_is_refused():
    with pytest.raises(InputError, match="from hevc") as caught:
        vectors.with_vectors(replace(gantool_info(), codec="hevc"))
    assert "--flow dis" in str(caught.value)


def test_the_command_line_and_run_video_take_the_word(pan, tmp_path, capfd):
    model = cli_kit.colorizer(tmp_path / "c.safetensors")
    words = ("--model", model, "--device", "cpu", "--flow", "codec")
    done = cli_kit.call(capfd, "colorize", pan, "-o", tmp_path / "a.mp4", *words)
    assert done.code == 0
    report = gantool.run_video(pan, tmp_path / "b.mp4", model=str(model), device="cpu", flow="codec")
    assert report.frames == 12
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    write_clip(tmp_path / "f.webm", [view(scene(1), t) for t in range(3)], Fraction(25))
    done = cli_kit.call(capfd, "colorize", tmp_path / "f.webm", "-o", tmp_path / "c.webm", *words)
    assert done.code == ExitCode.INPUT and "no motion vectors can be read from vp9" in " ".join(
        done.err.split()
    )
    assert not (tmp_path / "c.webm").exists()


def test_fields_of_a_real_stream_fill_the_picture(pan):
    frames = list(read_frames(pan, vectors.with_vectors(probe(pan))))
    found = [blockflow.fields(frame.vectors, 72, 96) for frame in frames[1:]]
    assert all(np.isfinite(field).all() for fields in found for field in fields.values())
    assert sum(bool(fields) for fields in found) >= 10
