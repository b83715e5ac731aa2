"""One job: one input through the pipeline into one output. The input is read before the model is loaded."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantool.commands import long_film, several, streams
from gantool.commands.options import Video, rate, seconds
from gantool.commands.session import Request, Session
from gantool.console import Console
from gantool.errors import InputError, UsageError
from gantool.plan import Job
from gantool.progress import clock_text

if TYPE_CHECKING:
    from gantool import engine
    from gantool.media.image import Picture
    from gantool.media.provenance import Provenance
    from gantool.media.video import VideoInfo

Record = dict[str, Any]


class Runner:
    """Runs the jobs of one request with one model, or with one for each of its steps."""

    def __init__(self, request: Request, sessions: Sequence[Session], console: Console) -> None:
        self._request = request
        self._sessions = sessions
        self._model = " + ".join(session.model for session in sessions)
        self._console = console
        self._warnings: list[str] = []
        self._made: set[str] = set()  # pictures

    def run(self, job: Job) -> Record:
        """Do one job and tell what was done. Raises GantoolError; then nothing bears the target's name."""
        self._warnings = []
        for session in self._sessions:
            session.warn = self._warner(job)
        began = time.monotonic()
        if job.kind == "image":
            facts = self._picture(job)
        elif self._request.fuse:
            facts = self._still(job)
        elif self._request.video.preview:
            facts = self._preview(job)
        else:
            facts = self._video(job)
        return {
            "source": "-" if job.source is None else str(job.source),
            "output": "-" if job.target is None else str(job.target),
            "task": self._request.task,
            "model": self._model,
            "kind": job.kind,
            **facts,
            "seconds": round(time.monotonic() - began, 3),
            "device": str(self._sessions[0].device),
            "precision": " + ".join(dict.fromkeys(session.precision for session in self._sessions)),
            "warnings": self._warnings,
        }

    # ---- kinds of job

    def _picture(self, job: Job) -> Record:
        from gantool import engine
        from gantool.media import image

        if job.source is None:
            source: Path | bytes = streams.stdin_bytes()
        else:
            source = job.source
        picture = image.read_picture(
            source, max_pixels=self._request.quality.max_pixels, to_srgb=self._request.to_srgb
        )
        suffix = _stdout_suffix(picture.format) if job.target is None else job.target.suffix
        # Before the model is loaded: a JPEG cannot hold what this picture has. A face alone has no alpha.
        faces = any(step.task == "frontalize" for step in self._request.steps or (self._request,))
        image.check_target(suffix, alpha=picture.transparent and not faces, bits=picture.bits)
        stages: dict[str, float] = {}
        with self._console.task(_label(job), unit="image"):
            steps = self._steps()
            height, width = engine.output_size(steps, picture.height, picture.width)
            alpha = picture.transparent and not any(several.drops_alpha(step) for step in steps)
            image.check_target(suffix, alpha=alpha, bits=picture.bits, width=width, height=height)
            with _timed(stages, "run"):
                results, facts = several.through(steps, picture, self._warner(job))
            with _timed(stages, "write"):
                facts = several.told(self._write(job, results, suffix), facts)
        if self._request.video.preview:
            self._warn("--preview is for films; the photo was done whole", job)
        if self._request.fuse:
            self._warn("--fuse is for films; the photo was done by itself", job)
        for note in picture.notes:
            self._warn(note, job)
        size = {"width": results[0].width, "height": results[0].height}
        return {**size, "frames": 1, **facts, "stages": stages}

    def _still(self, job: Job) -> Record:
        """One picture of all frames of a film."""
        from gantool import facepass
        from gantool.facestep import FaceStep
        from gantool.media.image import Picture

        began = time.monotonic()
        with self._probed(job) as info:
            start, duration = self._span(info)
            first, *rest = self._steps()
            assert isinstance(first, FaceStep)
            with self._console.task(_label(job)) as progress:
                view, frames = facepass.fused(
                    info,
                    first,
                    start=start,
                    duration=duration,
                    keep_partial=self._request.video.keep_partial,
                    check=self._console.check,
                    progress=progress,
                    warn=self._warner(job),
                )
                (result,), _ = several.through(rest, Picture(view), self._warner(job))
                self._write(job, [result], ".png" if job.target is None else job.target.suffix)
        stages = {"run": round(time.monotonic() - began, 3)}
        return {"width": result.width, "height": result.height, "frames": frames, "stages": stages}

    def _video(self, job: Job) -> Record:
        with self._probed(job) as info:
            return self._film(job, info)

    def _film(self, job: Job, info: VideoInfo) -> Record:
        from gantool import engine
        from gantool.media.video import probe
        from gantool.segments import Film

        start, duration = self._span(info)
        get_steps = partial(self._steps, info)
        try_encoder(_named(job), self._request.video, info)
        if job.source is not None and job.target is not None:
            film = Film(info, job.target, self._writer(), start, duration, self._request.video.keep_partial)
            if long_film.wanted(film, self._request.video):
                words = (self._request, self._sessions, self._console, get_steps, self._warner(job))
                with folder_of(job.target):
                    return long_film.LongFilm(film, *words).run(_label(job))
        steps = get_steps()
        with self._console.task(_label(job)) as progress, self._place(job) as (temporary, writer):
            report = engine.run_video(
                info,
                temporary,
                steps,
                writer={**self._writer(), **writer},
                start=start,
                duration=duration,
                keep_partial=self._request.video.keep_partial,
                check=self._console.check,
                progress=progress,
                warn=self._warner(job),
            )
            height, width = engine.output_size(steps, info.height, info.width)
            with contextlib.suppress(InputError):  # the encoder may have padded odd sides
                written = probe(temporary)
                height, width = written.height, written.width
        stages = {name: round(spent, 3) for name, spent in report.stages.items()}
        return {"width": width, "height": height, "frames": report.frames, "stages": stages}

    def _preview(self, job: Job) -> Record:
        with self._probed(job) as info:
            return self._sheet(job, info)

    def _sheet(self, job: Job, info: VideoInfo) -> Record:
        from gantool import engine
        from gantool.preview import preview

        start, duration = self._span(info)
        (step,) = self._steps(info)
        if not isinstance(step, engine.Step):
            raise UsageError("--preview is not for frontalize", remedy="--duration 5 makes a short film")
        with self._console.task(f"preview {_label(job)}"):
            made = preview(
                info,
                step,
                writer=self._writer(),
                start=start,
                duration=duration,
                check=self._console.check,
                warn=self._warner(job),
            )
            self._write(job, [made.sheet], ".png" if job.target is None else job.target.suffix)
        if made.seconds is not None:
            part = (start, duration) != (0.0, None)
            what = f"{'that part' if part else 'all'} of {job.source or 'it'}"
            self._console.info(f"{what} will take about {clock_text(made.seconds)}")
        estimate = None if made.seconds is None else round(made.seconds, 1)
        return {
            "width": made.sheet.width,
            "height": made.sheet.height,
            "frames": 1,
            "estimate_seconds": estimate,
            "stages": {},
        }

    # ---- parts

    @contextlib.contextmanager
    def _probed(self, job: Job) -> Iterator[VideoInfo]:
        """What the film is; while the body runs, it can be read."""
        from gantool.media.vectors import with_vectors

        options = self._request.video
        with streams.stdin_file() if job.source is None else contextlib.nullcontext(job.source) as source:
            info = probed(source, options)
            if any(session.request.video.flow == "codec" for session in self._sessions):
                info = with_vectors(info)
            if info.numbered and options.fps is None:
                self._console.info(f"{job.source}: {info.fps} frames/s; --fps says otherwise")
            yield info

    @contextlib.contextmanager
    def _place(self, job: Job) -> Iterator[tuple[Path, dict[str, Any]]]:
        """What to write instead of the target, and what its writer must know of it."""
        from gantool.media.video import place

        if job.target is None:
            sink = streams.Sink(self._console.out)
            yield _named(job), {"sink": sink}
            sink.close()
            return
        overwrite = self._request.files.overwrite
        warn = self._warner(job)
        with folder_of(job.target), place(job.target, overwrite=overwrite, warn=warn) as temporary:
            yield temporary, {"quality": self._request.quality.quality}

    def _span(self, info: VideoInfo) -> tuple[float, float | None]:
        """--start and --duration in seconds, within the film."""
        options = self._request.video
        start = seconds(options.start, "--start") or 0.0
        duration = seconds(options.duration, "--duration")
        if duration == 0:
            raise UsageError("--duration 0 leaves no frame", remedy="Give a longer one")
        if info.duration is not None and start >= info.duration:
            what = f"--start {options.start} is behind the end of the film ({info.duration:.2f} s)"
            raise UsageError(what, info.path, "Give an earlier one")
        return start, duration

    def _steps(self, info: VideoInfo | None = None) -> list[engine.Work]:
        """What is done to a picture, or to a film's frames; fetches and loads models on the first call."""
        from gantool import engine

        steps = [_step(session) for session in self._sessions]
        if info is None:
            return steps
        pairs = zip(steps, self._sessions, strict=True)
        return [
            replace(step, moment=self._moment(session.request, info))
            if isinstance(step, engine.Step)
            else step
            for step, session in pairs
        ]

    def _moment(self, request: Request, info: VideoInfo) -> Callable[[float], float]:
        """What the pipeline is told of times, so that what was given by its time begins with its scene."""
        if not request.moments:
            return float
        from gantool.scenes import moments

        with self._console.task("look for scenes"):
            return moments(info, request.moments, self._console.check)

    def _writer(self) -> dict[str, Any]:
        """Options of ``VideoWriter``."""
        video = self._request.video
        names = ("codec", "crf", "preset", "pix_fmt", "audio", "subtitles")
        return {name: getattr(video, name) for name in names} | {"provenance": self._provenance()}

    def _provenance(self) -> Provenance | None:
        from gantool import __version__
        from gantool.media.provenance import Provenance

        if not self._request.marks.metadata:
            return None
        return Provenance(self._request.task, self._model, __version__)

    def _write(self, job: Job, pictures: Sequence[Picture], suffix: str) -> list[Path]:
        """Write the pictures of a job, all or none; returns where, nothing for standard output."""
        from gantool.media import image

        targets = several.places(job.target, len(pictures), self._made)
        options: dict[str, Any] = {"quality": self._request.quality.quality, "provenance": self._provenance()}
        if job.target is None:
            self._console.write_bytes(image.encode_picture(pictures[0], suffix, **options))
            return targets
        with folder_of(job.target):
            several.write(targets, pictures, overwrite=self._request.files.overwrite, **options)
        return targets

    def _warn(self, message: str, job: Job) -> None:
        if message in self._warnings:  # once, not for every frame
            return
        self._warnings.append(message)
        self._console.warn(f"{message} ({'standard input' if job.source is None else job.source})")

    def _warner(self, job: Job) -> Callable[[str], None]:
        return lambda message: self._warn(message, job)


