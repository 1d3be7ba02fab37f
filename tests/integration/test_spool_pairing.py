"""Pairings on a real disk: behind the journal, through a cut, an upgrade, damage; and a write that fails at every n."""

import asyncio
import itertools
import sqlite3

import pytest

from node.policy.envelope import OnUnknown, RecipientState
from node.spool.contract import Accepted, Filter
from node.spool.database import Database
from node.spool.errors import MessageGone, SpoolBroken, SpoolFull
from node.spool.opening import make_ready
from node.spool.paired import Here, Looked
from node.spool.queries import migrations
from node.spool.schema import Schema
from node.spool.sqlite import SqliteSpool
from tests.support.spool_faults import Plan
from tests.support.spool_journal import cut, put_off
from tests.support.spool_mail import BODY, T0, accepted, attempt, lane, message, settlement

S = RecipientState
BIG = b"B" * 300_000


def make(directory, **more):
    return SqliteSpool(directory, now_ms=lambda: T0, **more)


@pytest.fixture
async def spool(tmp_path):
    made = make(tmp_path / "spool")
    await made.open(T0)
    yield made
    await made.close()


async def put(spool, number, body=BODY, **facts):
    made = message(**facts)
    await spool.append(Accepted(message=made, body=body, pairing=number))
    return made


def edit(spool, *statements):
    with sqlite3.connect(spool.directory / "spool.sqlite3") as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def rows(directory, text):
    with sqlite3.connect(directory / "spool.sqlite3") as connection:
        found = connection.execute(text).fetchall()
    connection.close()
    return found


# ---- behind the journal ----------------------------------------------------------------------------------------------


async def test_what_only_the_journal_has_counts(spool, monkeypatch):
    number = await spool.attach("me", "b", 1)
    put_off(monkeypatch)
    made = await put(spool, number, on_unknown=OnUnknown.VERIFY)
    assert rows(spool.directory, "SELECT count(*) FROM messages") == [(0,)]
    assert await spool.here(number) == Here(own=True, unconfirmed=True, careful=True)
    assert await spool.here(0) == Here()
    assert rows(spool.directory, "SELECT count(*) FROM messages") == [(0,)], "to ask is not to write"
    assert await spool.look([made.id]) == {
        made.id: Looked(pairing=number, confirmed=False, finished=False, moving=False)
    }
    again = await put(spool, number)
    assert await spool.unprotected() == 2
    third = await put(spool, number)
    assert [each.message.id for each in await spool.standing(number, "", 9)] == [made.id, again.id, third.id]
    last = await put(spool, number)
    await spool.confirm(number, [last.id])
    assert (await spool.look([last.id]))[last.id].confirmed


async def test_after_a_cut_the_journal_knows_each_messages_pairing(spool, tmp_path, monkeypatch):
    number = await spool.attach("me", "b", 1)
    put_off(monkeypatch)
    made = [await put(spool, n) for n in (number, 0, None)]
    after = make(cut(spool.directory, tmp_path / "after"))
    await after.open(T0 + 1)
    found = await after.look([each.id for each in made])
    assert [found[each.id].pairing for each in made] == [number, 0, 0]
    assert await after.unprotected() == 3
    await after.close()


async def test_a_spool_without_peers_writes_no_rows(spool):
    made = [await put(spool, None) for _ in range(3)]
    start = attempt(made[0])
    await spool.claim(start)
    await spool.settle(settlement(start))
    await spool.count()
    assert rows(spool.directory, "SELECT count(*) FROM copies") == [(0,)]
    assert [due.pairing for due in await spool.peek(lane(made[1]), T0, 9)] == [0, 0]


async def test_an_older_spool_is_brought_up_to_date(tmp_path):
    (tmp_path / "spool").mkdir()
    path = tmp_path / "spool" / "spool.sqlite3"
    database = Database(path, writable=True)
    make_ready(database, path, T0, Schema(migrations=migrations()[:2]))
    database.close()
    spool = make(tmp_path / "spool")
    await spool.open(T0)
    made = await put(spool, None)
    number = await spool.attach("me", "b", 1)
    assert await spool.reattach([made.id], number) == [made.id]
    await spool.close()


