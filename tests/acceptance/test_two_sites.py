"""Two sites, three nodes: one site's broken line leaves the other's traffic alone; all broken, the path rests for all.

Each node leaves by an address of its own, so that a line before the simulator can be broken for one site only.
"""

import time
from contextlib import ExitStack

import pytest

from tests.support.gates import Gates
from tests.support.relay_cluster import NAMES, RelayCluster
from tests.support.simulated import DOMAIN, WIDE, Simulated, directory
from tests.support.world import client, hand_in, standings, until, wait_state, wide

SITES = {"relay-a": "dc1", "relay-b": "dc1", "relay-c": "dc2"}
PATH = "path/contoso/submission"
FROM, TO = f"app@{DOMAIN}", "someone@example.com"


class Line(Gates):
    """Passes everybody but those whose line is broken: they are cut as they connect."""

    def __init__(self, targets):
        super().__init__(targets)
        self.broken: set[str] = set()

    async def _serve(self, target, reader, writer):
        if writer.get_extra_info("peername")[0] in self.broken:
            writer.transport.abort()
            return
        await super()._serve(target, reader, writer)


class Sites(RelayCluster):
    """A cluster in two sites with a connector as second path."""

    line: Line

    def config(self, name: str) -> dict:
        plain = super().config(name)
        for each, site in SITES.items():
            plain["cluster"]["nodes"][each]["site"] = site
        plain["egress"]["source_address"] = self.address(name)
        own = plain["tenant"]
        own["cloud"]["submission"] = f"localhost:{self.line.ports[0]}"
        own["connector"] = {"host": f"localhost:{self.cloud.ready['mx']}"}
        return plain

    def break_for(self, *sites: str) -> None:
        """Break the lines of these sites, and mend the others'. Whoever is connected is cut off."""
        self.line.broken = {self.address(name) for name in NAMES if SITES[name] in sites}
        self.line.open()

    def send(self, name: str, count: int = 1, state: str = "delivered") -> set[str]:
        """Hand mail in and wait for it; gives the paths it took."""
        node = self.nodes[name]
        ids = [hand_in(node.port(), FROM, TO, host=self.address(name)) for _ in range(count)]
        paths = set()
        for queue_id in ids:
            found = wait_state(node, queue_id, state, 90)
            paths.add(found["recipients"][0]["last_way"].partition(":")[0])
        return paths


@pytest.fixture
def sites(tmp_path):
    plain = directory(["relay1", "relay2"], limits=WIDE, connectors=[{"certificate": DOMAIN}])
    with ExitStack() as stack:
        cloud = stack.enter_context(Simulated(tmp_path / "sim", plain))
        both = ["submission", "connector"]
        cluster = Sites(
            tmp_path, cloud, wide("relay1", "relay2"), routes={"internal": both, "external": both},
            clients={"apps": client("127.0.0.0/8", plan="quick")},
        )  # fmt: skip
        cluster.line = stack.enter_context(Line([cloud.ready["smtp"]]))
        network = cluster.address(NAMES[0]).rpartition(".")[0]
        plain["tenants"][next(iter(plain["tenants"]))]["connectors"] = [{"networks": [f"{network}.0/24"]}]
        cloud.ask("/directory", "PUT", plain)
        yield stack.enter_context(cluster)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_one_sites_trouble_is_its_own_and_every_sites_trouble_is_everybodys(sites):
    for name in NAMES:
        assert sites.send(name) == {"submission"}

    sites.break_for("dc2")
    assert "connector" in sites.send("relay-c", 8), "it goes another way once five connections failed"
    broken = until(lambda: standings(sites.nodes["relay-c"]).get("site/contoso/submission@dc2"))
    assert broken["reason"] == "path_broken"
    assert sites.send("relay-c") == {"connector"}
    for name in ("relay-a", "relay-b"):
        assert sites.send(name, 4) == {"submission"}, "the other site's traffic is left alone"
        assert not [scope for scope in standings(sites.nodes[name]) if "submission" in scope]

    sites.break_for("dc1", "dc2")
    sites.send("relay-a", 8)
    until(lambda: "site/contoso/submission@dc1" in standings(sites.nodes["relay-a"]))
    assert PATH not in standings(sites.nodes["relay-b"]), "it tried and it worked: it has not said otherwise yet"
    sites.send("relay-b", 8)
    for name in NAMES:
        until(lambda name=name: PATH in standings(sites.nodes[name]))
        assert standings(sites.nodes[name])[PATH]["reason"] == "path_broken"
        assert sites.send(name) == {"connector"}

    sites.break_for()
    began = time.monotonic()
    for name in NAMES:
        until(lambda name=name: sites.send(name) == {"submission"}, 150, 1.0)
        until(lambda name=name: PATH not in standings(sites.nodes[name]))
    print(f"\nback on submission {time.monotonic() - began:.0f} s after the lines were mended")
    assert sites.cloud.stats()["violations"]["total"] == 0
