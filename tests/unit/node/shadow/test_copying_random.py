"""Mail, deliveries and faults at random, on spool, copy store and receiver in memory: in the end both ends agree."""

import asyncio
import random
from contextlib import suppress
from functools import partial

import pytest
from msgspec.structs import replace

from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Attached
from coordinator.ownership.views import Me, State
from coordinator.peers.contract import PeerUnreachable
from node.policy.envelope import Copies, RecipientState
from node.shadow.copying import Copying
from node.shadow.errors import NotCopied
from node.shadow.memory import MemoryCopies
from node.shadow.receiver import Here, Receiver
from node.spool.errors import MessageGone
from node.spool.memory import MemorySpool
from tests.support.copies import CLUSTER, ME, OWNER, SHADOW, SPOOL
from tests.support.copying_scene import FixedPairs, until
from tests.support.spool_mail import T0, accepted, attempt, lane, message, outcome, settlement
from tests.support.virtual_loop import run_virtual

READS, WRITES = ("standing", "untold", "unprotected", "body", "pairs"), ("confirm", "reattach", "told", "withdraw")


class Line:
    """The peer channel: slow, and at times a question or its answer is lost, or nobody answers for a while."""

    def __init__(self, receiver, rng) -> None:
        self.routes, self.rng, self.faults, self.away = receiver.routes(), rng, True, False
        self.process = 0

    async def ask(self, node, route, body, *, timeout_s):
        slow = self.faults and self.rng.random() < 0.02
        await asyncio.sleep(self.rng.uniform(0.0005, 1.0 if slow else 0.01))
        self._perhaps_lost()
        answer = await self.routes[route](OWNER, body)
        await asyncio.sleep(self.rng.uniform(0.0005, 0.01))
        self._perhaps_lost()
        return answer

    async def of_process(self, number, *question, **more):
        """A process that is dead says nothing more and hears nothing."""
        if number != self.process:
            raise PeerUnreachable("dead")
        answer = await self.ask(*question, **more)
        if number != self.process:
            raise PeerUnreachable("dead")
        return answer

    def _perhaps_lost(self) -> None:
        if self.away or (self.faults and self.rng.random() < 0.03):
            raise PeerUnreachable("lost")


def slow(spool, rng):
    """Let reads be old when they are told and writes take a while."""

    def after(verb):
        async def call(*args, **more):
            found = await verb(*args, **more)
            await asyncio.sleep(rng.uniform(0, 0.01))
            return found

        return call

    def before(verb):
        async def call(*args, **more):
            await asyncio.sleep(rng.uniform(0, 0.01))
            return await verb(*args, **more)

        return call

    for names, wrap in ((READS, after), (WRITES, before)):
        for name in names:
            setattr(spool, name, wrap(getattr(spool, name)))
    return spool


class Mouth:
    """The channel of one process of the owner."""

    def __init__(self, line) -> None:
        line.process += 1
        self.ask = partial(line.of_process, line.process)


