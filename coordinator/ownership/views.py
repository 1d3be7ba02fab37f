"""One pairing as one of its two ends sees it: a table of states, and the value they are states of. Pure.

Both ends see the same key, so one table serves both: either end may own the rows, the other one keeps spares. That
the key names me is worth something only if it was written *since my session began*: before, a transaction of
whoever thought me gone may still be under way, and my own rewriting of the key is what makes it fail (§3, Return).
While a transaction of mine that gives rows away is unanswered, I may have lost them already, and neither time nor
reading tells: only a newer revision of the key does (§1, no blind retry).
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from coordinator.ownership.records import Pairing, PairKey, UnreadableRecord, read_pairing
from coordinator.session import IllegalMove
from coordinator.store.contract import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """Who looks: its name and the spool it runs on."""

    node: str
    spool: str


class End(StrEnum):
    """Which end of a pairing somebody is."""

    SPOOL = "spool"
    """The rows came in here."""
    COPY = "copy"
    """The shadow, on the disk it had when the pairing was made."""
    NONE = "none"


class State(StrEnum):
    """What the pairing is to me."""

    UNPAIRED = "unpaired"
    """No key, or not one of mine."""
    UNCLAIMED = "unclaimed"
    """The key names me, but I have not written it in this session, or have none."""
    HELD = "held"
    """Mine: what I accept counts as kept twice once the other end has it, and I attempt it."""
    VOID = "void"
    """Mine alone: attempted, but nobody will adopt it; copied elsewhere."""
    LEAVING = "leaving"
    """A transaction of mine that gives or voids it is under way, or its answer was lost."""
    SPARE = "spare"
    """The other end owns it; mine if that one is gone."""
    SPARE_VOID = "spare_void"
    """The other end owns it and wants nothing of what is here."""
    STRANGE = "strange"
    """Not understood: nothing is attempted, adopted or dropped."""


class News(StrEnum):
    """What the key says, or what became of the session."""

    ABSENT = "absent"
    OLD = "old"
    """It names me and was written before my session began, or I have no session."""
    MINE = "mine"
    MINE_VOID = "mine_void"
    THEIRS = "theirs"
    THEIRS_VOID = "theirs_void"
    STRANGE = "strange"
    LEAVE = "leave"
    """I am about to send what gives or voids it."""
    ENDED = "ended"
    """My session is over."""


_SAYS: Final = {
    News.ABSENT: State.UNPAIRED,
    News.OLD: State.UNCLAIMED,
    News.MINE: State.HELD,
    News.MINE_VOID: State.VOID,
    News.THEIRS: State.SPARE,
    News.THEIRS_VOID: State.SPARE_VOID,
    News.STRANGE: State.STRANGE,
}
"""What the key says counts whatever was believed before."""

TABLE: Final = {
    **{(state, news): after for state in State for news, after in _SAYS.items()},
    **{(state, News.ENDED): state for state in State},
    (State.HELD, News.ENDED): State.UNCLAIMED,
    (State.VOID, News.ENDED): State.UNCLAIMED,
    (State.LEAVING, News.ENDED): State.UNCLAIMED,
    (State.HELD, News.LEAVE): State.LEAVING,
    (State.VOID, News.LEAVE): State.LEAVING,
}
"""Every legal move: only what is mine can be left."""


def step(state: State, news: News) -> State:
    """Take one piece of news; raises IllegalMove, and changes nothing, when it cannot happen here."""
    after = TABLE.get((state, news))
    if after is None:
        raise IllegalMove(f"{news.value} while {state.value}")
    return after


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What one end knows of one pairing."""

    key: PairKey
    state: State = State.UNPAIRED
    item: Item | None = None
    """The key as last known."""
    pairing: Pairing | None = None
    """What it says; None when there is none or it is not understood."""
    fault: str = ""
    left: int = 0
    """The revision that an unanswered transaction of mine leaves from; 0: none. It outlives the session: until its
    member key is gone for good the store may still do it."""

    @property
    def revision(self) -> int:
        """Of the key; 0 when there is none."""
        return self.item.mod_revision if self.item is not None else 0

    @property
    def epoch(self) -> int:
        """The epoch in force; 0 when there is none."""
        return self.pairing.epoch if self.pairing is not None else 0


