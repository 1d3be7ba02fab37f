"""What an end does next about a pairing: claim, adopt, void, give, pair, or nothing (coordination-review §3). Pure.

Delays count from the later of "its key disappeared" and "my session began" (§1). An operator's word that a node is
dead replaces the delay, never the transaction's conditions; a pause forbids adoption all the same.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from coordinator.ownership.records import Pairing
from coordinator.ownership.seats import Seat, Seats
from coordinator.ownership.views import End, Me, State, View, end_of, mine
from coordinator.session import Session, delay_over

ADOPTION_DELAY_MS: Final = 5_000
"""A node that comes back at once keeps its rows; and whoever stalled between its last look and its deed is over it."""
REPROTECT_DELAY_MS: Final = 15_000
"""An end that is away for longer gets no more rows, and those it has are copied elsewhere."""
ALONE_DELAY_MS: Final = 60_000
"""Rows that may not be attempted before the other end knows of it wait so long for it, if there is nobody else."""


class Move(StrEnum):
    """The transaction to make now (``writes.py``)."""

    NOTHING = "nothing"
    CLAIM = "claim"
    ADOPT = "adopt"
    VOID = "void"
    GIVE = "give"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """Rows of one pairing's epoch on this disk."""

    own: int = 0
    spare: int = 0
    """Of kind shadow or given."""
    moving: int = 0
    """Under way: an attempt begun and not yet settled."""
    unconfirmed: int = 0
    """Own ones that the other end has not said it has."""
    asking: int = 0
    """Own ones that are attempted only when the other end knows of it."""
    wanted: bool = False
    """The spool's node, which keeps no row under it any more, asked for the key at this very revision of it
    (``may_ask_back``): one asked for before may have been filled again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a decision looks at besides the pairing and its rows."""

    me: Me
    session: Session
    now_ms: int
    seats: Seats
    opened: bool = True
    """My spool was opened in this session."""
    paused: bool = False
    dead: frozenset[str] = field(default=frozenset())
    """Nodes an operator has declared dead (fenced)."""
    leaving: bool = False
    """I give away what I have (drain, no way out)."""
    elsewhere: bool = False
    """Another pairing of my spool is held, with its shadow there: copying begins as soon as this one is void."""
    retired: bool = False
    """The disk that the pairing's spool was on is lost, by the spool's record (``retiring.py``)."""
    adoption_delay_ms: int = ADOPTION_DELAY_MS
    reprotect_delay_ms: int = REPROTECT_DELAY_MS
    alone_delay_ms: int = ALONE_DELAY_MS

    @property
    def live(self) -> bool:
        """Whether anything may be done at all."""
        return self.session.live(self.now_ms) and self.opened


def decide(view: View, here: Here, scene: Scene) -> Move:
    """Say what to do about a pairing now; asked again after every event and about once a second."""
    if not scene.live:
        return Move.NOTHING
    if view.state in {State.UNCLAIMED, State.LEAVING}:
        return Move.CLAIM
    if may_remove(view, here, scene):
        return Move.REMOVE
    if not mine(view):
        adopts = view.state is State.SPARE and may_adopt(view, here, scene)
        return Move.ADOPT if adopts else Move.NOTHING
    if may_give(view, here, scene):
        return Move.GIVE
    return Move.VOID if view.state is State.HELD and copies_are_over(view, here, scene) else Move.NOTHING


def may_adopt(view: View, here: Here, scene: Scene) -> bool:
    """Whether the other end's rows are mine to take: it is gone for the whole delay, and there is something to take."""
    pairing = view.pairing
    if pairing is None or not adoptable(view) or scene.paused or not here.spare:
        return False
    spool, seat = owners_spool(view, pairing), scene.seats.get(pairing.owner)
    if scene.seats.with_spool(spool) is not None or (seat is not None and seat.spool in {"", spool}):
        return False
    return pairing.owner in scene.dead or gone_for(spool, scene, adoption_delay_ms(scene))


def adoptable(view: View) -> bool:
    """Whether anybody may ever adopt it: it is not void."""
    return view.pairing is not None and not view.pairing.void


def adoption_delay_ms(scene: Scene) -> int:
    """How long the owner must have been away."""
    return scene.adoption_delay_ms


