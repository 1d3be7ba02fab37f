"""A shadow whose behaviour is scripted, in the form of ``Peers``: what it was sent, and when it answers what."""

import asyncio
from collections.abc import Callable

from coordinator.peers.contract import PeerRefused, PeerUnreachable
from node.shadow.errors import ShadowError
from node.shadow.frames import Batch, decode
from node.shadow.words import BEGIN, Answer, begin_of, encode, refusal


class ScriptedPeer:
    """Takes ``delay_s`` for each batch; ``script``: what to do with the n-th, else it is durable."""

    def __init__(self, delay_s: float = 0.003) -> None:
        self.delay_s = delay_s
        self.script: dict[int, Callable[[], bytes]] = {}
        self.batches: list[Batch] = []
        self.under_way = self.most = self.begun = 0
        self.dead = False

    async def ask(self, node: str, route: str, body: bytes, *, timeout_s: float) -> bytes:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._answer(route, body)
        except TimeoutError:
            raise PeerUnreachable(f"{node}: no answer within {timeout_s:g} s") from None

    async def _answer(self, route: str, body: bytes) -> bytes:
        if self.dead:
            raise PeerUnreachable("nobody listens")
        if route == BEGIN:
            begin_of(body)
            self.begun += 1
            return encode(Answer(stream=self.begun, store="store-1"))
        batch = decode(body)
        self.batches.append(batch)
        number = len(self.batches)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.under_way -= 1
        act = self.script.get(number)
        return encode(Answer(durable=batch.header.sequence)) if act is None else act()

    async def close(self) -> None:
        """Nothing to close."""

    @property
    def entries(self) -> list:
        return [entry for batch in self.batches for entry in batch.entries]


def refuse(error: ShadowError) -> Callable[[], bytes]:
    return lambda: encode(refusal(error, "store-1"))


def unreachable() -> bytes:
    raise PeerUnreachable("connection reset")


def refused() -> bytes:
    raise PeerRefused("404")
