"""What a running node signs in with is replaced on disk and in Entra while mail flows: no restart, nothing bounces."""

import datetime as dt
import json
import urllib.request

import pytest
import trustme

from tests.support.entra import app_certificate
from tests.support.simulated import CLIENT, DOMAIN, TENANT, WIDE, Simulated, directory
from tests.support.world import hand_in, relay, standings, until, view, wait_state, wide

FROM, TO = f"app@{DOMAIN}", "someone@example.com"
FIRST, SECOND, THIRD = "first secret~x.y", "second secret~x.y", "third secret~x.y"
EACH_ANEW = {"at": "dot", "reply": "250 2.0.0 OK", "close": True}
"""Every message needs a login of its own."""
SHORT = {"token_life": ["6s", "6s"]}
"""A token is renewed after half its life, instead of some forty minutes."""


class Entra:
    """The simulated one, whose application is changed while it runs."""

    def __init__(self, cloud: Simulated, plain: dict):
        self.cloud, self.plain = cloud, plain

    def trusts(self, **app) -> None:
        """Replace what the application may prove itself with; tokens of before end within seconds."""
        self.plain["tenants"][TENANT]["apps"][CLIENT] = app
        self.cloud.ask("/directory", "PUT", self.plain)
        self.cloud.script(EACH_ANEW)


