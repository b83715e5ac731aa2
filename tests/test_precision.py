"""Half precision that spoils a picture gives way to float32, once and with a warning."""

import cli_kit
import numpy as np
import pytest
import torch

import gantool
from gantool.catalog import Checkpoint
from gantool.loading import save_model
from gantool.models.srvgg import SRVGGNetCompact
from gantool.pipelines import Context, Pipeline
from gantool.pipelines.precision import spoiled, with_fallback


def pipeline(answer, blend="rgb"):
    return Pipeline("translate", "net", answer, lambda x, y: y, torch.device("cpu"), blend=blend)


def test_good_answers_stay():
    def never():
        raise AssertionError("not needed")

    said = []
    careful = with_fallback(pipeline(lambda x, context: x * 0.5), never, "bf16", said.append)
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(careful.predict(x, Context()), x * 0.5) and said == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda x, context: x * float("nan"), "not numbers"),
        (lambda x, context: x + float("inf"), "not numbers"),
        (lambda x, context: x * 0, "black picture"),
    ],
)
def test_a_spoiled_answer_is_computed_again_and_everything_after_it(answer, reason):
    said, built = [], []

    def exact():
        built.append(1)
        return pipeline(lambda x, context: 1 - x)

    careful = with_fallback(pipeline(answer), exact, "fp16", said.append)
    for _ in range(3):
        x = torch.rand(2, 3, 8, 8)
        assert torch.equal(careful.predict(x, Context()), 1 - x)
    assert built == [1] and len(said) == 1
    assert reason in said[0] and "fp16" in said[0] and "--precision fp32" in said[0]


def test_what_counts_as_spoiled():
    lit, dark = torch.full((1, 3, 8, 8), 0.4), torch.full((1, 3, 8, 8), 0.01)
    large = torch.full((1, 3, 16, 16), 0.4)
    assert spoiled(lit, large * 0, "detail") and not spoiled(lit, large / 2, "detail")
    assert not spoiled(dark, torch.zeros(1, 3, 8, 8), "rgb")  # a dark picture may well be black
    assert not spoiled(lit, torch.zeros(1, 2, 8, 8), "chroma")  # no colour is no black
    assert spoiled(torch.cat((dark, lit)), torch.zeros(2, 3, 8, 8), "rgb")  # one of two is enough


def test_a_net_that_bfloat16_cannot_hold_is_run_in_float32(tmp_path, capfd):
    """Weights between the largest numbers of the two: infinite in bfloat16, and nothing is lost by that."""
    cli_kit.photo(tmp_path / "a.png")
    net = SRVGGNetCompact(num_feat=4, num_conv=1, upscale=2)
    layout = {"num_feat": 4, "num_conv": 1, "upscale": 2}
    row = Checkpoint("huge", "upscale", "srvgg.SRVGGNetCompact", layout, scale=2, radius=4, dtypes=("bf16",))
    with torch.no_grad():
        net.body[0].weight.zero_()
        net.body[0].bias.fill_(1.0)
        net.body[0].weight[0, 0, 1, 1] = 3.4e38
        net.body[2].weight[:, 0].zero_()
    save_model(tmp_path / "huge.safetensors", net.state_dict(), row)
    words = ["upscale", tmp_path / "a.png", "--model", tmp_path / "huge.safetensors", "--device", "cpu"]
    half = cli_kit.call(capfd, *words, "-o", tmp_path / "half.png", "--precision", "bf16")
    assert half.code == 0 and "values that are not numbers in bf16" in half.err and "fp32" in half.err
    full = cli_kit.call(capfd, *words, "-o", tmp_path / "full.png", "--precision", "fp32")
    assert full.code == 0 and full.err.count("not numbers") == 0
    assert (tmp_path / "half.png").read_bytes() == (tmp_path / "full.png").read_bytes()
    image = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    pipeline = gantool.load("upscale", str(tmp_path / "huge.safetensors"), device="cpu", precision="bf16")
    with pytest.warns(UserWarning, match="fp32"):
        again = gantool.upscale(image, pipeline=pipeline)
    exact = gantool.load("upscale", str(tmp_path / "huge.safetensors"), device="cpu", precision="fp32")
    assert np.array_equal(again, gantool.upscale(image, pipeline=exact))
