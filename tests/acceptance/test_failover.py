"""A virtual address on three hosts as real processes with etcd on each: it moves, and no two kernels have it at once.

Times are measured by ``python -m tests.failover`` and stand in docs/failover.md; here only safety and coming back at
all decide, within bounds no busy machine reaches by chance.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.failover.cases import CASES
from tests.failover.figures import Binding, Service
from tests.failover.lan import VIP
from tests.failover.processes import Child, wait_for
from tests.failover.relay import TTL_S, Relay
from tests.failover.rig import ROOT, Rig, run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

TIMING = "fast"
GENEROUS_S = 10.0
"""On top of the lease: a late kernel, the wait after an unclean end, an election of etcd, a machine shared by all."""
STAY = {"nothing", "etcd-rolled"}
BACK_HOME = {"keeper-restarted"}
"""The same host may have it again."""
BY_NAME = {case.name: case for case in CASES}


def measure(home, name: str, watch_s: float | None = None) -> tuple[Service, Binding]:
    case = BY_NAME[name]

    def place_leader(rig: Rig) -> None:
        rig.subject.place_leader(rig.holder if case.leader == "holder" else rig.other)

    outcome = run(home / name, partial(Relay, timing=TIMING), case.act, watch_s or case.watch_s, place_leader)
    print(f"{name}: {outcome}")
    return outcome.service, outcome.binding


def is_safe_and_back(name: str, client: Service, address: Binding) -> None:
    assert address.overlap_s == 0
    assert client.recovered
    assert client.gap_s <= TTL_S[TIMING] + GENEROUS_S
    if name in STAY:
        assert len(address.holders) == 1, "the address moved"
    elif name not in BACK_HOME:
        assert address.moved_s is not None, "the address never moved"


@pytest.mark.timeout(300)
def test_a_killed_node_loses_the_address_to_another(tmp_path):
    client, address = measure(tmp_path, "service-killed", watch_s=TTL_S[TIMING])
    is_safe_and_back("service-killed", client, address)


@pytest.mark.timeout(300)
def test_a_planned_move_refuses_nobody(tmp_path):
    client, address = measure(tmp_path, "moved", watch_s=3)
    is_safe_and_back("moved", client, address)
    assert client.failed == {}


@pytest.mark.timeout(300)
def test_a_message_under_way_is_taken_before_a_planned_move(tmp_path):
    file, said = tmp_path / "sender", []

    def act(rig: Rig) -> None:
        command = [sys.executable, "-m", "tests.failover.sender", VIP, str(file)]
        with Child(rig.lan.client, command, tmp_path / "sender.log", PYTHONPATH=str(ROOT)) as sender:
            wait_for("half a message", lambda: file.exists() and file.read_text() == "half", GENEROUS_S)
            with ThreadPoolExecutor() as beside:
                moving = beside.submit(BY_NAME["moved"].act, rig)  # says so when it has moved
                wait_for("sessions to be seen out", lambda: "parting" in rig.subject.said(), GENEROUS_S)
                file.write_text("go")
                moving.result()
            assert sender.process.wait(GENEROUS_S) == 0, sender.said()
            said.append(file.read_text())

    outcome = run(tmp_path / "moved", partial(Relay, timing=TIMING), act, 3)
    assert said == ["250 421"]
    assert outcome.service.failed == {}
    assert outcome.binding.moved_s is not None
    assert outcome.binding.overlap_s == 0


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", [case.name for case in CASES if case.only != "keepalived"])
def test_no_fault_makes_two_holders(tmp_path, name):
    client, address = measure(tmp_path, name)
    is_safe_and_back(name, client, address)
