"""Two nodes on loopback with their own certificates: one sends copies, the other keeps them on its disk."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from coordinator.ownership.views import Me
from node.shadow.contract import Copies
from node.shadow.link import Link, Told
from node.shadow.outbox import Pace
from node.shadow.receiver import BODY_MAX, Here, Receiver
from node.shadow.sender import Sender
from node.shadow.sqlite import SqliteCopies
from tests.support.copies import CLUSTER, ME, OWNER, SHADOW, link, view
from tests.support.peers import PeerHouse
from tests.support.spool_mail import T0


@dataclass
class CopiesHouse:
    """What is opened here is closed here."""

    root: Path
    peers: PeerHouse = field(init=False)
    closing: AsyncExitStack = field(default_factory=AsyncExitStack)
    ended: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    owned: list[str] = field(default_factory=list)
    pairing: dict = field(default_factory=lambda: {"view": view()})
    me: Me = ME

    def __post_init__(self) -> None:
        self.peers = PeerHouse(self.root / "pki")

    async def store(self, **options) -> SqliteCopies:
        copies = SqliteCopies(self.root / "copies", **options)
        await copies.open(T0)
        self.closing.push_async_callback(copies.close)
        return copies

    async def serve(self, copies: Copies, node: str = SHADOW) -> Receiver:
        here = Here(
            cluster=CLUSTER,
            me=lambda: self.me,
            view=lambda _key: self.pairing["view"],
            owned=lambda _attached, batch: self.owned.extend(each.message_id for each in batch.entries),
        )
        receiver = Receiver(copies, here)
        await self.peers.server(node, receiver.routes(), body_max=BODY_MAX)
        return receiver

    def sender(self, pace: Pace | None = None, between: Link | None = None, node: str = OWNER) -> Sender:
        told = Told(ended=self.ended.append, late=self.late.append)
        sender = Sender(self.peers.client(node), between or link(), now_ms=lambda: T0, pace=pace, told=told)
        self.closing.push_async_callback(sender.close)
        return sender

    async def close(self) -> None:
        await self.closing.aclose()
        await self.peers.closing.aclose()


async def kept_ids(copies: Copies, pair) -> list[str]:
    found: list[str] = []
    while rows := await copies.rows(pair, found[-1] if found else "", 500):
        found += [row.message_id for row in rows]
    return found


async def until(condition, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for knows of no event
            await asyncio.sleep(0.01)
