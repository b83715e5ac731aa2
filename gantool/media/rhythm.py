"""Whether a video with rounded timestamps beats evenly.

Matroska rounds times to a millisecond. When such a video goes into a container with a finer clock, the
rounded times would turn 30 frames per second into 310000/10333; an even rhythm is therefore restored.
"""

from __future__ import annotations

from fractions import Fraction

from av.error import FFmpegError

from gantool.media.probe import VideoInfo, open_input, video_stream

_SLACK = Fraction(1, 1000)  # seconds: two roundings to a millisecond
_LARGEST_CLOCK = 10_000_000  # ticks per second


def even_clock(info: VideoInfo) -> Fraction | None:
    """A time base in which every frame of an evenly spaced video falls on a whole tick; None if the video
    is not evenly spaced, or has an exact clock already. Reads the packets, decodes nothing."""
    rounded = info.container.startswith("matroska") and info.time_base == _SLACK
    if info.path is None or not rounded or info.fps.numerator > _LARGEST_CLOCK:
        return None
    try:
        with open_input(info.path) as container:
            stream = video_stream(container, info.path)
            stamps = sorted(p.pts for p in container.demux(stream) if p.pts is not None)
    except FFmpegError:
        return None
    if len(stamps) < 2:
        return None
    for number, stamp in enumerate(stamps):
        if abs((stamp - stamps[0]) * info.time_base - number / info.fps) > _SLACK:
            return None
    return Fraction(1, info.fps.numerator)
