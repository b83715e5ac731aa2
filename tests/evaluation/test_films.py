"""Films against their source: known motion, known flicker, and what was lost on the way."""

from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import pytest
from moving_pictures import scene, view

from gantool import metrics
from gantool.errors import InputError
from gantool.evaluation.films import evaluate_film
from gantool.media.video import write_clip

SCENES = [scene(seed) for seed in (3, 4)]
FRAMES = [view(SCENES[0], 2 * n, 10) for n in range(8)]


def tone(seconds=0.4, pitch=20):
    return np.sin(np.arange(int(48_000 * seconds)) / pitch)[:, None] * 0.1


def clip(path, frames, *, sound=None, fps=25, **options):
    write_clip(path, frames, Fraction(fps), sound, **{"crf": 2, "preset": "ultrafast", **options})
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return clip(tmp_path_factory.mktemp("film") / "source.mkv", FRAMES, sound=tone())


def verdicts(found):
    return {check.name: check.ok for check in found.checks}


def test_a_film_against_itself(source):
    found = evaluate_film(source, source)
    assert found.error is None and set(verdicts(found).values()) == {True}
    assert {"frames", "timestamps", "sound 1", "sound 1 begins", "subtitles"} <= set(verdicts(found))
    totals = found.totals
    assert totals["warping_error"] == totals["source_warping_error"] < 1e-4  # a pan that the flow finds
    assert totals["warping_error_over_floor"] == 1 and totals["cdc"] == totals["source_cdc"]
    assert totals["sharpness"] == 1 and totals["lightness_shift"] == 0
    assert found.rows[0].values["warping_error"] is None and len(found.rows) == len(FRAMES)


def test_flicker_is_seen_where_it_is(source, tmp_path):
    flickering = [frame.copy() for frame in FRAMES]
    flickering[4] = np.clip(flickering[4].astype(int) + 51, 0, 255).astype(np.uint8)  # 0.2
    found = evaluate_film(clip(tmp_path / "f.mkv", flickering), source)
    errors = [row.values["warping_error"] for row in found.rows]
    assert errors[4] == pytest.approx(0.2**2, rel=0.15) and errors[5] == pytest.approx(0.2**2, rel=0.15)
    assert max(errors[1:4] + errors[6:]) < 1e-3
    assert found.totals["warping_error_over_floor"] > 100
    assert found.totals["cdc"] > 2 * found.totals["source_cdc"]
    assert found.totals["lightness_shift"] == pytest.approx(np.mean([0] * 7 + [19]), abs=0.5)
    assert found.exhibits[0].title.startswith("Largest jump: frame 4 at 0.16 s")
    assert [label for label, _ in found.exhibits[0].panels][:3] == [
        "source",
        "result, the frame before",
        "result",
    ]


def test_blur_is_no_steadiness(tmp_path):
    """Half a pixel of motion: fetching sharp pictures between their pixels costs, blurred ones do not."""
    moving = [
        cv2.warpAffine(SCENES[0], np.array([[1, 0, -1.5 * n], [0, 1, -10.0]]), (192, 144)) for n in range(6)
    ]
    source = clip(tmp_path / "s.mkv", moving)
    blurred = clip(tmp_path / "b.mkv", [cv2.GaussianBlur(frame, (0, 0), 2) for frame in moving])
    totals = evaluate_film(blurred, source).totals
    assert totals["sharpness"] < 0.5
    assert totals["warping_error_over_floor"] < 0.7


@pytest.mark.parametrize("judge", ["dis", "farneback"])
def test_a_cut_of_the_source_is_left_out(tmp_path, judge):
    frames = FRAMES[:4] + [view(SCENES[1], 300 + 2 * n, 60) for n in range(4)]
    film = clip(tmp_path / "cut.mkv", frames)
    found = evaluate_film(film, film, judge=judge)
    assert found.settings["cuts"] == [4] and "at 4" in found.left_out["E_warp at cuts"]
    assert found.rows[4].values["warping_error"] is None
    assert found.totals["warping_error"] < 1e-3


def test_a_still_film_has_no_error(tmp_path):
    film = clip(tmp_path / "still.mkv", [FRAMES[0]] * 3)
    found = evaluate_film(film, film)
    assert found.totals["warping_error"] < 1e-6 and "five frames" in found.left_out["CDC"]
    assert found.totals["cdc"] is None


