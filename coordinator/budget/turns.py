"""Whose turn it is to keep a connection of a scope: leased keys, a lasting record, a queue of who waits (§4, Slots).

``slot/<scope>/<k>`` under the holder's lease says who has connection k; ``wait/<scope>/<node>`` under the waiter's
lease says who wants one and under which lease it may be handed over; ``budget/<scope>/slots`` remembers who had which
slot (``held/<k>``) and connections the other side may still count (``linger/<id>``). A holder that gives a slot up
hands it to the longest waiting one in the same transaction: nobody else wakes. Owners are ``node/inc/boot``.

Pure: a value, questions to it, and transactions as lists of conditions and writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from coordinator.budget import leased_slots
from coordinator.budget.leased_slots import Ended, Slots
from coordinator.store.contract import Compare, Delete, Field, Item, Put, Write, absent, unchanged

HELD = "held/"
LINGER = "linger/"
RECORD_MAX = 1_000
REVISION_DIGITS_MAX = 19
"""Of a revision of the store (int64)."""
TURN_MS = 2_000
"""How long the first in the queue has a free slot to itself, then the second too, and so on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """Who asks: its name, session and boot."""

    node: str
    inc: int
    lease: int
    boot: str

    @property
    def owner(self) -> str:
        """As written in keys and records."""
        return f"{self.node}/{self.inc}/{self.boot}"

    @classmethod
    def read(cls, owner: str) -> "Me | None":
        """Give who is meant by what a record says, without its lease; None for something of another form."""
        node, _, rest = owner.partition("/")
        inc, _, boot = rest.partition("/")
        if not (boot and inc.isascii() and inc.isdecimal() and len(inc) <= REVISION_DIGITS_MAX):
            return None
        return cls(node=node, inc=int(inc), lease=0, boot=boot)


