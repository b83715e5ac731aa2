"""What is in the wheel, and that the installed package finds it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import gantool
from gantool.catalog import load_catalog

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LARGEST = 24_000_000  # bytes of the wheel: small enough to be fetched without thinking

BUILTIN = [row for row in load_catalog(ROOT / "weights.toml").rows if row.source == "builtin"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel of the checkout, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def alone(folder: Path, code: str) -> str:
    """What Python prints with nothing but the standard library and ``folder``."""
    start = f"import sys; sys.path.insert(0, {str(folder)!r})\n"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start + code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_catalog_in_the_wheel(unpacked):
    assert (unpacked / "gantool/weights.toml").read_bytes() == (ROOT / "weights.toml").read_bytes()
    names = alone(
        unpacked,
        "import json, gantool.catalog as c\n"
        f"assert c.__file__.startswith({str(unpacked)!r})\n"
        "print(json.dumps([row.name for row in c.load_catalog().rows]))",
    )
    assert json.loads(names) == [row.name for row in load_catalog(ROOT / "weights.toml").rows]


def test_catalog_where_installed(tmp_path):
    """The installation that runs these tests, asked from elsewhere: editable or not."""
    code = "from gantool.catalog import load_catalog; print(*[row.name for row in load_catalog().rows])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [row.name for row in load_catalog(ROOT / "weights.toml").rows]


def test_builtin_models_in_the_wheel(unpacked):
    files = {path.name: path for path in (unpacked / "gantool/builtin").glob("*.safetensors")}
    assert sorted(files) == sorted(row.file for row in BUILTIN)
    tasks = {"colorize", "frontalize", "upscale", "translate", "percept", "style"}
    assert {row.task for row in BUILTIN} == tasks
    for row in BUILTIN:
        assert files[row.file].read_bytes() == (ROOT / "gantool/builtin" / row.file).read_bytes()
        assert files[row.file].stat().st_size == row.bytes
    code = "from gantool import cache, catalog\n"
    code += "for row in catalog.load_catalog().rows:\n"
    code += "    if row.source == 'builtin': print(cache.sha256(cache.find(row)) == row.sha256)"
    assert alone(unpacked, code).split() == ["True"] * len(BUILTIN)


def test_niqe_s_reference_and_its_notice_in_the_wheel(unpacked):
    for name in ("niqe.npz", "niqe.LICENSE"):
        packed = (unpacked / "gantool/builtin" / name).read_bytes()
        assert packed == (ROOT / "gantool/builtin" / name).read_bytes()


def test_wheel_is_small_and_whole(wheel, unpacked):
    assert wheel.stat().st_size <= LARGEST
    inside = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*.py")}
    assert inside == {str(path.relative_to(ROOT)) for path in (ROOT / "gantool").rglob("*.py")}
    tops = {path.name.partition("-")[0] for path in unpacked.iterdir()}
    assert tops == {"gantool"}, "a wheel that brings tests or examples along"
    assert list(unpacked.glob("gantool-*.dist-info/licenses/LICENSE"))


def test_entry_point_and_version(unpacked):
    (info,) = unpacked.glob("*.dist-info")
    assert "gantool = gantool.__main__:run" in (info / "entry_points.txt").read_text()
    assert f"\nVersion: {PROJECT['version']}\n" in (info / "METADATA").read_text()
    assert alone(unpacked, "import gantool; print(gantool.__version__)") == PROJECT["version"]
    assert gantool.__version__ == PROJECT["version"]


def test_version_stands_in_one_place():
    """One literal, in pyproject.toml."""
    version = re.compile(rf"""["']{re.escape(PROJECT["version"])}["']|__version__\s*=""")
    found = [path for path in (ROOT / "gantool").rglob("*.py") if version.search(path.read_text("utf-8"))]
    assert found == []


def test_lower_bounds_only():
    """No cap, no pin: gantool is installed beside other things."""
    extras = PROJECT["optional-dependencies"].values()
    for requirement in [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]:
        if re.fullmatch(r"gantool\[[a-z]+\]", requirement):
            continue  # another of these extras
        assert re.fullmatch(r"[a-z0-9-]+(\[[a-z,]+\])?>=[\d.]+", requirement), requirement
