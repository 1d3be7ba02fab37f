"""A keeper's spool in virtual time: judged before anything, told as it moves, refused as a twin, shown if old."""

import asyncio
from functools import partial

import pytest

from coordinator.ownership.records import read_spool
from coordinator.ownership.rows import Kind
from coordinator.ownership.spools import Verdict
from coordinator.ownership.views import State
from coordinator.store.contract import Put
from tests.support.ownership_house import KEYS, Disk, until
from tests.support.ownership_world import paired, run_house, states


@pytest.fixture
def world(tmp_path):
    return partial(run_house, tmp_path)


async def record(house, spool):
    return read_spool((await house.store.get(KEYS.spool(spool), timeout_s=1)).value)


def test_how_far_it_has_come_is_remembered_before_it_is_told_and_told_within_ten_seconds(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a = house.nodes["a"]
        for number in range(40):
            a.take_in(f"m{number}")
            await asyncio.sleep(1)
            told = await record(house, "disk-a")
            assert told.sequence <= a.disk.told_sequence
            assert a.disk.number - told.sequence <= 11
        assert told.sequence >= 29
        writes = house.store.writes.count(KEYS.spool("disk-a"))
        assert 4 <= writes <= 6
        await asyncio.sleep(60)
        assert house.store.writes.count(KEYS.spool("disk-a")) == writes + 1, "and only while it moves"

    world(scenario)


def test_an_older_copy_is_shown_and_nothing_is_done_with_it_until_an_operator_releases_it(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        a.take_in("m1")
        copy = dict(a.disk.rows)
        for number in range(20):
            a.take_in(f"n{number}")
            await asyncio.sleep(1)
        await a.kill()
        old = a.disk = Disk("disk-a")
        old.rows, old.number, old.told_sequence = copy, 1, 0
        a.start()
        await until(loop, lambda: a.keeper.verdict is not None, 20)
        assert a.keeper.verdict.verdict is Verdict.BEHIND
        before = len([name for name in house.store.writes if "/ownership/disk-a" in name])
        await asyncio.sleep(30)
        assert not a.keeper.judged
        assert not a.keeper.ready
        assert a.keeper.target is None
        assert not a.refused
        assert len(a.quarantined) == 1
        assert not a.disk.aligned
        assert len([name for name in house.store.writes if "/ownership/disk-a" in name]) == before
        assert (await record(house, "disk-a")).sequence > old.told_sequence
        a.keeper.release_quarantine()
        await until(loop, lambda: a.keeper.ready, 5)
        assert a.keeper.judged
        assert a.keeper.verdict.verdict is Verdict.GOOD
        assert (await record(house, "disk-a")).sequence == old.told_sequence
        assert b.state(a.key("b")) is State.SPARE

    world(scenario)


def test_a_twin_is_refused_and_the_first_goes_on(world):
    async def scenario(loop, house):
        a, _, c = house.nodes.values()
        await paired(loop, house)
        await c.kill()
        await asyncio.sleep(8)
        c.disk = Disk("disk-a")
        c.start()
        await until(loop, lambda: c.refused, 10)
        assert c.refused == ["a has this spool"]
        assert c.keeper.verdict.verdict is Verdict.TWIN
        assert not c.keeper.judged
        await asyncio.sleep(20)
        assert len(c.refused) == 1
        assert a.keeper.ready

    world(scenario, ("a", "b", "c"))


def test_a_record_that_is_not_understood_is_refused(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        await a.kill()
        await house.store.txn([], [Put(key=KEYS.spool("disk-a"), value=b'{"form": 9}')], timeout_s=1)
        a.start()
        await until(loop, lambda: a.refused, 10)
        assert a.keeper.verdict.verdict is Verdict.STRANGE
        assert not a.keeper.judged
        assert b.keeper.ready

    world(scenario)


def test_nothing_is_judged_before_the_watch_has_come_to_the_sessions_begin(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a = house.nodes["a"]
        await a.kill()
        await asyncio.sleep(8)
        a.start()
        feed, seen = a.feed.feed, []
        a.feed.feed = seen.append
        await until(loop, lambda: a.session.session.live(loop.now_ms()), 5)
        await asyncio.sleep(3)
        assert a.keeper.verdict is None
        assert not a.keeper.judged
        a.feed.feed = feed
        for each in seen:
            feed(each)
        await paired(loop, house, "a")

    world(scenario)


@pytest.mark.parametrize("done", [True, False])
def test_an_opening_whose_answer_was_lost_is_read_back(world, done):
    async def scenario(loop, house):
        house.store.lose.append((KEYS.spool("disk-a"), done))
        await paired(loop, house)
        a = house.nodes["a"]
        assert a.keeper.judged
        assert a.keeper.verdict.verdict is Verdict.GOOD
        assert (await record(house, "disk-a")).inc == a.session.session.inc
        assert house.store.writes.count(KEYS.spool("disk-a")) == (0 if done else 1)

    world(scenario)


def test_rows_of_a_disk_that_comes_back_under_another_name_are_its_own_again(world):
    async def scenario(loop, house):
        a, b, c = house.nodes.values()
        await paired(loop, house)
        a.keeper.leaving = True  # so that its shadow owns them while it is away
        attached = a.take_in("m1")
        shadow = house.nodes[attached.key.shadow]
        await states(loop, {(shadow, attached.key): State.HELD}, 10)
        await asyncio.sleep(1)
        await a.kill()
        other = c if shadow is b else b
        await other.kill()
        await asyncio.sleep(8)
        other.disk = a.disk
        other.start()
        await until(loop, lambda: other.keeper.ready, 10)
        assert other.disk.kinds() == {"m1": Kind.GIVEN}
        assert other.keeper.view(attached.key).state in {State.SPARE, State.SPARE_VOID}
        assert shadow.keeper.other_end(attached.key) == other.name

    world(scenario, ("a", "b", "c"))
