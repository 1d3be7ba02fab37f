"""Versions side by side with real processes: node by node to the next one and back, finalised, and what is refused.

What runs as a newer version is this program with one more level, protocol and schema (``tests/support/releases.py``).
"""

import json
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.acceptance.test_copies import ACCOUNTS, accepted, send, sent, three_nodes
from tests.acceptance.test_kill import reconciled
from tests.support import newer
from tests.support.relay import RelayProcess
from tests.support.relay_cluster import NAMES, ended
from tests.support.releases import NEWEST, TODAY
from tests.support.simulated import DOMAIN, WIDE, Simulated, directory
from tests.support.world import hand_in, relay, until, wide

A, B, C = NAMES
START_S = 120.0
UNFIT = 4
OLD = TODAY.release.version


def entry(daemon: str, version: str) -> list[str]:
    return [newer.__file__, daemon, version]


class Hosts:
    """Both daemons of each host, each of a version of its own."""

    def __init__(self, cluster):
        self.cluster, self.coordinators, self.ledgers = cluster, {}, []
        for name in NAMES:
            cluster.nodes[name].config["listeners"]["smtp"]["port"] = cluster.nodes[name].port()
            self.coordinate(name, "today")

    @property
    def nodes(self) -> list[RelayProcess]:
        return [self.node(name) for name in NAMES]

    def node(self, name: str) -> RelayProcess:
        return self.cluster.nodes[name]

    def sending(self, name: str, count: int, *more: str) -> tuple[subprocess.Popen, Path]:
        self.ledgers.append(self.cluster.home / f"ledger-{len(self.ledgers)}")
        return send(self.cluster, self.ledgers[-1], name, count, *more), self.ledgers[-1]

    def mail(self, *names: str, count: int = 60) -> None:
        """Each message is accepted only once another node has it too."""
        for name in names:
            sending, ledger = self.sending(name, count)
            sent(sending, START_S)
            assert accepted(ledger) == count

    def settled(self, cloud: Simulated) -> tuple[int, list[dict]]:
        """Wait until all is delivered; what was accepted, and what became of it."""
        total = sum(map(accepted, self.ledgers))
        until(lambda: cloud.stats()["messages"]["accepted"] >= total, START_S)
        until(lambda: not any(node.waiting() for node in self.nodes), START_S)
        return total, [reconciled(cloud, ledger)[1] for ledger in self.ledgers]

    def coordinate(self, name: str, version: str) -> subprocess.Popen:
        home = self.cluster.home / name
        command = [sys.executable, *entry("coordinator", version), str(home / "relay.yaml"), "--node", name]
        with (home / "coordinator.log").open("ab") as log:
            self.coordinators[name] = subprocess.Popen(command, stdout=log, stderr=log)
        return self.coordinators[name]

    def become(self, name: str, version: str) -> None:
        """Stop both and start them as a version."""
        node = self.cluster.nodes[name]
        ended(self.coordinators[name])
        if node.process.poll() is None:
            assert node.stop() == 0
        node.entry = entry("node", version)
        node.start(wait=False)
        self.coordinate(name, version)
        node.wait_ready(START_S)
        until(lambda: protected(node), START_S)
        until(lambda: self.coordinators_there() == set(NAMES), START_S)

    def refused(self, name: str, version: str, *says: str) -> None:
        """Stop a node, start it as a version that does not fit: it ends without having listened, and says why."""
        node = self.cluster.nodes[name]
        assert node.stop() == 0
        before = len(node.log.read_text())
        node.entry = entry("node", version)
        node.start(wait=False)
        place, heard = (self.cluster.address(name), node.config["listeners"]["smtp"]["port"]), []
        end = time.monotonic() + START_S
        while node.process.poll() is None and time.monotonic() < end:
            with suppress(OSError), socket.create_connection(place, 0.2) as connection:
                heard.append(connection)
            time.sleep(0.01)
        told = node.log.read_text()[before:]
        assert node.process.wait(1) == UNFIT, told
        assert heard == []
        assert all(each in told for each in says), told
        assert "ready" not in told

    def coordinators_there(self) -> set[str]:
        return {each["node"] for each in members(self.cluster.nodes[A]) if each["role"] == "coordinator"}

    def close(self) -> None:
        for process in self.coordinators.values():
            ended(process)


def members(node) -> list[dict]:
    return node.get("/v1/cluster")["members"]


def level(node) -> dict:
    return node.status()["level"]


def schema(node) -> int:
    connection = sqlite3.connect(node.home / "spool" / "spool.sqlite3")
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    return found


def protected(node) -> bool:
    copies = node.status()["copies"]
    return bool(copies["shadow"]) and not copies["unprotected"]


def finalise(node, *, check: bool = True) -> subprocess.CompletedProcess:
    return node.ctl("cluster", "finalise", "--reason", "all upgraded", check=check)


def said(done: subprocess.CompletedProcess) -> str:
    """What a command said, whatever the width of its terminal."""
    return " ".join(done.stderr.split())


