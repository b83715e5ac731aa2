"""Which container and encoder a file gets, with which options, and what their failures mean."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from gantool.errors import EncoderError, OutputError
from gantool.media.probe import VideoInfo

# suffix -> (muxer, encoder that ``auto`` means). No avi: it has no timestamps, so readers guess the delay
# of H.264 and show the picture a frame or two late (measured); its videos go to mkv.
CONTAINERS = {
    ".mp4": ("mp4", "libx264"),
    ".m4v": ("mp4", "libx264"),
    ".mov": ("mov", "libx264"),
    ".mkv": ("matroska", "libx264"),
    ".webm": ("webm", "libvpx-vp9"),
    ".gif": ("gif", "gif"),
}
_TAKES_ODD_SIZES = {"libvpx-vp9", "libvpx", "ffv1", "gif"}
_SPEED = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_NO_ROOM = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_UNWRITABLE = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.EBADF,
}


def writable_suffixes() -> tuple[str, ...]:
    """File name endings that a video can be written to, with their dot, in lower case."""
    return tuple(CONTAINERS)


@dataclass(frozen=True)
class PicturePlan:
    """How the picture is stored: container, encoder, pixel layout, size after padding, clock, options."""

    muxer: str
    encoder: str
    pix_fmt: str
    width: int
    height: int
    time_base: Fraction
    options: dict[str, str]


def plan_picture(
    path: Path,
    info: VideoInfo,
    size: tuple[int, int],
    *,
    codec: str,
    crf: int,
    preset: str,
    pix_fmt: str,
    warn: Callable[[str], None],
) -> PicturePlan:
    """Decide how frames of ``size`` (width, height) are stored in ``path``.

    Raises OutputError for a suffix that is not known, EncoderError for a codec or pixel format that the
    container or the encoder does not take. Warns when a side has to be padded.
    """
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        what = f"gantool does not write videos of the kind {suffix or 'without suffix'}"
        raise OutputError(what, path.parent, f"Use one of {' '.join(CONTAINERS)}")
    muxer, usual = CONTAINERS[suffix]
    if muxer == "gif":
        return PicturePlan(muxer, "gif", "pal8", *size, Fraction(1, 100), {})
    encoder = usual if codec == "auto" else codec
    if not _encodes_video(encoder):
        raise EncoderError(f"there is no video encoder {encoder}", None, "Use --codec auto")
    width, height = _padded(size, encoder, pix_fmt, warn)
    options = encoder_options(encoder, crf, preset)
    return PicturePlan(muxer, encoder, pix_fmt, width, height, info.time_base, options)


def _encodes_video(name: str) -> bool:
    try:
        return av.Codec(name, "w").type == "video"
    except ValueError:
        return False


def _padded(
    size: tuple[int, int], encoder: str, pix_fmt: str, warn: Callable[[str], None]
) -> tuple[int, int]:
    try:
        layout = av.VideoFormat(pix_fmt, 16, 16)
    except ValueError:
        raise EncoderError(f"there is no pixel format {pix_fmt}", None, "Use --pix-fmt yuv420p") from None
    if encoder in _TAKES_ODD_SIZES:
        return size
    step_x, step_y = 16 // layout.chroma_width(), 16 // layout.chroma_height()
    width, height = -(-size[0] // step_x) * step_x, -(-size[1] // step_y) * step_y
    if (width, height) != size:
        warn(
            f"{size[0]}x{size[1]} is padded to {width}x{height} by repeating the last line, since {pix_fmt} "
            "needs even sides (--pix-fmt yuv444p keeps them)"
        )
    return width, height


def encoder_options(encoder: str, crf: int, preset: str) -> dict[str, str]:
    """Options that mean about the same quality and speed as x264's ``crf`` and ``preset``."""
    slowness = _SPEED.index(preset) if preset in _SPEED else 5
    if encoder in ("libx264", "libx265"):
        quiet = {"x265-params": "log-level=none"} if encoder == "libx265" else {}
        return {"crf": str(crf), "preset": preset, **quiet}
    scaled = str(min(63, round(crf * 63 / 51)))  # these count from 0 to 63
    if encoder in ("libvpx-vp9", "libvpx"):
        speed = str(min(5, max(0, 8 - slowness)))
        return {"crf": scaled, "b:v": "0", "deadline": "good", "cpu-used": speed, "row-mt": "1"}
    if encoder == "libsvtav1":
        return {"crf": scaled, "preset": str(max(0, 12 - slowness))}
    if encoder.endswith("_nvenc"):
        return {"rc": "vbr", "cq": str(crf), "preset": f"p{min(7, max(1, slowness))}"}
    return {}


def explained(error: Exception, path: Path, plan: PicturePlan) -> OutputError | EncoderError:
    """The gantool error for a failure of the encoder, the container or the disk."""
    number = getattr(error, "errno", None)
    if number in _NO_ROOM:
        return OutputError("no space left on the disk", path, "Free some space, or use -o to write elsewhere")
    if number in _UNWRITABLE:
        text = os.strerror(number).lower()
        return OutputError(f"the video cannot be written: {text}", path, "Use -o to write elsewhere")
    text = getattr(error, "strerror", None) or str(error)
    return EncoderError(
        f"the {plan.encoder} encoder or the {plan.muxer} container refused: {text}",
        path,
        "Try another --codec, --preset or --pix-fmt, or write to .mkv",
    )
