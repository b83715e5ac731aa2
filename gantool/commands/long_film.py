"""A long film of an inference command: begun, gone on with, shared among several, and joined."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantool.commands.options import Video
from gantool.commands.session import Request, Session
from gantool.console import Console
from gantool.errors import OutputError, UsageError
from gantool.numbered import is_numbered, nth, numbers
from gantool.plan import Job

if TYPE_CHECKING:
    from gantool import engine
    from gantool.media.encoders import PicturePlan
    from gantool.segments import Film
    from gantool.workfolder import Segment

Record = dict[str, Any]

# Options that do not change the picture, and those of which the job tells what they came to.
_FREE = {
    *("inputs", "output", "recursive", "from_file", "overwrite", "skip_existing", "fail_fast", "dry_run"),
    *("continue_", "segment", "preview", "keep_partial", "accept_license", "model", "interpolate", "mix"),
    *("denoise_strength", "device", "precision", "threads", "batch_size", "quality", "max_pixels"),
    *("json", "progress", "quiet", "verbose", "compare", "live"),
}
_ENDS = 1 << 20  # bytes from either end by which an input is known again


def check(jobs: Iterable[Job], video: Video) -> None:
    """Refuse what --continue and --segment do not fit, before any work.

    Raises UsageError, and OutputError for a film that is unfinished where neither is given.
    """
    share, jobs = share_of(video.segment), list(jobs)
    if share and (len(jobs) != 1 or jobs[0].kind != "video"):
        raise UsageError("--segment is for one film", remedy="Name a single film")
    if share and (jobs[0].source is None or jobs[0].target is None):
        raise UsageError("--segment needs a file to read and one to write", remedy="Name both in place of -")
    if share and video.preview:
        raise UsageError("--segment contradicts --preview", remedy="Give one or the other")
    if share or video.continue_ or video.preview:
        return
    from gantool.workfolder import WorkFolder

    for job in jobs:
        if job.target is not None and job.kind == "video":
            work = WorkFolder(job.target)
            if work.exists() and not work.is_done():
                raise _unfinished(job.target)


def share_of(text: str | None) -> tuple[int, int] | None:
    """``--segment 2/4`` as (2, 4). Raises UsageError."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--segment {text} is no share", remedy="Give I/N, such as 2/4, with I from 1 to N")
    return int(match[1]), int(match[2])


def is_left_over(target: Path) -> bool:
    """Whether there is a folder of an unfinished film beside ``target``."""
    from gantool.workfolder import folder_for

    return folder_for(target).is_dir()


def planned(job: Job, video: Video) -> Record:
    """What a plan says of a film that will be gone on with: "continued_from", a frame; else nothing."""
    if job.target is None or job.kind != "video" or not video.continue_:
        return {}
    from gantool.workfolder import WorkFolder

    done = sum(len(segment.pts) for segment in WorkFolder(job.target).segments(verify=False).values())
    return {"continued_from": done} if done else {}


def wanted(film: Film, video: Video) -> bool:
    """Whether a film is made in segments: a long one, one of which some are there, or a share."""
    if video.segment is not None:
        if not film.can_be_cut:
            raise UsageError(
                f"a {film.target.suffix} cannot be made in shares", film.target, "Write to .mp4 or .mkv"
            )
        return True
    return film.can_be_cut and (film.is_long or is_left_over(film.target))


