"""Training data: folders of photographs, sampled by step number alone.

What a step sees depends only on the files, the seed and the step: no iterator has a position to save, so a
resumed run sees exactly what an unbroken one would.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from gantool.errors import InputError

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


def find_photos(roots: Sequence[Path]) -> list[Path]:
    """All photographs under the given folders, sorted; hidden ones and other files are left out.

    Raises:
        InputError: a folder is missing, or none holds a photograph.
    """
    found: list[Path] = []
    for root in roots:
        if not root.exists():
            raise InputError("no such file or folder", root, "Name a folder of photographs")
        inside = [root] if root.is_file() else sorted(root.rglob("*"))
        found += [
            path
            for path in inside
            if path.suffix.lower() in PHOTO_SUFFIXES
            and not any(part.startswith(".") for part in path.relative_to(root).parts)
        ]
    if not found:
        raise InputError("no photographs found", roots[0], f"Known: {', '.join(sorted(PHOTO_SUFFIXES))}")
    return found


def data_hash(paths: Sequence[Path]) -> str:
    """A short fingerprint of the training set: names and sizes, in order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


def read_rgb(path: Path) -> np.ndarray | None:
    """uint8 RGB (H,W,3), EXIF orientation applied; None if the file cannot be read whole."""
    encoded = np.fromfile(path, dtype=np.uint8)
    # OpenCV fills the missing rest of a truncated JPEG with grey and says nothing.
    if path.suffix.lower() in {".jpg", ".jpeg"} and encoded[-2048:].tobytes().find(b"\xff\xd9") < 0:
        return None
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


@dataclass
class Photos:
    """Photographs by index, decoded once and kept while they fit in ``cache_bytes``.

    ``prepare`` maps a decoded photo to what the recipe crops from (itself, or a low-resolution pair);
    None drops the photo. Unreadable and dropped files are counted in ``bad`` and skipped.
    """

    paths: list[Path]
    prepare: Callable[[np.ndarray], tuple[np.ndarray, ...] | None]
    cache_bytes: int = 4 << 30
    bad: list[Path] = field(default_factory=list)
    _cache: dict[int, tuple[np.ndarray, ...]] = field(default_factory=dict, repr=False)
    _held: int = 0

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...] | None:
        if index in self._cache:
            return self._cache[index]
        image = read_rgb(self.paths[index])
        item = None if image is None else self.prepare(image)
        if item is None:
            self.bad.append(self.paths[index])
            return None
        size = sum(array.nbytes for array in item)
        if self._held + size <= self.cache_bytes:
            self._cache[index] = item
            self._held += size
        return item


def step_rng(seed: int, *key: int) -> np.random.Generator:
    """The random generator that belongs to a seed and a position, the same on every machine."""
    return np.random.default_rng(np.random.SeedSequence([seed, *key]))


def split(paths: list[Path], count: int, seed: int) -> tuple[list[Path], list[Path]]:
    """(held out, trained on): a seeded choice that never takes more than a tenth."""
    count = min(count, len(paths) // 10)
    chosen = set(step_rng(seed, 3).permutation(len(paths))[:count].tolist())
    return [paths[i] for i in sorted(chosen)], [p for i, p in enumerate(paths) if i not in chosen]


class Steps(Dataset):
    """Batch number ``step`` of ``photos``: every photo once per epoch, in an order drawn per epoch.

    ``crop(item, rng)`` cuts one training sample, a tuple of (C,H,W) float32 arrays, from a prepared photo.
    """

    def __init__(
        self,
        photos: Photos,
        crop: Callable[[tuple[np.ndarray, ...], np.random.Generator], tuple[np.ndarray, ...]],
        batch: int,
        seed: int,
    ) -> None:
        self.photos, self.crop, self.batch, self.seed = photos, crop, batch, seed
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    def _index(self, position: int) -> int:
        epoch, place = divmod(position, len(self.photos.paths))
        if self._order[0] != epoch:
            permutation = step_rng(self.seed, 1, epoch).permutation(len(self.photos.paths))
            self._order = (epoch, permutation)
        return int(self._order[1][place])

    def __getitem__(self, step: int) -> tuple[np.ndarray, ...]:
        samples = []
        for place in range(self.batch):
            rng = step_rng(self.seed, 2, step, place)
            index = self._index(step * self.batch + place)
            for _ in range(100):
                item = self.photos[index]
                if item is not None:
                    break
                index = int(rng.integers(len(self.photos.paths)))
            else:
                raise InputError("hardly any of the training photos can be used", self.photos.paths[0].parent)
            samples.append(self.crop(item, rng))
        return tuple(np.stack(parts) for parts in zip(*samples, strict=True))


def batches(dataset: Steps, start: int, stop: int, workers: int = 0) -> Iterator[tuple]:
    """Batches ``start`` to ``stop`` (exclusive) as tensors, decoded in ``workers`` processes."""
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        # Its own, since a loader draws a seed when it starts, which would shift the state that was restored.
        generator=torch.Generator(),
    )
    return iter(loader)


def augment(arrays: Sequence[np.ndarray], rng: np.random.Generator, turn: bool = True) -> list[np.ndarray]:
    """The same random mirroring, and with ``turn`` quarter turn, of aligned square (H,W,...) arrays."""
    flip, quarter = rng.random() < 0.5, int(rng.integers(4)) if turn else 0
    turned = [np.rot90(a[:, ::-1] if flip else a, quarter) for a in arrays]
    return [np.ascontiguousarray(a) for a in turned]


def to_chw(image: np.ndarray) -> np.ndarray:
    """uint8 (H,W,3) -> float32 (3,H,W) in [0,1]."""
    return np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32) / 255
