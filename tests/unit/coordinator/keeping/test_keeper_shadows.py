"""Whom keepers copy to, and what becomes of copies that no longer count, in virtual time."""

import asyncio
from functools import partial

import pytest

from coordinator.ownership.records import Pairing, read_pairing, write
from coordinator.ownership.rows import Kind
from coordinator.ownership.views import State
from coordinator.store.contract import Put
from coordinator.timing import FAST
from tests.support.ownership_house import KEYS, Disk, until
from tests.support.ownership_world import paired, run_house, states

LEASE_S, DELAY_S = FAST.ttl_ms / 1_000, 5.0


@pytest.fixture
def world(tmp_path):
    return partial(run_house, tmp_path)


async def pairing(house, key):
    return read_pairing((await house.store.get(KEYS.ownership(key.spool, key.shadow), timeout_s=1)).value)


def test_another_site_is_chosen_first(world):
    async def scenario(loop, house):
        await paired(loop, house)
        assert house.nodes["a"].keeper.target.key.shadow == "c"
        assert house.nodes["c"].keeper.target.key.shadow in {"a", "b"}

    world(scenario, ("a", "b", "c"), sites={"a": "one", "b": "one", "c": "two"})


def test_copies_on_a_replaced_disk_are_void_and_a_new_pairing_is_made(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        key = a.key("b")
        a.take_in("m1")
        before = await pairing(house, key)
        await b.kill()
        b.disk = Disk("disk-b2")
        b.start()
        await until(loop, lambda: a.keeper.target is not None and a.keeper.target.epoch > before.epoch, 20)
        assert a.disk.kinds() == {"m1": Kind.OWN}
        assert not a.disk.rows["m1"].confirmed, "nobody has its copy"
        after = await pairing(house, key)
        assert after.copy == "disk-b2"
        assert a.keeper.made["void"] == 1
        assert a.disk.aligned.index((State.VOID, before.epoch)) < a.disk.aligned.index((State.HELD, after.epoch))
        assert b.keeper.view(key).state is State.SPARE

    world(scenario)


def test_no_new_pairing_is_made_before_rows_of_the_void_one_count_as_kept_once(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        a.disk.gate.clear()
        await b.kill()
        b.disk = Disk("disk-b2")
        b.start()
        await states(loop, {(a, a.key("b")): State.VOID})
        await asyncio.sleep(10)
        assert a.state(a.key("b")) is State.VOID
        assert a.disk.rows["m1"].confirmed
        a.disk.gate.set()
        await paired(loop, house, "a")
        assert not a.disk.rows["m1"].confirmed

    world(scenario)


def test_what_the_shadow_says_it_lost_is_void_at_once(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a = house.nodes["a"]
        key, epoch = a.key("b"), a.keeper.target.epoch
        a.take_in("m1")
        a.keeper.copies_lost(key, epoch - 1)
        await asyncio.sleep(3)
        assert a.keeper.target.epoch == epoch
        a.keeper.copies_lost(key, epoch)
        await until(loop, lambda: a.keeper.target is not None and a.keeper.target.epoch > epoch, 5)
        assert a.keeper.made["void"] == 1

    world(scenario)


def test_a_shadow_that_drains_is_kept_until_another_is_paired_and_void_only_when_it_is_gone(world):
    async def scenario(loop, house):
        a, b, c = house.nodes.values()
        c.healthy = False
        await paired(loop, house, "a", "b")
        a.take_in("m1")
        first = a.keeper.target.key
        assert first.shadow == "b"
        b.healthy = False
        await asyncio.sleep(5)
        assert a.keeper.target.key == first, "nobody else is there"
        c.healthy = True
        await until(loop, lambda: a.keeper.target.key.shadow == "c", 5)
        assert a.state(first) is State.HELD
        await asyncio.sleep(30)
        assert a.state(first) is State.HELD, "its copies are still there"
        await b.kill()
        begun = loop.time()
        await states(loop, {(a, first): State.VOID}, 40)
        assert loop.time() - begun >= LEASE_S - 1 + 15

    world(scenario, ("a", "b", "c"))


def test_a_shadow_that_goes_is_replaced_at_once_and_what_was_adopted_moves_on(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b, c = house.nodes.values()
        key = a.keeper.target.key
        shadow = house.nodes[key.shadow]
        third = next(node for node in (b, c) if node is not shadow)
        a.take_in("m1")
        await shadow.kill()
        begun = loop.time()
        await until(loop, lambda: a.keeper.target is not None and a.keeper.target.key.shadow == third.name, 20)
        assert loop.time() - begun < LEASE_S + 2
        await a.kill()
        shadow.start()
        await until(loop, lambda: shadow.disk.kinds() == {"m1": Kind.OWN}, 40)
        await states(loop, {(shadow, key): State.VOID}, 20)
        assert shadow.keeper.target is not None

    world(scenario, ("a", "b", "c"))


def test_a_key_that_is_not_understood_stops_attempts_only_while_rows_may_be_under_it(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        key = a.key("b")
        name = KEYS.ownership(key.spool, key.shadow)
        await until(loop, lambda: a.keeper._moving.counted(a.keeper.view(key)) is not None, 5)
        await house.store.txn([], [Put(key=name, value=b"{}")], timeout_s=1)
        await states(loop, {(a, key): State.STRANGE}, 2)
        await until(loop, lambda: a.keeper.ready, 5)
        assert a.keeper.target is None
        good = Pairing(owner="a", epoch=99, copy=b.disk.spool)
        await house.store.txn([], [Put(key=name, value=write(good))], timeout_s=1)
        await paired(loop, house, "a")
        a.take_in("m1")
        await until(loop, lambda: (a.keeper._moving.counted(a.keeper.view(key)) or 0) and
                    a.keeper._moving.counted(a.keeper.view(key)).own == 1, 5)  # fmt: skip
        await house.store.txn([], [Put(key=name, value=b"{}")], timeout_s=1)
        await asyncio.sleep(10)
        assert not a.keeper.ready
        await house.store.txn([], [Put(key=name, value=write(good))], timeout_s=1)
        await until(loop, lambda: a.keeper.ready, 5)

    world(scenario)
