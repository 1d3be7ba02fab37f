"""Standings and wishes shared by three nodes, in virtual time on the memory store."""

import asyncio

import msgspec
import pytest

from coordinator.store.contract import Change, Indefinite, Put, Seen
from coordinator.store.memory import MemoryStore
from coordinator.wishes import ALL, BadWish, Kind
from node.cluster.health_records import SHARED_MAX, Record, adoptable, by_hand, down_everywhere, shareable, worse
from node.cluster.probe_rights import UNUSED_MS
from node.policy.health import HealthBook
from node.policy.standing import HEALTHY, PROBE_LAPSES_MS, Standing, State
from tests.support.health_cluster import DELIVERED, DENIED, FROM, KEYS, LOGIN, LOST, SharedNode, three, until, way
from tests.support.virtual_loop import run_virtual

A = way()
ACCOUNT = "account/contoso/relay1@contoso.com"
LOGINS = f"{ACCOUNT}#submission"
"""What a refused login lets rest: the mailbox may be reached by another path."""


class Counting(MemoryStore):
    def __init__(self, now_s):
        super().__init__(now_s)
        self.writes = 0
        self.silent = False
        self.slow_s = 0.0

    async def txn(self, compares, writes, *, timeout_s):
        if self.silent:
            await asyncio.sleep(timeout_s)
            raise Indefinite("unavailable")
        self.writes += 1
        await asyncio.sleep(self.slow_s)
        return await super().txn(compares, writes, timeout_s=timeout_s)

    async def renew(self, lease, *, timeout_s):
        if self.silent:
            await asyncio.sleep(timeout_s)
            raise Indefinite("unavailable")
        return await super().renew(lease, timeout_s=timeout_s)

    def keys(self, prefix):
        return sorted(key for key in self._model.items if key.startswith(KEYS.root + prefix))


def play(tmp_path, scene, sites=("dc1", "dc1", "dc2")):
    """Run a scene with three joined nodes; time jumps."""

    async def main(loop):
        store = Counting(loop.time)
        nodes = await three(store, tmp_path, loop.now_ms, sites)

        async def ticking():
            while True:
                await asyncio.sleep(2)
                store.tick()

        clock = asyncio.ensure_future(ticking())
        try:
            await scene(store, nodes)
        finally:
            clock.cancel()
            for node in nodes:
                await node.vanish()

    run_virtual(main)


async def settle(nodes, seconds=1.0):
    await asyncio.sleep(seconds)


# -- what one finds out, all know


def test_an_account_that_fails_on_one_node_rests_on_all_and_is_free_for_all_once_it_works(tmp_path):
    async def scene(store, nodes):
        a, b, c = nodes
        a.note(A, LOGIN)
        await until(lambda: not b.may(A).ok and not c.may(A).ok)
        assert b.may(A).reason == "login_refused"
        assert b.may(A).until_ms == a.may(A).until_ms
        assert store.keys("health/") == [KEYS.root + "health/" + LOGINS]
        assert [change.after.state for change in b.reported] == [State.RESTING]
        await asyncio.sleep(900)
        a.may(A)
        await until(lambda: a.may(A).ok)
        a.begin(A)
        a.note(A, DELIVERED)
        await until(lambda: all(node.may(A) == HealthBook().available(A, FROM, 0) for node in nodes))
        await until(lambda: store.keys("health/") + store.keys("probe/") == [])

    play(tmp_path, scene)


def test_only_one_node_probes_and_the_others_wait_for_its_word(tmp_path):
    async def scene(store, nodes):
        nodes[0].note(A, LOGIN)
        await until(lambda: not nodes[2].may(A).ok)
        await asyncio.sleep(901)
        for node in nodes:
            assert not node.may(A).ok  # nobody has the right yet; all of them ask for it
        await until(lambda: any(node.may(A).ok for node in nodes))
        for _ in range(50):
            assert sum(node.may(A).ok for node in nodes) == 1
            await asyncio.sleep(0.1)
        prober = next(node for node in nodes if node.may(A).ok)
        assert prober.may(A).probe
        prober.begin(A)
        for _ in range(50):
            assert not any(node.may(A).ok for node in nodes)
            await asyncio.sleep(1)
        others = [node for node in nodes if node is not prober]
        woken = [node.woken for node in others]
        prober.note(A, LOGIN)  # it failed again: a longer rest, for all
        until_ms = prober.book.entries[LOGINS].until_ms
        await until(lambda: all(node.book.entries[LOGINS].until_ms == until_ms for node in nodes))
        assert all(node.book.entries[LOGINS].strikes == 2 for node in nodes)
        await until(lambda: store.keys("probe/") == [])
        assert all(node.woken > before for node, before in zip(others, woken, strict=True))

    play(tmp_path, scene)


