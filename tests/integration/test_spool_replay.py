"""What the journal alone holds survives a cut at any moment; what of it is damaged is set aside with a report."""

import asyncio
import json
import os
import sqlite3
import zlib

import pytest

from node.policy.envelope import RecipientState
from node.spool import accepting, pending
from node.spool.contract import Filter
from node.spool.errors import SpoolFull, SpoolUnusable, WrongRequest
from node.spool.sqlite import SqliteSpool
from tests.support.spool_journal import cut, places, put_off, scans
from tests.support.spool_mail import BODY, T0, accepted, attempt, lane, message, settlement

S = RecipientState


def make(directory, **more):
    return SqliteSpool(directory, now_ms=lambda: T0, **more)


@pytest.fixture
async def lagging(tmp_path, monkeypatch):
    """A spool that has answered ten messages, one batch each, of which its database knows the first two."""
    spool = make(tmp_path / "spool")
    await spool.open(T0)
    made = [message(f"m{n:02d}", to=(f"u{n}@x.example",)) for n in range(10)]
    for one in made[:2]:
        await spool.append(accepted(one))
    await spool.count()
    put_off(monkeypatch)
    for one in made[2:]:
        await spool.append(accepted(one, one.id.encode() * 2_000))
    yield spool, made
    await spool.close()


async def ids(spool):
    return [view.message.id for view in reversed(await spool.find(Filter(limit=1_000)))]


def report(directory):
    (path,) = (directory / "set-aside").glob("*/report.json")
    return path.parent, json.loads(path.read_text())


def rows(directory):
    with sqlite3.connect(directory / "spool.sqlite3") as connection:
        found = connection.execute("SELECT id FROM messages ORDER BY seq").fetchall()
    connection.close()
    return [row[0] for row in found]


def segment(directory):
    (one,) = (directory / "journal").iterdir()
    return one


async def test_what_was_answered_is_there_after_a_cut_and_in_order(lagging, tmp_path):
    _, made = lagging
    after = cut(tmp_path / "spool", tmp_path / "after")
    assert rows(after) == ["m00", "m01"], "the rest is in the journal alone"
    spool = make(after)
    await spool.open(T0 + 1)
    assert [due.message.id for due in await spool.peek(lane(made[0]), T0, 100)] == [one.id for one in made]
    assert await spool.body("m07") == b"m07" * 2_000
    assert spool.notes == []
    assert rows(after) == [one.id for one in made]
    await spool.close()


async def test_replaying_twice_changes_nothing(lagging, tmp_path):
    """The journal is put back after its mail was delivered: numbers say that the database has it."""
    _, made = lagging
    after = cut(tmp_path / "spool", tmp_path / "after")
    kept = segment(after).read_bytes()
    spool = make(after)
    await spool.open(T0 + 1)
    start = attempt(made[5])
    assert await spool.claim(start)
    await spool.settle(settlement(start))
    await spool.close()
    segment(after).write_bytes(kept)
    await spool.open(T0 + 2)
    assert await ids(spool) == [one.id for one in made]
    assert (await spool.count()).by_state == {"queued": 9, "delivered": 1}
    await spool.close()
    # Even if the mark were lost: what is known by its id is not taken in again.
    segment(after).write_bytes(kept)
    with sqlite3.connect(after / "spool.sqlite3") as connection:
        connection.execute("UPDATE meta SET value = 2 WHERE key = 'journal'")
    connection.close()
    await spool.open(T0 + 3)
    assert (await spool.count()).by_state == {"queued": 9, "delivered": 1}
    assert spool.notes == []
    await spool.close()


async def test_a_torn_tail_is_the_end(lagging, tmp_path):
    _, made = lagging
    for number, keep in enumerate((0, 10, 4_096, 5_000)):
        after = cut(tmp_path / "spool", tmp_path / f"after{number}")
        path = segment(after)
        start, end = places(path)[-1]
        with path.open("r+b") as handle:
            handle.seek(start + keep)
            handle.write(bytes(end - start - keep))
        spool = make(after)
        await spool.open(T0 + 1)
        assert await ids(spool) == [one.id for one in made[:-1]]
        assert spool.notes == []
        # Its sender was not answered and comes again.
        await spool.append(accepted(made[-1]))
        await spool.close()


