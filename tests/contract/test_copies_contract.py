"""What every copy store promises, on SQLite and in memory alike."""

import asyncio

import pytest

from node.policy.envelope import RecipientState
from node.shadow import putting
from node.shadow.contract import PAIRINGS_MAX
from node.shadow.entries import Discard, Intent, Lines, Outcome, Piece, Progress
from node.shadow.errors import Gap, Malformed, QuotaReached, WrongNode, WrongStream
from node.shadow.memory import MemoryCopies
from node.shadow.sqlite import SqliteCopies
from node.spool.contract import JourneyLine
from node.spool.erasing import MARK
from node.spool.errors import MessageGone
from node.spool.rows import facts_of, message_of
from tests.support.copies import attached, batch, copy
from tests.support.spool_mail import BODY, T0, message

S = RecipientState
PAIR = attached()


@pytest.fixture(params=["sqlite", "memory"])
async def make(request, tmp_path):
    made = []

    async def opened(**options):
        store = SqliteCopies(tmp_path / "copies", **options) if request.param == "sqlite" else MemoryCopies(**options)
        await store.open(T0)
        made.append(store)
        return store

    yield opened
    for store in made:
        await store.close()


@pytest.fixture
async def copies(make):
    return await make()


async def begun(copies, pair=PAIR):
    return await copies.begin(pair, "relay-a")


async def ids(copies, pair=PAIR):
    return [row.message_id for row in await copies.rows(pair, "", 100)]


async def body(copies, name, pair=PAIR):
    found = await copies.body(pair, name)
    return found if isinstance(found, bytes) else found.read_bytes()


async def test_a_batch_is_kept_whole(copies):
    stream = await begun(copies)
    put = batch(1, copy("m2"), copy("m1", b"x" * 300_000), stream=stream)
    assert await copies.put(PAIR, put) == 1
    assert await ids(copies) == ["m1", "m2"]
    first, second = await copies.rows(PAIR, "", 10)
    assert (second.facts, second.size_bytes) == (put.entries[0].facts, len(BODY))
    assert (first.progress, first.intents, first.lines) == ((), (), ())
    assert await body(copies, "m2") == BODY
    assert await body(copies, "m1") == b"x" * 300_000
    (held,) = await copies.held()
    assert (held.attached, held.node, held.messages) == (PAIR, "relay-a", 2)
    assert held.size_bytes == 300_000 + len(BODY) + sum(len(each.facts) for each in put.entries)


async def test_nothing_is_taken_without_a_stream(copies):
    with pytest.raises(WrongStream):
        await copies.put(PAIR, batch(1, copy("m1")))
    assert await copies.stream(PAIR) is None
    assert await copies.held() == []
    assert await copies.rows(PAIR, "", 10) == []
    with pytest.raises(MessageGone):
        await copies.body(PAIR, "m1")


async def test_a_batch_taken_before_changes_nothing(copies):
    stream = await begun(copies)
    first = batch(1, copy("m1"), stream=stream)
    assert await copies.put(PAIR, first) == 1
    assert await copies.put(PAIR, batch(2, Discard(message_ids=("m1",), at_ms=T0), stream=stream)) == 2
    assert await copies.put(PAIR, first) == 2
    assert await ids(copies) == []


async def test_a_gap_is_refused_with_the_sequence_expected(copies):
    stream = await begun(copies)
    await copies.put(PAIR, batch(1, copy("m1"), stream=stream))
    with pytest.raises(Gap) as gap:
        await copies.put(PAIR, batch(3, copy("m3"), stream=stream))
    assert gap.value.expected == 2
    assert await ids(copies) == ["m1"]
    assert await copies.put(PAIR, batch(2, copy("m2"), stream=stream)) == 2


async def test_a_new_stream_ends_the_one_before_and_keeps_its_copies(copies):
    old = await begun(copies)
    await copies.put(PAIR, batch(1, copy("m1"), stream=old))
    new = await begun(copies)
    assert new != old
    with pytest.raises(WrongStream):
        await copies.put(PAIR, batch(2, copy("m2"), stream=old))
    assert await copies.put(PAIR, batch(1, copy("m3"), stream=new)) == 1
    assert await ids(copies) == ["m1", "m3"]
    known = await copies.stream(PAIR)
    assert (known.node, known.number, known.expected) == ("relay-a", new, 2)


async def test_another_node_cannot_begin_for_the_same_spool(copies):
    await begun(copies)
    with pytest.raises(WrongNode):
        await copies.begin(PAIR, "relay-c")


