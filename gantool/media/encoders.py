"""Which container and encoder a file gets, with which options, and what their failures mean."""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2

from gantool.errors import EncoderError, OutputError
from gantool.media.info import VideoInfo

# suffix -> (muxer, encoder that ``auto`` means). No avi: it has no timestamps, so readers guess the delay
# of H.264 and show the picture a frame or two late (measured); its videos go to mkv.
CONTAINERS = {
    ".mp4": ("mp4", "libx264"),
    ".m4v": ("mp4", "libx264"),
    ".mov": ("mov", "libx264"),
    ".mkv": ("matroska", "libx264"),
    ".webm": ("webm", "libvpx-vp9"),
    ".gif": ("gif", "gif"),
    "-": ("matroska", "libx264"),  # a stream, which Matroska can be
}
_TAKES_ODD_SIZES = {"libvpx-vp9", "libvpx", "ffv1", "gif"}
_SPEED = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"),
    "placebo",
)
_CHIPS = {"nvenc", "qsv", "amf", "vaapi", "videotoolbox", "v4l2m2m", "mf", "omx", "vulkan", "mediacodec"}
_SOFTWARE = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9"}
_LAMBDA = 118  # FF_QP2LAMBDA: quantizers are given to FFmpeg in these units
_AVX_512 = 13  # OpenCV's number for it
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
    return tuple(suffix for suffix in CONTAINERS if suffix != "-")


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

    @property
    def full(self) -> bool:
        """Whether the values use the full range, as RGB, grey and JPEG formats do."""
        return self.rgb or self.pix_fmt.startswith(("gray", "yuvj"))

    @property
    def rgb(self) -> bool:
        """Whether the values are R, G and B."""
        return av.VideoFormat(self.pix_fmt).is_rgb

    @property
    def deep(self) -> bool:
        """Whether more than 8 bits are stored, so that uint16 frames are worth having."""
        return self.muxer != "gif" and bit_depth(self.pix_fmt) > 8


def plan_picture(
    path: Path,
    info: VideoInfo,
    size: tuple[int, int],
    *,
    codec: str = "auto",
    crf: int = 18,
    preset: str = "medium",
    pix_fmt: str = "auto",
    warn: Callable[[str], None] = lambda message: None,
) -> PicturePlan:
    """Decide how frames of ``size`` (width, height) are stored in ``path``.

    Raises OutputError for a suffix that is not known, EncoderError for a codec, preset or pixel format that
    is not known. Warns when a side has to be padded, and when the source's depth or chroma cannot be kept.
    """
    suffix = path.suffix.lower() or path.name
    if suffix not in CONTAINERS:
        what = f"gantool does not write videos of the kind {path.suffix or 'without suffix'}"
        raise OutputError(what, path.parent, f"Use one of {' '.join(writable_suffixes())}")
    if preset not in _SPEED:
        raise EncoderError(f"there is no preset {preset}", None, f"Use one of {', '.join(_SPEED)}")
    muxer, usual = CONTAINERS[suffix]
    if muxer == "gif":
        return PicturePlan(muxer, "gif", "pal8", *size, Fraction(1, 100), {})
    encoder = _encoder(usual if codec == "auto" else codec)
    if encoder == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only; it would print a page about itself
    if pix_fmt == "auto":
        pix_fmt = _following(info, encoder, warn)
    _check_taken(encoder, pix_fmt)
    width, height = _padded(size, encoder, pix_fmt, warn)
    options = encoder_options(encoder, crf, preset) | _repeatable(encoder, width)
    return PicturePlan(muxer, encoder, pix_fmt, width, height, info.time_base, options)


