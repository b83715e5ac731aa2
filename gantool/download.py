"""Bytes from the hub into the cache, with the waits bounded and the answers checked.

The ``huggingface_hub`` client moves the bytes; this module stands around it, because on its own the client
takes 23 s to notice a hub that is down, minutes for one that hangs, accepts wrong bytes of the right length,
and uses the server's ETag as a file name. Every failure becomes one WeightsError.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from gantool.cache import hub_cache, hub_folder
from gantool.catalog import Checkpoint
from gantool.errors import GantoolError, WeightsError

PROBE_S = 10.0
"""How long the server may take for its first answer, in seconds."""
STALL_S = 60.0
"""How long a download may stand still, in seconds."""

_CHUNK = 2**20
_ETAG = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DAY_S = 86_400


class Progress(Protocol):
    """What a download reports to; a progress bar of the console fits."""

    def total(self, n: int, /) -> None:
        """The size of the whole in bytes."""

    def advance(self, n: int = 1, /) -> None:
        """So many more bytes are here (fewer when negative: a resumed part was of no use)."""


class NotOffered(WeightsError):
    """The server answered, and does not have or does not give the file that the row describes."""


class _Gone(Exception):
    """Ends the client's work from inside: nobody waits for it any more, or the hub stopped answering."""


def fetch_hub(
    row: Checkpoint,
    *,
    expected: str = "",
    force: bool = False,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
    endpoint: str | None = None,
    timeout: float = PROBE_S,
    stall: float = STALL_S,
) -> Path:
    """Fetch a hub row into the client's cache and return its path there. The hash is the caller's to check.

    ``expected`` is the SHA-256 that the hub must announce, if it announces one ("": any). ``force`` fetches a
    file that is there already. ``endpoint`` is the hub's address (default HF_ENDPOINT).
    Raises NotOffered when the hub has no such file, WeightsError for everything else.
    """
    try:
        import huggingface_hub as hub
        from huggingface_hub import constants
        from huggingface_hub.utils import logging
    except ImportError as error:  # pragma: no cover - it is a dependency
        raise WeightsError("huggingface_hub is not installed", remedy="Reinstall gantool.") from error
    if not any(os.environ.get(name) for name in ("HF_HUB_VERBOSITY", "HF_DEBUG")):
        logging.set_verbosity_error()
    # The client reports, and resumes after a cut, in whole chunks; its own 10 MiB are more than most of our
    # files.
    constants.DOWNLOAD_CHUNK_SIZE = _CHUNK
    endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    watch = _Watch(row, expected)
    _sweep(row, cache_dir)

    def work() -> str:
        with _guarded(hub.get_session(), watch):
            return hub.hf_hub_download(
                row.repo,
                row.file,
                revision=row.revision,
                cache_dir=str(cache_dir or hub_cache()),
                force_download=force,
                etag_timeout=timeout,
                endpoint=endpoint,
                library_name="gantool",
                tqdm_class=_bar_class(watch, progress),  # type: ignore[arg-type]
            )

    try:
        return Path(_bounded(work, watch, hub_folder(row, cache_dir) / "blobs", timeout, stall))
    except GantoolError:  # ours already, or the user's Ctrl-C
        raise
    except Exception as error:
        raise _explained(error, row, endpoint, timeout) from error


_HOOKING = threading.Lock()
_HERE = threading.local()  # .watch: that of the download which a thread makes


