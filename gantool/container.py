"""What a checkpoint file is by its first bytes; the suffix may lie."""

from __future__ import annotations

from pathlib import Path

from gantool.errors import WeightsError

AGAIN = "Download it again."
OTHER_FILE = "Use a file that holds only a state dict, .safetensors or .pth."


def head_of(path: Path) -> bytes:
    """The first 512 bytes of a file that may be a checkpoint.

    Raises WeightsError for what servers give in the place of one: nothing, a web page, a Git LFS pointer.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        what = f"cannot read the checkpoint: {error.strerror}"
        raise WeightsError(what, path, "Check the path given to --model.") from error
    if not head:
        raise WeightsError("the checkpoint is empty", path, AGAIN)
    if head.startswith(b"version https://git-lfs"):
        remedy = "Fetch it with `git lfs pull`, or download the file itself."
        raise WeightsError("this is a Git LFS pointer, not the checkpoint it stands for", path, remedy)
    if head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise WeightsError("this is a web page, not a checkpoint", path, AGAIN)
    return head


def kind_of(path: Path) -> str:
    """ "safetensors", "zip", "arrays" (NumPy's .npz) or "pickle". Raises WeightsError for anything else."""
    head = head_of(path)
    if head.startswith(b"PK\x03\x04"):
        name = head[30 : 30 + int.from_bytes(head[26:28], "little")]  # of the first file inside
        return "arrays" if name.endswith(b".npy") else "zip"
    if head[8:9] == b"{" or path.suffix == ".safetensors":
        return "safetensors"
    if head[:1] == b"\x80":
        return "pickle"
    raise WeightsError("this is not a checkpoint", path, OTHER_FILE)
