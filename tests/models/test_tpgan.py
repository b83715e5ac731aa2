"""TP-GAN: layers and sizes as in the facts, and parts that are cut and put where they belong."""

from __future__ import annotations

import hashlib

import pytest
import torch

from gantool import alignment
from gantool.models import tpgan
from gantool.models.tpgan import BOXES, TPGAN, PatchCritic

SMALL = 1 / 16


def count(net) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.fixture(scope="module")
def whole():
    """The paper's width, without memory."""
    with torch.device("meta"):
        return TPGAN()


# Layers by where they are: (channels out, channels in, kernel), from the published program.
TABLE = {
    "encoder.stages.0.0.conv": (64, 6, 7),
    "encoder.stages.0.1.first.conv": (64, 64, 7),
    "encoder.stages.1.0.conv": (64, 64, 5),
    "encoder.stages.1.1.second.conv": (64, 64, 5),
    "encoder.stages.2.0.conv": (128, 64, 3),
    "encoder.stages.3.0.conv": (256, 128, 3),
    "encoder.stages.4.0.conv": (512, 256, 3),
    "encoder.stages.4.4.second.conv": (512, 512, 3),
    "decoder.mix8.2.second.conv": (576, 576, 2),
    "decoder.skip16.first.conv": (256, 256, 3),
    "decoder.mix16.1.first.conv": (768, 768, 3),
    "decoder.skip32.first.conv": (166, 166, 3),
    "decoder.mix32.1.first.conv": (422, 422, 3),
    "decoder.picture32": (3, 422, 3),
    "decoder.skip64.first.conv": (86, 86, 5),
    "decoder.mix64.1.first.conv": (217, 217, 3),
    "decoder.picture64": (3, 217, 3),
    "decoder.skip128.first.conv": (78, 78, 7),
    "decoder.mix128.0.first.conv": (212, 212, 5),
    "decoder.mix128.1.conv": (64, 212, 5),
    "decoder.mix128.3.conv": (32, 64, 3),
    "decoder.picture128": (3, 32, 3),
    "local.0.down.0.0.conv": (64, 3, 3),
    "local.1.down.0.0.conv": (64, 6, 3),
    "local.2.down.3.2.second.conv": (512, 512, 3),
    "local.3.up.0.0.conv": (256, 512, 3),
    "local.3.picture": (3, 64, 3),
}


def test_layers_at_full_width_are_those_of_the_paper(whole):
    state = whole.state_dict()
    for name, (out, into, kernel) in TABLE.items():
        assert tuple(state[f"{name}.weight"].shape) == (out, into, kernel, kernel), name
    assert tuple(state["encoder.fc.weight"].shape) == (512, 8 * 8 * 512)  # two halves of 256
    assert tuple(state["decoder.fc.weight"].shape) == (8 * 8 * 64, 256 + 100)
    # In millions, as counted in the published program: 157.4, of which 39.4, 49.2 and four times 17.2.
    assert count(whole) == 157_390_510
    assert count(whole.encoder) == 39_414_592 and count(whole.decoder) == 49_200_290
    assert [round(count(path) / 1e6, 1) for path in whole.local] == [17.2] * 4
    with torch.device("meta"):
        assert count(PatchCritic()) == 13_350_529


def test_names_and_shapes_stay_as_they_are_for_files_that_are_out_there():
    with torch.device("meta"):
        state = TPGAN(0.125).state_dict()
    text = "\n".join(f"{name} {tuple(value.shape)}" for name, value in state.items())
    assert len(state) == 986
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "0f865dbe5281c126"


def test_the_built_in_width_fits_into_six_megabytes():
    with torch.device("meta"):
        net = TPGAN(0.125)
    assert 2 * sum(value.numel() for value in net.state_dict().values()) < 6e6


def test_boxes_are_those_of_the_alignment():
    assert BOXES == alignment.BOXES


@pytest.mark.parametrize(
    ("args", "size"), [({}, 5), ({"landmarks": 68}, 68), ({"norm": "none", "upsample": "resize"}, 5)]
)
def test_answers_have_their_sizes_and_every_weight_learns(args, size):
    torch.manual_seed(0)
    net = TPGAN(SMALL, people=7, **args)
    x = torch.rand(2, 3, 128, 128) * 2 - 1
    answers = net(x, noise=torch.randn(2, 100) * 0.02, everything=True)
    assert [tuple(p.shape) for p in answers.pictures] == [(2, 3, n, n) for n in (128, 64, 32)]
    assert [p.shape[-2:][::-1] for p in answers.parts] == [box[2:] for box in BOXES[size]]
    assert answers.people.shape == (2, 7) and answers.identity.shape == (2, 16)
    assert all(p.abs().max() <= 1 for p in (*answers.pictures, *answers.parts))
    loss = sum(p.square().mean() for p in (*answers.pictures, *answers.parts)) + answers.people.sum()
    loss.backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_noise_corners_and_every_part_count():
    torch.manual_seed(1)
    net = TPGAN(SMALL).eval()
    x = torch.rand(1, 3, 128, 128) * 2 - 1
    with torch.no_grad():
        frontal = torch.tensor([[box[:2] for box in BOXES[5]]])
        plain = net(x)
        assert torch.equal(plain, net(x, frontal))
        assert not torch.equal(plain, net(x, noise=torch.ones(1, 100)))
        for part in range(4):
            moved = frontal.clone()
            moved[0, part] += 5
            assert not torch.equal(plain, net(x, moved)), part


def test_parts_are_cut_at_their_own_corners_in_each_picture():
    rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    x = torch.stack([columns, rows]).expand(2, -1, -1, -1)
    corner = torch.tensor([[3, 40], [88, 7]])
    cut = tpgan._cut(x, corner, (23, 20, 40, 32))
    assert cut.shape == (2, 2, 32, 40)
    assert torch.equal(cut[:, :, 0, 0], corner.float())
    assert torch.equal(cut[:, :, -1, -1], corner + torch.tensor([39.0, 31.0]))


def test_parts_are_put_into_the_template_and_the_greatest_wins():
    values = (-0.5, 0.2, 0.6, -0.9)
    parts = [torch.full((1, 1, b[3], b[2]), value) for b, value in zip(BOXES[5], values, strict=True)]
    fused = tpgan._fused(parts, BOXES[5], -1.0)[0, 0]
    assert fused.shape == (128, 128)
    assert (
        fused[30, 30] == -0.5
        and fused[30, 100] == pytest.approx(0.2)
        and fused[100, 60] == pytest.approx(-0.9)
    )
    assert fused[76, 60] == pytest.approx(0.6)  # nose and mouth overlap there
    assert fused[0, 0] == -1 and fused[127, 127] == -1


def test_the_critic_judges_patches_of_each_picture_by_itself():
    torch.manual_seed(2)
    critic = PatchCritic(4)
    x = torch.randn(3, 3, 128, 128)
    answer = critic(x)
    assert answer.shape == (3, 1, 4, 4)
    torch.testing.assert_close(critic(x[1:2]), answer[1:2])


@pytest.mark.parametrize("args", [{"landmarks": 12}, {"norm": "layer"}, {"upsample": "magic"}])
def test_unknown_kinds_are_refused(args):
    with pytest.raises(ValueError, match=r"landmarks=12|unknown"):
        TPGAN(SMALL, **args)
