"""Standings shared by the cluster: what one node finds out about an account, path, tenant or client, all know.

``health/<scope>`` holds a standing until somebody settles it; it changes only by transactions that compare what was
read and the writer's own session. Nothing is polled: without news this part does nothing. Everything happens in the
event loop; ``HealthBook`` stays what it is, a value. Which standings are shared, and how two become one, is said in
``health_records``; who probes after a long rest in ``probe_rights``. Sources: design §7, operations M10.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from coordinator.errors import NotAMember
from coordinator.keys import Keys, encode
from coordinator.store.contract import Change as KeyChange
from coordinator.store.contract import Delete, Item, Put, Seen, StoreError, Write, absent, unchanged
from node.cluster.health_records import (
    EVERYWHERE,
    SHARED_MAX,
    SITE,
    Record,
    Voice,
    adoptable,
    by_hand,
    decoded,
    down_everywhere,
    name_of,
    shareable,
    stale,
    voice_of,
    voices,
    works_for_us,
    worse,
    worth_telling,
)
from node.cluster.probe_rights import AGAIN_S, TIMEOUT_S, Guarded, ProbeRights, Surroundings
from node.cluster.wishes import Follows
from node.policy.health import Change, HealthBook
from node.policy.standing import HEALTHY, Standing, State

TRIES_MAX: Final = 3
_log = logging.getLogger(__name__)


class SharedHealth:
    """Keeps a ``HealthBook`` and the cluster's keys alike: ``changed`` takes the node's news, ``run`` tells them."""

    def __init__(self, book: HealthBook, session: Guarded, keys: Keys, around: Surroundings) -> None:
        """Begin with what the book knows; ``follow`` and ``run`` start the work. The book asks us before it probes."""
        self._book, self._session, self._around = book, session, around
        self._prefix = f"{keys.root}health/"
        self._items: dict[str, Item] = {}
        self._records: dict[str, Record] = {}
        self._written: dict[str, int] = {}
        self._dirty: set[str] = set()
        self._writing = ""
        """What is being told; a change meanwhile makes it dirty again."""
        self._news = asyncio.Event()
        self.probes = ProbeRights(session, keys, around)
        book.may_probe = self._may_probe

    def follow(self, feed: Follows) -> Callable[[], None]:
        """Take everything the watch tells; gives the way out."""
        return feed.subscribe(self.take)

    def changed(self, change: Change) -> None:
        """Take a standing this node's own attempts changed; ``run`` tells the others."""
        scope, name = change.scope, name_of(change.scope, self._around.node)
        if not shareable(scope):
            return
        self.probes.heard(change)
        if change.before.by == EVERYWHERE and change.after.state is State.HEALTHY:
            self._judge([self._own(scope)])  # a path down everywhere was tried from here
        if worth_telling(change.after) or name in self._items:
            self._tell(name)
        else:
            self.probes.finish()

    def settle(self, scope: str) -> None:
        """Make the cluster say of a scope what the book says now (after an operator's word)."""
        if shareable(scope):
            self._tell(name_of(scope, self._around.node))

    async def run(self) -> None:
        """Tell the others until cancelled; a store out of reach is asked again, what is to be told is kept."""
        probing = asyncio.create_task(self.probes.run(), name="probe rights")
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                try:
                    for name in tuple(self._dirty):
                        await self._told(name)
                    self.probes.finish()
                except (StoreError, NotAMember):
                    await asyncio.sleep(AGAIN_S)
                    self._news.set()
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)

    # -- telling

    def _tell(self, name: str) -> None:
        self._dirty.add(name)
        self._news.set()

    async def _told(self, name: str) -> None:
        """Write one, which stays to be told if that fails, or if it changes while it is written."""
        self._dirty.discard(name)
        self._writing = name
        try:
            await self._write(name)
        except BaseException:
            self._dirty.add(name)
            raise
        finally:
            self._writing = ""

    async def _write(self, name: str) -> None:
        """Bring one key in line with the book; somebody else's word in between is taken in first."""
        for _ in range(TRIES_MAX):
            item, target = self._items.get(name), self._target(name)
            if isinstance(target, _AsIs) or (target is None and item is None):
                return
            if item is None and len(self._items) >= SHARED_MAX:
                _log.error("standing of %s stays on this node: the cluster keeps %d already", name, SHARED_MAX)
                return
            key = self._prefix + name
            write: Write = Delete(key=key) if target is None else Put(key=key, value=encode(target))
            compare = absent(key) if item is None else unchanged(item)
            outcome = await self._session.guarded([compare], [write], timeout_s=TIMEOUT_S)
            found = next((each for each in outcome.found if each.key == key), None)
            if outcome.succeeded:
                found = _as_written(write, outcome.revision)
            self._written[name] = outcome.revision if found is None else found.mod_revision
            self._keep(name, found)
            if outcome.succeeded:
                return
            self._take_in(name, ours_too=target is not None)

    def _target(self, name: str) -> "Record | _AsIs | None":
        """Give what the key should hold: a record, None for no key, or whatever is there."""
        voice, present = voice_of(name), self._records.get(name)
        if present is not None and stale(present, self._around.wall_ms()):
            return None
        standing = self._book.entries.get(name if voice is None else voice.scope, HEALTHY)
        if standing.state is State.HEALTHY or (voice is not None and standing.by == EVERYWHERE):
            if voice is None or not self._works(voice.path):
                return None
            standing = HEALTHY
        elif standing.by == EVERYWHERE or by_hand(standing) or not worth_telling(standing):
            return _AS_IS
        if present is not None and present.standing == standing:
            return _AS_IS
        return Record(node=self._around.node, standing=standing)

    # -- the others' news

    def take(self, seen: Seen) -> None:
        """Take what the watch told."""
        self.probes.take(seen)
        touched = []
        for change in self._of_health(seen):
            name = change.key.removeprefix(self._prefix)
            if change.revision >= self._written.get(name, 0):  # else it is older than what we wrote ourselves
                self._written.pop(name, None)
                self._keep(name, change.item)
                touched.append(name)
        for name in touched:
            if name not in self._dirty and name != self._writing:
                self._take_in(name, ours_too=name in self._items)
        if touched:
            self._judge(touched)
            self._around.wake()
        if seen.resync:
            self._tidy()

    def _of_health(self, seen: Seen) -> list[KeyChange]:
        changes = [change for change in seen.changes if change.key.startswith(self._prefix)]
        if seen.resync:
            present = {change.key for change in changes}
            gone = [self._prefix + name for name in self._items if self._prefix + name not in present]
            changes.extend(KeyChange(key=key, item=None, revision=seen.revision) for key in gone)
        return changes

    def _keep(self, name: str, item: Item | None) -> None:
        self._items.pop(name, None)
        self._records.pop(name, None)
        if item is None or len(self._items) >= SHARED_MAX:
            return
        self._items[name] = item
        record = decoded(item.value) if shareable(name) else None
        if record is not None:
            self._records[name] = record
        else:
            _log.error("ignored health/%r: not a standing this version knows", name[:200])

    def _take_in(self, name: str, *, ours_too: bool) -> None:
        """Let the book follow the cluster's word on a scope; ``ours_too``: what we know ourselves counts beside it."""
        local, record = self._book.entries.get(name, HEALTHY), self._records.get(name)
        if name.startswith(SITE) or by_hand(local):
            return  # views of a path are judged, not followed; a person's word is taken back by a person
        if local.state is State.PROBING and self.probes.has(name):
            return  # our own attempt will tell
        if record is None:
            if name not in self._items and not ours_too:
                self._adopt(name, HEALTHY)
        elif record.standing.state is not State.HEALTHY:
            self._adopt(name, worse(local, adoptable(record.standing, self._around.wall_ms())))

    def _tidy(self) -> None:
        """Settle what nobody will, and what this node said in a life its book has forgotten."""
        now_ms = self._around.wall_ms()
        for name, record in self._records.items():
            voice = voice_of(name)
            ours = voice is not None and voice.node == self._around.node and voice.scope not in self._book.entries
            if ours or stale(record, now_ms):
                self._tell(name)

    def _adopt(self, scope: str, standing: Standing) -> None:
        for change in self._book.adopt(scope, standing):
            self._around.report(change)

    def _may_probe(self, scope: str) -> bool:
        """A path from one site each node tries for itself; the rest one for all."""
        return scope.startswith(SITE) or not shareable(scope) or self.probes.may(scope)

    # -- paths

    def _judge(self, names: Iterable[str]) -> None:
        """Let a path rest while every node that tried it says it is down; say so when it works from here."""
        site = self._book.site
        for path in {voice.path for voice in map(voice_of, names) if voice is not None}:
            own = Voice(path=path, site=site, node=self._around.node)
            self._follow_voices(path, voices(self._records, path))
            self._follow_voices(own.scope, voices(self._records, path, site))
            name = name_of(own.scope, own.node)
            known = self._book.entries.get(own.scope, HEALTHY)
            ours = known.state is not State.HEALTHY and known.by != EVERYWHERE
            if not ours and self._works(path) != (name in self._records):
                self._tell(name)

    def _follow_voices(self, scope: str, told: dict[str, Standing]) -> None:
        down, before = down_everywhere(told), self._book.entries.get(scope, HEALTHY)
        follows = before.by == EVERYWHERE and before.state is not State.PROBING
        if down is not None and (follows or before.state is State.HEALTHY):
            self._adopt(scope, adoptable(down, self._around.wall_ms()))
        elif down is None and before.by == EVERYWHERE:
            self._adopt(scope, HEALTHY)

    def _works(self, path: str) -> bool:
        worked_ms = self._book.worked_ms(path)
        return works_for_us(path, self._around.node, self._records, worked_ms, self._around.wall_ms())

    def _own(self, scope: str) -> str:
        """Name this node's word about a path, by the path's scope or its site's."""
        path = scope.removeprefix("path/").removeprefix(SITE).rpartition("@")[0] or scope.removeprefix("path/")
        return name_of(f"{SITE}{path}@{self._book.site}", self._around.node)


class _AsIs:
    """Leave the key alone."""


_AS_IS: Final = _AsIs()


def _as_written(write: Write, revision: int) -> Item | None:
    if isinstance(write, Delete):
        return None
    return Item(key=write.key, value=write.value, create_revision=revision, mod_revision=revision)