def test_a_prober_that_vanishes_loses_the_right_with_its_session(tmp_path):
    async def scene(store, nodes):
        a, b, _ = nodes
        a.note(A, LOGIN)
        await until(lambda: not b.may(A).ok)
        await asyncio.sleep(901)
        a.may(A)
        await until(lambda: a.may(A).ok)
        a.begin(A)
        await a.vanish()
        assert not b.may(A).ok
        await asyncio.sleep(8)
        b.may(A)
        await until(lambda: b.may(A).ok)

    play(tmp_path, scene)


def test_a_right_nobody_uses_is_given_back(tmp_path):
    async def scene(store, nodes):
        a, b, _ = nodes
        a.note(A, LOGIN)
        await until(lambda: not b.may(A).ok)
        await asyncio.sleep(901)
        a.may(A)
        await until(lambda: a.may(A).ok)
        await asyncio.sleep(2 * UNUSED_MS / 1000 + 1)
        assert store.keys("probe/") == []
        b.may(A)
        await until(lambda: b.may(A).ok)

    play(tmp_path, scene)


def test_pairs_stay_on_their_node_and_no_address_of_a_person_is_in_the_store(tmp_path):
    async def scene(store, nodes):
        a, b, _ = nodes
        a.note(A, DENIED)
        assert not a.may(A).ok
        await settle(nodes, 5)
        assert store.keys("health/") == []
        assert b.may(A).ok
        until_ms = next(iter(a.book.entries.values())).until_ms
        await asyncio.sleep((until_ms - a.wall_ms()) / 1000 + 1)
        assert a.may(A).probe  # its probe needs nobody's leave

    play(tmp_path, scene)


def test_two_that_find_out_at_once_agree_on_the_longer_rest(tmp_path):
    async def scene(store, nodes):
        a, b, _ = nodes
        a.note(A, LOGIN)
        await asyncio.sleep(0)
        b.note(A, LOGIN)
        await settle(nodes)
        ends = {node.book.entries[LOGINS].until_ms for node in nodes}
        assert len(ends) == 1
        assert len(store.keys("health/")) == 1

    play(tmp_path, scene)


def test_an_idle_cluster_writes_nothing(tmp_path):
    async def scene(store, nodes):
        for node in nodes:
            node.note(A, DELIVERED)
        before = store.writes
        await asyncio.sleep(900)
        assert store.writes == before

    play(tmp_path, scene)


def test_what_is_found_out_while_the_store_is_silent_is_told_afterwards(tmp_path):
    async def scene(store, nodes):
        a, b, _ = nodes
        store.silent = True
        a.note(A, LOGIN)
        await asyncio.sleep(30)
        assert b.may(A).ok
        store.silent = False
        await until(lambda: not b.may(A).ok)

    play(tmp_path, scene)


def test_what_changes_while_it_is_being_told_is_told_again(tmp_path):
    async def scene(store, nodes):
        a, b, c = nodes
        a.note(A, DELIVERED)
        store.slow_s = 0.5
        c.note(A, LOST, 5)
        await until(lambda: a.shared._writing)  # that the path works from there
        a.note(A, LOST, 5)
        own = "site/contoso/submission@dc1/node-a"
        await until(lambda: own in b.shared._records and b.shared._records[own].standing.state is State.RESTING)

    play(tmp_path, scene)


def test_in_fallback_each_node_probes_for_itself(tmp_path):
    async def scene(store, nodes):
        a, b, _ = nodes
        a.note(A, LOGIN)
        await until(lambda: not b.may(A).ok)
        await asyncio.sleep(901)
        store.silent = a.fallback = b.fallback = True
        assert a.may(A).probe
        assert b.may(A).probe

    play(tmp_path, scene)


