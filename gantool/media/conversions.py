"""Tracks that a container cannot hold as they are, in a form that it can.

Plain-text subtitles: Matroska keeps SubRip text, mp4 and mov keep "3GPP timed text" with a length in front.
The words and times stay; of the styles only what plain text can say. Sound is decoded and encoded again,
as Opus in WebM and as AAC elsewhere.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Protocol

import av
from av.error import FFmpegError

_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
_BITS_PER_CHANNEL = 96_000  # per second; transparent for AAC and Opus
_AAC_RATES = {96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000}
_TAGS = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
# The encoder wants a style sheet before it opens; nothing but this default style is used.
_HEADER = b"""[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, \
Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, \
MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


class Conversion(Protocol):
    """Turns packets of a source track into packets of ``stream``; the times are the output's already."""

    stream: Any

    def feed(self, packet: Any) -> Iterator[Any]:
        """What comes out when ``packet`` goes in."""
        ...

    def flush(self) -> Iterator[Any]:
        """What is left at the end."""
        ...


def conversion(output: Any, source: Any) -> Conversion | None:
    """A way to bring track ``source`` into ``output``, with a new stream there; None if there is none."""
    if source.codec_context is None:
        return None
    codec, muxer = source.codec_context.codec.canonical_name, output.format.name
    if source.type == "audio":
        return SoundConversion(output, source)
    if codec in ("subrip", "text") and muxer in ("mp4", "mov"):
        stream = output.add_stream("mov_text")
        stream.codec_context.subtitle_header = _HEADER
        stream.codec_context.time_base = source.time_base
        return TextConversion(stream, _to_timed_text)
    if codec == "mov_text" and muxer == "matroska":
        return TextConversion(output.add_mux_stream("subrip", time_base=source.time_base), _from_timed_text)
    return None


class TextConversion:
    """Subtitle text in another wrapping; an empty one is a pause and needs no packet."""

    def __init__(self, stream: Any, convert: Callable[[bytes], bytes]) -> None:
        self.stream, self.convert = stream, convert

    def feed(self, packet: Any) -> Iterator[Any]:
        """The packet with its new payload."""
        payload = self.convert(bytes(packet))
        if payload:
            result = av.Packet(payload)
            result.pts, result.dts, result.duration = packet.pts, packet.dts, packet.duration
            result.time_base, result.is_keyframe, result.stream = packet.time_base, True, self.stream
            yield result

    def flush(self) -> Iterator[Any]:
        """Nothing is held back."""
        return iter(())


class SoundConversion:
    """Sound in another codec."""

    def __init__(self, output: Any, source: Any) -> None:
        codec = "libopus" if output.format.name == "webm" else "aac"
        rate = source.rate if codec == "aac" and source.rate in _AAC_RATES else 48_000
        layout = _LAYOUTS.get(source.channels, "stereo")
        self.source = source
        self.stream = output.add_stream(codec, rate=rate, layout=layout)
        self.stream.bit_rate = _BITS_PER_CHANNEL * self.stream.channels
        self.name = "Opus" if codec == "libopus" else "AAC"
        self.clock: Fraction | None = None  # seconds, for decoders that stamp nothing

    def feed(self, packet: Any) -> Iterator[Any]:
        """Encoded sound; a packet that cannot be decoded is a short silence, as in any player."""
        frames = []
        with contextlib.suppress(FFmpegError):
            frames = self.source.decode(packet)
        if self.clock is None and packet is not None:
            self.clock = packet.pts * packet.time_base
        for frame in frames:
            if frame.pts is None:
                frame.time_base = Fraction(1, frame.sample_rate)
                frame.pts = round((self.clock or Fraction(0)) / frame.time_base)
            self.clock = frame.pts * frame.time_base + Fraction(frame.samples, frame.sample_rate)
            yield from self.stream.encode(frame)

    def flush(self) -> Iterator[Any]:
        """The end of the sound."""
        yield from self.feed(None)
        yield from self.stream.encode(None)


def _to_timed_text(payload: bytes) -> bytes:
    text = payload.decode("utf-8", "replace").rstrip("\x00\r\n")
    data = _TAGS.sub("", text).replace("\r\n", "\n").encode()[:65535]
    return struct.pack(">H", len(data)) + data if data else b""


def _from_timed_text(payload: bytes) -> bytes:
    if len(payload) < 2:
        return b""
    return payload[2 : 2 + struct.unpack(">H", payload[:2])[0]]
