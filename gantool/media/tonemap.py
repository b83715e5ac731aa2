"""HDR pictures (PQ, HLG) brought to standard range.

Light is computed from the signal, compressed from the source's peak to standard white by the curve of
ITU-R BT.2390-11 (section 5.4.1, "EETF"), turned from BT.2020 to BT.709 primaries, and encoded for the display
of BT.1886. Standard white is 203 cd/m2, where BT.2408 puts white paper in HDR, so that faces and rooms keep
their lightness and only what shines is compressed. The curve works on the largest of R, G and B, which keeps
hues.
"""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np

WHITE = 203.0  # cd/m2, BT.2408-7 table 1
USUAL_PEAK = 1000.0  # cd/m2, of masters that do not say, and of HLG by definition
_MOST = 10_000.0  # cd/m2, the end of PQ
_GAMMA = 2.4  # BT.1886
_HLG_GAMMA = 1.2  # BT.2100-2 table 5, for a display of 1000 cd/m2
# BT.2087-0, rounded as there.
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_LUMA_2020 = np.array([[0.2627, 0.6780, 0.0593]], np.float32)
_LUMA_709 = np.array([[0.2126, 0.7152, 0.0722]], np.float32)
_ROWS = 128  # worked on at a time, so that intermediate results stay small


def pq_to_light(signal: Any) -> Any:
    """PQ signal 0..1 to cd/m2 (BT.2100-2 table 4)."""
    root = np.power(np.asarray(signal, np.float64), 1 / 78.84375)
    return _MOST * np.power(
        np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root), 1 / 0.1593017578125
    )


def light_to_pq(light: Any) -> Any:
    """cd/m2 to PQ signal 0..1, the inverse."""
    power = np.power(np.asarray(light, np.float64) / _MOST, 0.1593017578125)
    return np.power((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power), 78.84375)


def hlg_to_scene(signal: Any) -> Any:
    """HLG signal 0..1 to scene light 0..1 (BT.2100-2 table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.asarray(signal, np.float64)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def compressed(light: Any, peak: float) -> Any:
    """Light of a source with ``peak`` to light of at most WHITE, both cd/m2; small values stay as is."""
    if peak <= WHITE:
        return np.minimum(light, WHITE)
    top = light_to_pq(peak)
    end = light_to_pq(WHITE) / top
    knee = 1.5 * end - 0.5
    value = np.minimum(light_to_pq(light) / top, 1)
    t = np.maximum(value - knee, 0) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * end
    )
    return pq_to_light(np.where(value < knee, value, spline) * top)


def to_standard(rgb: np.ndarray, kind: str, peak: float = USUAL_PEAK) -> np.ndarray:
    """A picture (H,W,3) uint16 of PQ or HLG signal in BT.2020 to uint16 RGB of BT.709.

    ``kind``: "PQ" or "HLG". ``peak``: the brightest the source shows, cd/m2 (HLG: always 1000).
    """
    result = np.empty_like(rgb)
    for row in range(0, rgb.shape[0], _ROWS):
        part = rgb[row : row + _ROWS]
        light = _pq_relative(part, peak) if kind == "PQ" else _hlg_relative(part)
        light = _into_gamut(cv2.transform(light, _TO_BT709))
        result[row : row + _ROWS] = np.rint(cv2.pow(light, 1 / _GAMMA) * 65535)
    return result


def _pq_relative(rgb: np.ndarray, peak: float) -> np.ndarray:
    """Light as a share of WHITE, in BT.2020, float32."""
    light, gain = _pq_tables(peak)
    return light[rgb] * gain[_over(np.maximum, rgb)][..., None]


@functools.lru_cache(maxsize=2)
def _pq_tables(peak: float) -> tuple[np.ndarray, np.ndarray]:
    """For every 16-bit signal: its light as a share of WHITE, and what the curve multiplies that with."""
    light = pq_to_light(np.arange(65536) / 65535)
    return (light / WHITE).astype(np.float32), _gain(light, peak)


def _gain(light: np.ndarray, peak: float) -> np.ndarray:
    return (compressed(light, peak) / np.maximum(light, 1e-6)).astype(np.float32)


@functools.lru_cache(maxsize=1)
def _hlg_tables() -> tuple[np.ndarray, np.ndarray]:
    """Scene light of every 16-bit signal, and the curve's gain over the fourth root of light / 1000."""
    scene = hlg_to_scene(np.arange(65536) / 65535).astype(np.float32)
    return scene, _gain((np.arange(65536) / 65535) ** 4 * USUAL_PEAK, USUAL_PEAK)


def _hlg_relative(rgb: np.ndarray) -> np.ndarray:
    scene_of, gain_of = _hlg_tables()
    scene = scene_of[rgb]
    luma = cv2.transform(scene, _LUMA_2020)
    display = scene * cv2.pow(luma, _HLG_GAMMA - 1)[..., None]  # shares of 1000 cd/m2
    brightest = np.sqrt(np.sqrt(_over(np.maximum, display).clip(0, 1)))
    gain = gain_of[np.rint(brightest * 65535).astype(np.int32)]
    return display * gain[..., None] * np.float32(USUAL_PEAK / WHITE)


def _into_gamut(light: np.ndarray) -> np.ndarray:
    """Colours that BT.709 does not have drawn toward the grey of their luminance until it has them."""
    luma = cv2.transform(light, _LUMA_709).reshape(light.shape[:2]).clip(0, 1)
    low, high = _over(np.minimum, light), _over(np.maximum, light)
    share = np.ones_like(luma)
    np.divide(luma, luma - low, out=share, where=low < 0)
    above = np.ones_like(luma)
    np.divide(1 - luma, high - luma, out=above, where=high > 1)
    share = np.minimum(share, above)[..., None]
    return (luma[..., None] * (1 - share) + share * light).clip(0, 1)


def _over(choose: np.ufunc, picture: np.ndarray) -> np.ndarray:
    """The largest or smallest of the three channels; far quicker than along the last axis."""
    return choose(choose(picture[..., 0], picture[..., 1]), picture[..., 2])
