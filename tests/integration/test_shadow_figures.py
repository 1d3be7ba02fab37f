"""What a second copy costs: two processes, mutual TLS on loopback, both disks synced. Printed (-s), not judged."""

import asyncio
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import pytest
import uvloop

from coordinator.peers.channel import Target
from node.shadow.outbox import Kept, Pace
from node.spool.sqlite import SqliteSpool
from tests.support.copies import SHADOW
from tests.support.copies_house import CopiesHouse
from tests.support.spool_mail import T0, accepted, message

ROOT = Path(__file__).parents[2]
FOUR_KIB = b"x" * 4096
CALM = Pace(copy_wait_s=20, silence_s=20)


@asynccontextmanager
async def two_nodes(tmp_path):
    """The local spool, and a sender to a process that keeps copies."""
    house = CopiesHouse(tmp_path)
    pki = house.peers.pki(SHADOW)
    command = (sys.executable, "-m", "tests.support.copies_keeper", str(pki.directory), str(tmp_path / "there"))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    spool = SqliteSpool(tmp_path / "here", now_ms=lambda: T0)
    try:
        async with asyncio.timeout(30):
            house.peers.targets[SHADOW] = Target("127.0.0.1", int(await process.stdout.readline()))
        await spool.open(T0)
        sender = house.sender(CALM)
        await sender.begin()
        yield spool, sender
    finally:
        await house.close()
        await spool.close()
        process.kill()
        await process.communicate()


async def accept(spool, sender, took):
    """Accept one message as the door will: both at once, answered when both are durable."""
    item, start = accepted(message(), FOUR_KIB), time.perf_counter()
    local = spool.append_soon(item)
    copied = sender.copy_soon(item) if sender is not None else None
    await local
    local_s = time.perf_counter() - start
    if copied is not None:
        assert await copied is Kept.COPIED
    took.append((local_s, time.perf_counter() - start))


async def sessions(spool, sender, number, each):
    took: list[tuple[float, float]] = []

    async def session():
        for _ in range(each):
            await accept(spool, sender, took)

    start = time.perf_counter()
    await asyncio.gather(*(session() for _ in range(number)))
    return took, number * each / (time.perf_counter() - start)


def ms(values):
    ordered = sorted(values)
    return f"{median(ordered) * 1000:.2f} ms (95 %: {ordered[int(len(ordered) * 0.95)] * 1000:.2f})"


@pytest.mark.parametrize(("number", "each"), [(1, 200), (20, 100), (100, 30)])
def test_what_a_second_copy_costs(tmp_path, number, each):
    assert uvloop.run(measured(tmp_path, number, each)) == number * each


async def measured(directory, number, each):
    async with two_nodes(directory) as (spool, sender):
        await sessions(spool, sender, number, 5)
        alone, rate_alone = await sessions(spool, None, number, each)
        both, rate_both = await sessions(spool, sender, number, each)
    here, whole = [local for local, _ in alone], [total for _, total in both]
    print(f"\n{number} sessions, 4 KiB: local commit {ms(here)} {rate_alone:.0f}/s; with the copy {ms(whole)}", end=" ")
    print(f"{rate_both:.0f}/s; added at the median {(median(whole) - median(here)) * 1000:.2f} ms")
    return len(both)
