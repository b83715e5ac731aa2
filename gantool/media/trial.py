"""Whether an encoder works here, found out with a few small frames before anything dear is done.

That FFmpeg knows an encoder says little: NVENC wants its driver and a chip that has it, and a preset or a
pixel format may only be refused when the encoder starts.
"""

from __future__ import annotations

import functools
import io
from fractions import Fraction
from pathlib import Path

import av
import av.logging
from av.error import FFmpegError

from gantool.errors import EncoderError
from gantool.media.encoders import plan_picture, software_for
from gantool.media.image import check_target
from gantool.media.info import VideoInfo
from gantool.numbered import is_numbered

_SIZE = (256, 144)  # no chip wants more
_FRAMES = 3  # of fewer, libx265 makes packets without a time


def try_encoder(
    path: Path, info: VideoInfo | None = None, *, codec: str, crf: int, preset: str, pix_fmt: str
) -> None:
    """Encode three frames in memory as a film at ``path`` would be, made from the source ``info``.

    Numbered pictures need no trial.

    Raises EncoderError when a word is not known, or when encoder or container refuse; OutputError for a
    suffix that is not known. The second call for the same encoder and options costs nothing.
    """
    if is_numbered(path):
        check_target(path.suffix, alpha=False, bits=8)
        if (codec, pix_fmt) != ("auto", "auto"):
            what = "numbered pictures have neither a film's codec nor its pixel format"
            raise EncoderError(what, path, "Leave out --codec and --pix-fmt")
        return
    if info is None:
        info = VideoInfo(None, *_SIZE, fps=Fraction(25), time_base=Fraction(1, 25))
    plan = plan_picture(path, info, _SIZE, codec=codec, crf=crf, preset=preset, pix_fmt=pix_fmt)
    if plan.muxer == "gif":
        return
    failure = _trial(plan.muxer, plan.encoder, plan.pix_fmt, tuple(plan.options.items()))
    if not failure:
        return
    software = software_for(plan.encoder)
    if software:
        what = f"the encoder {plan.encoder} does not work on this machine: {failure}"
        raise EncoderError(what, None, f"Use --codec {software}")
    what = f"the {plan.encoder} encoder or the {plan.muxer} container refused: {failure}"
    raise EncoderError(what, None, "Try another --codec, --preset or --pix-fmt, or write to .mkv")


@functools.lru_cache(maxsize=64)
def _trial(muxer: str, encoder: str, pix_fmt: str, options: tuple[tuple[str, str], ...]) -> str:
    """Why the trial failed, empty if it went well."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as said:
            _encode_few(muxer, encoder, pix_fmt, dict(options))
    except (FFmpegError, OSError, ValueError) as error:
        # The first thing that was said tells more than the error: which library or device is missing.
        reason = said[0][2].strip() if said else getattr(error, "strerror", None) or str(error)
        return reason.rstrip(".").replace("\n", " ")
    finally:
        av.logging.set_level(level)
    return ""


def _encode_few(muxer: str, encoder: str, pix_fmt: str, options: dict[str, str]) -> None:
    with av.open(io.BytesIO(), "w", format=muxer) as output:
        stream = output.add_stream(encoder, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = _SIZE
        stream.pix_fmt = pix_fmt
        for number in range(_FRAMES):
            frame = av.VideoFrame(*_SIZE, pix_fmt)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
