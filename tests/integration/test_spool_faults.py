"""The n-th write fails, for every n: what was answered is there whole, what was refused left nothing torn."""

import asyncio
import itertools
import os
import resource
import sqlite3
from functools import partial

import pytest

from node.policy.envelope import RecipientState
from node.spool import bodies
from node.spool.contract import Filter
from node.spool.database import Database, GuardFailed
from node.spool.errors import MessageGone, SpoolBroken, SpoolFull
from node.spool.sqlite import SqliteSpool
from tests.support.spool_faults import Plan
from tests.support.spool_mail import BODY, T0, accepted, attempt, message, settlement

BIG = b"B" * 300_000


async def life(spool):
    """A few messages' lives; what was answered, by message id: the furthest state that was promised."""
    promised, tried = {}, {}
    made = [message(f"m{n}", to=("a@x.example", "b@x.example")) for n in range(4)]

    async def append(one, body):
        tried[one.id] = body
        await spool.append(accepted(one, body))
        promised[one.id] = RecipientState.QUEUED

    async def attempt_one(one):
        if one.id not in promised:
            return
        start = attempt(one, attempt_id=f"t-{one.id}")
        if await spool.claim(start):
            promised[one.id] = RecipientState.IN_FLIGHT
            await spool.intend(start.attempt_id, T0 + 1500)
            await spool.settle(settlement(start))
            promised[one.id] = RecipientState.DELIVERED

    errors = await asyncio.gather(
        *(append(one, BIG if n == 3 else BODY) for n, one in enumerate(made)), return_exceptions=True
    )
    errors += await asyncio.gather(*(attempt_one(one) for one in made[1:]), return_exceptions=True)
    return promised, tried, [error for error in errors if error]


async def check(directory, promised, tried):
    """Open anew and compare with what was promised."""
    spool = SqliteSpool(directory, now_ms=lambda: T0)
    await spool.open(T0 + 9000)
    await spool.recover(T0 + 9000)
    try:
        views = {view.message.id: view for view in await spool.find(Filter())}
        assert promised.keys() <= views.keys() <= tried.keys()
        for message_id, view in views.items():
            states = {queued.state for queued in view.recipients}
            assert len(view.recipients) == 2, "a message without its recipients is torn"
            assert len(states) == 1, "one transaction moved both or none"
            told = [line.event for line in (await spool.journey(message_id)).lines]
            if promised.get(message_id) is RecipientState.DELIVERED:
                assert states == {RecipientState.DELIVERED}
            if states == {RecipientState.DELIVERED}:
                assert told == ["accepted", "claimed", "delivered"]
                with pytest.raises(MessageGone):
                    await spool.body(message_id)
            else:
                found = await spool.body(message_id)
                assert (found if isinstance(found, bytes) else found.read_bytes()) == tried[message_id]
        counts = await spool.count()
        assert sum(counts.by_state.values()) == 2 * len(views)
        live = [name for name, view in views.items() if not view.finished_ms]
        assert counts.body_bytes == sum(len(tried[name]) for name in live)
    finally:
        await spool.close()


async def run(directory, plan, *, journal):
    spool = SqliteSpool(directory, now_ms=lambda: T0, connect=plan.connect, journal=journal)
    await spool.open(T0)
    plan.armed = True
    try:
        promised, tried, errors = await life(spool)
    finally:
        plan.armed = False
        await spool.close()
    return promised, tried, errors


@pytest.mark.parametrize("journal", [False, True], ids=["alone", "behind a journal"])
@pytest.mark.parametrize("after", [False, True], ids=["not done", "done but reported failed"])
@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CORRUPT])
async def test_the_nth_statement_fails_for_every_n(tmp_path, code, after, journal):
    seen = set()
    for number in itertools.count(1):
        plan = Plan(number, code, after=after)
        promised, tried, errors = await run(tmp_path / str(number), plan, journal=journal)
        await check(tmp_path / str(number), promised, tried)
        assert all(isinstance(error, SpoolBroken | SpoolFull) for error in errors), errors
        if not plan.failed:
            assert not errors
            break
        seen.add(plan.failed)
        assert number < 200
    assert "COMMIT" in seen
    assert any("INSERT INTO messages" in text for text in seen)


