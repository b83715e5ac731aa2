"""The model card: all that somebody needs who finds the file and nothing else."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from torch import Tensor

from gantool.catalog import Checkpoint
from gantool.export.contract import Contract

if TYPE_CHECKING:
    from gantool.export import Exported

_ONNX = """```python
import numpy as np, onnxruntime

session = onnxruntime.InferenceSession("{file}")
x = np.zeros((1, {channels}, {height}, {width}), np.{dtype})  # put the picture here
y = session.run(None, {{"x": x}})[0]
```"""
_TORCHSCRIPT = """```python
import torch

net = torch.jit.load("{file}").eval()
x = torch.zeros(1, {channels}, {height}, {width}, dtype=torch.{dtype})  # put the picture here
y = net(x)
```"""


def card(row: Checkpoint, terms: Contract, done: Exported, pictures: list[Tensor]) -> str:
    """The text of the card in Markdown.

    Args:
        pictures: those that the file was compared on, (1,C,H,W) each.
    """
    facts = [
        ("task", row.task),
        ("architecture", row.arch or row.summary),
        ("format", f"{done.format}, {done.precision}"),
        ("licence of the weights", row.licence),
        ("commercial use", "yes" if row.commercial else "no, or not known"),
        ("origin", row.origin),
        ("paper", row.paper),
        ("made by", row.made),
        ("sha256 of the original", row.sha256),
    ]
    lines = [f"# {row.name}", "", *([f"{row.summary}.", ""] if row.summary else [])]
    lines += ["| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in facts if value)]
    lines += [
        "",
        "## Input and output",
        "",
        *_shapes(row, terms, done),
        *(f"- {note}" for note in terms.notes),
    ]
    lines += [
        "",
        "## How to run",
        "",
        *_how(row, terms, done),
        "",
        "## Check",
        "",
        _checked(done, pictures),
        "",
    ]
    return "\n".join([*lines, f"Exported by gantool {_version()}.", ""])


def _shapes(row: Checkpoint, terms: Contract, done: Exported) -> list[str]:
    sides = f"sides multiples of {terms.multiple} px" if terms.multiple > 1 else "any size"
    if done.size is not None:
        sides = f"{done.size[1]} x {done.size[0]} px (width x height), no other size"
    kind = "float16" if done.takes_half else "float32"
    answer = "" if done.gives_half is None else " float16;" if done.gives_half else " float32;"
    if done.format == "safetensors":
        return [
            f"- in: (N, {terms.channels}, H, W), {sides}; {terms.takes}",
            f"- out: {terms.gives}",
        ]
    return [
        f"- in: `x`, {kind} (1, {terms.channels}, H, W), {sides}; {terms.takes}",
        f"- out: `y`,{answer} {terms.gives}",
    ]


def _how(row: Checkpoint, terms: Contract, done: Exported) -> list[str]:
    name = done.path.name
    if done.format == "safetensors":
        command = f"gantool {row.task} photo.jpg --model {name}"
        if row.task == "percept":
            return ["```python", f'gantool.percept.load(model="{name}")', "```"]
        what = "The tensors of the net under its own names"
        what += ", with its catalog row in the metadata." if row.arch else "."
        return ["```sh", command, "```", "", what]
    height, width = done.size or (terms.multiple * max(1, 256 // terms.multiple),) * 2
    dtype = "float16" if done.takes_half else "float32"
    template = _ONNX if done.format == "ONNX" else _TORCHSCRIPT
    return [template.format(file=name, channels=terms.channels, height=height, width=width, dtype=dtype)]


def _checked(done: Exported, pictures: list[Tensor]) -> str:
    if done.difference is None:
        return "The file was not compared with the net that it was made from."
    sizes = " and ".join(f"{x.shape[-1]} x {x.shape[-2]}" for x in pictures)
    return (
        f"Run with {done.checked} on random pictures of {sizes} px, the file differs from gantool's own "
        f"float32 net by at most {done.difference:.1e} of the range of its output."
    )


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _version() -> str:
    try:
        return version("gantool")
    except PackageNotFoundError:  # run from a folder, without having been installed
        return "(unknown version)"
