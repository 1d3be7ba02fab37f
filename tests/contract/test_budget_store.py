"""What every budget store must do; the cluster's store joins the list of makers when it comes."""

import asyncio

import pytest

from coordinator.errors import NotAMember, StaleRevision
from node.cluster.memory import MemoryStore
from node.cluster.store import BudgetStore, Kind


@pytest.fixture(params=[MemoryStore])
async def store(request) -> BudgetStore:
    made: BudgetStore = request.param()
    await made.join("a")
    return made


async def test_nothing_written_is_empty_at_revision_zero(store):
    record = await store.read(Kind.PERMITS, "x")
    assert (dict(record.value), record.revision) == ({}, 0)
    assert await store.scopes(Kind.PERMITS) == ()


async def test_what_was_written_is_read_with_its_revision(store):
    written = await store.replace(Kind.DAY, "x", {"900000": 7}, revision=0, holder="a")
    assert await store.read(Kind.DAY, "x") == written
    assert written.revision > 0
    assert dict(written.value) == {"900000": 7}


async def test_kinds_and_scopes_are_apart(store):
    await store.replace(Kind.DAY, "x", {"0": 1}, revision=0, holder="a")
    await store.replace(Kind.SLOTS, "x", {"0": 2}, revision=0, holder="a")
    await store.replace(Kind.DAY, "a", {"0": 3}, revision=0, holder="a")
    assert await store.scopes(Kind.DAY) == ("a", "x")
    assert dict((await store.read(Kind.SLOTS, "x")).value) == {"0": 2}


async def test_a_write_on_an_old_revision_changes_nothing(store):
    first = await store.replace(Kind.PERMITS, "x", {"pool": 30}, revision=0, holder="a")
    second = await store.replace(Kind.PERMITS, "x", {"pool": 20}, revision=first.revision, holder="a")
    for old in (0, first.revision):
        with pytest.raises(StaleRevision):
            await store.replace(Kind.PERMITS, "x", {"pool": 99}, revision=old, holder="a")
    assert await store.read(Kind.PERMITS, "x") == second
    assert second.revision > first.revision


async def test_a_holder_without_session_changes_nothing(store):
    await store.leave("a")
    await store.leave("nobody")
    with pytest.raises(NotAMember):
        await store.replace(Kind.PERMITS, "x", {"pool": 30}, revision=0, holder="a")
    assert (await store.read(Kind.PERMITS, "x")).revision == 0
    await store.join("a")
    await store.join("a")
    await store.replace(Kind.PERMITS, "x", {"pool": 30}, revision=0, holder="a")


async def test_of_many_writers_on_one_revision_one_wins(store):
    async def move(number: int) -> bool:
        try:
            await store.replace(Kind.PERMITS, "x", {"pool": number}, revision=0, holder="a")
        except StaleRevision:
            return False
        return True

    assert sum(await asyncio.gather(*(move(n) for n in range(20)))) == 1


async def test_a_record_read_does_not_change_afterwards(store):
    value = {"pool": 30}
    await store.replace(Kind.PERMITS, "x", value, revision=0, holder="a")
    value["pool"] = 99
    record = await store.read(Kind.PERMITS, "x")
    await store.replace(Kind.PERMITS, "x", {"pool": 1}, revision=record.revision, holder="a")
    assert dict(record.value) == {"pool": 30}
