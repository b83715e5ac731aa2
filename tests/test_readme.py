"""README says what is: commands, options, models, exit codes; and .ci/run takes its commands from there."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

import gantool
from gantool import cli
from gantool.catalog import load_catalog
from gantool.errors import ExitCode
from gantool.hub import describe_size

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines()]
PROGRAM = typer.main.get_command(cli.app)


def options_of(words: list[str]) -> tuple[set[str], list[str]]:
    """The options of the command that a line calls, and the words after its name."""
    found, rest = PROGRAM, words
    while rest and rest[0] in getattr(found, "commands", {}):
        found, rest = found.commands[rest[0]], rest[1:]  # type: ignore[attr-defined]
    assert found is not PROGRAM, words
    return {name for p in found.params for name in (*p.opts, *p.secondary_opts)}, rest


def test_first_two_commands():
    """One line that installs and colours the example, one line that tests."""
    first, second = BLOCKS[0].splitlines(), BLOCKS[1].splitlines()
    assert len(first) == 1 and len(second) == 1
    assert first[0].startswith("python3 -m venv .venv && . .venv/bin/activate && pip install ")
    assert first[0].endswith(" && gantool colorize examples/old-film.mp4 -o color.mp4")
    assert second[0] == "python -m pytest"


@pytest.mark.parametrize("number", [1, 2])
def test_ci_takes_commands_from_readme(number):
    """The function of .ci/run that reads README, run by itself."""
    script = (ROOT / ".ci/run").read_text("utf-8")
    function = re.search(r"^readme_block\(\) \{\n.*?^\}$", script, re.MULTILINE | re.DOTALL)
    assert function
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{function[0]}\nreadme_block {number}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == BLOCKS[number - 1]
    assert "python -m pytest" not in script and "colorize examples" not in script


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("gantool ")])
def test_commands_exist(line):
    known, words = options_of(shlex.split(line, comments=True)[1:])
    assert {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} <= known


def test_options_exist():
    """Every option that the text names belongs to some command."""
    known = set()
    for name, command in PROGRAM.commands.items():  # type: ignore[attr-defined]
        known |= options_of([name])[0]
        for inner in getattr(command, "commands", {}):
            known |= options_of([name, inner])[0]
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    named = {word for code in re.findall(r"`([^`]+)`", text) for word in re.findall(r"--[a-z-]+", code)}
    assert named <= known


def test_every_command_has_a_section():
    for name in PROGRAM.commands:  # type: ignore[attr-defined]
        assert f"\n## {name}\n" in README


def table(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    first = re.search(r"(^\|.*\n)+", section, re.MULTILINE)
    assert first, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in first[0].splitlines()[2:]]


def test_exit_codes():
    assert [int(row[0]) for row in table("Exit codes")] == [int(code) for code in ExitCode]


def test_models():
    rows = {re.search(r"`(.+?)`", row[0])[1]: row for row in table("models")}  # type: ignore[index]
    catalog = {row.name: row for row in load_catalog().rows}
    assert set(rows) == set(catalog)
    for name, (words, task, scale, size, licence, commercial) in rows.items():
        row = catalog[name]
        assert task == row.task and licence == row.licence
        assert commercial == ("yes" if row.commercial else "no")
        assert scale == (f"x{row.scale}" if row.task == "upscale" else "")
        assert size == describe_size(row.bytes) or abs(float(size.split()[0]) - row.bytes / 1e6) <= 0.05
        assert ("(built-in)" in words) == (row.source == "builtin")
        assert row.source == "builtin" or row.origin in words


def test_links():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_python_example():
    """It compiles, and calls what there is."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    called = {
        node.func.attr
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert called == set(gantool.__all__)