async def test_a_discard_leaves_history_alone(copies):
    stream = await begun(copies)
    line = JourneyLine(at_ms=T0, event="delivered", detail={"reply": "250 ok"})
    kept = copy("m1")
    await copies.put(PAIR, batch(1, kept, copy("m2"), Lines(message_id="m1", lines=(line,)), stream=stream))
    await copies.put(PAIR, batch(2, Discard(message_ids=("m1", "unknown"), at_ms=T0 + 5), stream=stream))
    assert await ids(copies) == ["m2"]
    with pytest.raises(MessageGone):
        await copies.body(PAIR, "m1")
    past = await copies.past("m1")
    assert (past.facts, past.discarded_ms, past.lines) == (kept.facts, T0 + 5, (line,))
    late = JourneyLine(at_ms=T0 + 6, event="recovered")
    await copies.put(PAIR, batch(3, Lines(message_id="m1", lines=(line, late)), stream=stream))
    assert (await copies.past("m1")).lines == (line, late)
    assert await copies.past("unknown") is None
    (held,) = await copies.held()
    assert held.messages == 1
    assert await copies.prune(T0 + 5, 10) == 0
    assert await copies.prune(T0 + 6, 10) == 1
    assert await copies.past("m1") is None


async def test_a_copy_and_its_discard_may_come_together(copies):
    stream = await begun(copies)
    await copies.put(PAIR, batch(1, copy("m1"), Discard(message_ids=("m1",), at_ms=T0), copy("m2"), stream=stream))
    assert await ids(copies) == ["m2"]


def intent(number, name="m1"):
    return Intent(message_id=name, attempt_id=f"a{number}", indexes=(0,), dot_ms=T0 + number)


def outcome(number, state=S.DEFERRED, **more):
    return Outcome(message_id="m1", attempt_id=f"a{number}", progress=(Progress(index=0, state=state, **more),))


async def test_what_was_told_is_put_together(copies):
    stream = await begun(copies)
    start = Progress(index=1, state=S.DELIVERED)
    await copies.put(PAIR, batch(1, copy("m1", progress=(start,)), intent(1), stream=stream))
    assert [each.intents for each in await copies.rows(PAIR, "", 9)] == [(intent(1),)]
    await copies.put(PAIR, batch(2, outcome(1, next_attempt_ms=T0 + 60), intent(2), stream=stream))
    (row,) = await copies.rows(PAIR, "", 9)
    assert row.intents == (intent(2),)
    assert row.progress == (Progress(index=0, state=S.DEFERRED, next_attempt_ms=T0 + 60), start)


async def test_steps_told_again_are_there_once_where_they_belong(copies):
    """Whoever tells them again need not know what was heard: what follows a step comes with it."""
    stream = await begun(copies)
    a, b, c, d = (JourneyLine(at_ms=T0 + n, event="postponed", detail={"n": n}) for n in range(4))
    told = [Lines(message_id="m1", lines=each) for each in ((a,), (d,), (b, c, d))]
    await copies.put(PAIR, batch(1, copy("m1"), *told, stream=stream))
    (row,) = await copies.rows(PAIR, "", 9)
    assert row.lines == (a, b, c, d)
    await copies.put(PAIR, batch(2, Discard(message_ids=("m1",), at_ms=T0), told[2], stream=stream))
    assert (await copies.past("m1")).lines == (a, b, c, d)


async def test_a_copy_that_comes_again_says_where_it_stands_and_keeps_its_body(copies):
    stream = await begun(copies)
    now = Progress(index=0, state=S.DEFERRED, attempts=3)
    await copies.put(PAIR, batch(1, copy("m1"), intent(1), outcome(2), stream=stream))
    (before,) = await copies.held()
    await copies.put(PAIR, batch(2, copy("m1", b"other", progress=(now,)), stream=stream))
    (row,) = await copies.rows(PAIR, "", 9)
    assert (row.progress, row.intents, row.size_bytes) == ((now,), (), len(BODY))
    assert await body(copies, "m1") == BODY
    assert (await copies.held())[0].messages == before.messages


async def test_a_large_body_comes_in_pieces(copies):
    stream = await begun(copies)
    parts = [bytes([n]) * 200_000 for n in range(3)]
    for n, part in enumerate(parts):
        piece = Piece(message_id="m1", start=n * 200_000, data=part)
        await copies.put(PAIR, batch(n + 1, piece, stream=stream))
    assert await ids(copies) == []
    await copies.put(PAIR, batch(4, copy("m1", b"", size_bytes=600_000, pieced=True), stream=stream))
    assert await body(copies, "m1") == b"".join(parts)
    await copies.put(PAIR, batch(5, Discard(message_ids=("m1",), at_ms=T0), stream=stream))
    assert await ids(copies) == []