def test_news_older_than_what_we_wrote_ourselves_changes_nothing(tmp_path):
    async def scene(store, nodes):
        a = nodes[0]
        a.note(A, LOGIN)
        await settle(nodes)
        (rested,) = a.feed.under(KEYS.root + "health/")
        a.tasks[1].cancel()  # the watch is slow from here on
        a.book.resume(LOGINS, a.wall_ms())
        a.shared.settle(LOGINS)
        await until(lambda: store.keys("health/") == [])
        late = Change(key=rested.key, item=rested, revision=rested.mod_revision)
        a.shared.take(Seen(changes=(late,), revision=late.revision))
        assert a.may(A).ok
        a.note(A, LOGIN)  # and what is found out now is told all the same
        await until(lambda: store.keys("health/") != [])

    play(tmp_path, scene)


@pytest.mark.parametrize("value", [b"\xff", b"{}", b'{"form":2,"node":"x","standing":{"state":"parked"}}'])
def test_garbage_under_health_is_ignored_said_and_overwritten_by_what_is_known(tmp_path, caplog, value):
    async def scene(store, nodes):
        a, b, _ = nodes
        key = KEYS.root + "health/" + LOGINS
        await store.txn([], [Put(key=key, value=value)], timeout_s=1)
        await settle(nodes)
        assert a.may(A).ok
        assert "not a standing this version knows" in caplog.text
        a.note(A, LOGIN)
        await until(lambda: not b.may(A).ok)

    play(tmp_path, scene)


def test_the_number_of_shared_keys_is_bounded(tmp_path, caplog):
    async def scene(store, nodes):
        standing = Standing(state=State.RESTING, reason="x", since_ms=0, until_ms=10**14)
        value = msgspec.json.encode(Record(node="node-b", standing=standing))
        for number in range(SHARED_MAX):
            await store.txn([], [Put(key=f"{KEYS.root}health/client/c{number:04}", value=value)], timeout_s=1)
        a, b, _ = nodes
        a.note(A, LOGIN)
        await settle(nodes)
        assert "stays on this node" in caplog.text
        assert b.may(A).ok
        assert len(store.keys("health/")) == SHARED_MAX

    play(tmp_path, scene)


def test_a_rest_nobody_settled_is_forgotten_after_a_day(tmp_path):
    async def scene(store, nodes):
        a = nodes[0]
        old = Standing(
            state=State.RESTING, reason="x", since_ms=a.wall_ms() - 90_000_000, until_ms=a.wall_ms() - 88_000_000
        )
        record = msgspec.json.encode(Record(node="node-z", standing=old))
        await store.txn([], [Put(key=f"{KEYS.root}health/{ACCOUNT}", value=record)], timeout_s=1)
        await until(lambda: all(ACCOUNT in node.book.entries for node in nodes))
        again = SharedNode(name="node-d", site="dc1", store=store, home=tmp_path / "d", now_ms=a.now_ms).start()
        nodes.append(again)
        await until(lambda: store.keys("health/") == [])
        await until(lambda: all(ACCOUNT not in node.book.entries for node in nodes))

    play(tmp_path, scene)


# -- paths and sites (M10)


SITE = "site/contoso/submission"
PATH = "path/contoso/submission"


def test_a_line_broken_for_one_node_stops_that_node_only(tmp_path):
    async def scene(store, nodes):
        a, b, c = nodes
        b.note(A, DELIVERED)
        a.note(A, LOST, times=5)
        await settle(nodes)
        assert not a.may(A).ok
        assert b.may(A).ok
        assert c.may(A).ok
        assert store.keys("health/") == [
            KEYS.root + f"health/{SITE}@dc1/node-a",
            KEYS.root + f"health/{SITE}@dc1/node-b",
        ]  # the second says that it works

    play(tmp_path, scene)


