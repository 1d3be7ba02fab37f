"""Three nodes' budgets on three real etcd members: shares, lots and slots move, and etcd's faults overspend nothing."""

import asyncio
import random

import pytest

from coordinator.budget import shares
from coordinator.runner import boottime_ms
from coordinator.store.etcd import EtcdStore
from node.cluster.contract import Limits, Need, Refusal
from tests.support.budget_cluster import KEYS, NAMES, Counted, Node, Sender, Upstream, limits
from tests.support.etcd_cluster import EtcdCluster

BOX = Limits(messages=12, window_s=4, recipients_24h=10_000, sessions=3)


@pytest.fixture(scope="module")
def etcd(tmp_path_factory):
    cluster = EtcdCluster(tmp_path_factory.mktemp("etcd")).start()
    yield cluster
    cluster.close()


@pytest.fixture
async def nodes(etcd, tmp_path):
    prefix_free = EtcdStore(etcd.endpoints())
    for item in (await prefix_free.list(KEYS.root, timeout_s=5)).items:
        from coordinator.store.contract import Delete

        await prefix_free.txn([], [Delete(key=item.key)], timeout_s=5)
    stores = [Counted(EtcdStore(etcd.endpoints())) for _ in NAMES]
    wanted = limits(3, BOX, settle_s=2.0)
    made = [Node(name, store, tmp_path, boottime_ms, wanted) for name, store in zip(NAMES, stores, strict=True)]
    for node in made:
        node.start()
    for node in made:
        await node.live()
    yield made
    for node in made:
        if node.tasks:
            await node.kill()
    for store in [*stores, prefix_free]:
        await store.close()


async def work(nodes, seconds, *, accounts=3, dice=None):
    dice = dice or random.Random(7)
    upstream = Upstream(dice)
    senders = [Sender(node, upstream, f"t/{k}", dice) for node in nodes for k in range(accounts)]
    for sender in senders:
        sender.seconds = lambda: dice.uniform(0.02, 0.3)
    tasks = [asyncio.create_task(sender.run()) for sender in senders]
    return upstream, senders, tasks, asyncio.get_running_loop().time(), seconds


async def finish(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def within(upstream, box=BOX):
    for account in upstream.counted:
        assert upstream.worst(account, box.window_s) <= box.messages
    assert upstream.most_open <= box.sessions - 1


async def test_three_nodes_share_three_accounts(nodes):
    upstream, senders, tasks, begin, _ = await work(nodes, 20)
    await asyncio.sleep(20)
    await finish(tasks)
    within(upstream)
    for account in upstream.counted:
        assert (
            upstream.used(account, BOX.messages, begin + 5, begin + 20, BOX.window_s) > 0.5
        )  # how much of it is measured
    for node in nodes:
        assert sum(sender.sent for sender in senders if sender.node is node) > 10
        assert node.budgets.faults() == {}


async def test_a_grant_at_hand_takes_less_than_a_millisecond(nodes):
    node = nodes[0]
    lease = await node.slot()
    node.budgets.settled(await node.grant(), node.clock())
    took = []
    for _ in range(200):
        begun = asyncio.get_running_loop().time()
        answer = node.budgets.try_grant(Need(account="t/0", recipients=1), node.clock())
        took.append(asyncio.get_running_loop().time() - begun)
        if not isinstance(answer, Refusal):
            node.budgets.cancelled(answer, node.clock())
        await asyncio.sleep(0)
    print(f"grant: median {sorted(took)[100] * 1e6:.0f} us, worst {max(took) * 1e6:.0f} us")
    assert sorted(took)[100] < 0.001
    node.budgets.give_back(lease, node.clock())


async def test_idle_nodes_ask_nothing(nodes):
    before = [dict(node.store.calls) for node in nodes]
    await asyncio.sleep(5)
    for node, was in zip(nodes, before, strict=True):
        now = {name: count - was.get(name, 0) for name, count in node.store.calls.items()}
        assert now.get("txn", 0) <= 1, now
        assert now.get("get", 0) + now.get("list", 0) == 0


async def test_etcd_loses_its_leader_in_between(nodes, etcd):
    upstream, _, tasks, _, _ = await work(nodes, 20)
    await asyncio.sleep(4)
    leader = etcd.leader()
    leader.pause()
    await asyncio.sleep(8)
    leader.resume()
    await asyncio.sleep(8)
    await finish(tasks)
    within(upstream)
    assert all(len(times) > 12 for times in upstream.counted.values())


async def test_a_killed_nodes_share_comes_back_and_nobody_overspends(nodes):
    upstream, senders, tasks, _, _ = await work(nodes, 20)
    await asyncio.sleep(4)
    dead = [task for sender, task in zip(senders, tasks, strict=True) if sender.node is nodes[0]]
    for task in dead:
        task.cancel()
    await nodes[0].kill()
    key = KEYS.budget("t/0", "permits")

    def reclaimed():
        holding = nodes[1].budgets.scopes.accounts["t/0"].permits.holding
        return holding.record is not None and not shares.share_of(holding.record, "a")

    await nodes[1].until(reclaimed, within_s=30)
    await finish(tasks)
    within(upstream)
    assert key


async def test_garbage_under_our_keys_stops_moves_and_is_said(nodes):
    from coordinator.store.contract import Put

    node = nodes[0]
    lease = await node.slot()
    node.budgets.settled(await node.grant(), node.clock())
    store = node.store
    for kind in ("permits", "day", "slots"):
        await store.txn([], [Put(key=KEYS.budget("t/0", kind), value=b'{"lanes": [1, 2]}')], timeout_s=5)
    await node.until(lambda: len(node.budgets.faults()) == 3)
    before = store.calls["txn"]
    share = node.budgets.scopes.accounts["t/0"].permits.holding.share
    assert share > 0
    granted = [node.budgets.try_grant(Need(account="t/0", recipients=1), node.clock()) for _ in range(20)]
    assert sum(not isinstance(each, Refusal) for each in granted) <= share
    await asyncio.sleep(3)
    assert store.calls["txn"] == before
    for kind in ("permits", "day", "slots"):
        item = await store.get(KEYS.budget("t/0", kind), timeout_s=5)
        assert item.value == b'{"lanes": [1, 2]}'
    assert {line.kind for line in node.budgets.use(node.clock()) if line.fault} == {"permits", "day", "slots"}
    node.budgets.give_back(lease, node.clock())