class _Watch:
    """What the waiting thread and the client's thread know of each other."""

    def __init__(self, row: Checkpoint, expected: str) -> None:
        self.row = row
        self.expected = expected
        self.beats = 0
        self.answered = False
        self.waiting = False
        self.etag = ""
        self.writes = False
        self.cancelled = False

    def beat(self) -> None:
        """The download moved; or, when nobody waits for it any more, end it."""
        if self.cancelled:
            raise _Gone("cancelled")
        self.beats += 1

    def on_request(self, request: Any) -> None:
        """Refuse the client's second try after a question without answer: that one would take minutes."""
        if request.method != "HEAD":
            return
        if self.cancelled or self.waiting:
            raise _Gone("no answer")
        self.waiting = True

    def on_response(self, response: Any) -> None:
        """Check what the client would believe: commit and ETag become names of files."""
        if response.request.method != "HEAD":
            return
        self.waiting = False
        self.answered = True
        self.beat()
        if response.status_code == 429 or response.status_code >= 500:
            raise _Gone(f"HTTP {response.status_code}")
        headers = response.headers
        commit = headers.get("X-Repo-Commit")
        etag = headers.get("X-Linked-Etag") or headers.get("ETag")
        if commit is None or etag is None:
            return
        etag = etag.removeprefix("W/").strip('"')
        if not _COMMIT.fullmatch(commit) or not _ETAG.fullmatch(etag):
            remedy = "Check HF_ENDPOINT: this is no honest hub."
            raise WeightsError("the hub's answer is malformed", place(self.row), remedy)
        self.etag = etag
        if _COMMIT.fullmatch(self.row.revision) and commit != self.row.revision:
            raise NotOffered("the hub answers for another revision than asked", place(self.row))
        if self.expected and len(etag) == 64 and etag != self.expected:
            pinned = self.row.sha256
            named = "the catalog names" if pinned else "it did at the first download"
            remedy = "Update gantool." if pinned else update_accepts(self.row)
            what = f"the hub offers another file than {named}: sha256 {etag}, expected {self.expected}"
            raise NotOffered(what, place(self.row), f"Nothing was downloaded. {remedy}")


def update_accepts(row: Checkpoint) -> str:
    """How a file that changed where it comes from is taken in spite of that."""
    return f"`gantool models pull {row.name} --update` accepts it."


def place(row: Checkpoint) -> str:
    """How a message names where a row's file comes from."""
    if row.source == "hub":
        return f"{row.repo}/{row.file}"
    return row.url or row.file


@contextlib.contextmanager
def _guarded(session: Any, watch: _Watch) -> Iterator[None]:
    """Let the watch see every question and answer of the client in this thread while the block runs.

    The session is everybody's, and a download that was given up may end long after the next one has begun: so
    the hooks stay, and ask each thread for its watch.
    """
    with _HOOKING:
        hooks = {kind: list(some) for kind, some in session.event_hooks.items()}
        for kind, hook in (("request", _on_request), ("response", _on_response)):
            if hook not in hooks.setdefault(kind, []):
                hooks[kind].append(hook)
                session.event_hooks = hooks
    _HERE.watch = watch
    try:
        yield
    finally:
        del _HERE.watch


def _on_request(request: Any) -> None:
    watch: _Watch | None = getattr(_HERE, "watch", None)
    if watch is not None:
        watch.on_request(request)


def _on_response(response: Any) -> None:
    watch: _Watch | None = getattr(_HERE, "watch", None)
    if watch is not None:
        watch.on_response(response)


def _bar_class(watch: _Watch, progress: Progress | None) -> type:
    """A class that stands where the client expects tqdm."""

    class Bar:
        def __init__(self, *_: Any, total: float | None = None, initial: float = 0, **__: Any) -> None:
            self.n = initial
            self.total = total
            watch.writes = True
            if progress is not None and total:
                progress.total(int(total))
            if progress is not None and initial:
                progress.advance(int(initial))

        def update(self, n: float | None = 1) -> None:
            watch.beat()
            self.n += n or 0
            if progress is not None and n:
                progress.advance(int(n))

        def update_transfer(self, n: float | None = 1) -> None:
            # Bytes on the wire, which the client's second protocol counts apart from bytes on disk.
            watch.beat()

        def close(self) -> None: ...

        def refresh(self, *_: Any, **__: Any) -> None: ...

        def set_postfix_str(self, *_: Any, **__: Any) -> None: ...

        def set_transfer_postfix_str(self, *_: Any, **__: Any) -> None: ...

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None: ...

    return Bar


def _bounded(work: Any, watch: _Watch, blobs: Path, timeout: float, stall: float) -> str:
    """Run ``work`` in a thread and return its result; give up when nothing moves for too long.

    The thread is left to its own, much longer, time limits then; its next step ends it.
    """
    outcome: list[Any] = []
    failure: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            failure.append(error)
        finally:
            done.set()

    threading.Thread(target=run, name="gantool-download", daemon=True).start()
    try:
        seen, since = None, time.monotonic()
        while not done.wait(0.05):
            # Another process may hold the client's lock on this file; what it writes counts as movement.
            now = (watch.beats, watch.answered, _growing(blobs) if watch.answered else 0)
            if now != seen:
                seen, since = now, time.monotonic()
            limit = stall if watch.answered else timeout + min(2.0, timeout)
            if time.monotonic() - since > limit:
                kind = "the download stands still" if watch.answered else "the hub does not answer"
                remedy = "Try again later, or set HF_ENDPOINT to a mirror."
                raise WeightsError(f"{kind} for {limit:.0f} s", place(watch.row), remedy)
    except BaseException:
        watch.cancelled = True
        if not done.wait(0.5):
            _remove_partial(watch, blobs)
        raise
    if failure:
        raise failure[0]
    return outcome[0]