def test_a_path_down_for_all_who_tried_it_rests_for_those_who_did_not(tmp_path):
    async def scene(store, nodes):
        a, b, c = nodes
        a.note(A, LOST, times=5)
        await settle(nodes)
        assert c.may(A).ok
        b.note(A, LOST, times=5)
        await settle(nodes)
        assert c.book.entries[PATH].by == "everywhere"
        assert not c.may(A).ok
        await asyncio.sleep(61)
        c.may(A)
        await until(lambda: c.may(A).ok)
        c.begin(A)
        c.note(A, DELIVERED)  # it works from there: said to all
        await settle(nodes)
        assert c.may(A).ok
        assert PATH not in a.book.entries
        assert PATH not in b.book.entries
        assert KEYS.root + f"health/{SITE}@dc2/node-c" in store.keys("health/")
        for node in (a, b):
            assert node.may(A).ok  # their own rest is over: each tries for itself
            node.begin(A)
            node.note(A, DELIVERED)
        await settle(nodes)
        assert store.keys("health/") == []

    play(tmp_path, scene)


def test_nodes_of_one_site_that_agree_stop_the_third_of_it_but_not_another_site_that_works(tmp_path):
    async def scene(store, nodes):
        a, b, c = nodes
        fourth = SharedNode(name="node-d", site="dc1", store=store, home=tmp_path / "d", now_ms=a.now_ms).start()
        nodes.append(fourth)
        await fourth.joined()
        c.note(A, DELIVERED)
        for node in (a, b):
            node.note(A, LOST, times=5)
        await settle(nodes)
        assert c.may(A).ok
        assert not fourth.may(A).ok
        assert fourth.book.entries[f"{SITE}@dc1"].by == "everywhere"

    play(tmp_path, scene)


def test_what_a_node_said_in_a_life_its_book_has_forgotten_is_taken_back(tmp_path):
    async def scene(store, nodes):
        a = nodes[0]
        a.note(A, LOST, times=5)
        await settle(nodes)
        await a.vanish()
        nodes[0] = a.start()
        await a.joined()
        await until(lambda: store.keys("health/") == [])

    play(tmp_path, scene)


# -- operators


def test_a_park_rests_everywhere_until_a_person_takes_it_back(tmp_path):
    async def scene(store, nodes):
        a, b, c = nodes
        await a.wishes.make(Kind.PARK, ACCOUNT, actor="alice", reason="rotating the password")
        await until(lambda: not any(node.may(A).ok for node in nodes))
        assert c.may(A).reason == "rotating the password"
        assert c.book.entries[ACCOUNT].by == "alice"
        c.note(A, DELIVERED)
        await settle(nodes)
        assert not c.may(A).ok
        await b.wishes.make(Kind.PARK, ACCOUNT, on=False, actor="bob", reason="done")
        await until(lambda: all(node.may(A).ok for node in nodes))
        assert c.resumed == [(ACCOUNT, "rotating the password", "bob", "done")]
        assert store.keys("health/") == []

    play(tmp_path, scene)


def test_a_resume_ends_what_the_relay_parked_itself_on_every_node(tmp_path):
    async def scene(store, nodes):
        a, b, _ = nodes
        a.note(A, LOGIN)
        await until(lambda: not b.may(A).ok)
        await b.wishes.make(Kind.PARK, ACCOUNT, on=False, actor="bob", reason="password is right now")
        await until(lambda: all(node.may(A).ok for node in nodes))
        await until(lambda: store.keys("health/") == [])
        assert a.resumed[0][1] == "login_refused"

    play(tmp_path, scene)


def test_a_node_that_was_down_learns_parks_and_ends(tmp_path):
    async def scene(store, nodes):
        a, _, c = nodes
        await a.wishes.make(Kind.PARK, ACCOUNT, actor="alice", reason="x")
        await until(lambda: not c.may(A).ok)
        kept = c.book
        await c.vanish()
        await a.wishes.make(Kind.PARK, ACCOUNT, on=False, actor="alice", reason="y")
        await a.wishes.make(Kind.PARK, "tenant/contoso", actor="alice", reason="z")
        await asyncio.sleep(5)
        c.start(kept)
        await c.joined()
        await until(lambda: ACCOUNT not in c.book.entries)
        assert by_hand(c.book.entries["tenant/contoso"])

    play(tmp_path, scene)


