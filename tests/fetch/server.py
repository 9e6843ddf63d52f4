"""A file server on 127.0.0.1 that misbehaves on request."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """One file and its faults. `cuts`: bytes of body after which each successive answer breaks off."""

    body: bytes
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)  # answered, one a request, before any body
    answer_headers: dict[str, str] = field(default_factory=dict)
    kind: str = "application/octet-stream"
    honours_range: bool = True
    has_etag: bool = True
    announces: int | None = None  # another Content-Length than the true one
    says_length: bool = True
    chunked: bool = False
    sends_wrong_range: bool = False
    honours_if_range: bool = True
    location: str | None = None
    on_request: Callable[[Served], None] | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # (method, Range)

    @property
    def etag(self) -> str:
        return '"' + hashlib.md5(self.body).hexdigest() + '"'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5
    server: Server

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _answer(self, *, has_body: bool) -> None:
        self.close_connection = True
        served = self.server.files.get(self.path)
        if served is None:
            self._say(404, b"no", {})
            return
        served.asked.append((self.command, self.headers.get("Range")))
        if served.on_request is not None:
            served.on_request(served)
        if served.location is not None:
            self._say(302, b"", {"Location": served.location})
            return
        if served.statuses:
            self._say(served.statuses.pop(0), b"not now", served.answer_headers)
            return
        body, status, headers = served.body, 200, {"Content-Type": served.kind, **served.answer_headers}
        if served.has_etag:
            headers["ETag"] = served.etag
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if wanted and served.honours_range and (condition in (None, served.etag) or not served.honours_if_range):
            start = int(wanted[1])
            if start >= len(body):
                self._say(416, b"", {"Content-Range": f"bytes */{len(body)}"})
                return
            end = len(body)
            if served.sends_wrong_range:  # as long as the right one, so that only its place gives it away
                start, end = start - 1, end - 1
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(body)}"
            body, status = body[start:end], 206
        length = len(body) if served.announces is None else served.announces
        if served.says_length and not served.chunked:
            headers["Content-Length"] = str(length)
        if served.chunked:
            headers["Transfer-Encoding"] = "chunked"
        self._head(status, headers)
        if not has_body:
            return
        cut = served.cuts.pop(0) if served.cuts else None
        payload = body[:length] if cut is None else body[: min(cut, length)]
        with contextlib.suppress(OSError):
            if served.chunked:
                for at in range(0, len(payload), 1000):
                    piece = payload[at : at + 1000]
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                if cut is None:
                    self.wfile.write(b"0\r\n\r\n")
            else:
                self.wfile.write(payload)
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)

    def _say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._head(status, {**headers, "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, Served] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def serve(self, path: str, body: bytes, **faults: object) -> Served:
        self.files[path] = served = Served(body, **faults)  # type: ignore[arg-type]
        return served


@contextlib.contextmanager
def running() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)