async def test_one_failure_of_a_statement_fails_nobody(tmp_path):
    """The batch is tried again one by one, so a passing fault is not even seen."""
    for number in range(1, 8):
        plan = Plan(number, sqlite3.SQLITE_IOERR)
        spool = SqliteSpool(tmp_path / str(number), now_ms=lambda: T0, journal=False, connect=plan.connect)
        await spool.open(T0)
        plan.armed = True
        await asyncio.gather(*(spool.append(accepted(message())) for _ in range(5)))
        assert plan.failed or number > 1
        assert (await spool.count()).by_state == {"queued": 5}
        await spool.close()


@pytest.mark.parametrize("name", ["fsync", "open", "close"])
async def test_the_nth_file_operation_fails_for_every_n(tmp_path, monkeypatch, name):
    real = getattr(os, name)
    for number in range(1, 8):
        calls = itertools.count(1)

        def failing(*args, calls=calls, number=number, **kwargs):
            result = real(*args, **kwargs)
            if next(calls) == number:
                if name == "open":
                    os.close(result)
                raise OSError(5, "injected")
            return result

        spool = SqliteSpool(tmp_path / str(number), now_ms=lambda: T0)
        await spool.open(T0)
        made = message("big")
        promised = {}
        with monkeypatch.context() as patch:
            patch.setattr(bodies, "os", _Os(name, failing))
            try:
                await spool.append(accepted(made, BIG))
                promised[made.id] = RecipientState.QUEUED
            except SpoolBroken:
                pass
        await spool.close()
        spool = SqliteSpool(tmp_path / str(number), now_ms=lambda: T0)
        await spool.open(T0 + 1)
        assert [view.message.id for view in await spool.find(Filter())] == list(promised)
        if promised:
            assert (await spool.body(made.id)).read_bytes() == BIG
        # Refused, but its file may be there: set aside, never deleted, and the id can be used again.
        else:
            await spool.append(accepted(made, BIG))
        await spool.close()


class _Os:
    """The module ``os`` with one function replaced."""

    def __init__(self, name, function):
        self._replaced = {name: function}

    def __getattr__(self, name):
        return self._replaced.get(name) or getattr(os, name)


async def test_full_is_temporary_and_leaves_nothing(tmp_path):
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0, max_bytes=1_000_000)
    await spool.open(T0)
    made = [message(f"m{number:03d}") for number in range(100)]
    answers = [await asyncio.gather(spool.append(accepted(one, b"x" * 50_000)), return_exceptions=True) for one in made]
    stored = [one for one, (error,) in zip(made, answers, strict=True) if error is None]
    assert {type(error) for (error,) in answers} == {type(None), SpoolFull}
    assert len(stored) > 5
    assert [v.message.id for v in await spool.find(Filter())] == [one.id for one in reversed(stored)]
    # A delivery still has room for its outcome once bodies go, and then there is room for mail again.
    for one in stored[:4]:
        start = attempt(one)
        assert await spool.claim(start)
        await spool.settle(settlement(start))
    await spool.append(accepted(made[-1], b"x" * 50_000))
    await spool.close()


async def test_a_full_disk_for_large_bodies(tmp_path, monkeypatch):
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0)
    await spool.open(T0)

    def full(_handle):
        raise OSError(28, "injected")

    with monkeypatch.context() as patch:
        patch.setattr(bodies, "os", _Os("fsync", full))
        with pytest.raises(SpoolFull):
            await spool.append(accepted(message("big"), BIG))
    await spool.append(accepted(message("big"), BIG))
    await spool.close()


