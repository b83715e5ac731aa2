"""Colours and depth from source to output: what an identity net loses beside what the encoder loses alone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from video_makers import encode_planes, rgb_to_yuv, yuv_to_rgb

from gantool.engine import Step, run_video
from gantool.media.video import is_deep, probe, read_frames, write_clip
from gantool.pipelines import Pipeline
from gantool.preview import preview
from gantool.temporal import TemporalOptions

CPU = torch.device("cpu")
OPTIONS = {"crf": "18", "preset": "ultrafast"}


def identity(shift: float = 0.0, **options) -> Pipeline:
    return Pipeline("colorize", "identity", lambda x, c: x + shift, lambda x, layer: layer, CPU, **options)


def bars_and_gradient(height: int = 64, width: int = 96) -> np.ndarray:
    """(H,W,3) in 0..255: eight full colour bars, the same at 75 %, a grey gradient and one of colours."""
    on = np.array([[1, 1, 1], [1, 1, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0]])
    bars = np.repeat(on, width // 8, 0)[None] * 255.0
    ramp = np.linspace(0, 255, width)[None, :, None]
    colours = np.concatenate([ramp, ramp[:, ::-1], 64 + ramp / 2], -1)
    rows = (bars, bars * 0.75, np.repeat(ramp, 3, 2), colours)
    return np.concatenate([np.repeat(row, height // 4, 0) for row in rows])


def planes_of(path: Path) -> tuple[np.ndarray, str]:
    """(H,W,3) Y, Cb, Cr of the second frame, smaller chroma planes repeated; and the pixel format."""
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        next(frames)
        frame: Any = next(frames)
    kind = np.dtype(np.uint8 if frame.format.components[0].bits == 8 else "<u2")
    raw = [np.frombuffer(p, kind).reshape(p.height, -1)[:, : p.width] for p in frame.planes]
    grown = [np.kron(p, np.ones((frame.height // p.shape[0], frame.width // p.shape[1]), int)) for p in raw]
    return np.stack(grown, -1), frame.format.name


def encoded_alone(path: Path, truth: np.ndarray, pix_fmt: str) -> np.ndarray:
    """The encoder's own loss: the exact picture in exact BT.709, rounded once, encoded and decoded; RGB."""
    bits = 10 if "10" in pix_fmt else 8
    height, width = truth.shape[:2]
    exact = rgb_to_yuv(truth, "bt709", False, 16) / 2 ** (16 - bits)  # 1/256 of a step or finer
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=25, options=OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        for number in range(5):
            frame: Any = av.VideoFrame(width, height, pix_fmt)
            for index, plane in enumerate(frame.planes):
                block = height // plane.height
                small = exact[..., index].reshape(plane.height, block, plane.width, block).mean((1, 3))
                kind = np.dtype(np.uint8 if bits == 8 else "<u2")
                view = np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width]
                view[...] = np.rint(small)
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return yuv_to_rgb(planes_of(path)[0], "bt709", False, bits)


def losses(
    folder: Path, matrix: str, full: bool, bits: int, pix_fmt: str, size=(64, 96)
) -> tuple[float, float]:
    """Mean errors in levels of 255: of the encoder alone, and of a film through an identity net."""
    yuv = rgb_to_yuv(bars_and_gradient(*size), matrix, full, bits)
    truth = yuv_to_rgb(yuv, matrix, full, bits)
    source = encode_planes(folder / "source.mp4", yuv, matrix, full=full, bits=bits)
    target = folder / "out.mkv"
    words = {"crf": 18, "preset": OPTIONS["preset"], "pix_fmt": pix_fmt}
    run_video(probe(source), target, [Step(identity())], writer=words)
    found, stored = planes_of(target)
    assert stored == pix_fmt
    through = yuv_to_rgb(found, "bt709", False, 10 if "10" in pix_fmt else 8)
    alone = encoded_alone(folder / "alone.mkv", truth, pix_fmt)
    return float(np.abs(alone - truth).mean()), float(np.abs(through - truth).mean())


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p", "yuv444p10le", "yuv420p10le"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_colours_lose_no_more_than_in_the_encoder(
    tmp_path: Path, matrix: str, full: bool, pix_fmt: str
) -> None:
    alone, through = losses(tmp_path, matrix, full, 10 if "10" in pix_fmt else 8, pix_fmt)
    assert through <= alone + 0.2


@pytest.mark.parametrize("temporal", [None, TemporalOptions()])
def test_ten_bits_go_through_the_net_and_out_again(tmp_path: Path, temporal: TemporalOptions | None) -> None:
    ramp = np.linspace(0, 255, 1024).reshape(16, 64)
    yuv = rgb_to_yuv(np.stack([ramp] * 3, -1), "bt709", False, 10)
    source = encode_planes(tmp_path / "ten.mp4", yuv, "bt709", full=False)
    info = probe(source)
    run_video(info, tmp_path / "out.mkv", [Step(identity(blend="rgb"), temporal)], writer={"codec": "ffv1"})
    found, stored = planes_of(tmp_path / "out.mkv")
    assert stored == "yuv444p10le" and np.array_equal(found, yuv)


def test_eight_bits_stay_eight_unless_more_are_asked_for(tmp_path: Path) -> None:
    info = write_clip(tmp_path / "eight.mkv", [np.full((32, 48, 3), 100, np.uint8)] * 3, 25)
    info = probe(tmp_path / "eight.mkv")
    assert not is_deep(tmp_path / "out.mp4", info) and not is_deep(tmp_path / "out%d.png", info)
    assert is_deep(tmp_path / "out.mp4", info, codec="libx265", pix_fmt="yuv420p10le", crf=18)
    words = {"pix_fmt": "yuv444p10le", "codec": "ffv1"}
    run_video(info, tmp_path / "deep.mkv", [Step(identity(shift=0.5 / 255))], writer=words)
    before = next(iter(read_frames(info.path or "", info))).rgb.mean() / 255
    after = next(iter(read_frames(tmp_path / "deep.mkv", deep=True))).rgb.mean() / 65535
    assert after - before == pytest.approx(0.5 / 255, abs=0.15 / 255)  # half a level of 8 bits is kept


def test_deep_films_everywhere_else(tmp_path: Path) -> None:
    """Two steps, a GIF, numbered pictures and a preview of a source with 10 bits."""
    yuv = rgb_to_yuv(bars_and_gradient(), "bt709", False, 10)
    info = probe(encode_planes(tmp_path / "ten.mp4", yuv, "bt709", full=False))
    steps = [Step(identity()), Step(identity())]
    for name in ("out.gif", "out%d.png", "out.mkv"):
        assert run_video(info, tmp_path / name, steps).frames == 5
    deep = next(iter(read_frames(tmp_path / "out%d.png", deep=True))).rgb
    truth = yuv_to_rgb(yuv, "bt709", False, 10) / 255
    assert np.abs(deep / 65535 - truth).max() < 2e-5
    sheet = preview(info, Step(identity()), count=2).sheet
    assert sheet.bits == 8
    assert probe(tmp_path / "out.mkv").fps == Fraction(25)