def _growing(blobs: Path) -> int:
    total = 0
    for path in blobs.glob("*.incomplete"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _remove_partial(watch: _Watch, blobs: Path) -> None:
    """Remove what an abandoned client has written so far; it cannot go on with it in another run."""
    if watch.writes:  # else another process is the one that writes
        for path in blobs.glob(f"{watch.etag}.*.incomplete"):
            with contextlib.suppress(OSError):
                path.unlink()


def _sweep(row: Checkpoint, cache_dir: Path | None) -> None:
    """Remove partial files that a killed process left more than a day ago."""
    for path in (hub_folder(row, cache_dir) / "blobs").glob("*.incomplete"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _DAY_S:
                path.unlink()


def _explained(error: BaseException, row: Checkpoint, endpoint: str, timeout: float) -> WeightsError:
    """The client's exception as one of ours. Its text is not used: it may hold signed addresses."""
    names = {cls.__name__ for e in _chain(error) for cls in type(e).__mro__}
    where = place(row)
    access = "Accept its licence on the hub, then set HF_TOKEN."
    if "GatedRepoError" in names:
        return NotOffered("the hub gives this file only to accounts that accepted its licence", where, access)
    if "RevisionNotFoundError" in names:
        return NotOffered(f"the hub has no revision '{row.revision}' of this repository", where)
    if "RemoteEntryNotFoundError" in names:
        return NotOffered("the hub has no such file", where, "Check the name; the owner may have moved it.")
    if "RepositoryNotFoundError" in names or _status(error) in (401, 403):
        remedy = "Check the name; for a private repository set HF_TOKEN to a token that may read it."
        return NotOffered("the hub has no such repository, or does not show it to you", where, remedy)
    gone = next((str(e) for e in _chain(error) if isinstance(e, _Gone)), "")
    status = _status(error) or gone.removeprefix("HTTP ")
    if isinstance(status, int) or status.isdigit():
        return WeightsError(f"the hub is in trouble, it answers HTTP {status}", where, "Try again later.")
    if "OfflineModeIsEnabled" in names:
        return WeightsError("the network is switched off", where, "Unset HF_HUB_OFFLINE.")
    if gone or names & {"TimeoutException", "TransportError", "ProxyError", "ConnectionError"}:
        down = "Check the connection, or set HF_ENDPOINT to a mirror."
        return WeightsError(f"the hub at {_host(endpoint)} cannot be reached", where, down)
    if "FileMetadataError" in names:
        remedy = "Check HF_ENDPOINT, the proxy, and whether the network wants a login."
        return WeightsError(f"what answers at {_host(endpoint)} is not a hub", where, remedy)
    return disk_error(error, where) or WeightsError(
        f"the download failed ({type(error).__name__})", where, "Try again; -v shows more."
    )


def disk_error(error: BaseException, where: str) -> WeightsError | None:
    """A failure of the local disk as WeightsError, or None for an error of another kind."""
    number = next((e.errno for e in _chain(error) if isinstance(e, OSError) and e.errno), None)
    if number == errno.ENOSPC:
        return WeightsError(
            "no space left for the download", where, "Free some space or set HF_HOME elsewhere."
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return WeightsError("the cache folder is not writable", where, "Set HF_HOME to a folder that is.")
    if "Consistency check failed" in str(error):
        return WeightsError("the download has the wrong length", where, "Try again later.")
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _status(error: BaseException) -> int | None:
    for e in _chain(error):
        response = getattr(e, "response", None)
        if response is not None:
            return int(response.status_code)
    return None


def _host(endpoint: str) -> str:
    """The address without what a user may have put before it: a name and a password."""
    return endpoint.split("://")[-1].split("/")[0].rsplit("@", 1)[-1]
