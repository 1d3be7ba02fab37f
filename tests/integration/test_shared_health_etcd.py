"""Standings, rights to probe and operators' wishes shared by three nodes over a real etcd."""

import asyncio

import msgspec
import pytest

from coordinator.runner import boottime_ms
from coordinator.store.channel import Credentials
from coordinator.store.contract import StoreError
from coordinator.store.etcd import EtcdStore
from coordinator.wishes import Kind
from node.policy.standing import State
from tests.support.etcd_cluster import EtcdCluster
from tests.support.health_cluster import DELIVERED, LOGIN, LOST, SharedNode, until, way
from tests.support.wishes import NOW_MS

A = way()
ACCOUNT = "account/contoso/relay1@contoso.com"
LOGINS = f"{ACCOUNT}#submission"
PATH = "path/contoso/submission"
SITE = "site/contoso/submission@"


@pytest.fixture
def etcd(tmp_path):
    directory = tmp_path / "etcd"
    directory.mkdir()
    cluster = EtcdCluster(directory, size=1)
    try:
        yield cluster.start()
    finally:
        cluster.close()


@pytest.fixture
async def two_sites(tmp_path):
    """Three members; node-a and node-b in dc1, node-c in dc2."""
    directory = tmp_path / "etcd3"
    directory.mkdir()
    cluster = EtcdCluster(directory, size=3)
    try:
        cluster.start()
        stores = [EtcdStore(cluster.endpoints(), Credentials()) for _ in range(3)]
        made = [
            SharedNode(
                name=name, site=site, store=store, home=tmp_path / name, now_ms=boottime_ms,
                epoch_ms=NOW_MS - boottime_ms(),
            ).start()
            for name, site, store in zip(("node-a", "node-b", "node-c"), ("dc1", "dc1", "dc2"), stores, strict=True)
        ]  # fmt: skip
        for node in made:
            await node.joined()
        yield cluster, made
        for node in made:
            await node.vanish()
            await node.store.close()
    finally:
        cluster.close()


async def test_one_site_s_broken_line_is_its_own_until_every_site_that_tried_agrees(two_sites):
    etcd, (a, b, c) = two_sites
    a.note(A, DELIVERED)
    c.note(A, LOST, 5)
    await until(lambda: f"{SITE}dc2" in c.book.entries)
    # Both others have heard it, and what they say stands beside it: it works from there.
    await until(lambda: all(f"{SITE}dc2/node-c" in node.shared._records for node in (a, b)))
    assert (a.may(A).ok, b.may(A).ok, c.may(A).ok) == (True, True, False)
    etcd.members[0].stop()  # a majority is enough to go on
    b.note(A, LOST, 5)
    await until(lambda: not b.may(A).ok)
    assert a.may(A).ok, "a node that delivered says so"
    assert PATH not in a.book.entries
    a.note(A, LOST, 5)
    await until(lambda: all(PATH in node.book.entries for node in (a, b, c)))
    rest = a.book.entries[PATH]
    assert (rest.state, rest.by, rest.reason) == (State.RESTING, "everywhere", "path_broken")
    for scope in (PATH, f"{SITE}dc1"):  # as if the rest were over
        rest = a.book.entries[scope]
        over = msgspec.structs.replace(rest, since_ms=rest.since_ms - 10**6, until_ms=rest.until_ms - 10**6)
        a.book.entries[scope] = over
    a.may(A)
    await until(lambda: a.may(A).ok)
    a.begin(A)
    a.note(A, DELIVERED)
    await until(lambda: all(PATH not in node.book.entries for node in (a, b, c)))
    assert not c.may(A).ok, "its own line is still broken"


@pytest.fixture
async def nodes(etcd, tmp_path):
    made = [
        SharedNode(
            name=name,
            site="dc1",
            store=EtcdStore(etcd.endpoints(), Credentials()),
            home=tmp_path / name,
            now_ms=boottime_ms,
            epoch_ms=NOW_MS - boottime_ms(),
        ).start()
        for name in ("node-a", "node-b", "node-c")
    ]
    for node in made:
        await node.joined()
    yield made
    for node in made:
        await node.vanish()
        await node.store.close()


async def test_found_out_by_one_probed_by_one_free_for_all(nodes):
    a, b, c = nodes
    a.note(A, LOGIN)
    await until(lambda: not b.may(A).ok and not c.may(A).ok)
    for node in nodes:  # as if its quarter of an hour were over
        rest = node.book.entries[LOGINS]
        over = msgspec.structs.replace(rest, since_ms=rest.since_ms - 10**6, until_ms=rest.until_ms - 10**6)
        node.book.entries[LOGINS] = over
    for node in nodes:
        assert not node.may(A).ok
    await until(lambda: any(node.may(A).ok for node in nodes))
    assert sum(node.may(A).ok for node in nodes) == 1
    prober = next(node for node in nodes if node.may(A).ok)
    prober.begin(A)
    assert prober.book.entries[LOGINS].state is State.PROBING
    prober.note(A, DELIVERED)
    await until(lambda: all(LOGINS not in node.book.entries for node in nodes))
    listing = await a.store.list(a.feed._keys.root, timeout_s=2)
    await until(lambda: all(node.may(A).ok for node in nodes))
    assert not [item.key for item in listing.items if "/health/" in item.key]


async def made(node, kind, **about):
    """Once the member answers its clients connect again, each in its own time."""
    for _ in range(100):
        try:
            return await node.wishes.make(kind, **about)
        except StoreError as error:
            failed = error
            await asyncio.sleep(0.1)
    raise failed


async def test_a_wish_reaches_all_survives_a_restart_and_is_refused_while_etcd_is_away(nodes, etcd):
    a, b, c = nodes
    wish = await a.wishes.make(Kind.PAUSE, actor="alice", reason="storage", for_ms=3_600_000)
    await a.wishes.make(Kind.PARK, ACCOUNT, actor="alice", reason="password")
    await until(lambda: all(node.wishes.book.pause(node.wall_ms()) == wish for node in nodes))
    await until(lambda: not any(node.may(A).ok for node in nodes))
    kept = c.book
    await c.vanish()
    c.start(kept)
    await b.wishes.make(Kind.PARK, ACCOUNT, on=False, actor="bob", reason="done")
    await until(lambda: all(node.may(A).ok for node in nodes))
    etcd.members[0].stop()
    with pytest.raises(StoreError):
        await a.wishes.make(Kind.PAUSE, on=False, actor="alice", reason="over")
    etcd.members[0].start()
    await until(lambda: etcd.members[0].healthy)
    await made(a, Kind.PAUSE, on=False, actor="alice", reason="over")
    await until(lambda: all(node.wishes.book.pause(node.wall_ms()) is None for node in nodes))
