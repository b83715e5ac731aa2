"""Pipelines on arrays: batches that fit, conversions that round, values that are checked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gantool.errors import DeviceError
from gantool.inference import Runner, to_array
from gantool.pipelines import Pipeline

CPU = torch.device("cpu")


def hungry(room: int, seen: list[int], task: str = "colorize") -> Pipeline:
    """A net that has memory for ``room`` pictures at once."""

    def predict(x, context):
        seen.append(len(x))
        if len(x) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x * 1.0

    return Pipeline(task, "hungry", predict, lambda x, y: y, CPU)


def test_batches_shrink_and_stay_small():
    seen: list[int] = []
    said: list[str] = []
    runner = Runner(hungry(2, seen), batch_size=8, warn=said.append)
    x = torch.rand(8, 3, 4, 5)
    assert torch.equal(runner.predict(x), x)
    assert torch.equal(runner.predict(x), x)
    assert seen == [8, 4, *[2] * 8]
    assert len(said) == 2 and "--batch-size 2" in said[1]


@pytest.mark.parametrize(("task", "flag"), [("colorize", "--render-size"), ("upscale", "--tile-px")])
def test_out_of_memory_with_one_picture_names_the_flag(task, flag):
    with pytest.raises(DeviceError, match=flag):
        Runner(hungry(0, [], task)).predict(torch.rand(1, 3, 4, 5))


def test_other_errors_pass():
    def predict(x, context):
        raise RuntimeError("shapes do not fit")

    runner = Runner(Pipeline("colorize", "x", predict, lambda x, y: y, CPU), batch_size=4)
    with pytest.raises(RuntimeError, match="shapes"):
        runner.predict(torch.rand(4, 3, 4, 5))


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 16)])
def test_every_level_survives_the_round_trip(dtype, bits):
    levels = np.arange(1 << bits, dtype=dtype).reshape(1, -1, 16, 1).repeat(3, -1)
    x = Runner(hungry(1, [])).load(levels)
    assert x.dtype == torch.float32 and float(x.min()) == 0 and float(x.max()) == 1
    assert np.array_equal(to_array(x, bits), levels)


def test_values_outside_are_held_at_the_ends():
    y = torch.tensor([-0.2, 0.0, 1.0, 1.7]).view(1, 1, 2, 2)
    assert to_array(y).ravel().tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize(
    "shape", [(2, 3, 5, 7), (1, 1, 5, 7), (2, 2, 1, 1), (1, 4, 1, 9), (3, 3, 4, 4), (0, 3, 4, 4)]
)
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bits", [8, 16])
def test_an_array_is_the_same_in_every_memory_order(shape, order, bits):
    peak = (1 << bits) - 1
    levels = torch.randint(0, peak + 1, shape)
    array = to_array((levels / peak).contiguous(memory_format=order), bits)
    assert np.array_equal(array, levels.movedim(1, -1).numpy())
    assert array.flags.c_contiguous and array.dtype == (np.uint8 if bits == 8 else np.uint16)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"strength": 1.2}, {"strength": -1.0}])
def test_arguments_are_checked(options):
    with pytest.raises(ValueError):
        Runner(hungry(1, []), **options)
