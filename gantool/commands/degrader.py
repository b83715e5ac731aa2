"""One input of ``gantool degrade``: a picture and its target, a film, or a column of the preview."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantool.commands.jobs import folder_of
from gantool.commands.options import Files
from gantool.console import Console
from gantool.errors import GantoolError, InputError, UsageError
from gantool.plan import Job

if TYPE_CHECKING:
    import numpy as np

    from gantool.degrade import Recipe
    from gantool.media.image import Picture
    from gantool.media.provenance import Provenance

TASK = "degrade"
# A picture that an algorithm altered, none of it made by a trained one.
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicallyEnhanced"
_PREVIEW_SEEDS, _PREVIEW_SIDE_PX = 3, 256

Record = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One call of the command."""

    files: Files
    targets: Path | None
    recipe: str
    scale: int | None
    seed: int
    settings: dict[str, str]
    preview: bool
    quality: int
    max_pixels: int
    metadata: bool


class Degrader:
    """Carries out the jobs of one request with one recipe."""

    def __init__(
        self, request: Request, recipe: Recipe, targets: dict[Path | None, Path], console: Console
    ) -> None:
        self._request = request
        self._recipe = recipe
        self._targets = targets
        self._console = console
        self._warnings: list[str] = []

    def find_noise(self, jobs: tuple[Job, ...]) -> None:
        """For realsr without ``noise_from``: take the noise of the inputs themselves, as the original does.

        Raises InputError when none of them has a smooth part, and for kernels that are none.
        """
        from gantool.degrade.realsr import RealSR

        if not isinstance(self._recipe, RealSR) or self._recipe.noise_from:
            return
        with self._console.task("find noise", len(jobs), unit="image") as progress:

            def photos() -> Iterator[np.ndarray]:
                for job in jobs:
                    self._console.check()
                    if job.kind == "image" and job.source is not None:
                        try:
                            yield self._read(job, job.source, quiet=True)
                        except GantoolError as error:  # its own job says the same as an error
                            self._console.debug(str(error))
                    progress.advance()

            self._recipe = self._recipe.ready(photos())
        self._console.debug(f"{len(self._recipe.patches)} noise patches")

    def run(self, job: Job) -> Record:
        """Do one job and tell what was done. Raises GantoolError; then nothing bears the target's name."""
        self._warnings = []
        began = time.monotonic()
        facts = self._film(job) if job.kind == "video" else self._picture(job)
        seconds = round(time.monotonic() - began, 3)
        return {**self.record(job), **facts, "seconds": seconds, "warnings": self._warnings}

    def record(self, job: Job) -> Record:
        """What is known of a job before it is done."""
        target = self._targets.get(job.source)
        return {
            "source": "-" if job.source is None else str(job.source),
            "output": "-" if job.target is None else str(job.target),
            **({"target": str(target)} if target else {}),
            "task": TASK,
            "recipe": self._recipe.name,
            "scale": self._recipe.scale,
            "seed": self._request.seed,
        }

    def _picture(self, job: Job) -> Record:
        from gantool.media.image import Picture

        if job.source is None:
            source: Path | bytes = sys.stdin.buffer.read()
            if not source:
                raise InputError("standard input is empty", remedy="Pipe one image into gantool")
        else:
            source = job.source
        with self._console.task("standard input" if job.source is None else job.source.name, unit="image"):
            pixels = self._read(job, source)
            low, target = self._recipe.pair(pixels, self._rng(job))
            where = self._targets.get(job.source)
            # First the target: where the result exists, its target does.
            if where is not None and not (self._request.files.skip_existing and where.is_file()):
                self.write(Picture(target), where)
            self.write(Picture(low), job.target)
        return {"kind": "image", "width": low.shape[1], "height": low.shape[0], "frames": 1}

    def _film(self, job: Job) -> Record:
        from gantool.degrade.film import OldFilm
        from gantool.media.video import open_writer, place, probe, read_frames

        assert job.source is not None and job.target is not None  # the plan takes only images from stdin
        if not isinstance(self._recipe, OldFilm):
            remedy = "Use --recipe old-film for films, or take pictures out of it"
            raise InputError(f"{self._recipe.name} is for pictures", job.source, remedy)
        if job.source in self._targets:
            raise InputError("--targets is for pictures", job.source, "Leave it out for films")
        info, count = probe(job.source), 0
        frames = read_frames(job.source, info, warn=self._warner(job))
        stamp = (0, 0)

        def pictures() -> Iterator[np.ndarray]:
            nonlocal stamp
            for frame in frames:
                self._console.check()
                stamp = frame.pts, frame.duration
                yield frame.rgb

        overwrite, warn = self._request.files.overwrite, self._warner(job)
        with (
            self._console.task(job.source.name, info.frames_hint) as progress,
            folder_of(job.target),
            place(job.target, overwrite=overwrite) as temporary,
            open_writer(
                temporary, info, info.width, info.height, provenance=self._provenance(), warn=warn
            ) as writer,
        ):
            for spoiled in self._recipe.apply_clip(pictures(), self._rng(job)):
                writer.write(spoiled, *stamp)
                count += 1
                progress.advance()
        return {"kind": "video", "width": info.width, "height": info.height, "frames": count}

    def column(self, job: Job) -> tuple[np.ndarray, list[np.ndarray]]:
        """The middle of an input, and what each seed makes of it."""
        from gantool.media.video import probe, read_frames

        if job.source is None:
            raise UsageError("--preview needs files", remedy="Name them instead of -")
        if job.kind == "video":
            pixels = next(read_frames(job.source, probe(job.source))).rgb
        else:
            pixels = self._read(job, job.source)
        side = max(_PREVIEW_SIDE_PX // self._recipe.least_side, 1) * self._recipe.least_side
        top, left = (max(0, (size - side) // 2) for size in pixels.shape[:2])
        middle = pixels[top : top + side, left : left + side]
        seeds = 1 if self._recipe.name == "bicubic" else _PREVIEW_SEEDS
        return middle, [self._recipe.apply(middle, self._rng(job, number)) for number in range(seeds)]

    # ---- parts

    def _read(self, job: Job, source: Path | bytes, quiet: bool = False) -> np.ndarray:
        """uint8 sRGB. Raises InputError also when the picture is too small for the recipe."""
        from gantool.media import image

        picture = image.read_picture(source, max_pixels=self._request.max_pixels, to_srgb=True)
        least = self._recipe.least_side
        if min(picture.width, picture.height) < least:
            what = f"{picture.width} x {picture.height} pixels are too few; {least} a side are needed"
            raise InputError(what, job.source, "Use a smaller --scale")
        lost = ("transparency is left out",) if picture.transparent else ()
        for note in () if quiet else (*lost, *picture.notes):
            self._warn(note, job)
        if picture.bits == 8:
            return picture.rgb
        return ((picture.rgb.astype("uint32") + 128) // 257).astype("uint8")

    def _rng(self, job: Job, shift: int = 0) -> np.random.Generator:
        """The generator of one input: by the seed and the file's name, so that a picture comes out the same
        whatever else there is to do, in whatever order."""
        import numpy as np

        name = b"stdin" if job.source is None else os.fsencode(job.source.name)
        key = int.from_bytes(hashlib.sha256(name).digest()[:8])
        return np.random.default_rng(np.random.SeedSequence([self._request.seed + shift, key]))

    def write(self, picture: Picture, target: Path | None) -> None:
        """Write a result to a file, or to standard output. Raises OutputError when that cannot be done."""
        from gantool.media import files, image

        quality, provenance = self._request.quality, self._provenance()
        if target is None:
            self._console.write_bytes(
                image.encode_picture(picture, ".png", quality=quality, provenance=provenance)
            )
            return
        image.check_target(target.suffix, alpha=False, bits=8, width=picture.width, height=picture.height)
        with folder_of(target), files.atomic(target, overwrite=self._request.files.overwrite) as temporary:
            image.write_picture(temporary, picture, quality=quality, provenance=provenance)

    def _provenance(self) -> Provenance | None:
        from gantool import __version__
        from gantool.media.provenance import Provenance

        if not self._request.metadata:
            return None
        return Provenance(TASK, self._recipe.name, __version__, _SOURCE_TYPE)

    def _warn(self, message: str, job: Job) -> None:
        self._warnings.append(message)
        self._console.warn(f"{message} ({'standard input' if job.source is None else job.source})")

    def _warner(self, job: Job) -> Callable[[str], None]:
        return lambda message: self._warn(message, job)
