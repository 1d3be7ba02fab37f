"""The small parts: notices to systemd, alarms, log lines, what a reload may change, metrics, wishes' authorities."""

import asyncio
import contextlib
import json
import logging
import socket
from pathlib import Path

import msgspec
import pytest

from coordinator import notify
from coordinator.daemon import alarms, logs, metrics, view
from coordinator.daemon.alarms import Alarms
from coordinator.daemon.former import release_former
from coordinator.daemon.shape import Shape, nodes_now, reloaded
from coordinator.daemon.wishing import CurrentVerifier
from coordinator.inforce import InForce
from coordinator.keys import Keys
from coordinator.notify import Notifier
from coordinator.pki import Pki
from coordinator.settings.cluster import Cluster, CoordinatorPart, VirtualAddress
from coordinator.store.contract import Indefinite, Put
from coordinator.store.memory import MemoryStore
from coordinator.wishes import BadWish, Kind
from tests.support.pki import ClusterAuthority
from tests.support.status_page import status_page

KEYS = Keys(cluster="c")
NODES = {"a": {"site": "dc1", "address": "10.1.0.1"}, "b": {"site": "dc1", "address": "10.1.0.2"},
         "c": {"site": "dc2", "address": "10.2.0.1"}}  # fmt: skip


def shape(nodes=NODES, **changes):
    addresses = {
        "one": VirtualAddress(address="10.1.0.10", site="dc1", prefer="a"),
        "all": VirtualAddress(address="10.3.0.10"),
        "named": VirtualAddress(address="10.3.0.11", nodes=("c",)),
    }
    cluster = Cluster.model_validate({"name": "c", "nodes": nodes, "etcd": ["e"], "pki": "/pki"})
    told = {"node": "a", "cluster": cluster, "addresses": addresses, "hash": "h", "runtime": Path("/r"),
            "own": CoordinatorPart(state=Path("/s"))}  # fmt: skip
    return Shape(**told | changes)


def test_an_address_belongs_to_its_site_or_to_the_nodes_named():
    assert shape().listed("one") == ("a", "b")
    assert shape().listed("all") == ("a", "b", "c")
    assert shape().listed("named") == ("c",)
    assert shape().site == "dc1"


def test_a_reload_takes_what_it_can_and_names_the_rest():
    four = NODES | {"d": {"site": "dc1", "address": "10.1.0.3"}}
    fresh = shape(four, hash="h2", runtime=Path("/other"))
    fresh.addresses["one"] = VirtualAddress(address="10.1.0.99", site="dc1", prefer="b", hold=5.0)
    fresh.addresses["new"] = VirtualAddress(address="10.1.0.77")
    after, later = reloaded(shape(), fresh)
    assert after.listed("one") == ("a", "b", "d")
    assert (after.addresses["one"].prefer, after.addresses["one"].hold) == ("b", 5.0)
    assert str(after.addresses["one"].address) == "10.1.0.10"
    assert after.hash == "h2"
    assert "new" not in after.addresses
    assert set(later) == {"runtime", "virtual_addresses.new", "virtual_addresses.one"}
    assert reloaded(shape(), shape()) == (shape(), ())


def test_a_reload_that_leaves_ourselves_out_keeps_the_list():
    after, later = reloaded(shape(), shape({name: about for name, about in NODES.items() if name != "a"}))
    assert "a" in after.cluster.nodes
    assert any("drain and stop" in text for text in later)


def test_the_longer_list_of_nodes_counts():
    assert nodes_now(shape(), None) == ("a", "b", "c")
    assert nodes_now(shape(), InForce(revision=1, hash="x", nodes=("a", "old"))) == ("a", "b", "c", "old")


