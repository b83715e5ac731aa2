"""Following faces through a video: which face is which, and landmarks that do not tremble.

A detector's points tremble by a pixel or two, and so would every crop. They are smoothed by the One Euro
filter (Casiez et al. 2012): slow for a face at rest, quick for one that moves, with one speed for all points
of a face, so that smoothing cannot bend it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from gantool.faces.face import Face, overlap

_SAME = 0.3  # overlap over union of two boxes of one face in neighbouring frames
_REST_HZ = 1.0  # how quickly a face at rest is followed
_HZ_PER_SPEED = 8.0  # and how much more so for each face height per second
_SPEED_HZ = 1.0  # how quickly the speed itself is known
HOLD_S = 0.5  # a face not found for longer is gone


@dataclass(frozen=True)
class Followed:
    """A face in one frame of a video.

    ``number``: the same through the video, from 1. ``raw``: as the detector gave it, not smoothed.
    ``found``: False where the detector saw nothing, and the face is where it was last.
    """

    face: Face
    number: int
    found: bool
    raw: Face


class Follower:
    """Faces from frame to frame; one for each video. ``lost`` counts the frames in which a face was held."""

    def __init__(self, find: Callable[[np.ndarray], Sequence[Face]], *, smooth: bool = True) -> None:
        self.find = find
        self.smooth = smooth
        self.lost = 0
        self._tracks: list[_Track] = []
        self._count = 0

    def state(self) -> tuple[np.ndarray, int]:
        """All that is remembered: an array with a row for each face, and how many faces there have been."""
        return np.array([track.row() for track in self._tracks]).reshape(-1, _Track.COLUMNS), self._count

    def restore(self, tracks: np.ndarray, count: int) -> None:
        """Go on where another follower was when it gave :meth:`state`."""
        self._tracks = [_Track.of_row(row) for row in tracks]
        self._count = count

    def step(self, frame: np.ndarray, time: float, *, cut: bool = False) -> list[Followed]:
        """The faces of the next frame, the largest first.

        Args:
            frame: RGB (H,W,3), uint8 or uint16.
            time: presentation time in seconds, later than that of the frame before.
            cut: a scene begins here: nobody is followed into it.
        """
        if cut:
            self._tracks.clear()
        faces = list(self.find(frame))
        pairs = sorted(
            (
                (_likeness(track.raw, face), t, f)
                for t, track in enumerate(self._tracks)
                for f, face in enumerate(faces)
            ),
            reverse=True,
        )
        seen: set[int] = set()
        taken: set[int] = set()
        for likeness, t, f in pairs:
            if likeness < _SAME:
                break
            if t in seen or f in taken:
                continue
            seen.add(t)
            taken.add(f)
            self._tracks[t].follow(faces[f], time, self.smooth)
        known = [t for i, t in enumerate(self._tracks) if i in seen or time - t.time <= HOLD_S]
        found = {id(self._tracks[i]) for i in seen}
        for f, face in enumerate(faces):
            if f not in taken:
                self._count += 1
                track = _Track(self._count, face, face, time)
                found.add(id(track))
                known.append(track)
        self._tracks = known
        self.lost += sum(id(track) not in found for track in known)
        result = [Followed(t.face, t.number, id(t) in found, t.raw) for t in known]
        return sorted(result, key=lambda one: one.face.area, reverse=True)


@dataclass
class _Track:
    """One face: as it is shown, as it was found last, and when."""

    number: int
    face: Face
    raw: Face
    time: float
    speed: np.ndarray = field(default_factory=lambda: np.zeros((7, 2)))

    COLUMNS: ClassVar[int] = 46

    def row(self) -> np.ndarray:
        """Number, time, both faces and the speed as float64."""
        return np.concatenate([[self.number, self.time], _row(self.face), _row(self.raw), self.speed.ravel()])

    @classmethod
    def of_row(cls, row: np.ndarray) -> _Track:
        """The track of :meth:`row`, to the last bit."""
        speed = np.array(row[32:]).reshape(7, 2)
        return cls(int(row[0]), _face_of(row[2:17]), _face_of(row[17:32]), float(row[1]), speed)

    def follow(self, face: Face, time: float, smooth: bool) -> None:
        passed = time - self.time
        before, now = _shape(self.face), _shape(face)
        if not smooth or passed <= 0 or before is None or now is None:
            self.face = face
        else:
            # In heights of the face, so that its size in the picture does not matter.
            size = max(face.box[3], 1.0)
            moved = (now - _shape_of(self.raw)) / size / passed
            self.speed = self.speed + (moved - self.speed) * _share(_SPEED_HZ, passed)
            pace = float(np.hypot(*self.speed[:5].mean(0)))  # of the face as a whole
            share = _share(_REST_HZ + _HZ_PER_SPEED * pace, passed)
            self.face = _smoothed(face, before + (now - before) * share)
        self.raw, self.time = face, time


def _row(face: Face) -> np.ndarray:
    """Box, points (NaN where there are none) and score, 15 numbers."""
    points = np.full(10, np.nan) if face.points is None else face.points.ravel()
    return np.concatenate([face.box, points, [face.score]])


def _face_of(row: np.ndarray) -> Face:
    left, top, width, height = (float(value) for value in row[:4])
    box = (left, top, width, height)
    return (
        Face.of_box(box) if np.isnan(row[4]) else Face.of_points(row[4:14].reshape(5, 2), box, float(row[14]))
    )


def _share(hertz: float, passed: float) -> float:
    """How much of the new value a low pass of that cutoff takes after ``passed`` seconds."""
    return 1 / (1 + 1 / (2 * np.pi * hertz * passed))


def _shape(face: Face) -> np.ndarray | None:
    """The five points and two corners of the box, (7,2); None without points."""
    return None if face.points is None else _shape_of(face)


def _shape_of(face: Face) -> np.ndarray:
    x, y, width, height = face.box
    points = np.zeros((5, 2)) if face.points is None else face.points
    return np.concatenate([points, [[x, y], [x + width, y + height]]])


def _smoothed(face: Face, shape: np.ndarray) -> Face:
    (x, y), (right, bottom) = shape[5:]
    box = float(x), float(y), float(right - x), float(bottom - y)
    try:
        return Face.of_points(shape[:5], box, face.score)
    except ValueError:
        return replace(face)


def _likeness(one: Face, other: Face) -> float:
    """Overlap of two boxes over their union, in [0,1]."""
    shared = overlap(one.box, other.box)
    return shared / max(one.area + other.area - shared, 1e-9)
