"""Processes join their cluster through three real members of etcd: by certificate, by password, and in clear here."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from coordinator import joining
from coordinator.joining import Joined, join
from coordinator.keys import Role, decode
from coordinator.members import MemberRecord
from coordinator.pki import PkiUnusable
from coordinator.runner import boottime_ms
from coordinator.runtime import AlreadyRunning
from coordinator.session import Phase
from coordinator.settings.cluster import Cluster
from coordinator.settings.errors import BadSettings
from coordinator.store import channel
from coordinator.store.contract import Put, Refused
from tests.support.etcd_cluster import EtcdCluster
from tests.support.pki import ClusterAuthority
from tests.support.sealed_etcd import SealedEtcd

NODES = ("relay-a", "relay-b")
SOON_S = 20.0
PREFIX = "/m365-relay/corp-mail/"


@pytest.fixture(scope="module")
def authority():
    return ClusterAuthority()


@pytest.fixture(scope="module")
def sealed(tmp_path_factory, authority):
    root = tmp_path_factory.mktemp("sealed")
    etcd = SealedEtcd(root, pki=authority.write(root / "pki", "etcd"), root=authority.write(root / "root", "root"))
    try:
        etcd.start()
        etcd.demand_users(*NODES)
        etcd.rule("user add relay:hunter2")
        etcd.rule("user grant-role relay relay")
        yield etcd
    finally:
        etcd.close()


@pytest.fixture(scope="module")
def clear(tmp_path_factory):
    etcd = EtcdCluster(tmp_path_factory.mktemp("clear"), size=1)
    try:
        yield etcd.start()
    finally:
        etcd.close()


def settings(etcd, pki: Path, **more) -> Cluster:
    nodes = {name: {"site": "dc1", "address": f"127.0.0.{n}"} for n, name in enumerate(NODES, 11)}
    known = {"name": "corp-mail", "nodes": nodes, "etcd": etcd, "pki": pki, "timing": "fast"}
    return Cluster.model_validate({**known, **more})


def joined(cluster: Cluster, node: str, directory: Path, role: str = Role.NODE, **more) -> Joined:
    runtime, state = directory / node / "run", directory / node / "state"
    return join(cluster, node=node, role=role, runtime=runtime, state=state, poll_s=1.0, **more)


@asynccontextmanager
async def running(member: Joined):
    task = asyncio.create_task(member.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await member.close(timeout_s=3)


async def until(condition) -> None:
    async with asyncio.timeout(SOON_S):
        while not condition():  # noqa: ASYNC110 - what is waited for knows of no event
            await asyncio.sleep(0.02)


async def live(*members: Joined) -> None:
    await until(lambda: all(member.session.session.phase is Phase.LIVE for member in members))


def seen(member: Joined) -> list[str]:
    return sorted(item.key.removeprefix(PREFIX) for item in member.feed.items.values())


async def test_two_nodes_join_by_certificate_and_see_each_other(sealed, authority, tmp_path):
    members = []
    for node in NODES:
        pki = authority.write(tmp_path / node / "pki", node)
        cluster = settings(sealed.endpoints("localhost"), pki)
        members.append(joined(cluster, node, tmp_path, config_hash="h1"))
    a, b = members
    async with running(a), running(b):
        await live(a, b)
        await until(lambda: seen(a) == seen(b) == ["members/relay-a", "members/relay-b", "version"])
        (record,) = [decode(item.value, MemberRecord) for item in a.feed.under(a.keys.member(Role.NODE, "relay-b"))]
        assert record == b.record
        assert (record.site, record.address, record.config_hash) == ("dc1", "127.0.0.12", "h1")
        assert record.version
        done = await a.session.guarded([], [Put(key=PREFIX + "budget/x", value=b"1")], timeout_s=2)
        assert done.succeeded
        await until(lambda: "budget/x" in seen(b))
        with pytest.raises(Refused, match="permission"):
            await a.store.txn([], [Put(key="/m365-relay/other/x", value=b"1")], timeout_s=2)
    left = joined(settings(sealed.endpoints("localhost"), tmp_path / "relay-a" / "pki"), "relay-a", tmp_path)
    async with running(left):
        await live(left)
        await until(lambda: "members/relay-a" in seen(left))
        assert "members/relay-b" not in seen(left), "both have resigned, so nothing was waited for"


async def test_the_certificate_is_not_enough_for_a_name_etcd_does_not_know(sealed, authority, tmp_path):
    pki = authority.write(tmp_path / "pki", "relay-z")
    member = joined(settings(sealed.endpoints("localhost"), pki), "relay-a", tmp_path)
    async with running(member):
        with pytest.raises(Refused):
            await member.store.txn([], [Put(key=PREFIX + "x", value=b"1")], timeout_s=2)
        assert member.session.session.phase is not Phase.LIVE


async def test_join_by_user_and_password_and_a_changed_password_is_read(sealed, authority, tmp_path, monkeypatch):
    monkeypatch.setattr(joining, "CREDENTIALS_S", 0.1)
    monkeypatch.setattr(channel, "RETIRE_S", 0.2)
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    pki = authority.write(tmp_path / "pki", "somebody")
    login = {"user": "relay", "password": {"file": secret}}
    member = joined(settings(sealed.endpoints("localhost"), pki, login=login), "relay-a", tmp_path)
    async with running(member):
        with pytest.raises(Refused) as caught:
            await member.store.get(PREFIX + "x", timeout_s=2)
        assert "wrong" not in str(caught.value)
        secret.write_text("hunter2\n")
        await live(member)
        assert "hunter2" not in repr(member.used)


async def test_changed_certificates_are_taken_while_session_and_watch_go_on(sealed, authority, tmp_path, monkeypatch):
    monkeypatch.setattr(joining, "CREDENTIALS_S", 0.1)
    monkeypatch.setattr(channel, "RETIRE_S", 0.2)
    alarms = []
    pki = authority.write(tmp_path / "pki", "relay-a")
    member = joined(settings(sealed.endpoints("localhost"), pki), "relay-a", tmp_path, alarm=alarms.append)
    async with running(member) as task:
        await live(member)
        inc, before = member.session.session.inc, member.store._members.all
        await until(lambda: member.feed.revision)
        (pki / "node.key").write_bytes(authority.issue("relay-a")[1])
        await until(lambda: alarms)
        assert member.store._members.all is before
        authority.write(pki, "relay-a")
        await until(lambda: member.store._members.all is not before)
        renewed = member.session.session.renewed_ms
        for n in range(20):  # watched over the moment the old channels are closed
            await member.session.guarded([], [Put(key=PREFIX + f"beat/{n}", value=b"1")], timeout_s=2)
            await until(lambda n=n: f"beat/{n}" in seen(member))
            await asyncio.sleep(0.05)
        await until(lambda: member.session.session.renewed_ms > renewed)
        assert member.session.session.inc == inc
        assert not task.done()
        assert len(alarms) == 1


async def test_in_clear_on_this_machine_no_certificate_is_needed(clear, tmp_path):
    endpoints = [f"http://{each}" for each in clear.endpoints()]
    cluster = settings(endpoints, tmp_path / "none")
    node, other = joined(cluster, "relay-a", tmp_path), joined(cluster, "relay-a", tmp_path, Role.COORDINATOR)
    async with running(node), running(other):
        await live(node, other)
        await until(lambda: seen(node) == ["coordinators/relay-a", "members/relay-a", "version"])
        with pytest.raises(AlreadyRunning):
            joined(cluster, "relay-a", tmp_path)
    files = sorted(path.relative_to(tmp_path / "relay-a") for path in (tmp_path / "relay-a").rglob("*.*"))
    assert [str(path) for path in files] == [
        "run/coordinators.lease", "run/members.lease",
        "state/coordinators.known", "state/coordinators.level", "state/members.known", "state/members.level",
    ]  # fmt: skip


async def test_a_store_that_is_another_one_is_not_joined(clear, tmp_path):
    endpoints = [f"http://{each}" for each in clear.endpoints()]
    known = tmp_path / "relay-a" / "state" / "members.known"
    known.parent.mkdir(parents=True)
    known.write_text('{"cluster_id": 17, "revision": 1}')
    member = joined(settings(endpoints, tmp_path / "none"), "relay-a", tmp_path)
    async with running(member):
        await until(lambda: "last time it was 11" in member.session.refused)


async def test_a_store_restored_from_an_older_copy_ends_the_session_and_is_refused_until_told_otherwise(tmp_path):
    etcd = EtcdCluster(tmp_path / "etcd", size=1)
    etcd.directory.mkdir()
    try:
        etcd.start()
        cluster = settings([f"http://{each}" for each in etcd.endpoints()], tmp_path / "none")
        member = joined(cluster, "relay-a", tmp_path)
        known = tmp_path / "relay-a" / "state" / "members.known"
        async with running(member):
            await live(member)
            restore = etcd.members[0].copy()
            etcd.wait_healthy()
            await until(lambda: member.session.session.live(boottime_ms()))
            for number in range(3):
                await member.session.guarded([], [Put(key=PREFIX + f"x/{number}", value=b"1")], timeout_s=4)
            newest, inc = member.store.newest, member.session.session.inc
            await until(lambda: json.loads(known.read_bytes())["revision"] == newest)
            restore()
            etcd.wait_healthy()
            await until(lambda: "an older copy" in member.session.refused)  # by the watch; the session lives there too
            assert member.session.session.phase is Phase.OUT
            assert member.session.session.inc == inc
            await until(lambda: "back" in json.loads(known.read_bytes()))
            etcd.ctl("put", PREFIX + "y", "1")
            await asyncio.sleep(2)
            assert member.session.session.phase is Phase.OUT
        again = joined(cluster, "relay-a", tmp_path)
        async with running(again):
            await until(lambda: str(known) in again.session.refused)
            assert again.session.session.phase is not Phase.LIVE
        known.unlink()  # the operator's word
        again = joined(cluster, "relay-a", tmp_path)
        async with running(again):
            await live(again)
    finally:
        etcd.close()


async def test_closing_while_etcd_is_silent_is_bounded_and_the_next_life_takes_over(clear, tmp_path):
    cluster = settings([f"http://{each}" for each in clear.endpoints()], tmp_path / "none")
    member = joined(cluster, "relay-b", tmp_path)
    loop = asyncio.get_running_loop()
    try:
        async with running(member):
            await live(member)
            clear.members[0].pause()
            begun = loop.time()
        assert loop.time() - begun < 6
    finally:
        clear.members[0].resume()
    again = joined(cluster, "relay-b", tmp_path)
    assert again.held.read() == member.session.session.lease, "what could not be revoked is known to the next life"
    async with running(again):
        await live(again)


async def test_a_watch_that_ends_by_itself_is_not_passed_over(clear, tmp_path):
    async def ends() -> None:
        raise asyncio.CancelledError

    member = joined(settings([f"http://{each}" for each in clear.endpoints()], tmp_path / "none"), "relay-a", tmp_path)
    member.feed.run = ends
    with pytest.raises(ExceptionGroup) as caught:
        await member.run()
    assert "ended by itself" in str(caught.value.exceptions[0])
    await member.close(timeout_s=3)


def test_what_cannot_be_shown_to_etcd_is_said_before_anything_is_held(authority, tmp_path):
    with pytest.raises(PkiUnusable, match=r"ca\.pem|No such file"):
        joined(settings(["etcd-1"], tmp_path / "none"), "relay-a", tmp_path)
    pki = authority.write(tmp_path / "pki", "relay-a")
    login = {"user": "relay", "password": {"env": "NOT_SET"}}
    with pytest.raises(BadSettings, match="NOT_SET is not set"):
        joined(settings(["etcd-1"], pki, login=login), "relay-a", tmp_path, environment={})
    assert not (tmp_path / "relay-a" / "run").exists()
