"""DPED against arithmetic done by hand in numpy, and against what is published about its files."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from gantool.models.dped import DPED


def seeded(width: int) -> DPED:
    torch.manual_seed(0)
    net = DPED(width).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return net


def by_hand(state: dict[str, np.ndarray], picture: np.ndarray) -> np.ndarray:
    """The paper's net on (H,W,3) in [0,1], from its description: float64, kernels (h,w,in,out)."""

    def convolve(y, n):
        kernel = state[f"W{n}"]
        reach = kernel.shape[0] // 2
        windows = sliding_window_view(
            np.pad(y, ((reach, reach), (reach, reach), (0, 0))), kernel.shape[:2], (0, 1)
        )
        return np.einsum("yxihw,hwio->yxo", windows, kernel) + state[f"b{n}"]

    def norm(y, n):
        names = ["Variable", *(f"Variable_{i}" for i in range(1, 16))]
        shift, scale = state[names[2 * n]], state[names[2 * n + 1]]
        return scale * (y - y.mean((0, 1))) / np.sqrt(y.var((0, 1)) + 1e-3) + shift

    def relu(y):
        return np.maximum(y, 0)

    y = relu(convolve(picture, 1))
    for block in range(4):
        inner = relu(norm(convolve(y, 2 * block + 2), 2 * block))
        y = y + relu(norm(convolve(inner, 2 * block + 3), 2 * block + 1))
    y = relu(convolve(relu(convolve(y, 10)), 11))
    return np.tanh(convolve(y, 12)) * 0.58 + 0.5


@pytest.mark.parametrize("size", [(12, 15), (9, 4)])
def test_agrees_with_arithmetic_by_hand(size):
    net = seeded(6)
    picture = np.random.default_rng(1).random((*size, 3))
    state = {name: value.double().numpy() for name, value in net.state_dict().items()}
    with torch.no_grad():
        y = net(torch.from_numpy(picture).float().movedim(-1, 0)[None])[0].movedim(0, -1).numpy()
    expected = by_hand(state, picture)
    assert np.abs(y - expected).max() < 1e-5
    assert y.std() > 0.01


def test_the_released_files_have_40_tensors_and_401_475_numbers():
    with torch.device("meta"):
        state = DPED().state_dict()
    assert len(state) == 40 and sum(value.numel() for value in state.values()) == 401_475
    assert tuple(state["W1"].shape) == (9, 9, 3, 64) and tuple(state["W12"].shape) == (9, 9, 64, 3)


def test_every_parameter_learns_and_sizes_are_kept():
    net = seeded(4).train()
    y = net(torch.rand(2, 3, 7, 11))
    assert y.shape == (2, 3, 7, 11)
    y.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
    assert all(p.grad.abs().sum() > 0 for name, p in net.named_parameters() if name.startswith("W"))
