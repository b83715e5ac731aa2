"""Front views of a film: whoever is shown is followed from frame to frame, and no frame is lost.

The face that is largest when a scene begins is shown until it is gone for half a second, or the scene ends;
then the one that is largest there. Where it is not found, the last view stays (before the first: black); of
whole frames with the face put back, such frames stay as they are. How many there were is told at the end.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from gantool.engine import Progress, expected_frames, frame_bytes
from gantool.errors import InputError
from gantool.faces import Face, Follower, chosen
from gantool.media.video import Frame, VideoInfo, read_frames
from gantool.motion import MotionTracker, is_repeat
from gantool.ops import flow as optical
from gantool.passes import State
from gantool.pipelines import frontalize
from gantool.pipelines.frontalize import Fusion
from gantool.stages import Relay

if TYPE_CHECKING:
    from gantool.facestep import FaceStep

# What is counted, in this order in a state: frames, those with any face, with one that was to be shown, that
# was shown, and how many there had been when the first was found.
_COUNTS = ("frames", "any", "found", "shown", "begun", *frontalize.DOUBTS)

# Levels between two frames, seen from afar, below which neither is their difference that of a cut (10) nor so
# large that one after it is not seen (a cut differs 2.5 times as much as the frames before it).
_AFAR_PX, _NO_CUT = 96, 4.0


class Seen(NamedTuple):
    """A frame and the faces found in it that are to be shown.

    ``number``: who is followed (0: nobody yet). ``any``: whether any face was found. ``repeat``: the frame is
    the one before. Of the first frame of a part only: ``part``, and ``before``, what was remembered there.
    """

    frame: Frame
    faces: list[Face]
    number: int
    any: bool
    repeat: bool
    part: int | None = None
    before: State | None = None


class FacePass:
    """A :class:`FaceStep` at work on one film; made and used as :class:`gantool.passes.Pass` is."""

    stage = "faces"
    ahead = 0
    filter = None

    def __init__(
        self, step: FaceStep, warn: Callable[[str], None], part: Callable[[Frame], int] | None = None
    ) -> None:
        self.step, self.warn, self.part = step, warn, part
        self.seconds = {"net": 0.0}
        self._motion = MotionTracker(_enough_for_cuts)
        self._follower = None if step.find is None else Follower(step.find)
        self._number = 0
        self._frame: np.ndarray | None = None
        self._last: tuple[list[Face], bool] = [], False
        self._begun = False
        self._result = np.empty(0, np.uint8)
        self._counts: Counter[str] = Counter()
        self._counted: set[str] = set()  # of the last frame
        self._most_px = 0.0  # that a frame had of a face to show
        self._states: dict[int, State] = {}

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of what becomes of a frame of that size."""
        return self.step.output_size(height, width)

    # ---- what is remembered

    def state(self, part: int) -> State:
        """What was remembered just before the first frame of a part, for :meth:`restore`; once."""
        found = self._states[part]
        for known in [known for known in self._states if known <= part]:
            del self._states[known]
        return found

    def restore(self, state: State) -> None:
        """Go on with the part before which another pass of the same step had this state."""
        self._begun = True
        self._result = state["result"]
        self._counts = Counter(dict(zip(_COUNTS, map(int, state["counts"][0]), strict=True)))
        self._counted = {name for name, is_so in zip(_COUNTS, state["counts"][1], strict=True) if is_so}
        self._number = int(state["number"])
        if self._follower is None:
            self._frame = state.get("frame")
            return
        self._motion.restore({name[7:]: value for name, value in state.items() if name[:7] == "motion_"})
        self._follower.restore(state["tracks"], int(state["people"]))

    def _remembered(self) -> State:
        """What :meth:`follow` remembers."""
        state = {"number": np.asarray(self._number)}
        if self._follower is None:
            return state if self._frame is None else state | {"frame": self._frame}
        motion = {f"motion_{name}": value for name, value in self._motion.state().items()}
        tracks, people = self._follower.state()
        return {**state, **motion, "tracks": tracks, "people": np.asarray(people)}

    # ---- on the way

    def follow(self, frames: Iterator[Frame]) -> Iterator[Seen]:
        """Frames with the faces to show."""
        if self.part is None:
            yield from map(self._seen, frames)
            return
        for number, group in groupby(frames, self.part):
            before = self._remembered() if self._begun else None
            self._begun = True
            part = map(self._seen, group)
            yield next(part)._replace(part=number, before=before)
            yield from part

    def _seen(self, frame: Frame) -> Seen:
        cut = False
        if self._follower is None:
            repeat = is_repeat(frame.rgb, self._frame)
            self._frame = frame.rgb
        else:
            motion = self._motion.next(frame.rgb)
            repeat, cut = motion.repeat, motion.cut
        if not repeat:
            self._last = self._found(frame, cut)
        return Seen(frame, self._last[0], self._number, self._last[1], repeat)

    def _found(self, frame: Frame, cut: bool) -> tuple[list[Face], bool]:
        """The faces to show that were found in a frame, and whether any was."""
        if self._follower is None:
            self._number = 1
            return self.step.faces_in(frame.rgb), True
        there = self._follower.step(frame.rgb, frame.time, cut=cut)
        found = [one for one in there if one.found]
        if self.step.which == "all":
            return [one.face for one in found], bool(found)
        if all(one.number != self._number for one in there):  # gone, or a new scene
            place = 0 if self.step.which == "largest" else int(self.step.which) - 1
            self._number = found[place].number if place < len(found) else 0
        return [one.face for one in found if one.number == self._number], bool(found)

    def results(self, followed: Iterator[Seen]) -> Iterator[Frame]:
        """A frame for each, at its time.

        Raises InputError behind the last one when there was nothing to show in any.
        """
        for seen in followed:
            if seen.part is not None and seen.before is not None:
                counts = np.array([(self._counts[name], name in self._counted) for name in _COUNTS]).T
                self._states[seen.part] = {**seen.before, "counts": counts, "result": self._result}
            if not (seen.repeat and self._result.size):
                began = time.perf_counter()
                self._result = self._made(seen)
                self.seconds["net"] += time.perf_counter() - began
            self.count(seen)
            vectors = seen.frame.vectors if self.step.paste else None  # theirs is the frame, not the crop
            yield replace(seen.frame, rgb=self._result, vectors=vectors)
        self.tell()

    def _made(self, seen: Seen) -> np.ndarray:
        rgb, step = seen.frame.rgb, self.step
        if step.paste:
            some = [face for face in seen.faces if frontalize.can_be_pasted(face)]
            if not some or step.strength == 0:
                return rgb
            return frontalize.pasted(rgb, some, step.views(rgb, some), film=True)[0]
        if seen.faces:
            return step.views(rgb, seen.faces[:1])[0]
        if self._result.size and self._result.dtype == rgb.dtype:
            return self._result
        return np.zeros((step.view_side, step.view_side, 3), rgb.dtype)

    # ---- what is told

    def count(self, seen: Seen) -> None:
        """Count a frame for :meth:`tell`; a repeat counts as the frame before did."""
        if not seen.repeat:
            some = seen.faces
            shown = [face for face in some if frontalize.can_be_pasted(face)] if self.step.paste else some
            true = {"frames": True, "any": seen.any, "found": bool(some), "shown": bool(shown)}
            kinds = {kind for face in some for kind in frontalize.doubts(face, seen.frame.rgb)}
            self._counted = {name for name, is_so in true.items() if is_so} | kinds
            self._most_px = max([self._most_px, *(face.crop_px for face in some)])
        self._counts.update(self._counted)
        if "found" in self._counted and not self._counts["begun"]:
            self._counts["begun"] = self._counts["frames"]

    def tell(self, without_face: str = "") -> None:
        """Say in how many frames something is not as it should be. Raises InputError if it is in all.

        ``without_face``: what becomes of frames without a face, where that is not what :meth:`results` does.
        """
        counts, step = self._counts, self.step
        frames = counts["frames"]
        if not frames:
            return
        if not counts["any"]:
            chosen([], step.which)  # says so
        if not counts["found"]:
            what = f"there is no face {step.which} in any of {frames} frames"
            raise InputError(what, remedy="Try --faces largest")
        if not counts["shown"]:
            what = f"in all frames the face is turned by {frontalize.STEEPEST_PASTE:.0f} degrees or more"
            raise InputError(what, remedy="Leave out --paste to get the front view alone")
        without, turned = frames - counts["found"], counts["found"] - counts["shown"]
        if without:
            how = "the last view stands there"
            if without_face or step.paste:
                how = without_face or "they stay as they are"
            elif counts["begun"] > 1:
                first = counts["begun"] - 1
                how = f"the first {first} are black" if first > 1 else "the first is black"
                how += "; elsewhere the last view stands" if without >= counts["begun"] else ""
            self.warn(f"no face to show was found in {without} of {frames} frames; {how}")
        if turned:
            self.warn(f"in {turned} of {frames} frames the face is turned too far; they stay as they are")
        for remark in step.could_be_larger(self._most_px):
            self.warn(remark)
        for kind, sentence in frontalize.DOUBTS.items():
            if counts[kind]:
                self.warn(f"in {counts[kind]} of {frames} frames {sentence}")


