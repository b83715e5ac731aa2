"""A film against its source: steadiness in time, sharpness, lightness, colour, and what it kept.

Nothing here needs a reference for the result; the source gives the motion, and its own figures are the floor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np

from gantool import metrics
from gantool.errors import InputError
from gantool.evaluation.integrity import Clock, checks_of
from gantool.evaluation.pictures import Gallery
from gantool.evaluation.result import Evaluation, Measure, Row, mean_of
from gantool.evaluation.steadiness import FLOWS, Judge, Moment, Watch
from gantool.media.packets import sound_tracks
from gantool.media.video import VideoInfo, probe, read_frames
from gantool.preview import expected_frames
from gantool.progress import Progress

MEASURES = (
    Measure(
        "warping_error",
        "E_warp",
        "1e-5",
        "less",
        2,
        "Mean squared change beyond the source's motion (Lai 2018), RGB in [0,1], each film at its own "
        "size. Below the source's own figure it is blurred rather than steady.",
        1e5,
    ),
    Measure("source_warping_error", "E_warp of the source", "1e-5", "", 2, "The floor, likewise.", 1e5),
    Measure(
        "sharpness",
        "sharpness",
        "",
        "more",
        3,
        "Spread of the Laplacian of luma, relative to the source (enlarged by bicubic where sizes differ).",
    ),
    Measure("lightness_shift", "lightness shift", "L*", "less", 3, "Mean absolute change of L*, 0 to 100."),
    Measure("colourfulness", "colourfulness", "", "", 1, "Hasler and Suesstrunk 2003, signed opponents."),
    Measure("source_colourfulness", "colourfulness of the source", "", "", 1, "Likewise."),
)
SUMMARY = (
    Measure("warping_error_over_floor", "E_warp / source's", "", "less", 2, "1 is as steady as the source."),
    Measure(
        "cdc",
        "CDC",
        "1e-4",
        "less",
        2,
        "Colour distribution consistency (TCVC 2021): divergence of histograms 1, 2 and 4 frames apart. "
        "Grey films score well too, so look at colourfulness.",
        1e4,
    ),
    Measure("source_cdc", "CDC of the source", "1e-4", "", 2, "Likewise.", 1e4),
)


def evaluate_film(
    result: Path,
    source: Path,
    *,
    judge: Judge = "dis",
    duration: float | None = None,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Measure ``result`` against the film that it was made from.

    Args:
        judge: the flow that motion is measured with; take the one that the result was not made with.
        duration: only so many seconds from the beginning; sound and subtitles are then left out.

    Raises InputError for films that cannot be read, and for pictures of other proportions. Films of different
    length are measured as far as both go; the evaluation then bears an error.
    """
    infos = probe(source), probe(result)
    if progress is not None:
        progress.total(expected_frames(infos[0], 0.0, duration))
    clock, watch = Clock(), Watch(judge)
    gallery = Gallery(apart=1.0)
    rows: list[Row] = []
    for moment in _moments(infos, clock, duration):
        check()
        values = watch.see(moment)
        rows.append(Row(f"frame {moment.number}", values, moment.time))
        jump = watch.jump
        if jump is not None:
            figure = MEASURES[0].text(values["warping_error"])
            title = f"frame {moment.number} at {moment.time:.2f} s (E_warp {figure}e-5)"
            gallery.offer(
                jump.error, moment.time, lambda word, title=title, jump=jump: jump.exhibit(word, title)
            )
        if progress is not None:
            progress.advance(1)
    whole = duration is None and not any(info.numbered for info in infos)
    sound = (sound_tracks(source), sound_tracks(result)) if whole else None
    totals = {one.name: mean_of(rows, one.name) for one in MEASURES} | watch.totals(rows)
    return Evaluation(
        "eval video",
        {"result": str(result), "source": str(source)},
        {"judge": FLOWS[judge].format(side=watch.longest), "frames": len(rows), "cuts": watch.cuts},
        MEASURES,
        totals,
        rows,
        left_out=_left_out(len(rows), watch.cuts, None if whole else duration is not None),
        checks=checks_of(*infos, clock, sound),
        exhibits=gallery.exhibits(len(rows)),
        curves=[
            ("warping_error", "source_warping_error"),
            ("sharpness",),
            ("lightness_shift",),
            ("colourfulness", "source_colourfulness"),
        ],
        summary=SUMMARY,
        error=_length_error(result, clock),
    )


def _left_out(frames: int, cuts: list[int], part: bool | None) -> dict[str, str]:
    """``part``: whether only a part of the film was measured; None for a whole one that may have sound."""
    found = {}
    if part is not None:
        found["sound, subtitles"] = (
            "only a part of the film was measured" if part else "numbered pictures have none"
        )
    if cuts:
        numbers = ", ".join(map(str, cuts[:12])) + (", ..." if len(cuts) > 12 else "")
        found["E_warp at cuts"] = f"the source does not go on from the frame before at {numbers}"
    if frames <= max(metrics.CDC_GAPS):
        found["CDC"] = "it needs at least five frames"
    return found


def _length_error(result: Path, clock: Clock) -> InputError | None:
    wanted, found = clock.frames
    if wanted == found:
        return None
    what = f"the film has {found} frames, its source {wanted}; what was measured ends with the shorter one"
    return InputError(what, result, "Make the film again, or measure a part of both with --duration")


def _moments(infos: tuple[VideoInfo, VideoInfo], clock: Clock, duration: float | None) -> Iterator[Moment]:
    """The frames of both films, one by one, as far as both go; ``clock`` is filled in."""
    paths = [info.path for info in infos]
    readers = [
        read_frames(path, info, duration=duration) for path, info in zip(paths, infos, strict=True) if path
    ]
    counts = [0, 0]
    for number, (source, result) in enumerate(zip_longest(*readers)):
        counts = [count + (one is not None) for count, one in zip(counts, (source, result), strict=True)]
        clock.frames = counts[0], counts[1]
        if source is None or result is None:
            continue
        if number == 0:
            clock.starts = source.time, result.time
        passed = [one.time - start for one, start in zip((source, result), clock.starts, strict=True)]
        clock.apart = max(clock.apart, abs(passed[0] - passed[1]))
        picture = _unpadded(result.rgb, source.rgb, paths[1])
        yield Moment(number, source.time, picture, source.rgb)


def _unpadded(result: np.ndarray, source: np.ndarray, path: Path | None) -> np.ndarray:
    """The result without the line that makes an odd side even. Raises InputError for other proportions."""
    height, width = source.shape[:2]
    if 0 <= result.shape[0] - height <= 1 and 0 <= result.shape[1] - width <= 1:
        return np.ascontiguousarray(result[:height, :width])
    tall, wide = result.shape[:2]
    if abs((tall / height) / (wide / width) - 1) > 0.02:
        what = f"its pictures are {wide}x{tall}, the source's {width}x{height}: other proportions"
        raise InputError(what, path, "Give the film that the result was made from")
    return result
