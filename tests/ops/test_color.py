"""Lab conversion against scikit-image, and the join that keeps lightness."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import lab2rgb, rgb2lab

from gantool.ops.color import join_lab, lab_to_rgb, lightness, rgb_to_lab


def colors(seed: int, count: int = 400) -> torch.Tensor:
    return torch.rand(1, 3, 1, count, generator=torch.Generator().manual_seed(seed))


def test_lab_agrees_with_scikit_image():
    x = colors(0)
    theirs = rgb2lab(x[0].permute(1, 2, 0).double().numpy())
    ours = rgb_to_lab(x.double())[0].permute(1, 2, 0).numpy()
    # scikit-image rounds its white point; the difference that makes is far below a visible step.
    assert np.abs(ours - theirs).max() < 0.02
    back = lab2rgb(theirs)
    assert np.abs(lab_to_rgb(rgb_to_lab(x.double()))[0].permute(1, 2, 0).numpy() - back).max() < 2e-4


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_round_trip(seed):
    x = colors(seed)
    assert torch.allclose(lab_to_rgb(rgb_to_lab(x)), x, atol=2e-5)
    assert torch.allclose(lightness(x), rgb_to_lab(x)[:, :1], atol=1e-4)


def test_extremes():
    x = torch.tensor([[0.0, 0, 0], [1, 1, 1]]).T.reshape(1, 3, 1, 2)
    lab = rgb_to_lab(x)
    assert torch.allclose(lab[0, 0, 0], torch.tensor([0.0, 100.0]), atol=1e-3)
    assert lab[0, 1:].abs().max() < 1e-3
    assert torch.isfinite(lab_to_rgb(torch.zeros(1, 3, 2, 2))).all()


def test_join_keeps_lightness_and_hue_out_of_gamut():
    lab = rgb_to_lab(colors(1))
    joined = join_lab(lab[:, :1], lab[:, 1:] * 3)
    assert joined.min() >= 0 and joined.max() <= 1
    again = rgb_to_lab(joined)
    assert (again[:, :1] - lab[:, :1]).abs().mean() < 0.02
    assert (again[:, :1] - lab[:, :1]).abs().max() < 0.3
    clipped = rgb_to_lab(lab_to_rgb(torch.cat((lab[:, :1], lab[:, 1:] * 3), 1)).clamp(0, 1))
    assert (clipped[:, :1] - lab[:, :1]).abs().mean() > 1  # what the join is there to avoid
    turn = torch.atan2(again[:, 2], again[:, 1]) - torch.atan2(lab[:, 2], lab[:, 1])
    strong = lab[:, 1:].square().sum(1).sqrt() > 20
    inside = (again[:, 0] > 10) & (again[:, 0] < 95) & strong
    assert torch.sin(turn)[inside].abs().max() < 0.05


def test_gray_without_chroma_stays_the_same_bytes():
    gray = torch.arange(256).float().div(255).expand(1, 3, 1, 256)
    joined = join_lab(lightness(gray), torch.zeros(1, 2, 1, 256))
    assert torch.equal((joined * 255).round(), (gray * 255).round())
