"""A collector that takes connections and never answers: mail is taken and delivered, nothing waits, nothing grows."""

import os
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.settings.host import TelemetrySettings
from node.settings.mail import Tenant
from node.settings.model import Settings
from node.telemetry import spans as queueing
from node.telemetry.assembly import build
from node.telemetry.contract import FinishedSpan
from tests.support.relay import RelayProcess
from tests.support.simulated import DOMAIN, Simulated
from tests.support.world import QUICK, client, hand_in, until

COUNT = 120
GROWN_MAX_BYTES = 64 << 20
"""What a process may grow by over the test, span queue included: several times what mail of this size needs."""


@contextmanager
def black_hole():
    """Connections are taken and held; nothing is read from them and nothing said."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        listening.settimeout(0.1)
        over = threading.Event()

        def take() -> None:
            while not over.is_set():
                try:
                    held.append(listening.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield listening.getsockname()[1], held
        finally:
            over.set()
            thread.join()
            for one in held:
                one.close()


def config(cloud: Simulated, otlp: str, protocol: str) -> dict:
    return {
        "hostname": "relay.test",
        "listeners": {"smtp": {"port": 0, "address": "127.0.0.1", "auth": "none"}},
        "tenant": {
            "id": "t.example", "domains": [DOMAIN],
            "smarthost": {"host": "127.0.0.1", "port": cloud.ready["smtp"], "tls": "none"},
        },
        "routes": {"internal": ["smarthost"], "external": ["smarthost"]},
        "plans": {"quick": {"retry": QUICK, "outside_tenant": True}},
        "clients": {"apps": client("127.0.0.0/8", plan="quick")},
        "intake": {"processes": 1},
        "limits": {"disk_free_low": "1MiB", "disk_free_high": "2MiB"},
        "telemetry": {"otlp": otlp, "protocol": protocol},
    }  # fmt: skip


def resident_bytes(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_mail_is_taken_and_delivered_all_the_same(tmp_path, protocol):
    with (
        black_hole() as (port, held),
        Simulated(tmp_path / "sim", {"smarthost": {"tls": "none"}}) as cloud,
        RelayProcess(tmp_path / "node", config(cloud, f"http://127.0.0.1:{port}", protocol)) as node,
    ):
        until(lambda: hand_in(node.port(), f"app@{DOMAIN}", "first@example.com") and held, 30)
        before = resident_bytes(node.process.pid)
        for number in range(COUNT):  # each is answered 250, or ``hand_in`` fails
            hand_in(node.port(), f"app@{DOMAIN}", f"r{number}@example.com")
        node.wait_empty(120)
        until(lambda: cloud.stats()["messages"]["accepted"] >= COUNT + 1, 60)
        assert held, "the collector was spoken to, and silent, all the time"
        assert resident_bytes(node.process.pid) - before < GROWN_MAX_BYTES
        assert node.stop(60) == 0, "the end waits for it no longer than its bound either"


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_spans_beyond_the_bound_are_dropped_and_counted_while_the_exporter_hangs(monkeypatch, protocol):
    monkeypatch.setattr(queueing, "QUEUE_MAX", 500)
    monkeypatch.setattr(queueing, "BATCH_MAX", 50)
    monkeypatch.setattr("node.telemetry.assembly.CLOSE_TIMEOUT_S", 0.2)
    monkeypatch.setattr("node.telemetry.sdk.EXPORT_TIMEOUT_S", 1.0)
    with black_hole() as (port, held):
        options = TelemetrySettings(otlp=f"http://127.0.0.1:{port}", protocol=protocol)
        tenants = {"t": Tenant(id="t", domains=(DOMAIN,))}
        telemetry = build(Settings(hostname="r.test", tenants=tenants, telemetry=options), role="intake")
        report(telemetry, 60)
        until(lambda: held, 20)  # from here on the exporter is inside a call that does not come back
        report(telemetry, 5_000)
        waiting = len(telemetry._spans._queue)
        assert waiting <= queueing.QUEUE_MAX
        telemetry.close()
        dropped = telemetry.numbers.counts[("relay_spans_dropped", ())]
        assert dropped >= 5_000 - queueing.QUEUE_MAX - 2 * queueing.BATCH_MAX


def report(telemetry, many: int) -> None:
    for _ in range(many):
        telemetry.span(FinishedSpan(name="relay.commit", context=telemetry.root(), start_ns=1, end_ns=2))
