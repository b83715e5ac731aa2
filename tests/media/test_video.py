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
    SUBTITLES,
    X264,
    difference,
    ffmpeg,
    make_clip,
    rewrite,
    times,
    track_packets,
)

from gantool.media.provenance import Provenance
from gantool.media.video import VideoWriter, probe, read_frames

MARK = Provenance("colorize", "tiny", "0.1.0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("video")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    return make_clip(folder / "plain.mp4")


def vfr_clip(path: Path) -> Path:
    ffmpeg(*PICTURE, *SOUND, "-vf", "select='not(mod(n,5))+not(mod(n,7))'", "-fps_mode", "vfr", *X264, path)
    return path


def assert_same_tracks(source: Path, target: Path, tolerance: float = 1e-6, shift: float = 0.0) -> None:
    before, after = track_packets(source), track_packets(target)
    assert len(before) == len(after)
    for (kind, language, packets), (kind2, language2, packets2) in zip(before, after, strict=True):
        assert (kind, language) == (kind2, language2)
        assert [digest for _, digest in packets] == [digest for _, digest in packets2]
        moved = np.array([time for time, _ in packets]) - [time for time, _ in packets2]
        assert np.abs(moved - shift).max() <= tolerance


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


def test_all_tracks_with_languages_and_disposition(folder: Path) -> None:
    (folder / "two.srt").write_text(SUBTITLES)
    source = folder / "two.mkv"
    ffmpeg(
        *(*PICTURE, *SOUND, "-f", "lavfi", "-i", "sine=880:d=2", "-i", folder / "two.srt"),
        *("-map", "0", "-map", "1", "-map", "2", "-map", "3", *X264, "-c:s", "srt"),
        *(
            "-metadata:s:a:0",
            "language=eng",
            "-metadata:s:a:1",
            "language=deu",
            "-metadata:s:s:0",
            "language=fra",
        ),
        *(
            "-metadata:s:a:1",
            "title=Kommentar",
            "-disposition:a:0",
            "0",
            "-disposition:a:1",
            "default+comment",
        ),
        *("-disposition:s:0", "forced", "-metadata", "title=Two tracks", source),
    )
    target = folder / "two.out.mkv"
    _, _, warnings = rewrite(source, target)
    assert warnings == []
    assert_same_tracks(source, target)
    with av.open(str(source)) as before, av.open(str(target)) as after:
        assert [s.disposition for s in before.streams] == [s.disposition for s in after.streams]
        assert after.streams.audio[1].metadata["title"] == "Kommentar"
        assert after.metadata["title"] == "Two tracks"


def subtitle_texts(path: Path) -> list[tuple[float, str]]:
    """(time, words) of the first subtitle track, read by the ffmpeg program."""
    text = path.with_suffix(".check.srt")
    ffmpeg("-i", path, "-map", "0:s:0", text)
    blocks = text.read_text().strip().split("\n\n")
    return [(block.split("\n")[1].split(" --> ")[0], " ".join(block.split("\n")[2:])) for block in blocks]


def test_text_subtitles_change_their_form_with_the_container(folder: Path) -> None:
    (folder / "text.srt").write_text(SUBTITLES)
    source = folder / "text.mkv"
    ffmpeg(
        *PICTURE, "-i", folder / "text.srt", *X264, "-c:s", "srt", "-metadata:s:s:0", "language=fra", source
    )
    _, _, warnings = rewrite(source, folder / "text.mp4")
    assert warnings == []
    expected = [("00:00:00,200", "Hello there"), ("00:00:01,200", "Bye")]
    assert subtitle_texts(folder / "text.mp4") == expected
    rewrite(folder / "text.mp4", folder / "text2.mkv")
    assert subtitle_texts(folder / "text2.mkv") == expected
    assert track_packets(folder / "text2.mkv")[0][:2] == ("subtitle", "fra")


def test_what_does_not_fit_is_named(plain: Path, folder: Path) -> None:
    _, _, warnings = rewrite(plain, folder / "nofit.webm")
    assert len(warnings) == 1
    assert "sound track 1 (aac)" in warnings[0]
    assert ".mkv" in warnings[0]


def test_sound_and_subtitles_can_be_left_out(plain: Path, folder: Path) -> None:
    rewrite(plain, folder / "silent.mp4", audio=False)
    assert track_packets(folder / "silent.mp4") == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_chapters_titles_and_mark(folder: Path, suffix: str) -> None:
    notes = folder / "chapters.txt"
    notes.write_text(
        ";FFMETADATA1\ntitle=A film\ncomment=old words\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=800\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=800\nEND=2000\ntitle=Two\n"
    )
    source = folder / f"chapters{suffix}"
    ffmpeg(*PICTURE, *SOUND, "-i", notes, "-map_metadata", "2", "-map_chapters", "2", *X264, source)
    target = folder / f"chapters.out{suffix}"
    _, _, warnings = rewrite(source, target, provenance=MARK)
    assert warnings == []
    with av.open(str(target)) as container:
        tags = {key.lower(): value for key, value in container.metadata.items()}
        assert tags["title"] == "A film"
        assert tags["comment"] == "old words\n" + MARK.sentence()
        starts = [float(c["start"] * c["time_base"]) for c in container.chapters()]
        assert [c["metadata"]["title"] for c in container.chapters()] == ["One", "Two"]
        assert starts == pytest.approx([0, 0.8])
    assert MARK.source_type.encode() in target.read_bytes()


def test_no_mark_without_provenance(plain: Path, folder: Path) -> None:
    rewrite(plain, folder / "unmarked.mp4")
    data = (folder / "unmarked.mp4").read_bytes()
    assert b"gantool" not in data
    assert b"DigitalSourceType" not in data


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_cover_picture_stays(folder: Path, suffix: str) -> None:
    cover = folder / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=32x32:d=1", "-frames:v", "1", cover)
    source = folder / "covered.mp4"
    arguments = (*PICTURE, *SOUND, "-i", cover, "-map", "0", "-map", "1", "-map", "2", *X264)
    ffmpeg(*arguments, "-c:v:1", "png", "-disposition:v:1", "attached_pic", source)
    assert probe(source).width == 64
    _, _, warnings = rewrite(source, folder / f"covered.out{suffix}")
    assert warnings == []
    with av.open(str(folder / f"covered.out{suffix}")) as container:
        covers = [s for s in container.streams.video if s.disposition & av.stream.Disposition.attached_pic]
        assert len(covers) == 1
        assert covers[0].codec_context.width == 32


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