@dataclass(slots=True, kw_only=True)
class Scene:
    """What is known of one scope, as news came; times are those of learning, by our own clock."""

    keys: "ScopeKeys"
    slots: dict[int, Item] = field(default_factory=dict)
    waits: dict[str, Item] = field(default_factory=dict)
    record: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0
    """Of the record's key; 0: absent."""
    fault: str = ""
    gone_ms: dict[int, int] = field(default_factory=dict)
    """Slots named in the record whose key is not there: since when."""
    lingering_ms: dict[str, int] = field(default_factory=dict)

    def learned(self, key: str, item: Item | None, now_ms: int) -> None:
        """Take news of one of the scope's keys."""
        if key == self.keys.record:
            self._record(item)
        elif key.startswith(self.keys.waits):
            _put(self.waits, key.removeprefix(self.keys.waits), item)
        elif (index := _index(key.removeprefix(self.keys.slots))) is not None:
            _put(self.slots, index, item)
        self._looked(now_ms)

    def _record(self, item: Item | None) -> None:
        if item is not None and item.mod_revision < self.revision:
            return
        self.revision = 0 if item is None else item.mod_revision
        try:
            self.record = {} if item is None else msgspec.json.decode(item.value, type=dict[str, str])
            wrong = [name for name in self.record if not name.startswith((HELD, LINGER))]
            too_many = len(self.record) > RECORD_MAX
            self.fault = f"entries of an unknown form: {wrong[:3]}" if wrong or too_many else ""
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.fault = f"not a record of slots: {error}"

    def _looked(self, now_ms: int) -> None:
        named = {index for name in self.record if (index := _index(name.removeprefix(HELD))) is not None}
        self.gone_ms = {index: self.gone_ms.get(index, now_ms) for index in named if index not in self.slots}
        noted = [name for name in self.record if name.startswith(LINGER)]
        self.lingering_ms = {name: self.lingering_ms.get(name, now_ms) for name in noted}

    def mine(self, me: Me) -> frozenset[int]:
        """Slots under my lease in this very session."""
        return frozenset(
            index for index, item in self.slots.items() if item.lease == me.lease and item.value == me.owner.encode()
        )

    def queue(self) -> tuple[str, ...]:
        """Who waits, longest first."""
        return tuple(sorted(self.waits, key=lambda node: self.waits[node].create_revision))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeKeys:
    """The scope's keys in the store."""

    record: str
    slots: str
    """Prefix; the index follows."""
    waits: str
    """Prefix; the node follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the other side allows, and when we look."""

    sessions: int
    linger_ms: int
    began_ms: int
    now_ms: int
    closed: frozenset[str]
    """Owners whose process is known to have ended while its host lived on: the kernel closed their connections."""

    @property
    def usable(self) -> int:
        """One of the sessions stays for connections of vanished hosts (a limit of one uses its one)."""
        return max(1, self.sessions - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A transaction; the caller adds its membership."""

    compares: tuple[Compare, ...]
    writes: tuple[Write, ...]


T = TypeVar("T")
INDEX_DIGITS_MAX = 6


def _index(text: str) -> int | None:
    """Read a slot's number; None for what is none. Thousands of digits would be no number Python reads."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= INDEX_DIGITS_MAX else None


def _put(where: dict[T, Item], name: T, item: Item | None) -> None:
    if item is None:
        where.pop(name, None)
    else:
        where[name] = item


def view(scene: Scene, rules: Rules) -> Slots:
    """The scope as a candidate sees it."""
    owners = {index: scene.record[f"{HELD}{index}"] for index in scene.gone_ms}
    unclean = {index: Ended.PROCESS if owner in rules.closed else Ended.HOST for index, owner in owners.items()}
    held = {index: item.value.decode(errors="replace") for index, item in scene.slots.items()}
    return Slots(held=held, unclean=unclean, gone_ms=scene.gone_ms, lingering_since_ms=scene.lingering_ms)


def take(scene: Scene, me: Me, rules: Rules, *, since_ms: int) -> Turn | None:
    """A free slot for me, when it is my turn: nobody waits, or those before me had their time since ``since_ms``."""
    queue = scene.queue()
    before = queue.index(me.node) if me.node in queue else len(queue)
    if scene.fault or rules.now_ms < since_ms + before * TURN_MS:
        return None
    slots = view(scene, rules)
    about = {"began_ms": rules.began_ms, "now_ms": rules.now_ms, "linger_ms": rules.linger_ms}
    for index in range(rules.usable):
        if leased_slots.may_take(slots, index, sessions=rules.sessions, **about):
            return _taking(scene, me, rules, index, slots)
    return None


def _taking(scene: Scene, me: Me, rules: Rules, index: int, slots: Slots) -> Turn:
    record = _still_lingering(scene, rules)
    if slots.unclean.get(index) is Ended.HOST:
        record[LINGER + scene.record[f"{HELD}{index}"] + f"/{index}"] = "unclean"
    record[f"{HELD}{index}"] = me.owner
    key = f"{scene.keys.slots}{index}"
    writes: list[Write] = [Put(key=key, value=me.owner.encode(), lease=me.lease), _record(scene, record)]
    if me.node in scene.waits:
        writes.append(Delete(key=scene.keys.waits + me.node))
    return Turn(compares=(absent(key), _same_record(scene)), writes=tuple(writes))


def give(scene: Scene, me: Me, rules: Rules, index: int, *, linger: bool) -> Turn | None:
    """My slot ``index`` to who waits longest, or free; ``linger``: the other side may still count its connection."""
    item = scene.slots.get(index)
    if item is None or scene.fault:
        return None
    record = _still_lingering(scene, rules)
    if linger:
        record[f"{LINGER}{me.owner}/{index}/{item.mod_revision}"] = "unclosed"
    heir = next((node for node in scene.queue() if node != me.node), None)
    compares, writes = [unchanged(item), _same_record(scene)], list[Write]()
    if heir is not None and not linger:
        wait = scene.waits[heir]
        compares.append(unchanged(wait))
        record[f"{HELD}{index}"] = wait.value.decode(errors="replace")
        writes += [Put(key=item.key, value=wait.value, lease=wait.lease), Delete(key=wait.key)]
    else:
        record.pop(f"{HELD}{index}", None)
        writes.append(Delete(key=item.key))
    return Turn(compares=tuple(compares), writes=(*writes, _record(scene, record)))


def wait(scene: Scene, me: Me) -> Turn | None:
    """A place at the end of the queue, under my lease."""
    known = scene.waits.get(me.node)
    if known is not None and known.lease == me.lease:
        return None
    key = scene.keys.waits + me.node
    compare = absent(key) if known is None else unchanged(known)
    return Turn(compares=(compare,), writes=(Put(key=key, value=me.owner.encode(), lease=me.lease),))


def wait_no_more(scene: Scene, me: Me) -> Turn | None:
    """Leave the queue."""
    known = scene.waits.get(me.node)
    return None if known is None else Turn(compares=(unchanged(known),), writes=(Delete(key=known.key),))


def _still_lingering(scene: Scene, rules: Rules) -> dict[str, str]:
    """The record without connections that nobody can count any more."""
    return {
        name: value
        for name, value in scene.record.items()
        if not name.startswith(LINGER)
        or leased_slots.still(scene.lingering_ms[name], rules.began_ms, rules.now_ms, rules.linger_ms)
    }


def _record(scene: Scene, record: Mapping[str, str]) -> Put:
    return Put(key=scene.keys.record, value=msgspec.json.encode(record))


def _same_record(scene: Scene) -> Compare:
    return Compare(key=scene.keys.record, field=Field.MOD, equals=scene.revision)
