"""A Unix socket that answers HTTP with what a test says: for commands that must survive any answer."""

import json
import socketserver
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass
class FakeNode:
    """Answers by path; keeps what it was asked as (method, path, query, body, actor)."""

    path: Path
    answers: dict[str, Any] = field(default_factory=dict)
    """Path to a JSON value, to bytes sent as they are, or to (status, JSON value)."""
    asked: list[tuple[str, str, dict[str, str], Any, str]] = field(default_factory=list)

    def __enter__(self) -> Self:
        node = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                place = unquote(parts.path)
                node.asked.append(
                    (self.command, place, dict(parse_qsl(parts.query)), body, self.headers["X-Relay-Actor"])
                )
                found = node.answers.get(place, (404, {"error": "not here"}))
                if isinstance(found, bytes):
                    self.wfile.write(found)
                    return
                status, value = found if isinstance(found, tuple) else (200, found)
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _answer  # noqa: N815 - names given by the library

            def address_string(self) -> str:
                return "local"

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = socketserver.ThreadingUnixStreamServer(str(self.path), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
