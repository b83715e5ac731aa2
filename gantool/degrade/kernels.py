"""Blur kernels: Gaussians of every kind, the plateau, the circular sinc, and filtering with them.

Kernels are (size,size) float32 with an odd size and sum 1; x runs along columns, y along rows.
"""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np

# Shapes of Real-ESRGAN's blur (Wang et al. 2021, table of section 4.1) and how often each is drawn.
SHAPES = (
    "iso",
    "aniso",
    "generalized_iso",
    "generalized_aniso",
    "plateau_iso",
    "plateau_aniso",
)
SHAPE_ODDS = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)


def elliptic(
    size: int,
    sigma_x: float,
    sigma_y: float,
    angle: float = 0.0,
    *,
    beta: float = 1.0,
    plateau: bool = False,
    offset: float = 0.0,
) -> np.ndarray:
    """A kernel that falls off with the elliptic distance ``q = d' C^-1 d``.

    Args:
        size: side in pixels, odd.
        sigma_x, sigma_y: standard deviations along the ellipse's own axes, pixels.
        angle: by which the ellipse is turned, radians.
        beta: exponent of q; 1 gives the Gaussian ``exp(-q/2)``.
        plateau: ``1 / (1 + q^beta)`` instead of ``exp(-q^beta / 2)``.
        offset: by which the centre lies right of and below the middle pixel.
    """
    axis = np.arange(size, dtype=np.float64) - size // 2 - offset
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = axis[None, :], axis[:, None]
    along, across = cos * x + sin * y, cos * y - sin * x
    # A sigma near zero is a point; dividing by it must not overflow.
    q = (along / max(sigma_x, 1e-3)) ** 2 + (across / max(sigma_y, 1e-3)) ** 2
    if beta != 1.0:
        q = q**beta
    values = 1 / (1 + q) if plateau else np.exp(-0.5 * (q - q.min()))
    return (values / values.sum()).astype(np.float32)


def sinc(size: int, cutoff: float) -> np.ndarray:
    """The circular low-pass filter: ``w J1(w r) / (2 pi r)``, cut to ``size`` and brought to sum 1.

    ``cutoff``: w, radians per pixel, up to pi. Wang et al. 2021, section 3.3.
    """
    squares, index = _radii(size)
    radius = np.sqrt(squares)
    values = np.empty(radius.shape)
    values[0] = cutoff**2 / (4 * math.pi)
    values[1:] = cutoff * bessel_j1(cutoff * radius[1:]) / (2 * math.pi * radius[1:])
    kernel = values[index].reshape(size, size)
    return (kernel / kernel.sum()).astype(np.float32)


@functools.lru_cache(maxsize=32)
def _radii(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The squared distances that occur in a kernel, and which of them each pixel has."""
    square = (np.arange(size) - size // 2) ** 2
    values, index = np.unique(square[:, None] + square[None, :], return_inverse=True)
    return values, index.reshape(-1)


def bessel_j1(x: np.ndarray) -> np.ndarray:
    """The Bessel function of the first kind and order 1, to 1e-12 for \\|x\\| up to 80.

    By the mean of ``cos(t - x sin t)`` over half a turn (DLMF 10.9.2); the trapezoid rule is exact to
    rounding once it has more points than x plus a few.
    """
    t = (np.arange(128) + 0.5) * (math.pi / 128)
    return np.cos(t - np.multiply.outer(x, np.sin(t))).mean(-1)


def draw(
    rng: np.random.Generator,
    size: int,
    sigma: tuple[float, float],
    beta_gaussian: tuple[float, float] = (0.5, 4.0),
    beta_plateau: tuple[float, float] = (1.0, 2.0),
) -> np.ndarray:
    """One of Real-ESRGAN's six shapes by its odds, both sigmas uniform in ``sigma``, turned at random.

    An exponent is below 1 as often as above 1, as far as its range goes to both sides.
    """
    shape = SHAPES[rng.choice(len(SHAPES), p=SHAPE_ODDS)]
    sigma_x = rng.uniform(*sigma)
    sigma_y, angle = sigma_x, 0.0
    if shape.endswith("aniso"):
        sigma_y, angle = rng.uniform(*sigma), rng.uniform(-math.pi, math.pi)
    beta = 1.0
    if shape.startswith(("generalized", "plateau")):
        low, high = beta_plateau if shape.startswith("plateau") else beta_gaussian
        beta = rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high)
    return elliptic(size, sigma_x, sigma_y, angle, beta=beta, plateau=shape.startswith("plateau"))


def blur(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Correlate float32 (H,W) or (H,W,C) with a kernel; the border is mirrored without its own line."""
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)


def centred(kernel: np.ndarray, offset: float = 0.0) -> np.ndarray:
    """A kernel from elsewhere with its centre of mass moved to ``offset`` right of and below the middle.

    Any shape with a positive sum; the result is square with an odd side, has sum 1 and loses no pixel.
    Raises ValueError when it is not two-dimensional, not finite, or its sum is not positive.
    """
    kernel = np.asarray(kernel, dtype=np.float32)
    if kernel.ndim != 2 or not np.isfinite(kernel).all() or kernel.sum() <= 0:
        raise ValueError("a kernel is a finite two-dimensional array with a positive sum")
    kernel = kernel / kernel.sum()
    rows, columns = np.mgrid[: kernel.shape[0], : kernel.shape[1]]
    y, x = float((rows * kernel).sum()), float((columns * kernel).sum())
    size = 2 * (max(kernel.shape) // 2 + math.ceil(abs(offset)) + 1) + 1
    shift = np.array([[1, 0, size // 2 + offset - x], [0, 1, size // 2 + offset - y]])
    moved = cv2.warpAffine(kernel, shift, (size, size), flags=cv2.INTER_CUBIC)
    return moved / moved.sum()


def box_down(image: np.ndarray, kernel: np.ndarray, scale: int) -> np.ndarray:
    """Blur and keep every ``scale``-th pixel. A kernel centred at ``(scale - 1) / 2`` keeps the picture in
    place: a low pixel then covers just the pixels that it stands for."""
    return np.ascontiguousarray(blur(image, kernel)[::scale, ::scale])
