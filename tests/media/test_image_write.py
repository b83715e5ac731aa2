"""Writing pictures: marks present and readable, metadata kept, nothing invented, refusals early."""

from __future__ import annotations

import io
import resource
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, features

from gantool.errors import ExitCode, OutputError
from gantool.media.files import atomic
from gantool.media.image import (
    Picture,
    check_target,
    encode_picture,
    format_of,
    read_picture,
    srgb_profile,
    writable_suffixes,
    write_picture,
)
from gantool.media.provenance import Provenance

RNG = np.random.default_rng(3)
NOISE = RNG.integers(0, 256, (11, 17, 3), dtype=np.uint8)
SMOOTH = np.ascontiguousarray(
    np.broadcast_to(np.linspace(0, 255, 64)[None, :, None], (48, 64, 3)).astype(np.uint8)
)
MARK = Provenance("colorize", "colorize-unet", "0.1.0")
SENTENCE = "Made by gantool 0.1.0: colorize with colorize-unet"
SUFFIXES = [".png", ".jpg", ".webp", ".tiff", *([".avif"] if features.check("avif") else [])]
AUTHOR = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:creator="Zoe"/></rdf:RDF></x:xmpmeta>'
)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def source_exif() -> bytes:
    exif = Image.Exif()
    exif[0x013B], exif[0x0131] = "Zoe", "Camera 1.0"
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05"}
    exif[0x8825] = {1: "N", 2: (51.0, 30.0, 0.5)}
    return exif.tobytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_mark_is_in_the_file_and_pillow_reads_it(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{suffix}"
    write_picture(path, Picture(NOISE), provenance=MARK)
    image = opened(path.read_bytes())
    packet = image.info["xmp"]
    assert b"digitalsourcetype/compositeWithTrainedAlgorithmicMedia" in packet
    assert b"Iptc4xmpExt:DigitalSourceType" in packet and b'xmp:CreatorTool="gantool 0.1.0"' in packet
    assert image.getexif()[0x0131] == SENTENCE
    if suffix == ".png":
        assert image.info["Software"] == "gantool 0.1.0" and image.info["Comment"] == SENTENCE
    assert len(list(ElementTree.fromstring(packet).iter())) == 3  # xmpmeta, RDF, Description


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_without_provenance_nothing_is_added(suffix: str) -> None:
    data = encode_picture(Picture(NOISE), suffix, provenance=None)
    image = opened(data)
    assert b"gantool" not in data and not image.info.get("xmp")
    assert not set(image.info) & {"Software", "Comment", "exif", "icc_profile"}
    assert 0x0131 not in image.getexif()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("provenance", [None, MARK])
def test_what_the_source_said_is_kept(suffix: str, provenance: Provenance | None) -> None:
    picture = Picture(NOISE, icc=srgb_profile(), exif=source_exif(), xmp=AUTHOR, dpi=(300, 300))
    data = encode_picture(picture, suffix, provenance=provenance)
    image = opened(data)
    exif = image.getexif()
    assert image.info["icc_profile"] == srgb_profile() and b'dc:creator="Zoe"' in image.info["xmp"]
    assert exif[0x013B] == "Zoe" and exif.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    assert exif.get_ifd(0x8825)[1] == "N" and exif.get_ifd(0x8825)[2] == (51.0, 30.0, 0.5)
    assert exif[0x0131] == (SENTENCE if provenance else "Camera 1.0")
    if suffix in (".png", ".jpg", ".tiff"):
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.02)
    again = read_picture(data)
    assert again.icc == picture.icc and again.exif is not None and again.xmp is not None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_generations_do_not_pile_up(suffix: str) -> None:
    first = encode_picture(Picture(NOISE, exif=source_exif()), suffix, provenance=MARK)
    second = encode_picture(read_picture(first), suffix, provenance=MARK)
    third = encode_picture(read_picture(second), suffix, provenance=MARK)
    assert opened(third).info["xmp"] == opened(second).info["xmp"]
    assert third.count(b"DigitalSourceType") == first.count(b"DigitalSourceType")
    if suffix in (".png", ".tiff"):
        assert third == second and np.array_equal(read_picture(third).rgb, NOISE)


def test_the_same_picture_gives_the_same_bytes() -> None:
    for suffix in SUFFIXES:
        one, two = (encode_picture(Picture(NOISE), suffix, provenance=MARK) for _ in range(2))
        assert one == two


