"""Files laid out as pytorch-CycleGAN-and-pix2pix saves them, from disk through ``translate``: its own record.

Names and shapes are the record's (see known_weights), not those of gantool's nets.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from known_weights import figures, fill, picture

from gantool import loading
from gantool.catalog import Checkpoint
from gantool.pipelines.translate import build

RECORD = json.loads((Path(__file__).parent / "released_layouts.json").read_text(encoding="utf-8"))
# A batch-norm U-Net is run with the picture's own statistics, as its authors do; the record has that once.
CASES = [
    case
    for case, entry in RECORD.items()
    if entry["arch"].endswith("Generator")
    and (not case.startswith("unet") or "batch" not in case or "own" in case)
]


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("case", CASES)
def test_a_file_gives_the_original_pictures(case, prefix, tmp_path):
    entry, path = RECORD[case], tmp_path / "latest_net_G.pth"
    shapes = {
        name: torch.zeros(shape, dtype=torch.int64 if name.endswith("tracked") else torch.float32)
        for name, shape in entry["keys"].items()
    }
    state = OrderedDict((prefix + name, value) for name, value in fill(shapes).items())
    torch.save(state, path)
    net, row = loading.load(Checkpoint("x", "translate", file=str(path)), path)
    pipeline = build(net, row, device=torch.device("cpu"))
    compared = 0
    for expected in entry["outputs"]:
        height, width = expected["size"]
        x = picture(3, height, width)
        with torch.no_grad():
            y = pipeline((x + 1) / 2) * 2 - 1
        assert y.shape == x.shape
        if height % row.multiple or width % row.multiple:
            continue  # the original grows such a picture; gantool cuts it back
        compared += 1
        found = figures(y)
        assert found["values"] == pytest.approx(expected["values"], abs=2e-4)
        assert found["mean"] == pytest.approx(expected["mean"], abs=2e-4)
        assert found["std"] == pytest.approx(expected["std"], abs=2e-4)
    assert compared or "resnet" in case


def test_most_of_the_record_is_compared():
    assert len(CASES) >= 10 and any("own" in case for case in CASES)
