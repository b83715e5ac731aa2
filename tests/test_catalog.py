"""Every row of weights.toml, the checks that keep bad rows out, and the row inside a file."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from gantool import cache
from gantool.catalog import TASKS, Catalog, Checkpoint, embedded_row, load_catalog
from gantool.errors import ExitCode, GantoolError, UsageError, WeightsError

ROOT = Path(__file__).parent.parent
CATALOG = load_catalog()
PERMISSIVE = ("MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "WTFPL")
GOOD = Checkpoint(
    "net", "upscale", arch="srvgg.SRVGGNetCompact", args={"num_conv": 2}, scale=4, radius=4, dtypes=("bf16",)
)


@pytest.mark.parametrize("row", CATALOG.rows, ids=lambda row: row.name)
def test_row(row: Checkpoint) -> None:
    """Each row names an architecture that builds with its arguments, and files that are what it says."""
    import torch

    if row.arch:
        file, _, name = row.arch.partition(".")
        with torch.device("meta"):
            net = getattr(importlib.import_module(f"gantool.models.{file}"), name)(**row.args)
        assert sum(p.numel() for p in net.parameters()) > 0
    else:  # OpenCV runs it, or spandrel builds it, and only its hash says what it is
        assert row.file.endswith(".onnx") or row.task == "upscale"
        assert row.sha256 and row.bytes and not row.args
    # What may not be used commercially says why: a bare "MIT" there would look like a mistake.
    assert row.commercial == (row.licence in PERMISSIVE) and row.summary
    if row.source == "builtin":
        assert row.bytes > 0
        path = cache.builtin_file(row)
        assert path.is_file(), f"{path} is not there"
        assert path.stat().st_size == row.bytes
        assert cache.sha256(path) == row.sha256
        assert row.made, "a built-in row says which command made it"
    else:
        assert row.origin.startswith("https://")
    if row.arch == "srvgg.SRVGGNetCompact":
        assert row.scale == row.args["upscale"]
        assert row.radius == row.args["num_conv"] + 2
    for need in row.needs:
        CATALOG.get(need)
    assert Checkpoint.from_json(row.to_json(), file="f").args == row.args


def test_a_pair_of_kinds_of_picture_says_which_way_it_goes() -> None:
    for row in CATALOG.for_task("translate"):
        if row.arch.startswith(("cyclegan.", "huggan_unet.", "mobile_resnet.")):
            assert " into " in row.summary, row.name


def test_names_are_unique_and_tasks_known() -> None:
    names = [row.name for row in CATALOG.rows]
    assert len(names) == len(set(names))
    assert {row.task for row in CATALOG.rows} <= set(TASKS)


def test_every_task_with_a_recommendation_has_one_per_device_class_and_scale() -> None:
    for task in TASKS:
        for device in ("cpu", "gpu"):
            rows = [row for row in CATALOG.for_task(task) if device in row.recommended]
            scales = [row.scale for row in rows]
            assert len(scales) == len(set(scales))


def test_needs_only_the_standard_library() -> None:
    """Standard library only: found by what an interpreter without site-packages can import."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import gantool.catalog as c; print(len(c.load_catalog().rows))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-c", code, str(ROOT)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == len(CATALOG.rows)


def test_lookup_suggests() -> None:
    assert CATALOG.get("realesr-general-x4v3").scale == 4
    with pytest.raises(
        UsageError, match=r"unknown model 'realesr-genral-x4v3'.*realesr-general-x4v3"
    ) as caught:
        CATALOG.get("realesr-genral-x4v3")
    assert caught.value.code == ExitCode.USAGE
    with pytest.raises(UsageError, match=r"gantool models"):
        CATALOG.get("zzz")


def test_scales() -> None:
    def row(name: str, scale: int, **more: object) -> Checkpoint:
        return replace(GOOD, name=name, scale=scale, **more)  # type: ignore[arg-type]

    catalog = Catalog(
        (
            row("b4", 4, source="builtin"),
            row("b2", 2, source="builtin"),
            row("r4", 4, source="hub", recommended=("gpu",)),
            row("tint", 1, task="colorize", source="builtin"),
        )
    )
    wanted = {None: "b4", 1: "b2", 1.5: "b2", 2: "b2", 2.5: "b4", 4: "b4", 8: "b4"}
    assert {scale: catalog.builtin("upscale", scale).name for scale in wanted} == wanted
    assert catalog.builtin("colorize").name == "tint"
    assert [r.name for r in catalog.for_task("colorize")] == ["tint"]
    recommended = catalog.recommended("upscale", "gpu", 2)
    assert recommended is not None and recommended.name == "r4"
    assert catalog.recommended("upscale", "cpu") is None
    with pytest.raises(UsageError, match="no built-in"):
        catalog.builtin("style")


