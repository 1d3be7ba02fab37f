"""Opening: one process, a local disk, known schema; damage is set aside with a report and the rest goes on."""

import asyncio
import json
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from node.policy.envelope import RecipientState
from node.spool import opening, place
from node.spool.contract import BodyFile, Filter
from node.spool.database import Database
from node.spool.errors import MessageGone, SpoolTooNew, SpoolUnusable
from node.spool.queries import migrations
from node.spool.schema import Schema, migration_of
from node.spool.sqlite import SqliteSpool
from tests.support.spool_mail import BODY, T0, accepted, attempt, lane, message, outcome, settlement

S = RecipientState


def make(tmp_path, **more):
    return SqliteSpool(tmp_path / "spool", now_ms=lambda: T0, **more)


async def filled(tmp_path, number):
    spool = make(tmp_path)
    await spool.open(T0)
    made = [message(f"m{n:05d}", to=(f"u{n}@x.example",)) for n in range(number)]
    await asyncio.gather(*(spool.append(accepted(one)) for one in made))
    return spool, made


def report(tmp_path):
    (path,) = (tmp_path / "spool" / "set-aside").glob("*/report.json")
    return json.loads(path.read_text())


def edit(tmp_path, *statements):
    with sqlite3.connect(tmp_path / "spool" / "spool.sqlite3") as connection:
        for statement in statements:
            connection.execute(*statement)
    connection.close()


async def test_a_new_spool_is_private_and_has_an_identity(tmp_path):
    spool = make(tmp_path)
    await spool.open(T0)
    directory = tmp_path / "spool"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "spool.sqlite3").stat().st_mode) == 0o600
    first, before = spool.spool_id, await spool.sequence()
    await spool.append(accepted(message()))
    assert await spool.sequence() == before + 1
    await spool.close()
    await spool.open(T0)
    assert spool.spool_id == first
    assert spool.sequence_at_open == before + 1
    assert spool.notes == []
    await spool.close()
    other = SqliteSpool(tmp_path / "other", now_ms=lambda: T0)
    await other.open(T0)
    assert other.spool_id != first
    await other.close()


async def test_a_commit_waits_for_the_disk(tmp_path):
    path = tmp_path / "db"
    database = Database(path, writable=True)
    assert database.number_text("PRAGMA synchronous") == 2
    assert database.run_text("PRAGMA journal_mode") == [("wal",)]
    database.close()


@pytest.mark.parametrize("way", ["octets", "file", "synced file"])
async def test_a_large_body_is_synced_before_it_is_renamed_and_its_folder_after(tmp_path, monkeypatch, way):
    done = []

    def note(word, real):
        def call(handle, *rest):
            name = handle if isinstance(handle, Path) else Path(f"/proc/self/fd/{handle}").readlink()
            done.append((word, name.name))
            return real(handle, *rest)

        return call

    spool = make(tmp_path)
    await spool.open(T0)
    (tmp_path / "spool" / "bodies" / "32").mkdir()  # the shard of "big"
    monkeypatch.setattr(os, "fsync", note("sync", os.fsync))
    monkeypatch.setattr(Path, "replace", note("rename", Path.replace))
    body: bytes | BodyFile = b"x" * 300_000
    if way != "octets":
        spool.new_body_path("big").write_bytes(body)
        body = BodyFile(path=str(spool.new_body_path("big")), size_bytes=300_000, synced=way == "synced file")
    await spool.append(accepted(message("big"), body))
    first = [] if way == "synced file" else [("sync", "big")]
    assert [one for one in done if "journal" not in one[1]] == [*first, ("rename", "big"), ("sync", "32")]
    await spool.close()


async def test_two_processes_cannot_open_one_spool(tmp_path):
    spool = make(tmp_path)
    await spool.open(T0)
    with pytest.raises(SpoolUnusable, match=f"in use by process {os.getpid()}"):
        await make(tmp_path).open(T0)
    code = f"""
import asyncio, pathlib
from node.spool.sqlite import SqliteSpool
from node.spool.errors import SpoolUnusable
async def main():
    try:
        await SqliteSpool(pathlib.Path({str(tmp_path / "spool")!r}), now_ms=lambda: 0).open(0)
    except SpoolUnusable as error:
        print(error)
asyncio.run(main())
"""
    run = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert f"in use by process {os.getpid()}" in run.stdout
    await spool.close()
    await spool.open(T0)
    await spool.close()


