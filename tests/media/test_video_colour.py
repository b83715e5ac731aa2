"""Colours, orientation and shape: read by the file's tags, written with true ones."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_makers import (
    PICTURE,
    X264,
    colour_clip,
    encode_planes,
    ffmpeg,
    make_clip,
    patches,
    rewrite,
    rgb_to_yuv,
    yuv_to_rgb,
)

from gantool.media.video import probe, read_frames, write_clip

TAGGED = [("bt601", False), ("bt601", True), ("bt709", False), ("bt709", True), ("bt2020", False)]


def worst(rgb: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(rgb.astype(float) - expected).max())


@pytest.mark.parametrize(("matrix", "full"), TAGGED)
def test_tagged_colours_are_read_right(tmp_path: Path, matrix: str, full: bool) -> None:
    source = colour_clip(tmp_path / "c.mp4", matrix, full=full, tagged=True)
    info = probe(source)
    assert (info.matrix, info.full_range, info.tagged) == (matrix, full, True)
    for frame in read_frames(source, info):
        assert worst(frame.rgb, patches()) <= 2


@pytest.mark.parametrize(("scale", "matrix"), [(1, "bt601"), (16, "bt709")])
def test_untagged_colours_follow_the_picture_size(tmp_path: Path, scale: int, matrix: str) -> None:
    source = colour_clip(tmp_path / "u.mp4", matrix, full=False, tagged=False, scale=scale)
    info = probe(source)
    assert (info.matrix, info.full_range, info.tagged) == (matrix, False, False)
    frame = next(iter(read_frames(source, info)))
    assert worst(frame.rgb[:: max(1, scale), :: max(1, scale)], patches()) <= 2


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p", "yuv420p10le"])
@pytest.mark.parametrize(("matrix", "full"), TAGGED[:3])
def test_output_is_bt709_and_says_so(tmp_path: Path, matrix: str, full: bool, pix_fmt: str) -> None:
    source = colour_clip(tmp_path / "in.mp4", matrix, full=full, tagged=True)
    crf = 1 if pix_fmt == "yuv420p10le" else 0
    info, frames, _ = rewrite(source, tmp_path / "out.mp4", crf=crf, pix_fmt=pix_fmt)
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range) == (1, 1)
        assert frame.color_primaries == info.primaries
        assert frame.color_trc == info.transfer
        assert frame.format.name == pix_fmt
        if pix_fmt == "yuv444p":  # checked by the formulas, not by the reader under test
            planes = np.moveaxis(frame.to_ndarray(), 0, -1)
            assert worst(yuv_to_rgb(planes, "bt709", full=False), frames[0].rgb) <= 2
    frame = next(iter(read_frames(tmp_path / "out.mp4", warn=lambda message: None)))
    centres = frame.rgb[8::16, 8::16], frames[0].rgb[8::16, 8::16]
    assert worst(*centres) <= 2


def ten_bit_clip(path: Path, matrix: str, *, full: bool) -> tuple[Path, np.ndarray]:
    """Five lossless frames of a gradient with 1024 steps, and what they are in RGB, 0..1, by the formulas."""
    ramp = np.linspace(0, 1, 1024).reshape(16, 64)
    rgb = np.stack([ramp, ramp[::-1], ramp[:, ::-1] * 0.5 + 0.25], -1)
    yuv = rgb_to_yuv(rgb * 255, matrix, full, 10)
    encode_planes(path, yuv, matrix, full=full)
    return path, yuv_to_rgb(yuv, matrix, full, 10) / 255


@pytest.mark.parametrize(("matrix", "full"), TAGGED)
def test_ten_bits_are_read_to_their_last_step(tmp_path: Path, matrix: str, full: bool) -> None:
    source, truth = ten_bit_clip(tmp_path / "ten.mp4", matrix, full=full)
    info = probe(source)
    assert info.bits == 10 and info.deep
    deep = next(iter(read_frames(source, info, deep=True))).rgb
    assert deep.dtype == np.uint16 and deep.flags["C_CONTIGUOUS"]
    assert np.abs(deep - truth * 65535).max() <= 1  # half a step of 16 bits, and the float's own rounding
    shallow = next(iter(read_frames(source, info))).rgb
    assert shallow.dtype == np.uint8
    assert worst(shallow, truth * 255) <= 0.51


@pytest.mark.parametrize(("matrix", "full"), TAGGED)
def test_ten_bits_are_written_to_their_last_step(tmp_path: Path, matrix: str, full: bool) -> None:
    source, truth = ten_bit_clip(tmp_path / "ten.mp4", matrix, full=full)
    target = tmp_path / "ten.out.mkv"
    _, _, warnings = rewrite(source, target, codec="ffv1", deep=True)
    assert warnings == []
    info = probe(target)
    assert (info.pix_fmt, info.bits, info.full_range) == ("yuv444p10le", 10, False)
    again = next(iter(read_frames(target, deep=True))).rgb
    # Y, Cb and Cr were rounded once: half a step each, weighted as they go into blue.
    assert np.abs(again - truth * 65535).max() <= 65535 * (0.5 / 876 + 1.86 * 0.5 / 896) + 1


FOLLOWED = [  # source, container, output, in a warning
    ("yuv420p", ".mp4", "yuv420p", ""),
    ("yuv422p", ".mkv", "yuv422p", ""),
    ("yuv444p", ".webm", "yuv444p", ""),
    ("yuv420p10le", ".mp4", "yuv420p10le", ""),
    ("yuv422p10le", ".mkv", "yuv422p10le", ""),
    ("yuv420p10le", ".webm", "yuv420p", "10 bits"),
]


@pytest.mark.parametrize(("source", "suffix", "expected", "named"), FOLLOWED)
def test_the_pixel_format_follows_the_source(
    tmp_path: Path, source: str, suffix: str, expected: str, named: str
) -> None:
    path = make_clip(tmp_path / "source.mkv", "-pix_fmt", source, "-frames:v", "2", sound=False)
    _, _, warnings = rewrite(path, tmp_path / f"out{suffix}")
    assert probe(tmp_path / f"out{suffix}").pix_fmt == expected
    assert [named in warning and expected in warning for warning in warnings] == [True] * bool(named)


@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("ffv1", "bgr0"), ("ffv1", "gbrp10le"), ("libx264rgb", "rgb24")]
)
def test_rgb_can_be_stored_as_it_is(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    frames = [patches()] * 3
    write_clip(tmp_path / "rgb.mkv", frames, 25, codec=codec, pix_fmt=pix_fmt, crf=0)
    info = probe(tmp_path / "rgb.mkv")
    assert worst(next(iter(read_frames(tmp_path / "rgb.mkv", info))).rgb, patches()) == 0


def test_grey_stays_grey(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "grey.mp4", "-vf", "format=gray", "-pix_fmt", "gray", sound=False)
    _, frames, _ = rewrite(source, tmp_path / "grey.out.mp4")
    assert np.ptp(frames[0].rgb, axis=-1).max() == 0
    again = next(iter(read_frames(tmp_path / "grey.out.mp4")))
    assert np.ptp(again.rgb.astype(int), axis=-1).max() <= 1


def corner_picture() -> np.ndarray:
    """(32,48,3): another plain colour in each corner."""
    picture = np.zeros((32, 48, 3), dtype=np.uint8)
    picture[:16, :24], picture[:16, 24:] = (250, 0, 0), (0, 250, 0)
    picture[16:, :24], picture[16:, 24:] = (0, 0, 250), (250, 250, 250)
    return picture


def nearest(rgb: np.ndarray) -> np.ndarray:
    """The four corners' colours, cleaned of coding noise."""
    return (rgb[[[8, 8], [-8, -8]], [[8, -8], [8, -8]]] > 128).astype(int)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirror", [False, True])
