"""Asks what the API asks, by its own table of routes: the same roles, the same checks, the same audit."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from node.admin.access import Caller
from node.admin.asking import Answer, Ask
from node.admin.routes import HEALTH, ROUTES, Route
from node.errors import PermanentError

Perform = Callable[[Route, Ask], Awaitable[Answer]]
MISSING: Final = 404
_ROUTES: Final = {(route.method, route.path): route for route in (*HEALTH, *ROUTES) if route.remote}
"""What the network may ask: bodies are not among it."""


class NotThereError(PermanentError):
    """There is no such thing."""


class Desk:
    """Takes the questions of one node's console to its interface."""

    def __init__(self, perform: Perform) -> None:
        """``perform``: does what a route does, in somebody's name."""
        self._perform = perform

    async def look(self, caller: Caller, path: str, query: Mapping[str, str] | None = None, **match: str) -> Any:
        """Ask for something. Raises Denied, NotThereError, RelayError."""
        pairs = tuple((query or {}).items())
        return await self._asked("GET", path, caller, Ask(query=pairs, match=match, caller=caller))

    async def act(self, caller: Caller, path: str, body: Mapping[str, object], **match: str) -> Any:
        """Do something; the same errors."""
        return await self._asked("POST", path, caller, Ask(body=msgspec.json.encode(body), match=match, caller=caller))

    async def _asked(self, method: str, path: str, caller: Caller, ask: Ask) -> Any:
        route = _ROUTES[method, path]
        ask = msgspec.structs.replace(ask, known=route.keys, caller=caller)
        answer = await self._perform(route, ask)
        if answer.status == MISSING and isinstance(answer.value, dict):
            raise NotThereError(str(answer.value["error"]))
        return answer.raw if answer.raw is not None else answer.value
