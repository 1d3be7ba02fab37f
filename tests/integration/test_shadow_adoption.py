"""Copies become the adopter's own mail on the real spool: whole, as they stood, once each, whatever fails between."""

import asyncio
import itertools
import sqlite3

import pytest

from node.policy.envelope import OnUnknown, RecipientState
from node.shadow import adoption
from node.shadow.adoption import Adoption
from node.shadow.entries import Discard, Intent, Lines, Outcome, Piece, Progress
from node.shadow.sqlite import SqliteCopies
from node.spool.contract import Filter, JourneyLine
from node.spool.errors import SpoolBroken, SpoolFull
from node.spool.rows import facts_of
from node.spool.sqlite import SqliteSpool
from tests.support.copies import attached, batch, copy
from tests.support.copies_house import kept_ids
from tests.support.spool_faults import Plan
from tests.support.spool_mail import BODY, T0, accepted, attempt, lane, message, settlement

S = RecipientState
PAIR = attached()
NOW = T0 + 60_000
TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
OTHER = "00-fedcba9876543210fedcba9876543210-fedcba9876543210-01"


class Node:
    """A spool and the copies beside it."""

    def __init__(self, directory, connect_spool=None, connect_copies=None):
        more = {"connect": connect_spool} if connect_spool else {}
        self.spool = SqliteSpool(directory, now_ms=lambda: NOW, **more)
        more = {"connect": connect_copies} if connect_copies else {}
        self.copies = SqliteCopies(directory / "copies", **more)
        self.arrived = 0

    async def __aenter__(self):
        await self.spool.open(NOW)
        await self.copies.open(NOW)
        return self

    async def __aexit__(self, *_):
        await self.copies.close()
        await self.spool.close()

    def told(self):
        self.arrived += 1

    async def adopt(self):
        number = await self.spool.attach(PAIR.key.spool, PAIR.key.shadow, PAIR.epoch)
        adoption = Adoption(self.copies, self.spool, now_ms=lambda: NOW, arrived=self.told)
        return await adoption.run(PAIR, number, "relay-a")


@pytest.fixture
async def node(tmp_path):
    async with Node(tmp_path) as node:
        yield node


def copied(made, body=BODY, **more):
    return copy(made.id, body, facts=facts_of(made), **more)


async def put(node, *entries):
    stream = await node.copies.begin(PAIR, "relay-a")
    await node.copies.put(PAIR, batch(1, *entries, stream=stream))


async def body_of(spool, name):
    found = await spool.body(name)
    return found if isinstance(found, bytes) else found.read_bytes()


async def test_a_message_becomes_own_mail_that_is_delivered_like_any_other(node):
    made = message(to=("a@x.example", "b@x.example"))
    await put(node, copied(made))
    done = await node.adopt()
    assert (done.taken, done.already, done.left, node.arrived) == (1, 0, [], 1)
    assert await kept_ids(node.copies, PAIR) == []
    (due,) = await node.spool.peek(lane(made), NOW, 10)
    assert due.message == made
    assert due.body == BODY
    start = attempt(made, 0, 1)
    assert await node.spool.claim(start)
    await node.spool.settle(settlement(start))
    view = await node.spool.journey(made.id)
    assert [line.event for line in view.lines] == ["accepted", "adopted", "claimed", "delivered"]
    assert view.lines[1].detail == {"from": "relay-a"}
    assert (await node.spool.count()).by_state == {"delivered": 2}


async def test_schedule_tries_and_trace_are_kept(node):
    made = message(to=("a@x.example", "b@x.example", "c@x.example"))
    line = JourneyLine(at_ms=T0 + 5, event="deferred", indexes=(1,), detail={"reason": "busy"})
    progress = (
        Progress(index=0, state=S.DELIVERED, reply="250 ok", way="p:a", traceparent=OTHER),
        Progress(
            index=1, state=S.DEFERRED, attempts=4, next_attempt_ms=NOW + 9_000, reason="busy", reply="450 4.2.1",
            way="p:a", traceparent=TRACE,
        ),
    )  # fmt: skip
    await put(node, copied(made, progress=progress), Lines(message_id=made.id, lines=(line,)))
    await node.adopt()
    assert [queued.index for due in await node.spool.peek(lane(made), NOW, 9) for queued in due.recipients] == [2]
    (due,) = await node.spool.peek(lane(made), NOW + 9_000, 9)
    waiting = due.recipients[0]
    assert (waiting.index, waiting.state, waiting.attempts, waiting.next_attempt_ms) == (1, S.DEFERRED, 4, NOW + 9_000)
    assert (waiting.last_reason, waiting.last_reply, waiting.last_way) == ("busy", "450 4.2.1", "p:a")
    assert due.last_traceparent == TRACE
    view = await node.spool.journey(made.id)
    assert [queued.state for queued in view.recipients] == [S.DELIVERED, S.DEFERRED, S.QUEUED]
    assert view.lines[1] == line
    counts = await node.spool.count()
    assert counts.by_state == {"delivered": 1, "deferred": 1, "queued": 1}
    assert counts.body_bytes == len(BODY)