# --- pixels ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("gray", [False, True])
def test_lossless_round_trip(suffix: str, alpha: bool, gray: bool) -> None:
    rgb = np.repeat(NOISE[..., :1], 3, axis=2) if gray else NOISE
    picture = Picture(rgb, NOISE[..., 1].copy() if alpha else None, gray)
    data = encode_picture(picture, suffix, provenance=MARK)
    assert opened(data).mode == ("LA" if alpha else "L") if gray else ("RGBA" if alpha else "RGB")
    again = read_picture(data)
    assert np.array_equal(again.rgb, rgb) and again.gray == gray and again.bits == 8
    assert (again.alpha is not None) == alpha
    if alpha:
        assert again.alpha is not None and np.array_equal(again.alpha, NOISE[..., 1])


def test_arrays_that_are_views_are_written_right() -> None:
    big = RNG.integers(0, 256, (30, 40, 6), dtype=np.uint8)
    for view in (big[::2, ::-1, :3], big[:, :, ::2], big[5:9, 3:5, 2::-1]):
        for suffix in (".png", ".tif"):
            assert np.array_equal(
                read_picture(encode_picture(Picture(view), suffix, provenance=None)).rgb, view
            )


def test_lossy_formats_are_close_and_obey_quality() -> None:
    photo = np.clip(SMOOTH.astype(int) + RNG.integers(-20, 20, (48, 64, 1)), 0, 255).astype(np.uint8)
    for suffix in (suffix for suffix in SUFFIXES if suffix not in (".png", ".tiff")):
        good, poor = (encode_picture(Picture(photo), suffix, quality=q, provenance=None) for q in (95, 30))
        assert len(poor) < len(good)
        assert np.abs(read_picture(good).rgb.astype(int) - photo).mean() < 6


def test_jpeg_keeps_full_colour_resolution_at_high_quality() -> None:
    sampling = {
        q: opened(encode_picture(Picture(NOISE), ".jpg", quality=q, provenance=None)).layer for q in (95, 75)
    }
    assert sampling[95][0][1:3] == (1, 1) and sampling[75][0][1:3] == (2, 2)


def test_sixteen_bits_are_rounded_where_eight_must_do() -> None:
    deep = np.full((16, 16, 3), 128 * 257 + 128, np.uint16)
    assert (
        read_picture(encode_picture(Picture(deep), ".jpg", quality=100, provenance=None)).rgb[0, 0, 0] == 128
    )
    deep = np.full((16, 16, 3), 128 * 257 + 129, np.uint16)
    assert (
        read_picture(encode_picture(Picture(deep), ".jpg", quality=100, provenance=None)).rgb[0, 0, 0] == 129
    )
    deep = np.full((16, 16, 3), 65535, np.uint16)
    assert read_picture(encode_picture(Picture(deep), ".jpg", quality=100, provenance=None)).rgb.min() == 255


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_grey_is_stored_grey_or_neutral(suffix: str) -> None:
    slightly_off = SMOOTH.copy()
    slightly_off[..., 2] = np.maximum(slightly_off[..., 2], 1) - 1
    again = read_picture(encode_picture(Picture(slightly_off, gray=True), suffix, provenance=MARK))
    assert np.abs(again.rgb.astype(int) - SMOOTH).max() <= 6
    if suffix in (".png", ".jpg", ".tiff"):
        assert again.gray and (again.rgb == again.rgb[..., :1]).all()


def gray_profile() -> bytes:
    """As much of a grey profile as decides where it may stand."""
    return srgb_profile()[:16] + b"GRAY" + srgb_profile()[20:]


def test_a_profile_stands_only_where_it_fits() -> None:
    gray = np.repeat(NOISE[..., :1], 3, axis=2)
    wide = srgb_profile().replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be"))

    def written(picture: Picture) -> Image.Image:
        return opened(encode_picture(picture, ".png", provenance=None))

    assert written(Picture(gray, gray=True, icc=gray_profile())).info["icc_profile"] == gray_profile()
    assert "icc_profile" not in written(Picture(NOISE, icc=gray_profile())).info
    assert "icc_profile" not in written(Picture(NOISE, icc=b"rubbish")).info
    image = written(Picture(gray, gray=True, icc=srgb_profile()))
    assert image.mode == "L" and "icc_profile" not in image.info
    image = written(Picture(gray, gray=True, icc=wide))
    assert image.mode == "RGB" and image.info["icc_profile"] == wide


# --- limits and refusals -----------------------------------------------------------------------------------