# ---- what is told ----------------------------------------------------------------------------------------------------


async def test_one_call_for_each_commit_and_before_whoever_waits_for_it(spool):
    number = await spool.attach("me", "b", 1)
    made = [await put(spool, number) for _ in range(20)]
    starts = [attempt(each) for each in made]
    calls, order = [], []

    def hear(changes):
        calls.append([each.message_id for each in changes])
        order.extend(each.message_id for each in changes if each.finished)

    async def settle(start):
        await spool.settle(settlement(start))
        assert start.message_id in order

    await asyncio.gather(*map(spool.claim, starts))
    spool.on_changed = hear
    before = await spool.sequence()
    await asyncio.gather(*map(settle, starts))
    assert len(calls) == await spool.sequence() - before < 20
    assert sorted(itertools.chain(*calls)) == [each.id for each in made]


async def test_what_turns_out_to_be_unreadable_is_told_too(spool):
    number = await spool.attach("me", "b", 1)
    made, good = await put(spool, number), await put(spool, number)
    await spool.count()
    heard = []
    spool.on_changed = heard.extend
    edit(spool, f"UPDATE messages SET facts = x'c1ff' WHERE id = '{made.id}'")
    assert [each.message.id for each in await spool.standing(number, "", 1)] == [good.id], "the list is not at its end"
    (told,) = heard
    assert (told.message_id, told.finished, [each.state for each in told.progress]) == (made.id, True, [S.DEAD])
    assert await spool.untold(number, 9) == [made.id]


async def test_a_failed_commit_is_not_told(tmp_path):
    for fail_at in range(1, 30):
        plan = Plan(fail_at)
        spool = make(tmp_path / str(fail_at), connect=plan.connect)
        await spool.open(T0)
        number = await spool.attach("me", "b", 1)
        made = await put(spool, number)
        await spool.count()
        heard = []
        spool.on_changed = heard.extend
        plan.armed = True
        try:
            await spool.hold(Filter(ids=(made.id,)), "ann", "why", T0)
            assert len(heard) == 1
        except SpoolBroken:
            assert heard == []
        plan.armed = False
        await spool.close()
        if not plan.failed:
            break
    assert 2 < fail_at < 29


# ---- damage ----------------------------------------------------------------------------------------------------------


async def salvaged(spool, *statements):
    """Open anew after these edits and a damaged page that makes the check fail: the lanes' index."""
    await spool.close()
    edit(spool, "PRAGMA writable_schema = 1", *statements)
    (page,) = rows(spool.directory, "SELECT rootpage FROM sqlite_master WHERE name = 'messages_by_client'")[0]
    with (spool.directory / "spool.sqlite3").open("r+b") as handle:
        handle.seek((page - 1) * 4096)
        handle.write(b"\xff" * 4096)
    await spool.open(T0 + 1)
    assert spool.notes


async def test_a_salvage_keeps_pairings_and_what_is_known_of_copies(spool):
    number = await spool.attach("me", "b", 1)
    await spool.name_store(number, "store")
    await spool.remember(5)
    made = [await put(spool, number) for _ in range(3)]
    await spool.confirm(number, [made[0].id])
    start = attempt(made[2])
    await spool.claim(start)
    await spool.settle(settlement(start))
    await salvaged(spool)
    assert [(pair.number, pair.store) for pair in await spool.pairs()] == [(number, "store")]
    found = await spool.look([each.id for each in made])
    assert [found[each.id].confirmed for each in made] == [True, False, False]
    assert await spool.untold(number, 9) == [made[2].id]
    assert await spool.unprotected() == 1
    assert await spool.remembered() == 5


async def test_rows_that_are_lost_mean_alone_and_unconfirmed(spool):
    number = await spool.attach("me", "b", 1)
    made = [await put(spool, number, on_unknown=OnUnknown.VERIFY) for _ in range(2)]
    await spool.confirm(number, [each.id for each in made])
    await salvaged(spool, f"DELETE FROM copies WHERE id = '{made[0].id}'")
    found = await spool.look([each.id for each in made])
    assert [(found[each.id].pairing, found[each.id].confirmed) for each in made] == [(0, False), (number, True)]
    assert await spool.here(0) == Here(own=True, unconfirmed=True, careful=True)
    assert await spool.unprotected() == 1