def test_orientation_is_applied_to_the_pixels(tmp_path: Path, degrees: int, mirror: bool) -> None:
    with av.open(str(tmp_path / "turned.mov"), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.width, stream.height, stream.sample_aspect_ratio = 48, 32, Fraction(4, 3)
        stream.set_display_rotation(degrees, hflip=mirror)
        for _ in range(3):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(corner_picture(), format="rgb24")))
        output.mux(stream.encode(None))
    shown = tmp_path / "shown.png"  # the ffmpeg program turns by itself: an independent witness
    ffmpeg("-i", tmp_path / "turned.mov", "-frames:v", "1", shown)
    with av.open(str(shown)) as container:
        expected = next(container.decode(video=0)).to_ndarray(format="rgb24")
    info, frames, _ = rewrite(tmp_path / "turned.mov", tmp_path / "straight.mov")
    assert (info.height, info.width) == expected.shape[:2]
    assert np.array_equal(nearest(frames[0].rgb), nearest(expected))
    result = probe(tmp_path / "straight.mov")
    assert (result.rotation, result.mirrored) == (0, False)
    assert (result.width, result.height) == (info.width, info.height)
    assert result.sar == (Fraction(3, 4) if degrees % 180 else Fraction(4, 3))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_pixel_aspect_is_kept(tmp_path: Path, suffix: str) -> None:
    source = make_clip(tmp_path / f"wide{suffix}", "-vf", "setsar=128/117:max=200", sound=False)
    info, _, warnings = rewrite(source, tmp_path / f"wide.out{suffix}")
    assert warnings == []
    assert probe(tmp_path / f"wide.out{suffix}").sar == info.sar == Fraction(128, 117)


