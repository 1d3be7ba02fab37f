"""Three hosts' keepers on one store in virtual time, with the load balancer's driver: who answers, when it moves."""

import asyncio
from functools import partial

import pytest

from coordinator import candidates
from coordinator.candidates import Field
from coordinator.drivers.probe import ProbeDriver
from coordinator.feed import Feed
from coordinator.keeper import AddressKeeper
from coordinator.keys import Keys, Role
from coordinator.members import MemberRecord
from coordinator.place import Place
from coordinator.runner import Self, SessionRunner
from coordinator.runtime import HeldLease
from coordinator.store.contract import Indefinite, Put
from coordinator.store.memory import MemoryStore
from coordinator.timing import FAST
from tests.support.virtual_loop import run_virtual

KEYS = Keys(cluster="c")
NODES = ("a", "b", "c")


class Silenced(MemoryStore):
    """A store that can fall silent for everybody: no call is answered and no watch told."""

    silent = False
    deaf = frozenset()

    async def _answer(self, call, timeout_s):
        if self.silent:
            call.close()
            await asyncio.sleep(timeout_s)
            raise Indefinite("unavailable")
        return await call

    async def get(self, key, *, timeout_s):
        return await self._answer(super().get(key, timeout_s=timeout_s), timeout_s)

    async def list(self, prefix, *, timeout_s):
        return await self._answer(super().list(prefix, timeout_s=timeout_s), timeout_s)

    async def txn(self, compares, writes, *, timeout_s):
        return await self._answer(super().txn(compares, writes, timeout_s=timeout_s), timeout_s)

    async def grant(self, ttl_s, *, timeout_s):
        return await self._answer(super().grant(ttl_s, timeout_s=timeout_s), timeout_s)

    async def renew(self, lease, *, timeout_s):
        return await self._answer(super().renew(lease, timeout_s=timeout_s), timeout_s)

    async def revoke(self, lease, *, timeout_s):
        return await self._answer(super().revoke(lease, timeout_s=timeout_s), timeout_s)


class House:
    """One host: session, keeper, driver."""

    def __init__(self, loop, store, name, path, ask):
        self.ready, self.driver = True, ProbeDriver("smtp", loop.time)
        self.prefer, self.wish, self.listed, self.agreed = "a", "", NODES, True
        record = MemberRecord(node=name, boot_id=name, process_id=name)
        me = Self(key=KEYS.member(Role.COORDINATOR, name), record=record, held=HeldLease(path / name, name),
                  progress_ms=loop.now_ms)  # fmt: skip
        self.held, self.alarms = me.held, []
        self.session = SessionRunner(store, FAST, me, now_ms=loop.now_ms)
        self.feed = Feed(store, KEYS)
        place = Place(name="smtp", node=name, ready=lambda: self.ready, standing=self.standing, part=self.part,
                      alarm=self.alarms.append, ask=ask)  # fmt: skip
        self.parted, self.empty = 0, asyncio.Event()
        self.empty.set()
        self.keeper = AddressKeeper(place, self.driver, store, self.session, self.feed, KEYS, now_ms=loop.now_ms)
        running = (self.session.run(), self.feed.run(), self.keeper.run())
        self.tasks = [asyncio.ensure_future(each) for each in running]

    async def part(self):
        self.parted += 1
        await self.empty.wait()

    def standing(self, address, resigned):
        ready = [name for name, house in self.everybody.items() if house.ready]
        field = Field(name="smtp", me=self.keeper.place.node, listed=self.listed, ready=ready, prefer=self.prefer,
                      wish=self.wish, agreed=self.agreed)  # fmt: skip
        return candidates.standing(field, address, resigned=resigned)


@pytest.fixture
def world(tmp_path):
    def run(scenario):
        async def main(loop):
            store = Silenced(loop.time)

            async def ask_as(asker, node, _):
                return node not in store.deaf and houses[node].keeper.asked(asker)

            houses = {name: House(loop, store, name, tmp_path, partial(ask_as, name)) for name in NODES}
            House.everybody = houses
            try:
                await scenario(loop, store, houses)
            finally:
                for house in houses.values():
                    for task in house.tasks:
                        task.cancel()
                    await asyncio.gather(*house.tasks, return_exceptions=True)
                    house.held.close()

        run_virtual(main)

    return run


