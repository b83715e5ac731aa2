"""Reading pictures: every mode and format, turned upright, with what their files say about them."""

from __future__ import annotations

import io
import struct
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, features

from gantool.errors import ExitCode, InputError
from gantool.media.image import read_picture, readable_suffixes, srgb_profile

RNG = np.random.default_rng(1)
NOISE = RNG.integers(0, 256, (11, 17, 3), dtype=np.uint8)
SMOOTH = np.stack(np.meshgrid(np.linspace(0, 255, 17), np.linspace(0, 255, 11)), -1).astype(np.uint8)
SMOOTH = np.ascontiguousarray(np.concatenate([SMOOTH, 255 - SMOOTH[..., :1]], axis=2))
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


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


# --- modes -------------------------------------------------------------------------------------------------


def test_rgb_and_rgba_are_exact() -> None:
    picture = read_picture(png_of())
    assert np.array_equal(picture.rgb, NOISE) and picture.alpha is None and not picture.gray
    assert picture.bits == 8 and picture.format == "PNG" and (picture.height, picture.width) == (11, 17)
    assert picture.rgb.flags.c_contiguous and picture.rgb.flags.writeable and not picture.notes
    rgba = np.dstack([NOISE, NOISE[..., 0]])
    picture = read_picture(png_of(rgba))
    assert picture.alpha is not None and picture.transparent
    assert np.array_equal(picture.rgb, NOISE) and np.array_equal(picture.alpha, rgba[..., 3])


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF", "PPM", "WEBP", "JPEG2000"])
@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_lossless_formats_are_exact(mode: str, kind: str) -> None:
    if (mode, kind) in (("1", "JPEG2000"), ("RGB", "GIF")):
        pytest.skip("the format has no such mode")
    image = Image.fromarray(NOISE).convert(mode)
    picture = read_picture(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert np.array_equal(picture.rgb, np.array(image.convert("RGB")))
    # WebP knows no grey; a bitmap in it comes back as RGB.
    assert picture.gray is (mode != "RGB" and kind != "WEBP")


def test_grey_with_alpha() -> None:
    image = (
        Image.fromarray(NOISE[..., :2], "LA")
        if False
        else Image.fromarray(np.ascontiguousarray(NOISE[..., :2]))
    )
    assert image.mode == "LA"
    for kind in ("PNG", "TIFF"):
        picture = read_picture(encoded(image, kind))
        assert picture.gray and picture.alpha is not None
        assert np.array_equal(picture.rgb, np.repeat(NOISE[..., :1], 3, axis=2))
        assert np.array_equal(picture.alpha, NOISE[..., 1])


def test_palette_pictures() -> None:
    coloured = Image.fromarray(SMOOTH).quantize(16)
    picture = read_picture(encoded(coloured, "PNG"))
    assert np.array_equal(picture.rgb, np.array(coloured.convert("RGB"))) and not picture.gray
    grey = Image.fromarray(SMOOTH).convert("L").quantize(16)
    picture = read_picture(encoded(grey, "PNG"))
    assert picture.gray and picture.alpha is None


@pytest.mark.parametrize("transparency", [3, bytes([0, 128, 255, 10])])
def test_palette_with_transparency(transparency: int | bytes) -> None:
    image = Image.fromarray(SMOOTH).quantize(4)
    data = encoded(image, "PNG", transparency=transparency)
    picture = read_picture(data)
    expected = np.array(Image.open(io.BytesIO(data)).convert("RGBA"))
    assert picture.alpha is not None and picture.transparent
    assert np.array_equal(np.dstack([picture.rgb, picture.alpha]), expected)


def test_one_colour_declared_transparent() -> None:
    picture = read_picture(png_of(transparency=tuple(int(v) for v in NOISE[2, 3])))
    assert picture.alpha is not None and picture.alpha[2, 3] == 0 and (picture.alpha == 0).sum() == 1
    assert np.array_equal(picture.rgb, NOISE)
    grey = np.ascontiguousarray(NOISE[..., 0])
    picture = read_picture(png_of(grey, transparency=int(grey[2, 3])))
    assert picture.gray and picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, grey == grey[2, 3])


