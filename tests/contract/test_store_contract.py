"""What every store promises, held against memory and against three real etcd members of two versions."""

import asyncio
import time

import pytest

from coordinator.store.contract import (
    Compare,
    Delete,
    Field,
    LeaseLost,
    Put,
    Refused,
    absent,
    created_at,
    unchanged,
)
from coordinator.store.etcd import EtcdStore
from coordinator.store.memory import MemoryStore
from tests.support.etcd_cluster import ETCD_35, EtcdCluster, etcd_34

T = 5.0
WAIT_S = 20.0


@pytest.fixture(scope="module", params=["memory", "etcd-3.5", "etcd-3.4"])
def make_store(request, tmp_path_factory):
    if request.param == "memory":
        yield MemoryStore
        return
    binary = ETCD_35 if request.param == "etcd-3.5" else etcd_34()
    if binary is None:
        pytest.skip("no etcd 3.4 on this machine (Debian: etcd-server)")
    cluster = EtcdCluster(tmp_path_factory.mktemp("etcd"), binary).start()
    try:
        yield lambda: EtcdStore(cluster.endpoints())
    finally:
        cluster.close()


@pytest.fixture
async def store(make_store):
    made = make_store()
    yield made
    await made.close()


@pytest.fixture
def root(request):
    return f"/{request.node.name}/"


async def test_a_key_has_revisions_that_only_grow(store, root):
    key = f"{root}a"
    assert await store.get(key, timeout_s=T) is None
    first = await store.txn([absent(key)], [Put(key=key, value=b"1")], timeout_s=T)
    second = await store.txn([], [Put(key=key, value=b"2")], timeout_s=T)
    item = await store.get(key, timeout_s=T)
    assert (item.value, item.create_revision, item.mod_revision) == (b"2", first.revision, second.revision)
    assert first.revision < second.revision


async def test_all_writes_of_a_transaction_share_a_revision_or_none_happens(store, root):
    a, b = f"{root}a", f"{root}b"
    done = await store.txn([absent(a)], [Put(key=a, value=b"1"), Put(key=b, value=b"1")], timeout_s=T)
    assert done.succeeded
    listing = await store.list(root, timeout_s=T)
    assert {item.mod_revision for item in listing.items} == {done.revision}
    failed = await store.txn([absent(a)], [Put(key=b, value=b"2"), Delete(key=a)], timeout_s=T)
    assert not failed.succeeded
    assert [item.key for item in failed.found] == [a]
    assert (await store.get(b, timeout_s=T)).value == b"1"


async def test_compares_look_at_the_field_they_name(store, root):
    key = f"{root}a"
    lease = await store.grant(30, timeout_s=T)
    await store.txn([], [Put(key=key, value=b"1", lease=lease)], timeout_s=T)
    item = await store.get(key, timeout_s=T)
    assert item.lease == lease
    for compare, holds in [
        (created_at(key, item.create_revision), True),
        (created_at(key, item.create_revision + 1), False),
        (unchanged(item), True),
        (Compare(key=key, field=Field.LEASE, equals=lease), True),
        (Compare(key=key, field=Field.LEASE, equals=lease + 1), False),
        (absent(f"{root}none"), True),
        (created_at(f"{root}none", 7), False),
    ]:
        outcome = await store.txn([compare], [], timeout_s=T)
        assert outcome.succeeded is holds, compare
    await store.revoke(lease, timeout_s=T)


async def test_a_deleted_key_begins_a_new_life(store, root):
    key = f"{root}a"
    first = await store.txn([], [Put(key=key, value=b"1")], timeout_s=T)
    await store.txn([], [Delete(key=key)], timeout_s=T)
    third = await store.txn([created_at(key, first.revision)], [Put(key=key, value=b"2")], timeout_s=T)
    assert not third.succeeded
    before = (await store.list(root, timeout_s=T)).revision
    again = await store.txn([], [Delete(key=key)], timeout_s=T)
    assert again.revision == before, "deleting what is not there is no change"


async def test_one_key_twice_in_a_transaction_is_refused(store, root):
    with pytest.raises(Refused):
        await store.txn([], [Put(key=root, value=b"1"), Put(key=root, value=b"2")], timeout_s=T)


