"""Commands about the cluster: what is asked of which process, what is shown, what is wrong, exit codes."""

import copy
import json
import re

import pytest

from tests.support.fake_node import FakeNode
from tests.unit.node.cli.test_node_commands import BUDGET, CONTROLS, EVIL, STATUS, T0, run, spoiled

NODE = {
    "node": "relay-a",
    "site": "dc1",
    "member": True,
    "answered": True,
    "error": "",
    "margin_ms": 8_400,
    "ready": True,
    "reasons": [],
    "clock": "fine",
    "offset_ms": 12,
    "configuration": "cafe" * 16,
    "drift": False,
    "version": "0.2",
    "levels": [1, 2],
    "shadow": "relay-b",
    "alone": "",
    "unprotected": 0,
    "lasting": 0,
    "quarantined": "",
}
PAUSE = {
    "kind": "pause",
    "what": "",
    "to": "",
    "on": True,
    "actor": "alice",
    "reason": "storage work",
    "node": "relay-a",
    "made_ms": T0,
    "until_ms": T0 + 3_600_000,
}
DEAD = {**PAUSE, "kind": "dead", "what": "relay-b", "until_ms": 0}
ETCD = {
    "endpoint": "etcd-1.corp:2379",
    "healthy": True,
    "leads": True,
    "version": "3.5.1",
    "revision": 77,
    "db_bytes": 3 << 20,
    "alarms": [],
}
CLUSTER = {
    "name": "corp-mail",
    "node": "relay-a",
    "phase": "live",
    "margin_ms": 8_400,
    "ttl_ms": 10_000,
    "silent": False,
    "refused": "",
    "blocked_by": "",
    "leader": "relay-b",
    "holders": {"smtp-dc1": "relay-a"},
    "clock": {"standing": "fine", "offset_ms": 12, "heard": {"relay-b": 12}},
    "wishes": [],
    "ignored": {},
    "nodes": [NODE, {**NODE, "node": "relay-b", "offset_ms": -3}],
    "members": [
        {
            "node": "relay-a",
            "role": "node",
            "site": "dc1",
            "version": "0.2",
            "levels": [1, 2],
            "protocols": [1, 2],
            "schemas": [3, 5],
        },
        {
            "node": "relay-b",
            "role": "coordinator",
            "site": "",
            "version": "",
            "levels": [0, 0],
            "protocols": [0, 0],
            "schemas": [0, 0],
        },
    ],
    "etcd": [ETCD],
}
ADDRESS = {
    "name": "smtp-dc1",
    "address": "10.1.0.10",
    "site": "dc1",
    "driver": "netlink",
    "holder": "relay-a",
    "held_ms": 65_000,
    "bound": True,
    "wish": "",
    "alarm": "",
    "conflict_ms": 0,
}
COORDINATOR = {
    "session": {"phase": "live", "refused": ""},
    "addresses": [ADDRESS],
    "members": [{"node": "relay-a", "role": "coordinator"}, {"node": "relay-b", "role": "node"}],
}
LEVEL = {
    "level": 1,
    "oldest": 1,
    "newest": 2,
    "protocol": 1,
    "schema": 3,
    "schema_due": 4,
    "actor": "",
    "reason": "",
    "node": "relay-a",
    "at_ms": T0,
}
METRICS = b'# HELP x y\nrelay_messages_accepted_total{client="a"} 4.0\nrelay_messages_accepted_total{client="b"} 3.0\n'


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    """A node and a coordinator on their two sockets."""
    with FakeNode(tmp_path / "admin.sock") as node, FakeNode(tmp_path / "coordinator.sock") as coordinator:
        node.answers |= {
            "/v1/status": STATUS,
            "/v1/cluster": copy.deepcopy(CLUSTER),
            "/v1/budget": BUDGET,
            "/v1/shares": {"contoso/relay1@contoso.com": {"relay-a": 20, "pool": 10}},
            "/v1/wishes": PAUSE,
            "/metrics": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(METRICS), METRICS),
            **{f"/v1/accounts/{action}": {"changed": 1} for action in ("park", "resume")},
        }
        coordinator.answers["/v1/status"] = copy.deepcopy(COORDINATOR)
        monkeypatch.setenv("RELAY_SOCKET", str(node.path))
        yield node, coordinator


