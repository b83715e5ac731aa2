"""The floors of the design, and that help loads nothing heavy."""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "gantool"

# room -> (floor, what it may import besides lower floors). A room is a module, or a folder of modules.
TORCH = {"torch", "torchvision"}
ARRAYS = {"numpy", "cv2"}
TOOLS = TORCH | ARRAYS | {"rich", "huggingface_hub", "safetensors", "spandrel", "PIL"}
ROOMS: dict[str, tuple[int, set[str]]] = {
    "errors": (0, set()),
    "catalog": (1, set()),
    "plan": (1, set()),
    "sniff": (1, set()),
    **dict.fromkeys(["hints", "container", "numbered", "sources"], (1, set())),
    "models": (1, TORCH),
    "ops": (1, TORCH | ARRAYS),
    "losses": (1, TORCH | ARRAYS),
    **dict.fromkeys(["degrade", "severity", "textures"], (1, TORCH | ARRAYS)),
    **dict.fromkeys(["metrics", "niqe"], (1, TORCH | ARRAYS)),
    "media": (1, ARRAYS | {"PIL", "av", "imageio", "imageio_ffmpeg", "pillow_heif"}),
    **dict.fromkeys(
        [
            "console",
            "progress",
            "hub",
            "cache",
            "records",
            "conversion",
            "parts",
            "gatys",
            "download",
            "resume",
            "devices",
            "loading",
            "selection",
        ],
        (2, TOOLS),
    ),
    **dict.fromkeys(["temporal", "motion", "keyframes", "stages", "faces"], (2, TOOLS)),
    **dict.fromkeys(["data", "tensors", "percept"], (2, TOOLS)),
    "flownet": (2, TOOLS),
    **dict.fromkeys(["people", "facepairs", "posepairs", "identity"], (2, TOOLS)),
    **dict.fromkeys(
        ["legacy", "pool", "upscalers", "colorizers", "stylers", "interpolation", "anatomy"], (2, TOOLS)
    ),
    **dict.fromkeys(["layouts", "datacheck"], (2, ARRAYS | {"PIL"})),
    "locking": (1, set()),
    "workfolder": (2, TOOLS),
    **dict.fromkeys(["facenets", "pickled"], (2, TOOLS)),
    "board": (2, TOOLS),
    "compare": (2, ARRAYS | {"PIL"}),
    **dict.fromkeys(["pipelines", "superres", "turning", "frontscores"], (3, TOOLS)),
    "settings": (1, set()),
    **dict.fromkeys(["alignment", "heads"], (1, ARRAYS)),
    "export": (3, TOOLS | {"onnx", "onnxscript", "onnxruntime"}),
    "colors": (3, TOOLS),
    "training": (3, TOOLS | {"lightning_fabric", "matplotlib", "tensorboardX"}),
    "evaluation": (4, TOOLS | {"torchmetrics"}),
    **dict.fromkeys(["engine", "inference", "passes", "preview", "scenes", "recipes"], (4, TOOLS)),
    **dict.fromkeys(["segments", "segmenting", "facestep", "facepass"], (4, TOOLS)),
    **dict.fromkeys(
        ["commands", "cli", "__init__", "__main__"], (5, TOOLS | {"typer", "av", "imageio_ffmpeg"})
    ),
}
ALONE = {"models"}  # their modules import nothing else of gantool, each other neither
LIGHT = {
    "__init__",
    "__main__",
    "cli",
    "commands",
    "console",
    "progress",
    "catalog",
    "plan",
    "sniff",
    "numbered",
    "sources",
    "errors",
}
LIGHT_PACKAGES = {"typer"}  # what a light room may import when it is itself imported

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    """``gantool.media.image`` -> "media"."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def imports(path: Path) -> list[tuple[str, bool]]:
    """(dotted name, whether it is imported when the module is) of every import that runs."""
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, at_import: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            at_import = False
        if isinstance(node, ast.Import):
            found.extend((name.name, at_import) for name in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            if node.module.split(".")[0] == "gantool":
                for name in node.names:
                    child = PACKAGE.parent.joinpath(*node.module.split("."), name.name)
                    module = child.with_suffix(".py").exists() or child.is_dir()
                    found.append((f"{node.module}.{name.name}" if module else node.module, at_import))
            else:
                found.append((node.module, at_import))
        for child in ast.iter_child_nodes(node):
            visit(child, at_import)

    visit(ast.parse(path.read_text(encoding="utf-8")), True)
    return found


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_floors(path):
    here = dotted(path)
    room = room_of(here)
    assert room in ROOMS, f"{here}: give the room '{room}' a floor in ROOMS"
    floor, allowed = ROOMS[room]
    for name, _ in imports(path):
        top = name.split(".")[0]
        if top != "gantool":
            assert top in sys.stdlib_module_names or top in allowed, f"{here} may not import {top}"
            continue
        if name == "gantool":  # the version, from its lazy API
            continue
        assert room not in ALONE, f"{here} may not import {name}: it stands by itself"
        other = room_of(name)
        if other == room:
            continue
        assert ROOMS[other][0] <= floor, f"{here} on floor {floor} looks up to {name}"
        if other == "recipes":
            assert here == "gantool.commands.train", f"{here} may not import recipes"


@pytest.mark.parametrize("path", [p for p in MODULES if room_of(dotted(p)) in LIGHT], ids=dotted)
def test_light_modules_import_nothing_heavy(path):
    for name, at_import in imports(path):
        top = name.split(".")[0]
        if at_import and top == "gantool" and name != "gantool":
            assert room_of(name) in LIGHT, f"{dotted(path)} imports {name} when it is imported"
        elif at_import and top != "gantool":
            assert top in sys.stdlib_module_names or top in LIGHT_PACKAGES, f"{dotted(path)} imports {top}"


def test_nobody_imports_click():
    for path in MODULES:
        assert all(name.split(".")[0] != "click" for name, _ in imports(path)), path


EMPTY_APP = """
import typer
app = typer.Typer()
@app.callback()
def nothing(): pass
@app.command()
def command(name: str = "x"): pass
typer.main.get_command(app).main(args={words}, prog_name="x", standalone_mode=False)
"""
GANTOOL = """
from gantool.cli import main
assert main({words}) == 0
"""
LOADED = """
import json, sys
names = {name.split(".")[0] for name in sys.modules}
sys.stderr.write(json.dumps(sorted(names - set(sys.stdlib_module_names))))
"""


def packages(script: str) -> set[str]:
    """Third-party packages that a script loads."""
    done = subprocess.run([sys.executable, "-c", script + LOADED], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


@functools.cache
def bare(depth: int) -> set[str]:
    """What an empty Typer app loads for its help (depth 0) or for that of its command (1)."""
    return packages(EMPTY_APP.replace("{words}", repr([*["command"] * depth, "--help"])))


HEAVY = {"torch", "torchvision", "numpy", "cv2", "PIL", "av", "huggingface_hub"}
COMMANDS = ["", "colorize", "translate", "upscale", "chain", "join", "train", "degrade", "export", "doctor"]
COMMANDS += ["style"]
COMMANDS += ["models", "eval", "frontalize"]
EVAL = ["eval pair", "eval set", "eval video"]
MODELS = ["models list", "models show", "models pull", "models verify", "models remove"]


@pytest.mark.parametrize("command", COMMANDS + MODELS + EVAL)
def test_help_loads_no_more_than_an_empty_app(command):
    loaded = packages(GANTOOL.format(words=[*command.split(), "--help"]))
    assert not loaded - bare(min(1, len(command.split()))) - {"gantool"}
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    ("words", "code"), [(["--version"], 0), (["colorize"], 2), (["colorize", "gone.png"], 3), (["train"], 2)]
)
def test_other_short_answers_load_nothing_heavy(words, code):
    loaded = packages(f"from gantool.cli import main\nassert main({words}) == {code}\n")
    assert not loaded & HEAVY


def test_every_command_is_in_the_lists_above():
    from gantool import cli

    commands = {info.name for info in cli.app.registered_commands}
    assert commands | {group.name for group in cli.app.registered_groups} == set(COMMANDS) - {""}
