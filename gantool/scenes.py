"""Times that a user names, brought to where their scenes begin.

What holds from a time on, such as a palette, is meant for the scene that is to be seen there. It must not
change in the middle of it, but where it begins, where the temporal filter starts afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gantool.errors import InputError, UsageError
from gantool.media.video import VideoInfo, read_frames
from gantool.motion import MotionTracker

_PIECE_S = 4.0  # read at once, going backwards
_LEAD = 8  # frames before it, by which a cut is told from what moves wildly anyway


def moments(
    info: VideoInfo, times: Sequence[float], check: Callable[[], None] | None = None
) -> Callable[[float], float]:
    """What a pipeline is to be told for the time of a frame, so that ``times`` begin with their scenes.

    A frame before one of these times, but in its scene, is told that time, any other its own. Of two times in
    one scene, the second begins where it is. Depends on the film alone, not on the part that is made.

    Args:
        info: the film, as ``probe`` found it.
        times: seconds from its start.
        check: called often; whatever it raises comes out.

    Raises UsageError for a time behind the film's end.
    """
    begins: list[tuple[float, float]] = []
    for time in sorted(set(times)):
        if info.duration is not None and time >= info.duration:
            what = f"the time {time:g} s is behind the end of the film ({info.duration:.2f} s)"
            raise UsageError(what, info.path, "Give an earlier one")
        begin = _scene_start(info, time, check or (lambda: None))
        if begins and begin <= begins[-1][1]:
            begin = time
        begins.append((begin, time))

    def told(time: float) -> float:
        return max([time, *(named for begin, named in begins if begin <= time)])

    return told


def _scene_start(info: VideoInfo, time: float, check: Callable[[], None]) -> float:
    """The time of the first frame of the scene that is to be seen at a time, give or take half a frame."""
    frame_s = 1 / float(info.fps)
    end = time + frame_s / 2
    while end > 0:
        begin = max(0.0, end - _PIECE_S)
        cut = _last_cut(info, begin, end, begin - _LEAD * frame_s, check)
        if cut is not None:
            return cut
        end = begin
    return 0.0


def _last_cut(
    info: VideoInfo, begin: float, end: float, lead: float, check: Callable[[], None]
) -> float | None:
    """The last cut at begin <= time < end, reading from ``lead`` on; a flash is none."""
    assert info.path is not None
    tracker, cuts = MotionTracker(), []
    start = max(0.0, lead)
    try:
        # What is damaged is told by the run itself.
        for frame in read_frames(info.path, info, start=start, duration=end - start, keep_partial=True):
            check()
            motion = tracker.next(frame.rgb)
            if motion.resumed and cuts:
                cuts.pop()
            elif motion.cut:
                cuts.append(frame.time)
    except InputError:  # no frame in this piece
        pass
    return next((cut for cut in reversed(cuts) if cut >= begin), None)