@pytest.fixture
def systemd(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(2)
        yield {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "80000"}, heard


async def test_systemd_hears_while_the_work_moves(systemd):
    environment, heard = systemd
    notifier, late_ms = Notifier(environment), [0]
    notifier.tell("READY=1")
    assert heard.recv(100) == b"READY=1"
    task = asyncio.create_task(notifier.watch(lambda: late_ms[0]))
    assert await asyncio.to_thread(heard.recv, 100) == b"WATCHDOG=1"
    late_ms[0] = notify.LATE_MS
    await asyncio.sleep(0.1)
    heard.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while heard.recv(100):
            pass
    await asyncio.sleep(0.1)
    with pytest.raises(BlockingIOError):
        heard.recv(100)
    task.cancel()


async def test_without_systemd_nothing_is_told():
    notifier = Notifier({"WATCHDOG_USEC": "x"})
    notifier.tell("READY=1")
    Notifier({"NOTIFY_SOCKET": "/nowhere/at/all"}).tell("READY=1")
    Notifier({"NOTIFY_SOCKET": "@nobody-listens-there"}).tell("READY=1")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(notifier.watch(lambda: 0), 0.05)


def test_an_alarm_is_told_once_a_minute_and_the_newest_are_kept(caplog):
    now = [0]
    known = Alarms(lambda: now[0])
    for now[0] in range(0, 120_000, 1_000):
        known.raise_("disk", about="smtp")
    assert [record.cause for record in caplog.records] == ["disk", "disk"]
    assert known.total == 120
    assert known.about("smtp") == "disk"
    assert known.about("other") == ""
    for number in range(3 * alarms.TEXTS_MAX):
        known.raise_(f"text {number}")
    assert len(known.newest) == alarms.KEPT
    assert known.newest[-1] == f"text {3 * alarms.TEXTS_MAX - 1}"
    assert len(known._told_ms) <= alarms.TEXTS_MAX


def test_a_log_line_stays_one_line_whatever_is_in_it():
    record = logging.makeLogRecord({"name": "coordinator", "levelno": 30, "levelname": "WARNING", "msg": "a\nb%s",
                                    "args": ("c",), "why": Path("x\ny"), "count": 3})  # fmt: skip
    line = logs.JsonLines().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert (told["event"], told["why"], told["count"], told["level"]) == ("a\nbc", "x\ny", 3, "warning")
    error = ZeroDivisionError()
    record.exc_info = (type(error), error, error.__traceback__)
    assert "ZeroDivisionError" in json.loads(logs.JsonLines().format(record))["exception"]


def test_metrics_are_prometheus_text():
    from prometheus_client.parser import text_string_to_metric_families

    text = metrics.exposition(status_page(), alarms=4)
    found = {
        sample.name.removeprefix("relay_coordinator_"): (sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["session_margin_seconds"] == ({}, 3.5)
    assert found["address_bound"] == ({"address": 'x"\n\\'}, 1.0)
    assert found["address_vacant"][1] == 1.0
    assert found["peer_heard_seconds"] == ({"peer": "b"}, 0.2)
    assert found["etcd_alarm"][1] == 1.0
    assert found["config_drift"][1] == 1.0
    assert found["alarms_total"][1] == 4.0
    assert found["early_takeovers_total"][1] == 2.0
    assert found["held_up_seconds_total"][1] == 1.25


def test_the_page_survives_its_own_encoding():
    assert msgspec.json.decode(msgspec.json.encode(status_page()), type=view.Status) == status_page()


def test_a_wish_is_checked_by_the_authorities_of_now(tmp_path):
    from coordinator.signing import Signer
    from tests.support.wishes import wish

    authority = ClusterAuthority("corp")
    verifier = CurrentVerifier("corp", Pki(tmp_path / "pki"), lambda: ("node-a",))
    with pytest.raises(BadWish, match="no authority"):
        verifier.verify("k", b"{}")
    made = wish(Kind.DRAIN)
    for each in (authority, ClusterAuthority("corp", label="the next")):
        each.write(tmp_path / "pki", "node-a")
        pki = Pki(tmp_path / "pki").read()
        value = Signer("corp", pki.certificate, pki.key).sign("k", made)
        assert verifier.verify("k", value) == made
    (tmp_path / "pki" / "ca.pem").unlink()
    assert verifier.verify("k", value) == made, "what was read before serves on"


class Held:
    def __init__(self, lease):
        self.lease = lease

    def read(self):
        return self.lease


async def test_a_predecessors_keys_go_and_only_its_own():
    store = MemoryStore()
    mine, other = await store.grant(60, timeout_s=1), await store.grant(60, timeout_s=1)
    puts = [Put(key=KEYS.address(name), value=b'"a"', lease=lease) for name, lease in (("x", mine), ("y", other))]
    await store.txn([], puts, timeout_s=1)
    joined = joined_to(store, mine)
    assert await release_former(joined, ["x", "y", "z"], timeout_s=1) == ("x",)
    assert await store.get(KEYS.address("x"), timeout_s=1) is None
    assert await store.get(KEYS.address("y"), timeout_s=1) is not None
    assert await release_former(joined_to(store, 0), ["y"], timeout_s=1) == ()


async def test_a_store_that_does_not_answer_holds_up_no_start():
    class Silent(MemoryStore):
        async def txn(self, compares, writes, *, timeout_s):
            await asyncio.sleep(timeout_s)
            raise Indefinite("silent")

    assert await release_former(joined_to(Silent(), 7), ["x"], timeout_s=0.05) == ()


def joined_to(store, lease):
    class Joined:
        keys, held = KEYS, Held(lease)

    Joined.store = store
    return Joined()
