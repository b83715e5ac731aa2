"""Between the Y'CbCr of video and RGB, by the matrix and range that the file names (ITU-T H.273, 8.3).

Frames of 8 bits go through FFmpeg's scaler, with accurate rounding and full chroma: within half a level of
exact arithmetic. Deeper ones only have their chroma resampled by it, because its 16-bit RGB is off by up to
one level of 8 bits (it shifts, so white is 65280); the matrix is applied here, within half a step.
"""

from __future__ import annotations

from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

LIMITED, FULL = 1, 2  # AVColorRange
PEAK = 65535  # of uint16 RGB
# Smooth chroma, every sample used, correct rounding: at most 1 level from exact arithmetic.
_SMOOTH = (
    Interpolation.BILINEAR
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
# Area averaging for the smaller chroma planes: measured the nearest to the source's own after a round trip.
_AREA = (
    Interpolation.AREA
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
_SWS = {
    "bt709": Colorspace.ITU709,
    "bt601": Colorspace.ITU601,
    "fcc": Colorspace.FCC,
    "smpte240m": Colorspace.SMPTE240M,
    "bt2020": Colorspace.BT2020,
}
_WEIGHTS = {  # Kr, Kb
    "bt709": (0.2126, 0.0722),
    "bt601": (0.299, 0.114),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
    "bt2020": (0.2627, 0.0593),
}


def from_yuv(matrix: str, *, full: bool, bits: int) -> np.ndarray:
    """(3,4) float64: Y, Cb, Cr as integers of ``bits``, and 1, to R, G, B in 0..1."""
    kr, kb = _WEIGHTS[matrix]
    kg = 1 - kr - kb
    colours = np.array(
        [[1, 0, 2 * (1 - kr)], [1, -2 * (1 - kb) * kb / kg, -2 * (1 - kr) * kr / kg], [1, 2 * (1 - kb), 0]]
    )
    scale, zero = _range(full, bits)
    linear = colours * scale
    return np.column_stack([linear, -linear @ zero])


def to_yuv(matrix: str, *, full: bool, bits: int) -> np.ndarray:
    """(3,4) float64: R, G, B in 0..1, and 1, to Y, Cb, Cr in units of ``bits``; inverse of ``from_yuv``."""
    square = np.vstack([from_yuv(matrix, full=full, bits=bits), [0, 0, 0, 1]])
    return np.linalg.inv(square)[:3]


def shallow_rgb(reformatter: VideoReformatter, frame: Any, matrix: str, *, full: bool) -> np.ndarray:
    """A decoded frame as (H,W,3) uint8 RGB, as stored (not turned)."""
    if frame.format.is_rgb:
        return frame.to_ndarray(format="rgb24")
    if frame.format.name.startswith("gray") and not full:  # FFmpeg takes every grey for full range
        return ((deep_rgb(reformatter, frame, matrix, full=full).astype(np.uint32) + 128) // 257).astype(
            np.uint8
        )
    converted = reformatter.reformat(
        frame,
        format="rgb24",
        src_colorspace=_SWS[matrix],
        src_color_range=FULL if full else LIMITED,
        dst_color_range=FULL,
        interpolation=_SMOOTH,
    )
    return converted.to_ndarray()


def deep_rgb(reformatter: VideoReformatter, frame: Any, matrix: str, *, full: bool) -> np.ndarray:
    """A decoded frame of any depth as (H,W,3) uint16 RGB, 0..65535, as stored (not turned)."""
    depth, name = _depth(frame.format)
    if frame.format.is_rgb or frame.format.name.startswith("gray"):
        # Layout only: the depth stays. Planes of RGB come as green, blue, red.
        planar = "gbrp" if frame.format.is_rgb else "gray"
        planes = _planes(reformatter.reformat(frame, format=planar + name))
        picture = cv2.merge([planes[2], planes[0], planes[1]] if len(planes) == 3 else planes * 3)
        scale, zero = _range(full or frame.format.is_rgb, depth)
        matrix34 = np.column_stack([np.eye(3) * scale[0], np.full(3, -zero[0] * scale[0])])
    else:
        converted = reformatter.reformat(
            frame,
            format="yuv444p" + name,
            src_colorspace=_SWS[matrix],
            dst_colorspace=_SWS[matrix],
            src_color_range=FULL if full else LIMITED,
            dst_color_range=FULL if full else LIMITED,
            interpolation=_SMOOTH,
        )
        picture = cv2.merge(_planes(converted))
        matrix34 = from_yuv(matrix, full=full, bits=depth)
    if picture.dtype == np.uint8:
        picture = picture.astype(np.uint16)
    return cv2.transform(picture, matrix34 * PEAK)  # rounds, and clips to 0..65535


def in_depth(rgb: np.ndarray, *, deep: bool) -> np.ndarray:
    """uint8 or uint16 as uint16 (``deep``) or as uint8, rounded to the nearest level."""
    if deep:
        return rgb if rgb.dtype == np.uint16 else rgb.astype(np.uint16) * np.uint16(257)
    return rgb if rgb.dtype == np.uint8 else cv2.convertScaleAbs(rgb, alpha=1 / 257)


def video_frame(reformatter: VideoReformatter, rgb: np.ndarray, pix_fmt: str, *, full: bool) -> Any:
    """(H,W,3) uint8 or uint16 RGB as an ``av.VideoFrame`` in ``pix_fmt``: BT.709 unless that is RGB."""
    layout = av.VideoFormat(pix_fmt, 16, 16)
    depth, name = _depth(layout)
    rgb = np.ascontiguousarray(rgb)
    if rgb.strides[1:] != (3 * rgb.itemsize, rgb.itemsize):  # numpy takes any steps along a side of one pixel
        rgb = rgb.reshape(-1).reshape(rgb.shape)
    if rgb.dtype == np.uint8 and not (layout.is_rgb and depth > 8):
        return reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(rgb, format="rgb24"),
            format=pix_fmt,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=FULL,
            dst_color_range=FULL if full else LIMITED,
            interpolation=_AREA,
        )
    rgb = in_depth(rgb, deep=True)
    if layout.is_rgb:
        picture = cv2.transform(rgb, np.diag([(2**depth - 1) / PEAK] * 3))
        whole = _filled("gbrp" + name, picture[..., [1, 2, 0]])
    else:
        matrix34 = to_yuv("bt709", full=full, bits=depth)
        matrix34[:, :3] /= PEAK
        whole = _filled("yuv444p" + name, cv2.transform(rgb, matrix34))
    if whole.format.name == pix_fmt:
        return whole
    tagged = FULL if full or layout.is_rgb else LIMITED
    return reformatter.reformat(
        whole,
        format=pix_fmt,
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=tagged,
        dst_color_range=tagged,
        interpolation=_AREA,
    )


def _range(full: bool, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """What Y, Cb and Cr of ``bits`` are multiplied by for a range of 1, and where their zero lies."""
    unit, peak = 2 ** (bits - 8), 2**bits - 1
    scale = 1 / np.array([peak, peak, peak] if full else [219 * unit, 224 * unit, 224 * unit])
    return scale, np.array([0 if full else 16 * unit, 128 * unit, 128 * unit])


def _depth(layout: Any) -> tuple[int, str]:
    """Bits of a pixel format, as planar formats have them, and how their names end."""
    bits = max(component.bits for component in layout.components)
    depth = next((known for known in (8, 9, 10, 12, 14, 16) if known >= bits), 16)
    return depth, "" if depth == 8 else f"{depth}le"


def _planes(frame: Any) -> list[np.ndarray]:
    """Views of the planes of a planar frame, (H,W) uint8 or uint16."""
    kind = np.dtype(np.uint8 if frame.format.components[0].bits == 8 else "<u2")
    return [np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes]


def _filled(pix_fmt: str, picture: np.ndarray) -> Any:
    """A planar 4:4:4 frame from (H,W,3) in the order of its planes."""
    frame = av.VideoFrame(picture.shape[1], picture.shape[0], pix_fmt)
    for index, plane in enumerate(_planes(frame)):
        plane[...] = picture[..., index]
    return frame
