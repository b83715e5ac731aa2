"""An encoder is tried before anything dear is done, and for one that fails another is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from gantool.errors import EncoderError, OutputError
from gantool.media import trial
from gantool.media.encoders import encoder_options
from gantool.media.video import probe, read_frames, try_encoder, write_clip


def attempt(name: str = "film.mp4", **words: Any) -> None:
    try_encoder(Path(name), **({"codec": "auto", "crf": 18, "preset": "medium", "pix_fmt": "auto"} | words))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("film.mp4", {}),
        ("film.webm", {}),
        ("film.gif", {}),
        ("film.mp4", {"codec": "hevc", "pix_fmt": "yuv420p10le"}),
        ("film.mkv", {"codec": "ffv1", "preset": "placebo"}),
        ("film.mkv", {"codec": "libsvtav1"}),
        ("film.mov", {"codec": "prores_ks"}),
    ],
)
def test_what_works(name: str, words: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    attempt(name, **words)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "words", "what", "remedy"),
    [
        ("film.mp4", {"codec": "libx246"}, "no video encoder libx246", "libx264"),
        ("film.mp4", {"codec": "aac"}, "no video encoder aac", "auto"),
        ("film.mp4", {"codec": "h264_nosuchchip"}, "no video encoder", "auto"),
        ("film.mp4", {"codec": "hevc_mediacodec"}, "this FFmpeg has no video encoder", "--codec libx265"),
        ("film.mp4", {"preset": "warp"}, "no preset warp", "veryslow"),
        ("film.mp4", {"pix_fmt": "nonsense"}, "nonsense", "yuv420p"),
        ("film.mp4", {"pix_fmt": "pal8"}, "libx264 does not take the pixel format pal8", "auto"),
        ("film.webm", {"codec": "libx264"}, "webm", ".mkv"),
    ],
)
def test_what_does_not(name: str, words: dict[str, Any], what: str, remedy: str) -> None:
    with pytest.raises(EncoderError, match=what) as caught:
        attempt(name, **words)
    assert remedy in caught.value.remedy and "\n" not in str(caught.value)


def test_suffix_that_is_not_known() -> None:
    with pytest.raises(OutputError, match=r"\.wmv"):
        attempt("film.wmv")


@pytest.mark.parametrize(
    ("codec", "software"), [("h264_nvenc", "libx264"), ("hevc_nvenc", "libx265"), ("h264_qsv", "libx264")]
)
def test_a_chip_that_is_absent_is_named_with_what_to_use(
    codec: str, software: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: Any) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(trial, "_encode_few", absent)
    trial._trial.cache_clear()
    with pytest.raises(EncoderError, match=f"{codec} does not work on this machine") as caught:
        attempt(codec=codec)
    assert caught.value.remedy == f"Use --codec {software}"
    trial._trial.cache_clear()


def test_options_are_translated_for_every_family() -> None:
    assert encoder_options("libx264", 20, "slow") == {"crf": "20", "preset": "slow"}
    assert encoder_options("h264_nvenc", 20, "medium") == {"rc": "vbr", "cq": "20", "b": "0", "preset": "p5"}
    assert encoder_options("h264_qsv", 0, "ultrafast") == {"global_quality": "1", "preset": "veryfast"}
    assert encoder_options("hevc_qsv", 20, "placebo") == {"global_quality": "20", "preset": "veryslow"}
    assert encoder_options("h264_vaapi", 20, "medium")["qp"] == "20"
    assert encoder_options("h264_amf", 20, "veryfast")["quality"] == "speed"
    assert encoder_options("h264_videotoolbox", 18, "medium")["global_quality"] == str(64 * 118)
    assert encoder_options("libvpx-vp9", 51, "medium")["crf"] == "63"
    assert encoder_options("mpeg4", 0, "medium") == {"qmin": "1", "qmax": "1"}
    assert encoder_options("ffv1", 18, "medium") == {}


def test_an_old_codec_gets_the_quality_that_was_asked_for(tmp_path: Path) -> None:
    """Its own default is a bit rate that leaves little of the picture."""
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    sizes = []
    for crf in (2, 40):
        write_clip(tmp_path / "old.mp4", [noise] * 5, 25, codec="mpeg4", crf=crf)
        sizes.append((tmp_path / "old.mp4").stat().st_size)
    assert sizes[0] > 3 * sizes[1]


def test_hevc_in_mp4_bears_the_tag_that_apple_reads(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", [np.full((48, 64, 3), 90, np.uint8)] * 5, 25, codec="libx265")
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"
    assert len(list(read_frames(tmp_path / "a.mp4"))) == 5


@pytest.mark.parametrize("count", [1, 2])
def test_very_short_films_of_x265(tmp_path: Path, count: int) -> None:
    """libx265 gives the packets of one or two frames a random time of decoding."""
    for number in range(4):
        path = tmp_path / f"{number}.mp4"
        write_clip(path, [np.full((48, 64, 3), 90, np.uint8)] * count, 25, codec="libx265")
        assert len(list(read_frames(path))) == count
        assert probe(path).duration == pytest.approx(count / 25)
