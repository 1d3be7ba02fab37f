"""The connections of one way: how many, how old, and whose turn. Opens through ``Opener``; knows no mail.

A *place* is reserved without waiting (the dispatcher asks before it claims anything); the connection itself is
taken later. Where the upstream counts sessions, a place for a new connection comes with a leased slot, and the slot
goes back only once the connection is closed.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from node.cluster.contract import Budgets, SlotLease
from node.delivery.clock import steady_ms
from node.delivery.connection import Connection, Phase, Session
from node.delivery.endpoint import Endpoint
from node.delivery.errors import Refused
from node.delivery.opener import Opener
from node.policy import pace
from node.policy.reply import Reply, Stage
from node.telemetry.contract import Telemetry

DECK = 3
"""Attempts per connection, the ones being claimed or settled included, where no permit is at stake: a connection then
need not lie idle while the disk makes the next claim durable."""


@dataclass(slots=True, kw_only=True)
class Place:
    """The right to run one attempt now: an idle connection, or room (and a slot) for a new one."""

    pool: "Pool"
    connection: Session | None = None
    lease: SlotLease | None = None
    phases: list[Phase] = field(default_factory=list)
    live: bool = False
    """One of the way's connections is this place's."""
    life: int = 0
    """The life of the pool it was reserved in."""
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
        self._idle: list[tuple[Session, SlotLease | None]] = []
        self._busy = 0
        self._live = 0
        self._turns: deque[asyncio.Future[None]] = deque()
        self.waited_for = False
        """Somebody else waits for a slot of this account: connections are given up early."""
        self._look: asyncio.TimerHandle | None = None
        self.limit = endpoint.connections
        self._pace = pace.started(endpoint.connections) if endpoint.paced else None
        self._shut = False
        """No connection is kept for another attempt: this node may not send now."""
        self._life = 0
        """Ends with the session whose slots the connections had: none is kept from one life to the next."""
        self.opened = 0

    @property
    def open_connections(self) -> int:
        """Connections in use, being opened, or idle."""
        return self._live + len(self._idle)

    @property
    def busy(self) -> int:
        """Places in use."""
        return self._busy

    @property
    def places(self) -> int:
        """Attempts that may be under way: as many as connections, or more where claiming ahead costs no permit."""
        ahead = not self.endpoint.slotted and not self.endpoint.metered
        return self.limit * DECK if ahead else self.limit

    @property
    def full(self) -> bool:
        """True when no further attempt may begin."""
        return self._busy >= self.places

    @property
    def ahead(self) -> bool:
        """True when an attempt should claim before it has its connection: all are in use and prove the way good."""
        return self._live >= self.limit and self.places > self.limit

    def reserve(self) -> Place | None:
        """Give a place at once, or None."""
        if self.full:
            return None
        place = Place(pool=self, life=self._life)
        if self.endpoint.slotted:
            self._take_idle(place)
            if place.connection is None:
                place.lease = self._budgets.try_slot(self.endpoint.account, steady_ms())
                if place.lease is None:
                    return None
        self._busy += 1
        return place

    def _take_idle(self, place: Place) -> None:
        """Take the connection used last: the others may then grow old and close."""
        now_s = asyncio.get_running_loop().time()
        while self._idle:
            connection, lease = self._idle.pop()
            if connection.fit(now_s, waited_for=self.waited_for):
                spare = place.lease
                place.connection, place.lease, place.reused, place.live = connection, lease, True, True
                self._live += 1
                self._free(spare)  # for a connection that need not be opened any more
                return
            self._close(connection, lease)

    async def connect(self, place: Place, bound_s: float | None = None) -> Session:
        """Give the place's connection, opening it if need be. Raises Refused; the place stays reserved.

        ``bound_s``: how long opening may take, where another way could be taken instead.
        """
        if place.connection is None:
            await self._turn(place)
            self._take_idle(place)
        if place.connection is None:
            self._live += 1
            place.live = True
            place.connection = await self._opened(place, bound_s)
            self.opened += 1
            self._telemetry.count("relay_connections_opened", path=self.endpoint.path, account=self.endpoint.account)
        return place.connection

    async def _opened(self, place: Place, bound_s: float | None) -> Session:
        try:
            async with asyncio.timeout(bound_s):
                return await self._opener.open(self.endpoint, place.phases)
        except TimeoutError as error:
            raise Refused(Stage.CONNECT, Reply(code=0, text="timeout, another way is tried")) from error

    async def _turn(self, place: Place) -> None:
        """Wait for one of the connections; who waits longest is served first."""
        if place.lease is not None:
            return
        while self._live >= self.limit:
            turn = asyncio.get_running_loop().create_future()
            self._turns.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._pass_turn()
                raise

    def _pass_turn(self) -> None:
        while self._turns:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def release(self, place: Place) -> None:
        """Take the place back: keep the connection if it is still good, else close it and free its slot."""
        self._busy -= 1
        self._live -= place.live
        place.live = False
        connection, place.connection = place.connection, None
        lease, place.lease = place.lease, None
        if connection is None:
            self._free(lease)
        else:
            self._keep_or_close(connection, lease, place.life)
        self._pass_turn()

    def _keep_or_close(self, connection: Session, lease: SlotLease | None, life: int) -> None:
        now_s = asyncio.get_running_loop().time()
        connection.idle_since_s = 0.0
        room = self._live < self.limit and not self._shut and life == self._life
        if room and connection.fit(now_s, waited_for=self.waited_for):
            connection.idle_since_s = now_s
            self._idle.append((connection, lease))
            self._look_again()
        else:
            self._close(connection, lease)

    def fewer(self, seconds: float) -> None:
        """Use one connection fewer for a while: somebody else uses the mailbox too (facts m365 §4.4)."""
        if self.limit < self.endpoint.connections or self.limit == 1:
            return
        self.limit -= 1
        asyncio.get_running_loop().call_later(seconds, self._as_before)

    def by_ipv4(self, place: Place) -> None:
        """The host takes no mail by IPv6: close what is open and dial it by IPv4 only (facts m365 §4.7 row 9)."""
        host = place.connection.host if isinstance(place.connection, Connection) else self.endpoint.host
        self._opener.by_ipv4(host)
        self._life += 1
        self.close_idle()

    def _as_before(self) -> None:
        self.limit = self.endpoint.connections

    def slower(self, now_ms: int) -> None:
        """Where no limits are published: half of the connections; the other side asks for less or makes us wait."""
        if self._pace is not None:
            self._paced(pace.slowed(self._pace, now_ms))

    def smoothly(self, now_ms: int) -> None:
        """A message went through without delay: in time one connection more, up to what is configured."""
        if self._pace is not None:
            self._paced(pace.delivered(self._pace, now_ms))

    def _paced(self, now: pace.Pace) -> None:
        changed, self._pace, self.limit = self.limit != now.limit, now, now.limit
        if changed:
            names = {"path": self.endpoint.path, "account": self.endpoint.account}
            self._telemetry.gauge("relay_connections_paced", now.limit, **names)
            self._pass_turn()

    def sweep(self) -> None:
        """Close idle connections that are too old, idle too long, dead, or wanted by somebody else."""
        now_s = asyncio.get_running_loop().time()
        kept = [pair for pair in self._idle if pair[0].fit(now_s, waited_for=self.waited_for)]
        gone = [pair for pair in self._idle if not pair[0].fit(now_s, waited_for=self.waited_for)]
        self._idle = kept
        for connection, lease in gone:
            self._close(connection, lease)
        self._look_again()

    def _look_again(self) -> None:
        """While somebody waits, a connection that stays idle is noticed in time."""
        if self.waited_for and self._idle and self._look is None:
            wait_s = self.endpoint.timings.yield_idle_s
            self._look = asyncio.get_running_loop().call_later(wait_s, self._looked)

    def _looked(self) -> None:
        self._look = None
        self.sweep()

    def shut(self) -> None:
        """Keep no connection: idle ones close now, those in use as they come back, though it be after ``reopen``.

        An attempt that was cut gives its place back a turn of the loop later. By then this node may send again, with
        a new session's slots, while the connection has one of the former's.
        """
        self._shut = True
        self._life += 1
        self.close_idle()

    def reopen(self) -> None:
        """Keep what is opened from now on."""
        self._shut = False

    def close_idle(self) -> None:
        """Close every idle connection, e.g. after one of them turned out to be dead, or at the end."""
        idle, self._idle = self._idle, []
        for connection, lease in idle:
            self._close(connection, lease)

    def _close(self, connection: Session, lease: SlotLease | None) -> None:
        # Only a conversation that fell silent may live on at the upstream; one we or it closed does not.
        silent = connection.silent
        connection.close()
        self._free(lease, linger=silent)

    def _free(self, lease: SlotLease | None, *, linger: bool = False) -> None:
        if lease is not None:
            self._budgets.give_back(lease, steady_ms(), linger=linger)