async def test_schema_file_and_migrations_agree(tmp_path):
    def shape(connection):
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name")
        return [(kind, name, " ".join((sql or "").split())) for kind, name, sql in rows]

    spool = make(tmp_path)
    await spool.open(T0)
    await spool.close()
    migrated = sqlite3.connect(tmp_path / "spool" / "spool.sqlite3")
    written = sqlite3.connect(":memory:")
    written.executescript((opening.Path(opening.__file__).parent / "schema.sql").read_text())
    assert shape(migrated) == shape(written)
    assert migrated.execute("PRAGMA user_version").fetchone()[0] == migrations()[-1].number
    migrated.close()
    written.close()


async def test_migrations_are_applied_in_order_and_each_wholly(tmp_path):
    path = tmp_path / "db"
    database = Database(path, writable=True)
    opening.make_ready(database, path, T0)
    newest = migrations()[-1].number
    two = migration_of(newest + 1, "-- level: 2\nCREATE TABLE extra (a);\nINSERT INTO extra VALUES (1);\n")
    broken = migration_of(newest + 2, "-- level: 2\nCREATE TABLE more (a);\nINSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(Exception, match="nowhere"):
        opening.make_ready(database, path, T0, Schema(migrations=(*migrations(), two, broken)))
    assert database.number_text("PRAGMA user_version") == newest + 1
    assert database.number_text("SELECT count(*) FROM extra") == 1
    assert database.number_text("SELECT count(*) FROM sqlite_master WHERE name = 'more'") == 0
    assert database.cell("get_meta", ("usable_from",)) == newest + 1
    database.close()


async def test_a_newer_spool_is_refused_with_both_versions(tmp_path):
    spool, _ = await filled(tmp_path, 1)
    await spool.close()
    known = "UPDATE meta SET value = ? WHERE key = 'usable_from'"
    edit(tmp_path, ("PRAGMA user_version = 99",), (known, (98,)))
    with pytest.raises(SpoolTooNew, match=rf"version 99, .* up to {migrations()[-1].number}"):
        await make(tmp_path).open(T0)
    newest = migrations()[-1].number
    edit(tmp_path, (f"PRAGMA user_version = {newest}",), (known, (newest,)))
    again = make(tmp_path)
    await again.open(T0)
    assert len(await again.find(Filter())) == 1
    await again.close()


async def test_someone_elses_database_is_refused(tmp_path):
    (tmp_path / "spool").mkdir()
    edit(tmp_path, ("CREATE TABLE cookies (a)",))
    with pytest.raises(SpoolUnusable, match="not a spool"):
        await make(tmp_path).open(T0)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
async def test_network_file_systems_are_refused(tmp_path, monkeypatch, kind):
    text = f"22 1 0:1 / / rw - ext4 /dev/vda rw\n40 22 0:9 / {tmp_path} rw shared:1 - {kind} server:/x rw\n"
    (tmp_path / "mountinfo").write_text(text)
    monkeypatch.setattr(place, "MOUNTINFO", tmp_path / "mountinfo")
    with pytest.raises(SpoolUnusable, match=kind):
        await make(tmp_path).open(T0)
    spool = make(tmp_path, allow_network=True)
    await spool.open(T0)
    await spool.close()


async def test_a_place_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(SpoolUnusable, match="cannot be used"):
        await make(tmp_path).open(T0)


async def test_a_file_that_is_no_database_is_set_aside(tmp_path):
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "spool.sqlite3").write_bytes(b"rubbish" * 5000)
    spool = make(tmp_path)
    await spool.open(T0)
    await spool.append(accepted(message()))
    await spool.close()
    (kept,) = (tmp_path / "spool" / "set-aside").glob("*/spool.sqlite3")
    assert kept.read_bytes() == b"rubbish" * 5000
    assert "damage" in report(tmp_path)[0]