async def test_a_lease_takes_its_keys_along(store, root):
    lease = await store.grant(30, timeout_s=T)
    await store.txn([], [Put(key=f"{root}a", value=b"1", lease=lease), Put(key=f"{root}b", value=b"")], timeout_s=T)
    await store.txn([], [Put(key=f"{root}c", value=b"1", lease=lease)], timeout_s=T)
    await store.txn([], [Put(key=f"{root}c", value=b"1")], timeout_s=T)  # written without it: no longer bound
    assert 20 < await store.renew(lease, timeout_s=T) <= 30
    assert await store.lease_left_s(lease, timeout_s=T) > 20
    await store.revoke(lease, timeout_s=T)
    await store.revoke(lease, timeout_s=T)
    assert [item.key for item in (await store.list(root, timeout_s=T)).items] == [f"{root}b", f"{root}c"]
    assert await store.lease_left_s(lease, timeout_s=T) == -1
    with pytest.raises(LeaseLost):
        await store.renew(lease, timeout_s=T)
    with pytest.raises(LeaseLost):
        await store.txn([], [Put(key=f"{root}d", value=b"", lease=lease)], timeout_s=T)
    assert await store.get(f"{root}d", timeout_s=T) is None


async def test_an_unrenewed_lease_ends_and_never_early(store, root):
    before = time.monotonic()
    lease = await store.grant(2, timeout_s=T)
    await store.txn([], [Put(key=f"{root}a", value=b"1", lease=lease)], timeout_s=T)
    while await store.get(f"{root}a", timeout_s=T) is not None:
        assert time.monotonic() < before + WAIT_S
        await asyncio.sleep(0.1)
    assert time.monotonic() - before >= 2


async def test_a_watch_begins_with_the_state_and_tells_every_change_in_order(store, root):
    await store.txn([], [Put(key=f"{root}a", value=b"1")], timeout_s=T)
    async with asyncio.timeout(WAIT_S):
        watch = store.watch(root, poll_s=30)
        first = await anext(watch)
        assert first.resync
        assert [(change.key, change.item.value) for change in first.changes] == [(f"{root}a", b"1")]
        lease = await store.grant(30, timeout_s=T)
        await store.txn([], [Put(key=f"{root}b", value=b"1", lease=lease)], timeout_s=T)
        await store.txn([], [Put(key="/elsewhere", value=b"1")], timeout_s=T)
        await store.txn([], [Delete(key=f"{root}a"), Put(key=f"{root}c", value=b"3")], timeout_s=T)
        await store.revoke(lease, timeout_s=T)
        seen = []
        while len(seen) < 4:
            news = await anext(watch)
            assert not news.resync
            seen += [(change.key.removeprefix(root), change.item and change.item.value) for change in news.changes]
        assert seen[0] == ("b", b"1")
        assert sorted(seen[1:3]) == [("a", None), ("c", b"3")]
        assert seen[3] == ("b", None)
        await watch.aclose()


async def test_a_listing_is_sorted_and_of_its_prefix_only(store, root):
    for name in ("c", "a", "b/x", "b"):
        await store.txn([], [Put(key=root + name, value=name.encode())], timeout_s=T)
    await store.txn([], [Put(key=root[:-1], value=b"outside")], timeout_s=T)
    listing = await store.list(root, timeout_s=T)
    assert [item.key.removeprefix(root) for item in listing.items] == ["a", "b", "b/x", "c"]


async def test_of_many_who_write_if_absent_one_wins(store, root):
    async def write(number: int) -> bool:
        done = await store.txn([absent(f"{root}a")], [Put(key=f"{root}a", value=b"%d" % number)], timeout_s=T)
        return done.succeeded

    assert sum(await asyncio.gather(*(write(n) for n in range(10)))) == 1


async def test_it_says_how_it_is(store):
    answers = await store.health(timeout_s=T)
    assert answers
    assert len({answer.cluster_id for answer in answers}) == 1
    assert all(answer.leader_id and not answer.alarms for answer in answers)
