"""Which checkpoint ``--model`` means. Never touches the network."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from gantool import cache, hub
from gantool.catalog import COMMANDS, Catalog, Checkpoint, embedded_row
from gantool.errors import UsageError, WeightsError

_SPEC = re.compile(r"hf:(?P<repo>[^/@]+/[^/@]+)/(?P<file>[^@]+)(@(?P<revision>[^@]+))?")
GATYS = "gatys"  # the style of a picture by optimisation, which takes a net that was made to see
_SUFFIXES = (".safetensors", ".pth", ".pth.tar", ".pt", ".bin", ".ckpt")  # what is inside is looked at later


@dataclass(frozen=True)
class Choice:
    """The model of a run.

    ``path``: its verified file, or None when it must be fetched first. ``notice``: a line for the user, or
    None. The row of a file that carries none has no ``arch``; loading finds out.
    """

    row: Checkpoint
    path: Path | None
    notice: str | None = None


def select(
    spec: str, task: str, *, catalog: Catalog, device_class: str = "cpu", scale: float | None = None
) -> Choice:
    """What ``--model SPEC`` means for a task.

    ``spec``: ``auto`` (the recommended checkpoint if it is here, else the built-in one), ``builtin``, a name
    of the catalog, a path, or ``hf:owner/repo/file`` with an optional ``@revision``; of style also ``gatys``,
    which takes what sees best here. ``device_class`` is "cpu" or "gpu"; ``scale`` the output scale asked for,
    by which built-in upscalers are chosen.
    Raises UsageError for an unknown name or a model of another task, WeightsError for a missing or bad file,
    or where auto finds nothing here.
    """
    if spec == "auto":
        return _auto(task, catalog, device_class, scale)
    if spec == GATYS and task == "style":
        return _eye(catalog, device_class)
    if spec == "builtin":
        row = catalog.builtin(task, scale)
        return Choice(row, hub.fetch(row))
    if spec.startswith("hf:"):
        row = _spec_row(spec, task)
        return Choice(row, hub.verified(row))
    path = None if any(row.name == spec for row in catalog.rows) else local_file(spec)
    if path is not None:
        return _file_choice(path, task)
    row = catalog.get(spec, task)
    _same_task(row, task)
    return Choice(row, hub.verified(row))


def named(spec: str, catalog: Catalog) -> Checkpoint:
    """The row of a catalog name or of ``hf:owner/repo/file``. Raises UsageError for anything else."""
    return _spec_row(spec, "upscale") if spec.startswith("hf:") else catalog.get(spec)


def local_file(spec: str) -> Path | None:
    """The file that ``--model SPEC`` names when it names one on this machine, or None for names and hf:.

    Of a training run's folder it is ``model.safetensors``. Raises WeightsError when there is no such file.
    """
    looks = "/" in spec or "\\" in spec or spec.endswith(_SUFFIXES) or Path(spec).exists()
    if spec.startswith("hf:") or not looks:
        return None
    path = Path(spec).expanduser()
    if path.is_dir() and (path / "model.safetensors").is_file():
        path = path / "model.safetensors"
    if path.is_dir():
        what, remedy = "the folder holds no model.safetensors", "Name a run of `gantool train`, or a file."
        raise WeightsError(what, path, remedy)
    if not path.is_file():
        raise WeightsError("there is no such checkpoint file", path, "Check the path given to --model.")
    return path


def _auto(task: str, catalog: Catalog, device_class: str, scale: float | None) -> Choice:
    better = catalog.recommended(task, device_class, scale)
    if better is None:
        row = catalog.builtin(task, scale)
        return Choice(row, hub.fetch(row), f"Using {row.name} (built-in).")
    why, needs = "is recommended", map(catalog.get, better.needs)
    parts = [better, *(part for part in needs if part.task == task)]
    if all(cache.find(part) is not None for part in parts):
        path = hub.verified(better)
        if path is not None:
            return Choice(better, path, f"Using {better.name}.")
        why = "in the cache is damaged"
    pull = f"`gantool models pull {better.name}`"
    size = f"{hub.describe_size(sum(part.bytes for part in parts))}, {better.licence}"
    if not any(row.source == "builtin" for row in catalog.for_task(task)):
        state = "is not here" if why == "is recommended" else why
        what = f"{task} has no built-in model, and {better.name}, which is recommended, {state}"
        raise WeightsError(what, remedy=f"{pull} gets it ({size})")
    row = catalog.builtin(task, scale)
    notice = f"Using {row.name} (built-in)."
    if better.name != row.name:
        notice = f"Using {row.name} (built-in); {better.name} {why}: {pull} ({size})."
    return Choice(row, hub.fetch(row), notice)


def _eye(catalog: Catalog, device_class: str) -> Choice:
    """The net that measures likeness, to paint by: VGG19 if it is here, else the built-in one."""
    choice = _auto("percept", catalog, device_class, None)
    # Average pooling as in the paper; and borders that are no edges.
    args = {**choice.row.args, "pool": "avg", "padding": "replicate"}
    row = replace(choice.row, name=f"{GATYS}-{choice.row.name}", task="style", args=args)
    return replace(choice, row=row)


def _spec_row(spec: str, task: str) -> Checkpoint:
    """A row for ``hf:owner/repo/file``; what the net is, only its file can tell."""
    match = _SPEC.fullmatch(spec)
    safe = match and all(
        re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", part) and ".." not in part
        for part in [*match["repo"].split("/"), *match["file"].split("/"), match["revision"] or "main"]
    )
    if not match or not safe:
        raise UsageError(f"'{spec}' names no file on the hub", remedy="Write hf:owner/repo/file.safetensors.")
    if not match["file"].endswith(_SUFFIXES):
        remedy = f"Only {', '.join(_SUFFIXES[:-1])} and {_SUFFIXES[-1]} files can be loaded."
        raise UsageError(f"'{match['file']}' is not a checkpoint that gantool reads", remedy=remedy)
    revision = match["revision"] or "main"
    return Checkpoint(spec, task, source="hub", repo=match["repo"], file=match["file"], revision=revision)


def _file_choice(path: Path, task: str) -> Choice:
    row = embedded_row(path)
    if row is None:
        return Choice(Checkpoint(path.stem, task, file=str(path)), path)
    _same_task(row, task)
    return Choice(replace(row, file=str(path)), path)


def _same_task(row: Checkpoint, task: str) -> None:
    if row.task == "percept" and task != "percept":
        what = f"model {row.name} only measures how alike pictures are"
        raise UsageError(what, row.file or None, f"`gantool models --task {task}` lists those for {task}.")
    if row.task == "face" and task != "face":
        what = f"model {row.name} only finds or compares faces for other commands"
        raise UsageError(what, row.file or None, f"`gantool models --task {task}` lists those for {task}.")
    if row.task != task:
        remedy = f"`gantool models --task {task}` lists those for {task}."
        if row.task in COMMANDS:
            remedy = f"Use `gantool {row.task}`, or `gantool models --task {task}` to find one for {task}."
        raise UsageError(f"model {row.name} is for {row.task}, not for {task}", row.file or None, remedy)
