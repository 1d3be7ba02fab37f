"""A door's store with all around it in virtual time: a spool of dictionaries, a scripted shadow, set pairings."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from msgspec.structs import replace as changed_to

from coordinator.ownership.records import Pairing, PairKey, write
from coordinator.ownership.views import Me, State, View, learned, may_copy
from coordinator.store.contract import Item
from node.policy.envelope import Copies, RecipientState
from node.shadow.copying import Copying
from node.shadow.entries import Copy, Discard
from node.shadow.outbox import Pace
from node.spool.paired import Changed, Here, Newer, Pair, Progress, Standing
from tests.support.copies import CLUSTER, COPY, OWNER, SHADOW, SPOOL
from tests.support.copies_peer import ScriptedPeer
from tests.support.spool_mail import T0, accepted, message
from tests.support.virtual_loop import run_virtual

ME = Me(node=OWNER, spool=SPOOL)


@dataclass
class Row:
    item: object
    pairing: int
    confirmed: bool = False
    finished: bool = False
    told: bool = False
    moving: bool = False
    progress: tuple = ()
    lines: tuple = ()
    written: int = 0


class PlainSpool:
    """The paired spool's verbs that copying uses; each takes ``delay_s``, and fails while ``fault`` is set."""

    def __init__(self, delay_s: float = 0.001) -> None:
        self.delay_s, self.fault = delay_s, None
        self.rows: dict[str, Row] = {}
        self.known: list[Pair] = []
        self.on_changed = lambda _changes: None
        self.confirmed: list[tuple[int, list[str]]] = []
        self.withdraws = True
        self.steps, self.marks = 0, {}

    async def _wait(self) -> None:
        await asyncio.sleep(self.delay_s)
        if self.fault is not None:
            raise self.fault

    def new_body_path(self, message_id: str) -> Path:
        return Path("/incoming") / message_id

    def append_soon(self, item):
        return asyncio.ensure_future(self._append(item))

    async def _append(self, item) -> None:
        await self._wait()
        self.rows[item.message.id] = Row(item, item.pairing)

    def change(self, name: str, **more) -> None:
        """As a durable transaction of delivery."""
        row = self.rows[name]
        row.finished = more.get("finished", False)
        row.moving = bool(more.get("claimed")) or (row.moving and not more.get("attempt_ids"))
        self.steps += 1
        if more.get("lines"):
            row.lines, row.written = (*row.lines, *more["lines"]), self.steps
        flying = (
            Progress(index=i, state=RecipientState.IN_FLIGHT) for _, indexes in more.get("claimed", ()) for i in indexes
        )
        row.progress = tuple(flying) or more.get("progress") or row.progress
        if row.pairing:
            self.on_changed([Changed(message_id=name, pairing=row.pairing, **more)])

    def live(self, number: int) -> dict[str, Row]:
        return {name: row for name, row in sorted(self.rows.items()) if row.pairing == number and not row.finished}

    async def attach(self, spool: str, shadow: str, epoch: int) -> int:
        await self._wait()
        for pair in self.known:
            if (pair.spool, pair.shadow, pair.epoch) == (spool, shadow, epoch):
                return pair.number
        self.known.append(Pair(number=len(self.known) + 1, spool=spool, shadow=shadow, epoch=epoch))
        return len(self.known)

    async def name_store(self, number: int, store: str) -> None:
        await self._wait()
        self.known[number - 1] = changed_to(self.known[number - 1], store=store)

    async def pairs(self) -> list[Pair]:
        return list(self.known)

    async def here(self, number: int) -> Here:
        return Here(own=bool(self.live(number)))  # the rest is the spool's own contract

    async def unprotected(self) -> int:
        return sum(not row.confirmed and not row.finished for row in self.rows.values())

    async def confirm(self, number: int, message_ids) -> None:
        await self._wait()
        self.confirmed.append((number, sorted(message_ids)))
        for name in message_ids:
            if name in self.live(number):
                self.rows[name].confirmed = True

    async def unconfirm(self, number: int) -> None:
        for row in self.live(number).values():
            row.confirmed = False

    async def reattach(self, message_ids, number: int) -> list[str]:
        await self._wait()
        done = [name for name in message_ids if not self.rows[name].finished and not self.rows[name].moving]
        for name in done:
            self.rows[name].pairing, self.rows[name].confirmed = number, False
        return done

    async def standing(self, number: int, after: str, limit: int, *, unconfirmed: bool = False) -> list[Standing]:
        found = [
            self._standing(row, number)
            for name, row in self.live(number).items()
            if name > after and not (unconfirmed and row.confirmed)
        ]
        await self._wait()
        return found[:limit]

    @staticmethod
    def _standing(row: Row, number: int) -> Standing:
        return Standing(
            message=row.item.message,
            facts=b"",
            size_bytes=len(row.item.body),
            pairing=number,
            confirmed=row.confirmed,
            moving=row.moving,
            progress=row.progress,
            lines=row.lines,
        )

    async def newer(self, number: int, sequence: int, after: str, limit: int) -> Newer:
        live = self.live(number).items()
        found = [self._standing(row, number) for name, row in live if name > after and row.written > sequence]
        last = found[limit - 1].message.id if len(found) > limit else ""
        await self._wait()
        return Newer(found=tuple(found[:limit]), last=last)

    async def journeys(self, message_ids) -> dict[str, tuple]:
        await self._wait()
        return {name: self.rows[name].lines for name in message_ids if self.rows[name].lines}

    async def heard(self, number: int) -> int:
        return self.marks.get(number, 0)

    async def note_heard(self, number: int, sequence: int) -> int:
        await self._wait()
        self.marks[number] = sequence
        return self.steps

    async def body(self, message_id: str) -> bytes:
        await self._wait()
        return self.rows[message_id].item.body

    async def withdraw(self, message_id: str, why: str, now_ms: int) -> bool:
        await self._wait()
        if self.withdraws:
            self.change(message_id, finished=True)
        return self.withdraws

    async def untold(self, number: int, limit: int) -> list[str]:
        found = [n for n, row in self.rows.items() if row.pairing == number and row.finished and not row.told]
        return found[:limit]

    async def told(self, message_ids) -> None:
        await self._wait()
        for name in message_ids:
            if name in self.rows:
                self.rows[name].told = True


