"""Whether a film still has what its source had: frames, their times, shape, colour tags, sound, subtitles."""

from __future__ import annotations

from dataclasses import dataclass

from gantool.evaluation.result import Check
from gantool.media.packets import SoundTrack
from gantool.media.video import VideoInfo

_SYNC_S = 0.002  # clocks of Matroska count milliseconds; twice that much is rounding, not drift


@dataclass
class Clock:
    """What was read of two films: how many frames each, when they began, how far their times went apart."""

    frames: tuple[int, int] = (0, 0)
    starts: tuple[float, float] = (0.0, 0.0)
    apart: float = 0.0


def checks_of(
    source: VideoInfo,
    result: VideoInfo,
    clock: Clock,
    sound: tuple[list[SoundTrack], list[SoundTrack]] | None,
) -> list[Check]:
    """All properties, in the order of a table. ``sound``: the tracks of both; None to leave them out."""
    checks = [
        _equal("frames", *clock.frames),
        _times(source, result, clock),
        _size(source, result),
        _may_differ("rate", _rate(source), _rate(result)),
        _may_differ("pixel aspect", str(source.sar), str(result.sar)),
        _may_differ("colour", _colour(source), _colour(result)),
    ]
    if sound is not None:
        checks += _sound(source, result, clock, *sound)
        checks.append(_equal("subtitles", source.subtitles, result.subtitles))
    return checks


def _equal(name: str, source: object, result: object) -> Check:
    same = source == result
    return Check(name, str(source), str(result), same, "equal" if same else "differs")


def _may_differ(name: str, source: str, result: str) -> Check:
    return Check(name, source, result, source == result or None, "equal" if source == result else "changed")


def _times(source: VideoInfo, result: VideoInfo, clock: Clock) -> Check:
    tick = float(max(source.time_base, result.time_base))
    good = clock.apart <= tick + 1e-6
    words = "equal" if good else "differ"
    before, after = (f"from {start:.3f} s" for start in clock.starts)
    return Check("timestamps", before, after, good, f"{words}, at most {1e3 * clock.apart:.2f} ms apart")


def _size(source: VideoInfo, result: VideoInfo) -> Check:
    before, after = (f"{info.width}x{info.height}" for info in (source, result))
    if before == after:
        return Check("size", before, after, True, "equal")
    across, down = result.width / source.width, result.height / source.height
    # A line more for an even side is what 4:2:0 needs.
    padded = (result.width - source.width, result.height - source.height) in ((1, 0), (0, 1), (1, 1))
    if padded:
        return Check("size", before, after, None, "a line more, for even sides")
    if abs(across / down - 1) < 0.02:
        return Check("size", before, after, None, f"x{across:.3g}")
    return Check("size", before, after, False, "differs")


def _rate(info: VideoInfo) -> str:
    return f"{info.fps} fps{', variable' if info.variable_rate else ''}"


def _colour(info: VideoInfo) -> str:
    return f"{info.matrix}, {'full' if info.full_range else 'limited'}, {info.bits} bit"


def _sound(
    source: VideoInfo, result: VideoInfo, clock: Clock, before: list[SoundTrack], after: list[SoundTrack]
) -> list[Check]:
    checks = [_equal("sound tracks", len(before), len(after))]
    for number, (one, other) in enumerate(zip(before, after, strict=False), 1):
        first, second = (f"{track.codec}, {track.packets} packets" for track in (one, other))
        again = one.codec != other.codec
        same = one.digest == other.digest
        verdict = "equal, byte for byte" if same else "encoded again" if again else "other packets"
        checks.append(Check(f"sound {number}", first, second, same or (None if again else False), verdict))
        if one.start is not None and other.start is not None:
            offset = float(one.start - source.origin) - clock.starts[0]
            moved = float(other.start - result.origin) - clock.starts[1] - offset
            first, second = (f"{1e3 * x:+.1f} ms to the picture" for x in (offset, offset + moved))
            good = abs(moved) <= _SYNC_S
            verdict = "in step" if good else f"{1e3 * moved:+.1f} ms"
            # Another codec has another lead-in, which players skip.
            ok = good or (None if again else False)
            checks.append(Check(f"sound {number} begins", first, second, ok, verdict))
    return checks
