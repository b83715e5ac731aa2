"""State dicts of pytorch-CycleGAN-and-pix2pix, recognised without being told what they are."""

import importlib
import itertools

import pytest
import torch

from gantool.legacy import Layout, nets_inside, recognise, tidy
from gantool.models.cyclegan import ResnetGenerator
from gantool.models.dped import DPED
from gantool.models.pix2pix import NLayerDiscriminator, PixelDiscriminator, UnetGenerator
from gantool.models.srvgg import SRVGGNetCompact

NORMS = ["batch", "instance", "none"]


def rebuild(layout):
    module, name = layout.arch.split(".")
    return getattr(importlib.import_module(f"gantool.models.{module}"), name)(**layout.args)


@pytest.mark.parametrize(("downs", "norm"), list(itertools.product([5, 7, 8], NORMS)))
def test_unets(downs, norm):
    state = UnetGenerator(1, 2, downs, 3, norm).state_dict()
    found = recognise(state)
    args = {"input_nc": 1, "output_nc": 2, "downs": downs, "ngf": 3, "norm": norm}
    if norm == "batch":  # as its program tests it
        args["own_statistics"] = True
    assert found == Layout("pix2pix.UnetGenerator", args, 2**downs, whole=norm != "none")
    rebuild(found).load_state_dict(state, strict=True)


@pytest.mark.parametrize(("blocks", "norm", "dropout"), list(itertools.product([6, 9], NORMS, [0.0, 0.5])))
def test_resnets(blocks, norm, dropout):
    state = ResnetGenerator(3, 1, blocks, 5, norm, dropout).state_dict()
    found = recognise(state)
    args = {"input_nc": 3, "output_nc": 1, "blocks": blocks, "ngf": 5, "norm": norm}
    args |= {"dropout": 0.5} if dropout else {}
    assert found == Layout("cyclegan.ResnetGenerator", args, 4, whole=norm == "instance")
    net = rebuild(found)
    net.load_state_dict(state, strict=True)
    assert net.state_dict().keys() == state.keys()  # the very numbering of the file


@pytest.mark.parametrize("width", [64, 5])
def test_dped(width):
    state = DPED(width).state_dict()
    found = recognise(tidy(state))
    assert found is not None and (found.arch, found.signed, found.whole) == ("dped.DPED", False, True)
    rebuild(found).load_state_dict(state, strict=True)


def test_several_nets_in_one_file_are_named():
    state = {
        f"{word}.{name}": value
        for word, net in (
            ("netG_A", ResnetGenerator(blocks=6, ngf=2)),
            ("netG_B", ResnetGenerator(blocks=6, ngf=2)),
            ("netD_A", NLayerDiscriminator(3, 2)),
        )
        for name, value in net.state_dict().items()
    }
    assert recognise(tidy(state)) is None
    assert nets_inside(state) == ("netG_A", "netG_B", "netD_A")
    assert nets_inside(NLayerDiscriminator(3, 2).state_dict()) == ()
    assert nets_inside(UnetGenerator(downs=5, ngf=2).state_dict()) == ()
    assert nets_inside({}) == ()


def test_full_size_without_memory():
    with torch.device("meta"):
        found = recognise(UnetGenerator().state_dict())
    assert found is not None and found.args["ngf"] == 64 and found.multiple == 256


def test_data_parallel_prefix_and_old_instance_norms_are_tidied_away():
    net = ResnetGenerator(blocks=6, ngf=2)
    old = {f"module.{name}": value for name, value in net.state_dict().items()}
    for layer in ("model.2", "model.5", "model.10.conv_block.2"):  # as torch 0.3 saved them
        old[f"module.{layer}.running_mean"] = old[f"module.{layer}.running_var"] = torch.zeros(2)
        old[f"module.{layer}.num_batches_tracked"] = torch.tensor(3)
    state = tidy(old)
    assert state.keys() == net.state_dict().keys()
    found = recognise(state)
    assert found is not None and found.args["norm"] == "instance"


def test_batch_norms_keep_their_statistics():
    state = UnetGenerator(downs=5, ngf=2).state_dict()
    assert tidy(state).keys() == state.keys()


@pytest.mark.parametrize(
    "net", [NLayerDiscriminator(3, 2), PixelDiscriminator(3, 2), SRVGGNetCompact(num_feat=4, num_conv=1)]
)
def test_other_nets_are_not_recognised(net):
    assert recognise(net.state_dict()) is None
    assert recognise(tidy(net.state_dict())) is None


def test_nothing_and_half_a_net_are_not_recognised():
    assert recognise({}) is None and tidy({}) == {}
    state = UnetGenerator(downs=5, ngf=2).state_dict()
    del state["model.model.1.model.3.model.1.weight"]
    assert recognise(state) is None
    state = ResnetGenerator(blocks=6, ngf=2).state_dict()
    del state["model.23.weight"]
    assert recognise(state) is None
    assert recognise({"model.1.weight": torch.zeros(3)}) is None
    state = DPED(4).state_dict()
    del state["Variable_15"]
    assert recognise(state) is None
    assert recognise(DPED(4).state_dict() | {"W1": torch.zeros(9, 9, 1, 4)}) is None
