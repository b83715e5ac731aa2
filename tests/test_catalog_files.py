"""Every row that is fetched, end to end: the local hub offers a file of the right names and shapes, and
``gantool models verify`` takes it; and says of files of other kinds what they are.

The numbers in these files are zeros in half precision; their names are those of our architectures. What the
released files' own names are, the layout tests of the nets know.
"""

from __future__ import annotations

import functools
import importlib
import io
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from cli_kit import Outcome, call
from hub_server import HubServer
from hub_support import sha

import gantool.parts  # noqa: F401 - which must know the true catalog, before it is replaced here
from gantool import catalog, hub, loading
from gantool.catalog import Checkpoint, load_catalog

pytest_plugins = ("hub_fixtures",)

FETCHED = [row for row in load_catalog().rows if row.source != "builtin"]
FETCHED.sort(key=lambda row: (row.arch, str(row.args), row.key))  # so that neighbours can share a file


def zeros(row: Checkpoint) -> dict[str, torch.Tensor]:
    """The state dict of a row's net, in half precision.

    Up to three tensors of one size share their memory, which .pth files of large nets are a third by.
    """
    file, _, name = row.arch.partition(".")
    shared: dict[tuple[Any, int, int], torch.Tensor] = {}
    count: Counter[tuple[Any, int]] = Counter()

    def zero(like: torch.Tensor) -> torch.Tensor:
        dtype = torch.float16 if like.is_floating_point() else like.dtype
        kind = (dtype, like.numel())
        key = (*kind, count[kind] // 3)
        count[kind] += 1
        return shared.setdefault(key, torch.zeros(like.numel(), dtype=dtype)).view(like.shape)

    with torch.device("meta"):
        net = getattr(importlib.import_module(f"gantool.models.{file}"), name)(**row.args)
    return {name: zero(tensor) for name, tensor in net.state_dict().items()}


def packed(state: dict[str, Any], row: Checkpoint) -> bytes:
    """The bytes of a file of that row's kind."""
    if (row.file or row.url).endswith(".safetensors"):
        from safetensors.torch import save

        return save({name: tensor.clone() for name, tensor in state.items()}, {"format": "pt"})
    buffer = io.BytesIO()
    torch.save({row.key: state} if row.key else state, buffer)
    return buffer.getvalue()


# Of rows that leave it to spandrel to tell what they are: nets of those kinds, small ones.
STRANGERS: dict[str, tuple[str, dict[str, Any]]] = {
    "swinir": ("SwinIR", {"embed_dim": 12, "depths": [1], "num_heads": [2], "upsampler": "pixelshuffle"}),
    "hat": ("HAT", {"embed_dim": 48, "depths": [1], "num_heads": [2]}),
    "dat": ("DAT", {"embed_dim": 48, "depth": [1], "num_heads": [2], "split_size": [2, 4]}),
    "span": ("SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8}),
}


@functools.cache
def stranger(kind: str) -> dict[str, torch.Tensor]:
    """The seeded state dict of a net that spandrel knows, x4."""
    name, args = STRANGERS[kind]
    net = getattr(importlib.import_module(f"spandrel.architectures.{name}"), name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return net(**args, upscale=4).state_dict()


@functools.lru_cache(maxsize=1)
def file_of(arch: str, args: str, key: str, suffix: str, kind: str = "") -> bytes:
    """The file of the rows of which all this is true."""
    if not arch and kind in STRANGERS:
        buffer = io.BytesIO()
        torch.save({"params_ema": stranger(kind)}, buffer)  # wrapped, as most of them are
        return buffer.getvalue()
    if not arch:
        return b"what OpenCV reads" * 10  # no tensors by name: nothing but the hash can tell
    row = next(row for row in FETCHED if (row.arch, str(row.args), row.key) == (arch, args, key))
    return packed(zeros(row), replace(row, file=f"net{suffix}"))


def offered(server: HubServer, row: Checkpoint, data: bytes) -> Checkpoint:
    """The row as if its authors had released these bytes, and the hub that has them."""
    if row.source == "hub":
        server.add(row.repo, row.file, data, row.revision)
    else:
        server.files[f"release/{Path(row.url).name}"] = data
    url = f"{server.url}/release/{Path(row.url).name}" if row.url else ""
    pinned = bool(row.sha256)
    return replace(row, url=url, sha256=sha(data) if pinned else "", bytes=len(data) if pinned else 0)


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Run ``gantool models verify`` on a catalog of these rows."""

    def run(rows: list[Checkpoint], *words: str) -> Outcome:
        monkeypatch.setattr(catalog, "load_catalog", lambda path=None: catalog.Catalog(tuple(rows)))
        return call(capfd, "models", "verify", "--json", *words)

    return run


@pytest.mark.parametrize("row", FETCHED, ids=lambda row: row.name)
def test_every_row_resolves(server: HubServer, verify: Any, row: Checkpoint) -> None:
    data = file_of(
        row.arch, str(row.args), row.key, Path(row.file or row.url).suffix, row.name.partition("-")[0]
    )
    served = offered(server, row, data)
    done = verify([served], row.name, "--pull", "--accept-license")
    assert done.code == 0, done.err
    (record,) = done.records
    assert (record["name"], record["verified"], record["problem"]) == (row.name, True, None)
    path = Path(record["path"])
    assert path.name.endswith(Path(row.file or row.url).name) and path.stat().st_size == len(data)
    known = record["sha256"] or record["recorded"]["sha256"]
    assert known == sha(data)
    # Whoever offers other bytes under a pinned name is refused before the download.
    if row.source == "hub" and row.sha256:
        hub.remove(served)
        done = verify([replace(row, url="")], row.name, "--pull", "--accept-license")
        assert done.code == 5 and "another file than the catalog names" in done.err


def test_a_net_of_spandrels_works_by_its_name(
    server: HubServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It keeps the name and the terms of its row; scale and tiles are known from the file."""
    (row,) = (row for row in FETCHED if row.name == "span-x4")
    served = offered(server, row, file_of("", "{}", row.key, ".pth", "span"))
    monkeypatch.setattr(catalog, "load_catalog", lambda path=None: catalog.Catalog((served,)))
    cv2.imwrite(str(tmp_path / "small.png"), np.full((9, 12, 3), 99, np.uint8))
    words = (str(tmp_path / "small.png"), "-o", str(tmp_path / "large.png"), "--model", "span-x4", "--json")
    done = call(capfd, "upscale", *words)
    assert done.code == 0, done.err
    assert done.records[0]["model"] == "span-x4" and done.records[0]["width"] == 48
    path = hub.cached(served)
    assert path is not None
    found = loading.load(served, path)[1]
    assert (found.name, found.licence, found.scale) == ("span-x4", "Apache-2.0", 4)


@pytest.fixture
def row() -> Checkpoint:
    args = {"num_feat": 4, "num_conv": 1, "upscale": 2}
    return Checkpoint(
        "net", "upscale", arch="srvgg.SRVGGNetCompact", args=args, source="hub", repo="o/m", revision="main"
    )


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("shape", "body.0.weight has shape (4, 4, 3, 3), expected (4, 3, 3, 3)"),
        ("missing", "1 tensors missing (body.2.bias)"),
        ("extra", "1 tensors unknown (extra)"),
        ("nan", "tensor 'body.0.bias' holds NaN"),
        ("whole", "NaN"),
        ("cut", "damaged or cut short"),
    ],
)
@pytest.mark.parametrize("file", ["net.pth", "net.safetensors"])
def test_what_does_not_fit_is_told(
    server: HubServer, verify: Any, row: Checkpoint, file: str, harm: str, words: str
) -> None:
    row = replace(row, file=file)
    state = zeros(row)
    if harm == "shape":
        state["body.0.weight"] = torch.zeros(4, 4, 3, 3)
    elif harm == "missing":
        del state["body.2.bias"]
    elif harm == "extra":
        state["extra"] = torch.zeros(1)
    elif harm in ("nan", "whole"):
        for name in ["body.0.bias"] if harm == "nan" else list(state):
            state[name] = torch.full_like(state[name], float("nan"))
    data = packed(state, row)
    if harm == "cut":
        data = data[: len(data) // 2]
    served, good = offered(server, row, data), replace(row, name="good", file="good.pth")
    good = offered(server, good, packed(zeros(good), good))
    absent = replace(good, name="absent", file="absent.pth")
    hub.fetch(served)
    hub.fetch(good)
    done = verify([served, good, absent])
    assert [r["verified"] for r in done.records] == [False, True, None]
    assert words in done.records[0]["problem"] and done.records[0]["problem"].count("\n") == 0
    assert done.code == 8 and "1 of 3" in done.err
    done = verify([served, good, absent], "net")
    assert done.code == 5 and words in done.err
    assert verify([served, good, absent], "good").code == 0
    assert verify([served, good, absent], "absent").code == 5


def test_a_file_without_a_row_is_recognised(server: HubServer, verify: Any, row: Checkpoint) -> None:
    server.add("o/m", "good.pth", packed(zeros(replace(row, file="good.pth")), row))
    server.add("o/m", "odd.pth", packed({"a.weight": torch.zeros(2, 2)}, row))
    done = verify([], "hf:o/m/good.pth", "hf:o/m/odd.pth", "--pull")
    assert [r["verified"] for r in done.records] == [True, False] and done.code == 8
    assert "no known upscaler" in done.records[1]["problem"]


def test_no_net_is_built_to_compare(row: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(packed(zeros(row), row))

    def never(*_: Any) -> None:
        raise AssertionError("a net was filled with numbers")

    monkeypatch.setattr(torch.nn.Module, "load_state_dict", never)
    loading.check(row, path)
