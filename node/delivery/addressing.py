"""Makes a job fit a way without an envelope (Graph): whoever the header names goes along, the others become Bcc.

A message whose header names somebody who is no recipient, or who has it already, cannot go this way at all: that is
found out once, remembered, and told to those who choose ways. Sends nothing and claims nothing.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from node.cluster.contract import Budgets, Need, Refusal
from node.delivery.clock import steady_ms
from node.delivery.graph_line import GraphLine
from node.delivery.job import Job
from node.delivery.rebuilding import take_apart
from node.errors import RelayError
from node.policy.envelope import FINAL_STATES, Direction, RecipientState
from node.policy.headers import HEADER_BYTES
from node.policy.kinds import GRAPH_BYTES
from node.policy.marker import marker_value
from node.policy.named import fit, named_in
from node.policy.offers import Cause
from node.policy.parts import UnbuildableError
from node.spool.contract import Queued, Spool

REMEMBERED: Final = 50_000
"""Messages that cannot go; the ones found first are found out again."""
SOON_MS: Final = 2_000
LATER_MS: Final = 60_000
_WAITING: Final = frozenset({RecipientState.QUEUED, RecipientState.DEFERRED})
_LINE_ADDRESSES: Final = 3
"""Three addresses of 254 octets fit a line of 998 (RFC 5322 §2.1.1)."""


class Unfit:
    """Which messages cannot go without an envelope, and why."""

    def __init__(self) -> None:
        """Know of none."""
        self._why: OrderedDict[str, tuple[Cause, str]] = OrderedDict()

    def add(self, message_id: str, cause: Cause, why: str) -> None:
        """Remember one."""
        self._why[message_id] = cause, why
        if len(self._why) > REMEMBERED:
            self._why.popitem(last=False)

    def why(self, message_id: str) -> tuple[Cause, str] | None:
        """Give the reason; None: none is known."""
        return self._why.get(message_id)


class Addressing:
    """Prepares jobs. One for the room."""

    def __init__(self, spool: Spool, budgets: Budgets, unfit: Unfit) -> None:
        """Keep what it asks."""
        self._spool, self._budgets, self._unfit = spool, budgets, unfit

    async def prepare(self, job: Job) -> int | None:
        """Write the job's recipients as header lines into ``job.head``; None: it can go.

        Else in how many milliseconds to look again; 0 where another way must be chosen. May take further recipients
        along, and another grant for them.
        """
        message = job.message
        try:
            body = job.due.body or await self._spool.body(message.id)
            start = await _start(body)
        except (RelayError, OSError):
            return LATER_MS
        found = fit(named_in(start), {index: one.address for index, one in enumerate(message.recipients)})
        if found.why_not:
            return self._never(job, found.why_not)
        missing = set(found.indexes) - set(job.indexes)
        if missing:
            wait_ms = await self._along(job, missing, frozenset(found.indexes))
            if wait_ms is not None:
                return wait_ms
        job.head = bcc(one.address for one in job.recipients if one.index not in found.indexes)
        return await self._buildable(job, body) if message.size_bytes > GRAPH_BYTES else None

    async def _buildable(self, job: Job, body: bytes | Path) -> int | None:
        """Whether a large message can be built anew: found out before it is claimed, since a claim costs an attempt."""
        line = job.place.connection
        if not isinstance(line, GraphLine) or line.graph.large.locked():
            return SOON_MS  # others are in memory already: the place is given back meanwhile
        try:
            async with line.graph.large:
                await take_apart(job.head, body, job.message.id, marker_value(job.message.id, job.indexes))
        except UnbuildableError as error:
            return self._never(job, str(error), Cause.REBUILD)
        except OSError:
            return LATER_MS
        return None

    def _never(self, job: Job, why: str, cause: Cause = Cause.HEADER) -> int:
        self._unfit.add(job.message.id, cause, why)
        return 0

    async def _along(self, job: Job, missing: set[int], named: frozenset[int]) -> int | None:
        """Take along the recipients of the other direction whom the header names."""
        try:
            view = await self._spool.journey(job.message.id)
        except RelayError:
            return SOON_MS
        if view is None:
            return SOON_MS
        standing = {one.index: one for one in view.recipients if one.index in missing}
        if any(one.state in FINAL_STATES for one in standing.values()) or len(standing) < len(missing):
            return self._never(job, "the header names recipients who are done with")
        if any(one.state not in _WAITING for one in standing.values()):
            under_way = all(one.state in (*_WAITING, RecipientState.IN_FLIGHT) for one in standing.values())
            return SOON_MS if under_way else LATER_MS
        chosen = _chosen(job.recipients, standing, named, job.way.recipients_per_message)
        if chosen is None:
            return self._never(job, "the header names more recipients than one message may have")
        return self._granted(job, chosen)

    def _granted(self, job: Job, chosen: tuple[Queued, ...]) -> int | None:
        """Change the grant for one that covers them all; nothing else runs between the two."""
        now_ms = steady_ms()
        external = sum(one.direction is Direction.EXTERNAL for one in chosen) if job.way.counts_external else 0
        need = Need(
            account=job.way.account,
            recipients=len(chosen),
            tenant=job.way.tenant,
            external=external,
            priority=job.message.priority,
        )
        self._budgets.cancelled(job.grant, now_ms)
        grant = self._budgets.try_grant(need, now_ms)
        if isinstance(grant, Refusal):
            return max(1, grant.retry_ms - now_ms)
        job.grant, job.recipients = grant, chosen
        if external:
            job.direction = Direction.EXTERNAL
        return None


def bcc(addresses: Iterable[str]) -> bytes:
    """Give the Bcc field that names these; empty for nobody."""
    found = list(addresses)
    lines = [", ".join(found[at : at + _LINE_ADDRESSES]) for at in range(0, len(found), _LINE_ADDRESSES)]
    return b"Bcc: " + ",\r\n ".join(lines).encode() + b"\r\n" if lines else b""


def _chosen(
    mine: tuple[Queued, ...], along: Mapping[int, Queued], named: frozenset[int], most: int
) -> tuple[Queued, ...] | None:
    """Everybody the header names, and as many of the others as fit; None: not even those fit."""
    everybody = [*mine, *along.values()]
    first = [one for one in everybody if one.index in named]
    if len(first) > most:
        return None
    others = [one for one in everybody if one.index not in named][: most - len(first)]
    return tuple(sorted((*first, *others), key=lambda one: one.index))


async def _start(body: bytes | Path) -> bytes:
    return body if isinstance(body, bytes) else await asyncio.to_thread(_beginning, body)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER_BYTES + 4)
