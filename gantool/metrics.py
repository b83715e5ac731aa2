"""Measures of pictures and videos, each with the protocol it follows.

Pictures are RGB arrays (H,W,3): uint8, uint16, or float in [0,1]. All sums run in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from gantool.ops import color
from gantool.ops import flow as optical

SSIM_SIDE = 11  # px
MS_SSIM_SIDE = 176  # px: five scales of an 11 px window
CDC_GAPS = (1, 2, 4)
_MS_SSIM_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


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
    return _ssim(unit(result), unit(truth), 1.0)


def ms_ssim(result: np.ndarray, truth: np.ndarray) -> float:
    """Multi-scale SSIM (Wang, Simoncelli and Bovik 2003): five scales, each half of the one before, with the
    authors' exponents; at each scale the mean of the three channels, windows as in :func:`ssim`.

    Raises ValueError below :data:`MS_SSIM_SIDE` px a side, where the window leaves the smallest scale.
    """
    return _ms_ssim(unit(result), unit(truth), 1.0)


def ms_ssim_y(result: np.ndarray, truth: np.ndarray) -> float:
    """MS-SSIM as in :func:`ms_ssim`, of :func:`luma`, L = 255."""
    return _ms_ssim(luma(result), luma(truth), 255.0)


def colourfulness(image: np.ndarray) -> float:
    """Hasler and Suesstrunk 2003 with signed opponents rg = R - G, yb = (R + G) / 2 - B, on 0..255.

    Papers that take absolute values of rg and yb first report about a tenth less.
    """
    red, green, blue = np.moveaxis(unit(image) * 255, -1, 0)
    rg, yb = red - green, (red + green) / 2 - blue
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


def delta_ab(result: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance in the a,b plane of CIE Lab (D65), in Lab units."""
    return float(np.linalg.norm((lab(result) - lab(truth))[..., 1:].astype(np.float64), axis=-1).mean())


def ciede2000(result: np.ndarray, truth: np.ndarray) -> float:
    """Mean CIEDE2000 colour difference (D65, kL = kC = kH = 1); about 1 is just noticeable, 0 is equal."""
    return float(ciede2000_of_lab(lab(result), lab(truth)).mean())


def lab(image: np.ndarray) -> np.ndarray:
    """CIE Lab (D65) of sRGB, (H,W,3) float32: L 0..100, a and b about -110..110.

    Not OpenCV's, whose tables are off by 0.09 in L on average and by up to 0.4 in a.
    """
    x = torch.from_numpy(unit(image).astype(np.float32)).movedim(-1, 0)[None]
    return color.rgb_to_lab(x)[0].movedim(0, -1).numpy()


def ciede2000_of_lab(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """CIEDE2000 of Lab colours (..., 3), as float64 (...). Sharma, Wu and Dalal 2005, equations 2 to 22."""
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(x.astype(np.float64), -1, 0) for x in (first, second))
    # Near grey, a is stretched, since the eye sees more there than Lab tells.
    stretch = 1.5 - 0.5 * _saturating((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2)
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    gray = c1 * c2 == 0
    turn = np.where(gray, 0.0, (h2 - h1 + 180) % 360 - 180)
    # Of two opposite hues the formula takes +180; the modulus above gives -180.
    turn = np.where(~gray & (turn == -180) & (h2 > h1), 180.0, turn)
    hue = np.where(gray, h1 + h2, (h1 + h2) / 2)
    apart = ~gray & (np.abs(h1 - h2) > 180)
    hue = np.where(apart, np.where(h1 + h2 < 360, hue + 180, hue - 180), hue)
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2

    def cosine(degrees: np.ndarray) -> np.ndarray:
        return np.cos(np.radians(degrees))

    weight = 1 - 0.17 * cosine(hue - 30) + 0.24 * cosine(2 * hue)
    weight += 0.32 * cosine(3 * hue + 6) - 0.20 * cosine(4 * hue - 63)
    offset = (light - 50) ** 2
    d_light = (l2 - l1) / (1 + 0.015 * offset / np.sqrt(20 + offset))
    d_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    d_hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * weight)
    blue = np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2)))
    rotation = -2 * _saturating(chroma) * np.sin(blue)
    return np.sqrt(np.maximum(0, d_light**2 + d_chroma**2 + d_hue**2 + rotation * d_chroma * d_hue))


def _saturating(chroma: np.ndarray) -> np.ndarray:
    return np.sqrt(chroma**7 / (chroma**7 + 25.0**7))


def lightness_shift(result: np.ndarray, source: np.ndarray) -> float:
    """Mean absolute difference of Lab lightness, 0..100: what a colorizer should leave at about 0."""
    return float(np.abs(lab(result)[..., 0] - lab(source)[..., 0]).mean(dtype=np.float64))


