"""What a real etcd does on its bad days, and that the client says so instead of guessing."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest
import trustme

from coordinator.store.channel import Credentials, target_of
from coordinator.store.contract import (
    Indefinite,
    NoSpace,
    Put,
    Refused,
    StoreError,
    Unreachable,
    WentBack,
    WrongCluster,
    absent,
)
from coordinator.store.etcd import EtcdStore
from tests.support.etcd_cluster import EtcdCluster, credentials, expired
from tests.support.lossy_proxy import LossyProxy

T = 5.0
WAIT_S = 30.0


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    cluster = EtcdCluster(tmp_path_factory.mktemp("etcd")).start()
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(three):
    yield three
    for member in three.members:
        if member.process is None:
            member.start()
        member.resume()
    three.wait_healthy()


@asynccontextmanager
async def store_of(endpoints, who=None):
    store = EtcdStore(endpoints, who)
    try:
        yield store
    finally:
        await store.close()


async def until(condition):
    end = time.monotonic() + WAIT_S
    while True:
        try:
            if found := await condition():
                return found
        except StoreError:
            pass
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def test_a_member_killed_is_passed_over_and_a_new_leader_serves(cluster):
    async with store_of(cluster.endpoints()) as store:
        await store.txn([], [Put(key="/kill", value=b"1")], timeout_s=T)
        leader = cluster.leader()
        leader.kill()
        item = await until(lambda: store.get("/kill", timeout_s=2))
        assert item.value == b"1"

        async def write():
            outcome = await store.txn([absent("/kill2")], [Put(key="/kill2", value=b"1")], timeout_s=2)
            return outcome.succeeded or outcome.found

        assert await until(write)


async def test_leases_outlive_a_change_of_leader(cluster):
    async with store_of(cluster.endpoints()) as store:
        lease = await store.grant(4, timeout_s=T)
        await store.txn([], [Put(key="/outlive", value=b"1", lease=lease)], timeout_s=T)
        cluster.leader().kill()

        async def renewed():
            return await store.renew(lease, timeout_s=1)

        assert await until(renewed) == 4
        assert (await store.get("/outlive", timeout_s=T)).lease == lease


async def test_without_quorum_nothing_is_answered_and_nothing_is_made_up(cluster):
    async with store_of(cluster.endpoints()) as store:
        await store.txn([], [Put(key="/quorum", value=b"1")], timeout_s=T)
        lease = await store.grant(60, timeout_s=T)
        for member in cluster.members[1:]:
            member.pause()
        begun = time.monotonic()
        for call in (
            store.get("/quorum", timeout_s=1),
            store.txn([], [Put(key="/quorum", value=b"2")], timeout_s=1),
            store.grant(10, timeout_s=1),
        ):
            with pytest.raises(Indefinite):
                await call
        assert time.monotonic() - begun < 10
        for member in cluster.members[1:]:
            member.resume()
        assert await until(lambda: store.renew(lease, timeout_s=2))


async def test_with_every_member_down_it_is_unreachable_in_bounded_time(cluster):
    ports = cluster.endpoints()
    for member in cluster.members:
        member.kill()
    async with store_of(ports) as store:
        begun = time.monotonic()
        with pytest.raises(Unreachable):
            await store.get("/x", timeout_s=2)
        with pytest.raises(Unreachable):
            await store.txn([], [Put(key="/x", value=b"")], timeout_s=2)
        assert time.monotonic() - begun < 8


async def test_a_transaction_whose_answer_is_lost_happened_once_and_is_not_repeated(cluster):
    async with LossyProxy(cluster.members[0].client_port) as proxy, store_of(cluster.endpoints()) as direct:  # noqa: SIM117
        async with store_of((f"127.0.0.1:{proxy.port}", *cluster.endpoints()[1:])) as store:
            await store.get("/once", timeout_s=T)
            before = (await direct.list("/", timeout_s=T)).revision
            proxy.swallow_answers = True
            with pytest.raises(Indefinite):
                await store.txn([], [Put(key="/once", value=b"1")], timeout_s=1)
            item = await direct.get("/once", timeout_s=T)
            assert (item.mod_revision, item.create_revision) == (before + 1, before + 1)
            # A read goes on to another member in the time given.
            assert (await store.get("/once", timeout_s=3)).value == b"1"
            assert (await direct.list("/", timeout_s=T)).revision == before + 1


async def test_a_watch_resumes_on_another_member_without_gap(cluster):
    async with store_of(cluster.endpoints()) as store, store_of(cluster.endpoints()) as writer, asyncio.timeout(60):
        watch = store.watch("/resume/", poll_s=120)
        assert (await anext(watch)).resync
        expected = []
        for number in range(12):
            if number == 4:
                cluster.members[0].kill()  # the one the watch is connected to

            async def write(number=number):
                key = f"/resume/{number}"
                done = await writer.txn([absent(key)], [Put(key=key, value=b"")], timeout_s=2)
                return done.succeeded or done.found

            await until(write)
            expected.append(f"/resume/{number}")
        told = []
        while len(told) < len(expected):
            told += [change.key for change in (await anext(watch)).changes]
        assert told == expected
        await watch.aclose()


async def test_a_watch_overtaken_by_compaction_tells_the_whole_state_anew(cluster):
    async with LossyProxy(cluster.members[0].client_port) as proxy, store_of(cluster.endpoints()) as writer:  # noqa: SIM117
        async with store_of((f"127.0.0.1:{proxy.port}",)) as store, asyncio.timeout(60):
            await writer.txn([], [Put(key="/compact/a", value=b"1")], timeout_s=T)
            watch = store.watch("/compact/", poll_s=120)
            assert (await anext(watch)).resync
            waiting = asyncio.create_task(anext(watch))
            await writer.txn([], [Put(key="/compact/a", value=b"2")], timeout_s=T)
            assert (await waiting).changes[0].item.value == b"2"
            proxy.refuse = True
            await proxy.cut()
            waiting = asyncio.create_task(anext(watch))
            await writer.txn([], [Put(key="/compact/b", value=b"1")], timeout_s=T)
            last = await writer.txn([], [Put(key="/compact/a", value=b"3")], timeout_s=T)
            cluster.ctl("compact", str(last.revision))
            proxy.refuse = False
            seen = await waiting
            assert seen.resync
            assert {change.key: change.item.value for change in seen.changes} == {
                "/compact/a": b"3",
                "/compact/b": b"1",
            }
            await watch.aclose()


async def test_a_watch_whose_stream_loses_changes_is_corrected_by_the_slow_poll(cluster):
    async with LossyProxy(cluster.members[0].client_port) as proxy, store_of(cluster.endpoints()) as writer:  # noqa: SIM117
        # The poll may go to another member while the stream hangs on the first.
        async with store_of((f"127.0.0.1:{proxy.port}", *cluster.endpoints()[1:])) as store, asyncio.timeout(60):
            watch = store.watch("/poll/", poll_s=1)
            assert (await anext(watch)).resync
            proxy.swallow_answers = True
            await writer.txn([], [Put(key="/poll/a", value=b"1")], timeout_s=T)
            seen = await anext(watch)
            assert [change.key for change in seen.changes] == ["/poll/a"]
            await watch.aclose()


async def test_a_full_database_is_said_to_be_full_and_still_read(tmp_path):
    cluster = EtcdCluster(tmp_path, size=1, quota_bytes=1 << 20).start()
    try:
        async with store_of(cluster.endpoints()) as store:
            await store.txn([], [Put(key="/kept", value=b"1")], timeout_s=T)

            async def full():
                try:
                    await store.txn([], [Put(key="/fill", value=b"x" * 100_000)], timeout_s=T)
                except NoSpace:
                    return True
                return False

            assert await until(full)
            with pytest.raises(NoSpace):
                await store.txn([], [Put(key="/more", value=b"x")], timeout_s=T)
            assert (await store.get("/kept", timeout_s=T)).value == b"1"
            (health,) = await store.health(timeout_s=T)
            assert health.alarms == ("NOSPACE",)
    finally:
        cluster.close()


async def test_an_endpoint_of_another_cluster_is_refused(tmp_path):
    ours = EtcdCluster(tmp_path, size=1, token="ours").start()
    (tmp_path / "b").mkdir()
    theirs = EtcdCluster(tmp_path / "b", size=1, token="theirs").start()
    try:
        async with store_of((*ours.endpoints(), *theirs.endpoints())) as store:
            await store.txn([], [Put(key="/a", value=b"ours")], timeout_s=T)
            ours.members[0].kill()
            for _ in range(100):
                try:
                    await store.get("/a", timeout_s=1)
                except Indefinite:
                    await asyncio.sleep(0.05)
                except WrongCluster as error:
                    assert "belongs to cluster" in str(error)  # noqa: PT017 - one of several may come first
                    break
            else:
                pytest.fail("the other cluster's answer was taken")
    finally:
        ours.close()
        theirs.close()


async def test_a_member_that_lags_is_not_taken_for_an_older_copy(cluster):
    lagging = next(member for member in cluster.members if member is not cluster.leader())
    others = tuple(f"127.0.0.1:{member.client_port}" for member in cluster.members if member is not lagging)
    async with store_of((f"127.0.0.1:{lagging.client_port}",)) as store, store_of(others) as writer:
        told = []
        store.on_went_back(told.append)
        await store.txn([], [Put(key="/lag", value=b"0")], timeout_s=T)
        for round_ in range(3):
            lagging.pause()
            for number in range(50):
                done = await writer.txn([], [Put(key="/lag", value=f"{round_}/{number}".encode())], timeout_s=T)
            store.expect(done.revision)  # as from a watch of another member
            lagging.resume()
            # Asked the very moment it runs again: it knows its revision of before the pause, and must not say so.
            answers = [
                store.get("/lag", timeout_s=T),
                store.list("/lag", timeout_s=T),
                store.txn([absent("/lag")], [Put(key="/lag", value=b"never")], timeout_s=T),
            ]
            found = await asyncio.gather(*answers, return_exceptions=True)
            assert not [each for each in found if isinstance(each, WrongCluster)]
            assert (await until(lambda: store.get("/lag", timeout_s=2))).value == f"{round_}/49".encode()
        assert not told
        assert store.newest >= done.revision


async def test_an_older_copy_under_the_same_id_is_told_from_the_store_it_was(tmp_path):
    cluster = EtcdCluster(tmp_path, size=1).start()
    (member,) = cluster.members
    try:
        async with store_of(cluster.endpoints()) as store, store_of(cluster.endpoints()) as stranger:
            told = []
            store.on_went_back(told.append)
            lease = await store.grant(60, timeout_s=T)
            await store.txn([], [Put(key="/a", value=b"1", lease=lease)], timeout_s=T)
            restore = member.copy()
            cluster.wait_healthy()
            await until(lambda: store.get("/a", timeout_s=2))
            await store.txn([], [Put(key="/a", value=b"2", lease=lease)], timeout_s=T)
            (before,) = await store.health(timeout_s=T)
            restore()
            cluster.wait_healthy()
            (after,) = await until(lambda: store.health(timeout_s=2))
            assert after.cluster_id == before.cluster_id
            assert after.revision == before.revision - 1
            assert await until(lambda: store.renew(lease, timeout_s=2)), "its lease is in the copy"
            with pytest.raises(WentBack, match="an older copy"):
                await until_answered(lambda: store.txn([], [Put(key="/b", value=b"1")], timeout_s=2))
            assert len(told) == 1
            await stranger.txn([], [Put(key="/c", value=b"1")], timeout_s=T)
            await stranger.txn([], [Put(key="/c", value=b"2")], timeout_s=T)
            for call in (store.get("/a", timeout_s=T), store.list("/", timeout_s=T)):
                with pytest.raises(WentBack):
                    await call
    finally:
        cluster.close()


async def until_answered(call):
    end = time.monotonic() + WAIT_S
    while True:
        try:
            return await call()
        except Indefinite:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def sealed(tmp_path_factory, authority):
    server = authority.issue_cert("localhost")  # by name only, not by address
    cluster = EtcdCluster(tmp_path_factory.mktemp("tls"), size=1, tls=server, ca=authority).start()
    yield cluster
    cluster.close()


async def test_mutual_tls_by_name(sealed, authority):
    us = credentials(authority, authority.issue_cert("relay-a.test", common_name="relay-a"))
    async with store_of(sealed.endpoints("localhost"), us) as store:
        assert (await store.txn([], [Put(key="/tls", value=b"1")], timeout_s=T)).succeeded
        assert await store.grant(30, timeout_s=T)


@pytest.mark.parametrize("fault", ["name", "authority", "no certificate", "expired", "plain"])
async def test_a_certificate_that_does_not_fit_never_connects(sealed, authority, fault):
    good = authority.issue_cert("relay-a.test", common_name="relay-a")
    who = {
        "name": credentials(authority, good),
        "authority": credentials(trustme.CA(), good),
        "no certificate": credentials(authority),
        "expired": credentials(authority, expired(authority, "relay-a.test", common_name="relay-a")),
        "plain": Credentials(),
    }[fault]
    host = "127.0.0.1" if fault == "name" else "localhost"
    async with store_of(sealed.endpoints(host), who) as store:
        with pytest.raises(Indefinite) as caught:
            await store.txn([], [Put(key="/never", value=b"1")], timeout_s=2)
        assert "PRIVATE KEY" not in str(caught.value)
    us = credentials(authority, good)
    async with store_of(sealed.endpoints("localhost"), us) as store:
        assert await store.get("/never", timeout_s=T) is None


async def test_a_user_has_its_prefix_only_and_its_token_is_renewed(tmp_path):
    cluster = EtcdCluster(tmp_path, size=1).start()
    try:
        for words in (
            "user add root:r", "user grant-role root root", "user add relay:secret", "role add relay",
            "role grant-permission relay --prefix=true readwrite /relay/", "user grant-role relay relay", "auth enable",
        ):  # fmt: skip
            cluster.ctl(*words.split())
        who = Credentials(user="relay", password="secret")
        assert "secret" not in repr(who)
        async with store_of(cluster.endpoints(), who) as store:
            assert (await store.txn([], [Put(key="/relay/a", value=b"1")], timeout_s=T)).succeeded
            with pytest.raises(Refused):
                await store.txn([], [Put(key="/other", value=b"1")], timeout_s=T)
            lease = await store.grant(30, timeout_s=T)
            assert await store.renew(lease, timeout_s=T)
            store._members._token = "expired.1"
            assert (await store.txn([], [Put(key="/relay/a", value=b"2")], timeout_s=T)).succeeded
            assert await store.health(timeout_s=T)
        async with store_of(cluster.endpoints(), Credentials(user="relay", password="wrong")) as store:
            with pytest.raises(Refused) as caught:
                await store.get("/relay/a", timeout_s=T)
            assert "wrong" not in str(caught.value)
    finally:
        cluster.close()


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ("etcd-1.corp", "etcd-1.corp:2379"),
        ("etcd-1.corp:4001", "etcd-1.corp:4001"),
        ("10.0.0.1", "10.0.0.1:2379"),
        ("2001:db8::1", "[2001:db8::1]:2379"),
        ("[2001:db8::1]", "[2001:db8::1]:2379"),
        ("[2001:db8::1]:4001", "[2001:db8::1]:4001"),
    ],
)
def test_endpoints_are_completed(given, target):
    assert target_of(given) == target


def test_an_empty_list_of_endpoints_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        EtcdStore(())