async def test_pieces_begun_anew_replace_what_there_was(copies):
    stream = await begun(copies)
    old, new = Piece(message_id="m1", start=0, data=b"old and long"), Piece(message_id="m1", start=0, data=b"new")
    await copies.put(PAIR, batch(1, old, new, copy("m1", b"", size_bytes=3, pieced=True), stream=stream))
    assert await body(copies, "m1") == b"new"


async def test_a_body_that_is_not_whole_is_refused(copies):
    stream = await begun(copies)
    whole = copy("m1", b"", size_bytes=6, pieced=True)
    for entries in (
        (whole,),
        (Piece(message_id="m1", start=3, data=b"def"), whole),
        (Piece(message_id="m1", start=0, data=b"abc"), whole),
    ):
        with pytest.raises(Malformed):
            await copies.put(PAIR, batch(1, *entries, stream=stream))
    assert await ids(copies) == []


async def test_pieces_of_an_ended_stream_are_gone(copies):
    stream = await begun(copies)
    await copies.put(PAIR, batch(1, Piece(message_id="m1", start=0, data=b"abc"), stream=stream))
    stream = await begun(copies)
    with pytest.raises(Malformed):
        await copies.put(PAIR, batch(1, copy("m1", b"", size_bytes=3, pieced=True), stream=stream))


async def test_a_quota_is_kept_and_what_makes_room_still_goes_through(make):
    copies = await make(max_bytes=3_000)
    stream = await begun(copies)
    await copies.put(PAIR, batch(1, copy("m1", b"x" * 2_000), stream=stream))
    for _ in range(2):
        with pytest.raises(QuotaReached):
            await copies.put(PAIR, batch(2, copy("m2", b"x" * 2_000), stream=stream))
    assert QuotaReached.temporary
    await copies.put(PAIR, batch(2, Discard(message_ids=("m1",), at_ms=T0), stream=stream))
    await copies.put(PAIR, batch(3, copy("m2", b"x" * 2_000), stream=stream))
    assert await ids(copies) == ["m2"]


async def test_rows_come_in_chunks_in_order_of_acceptance(copies):
    stream = await begun(copies)
    names = [f"0190-{n:04d}" for n in range(25)]
    for n, name in enumerate(reversed(names)):
        await copies.put(PAIR, batch(n + 1, copy(name), stream=stream))
    found, after = [], ""
    while rows := await copies.rows(PAIR, after, 7):
        found += [row.message_id for row in rows]
        after = found[-1]
    assert found == names


async def test_epochs_and_spools_are_kept_apart(copies):
    pairs = [PAIR, attached(8), attached(7, "33333333-3333-4333-8333-333333333333")]
    for pair in pairs:
        stream = await begun(copies, pair)
        put = batch(1, copy("m1", str(pair.epoch).encode()), stream=stream, spool=pair.key.spool, epoch=pair.epoch)
        await copies.put(pair, put)
    assert [each.attached for each in await copies.held()] == pairs
    assert await copies.keep_only(pairs[1]) == 1
    assert [each.attached for each in await copies.held()] == pairs[1:]
    assert await body(copies, "m1", pairs[1]) == b"8"
    with pytest.raises(WrongStream):
        await copies.put(PAIR, batch(2, copy("m2"), stream=stream))


async def test_a_pairing_is_dropped_whole_and_its_history_stays(copies):
    stream = await begun(copies)
    many = [copy(f"m{n:04d}") for n in range(1_500)]
    await copies.put(PAIR, batch(1, *many, copy("z", b"x" * 300_000), stream=stream))
    await copies.put(PAIR, batch(2, Discard(message_ids=("m0000",), at_ms=T0), stream=stream))
    assert await copies.drop(PAIR) == 1_500
    assert await copies.held() == []
    assert await copies.drop(PAIR) == 0
    assert await copies.past("m0000") is not None


async def test_what_was_taken_away_leaves_no_history(copies):
    stream = await begun(copies)
    await copies.put(PAIR, batch(1, copy("m1"), copy("m2"), intent(1), stream=stream))
    assert await copies.take_away(PAIR, ["m1", "unknown"]) == 1
    assert await ids(copies) == ["m2"]
    assert await copies.past("m1") is None


