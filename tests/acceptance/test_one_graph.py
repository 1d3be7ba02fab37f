"""One message through everything that can part a trace, as a collector sees it: one connected graph, every span, link.

An application with spans of its own sends it; it is copied, its node killed, it is taken over, refused by one account
and by the other, put off by another path until later than its trace lasts, delivered, and reported to have failed after
all.
"""

import shutil
import smtplib
import time
from contextlib import ExitStack, contextmanager

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import inject
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tests.acceptance.test_copies import protected
from tests.support.ndrs import exchange_ndr
from tests.support.otlp import GrpcReceiver, attributes, connected, reached
from tests.support.relay_cluster import NAMES, RelayCluster
from tests.support.simulated import DOMAIN, WIDE, Simulated, directory
from tests.support.world import client, mail, until, wait_reason, wait_state, wide

FROM, TO, BASE = f"app@{DOMAIN}", "gone@example.com", f"relay-bounces@{DOMAIN}"
ACCOUNTS = ("relay1", "relay2")
SMARTHOST = "contoso/smarthost"
SCOPES = (*(f"{name}@{DOMAIN}" for name in ACCOUNTS), SMARTHOST)
QUOTA = "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message"
GREYLISTED = "450 4.2.0 greylisted, come again"
QUEUE_ID = "relay.queue_id"
EVERY_SPAN = {
    "relay.receive", "relay.commit", "relay.shadow", "relay.adopt", "relay.queue", "relay.attempt", "relay.permit",
    "relay.connect", "relay.auth", "relay.transfer", "relay.ndr", "relay.bounce",
}  # fmt: skip


@contextmanager
def scene(home, otlp, *, same_trace_for: str, delay: str):
    """Three nodes; two accounts that are refused, then a smarthost that puts the first message off once."""
    spent = {"at": "dot", "when": {"service": "submission"}, "reply": QUOTA}
    once = {"at": "rcpt", "when": {"recipient": TO}, "times": 1, "reply": GREYLISTED}
    with ExitStack() as stack:
        cloud = stack.enter_context(Simulated(home / "sim", directory(list(ACCOUNTS), limits=WIDE)))
        other = stack.enter_context(Simulated(home / "other", {"smarthost": {"tls": "none"}}))
        cloud.script(spent)
        other.script(once)
        changes = {
            "plans": {"quick": {"retry": {"delays": [delay], "jitter": 0.0}, "outside_tenant": True}},
            "clients": {"apps": client("127.0.0.0/8", plan="quick", trace=True)},
            "routes": {way: ["submission", "smarthost"] for way in ("internal", "external")},
            "bounces": {"from": BASE, "return_path": BASE, "digest": "0s"},
            "telemetry": {"otlp": otlp.url, "same_trace_for": same_trace_for},
        }
        cluster = WithSmarthost(home, cloud, wide(*ACCOUNTS), copies="preferred", **changes)
        cluster.other = other
        yield stack.enter_context(cluster), other


class WithSmarthost(RelayCluster):
    other: Simulated

    def config(self, name: str) -> dict:
        plain = super().config(name)
        plain["tenant"]["smarthost"] = {"host": "127.0.0.1", "port": self.other.ready["smtp"], "tls": "none"}
        return plain


def application(otlp, send) -> str:
    """An instrumented application: its own SDK, one span, the context in the message's header."""
    provider = TracerProvider(resource=Resource({"service.name": "orders"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=otlp.url, insecure=True)))
    try:
        with provider.get_tracer("orders").start_as_current_span("app.order"):
            header: dict[str, str] = {}
            inject(header)
            return send(f"traceparent: {header['traceparent']}\r\n".encode() + mail(FROM, TO))
    finally:
        provider.shutdown()


def handed_in(cluster: RelayCluster, name: str, sender: str, to: str, data: bytes) -> str:
    with smtplib.SMTP(cluster.address(name), cluster.nodes[name].port(), timeout=60) as smtp:
        smtp.ehlo("client.test")
        assert smtp.mail(sender)[0] == 250
        assert smtp.rcpt(to)[0] == 250
        code, text = smtp.data(data)
    assert code == 250, text
    return text.decode().split()[-1]


