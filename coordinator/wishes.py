"""What operators wish of the whole cluster, kept under ``control/``: records, rules, and what is in force now. Pure.

A wish counts only if it was signed by a node of the list in force (``signing.py``); whoever can merely write the store
can neither make one nor alter one. Of one key the wish with the highest sequence ever seen counts, so an older one put
back is ignored. A wish is replaced by its end (``on`` False), never deleted by us; a key that is gone wishes nothing.

``made_ms`` and ``until_ms`` are wall clocks: an end may come a second early or late, nothing depends on it.

That a node is dead was said of the session it had: once it begins another one the wish is over, whatever the key says
still, and somebody writes its end (``node/cluster/revived.py``).
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from coordinator.errors import CoordinatorError
from coordinator.keys import Keys, Role
from coordinator.store.contract import Change, Item, Seen

FORM: Final = 1
"""The form of wishes this version writes, and the newest it reads."""
WISHES_MAX: Final = 2_000
"""Keys looked at; more of them are ignored, and said."""
VALUE_MAX_BYTES: Final = 16 * 1024
ACTOR_MAX, REASON_MAX, WHAT_MAX = 64, 512, 320
PAUSE_MAX_MS: Final = 7 * 86_400_000
"""A cluster without takeover for longer than a week is a mistake."""
MOVE_MAX_MS: Final = 3_600_000
"""A wish to move that nobody could fulfil is forgotten after an hour at most."""
ALL: Final = "all"
"""What a hold of everything names."""


class BadWish(CoordinatorError):  # noqa: N818 - a state of affairs
    """A value under ``control/`` that is no wish to be followed; the text says why."""

    temporary = False


class Kind(StrEnum):
    """What can be wished."""

    PARK = "park"
    """Do not use a scope (its end: use it again now)."""
    HOLD = "hold"
    """Take in and keep, but attempt nothing of a scope, or of ``all``."""
    DRAIN = "drain"
    """A node gives away what it holds and takes nothing new."""
    PAUSE = "pause"
    """No takeover and no adoption anywhere."""
    MOVE = "move"
    """An address shall be held by a node."""
    DEAD = "dead"
    """A node is gone for good, its machine switched off: what it owned is taken over without a delay."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One wish as it is signed. ``on`` False ends what the key wished before."""

    form: int = FORM
    kind: Kind
    what: str = ""
    """The scope, node or address; empty for a pause."""
    to: str = ""
    """For a move: the node."""
    on: bool = True
    actor: str
    """Who asked, as the node that signs knows it."""
    reason: str
    node: str
    """Who signs."""
    sequence: int
    made_ms: int
    until_ms: int = 0
    """When it ends by itself; 0: never."""

    def in_force(self, now_ms: int) -> bool:
        """Tell whether it is to be followed now (wall clock)."""
        return self.on and (self.until_ms == 0 or now_ms < self.until_ms)


Verify = Callable[[str, bytes], Wish]
"""Takes a key and its value, gives the wish inside. Raises BadWish."""


def suffix_of(kind: Kind, what: str) -> str:
    """Name the key below ``control/`` of a wish about something."""
    return kind.value if kind is Kind.PAUSE else f"{kind.value}/{what}"


def fault_of(wish: Wish) -> str:
    """Say what makes a wish unusable, whoever signed it; empty when nothing does."""
    texts = ((wish.actor, ACTOR_MAX), (wish.reason, REASON_MAX), (wish.what, WHAT_MAX), (wish.to, WHAT_MAX))
    faults = (
        (not 1 <= wish.form <= FORM, f"form {wish.form} is a newer version's"),
        (min(wish.sequence - 1, wish.made_ms, wish.until_ms) < 0, "a number below nothing"),
        (any(len(text) > most for text, most in texts), "a text that is too long"),
        (any(not text.isprintable() for text, _ in texts), "a text with control characters"),
        (not wish.actor or not wish.node, "nobody's name on it"),
        ((wish.kind is Kind.PAUSE) == bool(wish.what), "a pause of something, or another wish of nothing"),
        (wish.on and wish.kind is Kind.MOVE and not wish.to, "a move that names no node"),
    )
    return next((text for wrong, text in faults if wrong), "") or (_fault_of_time(wish) if wish.on else "")


