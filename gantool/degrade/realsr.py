"""RealSR's degradation: kernels from a pool, and noise cut out of photos (Tencent/Real-SR)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from gantool.degrade import kernels, noise
from gantool.degrade.recipe import Recipe
from gantool.degrade.resampling import shrunk, to_unit
from gantool.errors import InputError
from gantool.settings import param, path_param


@dataclass(frozen=True)
class RealSR(Recipe):
    """Kernels from a pool, and noise cut out of photos of one's own (Ji et al. 2020, "Real-World
    Super-Resolution via Kernel Estimation and Noise Injection").

    The original finds its kernels with KernelGAN. gantool does not estimate kernels yet: it takes those of
    ``kernels_from``, or Gaussians of random width and direction, with variances of 0.175 to 2.5 times the
    scale. What is degraded is taken to be clean; for the bad photos themselves, ``clean=2`` halves them first
    as the original does. Noise larger than a patch is put together from several.
    """

    name: ClassVar[str] = "realsr"
    summary: ClassVar[str] = "blur kernels from a pool, noise taken from your own photos"

    noise_from: str = path_param("", "folder of the photos whose noise is taken; those given, if not named")
    kernels_from: str = path_param("", "a .npy kernel, or a folder of them; Gaussians if not given")
    patch: int = param(256, "side of a noise patch, px", low=8)
    max_variance: float = param(20.0, "of a patch's grey values, below which it counts as noise only", low=0)
    min_mean: float = param(0.0, "grey mean above which a patch is taken (50 for phone photos)", low=0)
    most: int = param(2000, "patches kept at most", low=1)
    clean: int = param(1, "factor by which pictures are shrunk before anything else", low=1, high=8)

    @property
    def least_side(self) -> int:
        return self.scale * self.clean

    @cached_property
    def patches(self) -> list[np.ndarray]:
        """The noise patches, uint8 (side,side,3).

        Raises:
            InputError: no folder was named, or no photo in it has a smooth part.
        """
        if not self.noise_from:
            raise InputError("realsr takes its noise from photos", None, "Give noise_from=FOLDER")
        return self.collect(_photos(Path(self.noise_from)), self.noise_from)

    def collect(self, photos: Iterable[np.ndarray], source: str = "") -> list[np.ndarray]:
        """Patches from photos (uint8 (H,W,3)), by this recipe's rule. Raises InputError when none fits."""
        found = noise.noise_patches(photos, self.patch, self.max_variance, self.min_mean, self.most)
        if not found:
            what = f"no photo has a smooth part of {self.patch} x {self.patch} px to take noise from"
            remedy = (
                "Use a smaller patch=..., a larger max_variance=..., or noise_from=... with larger photos"
            )
            raise InputError(what, source or None, remedy)
        return found

    def ready(self, photos: Iterable[np.ndarray]) -> RealSR:
        """The same recipe with its kernels, and its noise, as the original, from the photos that are to be
        spoiled where ``noise_from`` names no others.

        Raises:
            InputError: as ``pool`` and ``patches`` do.
        """
        _ = self.pool, self.noise_from and self.patches  # an error before any photo is read
        return self if self.noise_from else self.with_noise(self.collect(photos))

    def with_noise(self, patches: list[np.ndarray]) -> RealSR:
        """The same recipe with these patches (none: no noise), uint8 (side,side,3)."""
        copy = dataclasses.replace(self)
        object.__setattr__(copy, "patches", patches)  # what cached_property would have kept
        return copy

    @cached_property
    def pool(self) -> list[np.ndarray]:
        """The kernels of ``kernels_from``, centred so that pictures stay in place; empty without a name.

        Raises:
            InputError: no kernel there, or one that is none.
        """
        if not self.kernels_from:
            return []
        path = Path(self.kernels_from)
        files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
        if not files:
            raise InputError("no .npy kernels in the folder", path, "Save each as a two-dimensional array")
        found = []
        for file in files:
            try:
                found.append(kernels.centred(np.load(file, allow_pickle=False), (self.scale - 1) / 2))
            except (OSError, ValueError) as error:
                raise InputError(f"not a blur kernel: {error}", file, "Give a .npy array") from error
        return found

    def _target(self, pixels: np.ndarray) -> np.ndarray:
        return super()._target(shrunk(pixels, self.clean) if self.clean > 1 else pixels)

    def _degrade(self, target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        pool = self.pool
        kernel = pool[rng.integers(len(pool))] if pool else self._kernel(rng)
        low = kernels.box_down(to_unit(target), kernel, self.scale)
        if self.patches:
            low = low + noise.patch_noise(self.patches, low.shape[0], low.shape[1], rng)
        return noise.to_bytes(low)

    def _kernel(self, rng: np.random.Generator) -> np.ndarray:
        """A Gaussian, round or not, wide enough for the scale."""
        deviations = np.sqrt(rng.uniform(0.175 * self.scale, 2.5 * self.scale, 2))
        angle = rng.uniform(0, math.pi)
        if rng.random() < 0.5:
            deviations[1] = deviations[0]
        # Four deviations to each side of the centre.
        size = 2 * math.ceil(4 * math.sqrt(2.5 * self.scale)) + 1
        offset = (self.scale - 1) / 2
        return kernels.elliptic(size, deviations[0], deviations[1], angle, offset=offset)


def _photos(folder: Path) -> Iterator[np.ndarray]:
    """The photos of a folder and its folders, uint8 RGB; what cannot be read as one is passed over."""
    if not folder.exists():
        raise InputError("no such folder", folder, "Name a folder of photos")
    for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"):
            continue
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
        if image is not None:
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