def _repeatable(encoder: str, width: int) -> dict[str, str]:
    """What makes x264 write the same twice.

    Its macroblock tree, in AVX-512, reads past the end of rows whose number of macroblocks is no multiple of
    eight: the film then depends on what was in memory (measured with x264 165: 320 px wide, every run
    another). With AVX2 it does not, at the same speed within what can be measured.
    """
    if encoder in ("libx264", "libx264rgb") and -(-width // 16) % 8 and cv2.checkHardwareSupport(_AVX_512):
        return {"x264-params": "asm=avx2"}
    return {}


def bit_depth(pix_fmt: str) -> int:
    """Bits of the deepest component of a pixel format."""
    return max((component.bits for component in av.VideoFormat(pix_fmt).components), default=8)


def _encoder(name: str) -> str:
    """The encoder that a name stands for (``h264`` is a codec, ``libx264`` its encoder)."""
    try:
        codec = av.Codec(name, "w")
        if codec.type == "video":
            return codec.name
    except ValueError:
        pass
    other = software_for(name)
    if other:
        raise EncoderError(f"this FFmpeg has no video encoder {name}", None, f"Use --codec {other}")
    known = sorted(other for other in av.codecs_available if _encodes_video(other))
    near = difflib.get_close_matches(name, known, 3, cutoff=0.7)
    remedy = f"Use {', '.join(near)} or auto" if near else "Use --codec auto"
    raise EncoderError(f"there is no video encoder {name}", None, remedy)


def software_for(name: str) -> str:
    """The encoder that does in software what this one does on a chip; empty if it uses none."""
    codec, _, chip = name.partition("_")
    return _SOFTWARE.get(codec, "auto") if chip in _CHIPS else ""


def _encodes_video(name: str) -> bool:
    try:
        return av.Codec(name, "w").type == "video"
    except ValueError:
        return False


def _check_taken(encoder: str, pix_fmt: str) -> None:
    taken = [layout.name for layout in av.Codec(encoder, "w").video_formats or ()]
    if taken and pix_fmt not in taken:
        remedy = f"Use --pix-fmt auto, or one of {', '.join(taken[:12])}"
        raise EncoderError(f"{encoder} does not take the pixel format {pix_fmt}", None, remedy)


def _chroma(layout: Any) -> tuple[int, int]:
    """Chroma samples across and down for 16 pixels."""
    return layout.chroma_width(16), layout.chroma_height(16)


def _following(info: VideoInfo, encoder: str, warn: Callable[[str], None]) -> str:
    """The pixel format of the encoder that keeps most of the source's depth and chroma, and no more.

    RGB sources (GIF, numbered pictures) become 4:2:0, since few players show anything else.
    """
    source = av.VideoFormat(info.pix_fmt, 16, 16)
    plain = source.is_rgb or len(source.components) < 3
    across, down = (8, 8) if plain else _chroma(source)
    best: tuple[tuple[int, ...], str] | None = None
    for layout in av.Codec(encoder, "w").video_formats or ():
        parts = layout.components
        if len(parts) != 3 or layout.is_rgb or layout.is_big_endian or layout.name.startswith("yuvj"):
            continue
        bits = max(part.bits for part in parts)
        width, height = _chroma(av.VideoFormat(layout.name, 16, 16))
        lost = max(0, info.bits - bits), max(0, across - width) + max(0, down - height)
        more = max(0, bits - max(8, info.bits)), max(0, width - across) + max(0, height - down)
        score = (*lost, *more)
        if best is None or score < best[0]:
            best = score, layout.name
    if best is None:  # RGB only, or anything goes
        return next((layout.name for layout in av.Codec(encoder, "w").video_formats or ()), "yuv420p")
    score, name = best
    if score[0] or score[1]:
        lost = f"{info.bits} bits" if score[0] else "chroma"
        warn(f"{encoder} cannot keep the source's {lost} ({info.pix_fmt}); the picture is written as {name}")
    return name


def _padded(
    size: tuple[int, int], encoder: str, pix_fmt: str, warn: Callable[[str], None]
) -> tuple[int, int]:
    try:
        layout = av.VideoFormat(pix_fmt, 16, 16)
    except ValueError:
        raise EncoderError(f"there is no pixel format {pix_fmt}", None, "Use --pix-fmt auto") from None
    if encoder in _TAKES_ODD_SIZES:
        return size
    step_x, step_y = (16 // side for side in _chroma(layout))
    width, height = -(-size[0] // step_x) * step_x, -(-size[1] // step_y) * step_y
    if (width, height) != size:
        warn(
            f"{size[0]}x{size[1]} is padded to {width}x{height} by repeating the last line, since {pix_fmt} "
            "needs even sides (--pix-fmt yuv444p keeps them)"
        )
    return width, height


def encoder_options(encoder: str, crf: int, preset: str) -> dict[str, str]:
    """Options that mean about the same quality and speed as x264's ``crf`` and ``preset``."""
    slowness = _SPEED.index(preset)
    if encoder in ("libx264", "libx264rgb", "libx265"):
        quiet = {"x265-params": "log-level=none"} if encoder == "libx265" else {}
        return {"crf": str(crf), "preset": preset, **quiet}
    scaled = str(min(63, round(crf * 63 / 51)))  # these count from 0 to 63
    if encoder in ("libvpx-vp9", "libvpx", "libaom-av1"):
        speed = str(min(5, max(0, 8 - slowness)))
        good = {"usage": "good"} if encoder == "libaom-av1" else {"deadline": "good"}
        rows = {} if encoder == "libvpx" else {"row-mt": "1"}
        return {"crf": scaled, "b": "0", "cpu-used": speed, **good, **rows}
    if encoder == "libsvtav1":
        return {"crf": scaled, "preset": str(max(0, 12 - slowness))}
    return _hardware_options(encoder, crf, slowness) or _quantizer_options(encoder, crf)


def _hardware_options(encoder: str, crf: int, slowness: int) -> dict[str, str]:
    """The same for the chips of NVIDIA, Intel, AMD and Apple, and for VA-API; empty for other encoders."""
    if encoder.endswith("_nvenc"):
        return {"rc": "vbr", "cq": str(crf), "b": "0", "preset": f"p{min(7, max(1, slowness))}"}
    if encoder.endswith("_qsv"):  # quality 0 would mean "not set"; presets begin at veryfast
        return {"global_quality": str(max(1, crf)), "preset": _SPEED[min(8, max(2, slowness))]}
    if encoder.endswith("_vaapi"):
        return {"rc_mode": "CQP", "qp": str(max(1, crf)), "compression_level": str(max(1, 7 - slowness))}
    if encoder.endswith("_amf"):
        effort = "speed" if slowness < 4 else "balanced" if slowness < 6 else "quality"
        return {"rc": "cqp", "qp_i": str(crf), "qp_p": str(crf), "quality": effort}
    if encoder.endswith("_videotoolbox"):  # quality 1 to 100
        return {"flags": "+qscale", "global_quality": str(_LAMBDA * max(1, 100 - 2 * crf))}
    return {}


def _quantizer_options(encoder: str, crf: int) -> dict[str, str]:
    """A constant quantizer for old codecs, whose own default is a bit rate far too low."""
    if encoder.startswith(("mpeg", "msmpeg4", "h263", "flv", "wmv", "mjpeg")):
        quantizer = str(max(1, round(crf * 31 / 51)))
        return {"qmin": quantizer, "qmax": quantizer}
    return {}


def explained(error: Exception, path: Path, plan: PicturePlan) -> OutputError | EncoderError:
    """The gantool error for a failure of the encoder, the container or the disk."""
    number = getattr(error, "errno", None)
    if number == errno.EPIPE:
        return OutputError("the reader of standard output has gone away", None, "Write to a file with -o")
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