async def test_a_commit_that_is_visible_but_not_safe_stops_all_writing(tmp_path):
    """Neither yes nor no would be true: nothing is answered well any more, and nothing is lost either."""
    plan = Plan(0)

    class Torn(sqlite3.Connection):
        def execute(self, text, *params):
            if plan.armed and text.startswith("PRAGMA wal_checkpoint"):
                plan.fail(text)
            result = super().execute(text, *params)
            if plan.armed and text == "COMMIT":
                plan.fail(text)
            return result

    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0, journal=False, connect=partial(Database, factory=Torn))
    await spool.open(T0)
    assert spool.broken == ""
    plan.armed = True
    results = await asyncio.gather(
        *(spool.append(accepted(message(f"m{n}"), BIG if n == 2 else BODY)) for n in range(3)), return_exceptions=True
    )
    assert [type(result) for result in results] == [SpoolBroken] * 3
    assert "cannot be made durable" in spool.broken
    plan.armed = False
    with pytest.raises(SpoolBroken):
        await spool.append(accepted(message("later")))
    await spool.close()
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0)
    await spool.open(T0)
    for view in await spool.find(Filter()):
        assert [queued.state for queued in view.recipients] == [RecipientState.QUEUED]
    await spool.append(accepted(message("later")))
    await spool.close()


@pytest.mark.parametrize("kib", range(8, 700, 60))
async def test_the_kernel_refuses_to_write_beyond_some_byte(tmp_path, kib):
    """Real failing writes, through SQLite's own file layer: the file size limit of the process."""
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0)
    await spool.open(T0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = (tmp_path / "spool" / "spool.sqlite3-wal").stat().st_size + kib * 1024
    stored, refused = [], []
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        for number in range(60):
            made = message(f"m{number:03d}")
            try:
                await spool.append(accepted(made, bytes([number]) * 20_000))
                stored.append(made)
            except (SpoolBroken, SpoolFull):
                refused.append(made)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused
    await spool.close()
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0)
    await spool.open(T0)
    found = {view.message.id for view in await spool.find(Filter())}
    assert found >= {made.id for made in stored}
    for made in stored:
        assert await spool.body(made.id) == bytes([int(made.id[1:])]) * 20_000
    # Space is back: what was refused can be taken.
    for made in refused:
        if made.id not in found:
            await spool.append(accepted(made, BODY))
    await spool.close()


async def test_a_commit_that_was_rolled_back_is_not_taken_for_done(tmp_path):
    """SQLite ends the transaction on some faults of COMMIT: only the sequence number tells which way."""
    lost = []

    class Lossy(sqlite3.Connection):
        def execute(self, text, *params):
            if text == "COMMIT" and len(lost) < 3 and armed:
                super().execute("ROLLBACK")
                lost.append(text)
                Plan(0).fail(text)
            return super().execute(text, *params)

    armed = []
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0, journal=False, connect=partial(Database, factory=Lossy))
    await spool.open(T0)
    armed.append(True)
    made = [message(f"m{n}") for n in range(4)]
    results = await asyncio.gather(*(spool.append(accepted(one)) for one in made), return_exceptions=True)
    assert len(lost) == 3
    answered = {one.id for one, result in zip(made, results, strict=True) if result is None}
    refused = [result for result in results if result is not None]
    assert len(answered) == 2
    assert [type(error) for error in refused] == [SpoolBroken] * 2
    assert {view.message.id for view in await spool.find(Filter())} == answered
    assert spool.broken == ""
    await spool.close()


async def test_a_move_finds_the_state_it_was_decided_on_or_fails(tmp_path):
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0)
    await spool.open(T0)
    await spool.append(accepted(message("one")))
    await spool.close()
    database = Database(tmp_path / "spool" / "spool.sqlite3", writable=True)
    move = (1, 0, "deferred", "in_flight", None, 0, "", "", "", "", 0)
    with pytest.raises(GuardFailed, match="changed 0 rows instead of 1"):
        database.guarded("move_recipients", [move])
    database.guarded("move_recipients", [(1, 0, "queued", *move[3:])])
    database.close()
