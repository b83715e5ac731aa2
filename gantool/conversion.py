"""A downloaded .pth as safetensors, made once: quicker to read, and no pickle is opened again.

The copy holds the same tensors in the same precision. It lies in gantool's folder of the cache, under the
hash of the file that it was made from; its own hash is recorded and checked at each use, because a cache is a
folder that anything may write to. A copy that is missing, altered or cannot be written is no failure: the
download itself is still there.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from gantool import cache, records
from gantool.catalog import Checkpoint
from gantool.errors import OutputError
from gantool.media.files import atomic
from gantool.tensors import read_state


def stand_in(row: Checkpoint, path: Path, module: str = "") -> Path:
    """The file to read instead of ``path``, the verified download of ``row``: its safetensors copy.

    The copy is made now if there is none yet. ``path`` itself for what was not downloaded, is safetensors
    already, or cannot be copied. ``module`` is that of :func:`gantool.tensors.read_state`. Raises
    WeightsError when the download is not a checkpoint.
    """
    digest = cache.expected_hash(row) if row.source in ("hub", "https") else ""
    if not digest or path.suffix == ".safetensors":
        return path
    copy = cache.converted_file(row, digest)
    name = copy.parent.name
    known = records.read(cache.lock_file()).get("converted", {}).get(name, {})
    if known and copy.is_file() and known == {"source": digest, "sha256": cache.sha256(copy)}:
        return copy
    return copy if _convert(row, path, copy, name, digest, module) else path


def _convert(row: Checkpoint, path: Path, copy: Path, name: str, digest: str, module: str) -> bool:
    """Write the copy and record it; False when one of the two cannot be written."""
    from safetensors.torch import save_file

    state, _ = read_state(path, row.key, module)
    # Cloned, because safetensors refuses tensors that share memory.
    state = {tensor_name: tensor.contiguous().clone() for tensor_name, tensor in state.items()}
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with atomic(copy, overwrite=True) as temporary:
            save_file(state, temporary, {"format": "pt", "source_sha256": digest, "key": row.key})
            entry = {"source": digest, "sha256": cache.sha256(temporary)}
            kept = records.change(
                cache.lock_file(), lambda table: table.setdefault("converted", {}).update({name: entry})
            )
            if not kept:
                raise OSError("the record cannot be written")
    except (OutputError, OSError):
        with contextlib.suppress(OSError):
            copy.parent.rmdir()
        return False
    return True
