"""relay-coordinator as real processes on hosts of their own: an address moves, stays, and is never in two kernels."""

import signal
import subprocess
import sys
import time

import pytest

from coordinator.wishes import Kind
from tests.support.coordinators import ROOT, Coordinators, wait_for

TTL_S = 5.0
"""Timing ``fast``."""


@pytest.fixture
def pair(tmp_path):
    with Coordinators(tmp_path) as cluster:
        yield cluster


def settled(cluster, count=None):
    """Everybody's session is older than a lease, so everybody may take the address; who holds it."""
    for number in range(count or cluster.hosts):
        wait_for("an old session", lambda number=number: aged(cluster, number))
    return cluster.holder()


def aged(cluster, number):
    page = cluster.get(number)
    session = page["session"] if page else {}
    return page and session["phase"] == "live" and page["uptime_ms"] > session["ttl_ms"] + 300


def events(cluster, number, what):
    return [each for each in cluster.coordinators[number].events() if each.get("what") == what]


@pytest.mark.timeout(400)
def test_it_moves_when_its_node_is_gone_or_not_ready_and_at_an_operators_wish(pair):
    holder = settled(pair)
    other = 1 - holder
    assert pair.client_sees() == pair.names[holder]
    pair.nodes[holder].kill()
    assert pair.holder(but=holder) == other
    assert events(pair, holder, "resigned"), "nobody waited for a lease"
    assert pair.client_sees() == pair.names[other]
    pair.nodes[holder].start()
    wait_for("the node to be back", lambda: pair.page(holder)["node_ready"]["ready"])

    why = pair.run_dir(other) / "admin.why"
    why.write_text("disk full")
    assert pair.holder(but=other) == holder
    page = pair.page(other)
    assert page["node_ready"]["reasons"] == ["disk full"]
    assert pair.view(holder)["candidates"] == [pair.names[holder]]
    pair.wish(Kind.MOVE, "smtp", to=pair.names[other])
    time.sleep(1)
    assert pair.holder() == holder, "a wish gives nothing to a node that is not ready"
    why.unlink()
    assert pair.holder(but=holder) == other
    view = pair.view(other)
    assert view["bound"]
    assert view["mine"]
    assert view["wish"] == view["holder"] == pair.names[other]
    assert 0 < view["lifetime_ms"] <= TTL_S * 1000 - 1000
    assert view["interface"] == "eth0"
    assert not view["alarm"]

    pair.wish(Kind.MOVE, "smtp", to=pair.names[other], on=False)
    pair.wish(Kind.DRAIN, pair.names[other])
    assert pair.holder(but=other) == holder
    assert pair.page(holder)["draining"] == [pair.names[other]]
    text = pair.get(holder, "/metrics")
    assert 'relay_coordinator_address_bound{address="smtp"} 1' in text
    assert "relay_coordinator_node_ready 1" in text


@pytest.mark.timeout(400)
def test_it_moves_when_its_node_hangs_though_the_process_lives(pair):
    holder = settled(pair)
    pair.nodes[holder].send(signal.SIGSTOP)
    assert pair.holder(but=holder) == 1 - holder
    assert not pair.bound(holder)
    assert events(pair, holder, "resigned"), "nobody waited for a lease"
    pair.nodes[holder].send(signal.SIGCONT)
    wait_for("the node to be ready", lambda: pair.page(holder)["node_ready"]["ready"])


@pytest.mark.timeout(400)
def test_stopped_it_leaves_cleanly_and_killed_and_started_it_speaks_for_its_predecessor(pair):
    holder = settled(pair)
    other = 1 - holder
    assert pair.coordinators[holder].end() == 0
    assert not pair.bound(holder)
    assert pair.holder(but=holder) == other
    assert events(pair, holder, "resigned")
    keys = pair.keys()
    assert keys["vip/smtp"] == pair.names[other]
    assert f"coordinators/{pair.names[holder]}" not in keys
    assert f"ready/{pair.names[holder]}" not in keys

    pair.coordinators[holder].start()
    wait_for("its session to be old", lambda: aged(pair, holder))
    pair.coordinators[other].kill()
    pair.coordinators[other].start()
    wait_for("its new session", lambda: (pair.get(other) or {}).get("session", {}).get("phase") == "live")
    heir = pair.holder()
    wait_for("one mind about it", lambda: [pair.view(n)["holder"] for n in range(2)] == 2 * [pair.names[heir]])
    why = pair.run_dir(heir) / "admin.why"
    why.write_text("disk full")
    pair.holder(but=heir)