def sharpness(image: np.ndarray) -> float:
    """Standard deviation of the Laplacian of luma on 0..255; compare only with pictures of the same scene."""
    return float(cv2.Laplacian(luma(image), cv2.CV_64F).std())


def histograms(image: np.ndarray) -> np.ndarray:
    """Share of pixels at each of 256 levels, for each channel: (3,256) float64, rows sum to 1."""
    levels = np.rint(unit(image) * 255).astype(np.uint8)
    counts = [np.bincount(levels[..., channel].ravel(), minlength=256) for channel in range(3)]
    return np.array(counts) / (levels.size / 3)


def divergence(first: np.ndarray, second: np.ndarray) -> float:
    """Jensen-Shannon divergence of two :func:`histograms`, natural logarithm, mean of the channels."""
    middle = (first + second) / 2

    def relative(p: np.ndarray) -> np.ndarray:
        return (p * np.log(np.where(p > 0, p, 1) / np.where(p > 0, middle, 1))).sum(-1)

    return float(((relative(first) + relative(second)) / 2).mean())


def cdc(frames: Sequence[np.ndarray]) -> float:
    """Colour distribution consistency (Liu et al. 2021, TCVC): :func:`divergence` of frames 1, 2 and 4 apart,
    averaged over pairs, then over the three distances. Small is steady; grey film is steady too, so never
    without :func:`colourfulness`.

    Args:
        frames: n pictures (H,W,3), or their :func:`histograms` (3,256), at least five.
    """
    if len(frames) <= max(CDC_GAPS):
        raise ValueError("CDC needs at least five frames")
    found = [frame if frame.shape == (3, 256) else histograms(frame) for frame in frames]
    return float(
        np.mean(
            [
                np.mean([divergence(a, b) for a, b in zip(found[:-gap], found[gap:], strict=True)])
                for gap in CDC_GAPS
            ]
        )
    )


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
        change, mask = change_beyond_motion(frames[index], frames[index + 1], flow)
        if masks is not None:
            mask &= masks[index]
        if not mask.any():
            raise ValueError(f"no pixel is left to compare between frames {index} and {index + 1}")
        errors.append(np.mean(change[mask] ** 2))
    return float(np.mean(errors))


def change_beyond_motion(
    frame: np.ndarray, following: np.ndarray, flow: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``frame`` minus ``following`` fetched along the flow, (H,W,3) float64, and where that lies in the
    picture, bool (H,W)."""
    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width)
    y = flow[..., 1] + np.arange(height)[:, None]
    mask = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    fetched = optical.follow(unit(following).astype(np.float32), flow.astype(np.float32))
    return unit(frame) - fetched, mask


def _decibel(error: float | np.floating) -> float:
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def _shaved(plane: np.ndarray, shave: int) -> np.ndarray:
    return plane[shave : plane.shape[0] - shave, shave : plane.shape[1] - shave]


def _ssim(a: np.ndarray, b: np.ndarray, peak: float) -> float:
    return _similarity(a, b, peak)[0]


def _ms_ssim(a: np.ndarray, b: np.ndarray, peak: float) -> float:
    if min(a.shape[:2]) < MS_SSIM_SIDE:
        raise ValueError(f"MS-SSIM needs pictures of at least {MS_SSIM_SIDE} x {MS_SSIM_SIDE} pixels")
    product = 1.0
    for scale, exponent in enumerate(_MS_SSIM_EXPONENTS):
        whole, contrast = _similarity(a, b, peak)
        # Negative similarity has no power; as in other programs it counts as none.
        product *= max(0.0, whole if scale == len(_MS_SSIM_EXPONENTS) - 1 else contrast) ** exponent
        a, b = _halved(a), _halved(b)
    return float(product)


def _halved(x: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels, an odd row or column left out."""
    x = x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2]
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4


def _similarity(a: np.ndarray, b: np.ndarray, peak: float) -> tuple[float, float]:
    """(SSIM, its factor of contrast and structure), means over the picture; (H,W) or (H,W,C) float64."""
    if min(a.shape[:2]) < SSIM_SIDE:
        raise ValueError("SSIM needs pictures of at least 11 x 11 pixels")
    if a.ndim == 3:  # one after the other, for the sake of memory
        each = [_similarity(a[..., i], b[..., i], peak) for i in range(a.shape[-1])]
        whole, contrast = np.mean(each, axis=0)
        return float(whole), float(contrast)
    window = cv2.getGaussianKernel(11, 1.5)

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(x, cv2.CV_64F, window, window)[5:-5, 5:-5]

    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    shared = mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    contrast = (2 * shared + c2) / (var_a + var_b + c2)
    return float(np.mean(luminance * contrast)), float(np.mean(contrast))