def fused(
    info: VideoInfo,
    step: FaceStep,
    *,
    start: float = 0.0,
    duration: float | None = None,
    keep_partial: bool = False,
    check: Callable[[], None] | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> tuple[np.ndarray, int]:
    """One front view of the face that a film shows most, and of how many frames it was made.

    Arguments and errors as for :func:`gantool.engine.run_video`; InputError where there is no face. A still
    picture cannot say that its pixels are not square, so those of the film are made so first.
    """
    assert info.path is not None
    passing = step.begin(warn)
    people: dict[int, Fusion] = {}
    part = {"start": start, "duration": duration, "keep_partial": keep_partial}
    if progress is not None:
        progress.total(expected_frames(info, start, duration))
    with Relay(check) as relay:
        decode = partial(read_frames, info.path, info, **part, deep=info.deep, warn=warn)
        frames = relay.source("decode", decode, frame_bytes)
        if step.find is not None:  # a box is told in the film's own pixels
            frames = (replace(frame, rgb=_as_shown(frame.rgb, info.sar)) for frame in frames)
        follow = partial(passing.follow, frames)
        for seen in relay.source(passing.stage, follow, lambda one: frame_bytes(one.frame)):
            passing.count(seen)
            for face in [] if seen.repeat else seen.faces:
                (view,) = step.views(seen.frame.rgb, [face])
                people.setdefault(seen.number, Fusion()).add(face, view)
            if progress is not None:
                progress.advance(1)
    passing.tell("they are left out")
    most = max(people.values(), key=lambda one: one.weight)
    if len(people) > 1:
        warn(f"{len(people)} faces are shown one after the other; this is the one that is seen best")
    return most.view(), most.count


def _as_shown(rgb: np.ndarray, sar: Fraction) -> np.ndarray:
    """A frame (H,W,3) with square pixels, none of them lost."""
    if sar == 1:
        return rgb
    height, width = rgb.shape[:2]
    size = (round(width * sar), height) if sar > 1 else (width, round(height / sar))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC)


def _enough_for_cuts(gray: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """The flow between two grey pictures (h,w) -> (h,w,2), but rest where they are too alike for a cut."""
    afar = [cv2.resize(one, (_AFAR_PX, _AFAR_PX), interpolation=cv2.INTER_AREA) for one in (gray, earlier)]
    if float(cv2.absdiff(*afar).mean()) < _NO_CUT:
        return np.zeros((*gray.shape, 2), np.float32)
    return optical.estimate(gray, earlier, "dis")