def _fault_of_time(wish: Wish) -> str:
    most_ms = {Kind.PAUSE: PAUSE_MAX_MS, Kind.MOVE: MOVE_MAX_MS}.get(wish.kind)
    if most_ms is not None and not 0 < wish.until_ms - wish.made_ms <= most_ms:
        return f"a {wish.kind.value} needs an end, at most {most_ms // 3_600_000} h after it was made"
    return "an end before its beginning" if 0 < wish.until_ms <= wish.made_ms else ""


class WishBook:
    """Every wish there is, as one process knows them. Feed it what a watch of the cluster's keys tells.

    At most ``WISHES_MAX`` wishes; ``floors`` (the highest sequence seen for each key) may be kept on disk, so that
    an old wish put back while the process was down is recognised too.
    """

    def __init__(self, keys: Keys, verify: Verify, *, floors: Mapping[str, int] | None = None) -> None:
        """Know no wish."""
        self._root, self._verify = keys.control(""), verify
        self._members = keys.member(Role.NODE, "")
        self._sessions: dict[str, int] = {}
        """The revision at which the newest session ever seen of a node began."""
        self._revisions: dict[str, int] = {}
        self._wishes: dict[str, Wish] = {}
        self._values: dict[str, bytes] = {}
        self._faults: dict[str, str] = {}
        self._floors: dict[str, int] = dict(floors or {})

    @property
    def floors(self) -> Mapping[str, int]:
        """The highest sequence seen for each key below ``control/``."""
        return MappingProxyType(self._floors)

    @property
    def faults(self) -> Mapping[str, str]:
        """Keys below ``control/`` whose value is ignored, and why: for the log, ``status`` and an alarm."""
        return MappingProxyType(self._faults)

    def feed(self, seen: Seen) -> tuple[Wish, ...]:
        """Take what a watch told; gives the wishes that are new since, ends among them."""
        if seen.resync:
            present = {change.key for change in seen.changes}
            self._forget(name for name in {*self._values, *self._faults} if self._root + name not in present)
        for change in seen.changes:
            if change.item is not None and change.key.startswith(self._members):
                self._there(change.key.removeprefix(self._members), change.item.create_revision)
        changed = (self._take(change) for change in seen.changes if change.key.startswith(self._root))
        return tuple(wish for wish in changed if wish is not None)

    def _there(self, node: str, began: int) -> None:
        if node in self._sessions or len(self._sessions) < WISHES_MAX:
            self._sessions[node] = max(began, self._sessions.get(node, 0))

    def feed_items(self, items: Iterable[Item]) -> tuple[Wish, ...]:
        """Take a listing as the whole truth."""
        changes = tuple(Change(key=item.key, item=item, revision=item.mod_revision) for item in items)
        return self.feed(Seen(changes=changes, revision=0, resync=True))

    def get(self, kind: Kind, what: str = "") -> Wish | None:
        """Give the last wish about something, whether in force or ended."""
        return self._wishes.get(suffix_of(kind, what))

    def pause(self, now_ms: int) -> Wish | None:
        """Give the pause in force."""
        return self._now(Kind.PAUSE, "", now_ms)

    def move(self, address: str, now_ms: int) -> Wish | None:
        """Give the wish in force about where an address shall be (``.to``)."""
        return self._now(Kind.MOVE, address, now_ms)

    def drain(self, node: str, now_ms: int) -> Wish | None:
        """Give the wish in force that a node shall be drained."""
        return self._now(Kind.DRAIN, node, now_ms)

    def dead(self, now_ms: int) -> frozenset[str]:
        """Name the nodes that are declared dead and have begun no session since."""
        return frozenset(wish.what for wish in self.in_force(now_ms) if wish.kind is Kind.DEAD)

    def revived(self, now_ms: int) -> tuple[Wish, ...]:
        """Give the wishes that declare a node dead which has begun a session since: their end is to be written."""
        return tuple(wish for wish in self._wishes.values() if wish.in_force(now_ms) and self._is_back(wish))

    def _is_back(self, wish: Wish) -> bool:
        if wish.kind is not Kind.DEAD:
            return False
        return self._sessions.get(wish.what, 0) > self._revisions.get(suffix_of(wish.kind, wish.what), 0)

    def park(self, scope: str, now_ms: int) -> Wish | None:
        """Give the wish in force that a scope shall not be used."""
        return self._now(Kind.PARK, scope, now_ms)

    def hold(self, scope: str, now_ms: int) -> Wish | None:
        """Give the wish in force that keeps a scope's work waiting, its own or the one for everything."""
        return self._now(Kind.HOLD, scope, now_ms) or self._now(Kind.HOLD, ALL, now_ms)

    def in_force(self, now_ms: int) -> tuple[Wish, ...]:
        """Give every wish in force, by key."""
        wishes = (self._wishes[name] for name in sorted(self._wishes))
        return tuple(wish for wish in wishes if wish.in_force(now_ms) and not self._is_back(wish))

    def stands(self, wish: Wish, present: Item | None) -> bool:
        """Whether what its key holds is this wish still, as far as it was seen."""
        name = suffix_of(wish.kind, wish.what)
        same = present is not None and self._values.get(name) == present.value
        return same and self._wishes.get(name) == wish

    def next_sequence(self, kind: Kind, what: str, now_ms: int, present: Item | None = None) -> int:
        """Give the next wish's sequence: beyond all seen and ``present``, and by the clock for who saw none."""
        name = suffix_of(kind, what)
        floor = self._floors.get(name, 0)
        if present is not None:
            with suppress(BadWish):
                floor = max(floor, self._checked(name, present).sequence)
        return max(floor + 1, now_ms, 1)

    def _now(self, kind: Kind, what: str, now_ms: int) -> Wish | None:
        wish = self._wishes.get(suffix_of(kind, what))
        return wish if wish is not None and wish.in_force(now_ms) else None

    def _take(self, change: Change) -> Wish | None:
        name = change.key.removeprefix(self._root)
        if change.item is None:
            self._forget([name])
            return None
        if self._values.get(name) == change.item.value:
            return None  # a resync tells what is known
        self._forget([name])
        try:
            wish = self._checked(name, change.item)
        except BadWish as error:
            if len(self._faults) < WISHES_MAX:
                self._faults[name] = str(error)
            return None
        news = wish.sequence > self._floors.get(name, 0)
        self._wishes[name], self._values[name], self._floors[name] = wish, change.item.value, wish.sequence
        self._revisions[name] = change.item.mod_revision
        return wish if news else None

    def _checked(self, name: str, item: Item) -> Wish:
        if len(self._wishes) >= WISHES_MAX or (name not in self._floors and len(self._floors) >= 2 * WISHES_MAX):
            raise BadWish(f"more than {WISHES_MAX} wishes")
        if len(item.value) > VALUE_MAX_BYTES:
            raise BadWish(f"{len(item.value)} bytes, more than {VALUE_MAX_BYTES}")
        wish = self._verify(item.key, item.value)
        if name != suffix_of(wish.kind, wish.what):
            raise BadWish(f"is about {suffix_of(wish.kind, wish.what)!r}")
        fault = fault_of(wish)
        if fault:
            raise BadWish(fault)
        floor = self._floors.get(name, 0)
        if wish.sequence < floor:
            raise BadWish(f"sequence {wish.sequence} is older than {floor}, already seen: put back by somebody?")
        return wish

    def _forget(self, names: Iterable[str]) -> None:
        for name in tuple(names):
            self._wishes.pop(name, None)
            self._values.pop(name, None)
            self._faults.pop(name, None)
            self._revisions.pop(name, None)
