"""Training data: folders of photographs, sampled by step number alone.

What a step sees depends only on the files, the seed and the step: no iterator has a position to save, so a
resumed run sees exactly what an unbroken one would.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from gantool.errors import InputError
from gantool.layouts import PICTURE_SUFFIXES as PICTURE_SUFFIXES
from gantool.layouts import read_rgb as read_rgb


def find_photos(roots: Sequence[Path]) -> list[Path]:
    """All photographs under the given folders, sorted; hidden ones and other files are left out.

    Raises:
        InputError: a folder is missing, or holds no photograph.
    """
    found: list[Path] = []
    for root in roots:
        if not root.exists():
            raise InputError("no such file or folder", root, "Name a folder of photographs")
        inside = [root] if root.is_file() else sorted(root.rglob("*"))
        some = [
            path
            for path in inside
            if path.suffix.lower() in PICTURE_SUFFIXES
            and not any(part.startswith(".") for part in path.relative_to(root).parts)
        ]
        if not some:
            raise InputError("no photographs found", root, f"Known: {', '.join(sorted(PICTURE_SUFFIXES))}")
        found += some
    return found


def counted(number: int, noun: str) -> str:
    """ "1 photograph", "2 photographs"."""
    return f"{number} {noun}{'s' * (number != 1)}"


def told(learnt: int, noun: str, kept_out: int, steps: int) -> str:
    """What a training is about to do, in words."""
    return f"{counted(learnt, noun)} to train on, {kept_out} kept out; {counted(steps, 'step')}"


def data_hash(paths: Sequence[Path]) -> str:
    """A short fingerprint of the training set: names and sizes, in order; a link to nothing has none."""
    digest = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size if path.exists() else -1
        digest.update(f"{path.name}\0{size}\n".encode())
    return digest.hexdigest()[:16]


K = TypeVar("K")


@dataclass
class Items(Generic[K]):
    """Training items by index, loaded once and kept while they fit in ``cache_bytes``.

    ``load`` maps a key (a path, a sample of a layout) to the arrays that the recipe crops from; None drops
    it. Dropped keys are counted in ``bad`` and skipped.
    """

    keys: Sequence[K]
    load: Callable[[K], tuple[np.ndarray, ...] | None]
    cache_bytes: int = 4 << 30
    bad: list[K] = field(default_factory=list)
    _cache: dict[int, tuple[np.ndarray, ...]] = field(default_factory=dict, repr=False)
    _held: int = 0

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...] | None:
        if index in self._cache:
            return self._cache[index]
        item = self.load(self.keys[index])
        if item is None:
            if self.keys[index] not in self.bad:
                self.bad.append(self.keys[index])
            return None
        size = sum(array.nbytes for array in item)
        if self._held + size <= self.cache_bytes:
            self._cache[index] = item
            self._held += size
        return item


def photos(paths: Sequence[Path], prepare: Callable[[np.ndarray], tuple[np.ndarray, ...] | None]) -> Items:
    """Photographs, each decoded and made by ``prepare`` into what the recipe crops from (None drops it)."""

    def load(path: Path) -> tuple[np.ndarray, ...] | None:
        image = read_rgb(path)
        return None if image is None else prepare(image)

    return Items(paths, load)


def readable(paths: Iterable[Path]) -> Iterator[np.ndarray]:
    """The photographs among files, uint8 RGB (H,W,3), one at a time; others are passed over."""
    return (image for image in map(read_rgb, paths) if image is not None)


def step_rng(seed: int, *key: int) -> np.random.Generator:
    """The random generator that belongs to a seed and a position, the same on every machine."""
    return np.random.default_rng(np.random.SeedSequence([seed, *key]))


def split(keys: Sequence[K], count: int, seed: int) -> tuple[list[K], list[K]]:
    """(held out, trained on): a seeded choice that never takes more than a tenth."""
    count = min(count, len(keys) // 10)
    chosen = set(step_rng(seed, 3).permutation(len(keys))[:count].tolist())
    return [keys[i] for i in sorted(chosen)], [k for i, k in enumerate(keys) if i not in chosen]


class Steps(Dataset):
    """Batch number ``step`` of some items: every item once per epoch, in an order drawn per epoch.

    Args:
        crop: cuts one training sample, a tuple of (C,H,W) float32 arrays, from an item.
        batch: samples of a step, over all processes.
        seed: of order and crops, with the step and the place in the batch: how a batch is shared among
            processes and workers changes nothing.
        share: (rank, processes): which contiguous part of every batch is made here.
        lane: tells apart the orders of several sources that are drawn side by side.
    """

    def __init__(
        self,
        items: Items,
        crop: Callable[[tuple[np.ndarray, ...], np.random.Generator], tuple[np.ndarray, ...]],
        batch: int,
        seed: int,
        share: tuple[int, int] = (0, 1),
        lane: int = 0,
    ) -> None:
        self.items, self.crop, self.batch, self.seed, self.lane = items, crop, batch, seed, lane
        rank, processes = share
        self.places = range(rank * batch // processes, (rank + 1) * batch // processes)
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    def _index(self, position: int) -> int:
        epoch, place = divmod(position, len(self.items))
        if self._order[0] != epoch:
            permutation = step_rng(self.seed, 1, epoch, *self._lane()).permutation(len(self.items))
            self._order = (epoch, permutation)
        return int(self._order[1][place])

    def _lane(self) -> tuple[int, ...]:
        return (self.lane,) if self.lane else ()

    def __getitem__(self, step: int) -> tuple[np.ndarray, ...]:
        samples = []
        for place in self.places:
            rng = step_rng(self.seed, 2, step, place, *self._lane())
            index = self._index(step * self.batch + place)
            for _ in range(100):
                item = self.items[index]
                if item is not None:
                    break
                index = int(rng.integers(len(self.items)))
            else:
                raise InputError(
                    "hardly any of the training pictures can be used: damaged, or smaller than the crop",
                    _where(self.items.keys[0]),
                    "--check names them; --list shows which parameter sets the crop (crop, size or patch)",
                )
            samples.append(self.crop(item, rng))
        return tuple(np.stack(parts) for parts in zip(*samples, strict=True))


def _where(key: Any) -> Path:
    """The folder of a key, for messages."""
    paths = getattr(key, "paths", (key,))
    return Path(paths[0]).parent


class Together(Dataset):
    """Batches of several sources side by side: the tensors of the first, then those of the second, ..."""

    def __init__(self, *sources: Steps) -> None:
        self.sources = sources

    def __getitem__(self, step: int) -> tuple[np.ndarray, ...]:
        return tuple(array for source in self.sources for array in source[step])


def batches(
    dataset: Steps | Together, start: int, stop: int, workers: int = 0, device: torch.device | None = None
) -> Iterator[list[torch.Tensor]]:
    """Batches ``start`` to ``stop`` (exclusive) as tensors, made in ``workers`` processes.

    Negative ``workers``: one for every two CPU cores, at most 8, where ``device`` is a GPU; none otherwise.
    """
    on_gpu = device is not None and device.type == "cuda"
    if workers < 0:
        workers = min(8, (os.cpu_count() or 2) // 2) if on_gpu else 0
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=on_gpu,
        # Its own, since a loader draws a seed when it starts, which would shift what is drawn besides.
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


def shrunk(image: np.ndarray, short: int) -> np.ndarray:
    """A picture whose short side is at most so many px, to keep in memory."""
    factor = short / min(image.shape[:2])
    return image if factor >= 1 else resized(image, *(round(side * factor) for side in image.shape[:2]))


def square(image: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A random square (side,side,3) of a picture, mirrored or not: as it is in one of four, else at any size.

    A picture that is too small is enlarged.
    """
    short = min(image.shape[:2])
    width = min(side, short) if rng.random() < 0.25 else int(rng.integers(min(side, short), short + 1))
    top, left = (int(rng.integers(length - width + 1)) for length in image.shape[:2])
    cut = resized(image[top : top + width, left : left + width], side, side)
    return np.ascontiguousarray(cut[:, ::-1] if rng.random() < 0.5 else cut)


def middle(image: np.ndarray, side: int) -> np.ndarray:
    """The largest centre square of a picture, at that size: (side,side,3)."""
    short = min(image.shape[:2])
    top, left = ((length - short) // 2 for length in image.shape[:2])
    return resized(image[top : top + short, left : left + short], side, side)


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """A uint8 picture at another size, of the same form or not."""
    if image.shape[:2] == (height, width):
        return image
    how = cv2.INTER_AREA if height * width < image.shape[0] * image.shape[1] else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=how)
