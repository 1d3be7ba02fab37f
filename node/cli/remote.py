"""Speaks to a running node over its Unix socket. Every failure becomes one sentence and an exit code."""

import getpass
import http.client
import json
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from node.errors import RelayError

TIMEOUT_S = 30.0
SOCKET_NAME = "admin.sock"
COORDINATOR_SOCKET = "coordinator.sock"
ANSWER_MAX_BYTES = 256 << 20
DEFAULT_PLACES = (Path("var/run"), Path("/run/m365-relay"))


class UnreachableError(RelayError):
    """No node answers on the socket (exit code 3)."""


class ClusterSilentError(UnreachableError):
    """The node answers, but the cluster's store does not answer it (exit code 3)."""


class RefusedError(RelayError):
    """The node answered with an error (exit code 1)."""


class WrongUseError(RefusedError):
    """The node says the request itself is wrong (exit code 2)."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
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


class Api(NamedTuple):
    """A node's administration port over the network, for somebody who signed in."""

    url: str
    """``https://relay-a.corp:8443``; http for this machine only."""
    ca: str = ""
    """PEM file trusted besides the system's authorities; empty: none."""
    token: str = ""

    def connection(self) -> http.client.HTTPConnection:
        """Make one; nothing is opened. Raises UnreachableError for a file that is no PEM."""
        parts = urlsplit(self.url)
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
        context = ssl.create_default_context()
        try:
            if self.ca:
                context.load_verify_locations(cafile=self.ca)
        except OSError as error:
            raise UnreachableError(f"{self.ca}: cannot be read as PEM: {error.strerror or error}") from None
        return http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT_S, context=context)


class Remote:
    """One node's administration interface: by its socket, or by its port for somebody who signed in."""

    def __init__(self, where: Path | Api, timeout_s: float = TIMEOUT_S) -> None:
        """Keep where it is; connects for each request, and waits at most so long for each part of an answer."""
        self._where, self._timeout_s = where, timeout_s

    def get(self, path: str, **query: str | int) -> Any:
        """Give the decoded answer of a GET; empty values are left out. Raises UnreachableError, RefusedError."""
        wanted = {key: value for key, value in query.items() if value != ""}
        return self._json("GET", f"{quote(path)}?{urlencode(wanted)}" if wanted else quote(path), None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Give the decoded answer of a POST. Raises UnreachableError, RefusedError."""
        return self._json("POST", quote(path), json.dumps(body).encode())

    def download(self, path: str, write: Callable[[bytes], object]) -> int:
        """Pass the answer's body to ``write`` in chunks; bytes passed. Raises UnreachableError, RefusedError.

        What ``write`` raises is the caller's.
        """
        connection = self._connection()
        try:
            response = self._request(connection, "GET", quote(path), None)
            if response.status != http.client.OK:
                raise _refused(self._read(response, 1 << 16), response.status)
            total = 0
            while chunk := self._read(response, 1 << 16):
                write(chunk)
                total += len(chunk)
            return total
        finally:
            connection.close()

    def _json(self, method: str, path: str, body: bytes | None) -> Any:
        connection = self._connection()
        try:
            response = self._request(connection, method, path, body)
            data = self._read(response, ANSWER_MAX_BYTES)
        finally:
            connection.close()
        try:
            answer = json.loads(data)
        except ValueError:
            raise RefusedError(f"the node answered {response.status} with {len(data)} bytes that are no JSON") from None
        said_no = isinstance(answer, dict) and "error" in answer
        if response.status != http.client.OK and (said_no or response.status != http.client.SERVICE_UNAVAILABLE):
            raise _refused(data, response.status)
        return answer

    def beside(self, name: str) -> "Remote":
        """Give another process of the node's host, by its socket's name; UnreachableError over the network."""
        if isinstance(self._where, Api):
            raise UnreachableError(f"{name}: asked for on the node's own host only, not over the network")
        return Remote(self._where.with_name(name), self._timeout_s)

    def _connection(self) -> http.client.HTTPConnection:
        return (
            self._where.connection() if isinstance(self._where, Api) else _UnixConnection(self._where, self._timeout_s)
        )

    def _request(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> http.client.HTTPResponse:
        try:
            connection.request(method, path, body, self._headers())
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None

    def _headers(self) -> dict[str, str]:
        if isinstance(self._where, Path):
            return {"X-Relay-Actor": _actor(), **_token()}
        return {"Authorization": f"Bearer {self._where.token}"} if self._where.token else {}

    def _read(self, response: http.client.HTTPResponse, at_most_bytes: int) -> bytes:
        try:
            data = response.read(at_most_bytes)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        if response.length and len(data) < at_most_bytes:  # less came than was announced; http.client does not mind
            raise self._unreachable(ConnectionError("the answer was cut off"))
        return data

    def _unreachable(self, error: Exception) -> UnreachableError:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        return UnreachableError(
            f"node at {self._where.url if isinstance(self._where, Api) else self._where}: {' '.join(why.split())}"
        )


def _token() -> dict[str, str]:
    """Show a token of one's own, if ``RELAY_TOKEN_FILE`` names a file with one. Raises RefusedError."""
    named = os.environ.get("RELAY_TOKEN_FILE")
    if not named:
        return {}
    try:
        token = Path(named).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise RefusedError(f"RELAY_TOKEN_FILE: {named} cannot be read: {error}") from None
    if not token or not token.isprintable() or " " in token:
        raise RefusedError(f"RELAY_TOKEN_FILE: {named} holds no token")
    return {"Authorization": f"Bearer {token}"}


def _actor() -> str:
    """Name who asks, as a header can carry it; a user id where the system knows no name (containers)."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"
    return name.encode("ascii", "replace").decode().replace("\r", "?").replace("\n", "?")[:64]


def _refused(data: bytes, status: int) -> RelayError:
    wrong_use = status in (http.client.BAD_REQUEST, http.client.REQUEST_ENTITY_TOO_LARGE)
    kind: type[RelayError] = WrongUseError if wrong_use else RefusedError
    if status == http.client.BAD_GATEWAY:
        kind = ClusterSilentError
    try:
        return kind(str(json.loads(data)["error"]))
    except (ValueError, KeyError, TypeError):
        return kind(f"the node answered {status}")
