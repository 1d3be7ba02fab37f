"""The n-th write of the copy store fails, for every n: what was answered is there whole, the rest is not torn."""

import asyncio
import itertools
import os
import resource
import sqlite3

import pytest

from node.shadow import files as files_room
from node.shadow.entries import Discard, Piece
from node.shadow.errors import Gap, Malformed
from node.shadow.sqlite import SqliteCopies
from node.spool import bodies as bodies_room
from node.spool.errors import SpoolBroken, SpoolFull
from tests.support.copies import attached, batch, copy
from tests.support.copies_house import kept_ids
from tests.support.spool_faults import Disk, Plan
from tests.support.spool_mail import T0

PAIR = attached()
BIG = b"B" * 300_000
BODIES = {f"m{n}": BIG if n == 3 else bytes([n]) * 2_000 for n in range(1, 6)} | {"p": b"P" * 90_000}


def script(stream):
    """Batches in order; what each adds and takes away."""
    pieces = [Piece(message_id="p", start=n * 30_000, data=BODIES["p"][n * 30_000 :][:30_000]) for n in range(3)]
    names = ["m1", "m2", "m3", "m4", "m5"]
    copies = {name: copy(name, BODIES[name]) for name in names}
    whole = copy("p", b"", size_bytes=90_000, pieced=True)
    return [
        (batch(1, copies["m1"], copies["m2"], pieces[0], stream=stream), {"m1", "m2"}, set()),
        (batch(2, copies["m3"], pieces[1], pieces[2], stream=stream), {"m3"}, set()),
        (batch(3, whole, Discard(message_ids=("m1",), at_ms=T0), stream=stream), {"p"}, {"m1"}),
        (batch(4, copies["m4"], stream=stream), {"m4"}, set()),
        (batch(5, Discard(message_ids=("m3", "p"), at_ms=T0), copies["m5"], stream=stream), {"m5"}, {"m3", "p"}),
    ]


async def side_by_side(puts):
    """All at once: the writer takes as many together as there are, which differs from run to run."""
    return await asyncio.gather(*puts, return_exceptions=True)


async def in_turn(puts):
    """Each for itself: the same statements in every run, so that the n-th of all of them fails for some n."""
    return [(await asyncio.gather(each, return_exceptions=True))[0] for each in puts]


async def life(store, put_all=side_by_side):
    """Put the batches; which were answered, and every error."""
    errors, answered = [], []
    try:
        stream = await store.begin(PAIR, "relay-a")
    except (SpoolBroken, SpoolFull) as error:
        return [], [error], 0
    batches = script(stream)
    for found, (one, _, _) in zip(
        await put_all([store.put(PAIR, one) for one, _, _ in batches]),
        batches, strict=True,
    ):  # fmt: skip
        (errors if isinstance(found, Exception) else answered).append(
            found if isinstance(found, Exception) else one.header.sequence
        )
    return answered, errors, stream


async def check(directory, answered, stream):
    """Open anew: all that was answered, in an unbroken row, and bodies whole."""
    store = SqliteCopies(directory)
    await store.open(T0 + 9_000)
    try:
        assert store.notes == []
        known = await store.stream(PAIR)
        if known is None:
            assert not answered
            return
        done = known.expected - 1
        assert max(answered, default=0) <= done
        expected = set()
        for _, added, gone in script(stream)[:done]:
            expected = (expected | added) - gone
        found = await kept_ids(store, PAIR)
        assert set(found) == expected
        for name in found:
            body = await store.body(PAIR, name)
            assert (body if isinstance(body, bytes) else body.read_bytes()) == BODIES[name]
        (held,) = await store.held()
        costs = sum(row.size_bytes + len(row.facts) for row in await store.rows(PAIR, "", 99))
        assert (held.messages, held.size_bytes) == (len(found), costs)
    finally:
        await store.close()


async def run(directory, connect=None):
    store = SqliteCopies(directory, **({"connect": connect} if connect else {}))
    await store.open(T0)
    return store


@pytest.mark.parametrize("after", [False, True], ids=["not done", "done but reported failed"])
@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CORRUPT])
@pytest.mark.parametrize("put_all", [side_by_side, in_turn])
async def test_the_nth_statement_fails_for_every_n(tmp_path, code, after, put_all):
    seen = set()
    for number in itertools.count(1):
        plan = Plan(number, code, after=after)
        store = await run(tmp_path / str(number), plan.connect)
        plan.armed = True
        answered, errors, stream = await life(store, put_all)
        plan.armed = False
        await store.close()
        await check(tmp_path / str(number), answered, stream)
        assert all(isinstance(error, SpoolBroken | SpoolFull | Gap | Malformed) for error in errors), errors
        if not plan.failed:
            assert not errors
            assert answered == [1, 2, 3, 4, 5]
            break
        seen.add(plan.failed.strip().split(" (")[0])
        assert number < 200
    if put_all is in_turn:
        assert {"COMMIT", "INSERT INTO copies"} <= seen
        assert any(text.startswith("DELETE FROM copies") for text in seen)


@pytest.mark.parametrize("name", ["open", "fsync", "pwrite", "ftruncate"])
@pytest.mark.parametrize("after", [False, True], ids=["not done", "done but reported failed"])
async def test_the_nth_call_for_a_file_fails_for_every_n(tmp_path, monkeypatch, name, after):
    for number in itertools.count(1):
        disk = Disk(name, number, 5, after=after)
        for room in (files_room, bodies_room):
            monkeypatch.setattr(room, "os", disk)
        store = await run(tmp_path / str(number))
        disk.armed = True
        answered, errors, stream = await life(store)
        disk.armed = False
        await store.close()
        await check(tmp_path / str(number), answered, stream)
        assert all(isinstance(error, SpoolBroken | SpoolFull | Gap | Malformed) for error in errors), errors
        if not disk.failed:
            assert not errors
            break
        assert number < 100


async def test_a_passing_fault_of_one_statement_is_not_even_seen(tmp_path):
    plan = Plan(5, sqlite3.SQLITE_IOERR)
    store = await run(tmp_path, plan.connect)
    stream = await store.begin(PAIR, "relay-a")
    plan.armed = True
    put = [store.put(PAIR, batch(n, copy(f"m{n}"), stream=stream)) for n in range(1, 6)]
    assert await asyncio.gather(*put) == [1, 2, 3, 4, 5]
    assert plan.failed
    await store.close()


async def test_a_disk_that_is_full_refuses_temporarily_and_goes_on_when_there_is_room(tmp_path):
    store = await run(tmp_path)
    stream = await store.begin(PAIR, "relay-a")
    await store.put(PAIR, batch(1, copy("m1"), stream=stream))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        for _ in range(2):
            with pytest.raises((SpoolFull, SpoolBroken)) as error:
                await store.put(PAIR, batch(2, copy("m2", os.urandom(256 * 1024)), stream=stream))
            assert error.value.temporary
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await store.put(PAIR, batch(2, copy("m3"), stream=stream)) == 2
    assert await kept_ids(store, PAIR) == ["m1", "m3"]
    await store.close()
