"""A process that appends and settles until it is killed; says on its standard output what was answered.

Usage: python -m tests.support.spool_victim DIRECTORY RUN [KIND]. Lines: ``ready``, ``A id``, ``C id``, ``D id``.
KIND ``accept`` delivers nothing, so that the journal runs ahead of the database; ``journal`` brings nothing in at all.
"""

import asyncio
import os
import sys
from pathlib import Path

from node.policy.envelope import OnUnknown
from node.spool import pending
from node.spool.sqlite import SqliteSpool
from tests.support.spool_mail import T0, accepted, attempt, lane, message, settlement


def say(word):
    os.write(1, f"{word}\n".encode())


async def feed(spool, run, worker):
    number = 0
    while True:
        number += 1
        kind = OnUnknown.VERIFY if number % 3 == 0 else OnUnknown.RESEND
        made = message(f"r{run}-w{worker}-{number:06d}", to=("a@x.example", "b@x.example"), on_unknown=kind)
        await spool.append(accepted(made, bytes([number % 256]) * (300_000 if number % 40 == 0 else 2_000)))
        say(f"A {made.id}")


async def deliver(spool, run):
    name = lane(message("x", to=("a@x.example",)))
    number = 0
    while True:
        for due in await spool.peek(name, T0 + 10**9, 20):
            number += 1
            start = attempt(due.message, *(q.index for q in due.recipients), attempt_id=f"r{run}-t{number}")
            if not await spool.claim(start):
                continue
            say(f"C {due.message.id}")
            if due.message.on_unknown is OnUnknown.VERIFY:
                await spool.intend(start.attempt_id, T0 + 1500)
            await spool.settle(settlement(start))
            say(f"D {due.message.id}")
        await asyncio.sleep(0)


async def main(directory, run, kind="both"):
    if kind == "journal":
        pending.APPLY_AFTER_S, pending.APPLY_MESSAGES, pending.APPLY_BYTES = 1_000.0, 1 << 30, 1 << 40
    spool = SqliteSpool(Path(directory), now_ms=lambda: T0)
    await spool.open(T0 + int(run))
    await spool.recover(T0 + int(run))
    say("ready")
    async with asyncio.TaskGroup() as group:
        for worker in range(8):
            group.create_task(feed(spool, run, worker))
        if kind == "both":
            group.create_task(deliver(spool, run))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