async def test_damage_in_the_middle_is_set_aside_and_the_rest_goes_on(lagging, tmp_path):
    _, made = lagging
    after = cut(tmp_path / "spool", tmp_path / "after")
    path = segment(after)
    start, end = places(path)[5]
    data = bytearray(path.read_bytes())
    data[start + 300] ^= 4
    path.write_bytes(data)
    spool = make(after)
    await spool.open(T0 + 1)
    assert await ids(spool) == [one.id for one in made if one.id != "m05"]
    folder, notes = report(after)
    assert notes == [{"journal": path.name, "why": "batches are missing or damaged", "first_batch": 6, "last_batch": 6}]
    assert (folder / f"{path.name}.{start}").read_bytes() == bytes(data[start:end])
    await spool.close()
    await spool.open(T0 + 2)
    assert spool.notes == [], "told once"
    await spool.close()


async def test_damage_of_what_the_database_has_is_of_no_interest(lagging, tmp_path):
    _, made = lagging
    after = cut(tmp_path / "spool", tmp_path / "after")
    path = segment(after)
    data = bytearray(path.read_bytes())
    data[places(path)[0][0] + 50] ^= 1
    path.write_bytes(data)
    spool = make(after)
    await spool.open(T0 + 1)
    assert await ids(spool) == [one.id for one in made]
    assert spool.notes == []
    await spool.close()


@pytest.mark.parametrize(
    "data",
    [os.urandom(4 << 20), b"rubbish", bytes(4 << 20), b""],
    ids=["noise", "short", "blank", "empty"],
)
async def test_a_garbage_segment_is_set_aside_and_told(lagging, tmp_path, data):
    _, made = lagging
    after = cut(tmp_path / "spool", tmp_path / "after")
    path = after / "journal" / "00000009.journal"
    path.write_bytes(data)
    spool = make(after)
    await spool.open(T0 + 1)
    assert await ids(spool) == [one.id for one in made]
    if any(data):
        folder, notes = report(after)
        assert notes == [{"file": path.name, "why": "neither a journal nor blank"}]
        assert (folder / path.name).read_bytes() == data
    else:
        assert spool.notes == []
    await spool.append(accepted(message("n1")))
    await spool.close()


async def test_a_lost_header_costs_no_batch(lagging, tmp_path):
    _, made = lagging
    after = cut(tmp_path / "spool", tmp_path / "after")
    path = segment(after)
    data = os.urandom(4_096) + path.read_bytes()[4_096:]
    path.write_bytes(data)
    spool = make(after)
    await spool.open(T0 + 1)
    assert await ids(spool) == [one.id for one in made]
    folder, notes = report(after)
    assert "first block" in notes[0]["why"]
    assert (folder / path.name).read_bytes() == data
    await spool.close()


async def test_a_journal_of_a_newer_version_is_refused_and_left_alone(lagging, tmp_path):
    _, made = lagging
    after = cut(tmp_path / "spool", tmp_path / "after")
    path = segment(after)
    data = bytearray(path.read_bytes())
    data[4:6] = (99).to_bytes(2, "little")
    data[60:64] = zlib.crc32(data[:60]).to_bytes(4, "little")
    path.write_bytes(data)
    spool = make(after)
    with pytest.raises(SpoolUnusable, match="version 99, this program knows up to 1"):
        await spool.open(T0 + 1)
    assert path.read_bytes() == data
    data[4:6] = (1).to_bytes(2, "little")
    data[60:64] = zlib.crc32(data[:60]).to_bytes(4, "little")
    path.write_bytes(data)
    await spool.open(T0 + 1)
    assert await ids(spool) == [one.id for one in made]
    await spool.close()


async def test_the_journal_of_another_spool_is_not_taken_in(lagging, tmp_path):
    other = make(tmp_path / "other")
    await other.open(T0)
    await other.append(accepted(message("theirs")))
    await other.close()
    (path,) = (tmp_path / "other" / "journal").iterdir()
    path.write_bytes(segment(tmp_path / "spool").read_bytes())
    await other.open(T0 + 1)
    assert await ids(other) == ["theirs"]
    assert report(tmp_path / "other")[1] == [{"file": path.name, "why": "journal of another spool"}]
    await other.close()


async def test_a_damaged_database_leaves_the_journal_its_mail(lagging, tmp_path):
    """The mark is lost with the database: what the journal has may be delivered already, and is held."""
    _, made = lagging
    after = cut(tmp_path / "spool", tmp_path / "after")
    for path in after.glob("spool.sqlite3*"):
        path.write_bytes(b"rubbish" * 5_000)
    spool = make(after)
    await spool.open(T0 + 1)
    assert await ids(spool) == [one.id for one in made]
    assert (await spool.count()).by_state == {"held": 10}
    assert await spool.body("m07") == b"m07" * 2_000
    await spool.close()