def holders(houses):
    return [name for name, house in houses.items() if house.driver.held]


def wish(houses, name):
    for house in houses.values():
        house.wish = name


async def until(loop, houses, wanted, within_s):
    end = loop.time() + within_s
    while holders(houses) != wanted:
        assert loop.time() < end, (holders(houses), [h.keeper.address for h in houses.values()])
        assert len(holders(houses)) < 2
        await asyncio.sleep(0.01)
    return loop.time()


def test_the_first_in_rank_takes_it_and_a_holder_not_ready_hands_it_over_at_once(world):
    async def scenario(loop, store, houses):
        await until(loop, houses, ["a"], 10)
        houses["a"].ready = False
        begun = loop.time()
        assert await until(loop, houses, ["b"], 5) - begun < 0.5
        houses["a"].ready = True
        await asyncio.sleep(30)
        assert holders(houses) == ["b"], "no fail-back before the hold time"
        assert not any(house.alarms for house in houses.values())

    world(scenario)


def test_a_killed_coordinators_address_ends_by_itself_and_moves_after_the_lease(world):
    async def scenario(loop, store, houses):
        await until(loop, houses, ["a"], 10)
        houses["a"].keeper._driver = ProbeDriver("none")  # a killed process removes nothing
        for task in houses["a"].tasks:
            task.cancel()
        begun = loop.time()
        ended = await until(loop, houses, [], 10) - begun
        moved = await until(loop, houses, ["b"], 20) - begun
        assert ended <= FAST.ttl_ms / 1_000 - 1
        assert FAST.ttl_ms / 1_000 - FAST.renew_ms / 1_000 <= moved <= FAST.ttl_ms / 1_000 + 3 + 0.5

    world(scenario)


def test_a_stranger_in_the_key_space_and_garbage_under_the_key_are_a_holder(world):
    async def scenario(loop, store, houses):
        await store.txn([], [Put(key=KEYS.address("smtp"), value=b"\xff")], timeout_s=1)
        await store.txn([], [Put(key=KEYS.root + "whatever", value=b"\x00")], timeout_s=1)
        await asyncio.sleep(20)
        assert holders(houses) == []

    world(scenario)


def test_the_address_stays_through_a_silence_by_everybodys_word_and_not_without_one(world):
    async def scenario(loop, store, houses):
        await until(loop, houses, ["a"], 10)
        store.silent = True
        for _ in range(600):
            await asyncio.sleep(0.1)
            assert holders(houses) == ["a"]
        store.silent = False
        for _ in range(300):
            await asyncio.sleep(0.1)
            assert holders(houses) == ["a"]
        store.silent, store.deaf = True, frozenset({"c"})
        begun = loop.time()
        assert await until(loop, houses, [], 10) - begun < FAST.ttl_ms / 1_000
        await asyncio.sleep(20)
        assert holders(houses) == []
        store.silent = False
        await until(loop, houses, ["a"], 20)

    world(scenario)


def test_a_clean_hand_over_waits_for_nobodys_turn(world):
    async def scenario(loop, store, houses):
        await until(loop, houses, ["a"], 10)
        houses["a"].ready = houses["b"].ready = False
        houses["a"].keeper.wake()
        begun = loop.time()
        assert await until(loop, houses, ["c"], 5) - begun < 0.05, "c is first among those who are ready"

    world(scenario)


def test_it_goes_home_after_the_hold_time_and_at_once_by_an_operators_wish_but_never_to_nobody(world):
    async def scenario(loop, store, houses):
        await until(loop, houses, ["a"], 10)
        houses["a"].ready = False
        await until(loop, houses, ["b"], 5)
        taken = loop.time()
        houses["a"].ready = True
        assert await until(loop, houses, ["a"], 90) - taken >= FAST.hold_ms / 1_000 - 0.1
        wish(houses, "c")
        houses["c"].ready = False
        await asyncio.sleep(5)
        assert holders(houses) == ["a"], "nobody gives it to a node that is not ready"
        houses["c"].ready = True
        begun = loop.time()
        assert await until(loop, houses, ["c"], 5) - begun < 0.3
        await asyncio.sleep(100)
        assert holders(houses) == ["c"], "the wish stands above the preference"
        wish(houses, "")
        await until(loop, houses, ["a"], 5)

    world(scenario)


