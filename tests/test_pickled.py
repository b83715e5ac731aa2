"""Whole pickled modules: their tensors are taken, nothing is run, and nothing else is read this way."""

from __future__ import annotations

import io
import os
import pickle
import random
import sys
import types
import warnings
import zipfile

import pytest
import torch
from torch import nn

from gantool import facenets, loading, pickled
from gantool.catalog import Checkpoint
from gantool.errors import ExitCode, WeightsError
from gantool.models.frontalizer import FrontalGenerator
from gantool.tensors import read_state

ROOT = facenets.PICKLED["frontalize"]
FORMATS = pytest.mark.parametrize("new", [True, False], ids=["zip", "old"])


class Trap(types.ModuleType):
    """In the place of the authors' modules while a file is read: whoever looks into it has lost."""

    def __getattr__(self, name):
        raise AssertionError(f"{self.__name__}.{name} was looked up")


def stand_in(monkeypatch, **more):
    """A net of a class ``network.G``, the released file's, which is there while a file is written."""

    class G(nn.Module):
        def __init__(self):
            super().__init__()
            self.main = FrontalGenerator(2, 3).main
            self.__dict__.update(more)

        def __setstate__(self, state):
            raise AssertionError("an object of the file was made")

    G.__module__, G.__qualname__ = "network", "G"
    module = types.ModuleType("network")
    module.G = G  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "network", module)
    torch.manual_seed(0)
    net = G().train()
    for _ in range(2):
        net.main(torch.rand(2, 3, 16, 16))
    return net


def write(monkeypatch, path, net, new):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the source of a stand-in cannot be found
        torch.save(net, path, _use_new_zipfile_serialization=new)
    monkeypatch.setitem(sys.modules, "network", Trap("network"))


@FORMATS
def test_the_tensors_of_a_module_and_nothing_made_of_it(new, tmp_path, monkeypatch):
    net = stand_in(monkeypatch)
    path = tmp_path / "generator_v0.pt"
    write(monkeypatch, path, net, new)
    state = pickled.read_module(path, ROOT)
    expected = net.state_dict()
    assert list(state) == list(expected)
    for name, value in expected.items():
        assert state[name].dtype == value.dtype and torch.equal(state[name], value)
    loaded, row = loading.load(Checkpoint("x", "frontalize"), path)
    assert row.arch == "frontalizer.FrontalGenerator" and row.args == {"width": 2, "depth": 3}
    x = torch.rand(1, 3, 16, 16)
    net.eval()
    with torch.no_grad():
        assert torch.equal(loaded(x), net.main(x))


@FORMATS
@pytest.mark.parametrize("task", ["upscale", "translate", "colorize", "face"])
def test_no_other_task_reads_it(task, new, tmp_path, monkeypatch):
    path = tmp_path / "g.pt"
    write(monkeypatch, path, stand_in(monkeypatch), new)
    with pytest.raises(WeightsError) as caught:
        loading.load(Checkpoint("x", task), path)
    assert caught.value.code == ExitCode.WEIGHTS


def test_files_of_the_torch_of_2019(tmp_path, monkeypatch):
    """Every layer then had a backend, which the pickle asks for by calling a function."""
    backend = types.ModuleType("torch.nn.backends.thnn")

    def _get_thnn_function_backend():
        raise AssertionError("called")

    _get_thnn_function_backend.__module__ = backend.__name__
    _get_thnn_function_backend.__qualname__ = "_get_thnn_function_backend"
    backend._get_thnn_function_backend = _get_thnn_function_backend  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, backend.__name__, backend)

    class Backend:
        def __reduce__(self):
            return _get_thnn_function_backend, ()

    net = stand_in(monkeypatch, _backend=Backend())
    write(monkeypatch, tmp_path / "g.pt", net, False)
    assert list(pickled.read_module(tmp_path / "g.pt", ROOT)) == list(net.state_dict())


# ---- what is refused


class Evil:
    """Would make a folder if it were unpickled in earnest."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@FORMATS
def test_code_in_a_module_is_refused_and_not_run(new, tmp_path, monkeypatch):
    target = tmp_path / "owned"
    path = tmp_path / "g.pt"
    write(monkeypatch, path, stand_in(monkeypatch, extra=Evil(target)), new)
    with pytest.raises(WeightsError, match=r"Python objects \((posix|nt)\.mkdir\), which could run"):
        read_state(path, module=ROOT)
    assert not target.exists()
    pickle.loads(pickle.dumps(Evil(target)))
    assert target.exists()  # it does bite elsewhere


def test_a_module_of_another_class(tmp_path):
    torch.save(nn.Sequential(nn.Conv2d(3, 2, 1)), tmp_path / "s.pt")
    with pytest.raises(WeightsError, match=r"another class \(torch.nn.modules.container.Sequential\)"):
        read_state(tmp_path / "s.pt", module=ROOT)
    torch.save(nn.Linear(2, 2), tmp_path / "l.pt")
    with pytest.raises(WeightsError, match=r"Python objects \(torch.nn.modules.linear.Linear\)"):
        read_state(tmp_path / "l.pt", module=ROOT)


def test_a_plain_state_dict_is_read_as_ever(tmp_path):
    state = FrontalGenerator(2, 3).state_dict()
    torch.save(state, tmp_path / "s.pth")
    assert list(read_state(tmp_path / "s.pth", module=ROOT)[0]) == list(state)


def by_hand(path, body, storages=()):
    """A zip checkpoint whose pickle is written instruction by instruction."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("g/data.pkl", b"\x80\x02" + body + b".")
        for key, data in storages:
            archive.writestr(f"g/data/{key}", data)
    return path