@dataclass
class FixedPairs:
    """What a keeper would say."""

    me: Me = ME
    target: View | None = None
    found: dict[PairKey, View] = field(default_factory=dict)
    lost: list[tuple[PairKey, int]] = field(default_factory=list)

    def view(self, key: PairKey) -> View | None:
        return self.found.get(key)

    def views(self) -> list[View]:
        return list(self.found.values())

    def copies_lost(self, key: PairKey, epoch: int) -> None:
        self.lost.append((key, epoch))

    def put(self, state: State = State.HELD, *, epoch: int = 7, shadow: str = SHADOW, spool: str = SPOOL) -> View:
        """Let a pairing be so; what may be copied under becomes the target, what may not ceases to be it."""
        key = PairKey(spool=spool, shadow=shadow)
        pairing = Pairing(owner=OWNER, epoch=epoch, void=state is State.VOID, copy=COPY)
        item = Item(key="ownership", value=write(pairing), create_revision=epoch, mod_revision=epoch)
        view = replace(learned(View(key=key), item, self.me, inc=1), state=state)
        self.found[key] = view
        if may_copy(view) and spool == self.me.spool:
            self.target = view
        elif self.target is not None and self.target.key == key:
            self.target = None
        return view


class Scene:
    """The store before the door, running."""

    measures = None
    """Who is told numbers and spans."""

    def __init__(self, peer: ScriptedPeer | None = None, spool: PlainSpool | None = None, **pace) -> None:
        self.peer, self.spool, self.pairs = peer or ScriptedPeer(), spool or PlainSpool(), FixedPairs()
        self.stored, self.unprotected, self.shunnings = [], [], 0
        self.copying = Copying(
            self.spool,
            self.peer,
            self.pairs,
            cluster=CLUSTER,
            now_ms=lambda: T0,
            pace=Pace(**pace),
            measures=self.measures,
            on_stored=lambda made: self.stored.append(made.id),
            on_unprotected=lambda made: self.unprotected.append(made.id),
            on_shunned=self._shunned,
        )
        self.spool.on_changed = self.copying.changed

    def _shunned(self) -> None:
        self.shunnings += 1

    def put(self, state: State = State.HELD, **more) -> View:
        view = self.pairs.put(state, **more)
        self.copying.look()
        return view

    async def paired(self, **more) -> View:
        view = self.put(**more)
        await until(lambda: self.copying.shadow == view.key.shadow)
        return view

    def take(self, name: str = "", copies: Copies = Copies.PREFERRED, body: bytes = b"x" * 100, **more):
        """Begin to accept; gives the message's name and the door's future."""
        made = changed_to(message(name, **more), copies=copies)
        return made.id, self.copying.append_soon(accepted(made, body))

    @property
    def copied(self) -> list[str]:
        return [each.message_id for each in self.peer.entries if isinstance(each, Copy)]

    @property
    def discarded(self) -> list[str]:
        return [name for each in self.peer.entries if isinstance(each, Discard) for name in each.message_ids]

    @asynccontextmanager
    async def running(self):
        task = asyncio.ensure_future(self.copying.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.copying.close()


async def until(condition, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for knows of no event
            await asyncio.sleep(0.001)


def played(play, scene_of=Scene, **options) -> None:
    """Run a play on a scene that runs."""

    async def main(loop):
        async with scene_of(**options).running() as scene:
            await play(scene, loop)

    run_virtual(main)