@pytest.mark.parametrize("on_unknown", OnUnknown)
async def test_an_attempt_that_may_have_been_sent_is_unknown_by_its_class(node, on_unknown):
    made = message(on_unknown=on_unknown)
    intent = Intent(message_id=made.id, attempt_id="a1", indexes=(0,), dot_ms=T0 + 9)
    await put(node, copied(made), intent)
    await node.adopt()
    unknown = await node.spool.unknowns(NOW, 9)
    due = await node.spool.peek(lane(made), NOW, 9)
    assert (len(unknown), len(due)) == ((0, 1) if on_unknown is OnUnknown.RESEND else (1, 0))
    events = [line.event for line in (await node.spool.journey(made.id)).lines]
    assert events[:3] == ["accepted", "adopted", "unknown"]


async def test_an_outcome_told_after_the_intent_counts(node):
    made = message(on_unknown=OnUnknown.VERIFY)
    intent = Intent(message_id=made.id, attempt_id="a1", indexes=(0,), dot_ms=T0 + 9)
    told = Outcome(
        message_id=made.id, attempt_id="a1", progress=(Progress(index=0, state=S.DEFERRED, next_attempt_ms=NOW + 5),)
    )
    await put(node, copied(made), intent, told)
    await node.adopt()
    assert await node.spool.unknowns(NOW, 9) == []
    assert len(await node.spool.peek(lane(made), NOW + 5, 9)) == 1


async def test_one_of_which_all_recipients_are_settled_is_history_at_once(node):
    made = message()
    await put(node, copied(made, b"x" * 300_000, progress=(Progress(index=0, state=S.DELIVERED),)))
    await node.adopt()
    view = await node.spool.journey(made.id)
    assert view.finished_ms == NOW
    assert (await node.spool.count()).body_bytes == 0


async def test_large_bodies_are_shared_and_outlive_the_copy(node, tmp_path):
    made, pieced = message(), message(to=("c@x.example",))
    body = b"L" * 300_000
    parts = [Piece(message_id=pieced.id, start=n * 400_000, data=bytes([n]) * 400_000) for n in range(3)]
    await put(node, copied(made, body), *parts, copied(pieced, b"", size_bytes=1_200_000, pieced=True))
    await node.adopt()
    await node.copies.close()
    await node.copies.open(NOW)
    assert node.copies.notes == []
    assert not [path for path in (tmp_path / "copies" / "bodies").rglob("*") if path.is_file()]
    assert await body_of(node.spool, made.id) == body
    assert await body_of(node.spool, pieced.id) == b"".join(part.data for part in parts)
    await node.spool.close()
    await node.spool.open(NOW)
    assert node.spool.notes == []


async def test_mail_goes_out_from_the_first_chunk_on_oldest_first(node, monkeypatch):
    monkeypatch.setattr(adoption, "CHUNK", 10)
    made = [message(f"0190-{n:04d}") for n in range(35)]
    await put(node, *(copied(each) for each in reversed(made)))
    seen = []
    take_away = node.copies.take_away

    async def looked(pair, ids):
        due = await node.spool.peek(lane(made[0]), NOW, 100)
        seen.append(len(due))
        start = attempt(due[0].message)
        assert await node.spool.claim(start)
        return await take_away(pair, ids)

    monkeypatch.setattr(node.copies, "take_away", looked)
    done = await node.adopt()
    assert done.taken == 35
    assert seen == [10, 19, 28, 32]
    assert node.arrived == 4


async def test_what_cannot_be_read_is_left_for_a_person_and_stops_nobody(node):
    good, bad = message(), message()
    stream = await node.copies.begin(PAIR, "relay-a")
    await node.copies.put(PAIR, batch(1, copied(good), copied(bad, b"x" * 300_000), stream=stream))
    for path in (node.copies.directory / "bodies").rglob("*"):
        if path.is_file():
            path.unlink()
    done = await node.adopt()
    assert (done.taken, done.left) == (1, [bad.id])
    assert await kept_ids(node.copies, PAIR) == [bad.id]
    assert (await node.adopt()).left == [bad.id]


