"""Table, curves, events and warnings, as the loop calls them."""

from __future__ import annotations

import numpy as np
import pytest

from gantool.progress import Progress
from gantool.training.pictures import save_grid
from gantool.training.request import TrainRequest
from gantool.training.run import Run
from gantool.training.watch import Watch


class Listener(Progress):
    """Remembers what it is shown."""

    def __init__(self) -> None:
        super().__init__("train", 10, "step")
        self.told: list[object] = []

    def values(self, values):
        self.told.append(dict(values))

    def scores(self, step, scores, best=""):
        self.told.append((step, dict(scores), best))


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(tmp_path, 100, 0, {"gan": "lsgan"}, False)


def asked(run: Run, said: list[str]) -> TrainRequest:
    return TrainRequest("pix2pix", (), run.folder, warn=said.append, progress=Listener())


def step(watch: Watch, run: Run, done: int) -> None:
    run.log(step=done, l1=0.5, images_per_s=3.0)
    watch.logged(done, {"l1": 0.5, "images_per_s": 3.0})
    save_grid(run.sheet(done), [[np.full((8, 8, 3), 99, np.uint8)]])
    run.log(step=done, psnr=20.0)
    watch.sampled(done, {"psnr": 20.0}, 21.25)
    watch.flush()


def test_all_at_once(run):
    said: list[str] = []
    request = asked(run, said)
    watch = Watch(run, request)
    watch.begin(0)
    step(watch, run, 20)
    watch.close()
    assert request.progress.told == [{"l1": 0.5, "images_per_s": 3.0}, (20, {"psnr": 20.0}, "psnr 21.25")]
    assert (run.folder / "curves.png").stat().st_size > 1000
    (events,) = (run.folder / "events").iterdir()
    data = events.read_bytes()
    assert b"train/l1" in data and b"held_out/psnr" in data and b"samples" in data
    assert watch.health.state_dict()["history"]["l1"] == [0.5] and said == []


def test_a_step_without_sheet_or_scores(run, capfd):
    watch = Watch(run, asked(run, []))
    watch.begin(0)
    watch.sampled(20, {})
    watch.close()
    assert list(run.folder.iterdir()) == [] and capfd.readouterr().err == ""


def test_trouble_is_told_once_and_ends_nothing(run):
    said: list[str] = []
    (run.folder / "events").write_text("in the way")
    (run.folder / "curves.png").mkdir()
    watch = Watch(run, asked(run, said))
    watch.begin(0)
    for done in (20, 40, 60):
        step(watch, run, done)
    watch.close()
    assert len(said) == 2 and "TensorBoard" in said[0] and "curves.png could not be drawn" in said[1]


def test_processes_that_do_not_write_leave_nothing(run):
    run.writes = False
    watch = Watch(run, TrainRequest("pix2pix", (), run.folder))
    watch.begin(0)
    watch.logged(20, {"l1": 0.5})
    watch.sampled(20, {"psnr": 20.0})
    watch.close()
    assert list(run.folder.iterdir()) == []
