"""Mail on a disk between two versions: usable by the older one until a level is in force, refused by it afterwards."""

import sqlite3

import pytest

from node.shadow.sqlite import SqliteCopies
from node.spool.contract import Filter
from node.spool.errors import SpoolTooNew
from node.spool.sqlite import SqliteSpool
from tests.support.copies import attached, batch, copy
from tests.support.copies_house import kept_ids
from tests.support.releases import NEWEST, ONE_NEWER, TODAY
from tests.support.spool_mail import T0, accepted, message


async def opened(directory, product, level):
    spool = SqliteSpool(directory, now_ms=lambda: T0)
    spool.schema = product.spool_at(level)
    await spool.open(T0)
    return spool


async def left(directory, product, level, number):
    """Open as a version at a level, take some messages in, close; the schema it had."""
    spool = await opened(directory, product, level)
    for _ in range(number):
        await spool.append(accepted(message()))
    await spool.close()
    return spool.schema_at_open


async def found(spool):
    return len(await spool.find(Filter(limit=1_000)))


def tables(directory):
    connection = sqlite3.connect(directory / "spool.sqlite3")
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    return names


def content(directory):
    connection = sqlite3.connect(directory / "spool.sqlite3")
    lines = list(connection.iterdump())
    connection.close()
    return lines


async def test_before_the_level_both_versions_use_one_disk_in_turn(tmp_path):
    assert await left(tmp_path, TODAY, 1, 3) == NEWEST
    assert await left(tmp_path, ONE_NEWER, 1, 3) == NEWEST + 1
    assert "labels" in tables(tmp_path)
    assert "colours" not in tables(tmp_path)
    assert await left(tmp_path, TODAY, 1, 3) == NEWEST + 1, "what was added stays, and is nobody's business"
    assert await left(tmp_path, ONE_NEWER, 1, 3) == NEWEST + 1
    spool = await opened(tmp_path, TODAY, 1)
    assert await found(spool) == 12
    await spool.close()


async def test_after_it_the_older_version_refuses_and_leaves_all_as_it_is(tmp_path):
    await left(tmp_path, TODAY, 1, 3)
    assert await left(tmp_path, ONE_NEWER, 2, 3) == NEWEST + 2
    before = content(tmp_path)
    with pytest.raises(SpoolTooNew) as caught:
        await opened(tmp_path, TODAY, 1)
    assert str(caught.value) == (
        f"spool {tmp_path}: has schema version {NEWEST + 2}, this program knows up to {NEWEST}; "
        "version 0.2.0 or later can use it"
    )
    assert not caught.value.temporary
    assert content(tmp_path) == before
    spool = await opened(tmp_path, ONE_NEWER, 2)
    assert await found(spool) == 6
    await spool.close()
    connection = sqlite3.connect(tmp_path / "spool.sqlite3")
    assert connection.execute("SELECT count(*) FROM colours").fetchone() == (6,)
    connection.close()


async def test_a_damaged_disk_is_not_salvaged_by_a_version_that_may_not_use_it(tmp_path):
    await left(tmp_path, ONE_NEWER, 2, 3)
    path = tmp_path / "spool.sqlite3"
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xee" * (path.stat().st_size - 4096))
    with pytest.raises(SpoolTooNew, match=f"schema version {NEWEST + 2}"):
        await opened(tmp_path, TODAY, 1)
    assert not (tmp_path / "set-aside").exists()


async def test_a_damaged_disk_is_salvaged_into_the_schema_of_the_level_in_force(tmp_path):
    await left(tmp_path, ONE_NEWER, 1, 3)
    path = tmp_path / "spool.sqlite3"
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xee" * 4096)
    assert await left(tmp_path, ONE_NEWER, 1, 1) == NEWEST + 1
    assert "colours" not in tables(tmp_path)
    assert await left(tmp_path, TODAY, 1, 1) == NEWEST + 1


async def test_the_same_holds_for_copies(tmp_path):
    pair = attached()

    async def keep(product, level, number):
        store = SqliteCopies(tmp_path, schema=product.copies_at(level))
        await store.open(T0)
        stream = await store.begin(pair, "relay-a")
        await store.put(pair, batch(1, copy(f"m{number}", b"x"), stream=stream))
        found = await kept_ids(store, pair)
        await store.close()
        return len(found)

    assert [await keep(TODAY, 1, 1), await keep(ONE_NEWER, 1, 2), await keep(TODAY, 1, 3)] == [1, 2, 3]
    assert await keep(ONE_NEWER, 2, 4) == 4
    with pytest.raises(SpoolTooNew, match=r"copies .*version 0\.2\.0 or later can use it"):
        await keep(TODAY, 1, 5)
