"""Films as numbered pictures, both ways."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from gantool.errors import EncoderError, InputError, OutputError
from gantool.media.image import Picture, read_picture, write_picture
from gantool.media.pictures import PictureWriter, place
from gantool.media.provenance import Provenance
from gantool.media.video import VideoWriter, probe, read_frames, write_clip


def row(folder: Path, numbers: range | list[int], deep: bool = False, name: str = "{:05d}.png") -> Path:
    """Plain pictures whose brightness is their number; returns their pattern."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        value = number * 257 + 3 if deep else number
        rgb = np.full((8, 12, 3), value, np.uint16 if deep else np.uint8)
        write_picture(folder / name.format(number), Picture(rgb), provenance=None)
    return folder / name.replace("{:05d}", "%05d").replace("{}", "%d")


def test_pictures_are_read_as_a_film(tmp_path: Path) -> None:
    pattern = row(tmp_path, range(8, 13))
    info = probe(pattern, fps=Fraction(24000, 1001))
    assert (info.frames_hint, info.fps, info.width, info.height) == (5, Fraction(24000, 1001), 12, 8)
    assert info.duration == pytest.approx(5 * 1001 / 24000) and not info.deep and info.numbered
    frames = list(read_frames(pattern, info))
    assert [(frame.pts, int(frame.rgb[0, 0, 0])) for frame in frames] == [(n, n + 8) for n in range(5)]
    assert frames[2].time == pytest.approx(2 * 1001 / 24000)
    part = list(read_frames(pattern, info, start=2 / 24, duration=0.1))
    assert [frame.pts for frame in part] == [2, 3, 4]
    with pytest.raises(InputError, match="no frame lies in the chosen part"):
        list(read_frames(pattern, info, start=9))


def test_numbers_without_leading_zeros_and_other_names(tmp_path: Path) -> None:
    pattern = row(tmp_path, range(98, 103), name="shot {}.v2.png")
    for name in ("shot 007.v2.png", "shot 1.v2.jpg", "shot 9.v3.png", "a shot 9.v2.png"):
        (tmp_path / name).write_bytes(b"another")
    assert [int(frame.rgb[0, 0, 0]) for frame in read_frames(pattern)] == [98, 99, 100, 101, 102]


