"""Films as numbered pictures, read and written: ``frames/%05d.png``."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from gantool.errors import EncoderError, GantoolError, InputError, OutputError
from gantool.media.decode import Frame
from gantool.media.files import atomic, output_error
from gantool.media.image import Picture, read_picture, write_picture
from gantool.media.info import NUMBERED, VideoInfo
from gantool.media.ycbcr import in_depth
from gantool.numbered import is_numbered, nth, numbers

if TYPE_CHECKING:
    from gantool.media.provenance import Provenance

USUAL_RATE = Fraction(25)


def probe_pictures(pattern: Path, fps: Fraction | None = None) -> VideoInfo:
    """The film that numbered pictures make at ``fps`` frames per second (None: 25).

    Raises InputError when there is none, when a number is missing in between, or when the first is damaged.
    """
    known = _whole(pattern)
    first = read_picture(nth(pattern, known[0]), to_srgb=True)
    fps = fps or USUAL_RATE
    return VideoInfo(
        path=pattern,
        width=first.width,
        height=first.height,
        fps=fps,
        time_base=1 / fps,
        duration=float(len(known) / fps),
        end_pts=len(known),
        frames_hint=len(known),
        pix_fmt="rgb48le" if first.bits > 8 else "rgb24",
        bits=first.bits,
        alpha=first.transparent,
        full_range=True,
        container=NUMBERED,
        codec=first.format.lower(),
    )


def read_pictures(
    info: VideoInfo,
    *,
    start: float,
    duration: float | None,
    from_pts: int | None,
    deep: bool,
    warn: Callable[[str], None],
) -> Iterator[Frame]:
    """The pictures as frames, their ``pts`` counted from 0; see ``read_frames``."""
    assert info.path is not None
    known = _whole(info.path)
    begin = _index(max(start, 0.0), info.fps)
    end = len(known) if duration is None else min(len(known), _index(max(start, 0.0) + duration, info.fps))
    if begin >= end:
        what = f"no frame lies in the chosen part, the pictures last {float(len(known) / info.fps):.2f} s"
        raise InputError(what, info.path, "Change --start or --duration")
    for index in range(max(begin, from_pts or 0), end):
        path = nth(info.path, known[index])
        picture = read_picture(path, to_srgb=True)
        if (picture.width, picture.height) != (info.width, info.height):
            sizes = f"{picture.width}x{picture.height}, not {info.width}x{info.height} as the first"
            raise InputError(f"this picture has {sizes}", path, "Make all pictures of one size")
        if picture.transparent:
            warn("the transparency channel is left out")
        for note in picture.notes:
            warn(note)
        yield Frame(in_depth(picture.rgb, deep=deep), index, float(index / info.fps), 1)


def _index(seconds: float, fps: Fraction) -> int:
    """The first picture at or after a time; a hundredth of one may be missing to it."""
    return -int((Fraction(1, 100) - Fraction(seconds).limit_denominator(1_000_000) * fps) // 1)


def _whole(pattern: Path) -> list[int]:
    """The numbers that there are. Raises InputError when none is there, or one is missing in between."""
    try:
        known = numbers(pattern)
    except OSError as error:
        raise InputError(
            f"the folder cannot be read: {error.strerror}", pattern.parent, "Check it"
        ) from error
    if not known:
        raise InputError("there is no picture of that name", pattern, "Check the name and its digits")
    if known[-1] - known[0] >= len(known):
        missing = next(a + 1 for a, b in itertools.pairwise(known) if b != a + 1)
        many = known[-1] - known[0] + 1 - len(known)
        what = f"picture {nth(pattern, missing).name} is missing" + (f" and {many - 1} more" * (many > 1))
        raise InputError(what, pattern, "Number the pictures without a gap")
    return known


class PictureWriter:
    """Writes frames as numbered pictures; used like ``VideoWriter``.

    Pictures bear the numbers of the source's, where that is numbered too, and otherwise count from 1.

    Args:
        path: a pattern; its suffix chooses the format. 16 bits are kept in PNG and TIFF.
        info: the source.
        width, height: size of the frames, in pixels.
        quality: of JPEG, WebP and AVIF, 0 to 100.
        audio, subtitles: whether the source's sound and subtitles are wanted; pictures have none.
        provenance: the mark that says who made each picture; None writes none.
        warn: told what is lost.

    Raises OutputError when a picture cannot be written.
    """

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        width: int,
        height: int,
        *,
        quality: int = 95,
        audio: bool = True,
        subtitles: bool = True,
        provenance: Provenance | None = None,
        warn: Callable[[str], None] | None = None,
        **_: Any,
    ) -> None:
        self.path, self.info, self.size = path, info, (height, width)
        self.quality, self.provenance = quality, provenance
        self.count = 0
        self.first = _whole(info.path)[0] if info.path is not None and info.container == NUMBERED else None
        warn = warn or (lambda message: None)
        if audio and info.audio:
            warn("pictures have no sound; it is left out")
        if subtitles and info.subtitles:
            warn("pictures have no subtitles; they are left out")
        if info.sar != 1:
            sar = f"{info.sar.numerator}:{info.sar.denominator}"
            warn(f"pictures do not keep the pixel aspect {sar}")
        if info.variable_rate:
            warn("pictures do not keep the times of a variable frame rate")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self.count == 0:
            raise EncoderError("no frame was given to the encoder", self.path)

    def write(self, rgb: np.ndarray, pts: int, duration: int = 0) -> None:
        """Add a frame: (H,W,3) RGB, uint8 or uint16."""
        del duration
        if rgb.shape != (*self.size, 3):
            raise ValueError(f"a frame of {self.size} RGB is wanted, not {rgb.shape}")
        number = self.count + 1 if self.first is None else self.first + pts
        target = nth(self.path, number)
        write_picture(target, Picture(rgb), quality=self.quality, provenance=self.provenance)
        self.count += 1


@contextlib.contextmanager
def place(target: Path, *, overwrite: bool, warn: Callable[[str], None] | None = None) -> Iterator[Path]:
    """Yield what to write instead of ``target``; when the body ends well, it gets that name.

    A file is written beside its target, see :func:`gantool.media.files.atomic`. Numbered pictures are written
    into a hidden folder beside them and moved together at the end; those of other numbers, which may be parts
    of the same film, stay, and ``warn`` is told. Raises OutputError as ``atomic`` does.
    """
    if not is_numbered(target):
        with atomic(target, overwrite=overwrite) as temporary:
            yield temporary
        return
    folder = target.parent / f".gantool-{secrets.token_hex(4)}"
    try:
        try:
            folder.mkdir()
        except OSError as error:
            raise output_error(error, target) from error
        try:
            yield folder / target.name
        except GantoolError as error:
            if error.file is not None and Path(error.file).parent == folder:
                error.file = str(target)
            raise
        others = _move(folder / target.name, target, overwrite)
        if others and warn is not None:
            first, last = nth(target, others[0]).name, nth(target, others[-1]).name
            which = first if len(others) == 1 else f"{first} to {last}"
            warn(f"pictures of before stay: {which}; remove them if they are of another film")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(made: Path, target: Path, overwrite: bool) -> list[int]:
    """Give pictures their names, once they are on the disk; none of another's without ``overwrite``.

    Returns the numbers of other pictures that are there.
    """
    try:
        there, known = set(numbers(target)), numbers(made)
        if there and not overwrite:
            remedy = "Use --overwrite to replace them, or --skip-existing to keep them"
            raise OutputError("the output exists", target, remedy)
        for number in known:
            descriptor = os.open(nth(made, number), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        for number in known:
            nth(made, number).replace(nth(target, number))
    except OSError as error:
        raise output_error(error, target) from error
    return sorted(there.difference(known))
