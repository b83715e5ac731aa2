"""Plain-text subtitles from one container's way of storing them to another's.

Matroska keeps SubRip text, mp4 and mov keep "3GPP timed text" with a length in front. The words and times
stay; of the styles only what plain text can say.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

import av

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

Convert = Callable[[bytes], bytes]


def converted_stream(output: Any, source: Any) -> tuple[Any, Convert] | None:
    """A new stream of ``output`` that can hold the text of subtitle stream ``source``, and what turns the
    payload of one packet into the other's (empty: leave the packet out). None if there is no such way."""
    if source.codec_context is None:
        return None
    codec = source.codec_context.codec.canonical_name
    muxer = output.format.name
    if codec in ("subrip", "text") and muxer in ("mp4", "mov"):
        stream = output.add_stream("mov_text")
        stream.codec_context.subtitle_header = _HEADER
        stream.codec_context.time_base = source.time_base
        return stream, _to_timed_text
    if codec == "mov_text" and muxer == "matroska":
        return output.add_mux_stream("subrip", time_base=source.time_base), _from_timed_text
    return None


def retyped_packet(packet: Any, payload: bytes) -> Any:
    """A packet with another payload and the same times."""
    result = av.Packet(payload)
    result.pts, result.dts, result.duration = packet.pts, packet.dts, packet.duration
    result.time_base = packet.time_base
    result.is_keyframe = True
    return result


def _to_timed_text(payload: bytes) -> bytes:
    text = payload.decode("utf-8", "replace").rstrip("\x00\r\n")
    data = _TAGS.sub("", text).replace("\r\n", "\n").encode()[:65535]
    return struct.pack(">H", len(data)) + data if data else b""


def _from_timed_text(payload: bytes) -> bytes:
    if len(payload) < 2:
        return b""
    return payload[2 : 2 + struct.unpack(">H", payload[:2])[0]]
