"""Sixteen bits: exact through PNG and TIFF of every layout, and refused where it could not be exact."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from gantool.errors import InputError
from gantool.media import png, tiff
from gantool.media.image import Picture, encode_picture, read_picture, readable_suffixes, srgb_profile

RNG = np.random.default_rng(2)
DEEP = RNG.integers(0, 65536, (11, 17, 3), dtype=np.uint16)
ALPHA = RNG.integers(0, 65536, (11, 17), dtype=np.uint16)
GRAY = np.repeat(DEEP[..., :1], 3, axis=2)


def from_cv2(array: np.ndarray, suffix: str, *options: int) -> bytes:
    """A file by another hand than ours."""
    order = [2, 1, 0, 3][: array.shape[2]] if array.ndim == 3 else None
    done, data = cv2.imencode(
        suffix, array if order is None else np.ascontiguousarray(array[..., order]), options
    )
    assert done
    return data.tobytes()


def plain_tiff(array: np.ndarray, order: str = "<", **changed: Any) -> bytes:
    """An uncompressed TIFF with any tag replaced: name them as t262=0."""
    height, width, channels = array.shape
    strip = array.astype(array.dtype.newbyteorder(order)).tobytes()
    tags = {256: width, 257: height, 258: array.dtype.itemsize * 8, 259: 1, 262: 2 if channels > 2 else 1}
    tags |= {273: 0, 277: channels, 278: height, 279: len(strip)}
    tags |= {int(name[1:]): value for name, value in changed.items()}
    start = 8 + 2 + 12 * len(tags) + 4
    extra = struct.pack(order + f"{channels}H", *[tags[258]] * channels)
    entries = b""
    for tag, value in sorted(tags.items()):
        if tag == 258 and channels > 2:
            entries += struct.pack(order + "HHII", tag, 3, channels, start)
        else:
            value = start + len(extra) if tag == 273 else value
            field = struct.pack(order + "HHI", tag, 4, 1) + struct.pack(order + "I", value)
            if tag not in (273, 279):
                field = struct.pack(order + "HHI", tag, 3, 1) + struct.pack(order + "HH", value, 0)
            entries += field
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, len(tags))
    return head + entries + struct.pack(order + "I", 0) + extra + strip


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("alpha", [None, ALPHA])
@pytest.mark.parametrize("gray", [False, True])
def test_round_trip_is_exact(suffix: str, alpha: np.ndarray | None, gray: bool) -> None:
    rgb = GRAY if gray else DEEP
    picture = read_picture(encode_picture(Picture(rgb, alpha, gray), suffix, provenance=None))
    assert picture.bits == 16 and picture.rgb.dtype == np.uint16 and np.array_equal(picture.rgb, rgb)
    assert picture.rgb.flags.c_contiguous
    # TIFF keeps grey with alpha as RGBA, since Pillow reads no 16-bit grey with alpha there
    assert picture.gray is (gray and not (suffix == ".tiff" and alpha is not None))
    if alpha is None:
        assert picture.alpha is None
    else:
        assert picture.alpha is not None and np.array_equal(picture.alpha, alpha)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_opencv_agrees_with_what_we_write(suffix: str) -> None:
    for rgb, alpha, gray in ((DEEP, None, False), (DEEP, ALPHA, False), (GRAY, None, True)):
        data = encode_picture(Picture(rgb, alpha, gray), suffix, provenance=None)
        seen = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert seen is not None and seen.dtype == np.uint16
        if gray:
            assert np.array_equal(seen, rgb[..., 0])
        else:
            assert np.array_equal(seen[..., 2::-1], rgb)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_files_by_opencv(suffix: str) -> None:
    assert np.array_equal(read_picture(from_cv2(DEEP, suffix)).rgb, DEEP)
    picture = read_picture(from_cv2(GRAY[..., 0], suffix))
    assert picture.gray and np.array_equal(picture.rgb, GRAY)
    picture = read_picture(from_cv2(np.dstack([DEEP, ALPHA]), suffix))
    assert picture.alpha is not None and np.array_equal(picture.alpha, ALPHA)


def test_large_pictures_span_several_bands() -> None:
    big = RNG.integers(0, 65536, (1400, 1100, 3), dtype=np.uint16)  # 9 MB, bands are of 8
    for suffix in (".png", ".tif"):
        data = encode_picture(Picture(big), suffix, provenance=None)
        assert np.array_equal(read_picture(data).rgb, big)
    wide = RNG.integers(0, 256, (3, 3_000_000, 3), dtype=np.uint8)  # a row longer than a band
    assert np.array_equal(read_picture(encode_picture(Picture(wide), ".png", provenance=None)).rgb, wide)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    for dtype in (np.uint8, np.uint16):
        rgb = RNG.integers(0, 200, (*size, 3)).astype(dtype)
        for suffix in (".png", ".tif"):
            assert np.array_equal(
                read_picture(encode_picture(Picture(rgb), suffix, provenance=None)).rgb, rgb
            )


def png_with(array: np.ndarray, color: int, extra: bytes) -> bytes:
    """A 16-bit PNG with a chunk after its header."""
    data = png.encode(array)
    assert data[25] == color
    return data[:33] + extra + data[33:]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_one_colour_declared_transparent() -> None:
    key = chunk(b"tRNS", DEEP[4, 5].astype(">u2").tobytes())
    picture = read_picture(png_with(DEEP, 2, key))
    assert picture.alpha is not None and picture.alpha[4, 5] == 0 and (picture.alpha == 0).sum() == 1
    assert picture.alpha.max() == 65535 and np.array_equal(picture.rgb, DEEP)
    key = chunk(b"tRNS", GRAY[4, 5, :1].astype(">u2").tobytes())
    picture = read_picture(png_with(GRAY[..., :1], 0, key))
    assert picture.gray and picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, GRAY[..., 0] == GRAY[4, 5, 0])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    shallow = Image.fromarray((DEEP >> 8).astype(np.uint8))
    shallow.getexif()[0x0112] = orientation
    turned = np.array(ImageOps.exif_transpose(shallow))
    data = png.encode(DEEP, exif=exif.tobytes())
    assert np.array_equal(read_picture(data).rgb >> 8, turned)
    for order in "<>":
        picture = read_picture(plain_tiff(DEEP, order, t274=orientation))
        assert np.array_equal(picture.rgb >> 8, turned) and picture.bits == 16
        assert picture.exif is None


def test_orientation_after_the_pixels_of_a_png() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = png.encode(DEEP)
    late = data[:-12] + chunk(b"eXIf", exif.tobytes()[6:]) + data[-12:]
    assert read_picture(late).rgb.shape == (17, 11, 3)


def test_tiff_byte_orders_and_white_is_zero() -> None:
    for order in "<>":
        assert np.array_equal(read_picture(plain_tiff(DEEP, order)).rgb, DEEP)
    inverted = read_picture(plain_tiff(65535 - GRAY[..., :1], t262=0))
    assert inverted.gray and np.array_equal(inverted.rgb, GRAY)


def test_premultiplied_tiff_is_divided() -> None:
    alpha = np.maximum(ALPHA, 4000)
    product = np.round(DEEP.astype(float) * alpha[..., None] / 65535).astype(np.uint16)
    picture = read_picture(plain_tiff(np.dstack([product, alpha]), t338=1))
    assert picture.alpha is not None and np.array_equal(picture.alpha, alpha)
    assert np.abs(picture.rgb.astype(int) - DEEP).max() <= 10


@pytest.mark.parametrize(
    ("array", "changed", "words"),
    [
        (DEEP, {"t284": 2}, "separate colour planes"),
        (np.dstack([DEEP, ALPHA]), {"t262": 5}, "neither grey nor RGB"),
        (GRAY[..., :1], {"t339": 2}, "signed"),
    ],
)
def test_layouts_that_would_be_read_wrongly_are_refused(
    array: np.ndarray, changed: dict[str, int], words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_picture(plain_tiff(array, **changed))
    assert "16 bits" in caught.value.remedy


def test_layouts_that_pillow_does_not_know_are_refused_too() -> None:
    for order, changed in (("<", {"t262": 8}), ("<", {"t339": 2}), (">", {"t262": 8})):
        with pytest.raises(InputError, match="rare kind"):
            read_picture(plain_tiff(DEEP, order, **changed))


def test_cut_off_files_are_refused() -> None:
    for data in (png.encode(DEEP), tiff.encode(DEEP), plain_tiff(DEEP), from_cv2(DEEP, ".tiff")):
        for share in (0.3, 0.6, 0.9):
            with pytest.raises(InputError):
                read_picture(data[: int(len(data) * share)])


def test_ppm_and_pgm() -> None:
    for maxval in (65535, 1023, 256):
        samples = (DEEP.astype(int) % (maxval + 1)).astype(">u2")
        header = f"P6\n# a remark 1 2 3\n17 11\n{maxval}\n".encode()
        picture = read_picture(header + samples.tobytes())
        assert picture.bits == 16
        assert np.array_equal(
            picture.rgb, np.floor(samples.astype(float) * 65535 / maxval + 0.5).astype(np.uint16)
        )
    gray = read_picture(b"P5 17 11 65535 " + GRAY[..., 0].astype(">u2").tobytes())
    assert gray.gray and np.array_equal(gray.rgb, GRAY)
    with pytest.raises(InputError):
        read_picture(b"P5 17 11 65535 " + b"\0" * 100)


def test_jpeg_2000() -> None:
    data = from_cv2(RNG.integers(0, 65536, (64, 64, 3), dtype=np.uint16), ".jp2", 272, 1000)
    seen = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert seen is not None and np.array_equal(read_picture(data).rgb, seen[..., ::-1])


def test_profile_stays_with_the_pixels_it_describes() -> None:
    profile = bytearray(srgb_profile())
    profile = bytes(profile).replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be"))
    data = png.encode(DEEP, icc=profile)
    picture = read_picture(data, to_srgb=True)
    assert picture.icc == profile and np.array_equal(picture.rgb, DEEP) and "16-bit" in picture.notes[0]
    assert read_picture(data).notes == ()


def test_written_tiff_is_what_pillow_expects() -> None:
    """Eight bits, where Pillow is an independent reader of every layout."""
    rgb, alpha = (DEEP >> 8).astype(np.uint8), (ALPHA >> 8).astype(np.uint8)
    for channels, mode in (([0], "L"), ([0, 3], "LA"), ([0, 1, 2], "RGB"), ([0, 1, 2, 3], "RGBA")):
        pixels = np.dstack([rgb, alpha])[..., channels]
        image = Image.open(io.BytesIO(tiff.encode(pixels, dpi=(300, 200), icc=srgb_profile())))
        assert image.mode == mode and np.array_equal(np.array(image).reshape(pixels.shape), pixels)
        assert image.info["dpi"] == (300, 200) and image.info["icc_profile"] == srgb_profile()


def test_a_tiff_above_two_gigabytes_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        tiff.encode(np.broadcast_to(np.uint16(0), (20_000, 20_000, 3)))


def test_ten_bit_avif_is_read_with_eight_and_says_so() -> None:
    samples = (RNG.integers(0, 1024, (64, 64, 3))).astype(np.uint16)
    try:
        done, data = cv2.imencode(
            ".avif", samples, [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 100]
        )
    except (cv2.error, AttributeError):
        pytest.skip("this OpenCV writes no AVIF")
    if not done or ".avif" not in readable_suffixes():
        pytest.skip("no AVIF here")
    picture = read_picture(data.tobytes())
    assert picture.bits == 8 and picture.notes == ("10-bit AVIF read with 8 bits",)
