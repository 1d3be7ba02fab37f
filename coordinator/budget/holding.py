"""One holder's part of a limit that is shared through records: what it may use, what it writes next (§4).

A ``Holding`` is a value. Whoever keeps it tells it what the store says (``adopted`` at the begin of each session,
``learned`` from news), asks ``next_move`` for a record to write, says so just before it is sent (``sending``) and what
became of it (``done``, ``undone``, ``unanswered``). The write must compare the holding's ``revision`` of the record's
key and the holder's membership. ``share`` is what may be out at once, always at its lowest reading: what is given
away is gone from here before it is sent, what is gained comes with the answer, and a move that was never answered
counts as done and as not done until the record has moved on.

Pure (coordination-review §1 "no blind retry", §4, §5): no clock, no store, no task.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from coordinator.budget import shares
from coordinator.budget.shares import Overdrawn, Record

IDLE_MS = 30_000
"""Without work for so long, what is free goes back to the pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What one holder knows of one limit."""

    holder: str
    limit: int
    """The limit in force."""
    inc: int = 0
    """The session whose begin our knowledge is not older than; 0 before the first: then nothing may be moved."""
    record: Record | None = None
    """The newest record understood; None when there is none yet."""
    revision: int = 0
    """Of the record's key, also when its value was not understood; 0: no such key."""
    sent: Record | None = None
    """A move on its way, on this revision."""
    unsure: bool = False
    """Nobody answered whether ``sent`` happened."""
    fault: str = ""
    """Why the record is not believed: nobody moves anything, what was held stays."""
    moved: Mapping[str, int] = field(default_factory=dict)
    """``giver/taker`` → permits ever moved between them while the store was silent, by our own books (§5)."""

    @property
    def share(self) -> int:
        """Permits that are ours whatever has become of our moves."""
        if self.record is None:
            return 0
        here = self._reading(self.record)
        return here if self.sent is None else min(here, self._reading(self.sent))

    def _reading(self, record: Record) -> int:
        """Our share by a record, and what was moved since without the store."""
        mine = shares.share_of(record, self.holder)
        for pair, total in self.moved.items():
            giver, _, taker = pair.partition("/")
            moved = shares.unwritten(record, giver, taker, total)
            mine += moved * ((taker == self.holder) - (giver == self.holder))
        return max(0, mine)

    @property
    def size(self) -> int:
        """The limit the record was made for."""
        return self.limit if self.record is None else shares.size_of(self.record, self.limit)

    @property
    def allowance(self) -> int:
        """Permits that may be out under the limit in force: all parts shrink alike while a lowered one settles."""
        return self.share if self.size <= self.limit else self.share * self.limit // self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the holder alone knows when it decides."""

    out: int
    """Permits out: of units under way, or returning later."""
    wants: bool = False
    """There is work and no free permit."""
    urgent: bool = False
    """Some of that work goes first."""
    queues: bool = False
    """What is free waits for something else: only what is over a fair part is given."""
    turn: bool = False
    """A first permit came and was not used yet: it is not passed on at once, however many wait."""
    idle: bool = False
    """No work for ``IDLE_MS``, or none that could be done now."""
    gone: tuple[str, ...] = ()
    """Holders whose session ended H + W ago (session.delay_over): their shares may be taken back."""


# -- what the store says


def adopted(holding: Holding, inc: int, value: bytes | None, revision: int) -> Holding:
    """Take the key's state as of the begin of session ``inc`` or later: no move of an earlier one can still happen.

    News may have overtaken that reading; what they told is then as good and newer.
    """
    clean = replace(holding, inc=inc, sent=None, unsure=False)
    return clean if value is not None and revision < holding.revision else _taken(clean, value, revision)


def learned(holding: Holding, value: bytes | None, revision: int) -> Holding:
    """Take news of the key; older than what is known, or the same, changes nothing.

    ``revision`` is the value's own; for a key deleted, that of the deletion.
    """
    return holding if revision <= holding.revision else _taken(holding, value, revision)


def _taken(holding: Holding, value: bytes | None, revision: int) -> Holding:
    if value is None and holding.record is None and not holding.revision:
        return replace(holding, sent=None, unsure=False, fault="")
    try:
        record = shares.checked(_read(value), holding.limit)
    except Overdrawn as error:
        return replace(holding, revision=revision, fault=str(error))
    return replace(holding, record=record, revision=revision, sent=None, unsure=False, fault="")


def _read(value: bytes | None) -> Record:
    """Raises Overdrawn for what is no record: garbage, a newer version's form, a record that was deleted."""
    if value is None:
        raise Overdrawn("the record is gone though permits are held under it")
    try:
        return msgspec.json.decode(value, type=dict[str, int])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Overdrawn(f"not a record of shares: {error}") from None


# -- what becomes of moves


def sending(holding: Holding, record: Record) -> Holding:
    """Just before a move is sent; from here on the share is at the lower of both readings."""
    return replace(holding, sent=record)


def done(holding: Holding, revision: int) -> Holding:
    """The move happened at ``revision``."""
    if revision <= holding.revision or holding.sent is None:
        return holding
    return replace(holding, record=holding.sent, revision=revision, sent=None, unsure=False)