def test_deep_pictures(tmp_path: Path) -> None:
    pattern = row(tmp_path, range(1, 4), deep=True)
    info = probe(pattern)
    assert info.deep
    assert [int(frame.rgb[0, 0, 0]) for frame in read_frames(pattern, info, deep=True)] == [260, 517, 774]
    assert [int(frame.rgb[0, 0, 0]) for frame in read_frames(pattern, info)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("numbers", "sentence"), [([1, 2, 4], "00003.png"), ([1, 5, 6], "00002.png is missing and 2")]
)
def test_a_hole_is_named(tmp_path: Path, numbers: list[int], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        probe(row(tmp_path, numbers))


def test_what_cannot_be_a_film(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture of that name"):
        probe(tmp_path / "%05d.png")
    with pytest.raises(InputError, match="folder"):
        probe(tmp_path / "absent" / "%05d.png")
    pattern = row(tmp_path, [1, 2])
    write_picture(tmp_path / "00002.png", Picture(np.zeros((9, 9, 3), np.uint8)), provenance=None)
    with pytest.raises(InputError, match="9x9, not 12x8") as caught:
        list(read_frames(pattern))
    assert "00002.png" in str(caught.value)
    (tmp_path / "00002.png").write_bytes(b"hello")
    with pytest.raises(InputError):
        list(read_frames(pattern))


def test_sound_and_subtitles_that_are_lost_are_told(tmp_path: Path) -> None:
    info, said = replace(probe(row(tmp_path, [1, 2])), audio=1, subtitles=2), []
    PictureWriter(tmp_path / "out%d.png", info, 12, 8, warn=said.append)
    assert said == [
        "pictures have no sound; it is left out",
        "pictures have no subtitles; they are left out",
    ]
    PictureWriter(tmp_path / "out%d.png", info, 12, 8, audio=False, subtitles=False, warn=pytest.fail)


def test_a_file_that_bears_such_a_name_is_that_file(tmp_path: Path) -> None:
    row(tmp_path, [1, 2])
    (tmp_path / "%05d.png").write_bytes((tmp_path / "00001.png").read_bytes())
    with pytest.raises(InputError, match="not a video"):
        probe(tmp_path / "%05d.png")


@pytest.mark.parametrize(("suffix", "bits"), [(".png", 16), (".tif", 16), (".jpg", 8), (".webp", 8)])
def test_a_film_is_written_as_pictures(tmp_path: Path, suffix: str, bits: int) -> None:
    target = tmp_path / f"out%03d{suffix}"
    mark = Provenance("colorize", "net", "1.0")
    warnings: list[str] = []
    frames = [np.full((8, 12, 3), n * 9000, np.uint16) for n in range(3)]
    source = write_clip(tmp_path / "film.mkv", [np.zeros((8, 12, 3), np.uint8)] * 3, 25)
    with (
        place(target, overwrite=False) as temporary,
        PictureWriter(temporary, source, 12, 8, provenance=mark, warn=warnings.append) as writer,
    ):
        for number, rgb in enumerate(frames):
            writer.write(rgb, number)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["film.mkv", *(f"out{n:03d}{suffix}" for n in (1, 2, 3))]
    picture = read_picture(tmp_path / f"out003{suffix}")
    assert picture.bits == bits
    assert picture.rgb[0, 0, 0] / np.iinfo(picture.rgb.dtype).max == pytest.approx(18000 / 65535, abs=0.01)
    assert picture.xmp is not None and b"gantool" in picture.xmp
    assert warnings == []


def test_pictures_keep_their_numbers(tmp_path: Path) -> None:
    source = row(tmp_path / "in", range(8, 13))
    target = tmp_path / "%d.png"
    info = probe(source)
    with place(target, overwrite=False) as temporary, PictureWriter(temporary, info, 12, 8) as writer:
        for frame in read_frames(source, info, start=0.08):
            writer.write(frame.rgb, frame.pts)
    assert [frame.rgb[0, 0, 0] for frame in read_frames(target)] == [10, 11, 12]
    assert (tmp_path / "10.png").exists() and not (tmp_path / "8.png").exists()


def test_nothing_half_written_and_nothing_replaced(tmp_path: Path) -> None:
    pattern = row(tmp_path, [1])
    info, before = probe(pattern), sorted(tmp_path.iterdir())
    old = (tmp_path / "00001.png").read_bytes()
    with (
        pytest.raises(RuntimeError),
        place(tmp_path / "new%d.png", overwrite=False) as temporary,
        PictureWriter(temporary, info, 12, 8) as writer,
    ):
        writer.write(np.zeros((8, 12, 3), np.uint8), 0)
        raise RuntimeError
    with pytest.raises(OutputError, match="exists") as caught, place(pattern, overwrite=False) as temporary:
        write_picture(
            temporary.with_name("00001.png"), Picture(np.zeros((8, 12, 3), np.uint8)), provenance=None
        )
    assert "--overwrite" in caught.value.remedy
    with pytest.raises(EncoderError, match="no frame"), PictureWriter(pattern, info, 12, 8):
        pass
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "00001.png").read_bytes() == old
    with place(pattern, overwrite=True) as temporary, PictureWriter(temporary, info, 12, 8) as writer:
        writer.write(np.full((8, 12, 3), 77, np.uint8), 0)
    assert next(iter(read_frames(pattern))).rgb[0, 0, 0] == 77


def test_a_row_of_pictures_becomes_a_film(tmp_path: Path) -> None:
    pattern = row(tmp_path, range(1, 6), deep=True)
    info = probe(pattern, fps=Fraction(30000, 1001))
    with VideoWriter(tmp_path / "film.mp4", info, 12, 8, crf=2) as writer:
        for frame in read_frames(pattern, info, deep=True):
            writer.write(frame.rgb, frame.pts, frame.duration)
    film = probe(tmp_path / "film.mp4")
    assert (film.fps, film.frames_hint, film.pix_fmt) == (Fraction(30000, 1001), 5, "yuv420p10le")
    assert film.duration == pytest.approx(5 * 1001 / 30000)


class Pipe:
    """A reader that counts what comes, and may go away."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.data, self.room = b"", room

    def write(self, data: bytes) -> int:
        if len(self.data) > self.room:
            raise BrokenPipeError(32, "Broken pipe")
        self.data += bytes(data)
        return len(data)


def test_a_film_into_a_pipe(tmp_path: Path) -> None:
    """Streamable: written from front to back, sound and all, and readable without having been rewound."""
    pictures = [np.full((32, 48, 3), n * 20, np.uint8) for n in range(10)]
    write_clip(tmp_path / "film.mp4", pictures, 25, np.zeros((20_000, 1), np.float32))
    info = probe(tmp_path / "film.mp4")
    pipe = Pipe()
    with VideoWriter(Path("-"), info, 48, 32, sink=pipe) as writer:
        for frame in read_frames(info.path or "", info):
            writer.write(frame.rgb, frame.pts, frame.duration)
    (tmp_path / "piped.mkv").write_bytes(pipe.data)
    again = list(read_frames(tmp_path / "piped.mkv"))
    # Matroska knows no time before zero, where AAC begins, so all is later by one packet of sound.
    assert np.diff([frame.time for frame in again]) == pytest.approx([0.04] * 9, abs=0.0011)
    assert again[0].time < 0.03
    assert probe(tmp_path / "piped.mkv").audio == 1


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    info = write_clip(tmp_path / "film.mkv", [np.zeros((64, 64, 3), np.uint8)], 25)
    with (
        pytest.raises(OutputError, match="reader of standard output has gone away"),
        VideoWriter(Path("-"), info, 64, 64, sink=Pipe(2000), preset="ultrafast") as writer,
    ):
        for number in range(60):
            writer.write(noise.integers(0, 255, (64, 64, 3)).astype(np.uint8), number)
