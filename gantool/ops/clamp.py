"""Hold an old picture within what a new one could look like, pixel by pixel: what keeps ghosts away.

History rectification as temporal anti-aliasing has it (Karis 2014; FSR2's readme), by local mean and spread.
These change slowly over a picture, so they are found at up to a quarter of its size, for speed.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_TONE = 0.08  # of [0,1]: how far a flat region may flicker and still be steadied


def blend_finer(history: Tensor, layer: Tensor, share: Tensor, radius: int, factor: int) -> Tensor:
    """``layer`` (C,h,w) with a share (1,h,w) of what the history has that is finer than ``factor`` px.

    That is layer + d - (d shrunk to 1/factor and enlarged again), d = share (held history - layer): shrunk to
    that size, the answer is what the layer is. The history is held within mean +- 1.25 standard deviations of
    the layer around each pixel, to ``radius`` px, as old detail that the new frame knows nothing of would
    linger as a ghost.
    """
    shrink = max(1, min(4, radius))
    around = (shrink, max(1, round(radius / shrink)), 1.25, 0.0)
    if layer.device.type != "cpu":
        held = torch.clamp(history, *_bounds(layer, *around))
        return layer + finer_part((held - layer).mul_(share), factor)
    # Plane by plane, and without torch, whose threads would compete with OpenCV's: two thirds of the time.
    answer, weight = np.empty(layer.shape, np.float32), share[0].numpy()
    for old, new, made in zip(history.numpy(), layer.numpy(), answer, strict=True):
        tall, wide = new.shape
        least, most = _bounds_of_plane(new, *around)
        cv2.min(cv2.max(old, least, dst=made), most, dst=made)
        made -= new
        made *= weight
        small = cv2.resize(made, (-(-wide // factor), -(-tall // factor)), interpolation=cv2.INTER_AREA)
        made -= cv2.resize(small, (wide, tall), interpolation=cv2.INTER_CUBIC)
        made += new
    return torch.from_numpy(answer)


def finer_part(x: Tensor, factor: int) -> Tensor:
    """What of (C,h,w) is gone when it is shrunk to 1/``factor`` and enlarged again."""
    tall, wide = x.shape[-2:]
    small = shrunk(x, -(-tall // factor), -(-wide // factor))
    return x - enlarged(small, tall, wide, cubic=True)


def clamp_to_picture(history: Tensor, layer: Tensor) -> Tensor:
    """``history`` (C,h,w) held within what the new picture could look like around each pixel, against ghosts.

    That is mean +- 1.5 standard deviations of 12x12 px; a little more, or the light of flat regions would go
    on to flicker; and any value that the new picture has next to the pixel, or a highlight that stays would
    be dimmed.
    """
    least, most = _bounds(layer, 4, 1, 1.5, _TONE)
    least = torch.minimum(least, -_highest(-layer))
    most = torch.maximum(most, _highest(layer))
    return torch.clamp(history, least, most)


def _bounds(x: Tensor, factor: int, radius: int, deviations: float, slack: float) -> tuple[Tensor, Tensor]:
    """Mean -+ (deviations times the spread, plus slack) around each pixel of (C,h,w).

    Over (2 radius + 1)^2 px of the picture shrunk by ``factor``.
    """
    tall, wide = x.shape[-2:]
    if x.device.type == "cpu":
        planes = [_bounds_of_plane(plane.numpy(), factor, radius, deviations, slack) for plane in x]
        least, most = zip(*planes, strict=True)
        return torch.from_numpy(np.stack(least)), torch.from_numpy(np.stack(most))
    size = (-(-tall // factor), -(-wide // factor))
    mean = _box(shrunk(x, *size), radius)
    spread = deviations * (_box(shrunk(x * x, *size), radius) - mean * mean).clamp_min_(0).sqrt_() + slack
    return enlarged(mean - spread, tall, wide), enlarged(mean + spread, tall, wide)


def _bounds_of_plane(
    plane: np.ndarray, factor: int, radius: int, deviations: float, slack: float
) -> tuple[np.ndarray, np.ndarray]:
    """The same of float32 (h,w), by OpenCV, whose running sums are quick."""
    tall, wide = plane.shape
    size, side = (-(-wide // factor), -(-tall // factor)), (2 * radius + 1,) * 2

    def sums(small: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(small, -1, side, normalize=False, borderType=cv2.BORDER_CONSTANT)

    count = sums(np.ones(size[::-1], np.float32))
    mean, of_squares = (
        sums(cv2.resize(one, size, interpolation=cv2.INTER_AREA)) / count
        for one in (plane, cv2.multiply(plane, plane))
    )
    of_squares -= mean * mean
    spread = np.sqrt(np.maximum(of_squares, 0, out=of_squares), out=of_squares)
    spread *= deviations
    spread += slack
    least, most = (cv2.resize(one, (wide, tall)) for one in (mean - spread, mean + spread))
    return least, most


def shrunk(x: Tensor, tall: int, wide: int) -> Tensor:
    """(C,h,w) by the mean over areas; on a CPU by OpenCV, which is several times as quick."""
    if x.device.type != "cpu" or x.shape[-2:] == (tall, wide):
        return F.interpolate(x[None], size=(tall, wide), mode="area")[0]
    planes = (cv2.resize(plane.numpy(), (wide, tall), interpolation=cv2.INTER_AREA) for plane in x)
    return torch.from_numpy(np.stack(list(planes)))


def enlarged(x: Tensor, tall: int, wide: int, *, cubic: bool = False) -> Tensor:
    """(C,h,w) bilinearly, or bicubically (a = -0.75); likewise."""
    if x.device.type != "cpu" or x.shape[-2:] == (tall, wide):
        mode = "bicubic" if cubic else "bilinear"
        return F.interpolate(x[None], size=(tall, wide), mode=mode, align_corners=False)[0]
    large, kernel = x.new_empty((len(x), tall, wide)), cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    for plane, target in zip(x.contiguous(), large, strict=True):
        cv2.resize(plane.numpy(), (wide, tall), dst=target.numpy(), interpolation=kernel)
    return large


def _highest(x: Tensor) -> Tensor:
    """Maximum over 3x3 pixels of (C,h,w); much quicker than max_pool2d on a CPU."""
    x = F.pad(x[None], (1, 1, 1, 1), mode="replicate")[0]
    x = torch.maximum(torch.maximum(x[:, :-2], x[:, 1:-1]), x[:, 2:])
    return torch.maximum(torch.maximum(x[..., :-2], x[..., 1:-1]), x[..., 2:])


def _box(x: Tensor, radius: int) -> Tensor:
    """Mean over (2 radius + 1)^2 pixels of (C,h,w), fewer at the border."""
    side = 2 * radius + 1
    rows = F.avg_pool2d(x[None], (side, 1), stride=1, padding=(radius, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, side), stride=1, padding=(0, radius), count_include_pad=False)[0]
