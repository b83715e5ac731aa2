"""A file from plain https: resumed after a cut, even in another run, and never there half.

Used for checkpoints that are not on the hub. No token is ever sent.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from gantool.cache import sha256
from gantool.catalog import Checkpoint
from gantool.download import PROBE_S, STALL_S, NotOffered, Progress, disk_error
from gantool.errors import WeightsError

_CHUNK = 2**16
_TRIES = 4
_BUSY_S = 0.1


class _Cut(Exception):
    """The connection ended before the file did."""


class _Unusable(Exception):
    """What is here already cannot be continued."""


def fetch_https(
    row: Checkpoint,
    target: Path,
    *,
    expected: str = "",
    progress: Progress | None = None,
    timeout: float = PROBE_S,
    stall: float = STALL_S,
) -> Path:
    """Download ``row.url`` to ``target`` and return it; the name appears only when the file is whole.

    A partial download waits beside it as ``NAME.part`` and is continued by the next call. ``expected`` is
    the SHA-256 that the bytes must have ("" when it is not known). Raises NotOffered when the server has
    no such file or another one, WeightsError for everything else.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target, row.url, stall) as already:
            if not already:
                _download(row, target, expected, progress, timeout, stall)
    except OSError as error:
        raise disk_error(error, row.url) or WeightsError(
            f"the download failed: {error.strerror or type(error).__name__}", row.url, "Try again later."
        ) from error
    return target


def _download(
    row: Checkpoint, target: Path, expected: str, progress: Progress | None, timeout: float, stall: float
) -> None:
    part = target.with_name(target.name + ".part")
    for resumed in (part.exists(), False):
        _complete(row, part, progress, timeout, stall)
        digest = sha256(part)
        if expected in ("", digest):
            break
        part.unlink()
        if not resumed:
            what = (
                f"the download is not the file that the catalog names: sha256 {digest}, expected {expected}"
            )
            raise WeightsError(what, row.url, "Try again later; the file was thrown away.")
        if progress is not None:
            progress.advance(-row.bytes)
    with part.open("rb") as f:
        os.fsync(f.fileno())
    part.replace(target)
    _validator(part).unlink(missing_ok=True)


def _complete(row: Checkpoint, part: Path, progress: Progress | None, timeout: float, stall: float) -> None:
    """Bring the partial file to its full length, over as many connections as it takes while it grows."""
    tries = 0
    shown = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            for size, total in _stream(row, part, timeout, stall):
                if progress is not None:
                    if total and shown == 0:
                        progress.total(total)
                    progress.advance(size - shown)
                shown = size
            return
        except _Unusable:
            part.unlink(missing_ok=True)
            tries += 1
            if tries >= _TRIES:
                raise WeightsError(
                    "the server cannot resume the download", row.url, "Try again later."
                ) from None
        except (
            _Cut,
            urllib.error.URLError,
            http.client.HTTPException,
            TimeoutError,
            ConnectionError,
        ) as error:
            grown = part.exists() and part.stat().st_size > before
            tries = 0 if grown else tries + 1
            if not part.exists() or tries >= _TRIES:
                what = "the download keeps breaking off" if part.exists() else "the server cannot be reached"
                remedy = "Check the connection; the next try goes on where this one stopped."
                raise WeightsError(what, row.url, remedy) from error
            time.sleep(0.1 * 2**tries)


def _stream(row: Checkpoint, part: Path, timeout: float, stall: float) -> Iterator[tuple[int, int]]:
    """One connection: append to the partial file, yielding (its size, size of the whole or 0)."""
    have = part.stat().st_size if part.exists() else 0
    tag = _validator(part).read_text("utf-8") if _validator(part).exists() else ""
    if not (row.sha256 or tag):
        have = 0  # nothing could tell whether the rest belongs to the same file
    if row.bytes and have == row.bytes:
        yield have, row.bytes
        return
    with _opened(row, have, tag, timeout) as response:
        if response.status == 200:
            have = 0
        elif not (response.headers.get("Content-Range") or "").startswith(f"bytes {have}-"):
            raise _Unusable("the server resumed at another place")
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else 0
        if row.bytes and total and total != row.bytes:
            what = (
                f"the server offers another file than the catalog names: {total} bytes, expected {row.bytes}"
            )
            raise NotOffered(what, row.url, "Update gantool.")
        if not row.sha256 and (response.headers.get_content_type() == "text/html"):
            raise NotOffered("the server sends a web page instead of a checkpoint", row.url)
        _validator(part).write_text(response.headers.get("ETag") or "", "utf-8")
        with part.open("r+b" if have else "wb") as f:
            f.seek(have)
            f.truncate()
            yield from _copy(response, f, row, have, total or row.bytes, stall)


def _copy(
    response: Any, f: IO[bytes], row: Checkpoint, have: int, total: int, stall: float
) -> Iterator[tuple[int, int]]:
    mark, since = have, time.monotonic()
    yield have, total
    while chunk := response.read1(_CHUNK):
        have += len(chunk)
        if total and have > total:
            raise NotOffered(f"the server sends more than the {total} bytes it promised", row.url)
        f.write(chunk)
        # A server that sends a byte now and then must not keep us for ever.
        if have - mark >= _CHUNK:
            mark, since = have, time.monotonic()
        elif time.monotonic() - since > stall:
            raise WeightsError(f"the download stands still for {stall:.0f} s", row.url, "Try again later.")
        yield have, total
    if have < total:
        raise _Cut(f"{have} of {total} bytes")


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but not from https to something that anybody on the way can change."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise NotOffered(
                "the server redirects to an address that is not https", req.full_url.split("?")[0]
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextlib.contextmanager
def _opened(row: Checkpoint, have: int, tag: str, timeout: float) -> Iterator[Any]:
    headers = {"User-Agent": "gantool", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag and not tag.startswith("W/"):
            headers["If-Range"] = tag
    opener = urllib.request.build_opener(_SecureRedirects)
    try:
        with opener.open(urllib.request.Request(row.url, headers=headers), timeout=timeout) as response:
            yield response
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403, 404, 410):
            raise NotOffered(f"the server does not give this file (HTTP {error.code})", row.url) from error
        if error.code == 416:
            raise _Unusable("nothing after what is here") from error
        what = f"the server is in trouble, it answers HTTP {error.code}"
        raise WeightsError(what, row.url, "Try again later.") from error


def _validator(part: Path) -> Path:
    """Beside a partial file: the ETag of what it is part of."""
    return part.with_name(part.name + ".etag")


@contextlib.contextmanager
def _alone(target: Path, url: str, stall: float) -> Iterator[bool]:
    """Hold the download of one file for this process; yields True when another one finished it meanwhile."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system: two processes then overwrite each other's part
        yield False
        return
    part = target.with_name(target.name + ".part")
    with target.with_name(target.name + ".lock").open("w") as lock:
        waited, size, since = False, -1, time.monotonic()
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited = True
            now = part.stat().st_size if part.exists() else 0
            if now != size:
                size, since = now, time.monotonic()
            if time.monotonic() - since > stall:
                remedy = "Wait for it or end it, then try again."
                raise WeightsError("another process downloads this file and stands still", url, remedy)
            time.sleep(_BUSY_S)
        yield waited and target.is_file()
