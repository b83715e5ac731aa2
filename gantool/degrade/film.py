"""Old film: what a century does to a black-and-white picture. Ours; no published recipe is followed.

In the order of a picture's life: lens and copying blur it, the emulsion fades (unevenly, with lifted blacks),
grain lies over it, the projector scratches it, dust and hairs settle on it, a scanner takes it (a little
softer), and JPEG stores it. In a film the grain, the dust, the light and the place in the gate change from
frame to frame, while fading and blur stay and a scratch lives for many frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from gantool.degrade import noise
from gantool.degrade.damage import Scratch, ScratchKind, aged, draw_dust, draw_hairs, draw_scratches
from gantool.degrade.recipe import Recipe
from gantool.degrade.resampling import to_unit
from gantool.errors import UsageError
from gantool.settings import param

Range = tuple[float, float]


@dataclass(frozen=True)
class Preset:
    """Ranges from which each picture or film draws its own condition, uniformly.

    Lengths are pixels, levels are shares of white, counts are per 100 000 pixels (a 370 x 270 picture).
    """

    blur: Range  # sigma
    black: Range  # what black has become
    white: Range  # what white has become
    gamma: Range
    stain: Range  # unevenness of the fading: standard deviation of a slow gain
    vignette: Range  # loss of light in the corners
    grain: Range  # standard deviation in the mid-tones
    grain_size: Range  # sigma of a grain
    scratches: Range  # mean number
    dust: Range
    hairs: Range
    flicker: Range  # standard deviation of a frame's gain
    weave: Range  # standard deviation of a frame's place
    quality: Range  # of JPEG


PRESETS = {
    "light": Preset(
        blur=(0.3, 0.7),
        black=(0.0, 0.06),
        white=(0.9, 1.0),
        gamma=(0.9, 1.1),
        stain=(0.0, 0.03),
        vignette=(0.0, 0.1),
        grain=(0.008, 0.025),
        grain_size=(0.3, 0.6),
        scratches=(0.0, 1.5),
        dust=(2.0, 15.0),
        hairs=(0.0, 0.6),
        flicker=(0.005, 0.02),
        weave=(0.1, 0.3),
        quality=(65, 92),
    ),
    "medium": Preset(
        blur=(0.5, 1.1),
        black=(0.03, 0.12),
        white=(0.82, 0.96),
        gamma=(0.85, 1.2),
        stain=(0.01, 0.06),
        vignette=(0.0, 0.2),
        grain=(0.015, 0.042),
        grain_size=(0.35, 0.8),
        scratches=(0.5, 4.0),
        dust=(10.0, 45.0),
        hairs=(0.2, 1.5),
        flicker=(0.015, 0.04),
        weave=(0.2, 0.6),
        quality=(45, 80),
    ),
    "heavy": Preset(
        blur=(0.7, 1.4),
        black=(0.05, 0.2),
        white=(0.7, 0.92),
        gamma=(0.75, 1.35),
        stain=(0.03, 0.1),
        vignette=(0.05, 0.35),
        grain=(0.035, 0.07),
        grain_size=(0.4, 1.0),
        scratches=(2.0, 10.0),
        dust=(30.0, 120.0),
        hairs=(0.5, 4.0),
        flicker=(0.03, 0.08),
        weave=(0.4, 1.2),
        quality=(25, 65),
    ),
}


@dataclass(frozen=True)
class OldFilm(Recipe):
    """Scratches, dust, hairs, grain, blur, fading and JPEG; over time also flicker and gate weave.

    Degraded picture and target are grey (three equal channels) and of the source's size. A single picture
    stays where it is and has no flicker, so that it lies exactly on its target; in films
    (:meth:`apply_clip`) both move.
    """

    name: ClassVar[str] = "old-film"
    summary: ClassVar[str] = "scratches, dust, hairs, grain, blur, fading, flicker, gate weave, JPEG"

    scale: int = param(1, "old film keeps its size", low=1, high=1)
    preset: str = param("medium", "light, medium, heavy, or mixed: one of them for each picture")
    size: float = param(1.0, "factor on the size of grain and damage, for large pictures", low=0.25, high=16)

    def __post_init__(self) -> None:
        if self.preset not in (*PRESETS, "mixed"):
            known = ", ".join(PRESETS)
            raise UsageError(f"unknown preset '{self.preset}'", remedy=f"Use {known} or mixed")

    def apply_clip(self, frames: Iterable[np.ndarray], rng: np.random.Generator) -> Iterator[np.ndarray]:
        """The frames of one film, each as bad as the next but not in the same places.

        ``frames``: (H,W,3) uint8 or float32 pictures of one size, taken one at a time; a (N,H,W,3) array will
        do. Yields grey frames of the same kind.
        """
        reel: Reel | None = None
        for frame in frames:
            gray = self._target(self._pixels(frame))[..., 0]
            if reel is None:
                reel = self.reel(gray.shape[0], gray.shape[1], rng)
            spoiled = _rgb(reel.frame(gray, moving=True))
            yield spoiled if frame.dtype == np.uint8 else to_unit(spoiled)

    def reel(self, height: int, width: int, rng: np.random.Generator) -> Reel:
        """The condition of one film or picture of this size."""
        preset = list(PRESETS)[rng.integers(len(PRESETS))] if self.preset == "mixed" else self.preset
        return Reel(PRESETS[preset], height, width, rng, self.size)

    def _target(self, pixels: np.ndarray) -> np.ndarray:
        return _rgb(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))

    def stages(
        self, image: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        target = self._target(self._pixels(image))
        reel = self.reel(target.shape[0], target.shape[1], rng)
        pictures = (reel.frame(target[..., 0]), noise.to_bytes(reel.faded(target[..., 0])), target[..., 0])
        bad, faded, good = (_rgb(x) if image.dtype == np.uint8 else to_unit(_rgb(x)) for x in pictures)
        return bad, faded, good

    def _degrade(self, target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        reel = self.reel(target.shape[0], target.shape[1], rng)
        return _rgb(reel.frame(target[..., 0]))


def _rgb(gray: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)


class Reel:
    """One film in its condition: what stays over all frames, and the state of what moves."""

    def __init__(
        self, preset: Preset, height: int, width: int, rng: np.random.Generator, size: float = 1.0
    ) -> None:
        def draw(limits: Range) -> float:
            return float(rng.uniform(*limits))

        self.height, self.width, self.rng, self.size = height, width, rng, size
        self.blur = draw(preset.blur) * size
        self.scan_blur = draw((0.25, 0.55)) * size
        self.black, self.white, self.gamma = draw(preset.black), draw(preset.white), draw(preset.gamma)
        self.tone = self._tone()
        self.gain = self._gain(draw(preset.stain), draw(preset.vignette))
        self.grain, self.grain_size = draw(preset.grain), draw(preset.grain_size) * size
        area = height * width / 100_000 / size**2
        self.scratch_rate = draw(preset.scratches) * area
        self.dust_rate = draw(preset.dust) * area
        self.hair_rate = draw(preset.hairs) * area
        self.flicker, self.weave = draw(preset.flicker), draw(preset.weave) * size
        self.quality = round(draw(preset.quality))
        # Dirt on a negative comes out white, on a print black; every film has had both, in its own mixture.
        self.bright = draw((0.2, 0.9))
        self.scratches: list[Scratch] | None = None
        self.light = 0.0
        self.place = np.zeros(2)

    def frame(self, gray: np.ndarray, moving: bool = False) -> np.ndarray:
        """The next frame of uint8 (H,W), spoiled. ``moving``: with flicker and weave."""
        picture = _blurred(gray, self.blur)
        if moving:
            picture = self._weaved(picture)
        image = self.faded(picture)
        image += self._grain(picture)
        self._dirty(image, moving)
        image = _blurred(image, self.scan_blur)
        if moving:
            image *= self._flicker()
        return noise.jpeg_bytes(noise.to_bytes(image), self.quality)

    def faded(self, gray: np.ndarray) -> np.ndarray:
        """uint8 (H,W) -> what the emulsion has kept of it, (H,W) float32 in about [0,1]."""
        return cv2.LUT(gray, self.tone) * self.gain

    def _tone(self) -> np.ndarray:
        """What each grey level has faded to, (256,) float32."""
        level = np.arange(256, dtype=np.float32) / 255
        return (self.black + (self.white - self.black) * level**self.gamma).astype(np.float32)

    def _gain(self, stain: float, vignette: float) -> np.ndarray:
        """What is left of the light at each place, (H,W) float32."""
        height, width = self.height, self.width
        coarse = self.rng.normal(0, stain, (height // 64 + 3, width // 64 + 3)).astype(np.float32)
        gain = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        y, x = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
        gain -= np.float32(vignette / 2) * (y[:, None] ** 2 + x[None] ** 2)
        return gain + 1

    def _weaved(self, picture: np.ndarray) -> np.ndarray:
        self.place = 0.7 * self.place + math.sqrt(1 - 0.7**2) * self.rng.standard_normal(2)
        right, down = self.place * self.weave * (0.6, 1.0)
        shift = np.array([[1, 0, right], [0, 1, down]])
        size = (self.width, self.height)
        return cv2.warpAffine(picture, shift, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)

    def _flicker(self) -> np.float32:
        self.light = 0.4 * self.light + math.sqrt(1 - 0.4**2) * self.rng.standard_normal()
        return np.float32(1 + self.flicker * self.light)

    def _grain(self, picture: np.ndarray) -> np.ndarray:
        """Clumps of silver: strongest in the mid-tones, weak in black and white."""
        grain = self.rng.standard_normal((self.height, self.width), dtype=np.float32)
        taps = cv2.getGaussianKernel(2 * math.ceil(3 * self.grain_size) + 1, self.grain_size, cv2.CV_32F)
        grain = cv2.sepFilter2D(grain, -1, taps, taps)
        level = np.arange(256, dtype=np.float32) / 255
        # Smoothing takes variance away by the sum of the squared taps, once per direction.
        strength = self.grain / float((taps**2).sum()) * (0.35 + 2.6 * level * (1 - level))
        return grain * cv2.LUT(picture, strength.astype(np.float32))

    def _dirty(self, image: np.ndarray, moving: bool) -> None:
        """Scratches, dust and hairs, laid over the image in place: first white, then black."""
        shape, rng, rate = (self.height, self.width), self.rng, self.scratch_rate
        kind = ScratchKind(shape[0], shape[1], self.bright, self.size)
        if self.scratches is None:
            # A film's run along it; of two photos one has lain in a drawer and is scratched any way.
            tilt = not moving and bool(rng.random() < 0.5)
            self.scratches = draw_scratches(int(rng.poisson(rate)), kind, rng, tilt=tilt)
        else:
            self.scratches = aged(self.scratches, rate, kind, rng)
        lines = self.scratches + draw_scratches(int(rng.poisson(rate / 2)), kind, rng, brief=True)
        for bright, share in ((True, self.bright), (False, 1 - self.bright)):
            mask = np.zeros(shape, np.uint8)
            for line in lines:
                if line.bright == bright:
                    line.draw(mask, rng)
            draw_dust(mask, int(rng.poisson(self.dust_rate * share)), rng, self.size)
            draw_hairs(mask, int(rng.poisson(self.hair_rate * share)), rng, self.size)
            opacity = mask.astype(np.float32) * np.float32(1 / 255)
            image += opacity * (np.float32(0.97 if bright else 0.03) - image)


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
