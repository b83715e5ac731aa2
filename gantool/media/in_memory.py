"""Pictures that a program holds rather than a file: numpy arrays and PIL images, in and out."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from gantool.errors import InputError
from gantool.media import exif as exif_block
from gantool.media.icc import color_space, is_srgb
from gantool.media.image_read import as_srgb, shallow
from gantool.media.picture import Picture


def picture_of(image: Any, *, to_srgb: bool = False) -> Picture:
    """An array or a PIL image as a picture; the argument is left as it is.

    Arrays are (H,W), (H,W,1), (H,W,3) or (H,W,4), RGB, uint8 or uint16. A PIL image may have any mode but
    "F"; it is turned upright where its EXIF block says so; CMYK and Lab become sRGB, and with ``to_srgb`` so
    does an 8-bit PIL image that has a colour profile.

    Raises InputError for anything else.
    """
    if isinstance(image, np.ndarray):
        return _of_array(image)
    if isinstance(image, Image.Image):
        return _of_pil(image, to_srgb)
    raise InputError(f"a {type(image).__name__} is not a picture", remedy="Give a numpy array or a PIL image")


def same_kind(picture: Picture, image: Any) -> Any:
    """``picture`` as the kind of thing that ``image`` is: an array of its own depth, or a PIL image.

    Grey pictures give (H,W) or (H,W,1) as ``image`` had it, "L", "LA" or "I;16". A PIL image of 16-bit colour
    does not exist, so colour is rounded to 8 bits there; profile and EXIF block are in its ``info``.
    """
    if isinstance(image, np.ndarray):
        pixels = picture.rgb[..., :1] if picture.gray else picture.rgb
        if picture.alpha is not None:
            pixels = np.dstack((picture.rgb, picture.alpha))
        return np.ascontiguousarray(pixels[..., 0] if picture.gray and image.ndim == 2 else pixels)
    rgb, alpha = picture.rgb, picture.alpha
    if picture.bits == 16 and not picture.gray:
        rgb = ((rgb.astype(np.uint32) + 128) // 257).astype(np.uint8)
    layers = rgb[..., :1] if picture.gray else rgb
    if alpha is not None:
        layers = np.dstack((layers, alpha))
    made = Image.fromarray(np.ascontiguousarray(layers[..., 0] if layers.shape[2] == 1 else layers))
    space = None if picture.icc is None else color_space(picture.icc)
    if space == ("GRAY" if picture.gray else "RGB"):
        made.info["icc_profile"] = picture.icc
    if picture.exif is not None:
        made.info["exif"] = picture.exif
    return made


def _of_array(array: np.ndarray) -> Picture:
    kind = array.dtype.newbyteorder("=")
    if kind not in (np.uint8, np.uint16):
        remedy = "Give uint8 (0 to 255) or uint16 (0 to 65535)"
        raise InputError(f"a picture of {array.dtype} says not what is white", remedy=remedy)
    flat = array.ndim == 2
    if not (flat or (array.ndim == 3 and array.shape[2] in (1, 3, 4))) or 0 in array.shape:
        remedy = "Give (H,W), (H,W,3) or (H,W,4)"
        raise InputError(f"an array of shape {array.shape} is not a picture", remedy=remedy)
    native = array.astype(kind)  # always a copy
    if flat or array.shape[2] == 1:
        return Picture(np.repeat(native.reshape(*array.shape[:2], 1), 3, axis=2), gray=True)
    alpha = np.ascontiguousarray(native[..., 3]) if array.shape[2] == 4 else None
    return Picture(np.ascontiguousarray(native[..., :3]), alpha)


def _of_pil(image: Image.Image, to_srgb: bool) -> Picture:
    if 0 in image.size:
        raise InputError("the picture has no pixels", remedy="Give one that has some")
    try:
        image.load()  # an opened file may not have been read yet
    except OSError as exc:
        raise InputError(f"the picture is damaged or cut off: {exc}", remedy="Open it again") from exc
    icc: bytes | None = image.info.get("icc_profile") or None
    if image.mode == "I" or image.mode.startswith("I;16"):
        rgb, alpha, gray = _deep_gray(np.array(image)), None, True
    elif image.mode == "F":
        raise InputError('a PIL image of mode "F" says not what is white', remedy='Convert it to "L"')
    else:
        plain = image.convert("RGB") if image.mode in ("HSV", "YCbCr") else image
        rgb, alpha, gray, icc = shallow(plain, icc, [])
        if to_srgb and icc is not None and not is_srgb(icc):
            rgb, icc = as_srgb(rgb, icc, gray, [])
    orientation = exif_block.orientation_of(image)
    return Picture(
        exif_block.turned(rgb, orientation),
        None if alpha is None else exif_block.turned(alpha, orientation),
        gray,
        icc=icc,
        exif=exif_block.carried(image, srgb=to_srgb and rgb.dtype == np.uint8),
    )


def _deep_gray(values: np.ndarray) -> np.ndarray:
    """(H,W) of any integers -> (H,W,3) uint16; InputError when 16 bits do not hold them."""
    if values.min() < 0 or values.max() > 65535:
        remedy = "Scale its values to 0..65535 first"
        raise InputError('a PIL image of mode "I" has values beyond 16 bits', remedy=remedy)
    return np.repeat(values.astype(np.uint16)[..., None], 3, axis=2)
