"""Keys of disks that are lost for good go, by keepers of ownership on memory and on three members of etcd."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from coordinator.keeping import retiring as chore
from coordinator.ownership.records import read_spool
from coordinator.ownership.rows import Kind
from coordinator.ownership.spools import Verdict
from coordinator.runner import boottime_ms
from coordinator.store.contract import Delete
from coordinator.store.etcd import EtcdStore
from coordinator.store.memory import MemoryStore
from tests.support.etcd_cluster import EtcdCluster
from tests.support.ownership_house import KEYS, Disk, House, until

NAMES, T, WAIT_S = ("a", "b", "c"), 5.0, 60
LOST_MS = 8_000
pytestmark = pytest.mark.long


@pytest.fixture(scope="module", params=["memory", "etcd"])
def make_store(request, tmp_path_factory):
    if request.param == "memory":
        shared = MemoryStore()
        yield lambda: shared
        return
    cluster = EtcdCluster(tmp_path_factory.mktemp("etcd")).start()
    cluster.wait_healthy()
    try:
        yield lambda: EtcdStore(cluster.endpoints())
    finally:
        cluster.close()


@pytest.fixture
async def house(make_store, tmp_path, monkeypatch):
    monkeypatch.setattr(chore, "LOOK_MS", 500)
    monkeypatch.setattr(chore, "LOST_DELAY_MS", LOST_MS)
    async with _house(make_store, tmp_path) as made:
        yield made


@asynccontextmanager
async def _house(make_store, home):
    looker, stores = make_store(), {name: make_store() for name in NAMES}
    for item in (await looker.list(KEYS.root, timeout_s=T)).items:
        await looker.txn([], [Delete(key=item.key)], timeout_s=T)
    made = House(stores.get, home, boottime_ms, NAMES)
    made.looker = looker
    made.start()
    try:
        yield made
    finally:
        await made.close()
        for store in (*stores.values(), looker):
            await store.close()


async def soon(condition, what):
    await until(asyncio.get_running_loop(), condition, WAIT_S, what)


async def all_paired(house, names=NAMES):
    for name in names:
        keeper = house.nodes[name].keeper
        await soon(lambda k=keeper: k.ready and k.target is not None, f"{name} pairs")


async def stored(house, spool):
    """The record of a spool and the names of the pairings' keys under it."""
    items = {item.key: item for item in (await house.looker.list(KEYS.root, timeout_s=T)).items}
    record = items.get(KEYS.spool(spool))
    pairings = [name for name in items if name.startswith(KEYS.ownership(spool, ""))]
    return (read_spool(record.value) if record is not None else None), pairings


async def gone(house, spool):
    async with asyncio.timeout(WAIT_S):
        while (found := await stored(house, spool))[1] or not found[0].lost:  # noqa: ASYNC110 - the store is looked at
            await asyncio.sleep(0.1)


def swap(node, spool):
    """Put another disk in; gives the one before."""
    old, node.disk = node.disk, Disk(spool)
    return old


async def test_a_replaced_disks_keys_go_once_its_rows_are_settled_and_it_is_known_when_put_back(house):
    a = house.nodes["a"]
    await all_paired(house)
    shadow = house.nodes[a.take_in("m1").key.shadow]
    await a.kill()
    old = swap(a, "disk-a2")
    a.start()
    await soon(lambda: shadow.disk.kinds() == {"m1": Kind.OWN}, "the shadow adopts")
    async with asyncio.timeout(WAIT_S):
        while not (await stored(house, old.spool))[0].lost:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.1)
    assert (await stored(house, old.spool))[1], "its key stays while a row is under it"
    del shadow.disk.rows["m1"]  # delivered
    await gone(house, old.spool)
    assert shadow.keeper.settled("a") is False, "its new disk is in use"
    assert all(node.keeper.ready for node in house.nodes.values())
    await a.kill()
    a.disk = old
    a.start()
    await soon(lambda: a.quarantined, "the old disk is put back and known")
    assert a.keeper.verdict.verdict is Verdict.BEHIND
    assert not a.keeper.judged


async def test_both_disks_of_a_pairing_lost_leave_nothing_behind(house):
    a = house.nodes["a"]
    await all_paired(house)
    b = house.nodes[a.keeper.target.key.shadow]
    await asyncio.gather(a.kill(), b.kill())
    old = [swap(a, "disk-a3"), swap(b, "disk-b3")]
    a.start()
    b.start()
    for disk in old:
        await gone(house, disk.spool)
    await all_paired(house)


async def test_a_node_declared_dead_is_settled_once_nothing_is_left_of_it(house):
    a, b = house.nodes["a"], house.nodes["b"]
    await all_paired(house)
    shadow = house.nodes[a.take_in("m1").key.shadow]
    await a.kill()
    await soon(lambda: shadow.disk.kinds() == {"m1": Kind.OWN}, "the shadow adopts")
    del shadow.disk.rows["m1"]
    await asyncio.sleep(0)
    assert not b.keeper.settled("a")
    assert not (await stored(house, a.disk.spool))[0].lost, "it may come back with its disk"
    house.dead = frozenset({"a"})
    await gone(house, a.disk.spool)
    await soon(lambda: b.keeper.settled("a"), "the word has done its work")
