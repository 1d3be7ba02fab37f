"""Nodes stopped and drained under load refuse nobody: known by name, behind a balancer, by an address in the kernel.

What counts as refused: any 4xx or 5xx, a connection cut before or after the greeting, an answer that never came. Where
clients know one address only, a connection that nobody takes counts, too.
"""

import asyncio
import contextlib
import functools
import random
import select
import signal
import threading
import time

import pytest

from node.app.demo_balancer import Back, Balancer
from tests.acceptance.test_copies import protected, three_nodes
from tests.failover.lan import VIP
from tests.failover.relay import Relay
from tests.failover.rig import noted, started
from tests.support.netns import REASON, USABLE
from tests.support.relay_cluster import NAMES, RelayCluster
from tests.support.sending import Sending, refusals
from tests.support.simulated import Simulated, directory
from tests.support.smtp_client import RawSmtp
from tests.support.world import relay, until, wide

START_S = 120
ENDED_S = 60
MESSAGE = b"From: app@contoso.com\r\nSubject: x\r\n\r\nhello\r\n.\r\n"


def more(sendings, many: int, bound_s: float = 90) -> None:
    """Wait until each of them has had so many messages more accepted."""
    wanted = [(one, one.accepted() + many) for one in sendings]
    until(lambda: all(one.accepted() >= number for one, number in wanted), bound_s, 0.2)


@contextlib.contextmanager
def two_kinds(home, servers, *, rate: float, sessions: int = 8, command=()):
    """Clients of one message each, and clients that keep their sessions."""
    options = {"rate": rate, "sessions": sessions, "command": command}
    with (
        Sending(home / "once", servers, **options) as once,
        Sending(home / "kept", servers, per_connection=0, **options) as kept,
    ):
        yield once, kept


def fixed(cluster) -> list[str]:
    """Let every node come back at the port it has now; where they all listen."""
    servers = []
    for name in NAMES:
        port = cluster.nodes[name].config["listeners"]["smtp"]["port"] = cluster.nodes[name].port()
        servers.append(f"{cluster.address(name)}:{port}")
    return servers


@pytest.mark.timeout(600)
def test_a_drained_node_refuses_nobody_and_listens_again_afterwards(tmp_path):
    with three_nodes(tmp_path) as (cluster, _):
        node = cluster.nodes[NAMES[0]]
        until(lambda: protected(cluster, NAMES[0]), 30)
        servers = fixed(cluster)
        with two_kinds(tmp_path, servers, rate=20) as sendings:
            more(sendings, 60)
            node.ctl("drain", NAMES[0], "--reason", "maintenance")
            until(lambda: not node.status()["listeners"], ENDED_S)
            assert node.status()["readiness"]["reasons"] == ["draining: an operator wishes it"]
            until(lambda: node.waiting() == 0, 60, 0.1)
            more(sendings, 40)
            node.ctl("drain", NAMES[0], "--end", "--reason", "done")
            until(lambda: node.status()["readiness"]["ready"], 30)
            again = node.status()["listeners"]["smtp"]
            with RawSmtp(int(again.rpartition(":")[2]), host=cluster.address(NAMES[0])) as smtp:
                smtp.hello()
            heard = [one.end() for one in sendings]
    print("\n", heard)
    assert [refusals(one) for one in heard] == [{}, {}]


class BehindABalancer(RelayCluster):
    """Each node answers a balancer's probe at an address and port of its own."""

    def __init__(self, *args, **options):
        super().__init__(*args, coordinators=True, **options)
        self.probe_port = random.randrange(20_000, 30_000)

    def config(self, name: str) -> dict:
        probe = {"port": self.probe_port, "address": self.address(name)}
        address = {"address": "127.255.0.10", "driver": "probe", "probe": probe}
        return {**super().config(name), "virtual_addresses": {"smtp": address}, "stop_notice": "2s"}


