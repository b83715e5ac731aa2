"""``--compare``: beside each result, a picture or film of before and after.

It is made of the finished files, so that it shows what was really written and stands in the way of no run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantool.commands.options import Files, Video, rate, seconds
from gantool.console import Console
from gantool.errors import OutputError, UsageError
from gantool.numbered import is_numbered, plain_stem
from gantool.plan import Job

if TYPE_CHECKING:
    from gantool.media.provenance import Provenance

Record = dict[str, Any]
Work = Callable[[Job], Record]

_ANY_SIZE = 1 << 40  # pixels: what gantool wrote itself may be read


def place_of(target: Path) -> Path:
    """``new.png`` -> ``new.compare.png``; of numbered pictures a film, ``new.compare.mp4``."""
    if is_numbered(target):
        return target.with_name(f"{plain_stem(target)}.compare.mp4")
    return target.with_name(f"{target.stem}.compare{target.suffix}")


def planned(job: Job, files: Files) -> Record:
    """What a plan says of a job's comparison: its path as "compare", or nothing."""
    if files.compare == "off" or job.target is None:
        return {}
    return {"compare": str(place_of(job.target))}


def refuse_crops(files: Files) -> None:
    """Refuse to compare a picture with the crop of a face that was made of it. Raises UsageError."""
    if files.compare != "off":
        what = "--compare shows the same picture before and after, and a crop is another one"
        raise UsageError(what, remedy="Add --paste, or leave it out")


def check(jobs: Iterable[Job], files: Files, *, preview: bool = False) -> None:
    """Refuse before any work what could not be compared. Raises UsageError or OutputError."""
    if files.compare == "off":
        return
    if preview:
        raise UsageError("--compare contradicts --preview", remedy="The sheet shows before and after anyway")
    jobs = list(jobs)
    taken = {os.path.realpath(path) for job in jobs for path in (job.source, job.target) if path is not None}
    for job in jobs:
        if job.source is None or job.target is None:
            raise UsageError("--compare needs files", remedy="Name an input, and one with -o, instead of -")
        place = place_of(job.target)
        if os.path.realpath(place) in taken:
            raise OutputError("the comparison is also an input or output", place, "Give another -o")
        taken.add(os.path.realpath(place))
        if place.is_dir():
            raise OutputError("the comparison is a folder", place, "Give another -o")
        if os.path.lexists(place) and not files.overwrite:
            raise OutputError("the output exists", place, "Use --overwrite to replace it")


def comparing(
    work: Work,
    files: Files,
    console: Console,
    *,
    video: Video,
    quality: int,
    max_pixels: int,
    metadata: bool,
) -> Work:
    """``work``, and after each job its comparison, whose path is added to the record as "compare".

    ``metadata``: whether it tells how the result was made.
    """
    if files.compare == "off":
        return work

    def both(job: Job) -> Record:
        record = work(job)
        assert job.source is not None and job.target is not None  # check() has seen to it
        place, mark = place_of(job.target), _mark(record) if metadata else None
        with console.task(f"compare {job.target.name}", record.get("frames"), unit="frame") as progress:
            if job.kind == "image":
                _picture(job, place, files, quality, max_pixels, mark)
            else:
                _film(job, place, files, video, mark, console, progress)
        return record | {"compare": str(place)}

    return both


def _mark(record: Record) -> Provenance:
    from gantool import __version__
    from gantool.media.provenance import Provenance

    return Provenance(record["task"], record.get("model") or record["recipe"], __version__)


def _picture(
    job: Job, place: Path, files: Files, quality: int, max_pixels: int, mark: Provenance | None
) -> None:
    from gantool.compare import compare_pictures
    from gantool.media.files import atomic
    from gantool.media.image import Picture, check_target, read_picture, write_picture

    assert job.source is not None and job.target is not None and files.compare != "off"
    before = read_picture(job.source, max_pixels=max_pixels, to_srgb=True)
    after = read_picture(job.target, max_pixels=_ANY_SIZE, to_srgb=True)
    picture = Picture(compare_pictures(files.compare, before.rgb, after.rgb, (before.alpha, after.alpha)))
    check_target(place.suffix, alpha=False, bits=8, width=picture.width, height=picture.height)
    with atomic(place, overwrite=files.overwrite) as temporary:
        write_picture(temporary, picture, quality=quality, provenance=mark)


def _film(
    job: Job,
    place: Path,
    files: Files,
    video: Video,
    mark: Provenance | None,
    console: Console,
    progress: Any,
) -> None:
    from gantool.compare import compare_films
    from gantool.media.files import atomic
    from gantool.media.video import probe

    assert job.source is not None and job.target is not None and files.compare != "off"
    fps = rate(video.fps, "--fps")
    source = probe(job.source, deinterlace=video.deinterlace == "auto", tonemap=video.tonemap, fps=fps)
    words = ("codec", "crf", "preset", "pix_fmt", "audio", "subtitles")
    with atomic(place, overwrite=files.overwrite) as temporary:
        compare_films(
            files.compare,
            source,
            job.target,
            temporary,
            start=seconds(video.start, "--start") or 0.0,
            duration=seconds(video.duration, "--duration"),
            keep_partial=video.keep_partial,
            writer={name: getattr(video, name) for name in words} | {"provenance": mark},
            progress=progress,
            check=console.check,
        )
