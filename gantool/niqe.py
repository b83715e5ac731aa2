"""NIQE: how far a photo's statistics are from those of good photos, without any reference. Smaller is better.

Mittal, Soundararajan and Bovik 2013, "Making a completely blind image quality analyzer". Luma, freed of its
local mean and contrast, of an undistorted photo follows known distributions. Their 36 parameters are fitted
in every patch of 96 x 96 px, at full and at half size, and the Gaussian of the patches is compared with the
one that the authors found on 125 photos: 36 means and a 36 x 36 covariance, in ``builtin/niqe.npz``.

For photos only: drawings, text and very small pictures get figures without meaning.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import cv2
import numpy as np

from gantool import metrics
from gantool.ops.resize import matlab_matrix

PATCH_PX = 96
LEAST_PX = 2 * PATCH_PX
"""Smallest side: with fewer than four patches there is no covariance to speak of."""

_REFERENCE = Path(__file__).parent / "builtin" / "niqe.npz"
# The four neighbours whose products with a pixel are looked at: right, below, and the two diagonals.
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


def niqe(image: np.ndarray) -> float:
    """NIQE of one photo, typically 2 (very good) to 10 and more.

    Args:
        image: RGB (H,W,3), uint8, uint16 or float in [0,1]. What is left beside whole patches, at the right
            and at the bottom, is not looked at.

    Raises ValueError below :data:`LEAST_PX` px a side.
    """
    if min(image.shape[:2]) < LEAST_PX:
        raise ValueError(f"NIQE needs pictures of at least {LEAST_PX} x {LEAST_PX} pixels")
    plane = np.rint(metrics.luma(image))  # rounded, as in the authors' program
    rows, columns = plane.shape[0] // PATCH_PX, plane.shape[1] // PATCH_PX
    plane = plane[: rows * PATCH_PX, : columns * PATCH_PX]
    half = matlab_matrix(plane.shape[0], plane.shape[0] // 2) @ plane
    half = half @ matlab_matrix(plane.shape[1], plane.shape[1] // 2).T
    features = np.concatenate(
        [_features(_patches(_normalised(x), rows, columns)) for x in (plane, half)], axis=1
    )
    mean, covariance = _reference()
    whole = features[np.isfinite(features).all(axis=1)]  # a patch without any texture has no parameters
    if len(whole) < 2:
        raise ValueError("NIQE needs texture; this picture is flat")
    apart = mean - np.nanmean(np.where(np.isfinite(features), features, np.nan), axis=0)
    return float(np.sqrt(apart @ np.linalg.pinv((covariance + np.cov(whole.T)) / 2) @ apart))


@functools.cache
def _reference() -> tuple[np.ndarray, np.ndarray]:
    """The authors' mean (36,) and covariance (36,36)."""
    with np.load(_REFERENCE) as stored:
        return stored["mean"], stored["covariance"]


def _normalised(plane: np.ndarray) -> np.ndarray:
    """(H,W) minus its local mean, divided by its local standard deviation plus 1 (equation 1)."""
    window = cv2.getGaussianKernel(7, 7 / 6)

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(x, cv2.CV_64F, window, window, borderType=cv2.BORDER_REPLICATE)

    middle = mean(plane)
    return (plane - middle) / (np.sqrt(np.abs(mean(plane * plane) - middle**2)) + 1)


def _patches(plane: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(H,W) cut into (rows * columns, h, w)."""
    height, width = plane.shape[0] // rows, plane.shape[1] // columns
    cut = plane.reshape(rows, height, columns, width).swapaxes(1, 2)
    return cut.reshape(-1, height, width)


def _features(patches: np.ndarray) -> np.ndarray:
    """18 parameters of each patch: two of its values, four of each product of neighbours. (N,18)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shape, left, right = _fitted(patches)
        found = [shape, (left + right) / 2]
        for down, across in _NEIGHBOURS:
            shape, left, right = _fitted(patches * np.roll(patches, (down, across), axis=(1, 2)))
            middle = (right - left) * _gamma(2 / shape) / _gamma(1 / shape)
            found += [shape, middle, left, right]
    return np.stack(found, axis=1)


def _fitted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Asymmetric generalised Gaussians of (N,h,w) by their moments: shape, left and right scale, (N,) each.

    Lasmar, Stitou and Berthoumieu 2009; NaN where a patch has no values on one side of zero.
    """
    values = values.reshape(len(values), -1)
    square = values**2
    left, right = (np.sqrt((square * side).sum(1) / side.sum(1)) for side in (values < 0, values > 0))
    skew = left / right
    ratio = np.abs(values).mean(1) ** 2 / square.mean(1)
    ratio = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shapes, ratios = _shape_table()
    # The ratio rises with the shape, so the nearest entry stands on one side of where it would be put in.
    place = np.searchsorted(ratios, ratio).clip(1, len(ratios) - 1)
    place -= np.abs(ratios[place - 1] - ratio) <= np.abs(ratios[place] - ratio)
    shape = np.where(np.isfinite(ratio), shapes[place], np.nan)
    spread = np.sqrt(_gamma(1 / shape) / _gamma(3 / shape))
    return shape, left * spread, right * spread


@functools.cache
def _shape_table() -> tuple[np.ndarray, np.ndarray]:
    """Shapes 0.2 to 10 in steps of 0.001, and E[|x|]^2 / E[x^2] of a generalised Gaussian of each."""
    shapes = np.arange(200, 10_001) / 1000
    return shapes, _gamma(2 / shapes) ** 2 / (_gamma(1 / shapes) * _gamma(3 / shapes))


def _gamma(values: np.ndarray) -> np.ndarray:
    return np.exp([math.lgamma(value) if np.isfinite(value) else np.nan for value in values.ravel()])
