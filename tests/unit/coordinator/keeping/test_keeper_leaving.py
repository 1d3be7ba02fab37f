"""Keepers that give away what is theirs, and keys that are asked back, in virtual time."""

import asyncio
from functools import partial

import pytest

from coordinator.ownership.records import read_pairing
from coordinator.ownership.rows import Kind, Row
from coordinator.ownership.views import State
from coordinator.timing import FAST
from tests.support.ownership_house import KEYS, until
from tests.support.ownership_world import paired, run_house, states

LEASE_S, DELAY_S = FAST.ttl_ms / 1_000, 5.0


@pytest.fixture
def world(tmp_path):
    return partial(run_house, tmp_path)


async def pairing(house, key):
    return read_pairing((await house.store.get(KEYS.ownership(key.spool, key.shadow), timeout_s=1)).value)


def test_a_key_is_given_back_when_its_spool_asks_and_nothing_of_it_is_left(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        key = a.key("b")
        await a.kill()
        await states(loop, {(b, key): State.HELD})
        a.start()
        await until(loop, lambda: a.disk.kinds() == {"m1": Kind.GIVEN} and a.keeper.ready, 10)
        await asyncio.sleep(2)
        assert a.keeper.to_ask_back() == []
        assert a.keeper.target is None
        await states(loop, {(b, key): State.VOID, (a, key): State.SPARE_VOID}, 5)  # to be copied under a pairing of b's
        a.disk.rows.clear()
        await until(loop, a.keeper.to_ask_back, 3)
        ((node, asked, revision),) = a.keeper.to_ask_back()
        assert (node, asked, revision) == ("b", key, b.keeper.view(key).revision)
        b.keeper.asked_back(asked, revision)
        await asyncio.sleep(3)
        assert b.state(key) is State.VOID, "it still has a row of it"
        epoch = a.keeper.view(key).epoch
        b.disk.rows.clear()
        await states(loop, {(a, key): State.HELD, (b, key): State.SPARE}, 5)
        assert a.keeper.view(key).epoch > epoch
        await paired(loop, house, "a")

    world(scenario)


def test_one_that_asked_at_an_older_revision_is_not_given_to(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        key = a.key("b")
        await a.kill()
        await states(loop, {(b, key): State.HELD})
        b.disk.rows.clear()
        a.start()
        await until(loop, lambda: a.keeper.ready, 10)
        b.keeper.asked_back(key, b.keeper.view(key).revision - 1)
        await asyncio.sleep(10)
        assert b.state(key) is State.HELD

    world(scenario)


def test_who_leaves_gives_what_is_confirmed_and_not_under_way_and_pairs_no_more(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        a.take_in("m2", confirmed=False)
        a.disk.moving.add("m1")
        key = a.key("b")
        assert not a.keeper.given
        a.keeper.leaving = True
        await asyncio.sleep(3)
        assert a.state(key) is State.HELD
        a.confirm_all()
        b.disk.put("m2", Row(kind=Kind.SHADOW, attached=a.disk.rows["m2"].attached))
        await asyncio.sleep(3)
        assert a.state(key) is State.HELD, "one is under way"
        assert not a.keeper.given
        a.disk.moving.clear()
        await states(loop, {(a, key): State.SPARE, (b, key): State.HELD}, 5)
        assert not a.disk.moving
        await until(loop, lambda: a.keeper.given and a.keeper.ready, 5)
        assert set(a.disk.kinds().values()) == {Kind.GIVEN}
        await until(loop, lambda: set(b.disk.kinds().values()) == {Kind.OWN}, 5)
        await asyncio.sleep(30)
        assert a.keeper.target is None
        assert a.keeper.made["pair"] == 1

    world(scenario)


def test_an_attempt_begun_while_it_is_decided_to_give_stops_the_giving(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, _ = house.nodes.values()
        a.take_in("m1")
        key, begun = a.key("b"), []

        def begins(counted):
            """An attempt begins just after rows were counted for the decision, while it still may."""
            if counted == key and a.keeper.leaving and not begun and not a.keeper.ready:
                begun.append(a.state(key))
                a.disk.moving.add("m1")

        a.disk.on_here = begins
        a.keeper.leaving = True
        await until(loop, lambda: begun, 5)
        assert begun == [State.LEAVING]
        await asyncio.sleep(3)
        assert a.state(key) is State.HELD
        assert a.keeper.made["give"] == 0

    world(scenario)


def test_what_came_in_just_before_leaving_is_counted_before_it_is_said_that_nothing_is_left(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        await until(loop, lambda: a.keeper._moving.counted(a.keeper.target) is not None, 5)
        a.take_in("m1")
        a.keeper.leaving = True
        assert not a.keeper.given
        await until(loop, lambda: a.keeper.given, 5)
        assert b.state(a.key("b")) is State.HELD

    world(scenario)


def test_rows_that_nobody_confirms_do_not_hold_up_a_leaving_node_for_ever(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a = house.nodes["a"]
        a.take_in("m1", confirmed=False)
        a.keeper.leaving = True
        await asyncio.sleep(9)
        assert not a.keeper.given
        await until(loop, lambda: a.keeper.given, 3)
        assert a.state(a.key("b")) is State.HELD

    world(scenario)


def test_what_is_not_adopted_yet_is_not_given_back(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        key = a.key("b")
        b.disk.gate.clear()
        await a.kill()
        await states(loop, {(b, key): State.HELD})
        a.start()
        await until(loop, lambda: a.keeper.ready, 10)
        b.keeper.asked_back(key, b.keeper.view(key).revision)
        await asyncio.sleep(10)
        assert b.state(key) is State.HELD
        b.disk.gate.set()
        await until(loop, lambda: b.disk.kinds()["m1"] is Kind.OWN, 5)

    world(scenario)


def test_who_leaves_makes_no_pairing_in_place_of_one_that_goes(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a = house.nodes["a"]
        a.take_in("m1", confirmed=False)
        a.keeper.leaving = True
        await house.nodes[a.keeper.target.key.shadow].kill()
        await until(loop, lambda: a.keeper.target is None, 10)
        await asyncio.sleep(20)
        assert a.keeper.target is None
        assert a.keeper.made["pair"] == 1
        a.keeper.leaving = False
        await paired(loop, house, "a")

    world(scenario, ("a", "b", "c"))