@pytest.mark.parametrize(
    "spoil", ["UPDATE told SET what = x'c1'", "UPDATE told SET kind = 9", "UPDATE copies SET progress = x'c1'"]
)
async def test_one_of_which_nobody_knows_where_it_stands_is_not_sent_by_guess(node, spoil):
    good, bad = message(), message()
    intent = Intent(message_id=bad.id, attempt_id="a", indexes=(0,), dot_ms=T0)
    await put(node, copied(good), copied(bad), intent)
    database = node.copies._writer()
    where = f" WHERE id = '{bad.id}'"
    database.run_text(spoil + where)
    database.close()
    done = await node.adopt()
    assert (done.taken, done.left) == (1, [bad.id])
    (row,) = await node.copies.rows(PAIR, "", 9)
    assert row.damaged
    stream = (await node.copies.stream(PAIR)).number
    await node.copies.put(PAIR, batch(2, Discard(message_ids=(bad.id,), at_ms=T0), stream=stream))
    assert await kept_ids(node.copies, PAIR) == []


async def test_done_again_after_everything_was_taken_changes_nothing(node):
    made = message()
    await put(node, copied(made))
    row = (await node.copies.rows(PAIR, "", 1))[0]
    assert await node.spool.adopt(adoption.standing_of(row, 0), BODY, origin="relay-a", now_ms=NOW)
    start = attempt(made)
    assert await node.spool.claim(start)
    await node.spool.settle(settlement(start))
    done = await node.adopt()
    assert (done.taken, done.already) == (0, 1)
    assert (await node.spool.count()).by_state == {"delivered": 1}
    done = await node.adopt()
    assert (done.taken, done.already) == (0, 0)


async def test_one_that_came_in_by_the_door_meanwhile_is_not_taken_twice(node):
    made = message()
    await put(node, copied(made))
    await node.spool.append(accepted(made))
    assert (await node.adopt()).already == 1
    assert (await node.spool.count()).by_state == {"queued": 1}


async def test_what_comes_late_is_taken_by_another_run(node):
    first, late, settled = message(), message(), message()
    stream = await node.copies.begin(PAIR, "relay-a")
    await node.copies.put(PAIR, batch(1, copied(first), stream=stream))
    await node.adopt()
    discard = Discard(message_ids=(settled.id,), at_ms=NOW)
    await node.copies.put(PAIR, batch(2, copied(late), copied(settled), discard, stream=stream))
    assert (await node.adopt()).taken == 1
    assert len(await node.spool.find(Filter())) == 2


@pytest.mark.parametrize("after", [False, True], ids=["not done", "done but reported failed"])
@pytest.mark.parametrize("which", ["spool", "copies"])
async def test_it_is_resumed_after_a_failure_at_any_statement(tmp_path, which, after, monkeypatch):
    monkeypatch.setattr(adoption, "CHUNK", 4)
    made = [message(f"0190-{n:04d}", to=("a@x.example", "b@x.example")) for n in range(10)]
    bodies = {each.id: (b"B" * 300_000 if n == 5 else bytes([n]) * 1_000) for n, each in enumerate(made)}
    stands = (Progress(index=1, state=S.DELIVERED),)
    failures = 0
    for number in itertools.count(1):
        directory = tmp_path / str(number)
        plan = Plan(number, sqlite3.SQLITE_IOERR, after=after)
        connects = {f"connect_{which}": plan.connect}
        async with Node(directory, **connects) as node:
            await put(node, *(copied(each, bodies[each.id], progress=stands) for each in made))
            plan.armed = True
            try:
                await node.adopt()
            except (SpoolBroken, SpoolFull):
                failures += 1
            plan.armed = False
        async with Node(directory) as node:
            await node.adopt()
            assert await kept_ids(node.copies, PAIR) == []
            views = await node.spool.find(Filter())
            assert sorted(view.message.id for view in views) == sorted(bodies)
            for view in views:
                assert [queued.state for queued in view.recipients] == [S.QUEUED, S.DELIVERED]
                assert await body_of(node.spool, view.message.id) == bodies[view.message.id]
                told = [line.event for line in (await node.spool.journey(view.message.id)).lines]
                assert told == ["accepted", "adopted"]
            assert (await node.spool.count()).by_state == {"queued": 10, "delivered": 10}
        if not plan.failed:
            break
        assert number < 150
    assert number > 5


async def test_a_thousand_in_one_go(node):
    made = [message(f"0190-{n:05d}") for n in range(1_000)]
    await put(node, *(copied(each, b"x" * 500) for each in made))
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert (await node.adopt()).taken == 1_000
    print(f"\nadopted 1,000 messages in {loop.time() - start:.2f} s")
    assert (await node.spool.count()).by_state == {"queued": 1_000}