def test_status_shows_the_whole_cluster(hosts):
    found = run("status")
    assert found.exit_code == 0, found.stdout
    for piece in (
        "cluster corp-mail, leader relay-b, session live, margin 8.4 of 10 s",
        "relay-b",
        "fine -3 ms",
        "absent",
        "smtp-dc1",
        "10.1.0.10",
        "1m 5s",
        "etcd-1.corp:2379",
        "leads",
        "3.0 MiB",
    ):
        assert piece in found.stdout, piece
    whole = json.loads(run("status", "--json").stdout)
    assert (whole["cluster"], whole["coordinator"], whole["troubles"]) == (CLUSTER, COORDINATOR, [])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c, o: c.update(phase="out"), "this node has no session"),
        (lambda c, o: c.update(refused="an older copy"), "etcd is not trusted: an older copy"),
        (lambda c, o: c.update(blocked_by="relay-a (boot 1, process 2)"), "another process has this node's name"),
        (lambda c, o: c.update(leader=""), "no leader"),
        (lambda c, o: c["etcd"][0].update(healthy=False), "etcd etcd-1.corp:2379 does not answer"),
        (lambda c, o: c["etcd"][0].update(alarms=["NOSPACE"]), "alarm NOSPACE"),
        (lambda c, o: c["nodes"][1].update(member=False), "relay-b is not in the cluster"),
        (lambda c, o: c["nodes"][1].update(answered=False, error="timed out"), "relay-b does not answer: timed out"),
        (lambda c, o: c["nodes"][1].update(ready=False, reasons=["disk"]), "relay-b is not ready: disk"),
        (lambda c, o: c["nodes"][1].update(lasting=7), "node relay-b: 7 messages stay on its machine alone"),
        (lambda c, o: c["nodes"][1].update(quarantined="older", member=False), "relay-b does not use its spool: older"),
        (lambda c, o: c["wishes"].append(DEAD), "relay-b is declared dead, but is there"),
        (lambda c, o: c["nodes"][1].update(drift=True), "relay-b has another configuration"),
        (lambda c, o: c["nodes"][1].update(clock="outlier", offset_ms=-5000), "relay-b is 5000 ms off"),
        (lambda c, o: c["nodes"][1].update(clock="no_majority"), "cannot tell whether its clock is right"),
        (lambda c, o: c["ignored"].update(pause="forged"), "control/pause is ignored: forged"),
        (lambda c, o: o["session"].update(phase="out"), "the coordinator has no session"),
        (lambda c, o: o["addresses"][0].update(holder=None), "nobody holds smtp-dc1"),
        (lambda c, o: o["addresses"][0].update(conflict_ms=900), "somebody else answers for smtp-dc1"),
    ],
)
def test_what_is_wrong_is_said_and_is_exit_1(hosts, change, says):
    node, coordinator = hosts
    change(node.answers["/v1/cluster"], coordinator.answers["/v1/status"])
    found = run("status")
    assert found.exit_code == 1
    assert says in found.stdout
    assert any(says in trouble for trouble in json.loads(run("status", "--json").stdout)["troubles"])


def test_a_pause_is_loud(hosts):
    hosts[0].answers["/v1/cluster"]["wishes"] = [PAUSE, {**PAUSE, "kind": "move", "what": "smtp-dc1", "to": "relay-b"}]
    found = run("status")
    assert found.exit_code == 0
    assert "PAUSED: no takeover, no adoption until 2027-01-15 09:00:00 UTC, by alice: storage work" in found.stdout
    assert "move smtp-dc1 to relay-b" in found.stdout