def owners_spool(view: View, pairing: Pairing) -> str:
    """Name the spool the owner works on: the shadow's if the shadow owns it, else the pairing's own."""
    return pairing.copy if pairing.owner == view.key.shadow else view.key.spool


def gone_for(spool: str, scene: Scene, delay_ms: int) -> bool:
    """Whether nobody has had a spool for so long, and I could have seen it for so long."""
    return delay_over(scene.seats.spool_gone_ms(spool), scene.session.began_ms, delay_ms, scene.now_ms)


def other_end(view: View, scene: Scene) -> Seat | None:
    """Give the seat of the other end if it is there on the disk the pairing knows."""
    spool = _other_spool(view, scene)
    return scene.seats.with_spool(spool) if spool else None


def _other_spool(view: View, scene: Scene) -> str:
    if view.pairing is None:
        return ""
    return view.pairing.copy if end_of(view.key, view.pairing, scene.me) is End.SPOOL else view.key.spool


def copies_are_over(view: View, here: Here, scene: Scene) -> bool:
    """Whether what the other end has shall no longer count: the pairing must be void before anything is copied.

    The shadow has another disk: at once. It stays away, there are rows, and copying them elsewhere can begin: after the
    delay. And what I adopted moves under my own spool's pairings as soon as there is one: the spool's own node needs
    the key again, and gets no new pairing under it while rows of its are mine.
    """
    at_copy = end_of(view.key, view.pairing, scene.me) is End.COPY
    if at_copy and scene.elsewhere and here.own and not scene.leaving:
        return True
    if other_end(view, scene) is not None:
        return False
    shadow = scene.seats.get(view.key.shadow)
    if not at_copy and shadow is not None and shadow.spool:
        return True
    spool = _other_spool(view, scene)
    if scene.elsewhere and here.own:
        return gone_for(spool, scene, scene.reprotect_delay_ms)
    return bool(here.asking) and gone_for(spool, scene, scene.alone_delay_ms)


def may_remove(view: View, here: Here, scene: Scene) -> bool:
    """Whether the key of a lost disk's pairing may go: I am its shadow, and nothing is left under it here.

    Nothing comes any more either: who has the disk is not let in, and copies of it are refused (``answers.received``).
    """
    at_copy = end_of(view.key, view.pairing, scene.me) is End.COPY
    understood = view.state not in {State.UNPAIRED, State.STRANGE}
    rows = here.own or here.spare or here.moving
    return scene.retired and not scene.paused and at_copy and understood and not rows


def may_give(view: View, here: Here, scene: Scene) -> bool:
    """Whether to hand over to the other end now: it is there, no row is under way, and it has every one.

    The shadow also gives back, void or not, a key under which neither end has rows any more: only who owns a key
    changes it, and the spool's node needs it for new pairings.
    """
    if other_end(view, scene) is None or here.moving:
        return False
    if not here.own:
        return here.wanted and end_of(view.key, view.pairing, scene.me) is End.COPY
    return scene.leaving and view.state is State.HELD and not here.unconfirmed


def may_ask_back(view: View, here: Here, scene: Scene) -> bool:
    """Whether to ask the shadow for the key of a pairing of my spool that it owns: nothing here waits for its word."""
    at_spool = end_of(view.key, view.pairing, scene.me) is End.SPOOL
    return at_spool and view.state in {State.SPARE, State.SPARE_VOID} and not here.own and not here.spare


def may_pair(view: View, here: Here, shadow: Seat, scene: Scene) -> bool:
    """Whether to make a pairing with *shadow* under this key (§3, Pair: "absent or not mine or void").

    Not mine, only once its owner's disk is gone for good, and nothing here could be taken back instead: what I know
    of my own rows would not do, for a disk may have forgotten some that the owner still has.
    """
    if not scene.live or shadow.node == scene.me.node or shadow.spool in {"", scene.me.spool}:
        return False
    if view.state in {State.UNPAIRED, State.VOID}:
        return True
    replaced = view.pairing is not None and view.pairing.copy != shadow.spool
    return replaced and (view.state is State.SPARE_VOID or (view.state is State.SPARE and not here.spare))
