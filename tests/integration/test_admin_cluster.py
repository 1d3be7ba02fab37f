"""The administration interface of nodes in a cluster: over the real socket, with real sessions, wishes and clocks."""

import contextlib

import aiohttp
import pytest

from coordinator.budget.shares import fresh
from coordinator.keys import Role, decode, encode
from coordinator.members import MemberRecord
from coordinator.peers.contract import PeerUnreachable
from coordinator.runner import boottime_ms
from coordinator.settings.cluster import Cluster, VirtualAddress
from coordinator.store.contract import Indefinite, Put
from coordinator.store.memory import MemoryStore
from coordinator.versions.record import Settled
from coordinator.versions.release import RELEASE
from node.admin.control import CopiesView, Readiness
from node.admin.server import AdminServer
from node.app import clustered
from node.app.clustered import ClusterSide, Membership
from node.cluster import clocks
from node.cluster.clocks import ClockHooks, Clocks
from tests.support.admin_house import SmallControl
from tests.support.health_cluster import KEYS, SharedNode, until
from tests.support.releases import ONE_NEWER
from tests.support.wishes import CLUSTER, NOW_MS

NODES = {"node-a": "dc1", "node-b": "dc1", "node-c": "dc2"}
ADDRESSES = {
    "smtp-dc1": VirtualAddress.model_validate({"address": "10.1.0.10", "site": "dc1"}),
    "smtp-b": VirtualAddress.model_validate({"address": "10.1.0.20", "nodes": ["node-b"]}),
}


class Store(MemoryStore):
    silent = False

    async def get(self, key, *, timeout_s):
        if self.silent:
            raise Indefinite("unavailable")
        return await super().get(key, timeout_s=timeout_s)


class Wire:
    """Hands questions to the other nodes in this process, as the peer channel would."""

    def __init__(self, me, sides):
        self.me, self.sides, self.cut, self.garbage = me, sides, set(), b""

    async def ask(self, node, route, body, *, timeout_s):
        if node in self.cut or node not in self.sides:
            raise PeerUnreachable(f"{node}: no answer in {timeout_s} s")
        if self.garbage:
            return self.garbage
        side = self.sides[node]
        level = side.side.level
        answers = {clocks.ROUTE: side.clocks.answer, clustered.ROUTE: side.side.glance, **level.routes()}
        return await answers[route](self.me, body)

    async def close(self):
        """Nothing to close."""


class House:
    """One node's cluster side behind its own admin socket."""

    def __init__(self, node, shared, sides):
        self.name, self.shared, self.configuration = node, shared, "cafe"
        self.readiness = Readiness(ready=True)
        self.wire = Wire(node, sides)
        others = [name for name in NODES if name != node]
        self.clocks = Clocks(self.wire, ClockHooks(others=lambda: others))
        cluster = Cluster.model_validate(
            {
                "name": CLUSTER,
                "nodes": {name: {"site": site, "address": "127.0.0.1"} for name, site in NODES.items()},
                "etcd": ["http://127.0.0.1:2379"],
                "pki": "pki",
            }
        )
        self.side = ClusterSide(
            Membership(
                node=node,
                cluster=cluster,
                addresses=ADDRESSES,
                store=shared.store,
                keys=KEYS,
                session=shared.session,
                feed=shared.feed,
                versions=shared.versions,
                peers=self.wire,
                wishes=shared.wishes,
                clocks=self.clocks,
                readiness=lambda: self.readiness,
                configuration=lambda: self.configuration,
                nodes=lambda: tuple(NODES),
            )
        )

    async def start(self, tmp_path):
        control = SmallControl(None, None)
        control.cluster = self.side
        self.server, path = AdminServer(control), tmp_path / f"{self.name}.sock"
        await self.server.start_socket(path)
        self.http = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path)))
        return self

    async def ask(self, method, path, **more):
        async with self.http.request(method, f"http://localhost{path}", **more) as answer:
            return answer.status, await answer.json()

    async def wish(self, **order):
        return await self.ask("POST", "/v1/wishes", json=order, headers={"X-Relay-Actor": "alice"})

    async def close(self):
        await self.http.close()
        await self.server.close()


@pytest.fixture
async def houses(request, tmp_path):
    """One house a node, of today's version; a test may name another one for each."""
    store, sides, releases = Store(), {}, getattr(request, "param", [RELEASE] * len(NODES))
    async with contextlib.AsyncExitStack() as stack:
        for (node, site), release in zip(NODES.items(), releases, strict=True):
            shared = SharedNode(
                name=node, site=site, store=store, home=tmp_path / node, now_ms=boottime_ms,
                epoch_ms=NOW_MS - boottime_ms(), release=release,
            ).start()  # fmt: skip
            stack.push_async_callback(shared.vanish)
            await shared.joined()
            sides[node] = await House(node, shared, sides).start(tmp_path)
            stack.push_async_callback(sides[node].close)
        for house in sides.values():
            await house.clocks.measure()
        yield list(sides.values())


