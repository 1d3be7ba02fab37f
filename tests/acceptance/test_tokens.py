"""Entra down, Entra saying no, a secret changed on disk: mail waits or goes on, and never bounces for it."""

import re
import urllib.request

import pytest

from tests.support.ports import free_ports
from tests.support.simulated import SECRET, Simulated, directory
from tests.support.world import events, hand_in, relay, standings, states, until, view, wait_state, wide

FROM, TO = "app@contoso.com", "someone@example.com"
SHORT = {"token_life": ["18s", "18s"]}
"""A token that wants renewing after half its life."""
PATH = "path/contoso/submission"
SITE = "site/contoso/submission@"
"""The path as this site sees it: what cannot be reached from one site may be from another."""


def metrics(node) -> str:
    port = node.config["admin"]["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return answer.read().decode()


def test_an_outage_does_not_stop_who_holds_a_valid_token(tmp_path):
    with (
        Simulated(tmp_path / "sim", directory(["relay1"], timing=SHORT)) as cloud,
        relay(cloud, tmp_path / "node", wide("relay1")) as node,
    ):
        port = node.port()
        wait_state(node, hand_in(port, FROM, TO), "delivered")
        issued = cloud.stats()["tokens"]["issued"]
        # Each new connection logs in with the token held; asking for a new one fails from now on.
        cloud.script({"at": "token", "cut": True}, {"at": "dot", "reply": "250 2.0.0 OK", "close": True})

        def asked_again() -> bool:
            wait_state(node, hand_in(port, FROM, TO), "delivered", 5)
            return cloud.acted()[0] >= 1

        until(asked_again, 17, 0.3)
        stats = cloud.stats()
        assert stats["tokens"]["issued"] == issued
        assert stats["accounts"]["relay1@contoso.com"]["logins"] >= 3
        assert standings(node) == {}
        cloud.script({"at": "dot", "reply": "250 2.0.0 OK", "close": True})  # Entra is back

        def renewed() -> bool:
            wait_state(node, hand_in(port, FROM, TO), "delivered", 60)
            return cloud.stats()["tokens"]["issued"] > issued

        until(renewed, 60, 0.3)


def test_an_outage_before_the_first_token_only_delays(tmp_path):
    with (
        Simulated(tmp_path / "sim", directory(["relay1"])) as cloud,
        relay(cloud, tmp_path / "node", wide("relay1")) as node,
    ):
        cloud.script({"at": "token", "reply": "503 AADSTS90033: a transient error has occurred"})
        queue_id = hand_in(node.port(), FROM, TO)
        resting = until(lambda: [way for scope, way in standings(node).items() if scope.startswith(SITE)])
        assert [way["reason"] for way in resting] == ["token_unreachable"]
        assert PATH not in standings(node)
        assert states(node, queue_id) in (["queued"], ["deferred"])
        assert node.status()["readiness"]["ready"], "readiness never depends on Microsoft"
        cloud.script()
        wait_state(node, queue_id, "delivered", 60)
        assert "bounced" not in events(view(node, queue_id))
        assert cloud.receipts()[0]["sender"] == FROM
        assert len(cloud.receipts()) == 1


def test_a_wrong_secret_bounces_nothing_shows_and_heals_without_a_restart(tmp_path):
    with Simulated(tmp_path / "sim", directory(["relay1", "relay2"])) as cloud:
        node = relay(cloud, tmp_path / "node", wide("relay1", "relay2"))
        node.config["admin"] = {"port": free_ports(1)[0]}
        secret = tmp_path / "node" / "secret"
        secret.write_text("expired long ago")
        with node:
            port = node.port()
            queue_ids = [hand_in(port, FROM, TO) for _ in range(5)]
            resting = until(lambda: standings(node).get(PATH))
            assert (resting["state"], resting["reason"]) == ("resting", "app_refused")
            for queue_id in queue_ids:
                assert states(node, queue_id) in (["queued"], ["deferred"])
            assert "app_refused" in node.ctl("account", "list").stdout
            assert "relay_token_failures" in metrics(node)
            until(
                lambda: re.search(
                    r'relay_breaker_resting\{[^}]*scope="path/contoso/submission"[^}]*\} 1', metrics(node)
                )
            )
            log = node.log.read_text()
            assert "AADSTS7000215" in log or "secret" in log
            assert "expired long ago" not in log
            denied = sum(n for what, n in cloud.stats()["tokens"].items() if what.startswith("denied"))
            assert 1 <= denied <= 2, "no loop against a refusal"
            assert node.status()["readiness"]["ready"]

            before = node.process.pid
            secret.write_text(SECRET)
            # By itself the path is tried again five minutes after the refusal; an operator need not wait for it.
            node.ctl("account", "resume", PATH, "--reason", "new secret")
            for queue_id in queue_ids:
                found = wait_state(node, queue_id, "delivered")
                assert "bounced" not in events(found)
            assert node.process.pid == before
            assert node.process.poll() is None
            assert standings(node) == {}
        assert SECRET not in node.log.read_text()
        assert len(cloud.receipts()) == 5


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_changed_secret_is_found_without_anybody_telling(tmp_path):
    """A refused application is asked again five minutes later, with whatever secret lies there then."""
    with Simulated(tmp_path / "sim", directory(["relay1"])) as cloud:
        node = relay(cloud, tmp_path / "node", wide("relay1"))
        secret = tmp_path / "node" / "secret"
        secret.write_text("expired long ago")
        with node:
            queue_id = hand_in(node.port(), FROM, TO)
            until(lambda: standings(node).get(PATH))
            secret.write_text(SECRET)
            found = wait_state(node, queue_id, "delivered", 450)
            assert "bounced" not in events(found)
            assert standings(node) == {}