def parked(node, *scopes: str) -> None:
    for scope in scopes:
        node.post("/v1/accounts/park", account=scope, reason="the test", here=True)


def of_message(received, name: str, queue_id: str) -> list:
    """Its spans of that name, in order of time."""
    found = [one for one in list(received.spans) if one.name == name and attributes(one).get(QUEUE_ID) == queue_id]
    return sorted(found, key=lambda span: span.start_time_unix_nano)


def accepted_span(received, queue_id: str):
    return next((one for one in received.by_name("relay.receive") if attributes(one)["relay.id"] == queue_id), None)


@pytest.mark.timeout(400)
def test_short_of_five_minutes(tmp_path):
    """Its trace lasts for seconds, and an operator sends it on once that is over: so nobody waits five minutes."""
    one_graph(tmp_path, same_trace_for="10s", delay="305s", bound_s=60, released_after_ms=10_500)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_past_five_minutes(tmp_path):
    received, queue_id = one_graph(tmp_path, same_trace_for="5m", delay="305s", bound_s=400)
    begun, trace = of_message(received, "relay.attempt", queue_id), accepted_span(received, queue_id).trace_id
    assert [span.trace_id == trace for span in begun] == [True, True, True, False]


def one_graph(home, *, bound_s: float, released_after_ms: int = 0, **times: str):
    with GrpcReceiver() as otlp, scene(home, otlp, **times) as (cluster, other):
        received, dead = otlp.received, cluster.nodes[NAMES[0]]
        until(lambda: protected(cluster, NAMES[0]), 60)
        shadow = dead.status()["copies"]["shadow"]
        third = next(name for name in NAMES if name not in (NAMES[0], shadow))
        parked(dead, *SCOPES)  # what comes in stays there until the node is gone
        queue_id = application(otlp, lambda data: handed_in(cluster, NAMES[0], FROM, TO, data))
        until(lambda: accepted_span(received, queue_id) and of_message(received, "relay.shadow", queue_id), 20)
        until(lambda: protected(cluster, NAMES[0]), 20)
        dead.kill()
        shutil.rmtree(dead.home / "spool")
        heir = cluster.nodes[shadow]
        until(lambda: heir.metric("relay_copies_adopted_total", node=NAMES[0]) == 1, 60, 0.1)
        if released_after_ms:
            put_off = wait_reason(heir, queue_id, "unclassified_recipient_4xx", 60)
            over_ms = put_off["message"]["received_ms"] + released_after_ms
            until(lambda: time.time_ns() // 1_000_000 > over_ms, 20)
            heir.post("/v1/queue/release", filter={"ids": [queue_id]})
        wait_state(heir, queue_id, "delivered", bound_s)
        (receipt,) = [one for one in other.receipts() if one["recipients"] == [TO]]
        keyed = receipt["sender"]
        handed_in(cluster, third, "", keyed, exchange_ndr(to=keyed, recipient=TO))
        wait_state(heir, queue_id, "bounced", 20)
        bounce = until(lambda: of_message(received, "relay.bounce", queue_id), 20)[0]
        report = attributes(bounce)["relay.report_id"]
        until(lambda: of_message(received, "relay.attempt", report), 30)
        given = handed_over(cluster, received, third, shadow)
    whole(received, queue_id, report, dead=NAMES[0], heir=shadow)
    hand_over_whole(received, given, giver=third, heir=shadow)
    return received, queue_id


def handed_over(cluster, received, giver: str, heir: str) -> str:
    """A node that leaves on purpose gives its mail to its shadow."""
    node = cluster.nodes[giver]
    until(lambda: protected(cluster, giver), 60)
    parked(node, *SCOPES)
    queue_id = handed_in(cluster, giver, FROM, "other@example.com", mail(FROM, "other@example.com"))
    node.ctl("drain", giver, "--reason", "maintenance")
    until(lambda: cluster.nodes[heir].metric("relay_copies_adopted_total", node=giver) == 1, 60, 0.1)
    wait_state(cluster.nodes[heir], queue_id, "delivered", 60)
    until(lambda: of_message(received, "relay.attempt", queue_id), 20)
    return queue_id


def whole(received, queue_id: str, report: str, *, dead: str, heir: str) -> None:
    receive, (app,) = accepted_span(received, queue_id), received.by_name("app.order")
    assert (receive.trace_id, receive.parent_span_id) == (app.trace_id, app.span_id)
    together = reached(list(received.spans), app)
    told = [one for one in received.spans if attributes(one).get(QUEUE_ID) in (queue_id, report)]
    assert {one.span_id for one in told} <= together
    assert {one.name for one in received.spans if one.span_id in together} == EVERY_SPAN | {"app.order"}

    (adopt,) = of_message(received, "relay.adopt", queue_id)
    assert (attributes(adopt)["relay.node"], attributes(adopt)["relay.from"]) == (heir, dead)
    follows(adopt, receive)
    attempts(received, queue_id, receive, heir)
    reported(received, queue_id, report, receive)
    about = {resource["relay.node"]: resource for resource in received.resources if "relay.node" in resource}
    assert {one["service.namespace"] for one in about.values()} == {"test"}
    assert set(about) == set(NAMES)
    assert all(one["host.name"] and one["service.version"] for one in about.values())


def follows(span, receive, *also) -> None:
    """In the trace of the acceptance, or in one linked to it; and linked to what else was before."""
    wanted = {one.span_id for one in also}
    if span.trace_id == receive.trace_id:
        assert span.parent_span_id == receive.span_id
    else:
        assert not span.parent_span_id
        wanted.add(receive.span_id)
    assert wanted <= {link.span_id for link in span.links}


def attempts(received, queue_id: str, receive, heir: str) -> None:
    tried = of_message(received, "relay.attempt", queue_id)
    told = [attributes(span) for span in tried]
    assert {one["relay.node"] for one in told} == {heir}
    assert [(one["relay.path"], one["relay.rank"], one["relay.reply_code"]) for one in told] == [
        ("submission", 0, 554), ("submission", 0, 554), ("smarthost", 1, 450), ("smarthost", 1, 250),
    ]  # fmt: skip
    assert {told[0]["relay.account"], told[1]["relay.account"]} == {f"contoso/{name}@{DOMAIN}" for name in ACCOUNTS}
    assert [one.get("relay.way_before", "").partition(":")[0] for one in told] == ["", "submission", "submission", ""]
    assert [one.get("error.type") for one in told][:2] == ["account_daily_limit"] * 2
    assert [len(span.events) for span in tried] == [1, 1, 1, 0], "each says for how long it was put off"
    for number, span in enumerate(tried):
        follows(span, receive, *tried[max(0, number - 1) : number])
    assert tried[-1].trace_id != receive.trace_id, "later than its trace lasts"
    for span in tried:
        inside = [one for one in received.spans if one.parent_span_id == span.span_id]
        assert {"relay.permit", "relay.transfer"} <= {one.name for one in inside}
    connects = [attributes(one) for one in received.by_name("relay.connect")]
    assert all(one["server.address"] and one["server.port"] for one in connects)


def reported(received, queue_id: str, report: str, receive) -> None:
    (ndr,) = of_message(received, "relay.ndr", queue_id)
    follows(ndr, receive, of_message(received, "relay.attempt", queue_id)[-1])
    doors = {one.span_id: one for one in received.by_name("relay.receive")}
    came = [doors[link.span_id] for link in ndr.links if link.span_id in doors and link.span_id != receive.span_id]
    assert len(came) == 1, "its own way in"
    (bounce,) = of_message(received, "relay.bounce", queue_id)
    assert (bounce.trace_id, bounce.parent_span_id) == (ndr.trace_id, ndr.span_id)
    first = of_message(received, "relay.attempt", report)[0]
    assert (first.trace_id, first.parent_span_id) == (bounce.trace_id, bounce.span_id)


def hand_over_whole(received, queue_id: str, *, giver: str, heir: str) -> None:
    receive, (adopt,) = accepted_span(received, queue_id), of_message(received, "relay.adopt", queue_id)
    assert (attributes(adopt)["relay.node"], attributes(adopt)["relay.from"]) == (heir, giver)
    follows(adopt, receive)
    told = [one for one in received.spans if attributes(one).get(QUEUE_ID) == queue_id]
    assert {"relay.adopt", "relay.queue", "relay.attempt", "relay.shadow"} <= {one.name for one in told}
    assert connected([receive, *told])