def probed(source: Path, options: Video) -> VideoInfo:
    """What a film is, as it will be read. Raises InputError, and UsageError for a wrong ``--fps``."""
    from gantool.media import video

    whole, fps = options.deinterlace == "auto", rate(options.fps, "--fps")
    return video.probe(source, deinterlace=whole, tonemap=options.tonemap, fps=fps)


def try_encoder(target: Path, options: Video, info: VideoInfo | None = None) -> None:
    """Raise EncoderError if a film cannot be encoded as it is wanted, of the source ``info`` or of any."""
    from gantool.media import video

    words = {name: getattr(options, name) for name in ("codec", "crf", "preset", "pix_fmt")}
    video.try_encoder(target, info, **words)


def _step(session: Session) -> engine.Work:
    """A session's pipeline with the options of its request."""
    from gantool import engine
    from gantool.pipelines import Pipeline
    from gantool.temporal import TemporalOptions

    request, options = session.request, session.request.video
    temporal, pipeline = None, session.pipeline()
    if options.every > 1 and getattr(pipeline, "blend", None) is None:
        what = f"{request.task} makes every frame by itself; nothing can be carried to the next"
        raise UsageError(what, remedy="Leave out --every")
    if not isinstance(pipeline, Pipeline):
        return pipeline
    if request.mode != "off":
        temporal = TemporalOptions(request.mode, options.temporal_strength, session.flow(), options.every)
    size = request.batch.batch_size or request.batch_size
    return engine.Step(pipeline, temporal, size, request.quality.strength)


@contextlib.contextmanager
def folder_of(target: Path) -> Iterator[None]:
    """Make the target's missing folders; when the body fails, those that it made are gone again."""
    from gantool.media.files import output_error

    made: list[Path] = []
    folder = target.parent
    while not folder.exists():
        made.append(folder)
        folder = folder.parent
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(error, target) from error
        yield
    except BaseException:
        for folder in made:
            with contextlib.suppress(OSError):  # another job has put something there meanwhile
                folder.rmdir()
        raise


def _named(job: Job) -> Path:
    """A film's target; "-" is standard output."""
    return Path("-") if job.target is None else job.target


def _label(job: Job) -> str:
    return "standard input" if job.source is None else job.source.name


def _stdout_suffix(source_format: str) -> str:
    return {"JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tif", "AVIF": ".avif"}.get(source_format, ".png")


@contextlib.contextmanager
def _timed(stages: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    stages[name] = round(time.monotonic() - began, 3)
