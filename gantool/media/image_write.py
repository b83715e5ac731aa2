"""Writing a picture with everything its source said that still holds, and the mark of who made it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from gantool.errors import OutputError
from gantool.media import exif as exif_block
from gantool.media import png, tiff
from gantool.media.files import output_error
from gantool.media.icc import color_space, is_srgb
from gantool.media.picture import Picture, format_of, writable_suffixes
from gantool.media.provenance import Provenance, carried_xmp

_LARGEST_SIDE = {"JPEG": 65500, "WEBP": 16383, "AVIF": 65536, "PNG": 2**31 - 1, "TIFF": 2**31 - 1}
_LONGEST_EXIF_IN_JPEG = 65533
_LONGEST_XMP_IN_JPEG = 65504


def check_target(suffix: str, *, alpha: bool, bits: int, width: int = 1, height: int = 1) -> None:
    """Refuse early what :func:`write_picture` could not write.

    ``suffix``: of the output, with its dot; ``alpha``: the result has transparent pixels; ``bits``: 8 or
    16 (16 fits everywhere: JPEG, WebP and AVIF round to 8); ``width``, ``height``: of the result.

    Raises:
        OutputError: an unknown suffix, JPEG for transparency, or more pixels than the format can hold.
    """
    kind = format_of(suffix)
    if kind is None:
        known = ", ".join(sorted(writable_suffixes()))
        raise OutputError(f'pictures cannot be written as "{suffix}"', None, f"Use one of {known}")
    if kind == "JPEG" and alpha:
        raise OutputError("JPEG cannot hold transparency", None, "Name the output .png, .webp or .tiff")
    if max(width, height) > _LARGEST_SIDE[kind]:
        what = f"{width} x {height} pixels are more than {kind} can hold ({_LARGEST_SIDE[kind]} a side)"
        raise OutputError(what, None, "Name the output .png")
    if kind == "TIFF" and width * height * (4 if alpha else 3) * bits // 8 > tiff.LARGEST_BYTES:
        raise OutputError(
            f"{width} x {height} pixels are more than TIFF can hold", None, "Name the output .png"
        )


def write_picture(path: Path, picture: Picture, *, quality: int = 95, provenance: Provenance | None) -> None:
    """Write ``picture`` to exactly ``path``, in the format of its suffix; see :func:`encode_picture`.

    Raises OutputError where :func:`check_target` does, and when the file cannot be written.
    """
    try:
        data = encode_picture(picture, path.suffix, quality=quality, provenance=provenance)
    except OutputError as exc:
        exc.file = str(path)
        raise
    try:
        path.write_bytes(data)
    except OSError as exc:
        raise output_error(exc, path) from exc


def encode_picture(
    picture: Picture, suffix: str, *, quality: int = 95, provenance: Provenance | None
) -> bytes:
    """The bytes of a picture file.

    ``suffix``: ".png", ".jpg", ".webp", ".tif", ".avif" and their variants. ``quality`` 0..100 concerns
    JPEG, WebP and AVIF. Grey pictures are stored grey, 16 bits are kept in PNG and TIFF and rounded to 8
    elsewhere, an alpha channel that is opaque throughout is left out of JPEG. The colour profile (if it fits
    the channels), EXIF, XMP and resolution are kept. With ``provenance`` the file also says who made it:
    XMP and EXIF Software everywhere, text chunks in PNG; None adds nothing.
    """
    check_target(
        suffix, alpha=picture.transparent, bits=picture.bits, width=picture.width, height=picture.height
    )
    kind = format_of(suffix)
    software = None if provenance is None else provenance.sentence()
    pixels, icc = _channels(picture)
    exif = exif_block.stamped(picture.exif, software, _LONGEST_EXIF_IN_JPEG if kind == "JPEG" else None)
    xmp = carried_xmp(picture.xmp) if provenance is None else provenance.xmp(picture.xmp)
    if kind == "PNG":
        text = None
        if provenance is not None:
            text = {"Software": provenance.tool, "Comment": provenance.sentence()}
        return png.encode(pixels, icc=icc, exif=exif, xmp=xmp, text=text, dpi=picture.dpi)
    if kind == "TIFF":
        if picture.bits == 16 and pixels.shape[2] == 2:  # Pillow cannot read 16-bit grey with alpha in TIFF
            pixels = pixels[..., [0, 0, 0, 1]]
            icc = None if icc is not None and color_space(icc) == "GRAY" else icc
        return tiff.encode(pixels, icc=icc, exif=exif, xmp=xmp, dpi=picture.dpi)
    assert kind is not None
    if kind == "JPEG" and xmp is not None and len(xmp) > _LONGEST_XMP_IN_JPEG:
        xmp = None if provenance is None else provenance.xmp()  # the source's own words do not fit
    marks = {"icc_profile": icc, "exif": exif, "xmp": xmp}
    return _with_pillow(pixels, kind, quality, marks, picture.dpi)


def _channels(picture: Picture) -> tuple[np.ndarray, bytes | None]:
    """Pixels to store, (H,W,C): grey, grey+alpha, RGB or RGBA; and the profile that fits them, if any."""
    rgb, alpha, icc = picture.rgb, picture.alpha, picture.icc
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"a picture must be (H,W,3) uint8 or uint16, not {rgb.shape} {rgb.dtype}")
    if alpha is not None and (alpha.shape != rgb.shape[:2] or alpha.dtype != rgb.dtype):
        raise ValueError(
            f"alpha {alpha.shape} {alpha.dtype} does not fit the colours {rgb.shape} {rgb.dtype}"
        )
    space = None if icc is None else color_space(icc)
    colors = rgb
    if picture.gray:
        # Luma, not one channel: a net's three outputs for a grey input differ slightly.
        colors = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)[..., None]
        if icc is not None and space == "RGB":  # which a file with one channel must not bear
            if is_srgb(icc):
                icc = None  # what an untagged file means anyway
            else:
                colors = np.repeat(colors, 3, axis=2)
    elif space == "GRAY":
        icc = None  # it cannot describe a picture that has got colours
    if space not in ("RGB", "GRAY"):
        icc = None
    return colors if alpha is None else np.concatenate([colors, alpha[..., None]], axis=2), icc


def _with_pillow(
    pixels: np.ndarray, kind: str, quality: int, marks: dict[str, Any], dpi: tuple[float, float] | None
) -> bytes:
    """JPEG, WebP or AVIF of 8-bit samples; ``marks`` are Pillow's own arguments, None ones left out."""
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if kind == "JPEG":
        pixels = pixels[..., :-1] if pixels.shape[2] in (2, 4) else pixels
    image = Image.fromarray(np.ascontiguousarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels))
    options: dict[str, Any] = {"quality": quality, **{key: value for key, value in marks.items() if value}}
    if kind == "JPEG":
        # Full colour resolution where quality is wanted: colour is what gantool adds.
        options["subsampling"] = 0 if quality >= 90 else 2
        if dpi:
            options["dpi"] = tuple(min(round(value), 65535) for value in dpi)
    elif image.mode in ("L", "LA"):
        image = image.convert("RGBA" if image.mode == "LA" else "RGB")
        if (icc := options.get("icc_profile")) and color_space(icc) == "GRAY":
            del options["icc_profile"]
    out = io.BytesIO()
    try:
        image.save(out, kind, **options)
    except (OSError, ValueError) as exc:
        raise OutputError(f"the {kind} encoder failed: {exc}", None, "Name the output .png") from exc
    return out.getvalue()
