"""Parts of a film, joined: the same times and tracks as a film that was written in one go."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from video_makers import SUBTITLES, assert_same_tracks, ffmpeg, make_clip

from gantool.errors import EncoderError, InputError, OutputError, Stopped
from gantool.media.encoders import plan_picture
from gantool.media.join import Part, join_parts, part_order, part_suffix
from gantool.media.provenance import Provenance
from gantool.media.video import Frame, VideoInfo, VideoWriter, probe, read_frames, write_clip

FAST: dict[str, Any] = {"preset": "ultrafast"}
MARK = Provenance("colorize", "tiny", "1.0")


def parts_of(folder: Path, info: VideoInfo, frames: list[Frame], length: int, **encoder: Any) -> list[Part]:
    """The frames in parts of ``length``, each encoded by itself."""
    parts = []
    suffix = part_suffix(encoder.get("codec", "libx264"))
    for start in range(0, len(frames), length):
        some = frames[start : start + length]
        path = folder / f"part{start}{suffix}"
        alone = replace(info, path=None, origin=some[0].pts * info.time_base, end_pts=None)
        with VideoWriter(path, alone, info.width, info.height, **encoder) as writer:
            for frame in some:
                writer.write(frame.rgb, frame.pts, frame.duration)
        parts.append(Part(path, [frame.pts for frame in some], some[-1].duration))
    return parts


def both_ways(
    source: Path,
    folder: Path,
    suffix: str,
    length: int = 7,
    encoder: dict[str, Any] | None = None,
    **tracks: Any,
) -> tuple[Path, Path]:
    """The source written in one go, and written in parts and joined; their warnings must be the same."""
    encoder = FAST | (encoder or {})
    info = probe(source)
    span = {key: tracks[key] for key in ("start", "duration", "keep_partial") if key in tracks}
    frames = list(read_frames(source, info, **span))
    whole, joined = folder / f"whole{suffix}", folder / f"joined{suffix}"
    said: list[list[str]] = [[], []]
    tracks["provenance"] = MARK
    with VideoWriter(
        whole, info, info.width, info.height, warn=said[0].append, **encoder, **tracks
    ) as writer:
        for frame in frames:
            writer.write(frame.rgb, frame.pts, frame.duration)
    plan = plan_picture(joined, info, (info.width, info.height), warn=said[1].append, **encoder)
    parts = parts_of(
        folder, info, frames, length, **encoder | {"codec": plan.encoder, "pix_fmt": plan.pix_fmt}
    )
    assert join_parts(joined, info, plan, parts, warn=said[1].append, **tracks) == len(frames)
    assert said[0] == said[1]
    return whole, joined


def facts(path: Path) -> dict[str, Any]:
    """All of a film but its pixels and when packets are decoded."""
    with av.open(f"file:{path}") as container:
        picture = container.streams.video[0]
        result: dict[str, Any] = {
            "tags": dict(container.metadata),
            "chapters": container.chapters(),
            "picture tags": dict(picture.metadata),
            "shown": sorted((p.pts or 0) * p.time_base for p in container.demux(picture) if p.size),
        }
    # Where frames are stored out of order, "duration" is a matter of their decoding.
    info = replace(probe(path), path=None)
    return result | {"info": info, "end": [f.pts for f in read_frames(path)]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("join")


@pytest.fixture(scope="module")
def uneven(folder: Path) -> Path:
    """A variable rate, B-frames among them, and sound; the picture begins late."""
    path = folder / "uneven.mp4"
    make_clip(folder / "even.mp4", "-vf", "select='not(mod(n,3))+lt(mod(n,10),4)'", "-fps_mode", "vfr")
    maps = ("-map", "0:v", "-map", "1:a")
    ffmpeg(
        "-itsoffset", "0.3", "-i", folder / "even.mp4", "-i", folder / "even.mp4", *maps, "-c", "copy", path
    )
    return path


@pytest.fixture(scope="module")
def tracks(folder: Path) -> Path:
    """Two sound tracks, subtitles and chapters, in Matroska's clock."""
    (folder / "s.srt").write_text(SUBTITLES)
    (folder / "meta.txt").write_text(
        ";FFMETADATA1\ntitle=A film\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=900\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=900\nEND=2000\ntitle=Two\n"
    )
    plain = make_clip(folder / "plain.mp4")
    path = folder / "tracks.mkv"
    maps = ("-map", "0:v", "-map", "0:a", "-map", "1:a", "-map", "2:s", "-map_metadata", "3", "-map_chapters")
    ffmpeg(
        *("-i", plain, "-i", plain, "-i", folder / "s.srt", "-i", folder / "meta.txt"),
        *(*maps, "3", "-c", "copy", path),
    )
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("length", [1, 7, 100])
def test_uneven_times(uneven: Path, tmp_path: Path, suffix: str, length: int) -> None:
    whole, joined = both_ways(uneven, tmp_path, suffix, length, {"preset": "veryfast"})
    before, after = facts(whole), facts(joined)
    if length == 1:  # an mp4's length is reckoned from decoding times, and here all frames come in order
        after["info"] = replace(
            after["info"], **{n: getattr(before["info"], n) for n in ("duration", "fps", "end_pts")}
        )
    assert before == after
    assert_same_tracks(whole, joined)
    with av.open(str(joined)) as container:
        if suffix == ".mkv":
            return  # which keeps no decoding times
        clocks = [p.dts for p in container.demux(container.streams.video[0]) if p.dts is not None]
        assert all(a < b for a, b in pairwise(clocks))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("span", [{}, {"start": 0.5, "duration": 0.8}])