async def test_the_view_of_one_node_tells_of_all(houses):
    a, b, _ = houses
    b.readiness, b.configuration = Readiness(ready=False, reasons=("disk",)), "beef"
    await a.shared.store.txn([], [Put(key=KEYS.address("smtp-dc1"), value=encode("node-a"))], timeout_s=1)
    await a.shared.store.txn([], [Put(key=KEYS.leader, value=encode("node-b"))], timeout_s=1)
    await until(lambda: KEYS.leader in a.shared.feed.items)
    status, view = await a.ask("GET", "/v1/cluster")
    assert status == 200
    assert (view["phase"], view["leader"]) == ("live", "node-b")
    assert 0 < view["margin_ms"] <= view["ttl_ms"]
    assert view["holders"] == {"smtp-dc1": "node-a", "smtp-b": ""}
    assert view["clock"]["standing"] == "fine"
    assert sorted(view["clock"]["heard"]) == ["node-b", "node-c"]
    by_name = {node["node"]: node for node in view["nodes"]}
    assert all(node["member"] and node["answered"] for node in by_name.values())
    assert (by_name["node-b"]["ready"], by_name["node-b"]["reasons"]) == (False, ["disk"])
    assert [node for node in by_name if by_name[node]["drift"]] == ["node-b"]
    assert by_name["node-c"]["site"] == "dc2"


async def test_a_node_that_is_gone_silent_or_talks_nonsense_is_shown_as_such(houses):
    a, b, _ = houses
    a.wire.cut.add("node-c")
    _, view = await a.ask("GET", "/v1/cluster")
    node_c = view["nodes"][2]
    assert (node_c["member"], node_c["answered"]) == (True, False)
    assert "no answer" in node_c["error"]
    a.wire.garbage = b'{"margin_ms": "x"}'
    _, view = await a.ask("GET", "/v1/cluster")
    assert [node["answered"] for node in view["nodes"]] == [True, False, False]
    await b.shared.vanish()
    await a.shared.store.revoke(b.shared.session.session.lease, timeout_s=1)
    await until(lambda: KEYS.member("members", "node-b") not in a.shared.feed.items)
    _, view = await a.ask("GET", "/v1/cluster")
    assert not view["nodes"][1]["member"]


async def test_a_wish_is_signed_told_and_in_force_everywhere(houses):
    a, _, c = houses
    status, made = await a.wish(kind="pause", for_s=3600, reason="storage work")
    assert status == 200
    assert (made["actor"], made["node"], made["reason"]) == ("alice", "node-a", "storage work")
    assert made["until_ms"] - made["made_ms"] == 3_600_000
    await until(lambda: c.shared.wishes.book.pause(c.shared.wall_ms()))
    _, view = await c.ask("GET", "/v1/cluster")
    assert view["wishes"] == [made]
    assert (await c.wish(kind="pause", on=False, reason="done"))[0] == 200
    _, view = await c.ask("GET", "/v1/cluster")
    assert view["wishes"] == []


async def test_a_node_that_does_not_answer_can_be_declared_dead_and_alive_again(houses):
    a, _, c = houses
    a.wire.cut.add("node-b")
    status, made = await a.wish(kind="dead", what="node-b", reason="burnt down")
    assert (status, made["until_ms"]) == (200, 0)
    await until(lambda: c.shared.wishes.book.dead(c.shared.wall_ms()) == {"node-b"})
    assert (await c.wish(kind="dead", what="node-b", on=False, reason="a mistake"))[0] == 200
    await until(lambda: a.shared.wishes.book.dead(a.shared.wall_ms()) == frozenset())


async def test_how_each_nodes_mail_is_kept_twice_is_told_to_the_others(houses):
    a, b, c = houses
    facts = {"spool": "s", "pairings": {}, "sending": True}
    b.side.kept = lambda: CopiesView(shadow="node-c", why="", unprotected=3, **facts)
    c.side.kept = lambda: CopiesView(shadow="", why="nobody", unprotected=0, quarantined="quarantined: old", **facts)
    for unprotected in range(3, 13):
        _, view = await a.ask("GET", "/v1/cluster")
        assert view["nodes"][1]["lasting"] == 0
        b.side.kept = lambda count=unprotected: CopiesView(shadow="node-c", why="", unprotected=count, **facts)
        b.side.lasting.look()
    b.side.kept = lambda: CopiesView(shadow="node-c", why="", unprotected=3, **facts)
    _, view = await a.ask("GET", "/v1/cluster")
    assert [each["lasting"] for each in view["nodes"]] == [0, 3, 0]
    told = [(each["shadow"], each["alone"], each["unprotected"], each["quarantined"]) for each in view["nodes"]]
    assert told == [("", "", 0, ""), ("node-c", "", 3, ""), ("", "nobody", 0, "quarantined: old")]


