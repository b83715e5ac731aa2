"""Measures of pictures and videos, each with the protocol it follows.

Pictures are RGB arrays (H,W,3): uint8, uint16, or float in [0,1]. All sums run in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from gantool.ops import flow as optical


def unit(image: np.ndarray) -> np.ndarray:
    """float64 in [0,1] of an integer picture; float pictures are taken as they are."""
    if np.issubdtype(image.dtype, np.integer):
        return image.astype(np.float64) / np.iinfo(image.dtype).max
    return image.astype(np.float64)


def psnr(result: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels; inf for equal pictures."""
    return _decibel(np.mean((unit(result) - unit(truth)) ** 2))


def luma(image: np.ndarray) -> np.ndarray:
    """MATLAB's ``rgb2ycbcr`` Y, not rounded: (H,W) float64, 16..235 for RGB in [0,1] (BT.601)."""
    return 16 + unit(image) @ np.array((65.481, 128.553, 24.966))


def psnr_y(result: np.ndarray, truth: np.ndarray, shave: int = 0) -> float:
    """PSNR in dB of :func:`luma`, peak 255, ``shave`` pixels left out at each side (for x4: 4).

    The protocol of super-resolution papers, on pictures rounded to uint8.
    """
    a, b = (_shaved(luma(image), shave) for image in (result, truth))
    return _decibel(np.mean((a - b) ** 2) / 255**2)


def ssim_y(result: np.ndarray, truth: np.ndarray, shave: int = 0) -> float:
    """SSIM of :func:`luma`: Gaussian window 11x11, sigma 1.5, valid part only, K = 0.01 and 0.03, L = 255."""
    return _ssim(_shaved(luma(result), shave), _shaved(luma(truth), shave), 255.0)


def ssim(result: np.ndarray, truth: np.ndarray) -> float:
    """SSIM as in :func:`ssim_y`, mean of the three channels, L = 1."""
    a, b = unit(result), unit(truth)
    return float(np.mean([_ssim(a[..., i], b[..., i], 1.0) for i in range(a.shape[-1])]))


def colourfulness(image: np.ndarray) -> float:
    """Hasler and Suesstrunk 2003 with signed opponents rg = R - G, yb = (R + G) / 2 - B, on 0..255.

    Papers that take absolute values of rg and yb first report about a tenth less.
    """
    red, green, blue = np.moveaxis(unit(image) * 255, -1, 0)
    rg, yb = red - green, (red + green) / 2 - blue
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


def delta_ab(result: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance in the a,b plane of CIE Lab (D65), in Lab units."""
    a, b = (cv2.cvtColor(unit(image).astype(np.float32), cv2.COLOR_RGB2LAB) for image in (result, truth))
    return float(np.linalg.norm((a - b)[..., 1:].astype(np.float64), axis=-1).mean())


def reliable(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Pixels where Lai 2018 measures: not occluded, not at a motion boundary. bool (H,W).

    Args:
        forward: flow (H,W,2) of a frame into the next.
        backward: flow of the next frame into this one.
    """
    return optical.consistent(forward, backward) & ~optical.motion_boundary(forward)


def warping_error(
    frames: Sequence[np.ndarray],
    flows: Sequence[np.ndarray],
    masks: Sequence[np.ndarray] | None = None,
) -> float:
    """E_warp of Lai 2018: how much a video changes beyond its motion; mean squared difference, RGB in [0,1].

    Frame t is compared with frame t+1 fetched along the flow (bilinear), pixel by pixel where the mask
    allows; the mean over pixels of each pair, then over pairs. The square is not rooted; papers often print
    the root.

    Args:
        frames: n pictures (H,W,3).
        flows: n - 1 flows (H,W,2) of frame t into frame t+1: the *known* motion, or one estimated on the
            source by a method that no candidate uses, else the measure favours its own kind.
        masks: n - 1 bool (H,W), for example :func:`reliable`; what leaves the picture is left out anyway.

    Raises ValueError when the lengths do not fit together or no pixel is left.
    """
    if len(frames) < 2 or len(flows) != len(frames) - 1 or (masks is not None and len(masks) != len(flows)):
        raise ValueError("n frames need n - 1 flows, and as many masks if any")
    errors = []
    for index, flow in enumerate(flows):
        height, width = flow.shape[:2]
        x = flow[..., 0] + np.arange(width)
        y = flow[..., 1] + np.arange(height)[:, None]
        mask = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        if masks is not None:
            mask &= masks[index]
        if not mask.any():
            raise ValueError(f"no pixel is left to compare between frames {index} and {index + 1}")
        fetched = optical.follow(unit(frames[index + 1]).astype(np.float32), flow.astype(np.float32))
        errors.append(np.mean((unit(frames[index]) - fetched)[mask] ** 2))
    return float(np.mean(errors))


def _decibel(error: float | np.floating) -> float:
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def _shaved(plane: np.ndarray, shave: int) -> np.ndarray:
    return plane[shave : plane.shape[0] - shave, shave : plane.shape[1] - shave]


def _ssim(a: np.ndarray, b: np.ndarray, peak: float) -> float:
    if min(a.shape) < 11:
        raise ValueError("SSIM needs pictures of at least 11 x 11 pixels")
    window = cv2.getGaussianKernel(11, 1.5)

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(x, cv2.CV_64F, window, window)[5:-5, 5:-5]

    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    shared = mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float(np.mean(luminance * (2 * shared + c2) / (var_a + var_b + c2)))
