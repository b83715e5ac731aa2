"""Models that come in several files: the net of each, those of the other rows included that a row needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from gantool import cache, hub, loading
from gantool.catalog import Checkpoint, load_catalog


def parts_of(row: Checkpoint) -> tuple[Checkpoint, ...]:
    """The rows of a model's other parts, in order: those that it needs which are of its own task.

    What else a row needs (a face detector) is no part of its net. Raises UsageError for a name that the
    catalog does not know.
    """
    if not row.needs:
        return ()
    needed = map(load_catalog().get, row.needs)
    return tuple(need for need in needed if need.task == row.task)


def missing(row: Checkpoint) -> tuple[Checkpoint, ...]:
    """The other parts of a model of the catalog that must be fetched before it can run."""
    if row.source == "file":  # they may lie beside it
        return ()
    return tuple(part for part in parts_of(row) if hub.cached(part) is None)


def load(
    row: Checkpoint,
    path: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    fetch: Callable[[Checkpoint], Path] = hub.fetch,
) -> tuple[nn.Module | list[nn.Module], Checkpoint]:
    """The net of a chosen model with its full row, or the nets of all its parts, its own first.

    Parts of a file of the user's are looked for beside it before they are fetched. Raises as
    :func:`loading.load` and ``fetch`` do.
    """
    net, found = loading.load(row, path, device, dtype)
    parts = parts_of(found)
    if not parts:
        return net, found
    nets = [net]
    for part in parts:
        file = _beside(part, path) if row.source == "file" else None
        nets.append(loading.load_net(part, file or fetch(part), device, dtype))
    return nets, found


def _beside(part: Checkpoint, path: Path) -> Path | None:
    """The file of a part in the same folder: known by its hash, or, where that is unknown, by its name."""
    if not part.sha256:
        named = path.with_name((part.url or part.file).rpartition("/")[2])
        return named if named.is_file() else None
    for file in sorted(path.parent.iterdir()):
        if file.is_file() and file.stat().st_size == part.bytes and cache.sha256(file) == part.sha256:
            return file
    return None