def test_all_tracks_and_a_part_of_the_source(
    tracks: Path, tmp_path: Path, suffix: str, span: dict[str, Any]
) -> None:
    whole, joined = both_ways(tracks, tmp_path, suffix, **span)
    assert facts(joined) == facts(whole)
    assert_same_tracks(whole, joined)
    assert MARK.sentence() in facts(joined)["tags"]["comment" if suffix == ".mp4" else "COMMENT"]


@pytest.mark.parametrize(
    ("suffix", "encoder", "kind"),
    [
        (".webm", {}, ".mp4"),
        (".mkv", {"codec": "libvpx"}, ".mkv"),
        (".mp4", {"codec": "libx265"}, ".mp4"),
        (".mov", {"codec": "prores_ks", "pix_fmt": "yuv422p10le"}, ".mkv"),
    ],
)
def test_encoders(tracks: Path, tmp_path: Path, suffix: str, encoder: dict, kind: str) -> None:
    whole, joined = both_ways(tracks, tmp_path, suffix, 20, encoder)
    assert {path.suffix for path in tmp_path.glob("part*")} == {kind}
    assert facts(joined) == facts(whole)
    for mine, theirs in zip(read_frames(joined), read_frames(whole), strict=True):
        assert np.abs(mine.rgb.astype(int) - theirs.rgb).mean() < 8  # another place of key frames


def test_odd_sizes_and_pixel_aspect(tmp_path: Path) -> None:
    frames = [np.full((31, 45, 3), 40 * n, np.uint8) for n in range(6)]
    source = tmp_path / "odd.mkv"
    write_clip(source, frames, Fraction(30000, 1001), sar=Fraction(4, 3), pix_fmt="yuv444p", **FAST)
    whole, joined = both_ways(source, tmp_path, ".mp4", 4, {"pix_fmt": "yuv420p"})
    assert facts(joined) == facts(whole)
    assert probe(joined).width == 46 and probe(joined).sar == Fraction(4, 3)


def test_damaged_parts(tracks: Path, tmp_path: Path) -> None:
    info = probe(tracks)
    frames = list(read_frames(tracks, info, duration=0.6))
    parts = parts_of(tmp_path, info, frames, 5, **FAST)
    plan = plan_picture(tmp_path / "x.mp4", info, (info.width, info.height), **FAST)
    short = [parts[0], parts[1]._replace(pts=parts[1].pts[:-1]), parts[2]]
    with pytest.raises(InputError, match="5 frames instead of 4"):
        join_parts(tmp_path / "x.mp4", info, plan, short)
    parts[1].path.write_bytes(parts[1].path.read_bytes()[:300])
    with pytest.raises(InputError, match="cannot be read"):
        part_order(parts[1].path)
    assert not (tmp_path / "x.mp4").exists()


def test_stopped_and_unwritable(tracks: Path, tmp_path: Path) -> None:
    info = probe(tracks)
    parts = parts_of(tmp_path, info, list(read_frames(tracks, info, duration=0.6)), 5, **FAST)
    plan = plan_picture(tmp_path / "x.mp4", info, (info.width, info.height), **FAST)

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        join_parts(tmp_path / "x.mp4", info, plan, parts, check=stop)
    with pytest.raises(OutputError):
        join_parts(tmp_path / "no/x.mp4", info, plan, parts)
    webm = plan_picture(tmp_path / "x.webm", info, (info.width, info.height), **FAST)
    with pytest.raises((EncoderError, ValueError)):
        join_parts(tmp_path / "x.webm", info, webm, parts)


def test_reading_goes_on_at_a_time_stamp(tracks: Path) -> None:
    """The same frames as in one reading; nothing is left behind the end, which is no error then."""
    info = probe(tracks)
    frames = list(read_frames(tracks, info, duration=1.5))
    for first in (0, 1, 13, 30):
        rest = list(read_frames(tracks, info, duration=1.5, from_pts=frames[first].pts - 3))
        assert [frame.pts for frame in rest] == [frame.pts for frame in frames[first:]]
        assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(rest, frames[first:], strict=True))
    assert next(iter(read_frames(tracks, info, start=1.0, from_pts=0))).time == pytest.approx(1.0)
    said: list[str] = []
    assert list(read_frames(tracks, info, from_pts=info.start_pts + 10_000, warn=said.append)) == []
    assert said == []


def test_a_part_encoded_again_is_the_same_whatever_was_in_memory(tmp_path: Path) -> None:
    """x264's AVX-512 code reads past rows of macroblocks; 336 px are 21 of them."""
    rng = np.random.default_rng(0)
    base = np.kron(rng.integers(0, 255, (12, 42, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    made = set()
    for _ in range(4):
        write_clip(tmp_path / "a.mp4", (np.roll(base, 3 * n, 1) for n in range(16)), 25, preset="medium")
        made.add((tmp_path / "a.mp4").read_bytes())
        _ = [rng.bytes(size) for size in rng.integers(1_000, 300_000, 60)]  # leave other bytes in memory
    assert len(made) == 1
