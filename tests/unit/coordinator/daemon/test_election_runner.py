"""Three hosts stand for election on one store in virtual time; chores run where it is led, and nowhere else."""

import asyncio

import pytest

from coordinator.daemon.leading import Election
from coordinator.election import Standing
from coordinator.feed import Feed
from coordinator.keys import Keys, Role
from coordinator.members import MemberRecord
from coordinator.runner import Self, SessionRunner
from coordinator.runtime import HeldLease
from coordinator.store.contract import Delete, Indefinite, Put
from coordinator.store.memory import MemoryStore
from coordinator.timing import FAST
from tests.support.virtual_loop import run_virtual

KEYS = Keys(cluster="c")
NODES = ("a", "b", "c")


class Forgetful(MemoryStore):
    """Loses the answers to transactions on the leader's key as often as told, though they happen."""

    lost = 0

    async def txn(self, compares, writes, *, timeout_s):
        outcome = await super().txn(compares, writes, timeout_s=timeout_s)
        if self.lost and any(write.key == KEYS.leader for write in writes):
            self.lost -= 1
            raise Indefinite("no answer")
        return outcome


class House:
    def __init__(self, loop, store, name, path):
        record = MemberRecord(node=name, boot_id=name, process_id=name)
        self.held = HeldLease(path / name, name)
        me = Self(key=KEYS.member(Role.COORDINATOR, name), record=record, held=self.held, progress_ms=loop.now_ms)
        self.session = SessionRunner(store, FAST, me, now_ms=loop.now_ms)
        self.feed, self.working = Feed(store, KEYS), False
        self.election = Election(name, store, self.session, self.feed, KEYS, [self.chore], now_ms=loop.now_ms)
        self.tasks = [asyncio.ensure_future(part.run()) for part in (self.session, self.feed, self.election)]

    async def chore(self):
        self.working = True
        try:
            await asyncio.Event().wait()
        finally:
            self.working = False

    async def stop(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
def world(tmp_path):
    def run(scenario):
        async def main(loop):
            store = Forgetful(loop.time)
            houses = {name: House(loop, store, name, tmp_path) for name in NODES}
            try:
                await scenario(loop, store, houses)
            finally:
                for house in houses.values():
                    await house.stop()
                    house.held.close()

        run_virtual(main)

    return run


def leading(houses):
    found = [name for name, house in houses.items() if house.election.leading]
    assert [name for name, house in houses.items() if house.working] == found
    return found


async def one_leads(loop, houses, within_s):
    end = loop.time() + within_s
    while len(found := leading(houses)) != 1:
        assert loop.time() < end
        assert len(found) < 2
        await asyncio.sleep(0.02)
    return found[0]


def test_one_leads_and_goes_on_leading(world):
    async def scenario(loop, store, houses):
        begun = loop.time()
        first = await one_leads(loop, houses, 10)
        assert loop.time() - begun >= FAST.ttl_ms / 1_000, "nobody stands who is younger than a lease"
        for _ in range(600):
            await asyncio.sleep(0.1)
            assert leading(houses) == [first]

    world(scenario)


def test_after_a_leaders_end_another_leads_and_its_chores_have_ended(world):
    async def scenario(loop, store, houses):
        first = await one_leads(loop, houses, 10)
        await houses[first].stop()
        assert not houses[first].working
        await asyncio.sleep(FAST.ttl_ms / 1_000 + 0.5)
        assert await one_leads(loop, {n: h for n, h in houses.items() if n != first}, 2) != first

    world(scenario)


def test_an_answer_that_was_lost_is_read_back(world):
    async def scenario(loop, store, houses):
        store.lost = 2
        await one_leads(loop, houses, 12)

    world(scenario)


def test_a_key_deleted_or_taken_by_a_stranger_ends_the_chores(world):
    async def scenario(loop, store, houses):
        first = await one_leads(loop, houses, 10)
        await store.txn([], [Put(key=KEYS.leader, value=b"\xff")], timeout_s=1)
        await asyncio.sleep(0.5)
        assert leading(houses) == []
        assert all(house.election.standing is Standing.FOLLOWING for house in houses.values())
        await store.txn([], [Delete(key=KEYS.leader)], timeout_s=1)
        await one_leads(loop, houses, 2)
        assert first

    world(scenario)


def test_a_chore_that_fails_ends_the_part(world):
    async def scenario(loop, store, houses):
        async def fails():
            raise ZeroDivisionError

        for house in houses.values():
            house.election._chores = [fails]
        await asyncio.sleep(8)
        ended = [house.tasks[2] for house in houses.values() if house.tasks[2].done()]
        assert len(ended) == 1
        assert isinstance(ended[0].exception(), ZeroDivisionError)

    world(scenario)
