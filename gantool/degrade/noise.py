"""Noise and compression: Gaussian, correlated, Poisson, a camera's own, JPEG, and noise cut out of photos.

Pictures are float32 (H,W,3) RGB in [0,1]; levels and variances are those of 8-bit values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def gaussian(
    shape: tuple[int, ...], sigma: float, rng: np.random.Generator, gray: bool = False
) -> np.ndarray:
    """Independent noise of standard deviation ``sigma`` (8-bit levels), float32 in units of [0,1].

    ``shape``: of the picture, (H,W,3); ``gray`` gives (H,W,1), the same for all channels.
    """
    size = (*shape[:2], 1) if gray else shape
    return rng.standard_normal(size, dtype=np.float32) * np.float32(sigma / 255)


def correlated(shape: tuple[int, ...], peak: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise whose channels go together, as BSRGAN draws it (Zhang et al. 2021, section 3.3).

    ``peak``: the greatest standard deviation of an axis, 8-bit levels. The axes are an orthonormal basis of
    three random vectors, the covariance's entries are taken positive.
    """
    variances = np.diag(rng.random(3))
    axes = np.linalg.svd(rng.random((3, 3)))[0]
    covariance = np.abs((peak / 255) ** 2 * axes.T @ variances @ axes)
    # Positive entries may make an eigenvalue negative; the common samplers take its size.
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.abs(values))) @ vectors.T
    return rng.standard_normal(shape, dtype=np.float32) @ root.astype(np.float32)


def poisson(image: np.ndarray, scale: float, rng: np.random.Generator, gray: bool = False) -> np.ndarray:
    """``scale`` times the photon noise of a picture, as Real-ESRGAN counts photons.

    A white pixel has as many photons as the picture has different 8-bit values, rounded up to a power of
    two. ``gray``: noise of the luma, (H,W,1). Wang et al. 2021, section 3.2.
    """
    source = (image @ LUMA)[..., None] if gray else image
    levels = to_bytes(source)
    values = np.count_nonzero(np.bincount(levels.ravel(), minlength=256))
    photons = 2.0 ** math.ceil(math.log2(values))
    # Poisson numbers depend on the expected count alone, of which there are 256.
    table = np.arange(256) * (photons / 255)
    counts = rng.poisson(table[levels])
    return (counts * (1 / photons) - levels * (1 / 255)).astype(np.float32) * np.float32(scale)


def quality(rng: np.random.Generator) -> int:
    """A JPEG quality as Real-ESRGAN and BSRGAN draw it, 30 to 95."""
    return int(rng.integers(30, 96))


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """A float picture, (H,W,3) or (H,W), through JPEG of ``quality`` 1..100 (libjpeg, chroma 4:2:0)."""
    return jpeg_bytes(to_bytes(image), quality).astype(np.float32) * np.float32(1 / 255)


def jpeg_bytes(pixels: np.ndarray, quality: int) -> np.ndarray:
    """The same for uint8 RGB (H,W,3) or grey (H,W)."""
    color = pixels.ndim == 3
    if color:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    if not done:
        raise ValueError("the picture is too large for JPEG")
    back = cv2.imdecode(data, cv2.IMREAD_COLOR if color else cv2.IMREAD_GRAYSCALE)
    assert back is not None  # what was just encoded can be decoded
    return cv2.cvtColor(back, cv2.COLOR_BGR2RGB) if color else back


def camera(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture as a camera's sensor would have taken it: back to linear light, through a Bayer filter
    with shot and read noise, and developed again.

    A simpler camera than BSRGAN's (whose files were never released): white balance, gamma and a tone curve,
    but no colour matrix. Noise levels and gains as in Brooks et al. 2019, "Unprocessing images for learned
    raw denoising", section 3.
    """
    height, width = image.shape[:2]
    gains = np.array([rng.uniform(1.9, 2.4), 1.0, rng.uniform(1.5, 1.9)], dtype=np.float32)
    # The smooth step 3x^2 - 2x^3, undone.
    linear = 0.5 - np.sin(np.arcsin(1 - 2 * image) / 3)
    linear = np.maximum(linear, 1e-8) ** 2.2 / gains
    log_shot = rng.uniform(math.log(1e-4), math.log(0.012))
    log_read = 2.18 * log_shot + 1.2 + rng.normal(0, 0.26)
    raw = np.empty((height, width), dtype=np.float32)
    for channel, top, left in ((0, 0, 0), (1, 0, 1), (1, 1, 0), (2, 1, 1)):
        raw[top::2, left::2] = linear[top::2, left::2, channel]
    spread = np.sqrt(raw * math.exp(log_shot) + math.exp(log_read))
    raw += spread * rng.standard_normal(raw.shape, dtype=np.float32)
    # A border of its own parity keeps the outermost lines from being interpolated from nothing.
    sensor = cv2.copyMakeBorder(np.clip(raw, 0, 1), 2, 2, 2, 2, cv2.BORDER_REFLECT_101)
    mosaic = (sensor * 65535 + 0.5).astype(np.uint16)
    rgb = cv2.demosaicing(mosaic, cv2.COLOR_BayerRGGB2RGB)[2:-2, 2:-2].astype(np.float32) / 65535
    developed = np.clip(rgb * gains, 0, 1) ** np.float32(1 / 2.2)
    return developed * developed * (3 - 2 * developed)


def noise_patches(
    images: Iterable[np.ndarray],
    side: int = 256,
    max_variance: float = 20.0,
    min_mean: float = 0.0,
    most: int | None = None,
) -> list[np.ndarray]:
    """Pieces of photos that show nothing but their noise: RealSR's rule (Ji et al. 2020, section 3.2).

    Photos, uint8 (H,W,3), are cut into squares of ``side`` pixels that do not overlap; those whose grey
    values have a variance below ``max_variance`` and a mean above ``min_mean`` are kept, at most ``most``.
    """
    patches: list[np.ndarray] = []
    for image in images:
        for top in range(0, image.shape[0] - side + 1, side):
            for left in range(0, image.shape[1] - side + 1, side):
                patch = image[top : top + side, left : left + side]
                gray = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).astype(np.float64)
                if gray.var() < max_variance and gray.mean() > min_mean:
                    patches.append(patch.copy())
                    if len(patches) == most:
                        return patches
    return patches


def patch_noise(patches: list[np.ndarray], height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(height,width,3) float32 noise, in units of [0,1], from random pieces of ``patches``.

    Each piece has its mean taken off, per channel. Where the picture is larger than a patch, pieces of
    several stand side by side.
    """
    noise = np.empty((height, width, 3), dtype=np.float32)
    side = min(min(patch.shape[:2]) for patch in patches)
    for top in range(0, height, side):
        for left in range(0, width, side):
            patch = patches[rng.integers(len(patches))]
            tall, wide = min(side, height - top), min(side, width - left)
            y = rng.integers(patch.shape[0] - tall + 1)
            x = rng.integers(patch.shape[1] - wide + 1)
            piece = patch[y : y + tall, x : x + wide].astype(np.float32)
            noise[top : top + tall, left : left + wide] = (piece - piece.mean((0, 1))) / 255
    return noise


def to_bytes(image: np.ndarray) -> np.ndarray:
    """Float in [0,1] (more is cut off) to uint8, rounded to the nearest."""
    return cv2.convertScaleAbs(np.maximum(image, 0), alpha=255.0).reshape(image.shape)