def end_of(key: PairKey, pairing: Pairing | None, me: Me) -> End:
    """Say which end I am. A new disk under the old name is neither end of what was paired with the old one."""
    if key.spool == me.spool:
        return End.SPOOL
    if key.shadow == me.node and pairing is not None and pairing.copy == me.spool:
        return End.COPY
    return End.NONE


def learned(view: View, item: Item | None, me: Me, *, inc: int, retired: bool = False) -> View:
    """Take the key as the store tells it; what is not newer changes nothing. ``inc``: my live session, 0 without one.

    A key that was known and is gone is not understood, so the store is not what it was: only the keys of a spool that
    is ``retired`` (its disk is lost, ``retiring.py``) are deleted.
    """
    if item is None and retired:
        return View(key=view.key)
    if item is None:
        news = News.ABSENT if view.item is None else News.STRANGE
        return replace(view, state=step(view.state, news), fault="" if view.item is None else "the key is gone")
    if item.mod_revision <= view.revision:
        return view
    pairing, fault = _understood(item, view)
    left = view.left if view.left >= item.mod_revision else 0
    return _judged(replace(view, item=item, pairing=pairing, fault=fault, left=left), me, inc)


def written(view: View, value: bytes, me: Me, *, key: str, revision: int, inc: int) -> View:
    """Take the store's answer that my transaction wrote *value* at *revision*."""
    created = view.item.create_revision if view.item is not None else revision
    item = Item(key=key, value=value, create_revision=created, mod_revision=revision)
    return learned(view, item, me, inc=inc)


def _judged(view: View, me: Me, inc: int) -> View:
    return replace(view, state=step(view.state, news_of(view, me, inc=inc)))


def _understood(item: Item, view: View) -> tuple[Pairing | None, str]:
    try:
        pairing = read_pairing(item.value)
    except UnreadableRecord as error:
        return None, str(error)
    if pairing.epoch < view.epoch:
        return None, f"epoch {pairing.epoch} after {view.epoch}: put back by somebody?"
    return pairing, ""


def news_of(view: View, me: Me, *, inc: int) -> News:
    """Say what the key as known means to me in session ``inc``; 0: without one."""
    pairing = view.pairing
    if view.fault:
        return News.STRANGE
    if pairing is None or end_of(view.key, pairing, me) is End.NONE:
        return News.ABSENT
    if pairing.owner != me.node:
        return News.THEIRS_VOID if pairing.void else News.THEIRS
    if not inc or view.revision < inc or view.left:
        return News.OLD
    return News.MINE_VOID if pairing.void else News.MINE


def began(view: View, me: Me, *, inc: int) -> View:
    """Begin a session: what an earlier one sent can no longer happen, for its member key is gone."""
    return _judged(replace(view, left=0), me, inc)


def ended(view: View) -> View:
    """My session is over."""
    return replace(view, state=step(view.state, News.ENDED))


def leaving(view: View) -> View:
    """Remember, before it is sent, that the rows may be given away or void any moment from now."""
    return replace(view, state=step(view.state, News.LEAVE), left=view.revision)


def not_left(view: View, me: Me, *, inc: int) -> View:
    """The store answered that it did not give or void it: that transaction will not happen later either."""
    return _judged(replace(view, left=0), me, inc)


def may_copy(view: View) -> bool:
    """Whether rows accepted now may rely on the other end's copy under this epoch, also while there is no session.

    Whatever has become of the key meanwhile, only I void it: the other end either keeps the copy or owns it.
    """
    return view.state is State.HELD or (view.state is State.UNCLAIMED and not view.left and not _void(view))


def _void(view: View) -> bool:
    return view.pairing is not None and view.pairing.void


def mine(view: View) -> bool:
    """Whether I own what is attached to the pairing; only together with a live session."""
    return view.state in {State.HELD, State.VOID}


__all__ = [
    "TABLE", "End", "IllegalMove", "Me", "News", "State", "View", "began", "end_of", "ended", "learned", "leaving",
    "may_copy", "mine", "news_of", "not_left", "step", "written",
]  # fmt: skip
