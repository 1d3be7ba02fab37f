"""Two and three keepers on one store in virtual time: pairing, adoption, return, the next session."""

import asyncio
from functools import partial

import pytest

from coordinator.ownership.records import read_pairing
from coordinator.ownership.rows import Attached, Kind, Row
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


def test_everybody_opens_its_spool_pairs_and_is_ready_within_a_moment_of_its_session(world):
    async def scenario(loop, house):
        begun = loop.time()
        await paired(loop, house)
        assert loop.time() - begun < 1.5
        for node in house.nodes.values():
            keeper = node.keeper
            assert keeper.judged
            assert keeper.live()
            assert keeper.verdict.verdict == "good"
            assert keeper.target.key.spool == node.disk.spool
            assert keeper.target.state is State.HELD
            assert keeper.other_end(keeper.target.key) == keeper.target.key.shadow != node.name
            assert node.changes
            assert not node.refused
            assert keeper.made["pair"] == 1

    world(scenario, ("a", "b", "c"))


def test_an_idle_pair_writes_nothing_but_leases(world):
    async def scenario(loop, house):
        await paired(loop, house)
        await asyncio.sleep(2)
        before = len(house.store.writes)
        await asyncio.sleep(300)
        assert len(house.store.writes) == before

    world(scenario)


def test_a_dead_nodes_rows_are_adopted_after_lease_and_delay_and_not_before(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        key = a.key("b")
        epoch = b.keeper.view(key).epoch
        assert b.state(key) is State.SPARE
        await a.kill()
        begun = loop.time()
        await until(loop, lambda: b.disk.kinds() == {"m1": Kind.OWN}, 30)
        assert LEASE_S - 1 + DELAY_S <= loop.time() - begun <= LEASE_S + DELAY_S + 2
        assert b.state(key) is State.HELD
        assert b.keeper.view(key).epoch == epoch
        assert b.keeper.made["adopt"] == 1
        assert b.keeper.ready

    world(scenario)


def test_nothing_is_adopted_where_no_spare_is_and_none_during_a_pause(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        house.paused = True
        await a.kill()
        await asyncio.sleep(60)
        assert b.state(a.key("b")) is State.SPARE
        b.disk.rows.clear()
        house.paused = False
        await asyncio.sleep(60)
        assert b.state(a.key("b")) is State.SPARE
        b.disk.put(
            "m2", Row(kind=Kind.SHADOW, attached=Attached(key=a.key("b"), epoch=b.keeper.view(a.key("b")).epoch))
        )
        await states(loop, {(b, a.key("b")): State.HELD}, 3)

    world(scenario)


def test_an_operators_word_that_a_node_is_dead_replaces_the_delay(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        await a.kill()
        house.dead = frozenset({"a"})
        begun = loop.time()
        await states(loop, {(b, a.key("b")): State.HELD})
        assert loop.time() - begun < LEASE_S + 2

    world(scenario)


def test_who_comes_back_in_time_claims_its_rows_and_is_ready(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        key = a.key("b")
        before = await pairing(house, key)
        await a.kill()
        await asyncio.sleep(6)
        a.start()
        assert not a.keeper.ready
        await paired(loop, house, "a")
        assert a.disk.kinds() == {"m1": Kind.OWN}
        assert a.keeper.made["claim"] == 1
        assert await pairing(house, key) == before
        await asyncio.sleep(30)
        assert b.disk.kinds() == {"m1": Kind.SHADOW}

    world(scenario)


def test_who_comes_back_late_is_ready_only_when_what_was_adopted_is_out_of_its_spool(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        await a.kill()
        await states(loop, {(b, a.key("b")): State.HELD})
        a.disk.gate.clear()
        a.start()
        await states(loop, {(a, a.key("b")): State.SPARE})
        await asyncio.sleep(3)
        assert a.keeper.live()
        assert not a.keeper.ready
        a.disk.gate.set()
        await until(loop, lambda: a.keeper.ready, 3)
        assert a.disk.kinds() == {"m1": Kind.GIVEN}

    world(scenario)


def test_rows_are_brought_in_line_again_until_it_succeeds_and_an_adoption_delays_nobody(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        b.disk.fail = 5
        await a.kill()
        await states(loop, {(b, a.key("b")): State.HELD})
        assert b.disk.kinds() == {"m1": Kind.SHADOW}
        assert b.keeper.ready
        await until(loop, lambda: b.disk.kinds() == {"m1": Kind.OWN}, 15)
        assert not b.disk.fail

    world(scenario)


def test_a_session_that_ends_shuts_and_the_next_one_claims_before_anything(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        house.store.silent = True
        target = a.keeper.target
        await until(loop, lambda: not a.session.session.live(loop.now_ms()), 10)
        assert not a.keeper.ready
        assert a.keeper.target.key == target.key, "copies go on meanwhile"
        await states(loop, {(a, a.key("b")): State.UNCLAIMED}, 1)
        house.store.silent = False
        await paired(loop, house)
        assert a.keeper.made["claim"] == 1
        assert a.disk.kinds() == {"m1": Kind.OWN}
        assert b.disk.kinds() == {"m1": Kind.SHADOW}

    world(scenario)