def test_a_node_declared_dead_is_loud_and_no_trouble_while_it_is_away(hosts):
    cluster = hosts[0].answers["/v1/cluster"]
    cluster["wishes"] = [DEAD]
    cluster["nodes"][1].update(member=False, answered=False)
    found = run("status")
    assert "DECLARED DEAD: relay-b, by alice: storage work" in found.stdout
    assert "is declared dead, but" not in found.stdout


def test_the_page_says_where_copies_go_and_what_lies_on_one_machine(hosts):
    nodes = hosts[0].answers["/v1/cluster"]["nodes"]
    nodes[0].update(shadow="", alone="nobody is there", unprotected=12)
    found = run("status")
    assert found.exit_code == 0  # while it is being copied it is no trouble
    assert "nowhere: nobody is there" in found.stdout
    assert re.search(r"relay-a .* nowhere: nobody is there +12 ", found.stdout)


def test_a_quarantined_spool_is_released_and_waited_for(hosts):
    node, quarantined = hosts[0], {"quarantined": "quarantined: older", "sending": False}
    looks = iter(
        [quarantined, quarantined, {"quarantined": "", "sending": False}, {"quarantined": "", "sending": True}]
    )

    class Changing(dict):
        def get(self, path, default=None):
            return {**STATUS, "copies": next(looks)} if path == "/v1/status" else {"released": True}

    node.answers = Changing()
    found = run("disaster", "release-spool", "--reason", "the copy is the better one")
    assert (found.exit_code, "the spool is in use again" in found.stdout) == (0, True), found.stderr
    assert node.asked[0][1:4:2] == ("/v1/disaster/release-spool", {"reason": "the copy is the better one"})
    assert next(looks, None) is None


def test_a_spool_that_is_not_in_use_in_time_is_exit_1(hosts):
    node = hosts[0]
    node.answers["/v1/disaster/release-spool"] = {"released": True}
    copies, reasons = {"quarantined": "older", "sending": False}, ["door shut: older"]
    node.answers["/v1/status"] = {**STATUS, "readiness": {"ready": False, "reasons": reasons}, "copies": copies}
    found = run("disaster", "release-spool", "--reason", "x", "--wait", "300ms")
    assert (found.exit_code, "not in use yet: door shut: older" in found.stderr) == (1, True)
    assert run("disaster", "release-spool", "--reason", "x", "--wait", "0s").exit_code == 0
    node.answers["/v1/disaster/release-spool"] = (409, {"error": "this node's spool is not quarantined"})
    found = run("disaster", "release-spool", "--reason", "x")
    assert (found.exit_code, "not quarantined" in found.stderr) == (1, True)


def test_the_page_says_which_level_is_in_force_and_what_waits(hosts):
    hosts[0].answers["/v1/status"] = {**STATUS, "level": LEVEL}
    found = run("status")
    assert found.exit_code == 0, "an upgrade under way is no trouble"
    for piece in (
        "level 1 in force, since the cluster began, 2027-01-15 08:00 UTC",
        "; this version knows 1 to 2, protocol 1, spool schema 3",
        "level 2 waits for `relayctl cluster finalise`",
        "the spool gets schema 4 at the next start",
        "0.2 (level 1 to 2)",
    ):
        assert piece in " ".join(found.stdout.split()), piece
    done = {"level": 2, "schema": 4, "protocol": 2, "actor": "alice", "reason": "all upgraded"}
    hosts[0].answers["/v1/status"] = {**STATUS, "level": LEVEL | done}
    said = " ".join(run("status").stdout.split())
    assert "level 2 in force, finalised 2027-01-15 08:00 UTC by alice at relay-a: all upgraded; this version" in said
    assert "waits for" not in said
    assert "next start" not in said


def test_members_are_listed_with_what_they_know(hosts):
    said = run("cluster", "members")
    assert re.search(r"relay-a +node +dc1 +0.2 +1 to 2 +1 to 2 +3 to 5", said.stdout)
    assert re.search(r"relay-b +coordinator +\? +cannot be read", said.stdout)
    assert json.loads(run("cluster", "members", "--json").stdout) == CLUSTER["members"]
    hosts[0].answers["/v1/cluster"] = None
    said = run("cluster", "members")
    assert (said.exit_code, "belongs to no cluster" in said.stderr) == (1, True)


