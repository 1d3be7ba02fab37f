"""The journal's n-th write fails, for every n: the database takes over, and no answer changes."""

import asyncio
import errno
import itertools
import os

import pytest

from node.spool import accepting, segments
from node.spool.contract import Filter
from node.spool.errors import SpoolBroken, SpoolFull
from node.spool.sqlite import SqliteSpool
from tests.integration.test_spool_faults import check, life
from tests.support.spool_faults import Disk
from tests.support.spool_journal import cut, put_off, scans
from tests.support.spool_mail import T0, accepted, message

CALLS = ("pwrite", "fsync", "open", "close")

CREATING = 2
"""Writes that fill a new segment with zeros."""


async def run(directory, disk, monkeypatch):
    """Two lives' worth of mail on a journal that fails; what was promised, tried, and which errors there were."""
    with monkeypatch.context() as patch:
        patch.setattr(segments, "os", disk)
        spool = SqliteSpool(directory, now_ms=lambda: T0)
        await spool.open(T0)
        disk.armed = True
        found = await life(spool)
        disk.armed = False
        await spool.close()
    return found


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("after", [False, True], ids=["not done", "done but reported failed"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("name", CALLS)
async def test_the_nth_call_fails_for_every_n(tmp_path, monkeypatch, name, code, after, lasting):
    monkeypatch.setattr(accepting, "REST_S", 0.0)
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 64 * 1024)
    failures = 0
    for number in itertools.count(1):
        disk = Disk(name, number, code, lasting=lasting, after=after)
        promised, tried, errors = await run(tmp_path / str(number), disk, monkeypatch)
        assert errors == [], "the database takes what the journal cannot"
        assert promised.keys() == tried.keys()
        await check(tmp_path / str(number), promised, tried)
        failures += disk.failed
        if not disk.failed:
            break
        assert number < 60
    assert failures


async def test_a_write_cut_short_by_a_full_disk(tmp_path, monkeypatch):
    for number in (1, 2, 3):
        disk = Disk("pwrite", number, errno.ENOSPC, short=True)
        monkeypatch.setattr(segments, "SEGMENT_BYTES", 64 * 1024)
        promised, tried, errors = await run(tmp_path / str(number), disk, monkeypatch)
        assert errors == []
        assert disk.failed
        await check(tmp_path / str(number), promised, tried)


async def test_after_a_write_that_failed_its_segment_is_never_trusted_again(tmp_path, monkeypatch):
    """What was answered before stays in it and counts; what failed does not; nothing new goes there."""
    monkeypatch.setattr(accepting, "REST_S", 0.0)
    put_off(monkeypatch)
    disk = Disk("pwrite", 3 + CREATING, errno.EIO, after=True)
    monkeypatch.setattr(segments, "os", disk)
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0)
    await spool.open(T0)
    disk.armed = True
    made = [message(f"m{n}") for n in range(5)]
    for one in made[:2]:
        await spool.append(accepted(one))
    await spool.append(accepted(made[2]))
    assert disk.failed == 1
    assert not spool._engine.pending.waiting, "the database has it, and the two before it"
    for one in made[3:]:
        await spool.append(accepted(one))
    # But for the blanking of the failed batch, no byte went into the first file after the failure.
    later = [name for name, failures in disk.written if failures]
    assert later.count("00000001.journal") == 1
    assert later[0] == "00000001.journal"
    after = cut(tmp_path / "spool", tmp_path / "after")
    assert [batch.number for one in scans(after) for batch in one.batches] == [4, 5]
    monkeypatch.undo()
    again = SqliteSpool(after, now_ms=lambda: T0)
    await again.open(T0 + 1)
    assert [view.message.id for view in await again.find(Filter())] == [one.id for one in reversed(made)]
    assert again.notes == []
    await again.close()
    await spool.close()


async def test_journal_and_database_fail_together(tmp_path, monkeypatch):
    """Then the caller is told; what was answered before is kept, what was refused is not there."""
    monkeypatch.setattr(accepting, "REST_S", 0.0)
    put_off(monkeypatch)
    disk = Disk("pwrite", 3 + CREATING, errno.EIO, lasting=True, after=True)
    monkeypatch.setattr(segments, "os", disk)
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0)
    await spool.open(T0)
    database = spool._engine._committer.database
    database.run_text(f"PRAGMA max_page_count = {database.number_text('PRAGMA page_count')}")
    disk.armed = True
    made = [message(f"m{n}") for n in range(4)]
    for one in made[:2]:
        await spool.append(accepted(one, b"x" * 20_000))
    results = await asyncio.gather(
        *(spool.append(accepted(one, b"x" * 20_000)) for one in made[2:]), return_exceptions=True
    )
    assert [type(result) for result in results] == [SpoolFull] * 2
    after = cut(tmp_path / "spool", tmp_path / "after")
    monkeypatch.undo()
    again = SqliteSpool(after, now_ms=lambda: T0)
    await again.open(T0 + 1)
    assert {view.message.id for view in await again.find(Filter())} == {"m0", "m1"}
    await again.close()
    # Room again: the same process brings in what it had answered and goes on.
    database.run_text("PRAGMA max_page_count = 1000000")
    disk.armed = False
    await spool.append(accepted(made[2], b"x" * 20_000))
    assert {view.message.id for view in await spool.find(Filter())} == {"m0", "m1", "m2"}
    await spool.close()


