"""One step of a run that makes front views: faces found in a picture, chosen, and seen from the front.

Other steps make one picture of one (:class:`gantool.passes.Step`); this one makes a picture for each face, or
puts them back into the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from gantool import faces
from gantool.catalog import Checkpoint
from gantool.engine import opaque
from gantool.errors import InputError, UsageError
from gantool.facepass import FacePass
from gantool.faces import Box, Face, box_of, which_of
from gantool.media.image import Picture
from gantool.media.video import Frame
from gantool.pipelines import frontalize
from gantool.pipelines.frontalize import Frontalizer

_TURNS = ("a quarter turn to the left", "half a turn", "a quarter turn to the right")
_FINER = 1.5  # px of a view for each of the picture's, so that it is still sharp when it is put back
_MUCH_LARGER = 1.5  # times the side of a view
LEAVE_OUT = "Leave out --paste to get the front view alone"


@dataclass(frozen=True)
class Found:
    """What came of a picture.

    ``pictures``: a front view for each face, the largest face first; with ``paste`` the one whole picture.
    ``records``: of each face, as ``--json`` tells it. ``remarks``: sentences for the user.
    """

    pictures: list[Picture]
    records: list[dict[str, Any]]
    remarks: list[str]


@dataclass(frozen=True)
class FaceStep:
    """What is done to every picture or frame.

    ``find``: the detector; None where the place of the face is given: by ``box``, or, where that is None too,
    because the picture is nothing but an aligned face.
    ``which``: of the faces found: "largest", "all", or the number of one, 1 being the largest.
    ``paste``: give the whole picture with the front views in it instead of the views.
    ``strength``: 0..1, how much of the net's answer; at 0 the aligned crop, and the net is not run.
    ``side``: px of a front view; 0 for the net's own. With ``paste`` each has as many as the face it covers,
    if the net can.

    Raises UsageError for another ``side`` than the net can make.
    """

    maker: Frontalizer
    find: Callable[[np.ndarray], Sequence[Face]] | None
    which: str | int = "largest"
    box: Box | None = None
    paste: bool = False
    strength: float = 1.0
    side: int = 0

    def __post_init__(self) -> None:
        can = frontalize.SIDES if self.maker.any_side else (self.maker.side,)
        if self.side and self.side not in can:
            what = f"{self.model} makes front views of {', '.join(map(str, can))} px, not of {self.side}"
            raise UsageError(what, remedy="Leave out --side, or enlarge what comes out with --scale")

    @property
    def task(self) -> str:
        """Name of the task, as a pipeline has it."""
        return self.maker.row.task

    @property
    def model(self) -> str:
        """Name of the checkpoint."""
        return self.maker.row.name

    def asked(
        self, which: str | int, box: Box | None, *, aligned: bool = False, strength: float = 1.0
    ) -> FaceStep:
        """This step for one picture, of which these front views are wanted; arguments as the fields.

        Raises:
            UsageError: they contradict each other, or the detector, which this step is without, is needed.
        """
        if (which != "largest") + (box is not None) + aligned > 1:
            what = "faces, face_box and aligned contradict each other"
            raise UsageError(what, remedy="Give one of them")
        box = None if box is None else box_of(",".join(map(str, box)))
        find = None if aligned or box is not None else self.find
        if find is None and box is None and not aligned:
            remedy = "Give face_box or aligned, or load it with detect=True"
            raise UsageError("this pipeline was loaded without the face detector", remedy=remedy)
        which = which_of(str(which))
        return replace(self, find=find, which=which, box=box, paste=False, strength=strength)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of what becomes of a picture of that size."""
        return (height, width) if self.paste else (self.view_side, self.view_side)

    @property
    def view_side(self) -> int:
        """Px of a front view that stands alone."""
        return self.side or self.maker.side

    def views(self, rgb: np.ndarray, some: Sequence[Face]) -> list[np.ndarray]:
        """Front views of faces of a picture, of the sides that are wanted; errors as of the maker."""
        sides = [
            self.maker.side_for(_FINER * face.crop_px) if self.paste else self.view_side for face in some
        ]
        return self.maker.views(rgb, some, self.strength, sides)

    def begin(self, warn: Callable[[str], None], part: Callable[[Frame], int] | None = None) -> FacePass:
        """The step at work on one film; arguments as for :class:`gantool.passes.Pass`.

        Raises UsageError for all faces of a film, which would be several films.
        """
        if self.which == "all" and not self.paste:
            what = "--faces all of a film needs --paste: a film of front views shows one face"
            raise UsageError(what, remedy="Choose one with --faces, or add --paste")
        return FacePass(self, warn, part)

    def could_be_larger(self, px: float) -> list[str]:
        """How to see more, where a picture has many more px of a face and no side was asked for."""
        best = self.maker.side_for(px)
        if self.side or self.paste or best <= self.view_side or px < _MUCH_LARGER * self.view_side:
            return []
        return [
            f"the picture has {px:.0f} px of a face and the view {self.view_side}; --side {best} keeps them"
        ]

    def faces_in(self, picture: np.ndarray) -> list[Face]:
        """The face of a picture (H,W,3) whose place is told. Raises InputError for a box outside of it."""
        height, width = picture.shape[:2]
        if self.box is None:
            return [Face.of_aligned(height, width)]
        face = Face.of_box(self.box)
        if face.share_inside(height, width) <= 0:
            what = f"--face-box lies outside of the picture, which has {width}x{height} px"
            raise InputError(what, remedy="Write left, top, width and height in pixels of this picture")
        return [face]

    def run_picture(self, picture: Picture) -> Found:
        """The front views of a picture's faces, in the bit depth that it has.

        Raises:
            InputError: there is no face (of that number), or none that could be put back.
            DeviceError: memory is short, or the net's values are not numbers.
        """
        rgb = opaque(picture)
        found, turns = (self.faces_in(rgb), 0) if self.find is None else faces.any_way_up(self.find, rgb)
        some = faces.chosen(found, self.which)
        views = self.views(rgb, some)
        records, said = [face.record() for face in some], _said(some, picture)
        if turns:
            said.append(f"faces stand upright after {_TURNS[turns - 1]}; that is how they are shown")
        if self.which == "largest" and len(found) > 1:
            said.append(f"{len(found)} faces were found, this is the largest; --faces all takes every one")
        if not self.paste:
            said += self.could_be_larger(max(face.crop_px for face in some))
            plain = replace(picture, alpha=None, notes=())
            return Found([replace(plain, rgb=view) for view in views], records, said)
        whole, count = frontalize.pasted(picture.rgb, some, views)
        if not count:
            raise InputError(too_far(some), remedy=LEAVE_OUT)
        for face, record in zip(some, records, strict=True):
            record["pasted"] = frontalize.can_be_pasted(face)
        if count < len(some):
            said.append(f"{len(some) - count} of {len(some)} faces are turned too far to be put back")
        return Found([replace(picture, rgb=whole) if self.strength > 0 else picture], records, said)


