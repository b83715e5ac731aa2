"""gantool: translate images and videos with GANs.

The command line is ``gantool``; these functions run the same pipelines on arrays and PIL images::

    import gantool
    color = gantool.colorize(gray)             # numpy (H,W), (H,W,3) or a PIL image
    large = gantool.upscale(photo, scale=4)
    [(front, facts)] = gantool.frontalize(photo)
    gantool.run_video("old.mp4", "color.mp4")

Nothing heavy is imported until one of them is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from fractions import Fraction
    from os import PathLike

    import numpy as np
    from PIL.Image import Image

    from gantool.engine import VideoReport, Work
    from gantool.facestep import FaceStep
    from gantool.pipelines import Pipeline
    from gantool.pipelines.style import Style

    ImageLike = TypeVar("ImageLike", np.ndarray, Image)

__all__ = ["colorize", "frontalize", "load", "run_video", "style", "translate", "upscale"]

_TASKS = ("colorize", "translate", "upscale", "style", "frontalize")
_FACES = "gantool.facestep"


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("gantool")
    raise AttributeError(f"module 'gantool' has no attribute '{name}'")


@overload
def load(task: Literal["frontalize"], model: str = "auto", **options: Any) -> FaceStep: ...


@overload
def load(
    task: Literal["colorize", "translate", "upscale", "style"], model: str = "auto", **options: Any
) -> Pipeline: ...


@overload
def load(task: str, model: str = "auto", **options: Any) -> Any: ...


def load(
    task: str,
    model: str = "auto",
    *,
    device: str = "auto",
    precision: str = "auto",
    interpolate: tuple[str, str] | None = None,
    mix: float = 0.8,
    **options: Any,
) -> Pipeline | FaceStep:
    """A pipeline that can be used many times; fetches the model if ``model`` names one that is not here.

    Args:
        task: "colorize", "translate", "upscale", "style" or "frontalize".
        model: as ``--model``: auto, builtin, a name, a path or hf:owner/repo/file.
        device, precision: as on the command line.
        interpolate, mix: two models instead of ``model``, and how near the net between them is to the second.
        options: those of ``gantool.pipelines.<task>.build`` (``scale``, ``render_size``, ``styles``, ...), of
            frontalize of ``gantool.facestep.build``, whose detector is fetched if it is not here.

    Raises:
        GantoolError: of the kind that the command line would end with.
    """
    import warnings
    from importlib import import_module

    import torch

    from gantool import devices, hub, interpolation, parts, selection
    from gantool.catalog import load_catalog
    from gantool.errors import UsageError
    from gantool.pipelines.precision import with_fallback

    if task not in _TASKS:
        raise UsageError(f"unknown task '{task}'", remedy=f"Tasks are {', '.join(_TASKS)}")
    if interpolate is not None and model != "auto":
        raise UsageError("interpolate contradicts model", remedy="Give one or the other")
    target, scale = devices.pick_device(device), options.get("scale")
    kind, catalog = devices.device_class(target), load_catalog()
    build = import_module(_FACES if task == "frontalize" else f"gantool.pipelines.{task}").build
    between = None
    if interpolate is None:
        choice = selection.select(model, task, catalog=catalog, device_class=kind, scale=scale)
    else:
        between = interpolation.select(
            interpolate, mix, task, catalog=catalog, device_class=kind, scale=scale
        )
        choice = between.choice

    def built(dtype: torch.dtype) -> Any:
        if between is None:
            net, row = parts.load(choice.row, choice.path or hub.fetch(choice.row), target, dtype)
        else:
            net, row = between.load(target, dtype)
        return build(net, row, device=target, dtype=dtype, **options)

    dtype = devices.pick_dtype(precision, target, choice.row)
    ready, precision = built(dtype), devices.precision_name(dtype)
    if dtype == torch.float32:
        return ready
    if task == "frontalize":
        ready.maker.fall_back(lambda: built(torch.float32).maker, precision, warnings.warn)
        return ready
    return with_fallback(ready, lambda: built(torch.float32), precision, warnings.warn)


def colorize(
    image: ImageLike, *, strength: float = 1.0, pipeline: Pipeline | None = None, **options: Any
) -> ImageLike:
    """Colour a picture; its lightness is kept.

    Args:
        image: an array (H,W), (H,W,1), (H,W,3) or (H,W,4) of uint8 or uint16, RGB; or a PIL image, which is
            turned upright if its EXIF block says so.
        strength: 0..1, how much of the effect; 0 returns the input.
        pipeline: one of :func:`load`, for many pictures; None loads the model anew on every call.
        options: those of :func:`load`, when there is no ``pipeline``.

    Returns:
        The same kind: an array (H,W,3) or (H,W,4) of the same depth, or a PIL image (8 bits a channel).

    Raises:
        GantoolError: of the kind that the command line would end with.
    """
    return _run("colorize", image, strength, pipeline, options)


def frontalize(
    image: ImageLike,
    faces: str | int = "largest",
    *,
    face_box: tuple[float, float, float, float] | None = None,
    aligned: bool = False,
    strength: float = 1.0,
    pipeline: FaceStep | None = None,
    **options: Any,
) -> list[tuple[ImageLike, dict[str, Any]]]:
    """Show turned faces from the front. What a net shows of a face's hidden side is invented, no evidence.

    Arguments and errors as in :func:`colorize`; InputError where no face was found.

    Args:
        faces: "largest", "all", or the number of one, 1 being the largest.
        face_box: where the face is, forehead to chin: left, top, width and height in px. Needs no detector.
        aligned: the picture is nothing but an aligned face, its nose to the right. Needs no detector.
        strength: 0..1, how much of the net's view; 0 gives the aligned crops.

    Returns:
        For each face, the largest first: the view, an aligned crop without transparency of the same kind as
        ``image``, and of what it was made, as ``--json`` tells it: ``box`` (left, top, width, height) and
        ``landmarks`` (five x, y) in px, ``yaw`` in degrees, positive to the picture's right, ``score`` in
        [0,1]; None for what is not known. What makes a view doubtful is a warning.
    """
    import warnings

    from gantool.media import in_memory

    _check_strength(strength)
    picture = in_memory.picture_of(image, to_srgb=True)
    if pipeline is None and (aligned or face_box is not None):
        options["detect"] = False
    ready = _for("frontalize", _ready("frontalize", pipeline, options))
    found = ready.asked(faces, face_box, aligned=aligned, strength=strength).run_picture(picture)
    for remark in found.remarks:
        warnings.warn(remark, stacklevel=2)
    views = [in_memory.same_kind(view, image) for view in found.pictures]
    return list(zip(views, found.records, strict=True))


def translate(
    image: ImageLike, *, strength: float = 1.0, pipeline: Pipeline | None = None, **options: Any
) -> ImageLike:
    """Make another picture of a picture, of the same size, with a net trained for it.

    Arguments, result and errors as in :func:`colorize`; the option ``model`` names the net. A grey picture
    stays grey where the model says so.
    """
    return _run("translate", image, strength, pipeline, options)


def style(
    image: ImageLike,
    like: str | PathLike[str] | np.ndarray | Image | Sequence[Style] | None = None,
    *,
    strength: float = 1.0,
    pipeline: Pipeline | None = None,
    **options: Any,
) -> ImageLike:
    """Paint a picture in the style of another; arguments, result and errors as in :func:`colorize`.

    Args:
        like: the picture whose style it shall have, a file, an array (H,W,3) or a PIL image; or several, as
            :class:`gantool.pipelines.style.Style` says it. None for a model that has learned its own style.
        strength: 0..1, how far from the picture's own style to that one; 0 returns the input.
    """
    if pipeline is None:
        options |= {"styles": _styles(like), "strength": strength}
    elif like is not None or strength != 1:
        options |= {"like": like, "strength": strength}  # refused: they are a part of the pipeline
    return _run("style", image, 1.0 if strength else 0.0, pipeline, options)


def upscale(
    image: ImageLike,
    scale: float | None = None,
    *,
    strength: float = 1.0,
    pipeline: Pipeline | None = None,
    **options: Any,
) -> ImageLike:
    """Enlarge a picture; arguments, result and errors as in :func:`colorize`, but grey stays grey.

    Args:
        scale: output side / input side; None for the model's own, which is 4 for ``auto``.
    """
    if scale is not None:
        options["scale"] = scale
    return _run("upscale", image, strength, pipeline, options)


def run_video(
    source: str | PathLike[str],
    target: str | PathLike[str],
    task: str = "colorize",
    *,
    temporal: Literal["off", "online", "bidirectional"] | None = None,
    flow: Literal["farneback", "dis", "raft", "codec"] = "farneback",
    every: int = 1,
    start: float = 0.0,
    duration: float | None = None,
    strength: float = 1.0,
    deinterlace: bool = True,
    tonemap: bool = False,
    fps: Fraction | int | None = None,
    overwrite: bool = False,
    encoder: Mapping[str, Any] | None = None,
    warn: Callable[[str], None] | None = None,
    pipeline: Pipeline | FaceStep | None = None,
    **options: Any,
) -> VideoReport:
    """Run a task over a video; sound, subtitles and timestamps are kept.

    Args:
        temporal, flow, every: as ``--temporal``, ``--flow`` and ``--every``; temporal None is online, but
            bidirectional for style (of gatys online), and off for upscale of every frame and for frontalize.
        start, duration: the part of the source to do, in seconds.
        deinterlace, tonemap: make interlaced frames whole; bring HDR to standard range, not refuse it.
        fps: frames per second of numbered pictures (``frames/%05d.png``); None is 25.
        overwrite: replace an existing target; otherwise it is refused and left as it is.
        encoder: options of ``gantool.media.video.VideoWriter``: crf, codec, preset, pix_fmt, audio, ...
        warn: told each sentence of the report's warnings as it comes up.
        strength, pipeline, options: as in :func:`colorize`.

    Raises:
        GantoolError: then nothing bears the target's name that did not before.
    """
    from fractions import Fraction
    from pathlib import Path

    from gantool import engine
    from gantool.errors import OutputError, UsageError
    from gantool.media import provenance, vectors, video

    known = temporal in (None, "off", "online", "bidirectional")
    if not known or flow not in ("farneback", "dis", "raft", "codec"):
        remedy = "temporal is off, online or bidirectional, flow is farneback, dis, raft or codec"
        raise UsageError(f"unknown temporal '{temporal}' or flow '{flow}'", remedy=remedy)
    if every < 1 or (every > 1 and temporal == "off"):
        remedy = "every is 1 or more, and more than 1 not with temporal off"
        raise UsageError(f"every {every} is not possible with temporal {temporal}", remedy=remedy)
    _check_strength(strength)
    rate = None if fps is None else Fraction(fps)
    info = video.probe(Path(source), deinterlace=deinterlace, tonemap=tonemap, fps=rate)
    info = vectors.with_vectors(info) if flow == "codec" else info
    place = Path(target)
    if place == Path(source) or (place.exists() and place.samefile(source)):
        raise OutputError("the output is the input itself", place, "Give another name")
    if task == "style" and pipeline is None:
        options, strength = {**options, "strength": strength}, 1.0 if strength else 0.0
    with video.place(place, overwrite=overwrite) as temporary:
        ready = _ready(task, pipeline, options)
        step = _step(ready, temporal, flow, every, strength, warn)
        mark = provenance.Provenance(ready.task, ready.model, __getattr__("__version__"))
        return engine.run_video(
            info,
            temporary,
            [step],
            writer={"provenance": mark, **(encoder or {})},
            start=start,
            duration=duration,
            warn=warn,
        )


def _step(
    ready: Any,
    temporal: Literal["off", "online", "bidirectional"] | None,
    flow: Any,
    every: int,
    strength: float,
    warn: Callable[[str], None] | None,
) -> Work:
    """What is done to the frames of a film."""
    import warnings
    from dataclasses import replace

    from gantool import engine, flownet
    from gantool.errors import UsageError
    from gantool.temporal import TemporalOptions

    if ready.task == "frontalize":
        if temporal not in (None, "off") or every > 1:
            what = "frontalize takes no temporal and no every: each frame has its own face"
            raise UsageError(what, remedy="Leave them out")
        return replace(ready, strength=strength)
    usual = "off" if ready.task == "upscale" and every == 1 else "online"
    mode = temporal or ("bidirectional" if ready.blend == "paint" else usual)
    steady = None
    if mode != "off":
        by = flownet.load(ready.device, warn=warn or warnings.warn) if flow == "raft" else flow
        steady = TemporalOptions(mode=mode, flow=by, every=every)
    return engine.Step(ready, steady, 4 if ready.blend == "chroma" else 1, strength)


def _styles(like: Any) -> list[Style]:
    """What :func:`style` is given, as the pipeline takes it."""
    from os import PathLike

    import numpy as np

    from gantool.media import in_memory
    from gantool.pipelines.style import Style

    if like is None:
        return []
    if isinstance(like, str | PathLike):
        return [Style(str(like))]
    if isinstance(like, Sequence) and all(isinstance(one, Style) for one in like):
        return list(like)
    return [Style(np.ascontiguousarray(in_memory.picture_of(like, to_srgb=True).rgb))]


def _check_strength(strength: float) -> None:
    if not 0 <= strength <= 1:
        from gantool.errors import UsageError

        raise UsageError(f"strength {strength} is out of range", remedy="Give a number from 0 to 1")


def _ready(task: str, pipeline: Any, options: dict[str, Any]) -> Any:
    """The pipeline given, or one loaded with these options; not both."""
    if pipeline is None:
        return load(task, **options)
    if options:
        from gantool.errors import UsageError

        what = f"{', '.join(options)} cannot change a pipeline that is loaded already"
        raise UsageError(what, remedy="Give them to gantool.load")
    return pipeline


def _for(task: str, ready: Any) -> Any:
    """The pipeline, if it is for that task."""
    if ready.task != task:
        from gantool.errors import UsageError

        raise UsageError(f"the pipeline is for {ready.task}, not for {task}", remedy=f"Call {ready.task}")
    return ready


def _run(task: str, image: Any, strength: float, pipeline: Pipeline | None, options: dict[str, Any]) -> Any:
    from gantool import engine
    from gantool.media import in_memory

    _check_strength(strength)
    picture = in_memory.picture_of(image, to_srgb=task != "upscale")
    ready = _for(task, _ready(task, pipeline, options))
    return in_memory.same_kind(engine.run_picture(picture, ready, strength=strength), image)