def test_a_level_is_finalised_with_a_reason_or_refused_with_names(hosts):
    node = hosts[0]
    node.answers["/v1/cluster/finalise"] = LEVEL | {"level": 2, "actor": "alice", "reason": "done"}
    found = run("cluster", "finalise", "--reason", "done")
    assert (found.exit_code, "level 2 in force, finalised" in found.stdout) == (0, True)
    assert node.asked[0][1:4:2] == ("/v1/cluster/finalise", {"reason": "done"})
    assert node.asked[0][4]
    assert json.loads(run("cluster", "finalise", "--reason", "done", "--json").stdout)["level"] == 2
    node.answers["/v1/cluster/finalise"] = (409, {"error": "level 2 cannot be put in force: node relay-b is old"})
    found = run("cluster", "finalise", "--reason", "done")
    assert (found.exit_code, "node relay-b is old" in found.stderr) == (1, True)
    node.answers["/v1/cluster/finalise"] = (502, {"error": "the cluster's store: unavailable"})
    assert run("cluster", "finalise", "--reason", "done").exit_code == 3


def test_a_coordinator_that_is_silent_is_said_and_the_rest_shown(hosts, tmp_path):
    (tmp_path / "coordinator.sock").unlink()
    found = run("status")
    assert found.exit_code == 1
    assert "this host's coordinator does not answer" in found.stdout
    assert "relay-b" in found.stdout
    assert run("vip", "list").exit_code == 3


def test_a_single_node_asks_no_coordinator(hosts):
    node, coordinator = hosts
    node.answers["/v1/cluster"] = None
    found = run("status")
    assert found.exit_code == 0
    assert "cluster" not in found.stdout
    assert coordinator.asked == []


def test_budget_shows_what_is_left_and_who_holds_what(hosts):
    found = run("budget")
    assert "relay-a 20, pool 10" in found.stdout
    assert "7/30" in found.stdout
    (line,) = json.loads(run("budget", "--json").stdout)
    assert (line["left"], line["shares"]) == (23, {"relay-a": 20, "pool": 10})


