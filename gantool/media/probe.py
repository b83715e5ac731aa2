"""What a video file holds: size as shown, exact rate, colour tags, other streams.

Everything is read with PyAV from the container and from the first decoded frame (rotation, colour tags and
interlacing are properties of frames, not of containers). Only local files are opened, by absolute path and
with the ``file:`` prefix, so that names with colons, percent signs or leading dashes are plain names, and a
play list that points elsewhere is not followed.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError
from av.stream import Disposition

from gantool.errors import InputError
from gantool.media.info import VideoInfo
from gantool.media.tonemap import USUAL_PEAK, WHITE
from gantool.media.wholeness import is_cut_short
from gantool.numbered import is_numbered

# Demuxers that may open a user's file. Play lists (hls, concat, dash, sdp) are left out on purpose: they name
# other files or addresses. Audio formats are in, so that a sound file gets its own sentence.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,gif,apng,ogg,mxf,nut,dv,ivf,wtv,"
    "yuv4mpegpipe,h264,hevc,obu,m4v,rm,swf,mp3,aac,flac,wav,aiff,caf,ac3,amr"
)
# AVColorSpace -> the names used here. 0 is RGB, 2 unspecified.
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_OTHER_MATRICES = {8, 11, 12, 13, 14, 15, 16, 17}  # YCgCo, ICtCp and the like
_HDR = {16: "PQ", 18: "HLG"}
# Tags that are not UTF-8 are carried through byte by byte; PyAV 19 does so by itself.
ANY_TAGS: dict[str, Any] = (
    {"metadata_errors": "surrogateescape"} if int(av.__version__.split(".")[0]) < 19 else {}
)
_PATIENCE = 600  # packets tried before a stream counts as undecodable


def open_input(path: Path) -> Any:
    """An ``av`` input container for a local file.

    Raises InputError for a file that is missing, empty, not a file, or not of a known video format.
    """
    check_file(path)
    url = "file:" + os.path.abspath(path)  # noqa: PTH100 - resolve() would follow links
    try:
        return av.open(
            url,
            options={"format_whitelist": FORMATS, "protocol_whitelist": "file"},
            **ANY_TAGS,
        )
    except (FFmpegError, OSError, ValueError) as error:
        raise _cannot_open(path, error) from error


def check_file(path: Path) -> None:
    """Raise InputError unless ``path`` is a readable, ordinary, non-empty file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise InputError("there is no such file", path, "Check the path") from None
    except (OSError, ValueError) as error:
        raise InputError(f"the file cannot be read: {error}", path, "Check the path") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError("this is a folder, not a video", path, "Name the files in it") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError("this is not an ordinary file", path, "Save the video to a file first") from None
    if status.st_size == 0:
        raise InputError("the file is empty", path, "Copy or download it again") from None
    if not os.access(path, os.R_OK):
        raise InputError("the file may not be read", path, "Change its rights, or copy it") from None


def probe(
    path: Path | str, *, deinterlace: bool = True, tonemap: bool = False, fps: Fraction | None = None
) -> VideoInfo:
    """Open a video, decode its first frame and say what it is.

    ``path`` may be a pattern for numbered pictures, of which there are ``fps`` a second. ``deinterlace``:
    interlaced frames are to be made whole. ``tonemap``: HDR is to be brought to standard range; otherwise it
    is refused.

    Raises InputError for anything that is not a video with at least one decodable frame of known colours.
    """
    path = Path(path)
    if is_numbered(path):
        from gantool.media.pictures import probe_pictures

        return probe_pictures(path, fps)
    with open_input(path) as container:
        stream = video_stream(container, path)
        frame = _first_frame(container, stream, path)
        hdr = _HDR.get(frame.color_trc, "")
        if hdr and not tonemap:
            what = f"this is HDR video ({hdr}), whose light gantool's models do not know"
            raise InputError(what, path, "Use --tonemap to bring it to standard range")
        if frame.colorspace in _OTHER_MATRICES or (not hdr and frame.side_data.get("DOVI_RPU_BUFFER")):
            what = "the video's colours are coded in a way that gantool does not know"
            raise InputError(what, path, "Convert it to BT.709 first")
        info = _describe(path, container, stream, frame)
    info = replace(info, deinterlace=deinterlace)
    if not hdr:
        return info
    return replace(
        info, hdr=hdr, peak_nits=_peak(frame) if hdr == "PQ" else USUAL_PEAK, primaries=1, transfer=1
    )


def _peak(frame: Any) -> float:
    """The brightest that a PQ source shows, cd/m2: of its pictures, else of the display they were made on."""
    light = frame.side_data.get("CONTENT_LIGHT_LEVEL")
    brightest = struct.unpack("=I", bytes(light)[:4])[0] if light is not None else 0
    display = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    if not brightest and display is not None:
        numerator, denominator, _, known = struct.unpack("=4i", bytes(display)[72:88])
        brightest = numerator / denominator if known and denominator else 0
    return float(min(10_000, max(WHITE, brightest))) if brightest else USUAL_PEAK


def video_stream(container: Any, path: Path) -> Any:
    """The first stream of moving pictures, cover art left aside; InputError when there is none."""
    covers = [s for s in container.streams.video if s.disposition & Disposition.attached_pic]
    streams = [s for s in container.streams.video if s not in covers]
    if not streams:
        what = "there is no video stream"
        if container.streams.audio:
            what = "there is only sound with a cover picture" if covers else "there is only sound, no video"
        raise InputError(what, path, "Give a file with a video stream") from None
    stream = streams[0]
    if stream.codec_context is None:
        raise InputError("the video's codec is not known to this FFmpeg", path, "Convert it to H.264 first")
    return stream


