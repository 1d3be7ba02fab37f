"""JSON over HTTP on a daemon's Unix socket, asked with a bound; no answer is None."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

TIMEOUT_S = 2.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path):
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def ask(path: Path, route: str) -> Any:
    """GET a route."""
    connection = _Connection(path)
    try:
        connection.request("GET", route)
        answer = connection.getresponse()
        body = answer.read()
        return json.loads(body) if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