@contextmanager
def hosts(home: Path):
    quick = {"latency": "40ms", "latency_longest": "400ms"}
    with three_nodes(home, timing=quick, copies="required") as (cluster, cloud):
        for name in NAMES:
            until(lambda name=name: protected(cluster.nodes[name]), START_S)
        found = Hosts(cluster)
        try:
            until(lambda: found.coordinators_there() == set(NAMES), START_S)
            yield found, cloud
        finally:
            found.close()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_an_upgrade_node_by_node_with_mail_copied_between_versions_then_finalised(tmp_path):
    with hosts(tmp_path) as (found, cloud):
        assert [level(node)["level"] for node in found.nodes] == [1, 1, 1]
        found.refused(
            A, "two-newer", "level 1 is in force", "version 0.3.0 knows levels 2 to 3: a version was left out"
        )
        one_is_new(found)
        one_is_old(found)
        it_is_finalised(found)
        the_old_one_is_refused(found)
        found.become(C, "two-newer")  # what was two versions ahead is one ahead now
        shown = level(found.node(C))
        assert (shown["level"], shown["oldest"], shown["newest"]) == (2, 2, 3)
        found.mail(*NAMES)
        total, results = found.settled(cloud)
    print(f"\n{total} accepted over the upgrade")
    assert [result["lost"] for result in results] == [[]] * len(results)
    assert [result["duplicated"] for result in results] == [[]] * len(results)


def one_is_new(found: Hosts) -> None:
    """Its copies go to an old one, theirs to it; it goes back and forth, and nothing can be finalised."""
    found.become(A, "one-newer")
    a = found.node(A)
    assert (level(a)["level"], level(a)["newest"], level(a)["protocol"]) == (1, 2, 1)
    assert schema(a) == NEWEST + 1
    found.mail(*NAMES)
    done = finalise(a, check=False)
    assert done.returncode == 1
    for role in ("node", "coordinator"):
        for name in (B, C):
            assert f"{role} {name} (version {OLD})" in said(done)
    assert f"{A} (version" not in said(done)
    assert level(a)["level"] == 1
    found.become(A, "today")
    found.mail(A)
    found.become(A, "one-newer")


def one_is_old(found: Hosts) -> None:
    """Its copies go to a new one. Once it is new too, a coordinator that is away is still missed."""
    found.become(C, "one-newer")
    found.mail(*NAMES)
    assert f"node {B} (version {OLD})" in said(finalise(found.node(C), check=False))
    found.become(B, "one-newer")
    ended(found.coordinators[C])
    until(lambda: found.coordinators_there() == {A, B}, START_S)
    assert f"coordinator {C} has no session" in said(finalise(found.node(A), check=False))
    found.coordinate(C, "one-newer")
    until(lambda: found.coordinators_there() == set(NAMES), START_S)


def it_is_finalised(found: Hosts) -> None:
    """While mail flows; the protocol changes at once, schemas with the next start."""
    there = json.loads(found.node(B).ctl("cluster", "members", "--json").stdout)
    versions = {(each["role"], each["version"], tuple(each["levels"])) for each in there}
    assert versions == {("node", "0.2.0", (1, 2)), ("coordinator", "0.2.0", (1, 2))}
    sending, ledger = found.sending(B, 200, "--rate", "40")
    until(lambda: accepted(ledger) >= 40, START_S)
    assert "level 2 in force" in finalise(found.node(B)).stdout
    until(lambda: [level(node)["protocol"] for node in found.nodes] == [2, 2, 2], START_S)
    sent(sending, START_S)
    assert accepted(ledger) == 200
    assert all(level(node)["actor"] and level(node)["schema_due"] == NEWEST + 2 for node in found.nodes)
    assert [schema(node) for node in found.nodes] == [NEWEST + 1] * 3
    finalise(found.node(A))


def the_old_one_is_refused(found: Hosts) -> None:
    """Neither daemon of it starts; the new one does, and its disk follows."""
    too_old = f"version {OLD} knows level 1 only: it is too old for this cluster"
    found.refused(B, "today", "level 2 is in force (finalised on ", too_old)
    ended(found.coordinators[B])
    assert found.coordinate(B, "today").wait(START_S) == UNFIT
    assert "level 2 is in force" in (found.cluster.home / B / "coordinator.log").read_text()
    b = found.node(B)
    b.entry = entry("node", "one-newer")
    b.start(wait=False).wait_ready(START_S)
    found.coordinate(B, "one-newer")
    assert schema(b) == NEWEST + 2
    until(lambda: protected(b), START_S)
    found.mail(B)


@pytest.mark.timeout(600)
def test_a_node_alone_goes_back_freely_until_it_is_finalised(tmp_path):
    with Simulated(tmp_path / "sim", directory(ACCOUNTS[:1], limits=WIDE)) as cloud, ExitStack() as stack:
        node = relay(cloud, tmp_path / "relay", wide(ACCOUNTS[0]))
        stack.callback(node.__exit__, None, None, None)

        def as_version(version: str) -> int:
            node.entry = entry("node", version)
            node.start(wait=False).wait_ready(START_S)
            hand_in(node.port(), f"app@{DOMAIN}", "someone@example.com")
            node.wait_empty()
            found = schema(node)
            assert node.stop() == 0
            return found

        assert [as_version(each) for each in ("today", "one-newer", "today", "one-newer")] == [
            NEWEST, NEWEST + 1, NEWEST + 1, NEWEST + 1,
        ]  # fmt: skip
        node.start(wait=False).wait_ready(START_S)
        assert "level 2 in force" in finalise(node).stdout
        assert f"the spool gets schema {NEWEST + 2} at the next start" in node.ctl("status").stdout
        assert node.stop() == 0
        assert as_version("one-newer") == NEWEST + 2
        node.entry = entry("node", "today")
        node.start(wait=False)
        assert node.process.wait(START_S) == UNFIT
        assert "level 2 is in force" in node.log.read_text()
        (node.home / "spool" / "kept" / "members.level").unlink()
        node.start(wait=False)
        assert node.process.wait(START_S) == UNFIT, "the disk itself knows too"
        assert f"has schema version {NEWEST + 2}, this program knows up to {NEWEST}" in node.log.read_text()
        assert as_version("one-newer") == NEWEST + 2