async def test_a_glance_of_an_older_version_is_understood(houses):
    a, *_ = houses
    a.wire.garbage = (
        b'{"margin_ms":1,"ready":true,"reasons":[],"clock":"fine","offset_ms":0,"configuration":"cafe","later":1}'
    )
    _, view = await a.ask("GET", "/v1/cluster")
    assert [(each["answered"], each["shadow"]) for each in view["nodes"]] == [(True, "")] * 3


async def test_what_is_no_wish_is_shown_as_ignored(houses):
    a = houses[0]
    await a.shared.store.txn([], [Put(key=KEYS.control("pause"), value=b'{"form": 1}')], timeout_s=1)
    await until(lambda: a.shared.wishes.book.faults)
    _, view = await a.ask("GET", "/v1/cluster")
    assert list(view["ignored"]) == ["pause"]
    assert view["wishes"] == []


@pytest.mark.parametrize(
    ("order", "status", "says"),
    [
        ({"kind": "pause", "for_s": 60}, 400, "reason"),
        ({"kind": "party", "reason": "x"}, 400, "kind: expected one of"),
        ({"reason": "x"}, 400, "kind: is missing"),
        ({"kind": "pause", "reason": "x", "for": 60}, 400, "for"),
        ({"kind": "pause", "reason": "x", "for_s": -1}, 400, "for_s"),
        ({"kind": "pause", "reason": "x", "for_s": True}, 400, "for_s"),
        ({"kind": "pause", "reason": "x", "for_s": "2h"}, 400, "for_s"),
        ({"kind": "pause", "reason": "x"}, 409, "needs an end"),
        ({"kind": "pause", "reason": "x", "for_s": 8 * 86_400}, 409, "needs an end"),
        ({"kind": "pause", "reason": "x\x1b", "for_s": 60}, 409, "control characters"),
        ({"kind": "drain", "what": "node-z", "reason": "x"}, 400, "no node 'node-z'"),
        ({"kind": "dead", "what": "node-z", "reason": "x"}, 400, "no node 'node-z'"),
        ({"kind": "dead", "what": "node-b", "reason": "x"}, 400, "node-b answers, so it is not dead"),
        ({"kind": "dead", "what": "node-a", "reason": "x"}, 400, "node-a answers, so it is not dead"),
        ({"kind": "dead", "what": "node-b"}, 400, "reason"),
        ({"kind": "move", "what": "nothing", "to": "node-a", "reason": "x", "for_s": 60}, 400, "no virtual address"),
        ({"kind": "move", "what": "smtp-dc1", "to": "node-z", "reason": "x", "for_s": 60}, 400, "no node 'node-z'"),
        ({"kind": "move", "what": "smtp-dc1", "to": "node-c", "reason": "x", "for_s": 60}, 400, "another site"),
        ({"kind": "move", "what": "smtp-b", "to": "node-a", "reason": "x", "for_s": 60}, 400, "among its nodes"),
        ({"kind": "park", "what": "pair/contoso/a|someone@contoso.com", "reason": "x"}, 400, "--here"),
        ({"kind": "hold", "what": "everything", "reason": "x"}, 400, "no scope"),
    ],
)
async def test_orders_that_are_refused(houses, order, status, says):
    answer = await houses[0].wish(**order)
    assert (answer[0], says in answer[1]["error"]) == (status, True), answer
    assert houses[0].shared.wishes.book.in_force(0) == ()


async def begun(houses):
    """What coordinators would say of themselves, beside the nodes; as in a cluster whose first version was today's."""
    store = houses[0].shared.store
    for house in houses:
        record = MemberRecord(node=house.name, boot_id="b", process_id="c", **of(house.shared.release))
        key = KEYS.member(Role.COORDINATOR, house.name)
        await store.txn([], [Put(key=key, value=encode(record))], timeout_s=1)
        await until(lambda house=house, key=key: key in house.shared.feed.items)
    item = await store.get(KEYS.version, timeout_s=1)
    assert decode(item.value, Settled).level == 1


def of(release):
    return {"version": release.version, "levels": release.span, "protocols": release.protocols}


FINALISE = ("POST", "/v1/cluster/finalise")
ALICE = {"json": {"reason": "all upgraded"}, "headers": {"X-Relay-Actor": "alice"}}
OLD, NEW = RELEASE, ONE_NEWER.release


