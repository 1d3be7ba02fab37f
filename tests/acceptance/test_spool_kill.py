"""kill -9 at random moments: nothing that was answered is lost, and every message is in a legal state."""

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from node.policy.envelope import OnUnknown, RecipientState
from node.spool.contract import Filter
from node.spool.sqlite import SqliteSpool
from tests.support.spool_mail import T0

S = RecipientState
ROOT = Path(__file__).parents[2]


async def kill_once(directory, run, rng, kind):
    """Let a victim work for a random while, kill it, and give what it had said."""
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.spool_victim", str(directory), str(run), kind,
        stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    said = []
    budget = rng.randrange(1, 250)
    while len(said) <= budget:
        line = await asyncio.wait_for(victim.stdout.readline(), 60)
        assert line, "the victim ended by itself"
        said.append(line.decode().strip())
    await asyncio.sleep(rng.random() * 0.02)
    os.kill(victim.pid, signal.SIGKILL)
    said += [line.decode().strip() async for line in victim.stdout if line.endswith(b"\n")]
    await victim.wait()
    return said


async def judge(directory, appended, delivered, run):
    spool = SqliteSpool(directory, now_ms=lambda: T0)
    await spool.open(T0 + run)
    try:
        await spool.recover(T0 + run)
        for name in appended:
            view = await spool.journey(name)
            assert view is not None, f"{name} was answered and is lost"
            told = [line.event for line in view.lines]
            states = {queued.state for queued in view.recipients}
            assert len(view.recipients) == 2
            if name in delivered:
                assert states == {S.DELIVERED}
            assert states <= {S.QUEUED, S.DELIVERED, S.UNKNOWN}, "nothing stays in flight after recover"
            if S.UNKNOWN in states:
                assert view.message.on_unknown is OnUnknown.VERIFY
                assert told[-1] == "unknown"
            if states == {S.DELIVERED}:
                assert view.finished_ms > 0
            else:
                await whole(spool, name)
        counts = await spool.count()
        views = await spool.find(Filter(limit=1))
        assert views
        assert S.IN_FLIGHT.value not in counts.by_state
    finally:
        await spool.close()


async def whole(spool, name):
    number = int(name.rsplit("-", 1)[1])
    found = await spool.body(name)
    body = found if isinstance(found, bytes) else found.read_bytes()
    assert body == bytes([number % 256]) * (300_000 if number % 40 == 0 else 2_000)


async def rounds(directory, kills, seed, kind="both"):
    rng = random.Random(seed)
    appended, delivered = {}, set()
    for run in range(kills):
        said = [line.split() for line in await kill_once(directory, run, rng, kind)]
        appended |= {words[1]: None for words in said if words[0] == "A"}
        delivered |= {words[1] for words in said if words[0] == "D"}
        if run % 5 == 4:
            await judge(directory, appended, delivered, kills + run)
    assert bool(delivered) is (kind == "both")
    assert len(appended) > len(delivered) // 2


@pytest.mark.timeout(300)
async def test_twenty_kills_lose_nothing(tmp_path):
    await rounds(tmp_path / "spool", 20, 7)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["accept", "journal"])
async def test_ten_kills_while_the_journal_runs_ahead_lose_nothing(tmp_path, kind):
    await rounds(tmp_path / "spool", 10, 8, kind)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["both", "accept", "journal"])
@pytest.mark.parametrize("seed", range(10))
async def test_two_hundred_kills_lose_nothing(tmp_path, seed, kind):
    await rounds(tmp_path / "spool", 20, 100 + seed, kind)
