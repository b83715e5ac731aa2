"""TensorBoard event files, read back record by record as TensorBoard does it."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from gantool.training.events import Events


def records(path: Path) -> list[Any]:
    """The events of one file; both checksums of every record are compared (the TFRecord format)."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        body = data[12 : 12 + length]
        assert struct.unpack("<I", data[8:12])[0] == masked_crc32c(data[:8])
        assert struct.unpack("<I", data[12 + length : 16 + length])[0] == masked_crc32c(body)
        found.append(Event.FromString(body))
        data = data[16 + length :]
    return found


def shown(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Scalars as TensorBoard shows them: files by name; a START of step n drops what has step n or more."""
    points: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.iterdir()):
        assert "tfevents" in path.name
        first, *rest = records(path)
        assert first.file_version == "brain.Event:2"
        for event in rest:
            if event.session_log.status == 1:
                for name in points:
                    points[name] = [point for point in points[name] if point[0] < event.step]
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    points.setdefault(value.tag, []).append((event.step, value.simple_value))
    return points


def test_values_come_back(tmp_path):
    events = Events(tmp_path / "events")
    events.values(20, {"g_l1": 0.5, "d_accuracy": 1, "word": "x"})  # type: ignore[dict-item]
    events.values(40, {"g_l1": 0.25})
    events.values(40, {"psnr": 20.125}, "held_out")
    events.close()
    assert shown(tmp_path / "events") == {
        "train/g_l1": [(20, 0.5), (40, 0.25)],
        "train/d_accuracy": [(20, 1.0)],
        "held_out/psnr": [(40, 20.125)],
    }


def test_a_resumed_run_looks_unbroken(tmp_path):
    first = Events(tmp_path)
    for step in (20, 40, 60, 80):
        first.values(step, {"loss": step / 10})
    first.flush()  # and no close: the process was killed
    second = Events(tmp_path, start=40)
    for step in (60, 80, 100):
        second.values(step, {"loss": step / 5})
    second.close()
    assert len(list(tmp_path.iterdir())) == 2
    values = [(20, 2.0), (40, 4.0), (60, 12.0), (80, 16.0), (100, 20.0)]
    assert shown(tmp_path)["train/loss"] == values


def test_files_of_one_second_stay_apart_and_in_order(tmp_path):
    for i in range(3):
        events = Events(tmp_path)
        events.values(i, {"loss": float(i)})
        events.close()
    assert shown(tmp_path)["train/loss"] == [(0, 0.0), (1, 1.0), (2, 2.0)]


def test_images_are_kept_small_and_in_their_colours(tmp_path):
    image = np.zeros((100, 2560, 3), np.uint8)
    image[..., 0] = 200
    events = Events(tmp_path)
    events.image(500, image)
    (path,) = tmp_path.iterdir()
    _, event = records(path)  # without close: an image is on the disk at once
    (part,) = event.summary.value
    assert (event.step, part.tag, part.image.width, part.image.height) == (500, "samples", 1280, 50)
    encoded = np.frombuffer(part.image.encoded_image_string, np.uint8)
    decoded = cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert decoded.shape == (50, 1280, 3)
    assert np.abs(decoded.astype(int) - (200, 0, 0)).max() < 6


def test_nothing_logged_leaves_no_folder(tmp_path):
    Events(tmp_path / "events", start=5).close()
    assert not (tmp_path / "events").exists()


def test_after_close_nothing_is_added(tmp_path):
    events = Events(tmp_path)
    events.values(20, {"loss": 1.0})
    events.close()
    events.values(40, {"loss": 1.0})
    events.close()
    assert shown(tmp_path)["train/loss"] == [(20, 1.0)]


def test_a_folder_that_cannot_be_made_is_one_warning(tmp_path):
    (tmp_path / "file").write_text("")
    said: list[str] = []
    events = Events(tmp_path / "file" / "events", warn=said.append)
    for step in (20, 40):
        events.values(step, {"loss": 1.0})
    events.close()
    assert len(said) == 1 and said[0].startswith("no more TensorBoard events are written: ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_one_warning_and_never_blocks(tmp_path):
    said: list[str] = []
    events = Events(tmp_path, warn=said.append)
    events.values(0, {"loss": 1.0})
    events._writer._writer.close()
    events._writer._writer = Path("/dev/full").open("wb")  # noqa: SIM115
    for step in range(5000):  # more than any queue or buffer holds
        events.values(step, {"loss": 1.0})
    events.image(5000, np.zeros((8, 8, 3), np.uint8))
    events.close()
    assert len(said) == 1 and "No space left" in said[0]


def test_made_for_nothing_it_loads_nothing(tmp_path):
    code = "import sys; from gantool.training.events import Events; from pathlib import Path\n"
    code += "Events(Path('x')).close(); assert 'tensorboardX' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
