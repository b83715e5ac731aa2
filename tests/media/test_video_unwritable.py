"""What cannot be written: full disks, wrong suffixes, encoders that refuse or die."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from video_makers import make_clip, rewrite

from gantool.errors import EncoderError, OutputError
from gantool.media.video import VideoWriter, probe, read_frames, write_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unwritable")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    return make_clip(folder / "plain.mp4")


@pytest.fixture(scope="module")
def ready(folder: Path) -> Path:
    """A clip with more bytes in each frame."""
    return make_clip(folder / "ready.mp4", "-vf", "noise=alls=40:allf=t")


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Files cannot grow beyond ``size`` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif"])
def test_full_disk_at_every_point(ready: Path, folder: Path, suffix: str) -> None:
    rewrite(ready, folder / f"fits{suffix}")
    total = (folder / f"fits{suffix}").stat().st_size
    for room in (0, 20, 1000, total // 3, total * 9 // 10, total - 2000, total - 1):
        with room_for(max(0, room)), pytest.raises(OutputError, match="no space left") as caught:
            rewrite(ready, folder / f"full{suffix}")
        assert "\n" not in str(caught.value)
        # The file itself, not its folder: where it is a temporary one, ``atomic`` puts the target's name.
        assert caught.value.file == str(folder / f"full{suffix}")


def test_small_clip_whose_disk_is_full_only_at_the_end(folder: Path) -> None:
    frames = [np.full((32, 32, 3), 100, np.uint8)] * 3
    write_clip(folder / "small.mp4", frames, 25)
    with room_for((folder / "small.mp4").stat().st_size - 10), pytest.raises(OutputError):
        write_clip(folder / "small2.mp4", frames, 25)


def test_missing_and_unwritable_folder(tmp_path: Path, plain: Path) -> None:
    with pytest.raises(OutputError, match="no such file or directory"):
        rewrite(plain, tmp_path / "absent" / "x.mp4")


def test_unknown_suffix(tmp_path: Path, plain: Path) -> None:
    for name in ("x.wmv", "x"):
        with pytest.raises(OutputError, match="does not write videos") as caught:
            rewrite(plain, tmp_path / name)
        assert ".mkv" in caught.value.remedy
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    "options",
    [
        {"codec": "nonsense"},
        {"codec": "aac"},
        {"preset": "warp"},
        {"pix_fmt": "nonsense"},
        {"pix_fmt": "pal8"},
    ],
)
def test_encoder_that_cannot_start(tmp_path: Path, plain: Path, options: dict[str, str]) -> None:
    with pytest.raises(EncoderError) as caught:
        rewrite(plain, tmp_path / "x.mp4", **options)
    assert caught.value.remedy


def test_codec_that_the_container_cannot_hold(tmp_path: Path, plain: Path) -> None:
    with pytest.raises(EncoderError, match="libx264"):
        rewrite(plain, tmp_path / "x.webm", codec="libx264")


class _DyingStream:
    """An encoder that fails at its seventh frame."""

    def __init__(self, stream: object) -> None:
        self.stream, self.calls = stream, 0

    def encode(self, frame: object) -> list[object]:
        self.calls += 1
        if self.calls == 7:
            from av.error import ExternalError

            raise ExternalError(errno.EINVAL, "Generic error in an external library")
        return self.stream.encode(frame)  # type: ignore[attr-defined]


def test_encoder_that_dies_on_the_way(tmp_path: Path, plain: Path) -> None:
    info = probe(plain)
    with (
        pytest.raises(EncoderError, match="external library"),
        VideoWriter(tmp_path / "x.mp4", info, info.width, info.height, preset="ultrafast") as writer,
    ):
        writer.stream = _DyingStream(writer.stream)
        for frame in read_frames(plain, info):
            writer.write(frame.rgb, frame.pts)
    assert writer.closed


def test_no_frames_is_an_error_and_abort_may_be_repeated(tmp_path: Path, plain: Path) -> None:
    info = probe(plain)
    writer = VideoWriter(tmp_path / "x.mp4", info, info.width, info.height)
    with pytest.raises(EncoderError, match="no frame"):
        writer.close()
    writer.abort()
    writer.close()


def test_wrong_frames_are_programming_errors(tmp_path: Path, plain: Path) -> None:
    info = probe(plain)
    frame = np.zeros((info.height, info.width, 3), np.uint8)
    with VideoWriter(tmp_path / "x.mp4", info, info.width, info.height, preset="ultrafast") as writer:
        with pytest.raises(ValueError, match="uint8 RGB"):
            writer.write(frame[:-1], 0)
        writer.write(frame, 0)
        with pytest.raises(ValueError, match="must rise"):
            writer.write(frame, 0)
