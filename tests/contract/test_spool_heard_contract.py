"""What a spool remembers of how far the other end of a pairing has heard, on SQLite and in memory alike."""

import pytest

from node.policy.envelope import RecipientState
from node.spool import pairing_reading
from node.spool.contract import Accepted, Filter
from node.spool.errors import WrongRequest
from node.spool.memory import MemorySpool
from node.spool.sqlite import SqliteSpool
from tests.support.spool_mail import BODY, T0, attempt, message, outcome, settlement

S = RecipientState
ME, OTHER = "spool-a", "relay-b"


@pytest.fixture(params=["sqlite", "memory"])
async def spool(request, tmp_path):
    kind = SqliteSpool if request.param == "sqlite" else MemorySpool
    made = kind(tmp_path / "spool", now_ms=lambda: T0 + 500)
    await made.open(T0)
    yield made
    await made.close()


@pytest.fixture
async def number(spool):
    return await spool.attach(ME, OTHER, 1)


async def put(spool, pairing, **facts):
    made = message(**facts)
    await spool.append(Accepted(message=made, body=BODY, pairing=pairing))
    return made


async def deferred(spool, made):
    start = attempt(made)
    assert await spool.claim(start)
    await spool.settle(settlement(start, outcome(0, S.DEFERRED, "busy", next_attempt_ms=T0 + 9)))


async def ids(spool, number, sequence, after="", limit=9):
    found = await spool.newer(number, sequence, after, limit)
    return [each.message.id for each in found.found], found.last


async def test_how_far_the_other_end_has_heard_is_remembered_by_number(spool, number):
    other = await spool.attach(ME, "relay-c", 1)
    assert await spool.heard(number) == 0
    await put(spool, number)
    come = await spool.sequence()
    assert await spool.note_heard(number, 5) >= come
    await spool.note_heard(other, 7)
    assert (await spool.heard(number), await spool.heard(other), await spool.heard(99)) == (5, 7, 0)
    with pytest.raises(WrongRequest, match="number 99"):
        await spool.note_heard(99, 5)


async def test_what_was_written_later_is_found_by_id_and_in_parts(spool, number):
    made = [await put(spool, number, message_id=f"n{each}") for each in range(4)]
    await deferred(spool, made[2])
    mark = await spool.note_heard(number, 0)
    assert await ids(spool, number, 0) == (["n2"], "")
    assert await ids(spool, number, mark) == ([], "")
    await deferred(spool, made[3])
    await spool.hold(Filter(ids=("n0",)), "ann", "why", T0)
    await spool.confirm(number, ["n0", "n1", "n3"])
    assert await ids(spool, number, mark) == (["n0", "n3"], "")
    assert await ids(spool, number, mark, limit=1) == (["n0"], "n0")
    assert await ids(spool, number, mark, "n0") == (["n3"], "")
    assert await ids(spool, await spool.attach(ME, "relay-c", 1), 0) == ([], "")


async def test_it_comes_as_it_stands_with_all_its_journey(spool, number):
    made = await put(spool, number, to=("a@x.example", "b@x.example"))
    await deferred_one(spool, made)
    mark = await spool.note_heard(number, 0)
    second = attempt(made, 1)
    await spool.claim(second)
    (found,) = (await spool.newer(number, mark, "", 9)).found
    assert (found.message, found.moving) == (made, True)
    assert [line.event for line in found.lines] == ["claimed", "deferred", "claimed"]
    assert [(each.index, each.state) for each in found.progress] == [(0, S.DEFERRED), (1, S.IN_FLIGHT)]


async def deferred_one(spool, made):
    start = attempt(made, 0)
    assert await spool.claim(start)
    await spool.settle(settlement(start, outcome(0, S.DEFERRED, "busy", next_attempt_ms=T0 + 9)))


async def test_journeys_are_told_of_live_and_of_settled_ones(spool, number):
    first, second, third = [await put(spool, number) for _ in range(3)]
    await deferred(spool, first)
    start = attempt(second)
    await spool.claim(start)
    await spool.settle(settlement(start))
    found = await spool.journeys([first.id, second.id, third.id, "nobody"])
    events = {name: [line.event for line in lines] for name, lines in found.items()}
    assert events == {first.id: ["claimed", "deferred"], second.id: ["claimed", "delivered"]}


async def test_settled_ones_are_not_among_what_is_live(spool, number):
    made = await put(spool, number)
    start = attempt(made)
    await spool.claim(start)
    await spool.settle(settlement(start))
    assert await ids(spool, number, 0) == ([], "")


@pytest.fixture
async def disk(tmp_path):
    made = SqliteSpool(tmp_path / "disk", now_ms=lambda: T0)
    await made.open(T0)
    yield made
    await made.close()


async def test_it_outlives_a_restart_and_forgets_numbers_that_are_gone(disk):
    number = await disk.attach(ME, OTHER, 1)
    await disk.note_heard(number, 5)
    await disk.close()
    await disk.open(T0)
    assert await disk.heard(number) == 5
    await disk._alone(lambda database, _book: database.run("set_meta", ("heard", '{"7":9,"1":4}')))
    await disk.note_heard(number, 6)
    assert await disk._engine.readers.ask(pairing_reading.heard_of) == {number: 6}
    await disk._alone(lambda database, _book: database.run("set_meta", ("heard", "no numbers")))
    assert await disk.heard(number) == 0


async def test_much_is_looked_through_a_part_at_a_time(disk, monkeypatch):
    monkeypatch.setattr(pairing_reading, "SCAN", 3)
    number = await disk.attach(ME, OTHER, 1)
    made = [await put(disk, number, message_id=f"n{each}") for each in range(7)]
    await deferred(disk, made[5])
    found, after, asked = [], "", 0
    while asked == 0 or after:
        part, after = await ids(disk, number, 0, after)
        found, asked = found + part, asked + 1
    assert (found, asked) == (["n5"], 3)
