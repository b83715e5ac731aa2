"""Faces for training the way to the front and back: pairs, and sides and fronts without partners."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from gantool import alignment, data, heads, layouts, people
from gantool.errors import InputError
from gantool.people import Pose

_YAW_STEP = 30  # degrees between the poses of rendered heads
_UNKNOWN = "any"
_NEEDS = "Give folders of people, a folder with trainA (sides) and trainB (fronts), a head (.npz), or several"


class Faces:
    """What faces there are: ``album`` and ``head`` for pairs, ``sides`` and ``fronts`` without partners.

    A folder with ``trainA`` (sides) and ``trainB`` (fronts) holds faces without partners; other folders hold
    people, as for TP-GAN. Poses are the words in the sides' names ("left", "right"), or the turn where faces
    are rendered.

    Raises:
        InputError: there is nothing to learn from.
    """

    def __init__(self, roots: Sequence[Path], front: str = "") -> None:
        head_file, folders = people.split_roots(roots)
        loose = [root for root in folders if (root / "trainA").is_dir() and (root / "trainB").is_dir()]
        self.head = heads.load(head_file) if head_file else None
        self.album = people.album([root for root in folders if root not in loose], front)
        self.sides: list[Path] = []
        self.fronts: list[Path] = []
        notes = list(self.album.notes)
        for root in loose:
            layout = layouts.recognise([root], ("unpaired",))
            self.sides += [sample.files[0] for sample in layout.train_a]
            self.fronts += [sample.files[0] for sample in layout.train_b]
            notes += layout.notes
        pairs = [pose for poses in self.album.poses.values() for pose in poses]
        self.paired = bool(pairs or self.head)
        if not self.paired and not self.sides:
            raise InputError("no faces to learn from", remedy=_NEEDS)
        names = {pose_of(path) for path in (*(pose.side for pose in pairs), *self.sides)}
        turns = range(-90, 91, _YAW_STEP) if self.head else ()
        self.poses = sorted(names) + [_turn(yaw) for yaw in turns]
        self.files = [*([head_file] if head_file else []), *self.album.files, *self.sides, *self.fronts]
        self.notes = tuple(notes)


class Drawn:
    """Those faces as a training draws them, in items for ``data.Steps`` that :meth:`cut` cuts.

    ``items`` are those of pairs, if there are some, and then those of sides and of fronts without partners,
    if there are some.
    """

    def __init__(self, faces: Faces, size: int, rendered: int, holdout: int, seed: int) -> None:
        """``size``: px; ``rendered``: people to render; ``holdout``: people of folders to keep out."""
        self.faces, self.size = faces, size
        self.out, kept = data.split(list(faces.album.poses), holdout, seed)
        pairs: list[Pose | int] = [pose for person in kept for pose in faces.album.poses[person]]
        self._kept = len(kept)
        self.items: list[data.Items[Any]] = []
        if faces.paired:
            self.items.append(data.Items([*pairs, *range(rendered if faces.head else 0)], self._pair))
        if faces.sides:
            self.items += [data.Items(faces.sides, self._side), data.Items(faces.fronts, self._front)]

    def summary(self) -> str:
        """What there is, in words."""
        faces, words = self.faces, []
        if faces.album.poses:
            words.append(f"pairs of {self._kept} people ({len(self.out)} more kept out)")
        if faces.head:
            words.append("rendered people")
        if faces.sides:
            words.append(f"{len(faces.sides)} sides and {len(faces.fronts)} fronts without a partner")
        return ", ".join(words) + f"; poses: {', '.join(faces.poses)}"

    def cut(self, item: tuple[np.ndarray, ...], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Pictures of an item as float32 (3,size,size) in [-1,1], codes of poses as they are.

        Of a pair: (side, front, code); of a side without partner: (side, code); of a front: (front,).
        """
        if item[0].ndim == 0:  # a rendered person
            assert self.faces.head is not None
            yaw = float(rng.uniform(-90, 90))
            both = heads.pair(people.rendered(self.faces.head, int(item[0])), yaw, rng)
            pictures = people.toned([self._sized(view.picture) for view in both], rng)
            item = (*pictures, self._code(_turn(_YAW_STEP * round(yaw / _YAW_STEP))))
        return tuple(data.to_chw(a) * 2 - 1 if a.ndim == 3 else a for a in item)

    def held(self) -> tuple[list[tuple[np.ndarray, ...]], bool]:
        """(side, front, code) to look at, and whether they are pairs that nothing is learnt from.

        People kept out, or rendered ones where there are no folders; where nobody can be spared, some that
        are learnt from, and of faces without partners sides beside fronts of others.
        """
        album, head = self.faces.album.poses, self.faces.head
        keys: list[Pose | int] = [pose for person in self.out for pose in album[person][:8]]
        if not album and head is not None:
            keys = list(range(people.HELD_OUT, people.HELD_OUT + 8))
        apart = bool(keys)
        keys = keys or [poses[0] for poses in list(album.values())[:8]]
        items = [self._pair(key) for key in keys]
        if not items:
            sides, fronts = self.items[-2:]
            both = [(sides[n], fronts[n]) for n in range(min(8, len(sides), len(fronts)))]
            items = [(side[0], front[0], side[1]) for side, front in both if side and front]
        cut = [self.cut(item, data.step_rng(0, 21, n)) for n, item in enumerate(items) if item is not None]
        return cut, apart and bool(cut)

    def left_out(self) -> list[str]:
        """A line for each file that could not be read so far."""
        bad = [key.side if isinstance(key, Pose) else key for items in self.items for key in items.bad]
        return [f"left out: {path.name} (unreadable)" for path in bad]

    def _pair(self, key: Pose | int) -> tuple[np.ndarray, ...] | None:
        if isinstance(key, int):
            return (np.array(key),)
        side, front = self._face(key.side), self._face(key.front)
        return None if side is None or front is None else (side, front, self._code(pose_of(key.side)))

    def _side(self, path: Path) -> tuple[np.ndarray, ...] | None:
        side = self._face(path)
        return None if side is None else (side, self._code(pose_of(path)))

    def _front(self, path: Path) -> tuple[np.ndarray, ...] | None:
        front = self._face(path)
        return None if front is None else (front,)

    def _face(self, path: Path) -> np.ndarray | None:
        """An aligned face uint8 (size,size,3)."""
        found = people.aligned(path, self.faces.album.points.get(path))
        return None if found is None else self._sized(found[0])

    def _code(self, pose: str) -> np.ndarray:
        return np.eye(len(self.faces.poses), dtype=np.float32)[self.faces.poses.index(pose)]

    def _sized(self, picture: np.ndarray) -> np.ndarray:
        if self.size == alignment.SIDE:
            return picture
        how = cv2.INTER_AREA if self.size < alignment.SIDE else cv2.INTER_CUBIC
        return cv2.resize(picture, (self.size, self.size), interpolation=how)


def pose_of(path: Path) -> str:
    """The words in a picture's name, which say its pose; numbers tell apart pictures of one pose."""
    return "-".join(re.findall(r"[a-z]+", path.stem.lower())) or _UNKNOWN


def _turn(yaw: int) -> str:
    return f"{yaw:+d}"
