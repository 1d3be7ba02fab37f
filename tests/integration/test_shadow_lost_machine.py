"""A machine is lost, disk included, at a random moment: what it had answered is on the other one, and goes on there."""

import asyncio
import os
import random
import shutil
import signal
import sys
from pathlib import Path

import pytest

from node.policy.envelope import OnUnknown, RecipientState
from node.shadow.adoption import Adoption
from node.spool.sqlite import SqliteSpool
from tests.support.copies import OWNER, SHADOW, attached, view
from tests.support.copies_house import CopiesHouse, kept_ids
from tests.support.copies_owner import body_of
from tests.support.spool_mail import T0

ROOT = Path(__file__).parents[2]
PAIR = attached()
S = RecipientState


async def lose(house, directory, run, enough):
    """Let an owner work until it has said enough, kill it, and take its disk away; what it had said."""
    pki, port = house.peers.pki(OWNER), house.peers.targets[SHADOW].port
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.copies_owner", str(pki.directory), str(directory), str(port), str(run),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said = []
    async with asyncio.timeout(120):
        while len(said) < enough:
            line = await process.stdout.readline()
            assert line, "the owner ended by itself"
            said.append(line.decode().split())
        os.kill(process.pid, signal.SIGKILL)
        said += [line.decode().split() async for line in process.stdout if line.endswith(b"\n")]
        await process.wait()
    shutil.rmtree(directory)
    return {word: {name for what, name in said if what == word} for word in "AID"}


async def check(spool, copies, said):
    """Nothing answered is lost; what may have been sent is sent again only if its class allows it."""
    repeated = 0
    for name in said["A"]:
        found = await spool.journey(name)
        if found is None:
            assert name in said["D"], f"{name} was answered and is lost"
            assert await copies.past(name) is not None
            continue
        repeated += name in said["D"]
        states = {queued.state for queued in found.recipients}
        careful = found.message.on_unknown is OnUnknown.VERIFY
        assert len(found.recipients) == 2
        assert states in ({S.QUEUED}, {S.UNKNOWN}, {S.DELIVERED})
        if states == {S.DELIVERED}:
            assert name in said["D"]
            continue
        assert states == {S.QUEUED} or careful, "resend is sent again"
        if careful and name in said["I"]:
            assert states == {S.UNKNOWN}, "its final dot may have been sent"
        body = await spool.body(name)
        body = body if isinstance(body, bytes) else body.read_bytes()
        assert body == body_of(int(name.rsplit("-", 1)[1]))
    return repeated


async def rounds(tmp_path, losses, seed):
    rng, house = random.Random(seed), CopiesHouse(tmp_path)
    spool = SqliteSpool(tmp_path / "there", now_ms=lambda: T0)
    await spool.open(T0)
    try:
        copies = await house.store()
        await house.serve(copies)
        for run in range(losses):
            house.pairing["view"] = view()
            said = await lose(house, tmp_path / "lost", run, rng.randrange(20, 400))
            house.pairing["view"] = view(SHADOW)
            number = await spool.attach(PAIR.key.spool, PAIR.key.shadow, PAIR.epoch)
            done = await Adoption(copies, spool, now_ms=lambda: T0).run(PAIR, number, OWNER)
            assert done.left == []
            assert await kept_ids(copies, PAIR) == []
            repeated = await check(spool, copies, said)
            assert said["D"]
            print(
                f"\n{len(said['A'])} accepted, {len(said['D'])} settled before the loss, {repeated} of them taken over"
            )
    finally:
        await house.close()
        await spool.close()


@pytest.mark.timeout(300)
async def test_three_lost_machines_take_nothing_with_them(tmp_path):
    await rounds(tmp_path, 3, 4)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(5))
async def test_many_lost_machines_take_nothing_with_them(tmp_path, seed):
    await rounds(tmp_path, 20, 100 + seed)
