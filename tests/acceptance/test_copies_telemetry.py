"""A takeover as a collector sees it: one graph from the acceptance on the node that is gone to the final reply (I6)."""

import shutil
from contextlib import ExitStack

import pytest

from tests.acceptance.test_copies import ACCOUNTS, protected, send, sent, three_nodes
from tests.support.otlp import GrpcReceiver, attributes, connected
from tests.support.relay_cluster import NAMES
from tests.support.simulated import DOMAIN
from tests.support.world import until

COUNT = 60
CHAIN = {"relay.receive", "relay.shadow", "relay.adopt", "relay.queue", "relay.attempt"}


def by_id(received, name: str, key: str = "relay.queue_id") -> dict:
    return {attributes(span)[key]: span for span in list(received.spans) if span.name == name}


def accepted_spans(received) -> bool:
    return len(by_id(received, "relay.receive", "relay.id")) == len(by_id(received, "relay.shadow")) == COUNT


@pytest.mark.timeout(120)
def test_a_takeover_is_one_connected_trace_from_the_dead_node_to_its_shadow(tmp_path):
    with ExitStack() as stack:
        otlp = stack.enter_context(GrpcReceiver())
        cluster, cloud = stack.enter_context(three_nodes(tmp_path, timing={}, telemetry={"otlp": otlp.url}))
        received, dead = otlp.received, cluster.nodes[NAMES[0]]
        until(lambda: protected(cluster, NAMES[0]), 30)
        shadow = dead.status()["copies"]["shadow"]
        heir = cluster.nodes[shadow]
        for account in ACCOUNTS:  # what comes in stays there until the node is gone
            dead.post("/v1/accounts/park", account=f"{account}@{DOMAIN}", reason="the test", here=True)
        sent(send(cluster, tmp_path / "ledger", NAMES[0], COUNT))
        until(lambda: accepted_spans(received) and protected(cluster, NAMES[0]), 20)
        told_before(received, dead, heir, shadow)
        dead.kill()
        shutil.rmtree(dead.home / "spool")
        until(lambda: heir.metric("relay_copies_adopted_total", node=NAMES[0]) == COUNT, 30, 0.1)
        # It was put off for a while there, which goes with it.
        heir.post("/v1/queue/release", filter={"states": ["queued", "deferred"]}, all=True)
        until(lambda: cloud.stats()["messages"]["accepted"] >= COUNT and not heir.waiting(), 60)
        until(lambda: len(by_id(received, "relay.adopt")) == len(delivered_by(received, shadow)) == COUNT, 10)
        adopted = by_id(received, "relay.adopt")
        assert len(adopted) == heir.metric("relay_copies_adopted_total", node=NAMES[0])
        until(lambda: heir.metric("relay_ownership_moves_total", move="adopt") == 1, 10, 0.1)
    for name, adopt in adopted.items():
        whole(received, name, adopt, shadow)


def told_before(received, dead, heir, shadow: str) -> None:
    """The numbers of a pairing at work, at both its ends."""
    outcomes = [attributes(span)["relay.outcome"] for span in by_id(received, "relay.shadow").values()]
    assert dead.metric("relay_copy_seconds_count") == outcomes.count("copied") > 0
    assert dead.metric("relay_copies_sent_total", node=shadow) >= COUNT
    assert dead.metric("relay_copies_sent_batches_total", node=shadow) > 0
    assert dead.metric("relay_copies_sent_bytes_total", node=shadow) > 500 * COUNT
    assert dead.metric("relay_quarantined") == 0
    until(lambda: dead.metric("relay_pairings", state="held") == 1, 10, 0.1)
    until(lambda: heir.metric("relay_copies_kept", node=NAMES[0]) == COUNT, 10, 0.1)


def delivered_by(received, node: str) -> dict:
    """Attempts that a node made and Microsoft took, by message."""
    found = [span for span in list(received.spans) if span.name == "relay.attempt"]
    mine = [(attributes(span), span) for span in found if attributes(span)["relay.node"] == node]
    return {about["relay.queue_id"]: span for about, span in mine if about.get("relay.reply_code") == 250}


def whole(received, name: str, adopt, shadow: str) -> None:
    """One message: every span of it hangs together, and each says who and under which epoch."""
    receive = by_id(received, "relay.receive", "relay.id")[name]
    about = attributes(adopt)
    assert (about["relay.node"], about["relay.from"]) == (shadow, NAMES[0])
    copy = attributes(by_id(received, "relay.shadow")[name])
    assert copy["relay.outcome"] in {"copied", "unprotected"}, "a busy machine may be late"
    assert copy["relay.shadow"] == shadow
    assert about["relay.epoch"] == copy["relay.epoch"] > 0
    attempt = delivered_by(received, shadow)[name]
    assert attributes(attempt)["relay.epoch"] == about["relay.epoch"]
    spans = [span for span in received.trace(receive.trace_id) if span.name in CHAIN]
    assert {span.name for span in spans} == CHAIN
    assert connected(spans)
    assert {adopt.span_id, attempt.span_id, receive.span_id} <= {span.span_id for span in spans}