class World:
    def __init__(self, directory, seed, loop) -> None:
        self.rng, self.loop = random.Random(seed), loop
        self.spool = slow(MemorySpool(directory, now_ms=self.now_ms), self.rng)
        self.copies = MemoryCopies()
        self.receiver = Receiver(self.copies, Here(cluster=CLUSTER, me=lambda: ME, view=lambda _key: None))
        self.line = Line(self.receiver, self.rng)
        self.pairs = FixedPairs(me=Me(node=OWNER, spool=SPOOL))
        self.start()
        self.epoch, self.over = 7, False
        self.accepted, self.refused = {}, []

    def start(self) -> None:
        self.copying = Copying(self.spool, Mouth(self.line), self.pairs, cluster=CLUSTER, now_ms=self.now_ms)
        self.spool.on_changed = self.copying.changed
        self.running = asyncio.ensure_future(self.copying.run())

    async def crash(self) -> None:
        """The owner's process dies: what it had in memory is gone, its spool is as it was."""
        self.line.process += 1
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await asyncio.sleep(self.rng.uniform(0, 1))
        self.start()
        self.copying.look()

    def now_ms(self) -> int:
        return T0 + int(self.loop.time() * 1_000)

    @property
    def attached(self) -> Attached:
        return Attached(key=PairKey(spool=SPOOL, shadow=SHADOW), epoch=self.epoch)

    def put(self, state=State.HELD) -> None:
        self.pairs.put(state, epoch=self.epoch)
        self.copying.look()

    async def client(self, number) -> None:
        for count in range(10_000):
            if self.over:
                return
            copies = self.rng.choice([Copies.REQUIRED, Copies.PREFERRED, Copies.PREFERRED])
            size = 700_000 if self.rng.random() < 0.02 else 500
            made = replace(message(f"c{number}-{count:05}", to=("a@x.example", "b@x.example")), copies=copies)
            try:
                await self.copying.append_soon(accepted(made, b"x" * size))
                self.accepted[made.id] = made
                assert copies is not Copies.REQUIRED or await self.there(made.id)
            except NotCopied:
                self.refused.append(made.id)
            await asyncio.sleep(self.rng.expovariate(6))

    async def there(self, name) -> bool:
        """Whether the copy store has it, live or past."""
        for epoch in range(7, self.epoch + 1):
            with suppress(MessageGone):
                await self.copies.body(replace_epoch(self.attached, epoch), name)
                return True
        return await self.copies.past(name) is not None

    async def deliverer(self) -> None:
        """One attempt after the other; some recipients go, some come again."""
        where = lane(message("any"))
        while not self.over:
            for due in await self.spool.peek(where, self.now_ms() + 60_000, 3):
                if not self.copying.taking(due.message.id):
                    await self._attempt(due)
            await asyncio.sleep(self.rng.expovariate(10))

    async def _attempt(self, due) -> None:
        start = attempt(due.message, *(each.index for each in due.recipients), at_ms=self.now_ms())
        if not await self.spool.claim(start):
            return
        await asyncio.sleep(self.rng.choice([0.01, 0.3]))
        states = [self.rng.choice([RecipientState.DELIVERED, RecipientState.DEFERRED]) for _ in start.indexes]
        results = [
            outcome(index, state, next_attempt_ms=self.now_ms() + 1_000 if state is RecipientState.DEFERRED else 0)
            for index, state in zip(start.indexes, states, strict=True)
        ]
        await self.spool.settle(settlement(start, *results, at_ms=self.now_ms()))

    async def faults(self) -> None:
        """The shadow is away for a while; the pairing is made void, and made anew."""
        while not self.over:
            await asyncio.sleep(self.rng.uniform(1, 8))
            if self.rng.random() < 0.3:
                await self.crash()
                continue
            if self.rng.random() < 0.5:
                self.line.away = True
                await asyncio.sleep(self.rng.uniform(0.1, 5))
                self.line.away = False
                continue
            self.put(State.LEAVING)
            await asyncio.sleep(self.rng.uniform(0, 0.05))
            self.put(State.VOID)
            for pair in await self.spool.pairs():
                await self.spool.unconfirm(pair.number)
            await asyncio.sleep(self.rng.uniform(0, 3))
            self.epoch += 1
            self.put()

    async def settled_down(self) -> bool:
        numbers = [pair.number for pair in await self.spool.pairs()]
        untold = [await self.spool.untold(number, 10) for number in numbers]
        return await self.spool.unprotected() == 0 and not any(untold)

    async def played(self, seconds) -> None:
        self.put()
        tasks = [asyncio.ensure_future(self.client(number)) for number in range(4)]
        tasks += [asyncio.ensure_future(self.deliverer()) for _ in range(3)]
        tasks += [asyncio.ensure_future(self.faults())]
        await asyncio.sleep(seconds)
        self.over = True
        await asyncio.gather(*tasks)
        self.line.faults = False

    async def judged(self) -> None:
        numbers = {pair.number: pair.epoch for pair in await self.spool.pairs()}
        (number,) = (each for each, epoch in numbers.items() if epoch == self.epoch)
        here = {each.message.id: each for each in await self.spool.standing(number, "", 1_000)}
        everywhere = [len(await self.spool.standing(each, "", 1_000)) for each in (0, *numbers)]
        assert sum(everywhere) == len(here), "all live mail is under the pairing in force"
        there = {each.message_id: each for each in await self.copies.rows(self.attached, "", 1_000)}
        assert set(there) == set(here), "and each of it there, nothing else"
        for name, copy in there.items():
            assert stands(copy.progress) == stands(here[name].progress), name
            assert not copy.intents
            assert copy.lines == here[name].lines, name
        assert not set(self.refused) & set(here)
        known = await self.spool.look(list(self.accepted))
        assert set(known) == set(self.accepted), "nothing that was accepted is unknown"
        assert {name for name, each in known.items() if not each.finished} == set(here)


def replace_epoch(attached, epoch):
    return Attached(key=attached.key, epoch=epoch)


def stands(progress):
    waiting = RecipientState.QUEUED
    return {each.index: (each.state, each.attempts) for each in progress if each.state is not waiting or each.attempts}


@pytest.mark.parametrize("seed", range(6))
def test_after_any_faults_both_ends_agree(tmp_path, seed):
    async def main(loop):
        world = World(tmp_path, seed, loop)
        await world.spool.open(T0)
        await world.played(40)
        async with asyncio.timeout(120):
            while not await world.settled_down():  # noqa: ASYNC110 - what is waited for knows of no event
                await asyncio.sleep(0.5)
        await until(lambda: world.copying.unprotected == 0)
        await asyncio.sleep(3)
        await world.judged()
        assert len(world.accepted) > 500
        world.running.cancel()
        await asyncio.gather(world.running, return_exceptions=True)
        await world.copying.close()

    run_virtual(main)