def exact(value: Any) -> Fraction:
    """A rational number of PyAV, whose type depends on the version, as a Fraction."""
    return Fraction(value.numerator, value.denominator)


def orientation(frame: Any) -> tuple[int, bool]:
    """(rotation in degrees counter-clockwise, mirrored) that show a decoded frame as its maker meant it."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None or len(bytes(matrix)) < 36:
        return 0, False
    a, b, _, c, d, *_ = (value / 65536 for value in struct.unpack("=9i", bytes(matrix)[:36]))
    mirrored = a * d - b * c < 0
    if mirrored:  # the mirror comes first: x -> -x exchanges the sign of the first row
        a, b = -a, -b
    if abs(a) >= abs(b):
        return (0 if a >= 0 else 180), mirrored
    return (270 if b > 0 else 90), mirrored


def _describe(path: Path, container: Any, stream: Any, frame: Any) -> VideoInfo:
    rotation, mirrored = orientation(frame)
    width, height = frame.width, frame.height
    sar = exact(stream.sample_aspect_ratio or Fraction(1))
    if rotation % 180:
        width, height, sar = height, width, 1 / sar
    time_base = exact(stream.time_base)
    fps = stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(25)
    count, variable, truncated = _index_facts(stream, path)
    duration = _duration(container, stream, time_base)
    if count is None and duration is not None:
        count = stream.frames or round(duration * fps)
    start = stream.start_time if stream.start_time is not None else (frame.pts or 0)
    matrix = _MATRICES.get(frame.colorspace)
    discontinuous = "mpeg" in container.format.name  # transport and program streams start anywhere
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        fps=exact(fps),
        time_base=time_base,
        duration=duration,
        origin=Fraction(container.start_time or 0, av.time_base) if discontinuous else Fraction(0),
        start_pts=start,
        end_pts=None if stream.duration is None else start + stream.duration,
        frames_hint=count,
        rotation=rotation,
        mirrored=mirrored,
        sar=sar,
        pix_fmt=frame.format.name,
        bits=max(c.bits for c in frame.format.components) if frame.format.components else 8,
        # FFmpeg's own decoder of VP9 leaves its alpha out and does not say so.
        alpha=any(c.is_alpha for c in frame.format.components) or stream.metadata.get("alpha_mode") == "1",
        matrix=matrix or ("bt709" if height >= 720 or width >= 1280 else "bt601"),
        full_range=_is_full(frame),
        tagged=matrix is not None or frame.format.is_rgb,
        primaries=frame.color_primaries,
        transfer=frame.color_trc,
        variable_rate=variable,
        interlaced=bool(frame.interlaced_frame),
        truncated=truncated or is_cut_short(path),
        audio=len(container.streams.audio),
        subtitles=len(container.streams.subtitles),
        container=container.format.name,
        codec=stream.codec_context.name,
    )


def _is_full(frame: Any) -> bool:
    """Whether the range is full: as tagged, else by custom for grey and for old JPEG formats."""
    return frame.color_range == 2 or (
        frame.color_range != 1 and frame.format.name.startswith(("yuvj", "gray"))
    )


def _first_frame(container: Any, stream: Any, path: Path) -> Any:
    stream.codec_context.thread_count = 1  # several threads would first swallow several packets
    try:
        for number, packet in enumerate(container.demux(stream)):
            try:
                frames = packet.decode()
            except FFmpegError:  # damage at the very start is reported by read_frames, if it matters
                frames = []
            if frames:
                return frames[0]
            if number > _PATIENCE:
                break
    except FFmpegError as error:
        raise InputError(f"the video cannot be read: {error.strerror}", path, "Download it again") from error
    raise InputError("no frame of the video can be decoded", path, "Check that a player can play it")


def _duration(container: Any, stream: Any, time_base: Fraction) -> float | None:
    if stream.duration is not None:
        return float(stream.duration * time_base)
    for key in ("DURATION", "DURATION-eng"):
        parts = stream.metadata.get(key, "").split(":")
        if len(parts) == 3:
            try:
                return int(parts[0]) * 3600 + int(parts[1]) * 60 + float(parts[2])
            except ValueError:
                continue
    return None if container.duration is None else container.duration / av.time_base


def _index_facts(stream: Any, path: Path) -> tuple[int | None, bool | None, bool]:
    """(frames, variable rate, truncated) where the file has a complete index, as mp4 and mov do."""
    entries = stream.index_entries
    if stream.frames == 0 or len(entries) != stream.frames or len(entries) == 0:
        return None, None, False
    size = path.stat().st_size
    count, variable, furthest, step, before = 0, False, 0, None, None
    for entry in entries:
        count += not entry.is_discard
        furthest = max(furthest, entry.pos + entry.size)
        if before is not None:
            gap = entry.timestamp - before
            step = gap if step is None else step
            variable = variable or abs(gap - step) > 1  # one tick of rounding is no variation
        before = entry.timestamp
    return count, variable, furthest > size


def _cannot_open(path: Path, error: Exception) -> InputError:
    with path.open("rb") as file:
        head = file.read(16)
    if head[4:8] == b"ftyp":
        what, remedy = "the video's index is missing, the file is incomplete", "Copy or download it again"
    else:
        what, remedy = (
            "this is not a video that gantool can read",
            "Give an mp4, mov, mkv, webm or similar file",
        )
    return InputError(what, path, remedy)