@contextlib.contextmanager
def balancing(cluster, servers):
    """The demonstration's balancer in a thread; gives it and its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    backs = {}
    for name, server in zip(NAMES, servers, strict=True):
        host, _, port = server.rpartition(":")
        backs[name] = Back(host=host, port=int(port), probe_port=cluster.probe_port)
    balancer = Balancer("smtp", "127.0.0.1", 0, backs)
    run = lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(30)  # noqa: E731
    run(balancer.start())
    try:
        yield balancer, balancer.port
    finally:
        run(balancer.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.mark.timeout(600)
def test_behind_a_balancer_whoever_is_stopped_serves_until_the_balancer_has_noticed(tmp_path):
    """Clients know one address, so a connection that nobody takes counts as refused."""
    with three_nodes(tmp_path, kind=BehindABalancer) as (cluster, _), contextlib.ExitStack() as stack:
        servers = fixed(cluster)
        balancer, port = stack.enter_context(balancing(cluster, servers))
        until(lambda: balancer.holder, START_S)
        sendings = stack.enter_context(two_kinds(tmp_path, [f"127.0.0.1:{port}"], rate=20))
        for _ in NAMES:
            more(sendings, 40)
            holder = balancer.holder
            assert cluster.nodes[holder].stop() == 0
            until(lambda holder=holder: balancer.holder not in ("", holder), 30)
            cluster.nodes[holder].start(wait=False).wait_ready(START_S)
        heard = [one.end() for one in sendings]
    print("\n", heard)
    assert [
        refusals(one) | ({"nobody": one["connect_failed"]} if one.get("connect_failed") else {}) for one in heard
    ] == [
        {},
        {},
    ]


@pytest.mark.long
@pytest.mark.skipif(not USABLE, reason=REASON)
@pytest.mark.timeout(900)
def test_an_address_in_the_kernel_moves_when_its_sessions_have_ended(tmp_path):
    """Hosts as namespaces: a session that is open when the address leaves its kernel would be reset by the next one."""
    make, home = functools.partial(Relay, timing="fast"), tmp_path / "hosts"
    home.mkdir()
    with noted(home) as notes, started(home, notes, make) as (rig, watch):
        command = ("ip", "netns", "exec", rig.lan.client)
        with two_kinds(tmp_path, [f"{VIP}:25"], rate=50, command=command) as sendings:
            for _ in range(2):
                more(sendings, 200)
                holder = watch.holders()[0][0]
                rig.subject.end_service(holder)
                until(lambda holder=holder: watch.holders()[0] not in ([], [holder]), 30)
                rig.subject.start_service(holder)
            heard = [one.end() for one in sendings]
    print("\n", heard)
    assert [refusals(one) for one in heard] == [{}, {}]
    assert not any(one.get("connect_failed") for one in heard)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("signals", [1, 2])
def test_whoever_dribbles_holds_a_stop_for_its_part_of_the_time_only(tmp_path, signals):
    limit_s = 10 if signals == 1 else 100
    with contextlib.ExitStack() as stack:
        cloud = stack.enter_context(Simulated(tmp_path / "sim", directory(["relay1"])))
        node = stack.enter_context(relay(cloud, tmp_path / "node", wide("relay1"), stop_timeout=f"{limit_s}s"))
        data, mail = (stack.enter_context(RawSmtp(node.port(), wait_s=60)) for _ in range(2))
        for smtp in (data, mail):
            smtp.hello()
        data.envelope()
        mail.expect("250", "MAIL FROM:<app@contoso.com>")
        began = time.monotonic()
        node.process.send_signal(signal.SIGTERM)
        until(lambda: "stopping" in node.status()["readiness"]["reasons"])
        if signals == 2:
            node.process.send_signal(signal.SIGTERM)
        while not select.select([data.socket], [], [], 0.05)[0]:
            data.send(b"x")
        for smtp in (data, mail):
            assert smtp.expect("421").startswith("4.3.2")
        assert node.process.wait(60) == 0
    assert time.monotonic() - began < (limit_s + 10 if signals == 1 else 40)


@pytest.mark.timeout(300)
def test_the_message_under_way_when_a_node_is_told_to_stop_is_taken_and_delivered(tmp_path):
    with Simulated(tmp_path / "sim", directory(["relay1"])) as cloud:
        with relay(cloud, tmp_path / "node", wide("relay1")) as node, RawSmtp(node.port(), wait_s=60) as smtp:
            smtp.hello()
            smtp.envelope()
            node.process.send_signal(signal.SIGTERM)
            until(lambda: "stopping" in node.status()["readiness"]["reasons"])
            smtp.send(MESSAGE)
            smtp.expect("250")
            smtp.expect("221", "QUIT")
            assert node.process.wait(60) == 0
        assert cloud.stats()["messages"]["accepted"] == 1
