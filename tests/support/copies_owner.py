"""A process that accepts mail on two disks and delivers some of it, until it is killed.

Usage: python -m tests.support.copies_owner PKI DIRECTORY PORT RUN. It says ``A id`` when a message is durable on both
disks, ``I id`` when both know that its final dot may be sent now, ``D id`` when it is delivered and settled here.
"""

import asyncio
import os
import sys
from pathlib import Path

from coordinator.peers.channel import PeerClient, Target
from coordinator.pki import Pki
from node.policy.envelope import OnUnknown, RecipientState
from node.shadow.entries import Intent, Outcome, Progress
from node.shadow.outbox import Kept, Pace
from node.shadow.sender import Sender
from node.spool.sqlite import SqliteSpool
from tests.support.copies import CLUSTER, SHADOW, link
from tests.support.spool_mail import T0, accepted, attempt, message, settlement


def say(word):
    os.write(1, f"{word}\n".encode())


class Owner:
    def __init__(self, spool, sender, run):
        self.spool, self.sender, self.run = spool, sender, run

    async def work(self, worker):
        number = 0
        while True:
            number += 1
            kind = OnUnknown.VERIFY if number % 3 == 0 else OnUnknown.RESEND
            made = message(f"r{self.run}-w{worker}-{number:06d}", to=("a@x.example", "b@x.example"), on_unknown=kind)
            item = accepted(made, body_of(number))
            local, copied = self.spool.append_soon(item), self.sender.copy_soon(item)
            await local
            if await copied is not Kept.COPIED:
                return
            say(f"A {made.id}")
            if number % 5 < 3:
                await self.deliver(made)

    async def deliver(self, made):
        start = attempt(made, attempt_id=f"t-{made.id}")
        assert await self.spool.claim(start)
        intent = Intent(message_id=made.id, attempt_id=start.attempt_id, indexes=start.indexes, dot_ms=T0 + 9)
        if made.on_unknown is OnUnknown.VERIFY:
            await self.spool.intend(start.attempt_id, T0 + 9)
            if await self.sender.intend(intent) is not Kept.COPIED:
                return
            say(f"I {made.id}")
        else:
            self.sender.tell(intent)
        await asyncio.sleep(0.002)
        await self.spool.settle(settlement(start))
        say(f"D {made.id}")
        done = tuple(Progress(index=index, state=RecipientState.DELIVERED) for index in start.indexes)
        self.sender.tell(Outcome(message_id=made.id, attempt_id=start.attempt_id, progress=done))
        self.sender.discard(made.id)


def body_of(number):
    return bytes([number % 256]) * (700_000 if number % 40 == 0 else 2_000)


async def main(pki, directory, port, run):
    spool = SqliteSpool(Path(directory), now_ms=lambda: T0)
    await spool.open(T0)
    peers = PeerClient(Pki(Path(pki)), CLUSTER, lambda: {SHADOW: Target("127.0.0.1", int(port))})
    sender = Sender(peers, link(), now_ms=lambda: T0, pace=Pace(copy_wait_s=20, silence_s=20))
    await sender.begin()
    owner = Owner(spool, sender, run)
    await asyncio.gather(*(owner.work(worker) for worker in range(8)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