async def test_readers_and_operations_see_what_only_the_journal_has(lagging):
    spool, made = lagging
    assert spool._engine.pending.waiting
    assert (await spool.body("m04")) == b"m04" * 2_000
    assert not spool._engine.pending.waiting
    late = message("m50")
    await spool.append(accepted(late))
    start = attempt(late)
    assert await spool.claim(start)
    await spool.settle(settlement(start))
    last = message("m51")
    await spool.append(accepted(last))
    assert (await spool.count()).by_state == {"queued": 11, "delivered": 1}
    with pytest.raises(WrongRequest):
        await spool.append(accepted(last))
    with pytest.raises(WrongRequest):
        await spool.append(accepted(made[3]))
    assert made[0].id < "m49"


async def test_what_waits_is_bounded_in_messages_and_bytes(tmp_path, monkeypatch):
    spool = make(tmp_path / "spool")
    await spool.open(T0)
    put_off(monkeypatch)
    monkeypatch.setattr(pending, "MAX_MESSAGES", 20)
    seen = []
    for number in range(60):
        await spool.append(accepted(message(f"a{number:03d}")))
        seen.append(len(spool._engine.pending.names()))
    assert max(seen) == 20
    assert 0 in seen, "the one beyond the bound took all of them along"
    assert len(await ids(spool)) == 60
    monkeypatch.setattr(pending, "MAX_MESSAGES", 2_000)
    monkeypatch.setattr(pending, "MAX_BYTES", 300_000)
    seen = []
    for number in range(30):
        await spool.append(accepted(message(f"b{number:03d}"), b"x" * 50_000))
        seen.append(len(spool._engine.pending.names()))
    assert max(seen) == 5
    assert len(await ids(spool)) == 90
    await spool.close()


async def test_nothing_of_a_message_lingers_in_the_journal(lagging, tmp_path):
    spool, _ = lagging
    assert b"m07m07m07" in segment(tmp_path / "spool").read_bytes()
    await spool.close()
    assert not any(segment(tmp_path / "spool").read_bytes())


async def test_segments_are_used_again_and_numbers_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr("node.spool.segments.SEGMENT_BYTES", 64 * 1024)
    spool = make(tmp_path / "spool")
    await spool.open(T0)
    made = [message(f"m{n:04d}") for n in range(200)]
    for number, one in enumerate(made):
        await spool.append(accepted(one, b"x" * 9_000))
        if number % 10 == 9:
            await spool.count()
    assert len(list((tmp_path / "spool" / "journal").iterdir())) <= 3
    used = scans(tmp_path / "spool")
    newest = max(used, key=lambda one: one.header.generation)
    assert newest.header.generation > 10
    assert newest.batches[-1].number == 200
    after = cut(tmp_path / "spool", tmp_path / "after")
    again = make(after)
    await again.open(T0 + 1)
    assert again.notes == []
    assert await ids(again) == [one.id for one in made]
    await again.append(accepted(message("n")))
    assert max(batch.number for one in scans(after) for batch in one.batches) == 201
    await again.close()
    await spool.close()


async def test_no_segment_is_used_again_before_its_mail_is_in_the_database(tmp_path, monkeypatch):
    monkeypatch.setattr("node.spool.segments.SEGMENT_BYTES", 64 * 1024)
    put_off(monkeypatch)
    spool = make(tmp_path / "spool")
    await spool.open(T0)
    made = [message(f"m{n:04d}") for n in range(120)]
    for number, one in enumerate(made):
        if number == 20:
            await spool.count()
        await spool.append(accepted(one, one.id.encode() * 1_500))
    after = cut(tmp_path / "spool", tmp_path / "after")
    assert len(rows(after)) == 20
    again = make(after)
    await again.open(T0 + 1)
    assert await ids(again) == [one.id for one in made]
    assert await again.body("m0000") == b"m0000" * 1_500
    assert again.notes == []
    await again.close()
    await spool.count()
    await spool.append(accepted(message("n")))
    await spool.close()
    assert len(list((tmp_path / "spool" / "journal").iterdir())) <= 3, "those that were needed for a while are gone"