class LongFilm:
    """One job, made in segments.

    Args:
        film: what is to be made.
        steps: what is done to its frames; loads the models at the first call.
        warn: told of what the user should know.
    """

    def __init__(
        self,
        film: Film,
        request: Request,
        sessions: Sequence[Session],
        console: Console,
        steps: Callable[[], list[engine.Work]],
        warn: Callable[[str], None],
    ) -> None:
        from gantool.workfolder import WorkFolder

        self.film, self.request, self.sessions = film, request, sessions
        self.console, self.steps, self.warn = console, steps, warn
        self.share = share_of(request.video.segment)
        self.work = WorkFolder(film.target)

    def run(self, label: str) -> Record:
        """Make what is missing, and the film unless this is a share; tells what was done.

        Raises GantoolError; what is finished stays.
        """
        from gantool.segments import missing

        film, files, work = self.film, self.request.files, self.work
        if work.is_done():  # the run before was killed when all was done but the tidying up
            work.remove()
            if self.request.video.continue_:
                return self._made_before()
        if work.exists() and not (self.request.video.continue_ or self.share):
            raise _unfinished(film.target)
        if os.path.lexists(film.target) and not files.overwrite:
            what, remedy = "the output exists", "Use --overwrite to replace or --skip-existing to keep"
            raise OutputError(what, film.target, remedy)
        with work:
            begun = work.job()
            if begun is not None:
                work.begin(self._job(begun["size"]), shared=self.share is not None)
                if not self.share and not missing(work.segments(verify=False)):
                    segments = work.segments()
                    if not missing(segments):  # no model is needed any more
                        return self._join(segments, film.rehearse(tuple(begun["size"]), self.warn), 0)
            return self._make(label, begun is not None)

    def _made_before(self) -> Record:
        from gantool.media.video import probe

        info = probe(self.film.target)
        frames = info.frames_hint or 0
        return {
            "width": info.width,
            "height": info.height,
            "frames": frames,
            "continued_from": frames,
            "stages": {},
        }

    def _make(self, label: str, begun: bool) -> Record:
        from gantool.engine import output_size
        from gantool.segmenting import make_segments

        film, work = self.film, self.work
        steps = self.steps()
        height, width = output_size(steps, film.info.height, film.info.width)
        plan = film.rehearse((width, height), self.warn)
        if not begun:
            work.begin(self._job((width, height)), shared=self.share is not None)
        first, last = film.share(*self.share) if self.share else (0, None)
        there = work.segments(verify=False).items()
        done = sum(len(s.pts) for number, s in there if first <= number and (last is None or number < last))
        if done:
            self.console.info(f"{label}: going on behind {done} frames")
        with self.console.task(label) as progress:
            made = make_segments(
                film,
                work,
                steps,
                plan,
                share=self.share,
                check=self.console.check,
                progress=progress,
                warn=self.warn,
            )
        frames = made.before + made.report.frames
        stages = {name: round(spent, 3) for name, spent in made.report.stages.items()}
        if self.share is None:
            return self._join(made.segments, plan, made.report.frames) | {"stages": stages}
        facts = {"width": plan.width, "height": plan.height, "frames": frames}
        facts |= {"continued_from": made.before} if made.before else {}
        return {**facts, "output": str(work.path), "segment": self.request.video.segment, "stages": stages}

    def _join(self, segments: Mapping[int, Segment], plan: PicturePlan, made: int) -> Record:
        """The film of its segments, of whose frames ``made`` were made by this run."""
        from gantool.segments import join

        overwrite, check = self.request.files.overwrite, self.console.check
        count = join(self.film, self.work, segments, plan, overwrite=overwrite, check=check, warn=self.warn)
        facts: Record = {"width": plan.width, "height": plan.height, "frames": count, "stages": {}}
        return facts | ({"continued_from": count - made} if made < count else {})

    def _job(self, size: Sequence[int]) -> Record:
        """What ``job.json`` says. Under "facts" stands what must not change until the film is done."""
        from gantool import __version__

        film, request = self.film, self.request
        assert film.info.path is not None
        facts = {"the command": request.task, "the input": identity(film.info.path)}
        facts |= {name: _shown(value) for name, value in _options(request)}
        for number, (step, session) in enumerate(
            zip(request.steps or (request,), self.sessions, strict=True)
        ):
            which = f" of step {number + 1}" if request.steps else ""
            own = {"the model": session.fingerprint(), "--device": session.device.type}
            own |= {"--precision": session.precision}
            if request.steps:
                own |= {name: _shown(value) for name, value in _options(step)}
            facts |= {f"{name}{which}": value for name, value in own.items()}
        facts |= {"gantool": __version__, "a segment": f"{film.frames} frames"}
        mark = film.writer.get("provenance")
        return {
            "facts": facts,
            "output": Path(os.path.realpath(film.target)).name,
            "source": str(film.info.path.absolute()),
            "beside": os.path.relpath(film.info.path, self.work.path.parent),
            "probe": {
                "deinterlace": request.video.deinterlace == "auto",
                "tonemap": request.video.tonemap,
                "fps": request.video.fps,
            },
            "size": list(size),
            "span": film.span,
            "frames": film.frames,
            "writer": {**film.writer, "provenance": None if mark is None else asdict(mark)},
        }


def _options(request: Request) -> Iterator[tuple[str, object]]:
    """The options of a call that may change the picture, as users write them."""
    for name, value in request.options.items():
        if name not in _FREE:
            yield f"--{name.replace('_', '-')}", value


def identity(path: Path) -> str:
    """An input in words by which it is known again: size, time of its last change, hash of both ends.

    Numbered pictures are known by their names and sizes. Raises OSError.
    """
    if is_numbered(path):
        pictures = [nth(path, number) for number in numbers(path)]
        status = [picture.stat() for picture in pictures]
        size, latest = sum(one.st_size for one in status), max(one.st_mtime for one in status)
        names = [f"{picture.name} {one.st_size}" for picture, one in zip(pictures, status, strict=True)]
        digest = hashlib.sha256("\n".join(names).encode(errors="surrogateescape"))
    else:
        with path.open("rb") as file:
            size, latest = os.fstat(file.fileno()).st_size, os.fstat(file.fileno()).st_mtime
            digest = hashlib.sha256(file.read(_ENDS))
            file.seek(max(0, size - _ENDS))
            digest.update(file.read())
    changed = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(latest))
    return f"{size} bytes of {changed} ({digest.hexdigest()[:16]})"


def _shown(value: object) -> str:
    """An option's value as text; of a file, with what is in it."""
    if isinstance(value, tuple | list):
        return " ".join(_shown(one) for one in value)
    if isinstance(value, Path):
        with contextlib.suppress(OSError):
            return f"{value.name} ({hashlib.sha256(value.read_bytes()).hexdigest()[:16]})"
    return "" if value is None else str(value)


def _unfinished(target: Path) -> OutputError:
    from gantool.workfolder import folder_for

    folder = folder_for(target)
    remedy = f"Add --continue to go on with it, or remove {folder} to begin anew"
    return OutputError("this film was begun and is not finished", target, remedy)
