"""A film of front views in parts, across cuts, and whom it shows."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from face_kit import blob, find_blobs
from moving_pictures import scene

from gantool import engine, facepass, faces
from gantool.catalog import Checkpoint
from gantool.errors import InputError, Stopped
from gantool.facestep import FaceStep
from gantool.media.video import Frame, probe, read_frames, write_clip
from gantool.models.frontalizer import FrontalGenerator
from gantool.pipelines.frontalize import Frontalizer
from gantool.segmenting import make_segments
from gantool.segments import Film, join
from gantool.workfolder import WorkFolder, folder_for

torch.manual_seed(0)
MAKER = Frontalizer(
    FrontalGenerator(2, 3).eval(),
    Checkpoint("tiny", "frontalize", signed=True, whole=True),
    device=torch.device("cpu"),
)


def step(**options) -> FaceStep:
    return FaceStep(MAKER, options.pop("find", find_blobs), **options)


def picture(*people, x=0, negative=False) -> np.ndarray:
    ground = np.ascontiguousarray(scene(1, 120, 400)[:, x : x + 160])
    ground = 255 - ground if negative else ground
    for at in people:
        blob(ground, at[:2], *at[2:])
    return ground


def frames(pictures) -> list[Frame]:
    return [Frame(rgb, t, t / 25, 1) for t, rgb in enumerate(pictures)]


def walk(count=20, wobble=2.0) -> list[Frame]:
    """Somebody who walks and trembles, is hidden for a while, and stands still (repeats) once."""
    rng = np.random.default_rng(0)
    places = [(40 + 3 * t + rng.normal(0, wobble), 60 + rng.normal(0, wobble), 50) for t in range(count)]
    pictures = [picture(*([] if 12 <= t < 15 else [at]), x=t) for t, at in enumerate(places)]
    pictures[8] = pictures[7]
    return frames(pictures)


def made(passing, some) -> list[np.ndarray]:
    return [frame.rgb for frame in passing.results(passing.follow(iter(some)))]


@pytest.mark.parametrize(("paste", "find"), [(False, find_blobs), (True, find_blobs), (False, None)])
def test_in_parts_it_is_the_same_film(paste, find):
    films, work, told = walk(), step(paste=paste, find=find), []
    expected = made(work.begin(told.append), films)
    for boundary in (8, 13):
        whole, states = work.begin(lambda _: None, lambda frame, b=boundary: frame.pts // b), {}
        results = whole.results(whole.follow(iter(films)))
        first = [frame.rgb for frame in islice(results, boundary)]
        first.append(next(results).rgb)
        states = whole.state(1)
        assert all(isinstance(value, np.ndarray) for value in states.values())
        again = []
        other = work.begin(again.append, lambda frame, b=boundary: frame.pts // b)
        other.restore(states)
        rest = made(other, films[boundary:])
        assert all(np.array_equal(a, b) for a, b in zip(first, expected, strict=False))
        assert all(np.array_equal(a, b) for a, b in zip(rest, expected[boundary:], strict=True))
        assert again == told  # the counts go on too


def test_a_long_film_that_was_interrupted(tmp_path):
    source = tmp_path / "film.mkv"
    write_clip(source, [frame.rgb for frame in walk()], 25, crf=4)
    lossless = {"codec": "ffv1", "pix_fmt": "bgr0"}
    engine.run_video(probe(source), tmp_path / "direct.mkv", [step()], writer=lossless)

    def check():
        if (folder_for(target) / "seg_000001.json").exists():
            raise Stopped

    target, stops = tmp_path / "made.mkv", [check, None]
    for stop in stops:
        film = Film(probe(source), target, lossless, frames=6)
        with WorkFolder(target) as work:
            work.begin({"facts": {}}, shared=False)
            plan = film.rehearse((16, 16), pytest.fail)
            if stop is not None:
                with pytest.raises(Stopped):
                    make_segments(film, work, [step()], plan, check=stop)
                continue
            done = make_segments(film, work, [step()], plan)
            assert done.before >= 12
            join(film, work, done.segments, plan, overwrite=False)
    direct, joined = ([f.rgb for f in read_frames(tmp_path / name)] for name in ("direct.mkv", "made.mkv"))
    assert len(direct) == len(joined) == 20
    assert all(np.array_equal(a, b) for a, b in zip(direct, joined, strict=True))


def whom(pictures, **options) -> list[int]:
    """Left (1) or right (2) half: where the face is that each frame shows, 0 for none."""
    passing = step(**options).begin(lambda _: None)
    seen = list(passing.follow(iter(frames(pictures))))
    return [1 + (one.faces[0].box[0] > 70) if one.faces else 0 for one in seen]


SMALL, LARGE, LARGER = (40, 60, 40), (120, 60, 50), (40, 60, 60)


def test_whoever_is_followed_stays():
    both, grown = picture(SMALL, LARGE), picture(LARGER, LARGE)
    assert whom([both, grown, both, grown, grown]) == [2] * 5
    assert whom([both, grown, grown], which=2) == [1] * 3
    assert whom([picture(SMALL), both, both]) == [1] * 3


def test_behind_a_cut_the_largest_is_taken_anew():
    shots = [picture(SMALL, LARGE, x=t) for t in range(4)]
    shots += [picture(LARGER, LARGE, negative=True, x=t) for t in range(3)]
    assert whom(shots) == [2] * 4 + [1] * 3


def test_somebody_else_is_taken_when_one_is_gone_for_long():
    shots = [picture(SMALL, LARGE)] + [picture(SMALL, x=t) for t in range(30)]
    shown = whom(shots)
    assert shown[0] == 2 and shown[1:10] == [0] * 9 and shown[-10:] == [1] * 10


def test_smoothing_is_what_the_film_shows():
    rng = np.random.default_rng(1)
    places = 80 + rng.normal(0, 1.5, (40, 2))

    def find(rgb):
        return [find_blobs(picture((80, 60, 50)))[0]]

    def trembling(rgb, queue=iter(places)):
        five = np.array(find(rgb)[0].points) + next(queue) - 80
        return [faces.Face.of_points(five, (60.0, 35.0, 40.0, 50.0), 0.9)]

    passing = step(find=trembling).begin(lambda _: None)
    seen = list(passing.follow(iter(frames([picture(x=t) for t in range(40)]))))
    shown = np.array([one.faces[0].points[2] for one in seen])
    assert np.abs(np.diff(shown, axis=0)).mean() < 0.4 * np.abs(np.diff(places, axis=0)).mean()


def test_a_third_face_that_is_never_there():
    passing = step(which=3).begin(lambda _: None)
    with pytest.raises(InputError, match="no face 3 in any of 4 frames"):
        made(passing, frames([picture(SMALL, LARGE, x=t) for t in range(4)]))


def test_fused_is_the_mean_of_whom_is_seen_most(tmp_path):
    path = Path(tmp_path) / "f.mkv"
    shots = [picture(LARGE, x=t) for t in range(3)] + [picture(SMALL, negative=True, x=t) for t in range(9)]
    write_clip(path, shots, 25, codec="ffv1", pix_fmt="bgr0")
    told = []
    view, count = facepass.fused(probe(path), step(), warn=told.append)
    assert view.shape == (16, 16, 3) and count == 9
    assert any("2 faces are shown one after the other" in said for said in told)
    passing = step().begin(lambda _: None)
    views = [MAKER.views(one.frame.rgb, one.faces)[0] for one in passing.follow(iter(frames(shots)))]
    assert np.abs(view - np.mean(views[3:], axis=0)).max() < 8
