"""Rows follow ownership: moved out, taken back, whatever fails between; on real disks."""

import asyncio
import itertools
import sqlite3
from contextlib import suppress

import msgspec
import pytest

from coordinator.ownership.moves import Here
from node.policy.envelope import OnUnknown, RecipientState
from node.shadow import giving
from node.shadow.entries import Intent
from node.shadow.giving import StillMoving
from node.spool.contract import Filter
from node.spool.errors import SpoolBroken, SpoolFull
from tests.support.copies import OWNER, SHADOW, attached
from tests.support.copies_house import kept_ids
from tests.support.spares_house import NOW, PAIR, SparesHouse, SparesNode, body_of, copied, keep, live, put
from tests.support.spool_faults import Plan
from tests.support.spool_mail import T0, accepted, attempt, lane, message, outcome, settlement

S = RecipientState


@pytest.fixture
async def house(tmp_path):
    async with SparesHouse(tmp_path) as house:
        yield house


# ---- adoption and moving out -----------------------------------------------------------------------------------------


async def test_what_became_mine_is_delivered_under_its_pairing(house):
    node, made, tried = house.shadow, message(), message(on_unknown=OnUnknown.VERIFY)
    intent = Intent(message_id=tried.id, attempt_id="a1", indexes=(0,), dot_ms=T0)
    await keep(node, copied(made), copied(tried), intent)
    node.sees(OWNER)
    assert await node.spares.here(PAIR.key, 7) == Here(spare=1)
    await node.align(SHADOW)
    (due,) = await node.spool.peek(lane(made), NOW, 9)
    assert (due.message, due.pairing) == (made, await node.number())
    assert [each.message.id for each in await node.spool.unknowns(NOW, 9)] == [tried.id]
    assert await kept_ids(node.copies, PAIR) == []
    assert node.arrived == 1
    assert await node.spares.here(PAIR.key, 7) == Here(own=1, unconfirmed=1, asking=1)
    line = (await node.spool.journey(made.id)).lines[-1]
    assert (line.event, line.detail) == ("adopted", {"from": OWNER})


async def test_copies_on_their_way_count_as_own(house):
    """Else the key would be given back, or made void, while half of its rows are on their way."""
    await keep(house.shadow, copied(message()))
    house.shadow.sees(SHADOW)
    assert await house.shadow.spares.here(PAIR.key, 7) == Here(own=1, unconfirmed=1)
    house.shadow.sees(SHADOW, void=True)
    assert await house.shadow.spares.here(PAIR.key, 7) == Here(own=1, unconfirmed=1)
    house.shadow.sees(OWNER, void=True)
    assert await house.shadow.spares.here(PAIR.key, 7) == Here(spare=1)


async def test_what_became_anothers_leaves_the_spool_and_comes_back_as_it_stood(house):
    node = house.owner
    plain = await put(node, message("0190-a", to=("a@x.example", "b@x.example")))
    large = await put(node, message("0190-b"), b"L" * 300_000)
    alone = await put(node, message("0190-c"), pair=attached(6))
    start = attempt(plain, 0, 1)
    assert await node.spool.claim(start)
    await node.spool.settle(
        settlement(
            start, outcome(0, S.DELIVERED), outcome(1, S.DEFERRED, "busy", reply="450", next_attempt_ms=NOW + 9_000)
        )
    )
    before = await node.spool.journey(plain.id)
    await node.align(SHADOW)
    assert await live(node) == [alone.id]
    assert await kept_ids(node.copies, PAIR) == [plain.id, large.id]
    assert await body_of(node.copies, PAIR, large.id) == b"L" * 300_000
    assert await node.spares.here(PAIR.key, 7) == Here(spare=1)
    await node.copies.close()
    await node.copies.open(NOW)
    assert node.copies.notes == []
    await node.align(OWNER)
    after = await node.spool.journey(plain.id)
    assert after.recipients == before.recipients
    assert [line.event for line in after.lines] == [*(line.event for line in before.lines), "adopted"]
    assert await body_of(node.spool, large.id) == b"L" * 300_000
    assert await kept_ids(node.copies, PAIR) == []


async def test_one_in_flight_or_just_accepted_stays_for_the_moment(house):
    node = house.owner
    flying, taking, free = [await put(node, message(f"0190-{n}")) for n in "abc"]
    start = attempt(flying)
    assert await node.spool.claim(start)
    node.taking.add(taking.id)
    with pytest.raises(StillMoving):
        await node.align(SHADOW)
    assert await kept_ids(node.copies, PAIR) == [free.id]
    node.taking.clear()
    await node.spool.settle(settlement(start))
    await node.align(SHADOW)
    assert await kept_ids(node.copies, PAIR) == [taking.id, free.id]


