"""The connections of one way: how many, how old, and whose turn. Opens through ``Opener``; knows no mail.

A *place* is reserved without waiting (the dispatcher asks before it claims anything); the connection itself is
taken later. Where the upstream counts sessions, a place for a new connection comes with a leased slot, and the slot
goes back only once the connection is closed.
"""

import asyncio
from dataclasses import dataclass, field

from node.cluster.contract import Budgets, SlotLease
from node.delivery.clock import steady_ms
from node.delivery.connection import Connection, Phase
from node.delivery.endpoint import Endpoint
from node.delivery.opener import Opener
from node.telemetry.contract import Telemetry


@dataclass(slots=True, kw_only=True)
class Place:
    """The right to run one attempt now: an idle connection, or room (and a slot) for a new one."""

    pool: "Pool"
    connection: Connection | None = None
    lease: SlotLease | None = None
    phases: list[Phase] = field(default_factory=list)
    reused: bool = False
    """The connection was open before: it may have died unnoticed."""


class Pool:
    """Connections to one endpoint."""

    def __init__(self, endpoint: Endpoint, opener: Opener, budgets: Budgets, telemetry: Telemetry) -> None:
        """Begin without connections."""
        self.endpoint = endpoint
        self._opener = opener
        self._budgets = budgets
        self._telemetry = telemetry
        self._idle: list[tuple[Connection, SlotLease | None]] = []
        self._busy = 0
        self.waited_for = False
        """Somebody else waits for a slot of this account: connections are given up early."""
        self.limit = endpoint.connections
        self.opened = 0

    @property
    def open_connections(self) -> int:
        """Connections in use or idle."""
        return self._busy + len(self._idle)

    @property
    def busy(self) -> int:
        """Places in use."""
        return self._busy

    @property
    def full(self) -> bool:
        """True when no further attempt may begin."""
        return self._busy >= self.limit

    def reserve(self) -> Place | None:
        """Give a place at once, or None."""
        if self._busy >= self.limit:
            return None
        connection, lease = self._pop()
        if connection is None and self.endpoint.slotted and lease is None:
            lease = self._budgets.try_slot(self.endpoint.account, steady_ms())
            if lease is None:
                return None
        self._busy += 1
        return Place(pool=self, connection=connection, lease=lease, reused=connection is not None)

    def _pop(self) -> tuple[Connection | None, SlotLease | None]:
        """Take the connection used last: the others may then grow old and close."""
        now_s = asyncio.get_running_loop().time()
        while self._idle:
            connection, lease = self._idle.pop()
            if connection.fit(now_s, waited_for=self.waited_for):
                return connection, lease
            self._close(connection, lease)
        return None, None

    async def connect(self, place: Place) -> Connection:
        """Give the place's connection, opening it if need be. Raises Refused; the place stays reserved."""
        if place.connection is None:
            place.connection = await self._opener.open(self.endpoint, place.phases)
            self.opened += 1
            self._telemetry.count("relay_connections_opened", path=self.endpoint.path, account=self.endpoint.account)
        return place.connection

    def release(self, place: Place) -> None:
        """Take the place back: keep the connection if it is still good, else close it and free its slot."""
        self._busy -= 1
        connection, place.connection = place.connection, None
        lease, place.lease = place.lease, None
        if connection is None:
            self._free(lease)
            return
        now_s = asyncio.get_running_loop().time()
        connection.idle_since_s = 0.0
        if connection.fit(now_s, waited_for=self.waited_for) and self._busy < self.limit:
            connection.idle_since_s = now_s
            self._idle.append((connection, lease))
        else:
            self._close(connection, lease)

    def fewer(self, seconds: float) -> None:
        """Use one connection fewer for a while: somebody else uses the mailbox too (facts m365 §4.4)."""
        if self.limit < self.endpoint.connections or self.limit == 1:
            return
        self.limit -= 1
        asyncio.get_running_loop().call_later(seconds, self._as_before)

    def _as_before(self) -> None:
        self.limit = self.endpoint.connections

    def sweep(self) -> None:
        """Close idle connections that are too old, idle too long, dead, or wanted by somebody else."""
        now_s = asyncio.get_running_loop().time()
        kept = [pair for pair in self._idle if pair[0].fit(now_s, waited_for=self.waited_for)]
        gone = [pair for pair in self._idle if not pair[0].fit(now_s, waited_for=self.waited_for)]
        self._idle = kept
        for connection, lease in gone:
            self._close(connection, lease)

    def close_idle(self) -> None:
        """Close every idle connection, e.g. after one of them turned out to be dead, or at the end."""
        idle, self._idle = self._idle, []
        for connection, lease in idle:
            self._close(connection, lease)

    def _close(self, connection: Connection, lease: SlotLease | None) -> None:
        # Only a conversation that fell silent may live on at the upstream; one we or it closed does not.
        silent = connection.wire.silent
        connection.wire.goodbye()
        self._free(lease, linger=silent)

    def _free(self, lease: SlotLease | None, *, linger: bool = False) -> None:
        if lease is not None:
            self._budgets.give_back(lease, steady_ms(), linger=linger)
