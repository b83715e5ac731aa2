"""Hold an old picture within what a new one could look like, pixel by pixel: what keeps ghosts away.

History rectification as temporal anti-aliasing has it (Karis 2014; FSR2's readme), by local mean and spread.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_TONE = 0.08  # of [0,1]: how far a flat region may flicker and still be steadied


def clamp_to_surroundings(history: Tensor, layer: Tensor, radius: int) -> Tensor:
    """``history`` (C,h,w) held within mean +- 1.25 standard deviations of the new layer around each pixel.

    Old detail that the new frame knows nothing of would linger as a ghost.
    """
    mean = _box(layer, radius)
    spread = 1.25 * (_box(layer * layer, radius) - mean * mean).clamp_min(0).sqrt()
    return torch.minimum(torch.maximum(history, mean - spread), mean + spread)


def clamp_to_picture(history: Tensor, layer: Tensor) -> Tensor:
    """``history`` (C,h,w) held within what the new picture could look like around each pixel, against ghosts.

    That is mean +- 1.5 standard deviations of 12x12 px, found at a quarter of the size for speed; a little
    more, or the light of flat regions would go on to flicker; and any value that the new picture has next to
    the pixel, or a highlight that stays would be dimmed.
    """

    def around(x: Tensor) -> Tensor:
        small = F.avg_pool2d(x[None], 4, ceil_mode=True, count_include_pad=False)[0]
        return F.interpolate(_box(small, 1)[None], size=x.shape[-2:], mode="bilinear", align_corners=False)[0]

    mean = around(layer)
    spread = 1.5 * (around(layer * layer) - mean * mean).clamp_min_(0).sqrt_() + _TONE
    least = torch.minimum(mean - spread, -_highest(-layer))
    most = torch.maximum(mean + spread, _highest(layer))
    return torch.minimum(torch.maximum(history, least), most)


def _highest(x: Tensor) -> Tensor:
    """Maximum over 3x3 pixels of (C,h,w); much quicker than max_pool2d on a CPU."""
    x = F.pad(x[None], (1, 1, 1, 1), mode="replicate")[0]
    x = torch.maximum(torch.maximum(x[:, :-2], x[:, 1:-1]), x[:, 2:])
    return torch.maximum(torch.maximum(x[..., :-2], x[..., 1:-1]), x[..., 2:])


def _box(x: Tensor, radius: int) -> Tensor:
    """Mean over (2 radius + 1)^2 pixels of (C,h,w), fewer at the border."""
    side = 2 * radius + 1
    if x.device.type == "cpu":  # OpenCV's running sums take a twentieth of the time
        pixels = x.movedim(0, -1).contiguous().numpy()

        def sums(array: np.ndarray) -> np.ndarray:
            return cv2.boxFilter(array, -1, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)

        mean = sums(pixels).reshape(pixels.shape) / sums(np.ones_like(pixels[..., :1]))[..., None]
        return torch.from_numpy(mean).movedim(-1, 0)
    rows = F.avg_pool2d(x[None], (side, 1), stride=1, padding=(radius, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, side), stride=1, padding=(0, radius), count_include_pad=False)[0]
