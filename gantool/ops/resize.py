"""Resampling: a free-size resize for pictures, and MATLAB's ``imresize`` for pairs and benchmarks."""

from __future__ import annotations

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def resize(x: Tensor, height: int, width: int, method: str = "bicubic") -> Tensor:
    """Resample (N,C,H,W) to (N,C,height,width), anti-aliased when shrinking.

    ``method``: "bicubic" (a = -0.5; may overshoot [0,1] by a little), "bilinear" or "nearest".
    The result has the input's dtype. An unchanged size returns the input itself.
    """
    if x.shape[-2:] == (height, width):
        return x
    if method == "nearest":
        return F.interpolate(x, size=(height, width), mode="nearest")
    return F.interpolate(x, size=(height, width), mode=method, align_corners=False, antialias=True)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic kernel with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return near * (x <= 1) + far * ((x > 1) & (x <= 2))


@functools.lru_cache(maxsize=256)
def matlab_matrix(size: int, target: int) -> np.ndarray:
    """(target, size) float64 weights of MATLAB's bicubic: widened when shrinking, symmetric borders."""
    scale = target / size
    width = 4.0 if scale >= 1 else 4.0 / scale
    center = (np.arange(target) + 0.5) / scale - 0.5
    first = np.floor(center - width / 2).astype(int)
    index = first[:, None] + np.arange(int(np.ceil(width)) + 2)[None]
    distance = center[:, None] - index
    weight = _cubic(distance) if scale >= 1 else scale * _cubic(distance * scale)
    weight /= weight.sum(1, keepdims=True)
    mirror = np.concatenate((np.arange(size), np.arange(size)[::-1]))
    matrix = np.zeros((target, size))
    np.add.at(matrix, (np.arange(target)[:, None], mirror[index % (2 * size)]), weight)
    return matrix


def matlab_resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """What MATLAB's ``imresize(image, [height width], 'bicubic')`` gives for uint8 (H,W,C).

    Rows first, rounded to uint8 between the passes: bit-exact with the published low-resolution sets.
    """

    def round_to_byte(values: np.ndarray) -> np.ndarray:
        return np.clip(np.floor(values + 0.5), 0, 255)

    tall, wide = image.shape[:2]
    rows = matlab_matrix(tall, height) @ image.reshape(tall, -1).astype(np.float64)
    half = round_to_byte(rows).reshape(height, wide, -1).transpose(1, 0, 2)
    columns = matlab_matrix(wide, width) @ half.reshape(wide, -1)
    return round_to_byte(columns).reshape(width, height, -1).transpose(1, 0, 2).astype(np.uint8)


def mirror_pad(x: Tensor, height: int, width: int, before: int = 0) -> Tensor:
    """(N,C,H,W) continued on all sides to (N,C,height,width), ``before`` px of that on the left and on top.

    Mirrored at the border without repeating it, back and forth where one mirror image is not enough; a side
    of one pixel is repeated. What a net measures over the whole picture stays nearly what it was.
    """
    for axis, target in ((-2, height), (-1, width)):
        side = x.shape[axis]
        if target != side:
            place = torch.arange(-before, target - before, device=x.device) % max(1, 2 * side - 2)
            x = x.index_select(axis, torch.where(place < side, place, 2 * side - 2 - place))
    return x


def to_tensor(frames: np.ndarray) -> Tensor:
    """uint8 or uint16 RGB (N,H,W,3) -> float32 (N,3,H,W) in [0,1]."""
    peak = float(np.iinfo(frames.dtype).max)
    if frames.dtype == np.uint16:  # torch has few operators for uint16
        return torch.from_numpy(frames.astype(np.float32)).movedim(-1, 1).div_(peak)
    return torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, 1).float().div_(peak)
