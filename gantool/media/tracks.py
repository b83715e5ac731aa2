"""Everything of the source that is not the picture: sound, subtitles, chapters, fonts, titles.

Packets are copied as they are from a second opening of the source, in step with the frames that are written,
so that memory does not grow with the length of the clip.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Protocol

from av.error import FFmpegError
from av.stream import Disposition

from gantool.errors import InputError
from gantool.media.conversions import Conversion, SoundConversion, conversion
from gantool.media.marks import kept_tags
from gantool.media.probe import VideoInfo, exact, open_input, video_stream

_SEEK_FROM = 20  # seconds; before that, reading from the start is as quick
_MARGIN = (
    10  # seconds read before the start for a subtitle still on screen, and after the end for late packets
)


class Tracks(Protocol):
    """A source of packets beside the picture."""

    def attach(self, output: Any) -> None:
        """Add one stream per track to an output container whose header is not written yet."""
        ...

    def packets(self, shift: Fraction, until: Fraction | None) -> Iterator[Any]:
        """Packets up to ``until`` seconds of output time (None: the rest), moved earlier by ``shift``."""
        ...

    def close(self) -> None:
        """Let go of the source."""
        ...


class NoTracks:
    """For clips that have no source."""

    def attach(self, output: Any) -> None:
        """Nothing to add."""

    def packets(self, shift: Fraction, until: Fraction | None) -> Iterator[Any]:
        """Nothing to copy."""
        return iter(())

    def close(self) -> None:
        """Nothing to close."""


class CopiedTracks:
    """Sound and subtitles of ``info.path``, copied packet by packet."""

    def __init__(
        self,
        info: VideoInfo,
        *,
        audio: bool,
        subtitles: bool,
        end: Fraction | None,
        tolerant: bool,
        warn: Callable[[str], None],
    ) -> None:
        """``end``: where to stop, in seconds of the source's own clock; None for the end of the file.
        ``tolerant``: a source that cannot be read to its end is a warning, not an error."""
        assert info.path is not None
        self.path, self.info, self.end, self.warn = info.path, info, end, warn
        self.tolerant = tolerant
        self.wanted = {"audio": audio, "subtitle": subtitles}
        self.source = open_input(info.path)
        self.picture = video_stream(self.source, info.path)
        self.streams: dict[int, Any] = {}
        self.conversions: dict[int, Conversion] = {}
        self.reader: Iterator[Any] | None = None
        self.pending: Any = None

    def attach(self, output: Any) -> None:
        """Add a stream for each track that the container can hold; name the others in a warning."""
        for stream in self.source.streams:
            if stream.type in ("audio", "subtitle"):
                if self.wanted[stream.type]:
                    self._add(output, stream)
            elif stream.type == "attachment":
                self._add_attachment(output, stream)
            elif stream.type == "video" and stream.index != self.picture.index:
                self._add_video(output, stream)
            elif stream.type == "data" and self._is_lost(stream):
                self.warn(f"a data track ({stream.name or 'unknown'}) is not copied")

    def packets(self, shift: Fraction, until: Fraction | None) -> Iterator[Any]:
        """Packets up to ``until`` (output time), their timestamps moved by ``shift`` seconds."""
        if not self.streams:
            return
        if self.reader is None:
            self.reader = self._read(shift)
        while True:
            if self.pending is None:
                self.pending = next(self.reader, None)
            if self.pending is None:
                return
            stamp = self.pending.dts if self.pending.dts is not None else self.pending.pts
            if until is not None and stamp * self.pending.time_base > until:
                return
            packet, self.pending = self.pending, None
            yield packet

    def close(self) -> None:
        """Close the second opening of the source."""
        self.reader = None
        self.source.close()

    def _add(self, output: Any, stream: Any) -> None:
        try:
            if stream.codec_context is None:
                raise ValueError("no codec")
            copy = output.add_stream_from_template(stream, opaque=True)
        except (ValueError, FFmpegError):
            converted = conversion(output, stream)
            if converted is None:
                self._leave_out(output, stream)
                return
            if isinstance(converted, SoundConversion):
                self._say(output, stream, f"it is converted to {converted.name}. Write to .mkv to copy it")
            copy, self.conversions[stream.index] = converted.stream, converted
        copy.metadata.update(kept_tags(stream.metadata))
        copy.disposition = stream.disposition
        self.streams[stream.index] = copy

    def _leave_out(self, output: Any, stream: Any) -> None:
        self._say(output, stream, "it is left out. Write to .mkv to keep it")

    def _say(self, output: Any, stream: Any, outcome: str) -> None:
        kind = {"audio": "sound track", "subtitle": "subtitle track", "video": "cover picture"}[stream.type]
        codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown codec"
        if output.format.name == "matroska":
            outcome = outcome.split(".")[0]
        which = f"{kind} {stream.index} ({codec})"
        self.warn(f"{output.format.name} cannot hold the {which}; {outcome}")

    def _add_attachment(self, output: Any, stream: Any) -> None:
        try:
            if output.format.name != "matroska":
                raise ValueError("attachments are a Matroska feature")
            output.add_stream_from_template(stream)
        except (ValueError, FFmpegError):
            name = stream.metadata.get("filename", "unnamed")
            self.warn(f"the attachment {name} is left out. Write to .mkv to keep it")

    def _add_video(self, output: Any, stream: Any) -> None:
        """A cover picture is kept, as an attachment in Matroska; further films are not."""
        if not stream.disposition & Disposition.attached_pic:
            self.warn(f"the second video track {stream.index} is not copied")
        elif output.format.name == "matroska" and stream.codec_context is not None:
            kind = {"mjpeg": "jpg"}.get(stream.codec_context.name, stream.codec_context.name)
            mime = "image/jpeg" if kind == "jpg" else f"image/{kind}"
            with open_input(self.path) as source:
                packets = source.demux(source.streams[stream.index])
                output.add_attachment(f"cover.{kind}", mime, bytes(next(packets)))
        else:
            self._add(output, stream)

    def _is_lost(self, stream: Any) -> bool:
        """Chapter titles and time codes come back from the chapters and from the picture's metadata."""
        chapters = stream.name == "bin_data" and bool(self.source.chapters())
        return not chapters and "timecode" not in stream.metadata

    def _read(self, shift: Fraction) -> Iterator[Any]:
        if shift > _SEEK_FROM:
            with contextlib.suppress(FFmpegError):
                self.source.seek(round((shift - _MARGIN) * 1_000_000))
        try:
            for packet in self.source.demux([self.source.streams[index] for index in self.streams]):
                if packet.size == 0 and packet.dts is None:  # the mark at the end of each stream
                    continue
                if packet.pts is None:
                    packet.pts = packet.dts if packet.dts is not None else round(shift / packet.time_base)
                if self._inside(packet, shift):
                    yield from self._moved(packet, shift)
                elif self.end is not None and packet.pts * packet.time_base > self.end + _MARGIN:
                    break
        except FFmpegError as error:
            what = "the sound or subtitles cannot be read to the end"
            if not self.tolerant:
                remedy = "Copy the file again, or use --keep-partial"
                raise InputError(what, self.path, remedy) from error
            self.warn(what)
        for converted in self.conversions.values():
            yield from converted.flush()

    def _inside(self, packet: Any, shift: Fraction) -> bool:
        time = packet.pts * packet.time_base
        if self.end is not None and time >= self.end:
            return False
        if self.end is not None and packet.stream.type == "subtitle":
            packet.duration = min(packet.duration, round((self.end - time) / packet.time_base))
        if shift == self.info.origin or time >= shift:  # nothing is cut off at the head
            return True
        if packet.stream.type != "subtitle" or not packet.duration:
            return False
        late = shift - time  # a subtitle that is on screen at the start keeps its remaining time
        left = packet.duration - round(late / packet.time_base)
        if left <= 0:
            return False
        packet.pts = packet.dts = round(shift / packet.time_base)
        packet.duration = left
        return True

    def _moved(self, packet: Any, shift: Fraction) -> Iterator[Any]:
        ticks = round(shift / packet.time_base)
        packet.pts -= ticks
        packet.dts = packet.pts if packet.dts is None else packet.dts - ticks
        if packet.stream_index in self.conversions:
            yield from self.conversions[packet.stream_index].feed(packet)
            return
        packet.stream = self.streams[packet.stream_index]
        yield packet


def moved_chapters(chapters: list[Any], shift: Fraction, end: Fraction | None) -> list[Any]:
    """Chapters of the part of the source between ``shift`` and ``end`` (seconds), on the output's clock."""
    result = []
    for chapter in chapters:
        base = exact(chapter["time_base"])
        first = max(chapter["start"] * base, shift)
        last = chapter["end"] * base
        if end is not None:
            last = min(last, end)
        if last > first:
            times = {"start": round((first - shift) / base), "end": round((last - shift) / base)}
            result.append({**chapter, **times})
    return result