@pytest.mark.timeout(400)
def test_killed_for_good_or_frozen_the_kernel_lets_go_before_another_takes(pair):
    holder = settled(pair)
    other = 1 - holder
    pair.coordinators[holder].send(signal.SIGSTOP)
    assert pair.holder(but=holder) == other
    assert not pair.bound(holder), "its kernel had let go by itself"
    pair.coordinators[holder].send(signal.SIGCONT)
    wait_for("its new session", lambda: (pair.get(holder) or {}).get("session", {}).get("phase") == "live")
    wait_for("its session to be old", lambda: aged(pair, holder))
    assert pair.holder() == other
    told = pair.page(holder)
    assert told["held_up"]["worst_ms"] > 1_000
    assert any("was not run" in text for text in told["alarms"])
    pair.coordinators[other].kill()
    assert pair.holder(but=other) == holder
    assert not pair.bound(other)


@pytest.mark.timeout(400)
def test_under_pause_nothing_is_taken_after_an_unclean_end(pair):
    holder = settled(pair)
    other = 1 - holder
    pair.wish(Kind.PAUSE)
    wait_for("the pause", lambda: pair.page(other)["pause"]["paused"])
    pair.coordinators[holder].kill()
    wait_for("the key's end", lambda: pair.view(other)["holder"] is None)
    time.sleep(4)
    assert pair.holders() == []
    pair.wish(Kind.PAUSE, on=False)
    assert pair.holder() == other