async def test_a_shadow_that_gives_back_keeps_spares_the_owner_may_add_to(house):
    """The pairing's copies stay those of the spool's own node, which sends more of them later."""
    node, made = house.shadow, message()
    await keep(node, copied(made))
    await node.align(SHADOW)
    await node.copies.drop(PAIR)
    await node.align(OWNER)
    assert await kept_ids(node.copies, PAIR) == [made.id]
    assert await node.copies.begin(PAIR, OWNER) > 0


async def test_a_void_pairing_protects_nothing(house):
    node, made = house.owner, await put(house.owner, message())
    old = await put(node, message(), pair=attached(6))
    for epoch, name in ((7, made.id), (6, old.id)):
        await node.spool.confirm(await node.number(epoch), [name])
    node.sees(OWNER)
    assert not (await node.spares.here(PAIR.key, 7)).unconfirmed
    await node.align(OWNER)
    assert await node.spool.unprotected() == 1
    await node.align(OWNER, void=True)
    assert (await node.spares.here(PAIR.key, 7)).unconfirmed
    assert await node.spool.unprotected() == 2


async def test_a_void_pairing_given_back_brings_nothing_with_it(house):
    node, made = house.owner, await put(house.owner, message())
    await node.align(SHADOW, void=True)
    await node.align(OWNER, void=True)
    assert await live(node) == []
    assert await kept_ids(node.copies, PAIR) == [made.id]


async def test_one_that_the_shadow_made_void_itself_is_its_own_still(house):
    await keep(house.shadow, copied(message()))
    await house.shadow.align(SHADOW, void=True)
    assert len(await live(house.shadow)) == 1


async def test_taking_over_stops_when_the_pairing_changes(house):
    node = house.shadow
    await keep(node, *(copied(message(f"0190-{n:04d}")) for n in range(300)))
    found, seen = node.sees(SHADOW), []
    take_away = node.copies.take_away

    async def meanwhile(pair, ids):
        seen.append(len(ids))
        node.sees(OWNER)
        return await take_away(pair, ids)

    node.copies.take_away = meanwhile
    with pytest.raises(StillMoving):
        await node.spares.align(found)
    assert seen == [128]
    await node.align(OWNER)
    assert len(await kept_ids(node.copies, PAIR)) == 300


# ---- faults ----------------------------------------------------------------------------------------------------------


async def both(node):
    """Ids in the spool, and in the copies."""
    return {view.message.id for view in await node.spool.find(Filter())}, set(await kept_ids(node.copies, PAIR))


@pytest.mark.parametrize("after", [False, True], ids=["not done", "done but reported failed"])
@pytest.mark.parametrize("which", ["spool", "copies"])
async def test_moving_out_is_resumed_after_a_failure_at_any_statement(tmp_path, which, after, monkeypatch):
    monkeypatch.setattr(giving, "CHUNK", 4)
    made = [message(f"0190-{n:04d}") for n in range(10)]
    bodies = {each.id: (b"B" * 300_000 if n == 5 else bytes([n]) * 1_000) for n, each in enumerate(made)}
    for number in itertools.count(1):
        directory = tmp_path / str(number)
        plan = Plan(number, sqlite3.SQLITE_IOERR, after=after)
        async with SparesNode(directory, OWNER, None, **{f"connect_{which}": plan.connect}) as node:
            for each in made:
                await put(node, each, bodies[each.id])
            await node.number()
            plan.armed = True
            with suppress(SpoolBroken, SpoolFull):
                await node.align(SHADOW)
            plan.armed = False
        async with SparesNode(directory, OWNER, None) as node:
            here, there = await both(node)
            assert here | there == set(bodies)
            await node.align(SHADOW)
            assert await both(node) == (set(), set(bodies))
            for name, body in bodies.items():
                assert await body_of(node.copies, PAIR, name) == body
            assert (node.copies.notes, node.spool.notes) == ([], [])
            await node.align(OWNER)
            assert await both(node) == (set(bodies), set())
        if not plan.failed:
            break
        assert number < 150
    assert number > 10


async def test_five_thousand_go_and_come_in_seconds(tmp_path):
    async with SparesNode(tmp_path, OWNER, None) as node:
        number, loop = await node.number(), asyncio.get_running_loop()
        items = [
            msgspec.structs.replace(accepted(message(f"0190-{n:05d}"), b"x" * 4_096), pairing=number)
            for n in range(5_000)
        ]
        await asyncio.gather(*(node.spool.append(each) for each in items))
        start = loop.time()
        await node.align(SHADOW)
        out = loop.time()
        await node.align(OWNER)
        back = loop.time()
        print(f"\nmoved out {5_000 / (out - start):.0f}/s, taken back {5_000 / (back - out):.0f}/s")
        assert (await both(node))[1] == set()
