"""kill -9 of the shadow while mail comes in: the door goes on, and what was alone is protected when it is back."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from coordinator.peers.channel import Target
from node.policy.envelope import Copies
from node.shadow.errors import NotCopied
from node.shadow.sqlite import SqliteCopies
from tests.support.copies import SHADOW
from tests.support.copies_house import CopiesHouse, kept_ids, until
from tests.support.copying_owner import CALM, owner_of
from tests.support.spool_mail import T0, accepted, message

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


async def keeper(house, directory):
    pki = house.peers.pki(SHADOW)
    command = (sys.executable, "-m", "tests.support.copying_keeper", str(pki.directory), str(directory))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        house.peers.targets[SHADOW] = Target("127.0.0.1", int(await process.stdout.readline()))
    return process


async def kill(process) -> None:
    os.kill(process.pid, signal.SIGKILL)
    await process.communicate()


class Traffic:
    """Clients that send one message after the other, every third of which must be on two machines."""

    def __init__(self, owner) -> None:
        self.owner, self.accepted, self.refused, self.over = owner, [], [], False

    async def client(self, number: int) -> None:
        for count in range(100_000):
            if self.over:
                return
            name = f"c{number}-{count:05}"
            copies = Copies.REQUIRED if count % 3 == 0 else Copies.PREFERRED
            try:
                await self.owner.copying.append_soon(accepted(replace(message(name), copies=copies), b"x" * 3_000))
                self.accepted.append(name)
            except NotCopied:
                self.refused.append(name)
                await asyncio.sleep(0.01)

    async def some_more(self, what: list[str], more: int = 40) -> None:
        enough = len(what) + more

        async def there() -> bool:
            return len(what) >= enough

        await until(there, 60)


async def test_a_shadow_killed_amid_mail(tmp_path):
    house = CopiesHouse(tmp_path)
    process = await keeper(house, tmp_path / "there")
    async with owner_of(house, CALM) as owner:
        await owner.paired()
        traffic = Traffic(owner)
        clients = [asyncio.create_task(traffic.client(number)) for number in range(6)]
        await traffic.some_more(traffic.accepted)
        await kill(process)
        await traffic.some_more(traffic.refused)
        await traffic.some_more(traffic.accepted)
        process = await keeper(house, tmp_path / "there")
        await until(owner.copies_go, 30)
        await traffic.some_more(traffic.accepted)
        traffic.over = True
        await asyncio.gather(*clients)
        names = sorted(traffic.accepted)

        async def all_twice() -> bool:
            return await owner.confirmed(*names) and await owner.all_told()

        await until(all_twice, 60)
        live = {each.message.id for each in await owner.spool.standing(1, "", 1_000)}
        assert live & set(traffic.refused) == set()
    await kill(process)
    copies = SqliteCopies(tmp_path / "there")
    await copies.open(T0)
    kept = await kept_ids(copies, owner.attached())
    await copies.close()
    await house.close()
    assert kept == names
    assert len(owner.stored) == len(names)