@pytest.mark.timeout(400)
def test_a_second_coordinator_on_a_host_touches_nothing(pair):
    holder = settled(pair)
    done = subprocess.run(
        ["ip", "netns", "exec", pair.lan.hosts[holder], *pair.coordinators[holder].command],
        capture_output=True, text=True, cwd=ROOT, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "locked by a running process" in done.stderr
    assert pair.holders() == [holder]
    assert pair.page(holder)["session"]["phase"] == "live"


@pytest.mark.timeout(400)
def test_a_node_is_added_by_a_reload_and_the_addresss_list_follows(tmp_path):
    with Coordinators(tmp_path, hosts=3) as cluster:
        pass_over = cluster.coordinators[2]
        pass_over.kill()
        two = cluster.names[:2]
        for number in range(2):
            cluster.coordinators[number].kill()
            cluster.configure(cluster.names[number], nodes=two)
            cluster.coordinators[number].start()
        holder = settled(cluster, 2)
        wait_for("the list of two", lambda: cluster.keys().get("vip-nodes/smtp") == sorted(two))
        cluster.configure(cluster.names[holder])
        cluster.coordinators[holder].send(signal.SIGHUP)
        wait_for("the longer list", lambda: cluster.keys()["vip-nodes/smtp"] == sorted(cluster.names))
        stale = [f"coordinator {cluster.names[1 - holder]}"]
        wait_for("drift", lambda: cluster.page(holder)["config"]["drift"] == stale)
        pass_over.start()
        cluster.configure(cluster.names[1 - holder])
        cluster.coordinators[1 - holder].send(signal.SIGHUP)
        wait_for(
            "agreement", lambda: [(cluster.get(n) or {}).get("config", {}).get("drift") for n in range(3)] == 3 * [[]]
        )
        assert cluster.holders() == [holder]
        for number in range(2):
            cluster.configure(cluster.names[number], nodes=two)
            cluster.coordinators[number].send(signal.SIGHUP)
        assert pass_over.end() == 0
        wait_for("the shorter list", lambda: cluster.keys()["vip-nodes/smtp"] == sorted(two))
        assert cluster.holders() == [holder]


@pytest.mark.timeout(400)
def test_through_a_silence_of_the_store_it_stays_by_everybodys_word_and_one_leader_is_found(tmp_path):
    with Coordinators(tmp_path, hosts=2, members=3, timing="steady") as cluster:
        holder = settled(cluster)
        leader = wait_for("a leader", lambda: cluster.page(0)["leader"])
        assert [cluster.page(n)["leading"] for n in range(2)] == [name == leader for name in cluster.names]
        for member in cluster.etcd:
            member.send(signal.SIGSTOP)
        end = time.monotonic() + 4 * TTL_S  # two leases of ``steady``
        while time.monotonic() < end:
            assert set(cluster.holders()) <= {holder}
        page = cluster.page(holder)
        assert cluster.holders() == [holder], "long after the lease's end"
        assert page["session"]["silent"]
        assert page["addresses"][0]["kept_ms"] > 0
        other = cluster.view(1 - holder)
        assert other["promised_to"] == cluster.names[holder]
        cluster.coordinators[1 - holder].send(signal.SIGSTOP)
        wait_for("nobody's word, so nobody's address", lambda: cluster.holders() == [])
        cluster.coordinators[1 - holder].send(signal.SIGCONT)
        for member in cluster.etcd:
            member.send(signal.SIGCONT)
        cluster.holder()


@pytest.mark.timeout(400)
def test_a_host_that_is_gone_is_replaced_early_by_all_words_and_only_then(tmp_path):
    with Coordinators(tmp_path, hosts=3, timing="steady", cluster={"early_takeover": True}) as cluster:
        holder = cluster.holder()
        others = [number for number in range(3) if number != holder]
        wait_for("the leash", lambda: all(cluster.page(n)["early"]["leashed"] == ["smtp"] for n in others))
        cluster.coordinators[others[0]].send(signal.SIGSTOP)
        time.sleep(3)
        assert cluster.holder() == holder
        cluster.coordinators[others[0]].send(signal.SIGCONT)
        wait_for("all sessions", lambda: all(cluster.page(n)["session"]["phase"] == "live" for n in others))
        wait_for("the leash again", lambda: all(cluster.page(n)["early"]["leashed"] == ["smtp"] for n in others))
        cluster.coordinators[holder].send(signal.SIGSTOP)
        taker = cluster.holder(but=holder)
        assert not cluster.bound(holder)
        assert cluster.page(taker)["early"]["takeovers"] == 1
        assert events(cluster, taker, f"taken early from {cluster.names[holder]}")
        cluster.coordinators[holder].send(signal.SIGCONT)
        time.sleep(3)
        assert cluster.holder() == taker


@pytest.mark.timeout(400)
def test_values_go_into_force_once_all_living_nodes_want_them(pair):
    settled(pair)
    wanted = {"hash": "h1", "nodes": ["relay-a", "relay-b"], "limits": {"x": [30]}}
    for name in pair.names:
        pair.put(f"members/{name}", {"node": name, "boot_id": "b", "process_id": "p", "config_hash": "h1"})
    pair.put("wanted/relay-a", wanted)
    time.sleep(2)
    assert pair.keys().get("config") is None, "one of two"
    pair.put("wanted/relay-b", wanted)
    wait_for("values in force", lambda: pair.keys().get("config") == {"revision": 1, **wanted})
    pair.put("wanted/relay-b", "no json")
    pair.put("wanted/relay-a", wanted | {"hash": "h2"})
    time.sleep(2)
    assert pair.keys()["config"]["revision"] == 1
    view = wait_for("what is wanted", lambda: pair.page(0)["config"]["wanted"])
    assert view == {"relay-a": "h2", "relay-b": "?"}


@pytest.mark.timeout(60)
def test_a_configuration_that_cannot_be_used_is_refused_with_every_fault(tmp_path):
    file = tmp_path / "relay.yaml"
    file.write_text("cluster: {name: c, nodes: {a: {site: s, address: nowhere}}, etcd: [], pki: /none, colour: red}\n")
    done = subprocess.run(
        [sys.executable, "-m", "coordinator", str(file), "--node", "a"],
        capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    for word in ("nowhere", "colour", "etcd"):
        assert word in done.stderr
    assert "Traceback" not in done.stderr
