"""Files that are not one whole picture: each is refused with one sentence, and no other error escapes."""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, features

from gantool.errors import ExitCode, InputError, Stopped
from gantool.media import image_read
from gantool.media.image import Picture, read_picture

RNG = np.random.default_rng(4)
NOISE = RNG.integers(0, 256, (11, 17, 3), dtype=np.uint8)
SMOOTH = np.repeat(np.linspace(0, 255, 17).astype(np.uint8)[None, :, None], 3, axis=2).repeat(11, axis=0)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_of(array: np.ndarray = NOISE, **options: Any) -> bytes:
    return encoded(Image.fromarray(array), "PNG", **options)


def refused(data: bytes | Path, words: str, **options: Any) -> InputError:
    with pytest.raises(InputError, match=words) as caught:
        read_picture(data, **options)
    assert caught.value.code is ExitCode.INPUT and caught.value.remedy and caught.value.file
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_animations_are_refused_and_single_frames_taken(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    first, second = Image.fromarray(NOISE), Image.fromarray(255 - NOISE)
    refused(encoded(first, kind, save_all=True, append_images=[second]), "several pictures")
    assert read_picture(encoded(first, kind)).rgb.shape == NOISE.shape


def test_pages_are_refused_but_a_reduced_copy_is_not() -> None:
    first, second = Image.fromarray(NOISE), Image.fromarray(255 - NOISE)
    refused(encoded(first, "TIFF", save_all=True, append_images=[second]), "several pictures")
    second.encoderinfo = {"tiffinfo": {254: 1}}
    picture = read_picture(encoded(first, "TIFF", save_all=True, append_images=[second]))
    assert np.array_equal(picture.rgb, NOISE)


def test_a_camera_jpeg_with_previews_is_its_first_picture() -> None:
    data = encoded(Image.fromarray(SMOOTH), "MPO", save_all=True, append_images=[Image.fromarray(NOISE)])
    picture = read_picture(data)
    assert picture.format == "JPEG" and np.abs(picture.rgb.astype(int) - SMOOTH).mean() < 12


# --- bad files ---------------------------------------------------------------------------------------------


def test_missing_folder_empty_text_and_unknown(tmp_path: Path) -> None:
    assert refused(tmp_path / "missing.png", "no such file").file == str(tmp_path / "missing.png")
    refused(tmp_path, "folder")
    for name, data, words in (
        ("empty.png", b"", "empty"),
        ("text.png", b"hello, I am no picture\n", "text"),
        ("lfs.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "LFS"),
        ("random.png", b"\x01\x02\x03\xfe" * 100, "not a picture"),
        ("svg.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "text"),
    ):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, words)
    assert refused(b"", "empty").file == "standard input"


def test_a_pipe_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(png_of()))
    writer.start()
    assert np.array_equal(read_picture(pipe).rgb, NOISE)
    writer.join()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "AVIF", "JPEG2000"])
def test_every_format_cut_off_anywhere_is_refused(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9):
        refused(data[: int(len(data) * share)], "damaged|not a picture|text")


def test_a_png_without_its_end_is_refused() -> None:
    data = png_of()
    for cut in range(1, 13):
        refused(data[:-cut], "breaks off|damaged")


@pytest.mark.parametrize("where", [0.3, 0.6, 0.9])
def test_one_wrong_byte_in_a_png_is_noticed(where: float) -> None:
    data = bytearray(png_of(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    data[int(len(data) * where)] ^= 0x10
    refused(bytes(data), "checksum|damaged")


def test_random_damage_never_escapes_as_another_error() -> None:
    rng = np.random.default_rng(5)
    kinds = ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000"]
    for kind in kinds:
        whole = np.frombuffer(encoded(Image.fromarray(SMOOTH), kind), np.uint8)
        for _ in range(40):
            data = whole.copy()
            data[rng.integers(0, len(data), 4)] = rng.integers(0, 256, 4)
            try:
                picture = read_picture(data.tobytes(), max_pixels=1 << 20)
            except InputError:
                continue
            assert isinstance(picture, Picture) and picture.rgb.ndim == 3


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        PngImagePlugin._MAGIC
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    error = refused(bomb(20_000, 20_000), "20000 x 20000")
    assert "--max-pixels 400000000" in str(error)
    refused(png_of(), "17 x 11", max_pixels=186)
    assert read_picture(png_of(), max_pixels=187).width == 17


def test_the_limit_is_ours_and_pillows_own_stays_as_it_was() -> None:
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = 10
    try:
        assert read_picture(png_of()).width == 17
        assert Image.MAX_IMAGE_PIXELS == 10
        refused(b"hello", "text")
        assert Image.MAX_IMAGE_PIXELS == 10
    finally:
        Image.MAX_IMAGE_PIXELS = before


def test_a_signal_or_lack_of_memory_is_not_taken_for_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (Stopped(), MemoryError(), KeyboardInterrupt()):

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(image_read, "stored_bits", fail)
        with pytest.raises(type(error)):
            read_picture(png_of())