def test_who_moves_away_by_will_stays_until_its_sessions_are_seen_out_however_long_that_takes(world):
    async def scenario(loop, store, houses):
        await until(loop, houses, ["a"], 10)
        houses["a"].empty.clear()
        wish(houses, "c")
        for _ in range(3 * FAST.ttl_ms // 100):
            await asyncio.sleep(0.1)
            assert holders(houses) == ["a"], "the kernel's lifetime is renewed meanwhile"
        houses["a"].empty.set()
        begun = loop.time()
        assert await until(loop, houses, ["c"], 5) - begun < 0.3
        assert [house.parted for house in houses.values()] == [1, 0, 0]
        houses["c"].empty.clear()
        wish(houses, "b")
        await asyncio.sleep(1)
        wish(houses, "c")
        await asyncio.sleep(1)
        assert holders(houses) == ["c"], "whoever changes their mind"
        wish(houses, "b")
        await asyncio.sleep(1)
        assert (holders(houses), houses["c"].parted) == (["c"], 2), "is asked anew the next time"

    world(scenario)


@pytest.mark.parametrize("end", ["not ready", "store silent", "session lost"])
def test_sessions_are_waited_for_no_longer_than_the_address_would_stay(world, end):
    async def scenario(loop, store, houses):
        await until(loop, houses, ["a"], 10)
        houses["a"].empty.clear()
        wish(houses, "c")
        await asyncio.sleep(1)
        begun = loop.time()
        store.deaf = frozenset(NODES)
        if end == "not ready":
            houses["a"].ready = False
            houses["a"].keeper.wake()
        elif end == "store silent":
            store.silent = True
        else:
            await store.revoke(houses["a"].session.session.lease, timeout_s=1)
        bound_s = 0.3 if end == "not ready" else FAST.ttl_ms / 1_000 - 1
        while "a" in holders(houses):
            assert loop.time() - begun < bound_s
            assert len(holders(houses)) < 2
            await asyncio.sleep(0.01)

    world(scenario)


def test_the_list_grows_at_once_and_shrinks_when_all_agree(world):
    async def scenario(loop, store, houses):
        for house in houses.values():
            house.listed = ("a", "b")
        await until(loop, houses, ["a"], 10)
        assert houses["c"].keeper.address.nodes == ("a", "b")
        for house in houses.values():
            house.listed, house.agreed = ("a", "c"), False
        await asyncio.sleep(1)
        assert {house.keeper.address.nodes for house in houses.values()} == {("a", "b", "c")}
        for house in houses.values():
            house.agreed = True
        await asyncio.sleep(1)
        assert {house.keeper.address.nodes for house in houses.values()} == {("a", "c")}
        houses["a"].ready = False
        await until(loop, houses, ["c"], 5)

    world(scenario)


def test_leaving_gives_it_up_cleanly(world):
    async def scenario(loop, store, houses):
        await until(loop, houses, ["a"], 10)
        assert await houses["a"].keeper.leave(1)
        assert holders(houses) != ["a"]
        begun = loop.time()
        await until(loop, houses, ["b"], 1)
        assert loop.time() - begun < 0.05
        assert await houses["a"].keeper.leave(1), "one that holds nothing has left already"

    world(scenario)


def test_a_promise_is_written_before_it_is_said_and_outlives_its_giver(world):
    async def scenario(loop, store, houses):
        await until(loop, houses, ["a"], 10)
        giver = houses["b"].keeper
        store.silent, written = True, []
        giver.place.remember = lambda to, until_ms: not written.append((to, until_ms))
        await asyncio.sleep(8)
        assert written
        assert {to for to, _ in written} == {"a"}
        assert max(until_ms for _, until_ms in written) <= loop.now_ms() + FAST.ttl_ms
        giver.place.promised = written[-1]
        heir = AddressKeeper(giver.place, houses["b"].driver, store, houses["b"].session, houses["b"].feed, KEYS,
                             now_ms=loop.now_ms)  # fmt: skip
        assert not heir.asked("c"), "it stands by what its predecessor said"
        assert heir.asked("a")
        giver.place.remember = lambda to, until_ms: False
        assert not heir.asked("a"), "what cannot be written is not said"
        begun = loop.time()
        await until(loop, houses, [], 10)
        assert loop.time() - begun < FAST.ttl_ms / 1_000

    world(scenario)
