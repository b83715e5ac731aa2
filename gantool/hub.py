"""From a catalog row to a verified file on this machine.

The only module through which the package reaches the network. A file is hashed before each use: the hub's
client checks no more than its size, and a cache is a folder that anything may write to.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from gantool import cache, container
from gantool.catalog import Checkpoint
from gantool.download import PROBE_S, STALL_S, NotOffered, Progress, fetch_hub, place, update_accepts
from gantool.errors import UsageError, WeightsError
from gantool.resume import fetch_https

State = Literal["built-in", "cached", "not here"]


def fetch(
    row: Checkpoint,
    *,
    accept_license: bool = False,
    update: bool = False,
    progress: Progress | None = None,
    offline: bool | None = None,
    cache_dir: Path | None = None,
    endpoint: str | None = None,
    timeout: float = PROBE_S,
    stall: float = STALL_S,
) -> Path:
    """The verified file of a row, downloaded if it is not here; an altered copy is fetched again, once.

    ``accept_license`` agrees to a licence that forbids commercial use; that is remembered. ``update`` asks
    for the newest file of a row that the catalog does not pin, and records its hash anew. ``offline`` forbids
    the network (default: HF_HUB_OFFLINE). ``timeout`` bounds the wait for the server's first answer,
    ``stall`` a standstill later on, both in seconds. Raises WeightsError.
    """
    path = cache.find(row, cache_dir)
    right = path is not None and _is_right(row, path)
    update = update and not row.sha256 and row.source in ("hub", "https")
    if path is not None and right and not update:
        return path
    if row.source in ("builtin", "file"):
        raise _bad_local(row, path)
    check_licence(row, accept_license)
    if offline or (offline is None and cache.is_offline()):
        raise _offline(row, path)
    force = path is not None and not right
    expected = "" if update else cache.expected_hash(row)
    for last in (False, True):
        path = _download(row, expected, force, progress, cache_dir, endpoint, timeout, stall)
        digest = cache.sha256(path)
        if not expected:
            _trust_first(row, path, digest, cache_dir)
        if digest == (expected or digest):
            return path
        cache.delete(path, cache_dir)
        if last:
            raise _another_file(row, digest, expected)
        force = True
    raise AssertionError("unreachable")


pull = fetch
"""What ``gantool models pull`` does."""


def cached(row: Checkpoint, *, cache_dir: Path | None = None) -> Path | None:
    """The local file of a row, or None. Cheap: no network, no check of the bytes."""
    return cache.find(row, cache_dir)


def verified(row: Checkpoint) -> Path | None:
    """The local file of a row if its bytes are right, or None. No network."""
    path = cache.find(row)
    return path if path is not None and _is_right(row, path) else None


def check_licence(row: Checkpoint, accept: bool = False) -> None:
    """Raise WeightsError for a row whose licence forbids commercial use, unless the user agreed to it.

    ``accept``: the user agrees now, and need not say so again.
    """
    if not cache.licence_forbids(row):
        return
    if accept:
        cache.accept_licence(row)
    elif not cache.licence_accepted(row):
        remedy = f"`gantool models pull {row.name} --accept-license` agrees to that, once."
        raise WeightsError(f"{row.name} is not for commercial use (licence: {row.licence})", None, remedy)


def state(row: Checkpoint) -> State:
    """Where a row's file is, in a word. Not verified."""
    if cache.find(row) is None:
        return "not here"
    return "built-in" if row.source == "builtin" else "cached"


def verify(row: Checkpoint, *, cache_dir: Path | None = None) -> Path:
    """Hash the local file of a row and return its path. No network.

    Raises WeightsError when it is not here or not what it must be; the file is left as it is.
    """
    path = cache.find(row, cache_dir)
    if path is None:
        raise WeightsError(
            "this checkpoint is not here", row.name, f"`gantool models pull {row.name}` gets it."
        )
    if not _is_right(row, path):
        raise _bad_local(row, path)
    return path


def remove(row: Checkpoint, *, cache_dir: Path | None = None) -> int:
    """Delete a fetched checkpoint; the bytes freed (0 when it was not here).

    What is recorded of it stays: a later download must still be the same file.
    Raises UsageError for a built-in one, WeightsError when the cache cannot be changed.
    """
    if row.source in ("builtin", "file"):
        raise UsageError(f"{row.name} is part of gantool and stays", remedy="Remove fetched models only.")
    freed = 0
    try:
        while (path := cache.find(row, cache_dir)) is not None:
            freed += cache.delete(path, cache_dir)
        for copy in cache.copies(row):
            freed += cache.delete(copy, cache_dir)
        if row.url:
            for suffix in (".part", ".part.etag", ".lock"):
                path = cache.https_file(row)
                path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        what = f"cannot remove the checkpoint: {error.strerror}"
        raise WeightsError(what, path, "Check the rights of the cache folder.") from error
    return freed