def test_an_enlarged_film(source, tmp_path):
    height, width = FRAMES[0].shape[:2]
    large = [cv2.resize(f, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC) for f in FRAMES]
    found = evaluate_film(clip(tmp_path / "x2.mkv", large), source)
    assert next(check for check in found.checks if check.name == "size").verdict == "x2"
    assert found.totals["sharpness"] == pytest.approx(1, abs=0.1)  # it is what sharpness is measured against
    assert found.totals["lightness_shift"] < 1
    assert found.totals["warping_error_over_floor"] < 1.5


def test_a_padded_line_does_not_count(tmp_path):
    odd = [np.ascontiguousarray(frame[:143, :191]) for frame in FRAMES]
    source = clip(tmp_path / "odd.mkv", odd, pix_fmt="yuv444p")
    padded = [np.pad(frame, ((0, 1), (0, 1), (0, 0)), mode="edge") for frame in odd]
    found = evaluate_film(clip(tmp_path / "even.mkv", padded, pix_fmt="yuv444p"), source)
    assert found.totals["lightness_shift"] < 0.1
    assert verdicts(found)["size"] is None


def test_other_proportions_are_refused(source, tmp_path):
    turned = [np.ascontiguousarray(np.rot90(frame)) for frame in FRAMES]
    with pytest.raises(InputError, match="144x192, the source's 192x144"):
        evaluate_film(clip(tmp_path / "turned.mkv", turned), source)


def test_lost_frames_and_sound(source, tmp_path):
    found = evaluate_film(clip(tmp_path / "short.mkv", FRAMES[:-1]), source)
    assert isinstance(found.error, InputError) and "7 frames, its source 8" in str(found.error)
    wrong = {name for name, ok in verdicts(found).items() if ok is False}
    assert wrong == {"frames", "sound tracks"}
    assert len(found.rows) == 7


def test_times_and_sound_that_moved(source, tmp_path):
    late = [0, 40, 80, 120, 160, 200, 240, 300]  # the last by half a frame
    other = clip(tmp_path / "late.mkv", FRAMES, sound=tone(pitch=30), pts=late, time_base=Fraction(1, 1000))
    found = evaluate_film(other, source)
    checks = {check.name: check for check in found.checks}
    assert checks["timestamps"].ok is False and "20.00 ms" in checks["timestamps"].verdict
    assert checks["sound 1"].ok is False and checks["sound 1"].verdict == "other packets"
    recoded = evaluate_film(clip(tmp_path / "o.webm", FRAMES, sound=tone(), crf=30), source)
    checks = {check.name: check for check in recoded.checks}
    assert checks["sound 1"].ok is None and checks["sound 1"].verdict == "encoded again"
    assert checks["frames"].ok and checks["timestamps"].ok


def test_a_part_of_both(source, tmp_path):
    short = clip(tmp_path / "short.mkv", FRAMES[:3])
    found = evaluate_film(short, source, duration=0.12)
    assert found.error is None and len(found.rows) == 3
    assert "sound 1" not in verdicts(found) and "part" in found.left_out["sound, subtitles"]


def test_numbered_pictures_are_a_film(source, tmp_path):
    for number, frame in enumerate(FRAMES):
        cv2.imwrite(str(tmp_path / f"{number:03d}.png"), frame)
    found = evaluate_film(tmp_path / "%03d.png", source)
    assert found.totals["lightness_shift"] < 0.2 and verdicts(found)["frames"]
    assert found.left_out["sound, subtitles"] == "numbered pictures have none"


def test_figures_are_those_of_metrics(source):
    """E_warp over the whole film at once, along the same flows."""
    from gantool.evaluation.steadiness import Watch
    from gantool.media.video import read_frames

    frames = [frame.rgb for frame in read_frames(source)]
    watch = Watch("dis")
    flows, masks = zip(*(watch._motion(a, b) for a, b in pairwise(frames)), strict=True)
    totals = evaluate_film(source, source).totals
    assert totals["warping_error"] == pytest.approx(metrics.warping_error(frames, flows, masks))
    assert totals["cdc"] == pytest.approx(metrics.cdc(frames))
    assert totals["colourfulness"] == pytest.approx(np.mean([metrics.colourfulness(f) for f in frames]))