def test_premultiplied_tiff_is_divided() -> None:
    data = encoded(Image.new("RGBA", (2, 2), (100, 50, 20, 128)).convert("RGBa").convert("RGBA"), "TIFF")
    picture = read_picture(data)
    assert picture.alpha is not None and np.abs(picture.rgb[0, 0].astype(int) - [100, 50, 20]).max() <= 1


def test_cmyk_jpeg_becomes_srgb() -> None:
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    picture = read_picture(encoded(cmyk, "JPEG", quality=95))
    assert picture.rgb.shape == (8, 8, 3) and picture.icc == srgb_profile()
    assert np.abs(picture.rgb.astype(int) - [255, 0, 0]).max() <= 3
    assert any("CMYK" in note for note in picture.notes)


def test_lab_tiff_becomes_srgb() -> None:
    lab = ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), lab, "RGB", "LAB")
    image = ImageCms.applyTransform(Image.fromarray(SMOOTH // 2 + 64), to_lab)
    assert image is not None
    picture = read_picture(encoded(image, "TIFF"))
    assert np.abs(picture.rgb.astype(int) - (SMOOTH // 2 + 64)).mean() < 2  # Lab of 8 bits is coarse


def test_floats_and_32_bit_integers_are_refused() -> None:
    refused(encoded(Image.fromarray(NOISE[..., 0].astype(np.float32)), "TIFF"), "floating-point")
    refused(encoded(Image.fromarray(NOISE[..., 0].astype(np.int32)), "TIFF"), "signed|32-bit")


# --- orientation and metadata ------------------------------------------------------------------------------


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x013B], exif[0x0100] = orientation, "Zoe", 17
    exif[0x8769] = {0xA002: 17, 0xA003: 11, 0x9003: "2020:01:02 03:04:05", 0xA001: 65535}
    exif[0x8825] = {1: "N"}
    return exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_its_tag_removed(kind: str, orientation: int) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    options: dict[str, Any] = {"quality": 95} if kind in ("JPEG", "WEBP", "AVIF") else {}
    data = encoded(Image.fromarray(SMOOTH), kind, exif=with_orientation(orientation).tobytes(), **options)
    expected = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    picture = read_picture(data)
    assert np.array_equal(picture.rgb, expected)
    assert picture.rgb.shape[:2] == ((17, 11) if orientation > 4 else (11, 17))
    kept = Image.Exif()
    assert picture.exif is not None and picture.exif.startswith(b"Exif\0\0")
    kept.load(picture.exif)
    assert 0x0112 not in kept and 0x0100 not in kept and kept[0x013B] == "Zoe"
    assert dict(kept.get_ifd(0x8769)) == {0x9003: "2020:01:02 03:04:05", 0xA001: 65535}
    assert kept.get_ifd(0x8825)[1] == "N"


def test_alpha_turns_with_the_colours() -> None:
    rgba = np.dstack([NOISE, NOISE[..., 0]])
    picture = read_picture(png_of(rgba, exif=with_orientation(6)))
    assert picture.alpha is not None and np.array_equal(picture.alpha, picture.rgb[..., 0])
    assert picture.alpha.shape == (17, 11)


def test_the_thumbnail_is_dropped() -> None:
    thumbnail = encoded(Image.fromarray(NOISE), "JPEG")
    entries = struct.pack("<H", 1) + struct.pack("<HHI4s", 0x013B, 2, 4, b"Zoe\0") + struct.pack("<I", 26)
    second = (
        struct.pack("<H", 2)
        + struct.pack("<HHII", 0x0201, 4, 1, 56)
        + struct.pack("<HHII", 0x0202, 4, 1, len(thumbnail))
    )
    block = b"II*\0" + struct.pack("<I", 8) + entries + second + struct.pack("<I", 0) + thumbnail
    data = encoded(Image.fromarray(NOISE), "JPEG", exif=b"Exif\0\0" + block)
    picture = read_picture(data)
    assert picture.exif is not None and thumbnail[:20] not in picture.exif and b"Zoe" in picture.exif


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_damaged_exif_does_not_stop_the_picture(exif: bytes) -> None:
    picture = read_picture(encoded(Image.fromarray(NOISE), "JPEG", exif=exif))
    assert picture.rgb.shape == NOISE.shape


def test_resolution_is_kept() -> None:
    assert read_picture(png_of(dpi=(300, 150))).dpi == pytest.approx((300, 150), abs=0.02)
    assert read_picture(png_of()).dpi is None


def wide_profile() -> bytes:
    """A real RGB profile that is not sRGB: its description renamed, red and green columns swapped."""
    data = bytearray(srgb_profile())
    count = struct.unpack_from(">I", data, 128)[0]
    where = {bytes(data[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = where[b"rXYZ"], where[b"gXYZ"]
    data[red + 4 : red + 12], data[green + 4 : green + 12] = (
        data[green + 4 : green + 12],
        data[red + 4 : red + 12],
    )
    position, size = struct.unpack_from(">II", data, where[b"desc"] + 4)
    data[position : position + size] = bytes(data[position : position + size]).replace(
        "sRGB".encode("utf-16-be"), "swap".encode("utf-16-be")
    )
    return bytes(data)


def test_profile_is_kept_or_applied() -> None:
    profile = wide_profile()
    data = png_of(SMOOTH, icc_profile=profile, exif=with_orientation(1))
    kept = read_picture(data)
    assert kept.icc == profile and np.array_equal(kept.rgb, SMOOTH)
    applied = read_picture(data, to_srgb=True)
    assert applied.icc == srgb_profile()
    # the profile swaps red and green, so the numbers do too
    assert np.abs(applied.rgb.astype(int) - SMOOTH[..., [1, 0, 2]]).max() <= 3
    assert applied.exif is not None
    block = Image.Exif()
    block.load(applied.exif)
    assert block.get_ifd(0x8769)[0xA001] == 1


def test_srgb_itself_is_not_converted() -> None:
    picture = read_picture(png_of(icc_profile=srgb_profile()), to_srgb=True)
    assert np.array_equal(picture.rgb, NOISE) and picture.icc == srgb_profile()


def test_a_broken_profile_is_named_and_ignored() -> None:
    for profile in (b"rubbish", b"\0" * 16 + b"RGB " + b"\0" * 200):
        picture = read_picture(png_of(icc_profile=profile), to_srgb=True)
        assert np.array_equal(picture.rgb, NOISE) and picture.icc is None and "profile" in picture.notes[0]


def test_a_grey_picture_stays_grey_under_its_profile() -> None:
    grey = np.ascontiguousarray(SMOOTH[..., 0])
    picture = read_picture(png_of(grey, icc_profile=wide_profile()), to_srgb=True)
    assert picture.gray and (picture.rgb == picture.rgb[..., :1]).all()


def test_xmp_is_kept() -> None:
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:creator="Zoe"/>'
        b"</rdf:RDF></x:xmpmeta>"
    )
    picture = read_picture(encoded(Image.fromarray(NOISE), "JPEG", xmp=packet))
    assert picture.xmp is not None and b'dc:creator="Zoe"' in picture.xmp


# --- HEIC and AVIF -----------------------------------------------------------------------------------------


def test_heic_without_its_package_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # type: ignore[arg-type]
    error = refused(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100, "pillow-heif")
    assert "gantool[heic]" in str(error)


def test_heic_with_its_package_registers_it(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[bool] = []
    double = types.ModuleType("pillow_heif")
    double.register_heif_opener = lambda: called.append(True)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pillow_heif", double)
    with pytest.raises(InputError):
        read_picture(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100)
    assert called


def test_real_heic() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    data = encoded(Image.fromarray(SMOOTH), "HEIF", quality=90)
    picture = read_picture(data)
    assert picture.format == "HEIF" and np.abs(picture.rgb.astype(int) - SMOOTH).mean() < 12


@needs_avif
def test_avif_with_alpha() -> None:
    rgba = np.dstack([SMOOTH, SMOOTH[..., 0]])
    picture = read_picture(encoded(Image.fromarray(rgba), "AVIF", quality=95))
    assert picture.format == "AVIF" and picture.alpha is not None
    assert np.abs(picture.alpha.astype(int) - SMOOTH[..., 0]).max() <= 8


def test_suffixes() -> None:
    assert {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic"} <= readable_suffixes()
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in readable_suffixes())
