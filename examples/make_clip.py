"""Write the two example files beside this script: ``old-film.mp4`` and ``photo.jpg``.

The pictures are photographs of scikit-image that are CC0: a cup of coffee (Rachel Michetti), a rocket
(SpaceX) and the cat Chelsea (Stefan van der Walt).
The film pans slowly over them in grey, with grain, flicker and two cuts; its sound is made here.

    pip install scikit-image
    python examples/make_clip.py
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from gantool.media.video import write_clip

WIDTH, HEIGHT = 320, 240
FPS = Fraction(24000, 1001)
SCENE_FRAMES = 40
SOUND_HZ = 44_100


def film(seed: int = 0) -> Iterator[np.ndarray]:
    """Grey frames (240,320,3) uint8: three scenes of forty frames, each a slow pan with zoom."""
    rng = np.random.default_rng(seed)
    for photo, path in (
        (data.coffee(), (0.0, 0.3)),
        (data.rocket(), (0.9, 0.4)),
        (data.chelsea(), (0.1, 0.6)),
    ):
        gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
        for frame in range(SCENE_FRAMES):
            along = frame / (SCENE_FRAMES - 1)
            yield aged(view(gray, path, along), rng)


def view(gray: np.ndarray, path: tuple[float, float], along: float) -> np.ndarray:
    """A window of 4:3 on the picture, moving from one side to the other while it closes in by a tenth."""
    tall, wide = gray.shape
    height = min(tall, wide * HEIGHT / WIDTH) * (0.92 - 0.08 * along)
    width = height * WIDTH / HEIGHT
    place = path[0] + (path[1] - path[0]) * along
    left, top = (wide - width) * place, (tall - height) * 0.5
    scale_x, scale_y = width / WIDTH, height / HEIGHT
    matrix = np.array([[scale_x, 0, left], [0, scale_y, top]])
    smooth = cv2.GaussianBlur(gray, (0, 0), max(0.3, 0.4 * scale_x))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(smooth, matrix, (WIDTH, HEIGHT), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def aged(gray: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flicker, grain, a dark rim and flat blacks."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    light = gray / 255 * (1 - 0.18 * (x**2 + y**2)) * rng.normal(1, 0.02)
    grain = cv2.GaussianBlur(rng.normal(0, 0.035, light.shape), (0, 0), 0.7)
    out = np.clip(0.05 + 0.9 * (light + grain), 0, 1)
    return np.repeat((out * 255).round().astype(np.uint8)[..., None], 3, axis=2)


def sound(seconds: float) -> np.ndarray:
    """A slow three-note figure on soft sines, stereo (samples, 2) in [-1,1]."""
    time = np.arange(round(seconds * SOUND_HZ)) / SOUND_HZ
    total = np.zeros_like(time)
    for beat, note in enumerate(
        (261.63, 329.63, 392.0, 329.63, 293.66, 261.63, 196.0, 261.63, 329.63, 392.0)
    ):
        since = time - beat * 0.5
        envelope = np.where(since >= 0, np.exp(-3 * np.clip(since, 0, None)), 0) * np.clip(since * 200, 0, 1)
        total += envelope * (np.sin(2 * np.pi * note * time) + 0.3 * np.sin(4 * np.pi * note * time))
    total *= 0.25 / max(1e-9, np.abs(total).max())
    return np.stack((total, np.roll(total, 150)), axis=1).astype(np.float32)


def photo() -> np.ndarray:
    """A small colour photograph (192,256,3) RGB: the cat's face."""
    image = data.chelsea()[10:298, 30:414]
    return cv2.resize(image, (256, 192), interpolation=cv2.INTER_AREA)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    folder = parser.parse_args().folder
    frames = list(film())
    write_clip(
        folder / "old-film.mp4", frames, FPS, sound(len(frames) / FPS), SOUND_HZ, crf=24, preset="slow"
    )
    encoded = cv2.imencode(".jpg", photo()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    (folder / "photo.jpg").write_bytes(encoded.tobytes())


if __name__ == "__main__":
    main()
