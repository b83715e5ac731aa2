"""The model of one run: chosen before the first input is read, loaded when the first one has proved good."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from gantool.commands.options import Batch, Files, Hardware, Marks, Model, Quality, Video
from gantool.console import Console
from gantool.errors import DeviceError, GantoolError, OutputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from gantool.catalog import Checkpoint
    from gantool.facestep import FaceStep
    from gantool.interpolation import Between
    from gantool.motion import Flow
    from gantool.ops import flow as optical
    from gantool.pipelines import Pipeline
    from gantool.plan import Job
    from gantool.selection import Choice


@dataclass(frozen=True)
class Request:
    """One call of an inference command.

    ``build``: (net, row, device=, dtype=, warn=) -> Pipeline, or FaceStep.
    ``scale``: output scale asked for, by which ``--model auto`` chooses among upscalers.
    ``temporal``, ``batch_size``: the command's own defaults.
    ``to_srgb``: pictures are brought to sRGB first, because the task makes colours of its own.
    ``steps``: what is done one after the other instead, each a request of its own whose files do not count.
    ``options``: all of the call, by their parameters' names, filled in by ``options.panels`` but for those
    that are there; by them an unfinished film is known again.
    ``moments``: seconds of films at which something begins that was given by its time.
    ``needs``: models that are used beside. ``fuse``: of a film comes one still picture.
    ``between``: the two models of ``--interpolate`` instead of ``model``, and ``mix`` how near to the second.
    """

    task: str
    files: Files
    model: Model
    quality: Quality
    video: Video
    hardware: Hardware
    batch: Batch
    marks: Marks
    build: Callable[..., Pipeline | FaceStep]
    scale: float | None = None
    temporal: Literal["off", "online", "bidirectional"] = "online"
    to_srgb: bool = False
    batch_size: int = 4
    between: tuple[str, str] | None = None
    mix: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Request, ...] = ()
    moments: tuple[float, ...] = ()
    needs: tuple[str, ...] = ()
    fuse: bool = False

    @property
    def mode(self) -> Literal["off", "online", "bidirectional"]:
        """How films are kept steady; frames that the net does not see need that."""
        mode = self.video.temporal or self.temporal
        return "online" if mode == "off" and self.video.every > 1 else mode

    def check(self, jobs: Iterable[Job]) -> None:
        """Refuse before any work what cannot be. Raises UsageError."""
        if self.video.segment is not None and self.files.compare != "off":
            what = "--compare contradicts --segment, which makes no film yet"
            raise UsageError(what, remedy="Leave one of them out")
        for step in self.steps or (self,):
            if step.video.every > 1 and step.video.temporal == "off":
                what = "--every carries results along the motion, --temporal off does not follow it"
                raise UsageError(what, remedy="Leave out one of them")
            photo = next((job for job in jobs if job.kind == "image"), None)
            if step.moments and photo is not None:
                what = "a photo has no times, @TIME is for films"
                raise UsageError(what, photo.source, "Leave out the @ and the time behind it")


class Session:
    """Holds the choice of model and device, and the pipeline once it is built.

    Raises:
        UsageError: no such model, or one of another task.
        DeviceError: the device or precision asked for cannot be had.
        WeightsError: a model file that is named is missing or damaged.
    """

    def __init__(self, request: Request, console: Console) -> None:
        from gantool import devices, parts

        console.check()  # a signal may have been lost in the imports, which take a second
        self.request = request
        self._console = console
        self._pipeline: Pipeline | FaceStep | None = None
        self._flow: optical.Estimator | None = None
        # Who hears what the pipeline has to say; each job sets its own.
        self.warn: Callable[[str], None] = console.warn
        self.device = devices.pick_device(request.hardware.device)
        self._between: Between | None = None
        self.choice = self._chosen()
        self._parts = parts.missing(self.choice.row)
        self._check_licences()
        self.dtype = devices.pick_dtype(request.hardware.precision, self.device, self.choice.row)
        if self.choice.notice:
            console.info(self.choice.notice)

    def _chosen(self) -> Choice:
        from gantool import devices, selection
        from gantool.catalog import load_catalog

        request, catalog = self.request, load_catalog()
        kind = devices.device_class(self.device)
        if request.between is None:
            spec = request.model.model
            return selection.select(
                spec, request.task, catalog=catalog, device_class=kind, scale=request.scale
            )
        from gantool import interpolation

        self._between = interpolation.select(
            request.between,
            request.mix,
            request.task,
            catalog=catalog,
            device_class=kind,
            scale=request.scale,
        )
        return self._between.choice

    def _check_licences(self) -> None:
        """Raise WeightsError now for what could not be downloaded later, without the user's consent."""
        from gantool import hub

        between = self._between
        choices = [self.choice] if between is None else [between.first, between.second]
        rows = [choice.row for choice in choices if choice.path is None]
        for row in () if self.request.model.accept_license else (*rows, *self._parts):
            hub.check_licence(row)

    @property
    def model(self) -> str:
        """Name of the checkpoint in use."""
        return self.choice.row.name

    def fingerprint(self) -> str:
        """The model's name with the hash of its weights, which are fetched if need be. Raises LoadFailed."""
        from gantool.media.files import sha256

        between = self._between
        choices = [self.choice] if between is None else [between.first, between.second]
        try:
            hashes = [sha256(choice.path or self._fetch(choice.row))[:16] for choice in choices]
        except GantoolError as error:
            raise LoadFailed(error) from error
        return f"{self.model} ({' '.join(hashes)})"

    @property
    def precision(self) -> str:
        """ "fp32", "bf16" or "fp16"."""
        from gantool import devices

        return devices.precision_name(self.dtype)

    @property
    def to_download(self) -> int:
        """Bytes that must be fetched before this model can run; 0 when it is here."""
        from gantool import hub
        from gantool.catalog import load_catalog

        own = 0 if self.choice.path is not None else self.choice.row.bytes
        beside = [load_catalog().get(name) for name in self.request.needs]
        rows = (*beside, *self._parts)
        return own + sum(row.bytes for row in rows if hub.cached(row) is None)

    def pipeline(self) -> Pipeline | FaceStep:
        """The pipeline, or what makes views of faces; fetches and loads the weights on the first call.

        Raises:
            LoadFailed: around any expected failure, since it would be the same for every further input.
        """
        if self._pipeline is None:
            try:
                self._pipeline = self._build()
            except GantoolError as error:
                raise LoadFailed(error) from error
        return self._pipeline

    def flow(self) -> Flow:
        """What measures the motion of films, as ``--flow`` says; a net is loaded on the first call.

        Raises LoadFailed as :meth:`pipeline` does.
        """
        name = self.request.video.flow
        if name != "raft":
            return name
        if self._flow is None:
            from gantool import flownet

            try:
                self._flow = flownet.load(
                    self.device, fetch=self._fetch, warn=lambda message: self.warn(message)
                )
            except GantoolError as error:
                raise LoadFailed(error) from error
        return self._flow

    def _build(self) -> Pipeline | FaceStep:
        import torch

        from gantool import devices, parts
        from gantool.pipelines import Pipeline
        from gantool.pipelines.precision import with_fallback

        def warn(message: str) -> None:
            self.warn(message)

        def built(dtype: torch.dtype) -> Pipeline | FaceStep:
            if self._between is not None:
                net, row = self._between.load(self.device, dtype, fetch=self._fetch, warn=warn)
            else:
                row = self.choice.row
                path = self.choice.path or self._fetch(row)
                net, row = parts.load(row, path, self.device, dtype, fetch=self._fetch)
            return self.request.build(net, row, device=self.device, dtype=dtype, warn=warn)

        devices.use_threads(self.request.hardware.threads)
        pipeline = built(self.dtype)
        self._console.debug(f"{pipeline.model} on {self.device} in {self.precision}")
        if self.dtype == torch.float32:
            return pipeline
        if not isinstance(pipeline, Pipeline):
            exact_step = cast("Callable[[], FaceStep]", lambda: built(torch.float32))
            pipeline.maker.fall_back(lambda: exact_step().maker, self.precision, warn)
            return pipeline
        exact = cast("Callable[[], Pipeline]", lambda: built(torch.float32))
        return with_fallback(pipeline, exact, self.precision, warn)

    def _fetch(self, row: Checkpoint) -> Path:
        from gantool import hub

        with self._console.task(f"fetch {row.name}", row.bytes or None, unit="byte") as progress:
            accept = self.request.model.accept_license
            return hub.fetch(row, accept_license=accept, progress=progress)


class LoadFailed(Exception):
    """The model cannot be had; no input can succeed. ``cause`` is the error to report."""

    def __init__(self, cause: GantoolError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def as_expected(error: Exception) -> GantoolError | None:
    """What an exception of torch or the system means to the user, or None when it is a bug."""
    import errno

    from gantool.devices import is_out_of_memory

    if isinstance(error, GantoolError):
        return error
    if isinstance(error, LoadFailed):
        return error.cause
    if is_out_of_memory(error):
        ways = ("--batch-size 1", "a smaller --tile-px", "--device cpu")
        own = isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)  # it is the CPU's memory
        return DeviceError("out of memory", remedy=f"Use {' or '.join(ways[:2] if own else ways)}")
    if isinstance(error, BrokenPipeError):
        return OutputError("the reader of standard output has gone away", remedy="Write to a file with -o")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutputError("no space left on the disk", error.filename, "Free some, or give another -o")
    return None
