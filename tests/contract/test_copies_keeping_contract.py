"""What every copy store promises of mail that its own node gave away, and of what is asked about it."""

import pytest

from node.policy.envelope import RecipientState
from node.shadow.entries import Discard, Intent, Lines, Outcome, Progress
from node.shadow.errors import WrongStream
from node.shadow.memory import MemoryCopies
from node.shadow.sqlite import SqliteCopies
from node.spool.contract import JourneyLine
from node.spool.paired import Standing
from node.spool.rows import facts_of
from tests.support.copies import attached, batch, copy
from tests.support.spool_mail import BODY, T0, message

S = RecipientState
PAIR, OTHER = attached(), attached(8)
LINE = JourneyLine(at_ms=T0, event="deferred", indexes=(0,), detail={"reason": "busy"})


@pytest.fixture(params=["sqlite", "memory"])
async def copies(request, tmp_path):
    store = SqliteCopies(tmp_path / "copies", max_bytes=10) if request.param == "sqlite" else MemoryCopies(max_bytes=10)
    await store.open(T0)
    yield store
    await store.close()


def standing(name, size_bytes=24, **more):
    made = message(name)
    facts = {"pairing": 1, "confirmed": True, "moving": False, "progress": (), "lines": ()}
    return Standing(message=made, facts=facts_of(made), size_bytes=size_bytes, **(facts | more))


async def body(copies, name, pair=PAIR):
    found = await copies.body(pair, name)
    return found if isinstance(found, bytes) else found.read_bytes()


async def test_what_was_given_away_is_kept_as_it_stood_whatever_the_quota(copies, tmp_path):
    stands = (Progress(index=0, state=S.UNKNOWN, attempts=2, reply="450"),)
    large = tmp_path / "large"
    large.write_bytes(b"L" * 300_000)
    items = [(standing("m2", progress=stands, lines=(LINE,)), BODY), (standing("m1", 300_000), large)]
    items.append((standing("m3", 400_000), b"M" * 400_000))
    await copies.keep(PAIR, "relay-a", items)
    first, second, _ = await copies.rows(PAIR, "", 9)
    assert (first.message_id, first.size_bytes, first.progress, first.lines) == ("m1", 300_000, (), ())
    assert (second.progress, second.lines, second.intents) == (stands, (LINE,), ())
    large.unlink()
    assert [len(await body(copies, name)) for name in ("m1", "m2", "m3")] == [300_000, len(BODY), 400_000]
    assert await copies.ids(PAIR, "", 9) == ["m1", "m2", "m3"]
    assert await copies.ids(PAIR, "m1", 1) == ["m2"]
    held = await copies.holding(PAIR)
    assert (held, held.messages, held.node) == ((await copies.held())[0], 3, "relay-a")
    assert await copies.holding(OTHER) is None


async def test_kept_again_it_takes_what_it_stands_at_and_nothing_doubles(copies):
    before = standing("m1", progress=(Progress(index=0, state=S.DEFERRED),), lines=(LINE,))
    held = JourneyLine(at_ms=T0 + 1, event="held", indexes=(0,))
    after = standing("m1", progress=(Progress(index=0, state=S.HELD),), lines=(LINE, held))
    for each in (before, after):
        await copies.keep(PAIR, "relay-a", [(each, BODY)])
    (row,) = await copies.rows(PAIR, "", 9)
    assert (row.progress, row.lines) == (after.progress, (LINE, held))
    assert (await copies.holding(PAIR)).messages == 1
    assert await body(copies, "m1") == BODY


async def test_a_large_body_kept_again_leaves_nothing_behind(copies, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(b"L" * 300_000)
    for _ in range(2):
        await copies.keep(PAIR, "relay-a", [(standing("m1", 300_000), large)])
    assert await body(copies, "m1") == b"L" * 300_000
    if isinstance(copies, SqliteCopies):
        assert list((copies.directory / "incoming").iterdir()) == []


async def test_an_attempt_told_of_before_counts_no_more_when_it_is_kept_again(copies):
    stream = await copies.begin(PAIR, "relay-a")
    await copies.keep(PAIR, "relay-a", [(standing("m1"), BODY)])
    intent = Intent(message_id="m1", attempt_id="a", indexes=(0,), dot_ms=T0)
    told = Outcome(message_id="m1", attempt_id="b", progress=(Progress(index=0, state=S.DEAD),))
    await copies.put(PAIR, batch(1, intent, told, Lines(message_id="m1", lines=(LINE,)), stream=stream))
    await copies.keep(PAIR, "relay-a", [(standing("m1"), BODY)])
    (row,) = await copies.rows(PAIR, "", 9)
    assert (row.intents, row.progress, row.lines) == ((), (), ())


async def test_keeping_begins_no_stream(copies):
    await copies.keep(PAIR, "relay-a", [(standing("m1"), BODY)])
    with pytest.raises(WrongStream):
        await copies.put(PAIR, batch(1, Discard(message_ids=("m1",), at_ms=T0), stream=1))
    stream = await copies.begin(PAIR, "relay-a")
    assert await copies.put(PAIR, batch(1, Discard(message_ids=("m1",), at_ms=T0), stream=stream)) == 1
    assert await copies.rows(PAIR, "", 9) == []


async def test_what_is_settled_is_history_as_after_a_discard(copies, tmp_path):
    large = standing("m2", 300_000)
    await copies.keep(PAIR, "relay-a", [(standing("m1", lines=(LINE,)), BODY), (large, b"L" * 300_000)])
    await copies.keep(OTHER, "relay-a", [(standing("m2"), BODY)])
    assert await copies.settle(PAIR, ["m1", "m2", "unknown"], T0 + 5) == 2
    assert await copies.settle(PAIR, ["m1", "m2"], T0 + 9) == 0
    assert await copies.settle(attached(3), ["m2"], T0) == 0
    past = await copies.past("m1")
    assert (past.discarded_ms, past.lines) == (T0 + 5, (LINE,))
    assert (await copies.holding(PAIR)).messages == 0
    assert await copies.ids(OTHER, "", 9) == ["m2"]


async def test_what_was_seen_is_told_whatever_its_pairing(copies):
    await copies.keep(PAIR, "relay-a", [(standing(name), BODY) for name in ("kept", "settled", "both", "gone")])
    await copies.settle(PAIR, ["settled", "both"], T0)
    await copies.keep(OTHER, "relay-a", [(standing("both"), BODY)])
    await copies.take_away(PAIR, ["gone"])
    found = await copies.seen(["kept", "settled", "both", "gone", "never"])
    assert found == {"kept": False, "settled": True, "both": False}
    assert await copies.seen([]) == {}


async def test_copies_of_one_message_given_to_two_nodes_are_kept_apart(copies):
    elsewhere = type(PAIR)(key=type(PAIR.key)(spool=PAIR.key.spool, shadow="relay-c"), epoch=PAIR.epoch)
    for pair, octet in ((PAIR, b"a"), (elsewhere, b"b")):
        await copies.keep(pair, "relay-a", [(standing("m1", 300_000), octet * 300_000)])
    await copies.settle(PAIR, ["m1"], T0)
    await copies.keep(PAIR, "relay-a", [(standing("m3"), BODY)])
    assert await body(copies, "m1", elsewhere) == b"b" * 300_000


async def test_a_copy_that_is_sent_does_not_pass_the_quota_all_the_same(copies):
    await copies.keep(PAIR, "relay-a", [(standing("m1"), BODY)])
    stream = await copies.begin(PAIR, "relay-a")
    with pytest.raises(Exception, match="copies may take"):
        await copies.put(PAIR, batch(1, copy("m2"), stream=stream))
