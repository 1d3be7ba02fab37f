"""The rules and dashboards shipped, on a real Prometheus that scrapes a real cluster under mail."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from node.monitoring.grafana import boards, filled
from tests.support.ports import free_ports
from tests.support.relay_cluster import NAMES, RelayCluster
from tests.support.simulated import Simulated, directory
from tests.support.world import hand_in, until, wait_state, wide

pytestmark = [
    pytest.mark.skipif(not shutil.which("prometheus"), reason="needs Debian's package prometheus"),
    pytest.mark.timeout(180),
]
ALWAYS = {
    "Doors open", "Mail on one machine only", "Coordinators alive", "Leaders", "Ways that rest", "Spools in quarantine",
    "Accepted and delivered", "Recipients by state", "From acceptance to delivery", "Left until the session's deadline",
    "etcd answers", "Permits of the minute in use", "Day limits in use", "Day limits in four hours, at this pace",
    "Sessions in use", "Wait for a permit", "Delivered by way", "Attempts by outcome", "Length of a transaction",
    "Connections open", "Accepted by client", "Sessions begun", "Size of messages", "Until durable", "Disk free",
    "Bodies kept", "Until durable on the other machine", "Copies sent", "Mail on one machine", "Pairings",
    "Alarms of coordinators", "Peers unheard for",
}  # fmt: skip
"""Panels that show something in any cluster under mail; the others need something to go wrong."""


class Watched(RelayCluster):
    """A cluster whose processes can be scraped."""

    ports: dict[str, tuple[int, int]]
    """Of relay-node and relay-coordinator, by node."""

    def config(self, name: str) -> dict:
        plain = super().config(name)
        node, coordinator = self.ports[name]
        return plain | {
            "admin": plain["admin"] | {"port": node},
            "coordinator": plain["coordinator"] | {"prometheus": coordinator},
        }


class Prometheus:
    """One Prometheus; ``ask`` gives the result of a query now."""

    def __init__(self, url: str):
        self.url = url

    def get(self, path: str, **query) -> dict:
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def ask(self, promql: str) -> list:
        return self.get("/api/v1/query", query=promql)["result"]


@contextmanager
def prometheus(home: Path, ports: list[int]):
    home.mkdir()
    [port] = free_ports(1)
    targets = [f"127.0.0.1:{each}" for each in ports]
    plain = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(Path("node/monitoring/alerts.yaml").absolute())],
        "scrape_configs": [{"job_name": "relay", "static_configs": [{"targets": targets}]}],
    }
    (home / "prometheus.yaml").write_text(yaml.safe_dump(plain))
    command = ["prometheus", f"--config.file={home}/prometheus.yaml", f"--storage.tsdb.path={home}/data"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(20)


def up(watching: Prometheus) -> int:
    try:
        return sum(int(each["value"][1]) for each in watching.ask("up"))
    except OSError:
        return 0


def test_panels_and_rules(tmp_path):
    """Every one is answered, and a dead node is told. (A short name: sockets lie below a directory named by it.)"""
    accounts = ["relay1", "relay2"]
    with ExitStack() as stack:
        cloud = stack.enter_context(Simulated(tmp_path / "sim", directory(accounts)))
        made = Watched(tmp_path / "c", cloud, wide(*accounts), coordinators=True, copies="preferred")
        ports = free_ports(6)
        made.ports = {name: (ports[at], ports[at + 3]) for at, name in enumerate(NAMES)}
        cluster = stack.enter_context(made)
        watching = stack.enter_context(prometheus(tmp_path / "p", ports))
        until(lambda: up(watching) == 6, 60, 0.3)
        for name in NAMES:
            for number in range(3):
                node = cluster.nodes[name]
                queue_id = hand_in(
                    node.port(), "app@contoso.com", f"to{number}@example.com", host=cluster.address(name)
                )
                wait_state(node, queue_id, "delivered", 40)

        until(lambda: not silent_panels(watching), 60, 1.0)
        until(lambda: all(rule["health"] == "ok" for rule in all_rules(watching)), 20, 0.5)
        assert len(all_rules(watching)) > 30
        assert not firing(watching), "nothing is wrong here"

        cluster.nodes[NAMES[0]].kill()
        until(lambda: ("RelayTargetDown", "pending") in states(watching), 30, 0.5)


def silent_panels(watching: Prometheus) -> set[str]:
    """Ask every query of every panel; which of those that should show something show nothing."""
    silent = set()
    for panel in (panel for board in boards() for row in board.rows for panel in row.panels):
        for query in panel.queries.values():
            text = filled(query).replace("$job", "relay").replace("$instance", ".*").replace("$__rate_interval", "30s")
            if not watching.ask(text) and panel.title in ALWAYS and panel.queries[next(iter(panel.queries))] == query:
                silent.add(panel.title)
    return silent


def all_rules(watching: Prometheus) -> list[dict]:
    return [rule for group in watching.get("/api/v1/rules")["groups"] for rule in group["rules"]]


def states(watching: Prometheus) -> set[tuple[str, str]]:
    return {(each["labels"]["alertname"], each["state"]) for each in watching.get("/api/v1/alerts")["alerts"]}


def firing(watching: Prometheus) -> set[str]:
    return {name for name, state in states(watching) if state == "firing"}


def test_rules_fire_when_they_should(tmp_path):
    """By promtool, on series made up: a few rules with arithmetic in them."""
    shutil.copy("node/monitoring/alerts.yaml", tmp_path / "alerts.yaml")
    shutil.copy(Path(__file__).parent / "alerts_test.yaml", tmp_path / "alerts_test.yaml")
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts_test.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