def describe_size(size: int) -> str:
    """Bytes for a person: 4885111 -> "4.9 MB"; 0 -> "?"."""
    if size <= 0:
        return "?"
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.1f} {unit}"


def _download(
    row: Checkpoint,
    expected: str,
    force: bool,
    progress: Progress | None,
    cache_dir: Path | None,
    endpoint: str | None,
    timeout: float,
    stall: float,
) -> Path:
    def plain() -> Path:
        target = cache.https_file(row)
        target.unlink(missing_ok=True)
        return fetch_https(row, target, expected=expected, progress=progress, timeout=timeout, stall=stall)

    if row.source == "https":
        return plain()
    try:
        return fetch_hub(
            row,
            expected=expected,
            force=force,
            progress=progress,
            cache_dir=cache_dir,
            endpoint=endpoint,
            timeout=timeout,
            stall=stall,
        )
    except NotOffered:
        # The same bytes from their authors: only the pinned hash makes that the same model.
        if not (row.url and row.sha256):
            raise
        return plain()


def _trust_first(row: Checkpoint, path: Path, digest: str, cache_dir: Path | None) -> None:
    """Record the hash of a file whose hash nobody pinned; the hub's own word for it must agree."""
    try:
        container.head_of(path)
    except WeightsError as error:  # recorded, it would be refused to change
        cache.delete(path, cache_dir)
        raise WeightsError(error.what, place(row), "It was thrown away; tell its owner.") from error
    claimed = path.resolve().name
    if row.source == "hub" and re.fullmatch(r"[0-9a-f]{64}", claimed) and claimed != digest:
        cache.delete(path, cache_dir)
        what = f"the download is not the file that the hub names: sha256 {digest}, expected {claimed}"
        raise WeightsError(what, place(row), "It was thrown away. Try again later.")
    cache.record_hash(row, digest, path)


def _another_file(row: Checkpoint, digest: str, expected: str) -> WeightsError:
    named, remedy = "the catalog names", "Try again later, or update gantool."
    if not row.sha256:
        named, remedy = "was downloaded first", update_accepts(row)
    what = f"the download is not the file that {named}: sha256 {digest}, expected {expected}"
    return WeightsError(what, place(row), f"It was thrown away. {remedy}")


def _is_right(row: Checkpoint, path: Path) -> bool:
    """Whether the bytes are those of the row; a hash that is not known yet is recorded now."""
    if row.source == "file":
        return True
    expected, digest = cache.expected_hash(row), cache.sha256(path)
    if not expected:
        if row.source == "builtin":
            return False
        claimed = path.resolve().name
        if row.source == "hub" and re.fullmatch(r"[0-9a-f]{64}", claimed) and claimed != digest:
            return False
        cache.record_hash(row, digest, path)
        return True
    return digest == expected


def _bad_local(row: Checkpoint, path: Path | None) -> WeightsError:
    if row.source == "builtin":
        what = (
            "a built-in checkpoint is missing" if path is None else "a built-in checkpoint has been altered"
        )
        return WeightsError(what, path or row.file, "Reinstall gantool.")
    if path is None:
        return WeightsError("there is no such checkpoint file", row.file, "Check the path given to --model.")
    size = path.stat().st_size
    wanted = row.bytes if row.sha256 else cache.recorded(row).get("bytes", 0)
    what = (
        f"the checkpoint has been altered: sha256 {cache.sha256(path)}, expected {cache.expected_hash(row)}"
    )
    if wanted and size != wanted:
        what = f"the checkpoint has been altered: {size:,} bytes, expected {wanted:,}"
    return WeightsError(what, path, f"`gantool models pull {row.name}` fetches it again.")


def _offline(row: Checkpoint, path: Path | None) -> WeightsError:
    remedy = f"Unset HF_HUB_OFFLINE, or run `gantool models pull {row.name}` where there is a network."
    if path is not None:
        return WeightsError(
            "the cached checkpoint has been altered and the network is switched off", path, remedy
        )
    return WeightsError("this checkpoint is not here and the network is switched off", place(row), remedy)
