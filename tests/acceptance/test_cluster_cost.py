"""What a cluster costs its etcd, counted by etcd itself: three nodes and three coordinators, idle and sending."""

import re
import time

import pytest

from tests.acceptance.test_cluster_budget import feed
from tests.support.relay_cluster import NAMES, RelayCluster
from tests.support.simulated import WIDE, Simulated, directory
from tests.support.world import WIDE_ACCOUNT, client, until

STARTED = re.compile(
    r'^grpc_server_started_total\{grpc_method="(\w+)",grpc_service="etcdserverpb\.\w+".*\} ([0-9.e+]+)$', re.MULTILINE
)
WRITES = ("Put", "Txn", "DeleteRange")
IDLE_REQUESTS_S = 10.0
WRITES_PER_MESSAGE = 0.1


def requests(cluster) -> dict[str, float]:
    """Requests from clients by method, over all members; etcd's members speak to each other by other means."""
    found: dict[str, float] = {}
    for member in cluster.etcd.members:
        for method, count in STARTED.findall(member.page("/metrics")):
            found[method] = found.get(method, 0.0) + float(count)
    return found


def during(cluster, seconds: float) -> dict[str, float]:
    before = requests(cluster)
    time.sleep(seconds)  # what happens meanwhile is what is measured
    after = requests(cluster)
    return {name: after[name] - before.get(name, 0.0) for name in after if after[name] > before.get(name, 0.0)}


def keepalives(cluster, before: dict[str, int]) -> int:
    """Lease renewals travel in streams, which count as one request each; etcd counts what comes over them."""
    return sum(cluster_received(cluster).values()) - sum(before.values())


RECEIVED = re.compile(r'^grpc_server_msg_received_total\{grpc_method="LeaseKeepAlive".*\} ([0-9.e+]+)$', re.MULTILINE)


def cluster_received(cluster) -> dict[str, int]:
    return {
        member.name: int(sum(float(count) for count in RECEIVED.findall(member.page("/metrics"))))
        for member in cluster.etcd.members
    }


@pytest.mark.long
@pytest.mark.timeout(360)
def test_idle(tmp_path):
    """An idle cluster asks its etcd at most ten times a second. The name is short: a socket's path must be."""
    names = [f"relay{number}" for number in range(1, 21)]
    limits = {"rate": "30/min", "sessions": 3, "recipients": "10000/24h"}
    with (
        Simulated(tmp_path / "sim", directory(names, limits=limits)) as cloud,
        RelayCluster(
            tmp_path, cloud, {name: {"limits": limits} for name in names}, timing="steady", coordinators=True
        ) as cluster,
    ):
        until(lambda: requests(cluster).get("LeaseGrant", 0) >= 2 * len(NAMES), 90)
        time.sleep(15)  # joining, the first reading of every record and the election are not idleness
        streams = cluster_received(cluster)
        seconds = 20.0
        found = during(cluster, seconds)
        renewals = keepalives(cluster, streams)
    unary = sum(count for name, count in found.items() if name not in ("Watch", "LeaseKeepAlive"))
    rate = (unary + renewals) / seconds
    print(f"\nidle, 3 nodes, 20 accounts: {rate:.1f} requests/s ({found}, renewals {renewals})")
    assert rate <= IDLE_REQUESTS_S
    assert sum(found.get(name, 0) for name in WRITES) <= seconds, "something writes without need"


@pytest.mark.long
@pytest.mark.timeout(240)
def test_steady_sending_writes_at_most_once_for_ten_messages(tmp_path):
    """100 messages a second over three nodes through 10 accounts, for long enough that the shares have settled."""
    names = [f"relay{number}" for number in range(1, 11)]
    account = {"limits": {**WIDE_ACCOUNT["limits"], "rate": "1200/min", "sessions": 9}}
    limits = {**WIDE, "rate": "1200/min", "sessions": 9}
    timing = {"latency": "50ms", "latency_longest": "1s"}
    with (
        Simulated(tmp_path / "sim", directory(names, limits=limits, timing=timing)) as cloud,
        RelayCluster(
            tmp_path, cloud, dict.fromkeys(names, account), clients={"apps": client("127.0.0.0/8")}
        ) as cluster,
    ):
        feeding = [feed(cluster, tmp_path, name, 2_000, 33.3) for name in NAMES]
        time.sleep(15)  # the shares settle
        sent = cloud.stats()["messages"]["accepted"]
        found = during(cluster, 20)
        sent = cloud.stats()["messages"]["accepted"] - sent
        for each in feeding:
            each.kill()
            each.communicate()
        violations = cloud.stats()["violations"]["total"]
    writes = sum(found.get(name, 0) for name in WRITES)
    print(f"\nsteady: {sent / 20:.0f} messages/s, {writes / sent:.3f} writes per message ({found})")
    assert violations == 0
    assert sent >= 600, "too little was sent to say anything"
    assert writes / sent <= WRITES_PER_MESSAGE
