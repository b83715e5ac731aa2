"""Pairs of a turned and a frontal face for training: from folders of people, from rendered heads, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gantool import alignment, data, heads, people
from gantool.errors import InputError
from gantool.faces import yaw_of
from gantool.people import Pose

NEEDS = "Give folders of people, the .npz file of a morphable head (one made from ICT-FaceKit, say), or both"
HELD_YAWS = (15.0, 30.0, 45.0, 60.0, 75.0, 90.0)
_FRONTAL = 15.0  # degrees up to which a face turns to neither side

# How far outwards YuNet puts what a turn hides, px of the crop: at these yaws, the far eye and the far corner
# of the mouth. Means over 12 rendered people; they spread by 0.4 of that.
_TURNS, _FAR_EYE, _FAR_MOUTH = (45.0, 60.0, 75.0, 90.0), (0.0, 6.0, 12.5, 16.5), (0.0, 0.0, 2.0, 9.0)
_SPREAD = 0.4


@dataclass(frozen=True)
class Wanted:
    """Which pairs: boxes of 5 or 68 landmarks, rendered people, the share of renders where there are folders
    too, people kept out of training, whether inputs are spoiled as cameras do, and how many renders of each
    person are kept instead of making new ones.
    """

    landmarks: int
    people: int
    renders: float
    holdout: int
    spoil: bool
    views: int = 0


class FacePairs:
    """The pairs, as a recipe's ``Items`` load them and its ``Steps`` cut them.

    Every face is turned to one side: where its points say that the nose points to the left, both pictures are
    mirrored; where there are no points, at random.

    Raises:
        InputError: there are neither folders nor a head.
    """

    def __init__(self, head: heads.Head | None, album: people.Album, wanted: Wanted, seed: int) -> None:
        if head is None and not album.poses:
            raise InputError("no faces to learn from", remedy=NEEDS)
        self.head, self.album, self.wanted = head, album, wanted
        self.out, kept = data.split(list(album.poses), wanted.holdout, seed)
        self.numbers = {person: number for number, person in enumerate(kept)}
        poses = [pose for person in kept for pose in album.poses[person]]
        self.keys: Sequence[Pose | int] = poses or range(wanted.people)

    @property
    def count(self) -> int:
        """People to train on."""
        return len(self.numbers) + (self.wanted.people if self.head else 0)

    def summary(self) -> str:
        """What there is, in words."""
        words = []
        if self.numbers:
            pairs = f"{len(self.keys)} pairs of {len(self.numbers)} people in folders"
            words.append(f"{pairs} ({len(self.out)} people kept out)")
        if self.head:
            words.append(f"{self.wanted.people} rendered people")
        return " and ".join(words)

    def load(self, key: Pose | int) -> tuple[np.ndarray, ...] | None:
        """A rendered person's number, and the views to choose from, if some are kept, stacked: sides, fronts,
        points of the sides. Or both crops of a pose, the points of the first, the person.
        """
        if not isinstance(key, Pose):
            rng = data.step_rng(key, 19)
            yaws = rng.uniform(-10, 90, self.wanted.views)
            views = [self._rendered(key, float(yaw), rng, detected=True) for yaw in yaws]
            return (np.array(key), *(np.stack(parts) for parts in zip(*views, strict=True)))
        side = people.aligned(key.side, self.album.points.get(key.side))
        front = people.aligned(key.front, self.album.points.get(key.front))
        if side is None or front is None:
            return None
        marks = np.empty((0, 2)) if side[1] is None else side[1]
        return side[0], front[0], marks, np.array(self.numbers.get(key.person, 0))

    def pair(self, item: tuple[np.ndarray, ...], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """(side, front) float32 (3,128,128) in [-1,1], corners of the parts (4,2), the person's number."""
        of_head = item[0].ndim == 0
        if of_head or (self.head is not None and rng.random() < self.wanted.renders):
            number = int(item[0]) if of_head else int(rng.integers(self.wanted.people))
            if of_head and self.wanted.views:
                view = int(rng.integers(self.wanted.views))
                side, front, marks = (part[view] for part in item[1:])
                yaw = yaw_of(marks)
            else:
                yaw = float(rng.uniform(-10, 90))
                side, front, marks = self._rendered(number, yaw, rng, detected=True)
            person = number + len(self.numbers)
        else:
            side, front, marks, own = item
            person = int(own)
            yaw = yaw_of(marks) if len(marks) else float(rng.choice([-90.0, 90.0]))
        if yaw < -_FRONTAL or (yaw <= _FRONTAL and rng.random() < 0.5):
            side, front, marks = _mirrored(side, front, marks)
        if self.wanted.spoil:
            side, front = people.toned((side, front), rng)
            side = people.spoiled(side, rng)
        return (*self._arrays(side, front, marks), np.array(person))

    def held(self) -> list[tuple[np.ndarray, ...]]:
        """(side, front, corners, yaw) of people kept out: rendered ones at :data:`HELD_YAWS`, then folders'.

        The yaw is NaN where there are no points to tell it.
        """
        found: list[tuple[np.ndarray, ...]] = []
        numbers = range(people.HELD_OUT, people.HELD_OUT + self.wanted.holdout)
        for number in numbers if self.head else ():
            for place, yaw in enumerate(HELD_YAWS):
                pictures = self._rendered(number, yaw, data.step_rng(number, 20, place))
                found.append((*self._arrays(*pictures), np.array(yaw)))
        for person in self.out:
            for pose in self.album.poses[person][:6]:
                item = self.load(pose)
                if item is None:
                    continue
                side, front, marks, _ = item
                yaw = yaw_of(marks) if len(marks) else float("nan")
                if yaw < 0:
                    side, front, marks = _mirrored(side, front, marks)
                found.append((*self._arrays(side, front, marks), np.array(abs(yaw))))
        return found

    def _rendered(
        self, number: int, yaw: float, rng: np.random.Generator, detected: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(side, front) uint8 of a rendered person, and the points of the side.

        ``detected``: points and alignment are as wrong as a detector's, as a net will meet them in use.
        """
        assert self.head is not None
        error = misjudgement(yaw, rng) if detected else np.zeros((5, 2))
        side, front = heads.pair(people.rendered(self.head, number), yaw, rng, error)
        marks = side.landmarks if self.wanted.landmarks == 68 else side.points + error
        return side.picture, front.picture, marks

    def _arrays(self, side: np.ndarray, front: np.ndarray, marks: np.ndarray) -> tuple[np.ndarray, ...]:
        if len(marks):
            corners = alignment.corners(marks, self.wanted.landmarks)
        else:
            corners = np.array([box[:2] for box in alignment.BOXES[self.wanted.landmarks]])
        return data.to_chw(side) * 2 - 1, data.to_chw(front) * 2 - 1, corners


def misjudgement(yaw: float, rng: np.random.Generator) -> np.ndarray:
    """An error of a detector's at that yaw (5,2), drawn around the usual one."""
    return misjudged(yaw) * max(0.0, float(rng.normal(1, _SPREAD)))


def misjudged(yaw: float) -> np.ndarray:
    """How far off a detector (YuNet) usually is in the five points (5,2) of a face at a yaw, px of the crop.

    What the turn hides is put too far out: the eye and the corner of the mouth where the nose points to.
    """
    error, right = np.zeros((5, 2)), yaw >= 0
    error[1 if right else 0, 0] = np.interp(abs(yaw), _TURNS, _FAR_EYE)
    error[4 if right else 3, 0] = np.interp(abs(yaw), _TURNS, _FAR_MOUTH)
    return error if right else -error


def _mirrored(
    side: np.ndarray, front: np.ndarray, marks: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    marks = alignment.mirrored(marks) if len(marks) else marks
    return np.ascontiguousarray(side[:, ::-1]), np.ascontiguousarray(front[:, ::-1]), marks