def undone(holding: Holding, value: bytes | None, revision: int) -> Holding:
    """The move did not happen: the key's present value and revision, 0 when it is absent.

    The revision may be the one we knew, when something else in the same transaction did not hold.
    """
    back = refused(holding)
    if value is None and holding.record is not None:
        return _taken(back, None, holding.revision)
    return learned(back, value, revision)


def unanswered(holding: Holding) -> Holding:
    """Nobody said whether the move happened: both readings count until the record has moved on."""
    return replace(holding, unsure=holding.sent is not None)


def refused(holding: Holding) -> Holding:
    """The move was not carried out, and nothing is said of the key; an earlier try of the same may still be."""
    return holding if holding.unsure else replace(holding, sent=None)


def limited(holding: Holding, limit: int) -> Holding:
    """Another limit is in force."""
    return replace(holding, limit=limit)


def encode(record: Record) -> bytes:
    """A record as it is written."""
    return msgspec.json.encode(record)


def others(holding: Holding) -> frozenset[str]:
    """Everybody else with a share or a place in the queue."""
    return shares.holders(holding.record or {}) - {holding.holder}


# -- what to do


def next_move(holding: Holding, now: Situation) -> Record | None:
    """The record to write now, or None. One write does all there is to do for this limit."""
    if not holding.inc or holding.fault:
        return None
    if holding.sent is not None:
        # The move nobody answered may still happen: the very same again, so that only one of the two can.
        return holding.sent if holding.unsure else None
    if holding.record is None:
        return _created(holding, now) if now.wants or now.urgent else None
    record = holding.record
    for pair, total in holding.moved.items():
        giver, _, taker = pair.partition("/")
        record = shares.settle_moved(record, giver, taker, total)
    for node in now.gone:
        record = shares.reclaim(record, node).record if node != holding.holder else record
    record = shares.resize(record, holding.size, holding.limit).record
    record = _own_part(holding, record, now)
    return None if record == holding.record else record


def _created(holding: Holding, now: Situation) -> Record:
    """A first record; what is out already (of a life without a cluster) is ours."""
    ours = min(holding.limit, max(now.out, shares.lot_of(holding.limit)))
    whole = shares.fresh(holding.limit)
    return {**whole, shares.POOL: holding.limit - ours, shares.SHARE + holding.holder: ours}


def _own_part(holding: Holding, record: Record, now: Situation) -> Record:
    me, free = holding.holder, max(0, holding.share - now.out)
    lacking = shares.size_of(record, holding.limit) - holding.limit - record.get(shares.POOL, 0)
    over = min(free, holding.share - holding.allowance, lacking)
    if over > 0:
        return shares.give_back(record, me, over).record
    if now.idle:
        return _parted(record, me, free)
    given = _given(record, holding, now, free)
    if given is not record or shares.size_of(record, holding.limit) > holding.limit:
        return given
    if now.urgent and not free:
        taken = shares.take(record, me, holding.limit)
        return taken.record if taken.gained else shares.ask(taken.record, me, urgent=True).record
    return shares.take(record, me, holding.limit).record if now.wants and not free else record


def _parted(record: Record, me: str, free: int) -> Record:
    """All that is free: to who waits longest, else to the pool."""
    record = shares.give_back(record, me, 0).record
    waiting = shares.urgently_waiting(record) + shares.waiting(record)
    moved = shares.hand(record, me, waiting[0], free) if waiting and free else shares.give_back(record, me, free)
    return moved.record


def _given(record: Record, holding: Holding, now: Situation, free: int) -> Record:
    """Something for who waits: urgent work first, then those below a fair part, then whoever has use for it."""
    me = holding.holder
    urgent = [name for name in shares.urgently_waiting(record) if name != me]
    if free and urgent and not now.urgent:
        return shares.hand(record, me, urgent[0], 1).record
    for taker in shares.waiting(record):
        count = _for(record, holding, taker, free, now)
        if taker != me and count > 0:
            return shares.hand(record, me, taker, count).record
    return record


def _for(record: Record, holding: Holding, taker: str, free: int, now: Situation) -> int:
    """How many for this one: half of what lies free, or, from who has work itself, only what is over a fair part."""
    if not (now.wants or now.urgent or now.queues or now.turn):
        return max(1, free // 2) if free else 0
    fair, theirs = fair_part(record, holding.limit), shares.share_of(record, taker)
    return min(free, holding.share - max(fair, int(now.turn)), max(1, fair) - theirs)


def fair_part(record: Record, limit: int) -> int:
    """The limit divided by everybody who has or wants some; 0 when there are more of them than permits."""
    return limit // max(1, len(shares.holders(record)))


def usable(holding: Holding, *, needs: bool) -> int:
    """How many permits may be out here: what is over it, once free, is kept for who waits.

    ``needs``: there is more work here than permits; without that what lies free is enough to give from.
    """
    record, me, allowed = holding.record, holding.holder, holding.allowance
    if record is None or not needs or holding.fault:
        return allowed
    if any(name != me for name in shares.urgently_waiting(record)) and shares.URGENT + me not in record:
        return max(0, allowed - 1)
    fair = fair_part(record, holding.limit)
    poorer = [name for name in shares.waiting(record) if name != me and shares.share_of(record, name) < max(1, fair)]
    return max(min(allowed, fair), allowed - shares.lot_of(holding.limit)) if poorer else allowed
