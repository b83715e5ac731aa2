"""``gantool export``: other programs get what gantool gets; nothing is half-written."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_kit import call, colorizer, names, translator, upscaler
from torch import Tensor, nn

import gantool.export as exporting
from gantool import catalog, hub, loading
from gantool.catalog import Checkpoint, load_catalog
from gantool.errors import DeviceError, OutputError, UsageError, WeightsError
from gantool.export import graph

ROW = Checkpoint("odd", "translate", licence="MIT", commercial=True)


def old_generator(path: Path) -> Path:
    """A generator as pytorch-CycleGAN-and-pix2pix saves it."""
    from gantool.models.cyclegan import ResnetGenerator

    torch.save(ResnetGenerator(blocks=6, ngf=2).state_dict(), path)
    return path


MODELS = {
    "upscale.safetensors": upscaler,
    "colorize.safetensors": colorizer,
    "translate.safetensors": translator,
    "latest_net_G.pth": old_generator,
}


def original(path: Path) -> tuple[nn.Module, Checkpoint]:
    """The net that a file holds, read without the export's help."""
    found = loading.row_of(path)
    assert found is not None
    return loading.load_net(found, path), found


def given(path: Path, x: Tensor) -> Tensor:
    """What another program makes of x with an exported graph."""
    if path.suffix == ".pt":
        return torch.jit.load(str(path))(x)
    onnxruntime = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("upscale.safetensors", ".pt"),
        ("upscale.safetensors", ".onnx"),
        ("colorize.safetensors", ".onnx"),
        ("translate.safetensors", ".onnx"),
        ("latest_net_G.pth", ".pt"),
    ],
)
def test_graphs_of_any_size(tmp_path: Path, capfd: Any, name: str, suffix: str) -> None:
    if suffix == ".onnx":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    model = MODELS[name](tmp_path / name)
    target = tmp_path / f"out{suffix}"
    done = call(capfd, "export", model, "-o", target, "--json")
    assert done.code == 0, done.err
    (record,) = done.records
    net, row = original(model)
    assert record["output"] == str(target) and record["difference"] < 1e-4 and record["width"] is None
    assert record["checked"].startswith("torch" if suffix == ".pt" else "onnxruntime")
    channels = 1 if row.task == "colorize" else 3
    for height, width in ((64, 160), (96, 32)):
        x = torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(height))
        wanted = net(x)
        span = max(float(wanted.max() - wanted.min()), 0.01)  # the colorizer's last layer begins with zeros
        assert (given(target, x) - wanted).abs().max() < 1e-4 * span
    card = (tmp_path / f"out{suffix}.md").read_text("utf-8")
    sides = f"sides multiples of {row.multiple} px" if row.multiple > 1 else "any size"
    assert f"# {row.name}" in card and "unknown" in card and sides in card
    assert names(tmp_path) == sorted([name, f"out{suffix}", f"out{suffix}.md"])


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("upscale.safetensors", "fp16"),
        ("upscale.safetensors", "fp32"),
        ("translate.safetensors", "fp16"),
        ("latest_net_G.pth", "fp32"),
    ],
)
def test_safetensors_come_back(tmp_path: Path, capfd: Any, name: str, precision: str) -> None:
    model = MODELS[name](tmp_path / name)
    target = tmp_path / "out.safetensors"
    done = call(capfd, "export", model, "-o", target, "--precision", precision, "--json")
    assert done.code == 0 and done.records[0]["precision"] == precision, done.err
    net, row = original(model)
    again, found = original(target)
    assert (found.task, found.arch, found.args, found.multiple) == (
        row.task,
        row.arch,
        row.args,
        row.multiple,
    )
    x = torch.rand(1, 3, 32, 64)
    wanted = net(x)
    bar = 1e-6 if precision == "fp32" else 2 / 255
    assert (again(x) - wanted).abs().max() <= bar * float(wanted.max() - wanted.min())
    state, _ = loading.read_state(target)
    assert {t.dtype for t in state.values() if t.is_floating_point()} == {
        torch.float32 if precision == "fp32" else torch.float16
    }
    assert (
        f"gantool {row.task} photo.jpg --model out.safetensors"
        in (tmp_path / "out.safetensors.md").read_text()
    )


