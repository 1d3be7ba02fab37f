"""Transactions of a keeper whose answer is lost, done or not: read back, never sent again, nothing mine meanwhile."""

import asyncio
from functools import partial

import pytest

from coordinator.ownership.records import read_pairing
from coordinator.ownership.rows import Kind
from coordinator.ownership.views import State
from tests.support.ownership_house import KEYS, until
from tests.support.ownership_world import paired, run_house, states

DONE = pytest.mark.parametrize("done", [True, False])


@pytest.fixture
def world(tmp_path):
    return partial(run_house, tmp_path)


def name_of(key):
    return KEYS.ownership(key.spool, key.shadow)


def written(house, key):
    return house.store.writes.count(name_of(key))


async def stored(house, key):
    return read_pairing((await house.store.get(name_of(key), timeout_s=1)).value)


async def settled(loop, node, key, *, done, mine=False):
    """Until the key is known anew nothing may be attempted, unless rows stay *mine*; what was done the watch tells."""
    if done:
        return
    await until(loop, lambda: node.state(key) is State.LEAVING, 5)
    assert node.keeper.ready is mine
    assert node.keeper.target is None or node.keeper.target.key != key
    await until(loop, lambda: node.state(key) is not State.LEAVING, 5)


@DONE
def test_giving(world, done):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        key, before = a.key("b"), written(house, a.key("b"))
        house.store.lose.append((name_of(key), done))
        a.keeper.leaving = True
        await settled(loop, a, key, done=done)
        if not done:
            assert a.state(key) is State.HELD, "written again by me: what was sent can happen no more"
        await states(loop, {(a, key): State.SPARE, (b, key): State.HELD}, 10)
        # a refused claim if it was done; else a claim, and then a new giving
        assert written(house, key) - before <= 2
        await until(loop, lambda: b.disk.kinds() == {"m1": Kind.OWN} and a.disk.kinds() == {"m1": Kind.GIVEN}, 5)
        assert b.keeper.made["adopt"] == 0

    world(scenario)


@DONE
def test_voiding(world, done):
    async def scenario(loop, house):
        await paired(loop, house)
        a = house.nodes["a"]
        key, epoch = a.key("b"), a.keeper.target.epoch
        house.store.lose.append((name_of(key), done))
        a.keeper.copies_lost(key, epoch)
        await settled(loop, a, key, done=done, mine=True)
        await until(loop, lambda: a.keeper.target is not None and a.keeper.target.epoch > epoch, 10)
        assert await stored(house, key) == a.keeper.target.pairing

    world(scenario)


@DONE
def test_adopting(world, done):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        key = a.key("b")
        house.store.lose.append((name_of(key), done))
        await a.kill()
        await states(loop, {(b, key): State.HELD}, 30)
        await until(loop, lambda: b.disk.kinds() == {"m1": Kind.OWN}, 5)
        assert (await stored(house, key)).owner == "b"

    world(scenario)


@DONE
def test_pairing(world, done):
    async def scenario(loop, house):
        key = house.nodes["a"].key("b")
        house.store.lose.append((name_of(key), done))
        await paired(loop, house)
        assert await stored(house, key) == house.nodes["a"].keeper.target.pairing
        assert written(house, key) == (0 if done else 1)

    world(scenario)


@DONE
def test_claiming(world, done):
    async def scenario(loop, house):
        await paired(loop, house)
        a = house.nodes["a"]
        key = a.key("b")
        a.take_in("m1")
        await a.kill()
        house.store.lose.append((name_of(key), done))
        a.start()
        await until(loop, lambda: a.state(key) is State.UNCLAIMED and a.keeper.live(), 10)
        assert not a.keeper.ready
        await until(loop, lambda: a.keeper.ready, 10)
        assert a.disk.kinds() == {"m1": Kind.OWN}

    world(scenario)


def test_a_giving_that_happens_late_fails_once_the_key_is_written_again(world):
    """The answer is lost, I keep the rows by writing the key; what was sent arrives only then and finds another key."""

    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        key, late = a.key("b"), []

        async def held_up(compares, writes, *, timeout_s):
            if not late and writes[0].key == name_of(key):
                late.append((compares, writes))
                await asyncio.sleep(timeout_s)
                from coordinator.store.contract import Indefinite

                raise Indefinite("no answer")
            return await txn(compares, writes, timeout_s=timeout_s)

        txn, house.store.txn = house.store.txn, held_up
        a.keeper.leaving = True
        await until(loop, lambda: late, 5)
        a.keeper.leaving = False
        await until(loop, lambda: a.keeper.ready, 5)
        assert a.state(key) is State.HELD
        outcome = await txn(*late[0], timeout_s=1)
        assert not outcome.succeeded
        assert b.state(key) is State.SPARE

    world(scenario)


def test_a_giving_that_the_store_did_not_do_leaves_everything_as_it_was(world):
    """The other end began another session, of which the watch has not told: the giving names the one before."""

    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        key, feed, seen = a.key("b"), a.feed.feed, []
        a.feed.feed = seen.append
        await b.kill()
        await asyncio.sleep(6)
        b.start()
        await asyncio.sleep(2)
        before = written(house, key)
        a.keeper.leaving = True
        await until(loop, lambda: written(house, key) > before, 5)
        await asyncio.sleep(0.05)
        assert a.state(key) is State.HELD
        assert a.keeper.ready
        assert a.keeper.made["give"] == a.keeper.made["claim"] == 0
        a.feed.feed = feed
        for each in seen:
            feed(each)
        await states(loop, {(a, key): State.SPARE}, 5)

    world(scenario)


def test_only_the_leaving_itself_refused_or_a_newer_key_takes_back_that_it_was_left(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a = house.nodes["a"]
        a.take_in("m1")
        key = a.key("b")
        house.store.full = name_of(key)
        a.keeper.leaving = True
        await asyncio.sleep(5)
        assert a.state(key) is State.HELD, "refused for good: not given"
        house.store.full = ""
        house.store.lose.append((name_of(key), False))
        await until(loop, lambda: not house.store.lose, 5)
        house.store.full = name_of(key)
        await asyncio.sleep(5)
        assert a.state(key) is State.LEAVING, "a claim that is refused says nothing of what was sent before"
        assert not a.keeper.ready
        house.store.full = ""
        await states(loop, {(a, key): State.SPARE}, 10)

    world(scenario)


def test_a_session_that_ends_with_a_giving_unanswered_relies_on_no_copy_under_it(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a = house.nodes["a"]
        a.take_in("m1")
        key = a.key("b")
        house.store.lose.append((name_of(key), False))
        a.keeper.leaving = True
        await until(loop, lambda: a.state(key) is State.LEAVING, 5)
        house.store.silent = True
        await states(loop, {(a, key): State.UNCLAIMED}, 10)
        assert a.keeper.target is None
        assert a.keeper.view(key).left
        house.store.silent = False
        await states(loop, {(a, key): State.SPARE}, 20)
        await until(loop, lambda: a.keeper.ready, 5)
        assert a.disk.kinds() == {"m1": Kind.GIVEN}

    world(scenario)