def build(
    net: nn.Module,
    row: Checkpoint,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    faces: str | int = "largest",
    paste: bool = False,
    detect: bool = True,
    side: int = 0,
) -> FaceStep:
    """The step with a net, as :class:`Frontalizer` takes it, and the detector of the catalog.

    Args:
        faces: of the faces found: "largest", "all", or the number of one, 1 being the largest.
        paste: give the whole picture with the front views in it instead of the views.
        detect: False goes without the detector: every picture is nothing but an aligned face.
        side: px of a front view: 128, 256, 512 or 1024 if the net moves pixels, as the built-in does; 0 for
            the net's own.

    Raises:
        UsageError: ``faces`` is something else, or the net makes no views of that ``side``.
        WeightsError: the detector is not here and cannot be fetched.
    """
    maker = Frontalizer(net, row, device=device, dtype=dtype)
    return FaceStep(
        maker, _detector() if detect else None, which=which_of(str(faces)), paste=paste, side=side
    )


def _detector() -> faces.Detector:
    return faces.load()


def too_far(some: Sequence[Face]) -> str:
    """Why none of these faces could be put back."""
    least = min(abs(face.yaw or 0.0) for face in some)
    limit = f"--paste is for less than {frontalize.STEEPEST_PASTE:.0f}"
    if len(some) == 1:
        return f"the face is turned by {least:.0f} degrees, and {limit}"
    return f"all {len(some)} faces are turned by {least:.0f} degrees or more, and {limit}"


def _said(some: Sequence[Face], picture: Picture) -> list[str]:
    """Remarks on the faces, with their numbers where there are several; what holds for many is said once."""
    if len(some) == 1:
        return frontalize.remarks(some[0], picture.rgb)
    told: dict[str, list[tuple[int, str]]] = {}
    for number, face in enumerate(some, 1):
        for kind, remark in frontalize.doubts(face, picture.rgb).items():
            told.setdefault(kind, []).append((number, remark))
    result = []
    for kind, remarks in told.items():
        if len(remarks) == 1:
            result.append("face {}: {}".format(*remarks[0]))
        else:
            which = _ranges([number for number, _ in remarks])
            result.append(f"faces {which}: {frontalize.DOUBTS[kind]}")
    return result


def _ranges(numbers: Sequence[int]) -> str:
    """Rising numbers in short: "1, 3-7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
