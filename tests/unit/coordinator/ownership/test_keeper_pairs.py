"""Two and three keepers on one store in virtual time: pairing, adoption, return, giving, asking back, voids."""

import asyncio
from functools import partial

import pytest

from coordinator.ownership.records import Pairing, read_pairing, write
from coordinator.ownership.rows import Attached, Kind, Row
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


def test_another_site_is_chosen_first(world):
    async def scenario(loop, house):
        await paired(loop, house)
        assert house.nodes["a"].keeper.target.key.shadow == "c"
        assert house.nodes["c"].keeper.target.key.shadow in {"a", "b"}

    world(scenario, ("a", "b", "c"), sites={"a": "one", "b": "one", "c": "two"})


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
