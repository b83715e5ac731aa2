"""--start and --duration: picture, sound, subtitles and chapters are cut at the same place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from video_makers import PICTURE, SUBTITLES, X264, ffmpeg, make_clip, rewrite, times, track_packets

from gantool.media import decode
from gantool.media.video import probe, read_frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cut")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    return make_clip(folder / "plain.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_start_and_duration_cut_picture_and_sound_together(folder: Path, suffix: str) -> None:
    source = make_clip(folder / f"long{suffix}")
    target = folder / f"part{suffix}"
    _, frames, _ = rewrite(source, target, start=0.6, duration=0.8)
    assert len(frames) == 20
    assert frames[0].time == pytest.approx(0.6, abs=0.001)
    again = list(read_frames(target))
    assert again[0].time == pytest.approx(0, abs=0.001)
    assert np.abs(times(frames) - times(again) - 0.6).max() < 0.0011
    digest_times = {digest: time for time, digest in track_packets(source)[0][2]}
    kept = track_packets(target)[0][2]
    moved = np.array([digest_times[digest] - time for time, digest in kept])
    assert np.abs(moved - 0.6).max() < 0.0011  # in step with the picture
    assert 0.7 < kept[-1][0] - kept[0][0] < 0.8
    assert probe(target).duration == pytest.approx(0.8, abs=0.002)


def test_cut_between_frames_starts_at_zero_and_in_step(plain: Path, folder: Path) -> None:
    _, frames, _ = rewrite(plain, folder / "between.mp4", start=0.61)
    again = list(read_frames(folder / "between.mp4"))
    assert frames[0].time == pytest.approx(0.64)
    assert again[0].pts == 0
    digest_times = {digest: time for time, digest in track_packets(plain)[0][2]}
    moved = [digest_times[digest] - time for time, digest in track_packets(folder / "between.mp4")[0][2]]
    assert np.abs(np.array(moved) - 0.64).max() < 0.0001


def test_chapters_and_subtitles_are_cut_too(folder: Path) -> None:
    (folder / "cutsub.srt").write_text(SUBTITLES)
    source = folder / "cutsub.mkv"
    ffmpeg(*PICTURE, "-i", folder / "cutsub.srt", *X264, "-c:s", "srt", source)
    rewrite(source, folder / "cutsub.out.mkv", start=0.6)
    shown = [time for time, _ in track_packets(folder / "cutsub.out.mkv")[0][2]]
    assert shown == pytest.approx([0.0, 0.6])  # the first is on screen at the cut
    rewrite(source, folder / "cutsub.short.mkv", start=0.6, duration=0.7)
    with av.open(str(folder / "cutsub.short.mkv")) as container:
        assert container.duration is not None and container.duration <= 720_000  # no longer than the picture


def test_seeking_reads_the_same_frames(plain: Path) -> None:
    whole = list(read_frames(plain))
    part = list(read_frames(plain, start=1.3, duration=0.4))
    expected = [frame for frame in whole if 1.3 <= frame.time < 1.7]
    assert [frame.pts for frame in part] == [frame.pts for frame in expected]
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(part, expected, strict=True))


def test_a_seek_that_the_decoder_does_not_vouch_for_is_made_from_further_back(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with 4:4:4 of old x264 versions, of which a decoder makes rubble without the first packet."""
    begun: list[int | None] = []
    honest = decode._Reader._stream_frames

    def rubble(self: decode._Reader, container: Any, target: int | None) -> Iterator[Any]:
        begun.append(target)
        for number, frame in enumerate(honest(self, container, target)):
            if target is not None and number == 3:
                raise decode._Damaged
            yield frame

    whole = [frame for frame in read_frames(plain) if 1.3 <= frame.time < 1.5]
    monkeypatch.setattr(decode._Reader, "_stream_frames", rubble)
    part = list(read_frames(plain, start=1.3, duration=0.2))
    assert begun[0] is not None and begun[-1] is None
    assert [frame.pts for frame in part] == [frame.pts for frame in whole]
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(part, whole, strict=True))


def test_seeking_into_an_open_group_of_pictures(folder: Path) -> None:
    groups = ("-preset", "fast", "-x264-params", "open-gop=1:keyint=12:bframes=3:scenecut=0")
    source = make_clip(folder / "open.mp4", *groups, sound=False)
    whole = list(read_frames(source))
    for number in range(1, 50, 2):
        part = list(read_frames(source, start=whole[number].time, duration=0.1))
        assert [frame.pts for frame in part] == [frame.pts for frame in whole[number : number + len(part)]]
        assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(part, whole[number:], strict=False))


def test_transport_stream_starts_at_its_own_zero(folder: Path) -> None:
    source = make_clip(folder / "broadcast.ts")
    with av.open(str(source)) as container:
        assert container.start_time > 1_000_000
    info, frames, _ = rewrite(source, folder / "broadcast.mkv")
    assert info.origin > 1
    assert frames[0].time < 0.1
    again = list(read_frames(folder / "broadcast.mkv"))
    assert len(again) == len(frames) == 50
    assert np.abs(times(frames) - times(again)).max() < 0.001
    assert len(list(read_frames(source, start=1.0, duration=0.4))) == 10
