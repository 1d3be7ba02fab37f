"""The harness itself: what client and watcher say of addresses and servers put there by hand."""

import os
import sys
import time
from contextlib import closing

import pytest

from tests.failover.figures import binding, service
from tests.failover.lan import VIP, Lan, end_all, pids, sh, sweep
from tests.failover.processes import Child, tree, wait_for
from tests.failover.rig import Client, Watch

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

GREETER = """
import socket, sys
server = socket.create_server(("", 25))
while True:
    connection, _ = server.accept()
    with connection:
        connection.sendall(b"220 here\\r\\n")
        connection.recv(100)
"""

KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 9), timeout=0.5)
except ConnectionRefusedError:
    print("refused")
except OSError:
    print("nothing")
"""
BETWEEN_LOOKS_S = 0.25
"""Twice what two looks were ever apart on a busy machine."""


def bind(lan: Lan, host: int, word: str = "add") -> None:
    sh("ip", "-n", lan.hosts[host], "addr", word, f"{VIP}/32", "dev", "eth0")


@pytest.fixture
def lan():
    with Lan() as made:
        yield made
    assert not [name for name in sh("ip", "netns", "list").splitlines() if name.startswith(f"fo{os.getpid()}-")]


def test_the_watcher_sees_an_overlap_as_long_as_it_was(lan, tmp_path):
    watch = Watch(tmp_path, lan)
    with closing(watch):
        watch.start()
        begun = time.monotonic()
        bind(lan, 0)
        wait_for("the first holder", lambda: watch.holders()[0] == [0], 5)
        bind(lan, 1)
        both = time.monotonic()
        wait_for("two holders", lambda: watch.holders()[0] == [0, 1], 5)
        time.sleep(0.3)  # the overlap that is to be measured
        parting = time.monotonic()
        bind(lan, 0, "del")
        parted = time.monotonic()
        wait_for("one holder again", lambda: watch.holders()[0] == [1], 5)
        watch.end(begun)
    found = binding(watch.changes(), begun, time.monotonic())
    assert found.holders == (0, 1)
    assert parting - both <= found.overlap_most_s
    assert found.overlap_s <= parted - both + BETWEEN_LOOKS_S
    assert found.overlap_most_s - found.overlap_s < BETWEEN_LOOKS_S


@pytest.mark.parametrize("host", [0, 1, 2])
def test_the_watcher_outlives_every_host(lan, tmp_path, host):
    watch = Watch(tmp_path, lan)
    with closing(watch):
        watch.start()
        end_all(lan.hosts[host])
        assert watch.child.running
        watch.end(0.0)


def test_the_watcher_sees_the_kernel_let_an_address_go_by_itself(lan, tmp_path):
    watch = Watch(tmp_path, lan)
    with closing(watch):
        watch.start()
        sh("ip", "-n", lan.hosts[2], "addr", "add", f"{VIP}/32", "dev", "eth0", "valid_lft", "2", "preferred_lft", "0")
        wait_for("the holder", lambda: watch.holders()[0] == [2], 5)
        wait_for("nobody", lambda: watch.changes() and watch.holders()[0] == [], 5)
    gained, lost = watch.changes()
    assert 1.8 < lost.at - gained.at < 4


def test_the_client_is_served_refused_and_left_alone_as_it_was(lan, tmp_path):
    client = Client(tmp_path, lan)
    bind(lan, 1)
    with Child(lan.hosts[1], [sys.executable, "-c", GREETER], tmp_path / "greeter.log") as server, client.child:
        wait_for("a client served", client.warm, 20)
        since = time.monotonic()
        server.kill()
        wait_for("refusals", lambda: sum(a.outcome == "refused" for a in client.attempts()) >= 10, 20)
        lan.link(1, up=False)
        parted = time.monotonic()
        wait_for("silence", lambda: any(a.started > parted and a.outcome == "timeout" for a in client.attempts()), 20)
        client.child.stop()
    found = service(client.attempts(), since, time.monotonic())
    assert found.failed["refused"] >= 10
    assert set(found.failed) <= {"refused", "timeout", "reset", "closed", "No route to host"}
    assert not found.recovered


def test_a_cut_host_keeps_its_carrier_and_one_without_link_does_not(lan):
    def carrier(host: int) -> str:
        return sh("ip", "netns", "exec", lan.hosts[host], "cat", "/sys/class/net/eth0/carrier").strip()

    def reached(host: int) -> bool:
        said = sh("ip", "netns", "exec", lan.client, sys.executable, "-c", KNOCK, lan.address(host))
        return said == "refused\n"

    assert reached(0)
    lan.cut(0, off=True)
    assert (carrier(0), reached(0)) == ("1", False)
    lan.cut(0, off=False)
    assert reached(0)
    lan.link(0, up=False)
    assert (carrier(0), reached(0)) == ("0", False)


def test_a_kill_takes_all_a_program_started(lan, tmp_path):
    command = ["/bin/sh", "-c", "sleep 100 & sleep 100 & wait"]
    child = Child(lan.hosts[0], command, tmp_path / "log")
    child.start()
    wait_for("three processes", lambda: len(tree(child.pid)) == 3, 5)
    child.kill()
    wait_for("none left", lambda: not pids(lan.hosts[0]), 5)


def test_leftovers_of_a_run_that_is_gone_are_swept():
    gone = "fo4194304-0h0"  # no process id is that high
    sh("ip", "netns", "add", gone)
    sweep()
    assert gone not in sh("ip", "netns", "list")
