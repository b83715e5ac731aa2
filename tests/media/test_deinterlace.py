"""Interlaced films: whole frames, one for one, at the same times, wherever the reading begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from video_makers import ffmpeg, rewrite, times

from gantool.media.video import probe, read_frames

# A white bar that moves 100 px a second over a dark ground with fine lines.
LUMA = "if(lt(mod(X+64-mod(T*100,64),64),12),220,40+20*mod(Y,2))"
BAR = f"color=0x202020:s=64x48:r=50:d=2,geq=lum='{LUMA}':cb=128:cr=128"
LOSSLESS = ("-c:v", "libx264", "-qp", "0", "-preset", "ultrafast", "-g", "12")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("interlaced")


@pytest.fixture(scope="module")
def progressive(folder: Path) -> Path:
    """What the first fields show."""
    path = folder / "progressive.mkv"
    ffmpeg("-f", "lavfi", "-i", BAR, "-vf", "framestep=2", *LOSSLESS, path)
    return path


@pytest.fixture(scope="module")
def interlaced(folder: Path) -> Path:
    path = folder / "interlaced.mkv"
    weave = ("-vf", "interlace=scan=tff:lowpass=off", "-flags", "+ildct+ilme", "-x264-params", "tff=1")
    ffmpeg("-f", "lavfi", "-i", BAR, *LOSSLESS, *weave, path)
    return path


def error(first: list, second: list) -> float:
    pairs = zip(first, second, strict=True)
    return float(np.mean([np.abs(a.rgb.astype(float) - b.rgb).mean() for a, b in pairs]))


def test_frames_are_made_whole_one_for_one(interlaced: Path, progressive: Path) -> None:
    truth = list(read_frames(progressive))
    info = probe(interlaced)
    assert info.interlaced and "interlaced" in info.summary()
    warnings: list[str] = []
    whole = list(read_frames(interlaced, info, warn=warnings.append))
    assert warnings == ["the video is interlaced; its frames are made whole (--deinterlace off leaves them)"]
    off = probe(interlaced, deinterlace=False)
    torn = list(read_frames(interlaced, off, warn=warnings.append))
    assert len(whole) == len(torn) == len(truth) == 50
    assert [(f.pts, f.duration) for f in whole] == [(f.pts, f.duration) for f in torn]
    assert error(whole, truth) < 0.4 * error(torn, truth)
    assert warnings[1:] == ["the video is interlaced and stays so; fine lines will look torn"]


def test_the_result_is_the_same_wherever_the_reading_begins(interlaced: Path) -> None:
    info = probe(interlaced)
    whole = list(read_frames(interlaced, info))
    for number in (1, 11, 12, 13, 24, 30):
        part = list(read_frames(interlaced, info, start=whole[number].time, duration=0.1))
        expected = whole[number : number + len(part)]
        assert [frame.pts for frame in part] == [frame.pts for frame in expected]
        assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(part, expected, strict=True))


def test_progressive_parts_stay_as_they_are(folder: Path, interlaced: Path, progressive: Path) -> None:
    names = []
    for path in (progressive, interlaced):
        names.append(path.with_suffix(".ts"))
        ffmpeg("-i", path, "-c", "copy", names[-1])
    mixed = folder / "mixed.ts"
    ffmpeg("-i", "concat:" + "|".join(map(str, names)), "-c", "copy", mixed)
    warnings: list[str] = []
    frames = list(read_frames(mixed, warn=warnings.append))
    plain = list(read_frames(progressive))
    assert len(frames) == 100
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(frames[:50], plain, strict=True))
    assert any("made whole" in warning for warning in warnings)
    assert error(frames[51:], list(read_frames(interlaced))[1:]) == 0


def test_the_output_is_progressive_and_in_step(interlaced: Path, folder: Path) -> None:
    _, frames, _ = rewrite(interlaced, folder / "whole.mkv")
    assert not probe(folder / "whole.mkv").interlaced
    again = list(read_frames(folder / "whole.mkv"))
    assert times(again) == pytest.approx(times(frames), abs=0.001)
