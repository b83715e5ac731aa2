"""What cannot be read, or only in part: the right error, one sentence, nothing hidden."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pytest
from video_makers import PICTURE, SOUND, X264, ffmpeg, make_clip, rewrite, times, track_packets

from gantool.errors import InputError
from gantool.media.video import probe, read_frames, write_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    return make_clip(folder / "plain.mp4")


@pytest.fixture(scope="module")
def ready(folder: Path) -> Path:
    """The same with its index first, and more bytes in each frame."""
    noisy = ("-vf", "noise=alls=40:allf=t", "-movflags", "+faststart")
    return make_clip(folder / "ready.mp4", *noisy)


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        probe(path)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


def test_missing(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "absent.mp4")


def test_folder_is_no_video(tmp_path: Path) -> None:
    assert "folder" in refused(tmp_path)


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    assert "empty" in refused(tmp_path / "empty.mp4")


@pytest.mark.parametrize("name", ["text.mp4", "text.mkv", "text.txt"])
@pytest.mark.parametrize(
    "text", ["hello\n", "#EXTM3U\nother.mp4\n", "ffconcat version 1.0\nfile 'plain.mp4'\n"]
)
def test_text_is_no_video(folder: Path, plain: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    assert "not a video that gantool can read" in refused(folder / name)


def test_index_missing(folder: Path, plain: Path) -> None:
    path = folder / "noindex.mp4"
    path.write_bytes(plain.read_bytes()[: plain.stat().st_size // 2])
    assert "index is missing" in refused(path)


def test_header_only(folder: Path, plain: Path) -> None:
    path = folder / "header.mkv"
    ffmpeg(*PICTURE, *X264, path)
    path.write_bytes(path.read_bytes()[:300])
    refused(path)


def test_only_sound(folder: Path) -> None:
    ffmpeg(*SOUND, folder / "sound.mp4")
    assert "only sound" in refused(folder / "sound.mp4")
    ffmpeg(*SOUND, folder / "sound.mp3")
    assert "only sound" in refused(folder / "sound.mp3")


def test_only_sound_with_a_cover(folder: Path) -> None:
    cover = ("-f", "lavfi", "-i", "color=red:s=32x32:d=1")
    ffmpeg(*cover, "-frames:v", "1", folder / "cover.png")
    source = (*SOUND, "-i", folder / "cover.png", "-map", "0", "-map", "1")
    ffmpeg(*source, "-c:v", "png", "-disposition:v:0", "attached_pic", folder / "song.m4a")
    assert "cover picture" in refused(folder / "song.m4a")


def test_no_frames(folder: Path) -> None:
    path = folder / "none.mp4"
    with av.open(str(path), "w") as output:
        output.add_stream("libx264", rate=25)
        output.start_encoding()
    refused(path)


def test_picture_is_no_video(tmp_path: Path) -> None:
    ffmpeg(*PICTURE, "-frames:v", "1", tmp_path / "still.png")
    assert "not a video" in refused(tmp_path / "still.png")


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_refused(tmp_path: Path, transfer: int) -> None:
    tags = f"colour_primaries=9:transfer_characteristics={transfer}:matrix_coefficients=9"
    make_clip(tmp_path / "hdr.mp4", "-bsf:v", f"h264_metadata={tags}", "-frames:v", "2", sound=False)
    assert "HDR" in refused(tmp_path / "hdr.mp4")


def cut_short(ready: Path) -> Path:
    path = ready.with_name("short.mp4")
    path.write_bytes(ready.read_bytes()[: ready.stat().st_size * 6 // 10])
    return path


def test_truncated_with_its_index_is_refused_before_work(ready: Path) -> None:
    path = cut_short(ready)
    assert probe(path).truncated
    with pytest.raises(InputError, match="ends before its last frame") as caught:
        next(read_frames(path))
    assert "--keep-partial" in caught.value.remedy


def test_truncated_is_kept_up_to_the_damage_on_request(ready: Path) -> None:
    path = cut_short(ready)
    _, frames, warnings = rewrite(path, ready.with_name("short.out.mp4"), keep_partial=True)
    assert 20 < len(frames) < 50
    assert any("damaged after" in warning for warning in warnings)
    whole = list(read_frames(ready))
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(frames, whole, strict=False))
    again = list(read_frames(ready.with_name("short.out.mp4")))
    assert np.abs(times(frames) - times(again)).max() < 1e-9
    sound = track_packets(ready.with_name("short.out.mp4"))[0][2]
    assert sound[-1][0] == pytest.approx(again[-1].time, abs=0.07)  # the sound ends with the picture


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".avi"])
def test_truncated_without_an_index_is_seen_too(tmp_path: Path, suffix: str) -> None:
    codec = {".webm": ("-c:v", "libvpx", "-c:a", "libvorbis", "-ac", "2"), ".avi": ("-c:v", "mpeg4")}
    whole = make_clip(tmp_path / f"whole{suffix}", *codec.get(suffix, ()))
    assert not probe(whole).truncated
    assert len(list(read_frames(whole))) == 50
    path = tmp_path / f"short{suffix}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with pytest.raises(InputError, match="ends before its last frame"):
        next(read_frames(path))
    assert 10 < len(list(read_frames(path, keep_partial=True))) < 50


def test_shorter_than_promised_is_a_warning(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "whole.mkv")
    warnings: list[str] = []
    list(read_frames(path, replace(probe(path), duration=9.0), warn=warnings.append))
    assert warnings == ["the picture ends after 2.00 s, the file promised 9.00 s"]


def damaged(ready: Path) -> Path:
    data = bytearray(ready.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 6000] = np.random.default_rng(1).bytes(6000)
    path = ready.with_name("damaged.mp4")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("threads", [0, 1])
def test_damage_in_the_middle(ready: Path, threads: int) -> None:
    path = damaged(ready)
    seen = []
    with pytest.raises(InputError, match="damaged after") as caught:
        seen.extend(read_frames(path, threads=threads))
    assert "--keep-partial" in caught.value.remedy
    warnings: list[str] = []
    kept = list(read_frames(path, threads=threads, keep_partial=True, warn=warnings.append))
    assert [frame.pts for frame in kept] == [frame.pts for frame in seen]
    assert 10 < len(kept) < 40
    assert any("damaged after" in warning for warning in warnings)


def test_sound_that_is_damaged_is_copied_as_it_is(ready: Path, plain: Path, folder: Path) -> None:
    before = track_packets(damaged(ready))
    rewrite(damaged(ready), folder / "d.out.mp4", keep_partial=True)
    after = track_packets(folder / "d.out.mp4")
    digests = [digest for _, digest in before[0][2]]
    assert [digest for _, digest in after[0][2]] == digests[: len(after[0][2])]


def test_size_change_is_refused_with_its_time(tmp_path: Path) -> None:
    encode = ("-c:v", "libx264", "-preset", "ultrafast", "-f", "h264")
    for number, size in enumerate(("64x48", "96x64")):
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={size}:r=25:d=1", *encode, tmp_path / f"{number}.h264")
    joined = tmp_path / "joined.h264"
    joined.write_bytes((tmp_path / "0.h264").read_bytes() + (tmp_path / "1.h264").read_bytes())
    with pytest.raises(InputError, match=r"changes from 64x48 to 96x64 at 1\.\d+ s"):
        list(read_frames(joined))


def test_fewer_frames_than_promised_is_a_warning(plain: Path) -> None:
    warnings: list[str] = []
    info = replace(probe(plain), frames_hint=60)
    assert len(list(read_frames(plain, info, warn=warnings.append))) == 50
    assert any("50 frames" in warning and "60" in warning for warning in warnings)


def test_start_beyond_the_end(plain: Path) -> None:
    with pytest.raises(InputError, match="no frame lies in the chosen part"):
        list(read_frames(plain, start=9))


def test_recording_that_starts_between_key_frames(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.ts", sound=False)
    data = whole.read_bytes()
    packet = 188
    (tmp_path / "later.ts").write_bytes(data[len(data) // 3 // packet * packet :])
    frames = list(read_frames(tmp_path / "later.ts"))
    assert 20 < len(frames) < 40


NAMES = [
    "a:b%03d.mp4",
    "-leading.mp4",
    "Ünïcödé 影片.mp4",
    "two  spaces 'and' \"quotes\".mp4",
    "concat:x|y.mp4",
]


@pytest.mark.parametrize("name", [*NAMES, "x" * 240 + ".mp4"])
def test_awkward_names(tmp_path: Path, plain: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(plain.read_bytes())
    Path("out").mkdir()
    _, frames, _ = rewrite(Path(name), Path("out") / name)
    assert len(list(read_frames(Path("out") / name))) == len(frames) == 50


def test_name_that_is_not_unicode(tmp_path: Path, plain: Path) -> None:
    import os

    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    source.write_bytes(plain.read_bytes())
    rewrite(source, source.with_stem(source.stem + "2"))
    assert probe(source.with_stem(source.stem + "2")).frames_hint == 50


def test_repeated_timestamps_are_spread(tmp_path: Path) -> None:
    source = tmp_path / "twice.mkv"
    frames = [np.full((32, 32, 3), number * 20, np.uint8) for number in range(10)]
    write_clip(source, frames, 2500, preset="ultrafast", time_base=Fraction(1, 10000), pts=range(0, 40, 4))
    warnings: list[str] = []
    read = list(read_frames(source, warn=warnings.append))
    assert len(read) == 10  # none is dropped although five share a millisecond with another
    assert np.diff([frame.pts for frame in read]).min() >= 1
    assert any("timestamps" in warning for warning in warnings)


MEMORY = """
import resource, sys
from pathlib import Path
from typing import ClassVar
from gantool.media.video import VideoWriter, probe, read_frames
source, target = Path(sys.argv[1]), Path(sys.argv[2])
info = probe(source)
with VideoWriter(target, info, info.width, info.height, preset="ultrafast") as writer:
    for frame in read_frames(source, info):
        writer.write(frame.rgb, frame.pts)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    peaks = []
    for seconds in (4, 40):
        source = tmp_path / f"{seconds}.mp4"
        picture = ("-f", "lavfi", "-i", f"testsrc2=s=320x240:r=25:d={seconds}")
        ffmpeg(
            *picture,
            "-f",
            "lavfi",
            "-i",
            f"anoisesrc=d={seconds}",
            *X264,
            "-c:a",
            "pcm_s16le",
            "-f",
            "mov",
            source,
        )
        command = [sys.executable, "-c", MEMORY, source, tmp_path / f"{seconds}.out.mov"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] < peaks[0] * 1.1


