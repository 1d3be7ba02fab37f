"""kill -9 of a process that keeps copies, at random moments: nothing it answered is lost, and nothing is torn."""

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from coordinator.peers.channel import Target
from node.shadow.outbox import Kept, Pace
from node.shadow.sqlite import SqliteCopies
from tests.support.copies import SHADOW, attached
from tests.support.copies_house import CopiesHouse, kept_ids
from tests.support.spool_mail import T0, accepted, message

ROOT = Path(__file__).parents[2]
PAIR = attached()
CALM = Pace(copy_wait_s=20, silence_s=20, gather_s=0.01)


def body_of(name: str) -> bytes:
    number = int(name.rsplit("-", 1)[1])
    return bytes([number % 256]) * {0: 300_000, 1: 1_200_000}.get(number % 20, 2_000)


class Run:
    """What one run of the keeper was sent, what it answered, and what was settled."""

    def __init__(self) -> None:
        self.copied: set[str] = set()
        self.settled: set[str] = set()
        self.sent: set[str] = set()

    async def client(self, sender, label, rng):
        for number in range(10_000):
            made = message(f"{label}-{number:05d}")
            self.sent.add(made.id)
            if await sender.copy_soon(accepted(made, body_of(made.id))) is not Kept.COPIED:
                return
            self.copied.add(made.id)
            if rng.random() < 0.3:
                self.settled.add(made.id)
                sender.discard(made.id)


async def keeper(house, directory):
    pki = house.peers.pki(SHADOW)
    command = (sys.executable, "-m", "tests.support.copies_keeper", str(pki.directory), str(directory))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        house.peers.targets[SHADOW] = Target("127.0.0.1", int(await process.stdout.readline()))
    return process


async def kill_once(house, directory, number, rng, run):
    process = await keeper(house, directory)
    try:
        sender = house.sender(CALM)
        await sender.begin()
        clients = [asyncio.create_task(run.client(sender, f"r{number}c{n}", rng)) for n in range(8)]
        enough, before = rng.randrange(1, 200), len(run.copied)
        while len(run.copied) - before < enough:  # noqa: ASYNC110 - at a moment that depends on no event
            await asyncio.sleep(0)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.communicate()
    await asyncio.gather(*clients)
    assert sender.ended


async def judge(directory, run):
    store = SqliteCopies(directory)
    await store.open(T0)
    try:
        assert store.notes == []
        found = set(await kept_ids(store, PAIR))
        past = {name for name in run.settled if await store.past(name) is not None}
        lost = run.copied - run.settled - found
        assert not lost, f"{len(lost)} were answered and are lost"
        assert run.settled <= found | past
        assert found <= run.sent
        for name in found:
            body = await store.body(PAIR, name)
            assert (body if isinstance(body, bytes) else body.read_bytes()) == body_of(name)
        (held,) = await store.held()
        assert held.messages == len(found)
    finally:
        await store.close()


async def rounds(tmp_path, kills, seed):
    rng, house, run = random.Random(seed), CopiesHouse(tmp_path), Run()
    try:
        for number in range(kills):
            await kill_once(house, tmp_path / "copies", number, rng, run)
            await judge(tmp_path / "copies", run)
        assert run.settled
        assert len(run.copied) > kills
    finally:
        await house.close()


@pytest.mark.timeout(300)
async def test_six_kills_lose_nothing(tmp_path):
    await rounds(tmp_path, 6, 3)


async def test_a_frozen_shadow_leaves_mail_unprotected_and_is_welcome_again(tmp_path):
    house = CopiesHouse(tmp_path)
    process = await keeper(house, tmp_path / "copies")
    try:
        sender = house.sender(Pace(copy_wait_s=0.2, silence_s=0.5))
        await sender.begin()
        os.kill(process.pid, signal.SIGSTOP)
        kept = await asyncio.gather(*(sender.copy_soon(accepted(message(f"early-{n}"))) for n in range(3)))
        assert set(kept) == {Kept.UNPROTECTED}
        async with asyncio.timeout(30):
            while not house.ended:  # noqa: ASYNC110 - told by a callback
                await asyncio.sleep(0.01)
        assert "no answer within" in house.ended[0]
        os.kill(process.pid, signal.SIGCONT)
        again = house.sender(CALM)
        await again.begin()
        assert await again.copy_soon(accepted(message("later"))) is Kept.COPIED
    finally:
        process.kill()
        await process.communicate()
        await house.close()
    store = SqliteCopies(tmp_path / "copies")
    await store.open(T0)
    assert "later" in await kept_ids(store, PAIR)
    await store.close()


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(5))
async def test_a_hundred_kills_lose_nothing(tmp_path, seed):
    await rounds(tmp_path, 20, 100 + seed)