def text(words):
    data = words.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def number(value):
    return b"J" + value.to_bytes(4, "little", signed=True)


def module(parameters, modules=b"}"):
    """A ``network.G`` with the instructions of its parameters and of its inner modules."""
    buffers = text("_buffers") + b"}"
    inside = b"(" + text("_parameters") + parameters + buffers + text("_modules") + modules + b"u"
    return b"cnetwork\nG\n)\x81}" + inside + b"b"


def tensor(count, start, shape, stride, held=4):
    """A dict with one tensor "w" of shape and stride over ``count`` floats, of which ``held`` are there."""
    storage = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(count) + b"tQ"
    )
    sizes = [b"(" + b"".join(map(number, n)) + b"t" for n in (shape, stride)]
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(start) + sizes[0] + sizes[1]
    return b"}" + text("w") + rebuilt + b"\x89}tRs", [("0", bytes(4 * held))]


def test_the_tools_of_the_tests_below_write_what_is_read(tmp_path):
    body, storages = tensor(4, 0, (2, 2), (2, 1))
    state = pickled.read_module(by_hand(tmp_path / "g.pt", module(body), storages), ROOT)
    assert state["w"].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (tensor(4, 0, (3, 2), (2, 1)), "claim more"),
        (tensor(4, 3, (2,), (1,)), "claim more"),
        (tensor(4, 0, (2,), (9,)), "claim more"),
        (tensor(4, 0, (60000, 60000), (0, 0)), "claim more"),
        (tensor(4, -1, (2,), (1,)), "claim more"),
        (tensor(4, 0, (-2, -2), (1, 1)), "claim more"),
        (tensor(10**9, 0, (2,), (1,)), "cut short"),
        (tensor(4, 0, (2, 2), (1,)), "cut short"),
        ((b"}" + text("w") + number(3) + b"s", []), "cut short"),
        ((b"}" + text("w") + b"ctorch.nn.modules.container\nSequential\n)Rs", []), "a call of"),
        ((b"}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n)\x81s", []), "an object of"),
        ((b"}" + text("w") + b"ccollections\nOrderedDict\n}bs", []), "attributes of what is no layer"),
        ((b"}" + text("w") + b"cbuiltins\neval\n(" + text("1") + b"tRs", []), r"\(builtins.eval\)"),
        ((b"}" + text("w") + b"(" + text("1") + b"ios\nsystem\n" + b"s", []), r"\(INST\)"),
        ((b"}" + text("w") + text("os") + text("system") + b"\x93" + b"s", []), r"\(STACK_GLOBAL\)"),
        ((b"}" + text("w") + b"\x82\x01" + b"s", []), r"\(EXT1\)"),
    ],
)
def test_what_a_pickle_must_not_hold(case, words, tmp_path):
    body, storages = case
    path = by_hand(tmp_path / "g.pt", module(body), storages)
    with pytest.raises(WeightsError, match=words) as caught:
        pickled.read_module(path, ROOT)
    assert caught.value.file == str(path)


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        (b"}" + text("a") + number(1) + b"s", "in the place of a layer"),
        (b"}q\x01" + text("a") + b"h\x01s", "in the place of a layer"),
    ],
)
def test_what_is_no_tree_of_layers(modules, words, tmp_path):
    with pytest.raises(WeightsError, match=words):
        pickled.read_module(by_hand(tmp_path / "g.pt", module(b"}", modules)), ROOT)


def test_a_module_inside_itself_comes_to_an_end(tmp_path):
    inner = b"}" + text("again") + b"h\x05s"
    body = module(b"}", inner).replace(b")\x81", b")\x81q\x05", 1)
    with pytest.raises(WeightsError, match="modules without end"):
        pickled.read_module(by_hand(tmp_path / "g.pt", body), ROOT)


@FORMATS
def test_damaged_files_end_in_a_sentence(new, tmp_path, monkeypatch):
    """Cut anywhere, or with bytes changed anywhere: a WeightsError or plain tensors, never anything else."""
    path = tmp_path / "g.pt"
    write(monkeypatch, path, stand_in(monkeypatch), new)
    good, chance = path.read_bytes(), random.Random(0)
    outcomes = set()
    for turn in range(150):
        data = bytearray(good)
        if turn % 3 == 0:
            del data[chance.randrange(len(data)) :]
        for _ in range(turn % 3 * 2):
            data[chance.randrange(min(len(data), 9000))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            state = pickled.read_module(path, ROOT)
            outcomes.add("read")
            assert all(type(value) is torch.Tensor for value in state.values())
        except WeightsError:
            outcomes.add("refused")
    assert "refused" in outcomes


def test_the_older_format_needs_its_own_head(tmp_path):
    stream = io.BytesIO()
    for value in (1, 2, {}):
        pickle.dump(value, stream, protocol=2)
    (tmp_path / "g.pt").write_bytes(stream.getvalue())
    with pytest.raises(WeightsError, match="no module of a format that is known"):
        pickled.read_module(tmp_path / "g.pt", ROOT)
