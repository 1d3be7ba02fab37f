"""The node mail comes in at: a real spool, the door's store before it, and pairings that are set by hand."""

import asyncio
from contextlib import asynccontextmanager

from msgspec.structs import replace

from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Attached
from coordinator.ownership.views import Me, State
from node.policy.envelope import Copies
from node.shadow.copying import Copying
from node.shadow.outbox import Pace
from node.spool.sqlite import SqliteSpool
from tests.support.copies import CLUSTER, OWNER, SHADOW
from tests.support.copies_house import until
from tests.support.copying_scene import FixedPairs
from tests.support.spool_mail import T0, accepted, attempt, message, settlement

CALM = Pace(copy_wait_s=15, silence_s=20)
"""Where the test is not about being late: a busy machine must not decide."""


class Owner:
    """The node mail comes in at."""

    def __init__(self, house, spool, pace) -> None:
        self.house, self.spool = house, spool
        self.pairs = FixedPairs(me=Me(node=OWNER, spool=spool.spool_id))
        self.stored: list[str] = []
        self.copying = Copying(
            spool,
            house.peers.client(OWNER),
            self.pairs,
            cluster=CLUSTER,
            now_ms=lambda: T0,
            pace=pace,
            on_stored=lambda made: self.stored.append(made.id),
        )
        spool.on_changed = self.copying.changed

    def attached(self, epoch: int = 7) -> Attached:
        return Attached(key=PairKey(spool=self.spool.spool_id, shadow=SHADOW), epoch=epoch)

    def put(self, state: State = State.HELD, epoch: int = 7) -> None:
        self.pairs.put(state, epoch=epoch, spool=self.spool.spool_id)
        self.copying.look()

    async def paired(self, epoch: int = 7) -> None:
        self.put(epoch=epoch)
        await until(self.copies_go)

    async def copies_go(self) -> bool:
        return bool(self.copying.shadow)

    async def take(self, name, body=b"x" * 2_000, copies=Copies.PREFERRED, **more):
        made = replace(message(name, **more), copies=copies)
        await self.copying.append_soon(accepted(made, body))
        return made

    async def deliver(self, made) -> None:
        start = attempt(made)
        assert await self.spool.claim(start)
        await self.spool.settle(settlement(start))

    async def confirmed(self, *names) -> bool:
        found = await self.spool.look(names)
        return all(name in found and found[name].confirmed for name in names)

    async def all_told(self, number: int = 1) -> bool:
        return not await self.spool.untold(number, 10)


@asynccontextmanager
async def owner_of(house, pace=CALM):
    """The owner's process from start to end; again on the same disk."""
    spool = SqliteSpool(house.root / "spool", now_ms=lambda: T0)
    await spool.open(T0)
    owner = Owner(house, spool, pace)
    task = asyncio.ensure_future(owner.copying.run())
    try:
        yield owner
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await owner.copying.close()
        await spool.close()
