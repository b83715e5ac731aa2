"""The catalog of checkpoints: ``weights.toml`` as frozen rows, and the row inside a trained file.

Standard library only, so that listing models stays quick. One TOML table is one checkpoint; unknown fields
and malformed values are refused here, so that the rest of the package may trust a row: file names cannot
leave their folder, an architecture is always ``file.Class`` under ``gantool.models``.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from gantool.errors import GantoolError, UsageError, WeightsError

Source = Literal["hub", "https", "builtin", "file"]

TASKS = ("colorize", "frontalize", "translate", "upscale", "style", "percept", "face", "flow")
# The tasks that have a command of that name.
COMMANDS = ("colorize", "frontalize", "translate", "upscale", "style")

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,79}")
_ARCH = re.compile(r"[a-z0-9_]+\.[A-Za-z0-9_]+")
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(r"(https://[A-Za-z0-9.-]+|http://(127\.0\.0\.1|localhost))(:\d+)?/[A-Za-z0-9._~/%+-]+")
_KEY = re.compile(r"[A-Za-z0-9_.]*")

# The architecture is built from these before its shapes are compared, so an untrusted file must not be able
# to ask for a net of a billion layers.
_LARGEST_ARG = 10_000
_LARGEST_HEADER = 100 * 2**20


@dataclass(frozen=True)
class Checkpoint:
    """One set of weights and all that is needed to fetch, judge and run it.

    ``arch``: ``file.Class`` under ``gantool.models``, empty when only the file can tell (ONNX, or a net that
    spandrel knows).
    ``args``: keyword arguments of that class. ``key``: state-dict key to unwrap, empty for none.
    ``source``: ``hub`` (repo, file, revision), ``https`` (url), ``builtin`` (file in the package) or
    ``file`` (file on disk). A hub row may have a ``url`` too: another place for the same bytes.
    ``sha256``: 64 hex digits, or empty when not known yet. ``bytes``: size of the file, 0 when not known.
    ``scale``: output side / input side. ``multiple``: sides the net wants to be a multiple of, in px.
    ``radius``: receptive field in input px (exact tile overlap), None when the net sees the whole picture.
    ``dtypes``: what is cleared beside fp32, of "bf16" and "fp16". ``value_range``: 1.0 or 255.0.
    ``signed``: the net takes and gives [-1,1] instead of [0, value_range].
    ``color``: order of the input channels; "gray" is luma. ``needs``: other rows that must be present.
    ``whole``: the net's norms measure the picture that it is shown (instance norm and the like), so a tile
    comes out otherwise than the same place of the whole picture: no tiles below a size limit.
    ``keeps_gray``: a grey picture stays grey (translate: restoration and the like).
    ``recommended``: device classes, of "cpu" and "gpu", for which ``--model auto`` prefers this row.
    ``made``: the command that made a built-in checkpoint.
    """

    name: str
    task: str
    arch: str = ""
    args: Mapping[str, Any] = field(default_factory=dict, hash=False)
    source: Source = "file"
    repo: str = ""
    file: str = ""
    revision: str = ""
    url: str = ""
    sha256: str = ""
    bytes: int = 0
    licence: str = "unknown"
    commercial: bool = False
    origin: str = ""
    paper: str = ""
    scale: int = 1
    multiple: int = 1
    radius: int | None = None
    dtypes: tuple[str, ...] = ()
    value_range: float = 1.0
    signed: bool = False
    color: str = "rgb"
    whole: bool = False
    keeps_gray: bool = False
    key: str = ""
    needs: tuple[str, ...] = ()
    recommended: tuple[str, ...] = ()
    summary: str = ""
    made: str = ""

    def to_json(self) -> str:
        """The row as it is stored in a safetensors file (metadata key ``gantool``)."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, file: str = "") -> Checkpoint:
        """The row of a trained file; ``file`` is that file, which becomes the row's only source.

        Nothing in the text is trusted: it may not point anywhere else, and every field is checked.
        Fields that this version does not know are ignored. Raises WeightsError when it makes no sense.
        """
        try:
            known = {f.name for f in fields(cls)}
            values = {k: v for k, v in json.loads(text).items() if k in known}
            values |= {"source": "file", "repo": "", "revision": "", "url": "", "file": file, "sha256": ""}
            row = cls(**_tuples(values))
            _check(row)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            remedy = "Train or convert the model again, or use another file."
            raise WeightsError(f"the model row inside the file is damaged: {error}", file, remedy) from error
        return row


