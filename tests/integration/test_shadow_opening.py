"""Opening a copy store: its own and nobody else's, on a local disk, of this version; damaged ones are set aside."""

import json
import sqlite3

import pytest

from node.shadow import opening
from node.shadow.entries import Discard, Intent, Lines, Piece
from node.shadow.sqlite import SqliteCopies
from node.spool import place
from node.spool.contract import JourneyLine
from node.spool.errors import SpoolClosed, SpoolTooNew, SpoolUnusable
from node.spool.schema import Schema, migration_of
from node.spool.sqlite import SqliteSpool
from tests.support.copies import attached, batch, copy
from tests.support.copies_house import kept_ids
from tests.support.spool_mail import T0

PAIR = attached()
NEWEST = opening.migrations()[-1].number


async def opened(directory, **options):
    store = SqliteCopies(directory, **options)
    await store.open(T0)
    return store


async def filled(directory, number=300):
    """A closed store with copies, one of them a file, told words and history."""
    store = await opened(directory)
    stream = await store.begin(PAIR, "relay-a")
    copies = [copy(f"m{n:04d}", b"x" * 3_000) for n in range(number)]
    await store.put(PAIR, batch(1, *copies, copy("z", b"z" * 300_000), stream=stream))
    line = JourneyLine(at_ms=T0, event="accepted")
    told = Intent(message_id="m0001", attempt_id="a", indexes=(0,), dot_ms=1), Lines(message_id="m0001", lines=(line,))
    await store.put(PAIR, batch(2, *told, Discard(message_ids=("m0000",), at_ms=T0), stream=stream))
    await store.close()
    return store


async def test_everything_is_there_after_a_restart(tmp_path):
    before = await filled(tmp_path)
    store = await opened(tmp_path)
    assert (store.store_id, store.notes) == (before.store_id, [])
    assert len(await kept_ids(store, PAIR)) == 300
    (row,) = await store.rows(PAIR, "m0000", 1)
    assert [each.attempt_id for each in row.intents] == ["a"]
    assert [each.event for each in row.lines] == ["accepted"]
    assert (await store.body(PAIR, "z")).read_bytes() == b"z" * 300_000
    assert await store.past("m0000") is not None
    assert (await store.stream(PAIR)).expected == 3
    await store.close()


async def test_it_lies_in_the_spools_directory_and_neither_minds_the_other(tmp_path):
    spool = SqliteSpool(tmp_path, now_ms=lambda: T0)
    await spool.open(T0)
    await filled(tmp_path / "copies")
    await spool.close()
    await spool.open(T0)
    assert spool.notes == []
    await spool.close()
    store = await opened(tmp_path / "copies")
    assert store.notes == []
    await store.close()


async def test_a_second_process_or_a_second_opening_is_refused(tmp_path):
    store = await opened(tmp_path)
    with pytest.raises(SpoolUnusable, match="open already"):
        await store.open(T0)
    with pytest.raises(SpoolUnusable, match="in use by process"):
        await opened(tmp_path)
    await store.close()
    await store.close()
    with pytest.raises(SpoolClosed):
        await store.begin(PAIR, "relay-a")
    with pytest.raises(SpoolClosed):
        await store.held()
    store = await opened(tmp_path)
    await store.close()


def change(directory, *statements):
    connection = sqlite3.connect(directory / opening.DATABASE)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path):
    await filled(tmp_path, 3)
    change(tmp_path, f"PRAGMA user_version = {NEWEST + 1}")
    change(tmp_path, f"UPDATE meta SET value = {NEWEST + 1} WHERE key = 'usable_from'")
    words = f"schema version {NEWEST + 1}, this program knows up to {NEWEST}"
    with pytest.raises(SpoolTooNew, match=words) as error:
        await opened(tmp_path)
    assert not error.value.temporary
    change(tmp_path, f"UPDATE meta SET value = {NEWEST} WHERE key = 'usable_from'")
    store = await opened(tmp_path)
    assert len(await kept_ids(store, PAIR)) == 3, "what was added does not keep it from being used"
    await store.close()
    change(tmp_path, f"PRAGMA user_version = {NEWEST}")
    store = await opened(tmp_path)
    assert len(await kept_ids(store, PAIR)) == 3
    await store.close()