def test_half_precision_graph(tmp_path: Path, capfd: Any) -> None:
    model = translator(tmp_path / "g.safetensors")
    target = tmp_path / "g.pt"
    done = call(capfd, "export", model, "-o", target, "--precision", "fp16")
    assert done.code == 0 and "not known to be safe in fp16" in done.err
    x = torch.rand(1, 3, 48, 64)
    found = given(target, x.half())
    assert found.dtype == torch.float16
    assert (found.float() - original(model)[0](x)).abs().max() < 0.02
    card = (tmp_path / "g.pt.md").read_text()
    assert "float16 (1, 3, H, W)" in card and "`y`, float16" in card and "from -1 to 1" in card


def test_a_fixed_size(tmp_path: Path, capfd: Any) -> None:
    model = upscaler(tmp_path / "u.safetensors")
    done = call(capfd, "export", model, "-o", tmp_path / "u.pt", "--size", "40x24", "--json")
    assert done.code == 0 and (done.records[0]["width"], done.records[0]["height"]) == (40, 24)
    card = (tmp_path / "u.pt.md").read_text()
    assert "40 x 24 px (width x height), no other size" in card and "torch.zeros(1, 3, 24, 40" in card
    assert given(tmp_path / "u.pt", torch.rand(1, 3, 24, 40)).shape == (1, 3, 48, 80)


