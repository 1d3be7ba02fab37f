"""Two nodes with real spools, real copy stores and the real channel between them; only the pairings' keeper is told."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from coordinator.ownership.views import Me
from node.policy.envelope import RecipientState
from node.shadow import questions, receiver
from node.shadow.measures import Measures
from node.shadow.receiver import Here, Receiver
from node.shadow.spares import Spares
from node.shadow.sqlite import SqliteCopies
from node.spool.contract import Filter
from node.spool.rows import facts_of
from node.spool.sqlite import SqliteSpool
from tests.support.copies import CLUSTER, ME, OWNER, SHADOW, SPOOL, attached, batch, copy, view
from tests.support.heard import Heard
from tests.support.peers import PeerHouse
from tests.support.spool_mail import BODY, T0, accepted

S = RecipientState
PAIR = attached()
NOW = T0 + 60_000
MES = {OWNER: Me(node=OWNER, spool=SPOOL), SHADOW: ME}
OTHER = {OWNER: SHADOW, SHADOW: OWNER}


class ToldKeeper:
    """Ownership as a test says it is."""

    def __init__(self, node: str) -> None:
        self.me, self.judged, self.is_live = MES[node], True, True
        self.known = {}
        self.there = {OTHER[node]}
        self.wanted, self.asked = [], []

    def view(self, key):
        return self.known.get(key)

    def views(self):
        return list(self.known.values())

    def other_end(self, key):
        node = OTHER[self.me.node]
        return node if node in self.there else ""

    def live(self):
        return self.is_live

    def to_ask_back(self):
        return self.wanted

    def asked_back(self, key, revision):
        self.asked.append((key, revision))


class SparesNode:
    """One node's parts; ``connect_spool`` and ``connect_copies`` inject faults."""

    def __init__(self, directory: Path, name: str, peers, *, connect_spool=None, connect_copies=None) -> None:
        more = {"connect": connect_spool} if connect_spool else {}
        self.spool = SqliteSpool(directory, now_ms=lambda: NOW, **more)
        more = {"connect": connect_copies} if connect_copies else {}
        self.copies = SqliteCopies(directory / "copies", **more)
        self.keeper, self.taking, self.arrived = ToldKeeper(name), set(), 0
        self.heard = Heard()
        self.measures = Measures(self.heard, node=name)
        self.spares = Spares(
            self.copies, self.spool, peers, self.keeper, now_ms=lambda: NOW, arrived=self._arrived,
            taking=self.taking.__contains__, measures=self.measures,
        )  # fmt: skip
        self.receiver = Receiver(
            self.copies,
            Here(
                cluster=CLUSTER, me=lambda: self.keeper.me, view=self.keeper.view, owned=self.spares.owned,
                begun=self.spares.begun, judged=lambda: self.keeper.judged, refused=self.measures.turned_away,
            ),
        )  # fmt: skip

    def _arrived(self) -> None:
        self.arrived += 1

    def routes(self):
        return {**self.receiver.routes(), **self.spares.routes()}

    async def __aenter__(self):
        await self.spool.open(NOW)
        await self.copies.open(NOW)
        return self

    async def __aexit__(self, *_) -> None:
        await self.copies.close()
        await self.spool.close()

    def sees(self, owner: str, **more):
        """Set the pairing as this node sees it."""
        found = view(owner, me=self.keeper.me, **more)
        self.keeper.known[found.key] = found
        return found

    async def align(self, owner: str, **more) -> None:
        await self.spares.align(self.sees(owner, **more))

    async def number(self, epoch: int = 7) -> int:
        return await self.spool.attach(SPOOL, SHADOW, epoch)


class SparesHouse:
    """``owner`` is the spool's end, ``shadow`` the copy's."""

    def __init__(self, root: Path) -> None:
        self.root, self.peers, self.closing = root, PeerHouse(root / "pki"), AsyncExitStack()

    async def __aenter__(self):
        self.owner, self.shadow = [await self._node(name) for name in (OWNER, SHADOW)]
        return self

    async def _node(self, name: str) -> SparesNode:
        node = SparesNode(self.root / name, name, self.peers.client(name))
        await self.closing.enter_async_context(node)
        await self.peers.server(name, node.routes(), body_max={**receiver.BODY_MAX, **questions.BODY_MAX})
        return node

    async def __aexit__(self, *_) -> None:
        await self.peers.closing.aclose()
        await self.closing.aclose()

    def sees(self, owner: str, **more) -> None:
        for node in (self.owner, self.shadow):
            node.sees(owner, **more)

    def run(self, *nodes: SparesNode) -> None:
        """Let nodes compare by themselves."""
        for node in nodes:
            task = asyncio.create_task(node.spares.run())
            self.closing.callback(task.cancel)


async def put(node, made, body=BODY, pair=PAIR):
    """Accept a message under the pairing."""
    number = await node.number(pair.epoch)
    await node.spool.append(msgspec.structs.replace(accepted(made, body), pairing=number))
    return made


async def keep(node, *entries, pair=PAIR):
    """Let the owner's copies come."""
    stream = await node.copies.begin(pair, OWNER)
    await node.copies.put(pair, batch(1, *entries, stream=stream, epoch=pair.epoch))


def copied(made, body=BODY, **more):
    return copy(made.id, body, facts=facts_of(made), **more)


async def body_of(where, *name):
    found = await where.body(*name)
    return found if isinstance(found, bytes) else found.read_bytes()


async def live(node):
    return sorted(view.message.id for view in await node.spool.find(Filter(states=(S.QUEUED, S.DEFERRED, S.UNKNOWN))))


async def compare(node, pair=PAIR):
    return await node.spares._asking.compare(pair, "")