def test_an_old_resume_does_not_end_a_rest_that_came_later(tmp_path):
    async def scene(store, nodes):
        a, b, _ = nodes
        await a.wishes.make(Kind.PARK, ACCOUNT, on=False, actor="alice", reason="x")
        await asyncio.sleep(10)
        b.note(A, LOGIN)
        await settle(nodes)
        kept = b.book
        await b.vanish()
        (b.home / "wishes.json").unlink()
        b.start(kept)
        await b.joined()
        await settle(nodes)
        assert not b.may(A).ok

    play(tmp_path, scene)


def test_a_timed_park_ends_by_itself_and_a_wish_that_vanished_resumes_nothing(tmp_path):
    async def scene(store, nodes):
        a, b, _ = nodes
        await a.wishes.make(Kind.PARK, ACCOUNT, actor="alice", reason="x", for_ms=60_000)
        await until(lambda: not b.may(A).ok)
        await asyncio.sleep(58)
        assert not b.may(A).ok
        await asyncio.sleep(3)
        assert b.may(A).ok
        await a.wishes.make(Kind.PARK, ACCOUNT, actor="alice", reason="x")
        await until(lambda: not b.may(A).ok)
        (key,) = store.keys("control/")
        await store.txn([], [Put(key=key, value=b"garbage")], timeout_s=1)
        await settle(nodes)
        assert not b.may(A).ok
        assert b.wishes.book.faults

    play(tmp_path, scene)


def test_a_hold_of_everything_stops_every_tenant_until_it_ends(tmp_path):
    async def scene(store, nodes):
        a, b, c = nodes
        await a.wishes.make(Kind.HOLD, ALL, actor="alice", reason="phishing wave")
        await until(lambda: not c.may(A).ok)
        await b.wishes.make(Kind.PARK, "tenant/contoso", actor="bob", reason="mine")
        await a.wishes.make(Kind.HOLD, ALL, on=False, actor="alice", reason="over")
        await settle(nodes)
        assert not c.may(A).ok  # the park stands
        await b.wishes.make(Kind.PARK, "tenant/contoso", on=False, actor="bob", reason="over")
        await until(lambda: c.may(A).ok)

    play(tmp_path, scene)


def test_wishing_is_refused_clearly_and_seen_at_once(tmp_path):
    async def scene(store, nodes):
        a, b, _ = nodes
        with pytest.raises(BadWish, match="needs an end"):
            await a.wishes.make(Kind.PAUSE, actor="alice", reason="x")
        made = await a.wishes.make(Kind.PAUSE, actor="alice", reason="x", for_ms=60_000)
        assert a.wishes.book.pause(a.wall_ms()) == made
        await until(lambda: b.wishes.book.pause(b.wall_ms()) == made)
        store.silent = True
        with pytest.raises(Indefinite):
            await a.wishes.make(Kind.PAUSE, on=False, actor="alice", reason="x")

    play(tmp_path, scene)


# -- pure


def test_names_that_may_be_in_the_store():
    assert shareable("account/contoso/relay1@contoso.com")
    assert not shareable("pair/contoso/relay1@contoso.com|someone@contoso.com")
    assert not shareable("client/x\n")
    assert not shareable("client/" + "x" * 400)


def test_a_clock_that_runs_elsewhere_makes_no_rest_longer():
    far = Standing(state=State.RESTING, since_ms=10_000_000, until_ms=10_060_000)
    assert adoptable(far, 0).until_ms == 60_000
    probing = Standing(state=State.PROBING, since_ms=0, until_ms=PROBE_LAPSES_MS)
    assert adoptable(probing, 0).state is State.RESTING


@pytest.mark.parametrize("turned", [False, True])
def test_the_worse_of_two(turned):
    parked = Standing(state=State.PARKED, reason="p", strikes=1)
    short = Standing(state=State.RESTING, reason="s", until_ms=10, strikes=5)
    pair = (short, parked) if turned else (parked, short)
    assert worse(*pair) == msgspec.structs.replace(parked, strikes=5)
    assert worse(*((HEALTHY, short) if turned else (short, HEALTHY))) == short


def test_one_voice_is_not_everywhere():
    down = Standing(state=State.RESTING, since_ms=0, until_ms=100)
    assert down_everywhere({"a": down}) is None
    assert down_everywhere({"a": down, "b": HEALTHY}) is None
    assert down_everywhere({"a": down, "b": msgspec.structs.replace(down, until_ms=50)}).until_ms == 50
