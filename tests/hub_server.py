"""A server that speaks as much of the hub's protocol as the real ``huggingface_hub`` client needs.

It listens on 127.0.0.1 only. Files are bytes in memory; faults are switched on one at a time.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Fault:
    """What goes wrong, and where. All off by default.

    ``status``: this HTTP status instead of an answer, to requests of ``method`` ("" for all), with
    ``error_code`` as the hub's own header. ``etag``, ``commit``: these headers instead of the right ones.
    ``body``: these bytes are sent instead of the file's. ``cut_after``: the connection ends after so many
    bytes, for the first ``cuts`` downloads. ``hang``: "HEAD" or "GET" requests are never answered; "BODY"
    sends half, and of a range nothing. ``page``: everything is answered by a web page. ``redirect``: GET
    and HEAD are sent to this address. ``ignore_range``: ranges are answered with the whole file.
    ``drop``: so many requests first end without any answer.
    """

    status: int = 0
    method: str = ""
    error_code: str = ""
    etag: str = ""
    commit: str = ""
    body: bytes | None = None
    cut_after: int = 0
    cuts: int = 1
    hang: str = ""
    page: bool = False
    redirect: str = ""
    ignore_range: bool = False
    drop: int = 0


@dataclass
class HubServer:
    """``files`` maps paths without the leading slash ("owner/repo/resolve/main/f") to bytes."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    fault: Fault = field(default_factory=Fault)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def add(self, repo: str, file: str, data: bytes, *revisions: str) -> None:
        """Offer a file of a repository at its commit and at the branches given ("main" by default)."""
        for revision in (COMMIT, *(revisions or ("main",))):
            self.files[f"{repo}/resolve/{revision}/{file}"] = data

    def count(self, method: str) -> int:
        """How many requests of that method came."""
        return sum(m == method for m, _, _ in self.requests)


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """Run a server for the length of the block."""

    class Handler(_Handler):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        http.handle_error = lambda *_: None  # type: ignore[method-assign] # a client that hangs up is no news
        hub = HubServer(f"http://127.0.0.1:{http.server_address[1]}")
        Handler.hub = hub
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.stop.set()
            http.shutdown()
            thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def _answer(self) -> None:
        hub, fault = self.hub, self.hub.fault
        hub.requests.append((self.command, self.path, dict(self.headers)))
        if fault.drop > 0:
            fault.drop -= 1
            self.close_connection = True
            return
        if fault.hang == self.command:
            hub.stop.wait(30)
            self.close_connection = True
            return
        if fault.status and fault.method in ("", self.command):
            self._send(fault.status, {"X-Error-Code": fault.error_code} if fault.error_code else {}, b"no")
            return
        if fault.page:
            self._send(200, {"Content-Type": "text/html"}, b"<html>Please log in</html>")
            return
        if fault.redirect and not self.path.startswith("/elsewhere"):
            sha = hashlib.sha256(hub.files.get(self.path[1:], b"")).hexdigest()
            headers = {"Location": fault.redirect, "X-Repo-Commit": COMMIT, "X-Linked-Etag": f'"{sha}"'}
            headers["X-Linked-Size"] = str(len(hub.files.get(self.path[1:], b"")))
            self._send(302, headers, b"")
            return
        data = hub.files.get(self.path[1:])
        if data is None:
            self._send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, b"not found")
            return
        self._send_file(data, fault)

    def _send_file(self, data: bytes, fault: Fault) -> None:
        asked = re.search(r"/resolve/([0-9a-f]{40})/", self.path)  # a commit answers for itself
        headers = {
            "ETag": f'"{fault.etag or hashlib.sha256(data).hexdigest()}"',
            "X-Repo-Commit": fault.commit or (asked[1] if asked else COMMIT),
            "Accept-Ranges": "bytes",
        }
        body = data if fault.body is None or self.command == "HEAD" else fault.body
        wanted = self.headers.get("Range", "")
        if wanted and not fault.ignore_range:
            begin = int(wanted.removeprefix("bytes=").split("-")[0])
            if begin >= len(body):
                self._send(416, {"Content-Range": f"bytes */{len(body)}"}, b"")
                return
            headers["Content-Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
            self._send(206, headers, body[begin:])
            return
        self._send(200, headers, body)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        fault = self.hub.fault
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        with suppress(ConnectionError):
            if status in (200, 206) and fault.cut_after and fault.cuts > 0:
                fault.cuts -= 1
                self.wfile.write(body[: fault.cut_after])
                self.close_connection = True
            elif status in (200, 206) and fault.hang == "BODY":
                self.wfile.write(body[: len(body) // 2 if status == 200 else 0])
                self.wfile.flush()
                self.hub.stop.wait(30)
                self.close_connection = True
            else:
                self.wfile.write(body)