@dataclass(frozen=True)
class Catalog:
    """All rows of one ``weights.toml``, in the order of the file."""

    rows: tuple[Checkpoint, ...]

    def get(self, name: str, task: str | None = None) -> Checkpoint:
        """The row of that name. Raises UsageError with the nearest names (of one task) when there is none."""
        for row in self.rows:
            if row.name == name:
                return row
        names = [row.name for row in self.rows if task in (None, row.task)]
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        remedy = "`gantool models` lists them all."
        if near:
            remedy = f"Did you mean {' or '.join(near)}? {remedy}"
        raise UsageError(f"unknown model '{name}'", remedy=remedy)

    def for_task(self, task: str) -> tuple[Checkpoint, ...]:
        """The rows of one task."""
        return tuple(row for row in self.rows if row.task == task)

    def builtin(self, task: str, scale: float | None = None) -> Checkpoint:
        """The checkpoint in the package for that task, nearest to ``scale`` from above.

        Raises UsageError when the task has none.
        """
        row = _fit([row for row in self.for_task(task) if row.source == "builtin"], scale)
        if row is None:
            remedy = "Name one with --model: a file, hf:owner/repo/file, or a name of `gantool models`."
            raise UsageError(f"{task} has no built-in model", remedy=remedy)
        return row

    def recommended(self, task: str, device_class: str, scale: float | None = None) -> Checkpoint | None:
        """The checkpoint that ``auto`` prefers on "cpu" or "gpu" when it is here, or None."""
        return _fit([row for row in self.for_task(task) if device_class in row.recommended], scale)


def load_catalog(path: str | Path | None = None) -> Catalog:
    """Read ``weights.toml`` (or the file given) and check every row.

    Raises GantoolError (a bug, not a user's mistake) when the catalog is missing or malformed.
    """
    path = _catalog_path() if path is None else Path(path)
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
        rows = tuple(_row(name, table) for name, table in tables.items())
    except (OSError, ValueError, TypeError) as error:
        raise GantoolError(f"the model catalog is unusable: {error}", path, "Reinstall gantool.") from error
    return Catalog(rows)


def embedded_row(path: str | Path) -> Checkpoint | None:
    """The row that a file trained by gantool carries, or None when it carries none.

    Reads only the header of a safetensors file. Raises WeightsError when there is a row but a damaged one.
    """
    path = Path(path)
    try:
        with path.open("rb") as f:
            length = int.from_bytes(f.read(8), "little")
            if not 2 <= length <= min(_LARGEST_HEADER, path.stat().st_size - 8):
                return None
            metadata = json.loads(f.read(length)).get("__metadata__", {})
            text = metadata.get("gantool")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return None if text is None else Checkpoint.from_json(str(text), file=str(path))


def _catalog_path() -> Path:
    """In a wheel the catalog lies in the package, in a checkout at the root of the repository."""
    packaged = Path(__file__).with_name("weights.toml")
    return packaged if packaged.is_file() else Path(__file__).parent.parent / "weights.toml"


def _row(name: str, table: Any) -> Checkpoint:
    if not isinstance(table, dict):
        raise ValueError(f"{name}: not a table")
    unknown = set(table) - {f.name for f in fields(Checkpoint)}
    if unknown:
        raise ValueError(f"{name}: unknown field {', '.join(sorted(unknown))}")
    row = Checkpoint(**_tuples({"name": name, **table}))
    _check(row)
    # An ONNX file brings its own architecture, and an upscaler's may be known to spandrel alone: there
    # nothing but the hash says what the file is.
    alone = bool(row.sha256) and (row.file.endswith(".onnx") or row.task == "upscale")
    if row.source == "file" or not (row.arch or alone):
        raise ValueError(f"{name}: a catalog row needs arch and a source (hub, https or builtin)")
    return row


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {
        k: tuple(v) if k in ("dtypes", "needs", "recommended") and isinstance(v, list) else v
        for k, v in values.items()
    }


