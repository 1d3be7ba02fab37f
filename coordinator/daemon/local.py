"""The local interface: JSON over a Unix socket that only this user may open, metrics also on a port; has aiohttp."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from coordinator.daemon.view import Status
from coordinator.errors import CoordinatorError

PATH_MAX_BYTES: Final = 100
"""A Unix socket's path holds 108 bytes on Linux; refuse early with a sentence."""
BODY_MAX_BYTES: Final = 4 << 10
CLOSE_S: Final = 1.0


class BadSocketPath(CoordinatorError):  # noqa: N818 - a state of affairs
    """The runtime directory's path is too long for a socket."""

    temporary = False


class PortTaken(CoordinatorError):  # noqa: N818 - a state of affairs
    """The port of the metrics cannot be bound."""

    temporary = False


class LocalServer:
    """Answers ``GET /v1/status``, ``/metrics`` and ``/live``."""

    def __init__(self, status: Callable[[], Awaitable[Status]], metrics: Callable[[], str]) -> None:
        """Nothing listens yet."""
        self._status, self._metrics = status, metrics
        self._runners: list[web.AppRunner] = []

    async def start(self, path: Path) -> None:
        """Listen; replaces a stale socket (nobody else lives: the lease's file is locked). Raises BadSocketPath."""
        if len(os.fsencode(path)) > PATH_MAX_BYTES:
            raise BadSocketPath(f"runtime: socket path {path} is longer than {PATH_MAX_BYTES} bytes")
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - once, at start
        app = self._health()
        app.router.add_get("/v1/status", self._page)
        runner = await self._ready(app)
        mask = os.umask(0o177)
        try:
            await web.UnixSite(runner, str(path)).start()
        finally:
            os.umask(mask)

    async def start_port(self, address: str, port: int) -> None:
        """Give metrics and ``/live``, nothing else, on a port too. Raises PortTaken."""
        runner = await self._ready(self._health())
        try:
            await web.TCPSite(runner, address, port).start()
        except OSError as error:
            raise PortTaken(f"coordinator.prometheus: {address} port {port}: {error.strerror}") from None

    def _health(self) -> web.Application:
        app = web.Application(client_max_size=BODY_MAX_BYTES)
        app.router.add_get("/metrics", self._exposition)
        app.router.add_get("/live", self._live)
        return app

    async def _ready(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_S)
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def close(self) -> None:
        """Stop listening."""
        while self._runners:
            await self._runners.pop().cleanup()

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(await self._status()), content_type="application/json")

    async def _exposition(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._metrics(), content_type="text/plain", charset="utf-8")

    async def _live(self, _request: web.Request) -> web.Response:
        return web.Response(body=b'{"live": true}', content_type="application/json")
