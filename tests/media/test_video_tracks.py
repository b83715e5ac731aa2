"""Sound, subtitles, chapters, titles, covers and the mark beside the picture."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from video_makers import (
    PICTURE,
    SOUND,
    SUBTITLES,
    X264,
    assert_same_tracks,
    ffmpeg,
    make_clip,
    rewrite,
    track_packets,
)

from gantool.media.provenance import Provenance
from gantool.media.video import probe, write_clip

MARK = Provenance("colorize", "tiny", "0.1.0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracks")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    return make_clip(folder / "plain.mp4")


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


def subtitle_texts(path: Path) -> list[tuple[str, str]]:
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
    (folder / "styled.ass").write_text(
        "[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n"
        "Style: Default,Arial,20\n[Events]\nFormat: Layer, Start, End, Style, Text\n"
        "Dialogue: 0,0:00:00.50,0:00:01.50,Default,Hello\n"
    )
    source, mime = folder / "styled.mkv", ("-metadata:s:t", "mimetype=video/mp4")
    ffmpeg(*PICTURE, "-i", folder / "styled.ass", *X264, "-c:s", "ass", "-attach", plain, *mime, source)
    _, _, warnings = rewrite(source, folder / "styled.out.mkv")
    assert warnings == []
    _, _, warnings = rewrite(source, folder / "styled.mp4")
    assert len(warnings) == 2
    assert "subtitle track 1 (ass)" in warnings[0]
    assert "attachment" in warnings[1]
    assert all(".mkv" in warning for warning in warnings)


def loudest(path: Path) -> float:
    """When the sound is loudest, in seconds on the film's clock."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        parts = [(frame.time, frame.to_ndarray().astype(float)) for frame in container.decode(stream)]
        time, samples = max(parts, key=lambda part: np.abs(part[1]).max())
        return time + np.abs(samples).max(axis=0).argmax() / stream.rate


@pytest.mark.parametrize("suffix", [".webm", ".mp4", ".mkv"])
def test_sound_that_does_not_fit_is_converted_in_step(folder: Path, suffix: str) -> None:
    click = np.zeros((96_000, 2))
    click[60_000] = 1
    source = folder / "click.wmv"
    frames = [np.full((48, 64, 3), number * 4, np.uint8) for number in range(50)]
    write_clip(folder / "click.mkv", frames, 25, click, preset="ultrafast")
    ffmpeg("-i", folder / "click.mkv", "-c:v", "wmv2", "-c:a", "wmav2", source)
    _, _, warnings = rewrite(source, folder / f"click.out{suffix}", start=0.4)
    assert len(warnings) == 1
    assert "sound track 1 (wmav2); it is converted" in warnings[0]
    assert loudest(folder / f"click.out{suffix}") == pytest.approx(loudest(source) - 0.4, abs=0.025)


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


def test_an_earlier_mark_is_no_tag_to_be_kept(plain: Path, folder: Path) -> None:
    first, second = Provenance("upscale", "tiny", "0.1.0"), MARK
    rewrite(plain, folder / "marked.mkv", provenance=first)
    _, _, warnings = rewrite(folder / "marked.mkv", folder / "again.mp4", provenance=second)
    assert not [warning for warning in warnings if "tags" in warning]


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
        covers = [s for s in container.streams.video if s.disposition & Disposition.attached_pic]
        assert len(covers) == 1
        assert covers[0].codec_context.width == 32
