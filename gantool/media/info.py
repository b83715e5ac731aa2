"""What is known of a video before its frames are read."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

NUMBERED = "numbered pictures"  # the container's name of a film that is a row of picture files


@dataclass(frozen=True)
class VideoInfo:
    """One video file, or a row of numbered pictures, as it will be read.

    ``width`` and ``height`` are as shown, after rotation, in pixels. ``fps`` is the exact average rate.
    ``time_base`` is the unit of every ``pts``, in seconds. ``duration`` is that of the picture, in seconds.
    ``origin`` is the container's own zero in seconds (0 except for transport streams). ``end_pts`` is the end
    of the last frame where the container says so. ``frames_hint`` is what the container promises, never more
    than a hint. ``rotation`` is what must be done to the stored pixels, degrees counter-clockwise, after
    ``mirrored`` (left and right exchanged). ``sar`` is the pixel aspect as shown. ``matrix`` is bt709, bt601,
    bt2020, fcc or smpte240m; ``tagged`` says whether the file named it or gantool guessed it from the size.
    ``primaries`` and ``transfer`` are the H.273 numbers of the file (2 = not given). ``variable_rate`` is
    None when it cannot be told without reading the whole file. ``truncated``: the file speaks of bytes
    beyond its own end. ``audio``, ``subtitles``: how many tracks.

    ``interlaced`` is what the first frame says; with ``deinterlace`` such frames are made whole as they are
    read. ``hdr`` is "PQ" or "HLG" for a source that is brought to standard range as it is read, ``peak_nits``
    the brightest it shows, in cd/m2; primaries and transfer are then those of the result, BT.709. With
    ``vectors``, frames bring along the motion vectors of the stream.
    """

    path: Path | None
    width: int
    height: int
    fps: Fraction
    time_base: Fraction
    duration: float | None = None
    origin: Fraction = Fraction(0)
    start_pts: int = 0
    end_pts: int | None = None
    frames_hint: int | None = None
    rotation: int = 0
    mirrored: bool = False
    sar: Fraction = Fraction(1)
    pix_fmt: str = "yuv420p"
    bits: int = 8
    alpha: bool = False
    matrix: str = "bt709"
    full_range: bool = False
    tagged: bool = True
    primaries: int = 2
    transfer: int = 2
    variable_rate: bool | None = False
    interlaced: bool = False
    truncated: bool = False
    audio: int = 0
    subtitles: int = 0
    container: str = ""
    codec: str = ""
    deinterlace: bool = True
    hdr: str = ""
    peak_nits: float = 1000.0
    vectors: bool = False

    @property
    def numbered(self) -> bool:
        """Whether ``path`` is a pattern for picture files, with nothing else beside the picture."""
        return self.container == NUMBERED

    @property
    def deep(self) -> bool:
        """Whether frames have more than 8 bits, so that uint16 RGB is worth having."""
        return self.bits > 8 or bool(self.hdr)

    def summary(self) -> str:
        """The source in one line, for people."""
        facts = [f"{self.width}x{self.height}", f"{float(self.fps):.6g} frames/s"]
        if self.variable_rate:
            facts[-1] += " on average"
        if self.duration is not None:
            facts.append(f"{self.duration:.6g} s")
        facts.append(f"{self.codec} {self.pix_fmt} {self.matrix}{'' if self.tagged else ' (a guess)'}")
        if self.sar != 1:
            facts.append(f"pixels of {self.sar.numerator}:{self.sar.denominator}")
        if self.rotation or self.mirrored:
            facts.append("turned")
        if self.interlaced:
            facts.append("interlaced")
        if self.hdr:
            facts.append(f"HDR ({self.hdr}, {self.peak_nits:.0f} cd/m2)")
        if self.audio:
            facts.append(f"{self.audio} sound track{'s' * (self.audio > 1)}")
        if self.subtitles:
            facts.append(f"{self.subtitles} subtitle track{'s' * (self.subtitles > 1)}")
        return ", ".join(facts)