def test_more_frames_than_promised_are_all_there(plain: Path) -> None:
    info = replace(probe(plain), frames_hint=10, duration=0.4)
    assert len(list(read_frames(plain, info, warn=pytest.fail))) == 50


def test_a_stream_without_times_has_an_even_rhythm(tmp_path: Path) -> None:
    raw = tmp_path / "raw.h264"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", *X264, "-f", "h264", raw)
    frames = list(read_frames(raw))
    assert len(frames) == 25
    assert np.diff([frame.time for frame in frames]) == pytest.approx([0.04] * 24, abs=1e-6)


def test_dolby_vision_without_a_standard_base_is_refused(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in: the first frame bears what FFmpeg takes from such a stream."""
    from gantool.media import probe as probing

    class Frame:
        side_data: ClassVar = {"DOVI_RPU_BUFFER": b"\x01"}

        def __init__(self, frame: object) -> None:
            self.frame = frame

        def __getattr__(self, name: str) -> object:
            return getattr(self.frame, name)

    first = probing._first_frame
    monkeypatch.setattr(probing, "_first_frame", lambda *words: Frame(first(*words)))
    assert "coded in a way that gantool does not know" in refused(plain)
    with pytest.raises(InputError):
        probe(plain, tonemap=True)


def test_what_a_damaged_matroska_file_skips_is_missed(tmp_path: Path) -> None:
    """FFmpeg goes on with the next cluster, five seconds later, and says nothing."""
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(20)] * 20
    path = tmp_path / "long.mkv"
    write_clip(path, frames, 25, np.zeros((48_000 * 16, 1), np.float32), preset="ultrafast")
    whole = [frame.pts for frame in read_frames(path, warn=pytest.fail)]
    assert len(whole) == 400
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet.pos for packet in container.demux(container.streams.video[0]) if packet.size]
    at = packets[150] - 6  # the head of a block
    data[at : at + 20] = rng.bytes(20)
    path.write_bytes(data)
    with av.open(str(path)) as container:
        assert 200 < sum(1 for _ in container.decode(video=0)) < 390
    with pytest.raises(InputError, match="damaged after 5"):
        list(read_frames(path))
    kept = [frame.pts for frame in read_frames(path, keep_partial=True)]
    assert 140 < len(kept) <= 150 and kept == whole[: len(kept)]
    assert [frame.pts for frame in read_frames(path, start=12.0)] == whole[300:]


def test_what_a_damaged_flash_video_skips_is_missed(tmp_path: Path) -> None:
    """FFmpeg looks for another tag, or stops, and says nothing."""
    rng = np.random.default_rng(0)
    path = tmp_path / "old.flv"
    frames = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(60)]
    clip = path.with_suffix(".mp4")
    write_clip(clip, frames, 25, np.zeros((48_000 * 2, 1), np.float32), preset="ultrafast")
    with av.open(str(clip)) as source, av.open(str(path), "w") as copy:
        streams = {s.index: copy.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                copy.mux(packet)
    whole = [frame.pts for frame in read_frames(path, warn=pytest.fail)]
    assert len(whole) == 60
    with av.open(str(path)) as container:
        packets = [packet.pos for packet in container.demux(container.streams.video[0]) if packet.size]
    data = bytearray(path.read_bytes())
    data[packets[30] : packets[30] + 20] = rng.bytes(20)  # the head of a tag
    path.write_bytes(data)
    with av.open(str(path)) as container:
        assert 0 < sum(1 for _ in container.decode(video=0)) < 60
    with pytest.raises(InputError, match="damaged after"):
        list(read_frames(path))
    kept = [frame.pts for frame in read_frames(path, keep_partial=True)]
    assert 25 < len(kept) <= 30 and kept == whole[: len(kept)]
