"""The folder of an unfinished film, ``.NAME.gantool`` beside the output: what survives when a run does not.

It holds ``job.json``, what the film is made of and with which options; for every finished segment its picture
(``seg_000012.mp4``), a record with its checksum (``seg_000012.json``) and, of the latest ones, the state of
the work at its end (``seg_000012.npz``). Everything is written under another name, brought to the disk and
renamed, the record last: a segment with a record is whole, whatever happened. One record per segment, rather
than one journal, lets several machines share the folder. Nothing here depends on clocks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantool import locking
from gantool.errors import OutputError, UsageError
from gantool.media import files

if TYPE_CHECKING:
    import numpy as np

    State = dict[str, np.ndarray]

_SUFFIX = ".gantool"
_NAME_BYTES_MAX = 255
_JOB, _DONE, _LOCK = "job.json", "done.json", "lock"
_OURS = re.compile(r"(seg_\d{6,}\.\w+(\.\w+)?|job\.json|\.gantool-[0-9a-f]{8}(\.\w+)?)")


@dataclass(frozen=True)
class Segment:
    """A finished segment.

    ``number``: its place on the grid; ``pts``: of its frames, in the source's time base; ``duration`` of the
    last one, 0 where the source does not say. ``first``: the film begins with it. ``following``: number of
    the segment with the next frame, None at the end of the film. ``tail``: (pts, checksum) of the last frames
    of the source up to here, by which a reader knows that it goes on at the right place.
    """

    number: int
    file: str
    bytes: int
    sha256: str
    pts: tuple[int, ...]
    duration: int
    first: bool
    following: int | None
    tail: tuple[tuple[int, int], ...]


def folder_for(target: Path) -> Path:
    """The folder of the unfinished film ``target``; of a symbolic link, beside the file that it leads to."""
    final = Path(os.path.realpath(target))
    name = f".{final.name}{_SUFFIX}"
    if len(os.fsencode(name)) > _NAME_BYTES_MAX:
        name = f".{hashlib.sha256(os.fsencode(final.name)).hexdigest()[:16]}{_SUFFIX}"
    return final.with_name(name)


def target_of(folder: Path) -> Path:
    """The film that a folder belongs to."""
    name = folder.name.removeprefix(".").removesuffix(_SUFFIX)
    with contextlib.suppress(OSError, ValueError, KeyError):
        name = json.loads((folder / _JOB).read_text(encoding="utf-8"))["output"]
    return folder.with_name(name)


class WorkFolder:
    """The folder of the film ``target``. Its errors name the target.

    A context manager: locks that were taken are let go at its end.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = folder_for(target)
        self._locks: list[int] = []
        self._claims: dict[int, int] = {}

    def __enter__(self) -> WorkFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    # ---- the job

    def exists(self) -> bool:
        """Whether there is an unfinished film."""
        return self.path.is_dir()

    def job(self) -> dict[str, Any] | None:
        """What was begun, as handed to :meth:`begin`; None for nothing. Raises OutputError."""
        try:
            begun = json.loads((self.path / _JOB).read_text(encoding="utf-8"))
            if "facts" not in begun:
                raise ValueError("no facts")
            return begun
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            what = f"what was begun cannot be read ({error})"
            raise OutputError(what, self.path, "Remove the folder, and run the command again") from error

    def begin(self, job: Mapping[str, Any], *, shared: bool = False) -> None:
        """Make the folder, or take it over as it is, and keep others out (``shared``: but not each other).

        Raises OutputError when another process has it, or it cannot be made; UsageError when it was begun
        with another input or other options: all that stands under ``facts`` must be the same.
        """
        with self._told():
            self.path.mkdir(exist_ok=True)
        self.lock(shared=shared)
        text = json.dumps(job, indent=1)
        if self.job() is None:
            try:
                with files.atomic(self.path / _JOB, overwrite=False) as temporary:
                    temporary.write_text(text, encoding="utf-8")
            except OutputError:
                if self.job() is None:  # else another one, of several that begin at once, was first
                    raise
        begun = self.job() or {"facts": {}}
        differences = list(_differences(begun["facts"], json.loads(text)["facts"]))
        if differences:
            remedy = f"Give the same as before, or remove {self.path} to begin anew"
            raise UsageError(f"the film was begun otherwise: {'; '.join(differences)}", self.target, remedy)

    def lock(self, *, shared: bool = False) -> None:
        """Keep others out until :meth:`release`; ``shared``: let in those who share, too.

        Raises OutputError when another process has it.
        """
        while True:
            descriptor = self._locked(_LOCK, shared)
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(descriptor), (self.path / _LOCK).stat()):
                    self._locks.append(descriptor)
                    return
            os.close(descriptor)  # the folder was removed and made anew in between
            with self._told():
                self.path.stat()

    def claim(self, number: int) -> None:
        """Keep those who share the folder from making this segment too, until :meth:`commit`.

        Raises OutputError when another process is making it, or has made it by now.
        """
        if number not in self._claims:
            self._claims[number] = self._locked(f"seg_{number:06}.lock", shared=False)
            made = _read(self.path / f"seg_{number:06}.json")
            if made is not None and self._is_whole(made):
                raise self._busy()

    def release(self) -> None:
        """Let go of all locks."""
        for descriptor in [*self._locks, *self._claims.values()]:
            os.close(descriptor)
        self._locks.clear()
        self._claims.clear()

    def _locked(self, name: str, shared: bool) -> int:
        with self._told():
            descriptor = os.open(self.path / name, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            locking.take(descriptor, shared=shared)
        except BlockingIOError:
            os.close(descriptor)
            raise self._busy() from None
        return descriptor

    # ---- segments

    def segments(self, verify: bool = True) -> dict[int, Segment]:
        """The whole segments by number; without ``verify``, what their records claim."""
        found = {}
        for path in sorted(self.path.glob("seg_*[0-9].json")):
            segment = _read(path)
            if segment is not None and (not verify or self._is_whole(segment)):
                found[segment.number] = segment
        return found

    def _is_whole(self, segment: Segment) -> bool:
        path = self.path / segment.file
        try:
            return path.stat().st_size == segment.bytes and files.sha256(path) == segment.sha256
        except OSError:
            return False

    def temporary(self, number: int, suffix: str) -> Path:
        """Where to write a segment until :meth:`commit`."""
        return self.path / f"seg_{number:06}.new{suffix}"

    def commit(self, temporary: Path, states: Sequence[State] | None, **facts: Any) -> Segment:
        """Keep a finished segment. ``states``: of each step after it. ``facts``: see :class:`Segment`.

        Raises OutputError.
        """
        with self._told():
            name = f"seg_{facts['number']:06}"
            final = self.path / f"{name}{temporary.suffix}"
            files.settle(temporary, final)
            if states is not None:
                self._keep_states(self.path / f"{name}.npz", states)
            size, checksum = final.stat().st_size, files.sha256(final)
            segment = Segment(file=final.name, bytes=size, sha256=checksum, **facts)
            record = self.path / f"{name}.new.json"
            record.write_text(json.dumps(asdict(segment)), encoding="utf-8")
            files.settle(record, self.path / f"{name}.json")
        if segment.number in self._claims:
            os.close(self._claims.pop(segment.number))
        return segment

    def _keep_states(self, path: Path, states: Sequence[State]) -> None:
        import numpy as np

        temporary = path.with_suffix(".new.npz")
        arrays: dict[str, Any] = {"steps": np.asarray(len(states))}
        for step, state in enumerate(states):
            arrays |= {f"{step}.{name}": array for name, array in state.items()}
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
        files.settle(temporary, path)

    def states(self, number: int) -> list[State] | None:
        """The states after a segment, one for each step; None where they are not there, or damaged."""
        import numpy as np

        try:
            with np.load(self.path / f"seg_{number:06}.npz", allow_pickle=False) as arrays:
                result: list[State] = [{} for _ in range(int(arrays["steps"]))]
                for key in arrays.files:
                    step, _, name = key.partition(".")
                    if name:
                        result[int(step)][name] = arrays[key]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return result

    def drop(self, number: int) -> None:
        """Forget a segment, which will be made again."""
        for name in (f"seg_{number:06}.json", f"seg_{number:06}.npz"):
            with contextlib.suppress(OSError):
                (self.path / name).unlink()

    def forget_states(self, number: int) -> None:
        """Remove the states after a segment, which can be large."""
        with contextlib.suppress(OSError):
            (self.path / f"seg_{number:06}.npz").unlink()

    # ---- the end

    def mark_done(self, joined: Path) -> None:
        """Note that ``joined`` is about to become the target. Raises OutputError."""
        with self._told():
            status = joined.stat()
            note = self.path / f"{_DONE}.new"
            note.write_text(json.dumps([status.st_size, status.st_mtime_ns]), encoding="utf-8")
            files.settle(note, self.path / _DONE)

    def is_done(self) -> bool:
        """Whether the target is the joined film, and only the folder is left over."""
        try:
            status = self.target.stat()
            return json.loads((self.path / _DONE).read_text()) == [status.st_size, status.st_mtime_ns]
        except (OSError, ValueError):
            return False

    def keep_if_begun(self) -> bool:
        """Whether a segment is finished. If not, the folder is removed, unless somebody else works in it."""
        if self.segments(verify=False):
            return True
        if self._locks and all(locking.alone(descriptor) for descriptor in self._locks):
            self.remove()
        return False

    def remove(self) -> None:
        """Remove the folder; what is not gantool's own stays, and the folder with it."""
        with contextlib.suppress(OSError):
            for path in [*self.path.iterdir()]:
                if _OURS.fullmatch(path.name):
                    path.unlink()
        for name in (_LOCK, f"{_DONE}.new", _DONE):  # the note last: without it, work would seem to be left
            with contextlib.suppress(OSError):
                (self.path / name).unlink()
        with contextlib.suppress(OSError):
            self.path.rmdir()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the system as those of the output."""
        try:
            yield
        except FileNotFoundError as error:
            if self.path.parent.is_dir():
                what = "the folder of the unfinished film was removed"
                raise OutputError(what, self.target, "Run the command again") from error
            raise files.output_error(error, self.target) from error
        except OSError as error:
            raise files.output_error(error, self.target) from error

    def _busy(self) -> OutputError:
        what, remedy = "another gantool is at work on this output", "Wait for it, or choose another -o"
        return OutputError(what, self.target, remedy)


def _read(path: Path) -> Segment | None:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        facts["pts"], facts["tail"] = tuple(facts["pts"]), tuple((a, b) for a, b in facts["tail"])
        return Segment(**facts)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What is not the same, in words; the names of facts are what users know them by."""
    for name in [*before, *(name for name in now if name not in before)]:
        old, new = before.get(name), now.get(name)
        if old != new:
            shown = [("not given" if value in (None, "") else str(value)) for value in (old, new)]
            yield f"{name} was {shown[0]}, now {shown[1]}"
