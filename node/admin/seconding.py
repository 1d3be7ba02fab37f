"""A second person for what cannot be taken back: the first request waits on disk until somebody else says yes.

Which kinds of deed need one the configuration says (``admin.second_approver``); none by default. What waits is
bounded, ends by itself, and is carried out in the name of who asked, with who approved in the audit. Who approves must
have shown a token: a name told on the host's own socket proves nobody.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import uuid_utils

from node.admin.access import LOCAL, Caller, Denied, Role, permit
from node.admin.asking import Answer, Ask
from node.admin.queries import BadRequestError
from node.durable import read_table, write_durably
from node.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from node.admin.handlers import Handlers

PENDING_MAX: Final = 100
_log = logging.getLogger(__name__)
Work = Callable[["Handlers", Ask], Coroutine[Any, Any, Answer]]
Tell = Callable[[dict[str, object]], Awaitable[None]]


class WaitsForSecond(PermanentError):  # noqa: N818 - a state of affairs
    """Nothing was done yet: somebody else must approve it."""


class NotWritten(TemporaryError):  # noqa: N818 - as above
    """The disk does not take the request."""


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A request that waits, as kept on disk."""

    id: str
    kind: str
    """``delete``, ``disaster`` or ``erase``."""
    deed: str
    """Which handler carries it out."""
    match: dict[str, str]
    body: bytes
    known: tuple[str, ...]
    actor: str
    role: Role
    """Of who asked; whoever approves needs the one the deed takes."""
    takes: Role
    at: str
    made_ms: int
    until_ms: int


class PendingView(msgspec.Struct, frozen=True, kw_only=True):
    """A request that waits, as shown."""

    id: str
    kind: str
    deed: str
    actor: str
    made_ms: int
    until_ms: int
    asks: Any
    """The request's body, and what stands in its path."""


class Seconding:
    """What waits on one node. ``kinds``: which deeds need a second person."""

    def __init__(
        self, path: Path, kinds: Collection[str], within_s: float, now_ms: Callable[[], int] | None = None
    ) -> None:
        """Nothing is read until it is asked for."""
        self.kinds, self.within_s = frozenset(kinds), within_s
        self._path = path
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._pending: dict[str, Pending] | None = None
        self._turn = asyncio.Lock()

    async def wait(self, pending: Pending) -> None:
        """Durable. Keep a request. Raises BadRequestError when too many wait, NotWritten."""
        async with self._turn:
            known = await self._known()
            if len(known) >= PENDING_MAX:
                raise BadRequestError(f"{PENDING_MAX} requests wait for a second person; approve or refuse some first")
            await self._keep({**known, pending.id: pending})

    async def all(self) -> list[Pending]:
        """Give what waits, oldest first; what is over is forgotten."""
        async with self._turn:
            return [*(await self._known()).values()]

    async def take(self, name: str, caller: Caller) -> Pending | None:
        """Durable. Take a request out for whoever may decide on it; None: there is none. Raises Denied, NotWritten."""
        async with self._turn:
            known = await self._known()
            found = known.get(name)
            if found is None:
                return None
            judge(found, caller)
            await self._keep({key: one for key, one in known.items() if key != name})
            return found

    def pending(self, kind: str, work: str, takes: Role, ask: Ask) -> Pending:
        """Make the request that is to wait."""
        now_ms, caller = self._now_ms(), ask.caller
        return Pending(
            id=str(uuid_utils.uuid7()),
            kind=kind,
            deed=work,
            match=dict(ask.match),
            body=ask.body,
            known=tuple(sorted(ask.known)),
            actor=caller.name,
            role=caller.role,
            takes=takes,
            at=caller.at,
            made_ms=now_ms,
            until_ms=now_ms + int(self.within_s * 1000),
        )

    async def _known(self) -> dict[str, Pending]:
        if self._pending is None:
            self._pending = await asyncio.to_thread(self._read)
        now_ms = self._now_ms()
        over = [name for name, one in self._pending.items() if one.until_ms <= now_ms]
        if over:
            await self._keep({name: one for name, one in self._pending.items() if name not in over})
        return self._pending

    def _read(self) -> dict[str, Pending]:
        found, trouble = read_table(self._path, dict[str, Pending], {})
        if trouble:
            _log.error("%s: what waited for a second person must be asked for again", trouble, extra={"alarm": True})
        return found

    async def _keep(self, pending: dict[str, Pending]) -> None:
        try:
            await asyncio.to_thread(write_durably, self._path, msgspec.json.encode(pending))
        except OSError as error:
            raise NotWritten(f"{self._path}: {error.strerror}") from None
        self._pending = pending


def judge(pending: Pending, caller: Caller) -> None:
    """Raise Denied unless the caller may decide on a request: another person, proven, with the role it takes."""
    permit(caller, pending.takes)
    if caller.at == LOCAL and not caller.proven:
        raise Denied(403, "whoever approves must show a token: set RELAY_TOKEN_FILE, or use the network")
    if caller.name.casefold() == pending.actor.casefold():
        raise Denied(403, f"{caller.name} asked for it: somebody else must approve")


def second(kind_of: Callable[[Ask], str], takes: Role) -> Callable[[Work], Work]:
    """Let a handler wait for a second person when the kind of its request needs one (empty: it never does)."""

    def wrapped(work: Work) -> Work:
        name = getattr(work, "__name__", "")
        WORKS[name] = work

        @wraps(work)
        async def asked(self: "Handlers", ask: Ask) -> Answer:
            kind, seconding = kind_of(ask), self.seconding
            if seconding is None or kind not in seconding.kinds:
                return await work(self, ask)
            permit(ask.caller, takes)
            body = ask.object()
            pending = seconding.pending(kind, name, takes, ask)
            await seconding.wait(pending)
            facts = {"approval": pending.id, "kind": kind, "why": body.get("reason", "")}
            await self.told(pending.actor, "asked for what a second person must approve", facts)
            raise WaitsForSecond(
                f"nothing is done yet: somebody else must approve it within {seconding.within_s / 60:.0f} min:"
                f" relayctl approval yes {pending.id}"
            )

        return asked

    return wrapped


WORKS: Final[dict[str, Work]] = {}
"""Handlers that may have to wait, by name."""


def again(pending: Pending, approver: Caller) -> Ask:
    """Give the request as it was made; to other nodes whoever approved it proves who he is."""
    caller = Caller(name=pending.actor, role=pending.role, at=pending.at, credential=approver.credential)
    return Ask(match=pending.match, body=pending.body, known=frozenset(pending.known), caller=caller)


def shown(pending: Pending) -> PendingView:
    """Show a request without what only the machine needs."""
    try:
        asks: object = {**msgspec.json.decode(pending.body or b"{}"), **pending.match}
    except (msgspec.DecodeError, TypeError, UnicodeDecodeError, RecursionError):
        asks = {}
    return PendingView(
        id=pending.id,
        kind=pending.kind,
        deed=pending.deed,
        actor=pending.actor,
        made_ms=pending.made_ms,
        until_ms=pending.until_ms,
        asks=asks,
    )


def of_action(ask: Ask) -> str:
    """Queue actions: only to delete needs a second person."""
    return "delete" if ask.match.get("action") == "delete" else ""


def of_wish(ask: Ask) -> str:
    """Wishes: to call a node dead is for a disaster; to take the word back is not."""
    body: Mapping[str, object] = ask.object()
    return "disaster" if body.get("kind") == "dead" and body.get("on", True) else ""


def of_disaster(_ask: Ask) -> str:
    """Whatever a disaster takes."""
    return "disaster"


def of_erasing(_ask: Ask) -> str:
    """Whatever erases."""
    return "erase"