def test_the_code_in_a_card_runs(tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    upscaler(tmp_path / "u.safetensors")
    targets = ["u.pt"]
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnxscript"):
        targets.append("u.onnx")
    for target in targets:
        assert call(capfd, "export", "u.safetensors", "-o", target).code == 0
        code = Path(f"{target}.md").read_text().split("```python\n")[1].split("```")[0]
        scope: dict[str, Any] = {}
        exec(code, scope)
        assert tuple(scope["y"].shape) == (1, 3, 512, 512)


def test_a_card_says_where_it_is_from(tmp_path: Path, capfd: Any) -> None:
    done = call(capfd, "export", "upscale-compact-x2", "-o", tmp_path / "x2.safetensors")
    assert done.code == 0 and done.out == f"{tmp_path / 'x2.safetensors'}\n"
    row = load_catalog().get("upscale-compact-x2")
    card = (tmp_path / "x2.safetensors.md").read_text()
    for fact in (row.licence, row.paper, row.made, row.sha256, "R, G, B from 0 to 1, 2 times the size"):
        assert fact in card
    done = call(capfd, "export", "percept", "-o", tmp_path / "p.safetensors")
    assert (
        done.code == 0
        and 'gantool.percept.load(model="p.safetensors")' in (tmp_path / "p.safetensors.md").read_text()
    )


# ---- nets that do not let themselves be exported freely


class OneSize(nn.Module):
    """A net with a table as large as the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.rand(1, 3, 48, 49))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.table if x.shape[-2:] == self.table.shape[-2:] else x.sum().expand_as(x)


@pytest.mark.parametrize("suffix", [".pt", ".onnx"])
def test_a_net_of_one_size(tmp_path: Path, suffix: str) -> None:
    if suffix == ".onnx":
        pytest.importorskip("onnxscript")
    target = tmp_path / f"one{suffix}"
    with pytest.raises(UsageError, match=r"does not take pictures of any size.*--size"):
        exporting.export(OneSize().eval(), ROW, target)
    assert names(tmp_path) == []
    done = exporting.export(OneSize().eval(), ROW, target, size=(48, 49))
    assert done.size == (48, 49) and done.path.is_file() and done.card.is_file()


@pytest.mark.parametrize("kind", [".pt", ".safetensors"])
def test_a_file_that_differs_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    net, row = original(upscaler(tmp_path / "u.safetensors"))
    answer = exporting.answer
    calls: list[int] = []

    def drifting(net: nn.Module, x: Tensor) -> Tensor:
        calls.append(1)
        return answer(net, x) + 0.01 * len(calls)

    monkeypatch.setattr(exporting, "answer", drifting)
    with pytest.raises(WeightsError, match="does not give what the net gives"):
        exporting.export(net, row, tmp_path / f"out{kind}")
    assert names(tmp_path) == ["u.safetensors"]


def test_a_net_that_cannot_be_traced(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if torch.jit.is_tracing():
                raise RuntimeError("no")
            return x

    with pytest.raises(WeightsError, match="cannot be traced"):
        exporting.export(Odd(), ROW, tmp_path / "odd.pt")
    assert names(tmp_path) == []


def test_without_the_packages_for_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    model = upscaler(tmp_path / "u.safetensors")
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name.startswith("onnx") else real(name, *a)
    )
    done = call(capfd, "export", model, "-o", tmp_path / "u.onnx")
    assert done.code == 2 and "pip install 'gantool[onnx]'" in done.err and done.out == ""
    assert names(tmp_path) == ["u.safetensors"]
    assert call(capfd, "export", model, "-o", tmp_path / "u.pt").code == 0


def test_what_was_not_run_is_called_unchecked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, row = original(upscaler(tmp_path / "u.safetensors"))

    def written(net: nn.Module, file: Path, *_: Any) -> graph.Ran:
        file.write_bytes(b"graph")
        return graph.Ran("onnxruntime", None)

    monkeypatch.setattr(exporting, "write_onnx", written)
    warnings: list[str] = []
    done = exporting.export(net, row, tmp_path / "u.onnx", warn=warnings.append)
    assert (done.checked, done.difference) == ("", None)
    assert warnings == ["u.onnx was not checked: onnxruntime is not installed (pip install 'gantool[onnx]')"]
    assert "was not compared" in done.card.read_text()


# ---- bad input


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["MODEL", "-o", "u.bin"], 2, "cannot tell the format of 'u.bin'"),
        (["MODEL", "-o", "."], 2, "cannot tell the format of '.'"),
        (["MODEL", "-o", "gone/u.pt"], 4, "folder does not exist"),
        (["MODEL", "-o", "there.pt"], 4, "the output exists (there.pt). Use --overwrite"),
        (["MODEL", "-o", "carded.pt"], 4, "the output exists (carded.pt.md)"),
        (["MODEL", "-o", "u.pt", "--size", "0"], 2, "--size 0 is not a size"),
        (["MODEL", "-o", "u.pt", "--size", "4x"], 2, "--size 4x is not a size"),
        (["MODEL", "-o", "u.safetensors", "--size", "64"], 2, "no picture size"),
        (["GENERATOR", "-o", "u.pt", "--size", "30"], 2, "multiples of 4 px, not 30x30"),
        (["auto", "-o", "u.pt"], 2, "'auto' names no single model"),
        (["upscale-compact-x5", "-o", "u.pt"], 2, "Did you mean upscale-compact-x"),
        (["missing.pth", "-o", "u.pt"], 5, "no such checkpoint file"),
        ([".", "-o", "u.pt"], 5, "the folder holds no model.safetensors"),
        (["there.pt", "-o", "u.pt"], 5, "this is not a checkpoint"),
        (["percept", "-o", "u.onnx"], 2, "exported as safetensors only"),
        (["MODEL", "-o", "u.pt", "--precision", "bf16"], 2, "bf16"),
        (["hf:owner", "-o", "u.pt"], 2, "names no file on the hub"),
        (["realesr-general-x4v3", "-o", "u.pt"], 5, "network is switched off"),
    ],
)
def test_bad_input(
    tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, message: str
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    upscaler(tmp_path / "MODEL.safetensors")
    translator(tmp_path / "GENERATOR.safetensors")
    Path("there.pt").write_text("text")
    Path("carded.pt.md").write_text("text")
    words = [f"{word}.safetensors" if word in ("MODEL", "GENERATOR") else word for word in words]
    before = names(tmp_path)
    done = call(capfd, "export", *words)
    assert (done.code, done.out) == (code, ""), done.err
    assert message in done.err and done.err.count("\n") == 1
    assert names(tmp_path) == before


@pytest.mark.parametrize("wrapped", [False, True])
def test_out_of_memory_names_what_helps(
    tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch, wrapped: bool
) -> None:
    def full(*_: Any) -> None:
        error = RuntimeError("DefaultCPUAllocator: can't allocate memory")
        if not wrapped:
            raise error
        raise WeightsError("it cannot be traced") from error

    monkeypatch.setattr(exporting, "write_torchscript", full)
    model = upscaler(tmp_path / "u.safetensors")
    done = call(capfd, "export", model, "-o", tmp_path / "u.pt")
    assert done.code == 6 and "Use a smaller --size" in done.err and done.err.count("\n") == 1
    assert names(tmp_path) == ["u.safetensors"]


@pytest.mark.parametrize("suffix", ["pt", "onnx"])
def test_out_of_memory_in_python(tmp_path: Path, suffix: str) -> None:
    """While the net is traced, not while it is run beforehand."""

    class Greedy(nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return x

    if suffix == "onnx":
        pytest.importorskip("onnxscript")
    with pytest.raises(DeviceError, match="out of memory in the export") as caught:
        exporting.export(Greedy(), Checkpoint("greedy", "translate"), tmp_path / f"x.{suffix}")
    assert caught.value.code == 6 and names(tmp_path) == []


def test_overwrite_and_runs(tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/maps").mkdir(parents=True)
    translator(Path("runs/maps/model.safetensors"))
    Path("maps.pt").write_text("old")
    done = call(capfd, "export", "runs/maps", "-o", "maps.pt", "--overwrite", "--json")
    assert done.code == 0 and done.records[0]["model"] == "tiny-g"
    assert Path("maps.pt").stat().st_size > 1000


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, row = original(upscaler(tmp_path / "u.safetensors"))

    def full(self: Path, data: Any) -> int:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="no space is left"):
        exporting.export(net, row, tmp_path / "u.pt")
    assert names(tmp_path) == ["u.safetensors"]


def test_a_licence_is_asked_for(tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    row = load_catalog().get("realesr-general-x4v3")
    row = replace(row, licence="CC-BY-NC-4.0", commercial=False)
    monkeypatch.setattr(catalog, "load_catalog", lambda path=None: catalog.Catalog((row,)))
    done = call(capfd, "export", row.name, "-o", tmp_path / "u.pt")
    assert done.code == 5 and "--accept-license" in done.err
    done = call(capfd, "export", row.name, "-o", tmp_path / "u.pt", "--accept-license")
    assert done.code == 5 and "switched off" in done.err
    hub.check_licence(row)


@pytest.mark.parametrize(
    ("row", "low", "high", "words"),
    [
        (replace(ROW, value_range=255.0, color="bgr"), 0, 255, "channels B, G, R from 0 to 255"),
        (replace(ROW, signed=True), -1, 1, "channels R, G, B from -1 to 1"),
        (replace(ROW, args={"input_nc": 1}), 0, 1, "1 channel(s) from 0 to 1 (luma if one)"),
        (replace(ROW, task="colorize", color="gray"), 0, 1, "luma (0.299 R"),
        (replace(ROW, task="colorize", color="lab"), 0, 1, "lightness L of CIE Lab"),
    ],
)
def test_contracts(row: Checkpoint, low: float, high: float, words: str) -> None:
    terms = exporting.contract(nn.Identity(), row)
    assert (terms.low, terms.high) == (low, high) and words in terms.takes
    x = exporting.example(terms, 24, 40, seed=0)
    assert x.shape == (1, terms.channels, 24, 40)
    assert low <= float(x.min()) and float(x.max()) <= high and float(x.max() - x.min()) > 0.5 * (high - low)
    assert np.array_equal(x, exporting.example(terms, 24, 40, seed=0))
