"""The spool's contract: what is durable when, and who may call what (design §5.2-5.8, §6).

Everything that returns from an awaited call marked *durable* survives kill -9 and power loss of this host.
Times are integer milliseconds since the epoch. One recipient of one message is named by ``(message_id, index)``.
"""

from asyncio import Future
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from node.policy.envelope import Direction, NewMessage, RecipientState
from node.spool.pages import Page, Spot


class BodyFile(msgspec.Struct, frozen=True, kw_only=True):
    """A large body already written under the spool's ``incoming`` directory; append takes it over."""

    path: str
    size_bytes: int
    synced: bool = False
    """Whether all of it is on disk; else append sees to that."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """One message to append: its facts and its body, inline (at most 256 KiB) or as a file."""

    message: NewMessage
    body: bytes | BodyFile
    pairing: int | None = None
    """Number of the pairing its copy is sent under (``paired.py``); 0: here alone; None: this node has no peers."""


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient with what a dispatch decision needs to know."""

    index: int
    address: str
    direction: Direction
    state: RecipientState
    attempts: int
    """Attempts that reached the upstream and failed, not postponements."""
    next_attempt_ms: int
    orcpt: str = ""
    notify: int = 8
    original: str = ""
    last_reason: str = ""
    last_reply: str = ""
    last_way: str = ""
    """Account and path of the last attempt, ``path:account``."""
    last_traceparent: str = ""
    """Context of the last attempt, for links between spans."""


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A message with those recipients of one lane that are due."""

    message: NewMessage
    lane: str
    recipients: tuple[Queued, ...]
    last_traceparent: str = ""
    """Context of the newest attempt, for links between attempts."""
    body: bytes | None = None
    """The stored body where it is small and was at hand; None says: ask ``body``."""
    pairing: int = 0
    """Number of the pairing it belongs to; 0: it is here alone."""


class LaneState(msgspec.Struct, frozen=True, kw_only=True):
    """One lane's backlog: how many recipients wait, the oldest, and when the first is due."""

    lane: str
    waiting: int
    first_due_ms: int
    oldest_received_ms: int


class AttemptStart(msgspec.Struct, frozen=True, kw_only=True):
    """Written durably by ``claim`` before MAIL: who is tried, by which way, on whose budget."""

    attempt_id: str
    message_id: str
    indexes: tuple[int, ...]
    path: str
    account: str
    """Budget scope of the account; empty on paths without one."""
    tenant: str
    grant_id: str
    external: int
    started_ms: int
    traceparent: str


class RecipientResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one recipient in an attempt, already judged."""

    index: int
    state: RecipientState
    reason: str
    reply: str = ""
    """The upstream's words, cut to 512 printable characters."""
    stage: str = ""
    scope: str = ""
    next_attempt_ms: int = 0
    counts_as_attempt: bool = True
    """False for postponements: waiting for budget, account blocked, connection never made."""


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one attempt; durable when ``settle`` returns."""

    attempt_id: str
    message_id: str
    finished_ms: int
    """When the final reply was read, or the conversation broke."""
    counted_ms: int = 0
    """Until when the upstream may count the message; permits return from here after a restart. 0: ``finished_ms``."""
    results: tuple[RecipientResult, ...]
    upstream_id: str = ""
    """Message-ID or internal id the upstream's 250 named."""
    mail_sent: bool = True
    """False if MAIL was never said or RSET undid it: no token is out."""


class OpenAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt found in the spool at start, for rebuilding the budgets and judging unknowns."""

    start: AttemptStart
    dot_ms: int
    """When the intent was recorded; 0 if only claimed."""
    finished_ms: int
    """0 if no outcome was recorded: the conversation may have been cut by a crash."""
    recipients: int


class JourneyLine(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a message's life, told to people by ``relayctl trace``."""

    at_ms: int
    event: str
    """``accepted``, ``claimed``, ``delivered``, ``deferred``, ``postponed``, ``bounced``, ``held``, ``released``,
    ``unknown``, ``resent``, ``dead``, ``replayed``, ``deleted``, ``recovered``, ``adopted``, ``withdrawn``,
    ``bounced_later``."""
    indexes: tuple[int, ...] = ()
    detail: dict[str, str | int] = msgspec.field(default_factory=dict)


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """A message as found, live or in history, with every recipient."""

    message: NewMessage
    recipients: tuple[Queued, ...]
    lines: tuple[JourneyLine, ...] = ()
    finished_ms: int = 0
    """When the last recipient became final; 0 while live."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages a listing or an operator's action means; empty fields match everything."""

    ids: tuple[str, ...] = ()
    states: tuple[RecipientState, ...] = ()
    client: str = ""
    sender: str = ""
    """Envelope or header sender; ``*@domain`` allowed."""
    recipient: str = ""
    reason: str = ""
    since_ms: int = 0
    until_ms: int = 0
    limit: int = 100


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many recipients stand in each state, and the age of the oldest waiting one by priority."""

    by_state: dict[str, int]
    oldest_received_ms: dict[str, int]
    body_bytes: int


class Spool(Protocol):
    """Mail at rest. All methods are called from one event loop; none blocks it."""

    async def open(self, now_ms: int) -> None:
        """Check, migrate, set aside what cannot be read; rows left in flight by a crash stay so for ``recover``.

        Raises SpoolUnusable (permanent: newer schema, network file system, not ours) with the place.
        """
        ...

    async def close(self) -> None:
        """Finish writes in progress and close; idempotent."""
        ...

    async def append(self, item: Accepted) -> None:
        """Make one message durable; concurrent calls share a transaction. Raises SpoolFull, SpoolBroken (temporary)."""
        ...

    def append_soon(self, item: Accepted) -> "Future[None]":
        """Begin ``append`` at once and give its future: the door's path, without a task for each message."""
        ...

    def new_body_path(self, message_id: str) -> Path:
        """Where a large body may be written before ``append`` (same file system)."""
        ...

    async def lanes(self) -> list[LaneState]:
        """Every lane with waiting recipients (queued or deferred)."""
        ...

    async def peek(self, lane: str, now_ms: int, limit: int, exclude: Sequence[str] = ()) -> list[Due]:
        """Oldest due messages of a lane, not claimed yet, leaving out the message ids given."""
        ...

    async def claim(self, start: AttemptStart) -> bool:
        """Durable. Put the recipients in flight if all still wait; False changes nothing."""
        ...

    async def intend(self, attempt_id: str, dot_ms: int) -> None:
        """Durable. The final dot is about to be sent (needed for classes bounce and verify)."""
        ...

    async def settle(self, settlement: Settlement) -> None:
        """Durable. Write outcomes; when the last recipient is final the body goes and history stays."""
        ...

    async def postpone(self, message_id: str, indexes: Sequence[int], until_ms: int, reason: str) -> None:
        """Durable. Not tried: make the recipients due at ``until_ms`` with the reason they wait."""
        ...

    async def recover(self, now_ms: int, counted_ms: int = 0) -> list[OpenAttempt]:
        """Durable, once after ``open`` and before any claim; ``counted_ms`` of what was cut off: see ``Settlement``.

        Recipients in flight become unknown (journey says ``unknown``, reason ``interrupted``) by their class:
        ``resend`` is queued again, ``bounce``/``verify`` with an intent stay UNKNOWN, without an intent are queued.
        Returns every attempt of the last 25 h, for the budgets.
        """
        ...

    async def unknowns(self, now_ms: int, limit: int) -> list[Due]:
        """Recipients in state UNKNOWN, oldest first, for their class's policy."""
        ...

    async def expired(self, now_ms: int, limit: int) -> list[Due]:
        """Waiting or unknown recipients whose message is past ``expires_ms``."""
        ...

    async def finish(self, message_id: str, results: Sequence[RecipientResult], now_ms: int, event: str) -> None:
        """Durable. Outcome without an attempt: expired, bounced by policy, dead.

        The event ``bounced_later`` is for delivered recipients that a report says failed after all: the only way out
        of *delivered*, and it leads to *bounced* only.
        """
        ...

    async def body(self, message_id: str) -> bytes | Path:
        """The stored body: bytes, or the file of a large one. Raises MessageGone."""
        ...

    async def hold(self, which: Filter, actor: str, why: str, now_ms: int) -> int:
        """Durable. Hold waiting recipients; number of recipients changed."""
        ...

    async def release(self, which: Filter, actor: str, why: str, now_ms: int) -> int:
        """Durable. Make held, deferred or dead recipients due now (replay); number changed."""
        ...

    async def delete(self, which: Filter, actor: str, why: str, now_ms: int) -> int:
        """Durable. Remove waiting recipients without a report; number changed."""
        ...

    async def find(self, which: Filter) -> list[MessageView]:
        """Live and past messages, newest first, without journey lines."""
        ...

    async def page(self, which: Filter, before: Spot | None = None) -> Page:
        """Live and past messages beyond a place, newest first, without lines; may be short and yet not the last."""
        ...

    async def journey(self, message_id: str) -> MessageView | None:
        """One message with all its lines."""
        ...

    async def erase(self, address: str, actor: str, now_ms: int) -> int:
        """Durable. Replace the address in finished messages and their journeys by a fixed mark; messages changed."""
        ...

    async def prune(self, before_ms: int, limit: int) -> int:
        """Durable. Drop history of messages finished before; number dropped."""
        ...

    async def count(self) -> Counts:
        """Totals, cheap enough for every scrape."""
        ...

    def export(self, message_id: str) -> AsyncIterator[bytes]:
        """The body in chunks, for ``queue export``."""
        ...
