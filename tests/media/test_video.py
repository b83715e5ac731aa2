"""Videos written again keep their times, sound, subtitles and titles."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_makers import (
    PICTURE,
    SOUND,
    X264,
    assert_same_tracks,
    difference,
    ffmpeg,
    make_clip,
    rewrite,
    times,
)

from gantool.media.video import VideoWriter, probe, read_frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("video")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    return make_clip(folder / "plain.mp4")


def vfr_clip(path: Path) -> Path:
    ffmpeg(*PICTURE, *SOUND, "-vf", "select='not(mod(n,5))+not(mod(n,7))'", "-fps_mode", "vfr", *X264, path)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_same_frames_rate_duration_and_sound(folder: Path, suffix: str) -> None:
    options = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8") if suffix == ".webm" else ()
    source = make_clip(folder / f"same{suffix}", "-r", "30000/1001", *options)
    target = folder / f"same.out{suffix}"
    info, frames, warnings = rewrite(source, target)
    result = probe(target)
    again = list(read_frames(target, result))
    assert warnings == []
    assert len(again) == len(frames) == 60
    assert result.fps == info.fps == Fraction(30000, 1001)
    assert result.duration == pytest.approx(info.duration, abs=1e-6)
    assert np.abs(times(frames) - times(again)).max() < 1e-9
    assert difference(frames, again) < 2.5
    assert_same_tracks(source, target)


def test_identity_at_the_default_quality_looks_lossless(plain: Path, folder: Path) -> None:
    _, frames, _ = rewrite(plain, folder / "quality.mp4", preset="medium")
    again = list(read_frames(folder / "quality.mp4"))
    error = np.mean([np.mean((a.rgb.astype(float) - b.rgb) ** 2) for a, b in zip(frames, again, strict=True)])
    assert 10 * np.log10(255**2 / error) > 36
    bias = np.mean([(a.rgb.astype(float) - b.rgb).mean() for a, b in zip(frames, again, strict=True)])
    assert abs(bias) < 0.5


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_rate_is_kept_exactly(folder: Path, suffix: str) -> None:
    source = vfr_clip(folder / f"vfr{suffix}")
    info, frames, warnings = rewrite(source, folder / f"vfr.out{suffix}")
    again = list(read_frames(folder / f"vfr.out{suffix}"))
    assert warnings == []
    assert info.variable_rate is (True if suffix == ".mp4" else None)
    assert np.abs(times(frames) - times(again)).max() < 1e-9
    # The last frame lasts until the picture's end, not as long as the frame decoded last.
    assert probe(folder / f"vfr.out{suffix}").duration == pytest.approx(2.0, abs=0.002)
    assert_same_tracks(source, folder / f"vfr.out{suffix}")


def test_variable_rate_survives_a_change_of_container(folder: Path) -> None:
    source = vfr_clip(folder / "vfr2.mkv")
    _, frames, _ = rewrite(source, folder / "vfr2.mp4")
    assert np.abs(times(frames) - times(list(read_frames(folder / "vfr2.mp4")))).max() < 1e-9
    _, frames, _ = rewrite(folder / "vfr2.mp4", folder / "vfr2.webm", audio=False)
    assert np.abs(times(frames) - times(list(read_frames(folder / "vfr2.webm")))).max() <= 0.0005


def test_even_rate_is_restored_when_leaving_matroska(folder: Path) -> None:
    source = make_clip(folder / "even.mkv", "-r", "30000/1001")
    rewrite(source, folder / "even.mp4")
    result = probe(folder / "even.mp4")
    assert result.fps == Fraction(30000, 1001)
    assert result.variable_rate is False


def test_picture_that_starts_late(folder: Path) -> None:
    source = folder / "late.mp4"
    ffmpeg("-itsoffset", "0.6", *PICTURE, *SOUND, *X264, source)
    info, frames, _ = rewrite(source, folder / "late.out.mp4")
    assert frames[0].time == pytest.approx(0.6, abs=0.001)
    assert info.start_pts > 0
    again = list(read_frames(folder / "late.out.mp4"))
    assert np.abs(times(frames) - times(again)).max() < 1e-9
    assert_same_tracks(source, folder / "late.out.mp4")


def test_edit_list_is_honoured(plain: Path, folder: Path) -> None:
    source = folder / "cut.mp4"
    ffmpeg("-ss", "0.7", "-i", plain, "-c", "copy", source)
    info, frames, warnings = rewrite(source, folder / "cut.out.mp4")
    with av.open(str(source)) as container:
        assert container.streams.video[0].frames > len(frames)  # the index also holds frames never shown
    assert warnings == []
    assert info.frames_hint == len(frames)
    again = list(read_frames(folder / "cut.out.mp4"))
    assert np.abs(times(frames) - times(again)).max() < 1e-4
    assert difference(frames, again) < 2.5


def test_one_frame(folder: Path) -> None:
    source = make_clip(folder / "one.mp4", "-frames:v", "1", sound=False)
    info, frames, _ = rewrite(source, folder / "one.out.mp4")
    result = probe(folder / "one.out.mp4")
    assert len(frames) == 1
    assert result.frames_hint == 1
    assert result.duration == info.duration == pytest.approx(0.04)


def test_frames_may_come_from_a_thread(plain: Path, folder: Path) -> None:
    from threading import Thread

    info = probe(plain)
    with VideoWriter(folder / "thread.mp4", info, info.width, info.height, preset="ultrafast") as writer:

        def work() -> None:
            for frame in read_frames(plain, info):
                writer.write(frame.rgb, frame.pts)

        thread = Thread(target=work)
        thread.start()
        thread.join()
    assert probe(folder / "thread.mp4").frames_hint == 50
    assert_same_tracks(plain, folder / "thread.mp4")


def test_upscaled_frames_and_sound(plain: Path, folder: Path) -> None:
    info = probe(plain)
    with VideoWriter(folder / "big.mp4", info, 128, 96, preset="ultrafast") as writer:
        for frame in read_frames(plain, info):
            writer.write(np.repeat(np.repeat(frame.rgb, 2, 0), 2, 1), frame.pts, frame.duration)
    result = probe(folder / "big.mp4")
    assert (result.width, result.height, result.duration) == (128, 96, info.duration)
    assert_same_tracks(plain, folder / "big.mp4")
