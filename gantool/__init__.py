"""gantool: translate images and videos with GANs.

The command line is ``gantool``; these functions run the same pipelines on arrays and PIL images::

    import gantool
    color = gantool.colorize(gray)             # numpy (H,W), (H,W,3) or a PIL image
    large = gantool.upscale(photo, scale=4)
    gantool.run_video("old.mp4", "color.mp4")

Nothing heavy is imported until one of them is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from os import PathLike

    import numpy as np
    from PIL.Image import Image

    from gantool.engine import VideoReport
    from gantool.pipelines import Pipeline

    ImageLike = TypeVar("ImageLike", np.ndarray, Image)

__all__ = ["colorize", "load", "run_video", "upscale"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("gantool")
    raise AttributeError(f"module 'gantool' has no attribute '{name}'")


def load(
    task: str, model: str = "auto", *, device: str = "auto", precision: str = "auto", **options: Any
) -> Pipeline:
    """A pipeline that can be used many times; fetches the model if ``model`` names one that is not here.

    Args:
        task: "colorize" or "upscale".
        model: as ``--model``: auto, builtin, a name, a path or hf:owner/repo/file.
        device, precision: as on the command line.
        options: those of ``gantool.pipelines.<task>.build`` (``scale``, ``render_size``, ``strength``, ...).

    Raises:
        GantoolError: of the kind that the command line would end with.
    """
    from importlib import import_module

    from gantool import catalog, devices, hub, loading

    target = devices.pick_device(device)
    kind = devices.device_class(target)
    scale = options.get("scale")
    choice = hub.select(model, task, catalog=catalog.load_catalog(), device_class=kind, scale=scale)
    row, path = choice.row, choice.path or hub.fetch(choice.row)
    dtype = devices.pick_dtype(precision, target, row)
    if row.arch:
        net = loading.load_net(row, path, target, dtype)
    else:
        net, row = loading.load_foreign(path, target, dtype)
    build = import_module(f"gantool.pipelines.{task}").build
    return build(net, row, device=target, dtype=dtype, **options)


def colorize(image: ImageLike, *, pipeline: Pipeline | None = None, **options: Any) -> ImageLike:
    """Colour a picture; its lightness is kept.

    Args:
        image: uint8 or uint16 array (H,W), (H,W,3) or (H,W,4), RGB; or a PIL image.
        pipeline: one of :func:`load`; None loads the model anew on every call.
        options: those of :func:`load`.

    Returns:
        The same kind: an array (H,W,3|4) of the same dtype, or a PIL image.
    """
    return _run(image, pipeline or load("colorize", **options))


def upscale(
    image: ImageLike, scale: float = 4, *, pipeline: Pipeline | None = None, **options: Any
) -> ImageLike:
    """Enlarge a picture ``scale`` times; arguments and result as in :func:`colorize` (grey stays grey)."""
    return _run(image, pipeline or load("upscale", scale=scale, **options))


def run_video(
    source: str | PathLike[str],
    target: str | PathLike[str],
    task: str = "colorize",
    *,
    temporal: str = "online",
    flow: str = "farneback",
    overwrite: bool = False,
    pipeline: Pipeline | None = None,
    **options: Any,
) -> VideoReport:
    """Run a task over a whole video; sound, subtitles and timestamps are kept.

    Args:
        temporal, flow: as ``--temporal`` and ``--flow``.
        overwrite: replace an existing target; otherwise it is refused and left as it is.
        options: those of :func:`load`.

    Raises:
        GantoolError: then nothing bears the target's name.
    """
    from pathlib import Path

    from gantool import engine
    from gantool.media import files, provenance, video
    from gantool.temporal import TemporalOptions

    info = video.probe(Path(source))
    ready = pipeline or load(task, **options)
    steady = TemporalOptions(flow=flow) if temporal == "online" else None
    mark = provenance.Provenance(ready.task, ready.model, __getattr__("__version__"))
    with files.atomic(Path(target), overwrite=overwrite) as temporary:
        return engine.run_video(info, temporary, ready, temporal=steady, writer={"provenance": mark})


def _run(image: Any, pipeline: Pipeline) -> Any:
    import numpy as np

    from gantool import engine
    from gantool.media.image import Picture

    array = np.asarray(image if isinstance(image, np.ndarray) else _pil_array(image))
    gray = array.ndim == 2
    rgb = np.repeat(array[..., None], 3, axis=2) if gray else np.ascontiguousarray(array[..., :3])
    alpha = np.ascontiguousarray(array[..., 3]) if not gray and array.shape[2] == 4 else None
    result = engine.run_picture(Picture(rgb, alpha, gray=gray), pipeline)
    pixels = result.rgb[..., 0] if result.gray else result.rgb
    if result.alpha is not None:
        pixels = np.dstack((result.rgb, result.alpha))
    if isinstance(image, np.ndarray):
        return pixels
    from PIL import Image

    return Image.fromarray(pixels)


def _pil_array(image: Any) -> Any:
    """A PIL image of any mode as an array (H,W), (H,W,3) or (H,W,4)."""
    import numpy as np

    if image.mode in ("RGB", "RGBA", "L"):
        return np.asarray(image)
    if image.mode.startswith("I;16"):
        return np.asarray(image, dtype=np.uint16)
    transparent = image.mode in ("LA", "PA", "La", "RGBa") or "transparency" in image.info
    return np.asarray(image.convert("RGBA" if transparent else "RGB"))