@pytest.mark.parametrize("houses", [[OLD, NEW, NEW]], indirect=True)
async def test_a_level_is_refused_while_somebody_does_not_know_it_and_all_versions_are_shown(houses):
    old, new, _ = houses
    await begun(houses)
    status, answer = await new.ask(*FINALISE, **ALICE)
    name = f"node-a (version {OLD.version})"
    assert status == 409
    assert answer["error"] == (
        f"level 2 cannot be put in force: node {name} does not answer: it says it does not know level 2; "
        f"coordinator {name} knows level 1 only"
    )
    assert (await old.ask(*FINALISE, **ALICE))[0] == 200, "the old one's newest level is in force already"
    _, view = await new.ask("GET", "/v1/cluster")
    shown = [(each["node"], each["role"], each["version"], each["levels"]) for each in view["members"]]
    assert shown == [
        ("node-a", "coordinator", OLD.version, [1, 1]),
        ("node-a", "node", OLD.version, [1, 1]),
        ("node-b", "coordinator", "0.2.0", [1, 2]),
        ("node-b", "node", "0.2.0", [1, 2]),
        ("node-c", "coordinator", "0.2.0", [1, 2]),
        ("node-c", "node", "0.2.0", [1, 2]),
    ]
    assert [each["levels"] for each in view["nodes"]] == [[1, 1], [1, 2], [1, 2]]


@pytest.mark.parametrize("houses", [[NEW, NEW, NEW]], indirect=True)
async def test_a_node_that_does_not_answer_stands_in_the_way(houses):
    a, b, _ = houses
    await a.shared.store.txn([], [Put(key=KEYS.version, value=encode(Settled(level=1)))], timeout_s=1)
    await begun(houses)
    a.wire.cut.add("node-b")
    status, answer = await a.ask(*FINALISE, **ALICE)
    assert (status, "node node-b (version 0.2.0) does not answer" in answer["error"]) == (409, True), answer
    a.wire.cut.clear()
    a.wire.garbage = b"[]"
    assert "its answer cannot be read" in (await a.ask(*FINALISE, **ALICE))[1]["error"]
    a.wire.garbage = b""
    assert (await a.ask("POST", FINALISE[1], json={}))[0] == 400
    status, answer = await a.ask(*FINALISE, **ALICE)
    assert (status, answer["level"]) == (200, 2)
    found = decode((await a.shared.store.get(KEYS.version, timeout_s=1)).value, Settled)
    assert (found.level, found.actor, found.reason, found.node) == (2, "alice", "all upgraded", "node-a")
    b.shared.store.silent = True
    assert (await b.ask(*FINALISE, **ALICE))[0] == 502


async def test_a_store_that_does_not_answer_is_502_and_the_view_still_comes(houses):
    a = houses[0]
    a.shared.store.silent = True
    status, answer = await a.wish(kind="pause", for_s=60, reason="x")
    assert (status, answer["error"]) == (502, "the cluster's store: unavailable")
    assert (await a.ask("GET", "/v1/cluster"))[0] == 200


async def test_two_wishes_about_one_thing_at_the_same_moment(houses):
    a, b, _ = houses
    get = a.shared.store.get

    async def slow(key, *, timeout_s):
        found = await get(key, timeout_s=timeout_s)
        if key.endswith("/pause") and not raced:
            raced.append(key)
            await b.wish(kind="pause", for_s=60, reason="first")
        return found

    raced = []
    a.shared.store.get = slow
    status, answer = await a.wish(kind="pause", for_s=60, reason="second")
    assert status == 409
    assert "somebody wished about the same" in answer["error"]
    assert (await a.wish(kind="pause", for_s=60, reason="second"))[0] == 200


async def test_shares(houses):
    a = houses[0]
    record = {**fresh(30), "pool": 20, "share/node-a": 10, "want/node-b": 1}
    for name, value in (("contoso/r@x/permits", encode(record)), ("contoso/r@x/day", b"{}"), ("bad/permits", b"[")):
        await a.shared.store.txn([], [Put(key=f"{KEYS.root}budget/{name}", value=value)], timeout_s=1)
    await until(lambda: f"{KEYS.root}budget/bad/permits" in a.shared.feed.items)
    assert await a.ask("GET", "/v1/shares") == (200, {"contoso/r@x": {"node-a": 10, "pool": 20}})


async def test_a_single_node_has_no_cluster_and_says_so(tmp_path):
    control, path = SmallControl(None, None), tmp_path / "s"
    server = AdminServer(control)
    await server.start_socket(path)
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as http:
        async with http.get("http://localhost/v1/cluster") as answer:
            assert (answer.status, await answer.json()) == (200, None)
        async with http.get("http://localhost/v1/shares") as answer:
            assert await answer.json() == {}
        async with http.post("http://localhost/v1/wishes", json={"kind": "drain", "reason": "x"}) as answer:
            assert (answer.status, await answer.json()) == (400, {"error": "this node belongs to no cluster"})
    await server.close()
