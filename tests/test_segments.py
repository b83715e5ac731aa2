"""Long films in segments: the same film whatever happened on the way, and what is cut where."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from moving_pictures import scene, view
from test_passes import flickering

from gantool.engine import Step, run_video
from gantool.errors import DeviceError, InputError, OutputError, Stopped
from gantool.media.video import probe, read_frames, write_clip
from gantool.segmenting import make_segments
from gantool.segments import Film, Grid, join, missing
from gantool.temporal import TemporalOptions
from gantool.workfolder import Segment, WorkFolder, folder_for

LOSSLESS = {"crf": 0, "preset": "ultrafast", "pix_fmt": "yuv444p"}
SOUND = np.sin(np.arange(48_000 * 3) / 20)[:, None] * 0.1
JOB = {"facts": {}}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """70 frames of a pan, with a repeat at a cut of the grid, and sound."""
    path = tmp_path_factory.mktemp("source") / "film.mp4"
    pictures = [view(scene(1), 2 * t, 20)[:60, :80] for t in range(70)]
    pictures[36] = pictures[35]
    write_clip(path, pictures, 25, SOUND, crf=4, preset="ultrafast")
    return path


@pytest.fixture(scope="module")
def uneven(tmp_path_factory) -> Path:
    """A variable rate with a pause of several segments, B-frames among them."""
    path = tmp_path_factory.mktemp("uneven") / "film.mkv"
    pictures = [view(scene(2), t, 10)[:60, :80] for t in range(40)]
    stamps = np.cumsum([0, *([40] * 15), 2000, *([20, 60] * 11), 33])[:40]
    write_clip(
        path, pictures, 25, SOUND, pts=map(int, stamps), time_base=Fraction(1, 1000), preset="fast", crf=4
    )
    return path


def steps(mode: str = "online", count: int = 2) -> list[Step]:
    """The second one's result differs altogether where the first one's differs in a bit."""
    return [Step(flickering("chroma"), TemporalOptions(mode), 4), Step(flickering(None), batch_size=3)][
        :count
    ]


def run(
    source: Path,
    target: Path,
    *,
    frames: int = 12,
    share=None,
    end: bool = True,
    mode="online",
    count=2,
    **options,
):
    """Make (a share of) a film as the command does, going on with what is there."""
    film = Film(probe(source), target, LOSSLESS, frames=frames, **options.pop("span", {}))
    with WorkFolder(target) as work:
        work.begin(JOB, shared=share is not None)
        plan = film.rehearse((80, 60), pytest.fail)
        made = make_segments(film, work, steps(mode, count), plan, share=share, **options)
        if end:
            join(film, work, made.segments, plan, overwrite=False)
    return made


def decoded(path: Path) -> list[tuple[int, str]]:
    return [(frame.pts, hashlib.sha256(frame.rgb.tobytes()).hexdigest()) for frame in read_frames(path)]


def sound(path: Path) -> list[tuple[int | None, bytes]]:
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 1
        return [(packet.pts, bytes(packet)) for packet in container.demux(audio=0) if packet.size]


def stop_behind(target: Path, number: int):
    """Raises once a segment is finished, in the middle of the next ones."""

    def check() -> None:
        if (folder_for(target) / f"seg_{number:06}.json").exists():
            raise Stopped

    return check


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Counter:
    expected, done, before = None, 0, 0

    def total(self, n):
        self.expected = n

    def note(self, remark):
        pass

    def advance(self, n=1):
        self.done += n

    def skip(self, n):
        self.before += n


# ---- the same film


@pytest.mark.parametrize("mode", ["online", "bidirectional"])
def test_interrupted_is_unbroken_and_that_is_the_film_in_one_go(source, tmp_path, mode):
    run_video(probe(source), tmp_path / "direct.mkv", steps(mode), writer=LOSSLESS)
    made = run(source, tmp_path / "whole.mkv", mode=mode)
    whole = decoded(tmp_path / "whole.mkv")
    assert made.report.frames == len(whole) == 70 and made.before == 0 and len(made.segments) == 6
    assert [pts for pts, _ in whole] == [pts for pts, _ in decoded(tmp_path / "direct.mkv")]
    assert sound(tmp_path / "whole.mkv") == sound(tmp_path / "direct.mkv")
    if mode == "online":  # else windows end with segments
        assert whole == decoded(tmp_path / "direct.mkv")
    counter, target = Counter(), tmp_path / "broken.mkv"
    for number in (1, 3):
        with pytest.raises(Stopped, match="interrupted") as caught:
            run(source, target, mode=mode, check=stop_behind(target, number))
        assert "What is finished stays in" in caught.value.remedy and "--continue" in caught.value.remedy
    made = run(source, target, mode=mode, progress=counter)
    assert made.before in (48, 60)
    assert (counter.before, counter.done, counter.expected) == (made.before, 70 - made.before, 70)
    assert decoded(target) == whole and sound(target) == sound(tmp_path / "whole.mkv")
    assert names(tmp_path) == ["broken.mkv", "direct.mkv", "whole.mkv"]


def test_variable_rate_with_a_pause(uneven, tmp_path):
    """Times as in one go; segments that would hold no frame are not there."""
    run_video(probe(uneven), tmp_path / "direct.mp4", steps(), writer=LOSSLESS)
    with pytest.raises(Stopped):
        run(uneven, tmp_path / "parts.mp4", check=stop_behind(tmp_path / "parts.mp4", 1))
    made = run(uneven, tmp_path / "parts.mp4")
    assert made.before and missing(made.segments) == []
    assert any(
        segment.following and segment.following > number + 1 for number, segment in made.segments.items()
    )
    assert decoded(tmp_path / "parts.mp4") == decoded(tmp_path / "direct.mp4")
    assert sound(tmp_path / "parts.mp4") == sound(tmp_path / "direct.mp4")


def test_a_part_of_the_source(source, tmp_path):
    span = {"start": 0.42, "duration": 1.5}
    run_video(probe(source), tmp_path / "direct.mp4", steps(), writer=LOSSLESS, **span)
    with pytest.raises(Stopped):
        run(source, tmp_path / "parts.mp4", span=span, check=stop_behind(tmp_path / "parts.mp4", 1))
    made = run(source, tmp_path / "parts.mp4", span=span)
    assert made.before and decoded(tmp_path / "parts.mp4") == decoded(tmp_path / "direct.mp4")
    assert sound(tmp_path / "parts.mp4") == sound(tmp_path / "direct.mp4")


def stopped_run(source: Path, target: Path) -> WorkFolder:
    """Three segments of six are there."""
    run(source, target, share=(1, 2), end=False)
    return WorkFolder(target)


@pytest.mark.parametrize("damage", ["last picture", "first picture", "last states", "all states"])
def test_what_is_not_whole_is_made_again(source, tmp_path, damage):
    run(source, tmp_path / "whole.mkv")
    work = stopped_run(source, tmp_path / "film.mkv")
    before = {"last picture": 24, "first picture": 24, "last states": 24, "all states": 0}[damage]
    if "picture" in damage:
        path = work.path / f"seg_00000{2 if damage == 'last picture' else 0}.mp4"
        path.write_bytes(path.read_bytes()[:-9])
    for number in (2,) if damage == "last states" else (0, 1, 2) if damage == "all states" else ():
        work.forget_states(number)
    said: list[str] = []
    made = run(source, tmp_path / "film.mkv", warn=said.append)
    number = {"last picture": 2, "first picture": 0}.get(damage)
    assert said == ([] if number is None else [f"segment {number} is damaged and is made again"])
    assert made.before == before if "picture" in damage else made.before == 36
    assert made.report.frames == 70 - before
    assert decoded(tmp_path / "film.mkv") == decoded(tmp_path / "whole.mkv")


def test_a_source_that_reads_otherwise_after_a_seek_is_read_from_the_beginning(source, tmp_path, monkeypatch):
    run(source, tmp_path / "whole.mkv")
    stopped_run(source, tmp_path / "film.mkv")
    begun = []

    def reader(*args, from_pts=None, **options):
        begun.append(from_pts)
        for frame in read_frames(*args, from_pts=from_pts, **options):
            if from_pts is not None:
                frame.rgb[0] += 1
            yield frame

    monkeypatch.setattr("gantool.segments.read_frames", reader)
    made = run(source, tmp_path / "film.mkv")
    assert made.before == 36 and begun[0] is not None and begun[1] is None
    assert decoded(tmp_path / "film.mkv") == decoded(tmp_path / "whole.mkv")


def test_only_the_latest_states_are_kept(source, tmp_path):
    work = stopped_run(source, tmp_path / "film.mkv")
    assert [name for name in names(work.path) if name.endswith(".npz")] == [
        "seg_000001.npz",
        "seg_000002.npz",
    ]


# ---- shares


def test_shares_in_any_order(source, tmp_path):
    """Nearly the film in one go; and a plain run makes what a share left undone."""
    target = tmp_path / "shared.mkv"
    run(source, tmp_path / "whole.mkv", count=1)
    assert run(source, target, count=1, share=(3, 3), end=False).report.frames == 22
    with pytest.raises(Stopped) as caught:
        run(source, target, count=1, share=(1, 3), end=False, check=stop_behind(target, 0))
    assert "the same command goes on" in caught.value.remedy
    made = run(source, target, count=1, share=(1, 3), end=False)
    assert made.before == 12 and missing(made.segments) == ["2 to 3"]
    again = run(source, target, count=1, share=(1, 3), end=False)
    assert (again.report.frames, again.before) == (0, 24)
    with pytest.raises(InputError, match="segments 2 to 3 are missing"), WorkFolder(target) as work:
        film = Film(probe(source), target, LOSSLESS, frames=12)
        join(film, work, work.segments(), film.rehearse((80, 60), pytest.fail), overwrite=False)
    made = run(source, target, count=1)
    assert made.before == 46 and made.report.frames == 24
    one, other = decoded(tmp_path / "whole.mkv"), decoded(target)
    assert [pts for pts, _ in one] == [pts for pts, _ in other]
    assert one[:48] == other[:48]  # share 2 went on from share 1's last state
    difference = [
        np.abs(a.rgb.astype(int) - b.rgb).mean()
        for a, b in zip(read_frames(tmp_path / "whole.mkv"), read_frames(target), strict=True)
    ]
    assert 0 < max(difference) < 1  # level: what is left in the filter after its run-up


def test_more_shares_than_segments(source, tmp_path):
    film = Film(probe(source), tmp_path / "film.mkv", frames=30)
    shares = [film.share(index, 5) for index in range(1, 6)]
    assert shares == [(0, 0), (0, 1), (1, 1), (1, 2), (2, None)]
    for index in (1, 2, 3, 4, 5):
        made = run(source, tmp_path / "film.mkv", frames=30, share=(index, 5), end=index == 5)
    assert made.before == 0 and made.report.frames == 10 and (tmp_path / "film.mkv").exists()


def test_a_header_that_promises_too_much(source, tmp_path, monkeypatch):
    """Shares behind the real end have nothing to do, and the film is whole without them."""
    monkeypatch.setattr(Film, "expected", 200)
    for index in (4, 3, 2, 1):
        made = run(source, tmp_path / "film.mkv", share=(index, 4), end=index == 1)
        assert made.report.frames == (0, 48, 22, 0, 0)[index]
    assert len(decoded(tmp_path / "film.mkv")) == 70


def test_a_film_of_unknown_length_cannot_be_shared(source, tmp_path, monkeypatch):
    monkeypatch.setattr(Film, "expected", None)
    with pytest.raises(InputError, match="how long"):
        run(source, tmp_path / "film.mkv", share=(1, 2))
    assert names(tmp_path) == []
    run(source, tmp_path / "film.mkv")


def test_two_with_the_same_share(source, tmp_path):
    with WorkFolder(tmp_path / "film.mkv") as other:
        other.begin(JOB, shared=True)
        other.claim(3)
        with pytest.raises(OutputError, match="at work"):
            run(source, tmp_path / "film.mkv", share=(2, 2), end=False)
        run(source, tmp_path / "film.mkv", share=(1, 2), end=False)
        with pytest.raises(OutputError, match="at work"):
            run(source, tmp_path / "film.mkv")


# ---- failures


def test_nothing_stays_of_a_film_that_failed_at_once(source, tmp_path):
    broken = flickering("chroma")
    broken = Step(type(broken)("t", "m", lambda x, _: x * float("nan"), broken.finish, broken.device))
    film = Film(probe(source), tmp_path / "film.mkv", LOSSLESS, frames=12)
    with WorkFolder(film.target) as work, pytest.raises(DeviceError, match="not numbers") as caught:
        work.begin(JOB)
        make_segments(film, work, [broken], film.rehearse((80, 60), pytest.fail))
    assert "finished" not in caught.value.remedy and names(tmp_path) == []


def test_damage_in_the_source(source, tmp_path, monkeypatch):
    """What comes before it is made; with keep_partial that is the film."""

    def damaged(*args, keep_partial, warn, from_pts=None, **options):
        for frame in read_frames(*args, from_pts=from_pts, **options):
            if frame.time > 1.7:
                if not keep_partial:
                    raise InputError("the video is damaged after 1.70 s", source, "Use --keep-partial")
                warn("damaged after 1.70 s")
                return
            yield frame

    monkeypatch.setattr("gantool.segments.read_frames", damaged)
    with pytest.raises(InputError, match="damaged"):
        run(source, tmp_path / "film.mkv")
    said: list[str] = []
    made = run(source, tmp_path / "film.mkv", span={"keep_partial": True}, warn=said.append)
    assert made.before in (12, 24, 36) and said == ["damaged after 1.70 s"] == list(made.report.warnings)
    assert len(decoded(tmp_path / "film.mkv")) == 43


def test_the_output_is_rehearsed(source, tmp_path):
    said: list[str] = []
    plan = Film(probe(source), tmp_path / "film.webm").rehearse((79, 61), said.append)
    assert plan.encoder == "libvpx-vp9" and any("converted to Opus" in sentence for sentence in said)
    assert names(tmp_path) == []


def test_missing_in_words():
    def segment(number: int, following: int | None, first: bool = False) -> Segment:
        return Segment(number, "", 0, "", (0,), 0, first, following, ())

    known = {0: segment(0, 1, True), 1: segment(1, 4), 4: segment(4, 5), 7: segment(7, None)}
    assert missing(known) == ["5 to 6"]
    assert missing({number: known[number] for number in (1, 4)}) == ["0", "5 to the end"]
    assert missing({7: known[7]}) == ["0 to 6"] and missing({}) == ["0 to the end"]
    assert missing({**known, 5: segment(5, 7)}) == []


# ---- the grid


@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30000, 1001), Fraction(60), Fraction(25, 3)])
@pytest.mark.parametrize("base", [Fraction(1, 1000), Fraction(1, 90_000), Fraction(1, 15_360)])
def test_even_frames_are_counted_exactly(fps, base):
    """However their times are rounded."""
    grid = Grid(origin=77, step=1 / (fps * base), frames=10)
    for rounding in (round, int, lambda x: int(x) + 1):
        stamps = [77 + rounding(n / (fps * base)) for n in range(500)]
        assert [grid.number(pts) for pts in stamps] == [n // 10 for n in range(500)]
    for number in range(1, 60):
        assert grid.number(grid.begin(number)) == number and grid.number(grid.begin(number) - 1) == number - 1
    assert grid.number(0) == 0


def test_long_or_not(source, tmp_path):
    info = probe(source)
    assert not Film(info, tmp_path / "film.mp4").is_long
    assert Film(info, tmp_path / "film.mp4", frames=69).is_long
    assert not Film(info, tmp_path / "film.mp4", frames=69, duration=2.0).is_long
    assert not Film(info, tmp_path / "film.gif").can_be_cut and Film(info, tmp_path / "film.WebM").can_be_cut
