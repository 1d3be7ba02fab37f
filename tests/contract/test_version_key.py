"""The level in force, by sessions that begin and an operator who finalises: on memory and on three members of etcd."""

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from coordinator.errors import NotAdmitted, StaleRevision, UnfitVersion
from coordinator.feed import Feed
from coordinator.keys import Keys, Role, decode, encode
from coordinator.members import MemberRecord
from coordinator.runner import Self, SessionRunner
from coordinator.runtime import HeldLease
from coordinator.session import Phase
from coordinator.store.contract import Delete, Indefinite, Put
from coordinator.store.etcd import EtcdStore
from coordinator.store.memory import MemoryStore
from coordinator.timing import FAST
from coordinator.versions.finalise import Finaliser, Hindered, Word
from coordinator.versions.keeper import VersionKeeper
from coordinator.versions.memory import LevelMemory
from coordinator.versions.record import Settled
from tests.support.etcd_cluster import EtcdCluster
from tests.support.releases import ONE_NEWER, TODAY, TWO_NEWER

T = 5.0
NODES = ("relay-a", "relay-b")
OLD, NEW, NEXT = TODAY.release, ONE_NEWER.release, TWO_NEWER.release
ALICE = Word(node="relay-a", actor="alice", reason="all upgraded")


@pytest.fixture(scope="module", params=["memory", "etcd"])
def make_store(request, tmp_path_factory):
    if request.param == "memory":
        shared = MemoryStore()
        yield lambda: shared
        return
    cluster = EtcdCluster(tmp_path_factory.mktemp("etcd")).start()
    try:
        yield lambda: EtcdStore(cluster.endpoints())
    finally:
        cluster.close()


@dataclass
class Process:
    """One process: session, watch and what it knows of the level; ``begin`` waits until it has a session."""

    store: object
    keys: Keys
    home: Path
    node: str = "relay-a"
    role: str = Role.NODE
    release: object = OLD
    alarms: list = field(default_factory=list)
    tasks: list = field(default_factory=list)
    gone: bool = False

    def __post_init__(self):
        name = f"{self.role}-{self.node}"
        self.home.mkdir(exist_ok=True)
        record = MemberRecord(
            node=self.node, boot_id="b", process_id="p", version=self.release.version, levels=self.release.span
        )
        self.held = HeldLease(self.home / f"{name}.lease", "b")
        me = Self(key=self.keys.member(self.role, self.node), record=record, held=self.held)
        self.session, self.feed = SessionRunner(self.store, FAST, me), Feed(self.store, self.keys, poll_s=1.0)
        memory = LevelMemory(self.home / f"{name}.level")
        self.versions = VersionKeeper(
            self.store, self.keys, self.release, memory, node=self.node, alarm=self.alarms.append
        )
        self.session.admission = lambda: self.versions.admission(timeout_s=T)
        self.finaliser = Finaliser(
            store=self.store, keys=self.keys, session=self.session, versions=self.versions, nodes=lambda: NODES
        )

    async def begin(self):
        self.feed.subscribe(self.versions.feed)
        self.tasks = [asyncio.create_task(each.run()) for each in (self.session, self.feed)]
        await until(lambda: self.session.session.phase is Phase.LIVE or self.tasks[0].done())
        if self.tasks[0].done():
            self.tasks[0].result()
        return self

    async def leave(self):
        if self.gone:
            return
        self.gone = True
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        with suppress(Exception):
            await self.session.resign()
        self.held.close()

    async def finalise(self, silent=None):
        return await self.finaliser.finalise(silent or {}, ALICE)


async def until(condition, bound_s=20.0):
    async with asyncio.timeout(bound_s):
        while not condition():  # noqa: ASYNC110 - what is waited for knows of no event
            await asyncio.sleep(0.02)


@pytest.fixture
async def world(request, make_store, tmp_path):
    """Makes processes of one cluster; all of them leave at the end."""
    keys, number = Keys(cluster=request.node.name.translate(str.maketrans("[]_", "---"))), 0
    async with AsyncExitStack() as stack:
        store = make_store()
        if isinstance(store, EtcdStore):
            stack.push_async_callback(store.close)

        def make(*, home="home", **more):
            nonlocal number
            number += 1
            process = Process(store=store, keys=keys, home=tmp_path / home, **more)
            stack.push_async_callback(process.leave)
            return process

        make.store, make.keys = store, keys
        yield make


async def everybody(world, release):
    return [
        await world(node=node, role=role, release=release).begin()
        for node in NODES
        for role in (Role.NODE, Role.COORDINATOR)
    ]