def test_pixel_aspect_that_is_lost_is_named(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "wide.mkv", "-vf", "setsar=4/3", sound=False)
    _, _, warnings = rewrite(source, tmp_path / "wide.webm")
    assert any("4:3" in warning for warning in warnings)


def test_odd_sides_are_padded_and_announced(tmp_path: Path) -> None:
    source = tmp_path / "odd.mp4"
    write_clip(source, [np.full((47, 63, 3), 90, np.uint8)] * 3, 25, pix_fmt="yuv444p", preset="ultrafast")
    _, frames, warnings = rewrite(source, tmp_path / "odd.out.mp4", pix_fmt="yuv420p")
    assert len(warnings) == 1
    assert "63x47 is padded to 64x48" in warnings[0]
    again = next(iter(read_frames(tmp_path / "odd.out.mp4"))).rgb
    assert again.shape == (48, 64, 3)
    assert worst(again[:47, :63], frames[0].rgb) <= 3
    assert worst(again[47, :63], frames[0].rgb[46]) <= 3


@pytest.mark.parametrize(("suffix", "pix_fmt"), [(".mp4", "yuv444p"), (".webm", "yuv420p")])
def test_odd_sides_are_kept_where_possible(tmp_path: Path, suffix: str, pix_fmt: str) -> None:
    frames = [np.full((47, 63, 3), 90, np.uint8)] * 3
    write_clip(tmp_path / f"odd{suffix}", frames, 25, pix_fmt=pix_fmt, preset="ultrafast")
    result = probe(tmp_path / f"odd{suffix}")
    assert (result.width, result.height) == (63, 47)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 17), (16, 2)])
def test_tiny_pictures(tmp_path: Path, size: tuple[int, int]) -> None:
    write_clip(tmp_path / "tiny.mp4", [np.full((*size, 3), 200, np.uint8)] * 4, 25, preset="ultrafast")
    frames = list(read_frames(tmp_path / "tiny.mp4"))
    assert len(frames) == 4
    assert worst(frames[0].rgb[: size[0], : size[1]], np.full((*size, 3), 200)) <= 3


def test_interlaced_video_is_announced(tmp_path: Path) -> None:
    source = tmp_path / "interlaced.mp4"
    ffmpeg(*PICTURE, *X264, "-flags", "+ildct+ilme", "-x264-params", "tff=1", source)
    info, _, warnings = rewrite(source, tmp_path / "i.out.mp4")
    assert info.interlaced
    assert warnings == ["the video is interlaced; its frames are made whole (--deinterlace off leaves them)"]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"), [("alpha.mov", "qtrle", "argb"), ("alpha.webm", "libvpx-vp9", "yuva420p")]
)
def test_transparency_is_announced(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    source = tmp_path / name
    ffmpeg(*PICTURE, "-frames:v", "5", "-c:v", codec, "-pix_fmt", pix_fmt, source)
    _, _, warnings = rewrite(source, tmp_path / "alpha.mp4")
    assert any("transparency" in warning for warning in warnings)