async def test_ids_out_of_order_are_taken_and_known_ones_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(accepting, "RECENT_IDS", 5)
    spool = make(tmp_path / "spool")
    await spool.open(T0)
    names = [f"m{n:02d}" for n in (9, 3, 7, 1, 8, 2, 6, 4, 5, 0)]
    for name in names:
        await spool.append(accepted(message(name)))
    for name in names:
        with pytest.raises(WrongRequest):
            await spool.append(accepted(message(name)))
    assert [due.message.id for due in await spool.peek(lane(message("x")), T0, 100)] == names
    await spool.close()


async def test_a_full_database_keeps_what_was_answered_and_refuses_the_rest(tmp_path, monkeypatch):
    """The bound is told the database only now, so that what is pending does not fit: nothing of it is lost."""
    spool = make(tmp_path / "spool")
    await spool.open(T0)
    put_off(monkeypatch)
    first = message("m00")
    await spool.append(accepted(first))
    assert len(await spool.find(Filter())) == 1
    made = [message(f"m{n:02d}") for n in range(1, 30)]
    for one in made:
        await spool.append(accepted(one, b"x" * 50_000))
    database = spool._engine._committer.database
    pages = database.number_text("PRAGMA page_count")
    database.run_text(f"PRAGMA max_page_count = {pages + 4}")
    with pytest.raises(SpoolFull):
        await spool.find(Filter())
    with pytest.raises(SpoolFull):
        await spool.append(accepted(message("m99")))
    with pytest.raises(SpoolFull):
        await spool.claim(attempt(made[0]))
    # Delivery of what the database has goes on, and that is how room is made.
    assert [due.message.id for due in await spool.peek(lane(first), T0, 10)] == ["m00"]
    start = attempt(first)
    assert await spool.claim(start)
    await spool.settle(settlement(start))
    after = cut(tmp_path / "spool", tmp_path / "after")
    database.run_text("PRAGMA max_page_count = 1000000")
    assert (await spool.count()).by_state == {"delivered": 1, "queued": 29}
    await spool.append(accepted(message("m99")))
    await spool.close()
    again = make(after)
    await again.open(T0 + 1)
    assert (await again.count()).by_state == {"delivered": 1, "queued": 29}
    await again.close()


async def test_a_spool_opens_on_a_full_disk_and_keeps_what_it_could_not_bring_in(lagging, tmp_path):
    _, made = lagging
    after = cut(tmp_path / "spool", tmp_path / "after")
    small = make(after, max_bytes=1)  # not one page more than it has
    await small.open(T0 + 1)
    assert (await small.count()).by_state == {"queued": 2}
    with pytest.raises(SpoolFull):
        await small.append(accepted(message("n")))
    start = attempt(made[0])
    assert await small.claim(start)
    await small.settle(settlement(start))
    await small.close()
    again = make(after)
    await again.open(T0 + 2)
    assert (await again.count()).by_state == {"queued": 9, "delivered": 1}
    await again.close()


async def test_a_body_file_of_a_message_only_the_journal_has(tmp_path, monkeypatch):
    spool = make(tmp_path / "spool")
    await spool.open(T0)
    put_off(monkeypatch)
    await spool.append(accepted(message("big"), b"B" * 300_000))
    await spool.append(accepted(message("much"), b"m" * 200_000))
    assert spool._engine.pending.holds("big")
    after = cut(tmp_path / "spool", tmp_path / "after")
    assert rows(after) == []
    full = make(after, max_bytes=1)
    await full.open(T0 + 1)
    with pytest.raises(SpoolFull):
        await full.find(Filter())
    await full.close()
    again = make(after)
    await again.open(T0 + 1)
    assert (await again.body("big")).read_bytes() == b"B" * 300_000
    assert again.notes == []
    await again.close()
    await spool.close()


async def test_many_at_once_share_batches(tmp_path, monkeypatch):
    put_off(monkeypatch)
    spool = make(tmp_path / "spool")
    await spool.open(T0)
    made = [message(f"m{n:04d}") for n in range(1_500)]
    await asyncio.gather(*(spool.append(accepted(one, BODY)) for one in made))
    used = scans(tmp_path / "spool")
    assert sum(batch.count for one in used for batch in one.batches) == 1_500
    assert sum(len(one.batches) for one in used) < 500
    assert await spool.sequence() == 1
    assert sorted(rows(tmp_path / "spool")) == [one.id for one in made]
    await spool.close()