async def test_without_the_list_of_pairings_everything_is_alone_and_no_number_comes_twice(spool):
    number = await spool.attach("me", "b", 1)
    live, past = await put(spool, number), await put(spool, number)
    await spool.confirm(number, [live.id])
    start = attempt(past)
    await spool.claim(start)
    await spool.settle(settlement(start))
    await salvaged(spool, "DELETE FROM pairs")
    assert await spool.unprotected() == 1
    assert (await spool.look([live.id]))[live.id].pairing == 0
    assert await spool.untold(number, 9) == []
    again = await put(spool, number)
    assert (await spool.look([again.id]))[again.id].pairing == 0


# ---- writes that fail ------------------------------------------------------------------------------------------------


async def consistent(spool, tried):
    """Every message is whole or gone, and all sums fit."""
    views = {view.message.id: view for view in await spool.find(Filter())}
    live = [name for name, view in views.items() if not view.finished_ms]
    for name in live:
        found = await spool.body(name)
        assert (found if isinstance(found, bytes) else found.read_bytes()) == tried[name]
        assert len(views[name].recipients) == 2
    for name in tried.keys() - views.keys():
        with pytest.raises(MessageGone):
            await spool.body(name)
    counts = await spool.count()
    assert sum(counts.by_state.values()) == 2 * len(views)
    assert counts.body_bytes == sum(len(tried[name]) for name in live)
    for table in ("recipients", "bodies", "journey", "copies"):
        orphans = f"SELECT count(*) FROM {table} WHERE message NOT IN (SELECT seq FROM messages)"
        assert rows(spool.directory, orphans) == [(0,)], table
    unconfirmed = rows(spool.directory, "SELECT count(*) FROM copies WHERE state = 0")[0][0]
    assert await spool.unprotected() == unconfirmed
    return views.keys()


async def prepared(spool):
    """Four messages under one number, one of them large, one tried before."""
    number = await spool.attach("me", "b", 1)
    tried = {f"m{n}": (BIG if n == 1 else BODY) for n in range(4)}
    for name, body in tried.items():
        await put(spool, number, body, message_id=name, to=("a@x.example", "b@x.example"))
    await spool.confirm(number, ["m0", "m1"])
    await spool.hold(Filter(ids=("m2",)), "ann", "why", T0)
    return number, tried


async def give_up(spool, number, _standing):
    await spool.yield_up(["m0", "m1", "m2"])


async def move(spool, number, _standing):
    await spool.reattach(["m0", "m1", "m2"], 0)


async def first_pairing(spool, number, _standing):
    await spool.attach("me", "c", 7)


async def heard(spool, number, _standing):
    await spool.unconfirm(number)


async def withdrawing(spool, number, _standing):
    await spool.withdraw("m1", "why", T0)


def done_of(number):
    """What is seen when each is done: (messages, alone, unprotected)."""
    return {
        give_up: ({"m3"}, 0, 1),
        move: ({"m0", "m1", "m2", "m3"}, 3, 4),
        first_pairing: ({"m0", "m1", "m2", "m3"}, 0, 2),
        heard: ({"m0", "m1", "m2", "m3"}, 0, 4),
        withdrawing: ({"m0", "m1", "m2", "m3"}, 0, 2),
    }


async def seen(spool, tried):
    names = await consistent(spool, tried)
    return set(names), len(await spool.standing(0, "", 9)), await spool.unprotected()


@pytest.mark.parametrize("after", [False, True], ids=["not done", "done but reported failed"])
@pytest.mark.parametrize("act", [give_up, move, first_pairing, heard, withdrawing])
async def test_the_nth_statement_fails_for_every_n(tmp_path, act, after):
    for fail_at in itertools.count(1):
        directory, plan = tmp_path / str(fail_at), Plan(fail_at, after=after)
        spool = make(directory, connect=plan.connect)
        await spool.open(T0)
        number, tried = await prepared(spool)
        before = await seen(spool, tried)
        plan.armed, answered = True, True
        try:
            await act(spool, number, None)
        except (SpoolBroken, SpoolFull):
            answered = False
        plan.armed = False
        await spool.close()
        spool = make(directory)
        await spool.open(T0 + 1)
        assert spool.notes == []
        now, wanted = await seen(spool, tried), done_of(number)[act]
        assert now == wanted if answered else now in (before, wanted)
        await act(spool, number, None)
        assert await seen(spool, tried) == wanted, "done again after a failure it is done"
        await spool.close()
        if not plan.failed:
            break
        assert fail_at < 60
    assert fail_at > 2


