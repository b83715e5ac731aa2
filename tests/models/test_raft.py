"""RAFT-small: torchvision's names and numbers, at sizes that torchvision refuses."""

import pytest
import torch

from gantool import loading
from gantool.catalog import Checkpoint
from gantool.models.raft import RAFTSmall

optical_flow = pytest.importorskip("torchvision.models.optical_flow")
ROW = Checkpoint("raft", "percept", arch="raft.RAFTSmall", args={"updates": 2})


@pytest.fixture(scope="module")
def theirs():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return optical_flow.raft_small(weights=None, progress=False).eval()


@pytest.mark.parametrize(("tall", "wide"), [(128, 136), (45, 131)])
def test_a_file_of_torchvision_gives_torchvision_s_flow(theirs, tall, wide, tmp_path):
    path = tmp_path / "raft_small.pth"
    torch.save(theirs.state_dict(), path)
    net = loading.load_net(ROW, path)
    assert sum(p.numel() for p in net.parameters()) == 990_162
    first, second = torch.rand(2, 1, 3, tall, wide).unbind()
    down, right = max(-tall % 8, 128 - tall), max(-wide % 8, 128 - wide)
    shown = [
        torch.nn.functional.pad(x * 2 - 1, (0, right, 0, down), mode="replicate") for x in (first, second)
    ]
    with torch.no_grad():
        flow = net(first, second)
        expected = theirs(*shown, num_flow_updates=2)[-1]
    assert flow.shape == (1, 2, tall, wide)
    assert torch.allclose(flow, expected[..., :tall, :wide], atol=1e-5)


def test_our_own_file_loads_too(theirs, tmp_path):
    net = RAFTSmall(2)
    net.load_state_dict(RAFTSmall.own_names(theirs.state_dict()), strict=True)
    loading.save_model(tmp_path / "raft.safetensors", net, ROW)
    again = loading.load_net(ROW, tmp_path / "raft.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
