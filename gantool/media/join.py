"""The finished parts of a film, put together without encoding anything again.

A part is a video file with the picture only. Its own clock does not count: frame by frame, in the order of
time, it gets the source's time stamps, which are handed in. Decoding times follow from these: packet i of
the film is decoded when frame i - d is shown, with d the encoder's delay, the number of places by which a
packet may stand behind its turn. That rises throughout, whatever the parts' own times said.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.error import FFmpegError

from gantool.errors import InputError, OutputError
from gantool.media.encoders import PicturePlan
from gantool.media.mux import Muxer
from gantool.media.probe import ANY_TAGS, VideoInfo

_COARSEST = Fraction(1, 1000)  # s: Matroska's clock


class Part(NamedTuple):
    """A part of a film: ``pts`` of its frames in the source's time base, in the order of time; ``duration``
    of its last one, 0 where nothing says."""

    path: Path
    pts: Sequence[int]
    duration: int = 0


def part_suffix(encoder: str) -> str:
    """The kind of file that holds a part: mp4 where it takes the encoder's stream, else mkv.

    mp4 keeps exact times and is played anywhere; mkv takes everything, and its coarser clock does not count.
    """
    with av.open(os.devnull, "w", format="mp4") as container:
        return ".mp4" if encoder in container.supported_codecs else ".mkv"


class Order(NamedTuple):
    """``ranks``: which frame, in the order of time, each packet shows. ``delay``: by how many packets the
    encoder decodes ahead."""

    ranks: list[int]
    delay: int


def part_order(path: Path) -> Order:
    """In which order a part holds its frames. Raises InputError for damage."""
    try:
        with _opened(path) as container:
            packets = [(packet.pts, packet.dts) for packet in _packets(container)]
        by_time = sorted(range(len(packets)), key=lambda index: (packets[index][0], index))
    except (FFmpegError, OSError, ValueError, IndexError, TypeError) as error:
        raise InputError(f"a part of the film cannot be read: {error}", path) from error
    ranks = [0] * len(packets)
    for rank, index in enumerate(by_time):
        ranks[index] = rank
    first = min((pts for pts, _ in packets), default=0)
    ahead = sum(dts is not None and dts < first for _, dts in packets)
    return Order(ranks, max([ahead, *(index - rank for index, rank in enumerate(ranks))]))


def join_parts(
    path: Path,
    info: VideoInfo,
    plan: PicturePlan,
    parts: Sequence[Part],
    *,
    check: Callable[[], None] = lambda: None,
    warn: Callable[[str], None] = lambda message: None,
    **tracks: Any,
) -> int:
    """Write the film whose parts these are, with the sound and titles of ``info.path``; returns its frames.

    Args:
        path: the file to write, normally a temporary one; unusable after an exception.
        plan: how the whole film is stored, as ``plan_picture`` says for ``path``.
        parts: all of them, in order, made by ``VideoWriter`` with the encoder of ``plan``.
        check: called often; whatever it raises stops the work and comes out.
        tracks: what ``VideoWriter`` takes for all but the picture: audio, subtitles, start, provenance, ...

    Raises InputError for a part that is damaged or the source's sound, OutputError for the disk, EncoderError
    where the container refuses.
    """
    orders: list[Order] = []
    for part in parts:
        check()
        orders.append(part_order(part.path))
        if len(orders[-1].ranks) != len(part.pts):
            what = f"a part has {len(orders[-1].ranks)} frames instead of {len(part.pts)}"
            raise InputError(what, part.path)
    with _opened(parts[0].path) as first:
        muxer = _opened_muxer(path, info, plan, first.streams.video[0], warn=warn, **tracks)
    try:
        stamps, ticks, end = _times(muxer, parts)
        clocks = iter(_decoding_times(stamps, max(order.delay for order in orders)))
        shown = iter([pts for part in parts for pts in part.pts])
        base = 0
        for part, order in zip(parts, orders, strict=True):
            with _opened(part.path) as container:
                for packet, rank in zip(_packets(container), order.ranks, strict=True):
                    check()
                    packet.time_base = muxer.plan.time_base
                    packet.pts, packet.dts = stamps[base + rank], next(clocks)
                    packet.duration = ticks[base + rank]
                    packet.stream = muxer.stream
                    muxer.copy_tracks(muxer.seconds(next(shown)))
                    muxer.put(packet)
            base += len(order.ranks)
        muxer.close(end)
    except BaseException:
        muxer.abort()
        raise
    _verify(path, [stamp * muxer.plan.time_base for stamp in stamps])
    return len(stamps)


def _opened(path: Path) -> Any:
    return av.open(f"file:{path.absolute()}", **ANY_TAGS)


def _opened_muxer(path: Path, info: VideoInfo, plan: PicturePlan, template: Any, **options: Any) -> Muxer:
    def add_picture(output: Any, plan: PicturePlan) -> Any:
        stream = output.add_stream_from_template(template, opaque=True)
        stream.time_base = plan.time_base
        stream.codec_context.framerate = info.fps
        stream.sample_aspect_ratio = info.sar
        return stream

    return Muxer(path, info, plan, add_picture, **options)


def _packets(container: Any) -> Iterator[Any]:
    """The picture's packets in the order of decoding, without the empty one at the end."""
    return (packet for packet in container.demux(container.streams.video[0]) if packet.size)


def _times(muxer: Muxer, parts: Sequence[Part]) -> tuple[list[int], list[int], int]:
    """Stamps and durations of all frames on the output's clock, and the end of the last on the source's."""
    pts = [stamp for part in parts for stamp in part.pts]
    end = pts[-1] + muxer.last_duration(pts[-1], parts[-1].duration)
    times = [muxer.stamp(here, after - here) for here, after in pairwise([*pts, end])]
    return [stamp for stamp, _ in times], [ticks for _, ticks in times], end


def _decoding_times(stamps: list[int], delay: int) -> list[int]:
    """When each packet is decoded: rising, and never after it is shown."""
    delay = min(delay, len(stamps) - 1)
    lead = stamps[delay] - stamps[0]
    return [stamp - lead for stamp in stamps[:delay]] + stamps[: len(stamps) - delay]


def _verify(path: Path, times: list[Fraction]) -> None:
    """Read the joined film again: every frame, and as long as it should be.

    Raises OutputError.
    """
    found: list[Fraction] = []
    with contextlib.suppress(FFmpegError), _opened(path) as container:
        found = sorted(packet.pts * packet.time_base for packet in _packets(container))
    whole = len(found) == len(times)
    if not whole or abs((found[-1] - found[0]) - (times[-1] - times[0])) > 2 * _COARSEST:
        what = f"the joined film reads back wrong: {len(found)} frames instead of {len(times)}"
        raise OutputError(
            what, path, "Run the command again with --continue; if that fails, choose another -o"
        )