def _fit(rows: list[Checkpoint], scale: float | None) -> Checkpoint | None:
    """The smallest native scale that reaches ``scale``, else the largest: shrinking loses less."""
    if not rows:
        return None
    enough = [row for row in rows if scale is not None and row.scale >= scale]
    return min(enough, key=lambda row: row.scale) if enough else max(rows, key=lambda row: row.scale)


def _check(row: Checkpoint) -> None:
    """Raise ValueError unless every field is of the right kind and harmless."""
    for f in fields(Checkpoint):
        _check_type(row.name, f.name, getattr(row, f.name))
    place = row.source in ("hub", "builtin")
    wrong = {
        "name": not (_NAME.fullmatch(row.name) or (row.source == "file" and _printable(row.name))),
        "task": row.task not in TASKS,
        "arch": bool(row.arch) and not _ARCH.fullmatch(row.arch),
        "source": row.source not in ("hub", "https", "builtin", "file"),
        "repo": row.source == "hub" and not _REPO.fullmatch(row.repo),
        "file": place and (not _FILE.fullmatch(row.file) or ".." in row.file),
        "revision": row.source == "hub" and not _REVISION.fullmatch(row.revision),
        "url": bool(row.url or row.source == "https") and not _URL.fullmatch(row.url),
        "sha256": bool(row.sha256) and not _SHA256.fullmatch(row.sha256),
        "bytes": row.bytes < 0,
        "scale": not 1 <= row.scale <= 64,
        "multiple": not 1 <= row.multiple <= 1024,
        "radius": row.radius is not None and not 0 <= row.radius <= _LARGEST_ARG,
        "dtypes": not set(row.dtypes) <= {"bf16", "fp16"},
        "recommended": not set(row.recommended) <= {"cpu", "gpu"},
        "value_range": row.value_range not in (1.0, 255.0),
        "signed": row.signed and row.value_range != 1.0,
        "whole": row.whole and row.radius is not None,
        "color": row.color not in ("rgb", "bgr", "lab", "gray"),
        "key": not _KEY.fullmatch(row.key),
        "args": not all(isinstance(k, str) and _harmless(v) for k, v in row.args.items()),
    }
    bad = [name for name, is_wrong in wrong.items() if is_wrong]
    if bad:
        raise ValueError(f"{row.name}: bad {', '.join(bad)}")


def _check_type(row: str, name: str, value: Any) -> None:
    if name == "args":
        right = isinstance(value, Mapping)
    elif name in ("bytes", "scale", "multiple"):
        right = isinstance(value, int) and not isinstance(value, bool)
    elif name == "radius":
        right = value is None or (isinstance(value, int) and not isinstance(value, bool))
    elif name == "value_range":
        right = isinstance(value, (int, float))
    elif name in ("commercial", "signed", "whole", "keeps_gray"):
        right = isinstance(value, bool)
    elif name in ("dtypes", "needs", "recommended"):
        right = isinstance(value, tuple) and all(isinstance(v, str) for v in value)
    else:
        right = isinstance(value, str)
    if not right:
        raise ValueError(f"{row}: {name} is of the wrong type")


def _printable(name: str) -> bool:
    """A trained file names itself as it likes, but not with escape codes for somebody's terminal."""
    return 0 < len(name) <= 200 and name.isprintable()


def _harmless(value: Any) -> bool:
    """Whether an architecture argument is a small number, a short string, or a short list of such."""
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, (int, float)):
        return abs(value) <= _LARGEST_ARG
    if isinstance(value, str):
        return len(value) <= 200
    return isinstance(value, (list, tuple)) and len(value) <= 100 and all(_harmless(v) for v in value)
