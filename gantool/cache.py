"""Where fetched checkpoints lie, and what their hash was when it was not known before.

Hub files lie in the cache of the ``huggingface_hub`` client, shared with every other program that uses it;
the layout is read here without the client, because importing it takes longer than the look-up. Files from
plain https and gantool's own records lie under ``<HF_HOME>/gantool``. The environment is read at each call.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from gantool import records
from gantool.catalog import Checkpoint
from gantool.errors import WeightsError

_TRUE = {"1", "ON", "YES", "TRUE"}


def hf_home() -> Path:
    """The folder of the environment variable HF_HOME, or the client's default."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return _expanded(os.environ.get("HF_HOME") or str(default))


def hub_cache() -> Path:
    """The folder of HF_HUB_CACHE, or ``hub`` under HF_HOME."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return _expanded(named) if named else hf_home() / "hub"


def own_folder() -> Path:
    """The folder of gantool's own records and https downloads."""
    return hf_home() / "gantool"


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE, which the client honours too) forbids the network."""
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in _TRUE


def hub_folder(row: Checkpoint, cache_dir: Path | None = None) -> Path:
    """The folder of a hub row's repository in the cache."""
    return (cache_dir or hub_cache()) / ("models--" + row.repo.replace("/", "--"))


def hub_file(row: Checkpoint, cache_dir: Path | None = None) -> Path | None:
    """The cached file of a hub row at its revision, or None. Not verified, no network."""
    folder = hub_folder(row, cache_dir)
    commit = row.revision
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        try:
            commit = (folder / "refs" / commit).read_text("utf-8").strip()
        except (OSError, ValueError):
            return None
        if not re.fullmatch(r"[0-9a-f]{40}", commit):
            return None
    path = folder / "snapshots" / commit / row.file
    return path if path.is_file() else None


def https_file(row: Checkpoint) -> Path:
    """Where the file of ``row.url`` is kept, whether it is there or not."""
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", row.url.rsplit("/", 1)[-1])[-80:] or "file"
    return own_folder() / "https" / f"{hashlib.sha256(row.url.encode()).hexdigest()[:16]}-{stem}"


def copy_file(row: Checkpoint) -> Path | None:
    """Where a part of a row's file may be kept, by the hash of the whole; None while that is not known."""
    digest = expected_hash(row)
    return own_folder() / "copies" / f"{digest[:16]}.safetensors" if digest else None


def converted_file(row: Checkpoint, digest: str) -> Path:
    """Where the safetensors copy of a download with that hash is kept, whether it is there or not."""
    part = f"{digest[:16]}-{row.key}" if row.key else digest[:16]
    name = (row.file if row.source == "hub" else row.url).rsplit("/", 1)[-1]
    return own_folder() / "converted" / part / f"{Path(name).stem}.safetensors"


def copies(row: Checkpoint) -> list[Path]:
    """The files that were made from a row's download and are here."""
    digest = expected_hash(row)
    if not digest:
        return []
    found = [own_folder() / "copies" / f"{digest[:16]}.safetensors"]
    found += (own_folder() / "converted").glob(f"{digest[:16]}*/*.safetensors")
    return [path for path in found if path.is_file()]


def builtin_file(row: Checkpoint) -> Path:
    """Where a built-in checkpoint lies in the package."""
    return Path(__file__).parent / "builtin" / row.file


def find(row: Checkpoint, cache_dir: Path | None = None) -> Path | None:
    """The local file of any row, or None. Not verified, no network."""
    if row.source == "builtin":
        path = builtin_file(row)
    elif row.source == "file":
        path = Path(row.file)
    else:
        found = hub_file(row, cache_dir) if row.source == "hub" else None
        if found is not None:
            return found
        path = https_file(row) if row.url else None
    return path if path is not None and path.is_file() else None


def sha256(path: Path) -> str:
    """The SHA-256 of a file as 64 hex digits. Raises WeightsError when it cannot be read."""
    try:
        with path.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(
            f"cannot read the checkpoint: {error.strerror}", path, "Check the rights of the file."
        ) from error


def delete(path: Path, cache_dir: Path | None = None) -> int:
    """Delete a cached file, and the blob behind its link unless another snapshot uses it; bytes freed."""
    target = path.resolve()
    size = target.stat().st_size if target.is_file() else 0
    linked = path.is_symlink()
    path.unlink(missing_ok=True)
    if not linked:
        return size
    # Only a blob of the cache itself, and only its own link: the client may share blobs between repositories
    # through a second link, and removing that one is enough to have the file fetched again.
    cache = (cache_dir or hub_cache()).resolve()
    repo = next((p for p in path.parents if p.parent.resolve() == cache), None)
    if repo is None or any(p.resolve() == target for p in (repo / "snapshots").rglob("*") if p.is_symlink()):
        return 0
    blobs = [p for p in (repo / "blobs").glob("*") if p.resolve() == target]
    for blob in blobs:
        blob.unlink(missing_ok=True)
    return size if blobs and not target.exists() else 0


def lock_file() -> Path:
    """The file of what is remembered: hashes and commits of first downloads, and licences agreed to."""
    return own_folder() / "lock.json"


def expected_hash(row: Checkpoint) -> str:
    """The hash that the row's file must have: pinned, or recorded at its first download, or "" (unknown)."""
    return row.sha256 or str(recorded(row).get("sha256", ""))


def recorded(row: Checkpoint) -> dict[str, Any]:
    """What was recorded at the first download: ``sha256``, ``bytes`` and, from the hub, ``revision``.

    Empty when nothing was. Raises WeightsError when the record is damaged.
    """
    entry = records.read(lock_file()).get("files", {}).get(_record_key(row), {})
    return entry if isinstance(entry, dict) else {}


def record_hash(row: Checkpoint, digest: str, path: Path | None = None) -> bool:
    """Remember the hash of a row that is not pinned, and of its file ``path`` size and commit.

    False when the folder cannot be written.
    """
    entry: dict[str, Any] = {"sha256": digest}
    if path is not None:
        entry["bytes"] = path.stat().st_size
        found = re.search(r"/snapshots/([0-9a-f]{40})/", path.as_posix())
        if row.source == "hub" and found:
            entry["revision"] = found[1]
    return records.change(
        lock_file(), lambda table: table.setdefault("files", {}).update({_record_key(row): entry})
    )


def licence_forbids(row: Checkpoint) -> bool:
    """Whether a row is fetched under a licence that forbids commercial use.

    An unknown licence (of ``hf:owner/repo/file``, say) is the user's own affair.
    """
    return row.source in ("hub", "https") and not row.commercial and row.licence != "unknown"


def licence_accepted(row: Checkpoint) -> bool:
    """Whether the user agreed to the licence of a row, as it reads now, in an earlier run."""
    return records.read(lock_file()).get("licences", {}).get(row.name) == row.licence


def accept_licence(row: Checkpoint) -> bool:
    """Remember that the user agreed; False when the folder cannot be written."""
    return records.change(
        lock_file(), lambda table: table.setdefault("licences", {}).update({row.name: row.licence})
    )


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser()


def _record_key(row: Checkpoint) -> str:
    return f"hub:{row.repo}@{row.revision}/{row.file}" if row.source == "hub" else row.url
