"""Training data of faces: folders of people, and people who are rendered.

A folder of people holds a folder for each person with aligned or nearly aligned pictures. One whose name has
a word such as "front" shows the face from the front; where a person has none, the last one in natural order
does. ``landmarks.csv`` beside or above the pictures may give their points: lines of a file name and 5 or 68
points, x,y,x,y,... in px, by which the faces are aligned.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from gantool import alignment, heads
from gantool.data import find_photos, step_rng
from gantool.errors import InputError
from gantool.layouts import natural, read_rgb

HEAD_SUFFIX = ".npz"
HELD_OUT = 1_000_000  # numbers of rendered people from here on are never trained on
_FRONT = ("front", "frontal", "forward", "straight")
_MARKS = "landmarks.csv"


@dataclass(frozen=True)
class Pose:
    """A picture of a person, and the picture that shows the same person from the front."""

    person: str
    side: Path
    front: Path

    @property
    def paths(self) -> tuple[Path, Path]:
        """Both files."""
        return self.side, self.front


@dataclass(frozen=True)
class Album:
    """The people of folders: ``poses`` by person, points by file, and what there is to say."""

    poses: dict[str, list[Pose]] = field(default_factory=dict)
    points: dict[Path, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        """All pictures, once each."""
        every = [path for poses in self.poses.values() for pose in poses for path in pose.paths]
        return list(dict.fromkeys(every))


def split_roots(roots: Sequence[Path]) -> tuple[Path | None, list[Path]]:
    """(the morphable head or None, the folders of people) of what ``gantool train`` was given.

    Raises:
        InputError: two heads.
    """
    found = [root for root in roots if root.suffix.lower() == HEAD_SUFFIX]
    if len(found) > 1:
        raise InputError("two morphable heads", found[1], "Give one .npz file")
    return (found[0] if found else None), [root for root in roots if root not in found]


def album(roots: Sequence[Path], front: str = "") -> Album:
    """The people under some folders.

    Args:
        front: the word in a file's name that says it is frontal; "" for the usual ones.

    Raises:
        InputError: there are no pictures, no person has two, or a file of points makes no sense.
    """
    if not roots:
        return Album()
    people: dict[str, list[Path]] = {}
    for path in find_photos(roots):
        people.setdefault(str(path.parent), []).append(path)
    words, guessed = (front.lower(),) if front else _FRONT, []
    poses = {}
    for person, paths in people.items():
        paths = sorted(paths, key=lambda path: natural(path.name))
        fronts = [path for path in paths if set(_words(path)) & set(words)]
        if not fronts:
            fronts = paths[-1:]
            guessed.append(Path(person).name)
        mine = [Pose(person, path, _partner(path, fronts)) for path in paths if path not in fronts]
        if mine:
            poses[person] = mine
    if not poses:
        raise InputError("no person has a frontal picture and another one", roots[0], _FOLDERS)
    notes = []
    if guessed:
        some = ", ".join(guessed[:3]) + (", ..." if len(guessed) > 3 else "")
        notes.append(f"no name says which picture is frontal, so the last one is: {some}")
    return Album(poses, _points(roots, people), tuple(notes))


_FOLDERS = "Each person needs a folder of pictures, one with 'front' in its name, or else the last in order"


def _words(path: Path) -> list[str]:
    return re.findall(r"[a-z]+", path.stem.lower())


def _partner(path: Path, fronts: list[Path]) -> Path:
    """The frontal picture that has the same number in its name (the same expression), or else the first."""
    numbers = re.findall(r"\d+", path.stem)
    same = [front for front in fronts if numbers and re.findall(r"\d+", front.stem) == numbers]
    return (same or fronts)[0]


def _points(roots: Sequence[Path], people: dict[str, list[Path]]) -> dict[Path, np.ndarray]:
    """Points (5,2) or (68,2) of the files that a landmarks.csv names."""
    folders = {Path(person) for person in people} | set(roots)
    found: dict[Path, np.ndarray] = {}
    for folder in sorted(folders):
        table = folder / _MARKS
        if not table.is_file():
            continue
        for number, row in enumerate(csv.reader(table.read_text(encoding="utf-8").splitlines()), 1):
            try:
                values = np.array([float(cell) for cell in row[1:]])
            except ValueError:
                if number == 1:  # a heading
                    continue
                values = np.empty(0)
            if len(values) not in (10, 136) or not np.isfinite(values).all():
                what = f"line {number} does not hold a file name and 5 or 68 points"
                raise InputError(what, table, "Each line is: file,x1,y1,x2,y2,...")
            found[folder / row[0]] = values.reshape(-1, 2)
    return found


def aligned(path: Path, points: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None] | None:
    """(the crop uint8 (128,128,3), its points or None) of a picture; None if it cannot be read.

    Without points, the middle square of the picture is taken for the crop.
    """
    image = read_rgb(path)
    if image is None:
        return None
    side = alignment.SIDE
    if points is None:
        height, width = image.shape[:2]
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        how = cv2.INTER_AREA if short > side else cv2.INTER_CUBIC
        square = image[top : top + short, left : left + short]
        return cv2.resize(square, (side, side), interpolation=how), None
    try:
        matrix = alignment.to_template(points if len(points) == 5 else alignment.five_of(points))
    except ValueError:
        return None
    scale = float(np.hypot(*matrix[0, :2]))
    if scale < 0.5:  # warpAffine looks at four pixels only
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
    crop = cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return crop, alignment.moved(points, matrix)


def rendered(head: heads.Head, number: int) -> heads.Person:
    """Rendered person number so-and-so: the same one in every training."""
    return heads.person(head, step_rng(number, 17))


def spoiled(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture as cameras and files leave it: less sharp, noisy, compressed, or none of it."""
    if rng.random() < 0.4:
        small = round(alignment.SIDE * float(rng.uniform(0.35, 1)))
        picture = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
        picture = cv2.resize(picture, (alignment.SIDE,) * 2, interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.3, 1.3)))
    if rng.random() < 0.4:
        grain = rng.normal(0, rng.uniform(1, 10), picture.shape)
        picture = np.clip(picture + grain, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))]
        picture = np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], cv2.IMREAD_COLOR))
    return picture


def toned(pictures: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Pictures in one random tone: brighter or darker, of more or less contrast and colour, or grey."""
    gain, bend = float(rng.uniform(0.75, 1.2)), float(rng.uniform(0.75, 1.3))
    tint = rng.uniform(0.93, 1.07, 3)
    curve = 255 * (np.arange(256)[:, None] / 255) ** bend * gain * tint
    table = np.clip(curve, 0, 255).astype(np.uint8)
    gray = rng.random() < 0.3
    found = []
    for picture in pictures:
        picture = np.stack([table[picture[..., c], c] for c in range(3)], 2)
        if gray:
            picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        found.append(picture)
    return found
