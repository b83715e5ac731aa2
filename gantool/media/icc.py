"""Colour profiles: from whatever a file is in to sRGB, through LittleCMS."""

from __future__ import annotations

import functools
import io
import struct

import numpy as np
from PIL import Image, ImageCms


@functools.cache
def srgb_profile() -> bytes:
    """The sRGB profile that converted pictures are tagged with; the same bytes on every run."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    data[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # LittleCMS writes the time of day here
    data[84:100] = bytes(16)  # and a checksum over it here, which may be zero
    return bytes(data)


def color_space(icc: bytes) -> str:
    """The space a profile describes: "RGB", "GRAY", "CMYK", "LAB"; empty for a broken one."""
    return icc[16:20].decode("latin-1").strip().upper() if len(icc) >= 128 else ""


def is_srgb(icc: bytes) -> bool:
    """Whether the profile is a version of sRGB itself, so that conversion would only add rounding."""
    if color_space(icc) != "RGB":
        return False
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc))).startswith("sRGB")
    except (OSError, ImageCms.PyCMSError):
        return False


def converted(image: Image.Image, icc: bytes | None) -> Image.Image:
    """``image`` (RGB, CMYK or LAB) as sRGB, mode RGB. ``icc``: its profile; a grey one takes its red channel.

    CMYK without a usable profile is converted plainly. Raises ValueError if the profile is of no use.
    """
    space = {"RGB": "RGB", "CMYK": "CMYK", "LAB": "LAB"}[image.mode]
    try:
        if icc is not None and color_space(icc) == space:
            return _transformed(image, ImageCms.ImageCmsProfile(io.BytesIO(icc)), image.mode)
        if image.mode == "LAB":
            return _transformed(image, ImageCms.createProfile("LAB"), "LAB")
        if icc is not None and image.mode == "RGB" and color_space(icc) == "GRAY":
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            return _transformed(Image.fromarray(np.array(image)[..., 0]), profile, "L")
    except (OSError, ImageCms.PyCMSError) as exc:
        if image.mode != "CMYK":
            raise ValueError("unusable colour profile") from exc
    if image.mode == "CMYK":
        return image.convert("RGB")
    raise ValueError("the colour profile does not fit the picture")


def _transformed(image: Image.Image, profile: object, mode: str) -> Image.Image:
    transform = ImageCms.buildTransform(
        profile,  # type: ignore[arg-type]
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    result = ImageCms.applyTransform(image, transform)
    assert result is not None  # only in-place transforms give None
    return result