async def test_damaged_pages_are_survived_by_what_can_be_read(tmp_path):
    spool, made = await filled(tmp_path, 600)
    start = attempt(made[-1])
    await spool.claim(start)
    await spool.settle(settlement(start))
    first = spool.spool_id
    await spool.close()
    path = tmp_path / "spool" / "spool.sqlite3"
    with path.open("r+b") as handle:
        size = handle.seek(0, 2)
        for page in range(size // 8192 * 2 // 5, size // 8192 * 2 // 5 + 6):
            handle.seek(page * 8192)
            handle.write(os.urandom(8192))
    again = make(tmp_path)
    await again.open(T0 + 1)
    await again.recover(T0 + 1)
    views = await again.find(Filter(limit=1000))
    assert again.spool_id == first
    assert 100 < len(views) <= 600
    assert again.notes
    assert {row["table"] for row in report(tmp_path) if "table" in row} == {
        "messages",
        "recipients",
        "bodies",
        "journey",
        "copies",
    }
    for view in views:
        (queued,) = view.recipients
        if queued.state in {S.QUEUED, S.HELD}:
            assert await again.body(view.message.id) == BODY
    delivered = [view.message.id for view in views if view.recipients[0].state is S.DELIVERED]
    assert delivered in ([made[-1].id], [])
    assert sum((await again.count()).by_state.values()) == len(views)
    waiting = sum(state.waiting for state in await again.lanes())
    assert waiting == len([view for view in views if view.recipients[0].state is S.QUEUED])
    await again.append(accepted(message()))
    await again.close()
    last = make(tmp_path)
    await last.open(T0 + 2)
    assert last.notes == []
    await last.close()


async def test_an_unreadable_row_is_set_aside_and_stands_in_nobodys_way(tmp_path):
    spool, made = await filled(tmp_path, 3)
    await spool.close()
    edit(tmp_path, ("UPDATE messages SET facts = x'c1ff' WHERE id = ?", (made[0].id,)))
    again = make(tmp_path)
    await again.open(T0)
    assert [d.message.id for d in await again.peek(lane(made[0]), T0, 10)] == [made[1].id, made[2].id]
    view = await again.journey(made[0].id)
    assert [q.state for q in view.recipients] == [S.DEAD]
    assert view.lines[-1].detail == {"reason": "unreadable"}
    folder = next((tmp_path / "spool" / "set-aside").iterdir())
    assert (folder / f"{made[0].id}.facts").read_bytes() == b"\xc1\xff"
    assert (folder / f"{made[0].id}.body").read_bytes() == BODY
    assert len(await again.peek(lane(made[0]), T0, 10)) == 2
    await again.close()


async def test_a_missing_body_file_makes_the_message_dead(tmp_path):
    spool, made = await filled(tmp_path, 1)
    big = message("big")
    path = spool.new_body_path("big")
    path.write_bytes(b"x" * 300_000)
    await spool.append(accepted(big, BodyFile(path=str(path), size_bytes=300_000)))
    kept = await spool.body("big")
    kept.unlink()
    with pytest.raises(MessageGone):
        await spool.body("big")
    await spool.close()
    again = make(tmp_path)
    await again.open(T0)
    view = await again.journey("big")
    assert [(q.state, q.last_reason) for q in view.recipients] == [(S.DEAD, "body_missing")]
    assert await again.release(Filter(ids=("big",)), "ann", "x", T0) == 0
    assert [v.message.id for v in await again.find(Filter(states=(S.QUEUED,)))] == [made[0].id]
    assert report(tmp_path)[0] == {"message": "big", "why": "body_missing"}
    await again.close()


async def test_strays_are_set_aside(tmp_path):
    spool, _ = await filled(tmp_path, 1)
    await spool.close()
    (tmp_path / "spool" / "incoming" / "half").write_bytes(b"half a message")
    (tmp_path / "spool" / "bodies" / "00").mkdir()
    (tmp_path / "spool" / "bodies" / "00" / "unknown").write_bytes(b"never answered")
    again = make(tmp_path)
    await again.open(T0)
    folder = next((tmp_path / "spool" / "set-aside").iterdir())
    assert (folder / "half").read_bytes() == b"half a message"
    assert (folder / "unknown").read_bytes() == b"never answered"
    assert list((tmp_path / "spool" / "incoming").iterdir()) == []
    await again.close()


async def test_old_attempts_are_pruned_after_25_hours(tmp_path):
    now = [T0]
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: now[0])
    await spool.open(T0)
    made = message()
    await spool.append(accepted(made))
    start = attempt(made)
    await spool.claim(start)
    await spool.settle(settlement(start, outcome(0, S.DELIVERED)))
    await spool.prune(0, 10)
    assert len(await spool.recover(T0 + 5000)) == 1
    now[0] = T0 + 26 * 3_600_000
    await spool.prune(0, 10)
    assert await spool.recover(T0 + 5000) == []
    await spool.close()


async def test_a_cancelled_caller_does_not_disturb_the_others(tmp_path):
    spool, _ = await filled(tmp_path, 0)
    tasks = [asyncio.create_task(spool.append(accepted(message()))) for _ in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[1::2] == [None] * 25
    assert (await spool.count()).by_state["queued"] >= 25
    await asyncio.gather(*(spool.append(accepted(message())) for _ in range(1500)))
    await spool.close()


async def test_a_check_that_takes_too_long_is_cut(tmp_path):
    spool, _ = await filled(tmp_path, 200)
    await spool.close()
    database = Database(tmp_path / "spool" / "spool.sqlite3", writable=True)
    assert opening.examine(database)
    assert not opening.examine(database, 0)
    assert database.cell("last_seq") == 200
    database.close()
