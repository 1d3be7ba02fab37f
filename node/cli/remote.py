"""Speaks to a running node over its Unix socket. Every failure becomes one sentence and an exit code."""

import getpass
import http.client
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from node.errors import RelayError

TIMEOUT_S = 30.0
SOCKET_NAME = "admin.sock"
ANSWER_MAX_BYTES = 256 << 20
DEFAULT_PLACES = (Path("var/run"), Path("/run/m365-relay"))


class UnreachableError(RelayError):
    """No node answers on the socket (exit code 3)."""


class RefusedError(RelayError):
    """The node answered with an error (exit code 1)."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def find_socket(given: Path | None) -> Path:
    """Choose the socket: as given, from ``RELAY_SOCKET``, else the first usual place that has one."""
    if given is not None:
        return given
    named = os.environ.get("RELAY_SOCKET")
    if named:
        return Path(named)
    for place in DEFAULT_PLACES:
        if (place / SOCKET_NAME).exists():
            return place / SOCKET_NAME
    places = ", ".join(str(place / SOCKET_NAME) for place in DEFAULT_PLACES)
    raise UnreachableError(f"no running node found (looked for {places}); name one with --socket or RELAY_SOCKET")


class Remote:
    """One node's administration interface."""

    def __init__(self, path: Path) -> None:
        """Keep the socket's path; connects for each request."""
        self._path = path

    def get(self, path: str, **query: str | int) -> Any:
        """Give the decoded answer of a GET; raises UnreachableError or RefusedError."""
        wanted = {key: value for key, value in query.items() if value not in ("", 0)}
        return self._json("GET", f"{path}?{urlencode(wanted)}" if wanted else path, None)

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """Give the decoded answer of a POST."""
        return self._json("POST", path, json.dumps(body).encode())

    def download(self, path: str, write: Any) -> int:
        """Pass the answer's body to ``write`` in chunks; bytes passed."""
        connection = _UnixConnection(self._path)
        try:
            response = self._request(connection, "GET", path, None)
            if response.status != http.client.OK:
                raise RefusedError(_error_text(response.read(65_536), response.status))
            total = 0
            while chunk := response.read(1 << 16):
                write(chunk)
                total += len(chunk)
            return total
        finally:
            connection.close()

    def _json(self, method: str, path: str, body: bytes | None) -> Any:
        connection = _UnixConnection(self._path)
        try:
            response = self._request(connection, method, path, body)
            data = response.read(ANSWER_MAX_BYTES)
        except OSError as error:
            raise UnreachableError(f"node at {self._path}: {error.strerror or error}") from None
        finally:
            connection.close()
        if response.status not in (http.client.OK, http.client.SERVICE_UNAVAILABLE) or (
            response.status != http.client.OK and b'"error"' in data[:16]
        ):
            raise RefusedError(_error_text(data, response.status))
        return json.loads(data)

    def _request(
        self, connection: _UnixConnection, method: str, path: str, body: bytes | None
    ) -> http.client.HTTPResponse:
        actor = os.environ.get("SUDO_USER") or getpass.getuser()
        try:
            connection.request(method, path, body, {"X-Relay-Actor": actor})
            return connection.getresponse()
        except OSError as error:
            raise UnreachableError(f"node at {self._path}: {error.strerror or error}") from None


def _error_text(data: bytes, status: int) -> str:
    try:
        return str(json.loads(data)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the node answered {status}"
