"""Three keepers of ownership on three real etcd members: pairing, a death, adoption, return, a silence of the store."""

import asyncio

import pytest

from coordinator.ownership.records import read_pairing
from coordinator.ownership.rows import Kind
from coordinator.ownership.views import State
from coordinator.runner import boottime_ms
from coordinator.store.contract import Delete
from coordinator.store.etcd import EtcdStore
from coordinator.timing import FAST
from tests.support.etcd_cluster import EtcdCluster
from tests.support.ownership_house import KEYS, House, until

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def etcd(tmp_path_factory):
    cluster = EtcdCluster(tmp_path_factory.mktemp("etcd")).start()
    yield cluster
    cluster.close()


@pytest.fixture
async def house(etcd, tmp_path):
    etcd.wait_healthy()
    looker = EtcdStore(etcd.endpoints())
    for item in (await looker.list(KEYS.root, timeout_s=5)).items:
        await looker.txn([], [Delete(key=item.key)], timeout_s=5)
    stores = {name: EtcdStore(etcd.endpoints()) for name in NAMES}
    made = House(stores.get, tmp_path, boottime_ms, NAMES)
    made.looker = looker
    made.start()
    yield made
    await made.close()
    for store in (*stores.values(), looker):
        await store.close()


async def soon(condition, within_s, what):
    await until(asyncio.get_running_loop(), condition, within_s, what)


async def all_paired(nodes):
    for node in nodes:
        await soon(lambda n=node: n.keeper.ready and n.keeper.target is not None, 30, f"{node.name} pairs")


async def owner(house, key):
    item = await house.looker.get(KEYS.ownership(key.spool, key.shadow), timeout_s=5)
    return read_pairing(item.value).owner


async def test_a_dead_nodes_rows_are_adopted_and_it_comes_back_with_none_to_attempt(house):
    a = house.nodes["a"]
    await all_paired(house.nodes.values())
    attached = a.take_in("m1")
    shadow, began = house.nodes[attached.key.shadow], boottime_ms()
    await a.kill()
    await soon(lambda: shadow.disk.kinds() == {"m1": Kind.OWN}, 60, "the shadow adopts")
    assert boottime_ms() - began >= FAST.ttl_ms - FAST.renew_ms + 5_000 - 500
    assert await owner(house, attached.key) == shadow.name
    assert shadow.keeper.ready
    a.start()
    await soon(lambda: a.keeper.ready, 30, "a is back")
    assert a.disk.kinds() == {"m1": Kind.GIVEN}
    assert a.state(attached.key) in {State.SPARE, State.SPARE_VOID}
    await soon(lambda: a.keeper.target is not None, 30, "a pairs with the third")


async def test_everything_is_given_away_by_who_leaves(house):
    a = house.nodes["a"]
    await all_paired(house.nodes.values())
    keys = {a.take_in(f"m{number}").key for number in range(3)}
    (key,) = keys
    shadow = house.nodes[key.shadow]
    a.keeper.leaving = True
    await soon(lambda: a.keeper.given, 30, "a gives")
    assert await owner(house, key) == shadow.name
    await soon(lambda: set(shadow.disk.kinds().values()) == {Kind.OWN}, 10, "they are the shadow's")
    await soon(lambda: set(a.disk.kinds().values()) == {Kind.GIVEN}, 10, "and no more a's")


async def test_in_silence_nobody_is_ready_but_all_agree_and_afterwards_each_claims_its_own(house, etcd):
    a = house.nodes["a"]
    await all_paired(house.nodes.values())
    attached = a.take_in("m1")

    async def ask(node, key, epoch):
        return house.nodes[node].keeper.word(key, epoch)

    for member in etcd.members[:2]:
        member.pause()
    try:
        for node in house.nodes.values():
            await soon(lambda n=node: not n.session.session.live(boottime_ms()), 30, "sessions end")
        assert not any(node.keeper.ready for node in house.nodes.values())
        assert a.keeper.target.key == attached.key
        assert await a.keeper.agreed(ask)
    finally:
        for member in etcd.members[:2]:
            member.resume()
    await all_paired(house.nodes.values())
    assert not await a.keeper.agreed(ask)
    for node in house.nodes.values():
        assert node.keeper.target.revision > node.session.session.inc
    assert a.disk.kinds() == {"m1": Kind.OWN}
    assert await owner(house, attached.key) == "a"