@pytest.mark.parametrize("after", [False, True], ids=["not done", "done but reported failed"])
@pytest.mark.parametrize("size", [500, 300_000])
async def test_taking_over_is_whole_or_not_at_all(tmp_path, after, size):
    body = b"x" * size
    for fail_at in itertools.count(1):
        directory, plan = tmp_path / str(fail_at), Plan(fail_at, after=after)
        spool = make(directory, connect=plan.connect)
        await spool.open(T0)
        number = await spool.attach("me", "b", 1)
        await put(spool, number, body, message_id="m0", to=("a@x.example", "b@x.example"))
        (standing,) = await spool.standing(number, "", 9)
        await spool.yield_up(["m0"])
        plan.armed, answered = True, True
        try:
            assert await spool.adopt(standing, body, origin="b", now_ms=T0)
        except (SpoolBroken, SpoolFull):
            answered = False
        plan.armed = False
        await spool.close()
        spool = make(directory)
        await spool.open(T0 + 1)
        names = await consistent(spool, {"m0": body})
        assert names == {"m0"} if answered else len(names) < 2
        assert await spool.adopt(standing, body, origin="b", now_ms=T0) is not bool(names)
        assert await consistent(spool, {"m0": body}) == {"m0"}
        assert [line.event for line in (await spool.journey("m0")).lines] == ["accepted", "adopted"]
        assert (await spool.look(["m0"]))["m0"].pairing == number
        await spool.close()
        if not plan.failed:
            break
        assert fail_at < 60
    assert fail_at > 2


async def test_the_first_pairing_of_a_spool_with_mail_fails_wholly_or_not_at_all(tmp_path):
    for fail_at in itertools.count(1):
        plan = Plan(fail_at)
        spool = make(tmp_path / str(fail_at), connect=plan.connect)
        await spool.open(T0)
        for _ in range(70):
            await put(spool, None)
        await spool.count()
        plan.armed = True
        try:
            await spool.attach("me", "b", 1)
        except (SpoolBroken, SpoolFull):
            assert rows(spool.directory, "SELECT count(*) FROM copies") == [(0,)]
        plan.armed = False
        late = await put(spool, None)
        assert await spool.attach("me", "b", 1) == 1
        assert rows(spool.directory, "SELECT count(*), sum(pairing) FROM copies") == [(71, 0)]
        assert await spool.unprotected() == 71
        assert (await spool.look([late.id]))[late.id].pairing == 0
        await spool.close()
        if not plan.failed:
            break
        assert fail_at < 40
    assert fail_at > 3


async def test_appending_and_settling_fail_whole_in_a_cluster(tmp_path):
    for fail_at in itertools.count(1):
        plan = Plan(fail_at)
        spool = make(tmp_path / str(fail_at), connect=plan.connect, journal=False)
        await spool.open(T0)
        number = await spool.attach("me", "b", 1)
        plan.armed = True
        made = message("m0", to=("a@x.example", "b@x.example"))
        start = attempt(made)
        appended = settled = False
        try:
            await spool.append(Accepted(message=made, body=BODY, pairing=number))
            appended = True
            await spool.claim(start)
            await spool.settle(settlement(start))
            settled = True
        except (SpoolBroken, SpoolFull):
            pass
        plan.armed = False
        names = await consistent(spool, {"m0": BODY})
        assert not appended or names == {"m0"}
        assert not settled or await spool.untold(number, 9) == ["m0"]
        assert (await spool.here(number)).own is (bool(names) and not await spool.untold(number, 9))
        await spool.close()
        if not plan.failed:
            break
        assert fail_at < 60
    assert accepted(made).pairing is None
