"""Titles and the provenance mark of a video file.

mp4 and mov bear the mark as a comment and as an XMP packet in a ``uuid`` box at the end of the file, where
Adobe's specification puts it; Matroska and WebM as tags; GIF as a comment and an XMP application block.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError

from gantool.media.gif import add_gif_blocks
from gantool.media.probe import ANY_TAGS, exact

if TYPE_CHECKING:
    from gantool.media.provenance import Provenance

# Facts about the old file that the new one states by itself.
_TECHNICAL = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "rotate"}
_STATISTICS = ("bps", "number_of_", "_statistics_")
_SOURCE_TYPE = "DIGITAL_SOURCE_TYPE"
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def kept_tags(tags: dict[str, str]) -> dict[str, str]:
    """Tags of a file or track that stay true of the new one."""
    return {
        key: value
        for key, value in tags.items()
        if key.lower() not in _TECHNICAL
        and not key.lower().startswith(_STATISTICS)
        and not (key == "creation_time" and value.startswith("1970-01-01T00:00:00"))  # never set
    }


def muxer_options(muxer: str, tags: dict[str, str]) -> dict[str, str]:
    """Options of the container that keep what the source says: its tags and which tracks are default."""
    if muxer in ("matroska", "webm"):
        return {"default_mode": "passthrough"}  # or the muxer would mark tracks as default by itself
    if muxer not in ("mp4", "mov"):
        return {}
    flags = "+faststart"
    if any(key.startswith(("com.apple.", "com.android.")) for key in tags):
        flags += "+use_metadata_tags"  # the form in which cameras write where and with what a film was made
    return {"movflags": flags}


def marked_tags(tags: dict[str, str], muxer: str, provenance: Provenance | None) -> dict[str, str]:
    """The source's tags with the mark added; a comment that was there stays in front."""
    result = kept_tags(tags)
    if provenance is None:
        return result
    # Not that of an earlier mark.
    result = {key: value for key, value in result.items() if key.upper() != _SOURCE_TYPE}
    key = next((k for k in result if k.lower() == "comment"), "comment")
    sentence = provenance.sentence()
    result[key] = f"{result[key]}\n{sentence}" if result.get(key) else sentence
    if muxer in ("matroska", "webm"):
        result[_SOURCE_TYPE] = provenance.source_type
    return result


def finish_mark(path: Path, muxer: str, provenance: Provenance | None) -> None:
    """Add what the muxer cannot write to a finished file. Raises OSError."""
    if provenance is None:
        return
    if muxer == "gif":
        add_gif_blocks(path, provenance.sentence(), provenance.xmp())
    elif muxer in ("mp4", "mov"):
        packet = provenance.xmp()
        with path.open("ab") as file:
            file.write(struct.pack(">I4s", 24 + len(packet), b"uuid") + _XMP_BOX + packet)


def check_tags(path: Path, wanted: dict[str, str], sar: Fraction) -> list[str]:
    """What the container did not take, in sentences, from reading the finished file again."""
    suffix, result = path.suffix, []
    try:
        with av.open(f"file:{path.absolute()}", **ANY_TAGS) as container:
            found = {key.lower() for key in container.metadata}
            stream = container.streams.video[0]
            shown = exact(stream.sample_aspect_ratio or Fraction(1))
            codec = stream.codec_context.name
    except FFmpegError:
        return []
    lost = sorted(key for key in wanted if key.lower() not in found)
    if lost:
        result.append(f"{suffix} has no place for the tags {', '.join(lost)}. Write to .mkv to keep them")
    if abs(shown - sar) > sar / 1000:
        aspect = f"{sar.numerator}:{sar.denominator}"
        result.append(
            f"{suffix} with {codec} does not keep the pixel aspect {aspect}; the picture will look squeezed "
            "or stretched. Write to .mp4, or to .mkv with --codec libx264"
        )
    return result