@pytest.mark.parametrize(
    ("command", "order"),
    [
        (["pause", "--for", "2h"], {"kind": "pause", "on": True, "for_s": 7200}),
        (["pause", "--end"], {"kind": "pause", "on": False, "for_s": 0}),
        (["hold"], {"kind": "hold", "what": "all", "on": True, "for_s": 0}),
        (["hold", "client/apps", "--for", "30m"], {"kind": "hold", "what": "client/apps", "on": True, "for_s": 1800}),
        (["hold", "--end"], {"kind": "hold", "what": "all", "on": False, "for_s": 0}),
        (["drain"], {"kind": "drain", "what": "n1", "on": True}),
        (["disaster", "declare-dead", "relay-b"], {"kind": "dead", "what": "relay-b", "on": True, "for_s": 0}),
        (
            ["disaster", "declare-dead", "relay-b", "--for", "12h"],
            {"kind": "dead", "what": "relay-b", "on": True, "for_s": 43_200},
        ),
        (
            ["disaster", "declare-dead", "relay-b", "--undo"],
            {"kind": "dead", "what": "relay-b", "on": False, "for_s": 0},
        ),
        (
            ["disaster", "declare-dead", "relay-b", "--end"],
            {"kind": "dead", "what": "relay-b", "on": False, "for_s": 0},
        ),
        (["drain", "relay-b", "--end"], {"kind": "drain", "what": "relay-b", "on": False}),
        (
            ["vip", "move", "smtp-dc1", "--to", "relay-a"],
            {"kind": "move", "what": "smtp-dc1", "to": "relay-a", "on": True, "for_s": 600},
        ),
        (
            ["vip", "move", "smtp-dc1", "--end"],
            {"kind": "move", "what": "smtp-dc1", "to": "", "on": False, "for_s": 0},
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wishes_go_to_the_node_with_actor_and_reason(hosts, command, order):
    found = run(*command, "--reason", "storage work")
    assert found.exit_code == 0, found.stderr
    (asked,) = [each for each in hosts[0].asked if each[0] == "POST"]
    assert asked[1] == "/v1/wishes"
    assert asked[3] == {**order, "reason": "storage work"}
    assert asked[4]


def test_a_move_that_does_not_happen_is_exit_1(hosts):
    found = run("vip", "move", "smtp-dc1", "--to", "relay-b", "--reason", "x", "--wait", "500ms")
    assert found.exit_code == 1
    assert "still held by relay-a" in found.stderr
    assert run("vip", "move", "smtp-dc1", "--to", "relay-b", "--reason", "x", "--wait", "0s").exit_code == 0


@pytest.mark.parametrize(
    "command",
    [
        ["pause", "--reason", "x"],
        ["pause", "--for", "2h", "--end", "--reason", "x"],
        ["pause", "--for", "2h"],
        ["pause", "--for", "soon", "--reason", "x"],
        ["hold"],
        ["drain"],
        ["vip", "move", "smtp-dc1", "--reason", "x"],
        ["vip", "move", "smtp-dc1", "--to", "a", "--end", "--reason", "x"],
        ["vip"],
        ["disaster"],
        ["disaster", "declare-dead", "--reason", "x"],
        ["disaster", "declare-dead", "relay-b"],
        ["disaster", "release-spool"],
        ["cluster"],
        ["cluster", "finalise"],
        ["disaster", "release-spool", "--reason", "x", "--wait", "long"],
        ["top", "--once", "--every", "1ms"],
        ["top", "--every", "often"],
    ],
    ids=" ".join,
)
def test_wrong_use_is_exit_2_and_wishes_nothing(hosts, command):
    assert run(*command).exit_code == 2
    assert not [each for each in hosts[0].asked if each[0] == "POST"]


def test_a_cluster_that_cannot_be_reached_is_exit_3(hosts):
    hosts[0].answers["/v1/wishes"] = (502, {"error": "the cluster's store: unavailable"})
    hosts[0].answers["/v1/accounts/park"] = (502, {"error": "the cluster's store: unavailable"})
    found = run("pause", "--for", "2h", "--reason", "x")
    assert (found.exit_code, "the cluster's store: unavailable" in found.stderr) == (3, True)
    assert run("account", "park", "a", "--reason", "x").exit_code == 3


def test_an_account_can_be_parked_on_this_node_only(hosts):
    run("account", "park", "a", "--here", "--reason", "x")
    assert hosts[0].asked[0][3] == {"account": "a", "reason": "x", "here": True}


def test_vip_list(hosts):
    found = run("vip", "list")
    assert "smtp-dc1" in found.stdout
    assert json.loads(run("vip", "list", "--json").stdout) == [ADDRESS]


def test_top_once(hosts):
    found = run("top", "--once")
    assert found.exit_code == 0, found.stdout
    for piece in ("n1 ready", "corp-mail", "accepted 0.0/s", "queue: queued 2", "7/30", "locked"):
        assert piece in found.stdout, found.stdout


@pytest.mark.parametrize("command", [["status"], ["budget"], ["vip", "list"], ["top", "--once"]], ids=" ".join)
def test_no_foreign_text_drives_the_terminal(hosts, command):
    node, _ = hosts
    node.answers["/v1/cluster"]["wishes"] = [PAUSE]
    node.answers["/v1/cluster"]["ignored"] = {EVIL: EVIL}
    for host in hosts:
        host.answers = {
            path: answer if isinstance(answer, bytes) else spoiled(answer) for path, answer in host.answers.items()
        }
    found = run(*command)
    assert found.exit_code in (0, 1), found.stderr
    assert "[red]boo[/red]" in found.stdout
    assert not CONTROLS.search(found.stdout.replace("\n", ""))
