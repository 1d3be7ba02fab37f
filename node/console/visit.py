"""One request of somebody signed in, and what a page answers."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from node.admin.access import Caller, Role
from node.admin.queries import BadRequestError
from node.console.desk import Desk
from node.console.flow import Flow
from node.console.guard import safe_way
from node.console.sessions import Session


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for what."""

    caller: Caller
    session: Session
    desk: Desk
    flow: Flow
    now_ms: int
    query: Mapping[str, str] = {}
    form: Mapping[str, tuple[str, ...]] = {}
    match: Mapping[str, str] = {}
    trace_url: str = ""

    async def look(self, path: str, query: Mapping[str, str] | None = None, **match: str) -> Any:
        """Ask the interface, in the name of who is signed in."""
        return await self.desk.look(self.caller, path, query, **match)

    async def act(self, path: str, body: Mapping[str, object], **match: str) -> Any:
        """Do something, in the name of who is signed in."""
        return await self.desk.act(self.caller, path, body, **match)

    def may(self, role: str) -> bool:
        """Tell whether to show what takes a role; the interface asks again."""
        return self.caller.role >= Role[role.upper()]

    def field(self, name: str, *, required: bool = False) -> str:
        """Give one field of the form, without the blanks round it; raises BadRequestError when it is a must."""
        value = next(iter(self.form.get(name, ())), "").strip()
        if required and not value:
            raise BadRequestError(f"{name}: is missing")
        return value

    @property
    def back(self) -> str:
        """Where the form was shown."""
        return safe_way(self.field("back"))


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page, or a part of one, to be rendered."""

    template: str
    values: Mapping[str, Any] = {}


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers for a chart, as JSON."""

    value: object


class Go(msgspec.Struct, frozen=True, kw_only=True):
    """Done; look there."""

    to: str


Shown = Callable[[Visit], Awaitable[Page | Data]]
Done = Callable[[Visit], Awaitable[Go]]
