"""What nodes say they used of a day, and what a store put back to an older copy then lets them use."""

import asyncio
from collections import defaultdict

import msgspec
import pytest

from coordinator.budget.lots import QUARTER_MS
from coordinator.keys import Role
from coordinator.store.contract import Put
from coordinator.store.memory import MemoryStore
from node.cluster.contract import Limits, Need, Refusal
from node.cluster.ledgers import BadLedgersError, Ledger, checked, floors, ledger_of
from node.cluster.restoring import REVISIONS_MAX, InUse, TooOld, Unreadable, rebuild
from tests.support.budget_cluster import EPOCH_MS, KEYS, NAMES, Node, limits
from tests.support.virtual_loop import run_virtual

NOW = 200 * QUARTER_MS + 1
QUARTER = str(200 * QUARTER_MS)
DAY = 60
SETTLE_MS = 60_000


class Start(msgspec.Struct):
    started_ms: int
    account: str = "t/0"
    tenant: str = "t"
    external: int = 0
    grant_id: str = ""


class Past(msgspec.Struct):
    start: Start
    finished_ms: int = 0
    recipients: int = 1


def ledger(node, **more):
    told = {"cluster": "test", "node": node, "made_ms": NOW, "revision": 7, "units": {}}
    return Ledger(**{**told, **more})


def test_recipients_are_counted_where_their_attempt_ended_and_open_ones_now():
    past = [
        Past(Start(NOW - QUARTER_MS, external=2), finished_ms=NOW - QUARTER_MS + 5, recipients=3),
        Past(Start(NOW - QUARTER_MS, external=1), recipients=1),
        Past(Start(NOW, account="", tenant=""), finished_ms=NOW, recipients=9),
    ]
    found = ledger_of("test", "a", past, NOW, revision=7)
    before = str(199 * QUARTER_MS)
    assert found.units == {"t/0/day": {before: 3, QUARTER: 1}, "t/external": {before: 2, QUARTER: 1}}


@pytest.mark.parametrize(
    ("ledgers", "lost", "wanted"),
    [
        ([ledger("a"), ledger("b")], (), "c: no ledger"),
        ([ledger("a"), ledger("b"), ledger("c")], ("c",), "both a ledger"),
        ([ledger("a"), ledger("a"), ledger("b")], ("c",), "a: two ledgers"),
        ([ledger("a"), ledger("b"), ledger("x")], ("c",), "x: is no node"),
        ([ledger("a"), ledger("b", cluster="other")], ("c",), "of cluster 'other'"),
        ([ledger("a"), ledger("b", made_ms=NOW - 3_600_001)], ("c",), "more than an hour ago"),
    ],
)
def test_ledgers_must_be_those_of_all_nodes_each_once_and_of_now(ledgers, lost, wanted):
    with pytest.raises(BadLedgersError, match=wanted):
        checked(ledgers, "test", NAMES, lost, NOW)


def test_a_lost_node_is_named():
    checked([ledger("a"), ledger("b")], "test", NAMES, ["c"], NOW)


def test_a_garbled_ledger_is_refused():
    with pytest.raises(BadLedgersError):
        floors([ledger("a", units={"t/0/day": {"17": 3}})])


def mended(store, told, *, known=0):
    return rebuild(store, KEYS, told, known=known, now_ms=NOW, settle_ms=SETTLE_MS)


def test_nothing_is_written_while_a_node_has_a_session():
    async def main(loop):
        store = MemoryStore(loop.time)
        await store.txn([], [Put(key=KEYS.member(Role.NODE, "b"), value=b"{}")], timeout_s=1)
        with pytest.raises(InUse, match="b: has a session"):
            await mended(store, {"t/0/day": {QUARTER: 5}})
        assert await store.get(KEYS.budget("t/0", "day"), timeout_s=1) is None

    run_virtual(main)


def test_a_counter_nobody_understands_is_left_for_a_person():
    async def main(loop):
        store = MemoryStore(loop.time)
        await store.txn([], [Put(key=KEYS.budget("t/0", "day"), value=b"[]")], timeout_s=1)
        with pytest.raises(Unreadable, match="t/0/day"):
            await mended(store, {"t/0/day": {QUARTER: 5}})

    run_virtual(main)


def test_no_revision_a_node_has_known_comes_again():
    async def main(loop):
        store = MemoryStore(loop.time)
        first = await mended(store, {"t/0/day": {QUARTER: 5}}, known=1_000)
        assert (first.raised, first.revision) == (("t/0/day",), 1_001)
        again = await mended(store, {"t/0/day": {QUARTER: 5}}, known=1_000)
        assert (again.raised, again.revision) == ((), 1_001)
        with pytest.raises(TooOld):
            await mended(store, {}, known=REVISIONS_MAX + 2_000)

    run_virtual(main)


class World:
    """Nodes that use up a day's recipients; what they used is kept as their spools would."""

    def __init__(self, loop, home):
        self.loop, self.home = loop, home
        self.wanted = limits(box=Limits(messages=0, window_s=60, recipients_24h=DAY, sessions=0))
        self.past = defaultdict(list)

    async def run(self, store, most):
        """Let every node send until the day's limit, or its part of *most* messages, is used up."""
        nodes = [Node(name, store, self.home, self.loop.now_ms, self.wanted).start() for name in NAMES]
        for node in nodes:
            await node.live()
        for node in nodes:
            await self._use(node, most // len(nodes))
        for node in nodes:
            await node.kill()
        await asyncio.sleep(10)

    async def _use(self, node, most):
        end = self.loop.time() + 30
        while most and self.loop.time() < end:
            answer = node.budgets.try_grant(Need(account="t/0", recipients=1), node.clock())
            if isinstance(answer, Refusal):
                await asyncio.sleep(0.5)
                continue
            node.budgets.settled(answer, node.clock())
            at_ms = node.clock()
            self.past[node.name].append(Past(Start(at_ms, tenant="", grant_id=answer.id), finished_ms=at_ms))
            most -= 1

    def used(self):
        return sum(len(each) for each in self.past.values())

    def floors(self):
        now_ms = EPOCH_MS + self.loop.now_ms()
        return floors([ledger_of("test", name, self.past[name], now_ms, revision=0) for name in NAMES])


def put_back(tmp_path, *, rebuilds):
    """How many recipients of a day go out when the store is put back to a copy in the middle of it."""

    async def main(loop):
        world, store = World(loop, tmp_path), MemoryStore(loop.time)
        await world.run(store, 9)
        copy, known = store.copy(), store.newest
        await world.run(store, DAY - 15)
        older = MemoryStore(loop.time)
        older.restore(copy)
        if rebuilds:
            now_ms = EPOCH_MS + loop.now_ms()
            told = world.floors()
            await rebuild(older, KEYS, told, known=store.newest, now_ms=now_ms, settle_ms=SETTLE_MS)
            assert older.newest > store.newest > known
        await world.run(older, 10 * DAY)
        return world.used()

    return run_virtual(main)


def test_a_store_put_back_to_an_older_copy_forgets_what_was_used(tmp_path):
    """The harm that is to be undone: without it the next test would show nothing."""
    assert put_back(tmp_path, rebuilds=False) > DAY


def test_rebuilt_it_lets_no_limit_of_a_day_be_exceeded(tmp_path):
    assert DAY - 15 < put_back(tmp_path, rebuilds=True) <= DAY