def test_suffixes() -> None:
    assert {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"} <= writable_suffixes()
    assert format_of(".JPG") == "JPEG" and format_of(".bmp") is None and format_of("") is None
    for suffix in writable_suffixes():
        assert opened(encode_picture(Picture(NOISE), suffix, provenance=MARK)).size == (17, 11)


def test_transparency_is_not_thrown_away(tmp_path: Path) -> None:
    alpha = np.full((11, 17), 255, np.uint8)
    assert opened(encode_picture(Picture(NOISE, alpha), ".jpg", provenance=None)).mode == "RGB"
    alpha[3, 4] = 254
    for call in (
        lambda: check_target(".jpg", alpha=True, bits=8),
        lambda: write_picture(tmp_path / "out.jpg", Picture(NOISE, alpha), provenance=None),
    ):
        with pytest.raises(OutputError, match="transparency") as caught:
            call()
        assert ".png" in caught.value.remedy and caught.value.code is ExitCode.OUTPUT
    assert not list(tmp_path.iterdir())
    for suffix in (".png", ".webp", ".tif"):
        again = read_picture(encode_picture(Picture(NOISE, alpha), suffix, provenance=None))
        assert again.transparent


@pytest.mark.parametrize(
    ("suffix", "size", "words"),
    [
        (".xyz", (1, 1), "cannot be written"),
        ("", (1, 1), "cannot be written"),
        (".gif", (1, 1), "cannot be written"),
        (".jpg", (70_000, 10), "JPEG can hold"),
        (".webp", (10, 16_384), "WEBP can hold"),
        (".tif", (40_000, 40_000), "TIFF can hold"),
    ],
)
def test_what_cannot_be_written_is_refused_early(suffix: str, size: tuple[int, int], words: str) -> None:
    with pytest.raises(OutputError, match=words) as caught:
        check_target(suffix, alpha=False, bits=8, width=size[0], height=size[1])
    assert ".png" in caught.value.remedy
    check_target(".png", alpha=True, bits=16, width=40_000, height=40_000)


def test_metadata_too_long_for_jpeg_is_shortened_not_fatal() -> None:
    exif = Image.Exif()
    exif.load(source_exif())
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05", 0x927C: b"m" * 80_000}
    image = opened(encode_picture(Picture(NOISE, exif=exif.tobytes()), ".jpg", provenance=MARK))
    assert image.getexif()[0x013B] == "Zoe" and image.getexif().get_ifd(0x8769)[0x9003]
    exif[0x010E] = "d" * 80_000
    image = opened(encode_picture(Picture(NOISE, exif=exif.tobytes()), ".jpg", provenance=MARK))
    assert dict(image.getexif()) == {0x0131: SENTENCE}
    image = opened(encode_picture(Picture(NOISE, exif=exif.tobytes()), ".jpg", provenance=None))
    assert not dict(image.getexif())
    long = AUTHOR.replace(b"Zoe", b"Z" * 80_000)
    image = opened(encode_picture(Picture(NOISE, xmp=long), ".jpg", provenance=MARK))
    assert b"DigitalSourceType" in image.info["xmp"] and b"ZZZZ" not in image.info["xmp"]
    assert b"ZZZZ" in opened(encode_picture(Picture(NOISE, xmp=long), ".png", provenance=MARK)).info["xmp"]


def test_a_model_name_beyond_latin_1() -> None:
    mark = Provenance("style", "夜-ñ", "0.1.0")
    for suffix in SUFFIXES:
        assert opened(encode_picture(Picture(NOISE), suffix, provenance=mark)).info["xmp"]
    assert opened(encode_picture(Picture(NOISE), ".png", provenance=mark)).info["Comment"] == mark.sentence()


@pytest.mark.parametrize(
    "picture",
    [
        Picture(NOISE.astype(np.float32)),
        Picture(NOISE[..., 0]),
        Picture(NOISE[..., :2]),
        Picture(NOISE, NOISE[:5, :, 0]),
        Picture(NOISE, NOISE[..., 0].astype(np.uint16)),
    ],
)
def test_arrays_of_another_kind_are_a_programming_error(picture: Picture) -> None:
    with pytest.raises(ValueError, match="uint"):
        encode_picture(picture, ".png", provenance=None)


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    noise = RNG.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    target = tmp_path / "out.png"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with (
            pytest.raises(OutputError, match="larger") as caught,
            atomic(target, overwrite=False) as temporary,
        ):
            write_picture(temporary, Picture(noise), provenance=MARK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.file == str(target) and not list(tmp_path.iterdir())


def test_a_missing_folder_has_its_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder does not exist"):
        write_picture(tmp_path / "missing" / "out.png", Picture(NOISE), provenance=None)


def test_atomic_and_write_together(tmp_path: Path) -> None:
    target = tmp_path / "photo.colorize.webp"
    with atomic(target, overwrite=False) as temporary:
        write_picture(temporary, Picture(NOISE), provenance=MARK)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert read_picture(target).format == "WEBP"
