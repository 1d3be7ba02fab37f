"""Tokens and Graph through an HTTPS proxy and a private authority: there is no other way, and no fault loses mail.

Names and ports that only the proxy knows stand in the configuration, so whatever arrived went through it.
"""

import pytest

from tests.support.connect_proxy import ProxyProcess
from tests.support.simulated import DOMAIN, WIDE, Simulated, directory
from tests.support.world import hand_in, relay, standings, until, view, wait_state, wide

FROM, TO = f"app@{DOMAIN}", "someone@example.com"
ENTRA, GRAPH = "localhost:2", "localhost:3"
USER, PASSWORD = "relay", "pr0xyPass"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home = tmp_path_factory.mktemp("proxy")
    with Simulated(home / "sim", directory(["relay1"], limits=WIDE)) as cloud:
        ports = {
            place: int(cloud.ready[name].rpartition(":")[2]) for place, name in ((ENTRA, "entra"), (GRAPH, "graph"))
        }
        with ProxyProcess(home / "proxy", ports) as proxy:
            yield home, cloud, proxy


def node_of(world, name: str, *, credentials: str = "", ca: bool = True, path: str = "graph"):
    home, cloud, proxy = world
    node = relay(cloud, home / name, wide("relay1"), routes={"internal": [path], "external": [path]})
    node.config["egress"] = {"https_proxy": f"http://{credentials}{'@' if credentials else ''}127.0.0.1:{proxy.port}"}
    if ca:
        node.config["egress"]["ca"] = cloud.ready["ca"]
    node.config["tenant"]["cloud"] |= {"authority": f"https://{ENTRA}", "graph": f"https://{GRAPH}"}
    return node


def arrivals(cloud: Simulated, queue_id: str) -> int:
    return sum(f"id {queue_id};" in one["headers"] for one in cloud.receipts())


def mended(node, cloud: Simulated, queue_id: str) -> None:
    """What waited goes out once, without a restart, when the fault is over."""
    found = view(node, queue_id)
    assert found["recipients"][0]["state"] in ("queued", "deferred")
    assert "bounced" not in {line["event"] for line in found["lines"]}
    assert "unknown" not in {line["event"] for line in found["lines"]}, "nothing was said that could have arrived"
    assert arrivals(cloud, queue_id) == 0
    process = node.process.pid

    def resumed() -> bool:
        for scope in standings(node):
            node.post("/v1/accounts/resume", account=scope)
        node.post("/v1/queue/release", filter={"ids": [queue_id]})
        return view(node, queue_id)["recipients"][0]["state"] == "delivered"

    until(resumed, 60, 0.5)
    assert (arrivals(cloud, queue_id), node.process.pid) == (1, process)


def test_tokens_and_mail_go_through_it(world):
    _, cloud, proxy = world
    proxy.rules(credentials=f"{USER}:{PASSWORD}")
    with node_of(world, "pass", credentials=f"{USER}:{PASSWORD}") as node:
        queue_id = hand_in(node.port(), FROM, TO)
        wait_state(node, queue_id, "delivered")
        assert arrivals(cloud, queue_id) == 1
        assert {f"CONNECT {ENTRA}", f"CONNECT {GRAPH}"} <= set(proxy.asked())
        assert PASSWORD not in node.log.read_text()


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"mode": "refuse"}, "the proxy refuses the connection"),
        ({"credentials": f"{USER}:{PASSWORD}"}, "the proxy wants user and password"),
    ],
    ids=["refuses", "wants credentials"],
)
def test_a_proxy_that_says_no_is_named_and_mail_waits(world, rules, said):
    _, cloud, proxy = world
    proxy.rules(**rules)
    with node_of(world, next(iter(rules))) as node:
        queue_id = hand_in(node.port(), FROM, TO)
        until(lambda: said in node.ctl("status", check=False).stdout)
        assert "egress.https_proxy" in node.ctl("status", check=False).stdout
        assert [way["reason"] for way in standings(node).values()] == ["token_unreachable"]
        assert PASSWORD not in node.log.read_text()
        proxy.rules()
        mended(node, cloud, queue_id)


def test_graph_behind_a_proxy_that_closes_after_the_token_waits_too(world):
    _, cloud, proxy = world
    proxy.rules()
    with node_of(world, "later") as node:
        wait_state(node, hand_in(node.port(), FROM, TO), "delivered")
        proxy.rules("refuse")
        queue_id = hand_in(node.port(), FROM, TO)
        until(lambda: view(node, queue_id)["recipients"][0]["last_reason"])
        proxy.rules()
        mended(node, cloud, queue_id)


def test_a_private_authority_that_is_not_named_is_told(world):
    _, cloud, proxy = world
    proxy.rules()
    with node_of(world, "authority", ca=False) as node:
        queue_id = hand_in(node.port(), FROM, TO)
        until(lambda: "its certificate is not trusted" in node.ctl("status", check=False).stdout)
        assert "egress.ca" in node.ctl("status", check=False).stdout
        assert view(node, queue_id)["recipients"][0]["state"] in ("queued", "deferred")
        assert arrivals(cloud, queue_id) == 0


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", [False, True], ids=["from the start", "after the token"])
def test_a_proxy_that_hangs_costs_time_and_nothing_else(world, first):
    _, cloud, proxy = world
    proxy.rules("pass" if first else "hang")
    with node_of(world, f"hang{first}") as node:
        if first:
            wait_state(node, hand_in(node.port(), FROM, TO), "delivered")
            proxy.rules("hang")
        queue_id = hand_in(node.port(), FROM, TO)
        until(lambda: view(node, queue_id)["recipients"][0]["last_reason"], 200)
        if not first:
            assert "did not answer in time" in node.ctl("status", check=False).stdout
        assert node.status()["readiness"]["ready"]
        proxy.rules()
        mended(node, cloud, queue_id)