async def test_the_number_of_pairings_is_bounded(copies):
    await asyncio.gather(*(begun(copies, attached(epoch)) for epoch in range(1, PAIRINGS_MAX + 1)))
    with pytest.raises(QuotaReached):
        await begun(copies, attached(PAIRINGS_MAX + 1))
    await begun(copies, attached(1))
    await copies.drop(attached(2))
    await begun(copies, attached(PAIRINGS_MAX + 1))


async def test_a_batch_sent_again_does_not_undo_pieces_that_followed(copies):
    stream = await begun(copies)
    first = batch(1, Piece(message_id="m1", start=0, data=b"abc"), stream=stream)
    await copies.put(PAIR, first)
    await copies.put(PAIR, batch(2, Piece(message_id="m1", start=3, data=b"def"), stream=stream))
    assert await copies.put(PAIR, first) == 2
    assert await copies.put(PAIR, batch(3, copy("m1", b"", size_bytes=6, pieced=True), stream=stream)) == 3
    assert await body(copies, "m1") == b"abcdef"


async def test_a_stream_that_was_replaced_cannot_touch_pieces(copies):
    old = await begun(copies)
    stream = await begun(copies)
    await copies.put(PAIR, batch(1, Piece(message_id="m1", start=0, data=b"abc"), stream=stream))
    for sequence in (1, 2):
        with pytest.raises(WrongStream):
            await copies.put(PAIR, batch(sequence, Piece(message_id="m1", start=0, data=b"x"), stream=old))
    assert await copies.put(PAIR, batch(2, copy("m1", b"", size_bytes=3, pieced=True), stream=stream)) == 2
    assert await body(copies, "m1") == b"abc"


async def test_a_caller_that_gives_up_holds_up_nobody(copies):
    stream = await begun(copies)
    tasks = [
        asyncio.create_task(copies.put(PAIR, batch(n, copy(f"m{n}", b"x" * 300_000), stream=stream)))
        for n in range(1, 5)
    ]
    await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[2].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert found[0] == 1
    known = await copies.stream(PAIR)
    for n in range(known.expected, 6):
        assert await copies.put(PAIR, batch(n, copy(f"m{n}", b"x" * 300_000), stream=stream)) == n
    assert await ids(copies) == [f"m{n}" for n in range(1, 6)]


async def test_an_address_is_taken_out_of_history_and_of_nothing_else(copies, monkeypatch):
    monkeypatch.setattr(putting, "ERASE_ROWS", 2)
    stream = await begun(copies)
    line = JourneyLine(at_ms=T0, event="deferred", detail={"reply": "450 <Ann@x.example> busy"})
    made = [message(f"m{n}", to=("ann@x.example",) if n % 2 else ("joann@x.example",)) for n in range(6)]
    entries = [copy(each.id, facts=facts_of(each)) for each in made]
    words = Lines(message_id="m1", lines=(line,))
    gone = Discard(message_ids=tuple(each.id for each in made[:5]), at_ms=T0)
    await copies.put(PAIR, batch(1, *entries, words, gone, stream=stream))
    assert await copies.erase("ann@x.example", "ops", T0 + 9) == 2
    past = await copies.past("m1")
    assert message_of(past.facts).recipients[0].address == MARK
    assert [(each.event, each.detail) for each in past.lines] == [
        ("deferred", {"reply": f"450 <{MARK}> busy"}),
        ("erased", {"actor": "ops"}),
    ]
    assert (await copies.past("m2")).facts == entries[2].facts
    (live,) = await copies.rows(PAIR, "", 9)
    assert live.facts == entries[5].facts
    assert await copies.erase("ann@x.example", "ops", T0 + 9) == 0


async def test_what_was_told_of_a_settled_message_is_not_told_of_a_later_copy(copies):
    stream = await begun(copies)
    await copies.put(PAIR, batch(1, copy("m1"), intent(1), Discard(message_ids=("m1",), at_ms=T0), stream=stream))
    await copies.put(PAIR, batch(2, copy("m1"), stream=stream))
    (row,) = await copies.rows(PAIR, "", 9)
    assert row.intents == ()
    await copies.put(PAIR, batch(3, intent(2), stream=stream))
    await copies.take_away(PAIR, ["m1"])
    await copies.put(PAIR, batch(4, copy("m1"), stream=stream))
    (row,) = await copies.rows(PAIR, "", 9)
    assert row.intents == ()
