"""Cutting an aligned face out of a picture, and putting a changed one back."""

from __future__ import annotations

import cv2
import numpy as np

from gantool import alignment
from gantool.faces.face import Face

_OVAL = (
    64.0,
    63.0,
    46.0,
    60.0,
)  # of a face in the crop of 128 px: middle x and y, half width and half height
_FEATHER = 0.35  # share of the oval, from its rim inwards, over which it fades
# How far the colour match may change the contrast of light, and of the two colours. What lies behind a turned
# face is in the crop, and must not be taken for its colours.
_GAIN = np.array([(0.6, 1.6), (0.6, 1.1), (0.6, 1.1)])


def crop(picture: np.ndarray, face: Face, side: int = alignment.SIDE) -> np.ndarray:
    """The aligned crop (side,side,3), or (side,side) of a grey picture; what lies outside repeats the border.

    Args:
        picture: (H,W,3) or (H,W), uint8 or uint16; the result is of the same kind.
    """
    matrix = face.to_side(side)
    picture, matrix = _shrunk(picture, matrix, side)
    return _warped(picture, matrix, (side, side), sharply=side > alignment.SIDE)


def paste(
    picture: np.ndarray, made: np.ndarray, face: Face, *, match_color: bool = True, share: float = 1.0
) -> np.ndarray:
    """A copy of the picture with a crop put back: an oval that fades out, in the light of what it covers.

    Args:
        picture: (H,W,3) RGB, uint8 or uint16.
        made: (side,side,3) of the same kind, any side: the crop, changed.
        match_color: give the crop the light of the face that it replaces, as :func:`matched` does.
        share: 0..1, how much of the crop is shown where it shows most.
    """
    side = len(made)
    if match_color:
        made = matched(made, crop(picture, face, side), oval(side))
    back = cv2.invertAffineTransform(face.to_side(side))
    left, top, right, bottom = _reach(back, side, *picture.shape[:2])
    result = picture.copy()
    if right <= left or bottom <= top:
        return result
    back[:, 2] -= (left, top)
    size = (right - left, bottom - top)
    made, shrunk_back = _shrunk(made, back, max(size))
    # The mask is drawn at the crop's size and moved with it, so that the two cannot part.
    over = _warped(made, shrunk_back, size, sharply=True)
    mask = cv2.warpAffine(oval(side), back, size, flags=cv2.INTER_LINEAR, borderValue=0)[..., None]
    under = result[top:bottom, left:right].astype(np.float32)
    mixed = under + (over.astype(np.float32) - under) * (mask * share)
    result[top:bottom, left:right] = np.rint(mixed).astype(picture.dtype)
    return result


def oval(side: int) -> np.ndarray:
    """How much of the crop is shown where, (side,side) float32: 1 on the face, fading to 0 at the rim."""
    x, y, wide, tall = (value * side / alignment.SIDE for value in _OVAL)
    rows, columns = np.mgrid[:side, :side].astype(np.float32) + 0.5
    depth = 1 - np.hypot((columns - x) / wide, (rows - y) / tall)
    share = np.clip(depth / _FEATHER, 0, 1)
    return (share * share * (3 - 2 * share)).astype(np.float32)


def matched(made: np.ndarray, like: np.ndarray, share: np.ndarray) -> np.ndarray:
    """A crop with the median and spread of another one in each channel of Lab.

    After Reinhard et al. 2001, but by quartiles, on which a strip of background beside the face tells little.

    Args:
        made, like: (side,side,3) RGB of one kind, uint8 or uint16.
        share: (side,side), above a half where pixels count.
    """
    top = float(np.iinfo(made.dtype).max)
    ours, theirs = (cv2.cvtColor(_unit(p), cv2.COLOR_RGB2LAB) for p in (made, like))
    inside = share > 0.5
    (low, middle, high), (least, wanted, most) = (
        np.percentile(p[inside], (25, 50, 75), axis=0) for p in (ours, theirs)
    )
    gain = np.clip((most - least) / np.maximum(high - low, 1e-3), *_GAIN.T)
    ours = (ours - middle) * gain + wanted
    rgb = cv2.cvtColor(ours.astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.rint(np.clip(rgb, 0, 1) * top).astype(made.dtype)


def _unit(picture: np.ndarray) -> np.ndarray:
    """In [0,1], float32."""
    return picture.astype(np.float32) / np.float32(np.iinfo(picture.dtype).max)


def _warped(picture: np.ndarray, matrix: np.ndarray, size: tuple[int, int], *, sharply: bool) -> np.ndarray:
    """A part of the picture, (width, height) px; bilinear as nets learn it, or bicubic."""
    kernel = cv2.INTER_CUBIC if sharply else cv2.INTER_LINEAR
    return cv2.warpAffine(picture, matrix, size, flags=kernel, borderMode=cv2.BORDER_REPLICATE)


def _reach(back: np.ndarray, side: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the part of a picture that a crop covers."""
    corners = np.array([[0, 0], [side, 0], [side, side], [0, side]]) - 0.5
    seen = alignment.moved(corners, back)
    left, top = np.maximum(np.floor(seen.min(0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(seen.max(0)).astype(int) + 1, (width, height))
    return int(left), int(top), int(right), int(bottom)


def _shrunk(picture: np.ndarray, matrix: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture made smaller by a whole number where the map shrinks it much, and the map from there.

    A warp looks at four pixels only, so a face of 1000 px would come out speckled. Only the part that the
    map shows is looked at; ``side`` is that of the result, px.
    """
    less = int(1 / max(float(np.hypot(*matrix[:, 0])), 1e-6))
    if less < 2:
        return picture, matrix
    height, width = picture.shape[:2]
    left, top, right, bottom = _reach(cv2.invertAffineTransform(matrix), side, height, width)
    left, top = max(0, left - less), max(0, top - less)
    right, bottom = min(width, right + less), min(height, bottom + less)
    wide, tall = (right - left) // less, (bottom - top) // less
    if wide < 1 or tall < 1:  # all of it outside
        return picture, matrix
    part = picture[top : top + tall * less, left : left + wide * less]
    part = cv2.resize(part, (wide, tall), interpolation=cv2.INTER_AREA)
    matrix = matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ (np.array([left, top]) + (less - 1) / 2)
    matrix[:, :2] *= less
    return part, matrix
