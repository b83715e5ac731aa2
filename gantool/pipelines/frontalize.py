"""Turned faces into front views: aligned crops through a net, and, on request, back into the picture.

Unlike the other tasks one picture gives several results, one for each face, so this is a class of its own and
no :class:`Pipeline`. What a net shows of the hidden half of a face is invented.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

import numpy as np
import torch
from torch import Tensor, nn

from gantool import alignment, faces
from gantool.catalog import Checkpoint
from gantool.devices import is_out_of_memory, remedy_for_memory
from gantool.errors import DeviceError, WeightsError
from gantool.faces import Face
from gantool.pipelines.precision import said, spoiled

STEEPEST_PASTE = 30.0  # degrees; a front view on a head that is turned further fits nowhere
_FADE = 5.0  # degrees before that, over which it fades in a film
_SMALL_PX = 40.0  # width of a face below which there is too little to go by
_PROFILE = 50.0  # degrees as the detector tells them: from here on it may be a full profile
_MOST_OUTSIDE = 0.1  # share of the crop that may lie beyond the border without a word
_NEARLY_GRAY = 2.5 / 255  # between the channels of a pixel
_LUMA = (0.299, 0.587, 0.114)

# What may be wrong with a face, and how that is told of a film, behind "in 7 of 90 frames".
DOUBTS = {
    "small": f"the face is less than {_SMALL_PX:.0f} px wide; little of the person can be kept",
    "outside": "a part of the face's crop lies beyond the picture's border",
    "profile": "the face is seen nearly in profile; half of the front view is invented",
    "drawn": "the face looks drawn, and the model knows photographs",
}
SIDES = (128, 256, 512, 1024)
"""Px that a front view can have, if the net moves the pixels that it is given."""
_BATCH = 16


class Frontalizer:
    """A generator of front views with its row.

    A net with ``boxes`` (TP-GAN, FrontWarp) is told where the parts of the face are, and is shown every face
    with its nose to the right, as it was trained; the result is turned back.
    """

    def __init__(
        self,
        net: nn.Module,
        row: Checkpoint,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """``net``: in eval mode on ``device``; takes and gives (N,3,side,side) in the row's range and order.

        Its ``side`` is an attribute of the net, or 128 px.
        """
        self.net, self.row, self.device, self.dtype = net, row, device, dtype
        self.side = int(getattr(net, "side", alignment.SIDE))
        self.any_side = bool(getattr(net, "any_side", False))
        self.landmarks = int(row.args.get("landmarks", 5)) if hasattr(net, "boxes") else 0
        self._batch = _BATCH
        self._exact: Callable[[], Frontalizer] | None = None
        self._instead: Frontalizer | None = None

    def fall_back(
        self, exact: Callable[[], Frontalizer], precision: str, warn: Callable[[str], None]
    ) -> None:
        """Where half precision spoils a view, use ``exact()``, the same in float32, from there on.

        Args:
            precision: name of the precision that this one computes in, for the warning.
            warn: told why, when that happens.
        """
        self._exact, self._precision, self._warn = exact, precision, warn

    def views(
        self,
        picture: np.ndarray,
        found: Sequence[Face],
        strength: float = 1.0,
        sides: Sequence[int] | None = None,
    ) -> list[np.ndarray]:
        """The front view of each face, (side,side,3) of the picture's own kind; grey where the face is grey.

        The same faces give the same views: nothing is drawn at random.

        Args:
            picture: RGB (H,W,3), uint8 or uint16.
            strength: 0..1, how much of the view; at 0 the aligned crops, and the net is not run.
            sides: px of the view of each face, of :data:`SIDES` if the net takes any side; None for the net's
                own.

        Raises:
            DeviceError: not even one face fits in memory, or the net's values are not numbers.
            WeightsError: the net gives something other than pictures of its side.
        """
        sides = [self.side] * len(found) if sides is None else sides
        if strength == 0:
            return [faces.crop(picture, *pair) for pair in zip(found, sides, strict=True)]
        top = float(np.iinfo(picture.dtype).max)
        made: list[np.ndarray] = []
        while len(made) < len(found):
            first, side = len(made), sides[len(made)]
            most = max(1, self._batch * self.side**2 // side**2)
            alike = takewhile(side.__eq__, sides[first : first + most])
            some = found[first : first + len(list(alike))]
            crops = np.stack([faces.crop(picture, face, side) for face in some])
            x = torch.from_numpy(crops.astype(np.float32) / np.float32(top)).movedim(-1, 1).to(self.device)
            try:
                y = torch.lerp(x, self._front(x, some), strength)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if len(some) == 1:
                    what = "out of memory even with one face at a time"
                    raise DeviceError(what, remedy=remedy_for_memory(self.device)) from error
                self._batch = len(some) // 2
                continue
            shown = (y.movedim(1, -1).cpu().numpy() * top).round().astype(picture.dtype)
            made.extend(shown)
        return made

    def side_for(self, px: float) -> int:
        """The side of a view that has so many px, or more, as far as the net can."""
        if not self.any_side:
            return self.side
        return next((side for side in SIDES if side >= px), SIDES[-1])

    def _front(self, x: Tensor, some: Sequence[Face]) -> Tensor:
        """(N,3,side,side) in [0,1] -> front views in [0,1], in float32 where half precision spoils them."""
        if self._instead is not None:
            return self._instead._front(x, some)
        y = self._answer(x, some)
        reason = spoiled(x, y, None)
        if reason and self._exact is not None:
            self._warn(said(self.row.name, reason, self._precision))
            self._instead = self._exact()
            return self._instead._front(x, some)
        if not bool(torch.isfinite(y.sum())):
            what = f"the model {self.row.name} gave values that are not numbers"
            raise DeviceError(what, remedy="Use --precision fp32")
        return y

    def _answer(self, x: Tensor, some: Sequence[Face]) -> Tensor:
        """What the net says, in [0,1]; maybe not numbers."""
        left = torch.tensor([self.landmarks > 0 and (face.yaw or 0) < 0 for face in some], device=x.device)
        left = left.view(-1, 1, 1, 1)
        shown = torch.where(left, x.flip(-1), x)
        shown = shown.flip(1) if self.row.color == "bgr" else shown
        shown = shown * 2 - 1 if self.row.signed else shown * self.row.value_range
        with torch.no_grad():
            more = (self._corners(some),) if self.landmarks else ()
            y = self.net(shown.to(self.dtype), *more).float()
        if y.shape != x.shape:
            what = f"the model {self.row.name} made {tuple(y.shape[1:])} of {tuple(x.shape[1:])}"
            raise WeightsError(what, self.row.file or None, "Use a model that makes faces of the same size.")
        y = (y + 1) / 2 if self.row.signed else y / self.row.value_range
        y = y.flip(1) if self.row.color == "bgr" else y
        y = torch.where(left, y.flip(-1), y).clamp(0, 1)
        gray = (x.amax(1) - x.amin(1)).amax((-2, -1)) <= _NEARLY_GRAY
        luma = (y * torch.tensor(_LUMA, device=y.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
        return torch.where(gray.view(-1, 1, 1, 1), luma.expand_as(y), y)

    def _corners(self, some: Sequence[Face]) -> Tensor:
        """Where the parts begin in each crop as it is shown, (N,4,2); at the template without points."""
        corners = []
        for face in some:
            points = alignment.TEMPLATE
            if face.points is not None:
                points = alignment.moved(face.points, face.to_crop)
                points = alignment.mirrored(points) if (face.yaw or 0) < 0 else points
            corners.append(alignment.corners(points, self.landmarks))
        return torch.from_numpy(np.stack(corners)).to(self.device)


def pasted(
    picture: np.ndarray, found: Sequence[Face], views: Sequence[np.ndarray], *, film: bool = False
) -> tuple[np.ndarray, int]:
    """A copy of the picture with the views of faces that are turned little put back, and how many.

    The largest face comes last, on top. A face whose turn is not known is taken to be frontal. In a ``film``
    a view fades out towards :data:`STEEPEST_PASTE`, so that frames do not switch to and fro.
    """
    count = 0
    for face, view in sorted(zip(found, views, strict=True), key=lambda pair: pair[0].area):
        if can_be_pasted(face):
            left = (STEEPEST_PASTE - abs(face.yaw or 0.0)) / _FADE
            picture = faces.paste(picture, view, face, share=min(left, 1.0) if film else 1.0)
            count += 1
    return picture if count else picture.copy(), count


def can_be_pasted(face: Face) -> bool:
    """Whether it is turned little enough for :func:`pasted`."""
    return abs(face.yaw or 0.0) < STEEPEST_PASTE


def doubts(face: Face, picture: np.ndarray) -> dict[str, str]:
    """What is wrong with a face in a picture (H,W,3), by the kinds of :data:`DOUBTS`, in a sentence."""
    said, (height, width) = {}, picture.shape[:2]
    if (wide := min(face.box[2:])) < _SMALL_PX:  # of one that lies on its side, the height
        said["small"] = f"the face is only {wide:.0f} px wide; little of the person can be kept"
    outside = 1 - face.share_inside(height, width)
    if outside > _MOST_OUTSIDE:
        said["outside"] = f"{outside:.0%} of the face's crop lies beyond the picture's border"
    if abs(face.yaw or 0.0) >= _PROFILE:
        said["profile"] = DOUBTS["profile"]
    if faces.looks_drawn(picture, face):
        said["drawn"] = DOUBTS["drawn"]
    return said


def remarks(face: Face, picture: np.ndarray) -> list[str]:
    """What there is to be said of a face in a picture before its front view is believed."""
    return list(doubts(face, picture).values())


class Fusion:
    """One front view of a person from many: a mean in which the more frontal and larger faces count more.

    After DR-GAN (Tran et al. 2017, 1705.11136), which weighs several pictures by a learned confidence; here
    it is cos(yaw) squared, times the detector's score, times the width of the face up to that of the view.
    ``count``: views so far; ``weight``: their weights' sum.
    """

    def __init__(self) -> None:
        self._sum: np.ndarray | None = None
        self.weight = 0.0
        self.count = 0

    def add(self, face: Face, view: np.ndarray) -> None:
        """A view (side,side,3), uint8 or uint16, always of one kind."""
        turned = np.cos(np.radians(min(abs(face.yaw or 0.0), 85.0))) ** 2
        weight = float(turned * face.score * min(face.box[2] / len(view), 1.0))
        if self._sum is None:
            self._sum = np.zeros(view.shape, np.float64)
            self._kind = view.dtype
        self._sum += weight * view
        self.weight += weight
        self.count += 1

    def view(self) -> np.ndarray:
        """The mean so far. Raises ValueError before anything was added."""
        if self._sum is None or self.weight <= 0:
            raise ValueError("no view was added")
        return np.rint(self._sum / self.weight).astype(self._kind)
