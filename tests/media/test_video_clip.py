"""Fresh clips from arrays, and GIF."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from PIL import Image
from video_makers import make_clip, rewrite, times

from gantool.media.provenance import Provenance
from gantool.media.video import probe, read_frames, writable_suffixes, write_clip
from gantool.media.ycbcr import video_frame


def steps(count: int) -> list[np.ndarray]:
    """Plain pictures, each a little lighter than the one before."""
    return [np.full((24, 32, 3), number * 8, np.uint8) for number in range(count)]


def tone(seconds: float, channels: int = 1) -> np.ndarray:
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(48_000 * seconds)) / 48_000)
    return np.repeat(wave[:, None], channels, axis=1)


@pytest.mark.parametrize("suffix", [s for s in writable_suffixes() if s != ".gif"])
@pytest.mark.parametrize("channels", [1, 2])
def test_clip_with_sound(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / f"clip{suffix}"
    write_clip(path, iter(steps(30)), Fraction(30000, 1001), tone(1, channels), preset="ultrafast")
    info = probe(path)
    frames = list(read_frames(path, info))
    assert info.fps == Fraction(30000, 1001)
    assert [round(float(frame.rgb.mean()) / 8) for frame in frames] == list(range(30))
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(stream))
        assert stream.channels == channels
        assert samples == pytest.approx(48_000, abs=2100)


def test_clip_with_a_single_row_of_samples(tmp_path: Path) -> None:
    write_clip(tmp_path / "row.mp4", steps(5), 25, tone(0.2)[:, 0], preset="ultrafast")
    assert probe(tmp_path / "row.mp4").audio == 1


def test_clip_with_a_variable_rate(tmp_path: Path) -> None:
    stamps = [0, 40, 50, 200, 210]
    write_clip(tmp_path / "v.mp4", steps(5), 25, pts=stamps, time_base=Fraction(1, 1000), preset="ultrafast")
    frames = list(read_frames(tmp_path / "v.mp4"))
    assert [frame.time for frame in frames] == pytest.approx([stamp / 1000 for stamp in stamps])
    assert probe(tmp_path / "v.mp4").variable_rate is True


def test_clip_needs_a_frame(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        write_clip(tmp_path / "none.mp4", [], 25)


def test_gif_from_video(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "film.mp4")
    mark = Provenance("colorize", "tiny", "0.1.0")
    _, frames, warnings = rewrite(source, tmp_path / "film.gif", provenance=mark)
    assert warnings == ["gif has no sound; it is left out"]
    again = list(read_frames(tmp_path / "film.gif"))
    assert len(again) == len(frames) == 50
    assert np.abs(times(frames) - times(again)).max() < 1e-9
    errors = [np.abs(a.rgb.astype(float) - b.rgb).mean() for a, b in zip(frames, again, strict=True)]
    assert np.mean(errors) < 8
    with Image.open(tmp_path / "film.gif") as picture:
        assert picture.n_frames == 50
        assert picture.info["loop"] == 0
        picture.seek(49)
        picture.load()
    data = (tmp_path / "film.gif").read_bytes()
    assert mark.sentence().encode() in data
    assert mark.source_type.encode() in data


def test_a_film_of_one_pixel(tmp_path: Path) -> None:
    """Whose memory order numpy does not care about."""
    odd = np.moveaxis(np.full((3, 3, 1, 1), 90, np.uint8), 1, -1)
    write_clip(tmp_path / "one.mkv", odd, 5)
    assert [frame.rgb.shape for frame in read_frames(tmp_path / "one.mkv")] != []
    reformatter = VideoReformatter()
    assert video_frame(reformatter, odd[0], "yuv444p", full=False).width == 1


def test_gif_times_do_not_drift(tmp_path: Path) -> None:
    write_clip(tmp_path / "odd.gif", steps(30), Fraction(30000, 1001))
    expected = np.arange(30) * 1001 / 30000
    assert np.abs(times(list(read_frames(tmp_path / "odd.gif"))) - expected).max() <= 0.0051


def test_transparent_parts_of_a_gif_are_told(tmp_path: Path) -> None:
    frames = []
    for at in range(3):
        picture = Image.new("P", (20, 16), 0)
        picture.putpalette([250, 0, 0, 0, 0, 250])
        picture.paste(1, (at, 2, at + 8, 10))
        frames.append(picture)
    options = {"save_all": True, "append_images": frames[1:], "duration": 100, "disposal": 2}
    frames[0].save(tmp_path / "in.gif", transparency=0, **options)
    _, read, warnings = rewrite(tmp_path / "in.gif", tmp_path / "out.mkv")
    assert warnings == ["the transparent parts become white"]
    assert read[0].rgb[15, 19].min() > 240
    frames[0].save(tmp_path / "opaque.gif", **options)
    assert rewrite(tmp_path / "opaque.gif", tmp_path / "again.mkv")[2] == []


def test_gif_as_source(tmp_path: Path) -> None:
    write_clip(tmp_path / "in.gif", steps(10), 20)
    _, frames, warnings = rewrite(tmp_path / "in.gif", tmp_path / "out.mp4")
    assert warnings == []
    assert [round(float(frame.rgb.mean()) / 8) for frame in frames] == list(range(10))
    assert probe(tmp_path / "out.mp4").fps == 20