async def in_force(world):
    item = await world.store.get(world.keys.version, timeout_s=T)
    return decode(item.value, Settled) if item is not None else None


async def test_the_first_process_of_a_new_cluster_puts_its_newest_level_in_force(world):
    assert await world(release=NEW).versions.learn() == 2
    assert await in_force(world) is None, "nothing is written before a session begins"
    first = await world(node="relay-b", release=NEW).begin()
    found = await in_force(world)
    assert (found.level, found.node, found.version, found.actor) == (2, "relay-b", "0.2.0", "")
    assert first.versions.level == first.versions.protocol() == 2


async def test_two_that_begin_a_cluster_at_once_agree(world):
    old, new = world(release=OLD), world(node="relay-b", release=NEW)
    both = await asyncio.gather(old.begin(), new.begin(), return_exceptions=True)
    level = (await in_force(world)).level
    assert [each.versions.level for each in both if isinstance(each, Process)] == [level] * (2 if level == 1 else 1)
    assert [type(each) for each in both if not isinstance(each, Process)] == ([] if level == 1 else [UnfitVersion])


async def test_a_cluster_from_before_levels_is_at_the_first_one(world):
    await world.store.txn([], [Put(key=world.keys.config, value=b"{}")], timeout_s=T)
    with pytest.raises(UnfitVersion, match="level 1 is in force"):
        await world(node="relay-b", release=NEXT).versions.learn()
    assert await world(release=NEW).versions.learn() == 1
    assert (await world(home="other", release=NEW).begin()).versions.level == 1


async def test_a_new_version_works_at_the_level_in_force_and_one_two_newer_is_refused(world):
    await world(release=OLD).begin()
    newer = await world(node="relay-b", release=NEW).begin()
    assert (newer.versions.level, newer.versions.protocol()) == (1, 1)
    strange = world(node="relay-c", release=NEXT)
    with pytest.raises(UnfitVersion, match=r"level 1 is in force .*version 0.3.0 knows levels 2 to 3: a version was"):
        await strange.versions.learn()
    with pytest.raises(UnfitVersion):
        await strange.begin()
    assert await world.store.get(world.keys.member(Role.NODE, "relay-c"), timeout_s=T) is None


async def test_a_level_is_finalised_once_all_know_it_and_then_the_old_are_refused(world):
    old = await world(release=OLD).begin()
    await old.leave()
    processes = await everybody(world, NEW)
    assert {each.versions.level for each in processes} == {1}
    done = await processes[0].finalise()
    assert (done.level, done.actor, done.reason, done.node) == (2, "alice", "all upgraded", "relay-a")
    assert done == await in_force(world)
    await until(lambda: {each.versions.level for each in processes} == {2})
    assert await processes[1].finalise() == done, "once more changes nothing"
    late = world(node="relay-c", release=OLD)
    with pytest.raises(UnfitVersion, match=r"level 2 .*\(finalised on .* by alice at relay-a: all upgraded\)"):
        await late.versions.learn()
    with pytest.raises(UnfitVersion):
        await late.begin()
    assert (await world(node="relay-d", release=NEXT).begin()).versions.level == 2


async def test_whoever_is_missing_old_or_silent_is_named_and_nothing_changes(world):
    old = await world(node="relay-b", role=Role.COORDINATOR, release=OLD).begin()
    asked = await world(release=NEW).begin()
    await world(role=Role.COORDINATOR, release=NEW).begin()
    with pytest.raises(Hindered) as caught:
        await asked.finalise()
    assert str(caught.value) == (
        "level 2 cannot be put in force: node relay-b has no session; "
        f"coordinator relay-b (version {OLD.version}) knows level 1 only"
    )
    await old.leave()
    await world(home="new", node="relay-b", role=Role.COORDINATOR, release=NEW).begin()
    await world(node="relay-b", release=NEW).begin()
    with pytest.raises(Hindered, match=r"node relay-b \(version 0.2.0\) does not answer: cut off"):
        await asked.finalise({"relay-b": "cut off"})
    stranger = await world(node="relay-z", release=OLD).begin()
    with pytest.raises(Hindered, match="node relay-z"):
        await asked.finalise()
    await stranger.leave()
    unread = Put(key=world.keys.member(Role.NODE, "relay-y"), value=b"[]")
    await world.store.txn([], [unread], timeout_s=T)
    with pytest.raises(Hindered, match="node relay-y does not say which levels it knows"):
        await asked.finalise()
    assert (await in_force(world)).level == 1
    await world.store.txn([], [Delete(key=unread.key)], timeout_s=T)
    assert (await asked.finalise()).level == 2


