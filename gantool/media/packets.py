"""The sound of a file as it is stored: to tell whether one film has the other's, packet for packet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from av.error import FFmpegError

from gantool.errors import InputError
from gantool.media.probe import exact, open_input


@dataclass(frozen=True)
class SoundTrack:
    """One audio track: its codec, how many packets, the SHA-256 of their bytes, and the time of the first, in
    seconds from the container's zero; None where the file does not say."""

    codec: str
    packets: int
    digest: str
    start: Fraction | None


def sound_tracks(path: Path) -> list[SoundTrack]:
    """The audio tracks of a file, in order. Nothing is decoded. Raises InputError."""
    with open_input(path) as container:
        streams = list(container.streams.audio)
        hashes = {stream.index: hashlib.sha256() for stream in streams}
        counts = dict.fromkeys(hashes, 0)
        starts: dict[int, Fraction] = {}
        try:
            for packet in container.demux(streams) if streams else ():
                if not packet.size:  # the flush at the end
                    continue
                index = packet.stream.index
                hashes[index].update(bytes(packet))
                counts[index] += 1
                if packet.pts is not None and index not in starts:
                    starts[index] = packet.pts * exact(packet.time_base)
        except FFmpegError as error:
            raise InputError(f"the sound cannot be read: {error.strerror}", path, "Copy it again") from error
        return [
            SoundTrack(
                stream.codec_context.name if stream.codec_context else "unknown",
                counts[stream.index],
                hashes[stream.index].hexdigest(),
                starts.get(stream.index),
            )
            for stream in streams
        ]