async def test_what_the_journal_refused_is_not_missed_at_the_next_start(tmp_path, monkeypatch):
    """A number that failed, and was refused, stands before one that was answered: no report of a loss."""
    monkeypatch.setattr(accepting, "REST_S", 0.0)
    put_off(monkeypatch)
    disk = Disk("pwrite", 2 + CREATING, errno.EIO, after=True)
    monkeypatch.setattr(segments, "os", disk)
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0)
    await spool.open(T0)
    database = spool._engine._committer.database
    pages = database.number_text("PRAGMA page_count")
    database.run_text(f"PRAGMA max_page_count = {pages}")
    disk.armed = True
    await spool.append(accepted(message("m0"), b"x" * 20_000))
    with pytest.raises(SpoolFull):
        await spool.append(accepted(message("m1"), b"x" * 20_000))
    spool._engine._committer.stuck = None  # as if the database had room for a moment, and then the process died
    await spool.append(accepted(message("m2"), b"x" * 20_000))
    after = cut(tmp_path / "spool", tmp_path / "after")
    monkeypatch.undo()
    again = SqliteSpool(after, now_ms=lambda: T0)
    await again.open(T0 + 1)
    assert [view.message.id for view in await again.find(Filter())] == ["m2", "m0"]
    assert again.notes == []
    await again.close()
    await spool.close()


async def test_a_message_the_database_refuses_for_good_is_set_aside(tmp_path, monkeypatch):
    """Answered, and then its row cannot be written: kept as files, and its neighbours go on."""
    put_off(monkeypatch)
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0)
    await spool.open(T0)
    bad = message("m1", received_ms=1 << 63)  # more than SQLite's integers hold
    for one in (message("m0"), bad, message("m2")):
        await spool.append(accepted(one, one.id.encode()))
    assert [view.message.id for view in await spool.find(Filter())] == ["m2", "m0"]
    (folder,) = (tmp_path / "spool" / "set-aside").iterdir()
    assert (folder / "m1.body").read_bytes() == b"m1"
    assert "the database refused it" in spool.notes[0]["why"]
    await spool.close()


async def test_a_broken_spool_answers_nothing_through_the_journal(tmp_path, monkeypatch):
    put_off(monkeypatch)
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0)
    await spool.open(T0)
    await spool.append(accepted(message("m0")))
    spool._engine._committer.broken = "as after a commit that is visible and not safe"
    with pytest.raises(SpoolBroken):
        await spool.append(accepted(message("m1")))
    await spool.close()
    again = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0)
    await again.open(T0 + 1)
    assert [view.message.id for view in await again.find(Filter())] == ["m0"]
    await again.close()


class NoDirect:
    """``os`` on a file system without direct writes: it says so when a file is opened, or only when it is written."""

    def __init__(self, when):
        self.when = when
        self.direct = set()

    def __getattr__(self, name):
        return getattr(os, name)

    def open(self, path, flags, *mode):
        if flags & os.O_DIRECT and self.when == "open":
            os.close(os.open(path, flags & ~os.O_DIRECT, *mode))
            raise OSError(errno.EINVAL, "injected")
        handle = os.open(path, flags, *mode)
        (self.direct.add if flags & os.O_DIRECT else self.direct.discard)(handle)
        return handle

    def pwrite(self, handle, data, at):
        if handle in self.direct:
            raise OSError(errno.EINVAL, "injected")
        return os.pwrite(handle, data, at)


@pytest.mark.parametrize("when", ["open", "write"])
async def test_a_file_system_without_direct_writes_will_do(tmp_path, monkeypatch, when):
    monkeypatch.setattr(accepting, "REST_S", 0.0)
    put_off(monkeypatch)
    monkeypatch.setattr(segments, "os", NoDirect(when))
    for _ in range(2):
        spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0)
        await spool.open(T0)
        # A file found at the start may refuse the first write; that one goes into the database.
        await spool.append(accepted(message()))
        await spool.append(accepted(message()))
        assert spool._engine.pending.waiting, "the journal has it"
        await spool.close()
    await spool.open(T0)
    assert len(await spool.find(Filter())) == 4
    await spool.close()