async def test_nobody_joins_or_leaves_between_the_look_and_the_write(world):
    await (await world(release=OLD).begin()).leave()
    processes = await everybody(world, NEW)
    asked, other = processes[0], processes[2]
    changed = _With(asked.finaliser, before_write=other.leave)
    with pytest.raises(StaleRevision, match="somebody joined, left or finalised"):
        await changed.finalise({}, ALICE)
    assert (await in_force(world)).level == 1
    with pytest.raises(Hindered, match="node relay-b has no session"):
        await asked.finalise()


async def test_a_session_does_not_begin_at_a_level_other_than_the_one_it_was_judged_by(world):
    await (await world(release=OLD).begin()).leave()
    processes = await everybody(world, NEW)
    late = world(node="relay-c", release=OLD)
    admission, judged = late.session.admission, []

    async def slow():
        found = await admission()
        if not judged:
            judged.append(found)
            await processes[0].finalise()
        return found

    late.session.admission = slow
    with pytest.raises(UnfitVersion):
        await late.begin()
    assert judged, "it was let in at level 1, and level 2 came before it joined"
    assert await world.store.get(world.keys.member(Role.NODE, "relay-c"), timeout_s=T) is None


async def test_what_was_last_known_counts_while_the_store_is_silent_or_new(world, monkeypatch):
    first = await world(release=NEW).begin()
    assert first.versions.level == 2
    await first.leave()

    async def silent(*_, **__):
        raise Indefinite("unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "get", silent)
        known = world(release=NEW)
        assert await known.versions.learn() == 2
        await known.leave()
        assert await world(home="unknown", release=NEW).versions.learn() == 1
        with pytest.raises(UnfitVersion, match="as it was last known here; the store does not answer"):
            await (old := world(release=OLD)).versions.learn()
    await old.leave()
    await world.store.txn([], [Delete(key=world.keys.version)], timeout_s=T)
    again = await world(release=NEXT).begin()
    assert ((await in_force(world)).level, again.versions.level) == (2, 2)


async def test_a_level_that_cannot_be_read_lets_nobody_in_and_disturbs_nobody(world):
    there = await world(release=OLD).begin()
    await world.store.txn([], [Put(key=world.keys.version, value=b"2")], timeout_s=T)
    await until(lambda: there.alarms)
    assert "version cannot be read" in there.alarms[0]
    assert (there.versions.level, there.session.session.phase) == (1, Phase.LIVE)
    late = world(node="relay-b", release=NEW)
    assert await late.versions.learn() == 1
    with pytest.raises(NotAdmitted, match="cannot be read"):
        await late.versions.admission(timeout_s=T)
    joining = asyncio.create_task(late.begin())
    await until(lambda: "cannot be read" in late.session.refused)
    value = encode(Settled(level=1)).replace(b"}", b',"later":true}')
    await world.store.txn([], [Put(key=world.keys.version, value=value)], timeout_s=T)
    assert (await joining).versions.level == 1, "what a later version adds to it is passed over"


async def test_a_level_put_in_force_over_the_heads_of_all_is_said_and_not_followed(world):
    there = await world(release=OLD).begin()
    await world.store.txn([], [Put(key=world.keys.version, value=encode(Settled(level=7)))], timeout_s=T)
    await until(lambda: there.alarms)
    assert "level 7 is in force" in there.alarms[0]
    assert there.versions.level == 1


async def test_an_answer_that_was_lost_is_looked_for(world, monkeypatch):
    await (await world(release=OLD).begin()).leave()
    processes = await everybody(world, NEW)
    txn, lost = world.store.txn, []

    async def losing(compares, writes, *, timeout_s):
        outcome = await txn(compares, writes, timeout_s=timeout_s)
        if any(write.key == world.keys.version for write in writes):
            lost.append(outcome)
            raise Indefinite("no answer")
        return outcome

    monkeypatch.setattr(world.store, "txn", losing)
    assert (await processes[0].finalise()).level == 2
    assert lost
    assert (await in_force(world)).level == 2


class _With(Finaliser):
    """Does something between the look and the write."""

    def __init__(self, other, *, before_write):
        for name in Finaliser.__dataclass_fields__:
            object.__setattr__(self, name, getattr(other, name))
        object.__setattr__(self, "before", before_write)

    __slots__ = ("before",)

    async def _write(self, compares, fresh):
        await self.before()
        await super()._write(compares, fresh)