async def test_the_database_of_another_program_is_refused(tmp_path):
    change(tmp_path, "CREATE TABLE theirs (x)")
    with pytest.raises(SpoolUnusable, match="not a copy store"):
        await opened(tmp_path)


async def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    told = tmp_path / "mountinfo"
    told.write_text("1 1 0:1 / / rw - nfs4 server:/ rw\n")
    monkeypatch.setattr(place, "MOUNTINFO", told)
    with pytest.raises(SpoolUnusable, match="nfs4"):
        await opened(tmp_path / "copies")
    store = await opened(tmp_path / "copies", allow_network=True)
    await store.close()


def test_migrations_are_numbered_without_a_gap():
    found = opening.migrations()
    assert [each.number for each in found] == list(range(1, len(found) + 1))


async def test_a_migration_that_fails_leaves_the_version_before(tmp_path):
    store = await filled(tmp_path, 3)
    database = store._writer()
    twice = migration_of(NEWEST + 1, "CREATE TABLE more (x);\nCREATE TABLE more (x);\n")
    with pytest.raises(Exception, match="more"):
        opening.make_ready(database, tmp_path, Schema(migrations=(*opening.migrations(), twice)))
    assert database.number_text("PRAGMA user_version") == NEWEST
    assert database.number_text("SELECT count(*) FROM sqlite_master WHERE name = 'more'") == 0
    database.close()


def spoil(path, start, size):
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xee" * size)


async def test_a_damaged_store_is_set_aside_and_what_can_be_read_goes_on_under_a_new_identity(tmp_path):
    before = await filled(tmp_path)
    path = tmp_path / opening.DATABASE
    spoil(path, path.stat().st_size // 2 // 4096 * 4096, 4096 * 6)
    store = await opened(tmp_path)
    assert store.store_id != before.store_id
    found = await kept_ids(store, PAIR)
    assert 200 < len(found) < 301
    (held,) = await store.held()
    assert held.messages == len(found)
    for name in found:
        body = await store.body(PAIR, name)
        assert (body if isinstance(body, bytes) else body.read_bytes())[:1] in (b"x", b"z")
    assert (await store.stream(PAIR)).number == 0, "whoever sends must begin anew"
    (folder,) = (tmp_path / "set-aside").iterdir()
    report = json.loads((folder / "report.json").read_text())
    assert any(note.get("unreadable_keys") for note in report)
    assert (folder / opening.DATABASE).exists()
    assert await store.begin(PAIR, "relay-a") >= 1
    await store.close()


async def test_one_that_is_no_database_at_all_is_set_aside_whole(tmp_path):
    await filled(tmp_path, 3)
    spoil(tmp_path / opening.DATABASE, 0, 8192)
    store = await opened(tmp_path)
    assert await store.held() == []
    assert any("damage" in note for note in store.notes)
    assert any(note.get("file") == "z" or "no copy names" in str(note.get("why")) for note in store.notes)
    await store.close()


async def test_a_missing_body_file_is_told_and_changes_the_identity(tmp_path):
    before = await filled(tmp_path, 3)
    (file,) = [path for path in (tmp_path / "bodies").rglob("*") if path.is_file()]
    file.unlink()
    store = await opened(tmp_path)
    assert store.store_id != before.store_id
    assert await kept_ids(store, PAIR) == ["m0001", "m0002"]
    assert (await store.held())[0].messages == 2
    await store.close()
    again = await opened(tmp_path)
    assert (again.store_id, again.notes) == (store.store_id, [])
    await again.close()


async def test_files_that_were_not_promised_go_at_the_next_start(tmp_path):
    await filled(tmp_path, 3)
    store = await opened(tmp_path)
    stream = await store.begin(PAIR, "relay-a")
    await store.put(PAIR, batch(1, Piece(message_id="p", start=0, data=b"abc"), stream=stream))
    await store.close()
    assert list((tmp_path / "incoming").iterdir())
    store = await opened(tmp_path)
    assert store.notes == []
    assert not list((tmp_path / "incoming").iterdir())
    assert (await store.body(PAIR, "z")).is_file()
    await store.close()


async def test_body_files_go_with_their_copies(tmp_path):
    await filled(tmp_path, 3)
    store = await opened(tmp_path)
    assert await store.drop(PAIR) == 3
    await store.close()
    assert not [path for path in (tmp_path / "bodies").rglob("*") if path.is_file()]