def written(path, text: str):
    """Replace a file as a careful program does."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(path)
    return path


@pytest.fixture
def world(tmp_path):
    plain = directory(["relay1"], limits=WIDE, timing=SHORT)
    with Simulated(tmp_path / "sim", plain) as cloud:
        yield Entra(cloud, plain), tmp_path / "node"


def node_of(entra: Entra, home, **app):
    node = relay(entra.cloud, home, wide("relay1"))
    node.config["tenant"]["app"] = {"client_id": CLIENT, **{key: as_ref(value) for key, value in app.items()}}
    return node


def as_ref(value):
    return value if isinstance(value, str) else {"file": str(value)}


def flows(node, entra: Entra) -> None:
    """Mail goes out with whatever is there now, once what rests is tried again."""
    queue_id = hand_in(node.port(), FROM, TO)

    def delivered() -> bool:
        for scope in standings(node):
            node.post("/v1/accounts/resume", account=scope)
        node.post("/v1/queue/release", filter={"ids": [queue_id]})
        return view(node, queue_id)["recipients"][0]["state"] == "delivered"

    until(delivered, 40, 0.5)
    assert "bounced" not in {line["event"] for line in view(node, queue_id)["lines"]}
    assert sum(f"id {queue_id};" in one["headers"] for one in entra.cloud.receipts()) == 1


def refused(node) -> str:
    """Hand mail in until a login needs a token that Entra refuses; gives the message that waits for it."""

    def stays() -> str:
        queue_id = hand_in(node.port(), FROM, TO)
        until(lambda: view(node, queue_id)["recipients"][0]["state"] != "queued" or standings(node))
        return queue_id if view(node, queue_id)["recipients"][0]["state"] in ("queued", "deferred") else ""

    queue_id = until(stays, 40, 0.3)
    until(lambda: "app_refused" in {way["reason"] for way in standings(node).values()})
    return queue_id


def troubles(node) -> str:
    return node.ctl("status", check=False).stdout


def test_a_secret_is_rotated_with_two_that_overlap(world):
    entra, home = world
    home.mkdir()
    first, second = written(home / "first", FIRST), written(home / "second", SECOND)
    entra.trusts(secrets=[FIRST, SECOND])
    with node_of(entra, home, secret=first, next_secret=second) as node:
        began = node.process.pid
        wait_state(node, hand_in(node.port(), FROM, TO), "delivered")
        assert "Entra refuses" not in troubles(node)

        entra.trusts(secrets=[SECOND])  # the first one was deleted in Entra

        def second_taken() -> bool:
            wait_state(node, hand_in(node.port(), FROM, TO), "delivered")
            return "Entra refuses secret of contoso, and takes next_secret" in troubles(node)

        until(second_taken, 40, 0.5)
        assert standings(node) == {}, "nobody waited for it"

        told = len(node.log.read_text())
        written(first, THIRD)  # its successor, on disk and in Entra; the second goes
        entra.trusts(secrets=[THIRD])
        for _ in range(3):
            flows(node, entra)
        # Whether the second is asked for and refused once more depends on whether the new file was seen before.
        until(lambda: "tenant contoso has a token, by secret" in node.log.read_text()[told:], 40)
        assert "takes next_secret" not in troubles(node)
        assert (node.process.pid, node.process.poll()) == (began, None)
        for secret in (FIRST, SECOND, THIRD):
            assert secret not in node.log.read_text()


def test_a_certificate_is_replaced_on_disk(world):
    entra, home = world
    home.mkdir()
    files = {name: home / f"{name}.pem" for name in ("now", "later", "public1", "public2")}
    app_certificate(files["now"])
    app_certificate(files["later"])
    files["public1"].write_bytes(files["now"].read_bytes())
    files["public2"].write_bytes(files["later"].read_bytes())
    entra.trusts(certificates=[str(files["public1"])])
    with node_of(entra, home, certificate=files["now"]) as node:
        wait_state(node, hand_in(node.port(), FROM, TO), "delivered")
        entra.trusts(certificates=[str(files["public2"])])
        waiting = refused(node)
        written(files["now"], files["later"].read_text())
        flows(node, entra)
        wait_state(node, waiting, "delivered", 40)


def test_the_token_of_a_workload_is_read_anew(world):
    entra, home = world
    home.mkdir()

    def token(subject: str, life_s: int = 3600) -> str:
        url = f"{entra.cloud.ready['control']}/workload-token?subject={subject}&life_s={life_s}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()

    file = written(home / "federation", token("relay"))
    entra.trusts(federated=["relay"])
    with node_of(entra, home, federation=file) as node:
        wait_state(node, hand_in(node.port(), FROM, TO), "delivered")
        entra.trusts(federated=["another"])
        waiting = refused(node)
        assert "no new token for contoso" in troubles(node)
        written(file, token("another"))
        flows(node, entra)
        wait_state(node, waiting, "delivered", 40)
        assert file.read_text() not in node.log.read_text()


def test_what_ends_soon_is_told_in_time(world):
    """Thirty, seven and one days before, each once: in the log, as a gauge, in the status."""
    entra, home = world
    home.mkdir()

    def day(days: int) -> str:
        return (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=days)).isoformat()

    entra.trusts(secrets=[FIRST, SECOND])
    first, second = written(home / "first", FIRST), written(home / "second", SECOND)
    node = node_of(entra, home, secret=first, next_secret=second)
    node.config["tenant"]["app"] |= {"secret_until": day(5), "next_secret_until": day(25)}
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(hours=20)
    pem = home / "connector.pem"
    pem.touch(mode=0o600)
    trustme.CA().issue_cert(f"relay.{DOMAIN}", not_after=soon).private_key_and_cert_chain_pem.write_to_path(pem)
    node.config["tenant"]["connector"] = {"host": f"localhost:{entra.cloud.ready['mx']}", "certificate": as_ref(pem)}
    with node:
        told = until(lambda: (text := troubles(node)) and "within a day" in text and text)
        assert "the client secret of tenants.contoso.app.secret ends in 5 days" in told
        assert "the client secret of tenants.contoso.app.next_secret ends in 25 days" in told
        left_s = node.metric("relay_credential_expiry_seconds", credential="tenants.contoso.app.secret")
        assert 5 * 86_400 <= left_s <= 6 * 86_400
        lines = [json.loads(line) for line in node.log.read_text().splitlines() if line.startswith("{")]
        levels = [one["level"] for one in lines if " ends " in one.get("event", "")]
        assert sorted(levels) == ["error", "warning", "warning"]
        wait_state(node, hand_in(node.port(), FROM, TO), "delivered")
