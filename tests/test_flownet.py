"""RAFT as the filter's flow: fetched, and asked for a flow at the filter's size, both ways."""

from __future__ import annotations

import cli_kit
import numpy as np
import pytest
import torch
from moving_pictures import scene, view

import gantool
from gantool import flownet, hub
from gantool.errors import ExitCode
from gantool.temporal import TemporalFilter, TemporalOptions

pytest_plugins = ("hub_fixtures",)
optical_flow = pytest.importorskip("torchvision.models.optical_flow")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as torchvision's, with random numbers."""
    path = tmp_path_factory.mktemp("raft") / "raft_small.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(optical_flow.raft_small(weights=None, progress=False).state_dict(), path)
    return path


def test_the_filter_takes_a_net_s_flow(weights):
    said: list[str] = []
    estimate = flownet.load(torch.device("cpu"), fetch=lambda row: weights, warn=said.append)
    assert "--flow dis" in said[0]
    picture = scene(1)
    first, second = (view(picture, 4 * t, 20)[..., 0] for t in range(2))
    net = optical_flow.raft_small(weights=None, progress=False).eval()
    net.load_state_dict(torch.load(weights))
    with torch.no_grad():
        x = torch.from_numpy(np.stack((first, second)))[:, None, None].expand(-1, 1, 3, -1, -1) / 255
        expected = net(x[0] * 2 - 1, x[1] * 2 - 1)[-1][0].movedim(0, -1).numpy()
    assert np.allclose(estimate(first, second), expected, atol=1e-4)
    asked = []

    def noted(now, then):
        asked.append((now.mean() - then.mean(), now.shape))
        return np.full((*now.shape, 2), (-4.0, 0.0) if len(asked) == 1 else (4.0, 0.0), np.float32)

    steady = TemporalFilter("chroma", TemporalOptions("bidirectional", flow=noted))
    motion = [steady.track(view(picture, -4 * t + 8, 20)) for t in range(2)][-1]
    assert asked[0][0] == -asked[1][0] != 0 and asked[0][1] == (144, 192)
    assert motion.flow is not None and (motion.flow[..., 0] == -4).all()
    assert motion.trust is not None and motion.trust.mean() > 0.9
    assert motion.ahead is not None and (motion.ahead[0][..., 0] == 4).all()


def test_the_command_line_and_run_video_take_the_word(monkeypatch, tmp_path, capfd, weights):
    monkeypatch.setattr(hub, "fetch", lambda row, **_: weights)
    monkeypatch.chdir(tmp_path)
    cli_kit.film(tmp_path / "f.mp4", frames=2)
    model = cli_kit.colorizer(tmp_path / "c.safetensors")
    words = ("--model", model, "--device", "cpu", "--flow", "raft")
    done = cli_kit.call(capfd, "colorize", "f.mp4", "-o", "a.mp4", *words)
    assert done.code == 0 and "--flow dis is quick" in " ".join(done.err.split())
    told: list[str] = []
    report = gantool.run_video(
        "f.mp4", "b.mp4", model=str(model), device="cpu", flow="raft", warn=told.append
    )
    assert report.frames == 2 and any("--flow dis is quick" in text for text in told)


def test_weights_that_may_not_be_fetched_leave_nothing(tmp_path, capfd, monkeypatch, hub_home):
    """They are not for commercial use, and nobody has agreed to that."""
    monkeypatch.chdir(tmp_path)
    cli_kit.film(tmp_path / "f.mp4", frames=2)
    model = cli_kit.colorizer(tmp_path / "c.safetensors")
    done = cli_kit.call(capfd, "colorize", "f.mp4", "-o", "a.mp4", "--model", model, "--flow", "raft")
    assert done.code == ExitCode.WEIGHTS and "--accept-license" in " ".join(done.err.split())
    assert cli_kit.names(tmp_path) == ["c.safetensors", "f.mp4"]