@pytest.mark.parametrize(
    "change",
    [
        'task = "paint"',
        'arch = "os.path.join"',
        'arch = "../evil.Net"',
        'source = "ftp"',
        'source = "file"',
        'repo = "owner"',
        'repo = "../../x/y"',
        'file = "../../etc/passwd"',
        'file = "/etc/passwd"',
        'file = "a/../b.pth"',
        'revision = "../main"',
        'url = "http://example.org/net.pth"',
        'url = "file:///etc/passwd"',
        'sha256 = "guessed"',
        "bytes = -1",
        'bytes = "12"',
        "scale = 0",
        "scale = 2.5",
        "radius = -1",
        'dtypes = ["int8"]',
        'dtypes = "bf16"',
        'recommended = ["tpu"]',
        "value_range = 2.0",
        "signed = 1",
        "signed = true\nvalue_range = 255.0",
        'whole = "yes"',
        "whole = true\nradius = 4",
        "keeps_gray = 0",
        'color = "cmyk"',
        'key = "a b"',
        "commercial = 1",
        "args = { num_conv = 1000000000 }",
        "args = { num_conv = { deep = 1 } }",
        'typo = "x"',
    ],
)
def test_bad_rows_are_refused(tmp_path: Path, change: str) -> None:
    good = {
        "task": '"upscale"',
        "arch": '"srvgg.SRVGGNetCompact"',
        "source": '"hub"',
        "repo": '"owner/model"',
        "file": '"dir/net.pth"',
        "revision": '"main"',
    }
    path = tmp_path / "weights.toml"
    path.write_text("[net]\n" + "\n".join(f"{k} = {v}" for k, v in good.items()))
    assert load_catalog(path).rows[0].name == "net"
    name = change.split(" ")[0]
    lines = [f"{k} = {v}" for k, v in good.items() if k != name]
    path.write_text("[net]\n" + "\n".join([*lines, change]))
    with pytest.raises(GantoolError, match="catalog is unusable") as caught:
        load_catalog(path)
    assert caught.value.code == ExitCode.BUG


@pytest.mark.parametrize(
    ("file", "sha", "good"), [("d.onnx", "0" * 64, True), ("d.onnx", "", False), ("d.pth", "0" * 64, False)]
)
def test_only_an_onnx_file_of_known_bytes_needs_no_architecture(tmp_path, file, sha, good) -> None:
    path = tmp_path / "weights.toml"
    rest = f'file = "{file}"\nrevision = "main"\nsha256 = "{sha}"\n'
    path.write_text(f'[net]\ntask = "face"\nsource = "hub"\nrepo = "a/b"\n{rest}')
    if good:
        assert load_catalog(path).rows[0].arch == ""
        return
    with pytest.raises(GantoolError, match="needs arch"):
        load_catalog(path)


@pytest.mark.parametrize("text", ["x = 1", "[a", '["Bad Name"]\ntask = "upscale"', None])
def test_broken_catalogs(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "weights.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(GantoolError):
        load_catalog(path)


def test_the_wheel_carries_the_catalog() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included["weights.toml"] == "gantool/weights.toml"


# ---- the row inside a file


def test_a_row_survives_its_file(tmp_path: Path) -> None:
    row = Checkpoint.from_json(GOOD.to_json(), file="x.safetensors")
    assert row == replace(GOOD, file="x.safetensors")


def test_a_row_in_a_file_cannot_point_elsewhere() -> None:
    text = replace(
        GOOD, source="hub", repo="owner/model", file="f", revision="main", url="https://x/y", sha256="0" * 64
    ).to_json()
    row = Checkpoint.from_json(text, file="here.safetensors")
    assert (row.source, row.repo, row.url, row.sha256, row.file) == ("file", "", "", "", "here.safetensors")


def test_what_translate_needs_to_know_is_in_the_row_and_absent_from_older_files() -> None:
    row = replace(GOOD, task="translate", signed=True, whole=True, keeps_gray=True, radius=None)
    assert Checkpoint.from_json(row.to_json()) == row
    older = {
        k: v for k, v in json.loads(GOOD.to_json()).items() if k not in ("signed", "whole", "keeps_gray")
    }
    assert Checkpoint.from_json(json.dumps(older)) == GOOD


def test_a_row_of_a_newer_version_is_read() -> None:
    text = json.dumps(json.loads(GOOD.to_json()) | {"invented_later": 1})
    assert Checkpoint.from_json(text).name == "net"


@pytest.mark.parametrize(
    "change",
    [
        {"arch": "os.system"},
        {"arch": "..loading.load"},
        {"args": {"num_conv": 10**9}},
        {"args": {"num_conv": "x" * 300}},
        {"args": [1]},
        {"task": "rob"},
        {"name": "\033[2J"},
        {"name": 3},
        {"name": ""},
        {"scale": "4"},
        {"dtypes": [["bf16"]]},
        {"signed": "yes"},
        {"signed": True, "value_range": 255.0},
        {"whole": 1},
        {"whole": True},  # beside a radius
        {"keeps_gray": None},
    ],
    ids=str,
)
def test_a_bad_row_in_a_file_is_refused(change: dict[str, object]) -> None:
    text = json.dumps(json.loads(GOOD.to_json()) | change)
    if change == {"arch": "os.system"}:
        # Of the right form; that gantool.models has no such file is for loading to say.
        assert Checkpoint.from_json(text).arch == "os.system"
        return
    with pytest.raises(WeightsError, match="damaged"):
        Checkpoint.from_json(text, file="f")


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"name": "x"}', "[" * 100_000])
def test_nonsense_rows(text: str) -> None:
    with pytest.raises(WeightsError):
        Checkpoint.from_json(text)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        b"\xff" * 100,
        (10**12).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (4).to_bytes(8, "little") + b"{bad",
    ],
)
def test_files_without_a_row(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(data)
    assert embedded_row(path) is None
    assert embedded_row(tmp_path / "missing") is None
