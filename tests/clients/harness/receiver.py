"""A receiver of what Recado sends: callbacks and events."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# More than anything that Recado sends here.
MAX_BODY_BYTES = 1 << 20


@dataclass(frozen=True)
class Received:
    """A request, byte for byte; the names of its headers in small letters."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Takes what comes, and refuses what it was told to refuse."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._received: list[Received] = []
        self._refusals: dict[str, int] = {}

    def received(self, path: str) -> list[Received]:
        """What came to `path`, refused or not, in the order in which it came."""
        with self._lock:
            return [it for it in self._received if it.path == path]

    def refuse_next(self, path: str) -> None:
        """The next request to `path` is answered 503."""
        with self._lock:
            self._refusals[path] = self._refusals.get(path, 0) + 1

    def take(self, received: Received) -> int:
        """The status to answer with."""
        with self._lock:
            self._received.append(received)
            refusals = self._refusals.get(received.path, 0)
            self._refusals[received.path] = max(refusals - 1, 0)
            return 503 if refusals > 0 else 204


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port of the loopback, for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = min(int(self.headers.get("Content-Length", "0")), MAX_BODY_BYTES)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.take(Received(self.path, headers, self.rfile.read(length)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
